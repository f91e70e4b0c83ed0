"""T-ONELINK (G.9958: R12, R13, R20, R21, R35, R42): meter and appliances are spoken with over one hop and no more."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from support.worlds import WITHIN_S, House, Worlds, address

from hemsd.hub.messages import (
    ApplianceStatus,
    Domain,
    Health,
    MeterReading,
    UserRequest,
    UserResponse,
)

pytestmark = pytest.mark.needs("ip", "root", "mosquitto")

ANNOUNCED = bytes.fromhex("1081000102880105FF017301E704000F423F")


def hops(frames: list[bytes], ours: set[str]) -> Iterator[int]:
    """The hop limits of what we sent as UDP."""
    for frame in frames:
        kind, packet = frame[12:14], frame[14:]
        if kind == b"\x86\xdd" and packet[6] == socket.IPPROTO_UDP:
            if str(ipaddress.ip_address(packet[8:24])) in ours:
                yield packet[7]
        elif kind == b"\x08\x00" and packet[9] == socket.IPPROTO_UDP and socket.inet_ntoa(packet[12:16]) in ours:
            yield packet[8]


async def test_what_we_send_cannot_leave_the_link(house: House) -> None:
    """Readings, orders, questions to all: everything on both links has a hop limit of 1."""
    await house.hears(ApplianceStatus, lambda status: status.online and status.known)
    captures = {name: house.worlds.capture(name) for name in ("meter", "home")}
    ours = {name: {address(name, ours=True), house.worlds.link_local(name, ours=True)} for name in captures}
    await house.hears(MeterReading, count=2)
    asked = UserRequest(request="hops", asker=Domain.OPERATOR, operation="get", target=address("home", ours=False))
    async with asyncio.timeout(WITHIN_S):  # what is asked may be told by an answer to what left before
        while not all(any(hops(capture.seen(), ours[name])) for name, capture in captures.items()):
            await house.hears(UserResponse, lambda answer: answer.request == "hops" and answer.last, asked)
    assert {name: set(hops(capture.stop(), ours[name])) for name, capture in captures.items()} == {
        "meter": {1},
        "home": {1},
    }


def test_the_check_finds_a_socket_that_sends_farther(worlds: Worlds) -> None:
    """The deliberate breach: a plain socket's datagrams go on for 64 hops, or as many as routers are told."""
    capture = worlds.capture("home")
    with worlds.us.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(ANNOUNCED, (address("home", ours=False), 4610))
    assert set(hops(capture.stop(), {address("home", ours=True)})) == {64}


async def test_who_is_not_of_the_link_is_dropped_and_counted(house: House) -> None:
    """A routable IPv6 source on the meter's link, an IPv4 source of no subnet on the appliances'."""
    worlds = house.worlds
    before = (await house.status()).radio.dropped
    with worlds.socket("meter", socket.AF_INET6, address("meter", ours=False, version="6")) as routable:
        for _ in range(5):
            routable.sendto(ANNOUNCED, (address("meter", ours=True, version="6"), 3610))
    reason = "not of this link"
    status = await house.status(lambda status: status.radio.dropped.get(reason, 0) == before.get(reason, 0) + 5)
    assert status.online
    reading = await house.hears(MeterReading, lambda reading: reading.power_w is not None)
    assert reading.power_w != 999_999
    known = Counter((await house.hears(Health, lambda health: health.source is Domain.APPLIANCES, count=2)).counters)
    worlds.others["home"].ip("address", "replace", "10.9.9.9/32", "dev", "wl")
    with worlds.socket("home", source="10.9.9.9") as foreign:
        for _ in range(5):
            foreign.sendto(ANNOUNCED, (address("home", ours=True), 3610))
    dropped = f"home: dropped: {reason}"
    after = await house.hears(Health, lambda health: health.counters.get(dropped, 0) == known[dropped] + 5)
    assert after.counters.get("home: meter", 0) == known["home: meter"]  # it was not even looked into
    worlds.others["home"].ip("address", "del", "10.9.9.9/32", "dev", "wl")
