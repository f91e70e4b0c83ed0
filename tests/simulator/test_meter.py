"""The meter as an ECHONET Lite node: each clause of the Appendix and of the specification that a reader relies on."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.simulator import get

from hemsd.simulator import Household, Meter, Plate

START = datetime(2026, 10, 1, 12, 20, 40)
HOUSEHOLD = Household(7, pv_kw=4)
NO_ENERGY = "FFFFFFFE"


def meter(**options: Any) -> Meter:
    return Meter(HOUSEHOLD, **{"start": START, **options})


def ask(node: Meter, frame: bytes | str, now: float = 0.0) -> str | None:
    """The answer's hexadecimal digits from its ESV on."""
    answer = node.answer(bytes.fromhex(frame) if isinstance(frame, str) else frame, now)
    return None if answer is None else answer.payload[10:].hex().upper()


def value(node: Meter, epc: int, now: float = 0.0) -> bytes:
    """The value of one property."""
    answer = node.answer(get(epc), now)
    assert answer is not None
    assert answer.payload[10:13] == bytes((0x72, 1, epc))
    return answer.payload[14:]


def set_(epc: int, edt: str, esv: str = "61") -> str:
    return f"1081000105FF01028801{esv}01{epc:02X}{len(edt) // 2:02X}{edt}"


def count(at: datetime, *, exported: bool = False, unit_j: int = 360_000) -> int:
    energy = HOUSEHOLD.energy(at)
    assert energy is not None
    return (energy.exported_j if exported else energy.imported_j) // unit_j


def test_get_map_of_a_first_generation_meter_is_the_captured_one() -> None:
    """A Release F meter has the 25 readable properties of the captured Toshiba meter, in bitmap form."""
    assert value(meter(), 0x9F).hex().upper() == "1941414160404000624300414040430202"
    assert value(meter(), 0x9E).hex().upper() == "0381E5ED"
    assert value(meter(), 0x9D).hex().upper() == "03808188"


def test_second_generation_has_the_properties_of_release_r() -> None:
    """C0, D0, EE and EF exist from Release R on, and EF can be written."""
    first, second = meter(), meter(plate=Plate(generation=2))
    assert value(first, 0x82) == b"\0\0F\0"
    assert value(second, 0x82) == b"\0\0R\0"
    for epc in (0xC0, 0xD0, 0xEE, 0xEF):
        assert ask(first, get(epc)) == f"5201{epc:02X}00"
        assert value(second, epc)
    assert 0xEF in value(second, 0x9E)
    assert value(second, 0xC0) == bytes.fromhex("00000016") + b"F0A000012345"


@pytest.mark.parametrize(
    ("epc", "expected"),
    [(0x80, "30"), (0x81, "61"), (0x88, "42"), (0x8A, "000016"), (0xD3, "00000001"), (0xD7, "06"), (0xE1, "01")],
)
def test_fixed_values(epc: int, expected: str) -> None:
    """Status, place, fault, maker, coefficient, digits and unit, as on the plate."""
    assert value(meter(), epc).hex().upper() == expected


def test_serial_number_and_clock() -> None:
    """8D has twelve characters; 97 and 98 are the meter's wall clock, which runs on and may be wrong."""
    node = meter(drift_s=90)
    assert value(node, 0x8D) == b"F0A000012345"
    assert value(node, 0x97) == bytes((12, 22))
    assert value(node, 0x98) == bytes.fromhex("07EA0A01")
    assert value(node, 0x97, 3600 * 12) == bytes((0, 22))
    assert value(node, 0x98, 3600 * 12) == bytes.fromhex("07EA0A02")


def test_power_and_currents() -> None:
    """E7 is signed watts, E8 two signed tenths of amperes."""
    assert struct.unpack(">i", value(meter(), 0xE7)) == (HOUSEHOLD.power_w(START),)
    currents = struct.unpack(">hh", value(meter(), 0xE8))
    assert currents == tuple(round(current * 10) for current in HOUSEHOLD.currents_a(START))


def test_two_wire_supply_has_no_current_on_t() -> None:
    """The T phase of a single-phase two-wire supply is 7FFE."""
    assert value(meter(plate=Plate(two_wire=True)), 0xE8)[2:] == bytes.fromhex("7FFE")


@pytest.mark.parametrize(
    ("unit", "coefficient", "unit_j"),
    [(0x01, 1, 360_000), (0x04, None, 360), (0x0A, 1, 36_000_000), (0x02, 20, 720_000)],
)
def test_registers_count_in_unit_times_coefficient(unit: int, coefficient: int | None, unit_j: int) -> None:
    """kWh = count * D3 * E1; D3 may be absent."""
    node = meter(plate=Plate(unit=unit, coefficient=coefficient, digits=8))
    assert struct.unpack(">I", value(node, 0xE0)) == (count(START, unit_j=unit_j),)
    assert struct.unpack(">I", value(node, 0xE3)) == (count(START, exported=True, unit_j=unit_j),)
    assert (ask(node, get(0xD3)) == "5201D300") == (coefficient is None)


def test_registers_roll_over() -> None:
    """After D7 digits the register starts again at zero."""
    first = 10**6 - count(START) - 1
    node = meter(plate=Plate(first_count=first))
    assert struct.unpack(">I", value(node, 0xE0)) == (999_999,)
    assert struct.unpack(">I", value(node, 0xE0, 12 * 3600))[0] < 1000


def test_meter_without_reverse_direction() -> None:
    """Where nothing is exported E3, E4 and EB do not exist and histories 2 and 3 have no reverse values."""
    node = meter(plate=Plate(generation=2, exports=False))
    for epc in (0xE3, 0xE4, 0xEB):
        assert ask(node, get(epc)) == f"5201{epc:02X}00"
    assert value(node, 0xD0)[11:].hex().upper() == NO_ENERGY


def test_day_history() -> None:
    """E2 and E4 are 48 half-hours forward from the selected day's midnight; the future has no values."""
    node = meter()
    assert value(node, 0xE2).hex().upper() == "00FF" + NO_ENERGY * 48
    midnight = datetime(2026, 10, 1)
    for day in (0, 3):
        assert ask(node, set_(0xE5, f"{day:02X}")) == "7101E500"
        for epc, exported in ((0xE2, False), (0xE4, True)):
            selected, *counts = struct.unpack(">H48I", value(node, epc))
            times = [midnight + timedelta(days=-day, minutes=30 * slot) for slot in range(48)]
            expected = [count(at, exported=exported) if at <= START else 0xFFFFFFFE for at in times]
            assert (selected, counts) == (day, expected)


def test_selected_day_shifts_at_midnight() -> None:
    """The day selector counts from today, so the same selection means another day after midnight."""
    node = meter()
    ask(node, set_(0xE5, "01"))
    before, after = value(node, 0xE2), value(node, 0xE2, 12 * 3600)
    assert before[:2] == after[:2]
    assert struct.unpack_from(">I", after, 2) == (count(datetime(2026, 10, 1)),)
    assert struct.unpack_from(">I", before, 2) == (count(datetime(2026, 9, 30)),)


def test_half_hour_history_runs_backwards() -> None:
    """EC holds n pairs of both directions from the instant selected by ED back in time."""
    node = meter()
    assert value(node, 0xED).hex().upper() == "FFFFFFFFFFFF01"
    assert value(node, 0xEC).hex().upper() == "FFFFFFFFFFFF01" + NO_ENERGY * 2
    assert ask(node, set_(0xED, "07EA0A010C1E03")) == "7101ED00"
    answer = value(node, 0xEC)
    assert answer[:7].hex().upper() == "07EA0A010C1E03"
    pairs = list(struct.iter_unpack(">II", answer[7:]))
    assert pairs[0] == (0xFFFFFFFE, 0xFFFFFFFE)  # 12:30 is still to come
    times = [datetime(2026, 10, 1, 12), datetime(2026, 10, 1, 11, 30)]
    assert pairs[1:] == [(count(at), count(at, exported=True)) for at in times]


def test_minute_history_runs_backwards() -> None:
    """EE is the same by the minute, for any minute of the last hour."""
    node = meter(plate=Plate(generation=2))
    assert ask(node, set_(0xEF, "07EA0A010C0F0A")) == "7101EF00"
    pairs = list(struct.iter_unpack(">II", value(node, 0xEE)[7:]))
    times = [datetime(2026, 10, 1, 12, 15) - timedelta(minutes=back) for back in range(10)]
    assert pairs == [(count(at), count(at, exported=True)) for at in times]
    ask(node, set_(0xEF, "07EA0A010A0F01"))
    assert value(node, 0xEE)[7:].hex().upper() == NO_ENERGY * 2


def test_last_minute_and_last_half_hour() -> None:
    """D0 is the register at the last full minute, EA and EB at the last :00 or :30."""
    node = meter(plate=Plate(generation=2))
    at, half_hour = START.replace(second=0), datetime(2026, 10, 1, 12)
    stamp, forward, reverse = struct.unpack(">7sII", value(node, 0xD0))
    assert stamp == bytes.fromhex("07EA0A010C1400")
    assert (forward, reverse) == (count(at), count(at, exported=True))
    for epc, exported in ((0xEA, False), (0xEB, True)):
        stamp, register = struct.unpack(">7sI", value(node, epc))
        assert stamp == bytes.fromhex("07EA0A010C0000")
        assert register == count(half_hour, exported=exported)


def test_history_before_installation_is_no_data() -> None:
    """What was before the meter came has no values."""
    young = Meter(Household(7, installed=START.date()), start=START)
    ask(young, set_(0xE5, "01"))
    assert value(young, 0xE2).hex().upper() == "0001" + NO_ENERGY * 48


def test_memory_of_99_days() -> None:
    """The 99th day before today is there in E2 and in EC, a half-hour more is not in EC."""
    node = meter()
    oldest = datetime(2026, 10, 1) - timedelta(days=99)
    ask(node, set_(0xE5, "63"))
    assert struct.unpack(">H48I", value(node, 0xE2))[:2] == (99, count(oldest))
    at = datetime(2026, 10, 1, 12, 30) - timedelta(days=99)
    ask(node, set_(0xED, f"{at.year:04X}{at.month:02X}{at.day:02X}0C1E02"))
    assert list(struct.iter_unpack(">II", value(node, 0xEC)[7:])) == [
        (count(at), count(at, exported=True)),
        (0xFFFFFFFE, 0xFFFFFFFE),
    ]


def test_no_data_while_there_was_no_power() -> None:
    """Half-hours within an outage have no values; the registers themselves go on."""
    outage = (datetime(2026, 9, 30, 20, 10), datetime(2026, 9, 30, 21))
    node = meter(plate=Plate(outages=(outage,)))
    ask(node, set_(0xE5, "01"))
    counts = struct.unpack(">H48I", value(node, 0xE2))[1:]
    midnight = datetime(2026, 9, 30)
    times = [midnight + timedelta(minutes=30 * slot) for slot in range(48)]
    assert [at for at, told in zip(times, counts, strict=True) if told == 0xFFFFFFFE] == [
        datetime(2026, 9, 30, 20, 30)
    ]
    assert counts[42] == count(datetime(2026, 9, 30, 21))


def test_another_meter_in_its_place() -> None:
    """It has its own serial number, counts from its own beginning, remembers nothing, and knows no session."""
    node = meter()
    node.join(0.0)
    node.exchange(Plate(serial="F0A000099999", first_count=500, first_reverse_count=30), 0.0)
    assert not node.joined
    assert value(node, 0x8D) == b"F0A000099999"
    assert struct.unpack(">I", value(node, 0xE0)) == (500,)
    assert struct.unpack(">I", value(node, 0xE3)) == (30,)
    (later,) = struct.unpack(">I", value(node, 0xE0, 6 * 3600))
    assert 0 <= later - 500 - count(START + timedelta(hours=6)) + count(START) <= 1
    ask(node, set_(0xE5, "00"))
    assert value(node, 0xE2, 3600)[2:].hex().upper() == (
        NO_ENERGY * 25 + value(node, 0xE2, 3600)[2 + 100 : 2 + 108].hex().upper() + NO_ENERGY * 21
    )


def test_another_unit() -> None:
    """Set up anew, the same meter counts in another unit."""
    node = meter()
    node.object.change_plate(Plate(unit=0x02, digits=8))
    assert value(node, 0xE1) == b"\x02"
    assert struct.unpack(">I", value(node, 0xE0)) == (count(START, unit_j=36_000),)


@pytest.mark.parametrize(
    ("epc", "edt"),
    [
        (0xE5, "64"),  # day 100
        (0xE5, "0001"),
        (0xED, "07EA0A010C0F03"),  # 12:15 is no half-hour
        (0xED, "07EA0A010C1E0D"),  # 13 slots
        (0xED, "07EA0D010C1E01"),  # month 13
        (0xE7, "00000000"),
        (0x83, "00"),
    ],
)
def test_refused_writes_give_the_value_back(epc: int, edt: str) -> None:
    """SetC of what cannot be accepted draws ESV 51 with the value; SetI draws 50."""
    refused = f"01{epc:02X}{len(edt) // 2:02X}{edt}"
    assert ask(meter(), set_(epc, edt)) == "51" + refused
    assert ask(meter(), set_(epc, edt, "60")) == "50" + refused


def test_seti_is_accepted_in_silence() -> None:
    """SetI has no answer when it is accepted, and takes effect."""
    node = meter()
    assert ask(node, set_(0xE5, "02", "60")) is None
    assert value(node, 0xE5) == b"\x02"


def test_partial_get_is_refused_with_what_there_is() -> None:
    """Get_SNA has data for what can be read and PDC 0 for what cannot, in the order asked."""
    answer = ask(meter(), get(0x83, 0xE1))
    assert answer == "52028300E10101"


def test_six_properties_are_answered_and_no_more() -> None:
    """A seventh property is left out and the answer is 52."""
    answer = ask(meter(), get(0x80, 0x81, 0x88, 0xD7, 0xE1, 0xE5, 0xE0))
    assert answer is not None
    assert answer.startswith("5206")


@pytest.mark.parametrize(("esv", "head"), [(0x52, "5202"), (0x72, "7202")])
def test_weak_meter_shortens_its_answer(esv: int, head: str) -> None:
    """Properties beyond the meter's byte limit are silently left out."""
    answer = ask(meter(limit_bytes=20, shortened_esv=esv), get(0xE7, 0xEA, 0xE0))
    assert answer is not None
    assert answer.startswith(head)
    assert answer[4:8] == "E704"
    assert answer[16:20] == "EA0B"


def test_answer_mirrors_the_request() -> None:
    """TID echoed, objects swapped; instance 00 is answered by instance 01."""
    for deoj in ("028801", "028800"):
        answer = meter().answer(bytes.fromhex(f"1081ABCD05FF01{deoj}6201D700"), 0)
        assert answer is not None
        assert answer.payload.hex().upper() == "1081ABCD02880105FF017201D70106"
        assert not answer.multicast


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "1081",
        "1081000105FF010288016201E7",  # ends within a property
        "1081000105FF010288016101E505FF",
        "1082000105FF010288016201E700",
        "1081000105FF010287016201E700",  # another class
        "1081000105FF010288026201E700",  # another instance
        "1081000105FF010288016200",
        "1081000105FF010288016E01E5010101E200",  # SetGet
        "1081000105FF010288017201E700",
        "1081000105FF010288017301E70400000000",
    ],
)
def test_silence(frame: str) -> None:
    """Malformed frames, other objects, SetGet, answers and announcements are met with silence."""
    assert meter().answer(bytes.fromhex(frame), 0) is None


def test_node_profile() -> None:
    """0EF001 tells its instances on Get D6, announces D5 on request only."""
    node = meter()
    assert ask(node, "1081000105FF010EF0016201D600") == "7201D60401028801"
    assert ask(node, "1081000105FF010EF0006201D300") == "7201D303000001"
    assert ask(node, "1081000105FF010EF0016201D500") == "5201D500"
    answer = node.answer(bytes.fromhex("1081000105FF010EF0016301D500"), 0)
    assert answer is not None
    assert answer.payload.hex().upper() == "108100010EF00105FF017301D50401028801"
    assert answer.multicast
    assert ask(node, "1081000105FF010288016301 8300".replace(" ", "")) == "53018300"


def _announced(node: Meter, until: float) -> list[tuple[float, str]]:
    heard = []
    while (due := node.deadline()) is not None and due <= until:
        node.tick(due)
        heard += [(due, telegram.payload.hex().upper()) for telegram in node.outgoing()]
    return heard


def test_announcements_follow_authentication_and_the_half_hours() -> None:
    """D5 to everyone after joining, EA and EB within five minutes after :00 and :30, nothing to nobody."""
    node = meter()
    assert _announced(node, 1800) == []
    node.join(1800)
    (greeted_at, greeting), *half_hours = _announced(node, 1800 + 86_400)
    assert greeted_at - 1800 < 5
    assert greeting == "108100000EF0010EF0017301D50401028801"
    assert len(half_hours) == 48
    for at, payload in half_hours:
        seconds = (node.clock(at) - datetime(2026, 10, 1)).total_seconds() % 1800
        assert 0 < seconds <= 300
        assert payload[8:24] == "02880105FF017302"
        stamp = node.clock(at - seconds)
        assert payload[28:42] == f"{stamp.year:04X}" + "".join(f"{part:02X}" for part in stamp.timetuple()[1:6])
        assert payload[50:54] == "EB0B"
    node.leave()
    assert _announced(node, 1800 + 2 * 86_400) == []


def test_infc_is_repeated_three_times() -> None:
    """A meter that announces by INFC and hears no INFC_Res says the same again, with the same TID."""
    node = meter(confirmed=True)
    node.join(0)
    tries = [payload for _, payload in _announced(node, 1200) if payload[20:22] == "74"]
    assert len(tries) == 3
    assert len(set(tries)) == 1


def test_confirmed_infc_is_not_repeated() -> None:
    """INFC_Res ends the repetition."""
    node = meter(confirmed=True)
    node.join(0)
    while True:
        due = node.deadline()
        assert due is not None
        node.tick(due)
        frames = [telegram.payload for telegram in node.outgoing()]
        if frames and frames[0][10] == 0x74:
            break
    node.answer(frames[0][:4] + bytes.fromhex("05FF010288017A02EA00EB00"), due)
    assert _announced(node, due + 600) == []


def test_state_changes_are_announced() -> None:
    """A change of 88 is announced to the controller and read back."""
    node = meter()
    node.join(0)
    _announced(node, 10)
    node.change(0x88, b"\x41", 10)
    (announced,) = node.outgoing()
    assert announced.payload[4:].hex().upper() == "02880105FF0173018801" + "41"
    assert value(node, 0x88) == b"\x41"
