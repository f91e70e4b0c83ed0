"""Five hundred appliances watched as the daemon does it: what that takes, and how old what is known of them gets."""

from __future__ import annotations

import asyncio

from tests.benchmarks.processes import memory_mb, processor_s, python, started, wakeups
from tests.benchmarks.report import Row

APPLIANCES = 500
KNOWN_S = 60.0
SETTLE_S = 11.0  # until everything has been read once
WATCH_S = 12.0
LOOKS, LOOK_S = 4, 1.5  # at the ages of values, after that


async def watching() -> list[Row]:
    """Processor, memory and wake-ups of watching 500 simulated appliances, and the ages of their values."""
    async with (
        started(*python("by_watching", "appliances", APPLIANCES)) as appliances,
        started(*python("by_watching", "hemsd", APPLIANCES)) as watcher,
    ):
        await appliances.told(KNOWN_S)
        await watcher.told(KNOWN_S)
        await asyncio.sleep(SETTLE_S)
        before = processor_s(watcher.pid), wakeups(watcher.pid)
        await asyncio.sleep(WATCH_S)
        busy_s, woken = processor_s(watcher.pid) - before[0], wakeups(watcher.pid) - before[1]
        resident, _ = memory_mb(watcher.pid)
        looks = []
        for _ in range(LOOKS):
            looks.append(await watcher.asked())
            await asyncio.sleep(LOOK_S)
    name = f"{APPLIANCES} appliances watched"
    return [
        Row(name=f"{name}, processor", unit="%", hemsd=busy_s / WATCH_S * 100, goal=10),
        Row(name=f"{name}, resident memory", unit="MB", hemsd=resident, goal=60),
        Row(name=f"{name}, wake-ups", unit="/s", hemsd=woken / WATCH_S),
        Row(name=f"{name}, oldest power and energy", unit="s", hemsd=max(look["LIVE"] for look in looks)),
        Row(name=f"{name}, oldest state", unit="s", hemsd=max(look["STATE"] for look in looks)),
    ]
