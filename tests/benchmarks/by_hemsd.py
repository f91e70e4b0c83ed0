"""What hemsd is measured at; by_momonga.py does the same: ``python -m tests.benchmarks.by_hemsd WHAT ...``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from drivers.module import Credentials, Datagram, Event
from drivers.ports import Pump
from drivers.serialport import open_serial
from drivers.skstack.engine import Engine
from hemsd.daemon.config import load
from hemsd.daemon.parts import Part
from hemsd.daemon.run import loop_factory, run
from hemsd.echonet.meter import Currents, MeterEPC, decode
from hemsd.history.historian import Historian
from hemsd.history.query import FILE_NAME
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import Backfill, BackfillProgress, Domain, Message, MeterDay, MeterReading
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.routeb.backfill import Backfiller
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.meter import Meter
from hemsd.routeb.readings import JST

LIVE = (MeterEPC.INSTANTANEOUS_POWER, MeterEPC.INSTANTANEOUS_CURRENT)


async def readings(port: str, route_b_id: str, password: str, count: str) -> None:
    """Power and currents, so many times."""
    async with _online(port, route_b_id, password) as meter:
        for _ in range(int(count)):
            answers = await meter.read(LIVE)
            power, currents = (decode(epc, edt) for epc, edt in answers.items() if isinstance(edt, bytes))
            assert isinstance(power, int) and isinstance(currents, Currents)


async def product(config: str, live_s: str = "0", part: Part | None = None) -> None:
    """The daemon or a part of it, which reads again so long after it has read, until it is told to stop."""
    settings = load(Path(config))
    pace_s: Any = float(live_s)  # a configuration allows whole seconds only
    await run(replace(settings, meter=replace(settings.meter, live_s=pace_s, watched_s=pace_s)), part=part)


async def days(port: str, route_b_id: str, password: str, count: str) -> None:
    """So many days of half hours at no pace, from the meter's memory into the database."""
    hub = Hub(ROUTES_6_4_3)
    seat = hub.seat(Domain.ROUTEB)
    ended = asyncio.Event()

    def publish(message: Message) -> None:
        seat.publish(message)
        if type(message) is BackfillProgress and message.last:
            ended.set()

    with TemporaryDirectory() as directory:
        keeping = asyncio.create_task(Historian(hub.seat(Domain.HISTORY), Path(directory)).run())
        async with _online(port, route_b_id, password) as meter:
            await meter.identify()
            backfiller = Backfiller(meter, publish, pace_s=0.0)
            working = asyncio.create_task(backfiller.run())
            backfiller.take(_request(int(count)))
            await ended.wait()
            working.cancel()
        keeping.cancel()
        await asyncio.wait([keeping])
        with closing(sqlite3.connect(Path(directory) / FILE_NAME)) as database:
            kept = database.execute("SELECT sum(half_hours) FROM record").fetchone()[0]
    assert kept == 48 * int(count)


async def backfill(port: str, route_b_id: str, password: str, count: str, live_s: str) -> None:
    """So many days of half hours at no pace, and readings meanwhile; tell seconds and the longest gap in readings."""
    hub = Hub(ROUTES_6_4_3)
    routeb, seat, operator = [hub.seat(each) for each in (Domain.ROUTEB, Domain.HISTORY, Domain.OPERATOR)]
    pace = Pace(idle_s=float(live_s), watched_s=float(live_s), energy_s=3600.0, backfill_s=0.0)
    read_at: list[float] = []

    async def look() -> None:
        async for message in operator.messages():
            if isinstance(message, MeterReading):
                read_at.append(time.monotonic())  # noqa: PERF401 (they come one by one)

    async with Meter(await open_serial(port), Credentials(route_b_id, password), persist=True) as meter:
        tasks = [asyncio.create_task(work) for work in (Collector(meter, routeb, pace=pace).run(), look())]
        while len(read_at) < 2:  # what is asked once in a session has been
            await asyncio.sleep(0.01)
        began = time.monotonic()
        seat.publish(_request(int(count)))
        assert await _told(seat) >= 48 * int(count)
        took_s = time.monotonic() - began
        for task in tasks:
            task.cancel()
    print(json.dumps({"took_s": took_s, "gap_s": longest_gap_s(read_at, began, began + took_s)}), flush=True)


def longest_gap_s(times: Sequence[float], began: float, ended: float) -> float:
    """Between two readings that follow one another, or to either end."""
    marks = [began, *(at for at in times if began < at < ended), ended]
    return max(later - earlier for earlier, later in pairwise(marks))


def _request(count: int) -> Backfill:
    yesterday = datetime.now(UTC).astimezone(JST).date() - timedelta(days=1)
    wanted = tuple(yesterday - timedelta(days=n) for n in range(count))
    return Backfill(request="bench", asker=Domain.HISTORY, days=wanted)


async def _told(seat: Seat) -> int:
    """Listen until a request has come to its end; how many half hours were told."""
    told = 0
    async for message in seat.messages():
        told += _half_hours(message)
        if isinstance(message, BackfillProgress) and message.last:
            break
    return told


def _half_hours(message: Message) -> int:
    """How many a message tells."""
    return len(message.import_counts) - message.import_counts.count(None) if isinstance(message, MeterDay) else 0


async def stream(port: str, count: str) -> None:
    """Read so many datagrams off the line; tell the processor time and a digest of the payloads."""
    left = int(count)
    digest = hashlib.sha256()
    ended = asyncio.Event()

    def heard(event: Event) -> None:
        nonlocal left
        if isinstance(event, Datagram):
            digest.update(event.payload)
            left -= 1
            if not left:
                ended.set()

    pump = Pump(Engine(), await open_serial(port), heard)
    print("{}", flush=True)  # ready
    began = time.process_time()
    pumping = asyncio.create_task(pump.run())
    await ended.wait()
    print(json.dumps({"cpu_s": time.process_time() - began, "digest": digest.hexdigest()}), flush=True)
    pumping.cancel()


@asynccontextmanager
async def _online(port: str, route_b_id: str, password: str) -> AsyncIterator[Meter]:
    async with Meter(await open_serial(port), Credentials(route_b_id, password)) as meter:
        await meter.read_live()  # learns the unit of energies
        yield meter


if __name__ == "__main__":
    works = {work.__name__: work for work in (readings, product, days, backfill, stream)}
    _, work, *arguments = sys.argv
    own: Any = arguments[2] if work == "product" and len(arguments) > 2 else None
    with asyncio.Runner(loop_factory=loop_factory(own)) as runner:
        runner.run(works[work](*arguments))
