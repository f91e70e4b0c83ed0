"""Polls of three hundred appliances: how long one takes, and how many announcements at once are heard.

The goal is one of processor time, which is what limits the polls of a second; the time that passes depends on who
else wants the processors. A bare socket shows what the nodes and the kernel leave.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from tests.benchmarks.processes import python, started
from tests.benchmarks.report import Row

NODES = 300
ROUNDS = {"hemsd": 3, "pyhems": 3, "pychonet": 1, "nobody": 1}  # pychonet only looks for answers ten times a second
FIND_S = 20.0


async def polling() -> list[Row]:
    """A poll of four properties, each of 300 nodes at once, beside pyhems and pychonet; 300 announcements at once."""
    rounds: dict[str, list[Round]] = {who: [] for who in ROUNDS}
    for number in range(max(ROUNDS.values())):
        for who, times in ROUNDS.items():  # in turn, so that whatever else this machine does meets all of them
            if number < times:
                rounds[who].append(await _round(who))
    hemsd, pyhems, pychonet, nobody = (Round(*map(median, zip(*each, strict=True))) for each in rounds.values())
    poll = f"a poll, {NODES} nodes at once"
    return [
        Row(
            name=f"{poll}, processor (pyhems)",
            unit="us",
            hemsd=hemsd.busy_us,
            peer=pyhems.busy_us,
            goal=1 / 3,
            goal_is_ratio=True,
        ),
        Row(name=f"{poll} (pyhems)", unit="us", hemsd=hemsd.took_us, peer=pyhems.took_us),
        Row(name=f"{poll} (pychonet)", unit="us", hemsd=hemsd.took_us, peer=pychonet.took_us),
        Row(name=f"{poll} (bare socket)", unit="us", hemsd=hemsd.took_us, peer=nobody.took_us),
        Row(name=f"lost of {NODES} datagrams at once (pyhems)", unit="", hemsd=hemsd.lost, peer=pyhems.lost, goal=0),
    ]


class Round(NamedTuple):
    """Of one of them: microseconds from poll to poll, and of processor time; announcements not heard."""

    took_us: float
    busy_us: float
    lost: float


async def _round(who: str) -> Round:
    async with started(*python("responder", NODES)) as nodes, started(*python("by_polling", who, NODES)) as poller:
        await poller.told(FIND_S)
        sent = (await nodes.asked())["sent"]
        heard = (await poller.told(FIND_S))["heard"]
        await nodes.asked()
        polled = await poller.asked()
    return Round(polled["took_s"] / polled["polls"] * 1e6, polled["busy_s"] / polled["polls"] * 1e6, sent - heard)
