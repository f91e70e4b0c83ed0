"""A disk that is full or read-only, for real: a small tmpfs of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.clock import run
from support.historian import House, stored
from support.history import METER

from hemsd.history.query import FILE_NAME
from hemsd.hub.messages import Domain, Event, Health, HistoryAnswer, HistoryQuery, MeterInterval, MeterReading

pytestmark = pytest.mark.needs("root", "mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skipped where nothing may be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return filler


async def events(house: House) -> list[str]:
    return [event.kind for event in await house.told(house.operator, Event)]


def test_a_full_disk_is_told_survived_and_loses_nothing(disk: Path) -> None:
    """Half-hours and events wait; questions are answered; when there is room again all of it is kept, once."""

    async def story() -> None:
        house = House(disk)
        async with house.running():
            house.half_hour(-1, 1000)
            await asyncio.sleep(1)
            filler = fill(disk)
            for slot in range(400):
                house.half_hour(slot, 1001 + slot)
                await asyncio.sleep(10)
            assert await events(house) == ["history.disk"]
            healths = await house.told(house.operator, Health)
            assert not healths[-1].ok
            assert "the disk is full; make room on it" in healths[-1].detail
            house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
            (answer,) = await house.told(house.operator, HistoryAnswer)
            assert answer.error == ""
            filler.unlink()
            await asyncio.sleep(61)
            assert await events(house) == ["history.disk_ok"]
            healths = await house.told(house.operator, Health)
            assert healths[-1].ok

    run(story())
    kept = stored(disk)
    ends = [content.end for content in kept if isinstance(content, MeterInterval)]
    assert len(ends) == len(set(ends)) == 401
    assert [content.kind for content in kept if isinstance(content, Event)] == ["history.disk", "history.disk_ok"]
    with closing(sqlite3.connect(disk / FILE_NAME)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_live_values_are_not_the_last_straw(disk: Path) -> None:
    """On a disk this small they are left out, and it is told."""

    async def story() -> None:
        house = House(disk)
        async with house.running():
            house.half_hour(0, 1000)
            house.meter.publish(MeterReading(meter=METER, measured_at=house.now(), power_w=5))
            await asyncio.sleep(1801)
            healths = await house.told(house.operator, Health)
            assert (healths[-1].ok, healths[-1].detail) == (False, "no room on the disk for live values")

    run(story())


def test_a_read_only_disk_at_the_start_is_told_and_survived(disk: Path) -> None:
    """Nothing can be opened: questions have an answer that says why, and all is kept when it can be written."""

    async def story() -> None:
        remount(disk, "ro")
        house = House(disk)
        async with house.running():
            house.half_hour(0, 1000)
            await asyncio.sleep(600)
            assert await events(house) == ["history.disk"]
            house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
            (answer,) = await house.told(house.operator, HistoryAnswer)
            assert "read-only" in answer.error
            remount(disk, "rw")
            await asyncio.sleep(61)
            assert await events(house) == ["history.disk_ok"]

    run(story())
    assert [content.import_count for content in stored(disk) if isinstance(content, MeterInterval)] == [1000]


def test_history_is_read_from_a_read_only_disk(disk: Path) -> None:
    """A card taken out of a broken machine, put where nothing can be written."""
    from hemsd.history.query import open_readonly

    async def story() -> None:
        house = House(disk)
        async with house.running():
            house.half_hour(-1, 1000)
            house.half_hour(0, 1004)

    run(story())
    assert not list(disk.glob("*-wal"))
    remount(disk, "ro")
    with open_readonly(disk) as history:
        (answer,) = history.query(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
        assert answer.error == ""
    remount(disk, "rw")
