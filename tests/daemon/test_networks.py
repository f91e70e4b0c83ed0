"""Two networks side by side in one process, on real links: whatever befalls one, the other does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from support.netns import Street, street

from hemsd.appliances.network import Network, NetworkSettings
from hemsd.appliances.steward import Plan, Steward
from hemsd.appliances.wellbeing import Wellbeing
from hemsd.daemon.domains import kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Domain,
    Event,
    Message,
)
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.simulator.appliances import ApplianceNode, GeneralLighting, World, serve_nodes

pytestmark = pytest.mark.needs("ip", "root")

M = TypeVar("M", bound=Message)

WITHIN_S = 30.0
LINKS = {"wl": ("192.168.7.1", "192.168.7.20"), "annex": ("192.168.8.1", "192.168.8.20")}  # ours, theirs


class Home:
    """Two stewards under supervision. `heard` is what the operator hears, `results` what control does."""

    def __init__(self, directory: Path) -> None:
        self.heard: list[Message] = []
        self.results: list[ApplianceResult] = []
        hub, wellbeing, owners = Hub(ROUTES_6_4_3), Wellbeing(), dict[str, str]()
        self._control = hub.seat(Domain.CONTROL)
        self._seats = (hub.seat(Domain.OPERATOR), self._control)
        self._orders = 0
        self.stewards = {
            name: Steward(
                Plan(settings=NetworkSettings(name=name), maker="FFFFFF", interface=name, ipv4=True, ipv6=False),
                hub.seat(Domain.APPLIANCES),
                directory,
                wellbeing,
                owners,
                chance=lambda: 0.0,
            )
            for name in LINKS
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Home]:
        works = [
            supervise(name, each.run, kind_of, on_failure=each.failed, sooner=each.sooner, chance=lambda: 0.0)
            for name, each in self.stewards.items()
        ]
        tasks = [asyncio.create_task(work) for work in (*works, *map(self._listen, self._seats))]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    async def _listen(self, seat: Seat) -> None:
        async for message in seat.messages():
            if isinstance(message, ApplianceResult):
                self.results.append(message)
            elif seat is not self._control:
                self.heard.append(message)

    async def hears(self, kind: type[M], suits: Callable[[M], bool]) -> M:
        """Wait for a message, from among those heard since they were cleared."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for message in self.heard:
                    if isinstance(message, kind) and suits(message):
                        return message
                await asyncio.sleep(0.02)

    async def lamp(self, name: str) -> str:
        """The id of the lamp of a network, when it is there and known."""
        status = await self.hears(ApplianceStatus, lambda each: each.network == name and each.online and each.known)
        await self.hears(ApplianceState, lambda each: each.appliance == status.appliance and "on" in each.values)
        return status.appliance

    async def set(self, appliance: str, *, on: bool) -> str:
        """Switch it; what came of it."""
        self._orders += 1
        command = f"c{self._orders}"
        self._control.publish(ApplianceCommand(command=command, appliance=appliance, values={"on": on}))
        async with asyncio.timeout(WITHIN_S):
            while not (found := [each for each in self.results if each.command == command]):
                await asyncio.sleep(0.02)
        return found[0].outcome


@pytest.fixture
def links() -> Iterator[Street]:
    """Two links between the home and its devices."""
    with street() as built:
        built.join("annex")
        for name in LINKS:
            give_addresses(built, name)
        yield built


def give_addresses(built: Street, name: str) -> None:
    ours, theirs = LINKS[name]
    built.home.ip("address", "replace", f"{ours}/24", "dev", name)
    built.grid.ip("address", "replace", f"{theirs}/24", "dev", name)


@asynccontextmanager
async def lamp(built: Street, name: str, identity: int) -> AsyncIterator[tuple[ApplianceNode, GeneralLighting]]:
    """A lamp at the other end of a link."""
    world = World(datetime(2026, 8, 1, 20, 0), step_s=0.25)
    light = GeneralLighting(world)
    number = bytes.fromhex("feffffff") + bytes([identity] * 13)
    node = ApplianceNode(world, [light], LINKS[name][1], identity=number)
    with built.grid.entered():
        serving = serve_nodes([node], name)
        await serving.__aenter__()
    try:
        yield node, light
    finally:
        await serving.__aexit__(None, None, None)


async def test_an_unexpected_failure_of_one(
    links: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in the machine of one network: it begins anew, and the other keeps its port and its peace."""
    home = Home(tmp_path)
    async with lamp(links, "wl", 1) as (node, light), lamp(links, "annex", 2), home.running():
        one, other = await home.lamp("wl"), await home.lamp("annex")
        running = home.stewards["annex"]._running
        assert running is not None and home.stewards["wl"]._running is not None
        victim = home.stewards["wl"]._running.network
        receive = Network.receive

        def fails(self: Network, *of: object) -> bool:
            if self is victim:
                raise ZeroDivisionError("a fault of ours")
            return receive(self, *of)  # type: ignore[arg-type]

        monkeypatch.setattr(Network, "receive", fails)
        home.heard.clear()
        node.by_hand(light, 0x80, b"\x31" if light.on else b"\x30")  # there is something to receive
        await home.hears(ApplianceStatus, lambda each: each.appliance == one and not each.online)
        await home.hears(ApplianceStatus, lambda each: each.appliance == one and each.online)
        assert await home.set(one, on=True) == await home.set(other, on=True) == "applied"
        assert home.stewards["annex"]._running is running
        assert not [each for each in home.heard if isinstance(each, ApplianceStatus) and each.appliance == other]
        assert not [each for each in home.heard if isinstance(each, Event) and other in each.text]
    assert "a fault of ours" in caplog.text
    caplog.clear()


async def test_another_address_of_our_own(links: Street, tmp_path: Path) -> None:
    """The router gives our interface another address: orders work again, and what is announced is heard."""
    home = Home(tmp_path)
    async with lamp(links, "wl", 1) as (node, light), lamp(links, "annex", 2), home.running():
        one, other = await home.lamp("wl"), await home.lamp("annex")
        assert await home.set(one, on=True) == "applied"
        links.home.ip("address", "del", f"{LINKS['wl'][0]}/24", "dev", "wl")
        links.home.ip("address", "add", "192.168.7.9/24", "dev", "wl")
        home.heard.clear()
        async with asyncio.timeout(WITHIN_S):
            while await home.set(one, on=False) != "applied":
                await asyncio.sleep(0.2)
        assert await home.set(other, on=True) == "applied"
        await hears_what_is_announced(home, one, node, light)


async def test_a_link_that_flaps(links: Street, tmp_path: Path) -> None:
    """Down and up three times within moments: memberships are renewed, and the other network heard nothing of it."""
    home = Home(tmp_path)
    async with lamp(links, "wl", 1) as (node, light), lamp(links, "annex", 2), home.running():
        one, other = await home.lamp("wl"), await home.lamp("annex")
        running = home.stewards["annex"]._running
        home.heard.clear()
        for _ in range(3):
            links.home.ip("link", "set", "wl", "down")
            await asyncio.sleep(0.05)
            links.home.ip("link", "set", "wl", "up")
            await asyncio.sleep(0.05)
        async with asyncio.timeout(WITHIN_S):
            while await home.set(one, on=True) != "applied":
                await asyncio.sleep(0.2)
        await hears_what_is_announced(home, one, node, light)
        assert home.stewards["annex"]._running is running
        assert not [each for each in home.heard if isinstance(each, ApplianceStatus) and each.appliance == other]


async def hears_what_is_announced(home: Home, appliance: str, node: ApplianceNode, light: GeneralLighting) -> None:
    """Somebody switches it by hand; told long before the next poll."""
    home.heard.clear()
    node.by_hand(light, 0x80, b"\x31" if light.on else b"\x30")
    async with asyncio.timeout(5.0):
        await home.hears(ApplianceState, lambda each: each.appliance == appliance and each.values["on"] is light.on)
