from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.history import DAY, NOON, at, batch, event, interval, records

from hemsd.history.database import (
    ASIDE_KEPT,
    Damaged,
    NewerDatabase,
    StoreError,
    copy_path,
    migrate,
    open_database,
)
from hemsd.history.query import FILE_NAME, open_readonly
from hemsd.history.schema import HISTORY, SAMPLES
from hemsd.history.store import SAMPLES_NAME, Restored, Retention, Store
from hemsd.hub.messages import Domain, HistoryQuery

DAYS = 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, Retention(), reserve_bytes=0)


def filled(store: Store) -> None:
    """Forty days, with a good copy of the first thirty-nine."""
    assert store.open(NOON) == []
    for day in range(DAYS):
        if day == DAYS - 1:
            store.tidy(NOON)
        store.write(batch(*(interval(slot, day * 48 + slot, at=at(slot, DAY + day)) for slot in range(48))))
    store.close()


def damage(path: Path, where: int, with_: bytes = b"\xa5" * 64) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(with_)


def integrity(path: Path) -> str:
    """What SQLite itself says of a database."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return str(db.execute("PRAGMA integrity_check").fetchone()[0])


def told(state: Path) -> list[int]:
    """All seqs that a reader would see."""
    seqs: list[int] = []
    with closing(sqlite3.connect(state / FILE_NAME)) as db:
        while part := records(db, seqs[-1] if seqs else 0):
            seqs += [record.seq for record in part]
    return seqs


def half_hours(state: Path) -> int:
    query = HistoryQuery(request="q", asker=Domain.OPERATOR, what="day")
    with open_readonly(state) as history:
        assert list(history.query(query, NOON + timedelta(days=DAYS)))[-1].error == ""
        return history.summary(NOON).half_hours


def test_files_are_private(store: Store, tmp_path: Path) -> None:
    """History tells when people are at home: nobody else reads it, its logs and copies included."""
    filled(store)
    store.open(NOON)
    store.write(batch(events=[event("x")]))
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(files.values()) == {0o600}
    assert {FILE_NAME, f"{FILE_NAME}-wal", "history.copy", SAMPLES_NAME} <= files.keys()
    store.close()


def test_a_newer_database_is_left_alone(store: Store, tmp_path: Path) -> None:
    """An older hemsd says so, for writing and for reading, and changes nothing."""
    filled(store)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 99")
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(NewerDatabase, match=r"newer hemsd \(format 99, this one knows 1\); install that one again"):
        store.open(NOON)
    with pytest.raises(NewerDatabase), open_readonly(tmp_path):
        pass
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_migrations_are_steps_that_happen_or_not(tmp_path: Path) -> None:
    """A step that fails leaves the database at the step before; taken again it goes on from there."""
    steps = (
        "CREATE TABLE one (a) STRICT",
        "CREATE TABLE one (a INTEGER) STRICT; CREATE TABLE two (a INTEGER) STRICT",
    )
    good = (
        "CREATE TABLE one (a INTEGER) STRICT",
        "CREATE TABLE two (a INTEGER) STRICT; CREATE TABLE three (a ANY) STRICT",
    )
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as db:
        migrate(db, good[:1])
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(db, (good[0], steps[1]))
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        migrate(db, good)
        migrate(db, good)
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert [name for (name,) in db.execute("SELECT name FROM sqlite_schema")] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "how",
    ["header", "middle", "truncated", "emptied", "gone", "not a database"],
)
def test_a_damaged_database_gives_way_to_the_last_good_copy(store: Store, tmp_path: Path, how: str) -> None:
    """What was in the copy is there, and seqs that may have been given away are not given again."""
    filled(store)
    given = told(tmp_path)
    path = tmp_path / FILE_NAME
    size = path.stat().st_size
    match how:
        case "header":
            damage(path, 0)
        case "middle":
            damage(path, 4096 * (size // 8192), b"\xa5" * 4096)
        case "truncated":
            path.write_bytes(path.read_bytes()[: size // 2])
        case "emptied":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case _:
            path.write_bytes(b"something else altogether\n" * 1000)
    (restored,) = store.open(NOON)
    assert restored.good
    assert restored.aside.exists() == (how != "gone")
    assert len(told(tmp_path)) == (DAYS - 1) * 48
    store.write(batch(interval(0, 9_999, at=at(0, DAY + DAYS))))
    store.close()
    assert told(tmp_path)[-1] > given[-1]
    assert integrity(path) == "ok"
    assert half_hours(tmp_path) == (DAYS - 1) * 48 + 1


def test_a_copy_restored_twice_gives_no_seq_twice(store: Store, tmp_path: Path) -> None:
    """Nothing was copied between the two: still they differ."""
    filled(store)
    newest = []
    for _ in range(2):
        damage(tmp_path / FILE_NAME, 0)
        store.open(NOON)
        store.write(batch(events=[event("x")]))
        newest.append(store.ask(lambda history: history.head()))
        store.close()
    assert newest[1] > newest[0] > DAYS * 48


def test_without_a_good_copy_it_begins_anew(store: Store, tmp_path: Path) -> None:
    """Above every seq of before, whose number nobody knows any more."""
    filled(store)
    given = told(tmp_path)
    for name in (FILE_NAME, "history.copy"):
        damage(tmp_path / name, 0)
    (restored,) = store.open(NOON + timedelta(days=DAYS))
    assert not restored.good
    store.write(batch(events=[event("x")]))
    assert store.ask(lambda history: history.head()) > max(given)
    store.close()


def test_a_history_made_anew_goes_on_above_the_one_before(store: Store, tmp_path: Path) -> None:
    """Someone deleted all of it: a reader's cursor still means what it did."""
    filled(store)
    given = told(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.open(NOON + timedelta(minutes=1)) == []
    store.write(batch(events=[event("x")]))
    store.close()
    assert told(tmp_path)[0] > max(given)


def test_a_cursor_of_before_a_restore_has_all_there_is(store: Store, tmp_path: Path) -> None:
    """The head is that of a record, so that nobody waits for seqs that were left out."""
    filled(store)
    damage(tmp_path / FILE_NAME, 0)
    store.open(NOON)
    assert store.ask(lambda history: history.head()) == told(tmp_path)[-1]
    store.close()


def test_a_history_is_known_by_its_name(store: Store, tmp_path: Path) -> None:
    """It stays the same when opened again and when restored from its copy; one made anew has another."""
    filled(store)
    names = []
    for happens in ("nothing", "damage", "loss"):
        if happens == "damage":
            damage(tmp_path / FILE_NAME, 0)
        elif happens == "loss":
            for path in tmp_path.iterdir():
                path.unlink()
        store.open(NOON)
        names.append(store.head().history)
        store.close()
    assert names[0] == names[1] != names[2]
    assert all(len(name) == 16 for name in names)


def test_history_never_comes_less_far(store: Store, tmp_path: Path) -> None:
    """A restored copy lacks what came after it, and yet goes on above that: so no cursor is beyond its head."""
    filled(store)
    before = told(tmp_path)[-1]
    damage(tmp_path / FILE_NAME, 0)
    store.open(NOON)
    assert store.head().seq > before
    store.close()


def test_damage_that_sqlite_does_not_see_is_seen(store: Store, tmp_path: Path) -> None:
    """One flipped byte within a packed day passes integrity_check; it is found when read, and before copying."""
    filled(store)
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as db:
        (packed,) = db.execute("SELECT packed FROM day WHERE day = ? ORDER BY channel LIMIT 1", (DAY + 1,)).fetchone()
    where = path.read_bytes().index(packed)
    damage(path, where + 10, bytes([packed[10] ^ 1]))
    assert integrity(path) == "ok"
    copied = copy_path(path).read_bytes()
    assert store.open(NOON) == []
    with pytest.raises(Damaged, match="checksum"):
        store.tidy(NOON + timedelta(days=400))
    assert copy_path(path).read_bytes() == copied
    (restored,) = store.heal(NOON, "found")
    assert restored == Restored(restored.aside, True, "found")
    assert restored.aside.exists()
    store.tidy(NOON + timedelta(days=400))
    store.close()


def test_damaged_files_do_not_fill_the_disk(store: Store, tmp_path: Path) -> None:
    """Only the newest are kept."""
    filled(store)
    for number in range(ASIDE_KEPT + 3):
        damage(tmp_path / FILE_NAME, 0)
        store.open(NOON + timedelta(seconds=number))
        store.close()
    kept = sorted(path.name for path in tmp_path.glob("*.damaged-*Z"))
    assert kept == ["history.db.damaged-20250115T030003Z", "history.db.damaged-20250115T030004Z"]


def test_damaged_samples_begin_anew(store: Store, tmp_path: Path) -> None:
    """They are only live values; half-hours stay as they are."""
    filled(store)
    damage(tmp_path / SAMPLES_NAME, 0)
    (restored,) = store.open(NOON)
    assert restored.aside.name.startswith(SAMPLES_NAME)
    store.close()
    assert half_hours(tmp_path) == DAYS * 48


def test_copies_are_made_gently(store: Store, tmp_path: Path) -> None:
    """A first one when there is something to copy, then not before a day has passed."""
    store.open(NOON)
    store.tidy(NOON)
    copy = copy_path(store.path)
    assert not copy.exists()
    store.write(batch(interval(0, 1)))
    store.tidy(NOON)
    made = copy.stat()
    now = NOON.fromtimestamp(made.st_mtime, NOON.tzinfo)
    store.tidy(now + timedelta(hours=23))
    assert copy.stat().st_ino == made.st_ino
    store.tidy(now + timedelta(hours=25))
    assert copy.stat().st_ino != made.st_ino
    store.close()
    assert integrity(copy) == "ok"


def test_reading_needs_no_daemon_and_no_right_to_write(store: Store, tmp_path: Path) -> None:
    """Beside a writer, after it, and where not even a log may be made."""
    with pytest.raises(StoreError, match="there is no history yet"), open_readonly(tmp_path):
        pass
    filled(store)
    assert half_hours(tmp_path) == DAYS * 48
    store.open(NOON)
    store.write(batch(interval(0, 9_999, at=at(0, DAY + DAYS))))
    assert half_hours(tmp_path) == DAYS * 48 + 1
    store.close()


def test_what_an_older_hemsd_wrote_is_not_read_before_it_is_migrated(tmp_path: Path) -> None:
    """Reading changes nothing: the daemon brings it up to date."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("CREATE TABLE x (a)")
    with pytest.raises(StoreError, match="start the daemon once"), open_readonly(tmp_path):
        pass


def test_both_schemas_are_strict(tmp_path: Path) -> None:
    """SQLite would take text for a number otherwise."""
    for number, schema in enumerate((HISTORY, SAMPLES)):
        with closing(open_database(tmp_path / str(number), schema, durable=True)) as db:
            tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
            assert all(strict for name, strict in tables if not name.startswith("sqlite_"))


def test_a_clock_that_jumped_ahead_forgets_nothing(store: Store) -> None:
    """What is too old is reckoned from the newest half-hour, which carries the meter's time."""
    store.open(NOON)
    store.write(batch(interval(0, 1), events=[event("old", NOON - timedelta(days=300)), event("new")]))
    store.tidy(NOON + timedelta(days=20 * 366))
    assert len(records(store._db)) == 3
    store.close()
