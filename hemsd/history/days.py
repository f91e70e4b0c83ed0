"""One day of one register, 48 boundaries, as the few bytes that the database keeps of it. Pure.

First come runs of boundaries with the same mark and scale: mark, scale, number of boundaries. Then the count of each
boundary that has one, as its difference to the one before, and at the end a checksum, which SQLite's pages have not.
Numbers are little-endian base 128; differences may be negative (zigzag).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import sub
from typing import NamedTuple

from hemsd.history.calendar import SLOTS

NOTHING = 0  # mark of a boundary of which nothing is known
SOURCES = ("", "backfill", "read", "notified")  # mark of a count: how it came, the better the higher
STATES = ("no_data", "overflow", "underflow", "absent", "refused", "timeout", "unknown_unit")
FIRST_STATE = 16  # mark of the first of STATES: there is no count, and why
CHECKSUM_BYTES = 4


class Slot(NamedTuple):
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
    for (mark, scale), run in groupby([slot[:2] if slot else (NOTHING, 0) for slot in day]):
        out.append(mark)
        _put(out, scale)
        out.append(len(list(run)))
    counts = [slot.raw for slot in day if slot is not None and slot.raw is not None]
    for difference in map(sub, counts, [0, *counts]):
        _put(out, difference << 1 if difference >= 0 else ~(difference << 1))
    return bytes(out + _checksum(out, key))


def unpack(packed: bytes, key: int, slots: int = SLOTS) -> Day:
    """The day, or its first `slots` boundaries. Raises DayDamaged."""
    body = packed[:-CHECKSUM_BYTES]
    if packed[-CHECKSUM_BYTES:] != _checksum(body, key):
        raise DayDamaged("the checksum of a day does not fit")
    numbers = _numbers(body)
    runs: list[tuple[int, int]] = []
    for mark, scale, length in zip(numbers, numbers, numbers, strict=False):
        runs += [(mark, scale)] * length
        if len(runs) == SLOTS:
            break
    day: Day = []
    count = 0
    for mark, scale in runs[:slots]:
        if NOTHING < mark < FIRST_STATE:
            difference = next(numbers)
            count += ~(difference >> 1) if difference & 1 else difference >> 1
            day.append(Slot(mark, scale, count))
        else:
            day.append(Slot(mark, scale) if mark else None)
    return day


def _checksum(body: bytes | bytearray, key: int) -> bytes:
    return zlib.crc32(body, key & 0xFFFF_FFFF).to_bytes(CHECKSUM_BYTES, "little")


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _numbers(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            yield number
            number = shift = 0
        else:
            shift += 7
