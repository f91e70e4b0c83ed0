"""T-FWDWATCH: the whole daemon on a real link, while somebody makes of its machine a router, a proxy or a bridge."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.netns import Namespace, Street, run, street
from support.parts import house
from support.running import Daemon, network

from hemsd.hub.messages import Domain, Event, IsolationStatus, MeterStatus

pytestmark = pytest.mark.needs("ip", "root")

WITHIN_S = 5.0  # less than the watch waits where the kernel tells it nothing
GET = bytes.fromhex("1081000105ff010ef0016201d600")  # the instance list of its node profile

BREACHES = {  # what is done, how it is undone, and a word of what is said
    "forwarding": ("sysctl -q -w net.ipv4.ip_forward=1", "sysctl -q -w net.ipv4.ip_forward=0", "IPv4 packets"),
    "forwarding of IPv6": (
        "sysctl -q -w net.ipv6.conf.all.forwarding=1",
        "sysctl -q -w net.ipv6.conf.all.forwarding=0",
        "IPv6 packets",
    ),
    "a neighbour proxy": (
        "sysctl -q -w net.ipv6.conf.wl.proxy_ndp=1",
        "sysctl -q -w net.ipv6.conf.wl.proxy_ndp=0",
        "proxy NDP",
    ),
    "a bridge": ("ip link set wl master br0", "ip link set wl nomaster", "bridge br0"),
    "a default route": ("ip route add default dev wl", "ip route del default dev wl", "the default route"),
}


@pytest.fixture
def link() -> Iterator[Street]:
    with street() as built:
        built.home.ip("link", "add", "br0", "type", "bridge")
        yield built


def do(command: str, host: Namespace) -> None:
    host.run(*command.split())


async def told(home: Daemon, kind: str, word: str = "") -> Event:
    """The event of that kind, which has to come while the kernel alone can have told of it."""
    async with asyncio.timeout(WITHIN_S):
        return await home.hears(Event, lambda event: event.kind == kind and word in event.text)


async def standing(home: Daemon, *, breached: bool) -> IsolationStatus:
    async with asyncio.timeout(WITHIN_S):
        return await home.hears(IsolationStatus, lambda status: bool(status.breaches) is breached)


async def answers(built: Street) -> bool:
    """Whether hemsd's own node answers to the other end of the link, or the kernel says that nobody is there."""
    with built.grid.entered():
        asking = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        scope = socket.if_nametoindex("wl")
    with asking:
        asking.setblocking(False)
        asking.bind(("::", 3610))
        asking.connect((built.address(built.home), 3610, 0, scope))
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    asking.send(GET)
                    await asyncio.sleep(0.01)
                    if asking.recv(1500)[4:7] == bytes.fromhex("0ef001"):
                        return True
                except BlockingIOError:
                    continue
                except ConnectionRefusedError:
                    return False


async def status(directory: Path, *options: str) -> str:
    command = [sys.executable, "-m", "hemsd", "status", "--config", str(directory / "hemsd.toml"), *options]
    asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    return (await asked.communicate())[0].decode()


async def test_each_breach_is_told_and_so_is_its_end(link: Street, tmp_path: Path) -> None:
    """degrade: an event and a status that say what to do, in `hemsd status` too; appliances are served as ever."""
    home = Daemon(tmp_path, network("home", "wl"))
    async with home.running():
        first = await standing(home, breached=False)
        assert (first.source, first.interface) == (Domain.APPLIANCES, "wl")
        for breach, undo, word in BREACHES.values():
            home.heard.clear()
            do(breach, link.home)
            event = await told(home, "isolation.breach", word)
            assert event.source is Domain.APPLIANCES and event.severity == "error"
            broken = await standing(home, breached=True)
            assert word in broken.breaches[0].text and not broken.refused
            if "br0" not in breach:  # a port of a bridge hears no IP, whoever listens
                assert await answers(link)
            home.heard.clear()
            do(undo, link.home)
            await told(home, "isolation.restored")
            await standing(home, breached=False)
        do("sysctl -q -w net.ipv4.ip_forward=1", link.home)
        await told(home, "isolation.breach")
        assert "wl          not kept apart\n" in await status(tmp_path)
        (listed,) = json.loads(await status(tmp_path, "--json"))["isolation"]
        assert (listed["interface"], listed["breaches"][0]["requirement"]) == ("wl", "R43")


async def test_refuse_stays_away_until_it_is_over(link: Street, tmp_path: Path) -> None:
    """Nothing is taken on that interface or sent over it meanwhile; before and after it is."""
    home = Daemon(tmp_path, network("home", "wl") + '[isolation]\non_breach = "refuse"\n')
    async with home.running():
        await standing(home, breached=False)
        assert await answers(link)
        do("sysctl -q -w net.ipv4.ip_forward=1", link.home)
        assert (await standing(home, breached=True)).refused
        async with asyncio.timeout(WITHIN_S):
            while await answers(link):  # it stops at once; a frame may be under way
                await asyncio.sleep(0.01)
        watching = link.capture()
        for _ in range(20):
            assert not await answers(link)
        assert [
            frame for frame in watching.stop() if frame[6:12] == bytes.fromhex("020000000001") and is_ours(frame)
        ] == []
        do("sysctl -q -w net.ipv4.ip_forward=0", link.home)
        await standing(home, breached=False)
        async with asyncio.timeout(WITHIN_S):
            while not await answers(link):
                await asyncio.sleep(0.01)


def is_ours(frame: bytes) -> bool:
    """Whether it is ECHONET Lite over IPv6 that the home's side sent from its port."""
    return (
        frame[6:12] == bytes.fromhex("020000000001")
        and frame[12:14] == b"\x86\xdd"
        and frame[20] == 17
        and frame[54:56] == (3610).to_bytes(2, "big")
    )


async def test_what_is_wrong_at_the_start_keeps_the_meter_alone(link: Street, tmp_path: Path) -> None:
    """refuse, with the meter on that interface: nothing is sent to it, and the status of the meter says why."""
    do("sysctl -q -w net.ipv4.ip_forward=1", link.home)
    home = Daemon(tmp_path, '[isolation]\non_breach = "refuse"\n')
    (tmp_path / "hemsd.toml").write_text(
        (tmp_path / "hemsd.toml").read_text().replace('meter.port = "/dev/hemsd-test-none"', 'meter.interface = "wl"')
    )
    watching = link.capture()
    async with home.running():
        away = await home.hears(MeterStatus, lambda status: not status.online and "not kept apart" in status.detail)
        assert away.stage == "waiting" and "sysctl net.ipv4.ip_forward=0" in away.detail
        broken = await standing(home, breached=True)
        assert (broken.source, broken.breaches[0].requirement) == (Domain.ROUTEB, "R52")
        assert not any(map(is_ours, watching.seen()))
        do("sysctl -q -w net.ipv4.ip_forward=0", link.home)
        await told(home, "isolation.restored")
        async with asyncio.timeout(WITHIN_S):
            while not any(map(is_ours, watching.seen())):
                await asyncio.sleep(0.01)
    watching.stop()


async def test_each_process_watches_its_own(link: Street, tmp_path: Path) -> None:
    """The meter's process keeps from the meter's interface by itself; the house hears of it by way of the hub."""
    more = 'interface = "wl"\n[isolation]\non_breach = "refuse"\n'
    async with house(tmp_path, "auto", more) as home:
        for part in ("hub", "routeb"):
            await home.start(part, on=link.home)
        await home.hears(IsolationStatus, lambda status: not status.breaches)
        do("sysctl -q -w net.ipv6.conf.all.forwarding=1", link.home)
        broken = await home.hears(IsolationStatus, lambda status: status.breaches)
        assert (broken.source, broken.refused) == (Domain.ROUTEB, True)
        await home.hears(MeterStatus, lambda status: "not kept apart" in status.detail)
        watching = link.capture()
        do("sysctl -q -w net.ipv6.conf.all.forwarding=0", link.home)
        await home.hears(Event, lambda event: event.kind == "isolation.restored")
        async with asyncio.timeout(WITHIN_S):
            while not any(map(is_ours, watching.seen())):
                await asyncio.sleep(0.01)
        watching.stop()


@pytest.mark.needs("nft")
async def test_a_machine_that_has_to_forward_can_be_green(link: Street, tmp_path: Path) -> None:
    """`hemsd firewall apply` ends the breach while forwarding stays on; removing it begins it again."""
    do("sysctl -q -w net.ipv4.ip_forward=1", link.home)
    home = Daemon(tmp_path, network("home", "wl") + '[lan]\ninterface = "lo"\n')
    async with home.running():
        await standing(home, breached=True)
        for action, breached in (("apply", False), ("remove", True)):
            home.heard.clear()
            await asyncio.to_thread(
                run, sys.executable, "-m", "hemsd", "firewall", action, "--config", str(tmp_path / "hemsd.toml")
            )
            do(
                "ip link set br0 up" if action == "apply" else "ip link set br0 down", link.home
            )  # so that it looks now
            await standing(home, breached=breached)
