"""A house that talks to the gateway, with a history that answers, and a bridge to a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.payloads import LogLevel
from hemsd.gateway.signature import Signer
from hemsd.gateway.standing import Home
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import (
    Domain,
    Event,
    HistoryHead,
    Link,
    MeterInterval,
    MeterReading,
    MeterStatus,
    Record,
    Records,
    RecordsAfter,
)
from hemsd.hub.routes import DOORS_6_4_3, Exposure

SITE, METER = "home-1", "m1"
ROOT = f"hemsd/v1/{SITE}"
AVAILABILITY = f"{ROOT}/availability"
INFO, HEALTH = (f"{ROOT}/bridge/{name}" for name in ("info", "health"))
METER_AVAILABILITY, LIVE, INTERVAL = (f"{ROOT}/meter/{METER}/{name}" for name in ("availability", "live", "interval"))
AT = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)


class Archive:
    """History as the gateway knows it: what was kept, each with a seq of its own, and answers about that."""

    def __init__(self, seat: Seat) -> None:
        self.name = "first"  # which history it is
        self.records: list[Record] = []
        self.asked: list[RecordsAfter] = []
        self.silent = False
        self._seat = seat

    @property
    def seq(self) -> int:
        return self.records[-1].seq if self.records else 0

    def keep(self, *contents: MeterInterval | Event, seq: int | None = None) -> None:
        """Give each the next seq, or `seq` to the first, and tell how far it has come."""
        for following, content in enumerate(contents, self.seq + 1 if seq is None else seq):
            self.records.append(Record(seq=following, content=content))
        self.tell()

    def tell(self) -> None:
        self._seat.publish(HistoryHead(history=self.name, seq=self.seq))

    async def run(self) -> None:
        self.tell()
        async for message in self._seat.messages():
            if isinstance(message, RecordsAfter):
                self.asked.append(message)
                if not self.silent:
                    self._seat.publish(self._answer(message))

    def _answer(self, asked: RecordsAfter) -> Records:
        found = [record for record in self.records if record.seq > asked.seq]
        if asked.last_days is not None:
            ends = [each.content.end for each in self.records if isinstance(each.content, MeterInterval)]
            since = max(ends, default=AT) - timedelta(days=asked.last_days)
            recent = [each for each in found if isinstance(each.content, Event) or each.content.end > since]
            found = [record for record in found if recent and record.seq >= recent[0].seq]
        records = tuple(found[: asked.limit])
        return Records(request=asked.request, to=asked.asker, records=records, head=self.seq)


def half_hour(number: int, **more: Any) -> MeterInterval:
    """The half hour of that number, whose import register says the number."""
    end = AT + timedelta(minutes=30 * number)
    told = {"meter": METER, "end": end, "energy_import_kwh": float(number), "source": "notified"}
    return MeterInterval(**told | more)


def event(text: str) -> Event:
    return Event(at=AT, source=Domain.ROUTEB, kind="test.kind", severity="info", text=text)


class House:
    """A hub, the meter's side of it, and the gateway's seat."""

    now = 0.0  # of the bridge's clock
    discovery = ""  # prefix of Home Assistant's discovery
    signer: Signer | None = None
    log: LogLevel | None = None

    def __init__(self, level: Exposure = "aggregates") -> None:
        self.level = level
        self.hub = hub = Hub(DOORS_6_4_3[level])
        self.gateway = hub.seat(Domain.GATEWAY)
        self._routeb = hub.seat(Domain.ROUTEB)
        self.operator = hub.seat(Domain.OPERATOR)
        self.history = Archive(hub.seat(Domain.HISTORY))

    def clock(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return AT + timedelta(seconds=self.now)

    def read(self, **values: Any) -> None:
        """A live reading."""
        self._routeb.publish(MeterReading(meter=METER, **{"measured_at": AT, **values}))

    def status(
        self, online: bool = True, heard: datetime = AT, meter: str | None = METER, fresh: bool | None = None
    ) -> None:
        """How it stands with the meter."""
        stage = "online" if online else "waiting"
        self._routeb.publish(
            MeterStatus(
                meter=meter,
                online=online,
                stage=stage,
                since=AT,
                last_heard_at=heard,
                read_at=None if fresh is None else AT,
                fresh=bool(fresh),
                link=Link(lqi=200),
            )
        )

    def interval(self, number: int) -> None:
        """The half hour of that number was kept."""
        self.history.keep(half_hour(number))


@asynccontextmanager
async def bridging(
    house: House, config: BrokerConfig, state: Path | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a bridge that comes back as fast as it may; without a directory it remembers nothing of another one."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as fleeting:  # a thread may be writing yet
        directory = state or Path(fleeting)
        told = {"profile": "6.4.3", "config_hash": "0123456789ab", "discovery": house.discovery}
        home = Home(site=SITE, exposure=house.level, signer=house.signer, log=house.log, **told)
        times = {"clock": house.clock, "wall": house.wall, "chance": lambda: 0.0}
        bridge = Bridge(house.gateway, config, home, directory, **times)
        archive = asyncio.create_task(house.history.run())
        task = asyncio.create_task(bridge.run())
        try:
            yield task
        finally:
            for each in (task, archive):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
