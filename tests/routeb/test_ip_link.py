"""A second-generation meter over a real link between two hosts: the kernel's sockets, the daemon, the command."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from support.cli import hemsd
from support.drivers import until
from support.netns import Street, street

from drivers.udp import open_udp
from hemsd.cli.exits import Exit
from hemsd.daemon.config import MeterTable
from hemsd.daemon.meter import MeterDomain, kind_of
from hemsd.daemon.supervision import supervise
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, MeterReading, MeterStatus
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.routeb.ip import IpMeter, full
from hemsd.routeb.meter import Meter
from hemsd.simulator import Household, MeterNode, Plate
from hemsd.simulator import Meter as SimulatedMeter
from hemsd.simulator.udp import serve_on_udp

pytestmark = pytest.mark.needs("ip", "root")

START = datetime(2026, 10, 1, 12, 20)
HOUSEHOLD = Household(7, pv_kw=4)


@pytest.fixture
def link() -> Iterator[Street]:
    with street() as built:
        yield built


@asynccontextmanager
async def meter_there(link: Street) -> AsyncIterator[MeterNode]:
    """A simulated meter at the other end."""
    node = MeterNode(SimulatedMeter(HOUSEHOLD, start=START, plate=Plate(generation=2)))
    with link.grid.entered():
        serving = serve_on_udp(node, "wl")
        await serving.__aenter__()
    try:
        yield node
    finally:
        await serving.__aexit__(None, None, None)


def connect(interface: str = "wl") -> Meter:
    port = open_udp(interface)
    return Meter(port, None, module=IpMeter(port.address))


def strangers(frames: list[bytes]) -> list[str]:
    """What has no business on a link to the meter: anything but IPv6 link-local neighbours and UDP 3610 frames."""
    found = []
    for frame in frames:
        kind, packet = frame[12:14], frame[14:]
        if kind != b"\x86\xdd":
            found.append(f"ethertype {kind.hex()}")
            continue
        source, destination = (ipaddress.IPv6Address(packet[at : at + 16]) for at in (8, 24))
        protocol, body = packet[6], packet[40:]
        neighbours = protocol in (0, 58)  # ICMPv6, behind a hop-by-hop header where it is about multicast groups
        if not neighbours and not (protocol == socket.IPPROTO_UDP and body[2:4] == (3610).to_bytes(2, "big")):
            found.append(f"protocol {protocol}")
        if not (source.is_link_local or (neighbours and source.is_unspecified)):
            found.append(f"from {source}")
        if not destination.is_link_local and not str(destination).startswith("ff02::"):
            found.append(f"to {destination}")
    return found


def asked(frames: list[bytes], source: str) -> list[tuple[str, bytes]]:
    """The ECHONET Lite payloads that a node sent, and to whom."""
    packets = [frame[14:] for frame in frames if frame[12:14] == b"\x86\xdd" and frame[20] == socket.IPPROTO_UDP]
    ours = ipaddress.IPv6Address(source).packed
    return [(str(ipaddress.IPv6Address(packet[24:40])), packet[48:]) for packet in packets if packet[8:24] == ours]


async def test_a_reading_over_link_local_ipv6_and_nothing_else(link: Street) -> None:
    """T-LL, T-METERALLOW: fe80 to fe80 on UDP 3610, one multicast, Gets and Sets of the selectors; no IPv4 packet."""
    for side, address in ((link.home, "2001:db8::1/64"), (link.grid, "2001:db8::2/64")):
        side.ip("addr", "add", address, "dev", "wl", "nodad")  # which must not be used
    capture = link.capture()
    ours, theirs = link.address(link.home), link.address(link.grid)
    async with meter_there(link), connect() as meter:
        await meter.identify()
        assert (meter.status.module, meter.status.port) == ("", "wl")
        reading = await meter.read_live()
        interval = await meter.read_interval()
        history = await meter.select_and_read(0xE5, b"\x01", [0xE2], lambda value: value.require(1))
    assert len(history[0xE2].counts) == 48
    assert reading.power_w in (HOUSEHOLD.power_w(START), HOUSEHOLD.power_w(START.replace(minute=21)))
    assert interval is not None and interval.energy_import_kwh is not None
    frames = capture.stop()
    assert strangers(frames) == []
    sent = asked(frames, ours)
    assert [to for to, _ in sent if to != theirs] == ["ff02::1"]
    assert {payload[10] for _, payload in sent} == {0x61, 0x62}
    assert [payload[12] for _, payload in sent if payload[10] == 0x61] == [0xE5]
    assert len(sent) > 5


async def test_the_capture_sees_what_should_not_be_there(link: Street) -> None:
    """The control of T-LL: IPv4, another port, a routable address."""
    for number, side in enumerate((link.home, link.grid), 1):
        side.ip("addr", "add", f"192.0.2.{number}/24", "dev", "wl")
        side.ip("addr", "add", f"2001:db8::{number}/64", "dev", "wl", "nodad")
    capture = link.capture()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"x", ("192.0.2.2", 3610))
    with link.socket(link.home) as plain:
        plain.sendto(b"x", (link.address(link.grid), 1900))
        plain.sendto(b"x", ("2001:db8::2", 3610))
    found = set(strangers(capture.stop()))
    assert {"ethertype 0806", "protocol 17"} <= found
    assert any(each.startswith("from 2001:db8::1") for each in found)


async def test_a_second_meter_and_forged_sources_change_nothing(link: Street) -> None:
    """T-PEERPIN: packets of another node of the link and routable ones in the meter's name, dropped and counted."""
    theirs = link.address(link.grid)
    link.grid.ip("addr", "add", "fe80::bad/64", "dev", "wl", "nodad", "preferred_lft", "0")
    link.grid.ip("addr", "add", "2001:db8::2/64", "dev", "wl", "nodad")
    announcement = bytes.fromhex("1081000102880105FF017301E704000F423F")
    async with meter_there(link), connect() as meter:
        await meter.online()
        heard = []

        async def listen() -> None:
            async for notification in meter.notifications():
                heard.append(notification)  # noqa: PERF401 - it never ends

        listening = asyncio.create_task(listen())
        ours, gate = link.address(link.home), meter._session.gate
        with link.socket(link.grid, "fe80::bad") as second, link.socket(link.grid, "2001:db8::2") as routable:
            for _ in range(5):
                second.sendto(announcement, (ours, 3610))
                second.sendto(announcement, ("ff02::1", 3610))
                routable.sendto(announcement, (ours, 3610))
        await until(lambda: gate.dropped["sender"] == 10)
        assert meter._port.dropped == {"not of this link": 5}  # type: ignore[attr-defined]
        assert heard == []
        with link.socket(link.grid, theirs) as real:
            real.sendto(announcement, (ours, 3610))
        await until(lambda: heard)  # the control
        assert (await meter.read_live(energy=False)).power_w != 999_999
        assert gate.peer == full(theirs)
        listening.cancel()


class House:
    """The meter's domain, supervised as in the daemon, and what it tells."""

    def __init__(self, directory: Path) -> None:
        hub = Hub(ROUTES_6_4_3)
        self._seat = hub.seat(Domain.OPERATOR)
        settings = MeterTable(interface="wl", live_s=1)
        self._domain = MeterDomain(settings, directory, hub, {})

    async def run(self) -> None:
        domain = self._domain
        await supervise(
            "meter", domain.run, kind_of, on_failure=domain.failed, sooner=domain.sooner, chance=lambda: 1.0
        )

    async def tells(self, **wanted: object) -> MeterStatus:
        async with asyncio.timeout(20):
            async for message in self._seat.messages():
                if isinstance(message, MeterStatus) and all(getattr(message, k) == v for k, v in wanted.items()):
                    return message
        raise AssertionError

    async def reads(self) -> MeterReading:
        async with asyncio.timeout(20):
            async for message in self._seat.messages():
                if isinstance(message, MeterReading) and message.power_w is not None:
                    return message
        raise AssertionError


async def test_it_comes_back_with_its_interface(
    link: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off, without a link, removed and made anew: told with its reason, and online again without a delay."""
    monkeypatch.setattr("hemsd.daemon.supervision.FIRST_DELAY_S", 60.0)  # so that no retry hides what is awaited
    house = House(tmp_path)
    running = asyncio.create_task(house.run())
    async with meter_there(link):
        await house.reads()
        for side, reason in ((link.home, "switched off"), (link.grid, "no link")):
            side.ip("link", "set", "wl", "down")
            assert reason in (await house.tells(online=False)).detail
            link.up()
            await house.tells(online=True)
            await house.reads()
    link.home.ip("link", "del", "wl")
    assert "went away" in (await house.tells(online=False)).detail
    link.join()
    async with meter_there(link):
        await house.tells(online=True)
        await house.reads()
    running.cancel()
    await asyncio.wait([running])


async def test_the_command_reads_and_scans_it(link: Street, tmp_path: Path) -> None:
    """`--interface` in place of --port and --credentials; recording is told to be tcpdump's business."""
    places = {name: str(tmp_path / name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME")}
    environment = {**places, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    options = {"env": environment, "directory": tmp_path}
    theirs = full(link.address(link.grid))
    async with meter_there(link):
        read = await hemsd("read", "--interface", "wl", "--json", **options)
        scan = await hemsd("scan", "--interface", "wl", **options)
        scanned = await hemsd("scan", "--interface", "wl", "--json", **options)
        port = open_udp("wl")
        busy = await hemsd("read", "--interface", "wl", **options)
        await port.close()
    nobody = await hemsd("read", "--interface", "wl", "--timeout", "0.5", **options)
    record = await hemsd("record", "x.txt", "--interface", "wl", **options)
    both = await hemsd("read", "--interface", "wl", "--port", "/dev/ttyUSB0", **options)
    told = json.loads(read.out)
    assert (read.code, read.err) == (Exit.READ, "")
    assert told["power_w"] is not None
    assert (told["meter"]["generation"], told["link"]["channel"]) == (2, None)
    assert (scan.code, scan.out) == (Exit.READ, f"meter at {theirs}\n")
    assert json.loads(scanned.out)["pans"][0]["address"] == theirs
    assert (busy.code, "in use: held by" in busy.err) == (Exit.PORT, True)
    assert (record.code, "tcpdump -i wl" in record.err) == (Exit.USAGE, True)
    assert (both.code, "not allowed with" in both.err) == (Exit.USAGE, True)
    assert nobody.code == Exit.TIMEOUT
