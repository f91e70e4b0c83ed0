"""T-SNIFF (G.9958: R45, D9): a meter that is heard to talk with something else than its controller is told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.clock import run
from support.ip import OURS, SimulatedLink
from support.routeb import FakeSeat, virtual_now
from support.scripted import HALL, LAMP, House, Node, identification, lamp
from support.wired import Wired

from hemsd.appliances.events import Noted
from hemsd.echonet import exchange
from hemsd.echonet.exchange import Notification
from hemsd.hub.messages import Event, MeterReading
from hemsd.routeb.collector import Collector
from hemsd.routeb.ip import IpMeter
from hemsd.routeb.meter import Meter
from hemsd.routeb.stages import Astray
from hemsd.simulator import Household, MeterNode, Plate
from hemsd.simulator import Meter as SimulatedMeter
from hemsd.simulator.radio import Datagram

METER, STRANGER = "fe80::21c:64ff:fe60:1421", "192.168.1.77"
TO_US = bytes.fromhex("1081000102880105FF017301E704000F423F")
ASTRAY = {
    "an announcement for an air conditioner": bytes.fromhex(
        "10810001028801013001 73 01 E704000F423F".replace(" ", "")
    ),
    "an answer to somebody else": bytes.fromhex("10810001028801028701 72 01 E704000F423F".replace(" ", "")),
    "an order": bytes.fromhex("10810001028801013001 61 01 800131".replace(" ", "")),
}
HOUR_S = 3600.0


@pytest.mark.parametrize("what", ASTRAY)
def test_what_the_meter_sends_to_other_objects_is_dropped_counted_and_told(what: str) -> None:
    """On a network interface: one event an hour however often it comes; readings go on all the same."""

    async def main() -> None:
        start, seat = virtual_now().replace(tzinfo=None), FakeSeat()
        link = SimulatedLink(MeterNode(SimulatedMeter(Household(7), start=start, plate=Plate(generation=2))))
        async with Meter(link, None, module=IpMeter(OURS), persist=True, clock=virtual_now) as meter:  # type: ignore[arg-type]
            collecting = asyncio.create_task(Collector(meter, seat, clock=virtual_now).run())  # type: ignore[arg-type]
            await asyncio.sleep(60)
            link.inject(METER, TO_US)  # the control
            await asyncio.sleep(1)
            assert told(seat) == []
            for _ in range(20):
                link.inject(METER, ASTRAY[what])
                await asyncio.sleep(1)
            (event,) = told(seat)
            assert event.severity == "warning" and "R45" in event.text and ASTRAY[what][7:10].hex() in event.text
            assert meter.status.radio.dropped == {"object": 20}
            before = len(seat.of(MeterReading))
            await asyncio.sleep(HOUR_S)
            link.inject(METER, ASTRAY[what])
            await asyncio.sleep(1)
            assert len(told(seat)) == 2
            assert len(seat.of(MeterReading)) > before + 100
            collecting.cancel()
            await asyncio.wait([collecting])

    run(main())


def told(seat: FakeSeat) -> list[Event]:
    return [event for event in seat.of(Event) if event.kind == "meter.astray"]


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
def test_through_a_module_too(family: str) -> None:
    """Over Wi-SUN likewise; what is for our controller or node profile is none of these."""
    bench = Wired(family).online()
    say: Callable[[bytes], None] = lambda payload: bench.module.datagram(Datagram("", 3610, True, payload, 200))  # noqa: E731
    heard = len(bench.events(Notification))
    for payload in (TO_US, TO_US[:7] + bytes.fromhex("0EF001") + TO_US[10:]):
        say(payload)
    bench.run(1)
    assert len(bench.events(Notification)) == heard + 2
    assert bench.events(Astray) == []
    for payload in ASTRAY.values():
        say(payload)
    bench.run(1)
    assert [event.text for event in bench.events(Astray)] == [
        f"one for object {code} was heard" for code in ("013001", "028701", "013001")
    ]
    assert len(bench.events(Notification)) == heard + 2
    assert bench.session.gate.dropped == {"object": 3}


def test_a_meter_among_the_appliances_is_told_and_left_alone() -> None:
    """On a network of appliances: once an hour, by its address; it becomes no appliance and is not asked anything."""
    house = House({HALL: Node({LAMP: lamp()}, identification(1))})
    house.run(60.0)
    sent = len(house.sent)
    for _ in range(20):
        house.comes(STRANGER, TO_US, multicast=True)
    noted = [event for event in house.run(60.0) if isinstance(event, Noted)]
    (event,) = noted
    assert (event.kind, event.severity) == ("meter.astray", "warning")
    assert STRANGER in event.text and "R45" in event.text
    assert house.network.counters()["meter"] == 20
    assert not any(packet.address == STRANGER for packet in house.sent[sent:])
    house.run(HOUR_S)
    house.comes(STRANGER, TO_US)
    assert [each.kind for each in house.run(1.0) if isinstance(each, Noted)] == ["meter.astray"]
    assert [each.device.eoj for each in house.network.appliances()] == [LAMP]


def test_the_check_finds_it_when_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deliberate breach: whatever the object, a frame is taken for ours, and nobody is told."""
    monkeypatch.setattr(exchange, "OUR_CLASSES", range(0x10000))
    bench = Wired("DUAL").online()
    for payload in ASTRAY.values():
        bench.module.datagram(Datagram("", 3610, True, payload, 200))
    bench.run(1)
    assert bench.events(Astray) == []
