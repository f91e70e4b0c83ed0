"""The datagram port over IPv4, alone and beside IPv6, on real interfaces and on the loopback one."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest
from support.netns import Namespace, Street, street
from support.udp import FRAME, listening

from drivers import inet, interface
from drivers.interface import look, usable
from drivers.packet import ALL_NODES, ALL_NODES_IPV4, Packet
from drivers.ports import PortBusy, PortMissing
from drivers.udp import open_udp

pytestmark = pytest.mark.needs("ip", "root")

OURS, THEIRS = "192.168.20.1", "192.168.20.2"
IP_RECVTTL = 12  # linux/in.h
GROUP = socket.inet_aton(ALL_NODES_IPV4)
BOTH = {"ipv4": True, "ipv6": True}
ONLY = {"ipv4": True, "ipv6": False}


@pytest.fixture
def link() -> Iterator[Street]:
    with street() as built:
        addressed(built)
        yield built


def addressed(link: Street, name: str = "wl", net: int = 20) -> None:
    for number, side in enumerate((link.home, link.grid), 1):
        side.ip("addr", "add", f"192.168.{net}.{number}/24", "broadcast", "+", "dev", name)


def ipv4(side: Namespace, source: str = "0.0.0.0", port: int = 0, name: str = "wl") -> socket.socket:
    """A plain UDP socket on one side of the link."""
    with side.entered():
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        index = socket.if_nametoindex(name)
        plain.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), socket.inet_aton(source), index)
        )
        plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", GROUP, bytes(4), index))
    plain.setblocking(False)
    plain.bind((source, port))
    return plain


async def test_what_comes_in(link: Street) -> None:
    """To us, and to everyone in each of the ways in use: the group, the subnet's broadcast and the limited one."""
    async with listening(**ONLY) as home:
        assert (home.port.ipv4, home.port.address) == (OURS, "")
        with ipv4(link.grid, port=50_000) as sender:
            for payload, to in ((b"one", OURS), (b"all", ALL_NODES_IPV4), (b"net", "192.168.20.255")):
                sender.sendto(payload, (to, 3610))
            sender.sendto(b"old", ("255.255.255.255", 3610))
        assert await home.hears(4) == [
            Packet(THEIRS, b"one", 50_000, multicast=False),
            Packet(THEIRS, b"all", 50_000, multicast=True),
            Packet(THEIRS, b"net", 50_000, multicast=True),
            Packet(THEIRS, b"old", 50_000, multicast=True),
        ]
        assert home.port.dropped == {}


async def test_what_goes_out(link: Street) -> None:
    """From port 3610 to port 3610, to one node and to everyone, with a TTL of 1 and no copy to ourselves."""
    with ipv4(link.grid, port=3610) as receiver:
        receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        async with listening(**ONLY) as home:
            for to in (THEIRS, ALL_NODES_IPV4):
                home.port.write(Packet(to, FRAME))
                payload, ancillary, source = await received(receiver)
                assert (payload, source) == (FRAME, (OURS, 3610))
                assert int.from_bytes(ancillary[0][2], "little") == 1
            await asyncio.sleep(0.05)
            assert home.heard == []
            assert home.port.dropped == {}


async def test_both_families_on_one_port(link: Street) -> None:
    """Each packet goes the way of its address, and each node is heard at the address that it uses."""
    async with listening(**BOTH) as home:
        assert (home.port.ipv4, home.port.address) == (OURS, link.address(link.home))
        theirs = link.address(link.grid)
        with ipv4(link.grid, port=3610) as four, link.socket(link.grid, theirs, port=3610) as six:
            for to, receiver in ((THEIRS, four), (ALL_NODES_IPV4, four), (theirs, six)):
                home.port.write(Packet(to, FRAME))
                assert (await received(receiver))[0] == FRAME
            four.sendto(b"four", (OURS, 3610))
            six.sendto(b"six", (ALL_NODES, 3610))
        assert sorted(await home.hears(2), key=len_of) == [
            Packet(theirs, b"six", multicast=True),
            Packet(THEIRS, b"four"),
        ]


async def test_only_one_interface_is_used(link: Street) -> None:
    """Mistake 19: multicast leaves by the interface that was named and is heard there, whatever the routes say."""
    link.join("lan")
    addressed(link, "lan", 21)
    link.home.ip("route", "add", "224.0.0.0/4", "dev", "lan")
    async with listening(**ONLY) as home:
        with ipv4(link.grid, name="lan") as stranger, ipv4(link.grid) as device:
            on_lan, on_wl = link.capture("lan"), link.capture("wl")
            home.port.write(Packet(ALL_NODES_IPV4, FRAME))
            for to in (ALL_NODES_IPV4, "192.168.21.1", "255.255.255.255"):
                stranger.sendto(b"lan", (to, 3610))
            device.sendto(b"control", (ALL_NODES_IPV4, 3610))
        assert [packet.payload for packet in await home.hears(1)] == [b"control"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as careless:  # the control of the captures
            careless.sendto(b"careless", (ALL_NODES_IPV4, 3610))
        assert sent_by_us(on_lan.stop(), "192.168.21.1") == [b"careless"]
        assert sent_by_us(on_wl.stop(), OURS) == [FRAME]


async def test_other_sources_are_dropped_and_counted(link: Street) -> None:
    """A source outside of the interface's subnets, too long a datagram; groups that others joined are not heard."""
    link.grid.ip("addr", "add", "10.9.9.9/8", "dev", "wl")
    async with listening(**ONLY) as home:
        with ipv4(link.grid, "10.9.9.9") as routed, ipv4(link.grid) as local, ipv4(link.home, port=50_000) as other:
            membership = struct.pack("4s4si", socket.inet_aton("239.1.2.3"), bytes(4), socket.if_nametoindex("wl"))
            other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            routed.sendto(b"x", (ALL_NODES_IPV4, 3610))
            local.sendto(bytes(1473), (OURS, 3610))
            local.sendto(b"x", ("239.1.2.3", 3610))
            local.sendto(bytes(1472), (OURS, 3610))
        assert [len(packet.payload) for packet in await home.hears(1)] == [1472]
        assert home.port.dropped == {"not of this link": 1, "too long": 1}


async def test_what_cannot_go_out(link: Street) -> None:
    """Addresses change: a node that is not on the link now loses its packet. What is no address is our mistake."""
    async with listening(**ONLY) as home:
        for address in ("192.168.21.2", "8.8.8.8", "224.0.0.1", OURS, "192.168.20.255", "fe80::1"):
            home.port.write(Packet(address, FRAME))
        assert home.port.dropped == {
            "not sent: not of this link": 3,
            "not sent: our own": 1,
            "not sent: Permission denied": 1,  # a broadcast
            "not sent: no IPv6 here": 1,
        }
        with pytest.raises(ValueError, match="1 to 1472"):
            home.port.write(Packet(THEIRS, bytes(1473)))
        with pytest.raises(OSError, match="illegal IP address"):
            home.port.write(Packet("living-room", FRAME))
        assert home.lost == []


async def test_three_hundred_at_once(link: Street) -> None:
    """G9: the answers of a whole house to one question, all there before we read any of them."""
    assert await heard_of_three_hundred(link) == list(range(300))


async def test_little_room_is_told(
    link: Street, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the kernel gives too little to hear them all, a warning names the setting to raise."""
    monkeypatch.setattr(inet, "RECEIVE_BUFFER", 4096)
    assert 0 < len(await heard_of_three_hundred(link)) < 300
    assert "raise net.core.rmem_max" in caplog.text


async def heard_of_three_hundred(link: Street) -> list[int]:
    async with listening(**BOTH) as home:
        with ipv4(link.grid, port=3610) as sender:
            for number in range(300):
                sender.sendto(number.to_bytes(2, "big") + bytes(200), (OURS, 3610))
        await asyncio.sleep(0.1)
        return [int.from_bytes(packet.payload[:2], "big") for packet in home.heard]


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_a_port_that_is_taken_names_who_has_it(link: Street, address: str) -> None:
    """By one for all interfaces, of this family or of both; then nothing of the port is kept."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as wildcard:
        wildcard.bind((address, 3610))
        with pytest.raises(PortBusy, match=rf"in use: held by .+ \(pid {os.getpid()}\)"):
            open_udp("wl", **BOTH)
    async with listening(**BOTH):
        with pytest.raises(PortBusy):
            open_udp("wl", **ONLY)


async def test_networks_do_not_disturb_each_other(link: Street) -> None:
    """Two ports on two interfaces with the same subnet on both; losing one changes nothing for the other."""
    link.join("lan")
    addressed(link, "lan")
    async with listening(**BOTH) as one, listening("lan", **BOTH) as other:
        with ipv4(link.grid) as near, ipv4(link.grid, name="lan") as far:
            near.sendto(b"near", (ALL_NODES_IPV4, 3610))
            far.sendto(b"far", (ALL_NODES_IPV4, 3610))
            await one.hears(1)
            await other.hears(1)
            link.home.ip("link", "del", "lan")
            await other.loses()
            near.sendto(b"still", (ALL_NODES_IPV4, 3610))
        assert [packet.payload for packet in await one.hears(2)] == [b"near", b"still"]
        assert [packet.payload for packet in other.heard] == [b"far"]
        assert one.lost == []


async def test_it_opens_with_what_there_is(link: Street) -> None:
    """One family is enough to begin with; the port is lost when the other one comes, to be opened with both."""
    link.home.ip("addr", "flush", "dev", "wl", "scope", "global")
    async with listening(**BOTH) as home:
        assert home.port.ipv4 is None and home.port.address
        home.port.write(Packet(ALL_NODES_IPV4, FRAME))
        assert home.port.dropped == {"not sent: no IPv4 here": 1}
        link.home.ip("addr", "add", f"{OURS}/24", "dev", "wl")
        assert str(await home.loses()) == "wl has an IPv4 address now"
    link.home.ip("-6", "addr", "flush", "dev", "wl")
    async with listening(**BOTH) as home:
        assert (home.port.ipv4, home.port.address) == (OURS, "")
        link.home.ip("addr", "add", "fe80::7/64", "dev", "wl", "nodad")
        assert str(await home.loses()) == "wl has an IPv6 link-local address now"


@pytest.mark.parametrize(
    ("wanted", "text"), [(ONLY, "wl has no IPv4 address (yet)"), (BOTH, "neither an IPv4 nor an IPv6 link-local")]
)
async def test_without_any_address_it_is_missing(link: Street, wanted: dict[str, bool], text: str) -> None:
    """And may be waited for: an address of one family is enough."""
    link.home.ip("addr", "flush", "dev", "wl")
    with pytest.raises(PortMissing) as caught:
        open_udp("wl", **wanted)
    assert text in str(caught.value)
    waiting = asyncio.create_task(usable("wl", **wanted))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    link.home.ip("addr", "add", f"{OURS}/24", "dev", "wl")
    assert (await asyncio.wait_for(waiting, 10)).ipv4 == (IPv4Interface(f"{OURS}/24"),)


CHANGES = {
    "another subnet": (["addr replace 192.168.30.1/24 dev wl", "addr del 192.168.20.1/24 dev wl"], "another IPv4"),
    "a second one": (["addr add 192.168.30.1/24 dev wl"], "another IPv4 address now"),
    "no more": (["addr del 192.168.20.1/24 dev wl"], "no IPv4 address any more"),
    "no link-local": (["-6 addr flush dev wl"], "no IPv6 link-local address any more"),
    "switched off": (["link set wl down"], "`ip link set wl up`"),
    "made anew": (["link del wl", "join"], "went away"),
}


@pytest.mark.parametrize("told", [True, False], ids=["netlink", "looking"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_addresses_loses_the_port(
    link: Street, monkeypatch: pytest.MonkeyPatch, change: str, told: bool
) -> None:
    """DHCP gave another address, the adapter was pulled out: opened anew, the group is heard by the new address."""
    if not told:
        monkeypatch.setattr(interface, "LOOK_S", 0.01)
        monkeypatch.setattr(socket, "AF_NETLINK", -1)
    commands, text = CHANGES[change]
    async with listening(**BOTH) as home:
        for command in commands:
            if command == "join":
                link.join()
                addressed(link)
            else:
                link.home.ip(*command.split())
        assert text in str(await home.loses())
    if change in ("another subnet", "made anew"):
        link.grid.ip("addr", "replace", "192.168.30.2/24", "dev", "wl")
        async with listening(**BOTH) as again:
            with ipv4(link.grid, "192.168.30.2" if change == "another subnet" else THEIRS) as sender:
                sender.sendto(FRAME, (ALL_NODES_IPV4, 3610))
            assert (await again.hears(1))[0].multicast


async def test_what_does_not_matter_loses_nothing(link: Street) -> None:
    """A lease renewed, another interface's address, an address of the family that was not asked for."""
    link.join("lan")
    async with listening(**ONLY) as four, listening("lan") as six:
        link.home.ip("addr", "replace", f"{OURS}/24", "dev", "wl", "valid_lft", "3600", "preferred_lft", "3600")
        link.home.ip("addr", "add", "192.168.21.1/24", "dev", "lan")
        link.home.ip("-6", "addr", "flush", "dev", "wl")
        await asyncio.sleep(0.1)
        assert four.lost == six.lost == []


async def test_simulated_devices_beside_us_on_loopback(link: Street) -> None:
    """127.0.0.2 and 127.0.0.3 have UDP 3610 too: each gets what is meant for it, all get what is for all."""
    link.home.ip("link", "set", "lo", "up")
    async with listening("lo", **BOTH) as home:
        assert (home.port.ipv4, home.port.address) == ("127.0.0.1", "")
        with on_loopback("127.0.0.2") as one, on_loopback("127.0.0.3") as other, on_loopback(ALL_NODES_IPV4) as group:
            home.port.write(Packet("127.0.0.3", b"for you"))
            assert (await received(other))[0] == b"for you"
            home.port.write(Packet(ALL_NODES_IPV4, b"for all"))
            payload, _, source = await received(group)
            assert (payload, source) == (b"for all", ("127.0.0.1", 3610))
            one.sendto(b"answer", ("127.0.0.1", 3610))
            one.sendto(b"announced", (ALL_NODES_IPV4, 3610))
        assert await home.hears(2) == [
            Packet("127.0.0.2", b"answer"),
            Packet("127.0.0.2", b"announced", multicast=True),
        ]
        assert home.port.dropped == {"our own": 1}  # on loopback what is for all comes back


def test_how_an_interface_stands(link: Street) -> None:
    """All IPv4 addresses with their subnets, the main one first; those of others that begin alike are not its own."""
    link.join("wl2")
    addressed(link, "wl2", 22)
    link.home.ip("addr", "add", "192.168.20.7/24", "dev", "wl", "label", "wl:1")
    link.home.ip("addr", "add", "10.0.0.1/8", "dev", "wl")
    found = look("wl")
    assert found is not None
    assert [str(each) for each in found.ipv4] == ["192.168.20.1/24", "10.0.0.1/8", "192.168.20.7/24"]


def on_loopback(address: str) -> socket.socket:
    """A simulated device's socket."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.setblocking(False)
    plain.bind((address, 3610))
    loopback = struct.pack("4s4si", GROUP, socket.inet_aton("127.0.0.1"), socket.if_nametoindex("lo"))
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, loopback)
    return plain


async def received(plain: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], tuple[str, int]]:
    ready = asyncio.Event()
    asyncio.get_running_loop().add_reader(plain, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 10)
    finally:
        asyncio.get_running_loop().remove_reader(plain)
    payload, ancillary, _, source = plain.recvmsg(2048, 64)
    return payload, ancillary, source[:2]


def sent_by_us(frames: list[bytes], source: str) -> list[bytes]:
    """Payloads of UDP over IPv4, by sender."""
    packets = [frame[14:] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP]
    return [packet[28:] for packet in packets if socket.inet_ntoa(packet[12:16]) == source]


def len_of(packet: Packet) -> int:
    return len(packet.payload)
