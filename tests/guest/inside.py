"""Runs in the guest: keeps half-hours and events as fast as they go, and says what is kept; or checks them."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from hemsd.history import calendar
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale
from hemsd.history.query import FILE_NAME, open_readonly
from hemsd.history.store import Retention, Store
from hemsd.hub.messages import Domain, Event, RecordsAfter

STATE, HOST = Path("/var/lib/power-cut"), Path("/mnt/host")
ACKNOWLEDGED = HOST / "acknowledged"
FIRST = 1_735_657_200  # 2025-01-01 in Japan
NOW = datetime(2025, 1, 1, tzinfo=UTC)
COPY_EVERY = 100  # half-hours
LONGEST_S = 300.0


def keep() -> None:
    """Until the power is cut."""
    store = Store(STATE, Retention(), reserve_bytes=0)
    store.open(NOW)
    end = time.monotonic() + LONGEST_S
    acknowledged = os.open(ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT)
    number = 0
    while time.monotonic() < end:
        interval = Run("guest", FIRST + number * 1800, "notified", Scale(1000, 8), {"import": (number,)})
        event = Event(at=calendar.utc(interval.at), source=Domain.ROUTEB, kind="x", severity="info", text=str(number))
        store.write(Batch([interval], [event]))
        os.pwrite(acknowledged, f"{number:8}".encode(), 0)
        if number % COPY_EVERY == COPY_EVERY - 1:
            (STATE / "history.copy").unlink(missing_ok=True)
            store.tidy(NOW)
        number += 1


def check() -> None:
    """After the cut: everything acknowledged is there once, at most one more, and the next one can be kept."""
    acknowledged = int(ACKNOWLEDGED.read_text())
    store = Store(STATE, Retention(), reserve_bytes=0)
    restored = store.open(NOW)
    assert restored == [], restored
    store.close()
    with closing(sqlite3.connect(STATE / FILE_NAME)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    numbers: list[int] = []
    events: list[int] = []
    seqs: list[int] = []
    with open_readonly(STATE) as history:
        while True:
            asked = RecordsAfter(request="", asker=Domain.OPERATOR, seq=seqs[-1] if seqs else 0, limit=1000)
            if not (records := history.records(asked).records):
                break
            seqs += [record.seq for record in records]
            events += [int(each.content.text) for each in records if isinstance(each.content, Event)]
            numbers += [each.content.import_count or 0 for each in records if not isinstance(each.content, Event)]
    assert numbers == events == list(range(len(numbers))), "not each once"
    assert seqs == sorted(set(seqs))
    assert len(numbers) - 1 in (acknowledged, acknowledged + 1), (len(numbers), acknowledged)
    print(f"acknowledged {acknowledged + 1}, kept {len(numbers)}, each once; integrity ok")


if __name__ == "__main__":
    print(os.uname().release, sys.version.split()[0], "SQLite", sqlite3.sqlite_version)
    STATE.mkdir(mode=0o700, exist_ok=True)
    {"keep": keep, "check": check}[sys.argv[1]]()
