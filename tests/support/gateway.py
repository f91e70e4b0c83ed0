"""A house that talks to the gateway, and a bridge to a broker."""

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
from hemsd.gateway.standing import Home
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Link, MeterInterval, MeterReading, MeterStatus
from hemsd.hub.routes import DOORS_6_4_3, Exposure

SITE, METER = "home-1", "m1"
ROOT = f"hemsd/v1/{SITE}"
AVAILABILITY = f"{ROOT}/availability"
INFO, HEALTH = (f"{ROOT}/bridge/{name}" for name in ("info", "health"))
METER_AVAILABILITY, LIVE, INTERVAL = (f"{ROOT}/meter/{METER}/{name}" for name in ("availability", "live", "interval"))
AT = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)


class House:
    """A hub, the meter's side of it, and the gateway's seat."""

    now = 0.0  # of the bridge's clock

    def __init__(self, level: Exposure = "aggregates") -> None:
        self.level = level
        self.hub = Hub(DOORS_6_4_3[level])
        self.gateway = self.hub.seat(Domain.GATEWAY)
        self._routeb = self.hub.seat(Domain.ROUTEB)

    def wall(self) -> datetime:
        return AT + timedelta(seconds=self.now)

    def clock(self) -> float:
        return self.now

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
        """The half hour of that number, whose import register says the number."""
        end = AT + timedelta(minutes=30 * number)
        self._routeb.publish(MeterInterval(meter=METER, end=end, energy_import_kwh=float(number), source="notified"))


@asynccontextmanager
async def bridging(
    house: House, config: BrokerConfig, state: Path | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a bridge that comes back as fast as it may."""
    with TemporaryDirectory() as scratch:
        home = Home(site=SITE, exposure=house.level, profile="6.4.3", config_hash="0123456789ab")
        bridge = Bridge(
            house.gateway,
            config,
            home,
            state or Path(scratch),
            clock=house.clock,
            wall=house.wall,
            chance=lambda: 0.0,
        )
        task = asyncio.create_task(bridge.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
