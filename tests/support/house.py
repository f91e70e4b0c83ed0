"""The meter's domain as the daemon runs it, supervised, a simulated module behind its port; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drivers import serialport
from drivers.ports import BytePort, PortMissing
from hemsd.daemon.config import MeterTable
from hemsd.daemon.meter import MeterDomain, kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.messages import Domain, Event, MeterReading, MeterStatus
from hemsd.routeb.ladder import RUNGS, Rung
from hemsd.routeb.news import DOING
from hemsd.simulator import Board, Family, Fault, Household, J11Module, Network, SkModule
from hemsd.simulator import Meter as SimulatedMeter
from support.routeb import EPOCH, FakeSeat, SimulatedPort, virtual_now

START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)  # Japan's wall clock


def simulated(
    family: Family = "DUAL", meter: dict[str, Any] | None = None, network: Network | None = None, **options: Any
) -> Board:
    told = {"start": START, **(meter or {})}
    simulated_meter = SimulatedMeter(Household(7, pv_kw=4), **told)
    if family == "J11":
        return J11Module(simulated_meter, network or Network(), **options)
    return SkModule(family, simulated_meter, network or Network(), **options)


class _Hub:
    """Gives everybody the same seat."""

    def __init__(self, seat: FakeSeat) -> None:
        self._seat = seat

    def seat(self, domain: Domain) -> FakeSeat:
        return self._seat


class House:
    """`seat` keeps all that is published. Faults are given by the time from now."""

    def __init__(self, module: Board, directory: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.module = module
        self.seat = FakeSeat()
        self.opened: list[float] = []  # when the port was
        self._port: SimulatedPort | None = None
        directory.mkdir(mode=0o700, exist_ok=True)
        credentials = directory / "credentials.toml"
        credentials.touch(0o600)
        network = module.air.network
        credentials.write_text(f'id = "{network.route_b_id}"\npassword = "{network.password}"\n')
        table = MeterTable(port="/dev/simulated", credentials=credentials, **settings)
        self.domain = MeterDomain(table, directory, _Hub(self.seat), {}, clock=virtual_now)  # type: ignore[arg-type]
        monkeypatch.setattr(serialport, "open_serial", self._open)

    async def _open(self, path: str) -> BytePort:
        now = asyncio.get_running_loop().time()
        self.module.tick(now)
        if not self.module.plugged:
            raise PortMissing(path, f"{path} does not exist")
        self.opened.append(now)
        self._port = SimulatedPort(self.module)
        return self._port

    @asynccontextmanager
    async def living(self) -> AsyncIterator[House]:
        """The domain runs, and is online."""
        work = supervise("meter", self.domain.run, kind_of, on_failure=self.domain.failed, chance=lambda: 1.0)
        running = asyncio.create_task(work)
        try:
            await self.until(lambda: self.status.online and self.status.fresh)
            yield self
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def until(self, happened: Callable[[], bool], within_s: float = 7200.0) -> None:
        """Let time pass until something is so."""
        end = self.now + within_s
        while not happened():
            assert self.now < end, "it did not happen"
            await asyncio.sleep(0.25)

    def strike(self, *faults: Fault) -> None:
        """Let things happen, by the time from now."""
        self.module.faults.add(*(replace(fault, at=fault.at + self.now) for fault in faults))
        if self._port is not None:
            self._port.turn()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def status(self) -> MeterStatus:
        told = self.seat.of(MeterStatus)
        return (
            told[-1] if told else MeterStatus(online=False, stage="waiting", since=datetime.min.replace(tzinfo=UTC))
        )

    def told(self, kind: str, since: float = 0.0) -> list[tuple[float, Event]]:
        """Events of a kind, with their times."""
        return [(at, e) for at, e in self.seat.published if isinstance(e, Event) and e.kind == kind and at >= since]

    def readings(self, since: float = 0.0) -> list[float]:
        return self.seat.times(MeterReading, since)


def rung_of(text: str) -> Rung:
    """Which rung an event tells of."""
    return next(rung for rung in RUNGS if text.endswith(DOING[rung]))


def walk(house: House, since: float) -> list[tuple[float, Rung, float]]:
    """The rungs taken since: when, and how long each lasted, until the next, a conclusion, online or a reading."""
    taken = [(at, rung_of(event.text)) for at, event in house.told("meter.recovery", since)]
    ended = [*house.told("meter.unreachable", since), *house.told("meter.online", since)]
    ends = sorted([*[at for at, _ in taken], *[at for at, _ in ended], *house.readings(since)])
    return [(at, rung, next(end for end in ends if end > at) - at) for at, rung in taken]
