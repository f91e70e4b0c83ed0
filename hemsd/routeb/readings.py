"""What a meter's answers mean as messages: live values, registers at the half-hour, clock and identity. Pure.

kWh go to float by way of Decimal, so that a register shows the digits that the meter has.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, cast

from hemsd.echonet.exchange import Missing
from hemsd.echonet.meter import Count, Currents, FixedTime, MeterEPC, Scale, SlotHistory, decode
from hemsd.echonet.values import PropertyError, State
from hemsd.hub.messages import MeterDay, MeterIdentity, MeterInterval, MeterMinute, MeterReading

JST_AHEAD = timedelta(hours=9)
JST = timezone(JST_AHEAD)
MIDNIGHT = time()
NAME_LENGTH = 10  # base 32 digits of a meter's name

NO_DATA = State.NO_DATA
NOTHING = (State, Missing)  # in the place of a value; a union would be made anew each time
Answers = Mapping[int, bytes | Missing]

LIVE: Mapping[int, tuple[str, ...]] = {
    MeterEPC.INSTANTANEOUS_POWER: ("power_w",),
    MeterEPC.INSTANTANEOUS_CURRENT: ("current_r_a", "current_t_a"),
    MeterEPC.CUMULATIVE_ENERGY_IMPORT: ("energy_import_kwh",),
    MeterEPC.CUMULATIVE_ENERGY_EXPORT: ("energy_export_kwh",),
}
ENERGY = frozenset({MeterEPC.CUMULATIVE_ENERGY_IMPORT, MeterEPC.CUMULATIVE_ENERGY_EXPORT})
HALF_HOUR = (MeterEPC.HALF_HOUR_ENERGY_IMPORT, MeterEPC.HALF_HOUR_ENERGY_EXPORT)
DAY = (MeterEPC.HISTORY_1_IMPORT, MeterEPC.HISTORY_1_EXPORT)

REGISTERS = ("energy_import_kwh", "energy_export_kwh", "import_count", "export_count")  # of a MeterInterval

Source = Literal["notified", "read"]
Told = Count | Missing | None
"""A count, or why there is none; None: it was not asked for."""

Row = tuple[datetime, Told, Told]
"""A moment in UTC, and the import and the export register as they stood then."""

Directions = tuple[tuple[Count, ...], tuple[Count, ...] | Missing]
"""The import and the export register at 00:00 of a day and each half-hour after it; or why there is no export."""


class Registers:
    """What the counts of one meter mean: `count_kwh` (None while E1 is not known) and `digits` (D7) of each."""

    def __init__(self, meter: str = "", count_kwh: Decimal | None = None, digits: int | None = None) -> None:
        self.meter = meter
        self.count_kwh = count_kwh
        self.digits = digits
        self._up, self._down = (0, 1) if count_kwh is None else count_kwh.as_integer_ratio()

    def interval(self, row: Row, source: Source) -> MeterInterval:
        """Both registers at a half-hour."""
        end, forward, reverse = row
        states: dict[str, str] = {}
        imported = exported = import_count = export_count = None
        if isinstance(forward, int):
            import_count, imported = forward, self._kwh(forward)
        if imported is None and forward is not None:
            states["energy_import_kwh"] = _why(forward)
        if isinstance(reverse, int):
            export_count, exported = reverse, self._kwh(reverse)
        if exported is None and reverse is not None:
            states["energy_export_kwh"] = _why(reverse)
        return MeterInterval(
            meter=self.meter,
            end=end,
            energy_import_kwh=imported,
            energy_export_kwh=exported,
            import_count=import_count,
            export_count=export_count,
            count_kwh=self.count_kwh,
            digits=self.digits,
            source=source,
            states=states,
        )

    def day(self, day: date, told: Directions, slots: int | None) -> MeterDay:
        """Both registers at the first half-hours of a day, so many, or as many as were told."""
        imported, exported = told
        states: dict[str, str] = {}
        export_counts: tuple[int | None, ...] = ()
        if isinstance(exported, tuple):
            export_counts = _counts(exported[:slots])
        else:
            states["energy_export_kwh"] = exported.value
        return MeterDay(
            meter=self.meter,
            first_at=datetime.combine(day, MIDNIGHT, UTC) - JST_AHEAD,
            import_counts=_counts(imported[:slots]),
            export_counts=export_counts,
            count_kwh=self.count_kwh,
            digits=self.digits,
            states=states,
        )

    def minute(self, row: Row) -> MeterMinute:
        """Both registers at a full minute."""
        at, *told = row
        imported, exported = [self._kwh(each) if isinstance(each, int) else None for each in told]
        return MeterMinute(meter=self.meter, at=at, energy_import_kwh=imported, energy_export_kwh=exported)

    def _kwh(self, count: int) -> float | None:
        """The division of integers rounds like the decimal number would, at a tenth of the cost."""
        return None if self.count_kwh is None else count * self._up / self._down


def _why(told: Count | Missing) -> str:
    """Why there are no kWh."""
    return "unknown_unit" if isinstance(told, int) else told.value


def live(answers: Answers, scale: Scale, meter: str, at: datetime) -> MeterReading:
    """The reading that E7, E8, E0 and E3, as far as they were asked, make; kWh only once their unit is known."""
    values: dict[str, Any] = {}
    states: dict[str, str] = {}
    for epc, answer in answers.items():
        if (names := LIVE.get(epc)) is None:
            continue  # the unit comes along
        value = value_of(epc, answer)
        if epc in ENERGY:
            value = scale.kwh(value)
        told = (value.r, value.t) if isinstance(value, Currents) else (value,) * len(names)
        for name, each in zip(names, told, strict=True):
            _put(name, each, values, states)
    return MeterReading(meter=meter, measured_at=at, states=states, **values)


def interval(answers: Answers, registers: Registers, source: Source) -> MeterInterval | None:
    """The registers of EA and EB at one boundary; None where no boundary was told.

    Where the two tell different boundaries, the earlier one's value is not of the interval and is left out.
    """
    told = [value_of(epc, answers[epc]) if epc in answers else None for epc in HALF_HOUR]
    ends = [value.at for value in told if isinstance(value, FixedTime) and isinstance(value.at, datetime)]
    if not ends:
        return None
    end = max(ends)
    forward, reverse = [_count_at(end, value) for value in told]
    return registers.interval((utc(end), forward, reverse), source)


def _count_at(end: datetime, value: FixedTime | State | Missing | None) -> Told:
    if isinstance(value, FixedTime):
        return value.count if value.at == end else State.NO_DATA
    return value


def _counts(told: tuple[Count, ...]) -> tuple[int | None, ...]:
    """Those that there are; None in the place of a state."""
    try:
        sum(cast("tuple[int, ...]", told))  # the cheapest look at whether all are numbers
    except TypeError:
        return tuple([each if isinstance(each, int) else None for each in told])
    return cast("tuple[int, ...]", told)


def forward(history: SlotHistory) -> Directions:
    """EC in the order of time."""
    imported, exported = zip(*reversed(history.slots), strict=True)
    return imported, exported


def minute_rows(history: SlotHistory) -> list[Row]:
    """EE, the latest first."""
    return [(utc(at), forward, reverse) for at, forward, reverse in history.registers()]


def _put(name: str, value: object, values: dict[str, Any], states: dict[str, str]) -> None:
    if isinstance(value, NOTHING):
        states[name] = value.value
    elif value is None:
        states[name] = "unknown_unit"
    else:
        values[name] = float(value) if isinstance(value, Decimal) else value


def value_of(epc: int, answer: bytes | Missing) -> Any:
    """The value of an answer, or why there is none; data that the property cannot have counts as no data."""
    if not isinstance(answer, bytes):
        return answer
    try:
        return decode(epc, answer)
    except PropertyError:
        return NO_DATA


def utc(wall: datetime) -> datetime:
    """A moment on the meter's wall clock, which is Japan's, as aware UTC."""
    return datetime.combine(wall, wall.time(), UTC) - JST_AHEAD


def wall_clock(at: datetime) -> datetime:
    """An aware moment as the meter's wall clock shows it."""
    return at.astimezone(JST).replace(tzinfo=None)


def clock(answers: Answers) -> datetime | None:
    """The meter's own time (EPC 98 and 97), to the minute; None where it has not told."""
    day = value_of(MeterEPC.CLOCK_DATE, answers[MeterEPC.CLOCK_DATE])
    at = value_of(MeterEPC.CLOCK_TIME, answers[MeterEPC.CLOCK_TIME])
    return utc(datetime.combine(day, at)) if isinstance(day, date) and isinstance(at, time) else None


def identity(answers: Answers, properties: Collection[int], mac: str) -> MeterIdentity:
    """Who the meter is. Its name is a hash of maker and serial number, or of C0, or of its MAC address."""

    def told(epc: int) -> Any:
        value = value_of(epc, answers.get(epc, Missing.ABSENT))
        return None if isinstance(value, NOTHING) else value

    maker, serial = told(MeterEPC.MAKER_CODE), told(MeterEPC.SERIAL_NUMBER)
    release, route_b_id = told(MeterEPC.STANDARD_VERSION), told(MeterEPC.ROUTE_B_ID)
    named_by = f"{maker}:{serial}" if serial else route_b_id or mac
    return MeterIdentity(
        meter=base64.b32encode(hashlib.sha256(named_by.encode()).digest()).decode()[:NAME_LENGTH].lower(),
        maker=maker,
        serial=serial,
        release=None if release is None else release.letter,
        generation=2 if {MeterEPC.ROUTE_B_ID, MeterEPC.MINUTE_ENERGY} & set(properties) else 1,
    )
