"""An ECHONET Lite datagram port pinned to one network interface: IPv6, link-local, UDP 3610 and nothing else.

Binding to an address does not isolate a socket on Linux; SO_BINDTODEVICE does. What is sent cannot leave the link
(hop limit 1), and what is heard must come from a link-local address of it (ITU-T G.9958, I.2: R50 to R54). A packet
that cannot be sent for the moment is lost and counted, as one is that gets lost on its way.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from drivers.interface import Interface, Watch, is_link_local, look
from drivers.module import Line
from drivers.packet import ALL_NODES, ECHONET_PORT, Packet
from drivers.ports import PortBusy, PortDenied, PortError, PortLost, PortMissing

PAYLOAD_MAX = 1232  # bytes: what IPv6 carries in one piece over any link (RFC 8200)
RECEIVE_BUFFER = 1 << 20  # bytes asked of the kernel: the answers of a few hundred nodes come within milliseconds
RECEIVE_BUFFER_MIN = 256 << 10  # still good for 300
READ_AT_ONCE = 64  # datagrams, before others get their turn
IPV6_MULTICAST_ALL = 29  # linux/in6.h: also hear the groups that others here have joined
PKTINFO = "16si"  # struct in6_pktinfo: destination, interface

log = logging.getLogger(__name__)


def open_udp(interface: str) -> UdpPort:
    """Open UDP 3610 on an interface for this process alone, in the running loop.

    Raises PortMissing (no such interface, or not usable now), PortBusy, PortDenied; each says what to do about it.
    """
    found = look(interface)
    if found is None:
        raise PortMissing(interface, f"there is no network interface {interface}; `ip link` lists them")
    if found.trouble is not None:
        raise PortMissing(interface, found.trouble)
    opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        _set_up(opened, found)
    except OSError as error:
        opened.close()
        raise _explained(interface, error) from error
    return UdpPort(found, opened)


def _set_up(opened: socket.socket, interface: Interface) -> None:
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    for option, value in (
        (socket.IPV6_V6ONLY, 1),
        (socket.IPV6_RECVPKTINFO, 1),
        (socket.IPV6_UNICAST_HOPS, 1),
        (socket.IPV6_MULTICAST_HOPS, 1),
        (IPV6_MULTICAST_ALL, 0),
        (socket.IPV6_MULTICAST_LOOP, 0),
        (socket.IPV6_MULTICAST_IF, interface.index),
    ):
        opened.setsockopt(socket.IPPROTO_IPV6, option, value)
    opened.bind(("::", ECHONET_PORT))  # without SO_REUSEADDR, so that nobody shares it
    group = socket.inet_pton(socket.AF_INET6, ALL_NODES) + struct.pack("i", interface.index)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    if (got := opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)) < RECEIVE_BUFFER_MIN:
        log.warning("%s: the kernel keeps only %d bytes for us; raise net.core.rmem_max", interface.name, got)


class UdpPort:
    """A DatagramPort. Lost when its interface is switched off, loses its link, goes away or is made anew."""

    def __init__(self, interface: Interface, opened: socket.socket) -> None:
        self._interface = interface
        self._socket = opened
        self._loop = asyncio.get_running_loop()
        self._gone = ""  # why nothing can be sent any more
        self._watch: Watch | None = None
        self.dropped: Counter[str] = Counter()  # packets that were not handed on, or not sent, by reason

    @property
    def name(self) -> str:
        return self._interface.name

    @property
    def address(self) -> str:
        """Our own link-local address."""
        return self._interface.address or ""

    def start(self, on_packet: Callable[[Packet], None], on_lost: Callable[[PortError], None]) -> None:
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._loop.add_reader(self._socket, self._readable)
        self._watch = Watch(self._look)
        self._loop.call_soon(self._look)  # what changed before there was a watch

    def write(self, packet: Packet) -> None:
        """Send at once or lose it. Raises PortLost once lost, ValueError for what must not leave on this link."""
        if self._gone:
            raise PortLost(self.name, self._gone)
        if packet.address != ALL_NODES and not is_link_local(packet.address):
            raise ValueError(f"{packet.address} is not on the link")
        if not 0 < len(packet.payload) <= PAYLOAD_MAX:
            raise ValueError(f"a datagram has 1 to {PAYLOAD_MAX} bytes, not {len(packet.payload)}")
        try:
            self._socket.sendto(packet.payload, (packet.address, ECHONET_PORT, 0, self._interface.index))
        except OSError as error:
            self.dropped[f"not sent: {os.strerror(error.errno or 0)}"] += 1
            self._look()

    def configure(self, line: Line) -> None:
        """Nothing to set."""

    async def close(self) -> None:
        self._detach(f"{self.name} is closed")

    def _readable(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._gone:  # closed by what a packet led to
                return
            try:
                payload, ancillary, flags, source = self._socket.recvmsg(PAYLOAD_MAX, 64)
            except BlockingIOError:
                return
            except OSError:
                self._look()
                return
            if packet := self._checked(payload, ancillary, flags, source):
                self._on_packet(packet)

    def _checked(
        self, payload: bytes, ancillary: list[tuple[int, int, bytes]], flags: int, source: tuple[str, int, int, int]
    ) -> Packet | None:
        """A packet that is as it must be; others are counted."""
        address, port, _, scope = source
        address = address.partition("%")[0]
        destination, arrived_on = b"", 0
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                destination, arrived_on = struct.unpack(PKTINFO, data)
        if not is_link_local(address) or self._interface.index not in (scope, arrived_on):
            self.dropped["not of this link"] += 1
        elif flags & socket.MSG_TRUNC:
            self.dropped["too long"] += 1
        else:
            return Packet(address, payload, port, destination[:1] == b"\xff")
        return None

    def _look(self) -> None:
        """Whether the interface is still the one that was opened, and usable."""
        if self._gone:
            return
        found = look(self.name)
        if found is None:
            self._lose(f"the network interface {self.name} went away")
        elif found.index != self._interface.index:
            self._lose(f"the network interface {self.name} went away and came back")
        elif found.address != self.address:
            self._lose(found.trouble or f"{self.name} has another link-local address now")
        elif found.trouble is not None:
            self._lose(found.trouble)

    def _lose(self, why: str) -> None:
        self._detach(why)
        self._loop.call_soon(self._on_lost, PortLost(self.name, why))

    def _detach(self, why: str) -> None:
        if self._gone:
            return
        self._gone = why
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._watch is not None:
            self._watch.close()


def _explained(interface: str, error: OSError) -> PortError:
    match error.errno:
        case errno.EADDRINUSE:
            who = _holder() or f"another process (`sudo ss -Hulnp sport {ECHONET_PORT}` tells which)"
            return PortBusy(interface, f"UDP port {ECHONET_PORT} on {interface} is in use: held by {who}")
        case errno.EPERM | errno.EACCES:
            return PortDenied(
                interface,
                f"no permission to keep to {interface} (SO_BINDTODEVICE): that takes Linux 5.7 or CAP_NET_RAW",
            )
        case errno.EAFNOSUPPORT:
            return PortDenied(interface, "IPv6 is not to be had: switched off in the kernel, or by a sandbox?")
        case _:
            reason = os.strerror(error.errno or 0)
            return PortMissing(interface, f"{interface} cannot be used ({reason}); `ip link` shows how it stands")


def _holder() -> str | None:
    """Who has UDP 3610 open for IPv6, as ``daemon (pid 123)``, where that can be told from here (proc_net(5))."""
    inodes = set()
    for line in Path("/proc/thread-self/net/udp6").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{ECHONET_PORT:04X}"):
            inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # it ended, or is not ours to see
            continue
    return None
