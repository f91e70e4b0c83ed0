"""Writes half-hours into history.db: what is better than what is known, once, with a seq; totals and spans follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import cast

from hemsd.history.calendar import HALF_HOUR_S, day_of, moment, number, slot_of
from hemsd.history.database import HEAD, day_key, transaction
from hemsd.history.days import NOTHING, SOURCES, Day, Kind, Slot, pack
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale, slot_of_value
from hemsd.history.schema import SEQ_REGISTER
from hemsd.history.tables import Channel, Tables
from hemsd.history.totals import Outcome, Stretch, Totals, runs_of, stretches_of
from hemsd.hub.messages import Event

SEQ = Kind(1)
LIVE = ("notified", "read")  # sources that tell which meter is there now
TEXT_LIMIT = 2000


@dataclass(slots=True)
class _Changes:
    """What half-hours of one meter led to, to be written."""

    days: list[tuple[int, int, bytes]] = field(default_factory=list)  # rows of day
    records: list[tuple[int, ...]] = field(default_factory=list)  # rows of record
    energies: dict[Channel, list[Stretch]] = field(default_factory=dict)  # became known or changed


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
            asked = [(self._meter(meter), number(day)) for meter, day in batch.asked]
            self._db.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?)", asked)
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
        for name, told in groupby(days.items(), key=lambda each: each[0][0]):
            self._keep_days(self._meter(name), {day: runs for (_, day), runs in told}, outcome)

    def _keep_days(self, meter: int, told: Mapping[int, list[Run]], outcome: Outcome) -> None:
        """Half-hours of one meter, by day: better what is known of each, write it, let the totals follow."""
        live = [run.at for runs in told.values() for run in runs if run.source in LIVE]
        self._totals.begin_era(meter, live, outcome)
        changes = _Changes()
        for day, runs in told.items():
            self._better_day(meter, day, runs, changes, outcome)
        self._db.executemany("INSERT OR REPLACE INTO day VALUES (?, ?, ?)", changes.days)
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", changes.records)
        for channel, stretches in changes.energies.items():
            self._totals.settle(channel, stretches, outcome)

    def _better_day(self, meter: int, number: int, told: list[Run], changes: _Changes, outcome: Outcome) -> None:
        """Half-hours of one meter and day: read what is known of it and better it."""
        registers = {register for run in told for register in run.values}
        channels = {register: self._channel(meter, register) for register in (*registers, SEQ_REGISTER)}
        days = self._tables.registers(channels.values(), number)
        changed: dict[str, Sequence[int]] = {}
        for run in told:
            first, mark, scale = slot_of(run.at), SOURCES.index(run.source), self._scale(run.scale)
            for register, values in run.values.items():
                better, denied = _put(days[register], first, values, mark, scale)
                if better:
                    changed[register] = _merged(better, changed.get(register, better))
                outcome.contradicted += [moment(number, slot) for slot in denied]
        if not changed:
            return
        touched = _merged(*changed.values())
        outcome.kept += len(touched)
        changes.records += self._give_seqs(meter, number, touched, days[SEQ_REGISTER])
        for register in (SEQ_REGISTER, *changed):
            channel = channels[register]
            changes.days.append((number, channel.id, pack(days[register], day_key(number, channel.id))))
        for register, slots in changed.items():
            energies = changes.energies.setdefault(channels[register], [])
            energies += stretches_of(number, days[register], slots)

    def _give_seqs(self, meter: int, day: int, changed: Sequence[int], seqs: Day) -> Iterator[tuple[int, ...]]:
        """The records of half-hours that changed, in the order of time, each with a new seq.

        The one that a half-hour had is not used again.
        """
        for first, last in runs_of(changed):
            for kind, _, counts in seqs.between(first, last + 1):
                if kind == SEQ:
                    for seq in cast("Sequence[int]", counts):
                        self._take_out(seq)
            following = range(self._seq + 1, self._seq + last - first + 2)
            seqs.put(first, SEQ, following)
            self._seq = following[-1]
            yield following[0], meter, moment(day, first), len(following)

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
) -> tuple[Sequence[int], list[int]]:
    """Put what is better in its place: which boundaries changed, and at which something else is known better."""
    here = range(first, first + len(values))
    unknown = all(kind == NOTHING for kind, _, _ in day.between(first, here.stop))
    if unknown and (kind := _one_kind(values, mark, scale)):
        day.put(first, kind, cast("Sequence[int]", values) if kind.told else (None,) * len(values))
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


def _one_kind(values: Sequence[int | str | None], mark: int, scale: int) -> Kind | None:
    """What all of these are but for their counts; None where they are not alike."""
    first = values[0]
    alike = set(map(type, values)) == {int} if isinstance(first, int) else values.count(first) == len(values)
    return slot_of_value(first, mark, scale).kind if alike and first is not None else None


def _merged(first: Sequence[int], *others: Sequence[int]) -> Sequence[int]:
    """Boundaries of a day that are in any of these, in the order of time."""
    return first if all(each == first for each in others) else sorted({*first}.union(*others))


def _better(known: Slot, new: Slot) -> bool:
    """Whether what comes is to take the place of what is known: by what it tells, then by how it came."""
    if new.raw is None:
        return False
    if known.raw is None:
        return True
    if new.raw == known.raw:
        return new.scale != known.scale and (not known.scale or (bool(new.scale) and new.mark >= known.mark))
    return new.mark >= known.mark
