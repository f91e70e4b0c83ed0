"""The simulated module and meter at one end, history.db at the other, and an outage between."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.backfill import COUNT_J, CREDENTIALS, DAY, NETWORK, START
from support.clock import run
from support.history import Inline, records
from support.routeb import SimulatedPort, virtual_now

from hemsd.history.historian import Historian
from hemsd.history.query import FILE_NAME, open_readonly
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, HistoryQuery, MeterInterval
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.meter import Meter
from hemsd.simulator import Fault, Household, SkModule, Spell, Timing
from hemsd.simulator import Meter as SimulatedMeter

KNOWN_DAYS = 12  # since when the meter is there
OUTAGE_S = 6 * 3600.0


async def _house(state: Path, module: SkModule, for_s: float) -> None:
    hub = Hub(ROUTES_6_4_3)
    historian = Historian(hub.seat(Domain.HISTORY), state, clock=virtual_now, executor=Inline())
    keeping = asyncio.create_task(historian.run())
    async with Meter(SimulatedPort(module), CREDENTIALS, persist=True, clock=virtual_now) as meter:
        pace = Pace(idle_s=300.0, backfill_s=2.0)
        collector = Collector(meter, hub.seat(Domain.ROUTEB), pace=pace, clock=virtual_now)
        collecting = asyncio.create_task(collector.run())
        await asyncio.sleep(for_s)
        for task in (collecting, keeping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def test_history_has_every_half_hour_that_the_meter_has(tmp_path: Path) -> None:
    """From the day the meter was installed on, through six hours out of reach: each once, right, without a gap."""
    household = Household(7, pv_kw=4, installed=(START - KNOWN_DAYS * DAY).date())
    module = SkModule("DUAL", SimulatedMeter(household, start=START), NETWORK, timing=Timing.fast())
    module.faults.add(Fault(Spell.RADIO_LOST, at=4 * 3600.0, seconds=OUTAGE_S))
    run(_house(tmp_path, module, 16 * 3600.0))
    ended = START + timedelta(hours=16)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        told = [record.content for record in records(db) if isinstance(record.content, MeterInterval)]
    kept = {each.end: (each.import_count, each.export_count) for each in told}
    assert len(kept) == len(told)
    at, truth = datetime.combine((START - (KNOWN_DAYS - 1) * DAY).date(), datetime.min.time()), {}
    while at <= ended - timedelta(minutes=10):
        energy = household.energy(at)
        assert energy is not None
        truth[(at - timedelta(hours=9)).replace(tzinfo=UTC)] = (
            energy.imported_j // COUNT_J,
            energy.exported_j // COUNT_J,
        )
        at += timedelta(minutes=30)
    assert {end: counts for end, counts in kept.items() if end >= min(truth)} == truth
    with open_readonly(tmp_path) as history:
        now = (ended - timedelta(hours=9)).replace(tzinfo=UTC)
        (gaps,) = history.query(HistoryQuery(request="", asker=Domain.OPERATOR, what="gaps"), now)
        (days,) = history.query(HistoryQuery(request="", asker=Domain.OPERATOR, what="day"), now)
    assert gaps.rows == ()
    assert all(day.coverage == 1 for day in days.rows[1:-1])
