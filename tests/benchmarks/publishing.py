"""Half-hours out of history to a broker: how soon, and at what cost; beside aiomqtt alone with the same payloads."""

from __future__ import annotations

import asyncio
from statistics import median
from time import monotonic
from typing import NamedTuple

from tests.benchmarks.broker import Heard, mosquitto, subscriber
from tests.benchmarks.processes import python, started
from tests.benchmarks.report import Row

COUNT, ROUNDS = 4_000, 3
REPLAYED = 500
DEADLINE_S = 60.0


async def publishing() -> list[Row]:
    """Half-hours to a broker at QoS 1: messages a second, processor time of one, pace of a replay."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(await _publish("hemsd", COUNT))
        bare.append(await _publish("aiomqtt", COUNT))
    replay = await _publish("replay", REPLAYED)
    return [
        Row(
            name="half-hour to the broker, elapsed",
            unit="us",
            hemsd=median(each.took_s for each in ours) / COUNT * 1e6,
            peer=median(each.took_s for each in bare) / COUNT * 1e6,
        ),
        Row(
            name="half-hour to the broker, processor time",
            unit="us",
            hemsd=median(each.cpu_s for each in ours) / COUNT * 1e6,
            peer=median(each.cpu_s for each in bare) / COUNT * 1e6,
        ),
        Row(name="replay, half-hours a second", unit="/s", hemsd=(REPLAYED - 1) / replay.took_s),
    ]


class Published(NamedTuple):
    """All of them: the time from the first to the last at a subscriber, and the processor time of who published."""

    took_s: float
    cpu_s: float


async def _publish(who: str, count: int) -> Published:
    async with (
        mosquitto() as port,
        subscriber(port) as heard,
        started(*python("by_publishing", who, port, count)) as publisher,
    ):
        await publisher.told(DEADLINE_S)
        began = monotonic()
        first = await publisher.asked()
        assert not first
        async with asyncio.timeout(DEADLINE_S):
            while (told := _intervals(heard)) < count:
                await asyncio.sleep(0.01)
        assert told == count
        ends = [each.at for each in heard if each.topic.endswith("/interval")]
        cpu_s = (await publisher.asked())["cpu_s"]
        return Published(ends[-1] - (ends[0] if who == "replay" else began), cpu_s)


def _intervals(heard: list[Heard]) -> int:
    return sum(each.topic.endswith("/interval") for each in heard)
