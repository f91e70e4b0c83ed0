"""T-INDEP (G.9958: R14, D6): each network is operated by itself; the loss of one is not felt on another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import run
from support.ip import SimulatedLink
from support.routeb import virtual_now
from support.steward import FakePort
from support.worlds import House

from drivers import udp
from drivers.packet import Packet
from drivers.ports import PortLost
from hemsd.appliances import steward
from hemsd.appliances.network import NetworkSettings
from hemsd.appliances.steward import Plan, Steward
from hemsd.appliances.wellbeing import Wellbeing
from hemsd.daemon.config import MeterTable
from hemsd.daemon.meter import MeterDomain, kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.hub import Hub
from hemsd.hub.messages import (
    ApplianceStatus,
    Domain,
    Health,
    MeterReading,
    MeterStatus,
    UserRequest,
    UserResponse,
)
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.simulator import Household, MeterNode, Plate
from hemsd.simulator import Meter as SimulatedMeter

HOUR_S = 3600.0
FRAME = bytes.fromhex("1081000101300105FF017301800130")


class Deaf(FakePort):
    """What is sent on it comes to nobody."""

    def write(self, packet: Packet) -> None:
        self.dropped["nobody there"] += 1


def polled(
    state: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[FakePort, SimulatedLink], None]
) -> list[float]:
    """When the meter was asked within an hour, while something happens on a network of appliances after 20 min."""
    state.mkdir()

    async def main() -> list[float]:
        hub = Hub(ROUTES_6_4_3)
        start = virtual_now().replace(tzinfo=None)
        link = SimulatedLink(MeterNode(SimulatedMeter(Household(7), start=start, plate=Plate(generation=2))))
        port = Deaf()
        monkeypatch.setattr(udp, "open_udp", lambda name, **_: link)
        monkeypatch.setattr(steward, "open_udp", lambda name, **_: port)
        meter = MeterDomain(MeterTable(interface=link.name), state, hub, {}, clock=virtual_now)
        plan = Plan(settings=NetworkSettings(name="home"), maker="FFFFFF", interface="eth1", ipv4=True, ipv6=True)
        home = Steward(plan, hub.seat(Domain.APPLIANCES), state, Wellbeing(), {}, clock=virtual_now)
        works = [
            supervise("meter", meter.run, kind_of, on_failure=meter.failed),
            supervise("home", home.run, kind_of, on_failure=home.failed),
        ]
        tasks = [asyncio.create_task(each) for each in works]
        await asyncio.sleep(HOUR_S / 3)
        happens(port, link)
        await asyncio.sleep(HOUR_S * 2 / 3)
        for task in tasks:
            assert not task.done()
            task.cancel()
        await asyncio.wait(tasks)
        return [at for at, _ in link.sent]

    return run(main())


def dies(port: FakePort, link: SimulatedLink) -> None:
    port.lose(PortLost("eth1", "eth1 went away"))


def is_flooded(port: FakePort, link: SimulatedLink) -> None:
    for number in range(5000):
        port.receive(Packet(f"192.0.2.{number % 250}", FRAME[: number % 20]))


def infects(port: FakePort, link: SimulatedLink) -> None:
    """The deliberate breach: what ends one network ends the other one as well."""
    dies(port, link)
    link.lose(PortLost("wlan1", "wlan1 went away"))


def test_the_meter_is_asked_at_the_same_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the microsecond, whether the appliances' network dies, is flooded or is well; control: not when both die."""
    monkeypatch.setattr(steward, "usable", lambda *_, **__: asyncio.sleep(60))
    calm = polled(tmp_path / "calm", monkeypatch, lambda port, link: None)
    assert len(calm) > 120
    for name, happens in (("dead", dies), ("flooded", is_flooded)):
        assert polled(tmp_path / name, monkeypatch, happens) == calm, name
    assert polled(tmp_path / "infected", monkeypatch, infects) != calm


@pytest.mark.needs("ip", "root", "mosquitto")
@pytest.mark.parametrize("dead", ["home", "lan"])
async def test_readings_go_on_while_another_link_is_down(house: House, dead: str) -> None:
    """With the real daemon: the appliances' network or the LAN is gone, and the meter is read as before."""
    before = await house.status()
    other = house.worlds.others[dead]
    other.ip("link", "set", "wl", "down")
    try:
        if dead == "home":
            await house.hears(Health, lambda health: health.source is Domain.APPLIANCES and not health.ok)
        await house.hears(MeterReading, lambda reading: reading.power_w is not None, count=4)
        after = await house.status(lambda status: True)
    finally:
        other.ip("link", "set", "wl", "up")
        house.worlds.restore(dead)
    assert (after.online, after.since, after.radio.silences) == (True, before.since, before.radio.silences)
    if dead == "home":
        await house.hears(ApplianceStatus, lambda status: status.online)


@pytest.mark.needs("ip", "root", "mosquitto")
async def test_appliances_are_served_while_the_meter_is_gone(house: House) -> None:
    """The other way round: an order is carried out while the daemon looks for its meter; the control is its loss."""
    status = await house.hears(ApplianceStatus, lambda status: status.online and status.known)
    house.worlds.others["meter"].ip("link", "set", "wl", "down")
    try:
        await house.hears(MeterStatus, lambda status: not status.online)
        asked = UserRequest(request="r", asker=Domain.OPERATOR, operation="get", target=status.appliance)
        answer = await house.hears(UserResponse, lambda answer: answer.request == "r", asked)
        assert answer.status == "ok" and answer.property is not None
    finally:
        house.worlds.others["meter"].ip("link", "set", "wl", "up")
        house.worlds.restore("meter")
    await house.hears(MeterStatus, lambda status: status.online)
