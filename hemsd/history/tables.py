"""What stands in history.db, read: meters and their registers, days, spans, and the chain of meters of this home."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from hemsd.history.calendar import HALF_HOUR_S, SLOTS, day_of, moment, slot_of
from hemsd.history.counters import Piece, Reading
from hemsd.history.database import day_key
from hemsd.history.days import Day, DayDamaged, Slot, unpack
from hemsd.history.intervals import Scale


class Channel(NamedTuple):
    """One register of one meter."""

    id: int
    meter: int
    register: str


class Span(NamedTuple):
    """Boundaries without a hole, both ends inclusive, all of one channel."""

    first: int
    last: int
    channel: Channel


class Tables:
    """For one connection; what seldom changes is remembered until forget()."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.forget()

    def forget(self) -> None:
        """Read all anew but the days, which are not remembered."""
        self._channels: dict[tuple[int, str], Channel] | None = None
        self._scales: dict[int, Scale] | None = None
        self._scale_numbers: dict[Scale, int] | None = None
        self._meters: dict[str, int] | None = None
        self._eras: list[tuple[int, int]] | None = None
        self._spans: dict[Channel, list[tuple[int, int]]] = {}
        self._pieces: dict[str, list[Piece]] = {}

    # --- names

    @property
    def meters(self) -> dict[str, int]:
        """The number of each meter, by its name."""
        if self._meters is None:
            self._meters = dict(self.db.execute("SELECT name, id FROM meter"))
        return self._meters

    @property
    def channels(self) -> dict[tuple[int, str], Channel]:
        """By meter and register."""
        if self._channels is None:
            rows = self.db.execute("SELECT id, meter, register FROM channel")
            self._channels = {(meter, register): Channel(id_, meter, register) for id_, meter, register in rows}
        return self._channels

    def channels_of(self, meter: int) -> dict[str, Channel]:
        """Those of one meter, by register."""
        return {register: channel for (number, register), channel in self.channels.items() if number == meter}

    @property
    def scales(self) -> dict[int, Scale]:
        """By number."""
        if self._scales is None:
            rows = self.db.execute("SELECT id, ticks, digits FROM scale")
            self._scales = {id_: Scale(ticks, digits) for id_, ticks, digits in rows}
        return self._scales

    @property
    def scale_numbers(self) -> dict[Scale, int]:
        """The number of each scale."""
        if self._scale_numbers is None:
            self._scale_numbers = {scale: number for number, scale in self.scales.items()}
        return self._scale_numbers

    @property
    def eras(self) -> list[tuple[int, int]]:
        """Since when which meter was the one that is there."""
        if self._eras is None:
            self._eras = self.db.execute("SELECT since, meter FROM era ORDER BY since").fetchall()
        return self._eras

    # --- days

    def day(self, channel: Channel, day: int, slots: int = 48) -> Day | None:
        """One day of a register, or its first boundaries; None where there is none. Raises DayDamaged."""
        found = self.db.execute("SELECT packed FROM day WHERE day = ? AND channel = ?", (day, channel.id)).fetchone()
        return None if found is None else unpack(found[0], day_key(day, channel.id), slots)

    def registers(self, channels: Iterable[Channel], days: Iterable[int]) -> dict[int, dict[str, Day]]:
        """What is known of some days of some registers of a meter, by day and their names. Raises DayDamaged."""
        names = {each.id: each.register for each in channels}
        query = "SELECT day, channel, packed FROM day WHERE day IN (SELECT value FROM json_each(?))"
        known: dict[int, dict[str, Day]] = {}
        for day, channel, packed in self.db.execute(query, (str([*days]),)):
            if channel in names:
                known.setdefault(day, {})[names[channel]] = unpack(packed, day_key(day, channel))
        return known

    def days(self, channel: Channel, first: int, last: int) -> Iterator[tuple[int, Day]]:
        """All days of a register from the first to the last, both inclusive. Raises DayDamaged."""
        query = "SELECT day, packed FROM day WHERE day BETWEEN ? AND ? AND channel = ? ORDER BY day"
        for day, packed in self.db.execute(query, (first, last, channel.id)):
            yield day, unpack(packed, day_key(day, channel.id))

    def slot(self, channel: Channel, at: int) -> Slot | None:
        """A register at a boundary. Raises DayDamaged."""
        slot = slot_of(at)
        day = self.day(channel, day_of(at), slot + 1)
        return None if day is None else day[slot]

    # --- the chain of meters

    def spans(self, channel: Channel) -> list[tuple[int, int]]:
        """Where a register is known without a hole, in the order of time."""
        if (spans := self._spans.get(channel)) is None:
            query = "SELECT first, last FROM span WHERE channel = ? ORDER BY first"
            spans = self._spans[channel] = self.db.execute(query, (channel.id,)).fetchall()
        return spans

    def chain(self, register: str) -> list[Span]:
        """Where the register of this home is known, of each meter while it was there, in the order of time."""
        eras = self.eras
        found: list[Span] = []
        for number, (since, meter) in enumerate(eras):
            until = eras[number + 1][0] if number + 1 < len(eras) else None
            if (channel := self.channels.get((meter, register))) is not None:
                found += (Span(*span, channel) for span in clipped(self.spans(channel), since, until))
        return found

    def reading(self, span: Span, at: int) -> Reading:
        """The reading at a boundary within a span. Raises DayDamaged."""
        slot = self.slot(span.channel, at)
        if slot is None or slot.raw is None:
            raise DayDamaged("a span tells of a half-hour that is not there")
        return self._reading(span.channel, at, slot.raw, slot.scale)

    def readings(self, chain: list[Span], first: int, last: int) -> Iterator[Reading]:
        """What is known of a chain between two boundaries, both inclusive, by time. Raises DayDamaged."""
        for begin, end, channel in chain:
            begin, end = max(begin, first), min(end, last)
            if begin > end:
                continue
            for day, slots in self.days(channel, day_of(begin), day_of(end)):
                for kind, number, counts in slots.between(0, SLOTS):
                    moments = range(moment(day, number), end + 1, HALF_HOUR_S)
                    for at, raw in zip(moments, counts, strict=False):
                        if kind.scale and raw is not None and at >= begin:
                            yield self._reading(channel, at, raw, kind.scale)

    def _reading(self, channel: Channel, at: int, raw: int, scale: int) -> Reading:
        ticks, digits = self.scales[scale]
        return Reading(at, channel.meter, raw, ticks, digits or None)

    def pieces(self, register: str) -> list[Piece]:
        """How the lifetime total of a register of this home is told, in the order of time."""
        if (pieces := self._pieces.get(register)) is None:
            query = "SELECT since, base, holds, doubt_from FROM piece WHERE register = ? ORDER BY since"
            rows = self.db.execute(query, (register,))
            pieces = [Piece(since, base, bool(holds), doubt_from) for since, base, holds, doubt_from in rows]
            self._pieces[register] = pieces
        return pieces


class DayByDay(Tables):
    """Remembers the days it read last, for whoever asks for one half-hour after the other."""

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._whole = lru_cache(maxsize=8)(self.day)

    def slot(self, channel: Channel, at: int) -> Slot | None:
        """A register at a boundary. Raises DayDamaged."""
        day = self._whole(channel, day_of(at))
        return None if day is None else day[slot_of(at)]


def clipped(spans: list[tuple[int, int]], since: int, until: int | None) -> Iterator[tuple[int, int]]:
    """The parts of spans from the boundary `since` to before the boundary `until`."""
    for first, last in spans:
        first, last = max(first, since), last if until is None else min(last, until - HALF_HOUR_S)
        if first <= last:
            yield first, last


def total(pieces: list[Piece], reading: Reading) -> int:
    """The lifetime total in ticks at a reading."""
    piece = pieces[bisect_right(pieces, reading.at, key=lambda piece: piece.since) - 1]
    return piece.base if piece.holds else piece.base + reading.raw * reading.ticks
