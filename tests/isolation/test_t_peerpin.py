"""T-PEERPIN (G.9958: R16, R53): the meter is the one that was joined, and nobody else can speak in its name."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.wired import Wired
from support.worlds import House, address

from hemsd.echonet.exchange import Missing, Notification, Request
from hemsd.hub.messages import ApplianceStatus, Domain, Health, MeterReading
from hemsd.routeb.gate import Gate
from hemsd.simulator import Fault, Flaw
from hemsd.simulator.radio import Datagram

FORGED = bytes.fromhex("1081000102880105FF017301E704000F423F")  # 999 999 W


@pytest.mark.needs("ip", "root", "mosquitto")
async def test_a_second_meter_and_spoofed_sources_are_dropped_and_counted(house: House) -> None:
    """Another node on the meter's link, to us and to all, is counted as that; the readings are the meter's."""
    worlds = house.worlds
    before = (await house.status()).radio
    worlds.others["meter"].ip("address", "replace", "fe80::bad/64", "dev", "wl", "nodad", "preferred_lft", "0")
    with worlds.socket("meter", socket.AF_INET6, "fe80::bad") as second:
        for to in (worlds.link_local("meter", ours=True), "ff02::1"):
            for _ in range(5):
                second.sendto(FORGED, (to, 3610, 0, second.getsockname()[3]))
    expected = before.dropped.get("sender", 0) + 10
    status = await house.status(lambda status: status.radio.dropped.get("sender") == expected)
    assert status.online and status.radio.sessions == before.sessions
    for _ in range(2):
        reading = await house.hears(MeterReading, lambda reading: reading.power_w is not None)
        assert reading.power_w != 999_999


@pytest.mark.needs("ip", "root", "mosquitto")
async def test_an_appliance_cannot_speak_as_the_meter(house: House) -> None:
    """Frames of class 0288 on the appliances' network: dropped, counted, told; no reading, and no new appliance."""
    before = (await house.status()).radio
    known = await house.hears(Health, lambda health: health.source is Domain.APPLIANCES, count=2)
    expected = known.counters.get("home: meter", 0) + 10
    with house.worlds.socket("home") as appliance:
        for to in (address("home", ours=True), "192.168.20.255"):
            for _ in range(5):
                appliance.sendto(FORGED, (to, 3610))
        told = await house.hears(Health, lambda health: health.counters.get("home: meter", 0) == expected)
    assert told.ok
    status = await house.status(lambda status: True)
    assert (status.online, status.radio.dropped) == (True, before.dropped)
    reading = await house.hears(MeterReading, lambda reading: reading.power_w is not None)
    assert reading.power_w != 999_999
    known = await house.hears(ApplianceStatus)
    assert known.kind != "low_voltage_smart_electric_energy_meter"
    assert "speaks as a smart meter on the appliances' network" in house.log


def overheard(bench: Wired, payload: bytes, *, sender: str | None = None, **how: Any) -> None:
    """The module prints a datagram from the air; without a sender it is the meter's own."""
    air, network = bench.module.air, bench.module.air.network
    if sender is not None:
        air.network = network.exchanged(sender)
    bench.module.datagram(Datagram(**{"to": "", "port": 3610, "secured": True, "payload": payload, "lqi": 200} | how))
    air.network = network
    bench.run(0)


STRANGERS: dict[str, tuple[dict[str, Any], str]] = {
    "another node": ({"sender": "001C640000000001"}, "sender"),
    "unsecured": ({"secured": False}, "unsecured"),
    "another port": ({"port": 1900}, "port"),
}


def misled(bench: Wired, **how: Any) -> Request:
    """A reading whose true answer is lost, while somebody else gives one to it, and an announcement."""
    bench.strike(Fault(Flaw.ANSWER_LOST))
    request = bench.get(0xE7)
    bench.run(0.5)
    sent = bench.written[-1][1]
    tid = sent[sent.index(b"\x10\x81") + 2 :][:2]
    overheard(bench, FORGED, **how)
    overheard(bench, FORGED[:2] + tid + FORGED[4:10] + b"\x72" + FORGED[11:], **how)
    return request


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_through_a_module_too(family: str, stranger: str) -> None:
    """Over Wi-SUN likewise: from another node, in the clear, on another port; and the meter itself is still heard."""
    how, reason = STRANGERS[stranger]
    bench = Wired(family).online()
    heard = len(bench.events(Notification))
    request = misled(bench, **how)
    assert (request.answers, bench.session.gate.dropped) == ({}, {reason: 2})
    assert len(bench.events(Notification)) == heard
    overheard(bench, FORGED)  # the control
    assert len(bench.events(Notification)) == heard + 1
    bench.run(30, lambda: request.done)
    assert request.answers[0xE7] not in (FORGED[14:], Missing.TIMEOUT)
    assert bench.losses == 0


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
def test_the_check_finds_a_gate_that_stands_open(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deliberate breach: whoever speaks is taken for the meter, and a forged value for its own."""
    monkeypatch.setattr(Gate, "accept", lambda self, datagram, now: True)
    request = misled(Wired(family).online(), sender="001C640000000001")
    assert request.answers == {0xE7: FORGED[14:]}
