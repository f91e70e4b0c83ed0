"""The low-voltage smart electric energy meter, class 0x0288, first and second generation.

ECHONET Appendix release R, 3.3.25 (class table); what it adds for Japan is in the AIF specification "low-voltage
smart electric energy meter - HEMS controller" 1.01. Energies are counts of a register: kWh = count x D3 x E1.
All moments are the meter's own wall clock: JST, without a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from functools import partial
from io import BytesIO
from typing import Any, Final

from msgspec import Struct

from hemsd.echonet.layout import Counted, Fields, Packed, Record, build
from hemsd.echonet.objects import SUPER_CLASS
from hemsd.echonet.values import (
    DATE_TIME,
    SIGNED_16,
    SIGNED_32,
    UNSIGNED_8,
    Code,
    Declared,
    Described,
    Hexadecimal,
    Moment,
    Number,
    Numbers,
    PropertyError,
    State,
    plain,
)

Count = int | State
"""A register's count, 0-99 999 999, or the state NO_DATA."""


class MeterEPC(IntEnum):
    """Property codes; in lower case the names under which the properties are shown."""

    OPERATION_STATUS = 0x80
    INSTALLATION_LOCATION = 0x81
    STANDARD_VERSION = 0x82
    IDENTIFICATION_NUMBER = 0x83
    FAULT_STATUS = 0x88
    MAKER_CODE = 0x8A
    SERIAL_NUMBER = 0x8D
    CLOCK_TIME = 0x97
    CLOCK_DATE = 0x98
    ANNOUNCEMENT_MAP = 0x9D
    SET_MAP = 0x9E
    GET_MAP = 0x9F
    ROUTE_B_ID = 0xC0  # second generation
    MINUTE_ENERGY = 0xD0  # second generation
    COEFFICIENT = 0xD3
    EFFECTIVE_DIGITS = 0xD7
    CUMULATIVE_ENERGY_IMPORT = 0xE0
    CUMULATIVE_ENERGY_UNIT = 0xE1
    HISTORY_1_IMPORT = 0xE2
    CUMULATIVE_ENERGY_EXPORT = 0xE3
    HISTORY_1_EXPORT = 0xE4
    HISTORY_1_DAY = 0xE5
    INSTANTANEOUS_POWER = 0xE7
    INSTANTANEOUS_CURRENT = 0xE8
    HALF_HOUR_ENERGY_IMPORT = 0xEA
    HALF_HOUR_ENERGY_EXPORT = 0xEB
    HISTORY_2 = 0xEC
    HISTORY_2_SELECTOR = 0xED
    HISTORY_3 = 0xEE  # second generation
    HISTORY_3_SELECTOR = 0xEF  # second generation


class HistoryMismatch(ValueError):
    """The meter answered for another period than was asked: its one selector is shared by all who ask."""

    def __init__(self, asked: object, answered: object) -> None:
        super().__init__(f"asked for {asked}, the meter answered for {answered}")
        self.asked = asked
        self.answered = answered


class Currents(Struct, frozen=True):
    """E8, in A. On a single-phase two-wire supply T is NO_DATA."""

    r: Decimal | State
    t: Decimal | State


@dataclass(frozen=True, slots=True)
class FixedTime:
    """EA, EB: a register as it stood at :00 or :30."""

    at: datetime | State
    count: Count


@dataclass(frozen=True, slots=True)
class MinuteEnergy:
    """D0: both registers at the latest full minute."""

    at: datetime | State
    forward: Count
    reverse: Count


HALF_HOUR: Final = timedelta(minutes=30)
MINUTE: Final = timedelta(minutes=1)
SLOTS_A_DAY: Final = 48


class DayHistory(Struct, frozen=True):
    """E2, E4: a register at 00:00, 00:30, ... 23:30 of the day `day` (0-99) days before the meter's today."""

    day: int | State
    counts: tuple[Count, ...]

    def require(self, day: int) -> None:
        """Raises HistoryMismatch unless this is the day that was asked for (E5)."""
        if self.day != day:
            raise HistoryMismatch(f"day {day}", f"day {plain(self.day)}")


@dataclass(frozen=True, slots=True)
class Selection:
    """ED, EF: which moment and how many slots the meter is set to tell."""

    at: datetime | State
    count: int


@dataclass(frozen=True, slots=True)
class SlotHistory:
    """EC (half hours, up to 12), EE (minutes, up to 10): both registers at `at` and, going back, each step before."""

    step: timedelta
    at: datetime | State
    slots: tuple[tuple[Count, Count], ...]  # forward, reverse

    def require(self, at: datetime, count: int) -> None:
        """Raises HistoryMismatch unless this is the moment and the number of slots asked for (ED, EF)."""
        if (self.at, len(self.slots)) != (at, count):
            raise HistoryMismatch(f"{count} slots to {at}", f"{len(self.slots)} slots to {plain(self.at)}")

    def registers(self) -> Iterator[tuple[datetime, Count, Count]]:
        """Each slot's moment, forward and reverse count, the latest first."""
        if isinstance(self.at, State):
            return
        at = self.at
        for forward, reverse in self.slots:
            yield at, forward, reverse
            at -= self.step


@dataclass(frozen=True, slots=True)
class Scale:
    """What one count is worth: D3 (None: the meter has none, which means 1) times E1 in kWh (None: not known yet)."""

    coefficient: int | None = None
    unit: Decimal | None = None
    _factor: Decimal | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        coefficient = 1 if self.coefficient is None else self.coefficient
        object.__setattr__(self, "_factor", None if self.unit is None else coefficient * self.unit)

    def kwh(self, count: Count) -> Decimal | State | None:
        """A count in kWh; a state stays what it is; None while the unit is unknown."""
        if not isinstance(count, int):
            return count
        return None if self._factor is None else count * self._factor


def _energies(value: Any, energy: Callable[[Count], Any] = plain) -> Any:
    """The value of an energy property as JSON, each count shown by `energy`."""
    match value:
        case FixedTime(at, count):
            return {"at": plain(at), "energy": energy(count)}
        case MinuteEnergy(at, forward, reverse):
            return {"at": plain(at), "import": energy(forward), "export": energy(reverse)}
        case DayHistory(day, counts):
            return {"day": plain(day), "energy": [energy(count) for count in counts]}
        case SlotHistory(_, at, slots):
            return {"at": plain(at), "slots": [{"import": energy(f), "export": energy(r)} for f, r in slots]}
        case _:
            return energy(value)


class _Day(Packed):
    """A day's number and its registers, unpacked as one."""

    def __init__(self, day: Number, slots: int, count: Number) -> None:
        super().__init__(f">{day.form}{slots}{count.form}")
        self._day = day
        self._count = count

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        numbers = Packed._parse(self, stream, context, path)
        counts = numbers[1:]
        if not self._count.stand_for_themselves(counts):
            counts = tuple(map(self._count.meaning, counts))
        day: Any = self._day.meaning(numbers[0])
        return DayHistory(day, counts)


_ENERGY: Final = Number("L", 0, 99_999_999, {0xFFFFFFFE: State.NO_DATA})
_POWER: Final = Number("l", -2_147_483_647, 2_147_483_645, SIGNED_32 | {0x7FFFFFFE: State.NO_DATA})
_CURRENT: Final = Number("h", -32_767, 32_765, SIGNED_16 | {0x7FFE: State.NO_DATA}, step=Decimal("0.1"))
_UNIT: Final = Code(
    {
        0x00: Decimal("1"),
        0x01: Decimal("0.1"),
        0x02: Decimal("0.01"),
        0x03: Decimal("0.001"),
        0x04: Decimal("0.0001"),
        0x0A: Decimal("10"),
        0x0B: Decimal("100"),
        0x0C: Decimal("1000"),
        0x0D: Decimal("10000"),
    }
)
_DAY: Final = Number("B", 0, 99, {0xFF: State.NOT_SELECTED})
_HISTORY_1: Final = _Day(Number("H", 0, 99, {0x00FF: State.NOT_SELECTED}), SLOTS_A_DAY, _ENERGY)
_FIXED_TIME: Final = Record(FixedTime, DATE_TIME, _ENERGY)
_SELECTED: Final = Moment(">HBBBB", datetime, State.NOT_SELECTED)
_SELECTION_2: Final = Record(Selection, _SELECTED, Number("B", 1, 12, {}))
_SELECTION_3: Final = Record(Selection, _SELECTED, Number("B", 1, 10, {}))
_SLOT: Final = Fields(_ENERGY, _ENERGY)
_HISTORY_2: Final = Record(partial(SlotHistory, HALF_HOUR), _SELECTED, Counted(_SLOT, range(1, 13)))
_HISTORY_3: Final = Record(partial(SlotHistory, MINUTE), _SELECTED, Counted(_SLOT, range(1, 11)))

_COUNT: Final = "count"  # unit of energies as the meter has them, before D3 and E1
_OWN: Final = {
    MeterEPC.ROUTE_B_ID: (Hexadecimal({16}), ""),
    MeterEPC.MINUTE_ENERGY: (Record(MinuteEnergy, DATE_TIME, _ENERGY, _ENERGY), _COUNT),
    MeterEPC.COEFFICIENT: (Number("L", 0, 999_999, {}), ""),
    MeterEPC.EFFECTIVE_DIGITS: (Number("B", 1, 8, UNSIGNED_8), "digit"),
    MeterEPC.CUMULATIVE_ENERGY_IMPORT: (_ENERGY, _COUNT),
    MeterEPC.CUMULATIVE_ENERGY_UNIT: (_UNIT, "kWh"),
    MeterEPC.HISTORY_1_IMPORT: (_HISTORY_1, _COUNT),
    MeterEPC.CUMULATIVE_ENERGY_EXPORT: (_ENERGY, _COUNT),
    MeterEPC.HISTORY_1_EXPORT: (_HISTORY_1, _COUNT),
    MeterEPC.HISTORY_1_DAY: (_DAY, ""),
    MeterEPC.INSTANTANEOUS_POWER: (_POWER, "W"),
    MeterEPC.INSTANTANEOUS_CURRENT: (Numbers(2, _CURRENT, Currents), "A"),
    MeterEPC.HALF_HOUR_ENERGY_IMPORT: (_FIXED_TIME, _COUNT),
    MeterEPC.HALF_HOUR_ENERGY_EXPORT: (_FIXED_TIME, _COUNT),
    MeterEPC.HISTORY_2: (_HISTORY_2, _COUNT),
    MeterEPC.HISTORY_2_SELECTOR: (_SELECTION_2, ""),
    MeterEPC.HISTORY_3: (_HISTORY_3, _COUNT),
    MeterEPC.HISTORY_3_SELECTOR: (_SELECTION_3, ""),
}
PROPERTIES: Final[Mapping[int, Declared]] = {
    **SUPER_CLASS,
    **{
        epc: Declared(epc.name.lower(), layout, unit, _energies if unit == _COUNT else plain)
        for epc, (layout, unit) in _OWN.items()
    },
}
"""All that a meter may have, by EPC: its own class and the super class."""


def decode(epc: int, edt: bytes) -> Any:
    """The value of a property; its type is the property's own. Raises PropertyError.

    int: D3. int or State: D7, E0 and E3 (counts), E5, E7 (W). Decimal: E1 (kWh). Currents: E8. FixedTime: EA, EB.
    MinuteEnergy: D0. DayHistory: E2, E4. SlotHistory: EC, EE. Selection: ED, EF. time: 97. date: 98. Release: 82.
    bool: 80, 88. frozenset of EPCs: 9D, 9E, 9F. str: 81, 83, 8A, 8D, C0. A moment may be a State instead.
    """
    return _declared(epc, edt).decode(epc, edt)


def describe(epc: int, edt: bytes, scale: Scale | None = None) -> Described:
    """A property for the outside; energies in kWh where `scale` tells, else as counts. Raises PropertyError."""
    declared = _declared(epc, edt)
    if declared.unit != _COUNT or scale is None or scale.unit is None:
        return declared.describe(epc, edt)
    value = declared.decode(epc, edt)
    return Described(declared.name, _energies(value, lambda count: plain(scale.kwh(count))), "kWh")


def encode_history_1_day(day: int) -> bytes:
    """E5 for a day 0 (today) to 99 days ago. Raises ValueError."""
    if not 0 <= day <= 99:
        raise ValueError(f"a meter remembers days 0 to 99, not {day}")
    return bytes((day,))


def encode_history_2_selector(at: datetime, count: int) -> bytes:
    """ED for `count` (1-12) half hours back from `at`, at :00 or :30 of the meter's clock. Raises ValueError."""
    if at.minute not in (0, 30):
        raise ValueError(f"history 2 has slots at full and half hours only, not at {at:%H:%M}")
    return build(_SELECTION_2, (_wall_clock(at), count))


def encode_history_3_selector(at: datetime, count: int) -> bytes:
    """EF for `count` (1-10) minutes back from `at`, a full minute by the meter's clock. Raises ValueError."""
    return build(_SELECTION_3, (_wall_clock(at), count))


def _declared(epc: int, edt: bytes) -> Declared:
    try:
        return PROPERTIES[epc]
    except KeyError as error:
        raise PropertyError(epc, edt, "class 0288 has no such property") from error


def _wall_clock(at: datetime) -> datetime:
    if at.tzinfo is not None or at.second or at.microsecond:
        raise ValueError(f"{at} is no full minute of the meter's clock, which knows no zone")
    return at
