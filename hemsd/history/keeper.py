"""Writes half-hours into history.db: what is better than what is known, once, with a seq; totals and spans follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import cast

from hemsd.history.calendar import HALF_HOUR_S, day_of, moment, number, slot_of
from hemsd.history.database import HEAD, day_key, transaction
from hemsd.history.days import SOURCES, Day, Slot, pack
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale, slot_of_value
from hemsd.history.schema import SEQ_REGISTER
from hemsd.history.tables import Channel, Tables
from hemsd.history.totals import Outcome, Totals, runs_of
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
        self._seq = self._head()  # the last one given away

    def keep(self, batch: Batch) -> Outcome:
        """Keep a batch. What is known already writes nothing."""
        outcome = Outcome()
        with self._transaction():
            self._keep_runs(batch.runs, outcome)
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
            self._seq = self._head()
            raise

    def _head(self) -> int:
        head: int = self._db.execute(HEAD).fetchone()[0]
        return head

    # --- half-hours

    def _keep_runs(self, runs: Iterable[Run], outcome: Outcome) -> None:
        days: dict[tuple[str, int], list[Run]] = {}
        for run in runs:
            days.setdefault((run.meter, day_of(run.at)), []).append(run)
        for (name, day), told in days.items():
            meter = self._meter(name)
            self._totals.begin_era(meter, [run.at for run in told if run.source in LIVE], outcome)
            self._keep_day(meter, day, told, outcome)

    def _keep_day(self, meter: int, day: int, told: list[Run], outcome: Outcome) -> None:
        """Half-hours of one meter and day: read what is known of it, better it, write what is new."""
        registers = {register for run in told for register in run.values}
        channels = {register: self._channel(meter, register) for register in (*registers, SEQ_REGISTER)}
        days = self._tables.registers(channels.values(), day)
        changed: dict[str, set[int]] = {register: set() for register in registers}
        for run in told:
            first, mark, scale = slot_of(run.at), SOURCES.index(run.source), self._scale(run.scale)
            for register, values in run.values.items():
                better, denied = _put(days[register], first, values, mark, scale)
                changed[register].update(better)
                outcome.contradicted += [moment(day, slot) for slot in denied]
        touched = sorted(set().union(*changed.values()))
        if not touched:
            return
        self._give_seqs(meter, day, touched, days[SEQ_REGISTER])
        outcome.kept += len(touched)
        written = [SEQ_REGISTER, *(register for register, numbers in changed.items() if numbers)]
        rows = [(day, channels[each].id, pack(days[each], day_key(day, channels[each].id))) for each in written]
        self._db.executemany("INSERT OR REPLACE INTO day VALUES (?, ?, ?)", rows)
        for register in written[1:]:
            numbers, scales = sorted(changed[register]), days[register].scales
            if energies := list(compress(numbers, map(scales.__getitem__, numbers))):
                self._totals.settle(channels[register], day, days[register], energies, outcome)

    def _give_seqs(self, meter: int, day: int, changed: list[int], seqs: Day) -> None:
        """A new seq for each half-hour that changed, in the order of time; the one it had is not used again."""
        for first, last in runs_of(changed):
            for seq in filter(None, seqs.counts[first : last + 1]):
                self._take_out(seq)
            following = range(self._seq + 1, self._seq + last - first + 2)
            row = (following[0], meter, moment(day, first), len(following))
            self._db.execute("INSERT INTO record VALUES (?, ?, ?, ?)", row)
            seqs.put(first, Slot(SEQ_MARK), following)
            self._seq = following[-1]

    def _take_out(self, seq: int) -> None:
        """No half-hour has this seq any more; those beside it in its row keep theirs."""
        query = "SELECT seq, meter, at, half_hours FROM record WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
        first, meter, at, length = self._db.execute(query, (seq,)).fetchone()
        before = seq - first
        self._db.execute("DELETE FROM record WHERE seq = ?", (first,))
        rows = [(first, meter, at, before), (seq + 1, meter, at + (before + 1) * HALF_HOUR_S, length - before - 1)]
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", [row for row in rows if row[3]])

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
        numbers = self._tables.scale_numbers
        if scale not in numbers:
            numbers[scale] = self._added("INSERT INTO scale (ticks, digits) VALUES (?, ?)", *scale)
            self._tables.scales[numbers[scale]] = scale
        return numbers[scale]

    def _added(self, insert: str, *values: object) -> int:
        return self._db.execute(insert, values).lastrowid or 0


def _put(
    day: Day, first: int, values: Sequence[int | str | None], mark: int, scale: int
) -> tuple[Iterable[int], list[int]]:
    """Put what is better in its place: which boundaries changed, and at which something else is known better."""
    here = range(first, first + len(values))
    if (kind := _one_kind(values, mark, scale)) and not any(day.marks[first : here.stop]):
        day.put(first, kind, cast("Sequence[int]", values) if kind.raw is not None else [None] * len(values))
        return here, []
    better, denied = [], []
    for slot, value in zip(here, values, strict=True):
        if value is None:
            continue
        known, new = day[slot], slot_of_value(value, mark, scale)
        if known is None or _better(known, new):
            day[slot] = new
            better.append(slot)
        elif new.raw is not None and new.raw != known.raw:
            denied.append(slot)
    return better, denied


def _one_kind(values: Sequence[int | str | None], mark: int, scale: int) -> Slot | None:
    """What all of these are but for their counts; None where they are not alike."""
    alike = set(map(type, values)) == {int} or len(set(values)) == 1
    return slot_of_value(values[0], mark, scale) if alike and values[0] is not None else None


def _better(known: Slot, new: Slot) -> bool:
    """Whether what comes is to take the place of what is known: by what it tells, then by how it came."""
    if new.raw is None:
        return False
    if known.raw is None:
        return True
    if new.raw == known.raw:
        return new.scale != known.scale and (not known.scale or (bool(new.scale) and new.mark >= known.mark))
    return new.mark >= known.mark
