"""T-OVERLAY (G.9958: R22, R30, R37, R46): meter and appliances on one interface are two flows all the same.

Two sockets on UDP 3610: the meter's is connected to the meter, the other one leaves the meter alone.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import datetime
from pathlib import Path

import pytest
from support.drivers import until
from support.netns import Namespace, segment
from support.udp import FRAME, Listener
from support.worlds import Ear

from drivers.inet import Inet6
from drivers.interface import look
from drivers.packet import ALL_NODES, Packet
from drivers.ports import PortBusy
from drivers.udp import UdpPort, open_udp
from hemsd.hub.messages import ApplianceStatus, Health, MeterReading
from hemsd.simulator import Household, MeterNode, Plate
from hemsd.simulator import Meter as SimulatedMeter
from hemsd.simulator.appliances import ApplianceNode, GeneralLighting, World, serve_nodes
from hemsd.simulator.udp import serve_on_udp

pytestmark = pytest.mark.needs("ip", "root")

START = datetime(2026, 10, 1, 12, 20)
FLOOD = """
import socket, sys, time
plain = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
index = socket.if_nametoindex("wl")
plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
frame = bytes.fromhex("1081000102880105FF017301E704000F423F")
while True:
    for to in (sys.argv[1], "ff02::1"):
        for payload in (frame, bytes(600), frame[:9]):
            plain.sendto(payload, (to, 3610, 0, index))
    time.sleep(0.001)
"""


class Link:
    """One switch with ourselves, the meter, an appliance and a stranger on it, and their link-local addresses."""

    def __init__(self, ours: Namespace, meter: Namespace, lamp: Namespace, stranger: Namespace) -> None:
        self.ours, self.meter, self.lamp, self.stranger = ours, meter, lamp, stranger

    @staticmethod
    def address(host: Namespace) -> str:
        with host.entered():
            found = look("wl")
        assert found is not None and found.address is not None
        return found.address

    def socket(self, host: Namespace, port: int = 3610) -> socket.socket:
        """A plain UDP socket of a host."""
        with host.entered():
            plain = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("wl")
        plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        plain.bind(("::", port, 0, index))
        return plain


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with segment() as built:
        hosts = Link(*built.hosts(4))
        with hosts.ours.entered():
            yield hosts


@asynccontextmanager
async def divided(link: Link, *, meter_first: bool) -> AsyncIterator[tuple[Listener, Listener]]:
    """The meter's port and the appliances', opened in one order or the other."""
    address = link.address(link.meter)
    async with AsyncExitStack() as stack:
        opened: dict[bool, UdpPort] = {}
        for is_meter in (True, False) if meter_first else (False, True):
            port = open_udp("wl", only=address) if is_meter else open_udp("wl", without=address)
            opened[is_meter] = port
            stack.push_async_callback(port.close)
        yield Listener(opened[True]), Listener(opened[False])


async def mixed_up(link: Link, meter: Listener, others: Listener) -> list[str]:
    """What came to a socket of the wrong flow, after everybody said something to us and to all."""
    ours = link.address(link.ours)
    with (
        link.socket(link.meter) as theirs,
        link.socket(link.lamp) as lamp,
        link.socket(link.stranger, 50_000) as stranger,
    ):
        for sender, name in ((theirs, b"meter"), (lamp, b"lamp"), (stranger, b"stranger")):
            sender.sendto(name, (ours, 3610))
            sender.sendto(name, (ALL_NODES, 3610))
    await until(lambda: len(others.heard) + len(meter.heard) + sum(others.port.dropped.values()) >= 6)
    wrong = [f"the meter's socket heard {packet.payload!r}" for packet in meter.heard if packet.payload != b"meter"]
    wrong += [f"the others' heard {packet.payload!r}" for packet in others.heard if packet.payload == b"meter"]
    if len(meter.heard) != 1:
        wrong.append(f"the meter was heard {len(meter.heard)} times")
    return wrong


@pytest.mark.parametrize("meter_first", [True, False], ids=["meter first", "appliances first"])
async def test_each_socket_has_its_own_flow(link: Link, meter_first: bool) -> None:
    """What the meter sends to us comes to its socket only; what it sends to all, to neither: dropped and counted."""
    async with divided(link, meter_first=meter_first) as (meter, others):
        assert await mixed_up(link, meter, others) == []
        assert sorted(packet.payload for packet in others.heard) == [b"lamp", b"lamp", b"stranger", b"stranger"]
        assert (meter.port.dropped, others.port.dropped) == ({}, {"of another flow": 1})


@pytest.mark.parametrize("meter_first", [True, False], ids=["meter first", "appliances first"])
async def test_nothing_goes_out_by_the_wrong_socket(link: Link, meter_first: bool) -> None:
    """No multicast and nothing for others by the meter's, nothing for the meter by the other one."""
    theirs = link.address(link.meter)
    async with divided(link, meter_first=meter_first) as (meter, others):
        with closing(link.socket(link.meter)) as hearing:
            hearing.settimeout(5)
            for to in (ALL_NODES, link.address(link.lamp)):
                meter.port.write(Packet(to, FRAME))
            others.port.write(Packet(theirs, FRAME))
            meter.port.write(Packet(theirs, b"control"))
            assert hearing.recv(2048) == b"control"
        assert meter.port.dropped == {"not sent: of another flow": 2}
        assert others.port.dropped == {"not sent: of another flow": 1}


@pytest.mark.parametrize("meter_first", [True, False], ids=["meter first", "appliances first"])
async def test_the_check_finds_it_when_the_sockets_are_not_divided(
    link: Link, meter_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliberate breach: two sockets that share the port, neither connected nor choosy."""
    set_up = Inet6._set_up

    def careless(self: Inet6) -> None:
        self._only = None
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_up(self)
        self._without = None

    monkeypatch.setattr(Inet6, "_set_up", careless)
    async with divided(link, meter_first=meter_first) as (meter, others):
        assert await mixed_up(link, meter, others)


async def test_an_interface_that_is_not_divided_is_not_shared(link: Link) -> None:
    """The port of a network that has its interface to itself lets no second one in, divided or not."""
    port = open_udp("wl")
    with pytest.raises(PortBusy):
        open_udp("wl", only=link.address(link.meter))
    await port.close()


class House(Ear):
    """The daemon in configuration 6.4.1, everything on one interface."""

    def __init__(self, link: Link, directory: Path) -> None:
        super().__init__(directory)
        (directory / "hemsd.toml").write_text(f"""version = 1
profile = "6.4.1"
daemon.state_directory = "state"
daemon.operator_socket = "operator.sock"
lan.interface = "wl"
meter.interface = "wl"
meter.peer = "{link.address(link.meter)}"
meter.live_s = 1
meter.watched_s = 1
meter.allow_fast_polling = true
networks.home.interface = "wl"
networks.home.ipv4 = false
""")


async def test_the_meter_is_read_on_while_the_appliances_side_is_flooded(link: Link, tmp_path: Path) -> None:
    """Thousands of frames, forged ones in the meter's name among them: the meter is read as before."""
    world, house = World(START), House(link, tmp_path)
    lamp = ApplianceNode(world, [GeneralLighting(world)], link.address(link.lamp))
    node = MeterNode(SimulatedMeter(Household(7), start=START, plate=Plate(generation=2)))
    async with AsyncExitStack() as stack:
        with link.meter.entered():
            await stack.enter_async_context(serve_on_udp(node, "wl"))
        with link.lamp.entered():
            await stack.enter_async_context(serve_nodes([lamp], "wl"))
        stack.enter_context(house.daemon(link.ours))
        await house.hears(MeterReading, lambda reading: reading.power_w is not None)
        await house.hears(ApplianceStatus, lambda status: status.known)
        command = ["ip", "netns", "exec", link.stranger.name, sys.executable, "-c", FLOOD, link.address(link.ours)]
        with subprocess.Popen(command) as flooding:
            try:
                await house.hears(MeterReading, lambda reading: reading.power_w not in (None, 999_999), count=4)
                await house.hears(Health, flooded)
            finally:
                flooding.kill()
        status = await house.status(lambda status: True)
        assert (status.online, status.radio.silences, status.radio.dropped) == (True, 0, {})
        found = await house.hears(ApplianceStatus)
        assert found.kind == "general_lighting"


def flooded(health: Health) -> bool:
    """Whether the flood came to the appliances' side, where it belongs."""
    return health.counters.get("home: meter", 0) + health.counters.get("home: malformed", 0) > 1000
