"""What stands for the hub in another process, over real Unix sockets: hubs that come late, go, come back, forget."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.hub import AT, METER, heard, make

from hemsd.hub import uplink as uplink_module
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import (
    ApplianceStatus,
    BackfillProgress,
    Domain,
    Event,
    Health,
    IsolationStatus,
    Message,
    MeterInterval,
    MeterReading,
    MeterStatus,
    ReadMeter,
    SiteAggregate,
)
from hemsd.hub.protocol import PROTOCOL
from hemsd.hub.queue import KEPT
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.uplink import Uplink
from hemsd.hub.wire import Server

ONLINE = MeterStatus(meter=METER, online=True, stage="online", since=AT)
HEALTH = Health(at=AT, source=Domain.GATEWAY, ok=True)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts come in milliseconds."""
    monkeypatch.setattr(uplink_module, "FIRST_DELAY_S", 0.002)
    monkeypatch.setattr(uplink_module, "LONGEST_DELAY_S", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


@asynccontextmanager
async def served(path: Path, domain: Domain, site: str = "home-1", peers_max: int = 16) -> AsyncIterator[Hub]:
    """A hub process's socket, until it dies."""
    hub = Hub(ROUTES_6_4_3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        running = asyncio.create_task(Server(hub, domain, listening, site=site, peers_max=peers_max).run())
        try:
            yield hub
        finally:
            running.cancel()
            await asyncio.wait([running])
            path.unlink()


@asynccontextmanager
async def joined(path: Path, domain: Domain, **more: object) -> AsyncIterator[Uplink]:
    uplink = Uplink(str(path), domain, ROUTES_6_4_3, **more)  # type: ignore[arg-type]
    running = asyncio.create_task(uplink.run())
    try:
        async with asyncio.timeout(20):
            yield uplink
            assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(seat: Seat, last: Message) -> list[Message]:
    """What a seat hears up to this message."""
    found: list[Message] = []
    async for message in seat.messages():
        found.append(message)
        if message == last:
            break
    return found


def interval(number: int) -> MeterInterval:
    return MeterInterval(meter=str(number), end=AT, source="read")


def event(text: str, source: Domain = Domain.ROUTEB) -> Event:
    return Event(at=AT, source=source, kind="x", severity="info", text=text)


async def test_what_is_said_before_the_hub_was_ever_there_arrives(path: Path) -> None:
    """In order; of what says how things stand, only how they stand now."""
    async with joined(path, Domain.ROUTEB) as uplink:
        seat = uplink.seat(Domain.ROUTEB)
        for message in (MeterStatus(online=False, stage="joining", since=AT), interval(1), ONLINE, interval(2)):
            seat.publish(message)
        await asyncio.sleep(0.02)  # some attempts
        async with served(path, Domain.ROUTEB) as hub:
            operator = hub.seat(Domain.OPERATOR)
            assert await uplink.here() == "home-1"
            told = await until(operator, interval(2))
    assert [each for each in told if isinstance(each, MeterInterval)] == [interval(1), interval(2)]
    assert [each for each in told if isinstance(each, MeterStatus)][-1] == ONLINE


async def test_a_hub_that_forgot_is_told_how_things_stand_and_then_what_waited(path: Path) -> None:
    """A new process hears the last of each kind first; half-hours of its absence follow, each once and in order."""
    reading = [MeterReading(meter=METER, measured_at=AT, power_w=power) for power in range(3)]
    async with joined(path, Domain.ROUTEB) as uplink:
        seat = uplink.seat(Domain.ROUTEB)
        async with served(path, Domain.ROUTEB) as hub:
            operator = hub.seat(Domain.OPERATOR)
            for message in (ONLINE, reading[0], reading[1], interval(1)):
                seat.publish(message)
            await until(operator, interval(1))
        await uplink._away.wait()
        isolation = make(IsolationStatus, Domain.ROUTEB, Domain.OPERATOR)
        for message in (interval(2), reading[2], isolation, interval(3)):
            seat.publish(message)
        async with served(path, Domain.ROUTEB) as hub:
            operator = hub.seat(Domain.OPERATOR)
            assert await until(operator, interval(3)) == [ONLINE, reading[2], interval(2), isolation, interval(3)]


async def test_what_a_hub_that_hangs_did_not_take_is_told_to_the_next(path: Path) -> None:
    """Only what the kernel had taken for it is lost with it; the rest comes in order, to the last."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f'{{"type":"Greeting","hemsd":"1","protocol":{PROTOCOL}}}\n'.encode())
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await died.wait()
        writer.transport.abort()

    died = asyncio.Event()
    async with joined(path, Domain.ROUTEB) as uplink:
        seat = uplink.seat(Domain.ROUTEB)
        async with await asyncio.start_unix_server(hang, path):
            await uplink.here()
            for number in range(9_000):  # a megabyte
                seat.publish(interval(number))
            await asyncio.sleep(0.05)
            waiting = len(uplink._waiting)
            died.set()
            await uplink._away.wait()
        path.unlink(missing_ok=True)  # a server of Python 3.13 takes it away itself
        async with served(path, Domain.ROUTEB) as hub:
            told = await until(hub.seat(Domain.OPERATOR), interval(8_999))
    assert 1_000 < waiting < 9_000
    assert told == [interval(number) for number in range(9_000 - waiting, 9_000)]


async def test_progress_is_not_told_to_a_hub_that_did_not_ask(path: Path) -> None:
    """It answers a request of the hub before; what waited of it arrives, in order."""
    progress = [BackfillProgress(request="b", meter=METER, done=done, total=3) for done in range(3)]
    async with joined(path, Domain.ROUTEB) as uplink:
        seat = uplink.seat(Domain.ROUTEB)
        async with served(path, Domain.ROUTEB) as hub:
            operator = hub.seat(Domain.OPERATOR)
            seat.publish(progress[0])
            await until(operator, progress[0])
        await uplink._away.wait()
        seat.publish(progress[1])
        seat.publish(progress[2])
        async with served(path, Domain.ROUTEB) as hub:
            assert await until(hub.seat(Domain.OPERATOR), progress[2]) == progress[1:]


async def test_what_waits_is_bounded(path: Path) -> None:
    """A hub that never comes costs no memory without end: the oldest half-hours go, and are counted."""
    uplink = Uplink(str(path), Domain.ROUTEB, ROUTES_6_4_3)
    seat = uplink.seat(Domain.ROUTEB)
    for number in range(KEPT.cap + 5):
        seat.publish(interval(number))
    for power in range(1000):
        seat.publish(MeterReading(meter=METER, measured_at=AT, power_w=power))
    assert len(uplink._waiting) == KEPT.cap + 1
    assert uplink.lost == {"MeterInterval": 5}


async def test_seats_share_the_connection(path: Path) -> None:
    """All hear the hub; one taken later, how things stand; each hears of the others what it would in one process."""
    async with served(path, Domain.GATEWAY, peers_max=1) as hub, joined(path, Domain.GATEWAY) as uplink:
        control = hub.seat(Domain.CONTROL)
        first, second = uplink.seat(Domain.GATEWAY), uplink.seat(Domain.GATEWAY)
        await uplink.here()
        aggregate = SiteAggregate(at=AT, grid_w=5)
        control.publish(aggregate)
        await until(first, aggregate)
        await until(second, aggregate)
        first.publish(HEALTH)
        first.publish(make(ReadMeter, Domain.GATEWAY, Domain.ROUTEB))
        assert await heard(second) == [HEALTH]
        assert await heard(first) == []
        third = uplink.seat(Domain.GATEWAY)
        assert await heard(third) == [aggregate, HEALTH]
        second.close()
        control.publish(event("again", Domain.CONTROL))
        denied, _ = await until(third, event("again", Domain.CONTROL))
        assert isinstance(denied, Event) and denied.kind == "hub.denied"


async def test_a_seat_taken_after_a_restart_hears_nothing_of_the_hub_before(path: Path) -> None:
    """An appliance may be gone for good since then."""
    async with joined(path, Domain.CONTROL) as uplink:
        async with served(path, Domain.CONTROL) as hub:
            hub.seat(Domain.APPLIANCES).publish(make(ApplianceStatus, Domain.APPLIANCES, Domain.CONTROL))
            async for _ in uplink.seat(Domain.CONTROL).messages():
                break
        async with served(path, Domain.CONTROL):
            await uplink._away.wait()
            await uplink.here()
            assert await heard(uplink.seat(Domain.CONTROL)) == []


async def test_it_speaks_as_one_domain(path: Path) -> None:
    """A seat of another one is a fault of ours, not to be found out at the hub."""
    uplink = Uplink(str(path), Domain.GATEWAY, ROUTES_6_4_3)
    with pytest.raises(ValueError, match="speaks as gateway, not as routeb"):
        uplink.seat(Domain.ROUTEB)


async def test_it_tells_whether_the_hub_is_there(path: Path) -> None:
    """How long it has been away; gone() ends after a long absence, not after a short one, and for another home."""
    now = 100.0
    async with joined(path, Domain.GATEWAY, clock=lambda: now) as uplink:
        now = 160.0
        assert uplink.away_s == 60
        async with served(path, Domain.GATEWAY):
            site = await uplink.here()
            assert (site, uplink.away_s) == ("home-1", 0)
            gone = asyncio.create_task(uplink.gone(site, 30.0))
        await uplink._away.wait()
        now = 170.0
        assert uplink.away_s == 10
        async with served(path, Domain.GATEWAY):
            await uplink.here()
            await asyncio.sleep(0.01)
            assert not gone.done()
            short = asyncio.create_task(uplink.gone(site, 0.01))
        await short
        assert not gone.done()
        async with served(path, Domain.GATEWAY, "home-2"):
            await gone
            assert await uplink.here() == "home-2"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'{{"type":"Greeting","hemsd":"9.1","protocol":{PROTOCOL + 1}}}\n', "restart the older one"),
        (f'{{"type":"Greeting","hemsd":"9.1","protocol":{PROTOCOL}}}\n{{"type":"Riddle"}}\n', "does not understand"),
        ("220 smtp.example.org\n", "this is no socket of hemsd"),
    ],
)
async def test_a_hub_that_speaks_otherwise_is_told_and_tried_again(
    path: Path, line: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in the log, however often; when the right one comes, all is well."""
    attempts = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.write(line.encode())
        writer.close()

    async with joined(path, Domain.GATEWAY) as uplink:
        async with await asyncio.start_unix_server(speak, path):
            while attempts < 4:
                await asyncio.sleep(0.002)
        path.unlink(missing_ok=True)
        async with served(path, Domain.GATEWAY) as hub:
            uplink.seat(Domain.GATEWAY).publish(HEALTH)
            await until(hub.seat(Domain.OPERATOR), HEALTH)
    assert len([record for record in caplog.records if why in record.message]) == 1


async def test_a_second_process_of_a_domain_is_refused_until_the_first_is_gone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never taken for one that is joined, is told why, and gets the place when that is free."""
    async with served(path, Domain.GATEWAY, peers_max=1):
        async with joined(path, Domain.GATEWAY) as first:
            await first.here()
            async with joined(path, Domain.GATEWAY) as second:
                while "another process is here as gateway" not in caplog.text:
                    assert second.away_s > 0
                    await asyncio.sleep(0.002)
                waiting = asyncio.create_task(second.here())
                await asyncio.sleep(0.02)
                assert not waiting.done()
                waiting.cancel()
        async with joined(path, Domain.GATEWAY) as third:
            await third.here()


async def test_a_message_too_long_for_a_line_costs_no_other(path: Path) -> None:
    """It is left out, and what comes after it arrives."""
    async with served(path, Domain.ROUTEB) as hub, joined(path, Domain.ROUTEB) as uplink:
        seat = uplink.seat(Domain.ROUTEB)
        for text in ("x" * (1 << 20), "short"):
            seat.publish(event(text))
        assert await until(hub.seat(Domain.OPERATOR), event("short")) == [event("short")]


async def test_all_that_is_said_is_overheard(path: Path) -> None:
    """For the log of this process, hub or no hub."""
    said: list[Message] = []
    uplink = Uplink(str(path), Domain.ROUTEB, ROUTES_6_4_3, overhear=said.append)
    uplink.seat(Domain.ROUTEB).publish(ONLINE)
    assert said == [ONLINE]
