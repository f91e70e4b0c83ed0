"""The two databases in the state directory as one store that heals itself; for one thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec import Struct

from hemsd.history.calendar import DAY_S
from hemsd.history.database import (
    Damaged,
    copy_path,
    explained,
    identity,
    leap,
    make_copy,
    open_database,
    restore,
)
from hemsd.history.inbox import Batch
from hemsd.history.keeper import Keeper
from hemsd.history.query import FILE_NAME, History
from hemsd.history.samples import Samples
from hemsd.history.schema import HISTORY, SAMPLES
from hemsd.history.totals import Outcome
from hemsd.hub.messages import HistoryHead, MeterMinute, MeterReading

T = TypeVar("T")

SAMPLES_NAME = "samples.db"
EVENTS_MAX = 100_000
COPIED_BYTES_A_DAY = 200_000  # what copying may cost a memory card; a small database is copied every day,
COPY_DAYS = (1, 45)  # a large one seldom: what a copy lacks, the meter still remembers
RESERVE_BYTES = 64 << 20  # samples leave this much of the disk free


class Retention(Struct, frozen=True):
    """Days that are kept of what is not kept for ever."""

    samples_days: int = 14
    minutes_days: int = 366
    events_days: int = 366


class Restored(NamedTuple):
    """What became of a damaged database."""

    aside: Path
    good: bool  # the last good copy is in its place; otherwise it begins anew
    reason: str


class Store:
    """Opens with open(). Every method may raise DiskTrouble; Damaged calls for heal()."""

    def __init__(self, state: Path, retention: Retention, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.path = state / FILE_NAME
        self.samples_path = state / SAMPLES_NAME
        self._retention = retention
        self._reserve_bytes = reserve_bytes
        self._db: sqlite3.Connection | None = None
        self._samples_db: sqlite3.Connection | None = None

    def open(self, now: datetime) -> list[Restored]:
        """Open both, or put what is damaged aside first. Raises NewerDatabase, DiskTrouble."""
        self.close()
        restored = []
        with explained(self.path):
            emptied = self.path.exists() and self.path.stat().st_size == 0
        if copy_path(self.path).exists() and (emptied or not self.path.exists()):
            restored.append(self._restore(now, "it was empty or gone"))
        try:
            self._db = open_database(self.path, HISTORY, durable=True)
        except Damaged as error:
            restored.append(self._restore(now, str(error)))
            self._db = open_database(self.path, HISTORY, durable=True)
        try:
            self._samples_db = open_database(self.samples_path, SAMPLES, durable=False)
        except Damaged as error:
            restored.append(Restored(*restore(self.samples_path, now), str(error)))
            self._samples_db = open_database(self.samples_path, SAMPLES, durable=False)
        self.history = History(self._db)
        if not self.history.highest():
            leap(self._db, now)
        self.identity = identity(self._db)
        self._keeper, self._samples = Keeper(self._db), Samples(self._samples_db)
        return restored

    def heal(self, now: datetime, reason: str) -> list[Restored]:
        """Put history aside, because reading or writing found damage in it, and open again."""
        self.close()
        return [self._restore(now, reason), *self.open(now)]

    def _restore(self, now: datetime, reason: str) -> Restored:
        return Restored(*restore(self.path, now), reason)

    def close(self) -> None:
        """Safe to call twice."""
        for db in (self._db, self._samples_db):
            if db is not None:
                db.close()
        self._db = self._samples_db = None

    def head(self) -> HistoryHead:
        """How far this history has come."""
        with explained(self.path):
            return HistoryHead(history=self.identity, seq=self.history.highest())

    def write(self, batch: Batch) -> Outcome:
        """Keep half-hours, events and days asked; what this returns from is there after a power cut."""
        with explained(self.path):
            return self._keeper.keep(batch)

    def write_samples(self, readings: Sequence[MeterReading], minutes: Sequence[MeterMinute]) -> bool:
        """Keep live values; False where the disk has no room left for them."""
        with explained(self.samples_path):
            disk = os.statvfs(self.samples_path.parent)
            if disk.f_bavail * disk.f_frsize < self._reserve_bytes:
                return False
            self._samples.write(readings, minutes)
            return True

    def newest_sample(self) -> datetime | None:
        """When the last live value was read."""
        with explained(self.samples_path):
            return self._samples.newest()

    def ask(self, question: Callable[[History], T]) -> T:
        """The answer to a question."""
        with explained(self.path):
            return question(self.history)

    def tidy(self, now: datetime) -> None:
        """Forget what is too old, and copy the database when it is time to."""
        with explained(self.path):
            present = self._present(int(now.timestamp()))
            if present is not None:
                keep = self._retention
                self._keeper.forget_events((present - keep.events_days * DAY_S) * 1_000_000, EVENTS_MAX)
                self._samples.prune(present - keep.samples_days * DAY_S, present - keep.minutes_days * DAY_S)
            if self._db is not None and self._copy_is_due(now):
                make_copy(self._db, self.path)

    def _present(self, now: int) -> int | None:
        """The present as the meter's clock confirms it: ours may have jumped, and nothing is to be lost by that."""
        newest = self.history.newest()
        return None if newest is None else min(now, newest + DAY_S)

    def _copy_is_due(self, now: datetime) -> bool:
        copy = copy_path(self.path)
        if not copy.exists():
            return self.history.head() > 0
        shortest, longest = COPY_DAYS
        days = min(max(self.path.stat().st_size / COPIED_BYTES_A_DAY, shortest), longest)
        return abs(now.timestamp() - copy.stat().st_mtime) > days * DAY_S

    def size_bytes(self) -> int:
        """Of all files together."""
        with explained(self.path):
            files = (each for name in (FILE_NAME, SAMPLES_NAME) for each in self.path.parent.glob(f"{name}*"))
            return sum(each.stat().st_size for each in files)
