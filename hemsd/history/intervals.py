"""Half-hours as they are kept, generic in their registers, and the messages they come from and become. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

from msgspec import Struct

from hemsd.history.calendar import HALF_HOUR_S, SLOTS, seconds, slot_of, utc
from hemsd.history.counters import TICKS_PER_KWH
from hemsd.history.days import FIRST_STATE, SOURCES, STATES, Slot
from hemsd.hub.messages import MeterDay, MeterInterval

IMPORT, EXPORT = "import", "export"
FIELDS: Mapping[str, tuple[str, str]] = {
    IMPORT: ("energy_import_kwh", "import_count"),
    EXPORT: ("energy_export_kwh", "export_count"),
}
EARLIEST, LATEST = 1_262_304_000, 4_102_444_800  # 2010 and 2100: what a meter's clock may tell
LARGEST_COUNT = 10**12  # ten thousand times what 8 digits hold
LARGEST_TICKS = 10**8  # 10 000 kWh in one count, the coarsest unit of EPC E1

Source = Literal["notified", "read", "backfill"]
Column = tuple[tuple[int | None, ...], str | None]
"""The counts of a register, as many of each that is told, and why there is none where there is none."""


class Scale(NamedTuple):
    """What a count is worth."""

    ticks: int  # of 0.0001 kWh
    digits: int = 0  # of the register, 0 where it did not tell


class Run(Struct, frozen=True):
    """The registers of a meter at one or more boundaries of a day, one after the other.

    Of each register there is for each boundary a count, one of STATES where there is none, or None: nothing is known.
    """

    meter: str
    at: int  # the first boundary
    source: Source
    scale: Scale | None
    values: Mapping[str, tuple[int | str | None, ...]]
    whole: bool = False  # it is known that this is a whole day, of each register counts only or one state only


class NotKept(ValueError):
    """Half-hours that cannot be true."""


def kept(told: MeterInterval) -> Run | None:
    """A half-hour as it is kept; None where no register is told. Raises NotKept.

    Where only kWh are told they count as a register of 0.0001 kWh.
    """
    scale = _scale(told.count_kwh, told.digits)
    columns: dict[str, Column] = {}
    for register, (kwh_field, count_field) in FIELDS.items():
        count: int | None = getattr(told, count_field)
        kwh: float | None = getattr(told, kwh_field)
        if count is None and kwh is not None:
            scale, count = Scale(1), round(kwh * TICKS_PER_KWH)
        columns[register] = (count,), told.states.get(kwh_field)
    return _run(told.meter, told.end, 1, told.source, scale, columns)


def kept_day(told: MeterDay) -> Run | None:
    """The half-hours of a day as they are kept; None where no register is told. Raises NotKept."""
    imported, exported, states = told.import_counts, told.export_counts, told.states
    columns: dict[str, Column] = {
        IMPORT: (imported, "no_data" if imported else states.get("energy_import_kwh")),
        EXPORT: (exported, "no_data" if exported else states.get("energy_export_kwh")),
    }
    scale, length = _scale(told.count_kwh, told.digits), len(imported or exported)
    return _run(told.meter, told.first_at, length, "backfill", scale, columns)


def _run(
    meter: str, first: datetime, length: int, source: Source, scale: Scale | None, columns: Mapping[str, Column]
) -> Run | None:
    """The registers at so many boundaries from the first on."""
    at = seconds(first)
    if at % HALF_HOUR_S or not EARLIEST <= at <= LATEST or first.microsecond:
        raise NotKept(f"a half-hour does not end at {first.isoformat()}")
    if slot_of(at) + length > SLOTS:
        raise NotKept(f"the half-hours from {first.isoformat()} are not those of one day")
    shown: dict[str, int] = {}  # how many counts of each register
    for register, (counts, _) in columns.items():
        if not counts:
            continue
        if len(counts) != length:
            raise NotKept(f"the registers from {first.isoformat()} are not of the same half-hours")
        if there := _shown(counts):
            if not 0 <= there[0] <= there[-1] <= LARGEST_COUNT:
                raise NotKept(f"no register shows all of {counts}")
            shown[register] = len(there)
    if not shown:
        return None
    everywhere, whole = length in shown.values(), length == SLOTS
    values: dict[str, tuple[int | str | None, ...]] = {}
    for register, (counts, why) in columns.items():
        known = shown.get(register, 0)
        why = why if why in STATES else None
        if known == length:
            values[register] = counts
        elif everywhere and why and not known:
            values[register] = (why,) * length
        elif known or why:
            whole = False
            values[register] = tuple(_explained(counts or (None,) * length, why, columns.values()))
    return Run(meter, at, source, scale, values, whole)


def _shown(counts: tuple[int | None, ...]) -> list[int]:
    """The counts that there are, the smallest first."""
    try:
        if counts[0] is not None:
            return sorted(cast("tuple[int, ...]", counts))  # at once where a register counts
    except TypeError:  # not where there are holes
        pass
    return sorted([count for count in counts if count is not None])


def _explained(
    counts: Iterable[int | None], why: str | None, columns: Iterable[Column]
) -> Iterator[int | str | None]:
    """The same, with why there is none where another register has a count."""
    known = [
        any(count is not None for count in slot) for slot in zip(*[each for each, _ in columns if each], strict=True)
    ]
    return (why if count is None and some else count for count, some in zip(counts, known, strict=True))


@lru_cache(maxsize=16)  # all half-hours of a meter have the same
def _scale(count_kwh: Decimal | None, digits: int | None) -> Scale | None:
    if count_kwh is None:
        return None
    ticks = count_kwh * TICKS_PER_KWH
    if ticks != int(ticks) or not 1 <= ticks <= LARGEST_TICKS:
        return None
    return Scale(int(ticks), digits or 0)


def slot_of_value(value: int | str, mark: int, scale: int) -> Slot:
    """What is kept of one register; `mark` is the place of the source in SOURCES."""
    if isinstance(value, str):
        return Slot(FIRST_STATE + STATES.index(value))
    return Slot(mark, scale, value)


def message_of(meter: str, at: int, slots: Mapping[str, Slot | None], scales: Mapping[int, Scale]) -> MeterInterval:
    """The message that kept registers make; others than import and export have no place in it."""
    values: dict[str, Any] = {}
    states: dict[str, str] = {}
    source, scale = "", None
    for register, (kwh_field, count_field) in FIELDS.items():
        slot = slots.get(register)
        if slot is None:
            continue
        if slot.raw is None:
            states[kwh_field] = STATES[slot.mark - FIRST_STATE]
            continue
        values[count_field] = slot.raw
        source, scale = source or SOURCES[slot.mark], scale or scales.get(slot.scale)
        if slot.scale in scales:
            values[kwh_field] = kwh(slot.raw * scales[slot.scale].ticks)
        else:
            states[kwh_field] = "unknown_unit"
    return MeterInterval(
        meter=meter,
        end=utc(at),
        count_kwh=None if scale is None else Decimal(scale.ticks) / TICKS_PER_KWH,
        digits=(scale.digits or None) if scale else None,
        source=cast(Source, source or "backfill"),
        states=states,
        **values,
    )


def kwh(ticks: int) -> float:
    """Ticks as kWh, with the digits that the register has."""
    return ticks / TICKS_PER_KWH
