"""Configurations 6.3: the sums of the house, read by the meter on our controller object, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from support.clock import run
from support.house import simulated
from support.routeb import CREDENTIALS, FakeModule, NoPort, SimulatedPort, asked, frame, virtual_now

from drivers.module import Credentials, Send
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, SiteAggregate
from hemsd.hub.requirements import BY_GATEWAY, BY_UTILITY, Profile
from hemsd.hub.routes import doors
from hemsd.routeb.collector import Collector
from hemsd.routeb.meter import Meter
from hemsd.routeb.offered import NO_DATA, SUMS, offered
from hemsd.simulator import FAMILIES, Board, Family, Fault, Strike

AT = datetime(2026, 10, 1, tzinfo=UTC)
SITE = SiteAggregate(at=AT, grid_w=-1500, pv_w=3200, known_loads_w=800, rest_w=900)
TOLD = [(0xF0, "FFFFFA24"), (0xF1, "00000C80"), (0xF2, "7FFFFFFE"), (0xF3, "7FFFFFFE"), (0xF4, "00000320")]
GET = frame(7, 0x62, {0xF0: ""})


def test_sums_as_properties() -> None:
    """Each field by its code, signed, in watts; what is not known is "no data", and all are in the map."""
    told = offered(SITE)
    assert [(epc, told[epc].hex().upper()) for epc in SUMS][:5] == TOLD
    assert int.from_bytes(told[0xF2], "big") == NO_DATA
    assert told[0x9F][0] == len(told)
    assert set(SUMS.values()) | {"at"} == set(SiteAggregate.__struct_fields__)


def collecting(module: Board | FakeModule, profile: Profile, story: Callable[[Hub, Meter], Awaitable[None]]) -> None:
    """The meter's domain in the hall of a profile, online, and what happens then."""

    async def main() -> None:
        hub = Hub(doors(profile, "control"))
        if isinstance(module, FakeModule):
            meter = Meter(NoPort(), CREDENTIALS, module=module, persist=True, clock=virtual_now)
        else:
            network = module.air.network
            credentials = Credentials(network.route_b_id, network.password)
            meter = Meter(SimulatedPort(module), credentials, persist=True, clock=virtual_now)  # type: ignore[arg-type]
        async with meter:
            running = asyncio.create_task(Collector(meter, hub.seat(Domain.ROUTEB), clock=virtual_now).run())
            await meter.online()
            hub.seat(Domain.CONTROL).publish(SITE)
            await asyncio.sleep(1)
            await story(hub, meter)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    run(main())


@pytest.mark.parametrize("profile", BY_UTILITY)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_meter_reads_them(family: Family, profile: Profile) -> None:
    """T-AGGREGATE: by Get, over the radio; what is not there comes back empty. Reading the meter goes on."""
    module = simulated(family)

    async def story(hub: Hub, meter: Meter) -> None:
        now = asyncio.get_running_loop().time()
        module.faults.add(Fault(Strike.METER_ASKS, at=now, arg=[epc for epc, _ in TOLD]))
        module.faults.add(Fault(Strike.METER_ASKS, at=now + 5, arg=[0xF0, 0xFF]))
        await asyncio.sleep(60)
        assert (await meter.read_live(energy=False)).power_w is not None
        assert not hub.denied

    collecting(module, profile, story)
    first, second = module.air.meter.read
    assert first == (0x72, [(epc, bytes.fromhex(edt)) for epc, edt in TOLD])
    assert second == (0x52, [(0xF0, bytes.fromhex(TOLD[0][1])), (0xFF, b"")])


@pytest.mark.parametrize("profile", BY_GATEWAY)
def test_elsewhere_there_is_nothing_to_read(profile: Profile) -> None:
    """Control: with a home gateway the sums are its own, and the meter's question is not answered."""
    module = simulated("DUAL")

    async def story(hub: Hub, meter: Meter) -> None:
        now = asyncio.get_running_loop().time()
        module.faults.add(Fault(Strike.METER_ASKS, at=now, arg=[0xF0]))
        await asyncio.sleep(60)

    collecting(module, profile, story)
    assert module.air.meter.read == []


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, 1),
        ({"sender": "FE80:0000:0000:0000:0000:0000:0000:0BAD"}, 0),
        ({"secured": False}, 0),
        ({"port": 1900}, 0),
        ({"payload": frame(7, 0x62, {0xF0: ""}, deoj="013001")}, 0),
        ({"payload": frame(7, 0x61, {0xF0: "00000000"})}, 0),
        ({"payload": frame(7, 0x6E, {0xF0: ""})}, 0),
    ],
    ids=["the meter", "another node", "in clear", "another port", "another object", "a Set", "a SetGet"],
)
def test_only_the_meter_reads_them(changes: dict[str, object], answers: int) -> None:
    """T-AGGREGATE: a Get of our object from the pinned meter, encrypted, is answered; nothing else is."""
    module = FakeModule()

    async def story(hub: Hub, meter: Meter) -> None:
        sent = len(module.log)
        module.now = asyncio.get_running_loop().time()
        module.later(0.0, module.datagram(**{"payload": GET, **changes}))
        meter._pump.poke()
        await asyncio.sleep(2)
        replies = [
            each.payload for _, each in module.log[sent:] if isinstance(each, Send) and each.payload[10] != 0x62
        ]
        assert [asked(each) for each in replies] == [(7, 0x72, {0xF0: "FFFFFA24"})] * answers

    collecting(module, "6.3.2", story)
