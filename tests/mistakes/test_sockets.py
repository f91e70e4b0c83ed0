"""Mistakes of echonet-lite with sockets: our network on its real port, simulated appliances on theirs, one link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from support.netns import Capture, Namespace, Street, street
from support.scripted import LAMP
from support.simulated import get, world
from support.udp import listening
from support.watched import watching

from drivers.interface import usable
from drivers.packet import ECHONET_PORT
from drivers.ports import PortMissing
from drivers.udp import open_udp
from hemsd.appliances import dialogue
from hemsd.simulator.appliances import ApplianceNode, GeneralLighting, Temper, serve_nodes

pytestmark = pytest.mark.needs("ip", "root")

OURS, THEIRS = "192.168.20.1", "192.168.20.2"


@pytest.fixture(scope="module")
def link() -> Iterator[Street]:
    """Our side has a loopback, the dedicated `wl`, and a home LAN with the default route; all stay as they are."""
    with street() as built:
        built.home.ip("link", "set", "lo", "up")
        built.join("lan")
        addressed(built)
        addressed(built, "lan", 21)
        built.home.ip("route", "add", "default", "dev", "lan")
        for name in ("wl", "lan"):
            built.grid.ip("addr", "add", "fe80::99/64", "dev", name, "nodad")
        yield built


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is real here, and simulated nodes need no gap."""
    monkeypatch.setattr(dialogue, "GAP_S", 0.0)


def addressed(link: Street, name: str = "wl", net: int = 20) -> None:
    """We are .1 of the subnet, the other side is .2."""
    for last, side in enumerate((link.home, link.grid), 1):
        side.ip("addr", "add", f"192.168.{net}.{last}/24", "broadcast", "+", "dev", name)


def lamp(*addresses: str, **temper: object) -> ApplianceNode:
    w = world()
    return ApplianceNode(w, [GeneralLighting(w)], *addresses, temper=Temper(answer_s=0.0, **temper))  # type: ignore[arg-type]


@asynccontextmanager
async def serving(link: Street, *nodes: ApplianceNode, name: str = "wl") -> AsyncIterator[None]:
    """Appliances on the other side of the link."""
    with link.grid.entered():
        served = serve_nodes(nodes, name)
        await served.__aenter__()
    try:
        yield
    finally:
        await served.__aexit__(None, None, None)


def plain_socket(side: Namespace, address: str) -> socket.socket:
    """Of a program that knows no better: on a port of its own."""
    with side.entered():
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.setblocking(False)
    plain.bind((address, 0))
    return plain


def ports(frames: list[bytes]) -> set[tuple[str, int, int]]:
    """Sender, source and destination port of what passed as UDP over IPv4."""
    return {
        (socket.inet_ntoa(packet[12:16]), int.from_bytes(packet[20:22], "big"), int.from_bytes(packet[22:24], "big"))
        for frame in frames
        if frame[12:14] == b"\x08\x00" and (packet := frame[14:])[9] == socket.IPPROTO_UDP
    }


async def test_mistake_01_answers_come_to_port_3610(link: Street) -> None:
    """Whoever asks from a port of his own hears nothing of it; we ask from 3610 and are answered."""
    async with serving(link, lamp(THEIRS, greets=False)):
        async with listening("wl", ipv4=True, ipv6=False) as anybody:
            with plain_socket(link.home, OURS) as asker:  # the control
                asker.sendto(get(LAMP, 0x80), (THEIRS, ECHONET_PORT))
                assert [each.address for each in await anybody.hears(1)] == [THEIRS]
                with pytest.raises(BlockingIOError):
                    asker.recv(2048)
        capture = link.capture()
        async with watching() as ours:
            await ours.knows(THEIRS)
            await ours.works(THEIRS)
        assert {each for each in ports(capture.stop()) if each[0] == OURS} == {(OURS, ECHONET_PORT, ECHONET_PORT)}


async def test_mistake_02_answers_come_from_any_port(link: Street) -> None:
    """From 23610, and from one that changes with every datagram: heard, read, set."""
    changing = lamp("127.0.0.3")
    say = changing._say

    def elsewhere(*said: object) -> None:
        changing.temper = Temper(answer_s=0.0, source_port=changing.temper.source_port % 50_000 + 101)
        say(*said)  # type: ignore[arg-type]

    changing._say = elsewhere  # type: ignore[assignment, method-assign]
    capture = Capture("lo")
    async with serve_nodes([lamp("127.0.0.2", source_port=23610), changing], "lo"), watching("lo") as ours:
        await ours.knows("127.0.0.2", "127.0.0.3")
        await ours.works("127.0.0.2")
        await ours.works("127.0.0.3")
    sources = [each for each in ports(capture.stop()) if each[0] != "127.0.0.1"]
    assert ("127.0.0.2", 23610, ECHONET_PORT) in sources
    assert len({source for sender, source, _ in sources if sender == "127.0.0.3"}) > 10
    assert all(source != ECHONET_PORT for _, source, _ in sources)


async def test_mistake_04_our_multicast_comes_back_on_loopback(link: Street) -> None:
    """There it does, whatever is asked of the kernel: it is dropped, and only the lamp beside us is found."""
    async with serve_nodes([lamp("127.0.0.9")], "lo"), watching("lo") as ours:
        await ours.knows("127.0.0.9")
        assert ours.port.dropped["our own"] >= 4
        assert {each.address for each in ours.network.appliances()} == {"127.0.0.9"}
        assert ours.network.counters()["own"] == 0


async def test_mistake_19_the_group_is_joined_on_the_dedicated_interface(link: Street) -> None:
    """The home LAN has the default route and a lamp of its own: only the one where we were told to look is found."""
    async with (
        serving(link, lamp(THEIRS), name="wl"),
        serving(link, lamp("192.168.21.2"), name="lan"),
        watching() as ours,
    ):
        await ours.knows(THEIRS)
        await ours.works(THEIRS)
        await asyncio.sleep(0.1)
        assert {each.address for each in ours.network.appliances()} == {THEIRS}


async def test_mistake_19_the_group_is_joined_when_the_link_comes_up_and_comes_again() -> None:
    """Not up yet: waited for. Made anew: a new membership, and who announces himself there is heard."""
    with street() as link:
        addressed(link)
        for turn in range(2):
            if turn:
                link.home.ip("link", "del", "wl")
            else:
                link.home.ip("link", "set", "wl", "down")
            with pytest.raises(PortMissing):
                open_udp("wl", ipv4=True, ipv6=False)
            waiting = asyncio.create_task(usable("wl", ipv4=True, ipv6=False))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            if turn:
                link.join()
                addressed(link)
            else:
                link.home.ip("link", "set", "wl", "up")
            await asyncio.wait_for(waiting, 10)
            async with watching() as ours:
                await asyncio.sleep(0.05)
                # its announcement to the group is all that there is of it
                async with serving(link, lamp(THEIRS, hears_all=False)):
                    await ours.knows(THEIRS)
                    await ours.works(THEIRS)


@pytest.mark.parametrize("to", ["192.168.20.255", "255.255.255.255"])
async def test_mistake_19_broadcasts_are_heard(link: Street, to: str) -> None:
    """Of a node that knows no multicast, neither hears nor sends any: its broadcast shows that it is there."""
    deaf = lamp(THEIRS, hears_all=False, greets=False)
    async with serving(link, deaf), watching() as ours:
        await asyncio.sleep(0.1)
        assert list(ours.network.appliances()) == []
        with plain_socket(link.grid, THEIRS) as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            plain.sendto(bytes.fromhex("10810001029001 0EF001 73 01 800131"), (to, ECHONET_PORT))
        await ours.knows(THEIRS)
        await ours.works(THEIRS)


async def test_mistake_19_link_local_addresses_belong_to_their_link(link: Street) -> None:
    """The same fe80:: address on two links is two lamps: each network reads and sets its own."""
    here, there = lamp("fe80::99"), lamp("fe80::99")
    async with (
        serving(link, here, name="wl"),
        serving(link, there, name="lan"),
        watching(ipv4=False, ipv6=True) as ours,
        watching("lan", ipv4=False, ipv6=True) as others,
    ):
        await ours.knows("fe80::99")
        await others.knows("fe80::99")
        await ours.works("fe80::99")
        assert [node.device(LAMP)[0x80] for node in (here, there)] == [b"\x30", b"\x31"]
        await others.works("fe80::99")
        assert [node.device(LAMP)[0x80] for node in (here, there)] == [b"\x30", b"\x30"]
