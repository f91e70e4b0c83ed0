"""Reads history: records after a cursor, energy by period, gaps, and what the meter could still be asked for.

Works beside a daemon that writes, and without one: every answer is made of what stands in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from hemsd.history import calendar
from hemsd.history.calendar import HALF_HOUR_S, SLOTS, day_of, moment, periods, slot_of
from hemsd.history.counters import Piece
from hemsd.history.database import HEAD, LAST_RECORD, explained, open_to_read
from hemsd.history.days import SOURCES, Day
from hemsd.history.intervals import EXPORT, IMPORT, kwh, message_of
from hemsd.history.schema import HISTORY
from hemsd.history.tables import DayByDay, Span, Tables, total
from hemsd.hub.messages import (
    SHOWN_DAYS,
    Domain,
    Event,
    HistoryAnswer,
    HistoryQuery,
    HistoryRow,
    Lifetime,
    LifetimeEnergy,
    Record,
    Records,
    RecordsAfter,
)

FILE_NAME = "history.db"
ROWS_IN_AN_ANSWER = 500
RECORDS_LIMIT = 1000
TEXT_IN_AN_ANSWER = 100_000  # characters of events: with the rest less than a line of hemsd.hub.wire
LARGEST_SEQ = FOREVER = 1 << 62
DUE_AFTER_S = 15 * 60  # a half-hour younger than this may still come by itself


@contextmanager
def open_readonly(state: Path) -> Iterator[History]:
    """The history in a state directory, for reading, with or without a daemon. Raises StoreError."""
    path = state / FILE_NAME
    db = open_to_read(path, HISTORY)
    try:
        with explained(path):
            yield History(db)
    finally:
        db.close()


class Summary(NamedTuple):
    """How much there is."""

    half_hours: int
    missing: int  # since the first of them


class _Register(NamedTuple):
    """One register of this home, or of it while one meter was there, ready to be asked for many periods."""

    tables: Tables
    chain: list[Span]  # where it is known
    sure: list[tuple[int, int]]  # and what was used is, too
    pieces: list[Piece]

    @classmethod
    def of(cls, tables: Tables, name: str, meter: int | None) -> _Register:
        chain = [span for span in tables.chain(name) if meter in (None, span.channel.meter)]
        pieces = tables.pieces(name)
        return cls(tables, chain, list(_without_doubt(chain, pieces)), pieces)

    def begun(self, at: int) -> bool:
        """Whether the register was there before a moment."""
        return bool(self.chain) and self.chain[0].first < at

    def covered_s(self, start: int, end: int) -> int:
        """Seconds of a period of which it is sure what was used."""
        return sum(min(last, end) - max(first, start) for first, last in self.sure if first < end and last > start)

    def used_kwh(self, start: int, end: int) -> float:
        """The difference of the lifetime totals at the first and the last boundary known within a period."""
        inside = [span for span in self.chain if span.first <= end and span.last >= start]
        edges = ((inside[0], max(inside[0].first, start)), (inside[-1], min(inside[-1].last, end)))
        first, last = (total(self.pieces, self.tables.reading(span, at)) for span, at in edges)
        return kwh(last - first)

    def shown(self, at: int) -> tuple[float | None, str]:
        """What the register showed at a boundary, and how that came; no source where it is not known."""
        for span in self.chain:
            if span.first <= at <= span.last and (slot := self.tables.slot(span.channel, at)) is not None:
                return kwh((slot.raw or 0) * self.tables.scales[slot.scale].ticks), SOURCES[slot.mark]
        return None, ""

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """From one known boundary to the next that has others between, and from the last one to the end."""
        for number, span in enumerate(self.chain):
            following = self.chain[number + 1].first if number + 1 < len(self.chain) else None
            begin, end = max(span.last, first), min(last if following is None else following, last)
            if end - begin > HALF_HOUR_S or (following is None and end > begin):
                yield begin, end


class History:
    """Answers out of one connection. Raises DayDamaged and sqlite3.Error where the file is not whole."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    # --- energy by period

    def query(self, query: HistoryQuery, now: datetime | None = None) -> Iterator[HistoryAnswer]:
        """One or more answers, the last with `last`; periods that have not begun yet have no row."""
        until = int((now or datetime.now(UTC)).timestamp())
        tables = DayByDay(self._db) if query.what == "30m" else Tables(self._db)
        meter, error = self._meter(tables, query.meter)
        rows = iter(()) if error else self._rows(tables, query, until)
        chunk = tuple(islice(rows, ROWS_IN_AN_ANSWER))
        while True:
            following = tuple(islice(rows, ROWS_IN_AN_ANSWER))
            last = not following
            yield HistoryAnswer(
                request=query.request, to=query.asker, meter=meter, rows=chunk, last=last, error=error
            )
            if last:
                return
            chunk = following

    def _meter(self, tables: Tables, name: str | None) -> tuple[str | None, str]:
        """The meter an answer is about, and why there is none."""
        if name is not None:
            return name, "" if name in tables.meters else f"there is no history of a meter {name}"
        eras = tables.eras
        if not eras:
            return None, "there is no history yet"
        return next(name for name, number in tables.meters.items() if number == eras[-1][1]), ""

    def _rows(self, tables: Tables, query: HistoryQuery, until: int) -> Iterator[HistoryRow]:
        meter = None if query.meter is None else tables.meters[query.meter]
        registers = {name: _Register.of(tables, name, meter) for name in (IMPORT, EXPORT)}
        known = [span for register in registers.values() for span in register.chain]
        if not known:
            return
        today = calendar.day(day_of(until))
        begun = calendar.day(day_of(min(span.first for span in known)))
        last = min(query.last or today, today)
        if query.what == "gaps":
            first, end = moment(calendar.number(query.first or begun)), moment(calendar.number(last) + 1)
            gaps = (gap for register in registers.values() for gap in register.gaps(first, min(end, due(until))))
            for begin, finish in _merged(gaps):
                yield HistoryRow(start=calendar.utc(begin), end=calendar.utc(finish))
            return
        first_day = query.first or last - timedelta(days=SHOWN_DAYS[query.what] - 1)
        for start, end in periods(query.what, max(first_day, begun), last):
            if start < until:
                yield _row(registers, start, end, until)

    def records(self, asked: RecordsAfter) -> Records:
        """What was kept after a cursor, at most RECORDS_LIMIT, in the order of seq."""
        limit = max(1, min(asked.limit, RECORDS_LIMIT))
        query = "SELECT seq, meter, at, half_hours FROM record WHERE seq > ? - ? ORDER BY seq LIMIT ?"
        after = max(0, min(asked.seq, LARGEST_SEQ), 0 if asked.last_days is None else self._before(asked.last_days))
        runs = self._db.execute(query, (after, SLOTS, limit + SLOTS)).fetchall()
        half_hours = (
            (seq + number, meter, at + number * HALF_HOUR_S)
            for seq, meter, at, length in runs
            for number in range(length)
            if seq + number > after
        )
        query = "SELECT seq, at_us, source, kind, severity, text FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        events = [_event(row) for row in self._db.execute(query, (after, limit))]
        tables = Tables(self._db)
        names = {number: name for name, number in tables.meters.items()}
        days: dict[tuple[int, int], dict[str, Day | None]] = {}
        found = []
        for seq, meter, at in islice(half_hours, limit):
            if (day := days.get((meter, day_of(at)))) is None:
                channels = (tables.channels.get((meter, register)) for register in (IMPORT, EXPORT))
                day = {each.register: tables.day(each, day_of(at)) for each in channels if each is not None}
                days[meter, day_of(at)] = day
            slots = {register: slots[slot_of(at)] for register, slots in day.items() if slots is not None}
            found.append(Record(seq=seq, content=message_of(names[meter], at, slots, tables.scales)))
        merged = sorted([*found, *events], key=lambda record: record.seq)[:limit]
        return Records(request=asked.request, to=asked.asker, records=tuple(_fitting(merged)), head=self.head())

    def _before(self, days: int) -> int:
        """The seq before the first record of the last days; the newest one where they are none."""
        since = (self.newest() or 0) - days * calendar.DAY_S
        query = """SELECT min(seq + max(0, (:since - at) / :step + 1)) FROM record
                   WHERE at + (half_hours - 1) * :step > :since"""
        first = self._db.execute(query, {"since": since, "step": HALF_HOUR_S}).fetchone()
        first += self._db.execute("SELECT min(seq) FROM event WHERE at_us > ?", (since * 1_000_000,)).fetchone()
        return min((seq - 1 for seq in first if days and seq is not None), default=self.head())

    def head(self) -> int:
        """The newest seq of a record, 0 where there is none."""
        head: int = self._db.execute(f"SELECT {LAST_RECORD}").fetchone()[0]
        return head

    def highest(self) -> int:
        """The highest seq that was ever given away, to a record or not."""
        highest: int = self._db.execute(HEAD).fetchone()[0]
        return highest

    def newest(self) -> int | None:
        """The newest boundary known, by the meters' clocks."""
        newest: int | None = self._db.execute("SELECT max(last) FROM span").fetchone()[0]
        return newest

    def lifetime(self) -> LifetimeEnergy:
        """The lifetime totals of the house at the newest half-hours known."""
        tables = Tables(self._db)
        return LifetimeEnergy(imported=_lifetime(tables, IMPORT), exported=_lifetime(tables, EXPORT))

    # --- what is missing

    def missing_days(self, meter: str, now: datetime, memory_days: int) -> list[date]:
        """Days, newest first, of which the meter may still hold a half-hour that is not known.

        `memory_days` is how far back the meter remembers, today included. Days that it gave completely are left out.
        """
        tables = Tables(self._db)
        number = tables.meters.get(meter)
        channels = [channel for (of, _), channel in tables.channels.items() if of == number]
        known = [spans for channel in channels if (spans := tables.spans(channel))]
        asked = {day for (day,) in self._db.execute("SELECT day FROM asked WHERE meter = ?", (number,))}
        end, today = due(int(now.timestamp())), day_of(int(now.timestamp()))
        missing = []
        for day in range(today, today - memory_days, -1):
            first, last = moment(day), min(moment(day, SLOTS - 1), end)
            complete = known and all(any(begin <= first and last <= stop for begin, stop in each) for each in known)
            if day not in asked and first <= last and not complete:
                missing.append(calendar.day(day))
        return missing

    def summary(self, now: datetime) -> Summary:
        """How much is kept, and how much of what should be is missing."""
        tables = Tables(self._db)
        count = self._db.execute("SELECT ifnull(sum(half_hours), 0) FROM record").fetchone()[0]
        gaps = _merged(
            gap
            for name in (IMPORT, EXPORT)
            for gap in _Register.of(tables, name, None).gaps(0, due(int(now.timestamp())))
        )
        return Summary(count, sum((end - begin) // HALF_HOUR_S for begin, end in gaps))


def _lifetime(tables: Tables, register: str) -> Lifetime | None:
    chain, pieces = tables.chain(register), tables.pieces(register)
    if not chain or not pieces:
        return None
    reading = tables.reading(chain[-1], chain[-1].last)
    names = {number: name for name, number in tables.meters.items()}
    return Lifetime(
        meter=names[reading.meter],
        at=datetime.fromtimestamp(reading.at, UTC),
        total_kwh=kwh(total(pieces, reading)),
        register_kwh=None if pieces[-1].holds else kwh(reading.raw * reading.ticks),
    )


def due(until: int) -> int:
    """The newest boundary that should be known by now."""
    return (until - DUE_AFTER_S) // HALF_HOUR_S * HALF_HOUR_S


def _row(registers: dict[str, _Register], start: int, end: int, until: int) -> HistoryRow:
    """One period; a register that had not begun then is not missed."""
    passed_s = min(end, until // HALF_HOUR_S * HALF_HOUR_S) - start
    begun = {name: register for name, register in registers.items() if register.begun(end)}
    covered = {name: register.covered_s(start, end) for name, register in begun.items()}
    used = {name: begun[name].used_kwh(start, end) for name, covered_s in covered.items() if covered_s}
    shown = {name: register.shown(end) for name, register in begun.items()} if end - start == HALF_HOUR_S else {}
    return HistoryRow(
        start=calendar.utc(start),
        end=calendar.utc(end),
        imported_kwh=used.get(IMPORT),
        exported_kwh=used.get(EXPORT),
        coverage=min(1.0, min(covered.values(), default=0) / passed_s) if passed_s > 0 else 0.0,
        energy_import_kwh=shown.get(IMPORT, (None, ""))[0],
        energy_export_kwh=shown.get(EXPORT, (None, ""))[0],
        source=next((source for _, source in shown.values() if source), ""),
    )


def _fitting(records: Iterable[Record]) -> Iterator[Record]:
    """As many as fit into one answer, and at least one."""
    room = TEXT_IN_AN_ANSWER
    for record in records:
        if room <= 0:
            return
        yield record
        room -= len(record.content.text) if isinstance(record.content, Event) else 0


def _without_doubt(chain: list[Span], pieces: list[Piece]) -> Iterator[tuple[int, int]]:
    """The spans of a chain without the times of which it is not known what was used."""
    doubts: list[tuple[int, int]] = []
    for number, piece in enumerate(pieces):
        if piece.doubt_from is not None:
            following = pieces[number + 1].since if number + 1 < len(pieces) else FOREVER
            doubts.append((piece.doubt_from, following if piece.holds else piece.since))
    for first, last, _ in chain:
        for begin, end in doubts:
            if begin < last and end > first:
                if begin > first:
                    yield first, begin
                first = max(first, end)
        if first < last:
            yield first, last


def _merged(gaps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Gaps of several registers as those of the home, in the order of time."""
    last: tuple[int, int] | None = None
    for begin, end in sorted(gaps):
        if last is not None and begin <= last[1]:
            last = (last[0], max(last[1], end))
        else:
            if last is not None:
                yield last
            last = (begin, end)
    if last is not None:
        yield last


def _event(row: tuple[int, int, str, str, Literal["info", "warning", "error"], str]) -> Record:
    seq, at_us, source, kind, severity, text = row
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)
    event = Event(at=at, source=Domain(source), kind=kind, severity=severity, text=text)
    return Record(seq=seq, content=event)
