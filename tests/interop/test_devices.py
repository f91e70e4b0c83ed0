"""Devices of npm's echonet-lite and of PyPI's uecho on hosts of their own: found, read and set by our network.

What each does wrong is stated with the frame that shows it, and what we make of it. Both are pinned, so that a fault
that is mended in a newer release is seen here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from support.drivers import until
from support.netns import Namespace, Segment, segment
from support.peers import Home, Peer, at_home, peer

pytestmark = [pytest.mark.needs("ip", "root", "node", "echonet-lite"), pytest.mark.asyncio(loop_scope="module")]

NPM, UECHO = Segment.address(2), Segment.address(3)
AIRCON, LIGHT, BATTERY = 0x013001, 0x029001, 0x027D01
INF_REQ, INF, SET_RES, GET_RES, SETI_SNA = 0x63, 0x73, 0x71, 0x72, 0x50


@dataclass
class House:
    home: Home
    npm: Peer
    uecho: Peer
    uecho_host: Namespace


def epcs(frame: bytes) -> list[int]:
    """Of the properties of a frame, in their order; from its ESV on."""
    found, at = [], 2
    for _ in range(frame[1]):
        found.append(frame[at])
        at += 2 + frame[at + 1]
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    """We and two nodes on one segment."""
    with segment() as lan:
        ours, npm_host, uecho_host = lan.hosts(3)
        with ours.entered():
            async with (
                peer(uecho_host, "uecho_device.py") as uecho,
                at_home(ours) as home,
                peer(npm_host, "echonet_lite_devices.js", NPM) as npm,
            ):
                yield House(home, npm, uecho, uecho_host)


async def test_echonet_lite_is_found(house: House) -> None:
    """By its announcement, for it answers no INF_REQ; it sends from a port of its own."""
    home = house.home
    for eoj, kind in ((AIRCON, "0130"), (LIGHT, "0290"), (BATTERY, "027d")):
        found = await home.finds(eoj, NPM)
        assert found.id.startswith(f"{kind}-")
        assert (found.device.maker, found.device.release) == ("000077", "P")
    assert {0xE4, 0xEC, 0xDA} <= found.device.readable  # its map is one of bits
    ports = {packet.port for packet in home.network.heard if packet.address == NPM}
    assert ports == {23610}
    asked = {packet.payload[2:4] for packet in home.network.said if packet.payload[10] == INF_REQ}
    assert asked and not asked & {packet.payload[2:4] for packet in home.network.heard if packet.address == NPM}


async def test_echonet_lite_is_read(house: House) -> None:
    """Values in the common language; it answers in another order than it was asked."""
    home = house.home
    aircon, light, battery = [await home.finds(eoj, NPM) for eoj in (AIRCON, LIGHT, BATTERY)]
    words = {"on": True, "mode": "cool", "target_temperature_c": 27, "room_temperature_c": 28}
    assert await home.reads(aircon, *words) == words
    assert await home.reads(light, "on", "brightness_percent") == {"on": True, "brightness_percent": 50}
    words = {"soc_percent": 50, "energy_import_kwh": 123.456, "mode": "standby", "activity": "standby"}
    assert await home.reads(battery, *words) == words
    asked = await home.asks(battery, 0xE4, 0xDA, 0x80, 0xA8)
    assert asked == {0xE4: "32", 0xDA: "44", 0x80: "30", 0xA8: "0001e240"}
    assert [0x80, 0xE4, 0xDA, 0xA8] in [epcs(frame) for frame in home.frames(NPM, BATTERY) if frame[0] == GET_RES]


async def test_echonet_lite_is_one_node(house: House) -> None:
    """Although it speaks by IPv6 as well, from another port each time."""
    home = house.home

    def addresses() -> list[str]:
        found: list[list[str]] = [node["addresses"] for node in home.network.remember()["nodes"]]
        return next((each for each in found if NPM in each and len(each) == 2), [])

    (other,) = [address for address in await home.until(addresses) if address != NPM]
    assert len({packet.port for packet in home.network.heard if packet.address == other}) > 1
    assert len([each for each in home.network.appliances() if each.device.maker == "000077"]) == 3


async def test_echonet_lite_tells_what_a_person_did(house: House) -> None:
    """A change at the device arrives by its announcement and is told apart from ours."""
    home = house.home
    aircon = await home.finds(AIRCON, NPM)
    await home.reads(aircon, "fan")
    await house.npm.does("by_hand", "013001", "a0", "33")
    told = await home.until(lambda: home.by_hand(aircon, 0xA0))
    assert told.properties[0xA0] == b"\x33"


async def test_echonet_lite_is_set(house: House) -> None:
    """An air conditioner and a battery do as told, although they announce it before they confirm it."""
    home = house.home
    aircon, battery = [await home.finds(eoj, NPM) for eoj in (AIRCON, BATTERY)]
    before = len(home.frames(NPM, AIRCON))
    heated, charged = await asyncio.gather(
        home.sets(aircon, mode="heat", target_temperature_c=22),
        home.sets(battery, mode="charge", charge_power_w=1500),
    )
    assert (heated.outcome, heated.read_back[0xB0], heated.read_back[0xB3]) == ("applied", b"\x43", b"\x16")
    assert charged.outcome == "applied", charged
    assert [await house.npm.does("value", "013001", epc) for epc in ("b0", "b3")] == ["43", "16"]
    assert [await house.npm.does("value", "027d01", epc) for epc in ("da", "c1", "eb")] == ["42", "03", "000005dc"]
    said = [frame[0] for frame in home.frames(NPM, AIRCON)[before:] if frame[2] == 0xB0]
    assert said[:2] == [INF, SET_RES]


async def test_echonet_lite_refuses(house: House) -> None:
    """What is in its set map and not on the device is refused by it; what is not in the map is not sent at all."""
    home = house.home
    aircon = await home.finds(AIRCON, NPM)
    refused = await home.sets(aircon, **{"0xA5": "41"})
    assert (refused.outcome, refused.error) == ("rejected", "device_refused")
    before = len(house.npm.said)
    unsent = await home.sets(aircon, **{"0xBB": "14"})  # it would accept that, too
    assert (unsent.outcome, unsent.error) == ("refused", "not_settable")
    assert not any("set" in line for line in house.npm.said[before:])


async def test_echonet_lite_forgets(house: House) -> None:
    """Its light confirms and stays as it is: accepted, but not applied."""
    light = await house.home.finds(LIGHT, NPM)
    dimmed = await house.home.sets(light, brightness_percent=70)
    assert (dimmed.outcome, dimmed.read_back[0xB0]) == ("unverified", b"\x32")


async def test_echonet_lite_breaks_a_frame(house: House) -> None:
    """Its refusal of more than one byte ends before its end: counted, and whatever comes next is understood."""
    home = house.home
    aircon = await home.finds(AIRCON, NPM)
    before = home.network.counters()["malformed"]
    ordered = asyncio.create_task(home.sets(aircon, **{"0xCF": "0102"}))
    await house.npm.says(lambda line: line.get("to") == {"cf": "0102"})
    await house.npm.does("by_hand", "013001", "a0", "35")
    await home.until(lambda: home.known[aircon.id][0xA0] == b"\x35")
    assert home.network.counters()["malformed"] == before + 1
    assert not ordered.done()  # it is never sent twice, and its outcome takes the 20 s of a device that says nothing
    ordered.cancel()


async def test_uecho_is_found_and_read(house: House) -> None:
    """It announces nothing and answers the multicast; the count of any long map is 16; some values are missing."""
    home = house.home
    aircon = await home.finds(AIRCON, UECHO)
    assert (aircon.device.maker, aircon.device.release) == ("FFFFFF", "J")
    words = {"on": False, "mode": "auto", "target_temperature_c": 25, "room_temperature_c": 23}
    assert await home.reads(aircon, *words) == words
    assert {packet.port for packet in home.network.heard if packet.address == UECHO} == {3610}
    (get_map,) = [frame for frame in home.frames(UECHO, AIRCON) if frame[2:4] == b"\x9f\x11"]
    assert get_map[4] == 16 and sum(map(int.bit_count, get_map[5:])) == len(aircon.device.readable) == 53
    assert await home.asks(aircon, 0x84, 0xB0) == {0x84: "absent", 0xB0: "41"}
    assert any(frame[0] == GET_RES and b"\x84\x00" in frame for frame in home.frames(UECHO, AIRCON))


async def test_uecho_is_set(house: House) -> None:
    """It does as told without announcing it; its refusal of a SetC is that of a SetI (50), and is one."""
    home = house.home
    aircon = await home.finds(AIRCON, UECHO)
    switched = await home.sets(aircon, on=True, mode="heat")
    assert (switched.outcome, switched.read_back[0x80], switched.read_back[0xB0]) == ("applied", b"\x30", b"\x43")
    assert [await house.uecho.does("value", epc) for epc in (0x80, 0xB0)] == ["30", "43"]
    refused = await home.sets(aircon, fan="auto")
    assert (refused.outcome, refused.error) == ("rejected", "device_refused")
    assert bytes((SETI_SNA, 1, 0xA0, 1, 0x41)) in home.frames(UECHO, AIRCON)


async def test_uecho_goes_deaf(house: House) -> None:
    """What is no frame ends its listening. A question meanwhile is asked again until it was started anew."""
    home = house.home
    aircon = await home.finds(AIRCON, UECHO)
    with house.uecho_host.entered():
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        for address in (UECHO, Segment.address(1)):
            stranger.sendto(b"\x10\x82no frame", (address, 3610))
    await home.until(lambda: home.network.counters()["malformed"] or home.network.counters()["unknown"])
    before = len(home.network.said)
    asked = asyncio.create_task(home.asks(aircon, 0xB2))
    await until(lambda: len([each for each in home.network.said[before:] if each.payload[12:] == b"\xb2\x00"]) == 2)
    await house.uecho.stop()
    async with peer(house.uecho_host, "uecho_device.py"):
        assert await asked == {0xB2: "42"}
