"""The store of history with the 51 registers of a distribution board: bytes written, size, speed of a year."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from hemsd.history import calendar
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale
from hemsd.history.query import History, open_readonly
from hemsd.history.store import Retention, Store
from hemsd.hub.messages import Domain, HistoryQuery
from tests.benchmarks.report import Row

REGISTERS = ("import", "export", *(f"circuit {number}" for number in range(1, 50)))
FIRST = calendar.number(date(2025, 1, 1))
SETTLED, WATCHED, YEAR, TEN_YEARS = 15, 45, 366, 3653  # days
TRIES = 21


async def history_store() -> list[Row]:
    """Bytes written in a day and size of ten years with 51 registers, and a year by month."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch)
        written, grown, seconds = measure(path)
    return [
        Row(name="written a day, 51 registers", unit="MB", hemsd=written / 1e6, goal=1.5),
        Row(name="ten years, 51 registers", unit="MB", hemsd=grown * TEN_YEARS / 1e6, goal=45),
        Row(name="a year by month", unit="ms", hemsd=seconds * 1e3, goal=1),
    ]


def measure(path: Path) -> tuple[float, float, float]:
    """Bytes that go to the disk in a day, bytes that the files grow by in a day, seconds of a query."""
    store = Store(path, Retention())
    now = calendar.utc(calendar.moment(FIRST + YEAR))
    store.open(now)
    values = registers()
    for day in range(SETTLED):
        half_hourly(store, day, values)
    store.close()  # folds the log into the database, whose size is the point
    size = store.size_bytes()
    before = bytes_written()
    store.open(now)
    for day in range(SETTLED, SETTLED + WATCHED):
        half_hourly(store, day, values)
    store.close()
    written, grown = bytes_written() - before, store.size_bytes() - size
    store.open(now)
    for day in range(SETTLED + WATCHED, YEAR):
        store.write(Batch([interval(day, slot, next(values)) for slot in range(calendar.SLOTS)]))
    store.close()
    with open_readonly(path) as history:
        seconds = median(year_by_month(history) for _ in range(TRIES))
    return written / WATCHED, grown / WATCHED, seconds


def registers() -> Iterator[dict[str, int]]:
    """What the registers show at one half-hour after the other: counts of 1 Wh, as circuits are metered."""
    chance = random.Random(1)
    counts = {name: chance.randrange(1_000_000) for name in REGISTERS}
    while True:
        counts = {name: count + chance.choice((0, 3, 20, 70, 400)) for name, count in counts.items()}
        yield dict(counts)


def half_hourly(store: Store, day: int, values: Iterator[dict[str, int]]) -> None:
    """A day as it comes: each half-hour is durable when it is there."""
    for slot in range(calendar.SLOTS):
        store.write(Batch([interval(day, slot, next(values))]))


def interval(day: int, slot: int, values: dict[str, int]) -> Run:
    told = {register: (count,) for register, count in values.items()}
    return Run("board", calendar.moment(FIRST + day, slot), "notified", Scale(10, 8), told)


def year_by_month(history: History) -> float:
    """Seconds for twelve months."""
    first, last = calendar.day(FIRST), calendar.day(FIRST + 364)
    query = HistoryQuery(request="", asker=Domain.OPERATOR, what="month", first=first, last=last)
    began = time.perf_counter()
    (answer,) = history.query(query, calendar.utc(calendar.moment(FIRST + YEAR)))
    took = time.perf_counter() - began
    assert len(answer.rows) == 12
    assert all(row.coverage == 1 for row in answer.rows)
    return took


def bytes_written() -> int:
    """By this process, to disks (proc(5)); logs and folding them in included."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise AssertionError("no write_bytes")
