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

from msgspec import Struct

from hemsd.history.calendar import SLOTS

NOTHING = 0  # mark of a boundary of which nothing is known
SOURCES = ("", "backfill", "read", "notified")  # mark of a count: how it came, the better the higher
STATES = ("no_data", "overflow", "underflow", "absent", "refused", "timeout", "unknown_unit")
FIRST_STATE = 16  # mark of the first of STATES: there is no count, and why
CHECKSUM_BYTES = 4


class Slot(Struct, frozen=True):
    """What is known of a register at one boundary."""

    mark: int  # index of SOURCES, or FIRST_STATE + index of STATES
    scale: int = 0  # of the table of scales; 0 where none was told
    raw: int | None = None  # the count that the register showed


@dataclass(slots=True)
class Day:
    """What is known of a register at the boundaries of a day, by column: most of it comes and goes as a whole."""

    marks: list[int] = field(default_factory=lambda: [NOTHING] * SLOTS)
    scales: list[int] = field(default_factory=lambda: [0] * SLOTS)
    counts: list[int | None] = field(default_factory=lambda: [None] * SLOTS)

    def __getitem__(self, slot: int) -> Slot | None:
        mark = self.marks[slot]
        return Slot(mark, self.scales[slot], self.counts[slot]) if mark else None

    def __setitem__(self, slot: int, known: Slot) -> None:
        self.marks[slot], self.scales[slot], self.counts[slot] = known.mark, known.scale, known.raw

    def put(self, first: int, kind: Slot, counts: Sequence[int | None]) -> None:
        """Boundaries from the first on that are alike but for their counts."""
        here = slice(first, first + len(counts))
        self.marks[here], self.scales[here] = [kind.mark] * len(counts), [kind.scale] * len(counts)
        self.counts[here] = counts


class DayDamaged(ValueError):
    """These bytes are not a day that was packed under this key."""


def pack(day: Day, key: int) -> bytes:
    """A day as bytes, fewer than 100 where nothing odd happened. `key` tells the row that they belong to."""
    out = bytearray()
    for (mark, scale), run in groupby(zip(day.marks, day.scales, strict=True)):
        out += _packed([mark, scale, len(list(run))])
    counts = [count for count in day.counts if count is not None] if None in day.counts else day.counts
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
    runs: list[tuple[int, int, int]] = []
    known = 0
    while known < SLOTS:
        runs.append((next(numbers), next(numbers), length := next(numbers)))
        known += length
    counts = accumulate(~(number >> 1) if number & 1 else number >> 1 for number in numbers)
    day = Day([], [], [])
    for mark, scale, length in runs:
        length = min(length, slots - len(day.marks))
        told = NOTHING < mark < FIRST_STATE
        day.put(len(day.marks), Slot(mark, scale), list(islice(counts, length)) if told else [None] * length)
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
