"""A simulated second-generation meter on a real network interface, in real time: UDP 3610 over IPv6 link-local."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hemsd.simulator.node import MeterNode

PORT = 3610
EVERYONE = "ff02::1"
SIZE_MAX = 2048
EARLY_S = 1e-6  # a timer may fire as much before its time


@asynccontextmanager
async def serve_on_udp(node: MeterNode, interface: str) -> AsyncIterator[None]:
    """Run the meter until the end of the block, at the interface's own link-local addresses. Raises OSError."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
        plug = _Plug(node, link, interface)
        try:
            plug.turn()
            yield
        finally:
            plug.close()


class _Plug:
    """A socket and a timer."""

    def __init__(self, node: MeterNode, link: socket.socket, interface: str) -> None:
        self._node = node
        self._link = link
        self._index = socket.if_nametoindex(interface)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        for option, value in (
            (socket.IPV6_V6ONLY, 1),
            (socket.IPV6_RECVPKTINFO, 1),
            (socket.IPV6_MULTICAST_IF, self._index),
            (socket.IPV6_MULTICAST_LOOP, 0),
        ):
            link.setsockopt(socket.IPPROTO_IPV6, option, value)
        link.bind(("::", PORT))
        group = socket.inet_pton(socket.AF_INET6, EVERYONE) + struct.pack("i", self._index)
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self._loop.add_reader(link, self._readable)

    def turn(self) -> None:
        """Do what is due, send what is to be sent, set the timer for what comes next."""
        self._node.tick(self._now())
        for to, payload in self._node.outgoing():
            with suppress(OSError):  # while the interface has no address what is said is lost
                self._link.sendto(payload, (to or EVERYONE, PORT, 0, self._index))
        if self._timer is not None:
            self._timer.cancel()
        due = self._node.deadline()
        self._timer = None if due is None else self._loop.call_at(self._began + due, self.turn)

    def close(self) -> None:
        """Say and hear nothing any more."""
        self._loop.remove_reader(self._link)
        if self._timer is not None:
            self._timer.cancel()

    def _now(self) -> float:
        return self._loop.time() - self._began + EARLY_S

    def _readable(self) -> None:
        payload, ancillary, _, source = self._link.recvmsg(SIZE_MAX, 64)
        to_all = any(kind == socket.IPV6_PKTINFO and data[0] == 0xFF for _, kind, data in ancillary)
        self._node.receive(source[0].partition("%")[0], payload, self._now(), multicast=to_all)
        self.turn()
