"""Instructions for one reading and for one day of history: the whole serial path, counted by valgrind."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.benchmarks.broker import Heard, mosquitto, subscriber, table
from tests.benchmarks.processes import Failed, instructions, python, simulated_module
from tests.benchmarks.report import Row
from tests.benchmarks.start import configure

DEADLINE_S = 120.0
RUNS = 3  # of which the least counts


async def reading() -> list[Row]:
    """Instructions to read power and currents; by the whole daemon, to store and to publish them too."""
    ours, peer = await _each("by_hemsd", "readings", 200), await _each("by_momonga", "readings", 20)
    product = await _by_the_product(200)
    return [
        Row(name="reading", unit="instr.", hemsd=ours, peer=peer, goal=1 / 30, goal_is_ratio=True),
        Row(
            name="reading, stored and published (peer: read)",
            unit="instr.",
            hemsd=product,
            peer=peer,
            goal=1 / 10,
            goal_is_ratio=True,
        ),
    ]


async def history() -> list[Row]:
    """Instructions for a day of history and its 48 registers: read, and with hemsd told to who keeps them."""
    ours, peer = await _each("by_hemsd", "days", 45), await _each("by_momonga", "days", 10)
    return [Row(name="history day", unit="instr.", hemsd=ours, peer=peer, goal=1 / 30, goal_is_ratio=True)]


async def _each(subject: str, work: str, count: int) -> float:
    """Twice as often minus once: what start and end take cancels out.

    The line is not paced: into how many pieces answers are cut is then not left to chance.
    """
    once, twice = [await _total(subject, work, times) for times in (count, 2 * count)]
    return (twice - once) / count


async def _total(subject: str, work: str, count: int) -> int:
    """The least of some runs: what happens at chance moments, like a second scan, can only add."""
    runs = []
    for _ in range(RUNS):
        async with simulated_module("--unpaced", "--import-only") as module:
            runs.append(await instructions(*python(subject, work, *module.access, count), deadline_s=DEADLINE_S))
    return min(runs)


class Taken(NamedTuple):
    """By a daemon, from its start to its end."""

    instructions: int
    published: int  # readings, and stored


async def _by_the_product(count: int) -> float:
    """Twice as often minus once here too. Readings that come while the broker is slow are stored only."""
    once, twice = [await _taken(times) for times in (count, 2 * count)]
    return (twice.instructions - once.instructions) / (twice.published - once.published)


async def _taken(count: int) -> Taken:
    """A daemon that is stopped when so many readings are published; the scan takes longer than finding the broker."""
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        async with (
            mosquitto() as port,
            subscriber(port) as heard,
            simulated_module("--unpaced", "--import-only", "--slow-scan", "40") as module,
        ):
            config = configure(directory, module, f"[history]\nbackfill_days = 0\n{table(port)}")
            command = python("by_hemsd", "product", config)
            taken = await instructions(*command, deadline_s=DEADLINE_S, until=_published(heard, count))
            with closing(sqlite3.connect(directory / "state" / "samples.db")) as database:
                (stored,) = database.execute("SELECT count(*) FROM sample").fetchone()
            if stored < _live(heard):
                raise Failed(f"of {_live(heard)} readings only {stored} are stored")
            return Taken(taken, _live(heard))


async def _published(heard: list[Heard], count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while _live(heard) < count:
            await asyncio.sleep(0.01)


def _live(heard: list[Heard]) -> int:
    return sum("/meter/" in each.topic and each.topic.endswith("/live") for each in heard)
