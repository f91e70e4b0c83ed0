"""One day of one register, 48 boundaries, as the few bytes that the database keeps of it. Pure.

First come runs of boundaries with the same mark and scale: mark, scale, number of boundaries. Then the count of each
boundary that has one, as its difference to the one before, and at the end a checksum, which SQLite's pages have not.
Numbers are little-endian base 128; differences may be negative (zigzag).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import accumulate, groupby, islice
from operator import sub

from msgspec import Struct

from hemsd.history.calendar import SLOTS

NOTHING = 0  # mark of a boundary of which nothing is known
SOURCES = ("", "backfill", "read", "notified")  # mark of a count: how it came, the better the higher
STATES = ("no_data", "overflow", "underflow", "absent", "refused", "timeout", "unknown_unit")
FIRST_STATE = 16  # mark of the first of STATES: there is no count, and why
CHECKSUM_BYTES = 4
_NUMBER = re.compile(rb"[\x80-\xFF]*[\x00-\x7F]")


class Slot(Struct, frozen=True):
    """What is known of a register at one boundary."""

    mark: int  # index of SOURCES, or FIRST_STATE + index of STATES
    scale: int = 0  # of the table of scales; 0 where none was told
    raw: int | None = None  # the count that the register showed


Day = list[Slot | None]


class DayDamaged(ValueError):
    """These bytes are not a day that was packed under this key."""


def empty_day() -> Day:
    """A day of which nothing is known."""
    return [None] * SLOTS


def pack(day: Sequence[Slot | None], key: int) -> bytes:
    """A day as bytes, fewer than 100 where nothing odd happened. `key` tells the row that they belong to."""
    out = bytearray()
    for (mark, scale), run in groupby([(slot.mark, slot.scale) if slot else (NOTHING, 0) for slot in day]):
        out += _packed([mark, scale, len(list(run))])
    counts = [slot.raw for slot in day if slot is not None and slot.raw is not None]
    steps = [step << 1 if step >= 0 else ~(step << 1) for step in map(sub, counts, [0, *counts])]
    out += _packed(steps[:1]) + _packed(steps[1:])  # the first is large, the others seldom are
    return bytes(out + _checksum(out, key))


def unpack(packed: bytes, key: int, slots: int = SLOTS) -> Day:
    """The day, or its first `slots` boundaries. Raises DayDamaged."""
    body = packed[:-CHECKSUM_BYTES]
    if packed[-CHECKSUM_BYTES:] != _checksum(body, key):
        raise DayDamaged("the checksum of a day does not fit")
    numbers = (each[0] if len(each) == 1 else _number(each) for each in _NUMBER.findall(body))
    runs: list[tuple[int, int, int]] = []
    known = 0
    while known < SLOTS:
        runs.append((next(numbers), next(numbers), length := next(numbers)))
        known += length
    counts = accumulate(~(number >> 1) if number & 1 else number >> 1 for number in numbers)
    day: Day = []
    for mark, scale, length in runs:
        length = min(length, slots - len(day))
        if NOTHING < mark < FIRST_STATE:
            day += [Slot(mark, scale, count) for count in islice(counts, length)]
        else:
            day += [Slot(mark, scale) if mark else None] * length
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


def _number(packed: bytes) -> int:
    number = 0
    for byte in reversed(packed):
        number = number << 7 | byte & 0x7F
    return number
