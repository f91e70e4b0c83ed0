"""The constructs that ECHONET Lite is declared with, and the two functions that run a declaration.

construct's own Struct, Sequence, Prefixed and Array give every element a context in which fields can refer to
each other by name. Nothing in ECHONET Lite needs it, and making contexts is most of their cost (270 000 machine
instructions for one small frame, against 20 000): these do without, and mix freely with construct's own context-free
ones (integers, Bytes, any Adapter).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

from construct import Construct, ConstructError, FormatFieldError, RangeError, StreamError, Subconstruct


class Misfit(ValueError):
    """Bytes that do not fit a declaration; `at` is the offset of the element that does not."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


def parse(layout: Construct, data: bytes) -> tuple[Any, int]:
    """Parse the beginning of `data`: the value, and how many bytes it took. Raises Misfit."""
    stream = BytesIO(data)
    try:
        return layout._parse(stream, None, None), stream.tell()
    except ConstructError as error:
        raise _misfit(layout, data, error) from error


def build(layout: Construct, value: object) -> bytes:
    """Build a value's bytes, the inverse of parse(). Raises ValueError where it does not fit."""
    stream = BytesIO()
    try:
        layout._build(value, stream, None, None)
    except ConstructError as error:
        raise ValueError(str(error)) from error
    return stream.getvalue()


class Packed(Construct):
    """Several fields of fixed size as one tuple, by a format of the struct module."""

    def __init__(self, form: str) -> None:
        super().__init__()
        packing = struct.Struct(form)
        self._size = packing.size
        self._unpack = packing.unpack
        self._pack = packing.pack

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        try:
            return self._unpack(stream.read(self._size))
        except struct.error as error:
            raise StreamError("cut off") from error

    def _build(self, obj: Any, stream: BytesIO, context: None, path: None) -> None:
        try:
            stream.write(self._pack(*obj))
        except struct.error as error:
            raise FormatFieldError(str(error)) from error


class Fields(Construct):
    """One element after the other, as a tuple."""

    def __init__(self, *elements: Construct) -> None:
        super().__init__()
        self._elements = elements

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        return tuple([element._parse(stream, context, path) for element in self._elements])

    def _build(self, obj: Any, stream: BytesIO, context: None, path: None) -> None:
        for element, value in zip(self._elements, obj, strict=True):
            element._build(value, stream, context, path)


class Record(Fields):
    """One element after the other, as an object that `kind` makes of them."""

    def __init__(self, kind: Callable[..., object], *elements: Construct) -> None:
        super().__init__(*elements)
        self._kind = kind

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        return self._kind(*[element._parse(stream, context, path) for element in self._elements])


class Counted(Subconstruct):
    """One byte that tells how many, and that many elements, as a tuple."""

    def __init__(self, element: Construct, allowed: range = range(256)) -> None:
        super().__init__(element)
        self._allowed = allowed

    def _parse(self, stream: BytesIO, context: None, path: None) -> Any:
        try:
            (count,) = stream.read(1)
        except ValueError as error:
            raise StreamError("cut off") from error
        if count not in self._allowed:
            raise RangeError(f"{count} is not in {self._allowed[0]} to {self._allowed[-1]}")
        parse_one = self.subcon._parse
        return tuple([parse_one(stream, context, path) for _ in range(count)])

    def _build(self, obj: Any, stream: BytesIO, context: None, path: None) -> None:
        if len(obj) not in self._allowed:
            raise RangeError(f"{len(obj)} is not in {self._allowed[0]} to {self._allowed[-1]}")
        stream.write(bytes((len(obj),)))
        for value in obj:
            self.subcon._build(value, stream, context, path)


def _misfit(layout: Construct, data: bytes, error: ConstructError) -> Misfit:
    """Parse once more, watching the reads, to tell where it went wrong; the fast way does not watch."""
    stream = _Watched(data)
    try:
        layout._parse(stream, None, None)
    except ConstructError:
        left = len(data) - stream.at
        if stream.wanted > left:
            return Misfit(f"{stream.wanted} bytes expected, {left} left", stream.at)
    return Misfit(str(error), stream.at)


class _Watched(BytesIO):
    """Remembers the last read."""

    at = 0
    wanted = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.at = self.tell()
        self.wanted = size or 0
        return super().read(size)
