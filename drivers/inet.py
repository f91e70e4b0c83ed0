"""One UDP socket of an ECHONET Lite port, of either family, kept to one interface and to the nodes on its link.

Binding to an address does not isolate a socket on Linux; SO_BINDTODEVICE does, and a socket bound to an address hears
neither multicast nor broadcast. What is sent cannot leave the link (hop limit 1) and does not come back to us.
ECHONET Lite specification 1.14, part II, 1.2; ITU-T G.9958, I.2 (R50 to R54); ip(7), ipv6(7).
"""

from __future__ import annotations

import logging
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

from drivers.interface import Interface, is_link_local
from drivers.packet import ALL_NODES, ALL_NODES_IPV4, ECHONET_PORT, Packet

RECEIVE_BUFFER = 1 << 20  # bytes asked of the kernel: the answers of a few hundred nodes come within milliseconds
RECEIVE_BUFFER_MIN = 256 << 10  # many kernels give 416 KiB: some 150 at once, as Ethernet drivers count
NODES_MAX = 1024  # of which is remembered whether they are of this link
ANCILLARY_SIZE = 64
ARRIVALS = 64  # ways to us that are not looked at again: interface and destination
TRUNCATED = int(socket.MSG_TRUNC)  # the enumeration itself takes longer to compare with than recvmsg() takes
IP_PKTINFO, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 8, 49, 29  # linux/in.h, in6.h
IN_PKTINFO = struct.Struct("i4s4s")  # interface, our address that it is for, destination
IN6_PKTINFO = struct.Struct("16si")  # destination, interface
LOOPBACK = "lo"

OFF_LINK, OWN, TOO_LONG, OTHER_FLOW = "not of this link", "our own", "too long", "of another flow"

log = logging.getLogger(__name__)


KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class _Known(dict[KeyT, ValueT]):
    """What a function says of a key; asked once of each, as long as there is room."""

    def __init__(self, ask: Callable[[KeyT], ValueT], room: int) -> None:
        super().__init__()
        self._ask, self._room = ask, room

    def __missing__(self, key: KeyT) -> ValueT:
        if len(self) >= self._room:
            self.clear()
        value = self[key] = self._ask(key)
        return value


class Inet(ABC):
    """What both families have in common. Raises OSError where the socket cannot be had.

    `verdicts`, by address: why a node is none to speak with, empty for one that is on this link, and for all of them.
    """

    family: ClassVar[socket.AddressFamily]
    label: ClassVar[str]
    everyone: ClassVar[str]  # the address that all nodes listen to
    payload_max: ClassVar[int]  # bytes: what is carried in one piece over Ethernet, or over any link

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self.verdicts = _Known(self._judge, NODES_MAX)
        self._arrivals = _Known(self._arrival, ARRIVALS)
        self.socket = socket.socket(self.family, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._set_up()
        except OSError:
            self.socket.close()
            raise
        if (got := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)) < RECEIVE_BUFFER_MIN:
            log.warning("%s: the kernel keeps only %d bytes for us; raise net.core.rmem_max", interface.name, got)

    def receive(self) -> Packet | str:
        """The next packet that came in, or why it is dropped. Raises BlockingIOError where there is none, OSError."""
        payload, ancillary, flags, source = self.socket.recvmsg(self.payload_max, ANCILLARY_SIZE)
        if not ancillary:
            return OFF_LINK
        address: str = source[0]
        index, to_all = self._arrivals[ancillary[0][2]]  # there is no other kind
        if verdict := self.verdicts[address]:
            return verdict
        if index != self._interface.index:
            return OFF_LINK
        if flags & TRUNCATED:
            return TOO_LONG
        return Packet(address, payload, source[1], to_all)

    @abstractmethod
    def send(self, address: str, payload: bytes) -> None:
        """Send to one node or to all. Raises OSError."""

    @abstractmethod
    def _set_up(self) -> None:
        """Set what only this family has, and bind."""

    @staticmethod
    @abstractmethod
    def _arrival(pktinfo: bytes) -> tuple[int, bool]:
        """By which interface a packet came in, and whether it was for all."""

    @abstractmethod
    def _judge(self, address: str) -> str:
        """The verdict on an address; see `verdicts`. Raises ValueError or OSError for what is none."""


class Inet4(Inet):
    """IPv4: nodes of the interface's own subnets.

    Nobody shares the port with us, except on the loopback interface: there simulated devices have addresses of their
    own (127.0.0.2, ...) beside ours.
    """

    family = socket.AF_INET
    label = "IPv4"
    everyone = ALL_NODES_IPV4
    payload_max = 1472

    def send(self, address: str, payload: bytes) -> None:
        self.socket.sendto(payload, (address, ECHONET_PORT))

    def _set_up(self) -> None:
        if self._interface.name == LOOPBACK:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        group, ours = socket.inet_aton(ALL_NODES_IPV4), self._interface.ipv4[0].ip.packed
        membership = struct.pack("4s4si", group, ours, self._interface.index)  # struct ip_mreqn
        for option, value in (
            (IP_PKTINFO, 1),
            (socket.IP_TTL, 1),
            (socket.IP_MULTICAST_TTL, 1),
            (IP_MULTICAST_ALL, 0),  # not the groups that others here have joined
            (socket.IP_MULTICAST_LOOP, 0),
            (socket.IP_MULTICAST_IF, membership),
        ):
            self.socket.setsockopt(socket.IPPROTO_IP, option, value)
        self.socket.bind(("0.0.0.0", ECHONET_PORT))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    @staticmethod
    def _arrival(pktinfo: bytes) -> tuple[int, bool]:
        index, ours, destination = IN_PKTINFO.unpack(pktinfo)
        return index, destination != ours

    def _judge(self, address: str) -> str:
        if address == ALL_NODES_IPV4:
            return ""
        packed = socket.inet_pton(socket.AF_INET, address)
        own = self._interface.ipv4
        if any(each.ip.packed == packed for each in own):
            return OWN
        number = int.from_bytes(packed, "big")
        return "" if any(number & int(each.netmask) == int(each.network[0]) for each in own) else OFF_LINK


class Inet6(Inet):
    """IPv6: link-local addresses and nothing else. Nobody shares the port with us, unless we divide it ourselves.

    Two sockets do that: one speaks with the node `only` and is connected to it, so that the kernel gives it what that
    node sends to us and nothing else; the other speaks with all `without` that node, and alone hears what is for all.
    Whichever is opened first, both have to allow the other (SO_REUSEADDR, across users), and so anybody who asks.
    """

    family = socket.AF_INET6
    label = "IPv6"
    everyone = ALL_NODES
    payload_max = 1232  # RFC 8200

    def __init__(self, interface: Interface, *, only: str | None = None, without: str | None = None) -> None:
        self._only = None if only is None else socket.inet_pton(socket.AF_INET6, only)
        self._without = None if without is None else socket.inet_pton(socket.AF_INET6, without)
        super().__init__(interface)

    def send(self, address: str, payload: bytes) -> None:
        self.socket.sendto(payload, (address, ECHONET_PORT, 0, self._interface.index))

    def _set_up(self) -> None:
        for option, value in (
            (socket.IPV6_V6ONLY, 1),
            (socket.IPV6_RECVPKTINFO, 1),
            (socket.IPV6_UNICAST_HOPS, 1),
            (socket.IPV6_MULTICAST_HOPS, 1),
            (IPV6_MULTICAST_ALL, 0),
            (socket.IPV6_MULTICAST_LOOP, 0),
            (socket.IPV6_MULTICAST_IF, self._interface.index),
        ):
            self.socket.setsockopt(socket.IPPROTO_IPV6, option, value)
        if self._only is not None or self._without is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("::", ECHONET_PORT))
        if self._only is not None:
            node = socket.inet_ntop(socket.AF_INET6, self._only)
            self.socket.connect((node, ECHONET_PORT, 0, self._interface.index))
            return
        group = socket.inet_pton(socket.AF_INET6, ALL_NODES) + struct.pack("i", self._interface.index)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)

    @staticmethod
    def _arrival(pktinfo: bytes) -> tuple[int, bool]:
        destination, index = IN6_PKTINFO.unpack(pktinfo)
        return index, destination[0] == 0xFF

    def _judge(self, address: str) -> str:
        if address == self._interface.address:
            return OWN
        if not is_link_local(address) and address != ALL_NODES:
            return OFF_LINK
        packed = socket.inet_pton(socket.AF_INET6, address)
        return OTHER_FLOW if packed == self._without or self._only not in (None, packed) else ""
