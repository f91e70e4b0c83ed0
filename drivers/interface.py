"""A network interface of this machine: how it stands, and waiting for that to change (netdevice(7), rtnetlink(7))."""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from pathlib import Path

from msgspec import Struct

SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFNETMASK, SIOCGIFINDEX = 0x8912, 0x8913, 0x891B, 0x8933  # linux/sockios.h
IFF_UP, IFF_RUNNING = 0x1, 0x40  # linux/if.h
IFREQ = "16s24x"  # struct ifreq: the name, and room for the answer
IFREQ_SIZE = struct.calcsize("16s2LH3B0L")  # of one in a list: its largest answer is a struct ifmap
IFCONF = "iP"  # struct ifconf: how many bytes there are for the list, and where
IPV4_MAX = 1024  # addresses looked at, of all interfaces together
IFA_TENTATIVE, IFA_DADFAILED = 0x40, 0x08  # linux/if_addr.h
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100  # linux/rtnetlink.h
LINKS_AND_ADDRESSES = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
LOOK_S = 2.0  # between two looks where there is no netlink
MESSAGE_SIZE = 65536
NET = Path("/proc/thread-self/net")  # of this network namespace; there with ProcSubset=pid, too
ADDRESSES, ROUTES, ROUTES_IPV6 = NET / "if_inet6", NET / "route", NET / "ipv6_route"
RTF_REJECT = 0x200  # linux/route.h


class Interface(Struct, frozen=True):
    """An interface as it is now. `index` changes when one of the same name is made anew (a USB adapter, say)."""

    name: str
    index: int
    up: bool  # switched on
    running: bool  # and with somebody at the other end: a carrier, an association
    address: str | None  # its link-local one, once it may be used
    others: tuple[str, ...]  # its other IPv6 addresses
    ipv4: tuple[IPv4Interface, ...] = ()  # its IPv4 addresses with their subnets, the main one first

    def trouble(self, *, ipv4: bool = False, ipv6: bool = True) -> str | None:
        """Why none of these can be used on it now, in words for a person; None where one of them can."""
        if not self.up:
            return f"{self.name} is switched off: `ip link set {self.name} up`, or let the network manager do it"
        if not self.running:
            return f"{self.name} has no link: is it joined to the Wi-Fi network, is the cable plugged in?"
        if (ipv4 and self.ipv4) or (ipv6 and self.address is not None):
            return None
        if ipv4 and ipv6:
            return f"{self.name} has neither an IPv4 nor an IPv6 link-local address (yet)"
        if ipv4:
            return f"{self.name} has no IPv4 address (yet): does the network give one, or is it to be set by hand?"
        return f"{self.name} has no IPv6 link-local address (yet): is IPv6 switched off on it?"


def look(name: str) -> Interface | None:
    """How an interface stands; None where there is none of that name."""
    request = struct.pack(IFREQ, name.encode())
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            (index,) = struct.unpack_from("16xi", fcntl.ioctl(probe, SIOCGIFINDEX, request))
            (flags,) = struct.unpack_from("16xH", fcntl.ioctl(probe, SIOCGIFFLAGS, request))
            ipv4 = tuple(_ipv4_addresses(probe, name))
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return None
        raise
    local, others = _addresses(index)
    return Interface(name, index, bool(flags & IFF_UP), bool(flags & IFF_RUNNING), local, others, ipv4)


def _ipv4_addresses(probe: socket.socket, name: str) -> Iterator[IPv4Interface]:
    """The IPv4 addresses of an interface, those that go by a label of its own ("eth0:1") too."""
    listed = array.array("B", bytes(IPV4_MAX * IFREQ_SIZE))
    told = fcntl.ioctl(probe, SIOCGIFCONF, struct.pack(IFCONF, len(listed), listed.buffer_info()[0]))
    (size,) = struct.unpack_from("i", told)
    for at in range(0, size, IFREQ_SIZE):
        each = bytes(listed[at : at + IFREQ_SIZE])
        if each[:16].partition(b"\0")[0].partition(b":")[0] != name.encode():
            continue
        with contextlib.suppress(OSError):  # it went away just now
            mask = fcntl.ioctl(probe, SIOCGIFNETMASK, each)
            yield IPv4Interface((each[20:24], socket.inet_ntoa(mask[20:24])))  # behind family and port


def _addresses(index: int) -> tuple[str | None, tuple[str, ...]]:
    """The usable link-local IPv6 address of an interface, and its others."""
    local, others = None, []
    for line in ADDRESSES.read_text().splitlines() if ADDRESSES.exists() else ():  # a kernel without IPv6 has none
        digits, number, _, _, flags, _ = line.split()
        if int(number, 16) != index:
            continue
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
        if not is_link_local(address):
            others.append(address)
        elif local is None and not int(flags, 16) & (IFA_TENTATIVE | IFA_DADFAILED):
            local = address
    return local, tuple(others)


def default_interface() -> str | None:
    """The interface that the default route leads over, IPv4 before IPv6; None where there is none."""
    ways = [
        (int(metric), name)
        for name, to, _, flags, _, _, metric, mask, *_ in _rows(ROUTES, header=1)
        if to == mask == "00000000" and not int(flags, 16) & RTF_REJECT
    ] or [
        (int(metric, 16), name)
        for to, length, _, _, _, metric, _, _, flags, name in _rows(ROUTES_IPV6)
        if to == "0" * 32 and length == "00" and not int(flags, 16) & RTF_REJECT
    ]
    return min(ways)[1] if ways else None


def _rows(table: Path, header: int = 0) -> list[list[str]]:
    return [line.split() for line in table.read_text().splitlines()[header:]] if table.exists() else []


def is_link_local(address: str) -> bool:
    """Whether it is within fe80::/10."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def physical_interfaces() -> list[str]:
    """The interfaces that have hardware behind them, in the order of their names: no bridge, no tunnel."""
    return sorted(path.parent.name for path in Path("/sys/class/net").glob("*/device"))


class Watch:
    """Calls `on_change` in the running loop whenever an interface of this machine may have changed, until closed.

    `groups` of rtnetlink say what counts as a change (drivers.netlink has those of everything). Where the kernel does
    not tell (a sandbox without AF_NETLINK) it is called every 2 s.
    """

    def __init__(self, on_change: Callable[[], None], groups: int = LINKS_AND_ADDRESSES) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)
            self._socket.bind((0, groups))
            self._loop.add_reader(self._socket, self._told)
        except OSError:
            self.close()
            self._timer = self._loop.call_later(LOOK_S, self._timed)

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _told(self) -> None:
        with contextlib.suppress(OSError):  # all read, or more than the kernel could keep: both mean look
            while self._socket is not None:
                self._socket.recv(MESSAGE_SIZE)
        self._on_change()

    def _timed(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._timed)
        self._on_change()


async def usable(name: str, *, ipv4: bool = False, ipv6: bool = True) -> Interface:
    """Wait until an interface can be used for one of these at least, and tell how it stands then."""
    changed = asyncio.Event()
    watch = Watch(changed.set)
    try:
        while (found := look(name)) is None or found.trouble(ipv4=ipv4, ipv6=ipv6) is not None:
            await changed.wait()
            changed.clear()
        return found
    finally:
        watch.close()
