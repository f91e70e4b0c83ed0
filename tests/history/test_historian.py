from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import run
from support.historian import House, stored
from support.history import METER, NOON

from hemsd.history.database import NewerDatabase
from hemsd.history.gaps import STARTED_S
from hemsd.history.historian import GATHER_S, Historian
from hemsd.history.query import FILE_NAME, History
from hemsd.history.store import SAMPLES_NAME, Store
from hemsd.hub.hub import Hub
from hemsd.hub.messages import (
    Backfill,
    Domain,
    Event,
    Health,
    HistoryAnswer,
    HistoryHead,
    HistoryQuery,
    LifetimeEnergy,
    MeterInterval,
    MeterMinute,
    MeterReading,
    Records,
    RecordsAfter,
)
from hemsd.hub.routes import ROUTES_6_4_3


def virtually(story: Callable[[House], Coroutine[Any, Any, None]], state: Path, **more: Any) -> None:
    async def tell() -> None:
        house = House(state, **more)
        async with house.running():
            await story(house)

    run(tell())


def test_it_keeps_what_it_hears_and_answers_by_cursor(tmp_path: Path) -> None:
    """Half-hours and events of every domain, in the order they came, for whoever reads on from a seq."""

    async def story(house: House) -> None:
        house.half_hour(0, 1000)
        event = Event(at=NOON, source=Domain.GATEWAY, kind="x", severity="info", text="hello")
        house.gateway.publish(event)
        house.half_hour(1, 1003)
        await asyncio.sleep(0.1)
        begun = int(NOON.timestamp() * 1000)
        house.gateway.publish(RecordsAfter(request="a", asker=Domain.GATEWAY, seq=begun + 1, limit=1))
        house.gateway.publish(RecordsAfter(request="b", asker=Domain.GATEWAY, seq=begun + 2))
        house.gateway.publish(RecordsAfter(request="c", asker=Domain.GATEWAY, seq=1 << 70))
        first, second, third = await house.told(house.gateway, Records)
        assert (first.request, first.head, [record.seq for record in first.records]) == ("a", begun + 3, [begun + 2])
        contents = [record.content for record in first.records + second.records]
        assert {type(content) for content in contents} == {MeterInterval, Event}
        assert third.records == ()
        assert await house.told(house.operator, Records) == []

    virtually(story, tmp_path)
    assert len(stored(tmp_path)) == 3


def test_it_tells_how_far_it_has_come(tmp_path: Path) -> None:
    """When it is open, and whenever something was kept; what is known already or not kept moves nothing."""

    async def story(house: House) -> None:
        (begun,) = await house.told(house.gateway, HistoryHead)
        house.half_hour(0, 1000)
        (kept,) = await house.told(house.gateway, HistoryHead)
        assert (kept.history, kept.seq) == (begun.history, begun.seq + 1)
        house.half_hour(0, 1000)
        house.meter.publish(MeterReading(meter=METER, measured_at=NOON, power_w=1))
        assert await house.told(house.gateway, HistoryHead) == []
        house.gateway.publish(Event(at=NOON, source=Domain.GATEWAY, kind="x", severity="info", text="hello"))
        assert await house.told(house.gateway, HistoryHead) == [HistoryHead(history=begun.history, seq=kept.seq + 1)]
        assert await house.told(house.operator, HistoryHead) == []

    virtually(story, tmp_path)


def test_it_tells_the_lifetime_totals(tmp_path: Path) -> None:
    """With each half-hour, once; and to a gateway that comes later."""

    async def story(house: House) -> None:
        house.half_hour(0, 1000)
        house.half_hour(1, 1003)
        (told,) = await house.told(house.gateway, LifetimeEnergy)
        assert (told.imported.total_kwh, told.imported.register_kwh, told.exported) == (100.3, 100.3, None)
        house.gateway.publish(Event(at=NOON, source=Domain.GATEWAY, kind="x", severity="info", text="hello"))
        assert await house.told(house.gateway, LifetimeEnergy) == []
        house.half_hour(2, 1005)
        (told,) = await house.told(house.gateway, LifetimeEnergy)
        assert told.imported.total_kwh == 100.5

    virtually(story, tmp_path)


def test_it_answers_the_command_line(tmp_path: Path) -> None:
    """What was told a moment ago is in the answer."""

    async def story(house: House) -> None:
        house.half_hour(-1, 1000)
        house.half_hour(0, 1004)
        house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
        (answer,) = await house.told(house.operator, HistoryAnswer)
        assert (answer.request, answer.meter, answer.last) == ("q", METER, True)
        assert [row.imported_kwh for row in answer.rows] == [0.4]

    virtually(story, tmp_path)


def test_a_question_that_fails_is_answered_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in one answer: the asker is told, the log says where, and history goes on."""

    async def story(house: House) -> None:
        house.half_hour(0, 1000)
        with monkeypatch.context() as broken:
            broken.setattr(History, "query", lambda *_: 1 / 0)
            broken.setattr(History, "records", lambda *_: 1 / 0)
            house.operator.publish(HistoryQuery(request="a", asker=Domain.OPERATOR, what="day"))
            house.gateway.publish(RecordsAfter(request="b", asker=Domain.GATEWAY, seq=0))
            (answer,) = await house.told(house.operator, HistoryAnswer)
        assert (answer.request, answer.rows, answer.last) == ("a", (), True)
        assert answer.error == "hemsd failed at this question; its log says where"
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ZeroDivisionError] * 2
        house.gateway.publish(RecordsAfter(request="c", asker=Domain.GATEWAY, seq=0))
        (records,) = await house.told(house.gateway, Records)
        assert (records.request, len(records.records)) == ("c", 1)

    virtually(story, tmp_path)


def test_it_asks_a_new_meter_for_all_it_remembers(tmp_path: Path) -> None:
    """A hundred days, newest first, with events at both ends; what was given is not asked again, what failed is."""

    async def story(house: House) -> None:
        house.status()
        await asyncio.sleep(61)
        (request,) = await house.told(house.meter, Backfill)
        assert len(request.days) == 100
        assert request.days[0] == date(2025, 1, 15)
        assert [event.kind for event in await house.told(house.operator, Event)] == ["history.backfill"]
        for number in range(1, 101):
            house.progress(request, number, "failed" if number == 50 else "read")
        (event,) = await house.told(house.operator, Event)
        assert event.text == "the meter's memory is read: 1 failed, 99 read of 100 days"
        await asyncio.sleep(2 * 3600)
        asked = await house.told(house.meter, Backfill)
        assert {day for each in asked for day in each.days} == {request.days[0], request.days[49]}

    virtually(story, tmp_path)


@pytest.mark.parametrize(("days", "asked"), [(0, []), (1, [2]), (99, [100])])
def test_how_far_back_is_up_to_the_householder(tmp_path: Path, days: int, asked: list[int]) -> None:
    """Today and as many days before it as are wanted; 0 leaves the meter's memory alone."""

    async def main() -> None:
        house = House(tmp_path, backfill_days=days)
        async with house.running():
            house.status()
            await asyncio.sleep(STARTED_S + 1)
            assert [len(request.days) for request in await house.told(house.meter, Backfill)] == asked

    run(main())


def test_days_out_of_the_meters_memory_are_written_together(tmp_path: Path) -> None:
    """They wait a minute for others, all but the first of all, with which totals begin.

    The end of the request, a half-hour or a question does not let them wait.
    """

    async def story(house: House) -> None:
        def kept() -> int:
            return sum(isinstance(each, MeterInterval) for each in stored(tmp_path))

        house.day(7)
        await asyncio.sleep(0.1)
        assert kept() == 48
        assert (await house.told(house.gateway, LifetimeEnergy))[-1].imported is not None
        house.day(1)
        await asyncio.sleep(GATHER_S / 2)
        house.day(2)
        await house.told(house.gateway, HistoryHead)
        assert kept() == 48
        await asyncio.sleep(GATHER_S / 2)
        assert len(await house.told(house.gateway, HistoryHead)) == 1
        assert kept() == 3 * 48
        house.day(3, last=True)
        assert len(await house.told(house.gateway, HistoryHead)) == 1
        assert kept() == 4 * 48
        house.day(4)
        house.half_hour(0, 9_900)
        await asyncio.sleep(0.1)
        assert kept() == 5 * 48 + 1
        house.day(5)
        house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
        (answer,) = await house.told(house.operator, HistoryAnswer)
        assert {row.start: row.coverage for row in answer.rows}[NOON.replace(hour=15) - timedelta(days=6)] == 1.0
        house.day(6)

    virtually(story, tmp_path)
    assert len(stored(tmp_path)) == 7 * 48 + 1


def test_an_outage_of_a_newer_meter_asks_for_its_minutes(tmp_path: Path) -> None:
    """From the last live reading on, that of the run before included; a meter of the first generation has none."""

    async def story(house: House) -> None:
        house.meter.publish(MeterReading(meter=METER, measured_at=house.now(), power_w=5))
        await asyncio.sleep(1000)
        house.status(online=True, generation=1)
        await asyncio.sleep(61)
        house.status(online=False)
        (request,) = await house.told(house.meter, Backfill)
        assert request.minutes_since is None

    virtually(story, tmp_path)

    async def again(house: House) -> None:
        house.status(online=True, generation=2)
        await asyncio.sleep(61)
        (request,) = await house.told(house.meter, Backfill)
        assert request.minutes_since == NOON + timedelta(seconds=0.1)
        house.meter.publish(MeterMinute(meter=METER, at=NOON, energy_import_kwh=1.5))

    virtually(again, tmp_path, clock=lambda: NOON + timedelta(seconds=1200))
    with closing(sqlite3.connect(tmp_path / SAMPLES_NAME)) as db:
        assert db.execute("SELECT energy_import_kwh, source FROM minute").fetchall() == [(1.5, "meter")]


def test_an_exchange_a_fall_and_a_contradiction_are_events(tmp_path: Path) -> None:
    """Told to people once, and kept like any other event."""

    async def story(house: House) -> None:
        house.half_hour(0, 1000)
        house.half_hour(1, 400)
        house.half_hour(1, 401, source="backfill")
        house.half_hour(2, 1001)
        house.half_hour(3, 5, meter="zyxwvutsrq")
        events = await house.told(house.operator, Event)
        assert [event.kind for event in events] == [
            "meter.replaced",
            "meter.counter_regression",
            "history.contradiction",
        ]
        assert all(event.source is Domain.HISTORY for event in events)
        assert "fell at 2025-01-15 12:30" in events[1].text

    virtually(story, tmp_path)
    kept = [content.kind for content in stored(tmp_path) if isinstance(content, Event)]
    assert kept == ["meter.replaced", "meter.counter_regression", "history.contradiction"]


def test_health_tells_how_much_there_is_and_what_is_missing(tmp_path: Path) -> None:
    """Soon after the start, and every five minutes."""

    async def story(house: House) -> None:
        house.half_hour(0, 1000)
        house.half_hour(-3, 990)
        await asyncio.sleep(1300)
        healths = await house.told(house.operator, Health)
        assert healths[-1].ok
        assert healths[-1].counters["half_hours"] == 2
        assert healths[-1].counters["missing"] == 3
        assert healths[-1].counters["bytes"] > 0
        assert len(healths) <= 6

    virtually(story, tmp_path)


def test_health_tells_at_once_what_a_backfill_brought(tmp_path: Path) -> None:
    """Whoever asked for it, when its last day is read."""

    async def story(house: House) -> None:
        await house.told(house.operator, Health)
        today = Backfill(request="r", asker=Domain.OPERATOR, days=(date(2025, 1, 15), date(2025, 1, 14)))
        for number in (1, 2):
            house.half_hour(-number, 1000 - number, source="backfill")
            house.progress(today, number)
        (health,) = await house.told(house.operator, Health)
        assert health.counters["half_hours"] == 2

    virtually(story, tmp_path)


def test_a_stop_keeps_what_waits(tmp_path: Path) -> None:
    """Samples gather for half an hour; a stop writes them, and each event once."""

    async def story(house: House) -> None:
        for number in range(50):
            house.meter.publish(MeterReading(meter=METER, measured_at=house.now(), power_w=number))
            await asyncio.sleep(10)
        assert house.historian._store.newest_sample() is None
        house.gateway.publish(Event(at=NOON, source=Domain.GATEWAY, kind="x", severity="info", text="last word"))
        await asyncio.sleep(0)

    virtually(story, tmp_path)
    with closing(sqlite3.connect(tmp_path / SAMPLES_NAME)) as db:
        assert db.execute("SELECT count(*), max(power_w) FROM sample").fetchone() == (50, 49)
    assert [content.text for content in stored(tmp_path)] == ["last word"]


def test_before_the_clock_is_set_only_half_hours_are_kept(tmp_path: Path) -> None:
    """No row of 1970; what waited is stamped when the time is known, and then the meter is asked."""

    def clock() -> datetime:
        now = asyncio.get_running_loop().time()
        return (
            NOON + timedelta(seconds=now) if now >= 500 else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now)
        )

    async def story(house: House) -> None:
        house.status()
        house.half_hour(-10, 1000)
        house.gateway.publish(Event(at=clock(), source=Domain.GATEWAY, kind="x", severity="info", text="early"))
        house.meter.publish(MeterReading(meter=METER, measured_at=clock(), power_w=7))
        await asyncio.sleep(400)
        assert [type(content) for content in stored(tmp_path)] == [MeterInterval]
        assert await house.told(house.meter, Backfill) == []
        await asyncio.sleep(200)
        house.status()
        await asyncio.sleep(100)
        assert len(await house.told(house.meter, Backfill)) == 1

    virtually(story, tmp_path, clock=clock)
    events = [content for content in stored(tmp_path) if isinstance(content, Event)]
    assert events[0].text == "early"
    assert all(event.at >= NOON for event in events)
    with closing(sqlite3.connect(tmp_path / SAMPLES_NAME)) as db:
        assert db.execute("SELECT min(at_ms) FROM sample").fetchone()[0] >= NOON.timestamp() * 1000


def test_damage_found_while_running_is_healed(tmp_path: Path) -> None:
    """The last good copy takes over within the run, people are told, and the meter is asked for what it lacks."""

    async def story(house: House) -> None:
        for slot in range(-20, 1):
            house.half_hour(slot, 1000 + slot)
        house.status()
        await asyncio.sleep(700)
        assert (tmp_path / "history.copy").exists()
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
            db.execute("UPDATE day SET packed = zeroblob(9)")
            db.commit()
        await house.told(house.meter, Backfill)
        house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
        (event,) = [each for each in await house.told(house.operator, Event) if each.kind == "history.restored"]
        assert "the last good copy is in its place" in event.text
        (answer,) = await house.told(house.operator, HistoryAnswer)
        assert "checksum" in answer.error
        house.operator.publish(HistoryQuery(request="q", asker=Domain.OPERATOR, what="day"))
        (answer,) = await house.told(house.operator, HistoryAnswer)
        assert [row.imported_kwh for row in answer.rows] == [2.0]
        await asyncio.sleep(61)
        assert len(await house.told(house.meter, Backfill)) == 1

    virtually(story, tmp_path)


def test_a_newer_database_is_for_a_person(tmp_path: Path) -> None:
    """It ends with the error that supervision parks."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 99")

    async def story() -> None:
        await House(tmp_path).historian.run()

    with pytest.raises(NewerDatabase):
        run(story())


async def test_the_event_loop_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is stuck the loop goes on; stopped then, everything is kept, and each event once."""
    stuck, hub = threading.Event(), Hub(ROUTES_6_4_3)
    write = Store.write

    def slow(self: Store, batch: Any) -> Any:
        assert stuck.wait(30)
        return write(self, batch)

    monkeypatch.setattr(Store, "write", slow)
    meter = hub.seat(Domain.ROUTEB)
    task = asyncio.create_task(Historian(hub.seat(Domain.HISTORY), tmp_path).run())
    for slot in range(10):
        end = NOON + slot * timedelta(minutes=30)
        meter.publish(MeterInterval(meter=METER, end=end, energy_import_kwh=slot, source="read"))
        meter.publish(Event(at=NOON, source=Domain.ROUTEB, kind="x", severity="info", text=str(slot)))
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    stuck.set()
    with suppress(asyncio.CancelledError):
        await task
    kept = stored(tmp_path)
    assert [each.energy_import_kwh for each in kept if isinstance(each, MeterInterval)] == list(range(10))
    assert [each.text for each in kept if isinstance(each, Event)] == [str(slot) for slot in range(10)]
