"""A network interface of this machine: how it stands, and waiting for that to change (netdevice(7), rtnetlink(7))."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIOCGIFFLAGS, SIOCGIFINDEX = 0x8913, 0x8933  # linux/sockios.h
IFF_UP, IFF_RUNNING = 0x1, 0x40  # linux/if.h
IFREQ = "16s24x"  # struct ifreq: the name, and room for the answer
IFA_TENTATIVE, IFA_DADFAILED = 0x40, 0x08  # linux/if_addr.h
RTMGRP_LINK, RTMGRP_IPV6_IFADDR = 0x1, 0x100  # linux/rtnetlink.h
LOOK_S = 2.0  # between two looks where there is no netlink
MESSAGE_SIZE = 65536
ADDRESSES = Path("/proc/thread-self/net/if_inet6")  # of this network namespace; there with ProcSubset=pid, too


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface as it is now. `index` changes when one of the same name is made anew (a USB adapter, say)."""

    name: str
    index: int
    up: bool  # switched on
    running: bool  # and with somebody at the other end: a carrier, an association
    address: str | None  # its link-local one, once it may be used
    others: tuple[str, ...]  # its other IPv6 addresses

    @property
    def trouble(self) -> str | None:
        """Why it cannot be used now, in words for a person; None where it can."""
        if not self.up:
            return f"{self.name} is switched off: `ip link set {self.name} up`, or let the network manager do it"
        if not self.running:
            return f"{self.name} has no link: is it joined to the Wi-Fi network, is the cable plugged in?"
        if self.address is None:
            return f"{self.name} has no IPv6 link-local address (yet): is IPv6 switched off on it?"
        return None


def look(name: str) -> Interface | None:
    """How an interface stands; None where there is none of that name."""
    request = struct.pack(IFREQ, name.encode())
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            (index,) = struct.unpack_from("16xi", fcntl.ioctl(probe, SIOCGIFINDEX, request))
            (flags,) = struct.unpack_from("16xH", fcntl.ioctl(probe, SIOCGIFFLAGS, request))
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return None
        raise
    local, others = _addresses(index)
    return Interface(name, index, bool(flags & IFF_UP), bool(flags & IFF_RUNNING), local, others)


def _addresses(index: int) -> tuple[str | None, tuple[str, ...]]:
    """The usable link-local IPv6 address of an interface, and its others."""
    local, others = None, []
    for line in ADDRESSES.read_text().splitlines():
        digits, number, _, _, flags, _ = line.split()
        if int(number, 16) != index:
            continue
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
        if not is_link_local(address):
            others.append(address)
        elif local is None and not int(flags, 16) & (IFA_TENTATIVE | IFA_DADFAILED):
            local = address
    return local, tuple(others)


def is_link_local(address: str) -> bool:
    """Whether it is within fe80::/10."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


class Watch:
    """Calls `on_change` in the running loop whenever an interface of this machine may have changed, until closed.

    Where the kernel does not tell (a sandbox without AF_NETLINK) it is called every 2 s.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)
            self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV6_IFADDR))
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


async def usable(name: str) -> Interface:
    """Wait until an interface can be used, and tell how it stands then."""
    changed = asyncio.Event()
    watch = Watch(changed.set)
    try:
        while (found := look(name)) is None or found.trouble is not None:
            await changed.wait()
            changed.clear()
        return found
    finally:
        watch.close()
