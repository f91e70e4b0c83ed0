"""EDT and values: how one property is declared, and the states that stand where no number is.

General codes for overflow and underflow are those of the ECHONET Appendix, release R, 2.3; "no data" and "not
selected" stand in each class table, and the same code means different things in different properties.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from construct import Adapter, Construct, GreedyBytes, Int8ub, StreamError, ValidationError
from msgspec import Struct

from hemsd.echonet.layout import Misfit, Packed, parse

REMEMBERED = 64  # numbers of which it is known what they stand for: the currents of a house come again and again


class State(Enum):
    """What stands in the place of a value; never a number."""

    NO_DATA = "no_data"  # not measured, or no such phase
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    NOT_SELECTED = "not_selected"  # no day or time was asked for yet
    UNKNOWN_UNIT = "unknown_unit"  # a count whose worth another property tells, which is not known


SIGNED_16: Final = {0x7FFF: State.OVERFLOW, -0x8000: State.UNDERFLOW}
SIGNED_32: Final = {0x7FFFFFFF: State.OVERFLOW, -0x80000000: State.UNDERFLOW}
UNSIGNED_8: Final = {0xFF: State.OVERFLOW, 0xFE: State.UNDERFLOW}
UNSIGNED_16: Final = {0xFFFF: State.OVERFLOW, 0xFFFE: State.UNDERFLOW}
UNSIGNED_32: Final = {0xFFFFFFFF: State.OVERFLOW, 0xFFFFFFFE: State.UNDERFLOW}


class PropertyError(ValueError):
    """Data that a property cannot have: wrong length, value out of range, or no such property in the class."""

    def __init__(self, epc: int, edt: bytes, reason: str) -> None:
        super().__init__(f"property {epc:02X}: {reason}")
        self.epc = epc
        self.edt = edt
        self.reason = reason


class Number(Packed):
    """An integer from `low` to `high`, or the state that a code stands for; a Decimal if it counts steps of `step`.

    `form` is B, H or L for unsigned numbers of 1, 2 or 4 bytes, b, h or l for signed ones (as in the struct module).
    """

    def __init__(
        self, form: str, low: int, high: int, states: Mapping[int, State], *, step: Decimal | None = None
    ) -> None:
        super().__init__(">" + form)
        self.form = form
        self._low = low
        self._high = high
        self._states = states
        self._step = step

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        try:
            (number,) = self._unpack(stream.read(self._size))
        except struct.error as error:
            raise StreamError("cut off") from error
        return self.meaning(number)

    def meaning(self, number: int) -> int | Decimal | State:
        """The value that a number on the line stands for. Raises ValidationError."""
        if self._low <= number <= self._high:
            return number if self._step is None else number * self._step
        if number in self._states:
            return self._states[number]
        raise ValidationError(f"{number} is not in {self._low} to {self._high}")

    def stand_for_themselves(self, numbers: Collection[int]) -> bool:
        """Whether each of these numbers on the line is its own meaning."""
        if self._step is not None:
            return False
        ordered = sorted(numbers)  # at once where a register counts
        return self._low <= ordered[0] and ordered[-1] <= self._high

    def _build(self, obj: Any, stream: BytesIO, context: None, path: None) -> None:
        if not self._low <= obj <= self._high:
            raise ValidationError(f"{obj} is not in {self._low} to {self._high}")
        super()._build((obj,), stream, context, path)


class Numbers(Packed):
    """The same number so many times, as a tuple, or as an object that `kind` makes of them."""

    def __init__(self, count: int, number: Number, kind: Callable[..., object] | None = None) -> None:
        super().__init__(f">{count}{number.form}")
        self._number = number
        self._meaning = lru_cache(REMEMBERED)(number.meaning)
        self._kind = kind

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        values = Packed._parse(self, stream, context, path)
        if not self._number.stand_for_themselves(values):
            values = tuple(map(self._meaning, values))
        return values if self._kind is None else self._kind(*values)


class Code(Adapter):
    """One byte, each value of which stands for something."""

    def __init__(self, meanings: Mapping[int, object]) -> None:
        super().__init__(Int8ub)
        self._meanings = meanings

    def _decode(self, obj: int, context: None, path: None) -> object:
        if obj not in self._meanings:
            raise ValidationError(f"{obj:02X} has no meaning")
        return self._meanings[obj]


class Moment(Adapter):
    """A date, a time or both, made by `kind` from fields in their order; all bits set is the state `blank`.

    The years 1 and 9999 are refused, so that nobody's arithmetic on a moment can overflow.
    """

    def __init__(self, form: str, kind: Callable[..., date | time], blank: State) -> None:
        super().__init__(Packed(form))
        self._kind = kind
        self._blank = blank
        self._blank_fields = struct.unpack(form, b"\xff" * struct.calcsize(form))

    def _decode(self, obj: tuple[int, ...], context: None, path: None) -> date | time | State:
        if obj == self._blank_fields:
            return self._blank
        try:
            moment = self._kind(*obj)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if isinstance(moment, date) and not date.min.year < moment.year < date.max.year:
            raise ValidationError(f"no clock is in the year {moment.year}")
        return moment

    def _encode(self, obj: date, context: None, path: None) -> tuple[int, ...]:
        return obj.timetuple()[: len(self._blank_fields)]


DATE: Final = Moment(">HBB", date, State.NO_DATA)
TIME: Final = Moment(">BB", time, State.NO_DATA)  # hours and minutes
DATE_TIME: Final = Moment(">HBBBBB", datetime, State.NO_DATA)


class Hexadecimal(Adapter):
    """All the bytes, as many as `sizes` allows, as upper-case hexadecimal digits."""

    def __init__(self, sizes: Collection[int]) -> None:
        super().__init__(GreedyBytes)
        self._sizes = sizes

    def _decode(self, obj: bytes, context: None, path: None) -> str:
        if len(obj) not in self._sizes:
            raise ValidationError(f"{len(obj)} bytes is not its length")
        return obj.hex().upper()


class Text(Adapter):
    """ASCII text, without the padding (zeros, blanks or all bits set) that makers use.

    Other bytes are ``\\xNN``, and so are control characters: it is shown in terminals, which obey some of them.
    """

    def _decode(self, obj: bytes, context: None, path: None) -> str:
        text = obj.strip(b"\x00 \xff").decode("ascii", "backslashreplace")
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def plain(value: Any) -> Any:
    """A value as JSON: states by name, moments in ISO 8601 by the device's own clock (no zone), durations hh:mm."""
    match value:
        case State():
            return value.value
        case Decimal():
            return float(value)
        case date() | time():
            return value.isoformat()
        case tuple() | list():
            return [plain(item) for item in value]
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case timedelta():
            minutes = value // timedelta(minutes=1)
            return f"{minutes // 60:02}:{minutes % 60:02}"
        case int() | str():
            return value
        case _:
            return {name: plain(getattr(value, name)) for name in type(value).__match_args__}


class Described(Struct, frozen=True):
    """A property for people and programs outside: our stable name for it, its value as JSON, the unit of numbers."""

    name: str
    value: Any
    unit: str


class Declared(Struct, frozen=True):
    """How a property is declared: our stable name for it, layout, unit of its numbers, and how it is shown."""

    name: str
    layout: Construct
    unit: str = ""
    show: Callable[[Any], Any] = plain

    def decode(self, epc: int, edt: bytes) -> Any:
        """The value that `edt` stands for. Raises PropertyError."""
        try:
            value, end = parse(self.layout, edt)
        except Misfit as misfit:
            raise PropertyError(epc, edt, misfit.reason) from misfit
        if end < len(edt):
            raise PropertyError(epc, edt, f"{len(edt)} bytes where {end} are all")
        return value

    def describe(self, epc: int, edt: bytes) -> Described:
        """The same for the outside. Raises PropertyError."""
        return Described(self.name, self.show(self.decode(epc, edt)), self.unit)
