"""Writes half-hours into history.db: what is better than what is known, once, with a seq; totals and spans follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from hemsd.history.calendar import day_of, number, slot_of
from hemsd.history.database import HEAD, day_key, transaction
from hemsd.history.days import Day, Slot, empty_day, pack
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Interval, Scale, slot_of_value
from hemsd.history.schema import SEQ_REGISTER
from hemsd.history.tables import Channel, Tables
from hemsd.history.totals import Outcome, Totals
from hemsd.hub.messages import Event

SEQ_MARK = 1
LIVE = ("notified", "read")  # sources that tell which meter is there now
TEXT_LIMIT = 2000


class Keeper:
    """The only writer of a history.db. Every method is one transaction, and all or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tables = Tables(db)
        self._totals = Totals(db, self._tables)
        self._seq = 0  # the last one given away

    def keep(self, batch: Batch) -> Outcome:
        """Keep a batch. What is known already writes nothing."""
        outcome = Outcome()
        with self._transaction():
            self._seq = self._db.execute(HEAD).fetchone()[0]
            self._keep_intervals(batch.intervals, outcome)
            self._keep_events(batch.events)
            for meter, day in batch.asked:
                values = (self._meter(meter), number(day))
                self._db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?)", values)
        return outcome

    def forget_events(self, before_us: int, number: int) -> None:
        """Remove events from before a moment, and the oldest above a number; the newest always stays."""
        newest = self._db.execute("SELECT ifnull(max(seq), 0) FROM event").fetchone()[0]
        query = "SELECT seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET ?"
        too_many = self._db.execute(query, (number,)).fetchone()
        last_of_them = too_many[0] if too_many else 0
        with self._transaction():
            query = "DELETE FROM event WHERE seq < ? AND (at_us < ? OR seq <= ?)"
            self._db.execute(query, (newest, before_us, last_of_them))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._db):
                yield
        except BaseException:
            self._tables.forget()
            self._totals.forget()
            raise

    # --- half-hours

    def _keep_intervals(self, intervals: Iterable[Interval], outcome: Outcome) -> None:
        batches: dict[tuple[str, int], list[Interval]] = {}
        for interval in intervals:
            batches.setdefault((interval.meter, day_of(interval.at)), []).append(interval)
        for (name, day), batch in batches.items():
            meter = self._meter(name)
            live = [interval.at for interval in batch if interval.source in LIVE]
            self._totals.begin_era(meter, live, outcome)
            self._keep_day(meter, day, batch, outcome)

    def _keep_day(self, meter: int, day: int, batch: list[Interval], outcome: Outcome) -> None:
        """Half-hours of one meter and day: read what is known of it, better it, write what is new."""
        registers = {register for interval in batch for register in interval.values}
        channels = {register: self._channel(meter, register) for register in (*registers, SEQ_REGISTER)}
        days = {channel: self._tables.day(channel, day) or empty_day() for channel in channels.values()}
        changed: dict[int, set[Channel]] = {}
        for interval in batch:
            slot, scale = slot_of(interval.at), self._scale(interval.scale)
            for register, value in interval.values.items():
                channel = channels[register]
                known, new = days[channel][slot], slot_of_value(value, interval.source, scale)
                if _better(known, new):
                    days[channel][slot] = new
                    changed.setdefault(interval.at, set()).add(channel)
                elif known is not None and new.raw not in (None, known.raw):
                    outcome.contradicted.append(interval.at)
        if not changed:
            return
        seqs = channels[SEQ_REGISTER]
        self._give_seqs(meter, sorted(changed), days[seqs])
        written = {seqs}.union(*changed.values())
        rows = [(day, channel.id, pack(days[channel], day_key(day, channel.id))) for channel in written]
        self._db.executemany("INSERT OR REPLACE INTO day VALUES (?, ?, ?)", rows)
        outcome.kept += len(changed)
        for channel in sorted(written - {seqs}):
            at_of_it = [at for at in sorted(changed) if channel in changed[at]]
            if known_at := [at for at in at_of_it if _is_known(days[channel][slot_of(at)])]:
                self._totals.settle(channel, known_at, outcome)

    def _give_seqs(self, meter: int, changed: list[int], seqs: Day) -> None:
        """A new seq for each half-hour that changed, in the order of time; the one it had is not used again."""
        old = [(slot.raw,) for at in changed if (slot := seqs[slot_of(at)]) is not None]
        if old:
            self._db.executemany("DELETE FROM record WHERE seq = ?", old)
        rows = [(self._seq + number, meter, at) for number, at in enumerate(changed, 1)]
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?)", rows)
        for seq, _, at in rows:
            seqs[slot_of(at)] = Slot(SEQ_MARK, 0, seq)
        self._seq += len(rows)

    def _keep_events(self, events: Sequence[Event]) -> None:
        rows = []
        for seq, event in enumerate(events, self._seq + 1):
            at_us = round(event.at.timestamp() * 1e6)
            rows.append((seq, at_us, event.source.value, event.kind, event.severity, event.text[:TEXT_LIMIT]))
        self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._seq += len(rows)

    # --- names

    def _meter(self, name: str) -> int:
        meters = self._tables.meters
        if name not in meters:
            meters[name] = self._added("INSERT INTO meter (name) VALUES (?)", name)
        return meters[name]

    def _channel(self, meter: int, register: str) -> Channel:
        channels = self._tables.channels
        if (channel := channels.get((meter, register))) is None:
            number = self._added("INSERT INTO channel (meter, register) VALUES (?, ?)", meter, register)
            channel = channels[meter, register] = Channel(number, meter, register)
        return channel

    def _scale(self, scale: Scale | None) -> int:
        if scale is None:
            return 0
        for position, known in self._tables.scales.items():
            if known == scale:
                return position
        position = self._added("INSERT INTO scale (ticks, digits) VALUES (?, ?)", *scale)
        self._tables.scales[position] = scale
        return position

    def _added(self, insert: str, *values: object) -> int:
        return self._db.execute(insert, values).lastrowid or 0


def _better(known: Slot | None, new: Slot) -> bool:
    """Whether what comes is to take the place of what is known: by what it tells, then by how it came."""
    if known is None:
        return True
    if new.raw is None:
        return False
    if known.raw is None:
        return True
    if new.raw == known.raw:
        return new.scale != known.scale and (not known.scale or (bool(new.scale) and new.mark >= known.mark))
    return new.mark >= known.mark


def _is_known(slot: Slot | None) -> bool:
    return slot is not None and slot.raw is not None and slot.scale != 0
