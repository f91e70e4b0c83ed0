"""An IPv6 link in memory with a simulated second-generation meter on it, on the time of the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.module import Line
from drivers.packet import ALL_NODES, Packet
from drivers.ports import PortError
from hemsd.simulator import MeterNode

OURS = "fe80::ba27:ebff:fe12:3456"


class SimulatedLink:
    """A DatagramPort; `others` are further nodes on the same link. What passes is kept, with the time of it."""

    name = "wlan1"
    address = OURS

    def __init__(self, node: MeterNode, *others: MeterNode) -> None:
        self.nodes = [node, *others]
        self.sent: list[tuple[float, Packet]] = []
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._on_packet: Callable[[Packet], None] = lambda packet: None

    def start(self, on_packet: Callable[[Packet], None], on_lost: Callable[[PortError], None]) -> None:
        self._on_packet, self._on_lost = on_packet, on_lost
        self._turn()

    def write(self, packet: Packet) -> None:
        now = self._loop.time()
        self.sent.append((now, packet))
        for node in self.nodes:
            if packet.address in (ALL_NODES, node.address) or _same(packet.address, node.address):
                node.receive(OURS, packet.payload, now, multicast=packet.address == ALL_NODES)
        self._loop.call_soon(self._turn)

    def configure(self, line: Line) -> None:
        raise AssertionError("there is no line here")

    async def close(self) -> None:
        self.closed = True

    def lose(self, error: PortError) -> None:
        self._on_lost(error)

    def inject(self, sender: str, payload: bytes) -> None:
        """A packet from somebody else."""
        self._on_packet(Packet(sender, payload))

    def _turn(self) -> None:
        if self.closed:
            return
        now = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
        for node in self.nodes:
            node.tick(now)
            for to, payload in node.outgoing():
                if to in (None, OURS) or _same(to or "", OURS):
                    self._on_packet(Packet(node.address, payload, multicast=to is None))
        dues = [due for node in self.nodes if (due := node.deadline()) is not None]
        self._timer = self._loop.call_later(max(1e-6, min(dues) - now), self._turn) if dues else None


def _same(one: str, other: str) -> bool:
    from ipaddress import IPv6Address

    return IPv6Address(one) == IPv6Address(other)
