"""Mistakes of echonet-lite with the pace of questions: how many properties, how many requests, and in which order."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Literal

import pytest
from support.link import AT, Link, Passed, noted, of, settled
from support.scripted import GET, INF, LAMP, SETC, House, Node, identification, lamp
from support.simulated import world

from hemsd.appliances.events import Settled
from hemsd.appliances.memory import Remembered
from hemsd.simulator.appliances import (
    ApplianceNode,
    Board,
    EcoCute,
    EvDischarger,
    GeneralLighting,
    Temper,
)

ECOCUTE, BOARD, CAR = 0x026B01, 0x028701, 0x027E01


# --- 5: how many properties at once


@pytest.mark.parametrize("beyond", ["prefix", "empty", "silence", "gone"])
@pytest.mark.parametrize("limit", [2, 6, 9, 14])
def test_mistake_05_what_a_node_answers_at_once_is_learnt(
    limit: int, beyond: Literal["prefix", "empty", "silence", "gone"]
) -> None:
    """Whatever it does when more is asked: all its values come, it is never lost, and in the end no more is asked."""
    temper = Temper(at_most=limit, beyond=beyond, gone_s=8.0)
    bench = Link(ApplianceNode(world(), [EcoCute(world())], AT, temper=temper))
    bench.run(7200.0)
    readable = of(bench, ECOCUTE).device.readable
    assert readable > bench.network_known(ECOCUTE).keys() >= {0xB0, 0xB2, 0xC1, 0xE1, 0xEA, 0xE3, 0xD1}
    assert not noted(bench.events, "lost")
    assert bench.largest() > min(limit, 8)  # it was tried
    assert bench.largest(since=3600.0) <= limit
    assert 1 <= (of(bench, ECOCUTE).properties_per_request or 0) <= limit

    remembered = Remembered.restored(json.loads(json.dumps(bench.network.remember())))
    again = Link(ApplianceNode(world(), [EcoCute(world())], AT, temper=temper), remembered=remembered)
    again.run(1800.0)
    assert again.network_known(ECOCUTE)
    assert again.largest() <= limit


# --- 9: how many requests at once


def overlaps(bench: Link, gap_s: float, soft_s: float = 1.0) -> list[tuple[Passed, Passed]]:
    """Requests to one node that went out while another was neither answered, with a gap after that, nor overdue."""
    wrong, last, free_at = [], None, 0.0
    for each in bench.passed():
        if each.to == AT and each.frame.esv in (GET, SETC):
            if last is not None and each.at < free_at:
                wrong.append((last, each))
            last, free_at = each, each.at + soft_s
        elif each.source == AT and each.frame.esv != INF and last is not None and each.frame.tid == last.frame.tid:
            free_at = each.at + gap_s
    return wrong


def test_mistake_09_one_request_at_a_time_and_a_gap() -> None:
    """Ten lamps behind one adapter, all of them found, polled, asked and set: never two requests under way."""
    lamps = [GeneralLighting(world(), instance=number) for number in range(1, 11)]
    bench = Link(ApplianceNode(world(), lamps, AT, temper=Temper(answer_s=0.3, gap_s=0.1)))
    bench.run(60.0)
    ids = [each.id for each in bench.network.appliances()]
    for each in ids[:8]:
        bench.network.query(f"q {each}", each, (0x80, 0xB0))
        bench.network.order(f"c {each}", each, {"on": True})
    events = bench.run(60.0)
    assert [each.outcome for each in events if isinstance(each, Settled)] == ["applied"] * 8
    assert len(bench.asked()) > 100
    assert overlaps(bench, 0.15) == []
    assert len(overlaps(bench, 3.0)) > 20  # the control: with a longer gap there would be overlaps


def test_mistake_09_no_storm_at_start() -> None:
    """Two hundred nodes known from before are asked one after the other, not all in the first second."""
    nodes = {f"192.168.7.{n}": Node({LAMP: lamp()}, identification(n)) for n in range(20, 220)}
    before = House(nodes)
    before.run(120.0)
    draws = iter([n * 0.618034 % 1 for n in range(100_000)])
    after = House(nodes, remembered=Remembered.restored(before.network.remember()), chance=draws.__next__)
    for node in nodes.values():
        node.deaf_to_all = True
        node.asked.clear()
    per_second = []
    for _ in range(30):
        sent = len(after.sent)
        after.run(1.0)
        per_second.append(len(after.sent) - sent)
    assert all(each.online for each in after.network.appliances())
    assert max(per_second) < 200
    busiest = max(len(node.asked) for node in nodes.values())
    assert busiest < 30


# --- 22: select, then read

PAIRS = {0xB2: 0xB3, 0xB4: 0xB5, 0xB6: 0xB7, 0xB9: 0xBA, 0xBB: 0xBC, 0xBD: 0xBE}


def selections(bench: Link, eoj: int = BOARD) -> list[tuple[int, Passed, Passed, Passed]]:
    """Each selection of a list: what was selected, its request, the one to the node before, and the one after."""
    asked = bench.asked()
    found = []
    for before, each, after in zip(asked, asked[1:], asked[2:], strict=False):
        if each.frame.esv == SETC and each.frame.deoj == eoj:
            ((selector, _),) = each.frame.properties
            found.append((selector, each, before, after))
    return found


def busy_board(**wire: Any) -> Link:
    """A board of 70 channels beside a lamp on one node, with a person who keeps asking and setting."""
    devices = [Board(world(), channels=70, lacks=frozenset(range(0xD0, 0xF0))), GeneralLighting(world())]
    bench = Link(ApplianceNode(world(), devices, AT, temper=Temper(answer_s=0.4)), **wire)
    bench.run(300.0)
    for turn in range(120):
        lamp_id, board_id = of(bench, LAMP).id, of(bench, BOARD).id
        bench.network.query(f"q{turn}", lamp_id, (0x80, 0xB0))
        bench.network.query(f"b{turn}", board_id, (0xC6, 0xC0))
        bench.network.order(f"c{turn}", lamp_id, {"on": bool(turn % 2)})
        bench.run(7.3)
    return bench


@pytest.mark.parametrize("loses_one_of", [0, 4])
def test_mistake_22_nothing_between_select_and_read(loses_one_of: int) -> None:
    """The list is the very next thing asked of the node, whoever waits; after a loss it is selected anew."""
    bench = busy_board(loses_one_of=loses_one_of)
    found = selections(bench)
    assert len(found) > 10
    for selector, selected, _, after in found:
        again = after.frame.properties == selected.frame.properties  # its answer was lost
        read = (after.frame.esv, after.frame.properties) == (GET, ((PAIRS[selector], b""),))
        unanswered = bool(loses_one_of) and after.at - selected.at > 0.5  # an answer leaves a gap of 0.2 s
        assert read or unanswered or again, (selected, after)
    asked = bench.asked()
    for before, each in pairwise(asked):
        lists = [epc for epc, _ in each.frame.properties if epc in PAIRS.values() and each.frame.esv == GET]
        if lists and each.frame.deoj == BOARD:
            assert [PAIRS.get(epc) for epc, _ in before.frame.properties] == lists


def test_mistake_22_pages_do_not_mix() -> None:
    """Of more channels than a page holds, each page holds its own."""
    bench = busy_board()
    known = bench.network_known(BOARD)
    pages = {key: edt for key, edt in known.items() if key >> 8 == 0xB7}
    assert {key & 0xFF: (edt[0], edt[1]) for key, edt in pages.items()} == {0: (1, 60), 1: (61, 10)}


def test_mistake_22_a_vehicle_is_looked_at_before_it_is_believed() -> None:
    """C7 and the battery's state are those of the last look (CD = 10): that is asked for once, then C7 read."""
    there = ApplianceNode(world(), [EvDischarger(world())], AT)
    bench = Link(there)
    bench.run(100.0)
    outcome = settled(bench, CAR, confirm_vehicle=True)
    assert bench.writes().count((0xCD, b"\x10")) == 1
    assert outcome.read_back[0xC7] in (b"\x30", b"\x43")
    assert outcome.outcome in ("applied", "unverified")
