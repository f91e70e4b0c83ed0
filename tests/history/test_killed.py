"""The store killed at any moment: what it said is kept is there once, and it goes on."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.history import DAY, METER, NOON, at, batch, event, interval, records

from hemsd.history import calendar
from hemsd.history.database import copy_path
from hemsd.history.inbox import Batch
from hemsd.history.query import FILE_NAME
from hemsd.history.store import Retention, Store

# the parent does nothing but wait; threads that it may have are pytest's
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
Acknowledge = Callable[[int], None]


def batches() -> Iterator[Batch]:
    """A long day: half-hours as they come, events, days of backfill, corrections, a wrap, another meter."""
    for slot in range(6):
        yield batch(interval(slot, 999_990 + slot, "notified"), events=[event(f"slot {slot}")])
    yield batch(*(interval(slot, 999_900 + slot, "backfill", at=at(slot, DAY - 1)) for slot in range(48)))
    yield Batch(asked=[(METER, calendar.day(DAY - 1))])
    yield batch(*(interval(slot, 0, values={"import": "no_data", "export": slot}) for slot in range(3)))
    yield batch(interval(8, 3), interval(9, 4))  # wrapped, and a gap before
    yield batch(interval(9, 5, "notified"))  # corrected
    yield batch(interval(7, 1, "backfill"))
    yield batch(interval(10, 2), events=[event("fell")])
    new = {"meter": "zyxwvutsrq"}
    yield batch(*(interval(slot, 70 + slot, "backfill", **new) for slot in range(11, 14)))
    yield batch(interval(14, 90, **new), events=[event("exchanged"), event("again")])


LAST = len(list(batches())) - 1


def scenario(state: Path, acknowledge: Acknowledge, trace: Callable[[str], None]) -> None:
    """Keep it all, say after each batch that it is kept; copy and forget in between."""
    connect = sqlite3.connect

    def traced(*args: object, **more: object) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*args, **more)
        db.set_trace_callback(trace)
        return db

    sqlite3.connect = traced
    try:
        store = Store(state, Retention(), reserve_bytes=0)
        store.open(NOON)
        for number, each in enumerate(batches()):
            store.write(each)
            acknowledge(number)
            if number in (4, 9):
                copy_path(store.path).unlink(missing_ok=True)
                store.tidy(NOON + timedelta(days=number))
        store.close()
    finally:
        sqlite3.connect = connect


def killed_at(statement: int, state: Path) -> int:
    """Run the scenario in a process that kills itself before that statement, or after the last batch.

    Returns how many batches were acknowledged.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        seen = 0

        def trace(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        def acknowledge(batch: int) -> None:
            os.write(write, b"\n")
            if batch == LAST:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            scenario(state, acknowledge, trace)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read().splitlines()
    os.waitpid(pid, 0)
    return len(said)


def expected(count: int) -> tuple[dict[tuple[str, int], dict[str, int]], list[str]]:
    """What so many batches leave, by the rules in a few lines: the last of the highest source, null never."""
    values: dict[tuple[str, int], dict[str, tuple[int, int]]] = {}
    events: list[str] = []
    for each in list(batches())[:count]:
        events += [event.text for event in each.events]
        for run in each.runs:
            known = values.setdefault((run.meter, run.at), {})
            rank = ("backfill", "read", "notified").index(run.source)
            for register, (value,) in run.values.items():
                if isinstance(value, int) and rank >= known.get(register, (-1, 0))[0]:
                    known[register] = (rank, value)
    return {key: {name: value for name, (_, value) in known.items()} for key, known in values.items()}, events


def check(state: Path, acknowledged: int) -> None:
    """Whole by SQLite's own word; every acknowledged batch is there once, at most one more; and it goes on."""
    store = Store(state, Retention(), reserve_bytes=0)
    assert store.open(NOON) == []
    with closing(sqlite3.connect(f"{store.path.as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = contents(db)
    assert found in (expected(acknowledged), expected(acknowledged + 1))
    for each in batches():  # the meter is the queue behind: all of it may come again
        store.write(Batch(runs=each.runs, asked=each.asked))
    store.close()
    with closing(sqlite3.connect(store.path)) as db:
        whole, events = contents(db)
        assert whole == expected(99)[0]
        assert events == found[1]


def contents(db: sqlite3.Connection) -> tuple[dict[tuple[str, int], dict[str, int]], list[str]]:
    told = records(db)
    seqs = [record.seq for record in told]
    assert seqs == sorted(set(seqs))
    values, events = {}, []
    for record in told:
        if hasattr(record.content, "text"):
            events.append(record.content.text)
        else:
            key = record.content.meter, int(record.content.end.timestamp())
            assert key not in values
            counts = {"import": record.content.import_count, "export": record.content.export_count}
            values[key] = {name: count for name, count in counts.items() if count is not None}
    return values, events


def statements() -> int:
    with tempfile.TemporaryDirectory(dir=MEMORY) as state:
        seen: list[str] = []
        scenario(Path(state), lambda _: None, seen.append)
        check(Path(state), 99)
    return len(seen)


def test_it_survives_being_killed_at_every_statement() -> None:
    """At each of some hundred statements, copying and forgetting included."""
    total = statements()
    assert total > 250
    reached = set()
    for statement in range(1, total + 1):
        with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
            acknowledged = killed_at(statement, Path(directory))
            reached.add(acknowledged)
            check(Path(directory), acknowledged)
    assert reached == set(range(LAST + 1))


@pytest.mark.parametrize("seed", range(40))
def test_a_log_cut_anywhere_loses_its_tail_only(seed: int) -> None:
    """A write-ahead log of which the end never reached the disk: what is before it stays, in whole transactions."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        state = Path(directory)
        killed_at(0, state)
        log = state / f"{FILE_NAME}-wal"
        content = log.read_bytes()
        cut = chance.randrange(len(content))
        log.write_bytes(content[:cut] + chance.randbytes(len(content) - cut) * chance.randrange(2))
        (state / f"{FILE_NAME}-shm").unlink(missing_ok=True)
        store = Store(state, Retention(), reserve_bytes=0)
        store.open(NOON)
        store.close()
        with closing(sqlite3.connect(state / FILE_NAME)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert contents(db) in [expected(count) for count in range(LAST + 2)]
