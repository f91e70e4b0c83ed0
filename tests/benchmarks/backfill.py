"""Days of history from the meter's memory: beside momonga over a lossy link, and beside the link alone."""

from __future__ import annotations

import asyncio
from statistics import median

from tests.benchmarks.processes import python, simulated_module, started
from tests.benchmarks.report import Row

DEADLINE_S = 230.0
LOSE_EACH = 20  # 5 %
ROUNDS = 3
ALL_DAYS = 99
LATENCIES = (  # of the meter's answers, days that hemsd reads and days that momonga does, seconds between readings
    (0.02, ALL_DAYS, 20, 4.0),
    (1.0, 20, 20, 4.0),
    (3.0, 10, 10, 10.0),
)
GAP_S = 10.0
GAP_LATENCY_S = 1.0  # above it one lost reading alone takes longer than the gap allowed


async def backfill() -> list[Row]:
    """Seconds to read a day of history over a link that loses 5 % of the answers, and over one that loses none."""
    rows = await _beside_the_link()
    for more in await asyncio.gather(*(_beside_momonga(*each) for each in LATENCIES)):
        rows += more
    return rows


async def _beside_momonga(latency_s: float, days: int, peer_days: int, live_s: float) -> list[Row]:
    ours, peer = await asyncio.gather(
        _told("by_hemsd", latency_s, days, live_s), _told("by_momonga", latency_s, peer_days, live_s)
    )
    link = f"5 % lost, {latency_s:g} s"
    return [
        Row(
            name=f"history day ({days}; peer {peer_days}), {link}",
            unit="s",
            hemsd=ours["took_s"] / days,
            peer=peer["took_s"] / peer_days,
            goal=1 / 4 if latency_s < GAP_LATENCY_S else 1,
            goal_is_ratio=True,
        ),
        Row(
            name=f"longest gap in readings, {link}",
            unit="s",
            hemsd=ours["gap_s"],
            peer=peer["gap_s"],
            goal=GAP_S if latency_s <= GAP_LATENCY_S else None,
        ),
    ]


async def _told(subject: str, latency_s: float, days: int, live_s: float) -> dict[str, float]:
    link = ("--import-only", "--latency", str(latency_s), "--lose-each", str(LOSE_EACH))
    async with simulated_module(*link) as module:
        return await _tell(python(subject, "backfill", *module.access, days, live_s))


async def _tell(command: list[str]) -> dict[str, float]:
    async with started(*command) as running:
        told = await running.told(DEADLINE_S)
        await running.end(DEADLINE_S)
    return told


async def _beside_the_link() -> list[Row]:
    """The same days by hemsd and by a client that does nothing, in turn, within one session."""
    ours, alone = [], []
    async with simulated_module("--import-only", "--latency", "0.02") as module:
        for _ in range(ROUNDS):
            ours.append(await _tell(python("by_hemsd", "backfill", *module.access, ALL_DAYS, 5)))
            alone.append(await _tell(python("by_nobody", module.access[0], ALL_DAYS)))
    return [
        Row(
            name="99 days of history, nothing lost (peer: the link alone)",
            unit="s",
            hemsd=median(told["took_s"] for told in ours),
            peer=median(told["took_s"] for told in alone),
            goal=1.1,
            goal_is_ratio=True,
        )
    ]
