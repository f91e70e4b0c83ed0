"""Polls of three hundred appliances: how long one takes, and how many announcements at once are heard."""

from __future__ import annotations

from statistics import median

from tests.benchmarks.processes import python, started
from tests.benchmarks.report import Row

NODES = 300
ROUNDS = 3
FIND_S = 20.0
WHO = ("hemsd", "pyhems", "pychonet")


async def polling() -> list[Row]:
    """Microseconds for a poll of four properties on 300 nodes, beside pyhems and pychonet; replies lost."""
    rounds = {who: [] for who in WHO}
    for _ in range(ROUNDS):
        for who in WHO:
            rounds[who].append(await _round(who))
    print(rounds)
    return []


async def _round(who: str) -> tuple[float, float]:
    """Microseconds for a poll, and how many of the announcements that came at once were lost."""
    async with started(*python("responder", NODES)) as nodes, started(*python("by_polling", who, NODES)) as poller:
        await poller.told(FIND_S)
        sent = (await nodes.asked())["sent"]
        heard = (await poller.told(FIND_S))["heard"]
        await nodes.asked()
        polled = await poller.told(FIND_S)
    return polled["took_s"] / polled["polls"] * 1e6, polled["processor_s"] / polled["polls"] * 1e6, sent - heard
