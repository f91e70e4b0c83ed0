"""The daemon in a simulated house, in virtual time: what it goes through in a month, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from array import array
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from drivers.module import Credentials
from drivers.ports import PortMissing
from hemsd.daemon.domains import kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Event, MeterReading
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.routeb.cache import PanCache
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.meter import Meter
from hemsd.simulator import Board, Household, Network
from support.routeb import SimulatedPort

EPOCH = datetime(2026, 9, 14, 5, 1, tzinfo=UTC)  # of virtual time; 14:01 in Japan
START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)
NETWORK = Network()
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)
SECRETS = tuple(
    form
    for secret in (NETWORK.route_b_id, NETWORK.password, CREDENTIALS.pairing_id)
    for form in (secret.encode(), secret.lower().encode(), secret.encode().hex().encode())
)


def virtual_now() -> datetime:
    """The wall clock that goes with the virtual loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Heard:
    """What was published, as little of it as tells all: a month must not fill the memory."""

    readings: array[float] = field(default_factory=lambda: array("d"))  # when
    events: list[Event] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def take(self, message: object) -> None:
        text = msgspec.json.encode(message)
        if any(secret in text for secret in SECRETS):
            self.leaks.append(text.decode())
        if isinstance(message, MeterReading):
            self.readings.append(asyncio.get_running_loop().time())
        elif isinstance(message, Event):
            self.events.append(message)


class House:
    """One household with its meter, module and daemon; `state` is where the daemon keeps its files."""

    def __init__(self, module: Board, household: Household, state: Path, *, seed: int, pace: Pace) -> None:
        self.module = module
        self.household = household
        self.state = state
        self.heard = Heard()
        self._chance = random.Random(seed)
        self._pace = pace
        self._hub = Hub(ROUTES_6_4_3, clock=lambda: asyncio.get_running_loop().time())

    @asynccontextmanager
    async def inhabited(self) -> AsyncIterator[House]:
        """With the daemon running."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._listen(Domain.OPERATOR), name="operator"),
                tasks.create_task(self._listen(Domain.GATEWAY, count=False), name="gateway"),
                tasks.create_task(
                    supervise("meter", self._meter, kind_of, chance=self._chance.random), name="meter domain"
                ),
            ]
            yield self
            for task in running:
                task.cancel()

    async def _meter(self) -> None:
        port = await self._plugged_in()
        seat = self._hub.seat(Domain.ROUTEB)
        try:
            async with Meter(port, CREDENTIALS, cache=PanCache(self.state), persist=True, clock=virtual_now) as meter:
                await Collector(meter, seat, pace=self._pace, clock=virtual_now).run()
        finally:
            seat.close()
            await port.close()

    async def _plugged_in(self) -> SimulatedPort:
        self.module.tick(asyncio.get_running_loop().time())
        if not self.module.plugged:
            raise PortMissing("/dev/simulated", "there is no such device")
        return SimulatedPort(self.module)

    async def _listen(self, domain: Domain, *, count: bool = True) -> None:
        heard = self.heard if count else Heard()
        heard.leaks = self.heard.leaks
        async for message in self._hub.seat(domain).messages():
            heard.take(message)


@dataclass(frozen=True)
class Footprint:
    """What the process holds."""

    resident_kib: int
    descriptors: tuple[str, ...]
    tasks: int

    @classmethod
    def now(cls) -> Footprint:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE") // 1024, tuple(descriptors()), len(asyncio.all_tasks()))


def descriptors() -> Iterable[str]:
    """What the open files are, in order."""
    for each in sorted(Path("/proc/self/fd").iterdir(), key=lambda path: int(path.name)):
        with suppress(OSError):  # the one that the directory was read by
            yield str(each.readlink())
