"""The daemon at rest, with and without a broker: its memory and how often it wakes up; momonga at the same pace."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.broker import mosquitto, table
from tests.benchmarks.processes import Failed, Module, Running, memory_mb, python, simulated_module, started, wakeups
from tests.benchmarks.report import Row
from tests.benchmarks.start import HEMSD, configure

SETTLE_S = 45.0  # until everything has been read once and start-up is over
WATCH_S, TRIES = 60.0, 3


async def daemon() -> list[Row]:
    """Memory and wake-ups of the daemon at rest, and of momonga reading at the same pace."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory()))
        alone = await _daemon(stack, scratch / "alone")
        full = await _daemon(stack, scratch / "full", table(await stack.enter_async_context(mosquitto())))
        module = await stack.enter_async_context(simulated_module())
        momonga = await stack.enter_async_context(started(*python("by_momonga", "rest", *module.access)))
        peer = Resting(module, momonga)
        await asyncio.sleep(SETTLE_S)
        rates = await asyncio.gather(*(resting.wakeups_per_s() for resting in (alone, full, peer)))
        resident, proportional = memory_mb(full.process.pid)
        peer_resident, peer_proportional = memory_mb(peer.process.pid)
    return [
        Row(name="daemon, resident memory", unit="MB", hemsd=resident, peer=peer_resident, goal=40),
        Row(name="daemon, proportional memory", unit="MB", hemsd=proportional, peer=peer_proportional),
        Row(name="wake-ups at rest", unit="/s", hemsd=rates[0], peer=rates[2], goal=0.5),
        Row(name="wake-ups at rest, with MQTT", unit="/s", hemsd=rates[1], peer=rates[2], goal=1.6),
    ]


@dataclass(frozen=True)
class Resting:
    """A process that reads a meter of its own every 30 s."""

    module: Module
    process: Running

    async def wakeups_per_s(self) -> float:
        """In a minute of live readings only; half hours are announced or asked for at their own times."""
        for _ in range(TRIES):
            await self.module.process.asked()
            before = wakeups(self.process.pid)
            await asyncio.sleep(WATCH_S)
            woken = wakeups(self.process.pid) - before
            if (heard := len((await self.module.process.asked())["datagrams"])) in (1, 2):
                return woken / WATCH_S
        raise Failed(f"the meter said {heard} things in a minute, one each 30 s was expected")


async def _daemon(stack: AsyncExitStack, directory: Path, broker: str = "") -> Resting:
    directory.mkdir()
    module = await stack.enter_async_context(simulated_module())
    at_rest = f"[history]\nbackfill_days = 0\n{broker}"
    command = [HEMSD, "run", "--config", configure(directory, module, at_rest)]
    return Resting(module, await stack.enter_async_context(started(*command)))
