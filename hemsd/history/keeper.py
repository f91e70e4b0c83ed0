"""Writes half-hours into history.db: what is better than what is known, once, with a seq; totals and spans follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, cast

from hemsd.history.calendar import DAY_S, HALF_HOUR_S, SLOTS, day_of, moment, number, slot_of
from hemsd.history.database import HEAD, day_key, transaction
from hemsd.history.days import SOURCES, STATE_KINDS, Day, Kind, Slot, pack, pack_countless
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale, slot_of_value
from hemsd.history.tables import Channel, Tables
from hemsd.history.totals import Outcome, Stretch, Totals, runs_of, stretches_of
from hemsd.hub.messages import Event

LIVE = ("notified", "read")  # sources that tell which meter is there now
ASKED = "INSERT OR IGNORE INTO asked SELECT ?, value FROM json_each(?)"
TEXT_LIMIT = 2000


@dataclass(slots=True)
class _Changes:
    """What half-hours of one meter led to, to be written."""

    channels: Mapping[str, Channel]  # of the meter, by register
    days: list[tuple[int, int, bytes | bytearray]] = field(default_factory=list)  # rows of day
    whole: list[int] = field(default_factory=list)  # days of which nothing was known and nothing is missing now
    records: list[tuple[int, ...]] = field(default_factory=list)  # rows of record
    energies: dict[str, list[Stretch]] = field(default_factory=dict)  # became known or changed, by register


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
            whole = self._keep_runs(batch.runs, outcome)
            self._keep_events(batch.events)
            for name, asked in groupby(batch.asked, key=itemgetter(0)):
                meter = self._meter(name)
                if days := [day for _, each in asked if (meter, day := number(each)) not in whole]:
                    self._db.execute(ASKED, (meter, str(days)))
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

    def _keep_runs(self, runs: Iterable[Run], outcome: Outcome) -> set[tuple[int, int]]:
        """Keep half-hours; of which meter, by its number, which days are new and lack nothing."""
        whole: set[tuple[int, int]] = set()
        days: dict[tuple[str, int], list[Run]] = {}
        for run in runs:
            days.setdefault((run.meter, day_of(run.at)), []).append(run)
        for name, told in groupby(days.items(), key=lambda each: each[0][0]):
            meter = self._meter(name)
            new = self._keep_days(meter, {day: runs for (_, day), runs in told}, outcome)
            whole |= {(meter, day) for day in new}
        return whole

    def _keep_days(self, meter: int, told: Mapping[int, list[Run]], outcome: Outcome) -> list[int]:
        """Half-hours of one meter, by day: better what is known of each, write it, let the totals follow.

        Returns the days that are new and lack nothing.
        """
        runs = [*chain.from_iterable(told.values())]
        self._totals.begin_era(meter, (run.at for run in runs if run.source in LIVE), outcome)
        for register in dict.fromkeys(chain.from_iterable([run.values for run in runs])):
            self._add_channel(meter, register)
        changes = _Changes(self._tables.channels_of(meter))
        known = self._tables.registers(changes.channels.values(), told)
        for day, runs in told.items():
            if day not in known and len(runs) == 1 and runs[0].whole:  # most of a meter's memory
                self._new_day(meter, day, runs[0], changes, outcome)
            else:
                self._better_day(meter, day, runs, known.get(day, {}), changes, outcome)
        self._db.executemany("INSERT OR REPLACE INTO day VALUES (?, ?, ?)", changes.days)
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", changes.records)
        for register, stretches in changes.energies.items():
            self._totals.settle(changes.channels[register], stretches, outcome)
        return changes.whole

    def _new_day(self, meter: int, number: int, run: Run, changes: _Changes, outcome: Outcome) -> None:
        """A whole day, of which nothing is known: the same as _better_day() at a third of the work."""
        scale = self._scale(run.scale)
        counted = Kind(SOURCES.index(run.source), scale)
        whole = bool(scale)
        values: Any
        packed: bytes | bytearray
        for register, values in run.values.items():
            channel, why = changes.channels[register].id, values[0]
            key = day_key(number, channel)
            if why in STATE_KINDS:
                packed = pack_countless(STATE_KINDS[why], key)
                whole = whole and why == "absent"
            else:
                packed = pack(Day(((counted, values),)), key)
                if scale:
                    stretch = Stretch(run.at, run.at + (SLOTS - 1) * HALF_HOUR_S, [*values], {scale})
                    changes.energies.setdefault(register, []).append(stretch)
            changes.days.append((number, channel, packed))
        if whole:
            changes.whole.append(number)
        changes.records.append((self._seq + 1, meter, run.at, SLOTS))
        self._seq += SLOTS
        outcome.kept += SLOTS

    def _better_day(
        self, meter: int, number: int, told: list[Run], days: dict[str, Day], changes: _Changes, outcome: Outcome
    ) -> None:
        """Half-hours of one meter and day, and what is known of each register: better it."""
        before = [Day(day.parts) for day in days.values()]
        changed: dict[str, Sequence[int]] = {}
        for run in told:
            first, counted = slot_of(run.at), Kind(SOURCES.index(run.source), self._scale(run.scale))
            for register, values in run.values.items():
                if (day := days.get(register)) is None:
                    day = days[register] = Day()
                better, denied = _put(day, first, values, counted)
                if better:
                    changed[register] = _merged([better, changed.get(register, better)])
                if denied:
                    outcome.contradicted += [moment(number, slot) for slot in denied]
        if not changed:
            return
        touched = _merged([*changed.values()])
        outcome.kept += len(touched)
        if before and (again := [slot for slot in touched if any(day[slot] for day in before)]):
            self._take_out(meter, {moment(number, slot) for slot in again})
        for first, last in runs_of(touched):
            length = last - first + 1
            changes.records.append((self._seq + 1, meter, moment(number, first), length))
            self._seq += length
        for register, slots in changed.items():
            channel, day = changes.channels[register].id, days[register]
            changes.days.append((number, channel, pack(day, day_key(number, channel))))
            changes.energies.setdefault(register, []).extend(stretches_of(number, day, slots))

    def _take_out(self, meter: int, gone: Set[int]) -> None:
        """These half-hours, which get new seqs, have theirs no more; those beside them in a row keep theirs."""
        query = "SELECT seq, at, half_hours FROM record WHERE meter = ? AND at BETWEEN ? AND ?"
        earliest = min(gone) - DAY_S  # the half-hours of a row are of one day
        for seq, at, length in self._db.execute(query, (meter, earliest, max(gone))).fetchall():
            left = [number for number in range(length) if at + number * HALF_HOUR_S not in gone]
            if len(left) < length:
                self._db.execute("DELETE FROM record WHERE seq = ?", (seq,))
                rows = [(seq + a, meter, at + a * HALF_HOUR_S, b - a + 1) for a, b in runs_of(left)]
                self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", rows)

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

    def _add_channel(self, meter: int, register: str) -> None:
        channels = self._tables.channels
        if (meter, register) not in channels:
            number = self._added("INSERT INTO channel (meter, register) VALUES (?, ?)", meter, register)
            channels[meter, register] = Channel(number, meter, register)

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
    day: Day, first: int, values: Sequence[int | str | None], counted: Kind
) -> tuple[Sequence[int], Sequence[int]]:
    """Put what is better in its place: which boundaries changed, and at which something else is known better."""
    stop = first + len(values)
    if not day.known(first, stop) and (kind := _one_kind(values, counted)):
        day.put(first, kind, cast("Sequence[int]", values) if kind is counted else (None,) * len(values))
        return range(first, stop), ()
    better, denied = [], []
    for slot, value in enumerate(values, first):
        if value is None:
            continue
        known, new = day[slot], slot_of_value(value, *counted)
        if known is None or _better(known, new):
            day[slot] = new
            better.append(slot)
        elif new.raw is not None and new.raw != known.raw:
            denied.append(slot)
    return better, denied


def _one_kind(values: Sequence[int | str | None], counted: Kind) -> Kind | None:
    """What all of these are but for their counts; None where they are not alike."""
    first = values[0]
    if isinstance(first, int):
        return counted if list(map(type, values)).count(int) == len(values) else None
    return STATE_KINDS.get(first) if values.count(first) == len(values) else None


def _merged(many: list[Sequence[int]]) -> Sequence[int]:
    """Boundaries of a day that are in any of these, in the order of time."""
    first = many[0]
    return first if many.count(first) == len(many) else sorted({*first}.union(*many))


def _better(known: Slot, new: Slot) -> bool:
    """Whether what comes is to take the place of what is known: by what it tells, then by how it came."""
    if new.raw is None:
        return False
    if known.raw is None:
        return True
    if new.raw == known.raw:
        return new.scale != known.scale and (not known.scale or (bool(new.scale) and new.mark >= known.mark))
    return new.mark >= known.mark
