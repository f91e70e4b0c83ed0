"""Mistakes of echonet-lite with answers: what belongs to a request, what it is worth, how long to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.link import AT, BESIDE, Link, answered, answers, noted, of, settled, told
from support.scripted import (
    AIR_CONDITIONER,
    CONTROLLER,
    GET,
    GET_RES,
    GET_SNA,
    INF,
    INFC,
    INFC_RES,
    LAMP,
    PROFILE,
    SET_RES,
    SETC,
    US_IPV4,
    US_IPV6,
    Heard,
    House,
    Node,
    air_conditioner,
    appliance,
    datagram,
    identification,
    lamp,
)
from support.simulated import world

from hemsd.appliances.events import Settled
from hemsd.appliances.network import Addresses
from hemsd.simulator.appliances import AirConditioner, ApplianceNode, Temper

OTHER_LAMP, CAR = 0x029002, 0x027E01


def node(**more: Any) -> Node:
    return Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp(), OTHER_LAMP: lamp()}, identification(1), **more)


def house(*nodes: Node) -> House:
    """Its nodes are known."""
    made = House(dict(zip((AT, BESIDE), nodes or (node(),), strict=False)))
    made.run(40.0)
    return made


def simulated(**temper: Any) -> Link:
    made = Link(ApplianceNode(world(), [AirConditioner(world())], AT, temper=Temper(**temper)))
    made.run(100.0)
    return made


# --- 3, 4: what is an answer

SHAMS: dict[str, Callable[[int], tuple[str, bytes]]] = {
    "TID 0": lambda tid: (AT, datagram(0, LAMP, CONTROLLER, GET_RES, (0x80, b"\x30"))),
    "another TID": lambda tid: (AT, datagram(tid ^ 0x4000, LAMP, CONTROLLER, GET_RES, (0x80, b"\x30"))),
    "another host": lambda tid: (BESIDE, datagram(tid, LAMP, CONTROLLER, GET_RES, (0x80, b"\x30"))),
    "another class": lambda tid: (AT, datagram(tid, AIR_CONDITIONER, CONTROLLER, GET_RES, (0x80, b"\x30"))),
    "another instance": lambda tid: (AT, datagram(tid, OTHER_LAMP, CONTROLLER, GET_RES, (0x80, b"\x30"))),
    "a notification": lambda tid: (AT, datagram(tid, LAMP, PROFILE, INF, (0x80, b"\x30"))),
    "a confirmation of a write": lambda tid: (AT, datagram(tid, LAMP, CONTROLLER, SET_RES, (0x80, b"\x30"))),
    "a request": lambda tid: (AT, datagram(tid, LAMP, CONTROLLER, GET, (0x80, b"\x30"))),
    "other properties": lambda tid: (AT, datagram(tid, LAMP, CONTROLLER, GET_RES, (0xB6, b"\x30"))),
}


@pytest.mark.parametrize("sham", SHAMS)
def test_mistake_03_a_tid_alone_is_no_answer(sham: str) -> None:
    """Host, TID, object with its instance, service and properties: where one differs the question stays open."""
    there = node(delay_s=1.0)
    bench = house(there, Node({LAMP: lamp()}, identification(2)))
    bench.run(40.0)
    (lamp_id,) = [each.id for each in bench.network.appliances() if (each.address, each.device.eoj) == (AT, LAMP)]
    bench.network.query("q", lamp_id, (0x80,))
    while (there.asked[-1].deoj, there.asked[-1].properties) != (LAMP, ((0x80, b""),)):
        bench.run(0.05)
    address, frame = SHAMS[sham](there.asked[-1].tid)
    bench.comes(address, frame)
    assert answered(bench.run(0.3)) == {}
    assert answered(bench.run(3.0)) == {0x80: b"\x31"}


def test_mistake_03_a_node_answers_with_several_instances() -> None:
    """One TID, a frame for each instance: what each says is its own, and none of them completes the other's."""
    bench = house()
    there = bench.nodes[AT]
    there.objects[OTHER_LAMP][0x80] = b"\x30"
    plain = there.hear

    def of_all_instances(data: bytes) -> list[bytes]:
        heard = Heard.of(data)
        return (
            plain(data[:9] + bytes(1) + data[10:]) if heard.esv == GET and heard.deoj >> 8 == 0x0290 else plain(data)
        )

    there.hear = of_all_instances  # type: ignore[method-assign]
    for eoj, edt in ((LAMP, b"\x31"), (OTHER_LAMP, b"\x30")):
        assert answers(bench, eoj, 0x80, within_s=5.0) == {0x80: edt}
    bench.run(200.0)
    assert [bench.values(of(bench, eoj).id)[0x80][0] for eoj in (LAMP, OTHER_LAMP)] == [b"\x31", b"\x30"]


def test_mistake_04_our_own_multicast_is_no_answer() -> None:
    """What comes back to us has our TID: neither our requests nor our answers in it are anybody's."""
    there = node(delay_s=1.0)
    bench = house(there)
    bench.network.query("q", of(bench, LAMP).id, (0x80,))
    while (there.asked[-1].deoj, there.asked[-1].properties) != (LAMP, ((0x80, b""),)):
        bench.run(0.05)
    for packet in list(bench.sent):
        bench.comes(US_IPV4, packet.payload, multicast=True)
    bench.comes(US_IPV4, datagram(there.asked[-1].tid, LAMP, CONTROLLER, GET_RES, (0x80, b"\x30")))
    assert answered(bench.run(0.3)) == {}
    assert {each.address for each in bench.network.appliances()} == {AT}
    assert not [each for each in bench.sent if each.address == US_IPV4]
    assert answered(bench.run(3.0)) == {0x80: b"\x31"}


# --- 6, 7: what an answer is worth


def test_mistake_06_a_refusal_holds_data() -> None:
    """Of a Get_SNA that names a part, or lacks a value in between, everything is used and the rest asked again."""
    for temper in ({"at_most": 2}, {"unreadable": frozenset({0xB0})}):
        bench = simulated(**temper)
        found = answers(bench, AIR_CONDITIONER, 0x80, 0xB0, 0xB3, 0xBB)
        assert found.pop(0xB0) == ("refused" if "unreadable" in temper else b"\x42")
        assert found == {0x80: b"\x31", 0xB3: b"\x1a", 0xBB: found[0xBB]}
        assert of(bench, AIR_CONDITIONER).online


def test_mistake_06_a_refusal_with_all_data_is_an_answer() -> None:
    """Each property is judged by its own data, never by the ESV alone."""
    bench = house()
    plain = bench.nodes[AT].hear

    def refusing(data: bytes) -> list[bytes]:
        return [each[:10] + bytes((GET_SNA,)) + each[11:] if each[10] == GET_RES else each for each in plain(data)]

    bench.nodes[AT].hear = refusing  # type: ignore[method-assign]
    assert answers(bench, AIR_CONDITIONER, 0x80, 0xB0, 0xB3) == {0x80: b"\x30", 0xB0: b"\x42", 0xB3: b"\x1a"}


def test_mistake_06_an_answer_in_two_frames() -> None:
    """72 and 52 for one TID: both count, nothing is asked twice for it, and it shows that so many can be asked."""
    bench = simulated(splits=True)
    since = bench.segment.now
    found = answers(bench, AIR_CONDITIONER, 0x80, 0xB0, 0xD7, 0xB3, 0xBB, 0xA0, within_s=5.0)
    assert {epc for epc, edt in found.items() if edt == "refused"} == {0xD7}
    assert len(found) == 6
    asked = [epc for each in bench.asked(since=since) for epc, _ in each.frame.properties]
    assert [asked.count(epc) for epc in found if epc != 0xD7] == [1] * 5
    assert (of(bench, AIR_CONDITIONER).properties_per_request or 0) >= 4


def test_mistake_07_a_set_c_is_refused_with_50() -> None:
    """That is this device's no: the command is rejected at once, not timed out."""
    bench = simulated(refuses_as_set_i=True, unsettable=frozenset({0xB3}))
    outcome = settled(bench, AIR_CONDITIONER, within_s=10.0, xB3="1C")
    assert (outcome.outcome, outcome.error) == ("rejected", "device_refused")


def test_mistake_07_accepted_is_not_done() -> None:
    """71 and nothing happens: it is read back between one and three seconds later, and not told as applied."""
    bench = simulated(without_effect=frozenset({0xB3}))
    since = bench.segment.now
    outcome = settled(bench, AIR_CONDITIONER, xB3="1C")
    assert (outcome.outcome, outcome.read_back[0xB3]) == ("unverified", b"\x1a")
    accepted = [each.at for each in bench.passed(since) if each.frame.esv == SET_RES]
    read_back = [each.at for each in bench.asked(since=accepted[0]) if (0xB3, b"") in each.frame.properties]
    assert len(accepted) == 1
    assert 1.0 <= read_back[0] - accepted[0] <= 3.0
    assert settled(simulated(), AIR_CONDITIONER, xB3="1C").outcome == "applied"


# --- 8: patience


@pytest.mark.parametrize("delay_s", [1.5, 3.0, 9.0, 19.0])
def test_mistake_08_slow_is_not_gone(delay_s: float) -> None:
    """Whoever takes 19 s for every answer is found, read, set, and never counted as lost."""
    bench = House({AT: Node({LAMP: lamp()}, identification(1), delay_s=delay_s)})
    bench.run(900.0)
    assert of(bench, LAMP).known
    assert answers(bench, LAMP, 0x80, within_s=60.0) == {0x80: b"\x31"}
    assert settled(bench, LAMP, within_s=120.0, x80="30").outcome == "applied"
    assert not noted(bench.events, "lost")


def test_mistake_08_others_need_not_wait() -> None:
    """While a node keeps silent about one thing, a command for it goes out within seconds, and others go on."""
    there = node()
    bench = house(there, Node({LAMP: lamp()}, identification(2)))
    there.silent_epcs = frozenset({0xBB})
    bench.network.query("q", of(bench, AIR_CONDITIONER).id, (0xBB,))
    bench.run(0.5)
    (beside,) = [each.id for each in bench.network.appliances() if each.address == BESIDE]
    bench.network.query("other", beside, (0x80,))
    bench.network.order("c", of(bench, AIR_CONDITIONER).id, {"0xB3": "18"})
    assert answered(bench.run(0.5)) == {0x80: b"\x31"}
    bench.run(5.0)
    assert len(there.writes) == 1
    bench.run(15.0)
    assert [each.outcome for each in bench.events if isinstance(each, Settled)] == ["applied"]


# --- 16, 17: notifications


def test_mistake_16_what_is_told_counts_at_once() -> None:
    """A notification is the new state, without a poll in between; and a poll finds in time what nobody told."""
    bench = house()
    bench.comes(AT, bench.nodes[AT].tell(LAMP, (0x80, b"\x30")), multicast=True)
    (one,) = told(bench.run(0.1), LAMP)
    assert (one.source, one.properties) == ("notified", {0x80: b"\x30"})
    for edt, within_s in ((b"\x31", 620.0), (b"\x30", 70.0)):  # once it has not told, it is asked like any other
        bench.nodes[AT].objects[LAMP][0x80] = edt
        bench.run(within_s)
        assert bench.values(of(bench, LAMP).id)[0x80][0] == edt


def test_mistake_16_the_same_notification_is_one_event() -> None:
    """Sent three times by IPv4, each time by IPv6 as well: told once."""
    there = node()
    bench = House({AT: there, "fe80::20": there}, own=Addresses(ipv4=US_IPV4, ipv6=US_IPV6))
    bench.run(100.0)
    frame = there.tell(LAMP, (0x80, b"\x30"))
    for after_s in (0.0, 0.03, 0.3):
        for address in (AT, "fe80::20"):
            bench.comes(address, frame, multicast=True, after_s=after_s)
    assert [each.source for each in told(bench.run(0.5), LAMP)] == ["notified"]


def test_mistake_16_a_notification_before_the_answer_to_the_write() -> None:
    """INF, then Set_Res: no contradiction, nobody's hand, and the command is applied."""
    bench = simulated(announces_first=True)
    since, before = bench.segment.now, len(bench.events)
    assert settled(bench, AIR_CONDITIONER, x80="30", xB3="1C").outcome == "applied"
    services = [each.frame.esv for each in bench.passed(since) if each.source == AT]
    assert services.index(INF) < services.index(SET_RES)
    bench.run(60.0)
    assert settled(bench, AIR_CONDITIONER, mode="heat").outcome == "applied"  # which has a target of its own
    assert bench.network_known(AIR_CONDITIONER)[0xB3] != b"\x1c"
    assert not noted(bench.events[before:], "by_hand")


def test_mistake_17_infc_is_confirmed() -> None:
    """Each time that it comes, to whoever sent it: with its TID and its properties without data."""
    bench = house()
    since = len(bench.sent)
    frame = bench.nodes[AT].tell(LAMP, (0x80, b"\x30"), (0xB6, b"\x42"), esv=INFC)
    for after_s in (0.0, 0.4, 5.0):
        bench.comes(AT, frame, after_s=after_s)
    bench.run(6.0)
    confirmed = [each for each in bench.sent[since:] if Heard.of(each.payload).esv == INFC_RES]
    heard = Heard.of(frame)
    expected = datagram(heard.tid, heard.deoj, LAMP, INFC_RES, (0x80, b""), (0xB6, b""))
    assert [(each.address, each.payload) for each in confirmed] == [(AT, expected)] * 3


MANDATORY = {
    PROFILE: [0x80, 0x82, 0x83, 0x8A, 0x9D, 0x9E, 0x9F, 0xD3, 0xD4, 0xD6, 0xD7],
    CONTROLLER: [0x80, 0x81, 0x82, 0x88, 0x8A, 0x9D, 0x9E, 0x9F],
}


@pytest.mark.parametrize("eoj", MANDATORY, ids="{:06X}".format)
def test_mistake_17_other_controllers_find_us_alive(eoj: int) -> None:
    """Every mandatory property of our two objects is told to whoever asks, at port 3610, also to strangers."""
    bench = House({})
    bench.run(1.0)
    asked = tuple((epc, b"") for epc in MANDATORY[eoj])
    bench.comes("192.168.7.99", datagram(7, CONTROLLER, eoj, GET, *asked))
    bench.run(0.1)
    (answer,) = [
        frame
        for each in bench.sent
        if each.address == "192.168.7.99" and (frame := Heard.of(each.payload)).esv in (GET_RES, GET_SNA)
    ]
    assert (answer.tid, answer.seoj, answer.deoj, answer.esv) == (7, eoj, CONTROLLER, GET_RES)
    assert [epc for epc, edt in answer.properties if edt] == MANDATORY[eoj]


# --- 20: writes


def test_mistake_20_a_write_is_sent_once() -> None:
    """Whether the request or the answer was lost: what became of it is read, and never is it written again."""
    for outward, outcome in ((True, "timeout"), (False, "applied")):
        bench = house()

        def lost(packet: Any, out: bool, outward: bool = outward) -> bool:
            frame = Heard.of(packet.payload)
            return out is outward and frame.esv in (SETC, SET_RES)

        bench.lose = lost
        since = len(bench.sent)
        assert settled(bench, AIR_CONDITIONER, within_s=120.0, xB3="1C").outcome == outcome
        assert [Heard.of(each.payload).esv for each in bench.sent[since:]].count(SETC) == 1
        assert len(bench.nodes[AT].writes) == (0 if outward else 1)


def test_mistake_20_what_the_user_set_is_not_written_over() -> None:
    """A person's change is neither undone by our next command nor by its being read back."""
    bench = house()
    there = bench.nodes[AT]
    bench.comes(AT, there.tell(AIR_CONDITIONER, (0xB3, b"\x1c")), multicast=True)
    assert settled(bench, AIR_CONDITIONER, mode="heat").outcome == "applied"
    there.stubborn = frozenset({0xB3})  # from here on it does what the person said
    assert settled(bench, AIR_CONDITIONER, xB3="14").outcome == "unverified"
    bench.run(300.0)
    assert [written for _, written in there.writes] == [((0xB0, b"\x43"),), ((0xB3, b"\x14"),)]
    assert there.objects[AIR_CONDITIONER][0xB3] == b"\x1c"


@pytest.mark.parametrize("after_s", [1.0, 7.0])
def test_mistake_20_an_old_answer_does_not_undo_a_notification(after_s: float) -> None:
    """What a slow device notifies is newer than its answer to what it was asked before, and than all that follows."""
    there = Node({AIR_CONDITIONER: air_conditioner()}, identification(1), most=1, delay_s=6.0)
    bench = House({AT: there})
    bench.run(900.0)
    begun = len(there.asked)
    while ((0xB0, b""),) not in [each.properties for each in there.asked[begun:]]:
        bench.run(0.5)
    bench.run(after_s)  # after 6 s that is answered, the rest is not
    bench.comes(AT, there.tell(AIR_CONDITIONER, (0xB0, b"\x43")), multicast=True)
    events = bench.run(200.0)
    assert {each.properties[0xB0] for each in told(events, AIR_CONDITIONER) if 0xB0 in each.properties} == {b"\x43"}
    assert len(noted(events, "by_hand")) == 1


def test_mistake_20_what_confirms_a_vehicle_is_sent_once() -> None:
    """CD = 10 makes the charger look whether a vehicle is there: no answer, no repetition, C7 tells the rest."""
    car = appliance({0xC7: b"\x43", 0xDA: b"\x44"}, settable=(0xCD, 0xDA))  # CD cannot be read
    there = Node({CAR: car}, identification(1))
    bench = House({AT: there})
    bench.run(60.0)
    bench.lose = lambda packet, outward: not outward and Heard.of(packet.payload).esv == SET_RES
    assert settled(bench, CAR, within_s=120.0, confirm_vehicle=True).outcome == "applied"
    assert there.writes == [(CAR, ((0xCD, b"\x10"),))]


def test_mistake_20_showing_itself_goes_by_what_was_told_last() -> None:
    """To beep, a device is told again what it is: off, when a person has switched it off since the last poll."""
    bench = house()
    there = bench.nodes[AT]
    bench.comes(AT, there.tell(AIR_CONDITIONER, (0x80, b"\x31")), multicast=True)
    bench.run(0.1)
    bench.network.identify("i", of(bench, AIR_CONDITIONER).id)
    bench.run(30.0)
    assert there.writes
    assert {written for _, written in there.writes} == {((0x80, b"\x31"),)}
