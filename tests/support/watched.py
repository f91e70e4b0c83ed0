"""Our network on real sockets, in real time, for tests with namespaces and other people's programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.packet import Packet
from drivers.ports import Pump
from drivers.udp import UdpPort, open_udp
from hemsd.appliances.events import Appliance, NetworkEvent, Settled
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from support.drivers import until
from support.link import answered
from support.scripted import LAMP, UNIQUE


class Watched:
    """One network."""

    def __init__(self, port: UdpPort) -> None:
        self.port = port
        self.events: list[NetworkEvent] = []
        self.network = Network(
            NetworkSettings(name="living"),
            own=Addresses(ipv4=port.ipv4, ipv6=port.address or None),
            remembered=Remembered(),
            ourselves=OwnNode(unique=UNIQUE),
            chance=lambda: 0.0,
        )
        self.pump = Pump[Packet, NetworkEvent](self.network, port, self.events.append)

    def known(self) -> list[Appliance]:
        return [each for each in self.network.appliances() if each.known]

    async def knows(self, *addresses: str) -> None:
        await until(lambda: {each.address for each in self.known()} == set(addresses))

    async def works(self, address: str) -> None:
        """The lamp there, which is off, is read, and switched on."""
        await until(lambda: (address, LAMP) in {(each.address, each.device.eoj) for each in self.known()})
        (lamp,) = [each for each in self.known() if (each.address, each.device.eoj) == (address, LAMP)]
        self.events.clear()
        self.network.query("q", lamp.id, (0x80,))
        self.network.order("c", lamp.id, {"on": True})
        self.pump.poke()
        await until(lambda: any(isinstance(each, Settled) for each in self.events))
        assert answered(self.events) == {0x80: b"\x31"}
        assert [each.outcome for each in self.events if isinstance(each, Settled)] == ["applied"]


@asynccontextmanager
async def watching(name: str = "wl", *, ipv4: bool = True, ipv6: bool = False) -> AsyncIterator[Watched]:
    port = open_udp(name, ipv4=ipv4, ipv6=ipv6)
    watched = Watched(port)
    running = asyncio.create_task(watched.pump.run())
    try:
        yield watched
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await port.close()
