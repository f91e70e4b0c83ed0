"""Simulated nodes on real sockets: beside a controller on the loopback interface, and in a network namespace."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from support.netns import Street, street
from support.simulated import get, set_c, world
from support.udp import listening

from drivers.packet import ALL_NODES, ALL_NODES_IPV4, Packet
from hemsd.simulator.appliances import ApplianceNode, GeneralLighting, Temper, serve_nodes

pytestmark = pytest.mark.needs("ip", "root")
WHO = get(0x0EF001, 0xD6)
W = world()


@pytest.fixture
def link() -> Iterator[Street]:
    """Namespaces, so that port 3610 of loopback is free there."""
    with street() as built:
        built.home.ip("link", "set", "lo", "up")
        yield built


def lamp(*addresses: str, **temper: object) -> ApplianceNode:
    return ApplianceNode(W, [GeneralLighting(W)], *addresses, temper=Temper(answer_s=0.0, **temper))  # type: ignore[arg-type]


async def test_beside_a_controller_on_loopback(link: Street) -> None:
    """hemsd listens at all addresses there; nodes at their own get what is theirs, and what is for all."""
    nodes = [lamp("127.0.0.2"), lamp("127.0.0.3", source_port=23610)]
    async with listening("lo", ipv4=True, ipv6=False) as us, serve_nodes(nodes, "lo"):
        greeted = {packet.address: packet for packet in await us.hears(2)}
        assert set(greeted) == {"127.0.0.2", "127.0.0.3"} and all(packet.multicast for packet in greeted.values())
        us.heard.clear()
        us.port.write(Packet(ALL_NODES_IPV4, WHO))
        assert {(packet.address, packet.port) for packet in await us.hears(2)} == {
            ("127.0.0.2", 3610),
            ("127.0.0.3", 23610),
        }
        us.heard.clear()
        us.port.write(Packet("127.0.0.3", get(0x029001, 0x80)))
        (answer,) = await us.hears(1)
        assert (answer.address, answer.multicast, answer.payload[10]) == ("127.0.0.3", False, 0x72)


async def test_five_hundred_on_loopback(link: Street) -> None:
    """A socket each; one question to all of them is answered by all."""
    nodes = [lamp(f"127.0.{1 + number // 250}.{1 + number % 250}", greets=False) for number in range(500)]
    async with listening("lo", ipv4=True, ipv6=False) as us, serve_nodes(nodes, "lo"):
        us.port.write(Packet(ALL_NODES_IPV4, WHO))
        await us.hears(500)
        assert len({packet.address for packet in us.heard}) == 500


async def test_moving_on_loopback(link: Street) -> None:
    """The old address falls silent, the new one speaks."""
    node = lamp("127.0.0.2")
    async with listening("lo", ipv4=True, ipv6=False) as us, serve_nodes([node], "lo"):
        await us.hears(1)
        node.move("127.0.0.9")
        us.port.write(Packet(ALL_NODES_IPV4, WHO))
        await us.hears(3)
        us.port.write(Packet("127.0.0.2", WHO))
        us.port.write(Packet("127.0.0.9", get(0x029001, 0x80)))
        await us.hears(4)
        assert [packet.address for packet in us.heard] == ["127.0.0.2"] + 3 * ["127.0.0.9"]
        assert us.heard[-1].payload[10] == 0x72


async def test_what_is_done_by_hand_on_loopback(link: Street) -> None:
    """It has lived until then, and tells at once."""
    node = lamp("127.0.0.2")
    async with listening("lo", ipv4=True, ipv6=False) as us, serve_nodes([node], "lo") as turn:
        await us.hears(1)
        turn(node)
        node.by_hand(node.devices[0], 0x80, b"\x30")
        turn(node)
        told = (await us.hears(2))[-1]
        assert told.payload[4:].hex() == "0290010ef0017301800130"


async def test_over_ipv4_and_ipv6_in_a_namespace(link: Street) -> None:
    """Each family answers for itself; several addresses on one interface are several nodes; broadcast is heard."""
    link.home.ip("addr", "add", "10.1.0.1/24", "brd", "+", "dev", "wl")
    for last in (2, 3):
        link.grid.ip("addr", "add", f"10.1.0.{last}/24", "brd", "+", "dev", "wl")
    theirs = link.address(link.grid)
    nodes = [lamp("10.1.0.2", theirs, announces_on_both=True), lamp("10.1.0.3")]
    async with listening("wl", ipv4=True) as us:
        with link.grid.entered():
            serving = serve_nodes(nodes, "wl")
            await serving.__aenter__()
        try:
            await us.hears(3)
            us.heard.clear()
            us.port.write(Packet(ALL_NODES_IPV4, WHO))
            us.port.write(Packet(ALL_NODES, WHO))
            assert {packet.address for packet in await us.hears(3)} == {"10.1.0.2", "10.1.0.3", theirs}
            us.heard.clear()
            us.port.write(Packet("10.1.0.3", set_c(0x029001, (0x80, "30"))))
            us.port.write(Packet(theirs, get(0x029001, 0x80)))
            await us.hears(3)
            assert {packet.payload[10] for packet in us.heard if packet.address == "10.1.0.3"} == {0x71, 0x73}
            assert {packet.payload[10] for packet in us.heard if packet.address == theirs} == {0x72}
            us.heard.clear()
            _broadcast(link, WHO)
            assert {packet.address for packet in await us.hears(2)} == {"10.1.0.2", "10.1.0.3"}
        finally:
            await serving.__aexit__(None, None, None)


def _broadcast(link: Street, payload: bytes) -> None:
    """As controllers do that know no multicast."""
    with link.home.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        plain.sendto(payload, ("10.1.0.255", 3610))


async def test_an_address_that_is_not_there(link: Street) -> None:
    """Is an OSError, and no socket stays open: that would be a warning here."""
    with pytest.raises(OSError, match="Cannot assign"):
        async with serve_nodes([lamp("10.9.9.9")], "lo"):
            pass


async def test_a_house_of_its_own(link: Street) -> None:
    """``python -m hemsd.simulator --appliances lo`` says what it has, and answers."""
    house = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd.simulator", "--appliances", "lo", "--address", "127.0.0.7"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert house.stdout is not None
    try:
        assert await house.stdout.readline() == b"127.0.0.7: 013001\n"
        async with listening("lo", ipv4=True, ipv6=False) as us:
            us.port.write(Packet(ALL_NODES_IPV4, WHO))
            (answer,) = await us.hears(1)
        assert (answer.address, answer.payload[12:].hex()) == ("127.0.0.7", "d60401013001")
    finally:
        house.send_signal(signal.SIGINT)
        await house.communicate()
