"""A real datagram port that is listened to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.packet import ALL_NODES, Packet
from drivers.ports import DatagramPort, PortError, PortLost
from drivers.udp import UdpPort, open_udp
from support.drivers import until

FRAME = bytes.fromhex("1081000105FF010EF0016201D600")


class Listener:
    """A port that was started, what it handed on, and why it was lost."""

    def __init__(self, port: UdpPort) -> None:
        self.port = port
        self.heard: list[Packet] = []
        self.together: list[int] = []  # so many packets at once
        self.lost: list[PortError] = []
        port.start(self._take, self.lost.append)

    def _take(self, *packets: Packet) -> None:
        self.heard += packets
        self.together.append(len(packets))

    async def hears(self, count: int) -> list[Packet]:
        await until(lambda: len(self.heard) >= count)
        return self.heard

    async def loses(self) -> PortError:
        await until(lambda: self.lost)
        (error,) = self.lost
        with pytest.raises(PortLost):
            self.port.write(Packet(ALL_NODES, FRAME))
        return error


@asynccontextmanager
async def listening(name: str = "wl", *, ipv4: bool = False, ipv6: bool = True) -> AsyncIterator[Listener]:
    port: DatagramPort = open_udp(name, ipv4=ipv4, ipv6=ipv6)
    assert isinstance(port, UdpPort)
    try:
        listener = Listener(port)
        await asyncio.sleep(0.01)  # it has looked once now
        yield listener
    finally:
        await port.close()
        await port.close()
