"""T-LL (G.9958: R50, R54, D8): on the meter's link we speak link-local IPv6, UDP 3610, and nothing else.

More of it in tests/routeb/test_ip_link.py, with what a capture finds of others.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest
from support.worlds import NAMES, House, Probe, Worlds, address, outcomes

from hemsd.hub.messages import (
    ApplianceStatus,
    Domain,
    MeterReading,
    MeterStatus,
    ReadMeter,
    UserRequest,
    UserResponse,
)

pytestmark = pytest.mark.needs("ip", "root", "mosquitto")

OTHER = ReadMeter(request="tell", asker=Domain.OPERATOR, epcs=(0xE0, 0x97, 0x98, 0xEA))


def foreign(frames: list[bytes], ours: str, mac: bytes) -> Iterator[str]:
    """What we sent that has no business on the link to a meter."""
    for frame in frames:
        kind, packet = frame[12:14], frame[14:]
        if frame[6:12] != mac:
            continue
        if kind != b"\x86\xdd":
            yield f"ethertype {kind.hex()}"
            continue
        source, destination = (ipaddress.IPv6Address(packet[at : at + 16]) for at in (8, 24))
        protocol, body = packet[6], packet[40:]
        if protocol in (0, socket.IPPROTO_ICMPV6):  # neighbours, and groups behind a hop-by-hop header
            continue
        ports = tuple(int.from_bytes(body[at : at + 2], "big") for at in (0, 2))
        if protocol != socket.IPPROTO_UDP or ports != (3610, 3610) or body[8:10] != b"\x10\x81":
            yield f"protocol {protocol}, ports {ports}: {body[8:].hex()}"
        if str(source) != ours or not destination.is_link_local:
            yield f"from {source} to {destination}"


def mac_of(worlds: Worlds) -> bytes:
    """The MAC address of our end of the meter's link, of which its link-local address is made (RFC 4291)."""
    identifier = ipaddress.IPv6Address(worlds.link_local("meter", ours=True)).packed[8:]
    return bytes([identifier[0] ^ 0x02]) + identifier[1:3] + identifier[5:]


async def test_the_daemon_sends_nothing_else_to_the_meter(house: House) -> None:
    """Through readings, questions, orders to appliances and MQTT; though the interface has other addresses too."""
    worlds = house.worlds
    await house.hears(MeterStatus, lambda status: status.online)
    await house.hears(ApplianceStatus, lambda status: status.online and status.known)
    capture = worlds.capture("meter")
    await house.hears(MeterReading, lambda reading: reading.power_w is not None, OTHER, count=5)
    asked = UserRequest(request="all", asker=Domain.OPERATOR, operation="get", target=address("home", ours=False))
    await house.hears(UserResponse, lambda answer: answer.request == "all", asked)
    frames, ours, mac = capture.stop(), worlds.link_local("meter", ours=True), mac_of(worlds)
    assert list(foreign(frames, ours, mac)) == []
    assert sum(frame[6:12] == mac for frame in frames) >= 4
    assert not any(frame[12:14] == b"\x08\x00" for frame in frames)


def test_the_check_finds_what_else_is_sent(worlds: Worlds) -> None:
    """The deliberate breaches: IPv4, another port, a routable address, no frame."""
    capture = worlds.capture("meter")
    link_local = worlds.link_local("meter", ours=False)
    with worlds.us.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four:
        four.sendto(b"x", (address("meter", ours=False), 3610))
    with worlds.us.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        index = socket.if_nametoindex("meter")
        for to, scope in ((link_local, index), (address("meter", ours=False, version="6"), 0)):
            six.sendto(b"x", (to, 3610, 0, scope))
    outcomes(worlds, (), [Probe("meter", "icmp6", address("meter", ours=True, version="6"))])
    found = list(foreign(capture.stop(), worlds.link_local("meter", ours=True), mac_of(worlds)))
    assert "ethertype 0800" in found
    assert sum(each.startswith("protocol 17") for each in found) == 2
    assert any("to fd00:10::2" in each for each in found)


async def test_there_is_no_ipv4_for_the_meter_to_speak_to(house: House) -> None:
    """UDP 3610 over IPv4 is refused on the meter's link, at every address of ours (IPV6_V6ONLY)."""
    await house.hears(MeterReading)
    probes = [Probe("meter", "udp4", address(name, ours=True), 3610) for name in NAMES]
    found = outcomes(house.worlds, probes, [Probe("meter", "icmp4", address("meter", ours=True))])
    assert set(found.values()) == {"refused"}
