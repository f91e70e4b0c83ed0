"""T-NOFWD (G.9958: R14, R29, R36, R43, R52): nothing gets from one world to another through us."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.worlds import ECHO_PORT, KINDS, NAMES, House, Probe, Worlds, address, outcomes

from hemsd.hub.messages import Health

pytestmark = pytest.mark.needs("ip", "root", "mosquitto")

MARK = b"MARKED-BY-A-TEST"


def across() -> Iterator[Probe]:
    """From each world to each other one, in every way."""
    for link in NAMES:
        for other in NAMES:
            if other != link:
                for kind in KINDS:
                    yield Probe(link, kind, address(other, ours=False, version=kind[-1]))


def to_us() -> Iterator[Probe]:
    """The control: our own address on the link answers an echo request."""
    for link in NAMES:
        for kind in ("icmp4", "icmp6"):
            yield Probe(link, kind, address(link, ours=True, version=kind[-1]))


async def test_nobody_gets_through_us(house: House) -> None:
    """TCP, UDP and ICMP over IPv4 and IPv6, all six ways, while the daemon serves all three worlds."""
    await house.hears(Health)
    found = outcomes(house.worlds, across(), to_us())
    assert len(found) == 36
    assert [probe for probe, outcome in found.items() if outcome == "reached"] == []


def test_the_check_finds_it_when_the_kernel_forwards(worlds: Worlds) -> None:
    """The deliberate breach: with forwarding switched on everybody reaches everybody."""
    worlds.forwarding(on=True)
    try:
        found = outcomes(worlds, (), across())
    finally:
        worlds.forwarding(on=False)
    assert found == {}  # all of them were controls, and got through


async def test_no_frame_is_relayed(house: House) -> None:
    """What appliances and gateway send us, of any kind, appears on no other link; nor what the meter sends."""
    await house.hears(Health)
    captures = {name: house.worlds.capture(name) for name in NAMES}
    frames = [
        MARK,
        bytes.fromhex("1081000105FF010288016202E700F010") + MARK,  # to a meter
        bytes.fromhex("10810001013001 05FF01 73 01 B310".replace(" ", "")) + MARK,
        bytes.fromhex("1081000105FF010EF0016101D610") + MARK,
        b"\x10\x82\x00\x01" + MARK,
    ]
    for name in NAMES:
        group = socket.AF_INET, address(name, ours=True), "224.0.23.0"
        group6 = socket.AF_INET6, address(name, ours=True, version="6"), "ff02::1"
        for family, unicast, to_all in (group, group6):
            with house.worlds.socket(name, family) as plain:
                for frame in frames:
                    for to in (unicast, to_all):
                        plain.sendto(name.encode() + frame, (to, 3610))
                        plain.sendto(frame + name.encode(), (to, 3610))
    outcomes(house.worlds, (), to_us())  # so long it took at most
    seen = {name: captures[name].stop() for name in NAMES}
    for name, there in seen.items():
        assert {origin for origin in NAMES for frame in there if marked(frame, origin)} == {
            name
        }  # its own: the control


def marked(frame: bytes, origin: str) -> bool:
    return MARK in frame and origin.encode() in frame


async def test_the_check_finds_it_when_something_is_relayed(worlds: Worlds) -> None:
    """The deliberate breach: a program between the worlds that passes on what it hears."""
    with worlds.us.entered():
        relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with relay:
        relay.bind(("0.0.0.0", 4610))
        relay.settimeout(5)
        capture = worlds.capture("meter")
        with worlds.socket("home") as plain:
            plain.sendto(MARK + b"home", (address("home", ours=True), 4610))
        relay.sendto(relay.recv(2048), (address("meter", ours=False), ECHO_PORT))
        outcomes(worlds, (), to_us())
        assert any(marked(frame, "home") for frame in capture.stop())
