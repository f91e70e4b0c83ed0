"""EDT <-> value for what is not made of parts: numbers, words, levels, bytes, dates and times.

General codes for overflow and underflow are those of the ECHONET Appendix, release R, 2.3.
"""

from __future__ import annotations

import reprlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from hemsd.echonet.classes import table
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.layout import Misfit, parse
from hemsd.echonet.values import Declared, Moment, State

Factor = Decimal | int | None
"""What the properties that scale a number tell, multiplied; None: not known."""

SENTINELS: Final[Mapping[str, State]] = {
    "no_data": State.NO_DATA,
    "unmeasurable": State.NO_DATA,
    "undefined": State.NO_DATA,
    "unknown": State.NO_DATA,
    "unsupported": State.NO_DATA,
    "invalid": State.NO_DATA,
    "default_value": State.NOT_SELECTED,
    "initial_value": State.NOT_SELECTED,
}
"""Words that say, beside numbers and the like, that there is none; in an enumeration they stay words."""

SYNONYMS: Final = {"on": "true", "off": "false", "yes": "true", "no": "false", "true": "on", "false": "off"}


class Codec(ABC):
    """One piece of data, of `size` bytes (None: all that are left); `accepts` is what encode() takes, in words."""

    size: int | None
    accepts: str

    @abstractmethod
    def decode(self, data: bytes, factor: Factor) -> Any:
        """The value of exactly these bytes. Raises Misfit."""

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """The bytes that decode() makes this value of. Raises Refusal."""

    def refusal(self, value: object, code: str = "bad_request") -> Refusal:
        return Refusal(code, f"{shown(value)} is not {self.accepts}" if self.accepts else "it cannot be set")


def shown(value: object) -> str:
    """A wish in a sentence: short, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "so large a number"
    return str(value)[:30] if isinstance(value, Decimal) else reprlib.repr(value)


def wrong_size(data: bytes, size: object) -> Misfit:
    return Misfit(f"{size} bytes expected, {len(data)} left", 0)


def number_of(value: object) -> Decimal | None:
    """A number, or text that is one; None for all else, what is not finite included."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(f"{value:.12g}" if isinstance(value, float) else value)  # 0.1 + 0.2 is meant to be 0.3
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


class NumberCodec(Codec):
    def __init__(self, data: table.NumberData, *, general: bool = True) -> None:
        bits = int(data.format.lstrip("uint"))
        self._signed = not data.format.startswith("u")
        self.size = bits // 8
        self._low, self._high = data.minimum, data.maximum
        self._step = None if data.multiple == 1 else exact(data.multiple)
        self._scaled = bool(data.coefficient)
        self._general = general_codes(data, bits, self._signed) if general and data.unit else {}
        step = self._step or 1
        unit = f" {data.unit}" if data.unit else ""
        steps = "" if self._step is None else f" in steps of {self._step}"
        self.accepts = f"{self._low * step} to {self._high * step}{unit}{steps}"

    def decode(self, data: bytes, factor: Factor) -> Any:
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        number: Any = int.from_bytes(data, "big", signed=self._signed)
        if not self._low <= number <= self._high:
            if number in self._general:
                return self._general[number]
            raise Misfit(f"{number} is not in {self._low} to {self._high}", 0)
        if self._step is not None:
            number *= self._step
        if not self._scaled:
            return number
        return State.UNKNOWN_UNIT if factor is None else number * factor

    def encode(self, value: Any) -> bytes:
        if self._scaled:  # no such number can be set in any class, and what its counts are worth is not told here
            raise Refusal("bad_request", "it cannot be set")
        number = number_of(value)
        if number is None:
            raise self.refusal(value)
        step = self._step or 1
        if not self._low * step <= number <= self._high * step:
            raise self.refusal(value, "out_of_range")
        count = number / step
        if count != int(count):
            raise Refusal("out_of_range", f"{shown(value)} is not a multiple of {step}: {self.accepts}")
        return int(count).to_bytes(self.size or 0, "big", signed=self._signed)


def general_codes(data: table.NumberData, bits: int, signed: bool) -> dict[int, State]:
    """What the largest and the smallest codes mean (Appendix, 2.3); unsigned, both are at the top."""
    top = 2 ** (bits - signed) - 1
    overflow = {top: State.OVERFLOW} if data.overflow else {}
    underflow = {-top - 1 if signed else top - 1: State.UNDERFLOW} if data.underflow else {}
    return overflow | underflow


def exact(number: float) -> int | Decimal:
    """A number of the table without what is lost in binary."""
    return number if isinstance(number, int) else Decimal(str(number))


class WordsCodec(Codec):
    """Codes and what they mean; `beside` numbers and the like some of them say that there is none."""

    def __init__(self, data: table.StateData, *, beside: bool = False) -> None:
        self._meanings: dict[bytes, Any] = {}
        self._spans: list[tuple[bytes, bytes, Any]] = []
        self._codes: dict[Any, bytes] = {}
        sentinels = SENTINELS if beside else {}
        for key, told in (data.read_only | data.enum).items():
            word = told if isinstance(told, bool | str) else exact(told)
            value = sentinels.get(str(told), word)
            first, _, last = key.partition("...")
            if last:
                self._spans.append((bytes.fromhex(first), bytes.fromhex(last), value))
                continue
            self._meanings[bytes.fromhex(key)] = value
            if key in data.enum:  # a state can be wished by name and as what it is
                named = str(told).lower() if isinstance(told, bool) else word
                self._codes.setdefault(named, bytes.fromhex(key))
                self._codes.setdefault(value if isinstance(value, State) else named, bytes.fromhex(key))
        self.size = len(next(iter(self._meanings)))
        words = [str(code) for code in self._codes if not isinstance(code, State)]
        self.accepts = " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"

    def meaning(self, data: bytes) -> Any:
        """What a code means, None where it means nothing."""
        meaning = self._meanings.get(data)
        if meaning is None and self._spans and len(data) == self.size:
            return next((value for first, last, value in self._spans if first <= data <= last), None)
        return meaning

    def code(self, value: Any) -> bytes | None:
        """The code of a word that can be set, None where it is none."""
        return next((self._codes[each] for each in self._codes_of(value) if each in self._codes), None)

    def decode(self, data: bytes, factor: Factor) -> Any:
        if (meaning := self.meaning(data)) is not None:
            return meaning
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        raise Misfit(f"{data.hex().upper()} has no meaning", 0)

    def encode(self, value: Any) -> bytes:
        if (code := self.code(value)) is None:
            raise self.refusal(value)
        return code

    def _codes_of(self, value: Any) -> Iterator[Any]:
        if isinstance(value, State):
            yield value
        elif isinstance(value, bool | str):
            word = str(value).strip().lower().replace("-", "_").replace(" ", "_")
            yield word
            yield SYNONYMS.get(word)
        if (number := number_of(value)) is not None:
            yield number


class LevelCodec(Codec):
    def __init__(self, data: table.LevelData) -> None:
        self.size = len(data.base) // 2
        self._below = int(data.base, 16) - 1
        self._maximum = data.maximum
        self._prefix = f"{data.prefix}_" if data.prefix else ""
        self.accepts = f"{self._prefix}1 to {self._prefix}{data.maximum}"

    def decode(self, data: bytes, factor: Factor) -> int | str:
        level = int.from_bytes(data, "big") - self._below
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        if not 1 <= level <= self._maximum:
            raise Misfit(f"{data.hex().upper()} is no level", 0)
        return f"{self._prefix}{level}" if self._prefix else level

    def encode(self, value: Any) -> bytes:
        if self._prefix and not (isinstance(value, str) and value.startswith(self._prefix)):
            raise self.refusal(value)
        level = number_of(value.removeprefix(self._prefix) if self._prefix else value)
        if level is None:
            raise self.refusal(value)
        if not 1 <= level <= self._maximum or level != int(level):
            raise self.refusal(value, "out_of_range")
        return (int(level) + self._below).to_bytes(self.size or 0, "big")


class BytesCodec(Codec):
    """Bare bytes as upper-case hexadecimal digits."""

    def __init__(self, data: table.BytesData) -> None:
        self._allowed = range(data.minimum, data.maximum + 1)
        self.size = data.maximum if data.minimum == data.maximum else None
        count = str(self.size) if self.size else f"{data.minimum} to {data.maximum}"
        self.accepts = f"{count} byte{'' if self.size == 1 else 's'} in hexadecimal"

    def decode(self, data: bytes, factor: Factor) -> str:
        if len(data) not in self._allowed:
            raise Misfit(f"{len(data)} bytes is not its length", 0)
        return data.hex().upper()

    def encode(self, value: Any) -> bytes:
        try:
            data = bytes.fromhex(value)
        except (TypeError, ValueError) as error:
            raise self.refusal(value) from error
        if len(data) not in self._allowed:
            raise self.refusal(value)
        return data


class DeclaredCodec(Codec):
    """What every device and node has and prose alone explains, by its declaration in hemsd.echonet.objects."""

    size = None
    accepts = ""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared

    def decode(self, data: bytes, factor: Factor) -> Any:
        value, end = parse(self._declared.layout, data)
        if end < len(data):
            raise wrong_size(data, end)
        return self._declared.show(value)

    def encode(self, value: Any) -> bytes:
        raise self.refusal(value)


_DATE: Final = ("year", "month", "day")
_TIME: Final = ("hour", "minute", "second")


class MomentCodec(Codec):
    """Dates and times; text in ISO 8601 is taken for them."""

    def __init__(self, layout: Moment, kind: type[date] | type[time], form: str, like: str) -> None:
        self._layout = layout
        self._kind = kind
        self._form = form
        self._names = _TIME[: len(form) - 1] if kind is time else (_DATE + _TIME)[: len(form) - 1]
        self.size = struct.calcsize(form)
        self.accepts = f"a {'time' if kind is time else 'date' if kind is date else 'date and time'} like {like}"

    def decode(self, data: bytes, factor: Factor) -> Any:
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        return parse(self._layout, data)[0]

    def encode(self, value: Any) -> bytes:
        try:
            moment = self._kind.fromisoformat(value.strip()) if isinstance(value, str) else value
        except ValueError as error:
            raise self.refusal(value) from error
        if type(moment) is not self._kind:
            raise self.refusal(value)
        data = struct.pack(self._form, *[getattr(moment, name) for name in self._names])
        try:
            exact = self.decode(data, None) == moment
        except Misfit as misfit:  # a year that is in no clock
            raise self.refusal(value) from misfit
        if not exact:  # seconds where there are only minutes, or a zone
            raise self.refusal(value)
        return data


class DurationCodec(Codec):
    """Hours, up to 255, and minutes."""

    size = 2
    accepts = "hours and minutes like 01:30, up to 255:59"

    def decode(self, data: bytes, factor: Factor) -> timedelta:
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        if data[1] > 59:
            raise Misfit(f"{data[1]} is no minute", 1)
        return timedelta(hours=data[0], minutes=data[1])

    def encode(self, value: Any) -> bytes:
        if isinstance(value, str):
            hours, _, minutes = value.strip().partition(":")
            if not (hours.isdecimal() and len(hours) <= 3 and minutes.isdecimal() and len(minutes) == 2):
                raise self.refusal(value)
            value = timedelta(hours=int(hours), minutes=int(minutes)) if int(minutes) < 60 else None
        if not isinstance(value, timedelta) or value % timedelta(minutes=1):
            raise self.refusal(value)
        if not timedelta(0) <= value < timedelta(hours=256):
            raise self.refusal(value, "out_of_range")
        return bytes(divmod(value // timedelta(minutes=1), 60))
