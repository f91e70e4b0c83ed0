"""The whole daemon with appliances on real links: `hemsd run` on one host, simulated devices on others."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest
from support.netns import Namespace, Street, street
from support.running import Daemon, network

from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Domain,
    Health,
)
from hemsd.simulator.appliances import AirConditioner, ApplianceNode, World, serve_nodes

pytestmark = pytest.mark.needs("ip", "root")

OURS, THEIRS = "192.168.7.1", "192.168.7.20"
NAMED = '[appliances.living-ac]\naddress = "192.168.7.20"\nroom = "living room"\n'


@pytest.fixture
def link() -> Iterator[Street]:
    """Home and a device's host, with IPv4 and IPv6 between them."""
    with street() as built:
        give_addresses(built)
        yield built


def give_addresses(built: Street, name: str = "wl", ours: str = OURS, theirs: str = THEIRS) -> None:
    built.home.ip("address", "add", f"{ours}/24", "dev", name)
    built.grid.ip("address", "add", f"{theirs}/24", "dev", name)


@asynccontextmanager
async def device(
    built: Street, name: str = "wl", *addresses: str, identity: int = 1
) -> AsyncIterator[AirConditioner]:
    """An air conditioner at the other end, on a node of its own."""
    world = World(datetime(2026, 8, 1, 13, 0))
    aircon = AirConditioner(world)
    node = ApplianceNode(
        world, [aircon], *(addresses or (THEIRS,)), identity=bytes.fromhex("feffffff") + bytes([identity] * 13)
    )
    with built.grid.entered():
        serving = serve_nodes([node], name)
        await serving.__aenter__()
    try:
        yield aircon
    finally:
        await serving.__aexit__(None, None, None)


async def test_a_device_is_found_read_set_and_remembered(link: Street, tmp_path: Path) -> None:
    """From the wire to the operator's socket and back: what it is, its values, an order read back; then a restart."""
    home = Daemon(tmp_path, network("home", "wl") + NAMED)
    async with device(link) as aircon, home.running():
        status = await home.hears(ApplianceStatus, lambda status: status.known)
        assert (status.name, status.room, status.kind) == ("living-ac", "living room", "home_air_conditioner")
        assert (status.network, status.address, status.online) == ("home", THEIRS, True)
        assert "target_temperature_c" in status.wishes
        state = await home.hears(ApplianceState, lambda state: "on" in state.values)
        assert state.values["on"] is aircon.on
        answer = await home.ask("set", "living-ac", values={"on": True, "mode": "cool", "target_temperature_c": 24})
        assert (answer.status, answer.outcome) == ("ok", "applied"), answer
        assert answer.values == {"on": True, "mode": "cool", "target_temperature_c": 24}
        assert (aircon[0x80], aircon[0xB0], aircon[0xB3]) == (b"\x30", b"\x42", b"\x18")
        asked = await home.ask("get", "living-ac", properties=("target_temperature",))
        assert asked.property is not None and asked.property.value == 24
        refused = await home.ask("set", "living-ac", values={"target_temperature_c": 99})
        assert (refused.status, refused.error) == ("error", "out_of_range")
    async with home.running():  # and there is no device any more
        again = await home.hears(ApplianceStatus)
        assert (again.appliance, again.name, again.known) == (status.appliance, "living-ac", True)
        assert (again.online, again.wishes) == (False, status.wishes)
    assert json.loads((tmp_path / "state/appliances-home.json").read_text())["nodes"]


async def test_an_interface_that_is_made_anew_is_followed(link: Street, tmp_path: Path) -> None:
    """Its appliances are told as unreachable while it is away, and are found again on the new one."""
    home = Daemon(tmp_path, network("home", "wl") + NAMED)
    async with home.running():
        async with device(link):
            await home.hears(ApplianceState)
        link.home.ip("link", "del", "wl")
        gone = await home.hears(ApplianceStatus, lambda status: not status.online)
        assert "wl went away" in gone.detail
        refused = await home.ask("set", "living-ac", values={"on": True})
        assert (refused.status, refused.error) == ("error", "timeout"), refused
        home.heard.clear()
        link.join("wl")
        give_addresses(link)
        async with device(link):
            back = await home.hears(ApplianceStatus, lambda status: status.online)
            assert back.appliance == gone.appliance
            answer = await home.ask("set", "living-ac", values={"on": True})
            assert answer.outcome == "applied", answer


async def test_one_network_does_not_feel_another_die(link: Street, tmp_path: Path) -> None:
    """Garbage by the thousand and the interface gone on one; on the other, orders are carried out as ever."""
    link.join("annex")
    give_addresses(link, "annex", "192.168.8.1", "192.168.8.20")
    home = Daemon(tmp_path, network("home", "wl") + network("annex", "annex") + NAMED)
    async with device(link), device(link, "annex", "192.168.8.20", identity=2) as other, home.running():
        await home.hears(ApplianceState, lambda state: True)
        for name in ("home", "annex"):
            await home.hears(ApplianceStatus, lambda status, name=name: status.network == name and status.online)
        flooding = asyncio.create_task(flood(link.grid, "192.168.8.20", "192.168.8.1"))
        for value in (True, False):
            answer = await home.ask("set", "living-ac", values={"power_saving": value})
            assert answer.outcome == "applied", answer
            await asyncio.sleep(0)
        flooding.cancel()
        link.grid.ip("link", "set", "annex", "down")
        down = await home.hears(ApplianceStatus, lambda status: status.network == "annex" and not status.online)
        assert "annex" in down.detail
        health = await home.hears(Health, lambda health: health.source is Domain.APPLIANCES and not health.ok)
        assert health.detail.startswith("network annex: ") and health.counters["home: online"] == 1
        assert health.counters["annex: malformed"] > 100 and "home: malformed" not in health.counters
        answer = await home.ask("get", "living-ac", properties=("operation_status",))
        assert answer.property is not None and answer.property.value is not None
        assert other is not None


async def flood(host: Namespace, source: str, to: str) -> None:
    """Frames cut off, with wrong counts, unknown services, and no frames at all."""
    garbage = [b"", b"\x10", b"\x10\x81", bytes(1400), b"\x10\x81" + b"\xff" * 60, b"\x10\x82" + bytes(40)]
    frame = bytes.fromhex("1081000101300105ff017301800130")
    garbage += [frame[:at] for at in range(len(frame))] + [
        frame[:10] + bytes([esv]) + frame[11:] for esv in range(256)
    ]
    with host.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((source, 0))
    with sender:
        while True:
            for each in garbage:
                with suppress(OSError):
                    sender.sendto(each, (to, 3610))
            await asyncio.sleep(0.01)
