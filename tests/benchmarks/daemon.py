"""The daemon at rest, in one process and in three: its memory and how often it wakes up; momonga at the same pace."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.broker import mosquitto, table
from tests.benchmarks.parts import parts
from tests.benchmarks.processes import Failed, Module, Running, memory_mb, python, simulated_module, started, wakeups
from tests.benchmarks.report import Row
from tests.benchmarks.start import HEMSD, configure

SETTLE_S = 75.0  # until start-up is over: history looks for gaps a minute after it
WATCH_S, TRIES = 60.0, 3
AT_REST = "[history]\nbackfill_days = 0\n"
APPLIANCES = 17  # one of each class that is simulated
ONE, THREE = 40, 25  # megabytes: resident in one process; of each of three, what is shared divided


async def daemon() -> list[Row]:
    """Memory and wake-ups of the daemon at rest, in one process and in three, and of momonga at the same pace."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory()))
        broker = table(await stack.enter_async_context(mosquitto()))
        alone = await _daemon(stack, scratch / "alone", AT_REST)
        full = await _daemon(stack, scratch / "full", AT_REST + broker)
        apart = await _apart(stack, scratch / "apart", AT_REST + broker)
        watching = await _watching(stack, scratch / "watching")
        module = await stack.enter_async_context(simulated_module())
        momonga = await stack.enter_async_context(started(*python("by_momonga", "rest", *module.access)))
        await asyncio.sleep(SETTLE_S)
        houses = (alone, full, apart, Resting(module, {"momonga": momonga}))
        (its, bridged, theirs, peers) = await asyncio.gather(*(each.wakeups_per_s() for each in houses))
        resident, proportional = memory_mb(full.processes["daemon"].pid)
        shares = {name: memory_mb(process.pid)[1] for name, process in apart.processes.items()}
        share_watching = memory_mb(watching.pid)[1]
        peer_resident, peer_proportional = memory_mb(momonga.pid)
    peer = peers["momonga"]
    memory = "proportional memory"
    return [
        Row(name="daemon, resident memory", unit="MB", hemsd=resident, peer=peer_resident, goal=ONE),
        Row(name=f"daemon, {memory}", unit="MB", hemsd=proportional, peer=peer_proportional),
        Row(name=f"part hub, {memory}", unit="MB", hemsd=shares["hub"], goal=THREE),
        Row(name=f"part hub, {APPLIANCES} appliances, {memory}", unit="MB", hemsd=share_watching, goal=THREE),
        Row(name=f"part routeb, {memory}", unit="MB", hemsd=shares["routeb"], peer=peer_proportional, goal=THREE),
        Row(name=f"part gateway, {memory}", unit="MB", hemsd=shares["gateway"], goal=THREE),
        Row(name="wake-ups at rest", unit="/s", hemsd=its["daemon"], peer=peer, goal=0.5),
        Row(name="wake-ups at rest, with MQTT", unit="/s", hemsd=bridged["daemon"], peer=peer, goal=1.6),
        Row(name="wake-ups at rest, part hub", unit="/s", hemsd=theirs["hub"], goal=0.5),
        Row(name="wake-ups at rest, part routeb", unit="/s", hemsd=theirs["routeb"], peer=peer, goal=0.5),
        Row(name="wake-ups at rest, part gateway", unit="/s", hemsd=theirs["gateway"], goal=1.6),
    ]


@dataclass(frozen=True)
class Resting:
    """Processes that read a meter of their own every 30 s, by name."""

    module: Module
    processes: dict[str, Running]

    async def wakeups_per_s(self) -> dict[str, float]:
        """In a minute of live readings only; half hours are announced or asked for at their own times."""
        for _ in range(TRIES):
            await self.module.process.asked()
            before = self._wakeups()
            await asyncio.sleep(WATCH_S)
            after = self._wakeups()
            if (heard := len((await self.module.process.asked())["datagrams"])) in (1, 2):
                return {name: (after[name] - before[name]) / WATCH_S for name in after}
        raise Failed(f"the meter said {heard} things in a minute, one each 30 s was expected")

    def _wakeups(self) -> dict[str, int]:
        return {name: wakeups(process.pid) for name, process in self.processes.items()}


async def _daemon(stack: AsyncExitStack, directory: Path, more: str) -> Resting:
    directory.mkdir()
    module = await stack.enter_async_context(simulated_module())
    command = [HEMSD, "run", "--config", configure(directory, module, more)]
    return Resting(module, {"daemon": await stack.enter_async_context(started(*command))})


async def _apart(stack: AsyncExitStack, directory: Path, more: str) -> Resting:
    directory.mkdir()
    module = await stack.enter_async_context(simulated_module())
    config = configure(directory, module, more)
    house = parts(lambda part: [HEMSD, "run", "--part", part, "--config", config])
    return Resting(module, await stack.enter_async_context(house))


async def _watching(stack: AsyncExitStack, directory: Path) -> Running:
    """A hub that watches appliances."""
    directory.mkdir()
    await stack.enter_async_context(started(*python("by_watching", "appliances", APPLIANCES)))
    module = await stack.enter_async_context(simulated_module())
    config = configure(directory, module, '[networks.home]\ninterface = "lo"\nipv6 = false\n')
    return await stack.enter_async_context(started(HEMSD, "run", "--part", "hub", "--config", config))
