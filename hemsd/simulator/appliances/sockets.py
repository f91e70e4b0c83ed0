"""Simulated nodes on a real network interface, in real time: UDP 3610 over IPv4 and IPv6.

Each address has a socket of its own, bound to it: what the kernel gets for that address goes there, whoever else on
this machine listens to port 3610 of all addresses. So hundreds of nodes share the loopback interface, at 127.0.x.y,
with the controller that they are there for. A socket bound to an address hears nothing that is meant for all; for
that there is one bound to each group or broadcast address.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from hemsd.simulator.appliances.frame import is_request
from hemsd.simulator.appliances.node import ApplianceNode
from hemsd.simulator.appliances.temper import ECHONET_PORT

GROUP_IPV4, GROUP_IPV6, LIMITED_BROADCAST = "224.0.23.0", "ff02::1", "255.255.255.255"
IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 49, 29  # linux/in.h, linux/in6.h: also hear groups that others joined
SIOCGIFBRDADDR = 0x8919
SIZE_MAX = 2048
READ_AT_ONCE = 64
RECEIVE_BUFFER = 1 << 20
EARLY_S = 1e-6  # a timer may fire as much before its time


@asynccontextmanager
async def serve_nodes(
    nodes: Iterable[ApplianceNode], interface: str, *, spare: Iterable[str] = ()
) -> AsyncIterator[Callable[[ApplianceNode], None]]:
    """Run the nodes until the end of the block, at addresses that the interface has; on `lo` any of 127.0.0.0/8.

    `spare`: addresses that nodes will move to, had from the beginning; others are taken when they do. Gives what to
    call with a node before something is done to it (fall_silent, reboot, ...), so that it has lived until now, and
    afterwards, so that it speaks at once. Raises OSError where an address or the port cannot be had.
    """
    plug = _Plug(tuple(nodes), interface)
    try:
        plug.open(spare)
        yield plug.turn
    finally:
        plug.close()


class _Plug:
    """Sockets by address and source port, one timer for each node."""

    def __init__(self, nodes: tuple[ApplianceNode, ...], interface: str) -> None:
        self._nodes = nodes
        self._interface = interface
        self._index = socket.if_nametoindex(interface)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._timers: dict[ApplianceNode, asyncio.TimerHandle] = {}
        self._homes: dict[ApplianceNode, tuple[str, ...]] = {}  # the addresses at which each is heard

    def open(self, spare: Iterable[str]) -> None:
        families = {":" in address for node in self._nodes for address in node.addresses}
        if False in families:
            for address in {GROUP_IPV4, LIMITED_BROADCAST, *self._broadcast()}:
                self._hear_all(address)
        if True in families:
            self._hear_all(GROUP_IPV6)
        for address in spare:
            self._socket(address)
        for node in self._nodes:
            self.turn(node)

    def close(self) -> None:
        for each in self._sockets.values():
            self._loop.remove_reader(each)
            each.close()
        for timer in self._timers.values():
            timer.cancel()

    def turn(self, node: ApplianceNode) -> None:
        """Do what is due, send what is to be sent, set the timer for what comes next."""
        node.tick(self._now())
        self._settle(node)
        for source, to, payload, port in node.outgoing():
            ipv6 = ":" in source
            group = GROUP_IPV6 if ipv6 else GROUP_IPV4
            target = (to or group, ECHONET_PORT, 0, self._index) if ipv6 else (to or group, ECHONET_PORT)
            with suppress(OSError):  # while the interface has no address what is said is lost
                self._socket(source, port).sendto(payload, target)
        if (timer := self._timers.get(node)) is not None:
            timer.cancel()
        self._timers[node] = self._loop.call_at(self._began + node.deadline(), self.turn, node)

    def _settle(self, node: ApplianceNode) -> None:
        """Hear it at its addresses, and no more at those that it had."""
        before = self._homes.get(node, ())
        if before != node.addresses:
            self._homes[node] = node.addresses
            for key in [key for key in self._sockets if key[0] in before and key[0] not in node.addresses]:
                left = self._sockets.pop(key)
                self._loop.remove_reader(left)
                left.close()
            for address in node.addresses:
                self._socket(address, node.temper.source_port)
                self._loop.add_reader(ear := self._socket(address), self._readable, ear, node)

    def _now(self) -> float:
        return self._loop.time() - self._began + EARLY_S

    def _socket(self, address: str, port: int = ECHONET_PORT) -> socket.socket:
        return self._sockets.get((address, port)) or self._made(address, port)

    def _hear_all(self, address: str) -> None:
        made = self._made(address, ECHONET_PORT)
        if address == GROUP_IPV4:
            group = socket.inet_aton(address) + bytes(4) + struct.pack("@i", self._index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        elif address == GROUP_IPV6:
            group = socket.inet_pton(socket.AF_INET6, address) + struct.pack("@i", self._index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self._loop.add_reader(made, self._readable, made, None)

    def _made(self, address: str, port: int) -> socket.socket:
        ipv6 = ":" in address
        made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets[address, port] = made
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        if ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
            made.bind((address, port, 0, self._index))
        else:
            if address in (GROUP_IPV4, LIMITED_BROADCAST):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            index = bytes(8) + struct.pack("@i", self._index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            made.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            made.bind((address, port))
        return made

    def _broadcast(self) -> set[str]:
        """The interface's directed broadcast address, if it has one."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                asked = fcntl.ioctl(any_socket, SIOCGIFBRDADDR, struct.pack("16s16x", self._interface.encode()))
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    return set()
                raise
        return {socket.inet_ntoa(asked[20:24])} - {"0.0.0.0"}

    def _readable(self, ear: socket.socket, meant: ApplianceNode | None) -> None:
        """Requests for one node, or for all of the family."""
        for _ in range(READ_AT_ONCE):
            try:
                payload, source = ear.recvfrom(SIZE_MAX)
            except OSError:
                return
            sender = source[0].partition("%")[0]
            if not is_request(payload):  # the others' announcements, to which hundreds need not wake up
                continue
            for node in [meant] if meant else self._nodes:
                ours = any((":" in own) == (":" in sender) for own in node.addresses)
                if ours and sender not in node.addresses:
                    node.receive(sender, payload, self._now(), multicast=meant is None)
                    self.turn(node)
