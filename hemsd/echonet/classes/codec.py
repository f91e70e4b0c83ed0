"""EDT <-> value for every kind of data in the Appendix, put together as its table says.

Values are int, or Decimal where there are steps or coefficients; bool; the Appendix's words in snake_case; State in
the place of a number; date, time, datetime, timedelta; hexadecimal text for bare bytes; dict and list of these. A
code that has a meaning of its own is never taken for a number, even within its range (027B E0: 41 is automatic).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Final, assert_never

from hemsd.echonet.classes import table
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.classes.scalars import (
    BytesCodec,
    Codec,
    DeclaredCodec,
    DurationCodec,
    Factor,
    LevelCodec,
    MomentCodec,
    NumberCodec,
    WordsCodec,
    number_of,
    wrong_size,
)
from hemsd.echonet.layout import Misfit
from hemsd.echonet.objects import NODE_CLASS, SUPER_CLASS
from hemsd.echonet.values import DATE, DATE_TIME, TIME, Moment, State


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
        data = b"".join(field(name, codec, given[name]) for name, codec in self._fields)
        if self._counted:
            *_, (count, _), (items, _) = self._fields
            if number_of(given[count]) not in (None, len(given[items])):
                raise Refusal("bad_request", f"{count} is not the number of {items}")
        return data


def members(codec: Codec, value: Any, names: list[str]) -> Mapping[str, Any]:
    """A value that has to have these members and no others."""
    value = of_parts(value)
    if not isinstance(value, Mapping) or value.keys() != set(names):
        raise codec.refusal(value)
    return value


def of_parts(value: Any) -> Any:
    """What is made of parts, where it is given as text: that is JSON then."""
    if not isinstance(value, str):
        return value
    import json  # here, because it takes memory and few ask for it

    try:
        return json.loads(value)
    except (ValueError, RecursionError):
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
        items = of_parts(value)
        if isinstance(items, str) or not isinstance(items, Sequence) or len(items) not in self._allowed:
            raise self.refusal(value)
        return b"".join(field(str(at), self._item, item) for at, item in enumerate(items, 1))


class OneOfCodec(Codec):
    """Words before everything else; a value whose bytes would be a word's is refused."""

    def __init__(self, data: table.OneOfData) -> None:
        words = [WordsCodec(each, beside=True) for each in data.of if isinstance(each, table.StateData)]
        others = [each for each in data.of if not isinstance(each, table.StateData)]
        last = next((each for each in reversed(others) if isinstance(each, table.NumberData)), None)
        self._words = words[0] if words else None
        self._others = [
            NumberCodec(each, general=each is last) if isinstance(each, table.NumberData) else made(each)
            for each in others
        ]
        sizes = {codec.size for codec in self._others}
        self.size = sizes.pop() if len(sizes) == 1 else None
        self.accepts = ", or ".join(codec.accepts for codec in (*self._others, *words) if codec.accepts)

    def decode(self, data: bytes, factor: Factor) -> Any:
        if self._words is not None and (meaning := self._words.meaning(data)) is not None:
            return meaning
        *others, last = self._others
        for codec in others:
            try:
                return codec.decode(data, factor)
            except Misfit:
                pass
        return last.decode(data, factor)

    def encode(self, value: Any) -> bytes:
        code = "bad_request"
        if self._words is not None and (word := self._words.code(value)) is not None:
            return word
        for codec in self._others:
            try:
                data = codec.encode(value)
            except Refusal as refusal:
                code = "out_of_range" if refusal.code == "out_of_range" else code
                continue
            if self._words is None or self._words.meaning(data) is None:
                return data
            code = "out_of_range"
        raise self.refusal(value, code)


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
            return DeclaredCodec(SUPER_CLASS[0x82])
        case table.VersionData():
            return DeclaredCodec(NODE_CLASS[0x82])
        case table.TextData():
            return DeclaredCodec(SUPER_CLASS[0x8C])
        case table.PropertyMapData():
            return DeclaredCodec(SUPER_CLASS[0x9F])
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
