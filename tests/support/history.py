"""A history in memory or in a directory, half-hours to put into it, and a thread that is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, date, datetime
from typing import Any

from hemsd.history import calendar
from hemsd.history.counters import Counter, Piece, Reading
from hemsd.history.database import migrate
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale
from hemsd.history.query import History
from hemsd.history.schema import HISTORY
from hemsd.hub.messages import Domain, Event, HistoryQuery, HistoryRow, Record, RecordsAfter

METER = "abcdefghij"
TENTH = Scale(1_000, 6)  # 0.1 kWh, six digits
DAY = calendar.number(date(2025, 1, 15))
NOON = datetime(2025, 1, 15, 3, tzinfo=UTC)


class Inline(Executor):
    """Does everything at once, for tests in virtual time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class _Fleeting(sqlite3.Connection):
    """Closed when nobody has it any more; others are told of since Python 3.13."""

    def __del__(self) -> None:
        self.close()


def in_memory(migrations: Sequence[str] = HISTORY) -> sqlite3.Connection:
    """An empty database, a history.db by default."""
    db = sqlite3.connect(":memory:", isolation_level=None, factory=_Fleeting)
    migrate(db, migrations)
    return db


def at(slot: int, day: int = DAY) -> int:
    """A half-hour of the day, or so many after its midnight."""
    return calendar.moment(day) + slot * calendar.HALF_HOUR_S


def interval(slot: int, count: int | str, source: Any = "read", **more: Any) -> Run:
    """The import register at a half-hour of the day; `values` of others beside it."""
    values: Mapping[str, int | str] = {"import": count} | more.pop("values", {})
    told = {register: (value,) for register, value in values.items()}
    return Run(**{"meter": METER, "at": at(slot), "source": source, "scale": TENTH, "values": told} | more)


def batch(*runs: Run, events: Iterable[Event] = ()) -> Batch:
    return Batch(list(runs), list(events))


def event(text: str, when: datetime = NOON) -> Event:
    return Event(at=when, source=Domain.ROUTEB, kind="test.kind", severity="info", text=text)


def rows(db: sqlite3.Connection, what: Any, now: datetime = NOON, **more: Any) -> list[HistoryRow]:
    """All rows of a query."""
    query = HistoryQuery(request="q", asker=Domain.OPERATOR, what=what, **more)
    return [row for answer in History(db).query(query, now) for row in answer.rows]


def records(db: sqlite3.Connection, seq: int = 0, limit: int = 1000) -> list[Record]:
    """What was kept after a cursor."""
    return list(History(db).records(RecordsAfter(request="r", asker=Domain.GATEWAY, seq=seq, limit=limit)).records)


def pieces_of(readings: Iterable[Reading]) -> list[Piece]:
    """The pieces of a whole life, its readings in the order of time."""
    counter = Counter()
    return [piece for reading in readings if (piece := counter.add(reading)[1]) is not None]
