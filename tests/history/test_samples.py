from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from support.history import METER, NOON, in_memory

from hemsd.history.samples import Samples
from hemsd.history.schema import SAMPLES
from hemsd.history.store import Retention, Store
from hemsd.hub.messages import MeterMinute, MeterReading


@pytest.fixture
def db() -> sqlite3.Connection:
    return in_memory(SAMPLES)


def reading(seconds: float, power_w: int | None = None, **more: float) -> MeterReading:
    return MeterReading(meter=METER, measured_at=NOON + timedelta(seconds=seconds), power_w=power_w, **more)


def minutes(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    columns = "samples, power_w_sum, power_w_min, power_w_max, energy_import_kwh, source"
    query = f"SELECT at - ?, {columns} FROM minute ORDER BY at"
    return db.execute(query, (int(NOON.timestamp()),)).fetchall()


def test_samples_are_kept_and_rolled_up_by_minutes(db: sqlite3.Connection) -> None:
    """Number, sum, lowest and highest power; the last register of the minute. A value that is missing is no zero."""
    told = [
        reading(0, 100),
        reading(20, -40),
        reading(40, 60, energy_import_kwh=7.5),
        reading(60, None),
        reading(70, 5),
    ]
    Samples(db).write(told[:2], [])
    Samples(db).write(told[2:], [])
    assert minutes(db) == [(0, 3, 120, -40, 100, 7.5, "live"), (60, 1, 5, 5, 5, None, "live")]
    (count,) = db.execute("SELECT count(*) FROM sample").fetchone()
    assert count == 4  # the one that tells nothing is not kept


def test_minutes_of_the_meters_memory_fill_in_registers(db: sqlite3.Connection) -> None:
    """They are the meter's word: live registers do not take their place, and the same again writes nothing."""
    minute = MeterMinute(meter=METER, at=NOON, energy_import_kwh=7.4)
    samples = Samples(db)
    samples.write(
        [reading(0, 100, energy_import_kwh=7.5)], [minute, MeterMinute(meter=METER, at=NOON - timedelta(minutes=1))]
    )
    assert minutes(db) == [(-60, 0, None, None, None, None, "meter"), (0, 1, 100, 100, 100, 7.4, "meter")]
    before = db.total_changes
    samples.write([], [minute])
    assert db.total_changes == before
    samples.write([reading(30, 80, energy_import_kwh=7.6)], [])
    assert minutes(db)[1] == (0, 2, 180, 80, 100, 7.4, "meter")


def test_a_clock_that_jumps_back_loses_no_sample(db: sqlite3.Connection) -> None:
    """Samples carry milliseconds: those of the hour that comes twice stand beside each other."""
    samples = Samples(db)
    samples.write([reading(10 * number, number) for number in range(6)], [])
    samples.write([reading(10 * number + 0.25, number) for number in range(6)], [])
    assert db.execute("SELECT count(*) FROM sample").fetchone() == (12,)
    assert [(minute[0], minute[1]) for minute in minutes(db)] == [(0, 12)]


def test_samples_are_bounded_by_default(tmp_path: Path) -> None:
    """Fourteen days one by one, a year by minutes."""
    store = Store(tmp_path, Retention(), reserve_bytes=0)
    store.open(NOON)
    days = (0, 13, 15, 365, 367)
    store.write_samples([reading(-86_400 * day, 1) for day in days], [])
    store._samples.prune(*(int(NOON.timestamp()) - kept * 86_400 for kept in (14, 366)))
    db = store._samples_db
    assert db.execute("SELECT count(*) FROM sample").fetchone() == (2,)
    assert db.execute("SELECT count(*) FROM minute").fetchone() == (4,)
    assert store.newest_sample() == NOON
    store.close()


def test_samples_leave_room_on_the_disk(tmp_path: Path) -> None:
    """They are the first to go without: nothing is written, and it is told."""
    store = Store(tmp_path, Retention(), reserve_bytes=1 << 60)
    store.open(NOON)
    assert not store.write_samples([reading(0, 1)], [])
    assert store.newest_sample() is None
    store.close()
