"""Mistakes of echonet-lite with values: what is no number, what a count is worth, what is order and what state."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from support.history import at
from support.link import AT, Link, answers, of, settled, spoken, told
from support.scripted import (
    BATTERY,
    BOARD,
    CONTROLLER,
    ECOCUTE,
    GET_RES,
    INF,
    LAMP,
    Heard,
    House,
    Node,
    appliance,
    battery,
    datagram,
    identification,
    lamp,
)
from support.simulated import world

from hemsd.appliances.events import Answered
from hemsd.appliances.telling import Believed, Teller
from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Scalar
from hemsd.echonet.values import State
from hemsd.history.counters import Counter, Reading, Step
from hemsd.hub.messages import ApplianceState
from hemsd.simulator.appliances import ApplianceNode, Battery, Board, EcoCute

FLOOR_HEATER, AIR_CONDITIONER, SUB_METER, PHOTOVOLTAICS, CAR = 0x027B01, 0x013001, 0x028D01, 0x027901, 0x027E01


def having(eoj: int, edts: str, settable: tuple[int, ...] = ()) -> House:
    """A house with one device that tells these, which are known."""
    told_by = {int(epc, 16): bytes.fromhex(edt) for epc, edt in (each.split("=") for each in edts.split())}
    bench = House({AT: Node({eoj: appliance(told_by, settable)}, identification(1))})
    bench.run(120.0)
    return bench


def published(bench: House, eoj: int) -> ApplianceState:
    """The message that the rest of the house gets of it."""
    last = told(bench.events, eoj)[-1]
    teller = Teller("living", (), lambda at: datetime.fromtimestamp(at, UTC))
    return teller.state(last.appliance, Believed(last.known, last.ages), {})


# --- 12: sentinels

NO_NUMBERS: list[tuple[int, str, int, str, str]] = [
    # object, what it tells, property, word of the common language, what it is instead of a number
    (AIR_CONDITIONER, "BE=7E", 0xBE, "outdoor_temperature_c", "no_data"),
    (AIR_CONDITIONER, "BB=7E", 0xBB, "room_temperature_c", "no_data"),
    (AIR_CONDITIONER, "BB=80", 0xBB, "room_temperature_c", "underflow"),
    (AIR_CONDITIONER, "BB=7F", 0xBB, "room_temperature_c", "overflow"),
    (AIR_CONDITIONER, "BA=FD", 0xBA, "humidity_percent", "no_data"),
    (AIR_CONDITIONER, "B3=FD", 0xB3, "target_temperature_c", "no_data"),
    (SUB_METER, "E7=7FFFFFFE", 0xE7, "power_w", "no_data"),
    (SUB_METER, "E1=FFFFFFFE D4=02", 0xE1, "energy_import_kwh", "no_data"),
    (PHOTOVOLTAICS, "E0=FFFF", 0xE0, "power_w", "overflow"),
    (PHOTOVOLTAICS, "E1=FFFFFFFF", 0xE1, "energy_export_kwh", "overflow"),
    (AIR_CONDITIONER, "84=FFFE", 0x84, "power_w", "underflow"),
]


@pytest.mark.parametrize(("eoj", "edts", "epc", "word", "instead"), NO_NUMBERS, ids=[each[1] for each in NO_NUMBERS])
def test_mistake_12_no_data_is_no_number(eoj: int, edts: str, epc: int, word: str, instead: str) -> None:
    """126 degrees outdoors, 65 kW of sun, 42949672 kWh: a state is told, and no value by the name of the word."""
    bench = having(eoj, edts)
    state = published(bench, eoj)
    name = properties_of(of(bench, eoj).device)[epc].name
    shown = state.properties[name]
    assert (shown.value, shown.state) == (None, instead)
    assert word not in state.values


def test_mistake_12_a_current_of_one_phase_is_none() -> None:
    """7FFE: a supply of two wires has no T phase; the R phase is a number all the same."""
    state = published(having(SUB_METER, "E8=00327FFE"), SUB_METER)
    assert state.values["current_r_a"] == 5.0
    assert "current_t_a" not in state.values


AUTOMATIC: list[tuple[int, str, dict[str, Scalar]]] = [
    (FLOOR_HEATER, "E0=41", {"mode": "auto"}),  # not 65 degrees
    (FLOOR_HEATER, "E0=19", {"mode": "manual", "target_temperature_c": 25}),
    (AIR_CONDITIONER, "A0=41", {"fan": "auto"}),  # not level 17
    (AIR_CONDITIONER, "A0=38", {"fan": 8}),
]


@pytest.mark.parametrize(("eoj", "edts", "values"), AUTOMATIC, ids=[f"{each[0]:06X} {each[1]}" for each in AUTOMATIC])
def test_mistake_12_automatic_is_a_state_among_numbers(eoj: int, edts: str, values: dict[str, Scalar]) -> None:
    """41 stands in the range of the numbers, and is told, and set, as what it means."""
    bench = having(eoj, edts, settable=(0xE0, 0xA0))
    state = published(bench, eoj)
    assert {
        word: state.values.get(word) for word in ("mode", "target_temperature_c", "fan") if word in state.values
    } == values
    for word, value in values.items():
        if value == "auto":
            assert settled(bench, eoj, **{word: "auto"}).outcome == "applied"
            assert {edt for _, written in bench.nodes[AT].writes for _, edt in written} == {b"\x41"}


# --- 13: what a count is worth

WORTH: list[tuple[int, str, int, str]] = [
    # object, what it tells, register, kWh or cubic metres
    (SUB_METER, "E1=000003E8 D4=01 D3=00000001", 0xE1, "100.0"),
    (SUB_METER, "E1=000003E8 D4=02 D3=0000000A", 0xE1, "100.00"),
    (SUB_METER, "E1=000003E8 D4=0B D3=00000001", 0xE1, "100000"),
    (0x028A01, "E2=07EA0B1A07000000000064 D3=00000002 D4=01 E6=02", 0xE2, "0.2"),
    (0x028D01, "E1=000003E8 D3=00000002 D4=03", 0xE1, "2.000"),
    (0x028E01, "E0=000003E8 D4=02", 0xE0, "10.00"),
    (BOARD, "C0=000003E8 C2=03", 0xC0, "1.000"),
    (0x028001, "E0=000003E8 E2=01", 0xE0, "100.0"),
    (0x028101, "E0=000003E8 E1=02", 0xE0, "10.00"),
    (0x028201, "E0=000003E8", 0xE0, "1.000"),
]


@pytest.mark.parametrize(("eoj", "edts", "epc", "worth"), WORTH, ids=[f"{each[0]:06X} {each[1]}" for each in WORTH])
def test_mistake_13_each_class_scales_by_properties_of_its_own(eoj: int, edts: str, epc: int, worth: str) -> None:
    """D3 and D4 of the sub-meter, E6, D3 and D4 of the big meter, C2, E2: they are read first, and heeded."""
    bench = having(eoj, edts)
    properties = properties_of(of(bench, eoj).device)
    known = bench.values(of(bench, eoj).id)
    value = properties[epc].decode(known[epc][0], {key: edt for key, (edt, _, _) in known.items()})
    if isinstance(value, dict):
        (value,) = [each for each in value.values() if isinstance(each, Decimal)]
    assert value == Decimal(worth)


@pytest.mark.parametrize(("eoj", "edts", "epc"), [(each[0], each[1], each[2]) for each in WORTH[:-1]])
def test_mistake_13_without_its_unit_a_count_is_nothing(eoj: int, edts: str, epc: int) -> None:
    """The device does not answer for the unit: no kWh, and none of 0.1, are told in its place."""
    told_by = {int(each, 16): bytes.fromhex(edt) for each, edt in (pair.split("=") for pair in edts.split())}
    units = frozenset(told_by.keys() - {epc})
    bench = House({AT: Node({eoj: appliance(told_by)}, identification(1), silent_epcs=units)})
    bench.run(900.0)
    assert isinstance(bench.values(of(bench, eoj).id).get(epc, (b"", 0, ""))[0], bytes)
    state = published(bench, eoj)
    assert not {word for word in state.values if word.endswith(("_kwh", "_m3"))}
    shown = state.properties[properties_of(of(bench, eoj).device)[epc].name]
    said = list(shown.value.values()) if isinstance(shown.value, dict) else [shown.state]
    assert said[-1] == State.UNKNOWN_UNIT.value


def test_mistake_13_a_register_begins_again_and_a_meter_is_replaced() -> None:
    """At 10^D7 it goes on from zero; a fall for no reason, or another meter, never makes the total fall.

    The registers of the house are those of the meter on Route B: tests/history/test_counters.py has every step, and
    tests/routeb/test_backfill.py the way there: test_a_register_that_begins_again, test_a_meter_exchanged_meanwhile.
    """
    counter, totals = Counter(), []
    shown = [(1, 9_990), (1, 4), (1, 2), (1, 6), (2, 500), (2, 510)]
    steps = []
    for slot, (meter, raw) in enumerate(shown):
        steps.append(counter.add(Reading(at(slot), meter, raw, 1_000, 4))[0])
        totals.append(counter.total)
    assert steps == [Step.COUNTED, Step.WRAPPED, Step.REGRESSED, Step.RESUMED, Step.REPLACED, Step.COUNTED]
    assert totals == sorted(totals)
    assert totals[1] - totals[0] == 14_000
    assert totals[-1] - totals[-2] == 10_000


# --- 14: history


def test_mistake_14_a_list_is_labelled_by_what_it_says() -> None:
    """Another controller selects channels 3 and 4 between our select and our read: theirs is what is told.

    The days of a meter (E5, ED, EF) are read on Route B, where the echo of what was asked, the direction of time, no
    data and the meter's own clock are proved by tests/routeb/test_backfill.py: test_never_a_wrong_pair, test_minutes,
    test_another_controller_moves_the_selector, test_days_that_are_empty and test_the_date_is_never_wrong.
    """
    there = ApplianceNode(world(), [Board(world(), channels=4)], AT)
    bench = Link(there)
    bench.run(30.0)
    board = there.device(BOARD)
    honest = board.set

    def contested(epc: int, edt: bytes) -> bool:
        return honest(epc, b"\x03\x02" if epc == 0xB6 else edt)

    board.set = contested  # type: ignore[method-assign]
    bench.run(200.0)
    known = bench.network_known(BOARD)
    (pages,) = [edt for key, edt in known.items() if key >> 8 == 0xB7]
    assert pages[:2] == b"\x03\x02"
    value = properties_of(of(bench, BOARD).device)[0xB7].decode(pages, known)
    assert isinstance(value, dict)
    assert [each for each in value.values() if isinstance(each, int)][:2] == [3, 2]


def test_mistake_14_a_slot_without_data_is_not_zero() -> None:
    """A day of a board: 48 slots forward from midnight, those that are not there yet have no number."""
    slots = [100 + slot for slot in range(20)]
    history = b"\x00\x00" + b"".join(slot.to_bytes(4, "big") for slot in slots) + b"\xff\xff\xff\xfe" * 28
    bench = having(BOARD, f"C2=02 C5=00 C3={history.hex()}")
    found = answers(bench, BOARD, 0xC3)[0xC3]
    assert isinstance(found, bytes)
    value = properties_of(of(bench, BOARD).device)[0xC3].decode(found, {0xC2: b"\x02"})
    (day, energies) = value.values()
    assert day == 0
    assert energies == [Decimal(slot) / 100 for slot in slots] + [State.NO_DATA] * 28


def test_mistake_14_nobody_elses_selection_is_disturbed() -> None:
    """Unasked we select no day, on a board or a sub-meter, and poll no history."""
    for eoj, edts, selector, logs in (
        (BOARD, f"C0=00000001 C2=02 C5=03 C3={'00' * 194}", 0xC5, {0xC3, 0xC4}),
        (0x028D01, f"E0=03 E1=00000001 E2={'00' * 194} D4=02", 0xE0, {0xE2, 0xE4}),
    ):
        bench = having(eoj, edts, settable=(selector,))
        bench.run(1800.0)
        assert bench.nodes[AT].writes == []
        polled = {epc for each in bench.nodes[AT].asked if each.deoj == eoj for epc, _ in each.properties}
        assert not polled & logs


# --- 18: what is not known


def test_mistake_18_unknown_classes_and_properties_are_shown_raw() -> None:
    """0F02 of some maker, a property that no class has: known, told as bytes in hexadecimal, and all goes on."""
    strange = appliance({0xF1: b"\x12\x34", 0xC9: b"\x07"})
    bench = House({AT: Node({0x0F0201: strange, LAMP: lamp() | {0xFE: b"\1"}}, identification(1))})
    bench.run(120.0)
    assert all(each.known and each.online for each in bench.network.appliances())
    bench.network.query("q", of(bench, 0x0F0201).id, (0xF1, 0xC9, 0x80))
    teller = Teller("living", (), lambda at: datetime.fromtimestamp(at, UTC))
    found = [teller.answer(each, {}) for each in bench.run(5.0) if isinstance(each, Answered)]
    assert {each.epc: (each.edt, each.name, each.error) for each in found} == {
        0xF1: ("1234", "", ""),
        0xC9: ("07", "", ""),
        0x80: ("30", "operation_status", ""),
    }
    for eoj in (0x0F0201, LAMP):
        bench.comes(AT, bench.nodes[AT].tell(eoj, (0xF1, b"\x56"), (0x80, b"\x30")), multicast=True)
        assert told(bench.run(0.1), eoj)[0].properties == {0xF1: b"\x56", 0x80: b"\x30"}


ON = datagram(1, LAMP, 0x0EF001, INF, (0x80, b"\x30"))  # what would be believed, if it were whole

BROKEN = {
    "nothing": b"",
    "half a header": ON[:9],
    "no properties": datagram(1, LAMP, CONTROLLER, GET_RES),
    "a property cut off": ON[:-2] + b"\x02\x30",
    "more properties than there are": ON[:11] + b"\xff" + ON[12:],
    "format 2": b"\x10\x82" + ON[2:],
    "another format": b"\x10\x80" + ON[2:],
    "classic ECHONET": b"\x80\x81" + ON[2:],
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "unknown service": ON[:10] + b"\x7f" + ON[11:],
    "reserved service": ON[:10] + b"\x70" + ON[11:],
    "an answer to nothing, and more bytes": datagram(1, LAMP, CONTROLLER, GET_RES, (0x80, b"\x30")) + b"\0\0",
    "a list that is none": datagram(1, 0x0EF001, 0x0EF001, INF, (0xD5, b"\x54\x01")),
    "an instance list of 255": datagram(1, 0x0EF001, 0x0EF001, INF, (0xD5, b"\xff" + bytes(254))),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("sender", [AT, "192.168.7.99"])
def test_mistake_18_malformed_frames_change_nothing(what: str, sender: str) -> None:
    """From a known node and from a stranger: silence in answer, no value, and the next frame is heard as ever."""
    bench = House({AT: Node({LAMP: lamp()}, identification(1))})
    bench.run(60.0)
    before = dict(bench.values(of(bench, LAMP).id))
    bench.comes(sender, BROKEN[what], multicast=True)
    bench.comes(sender, BROKEN[what])
    assert told(bench.run(0.1), LAMP) == []
    assert {epc: edt for epc, (edt, _, _) in before.items()} == {
        epc: edt for epc, (edt, _, _) in bench.values(of(bench, LAMP).id).items()
    }
    assert not [
        each
        for each in bench.sent
        if Heard.of(each.payload).esv in (0x50, 0x51, 0x52, 0x53) and each.address == sender
    ]
    bench.comes(AT, bench.nodes[AT].tell(LAMP, (0x80, b"\x30")), multicast=True)
    assert told(bench.run(0.1), LAMP)[0].properties == {0x80: b"\x30"}
    assert answers(bench, LAMP, 0x80) == {0x80: b"\x30"}


# --- 21: orders and states


def test_mistake_21_a_battery_does_not_do_what_it_is_told() -> None:
    """DA = charge, and it stands by, being full: `mode` is what it was told, `activity` (CF) what it does."""
    full = {**battery(), 0xDA: b"\x42", 0xCF: b"\x44", 0xD3: bytes(4), 0xE4: b"\x64"}
    bench = House({AT: Node({BATTERY: full}, identification(1))})
    bench.run(60.0)
    values = published(bench, BATTERY).values
    assert (values["mode"], values["activity"], values["power_w"]) == ("charge", "standby", 0)


def test_mistake_21_a_vehicles_state_is_e1() -> None:
    """Of a charger that discharges too likewise: DA ordered, E1 done."""
    values = published(having(CAR, "DA=43 E1=44 D3=00000000"), CAR).values
    assert (values["mode"], values["activity"]) == ("discharge", "standby")


def test_mistake_21_power_is_ordered_with_its_method_and_within_limits() -> None:
    """Watts count only with the method that heeds them: C1 = 03, EB, and then DA; outside of C8 is refused."""
    bench = Link(ApplianceNode(world(), [Battery(world())], AT))
    bench.run(120.0)
    outcome = settled(bench, BATTERY, within_s=120.0, mode="charge", charge_power_w=1500)
    assert outcome.outcome == "applied"
    assert bench.writes() == [(0xC1, b"\x03"), (0xEB, (1500).to_bytes(4, "big")), (0xDA, b"\x42")]
    bench.run(60.0)
    assert 1000 < float(str(spoken(bench.events, BATTERY)["power_w"])) <= 1600
    refused = settled(bench, BATTERY, charge_power_w=50)  # C8: at least 100
    assert (refused.outcome, refused.error) == ("refused", "out_of_range")
    assert len(bench.writes()) == 3


def test_mistake_21_a_water_heater_is_not_switched_off_by_80() -> None:
    """80 stays on in many of them: off is B0 = 43, whether it heats is B2, and on is automatic again."""
    there = ApplianceNode(world(), [EcoCute(world())], AT)
    bench = Link(there)
    bench.run(120.0)
    assert settled(bench, ECOCUTE, on=False).outcome == "applied"
    assert settled(bench, ECOCUTE, on=True).outcome == "applied"
    assert bench.writes() == [(0xB0, b"\x43"), (0xB0, b"\x41")]
    there.by_hand(there.device(ECOCUTE), 0xB0, b"\x43")
    bench.segment.poke(there)
    bench.run(60.0)
    assert {"on": False, "mode": "stop", "heating": False}.items() <= spoken(bench.events, ECOCUTE).items()
    assert bench.network_known(ECOCUTE)[0x80] == b"\x30"
