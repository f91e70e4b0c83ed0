"""From the serial port onward: how soon a reading is published, and a half-hour kept and published.

Live values are written to the disk every half an hour only; what is committed at once are half-hours and events. The
line is not paced: the clock runs from when the module has the datagram.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, NamedTuple

from hemsd.echonet import frame, meter
from hemsd.echonet.frame import ESV
from hemsd.echonet.meter import MeterEPC
from hemsd.history.query import FILE_NAME
from hemsd.routeb.readings import JST
from tests.benchmarks.broker import Heard, mosquitto, subscriber, table
from tests.benchmarks.parts import parts
from tests.benchmarks.processes import Failed, python, simulated_module, started
from tests.benchmarks.report import Row
from tests.benchmarks.start import HEMSD, configure

ROUNDS, HALF_HOURS = 5, 4
SPEED = 900  # a half-hour passes in 2 s
DEADLINE_S = 20.0
LOOK_S = 0.001
READINGS, PAUSE_S = 180, 0.1
LIVE_DEADLINE_S = 120.0
GOAL_MS = 50


async def onward() -> list[Row]:
    """Milliseconds from the serial port to a subscriber and to the disk: the first reading, others, half-hours."""
    late_ms = sorted([each * 1e3 for each in await _live(_whole)])
    apart_ms = sorted([each * 1e3 for each in await _live(_apart)])
    rounds = [await _round() for _ in range(ROUNDS)]
    published = median(round.published_s for round in rounds)
    half_hours = [each for round in rounds for each in round.half_hours_s]
    if len(half_hours) < ROUNDS:
        raise Failed(f"only {len(half_hours)} half-hours were kept and published as the meter told them")
    kept, told = (median(times) for times in zip(*half_hours, strict=True))
    return [
        Row(name="reading, heard to published, median", unit="ms", hemsd=median(late_ms), goal=5),
        Row(name="reading, heard to published, p99", unit="ms", hemsd=late_ms[len(late_ms) * 99 // 100], goal=20),
        Row(name="through three processes, median", unit="ms", hemsd=median(apart_ms), goal=5),
        Row(name="through three processes, p99", unit="ms", hemsd=apart_ms[len(apart_ms) * 99 // 100], goal=20),
        Row(name="first reading, heard to published", unit="ms", hemsd=published * 1e3, goal=GOAL_MS),
        Row(name="half-hour, heard to committed in SQLite", unit="ms", hemsd=kept * 1e3, goal=GOAL_MS),
        Row(name="half-hour, heard to published (QoS 1)", unit="ms", hemsd=told * 1e3, goal=GOAL_MS),
    ]


class Round(NamedTuple):
    """Seconds since the module had the datagram."""

    published_s: float  # the first reading
    half_hours_s: list[tuple[float, float]]  # each kept, and published


async def _round() -> Round:
    """A daemon from its start through some half-hours."""
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        async with (
            mosquitto() as port,
            subscriber(port) as heard,
            simulated_module("--unpaced", "--speed", str(SPEED), "--days-ago", "2") as module,
        ):
            config = configure(directory, module, f"[history]\nbackfill_days = 0\n{table(port)}")
            async with started(HEMSD, "run", "--config", config):
                await _until(lambda: any(_of(heard, "live")))
                async with _kept(directory / "state" / FILE_NAME) as kept:
                    await _until(lambda: len(kept) > HALF_HOURS and len(list(_of(heard, "interval"))) > HALF_HOURS)
            datagrams = (await module.process.asked())["datagrams"]
    read_at = min(at for at, _ in _told(datagrams, ESV.GET_RES, MeterEPC.INSTANTANEOUS_POWER))
    published = {datetime.fromisoformat(json.loads(each.payload)["end"]): each.at for each in _of(heard, "interval")}
    return Round(
        published_s=min(each.at for each in _of(heard, "live")) - read_at,
        half_hours_s=[
            (kept[end] - at, published[end] - at)
            for at, value in _told(datagrams, ESV.INF, MeterEPC.HALF_HOUR_ENERGY_IMPORT)
            if (end := value.at.replace(tzinfo=JST)) in kept.keys() & published.keys()
            and published[end] > at  # otherwise it was asked for before
        ],
    )


def _whole(config: str) -> AbstractAsyncContextManager[Any]:
    return started(*python("by_hemsd", "product", config, PAUSE_S))


def _apart(config: str) -> AbstractAsyncContextManager[Any]:
    return parts(lambda part: python("by_hemsd", "product", config, PAUSE_S, part))


async def _live(house: Callable[[str], AbstractAsyncContextManager[Any]]) -> list[float]:
    """Seconds that each of many readings took from the module to a subscriber."""
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        async with mosquitto() as port, subscriber(port) as heard, simulated_module("--unpaced") as module:
            config = configure(directory, module, f"[history]\nbackfill_days = 0\n{table(port)}")
            async with house(config), asyncio.timeout(LIVE_DEADLINE_S):
                while len(list(_of(heard, "live"))) < READINGS:
                    await asyncio.sleep(0.5)
            datagrams = (await module.process.asked())["datagrams"]
    read_at = [at for at, _ in _told(datagrams, ESV.GET_RES, MeterEPC.INSTANTANEOUS_POWER)]
    soonest: dict[float, float] = {}  # by reading: what is said anew once a minute tells of none
    for each in _of(heard, "live"):
        if before := [at for at in read_at if at <= each.at]:  # the module remembers its last datagrams only
            soonest.setdefault(before[-1], each.at - before[-1])
    return list(soonest.values())


def _of(heard: list[Heard], what: str) -> Iterator[Heard]:
    return (each for each in heard if "/meter/" in each.topic and each.topic.endswith(f"/{what}"))


def _told(datagrams: list[tuple[float, str]], esv: ESV, epc: MeterEPC) -> Iterator[tuple[float, Any]]:
    """When the meter told a property, and its value."""
    for at, data in datagrams:
        told = frame.decode(bytes.fromhex(data))
        for each in told.properties:
            if (told.esv, each.epc) == (esv, epc):
                yield at, meter.decode(each.epc, each.edt)


@asynccontextmanager
async def _kept(path: Path) -> AsyncIterator[dict[datetime, float]]:
    """Look until the end of the block when which half-hour was there for another reader of the database."""
    kept: dict[datetime, float] = {}

    async def look() -> None:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            while True:
                for (end,) in database.execute("SELECT at FROM record"):
                    kept.setdefault(datetime.fromtimestamp(end, UTC), monotonic())
                await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look(), name="looks into the database")
    try:
        yield kept
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await asyncio.sleep(0.05)
