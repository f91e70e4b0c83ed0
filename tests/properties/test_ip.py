"""Thirty days with a meter on an IPv6 link on which anything may happen: always back, and no value wrong."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.clock import run
from support.ip import SimulatedLink
from support.routeb import EPOCH, FakeSeat, virtual_now

from drivers import interface, udp
from drivers.packet import ALL_NODES
from drivers.ports import DatagramPort, PortLost, PortMissing
from hemsd.daemon.config import MeterTable
from hemsd.daemon.meter import MeterDomain, kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.messages import MeterInterval, MeterReading
from hemsd.simulator import Fault, Flaw, Household, Meter, MeterNode, Plate, Spell, Strike

START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)  # Japan's wall clock
JST, HALF_HOUR = timedelta(hours=9), timedelta(minutes=30)
ASK = bytes.fromhex("05FF010EF0016201D600")  # of a Get of the instance list, what follows its TID
DAYS = 30
DAY_S = 86_400.0
BACK_S = 2400.0  # from the end of a trouble to the next reading: a whole round, a pause and another
ADDRESSES = ("fe80::21c:64ff:fe60:1421", "fe80::2", "fe80::dead:beef:0:1")
FLAWS = (Flaw.ANSWER_LOST, Flaw.ANSWER_LATE, Flaw.ANSWER_TWICE, Flaw.ANSWER_SHORT, Flaw.ANSWER_REFUSED)
STRIKES = (Strike.METER_RESTARTS, Strike.NOTIFY, Strike.MOVE_PAN)
SPELLS = (Spell.METER_SILENT, Spell.RADIO_LOST, Spell.UNPLUGGED)  # unplugged: the interface is gone


def seeds() -> list[int]:
    return [random.randrange(1 << 32)] if os.environ.get("HEMSD_SOAK") else [1, 2]


def storm(chance: random.Random) -> list[Fault]:
    """Eight troubles a day, the last hours quiet."""
    faults = []
    for _ in range(DAYS * 8):
        kind = chance.choice(chance.choice((FLAWS, STRIKES, SPELLS)))
        seconds = chance.choice((5.0, 60.0, 1800.0)) if isinstance(kind, Spell) else 15.0
        at = chance.uniform(3600, DAYS * DAY_S - 7200)
        faults.append(Fault(kind, at, chance.randrange(1, 5), seconds, arg=chance.choice(ADDRESSES)))
    return faults


class Home:
    """The meter's domain under supervision; its interface comes and goes with Spell.UNPLUGGED."""

    def __init__(
        self, node: MeterNode, faults: list[Fault], directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.node = node
        self.faults = faults
        self.seat = FakeSeat()
        self.links: list[SimulatedLink] = []
        settings = MeterTable(interface="wlan1", live_s=300, watched_s=300, energy_s=300)
        hub = SimpleNamespace(seat=lambda domain: self.seat)
        self.domain = MeterDomain(settings, directory, hub, {}, clock=virtual_now)  # type: ignore[arg-type]
        monkeypatch.setattr(udp, "open_udp", self.open)
        monkeypatch.setattr(interface, "usable", self.usable)

    @property
    def gone(self) -> bool:
        return bool(self.node.faults.held(Spell.UNPLUGGED, asyncio.get_running_loop().time()))

    def open(self, name: str, **_: object) -> DatagramPort:
        if self.gone:
            raise PortMissing(name, "gone")
        self.links.append(SimulatedLink(self.node))
        return self.links[-1]

    async def usable(self, name: str) -> None:
        while self.gone:
            await asyncio.sleep(1)

    async def live(self) -> None:
        domain = self.domain
        keeping = asyncio.create_task(
            supervise("meter", domain.run, kind_of, on_failure=domain.failed, sooner=domain.sooner)
        )
        for at in sorted(fault.at for fault in self.faults if fault.kind is Spell.UNPLUGGED):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            if not self.links[-1].closed:
                self.links[-1].lose(PortLost("wlan1", "gone"))
        await asyncio.sleep(DAYS * DAY_S - asyncio.get_running_loop().time())
        assert not keeping.done()
        keeping.cancel()
        await asyncio.wait([keeping])


@pytest.mark.parametrize("seed", seeds())
def test_thirty_days(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back within a round after each trouble; registers are the household's; no half-hour is lost but in trouble."""
    print(f"seed {seed}")  # shown where it fails
    chance = random.Random(seed)
    random.seed(seed)
    faults = storm(chance)
    household = Household(7, pv_kw=4)
    meter = Meter(household, start=START, plate=Plate(generation=2), confirmed=chance.random() < 0.5)
    home = Home(MeterNode(meter, faults=faults, seed=seed), faults, tmp_path, monkeypatch)
    run(home.live())

    assert len(home.links) > DAYS / 2  # the interface did come and go
    assert late(home.seat, faults) == []
    for reading in home.seat.of(MeterReading):
        true = household.energy((reading.measured_at + JST).replace(tzinfo=None))
        if reading.energy_import_kwh is not None and true is not None:
            assert reading.energy_import_kwh == pytest.approx(true.imported_j / 3.6e6, abs=0.3)
    intervals = {interval.end: interval for interval in home.seat.of(MeterInterval)}
    for end, interval in intervals.items():
        true = household.energy((end + JST).replace(tzinfo=None))
        assert true is not None
        assert interval.energy_import_kwh == true.imported_j // 360_000 / 10
    assert [end for end in missing(set(intervals)) if not near(end, faults)] == []
    sent = [packet for link in home.links for _, packet in link.sent]
    assert {packet.payload[10] for packet in sent} <= {0x61, 0x62, 0x7A}
    assert {packet.payload[4:] for packet in sent if packet.address == ALL_NODES} == {ASK}


def late(seat: FakeSeat, faults: list[Fault]) -> list[tuple[float, float]]:
    """The pauses between readings that no trouble explains."""
    found = []
    for before, after in pairwise(seat.times(MeterReading)):
        ends = [fault.at + fault.seconds for fault in faults if fault.at < after]
        since = max(before, min(after, max(ends, default=0.0)))
        if after - since > BACK_S:
            found.append((before, after))
    return found


def missing(ends: set[datetime]) -> list[datetime]:
    """The half-hours between the first and the last of which nothing was told."""
    first, count = min(ends), int((max(ends) - min(ends)) / HALF_HOUR)
    return [end for number in range(count) if (end := first + number * HALF_HOUR) not in ends]


def near(end: datetime, faults: list[Fault]) -> bool:
    """Whether there was trouble while this half-hour would have been told or read."""
    at = (end - EPOCH).total_seconds()
    return any(fault.at - BACK_S < at < fault.at + fault.seconds + BACK_S for fault in faults)
