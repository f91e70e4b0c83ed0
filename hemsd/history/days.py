"""One day of one register, 48 boundaries, as the few bytes that the database keeps of it. Pure.

First come its parts, boundaries with the same mark and scale: mark, scale, number of boundaries. Then the count of
each boundary that has one, as its difference to the one before, and at the end a checksum, which SQLite has not.
Numbers are little-endian base 128; differences may be negative (zigzag).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain, islice
from operator import sub
from typing import NamedTuple, cast

from msgspec import Struct

from hemsd.history.calendar import SLOTS

SOURCES = ("", "backfill", "read", "notified")  # mark of a count: how it came, the better the higher
STATES = ("no_data", "overflow", "underflow", "absent", "refused", "timeout", "unknown_unit")
FIRST_STATE = 16  # mark of the first of STATES: there is no count, and why
CHECKSUM_BYTES = 4
WORD_BITS = 32
TOP = int.from_bytes(b"\x80\0\0\0" * SLOTS, "big")  # the highest bit of each word
LARGE = int.from_bytes(b"\xff\xff\xff\xc0" * SLOTS, "big")  # all but the lowest six: differences of 0 to 63 have none


class Kind(NamedTuple):
    """What boundaries have in common that are alike but for their counts."""

    mark: int  # index of SOURCES, or FIRST_STATE + index of STATES
    scale: int = 0  # of the table of scales; 0 where none was told

    @property
    def told(self) -> bool:
        """Whether there is a count."""
        return 0 < self.mark < FIRST_STATE


NOTHING = Kind(0)
"""Of a boundary of which nothing is known."""

STATE_KINDS: Mapping[int | str | None, Kind] = {state: Kind(mark) for mark, state in enumerate(STATES, FIRST_STATE)}
"""Of boundaries without a count, by why there is none."""

Part = tuple[Kind, Sequence[int | None]]
"""Boundaries of one kind, one after the other, and the count of each."""


class Slot(Struct, frozen=True):
    """What is known of a register at one boundary."""

    mark: int  # index of SOURCES, or FIRST_STATE + index of STATES
    scale: int = 0  # of the table of scales; 0 where none was told
    raw: int | None = None  # the count that the register showed

    @property
    def kind(self) -> Kind:
        """All but the count."""
        return Kind(self.mark, self.scale)


UNKNOWN: tuple[Part, ...] = ((NOTHING, (None,) * SLOTS),)
"""A day of which nothing is known."""


class Day(Struct):
    """What is known of a register at the boundaries of a day, in parts of one kind: most days are a single one."""

    parts: tuple[Part, ...] = UNKNOWN

    def __getitem__(self, slot: int) -> Slot | None:
        ((kind, _, counts),) = self.between(slot, slot + 1)
        return Slot(*kind, counts[0]) if kind.mark else None

    def __setitem__(self, slot: int, known: Slot) -> None:
        self.put(slot, known.kind, (known.raw,))

    def between(self, first: int, stop: int) -> Iterator[tuple[Kind, int, Sequence[int | None]]]:
        """What is known from one boundary to before another: a kind, the first boundary of it, and the counts."""
        at = 0
        for kind, counts in self.parts:
            begin, at = at, at + len(counts)
            if begin < stop and first < at:
                yield kind, max(begin, first), counts[max(0, first - begin) : stop - begin]

    def known(self, first: int, stop: int) -> bool:
        """Whether anything is, from one boundary to before another."""
        return self.parts is not UNKNOWN and any(kind != NOTHING for kind, _, _ in self.between(first, stop))

    def put(self, first: int, kind: Kind, counts: Sequence[int | None]) -> None:
        """Boundaries from the first on that are alike but for their counts."""
        if len(counts) == SLOTS:
            self.parts = ((kind, counts),)
            return
        stop = first + len(counts)
        parts: list[Part] = []
        for each, _, told in (*self.between(0, first), (kind, first, counts), *self.between(stop, SLOTS)):
            if parts and parts[-1][0] == each:
                parts[-1] = each, (*parts[-1][1], *told)
            else:
                parts.append((each, told))
        self.parts = tuple(parts)


class DayDamaged(ValueError):
    """These bytes are not a day that was packed under this key."""


def pack(day: Day, key: int) -> bytearray:
    """A day as bytes, fewer than 100 where nothing odd happened. `key` tells the row that they belong to."""
    out = bytearray()
    told: Sequence[int] = ()
    for kind, counts in day.parts:
        out += _head(kind, len(counts))
        if kind.told:
            told = [*told, *cast("Sequence[int]", counts)] if told else cast("Sequence[int]", counts)
    if told:  # the first is large, the others seldom are
        out += _packed([_zigzag(told[0])])
        out += _packed_steps(told)
    out += _checksum(out, key)
    return out


def pack_countless(kind: Kind, key: int) -> bytes:
    """The same of a day whose boundaries are all of one kind, and none has a count."""
    head = _head(kind, SLOTS)
    return head + _checksum(head, key)


def unpack(packed: bytes, key: int, slots: int = SLOTS) -> Day:
    """The day, or its first `slots` boundaries. Raises DayDamaged."""
    body = packed[:-CHECKSUM_BYTES]
    if packed[-CHECKSUM_BYTES:] != _checksum(body, key):
        raise DayDamaged("the checksum of a day does not fit")
    stream = iter(body)
    kinds: list[tuple[Kind, int]] = []
    known = 0
    while known < SLOTS:
        kinds.append((Kind(_number(stream), _number(stream)), length := _number(stream)))
        known += length
    counts: Iterator[int] = iter(())
    if any(kind.told for kind, _ in kinds):
        counts = accumulate(chain([_signed(_number(stream))], _steps(bytes(stream))))
    parts: list[Part] = []
    for kind, length in kinds:
        length = min(length, slots)
        slots -= length
        parts.append((kind, tuple(islice(counts, length)) if kind.told else (None,) * length))
    return Day(tuple(parts))


def _checksum(body: bytes | bytearray, key: int) -> bytes:
    return zlib.crc32(body, key & 0xFFFF_FFFF).to_bytes(CHECKSUM_BYTES, "little")


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else ~(number << 1)


def _signed(zigzag: int) -> int:
    return ~(zigzag >> 1) if zigzag & 1 else zigzag >> 1


@lru_cache
def _head(kind: Kind, length: int) -> bytes:
    return bytes(_packed([*kind, length]))


@lru_cache(SLOTS)
def _words(number: int) -> tuple[struct.Struct, int]:
    """So many words, the first the lowest, and the bits of all but the last."""
    return struct.Struct(f"<{number}I"), (1 << WORD_BITS * (number - 1)) - 1


def _packed_steps(told: Sequence[int]) -> bytes | bytearray:
    """The differences from each count to the next: most are 0 to 63, and subtracted as words of one large number."""
    words, all_but_last = _words(len(told))
    try:
        counts = int.from_bytes(words.pack(*told), "little")
    except struct.error:  # there is one that no word holds
        counts = TOP
    steps = (counts >> WORD_BITS) - (counts & all_but_last)
    if counts & TOP or steps & LARGE:
        return _packed(map(_zigzag, map(sub, told[1:], told)))
    return (steps << 1).to_bytes(words.size, "little")[:-4:4]  # zigzag of what is not below 0 is its double


def _steps(packed: bytes) -> Iterator[int]:
    if packed.isascii():  # each is one byte
        return map(SIGNED_ASCII.__getitem__, packed)
    stream = iter(packed)
    return (_signed(_number(chain([byte], stream))) for byte in stream)


def _packed(numbers: Iterable[int]) -> bytearray:
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return out


def _number(stream: Iterator[int]) -> int:
    number = shift = 0
    while (byte := next(stream)) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number | byte << shift


SIGNED_ASCII = tuple(map(_signed, range(0x80)))
