"""The datagram port on real interfaces, over IPv6: what gets in and out, what is lost when, and who holds it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.drivers import until
from support.netns import Street, street
from support.udp import FRAME, Listener, listening

from drivers import interface
from drivers.inet import Inet6
from drivers.interface import Interface, look, usable
from drivers.packet import ALL_NODES, Packet
from drivers.ports import PortBusy, PortDenied, PortError, PortMissing
from drivers.udp import READ_AT_ONCE, open_udp

pytestmark = pytest.mark.needs("ip", "root")


@pytest.fixture
def link() -> Iterator[Street]:
    with street() as built:
        yield built


async def test_what_comes_in(link: Street) -> None:
    """To us and to everyone, from any port of the sender; with its address, port, and whom it was for."""
    async with listening() as home:
        assert home.port.address == link.address(link.home)
        theirs, ours = link.address(link.grid), home.port.address
        with link.socket(link.grid, port=50_000) as sender:
            sender.sendto(b"one", (ours, 3610))
            sender.sendto(b"all", (ALL_NODES, 3610))
        assert await home.hears(2) == [
            Packet(theirs, b"one", 50_000, multicast=False),
            Packet(theirs, b"all", 50_000, multicast=True),
        ]
        assert home.port.dropped == {}


async def test_what_goes_out(link: Street) -> None:
    """From port 3610 to port 3610, to one node and to everyone, with a hop limit of 1 and no copy to ourselves."""
    with link.socket(link.grid, port=3610) as receiver:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        async with listening() as home:
            home.port.write(Packet(link.address(link.grid), FRAME))
            home.port.write(Packet(ALL_NODES, FRAME))
            for _ in range(2):
                await until(lambda: _readable(receiver))
                payload, ancillary, _, source = receiver.recvmsg(2048, 64)
                (_, _, hops), *_ = ancillary
                assert (payload, source[0].partition("%")[0], source[1]) == (FRAME, home.port.address, 3610)
                assert int.from_bytes(hops, "little") == 1
            await asyncio.sleep(0.05)
            assert home.heard == []


@pytest.mark.parametrize("address", ["2001:db8::2", "::1", "ff02::2", "ff05::1"])
async def test_nothing_leaves_the_link(link: Street, address: str) -> None:
    """R50, R54: another address is a mistake of ours, as is a datagram that does not fit."""
    async with listening() as home:
        with pytest.raises(ValueError, match="not on the link"):
            home.port.write(Packet(address, FRAME))
        for payload in (b"", bytes(1233)):
            with pytest.raises(ValueError, match="1 to 1232"):
                home.port.write(Packet("fe80::1", payload))


async def test_other_sources_are_dropped_and_counted(link: Street) -> None:
    """R12, R50: a routable source, and too long a datagram; another interface of ours is not heard at all."""
    link.join("lan")
    for side, address in ((link.home, "2001:db8::1/64"), (link.grid, "2001:db8::2/64")):
        side.ip("addr", "add", address, "dev", "wl", "nodad")
    async with listening() as home:
        with link.socket(link.grid, "2001:db8::2") as routable:
            routable.sendto(b"x", (home.port.address, 3610))
            routable.sendto(b"x", ("2001:db8::1", 3610))
        with link.socket(link.grid) as local, link.socket(link.grid, name="lan") as other:
            other.sendto(b"lan", (link.address(link.home, "lan"), 3610))
            other.sendto(b"lan", (ALL_NODES, 3610))
            local.sendto(bytes(1233), (home.port.address, 3610))
            local.sendto(b"control", (home.port.address, 3610))
        assert [packet.payload for packet in await home.hears(1)] == [b"control"]
        assert home.port.dropped == {"not of this link": 2, "too long": 1}


async def test_three_hundred_at_once(link: Street) -> None:
    """The answers of a whole neighbourhood to one question: the kernel keeps all; many are read at once."""
    async with listening() as home:
        with link.socket(link.grid) as sender:
            for number in range(300):
                sender.sendto(number.to_bytes(2, "big") + bytes(200), (home.port.address, 3610))
        assert [int.from_bytes(packet.payload[:2], "big") for packet in await home.hears(300)] == list(range(300))
        assert max(home.together) == READ_AT_ONCE


async def test_a_port_that_is_taken_names_who_has_it(link: Street) -> None:
    """Nobody shares UDP 3610 with us, neither on this interface nor by a socket for all of them."""
    async with listening():
        with pytest.raises(PortBusy, match=rf"in use: held by .+ \(pid {os.getpid()}\)"):
            open_udp("wl")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as wildcard:
        wildcard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        wildcard.bind(("::", 3610))
        with pytest.raises(PortBusy):
            open_udp("wl")
    async with listening():
        pass  # closed, it can be opened again at once


async def test_interfaces_that_cannot_be_used(link: Street) -> None:
    """Each is missing for now, with what to do about it: not there, switched off, no link, no IPv6."""
    with pytest.raises(PortMissing, match=r"no network interface wlan7; `ip link`"):
        open_udp("wlan7")
    link.grid.ip("link", "set", "wl", "down")
    await until(lambda: not standing("wl").running)
    with pytest.raises(PortMissing, match="has no link"):
        open_udp("wl")
    link.home.ip("link", "set", "wl", "down")
    with pytest.raises(PortMissing, match="`ip link set wl up`"):
        open_udp("wl")
    link.up()
    link.home.ip("-6", "addr", "flush", "dev", "wl")
    with pytest.raises(PortMissing, match="no IPv6 link-local address"):
        open_udp("wl")


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.EPERM, PortDenied, "Linux 5.7 or CAP_NET_RAW"),
        (errno.EAFNOSUPPORT, PortDenied, "sandbox"),
        (errno.ENODEV, PortMissing, "No such device"),
    ],
)
async def test_a_kernel_that_refuses(
    link: Street, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[PortError], text: str
) -> None:
    """Old kernels, sandboxes, and an interface that goes at that moment: told apart by type."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Inet6, "_set_up", refuse)
    with pytest.raises(kind, match=text):
        open_udp("wl")


LOSSES = {
    "switched off": ("home", "link set wl down", "`ip link set wl up`"),
    "no link": ("grid", "link set wl down", "has no link"),
    "gone": ("home", "link del wl", "went away"),
    "no address": ("home", "-6 addr flush dev wl", "no IPv6 link-local address"),
}


@pytest.mark.parametrize("told", [True, False], ids=["netlink", "looking"])
@pytest.mark.parametrize("loss", LOSSES)
async def test_the_loss_of_the_interface(
    link: Street, monkeypatch: pytest.MonkeyPatch, loss: str, told: bool
) -> None:
    """Noticed though nothing is sent, by the kernel's own word, or by looking where that is not to be had."""
    side, command, text = LOSSES[loss]
    if not told:
        monkeypatch.setattr(interface, "LOOK_S", 0.01)
        monkeypatch.setattr(socket, "AF_NETLINK", -1)
    async with listening() as home:
        getattr(link, side).ip(*command.split())
        assert text in str(await home.loses())


async def test_an_interface_made_anew_is_another_one(link: Street) -> None:
    """A USB adapter pulled out and put back has the same name, and none of our memberships: reopen."""
    async with listening() as home:
        link.home.ip("link", "del", "wl")
        link.join("wl")
        assert "went away" in str(await home.loses())
    async with listening() as again:
        with link.socket(link.grid) as sender:
            sender.sendto(FRAME, (ALL_NODES, 3610))
        assert (await again.hears(1))[0].multicast


async def test_a_change_between_opening_and_starting_is_noticed(link: Street) -> None:
    """There is no watch yet then; starting looks."""
    port = open_udp("wl")
    link.home.ip("link", "set", "wl", "down")
    home = Listener(port)
    await home.loses()
    await port.close()


async def test_what_cannot_be_sent_is_lost_and_counted(link: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue, a filter rule: the answer will be missing, which is nothing new on a radio; the port stays."""
    async with listening() as home:

        class Full:
            def sendto(self, *_: object) -> None:
                raise OSError(errno.ENOBUFS, "full")

        inet = home.port._open[Inet6]
        kept, inet.socket = inet.socket, Full()  # type: ignore[assignment]
        home.port.write(Packet(ALL_NODES, FRAME))
        inet.socket = kept
        assert home.port.dropped == {"not sent: No buffer space available": 1}
        assert home.lost == []


async def test_waiting_for_an_interface(link: Street) -> None:
    """usable() returns at once where all is well, else when it is; through going, coming and being switched on."""
    assert (await usable("wl")).trouble() is None
    link.home.ip("link", "del", "wl")
    waiting = asyncio.create_task(usable("wl"))
    await asyncio.sleep(0.05)
    link.join("wl")
    found = await asyncio.wait_for(waiting, 10)
    assert found == look("wl")
    link.grid.ip("link", "set", "wl", "down")
    await until(lambda: not standing("wl").running)
    waiting = asyncio.create_task(usable("wl"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    link.grid.ip("link", "set", "wl", "up")
    await asyncio.wait_for(waiting, 10)


def test_an_address_under_test_is_none_yet(link: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While duplicate address detection runs (RFC 4862) nothing can be sent from it, and after it failed neither."""
    for flags, address in (("80", "fe80::1"), ("c0", None), ("88", None)):
        line = f"{0xFE80 << 112 | 1:032x} {standing('wl').index:02x} 40 20 {flags} wl\n"
        (tmp_path / "if_inet6").write_text(line)
        with monkeypatch.context() as context:
            context.setattr(interface, "ADDRESSES", tmp_path / "if_inet6")
            assert standing("wl").address == address


def test_how_an_interface_stands(link: Street) -> None:
    """None where there is none; other addresses are told, for a link to the meter should have none."""
    assert look("nothing") is None
    link.home.ip("addr", "add", "2001:db8::1/64", "dev", "wl", "nodad")
    found = look("wl")
    assert found is not None
    assert (found.up, found.running, found.address) == (True, True, link.address(link.home))
    assert found.others == ("2001:db8::1",)


def standing(name: str) -> Interface:
    found = look(name)
    assert found is not None
    return found


def _readable(plain: socket.socket) -> bool:
    try:
        return bool(plain.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
