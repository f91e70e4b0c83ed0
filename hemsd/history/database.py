"""Opening a SQLite database so that it is whole: migrations, checks, the last good copy, and what its errors mean."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hemsd.history.calendar import CLOCK_SET
from hemsd.history.days import DayDamaged, unpack

ASIDE_KEPT = 2  # damaged files, the newest; more of them would eat the disk
SEQ_LEAP = 1_000_000  # what was given away since a copy was made is less: no seq comes twice
BUSY_S = 10.0


class StoreError(Exception):
    """The database cannot be used now; the text says what to do."""


class NewerDatabase(StoreError):
    """Written by a newer hemsd."""


class DiskTrouble(StoreError):
    """The disk is full, read-only or failing. What is in the database stays good."""


class Damaged(StoreError):
    """The file does not hold what was written to it."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what SQLite and the file system complain of as a StoreError; a fault of ours stays what it is."""
    try:
        yield
    except DayDamaged as error:
        raise Damaged(f"{path}: {error}") from error
    except OSError as error:
        raise DiskTrouble(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except sqlite3.Error as error:
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                raise Damaged(f"{path}: {error}") from error
            case sqlite3.SQLITE_FULL:
                raise DiskTrouble(f"{path}: the disk is full; make room on it") from error
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                text = "it cannot be written: no permission, or the disk is read-only"
                raise DiskTrouble(f"{path}: {text}") from error
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise DiskTrouble(f"{path}: {error}") from error
        raise


def open_database(path: Path, migrations: Sequence[str], *, durable: bool) -> sqlite3.Connection:
    """Open for writing, mode 0600, checked and brought up to date; made where there is none.

    `durable`: a transaction that has ended outlives a power cut; otherwise the last ones may be missing after it.
    Raises NewerDatabase, DiskTrouble, Damaged.
    """
    with explained(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _refuse_newer(db, path, len(migrations))
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("PRAGMA temp_store = MEMORY")
            check(db, path)
            migrate(db, migrations)
        except BaseException:
            db.close()
            raise
    return db


def open_to_read(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open for reading only, beside a daemon that writes or without one. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no history yet")
    with explained(path):
        db = _connected(f"{path.absolute().as_uri()}?mode=ro")
        try:
            db.execute("SELECT 1 FROM sqlite_schema").fetchall()
        except sqlite3.OperationalError:  # a log beside it may not be made here: nobody writes
            db.close()
            db = _connected(f"{path.absolute().as_uri()}?immutable=1")
        try:
            _refuse_newer(db, path, len(migrations))
            if _version(db) < len(migrations):
                raise StoreError(f"{path}: written by an older hemsd; start the daemon once to bring it up to date")
        except BaseException:
            db.close()
            raise
    return db


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _refuse_newer(db: sqlite3.Connection, path: Path, known: int) -> None:
    if (version := _version(db)) > known:
        text = f"written by a newer hemsd (format {version}, this one knows {known}); install that one again"
        raise NewerDatabase(f"{path}: {text}, or move the file away to begin anew")


def migrate(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Take the steps that are missing, each in a transaction of its own."""
    for number, step in enumerate(migrations[_version(db) :], _version(db) + 1):
        with transaction(db):
            for statement in step.split(";"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def check(db: sqlite3.Connection, path: Path, *, days: bool = False) -> None:
    """Look whether the file is whole; with `days` the checksum of every packed day as well. Raises Damaged."""
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise Damaged(f"{path}: {found}")
    if days:
        for day, channel, packed in db.execute("SELECT day, channel, packed FROM day"):
            unpack(packed, day_key(day, channel), 0)


def day_key(day: int, channel: int) -> int:
    """What the checksum of a packed day begins with."""
    return day << 16 | channel


def copy_path(path: Path) -> Path:
    """Where the last good copy of a database is kept."""
    return path.with_suffix(".copy")


def make_copy(db: sqlite3.Connection, path: Path) -> None:
    """Check the database completely and replace the copy of it. Raises Damaged, DiskTrouble."""
    draft = path.with_suffix(".copy.new")
    with explained(path):
        check(db, path, days=True)
        draft.unlink(missing_ok=True)
        draft.touch(0o600)
        db.execute("VACUUM INTO ?", (str(draft),))
        _settle(draft, copy_path(path))


def restore(path: Path, now: datetime) -> tuple[Path, bool]:
    """Set a damaged database aside and put the last good copy in its place.

    Returns where the damaged file is now, and whether there was a good copy; without one open_database() begins anew.
    The restored one goes on above every seq that may have been given away. Raises DiskTrouble.
    """
    aside = path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    with explained(path):
        if path.exists():
            path.replace(aside)
        for end in ("-wal", "-shm"):
            log = path.with_name(path.name + end)
            if log.exists():
                log.replace(aside.with_name(aside.name + end))
        _forget_oldest(path)
        draft = path.with_suffix(".restored")
        good = _usable(copy_path(path), now)
        if good:
            from shutil import copyfile  # here, because it takes memory

            copyfile(copy_path(path), draft, follow_symlinks=False)
            draft.chmod(0o600)
            _settle(draft, path)
    return aside, good


def _usable(copy: Path, now: datetime) -> bool:
    """Whether the copy is whole; its seq then leaps, so that one restored twice gives no seq twice either."""
    if not copy.exists():
        return False
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            check(db, copy, days=True)
            leap(db, now)
    except (sqlite3.DatabaseError, DayDamaged, Damaged):
        return False
    return True


def leap(db: sqlite3.Connection, now: datetime) -> None:
    """Go on above every seq that may have been given away, by this database before or by another in its place.

    That is, from the present in epoch milliseconds, which no home has a record in each of; and by SEQ_LEAP at least,
    where the clock is not set.
    """
    head: int = db.execute(HEAD).fetchone()[0]
    floor = max(head + SEQ_LEAP if head else 0, int(now.timestamp() * 1000) if now >= CLOCK_SET else 0)
    db.execute("INSERT OR REPLACE INTO meta VALUES ('seq_floor', ?)", (floor,))


def identity(db: sqlite3.Connection) -> str:
    """The random name of this database, which its copies share; made on first use."""
    db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (secrets.randbits(62),))
    number: int = db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()[0]
    return f"{number:016x}"


LAST_RECORD = """max(ifnull((SELECT seq + half_hours - 1 FROM record ORDER BY seq DESC LIMIT 1), 0),
                     ifnull((SELECT max(seq) FROM event), 0))"""
"""The newest seq of a record, 0 where there is none."""
HEAD = f"SELECT max({LAST_RECORD}, ifnull((SELECT value FROM meta WHERE key = 'seq_floor'), 0))"  # noqa: S608
"""The highest seq that was ever given away."""


def _forget_oldest(path: Path) -> None:
    kept = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9Z]"))
    for old in kept[:-ASIDE_KEPT]:
        for each in path.parent.glob(f"{old.name}*"):
            each.unlink()


def _settle(draft: Path, place: Path) -> None:
    """Put a finished file in its place so that a power cut leaves the old one or the new."""
    for opened, flags in ((draft, os.O_RDWR), (place.parent, os.O_RDONLY | os.O_DIRECTORY)):
        fd = os.open(opened, flags | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if opened is draft:
            draft.replace(place)
