"""The watch over interfaces: what it tells the house, and whom it stops; the kernel's part is given by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import run as run_virtually
from support.hub import AT

from drivers.netlink import Surroundings
from hemsd.daemon.config import Config, IsolationTable, LanTable, MeterTable
from hemsd.daemon.domains import kind_of
from hemsd.daemon.isolation import Watched
from hemsd.daemon.networks import NetworkTable
from hemsd.daemon.supervision import Kind, supervise
from hemsd.daemon.watch import LOOK_S, IsolationWatch, NotKeptApart, watched
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Event, IsolationStatus, Message, ReadMeter
from hemsd.hub.routes import ROUTES_6_4_3

WELL = Surroundings(name="eth1", exists=True)
FORWARDING = replace(WELL, forwards=("IPv4",))


class House:
    """A watch, the kernel that it asks, and all that an operator hears."""

    def __init__(self, around: Surroundings = WELL, default: str | None = None, **config: Any) -> None:
        self.around: Surroundings | OSError = around
        self.walls = frozenset[str]()
        self.hub = Hub(ROUTES_6_4_3)
        self._operator = self.hub.seat(Domain.OPERATOR)
        table = Config(version=1, networks={"home": NetworkTable(interface="eth1")}, **config)
        self.watch = IsolationWatch(
            watched(table, Domain.ROUTEB, Domain.APPLIANCES),
            table,
            self.hub,
            look=self._look,
            walls=lambda: self.walls,
            default=lambda: default,
            clock=lambda: AT,
        )

    def _look(self, names: Iterable[str]) -> dict[str, Surroundings]:
        if isinstance(self.around, OSError):
            raise self.around
        return dict.fromkeys(names, self.around)

    async def pass_by(self) -> list[Message]:
        """Let one look be made, and tell what was heard of it."""
        running = asyncio.create_task(self.watch.run())
        await asyncio.sleep(LOOK_S + 1)
        running.cancel()
        await asyncio.wait([running])
        heard = []
        while (message := self._operator._queue.take()) is not None:
            heard.append(message)
        return heard


def refusing() -> dict[str, Any]:
    return {"isolation": IsolationTable(on_breach="refuse")}


def test_which_interfaces_are_watched() -> None:
    """Those of the meter and of appliances, for the domains asked for; one of both is not the meter's alone."""
    networks = {"home": NetworkTable(interface="eth1"), "annex": NetworkTable(interface="eth2")}
    config = Config(version=1, meter=MeterTable(interface="wlan1"), networks=networks)
    meters = Watched("wlan1", Domain.ROUTEB, alone=True)
    others = (Watched("eth1", Domain.APPLIANCES), Watched("eth2", Domain.APPLIANCES))
    assert watched(config, Domain.ROUTEB, Domain.APPLIANCES) == (meters, *others)
    assert watched(config, Domain.ROUTEB) == (meters,)
    assert watched(config, Domain.APPLIANCES) == others
    shared = Config(version=1, meter=MeterTable(interface="eth1"), networks=networks)
    assert watched(shared, Domain.ROUTEB) == (Watched("eth1", Domain.ROUTEB),)
    assert watched(shared, Domain.ROUTEB, Domain.APPLIANCES) == others
    assert watched(Config(version=1), Domain.ROUTEB, Domain.APPLIANCES) == ()


def test_a_change_is_told_once_and_so_is_its_end() -> None:
    """A status at the start and at each change, an event where something is wrong or over; nothing in between."""

    async def main() -> None:
        house = House()
        (status,) = await house.pass_by()
        assert status == IsolationStatus(source=Domain.APPLIANCES, interface="eth1", since=AT)
        assert await house.pass_by() == []
        house.around = FORWARDING
        status, event = await house.pass_by()
        assert isinstance(status, IsolationStatus) and isinstance(event, Event)
        assert [breach.requirement for breach in status.breaches] == ["R43"] and not status.refused
        assert (event.kind, event.source, event.severity) == ("isolation.breach", Domain.APPLIANCES, "error")
        assert "used all the same" in event.text and status.breaches[0].text in event.text
        assert await house.pass_by() == []
        house.around = replace(FORWARDING, forwards=("IPv4", "IPv6"))
        _, event = await house.pass_by()
        assert isinstance(event, Event) and "IPv6" in event.text and "IPv4" not in event.text
        house.around = FORWARDING
        (status,) = await house.pass_by()  # less is wrong: no news for a person
        house.around = WELL
        status, event = await house.pass_by()
        assert isinstance(status, IsolationStatus) and status.breaches == ()
        assert isinstance(event, Event) and event.kind == "isolation.restored"
        assert not house.hub.denied

    run_virtually(main())


def test_a_wall_and_a_declaration_end_a_breach() -> None:
    """Forwarding behind the firewall is none; a requirement that the home is declared not to meet is not told of."""

    async def main() -> None:
        house = House(FORWARDING)
        assert len(await house.pass_by()) == 2
        house.walls = frozenset({"eth1"})
        assert isinstance((await house.pass_by())[1], Event)
        (status,) = await House(FORWARDING, accept=("R43",)).pass_by()
        assert isinstance(status, IsolationStatus) and status.breaches == ()

    run_virtually(main())


def test_the_home_networks_own_interface_is_not_kept_from_itself() -> None:
    """As [lan] says; or, where the home was declared so, as the default route leads; else that route is a breach."""

    async def main() -> None:
        assert House(FORWARDING, lan=LanTable(interface="eth1")).watch.interfaces == ()
        found = replace(FORWARDING, proxies=("ARP",))
        (status,) = await House(found, default="eth1", accept=("R33",)).pass_by()
        assert isinstance(status, IsolationStatus) and status.breaches == ()
        assert len(await House(found, default="eth1").pass_by()) == 2

    run_virtually(main())


def test_a_kernel_that_cannot_be_asked_is_a_breach() -> None:
    """That nothing is known is not taken for well; and it is said what to do."""

    async def main() -> None:
        house = House()
        await house.pass_by()
        house.around = OSError(97, "Address family not supported by protocol")
        status, _ = await house.pass_by()
        assert isinstance(status, IsolationStatus) and "RestrictAddressFamilies=AF_NETLINK" in status.breaches[0].text

    run_virtually(main())


class Work:
    """A domain that runs until it is stopped, or fails; knows since when and until when it ran."""

    def __init__(self) -> None:
        self.running = False
        self.stops: list[str] = []
        self.error: Exception | None = None

    async def run(self) -> None:
        self.running = True
        try:
            if self.error is not None:
                raise self.error
            await asyncio.get_running_loop().create_future()
        finally:
            self.running = False

    async def sooner(self, error: Exception) -> None:
        await asyncio.get_running_loop().create_future()


async def kept(house: House, work: Work) -> asyncio.Task[None]:
    """Supervise a domain as the daemon does."""
    return asyncio.create_task(
        supervise(
            "network home",
            house.watch.guarded("eth1", work.run),
            kind_of,
            on_failure=work.stops.append,
            sooner=house.watch.sooner("eth1", work.sooner),
        )
    )


def test_refuse_stops_the_domain_until_it_is_over() -> None:
    """At once, with the reason; and it runs again within a second of the end, whatever its back-off."""

    async def main() -> None:
        house, work = House(**refusing()), Work()
        watching, keeping = asyncio.create_task(house.watch.run()), await kept(house, work)
        await asyncio.sleep(1)
        assert work.running
        for times in range(1, 8):  # by then a back-off is a minute
            house.around = FORWARDING
            house.watch._changed.set()
            await asyncio.sleep(0.5)
            assert not work.running and len(work.stops) == times
            assert "eth1 is not kept apart, so it is not used: this machine forwards IPv4" in work.stops[-1]
            house.around = WELL
            house.watch._changed.set()
            await asyncio.sleep(1)
            assert work.running
        for task in (watching, keeping):
            task.cancel()
        await asyncio.wait([watching, keeping])

    run_virtually(main())


def test_refuse_does_not_let_a_domain_begin() -> None:
    """What is wrong at the start keeps it from running at all."""

    async def main() -> None:
        house, work = House(FORWARDING, **refusing()), Work()
        keeping = await kept(house, work)
        await asyncio.sleep(5)
        assert not work.running and work.stops
        status, event = await house.pass_by()
        assert isinstance(status, IsolationStatus) and status.refused
        assert isinstance(event, Event) and "not used until" in event.text
        keeping.cancel()
        await asyncio.wait([keeping])

    run_virtually(main())


def test_degrade_lets_it_run_and_its_own_failures_stay_its_own() -> None:
    """The default; an error of the domain passes as it is, and waits as it always did."""

    async def main() -> None:
        house, work = House(FORWARDING), Work()
        keeping = await kept(house, work)
        await asyncio.sleep(1)
        assert work.running and house.watch.refusal("eth1") is None
        keeping.cancel()
        await asyncio.wait([keeping])
        work.error = ZeroDivisionError("ours")
        with pytest.raises(ZeroDivisionError):
            await house.watch.guarded("eth1", work.run)()
        assert house.watch.guarded(None, work.run) == work.run  # a serial port
        assert house.watch.sooner("eth9", work.sooner) == work.sooner

    run_virtually(main())


def test_not_kept_apart_is_a_state_that_passes() -> None:
    """It counts neither as a fault of ours nor as one that waits for an hour."""
    assert kind_of(NotKeptApart("eth1")) is Kind.TRANSIENT


def test_it_takes_nothing_that_others_are_to_hear() -> None:
    """It speaks and does not listen, so nothing waits for it: not what is asked of the meter, or of appliances."""

    async def main() -> None:
        house = House(meter=MeterTable(interface="wlan1"))
        assert [message for message in await house.pass_by() if isinstance(message, IsolationStatus)]
        operator = house.hub.seat(Domain.OPERATOR)
        for number in range(100):
            operator.publish(ReadMeter(request=f"r{number}", asker=Domain.OPERATOR, epcs=(0xE7,)))
        assert not house.hub.lost

    run_virtually(main())
