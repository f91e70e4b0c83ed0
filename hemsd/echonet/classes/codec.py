"""EDT <-> value for every kind of data in the Appendix: each kind once, put together as the table says.

Values are int, or Decimal where there are steps or coefficients; bool; the Appendix's words in snake_case; State in
the place of a number; date, time, datetime, timedelta; hexadecimal text for bare bytes; dict and list of these. A
code that has a meaning of its own is never taken for a number, even within its range (027B E0: 41 is automatic).
"""

from __future__ import annotations

import reprlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, assert_never

from hemsd.echonet.classes import table
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.layout import Misfit, parse
from hemsd.echonet.objects import NODE_CLASS, SUPER_CLASS
from hemsd.echonet.values import DATE, DATE_TIME, TIME, Declared, Moment, State

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
    return str(value) if isinstance(value, int | float | Decimal) else reprlib.repr(value)


def wrong_size(data: bytes, size: object) -> Misfit:
    return Misfit(f"{size} bytes expected, {len(data)} left", 0)


def number_of(value: object) -> Decimal | None:
    """A number, or text that is one; None for all else, what is not finite included."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value).strip())
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
            if key in data.enum:
                named = str(told).lower() if isinstance(told, bool) else word
                self._codes.setdefault(named, bytes.fromhex(key))
                self._codes.setdefault(value, bytes.fromhex(key)) if isinstance(value, State) else None
        self.size = len(next(iter(self._meanings)))
        self.words = [str(code) for code in self._codes if not isinstance(code, State)]
        self.accepts = " or ".join(self.words) if len(self.words) < 3 else f"one of {', '.join(self.words)}"

    def meaning(self, data: bytes) -> Any:
        """What a code means; KeyError where it means nothing."""
        if data in self._meanings or not self._spans:
            return self._meanings[data]
        for first, last, value in self._spans:
            if first <= data <= last and len(data) == self.size:
                return value
        raise KeyError(data)

    def decode(self, data: bytes, factor: Factor) -> Any:
        try:
            return self.meaning(data)
        except KeyError as error:
            if len(data) != self.size:
                raise wrong_size(data, self.size) from error
            raise Misfit(f"{data.hex().upper()} has no meaning", 0) from error

    def encode(self, value: Any) -> bytes:
        for code in self._codes_of(value):
            if code in self._codes:
                return self._codes[code]
        raise self.refusal(value)

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


class BitmapCodec(Codec):
    """Bits that the table does not name are passed over, and never set."""

    def __init__(self, data: table.BitmapData) -> None:
        self.size = data.size
        self._bits = [
            (name, bit.at, bit.mask, (bit.mask & -bit.mask).bit_length() - 1, made(bit.data))
            for name, bit in data.bits.items()
        ]
        self.accepts = "all of " + ", ".join(f"{name} ({codec.accepts})" for name, *_, codec in self._bits)

    def decode(self, data: bytes, factor: Factor) -> dict[str, Any]:
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        return {
            name: codec.decode(bytes(((data[at] & mask) >> shift,)), factor)
            for name, at, mask, shift, codec in self._bits
        }

    def encode(self, value: Any) -> bytes:
        given = members(self, value, [name for name, *_ in self._bits])
        data = bytearray(self.size or 0)
        for name, at, mask, shift, codec in self._bits:
            data[at] |= field(name, codec, given[name])[0] << shift & mask
        return bytes(data)


class ObjectCodec(Codec):
    def __init__(self, data: table.ObjectData) -> None:
        self._fields = [(name, made(each)) for name, each in data.fields.items()]
        sizes = [codec.size for _, codec in self._fields]
        self._counted = sizes[-1] is None and isinstance(self._fields[-1][1], ArrayCodec) and len(sizes) > 1
        self.size = None if None in sizes else sum(size or 0 for size in sizes)
        self.accepts = "all of " + ", ".join(f"{name} ({codec.accepts})" for name, codec in self._fields)

    def decode(self, data: bytes, factor: Factor) -> dict[str, Any]:
        if self.size is not None and len(data) != self.size:
            raise wrong_size(data, self.size)
        at = 0
        value = {}
        for name, codec in self._fields:
            end = len(data) if codec.size is None else at + codec.size
            try:
                value[name] = codec.decode(data[at:end], factor)
            except Misfit as misfit:
                raise Misfit(f"{name}: {misfit.reason}", at + misfit.at) from misfit
            at = end
        if self._counted:
            *_, count, items = value.values()
            if isinstance(count, int) and count != len(items):
                raise Misfit(f"{len(items)} items where {count} are announced", len(data))
        return value

    def encode(self, value: Any) -> bytes:
        given = members(self, value, [name for name, _ in self._fields])
        if self._counted and number_of(given[self._fields[-2][0]]) not in (None, len(given[self._fields[-1][0]])):
            raise Refusal("bad_request", f"{self._fields[-2][0]} is not the number of {self._fields[-1][0]}")
        return b"".join(field(name, codec, given[name]) for name, codec in self._fields)


def members(codec: Codec, value: Any, names: list[str]) -> Mapping[str, Any]:
    """A value that has to have these members and no others."""
    if not isinstance(value, Mapping) or value.keys() != set(names):
        raise codec.refusal(value)
    return value


def field(name: str, codec: Codec, value: Any) -> bytes:
    """Encode one member; a Refusal names it."""
    try:
        return codec.encode(value)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{name}: {refusal}") from refusal


class ArrayCodec(Codec):
    def __init__(self, data: table.ArrayData) -> None:
        self._item = made(data.items)
        self._each = self._item.size or 1
        self._allowed = range(data.minimum, data.maximum + 1)
        self.size = self._each * data.maximum if data.minimum == data.maximum else None
        count = str(data.maximum) if self.size else f"{data.minimum} to {data.maximum}"
        self.accepts = f"a list of {count}, each {self._item.accepts}"

    def decode(self, data: bytes, factor: Factor) -> list[Any]:
        count, rest = divmod(len(data), self._each)
        if rest or count not in self._allowed:
            raise Misfit(f"{len(data)} bytes are not {self._allowed[0]} to {self._allowed[-1]} items", 0)
        decode = self._item.decode
        each = self._each
        return [decode(data[at : at + each], factor) for at in range(0, len(data), each)]

    def encode(self, value: Any) -> bytes:
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) not in self._allowed:
            raise self.refusal(value)
        return b"".join(field(str(at), self._item, item) for at, item in enumerate(value, 1))


class BytesCodec(Codec):
    """Bare bytes as upper-case hexadecimal digits."""

    def __init__(self, data: table.BytesData) -> None:
        self._allowed = range(data.minimum, data.maximum + 1)
        self.size = data.maximum if data.minimum == data.maximum else None
        count = str(self.size) if self.size else f"{data.minimum} to {data.maximum}"
        self.accepts = f"{count} bytes in hexadecimal"

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

    accepts = ""

    def __init__(self, epc: int, declared: Declared) -> None:
        self._epc = epc
        self._declared = declared
        self.size = None

    def decode(self, data: bytes, factor: Factor) -> Any:
        return self._declared.show(self._declared.decode(self._epc, data))

    def encode(self, value: Any) -> bytes:
        raise self.refusal(value)


class MomentCodec(Codec):
    """Dates and times; text in ISO 8601 is taken for them."""

    def __init__(self, layout: Moment, kind: type[date] | type[time], form: str, like: str) -> None:
        self._layout = layout
        self._kind = kind
        self._form = form
        self._names = (
            ("hour", "minute", "second") if kind is time else ("year", "month", "day", "hour", "minute", "second")
        )
        self.size = struct.calcsize(form)
        self.accepts = f"a {'time' if kind is time else 'date' if kind is date else 'date and time'} like {like}"

    def decode(self, data: bytes, factor: Factor) -> Any:
        if len(data) != self.size:
            raise wrong_size(data, self.size)
        return parse(self._layout, data)[0]

    def encode(self, value: Any) -> bytes:
        try:
            moment: Any = self._kind.fromisoformat(value.strip()) if isinstance(value, str) else value
        except ValueError as error:
            raise self.refusal(value) from error
        if type(moment) is not self._kind or getattr(moment, "tzinfo", None) is not None:
            raise self.refusal(value)
        fields = [getattr(moment, name, 0) for name in (*self._names, "microsecond")]
        used = len(self._form) - 1
        data = struct.pack(self._form, *fields[:used])
        if any(fields[used:]) or data == b"\xff" * len(data):
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


class OneOfCodec(Codec):
    """Words before everything else; a value whose bytes would be a word's is refused."""

    def __init__(self, data: table.OneOfData) -> None:
        states = [each for each in data.of if isinstance(each, table.StateData)]
        others = [each for each in data.of if not isinstance(each, table.StateData)]
        self._words = [WordsCodec(state, beside=True) for state in states]
        last = next((each for each in reversed(others) if isinstance(each, table.NumberData)), None)
        self._others = [
            NumberCodec(each, general=each is last) if isinstance(each, table.NumberData) else made(each)
            for each in others
        ]
        sizes = {codec.size for codec in self._others}
        self.size = sizes.pop() if len(sizes) == 1 else None
        said = [codec.accepts for codec in (*self._others, *self._words) if codec.accepts]
        self.accepts = ", or ".join(said)

    def decode(self, data: bytes, factor: Factor) -> Any:
        for words in self._words:
            try:
                return words.meaning(data)
            except KeyError:
                pass
        *others, last = self._others
        for codec in others:
            try:
                return codec.decode(data, factor)
            except Misfit:
                pass
        return last.decode(data, factor)

    def encode(self, value: Any) -> bytes:
        code = "bad_request"
        for codec in (*self._words, *self._others):
            try:
                data = codec.encode(value)
            except Refusal as refusal:
                code = "out_of_range" if refusal.code == "out_of_range" else code
                continue
            if codec in self._words or not any(self._is_word(words, data) for words in self._words):
                return data
            code = "out_of_range"
        raise self.refusal(value, code)

    @staticmethod
    def _is_word(words: WordsCodec, data: bytes) -> bool:
        try:
            words.meaning(data)
        except KeyError:
            return False
        return True


_TIME_TO_SECONDS: Final = Moment(">BBB", time, State.NO_DATA)
_MOMENT_TO_MINUTES: Final = Moment(">HBBBB", datetime, State.NOT_SELECTED)


def made(data: table.Data) -> Codec:
    """The codec of some data."""
    match data:
        case table.NumberData():
            return NumberCodec(data)
        case table.StateData():
            return WordsCodec(data)
        case table.LevelData():
            return LevelCodec(data)
        case table.BitmapData():
            return BitmapCodec(data)
        case table.ObjectData():
            return ObjectCodec(data)
        case table.ArrayData():
            return ArrayCodec(data)
        case table.ReleaseData():
            return DeclaredCodec(0x82, SUPER_CLASS[0x82])
        case table.VersionData():
            return DeclaredCodec(0x82, NODE_CLASS[0x82])
        case table.TextData():
            return DeclaredCodec(0x8C, SUPER_CLASS[0x8C])
        case table.PropertyMapData():
            return DeclaredCodec(0x9F, SUPER_CLASS[0x9F])
        case table.BytesData():
            return BytesCodec(data)
        case table.DateData():
            return MomentCodec(DATE, date, ">HBB", "2026-05-20")
        case table.TimeData(size=3):
            return MomentCodec(_TIME_TO_SECONDS, time, ">BBB", "23:30:00")
        case table.TimeData():
            return MomentCodec(TIME, time, ">BB", "23:30")
        case table.DurationData():
            return DurationCodec()
        case table.MomentData(size=6):
            return MomentCodec(_MOMENT_TO_MINUTES, datetime, ">HBBBB", "2026-05-20T23:30")
        case table.MomentData():
            return MomentCodec(DATE_TIME, datetime, ">HBBBBB", "2026-05-20T23:30:00")
        case table.OneOfData():
            return OneOfCodec(data)
        case _:
            assert_never(data)
