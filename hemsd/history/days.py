"""One day of one register, 48 boundaries, as the few bytes that the database keeps of it. Pure.

First come runs of boundaries with the same mark and scale: mark, scale, number of boundaries. Then the count of each
boundary that has one, as its difference to the one before, and at the end a checksum, which SQLite's pages have not.
Numbers are little-endian base 128; differences may be negative (zigzag).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, islice
from operator import add, sub
from typing import NamedTuple, cast

from msgspec import Struct

from hemsd.history.calendar import SLOTS

SOURCES = ("", "backfill", "read", "notified")  # mark of a count: how it came, the better the higher
STATES = ("no_data", "overflow", "underflow", "absent", "refused", "timeout", "unknown_unit")
FIRST_STATE = 16  # mark of the first of STATES: there is no count, and why
CHECKSUM_BYTES = 4


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


class Slot(Struct, frozen=True):
    """What is known of a register at one boundary."""

    mark: int  # index of SOURCES, or FIRST_STATE + index of STATES
    scale: int = 0  # of the table of scales; 0 where none was told
    raw: int | None = None  # the count that the register showed

    @property
    def kind(self) -> Kind:
        """All but the count."""
        return Kind(self.mark, self.scale)


@dataclass(slots=True)
class Day:
    """What is known of a register at the boundaries of a day, by column: most of it comes and goes as a whole."""

    kinds: list[Kind] = field(default_factory=lambda: [NOTHING] * SLOTS)
    counts: list[int | None] = field(default_factory=lambda: [None] * SLOTS)

    def __getitem__(self, slot: int) -> Slot | None:
        kind = self.kinds[slot]
        return Slot(*kind, self.counts[slot]) if kind.mark else None

    def __setitem__(self, slot: int, known: Slot) -> None:
        self.kinds[slot], self.counts[slot] = known.kind, known.raw

    def put(self, first: int, kind: Kind, counts: Sequence[int | None]) -> None:
        """Boundaries from the first on that are alike but for their counts."""
        here = slice(first, first + len(counts))
        self.kinds[here], self.counts[here] = [kind] * len(counts), counts

    def alike(self, first: int = 0, stop: int = SLOTS) -> Iterator[tuple[Kind, int, int]]:
        """The boundaries from the first to before the last as runs of one kind, each from one to before another."""
        for kind, run in groupby(self.kinds[first:stop]):
            begin, first = first, first + len(list(run))
            yield kind, begin, first


class DayDamaged(ValueError):
    """These bytes are not a day that was packed under this key."""


def pack(day: Day, key: int) -> bytes:
    """A day as bytes, fewer than 100 where nothing odd happened. `key` tells the row that they belong to."""
    out = bytearray()
    counts: list[int] = []
    for kind, first, stop in day.alike():
        out += _packed([*kind, stop - first])
        if kind.told:
            counts += cast("list[int]", day.counts[first:stop])
    steps = list(map(sub, counts, [0, *counts]))
    if min(steps, default=0) >= 0:
        steps = list(map(add, steps, steps))
    else:
        steps = [step << 1 if step >= 0 else ~(step << 1) for step in steps]
    out += _packed(steps[:1]) + _packed(steps[1:])  # the first is large, the others seldom are
    return bytes(out + _checksum(out, key))


def unpack(packed: bytes, key: int, slots: int = SLOTS) -> Day:
    """The day, or its first `slots` boundaries. Raises DayDamaged."""
    body = packed[:-CHECKSUM_BYTES]
    if packed[-CHECKSUM_BYTES:] != _checksum(body, key):
        raise DayDamaged("the checksum of a day does not fit")
    numbers = _numbers(body)
    runs: list[tuple[Kind, int]] = []
    known = 0
    while known < SLOTS:
        runs.append((Kind(next(numbers), next(numbers)), length := next(numbers)))
        known += length
    counts = accumulate(~(number >> 1) if number & 1 else number >> 1 for number in numbers)
    day = Day([], [])
    for kind, length in runs:
        length = min(length, slots - len(day.kinds))
        day.put(len(day.kinds), kind, list(islice(counts, length)) if kind.told else [None] * length)
    return day


def _checksum(body: bytes | bytearray, key: int) -> bytes:
    return zlib.crc32(body, key & 0xFFFF_FFFF).to_bytes(CHECKSUM_BYTES, "little")


def _packed(numbers: list[int]) -> bytes:
    if max(numbers, default=0) <= 0x7F:
        return bytes(numbers)
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _numbers(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        if byte <= 0x7F:
            yield number | byte << shift
            number = shift = 0
        else:
            number |= (byte & 0x7F) << shift
            shift += 7
