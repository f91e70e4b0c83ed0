"""The meter class, on the answers of real meters and on what no capture holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.echonet import frames

from hemsd.echonet import meter
from hemsd.echonet.frame import decode as decode_frame
from hemsd.echonet.meter import (
    HALF_HOUR,
    MINUTE,
    Currents,
    DayHistory,
    FixedTime,
    HistoryMismatch,
    MeterEPC,
    MinuteEnergy,
    Scale,
    Selection,
    SlotHistory,
)
from hemsd.echonet.objects import METER, SUPER_CLASS, Release
from hemsd.echonet.values import PropertyError, State

MADE_ODD = {0x1301, 0x1302, 0x1303, *range(0x7000, 0x7005)}  # frames whose properties are nonsense on purpose
NOON = datetime(2026, 5, 20, 12, 0)  # by the meter's clock


def decode(epc: int, edt: str) -> Any:
    return meter.decode(epc, bytes.fromhex(edt))


@pytest.mark.parametrize(
    ("epc", "edt", "value"),
    [
        (0x80, "30", True),
        (0x81, "61", "61"),
        (0x82, "00004600", Release("F", 0)),
        (0x88, "42", False),
        (0x8A, "000016", "000016"),
        (0x8D, "463030303030303030303030", "F00000000000"),
        (0x97, "0E1A", time(14, 26)),
        (0x98, "07EA0514", date(2026, 5, 20)),
        (0x9D, "03808188", frozenset({0x80, 0x81, 0x88})),
        (0x9E, "0381E5ED", frozenset({0x81, 0xE5, 0xED})),
        (0xD3, "00000001", 1),
        (0xD7, "06", 6),
        (0xE0, "0000FE73", 65139),
        (0xE7, "00000278", 632),
        (0xE8, "001E0032", Currents(Decimal("3.0"), Decimal("5.0"))),
        (0xEA, "07EA05140E00000000FE68", FixedTime(datetime(2026, 5, 20, 14, 0), 65128)),
        (0xEB, "07EA0518161E0000000016", FixedTime(datetime(2026, 5, 24, 22, 30), 22)),
    ],
)
def test_what_a_real_meter_answered(epc: int, edt: str, value: object) -> None:
    """The properties of the captured first-generation meter (BP35A1, Toshiba)."""
    assert decode(epc, edt) == value


def test_every_captured_property_is_understood() -> None:
    """Nothing that a meter is known to have sent is refused or unknown, beside the data made wrong on purpose."""
    wrong = []
    for frame in map(decode_frame, frames()["plain"]):
        if frame.seoj == METER and frame.tid not in MADE_ODD:
            for told in frame.properties:
                try:
                    if told.edt:
                        meter.describe(told.epc, told.edt)
                except PropertyError as error:
                    wrong.append((frame.tid, told.epc, error.reason))
    assert wrong == [(0x0001, 0xE5, "100 is not in 0 to 99")] * 2


@pytest.mark.parametrize(
    ("epc", "edt", "state"),
    [
        (0xE0, "FFFFFFFE", State.NO_DATA),
        (0xE3, "FFFFFFFE", State.NO_DATA),
        (0xE5, "FF", State.NOT_SELECTED),
        (0xE7, "7FFFFFFE", State.NO_DATA),
        (0xE7, "7FFFFFFF", State.OVERFLOW),
        (0xE7, "80000000", State.UNDERFLOW),
        (0xE8, "00647FFE", Currents(Decimal(10), State.NO_DATA)),
        (0xE8, "7FFF8000", Currents(State.OVERFLOW, State.UNDERFLOW)),
        (0xEA, "FFFFFFFFFFFFFFFFFFFFFE", FixedTime(State.NO_DATA, State.NO_DATA)),
        (0xD0, "07E70C13001E00FFFFFFFE00000016", MinuteEnergy(datetime(2023, 12, 19, 0, 30), State.NO_DATA, 22)),
        (0xED, "FFFFFFFFFFFF01", Selection(State.NOT_SELECTED, 1)),
        (
            0xEC,
            "FFFFFFFFFFFF01FFFFFFFEFFFFFFFE",
            SlotHistory(HALF_HOUR, State.NOT_SELECTED, ((State.NO_DATA, State.NO_DATA),)),
        ),
        (0xE2, "00FF" + "FFFFFFFE" * 48, DayHistory(State.NOT_SELECTED, (State.NO_DATA,) * 48)),
    ],
)
def test_codes_that_are_no_numbers(epc: int, edt: str, state: object) -> None:
    """What stands for no data, overflow, underflow and nothing selected is a state."""
    assert decode(epc, edt) == state


@pytest.mark.parametrize(
    ("epc", "edt"),
    [
        (0xE0, "05F5E100"),  # 100 000 000: nine digits
        (0xE0, "FFFFFFFF"),
        (0xE0, "0000FE"),
        (0xE0, "0000FE7300"),
        (0xE7, ""),
        (0xD3, "FFFFFFFF"),
        (0xD7, "00"),
        (0xD7, "09"),
        (0xE1, "05"),
        (0xE5, "64"),
        (0xE2, "0064" + "00000000" * 48),
        (0xE2, "0000" + "00000000" * 47),
        (0xE2, "0000" + "00000000" * 49),
        (0xEA, "07E70D13001E000000458E"),  # month 13
        (0xEA, "000000000000000000458E"),  # year 0
        (0xEC, "07E70C13001E00"),  # no slots
        (0xEC, "07E70C13001E0D" + "0000000000000000" * 13),
        (0xEC, "07E70C13001E02" + "0000000000000000"),
        (0xEE, "07E70C13001E0B" + "0000000000000000" * 11),
        (0xC0, "00" * 15),
        (0x80, "32"),
        (0xC1, "00"),
    ],
)
def test_what_no_meter_may_send_is_refused(epc: int, edt: str) -> None:
    """Wrong lengths, values out of range and unknown properties raise, with code, data and reason."""
    with pytest.raises(PropertyError) as refused:
        decode(epc, edt)
    assert (refused.value.epc, refused.value.edt) == (epc, bytes.fromhex(edt))
    assert f"{epc:02X}: {refused.value.reason}" in str(refused.value)


def test_energy_is_scaled_by_coefficient_and_unit() -> None:
    """kWh = count x D3 x E1; no D3 means 1; states stay states."""
    assert Scale(unit=Decimal("0.1")).kwh(65139) == Decimal("6513.9")
    assert Scale(20, Decimal("0.0001")).kwh(65139) == Decimal("130.278")
    assert Scale(1, Decimal("10000")).kwh(1) == 10000
    assert Scale(1, Decimal("0.1")).kwh(State.NO_DATA) is State.NO_DATA


def test_there_are_no_kwh_before_the_unit_is_known() -> None:
    """Without E1 a count is worth nothing that could be told."""
    assert Scale().kwh(65139) is None
    assert Scale(1).kwh(65139) is None


@pytest.mark.parametrize(("epc", "step"), [(0xEC, timedelta(minutes=30)), (0xEE, timedelta(minutes=1))])
def test_histories_2_and_3_run_backwards(epc: int, step: timedelta) -> None:
    """The first slot is the selected moment, each further one a step earlier."""
    history = decode(epc, "07EA05140C0003" + "000000030000001300000002FFFFFFFE0000000100000011")
    assert list(history.registers()) == [
        (NOON, 3, 0x13),
        (NOON - step, 2, State.NO_DATA),
        (NOON - 2 * step, 1, 0x11),
    ]


def test_nothing_selected_has_no_registers() -> None:
    """A history that was never asked for has values, but no moments to put them to."""
    assert list(SlotHistory(MINUTE, State.NOT_SELECTED, ((1, 1),)).registers()) == []


def test_a_day_that_was_not_asked_for_is_refused() -> None:
    """The selector is shared: what comes back is compared with what was asked, never labelled by it."""
    history = DayHistory(3, (0,) * 48)
    history.require(3)
    with pytest.raises(HistoryMismatch, match="asked for day 2, the meter answered for day 3"):
        history.require(2)
    with pytest.raises(HistoryMismatch, match="not_selected"):
        DayHistory(State.NOT_SELECTED, (0,) * 48).require(0)


def test_slots_that_were_not_asked_for_are_refused() -> None:
    """Both the moment and the number of slots have to be the ones asked for."""
    history = SlotHistory(HALF_HOUR, NOON, ((1, 2),) * 3)
    history.require(NOON, 3)
    with pytest.raises(HistoryMismatch):
        history.require(NOON + HALF_HOUR, 3)
    with pytest.raises(HistoryMismatch):
        history.require(NOON, 4)
    with pytest.raises(HistoryMismatch, match="not_selected"):
        SlotHistory(HALF_HOUR, State.NOT_SELECTED, ((1, 2),)).require(NOON, 1)


def test_selectors_are_encoded() -> None:
    """E5, ED and EF as the class table has them, and as the meter gives them back."""
    assert meter.encode_history_1_day(0) == b"\0"
    assert meter.encode_history_1_day(99) == b"\x63"
    assert meter.encode_history_2_selector(NOON, 12) == bytes.fromhex("07EA05140C000C")
    assert meter.encode_history_3_selector(NOON + MINUTE, 10) == bytes.fromhex("07EA05140C010A")
    assert decode(0xEF, "07EA05140C010A") == Selection(NOON + MINUTE, 10)


@pytest.mark.parametrize("day", [-1, 100, 255])
def test_days_out_of_range_are_not_encoded(day: int) -> None:
    """Day 0 to 99; FF is what the meter shows, not what may be set."""
    with pytest.raises(ValueError, match="0 to 99"):
        meter.encode_history_1_day(day)


@pytest.mark.parametrize(
    ("at", "count"),
    [
        (NOON, 0),
        (NOON, 13),
        (NOON + MINUTE, 1),
        (NOON + timedelta(seconds=1), 1),
        (NOON.replace(tzinfo=UTC), 1),
    ],
)
def test_slots_out_of_range_are_not_encoded(at: datetime, count: int) -> None:
    """1 to 12 half hours (1 to 10 minutes) back from a moment of the meter's clock that history 2 has."""
    with pytest.raises(ValueError, match=r"."):
        meter.encode_history_2_selector(at, count)
    if at != NOON + MINUTE:
        with pytest.raises(ValueError, match=r"."):
            meter.encode_history_3_selector(at, count)


def test_names_are_stable() -> None:
    """Every property has a name of its own, codes and names agree, and the important ones never change."""
    assert {epc: declared.name for epc, declared in meter.PROPERTIES.items() if epc in set(MeterEPC)} == {
        epc: epc.name.lower() for epc in MeterEPC
    }
    names = [declared.name for declared in meter.PROPERTIES.values()]
    assert len(names) == len(set(names))
    assert set(SUPER_CLASS) < set(meter.PROPERTIES)
    assert (MeterEPC.INSTANTANEOUS_POWER, MeterEPC.CUMULATIVE_ENERGY_IMPORT) == (0xE7, 0xE0)


@pytest.mark.parametrize(
    ("epc", "edt", "value", "unit"),
    [
        (0xE7, "FFFFFF38", -200, "W"),
        (0xE8, "001E7FFE", {"r": 3.0, "t": "no_data"}, "A"),
        (0xE0, "0000FE73", 6513.9, "kWh"),
        (0xE3, "FFFFFFFE", "no_data", "kWh"),
        (0xE1, "01", 0.1, "kWh"),
        (0xEA, "07EA05140E00000000FE68", {"at": "2026-05-20T14:00:00", "energy": 6512.8}, "kWh"),
        (
            0xD0,
            "07EA05140E010000000001FFFFFFFE",
            {"at": "2026-05-20T14:01:00", "import": 0.1, "export": "no_data"},
            "kWh",
        ),
        (0xE2, "000B" + "0000000A" * 48, {"day": 11, "energy": [1.0] * 48}, "kWh"),
        (
            0xEE,
            "07EA05140C0002" + "0000000A00000014" * 2,
            {"at": "2026-05-20T12:00:00", "slots": [{"import": 1.0, "export": 2.0}] * 2},
            "kWh",
        ),
        (0xED, "07EA05140C0002", {"at": "2026-05-20T12:00:00", "count": 2}, ""),
        (0x97, "0E1A", "14:26:00", ""),
        (0x98, "07EA0514", "2026-05-20", ""),
        (0x9E, "0381E5ED", ["81", "E5", "ED"], ""),
        (0x82, "00004600", "F", ""),
        (0x88, "42", False, ""),
        (0xC0, "00" * 16, "00" * 16, ""),
    ],
)
def test_properties_for_the_outside(epc: int, edt: str, value: object, unit: str) -> None:
    """Values as JSON with their unit, energies in kWh where the scale is known."""
    described = meter.describe(epc, bytes.fromhex(edt), Scale(1, Decimal("0.1")))
    assert (described.value, described.unit) == (value, unit)
    assert described.name == meter.PROPERTIES[epc].name


@pytest.mark.parametrize("scale", [None, Scale(), Scale(1)])
def test_energies_without_a_scale_are_counts(scale: Scale | None) -> None:
    """Where a count's worth is not known it stays a count, and says so."""
    described = meter.describe(0xE0, bytes.fromhex("0000FE73"), scale)
    assert (described.value, described.unit) == (65139, "count")
