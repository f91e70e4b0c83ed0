"""What publishing is measured at: ``python -m tests.benchmarks.by_publishing WHO PORT COUNT``.

Each publishes so many half-hours at QoS 1 when it is sent a byte, with as many on their way at once as hemsd has, and
when it is sent another one tells the processor time that it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from aiomqtt import Client

from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.outbox import IN_FLIGHT
from hemsd.gateway.standing import Home
from hemsd.gateway.topics import Topics
from hemsd.hub.hub import Hub, Place
from hemsd.hub.messages import Domain, Health, HistoryHead, MeterInterval, Record, Records, RecordsAfter
from hemsd.hub.routes import ROUTES_6_4_3

SITE = "bench"
FIRST_END = datetime(2025, 1, 1, tzinfo=UTC)


def records(count: int) -> list[Record]:
    """So many half-hours, one after the other, as history keeps them."""
    return [
        Record(
            seq=number,
            content=MeterInterval(
                meter="m1",
                end=FIRST_END + timedelta(minutes=30 * number),
                energy_import_kwh=1000 + number / 10,
                energy_export_kwh=number / 100,
                import_count=10_000 + number,
                export_count=number,
                source="notified",
            ),
        )
        for number in range(1, count + 1)
    ]


class Archive:
    """History in a list."""

    def __init__(self, place: Place, kept: list[Record]) -> None:
        self._place = place
        self._kept = kept
        self.head = 0

    def keep(self) -> None:
        """All of them have come."""
        self.head = len(self._kept)
        self.tell()

    def tell(self) -> None:
        """How far it has come."""
        self._place.publish(HistoryHead(history="bench", seq=self.head))

    async def run(self) -> None:
        """Answer what is asked, until cancelled."""
        async for message in self._place.messages():
            if isinstance(message, RecordsAfter):
                found = tuple(self._kept[message.seq : min(self.head, message.seq + message.limit)])
                self._place.publish(Records(request=message.request, to=message.asker, records=found, head=self.head))


async def hemsd(port: int, count: int) -> None:
    """The gateway, which reads them out of history and keeps its cursor on the disk."""
    await _gateway(port, count, replay_days=0)


async def replay(port: int, count: int) -> None:
    """The same of a broker that is new to it, at the pace of a replay."""
    await _gateway(port, count, replay_days=36_500)


async def _gateway(port: int, count: int, *, replay_days: int) -> None:
    hub = Hub(ROUTES_6_4_3)
    operator = hub.seat(Domain.OPERATOR)
    archive = Archive(hub.seat(Domain.HISTORY), records(count))
    with TemporaryDirectory() as directory:
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{port}", replay_days=replay_days)
        home = Home(site=SITE, exposure="aggregates", profile="6.4.3", config_hash="", live_s=30, discovery="")
        bridge = Bridge(hub.seat(Domain.GATEWAY), config, home, Path(directory))
        working = [asyncio.create_task(each) for each in (archive.run(), bridge.run())]
        if replay_days:
            archive.keep()
        else:
            archive.tell()
        async for message in operator.messages():
            if isinstance(message, Health) and message.source is Domain.GATEWAY and message.ok:
                break
        await told_to_begin()
        began = time.process_time()
        archive.keep()
        await told_to_begin()
        print(json.dumps({"cpu_s": time.process_time() - began}), flush=True)
        for task in working:
            task.cancel()
        await asyncio.wait(working)


async def aiomqtt(port: int, count: int) -> None:
    """aiomqtt alone: the same payloads, made before."""
    topics = Topics("hemsd", SITE)
    made = iter([topics.record(record, "aggregates", replay=False) for record in records(count)])
    async with Client("127.0.0.1", port) as client:

        async def publish() -> None:
            for each in made:
                assert each is not None
                await client.publish(each.topic, each.payload, qos=1)

        await told_to_begin()
        began = time.process_time()
        await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
        await told_to_begin()
        print(json.dumps({"cpu_s": time.process_time() - began}), flush=True)


async def told_to_begin() -> None:
    """Say that we are ready, and wait for a byte on standard input."""
    print("{}", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read, 1)


if __name__ == "__main__":
    works = {work.__name__: work for work in (hemsd, replay, aiomqtt)}
    asyncio.run(works[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3])))
