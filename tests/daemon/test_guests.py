"""A domain in a process of its own, as the house hears of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from support.hub import AT, METER, heard

from hemsd.daemon import gateway, guests
from hemsd.daemon.guests import Guest
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Health, Link, Message, MeterIdentity, MeterStatus
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.uplink import Uplink
from hemsd.hub.wire import RemoteSeat, connect


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "GRACE_S", 0.05)


@asynccontextmanager
async def hosting(path: Path, domain: Domain, *, expected: bool = True) -> AsyncIterator[Hub]:
    hub = Hub(ROUTES_6_4_3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        running = asyncio.create_task(Guest(hub, domain, listening, site="home-1", expected=expected).run())
        async with asyncio.timeout(20):
            yield hub
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])


async def said(seat: RemoteSeat, message: Message, hub: Hub) -> None:
    """Publish this and wait until the hub has it."""
    seat.publish(message)
    while message not in hub.latest(type(message)):
        await asyncio.sleep(0.001)


async def test_a_meter_is_as_it_was_but_offline_when_its_process_is_gone(tmp_path: Path) -> None:
    """Who it is stays known; its values are not fresh and its link is none. A second absence has its first time."""
    identity = MeterIdentity(meter=METER, maker="000016")
    online = MeterStatus(
        meter=METER,
        online=True,
        stage="online",
        since=AT,
        fresh=True,
        identity=identity,
        read_at=AT,
        link=Link(lqi=9),
    )
    path = tmp_path / "routeb.sock"
    async with hosting(path, Domain.ROUTEB) as hub:
        operator = hub.seat(Domain.OPERATOR)
        while not (absent := hub.latest(MeterStatus)):
            await asyncio.sleep(0.001)
        assert (absent[0].meter, absent[0].online, absent[0].stage) == (None, False, "stopped")
        async with connect(str(path)) as seat:
            await said(seat, online, hub)
        while hub.latest(MeterStatus) == [online]:
            await asyncio.sleep(0.001)
        (gone,) = hub.latest(MeterStatus)
        assert (gone.online, gone.stage, gone.fresh, gone.link) == (False, "stopped", False, Link())
        assert (gone.identity, gone.read_at, gone.since > online.since) == (identity, AT, True)
        async with connect(str(path)):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert [each.since for each in hub.latest(MeterStatus)] == [gone.since]
        assert isinstance((await heard(operator))[-1], MeterStatus)


@pytest.mark.parametrize("expected", [True, False])
async def test_a_gateway_that_is_not_there_is_not_well_where_one_is_expected(tmp_path: Path, expected: bool) -> None:
    """Its counters stay; where nothing is configured for it to do, nothing is missing."""
    path = tmp_path / "gateway.sock"
    async with hosting(path, Domain.GATEWAY, expected=expected) as hub:
        await asyncio.sleep(0.1)
        assert [health.ok for health in hub.latest(Health)] == ([False] if expected else [])
        well = Health(at=AT, source=Domain.GATEWAY, ok=True, counters={"behind": 3})
        async with connect(str(path)) as seat:
            await said(seat, well, hub)
        if expected:
            while hub.latest(Health) == [well]:
                await asyncio.sleep(0.001)
            (health,) = hub.latest(Health)
            assert (health.ok, health.counters) == (False, {"behind": 3})
            assert "systemctl status hemsd-gateway" in health.detail


async def test_a_hub_that_ends_says_nothing_of_those_it_leaves(tmp_path: Path) -> None:
    """They go on, and it is itself that will not be there."""
    path = tmp_path / "routeb.sock"
    online = MeterStatus(meter=METER, online=True, stage="online", since=AT)
    async with AsyncExitStack() as stack:
        async with hosting(path, Domain.ROUTEB) as hub:
            await said(await stack.enter_async_context(connect(str(path))), online, hub)
        assert hub.latest(MeterStatus) == [online]


async def test_one_that_comes_back_is_not_said_to_be_gone(tmp_path: Path) -> None:
    """Whatever it says of itself: nothing at all, or of another part, or of a meter that it does not know yet."""
    async with hosting(tmp_path / "gateway.sock", Domain.GATEWAY) as hub:
        while not hub.latest(Health):
            await asyncio.sleep(0.001)
        async with connect(str(tmp_path / "gateway.sock")) as seat:
            await said(seat, Health(at=AT, source=Domain.GATEWAY, part="provider", ok=True), hub)
            assert all(health.ok for health in hub.latest(Health))
    async with hosting(tmp_path / "routeb.sock", Domain.ROUTEB) as hub:
        async with connect(str(tmp_path / "routeb.sock")) as seat:
            await said(seat, MeterStatus(meter=METER, online=True, stage="online", since=AT), hub)
        while hub.latest(MeterStatus)[0].online:
            await asyncio.sleep(0.001)
        async with connect(str(tmp_path / "routeb.sock")) as seat:
            await said(seat, MeterStatus(online=False, stage="waiting", detail="no module", since=AT), hub)
            assert not [status for status in hub.latest(MeterStatus) if "systemctl" in status.detail]


async def test_one_that_comes_at_once_was_never_missing(tmp_path: Path) -> None:
    """A hub that is restarted does not tell of an absence that was its own."""
    path = tmp_path / "gateway.sock"
    async with hosting(path, Domain.GATEWAY) as hub, connect(str(path)):
        await asyncio.sleep(0.15)
        assert hub.latest(Health) == []


async def test_work_that_fails_while_the_hub_is_there_is_told(tmp_path: Path) -> None:
    """To its supervisor; it is not begun without a hub, and knows the site of the one that is there."""
    path = tmp_path / "gateway.sock"
    sites = []

    async def work(site: str) -> None:
        sites.append(site)
        raise ZeroDivisionError

    uplink = Uplink(str(path), Domain.GATEWAY, ROUTES_6_4_3)
    joining = asyncio.create_task(uplink.run())
    working = asyncio.create_task(gateway.while_there(uplink, work))
    await asyncio.sleep(0.02)
    assert sites == []
    async with hosting(path, Domain.GATEWAY):
        with pytest.raises(ZeroDivisionError):
            await working
    assert sites == ["home-1"]
    joining.cancel()
    await asyncio.wait([joining])
