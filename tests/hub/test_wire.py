"""The hub over real Unix sockets: what passes, what is refused, and peers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.hub import AT, METER, heard, make

from hemsd.echonet.meter import PROPERTIES, describe
from hemsd.echonet.values import PropertyError
from hemsd.hub import wire
from hemsd.hub.hub import Hub
from hemsd.hub.messages import (
    BackfillProgress,
    Domain,
    Event,
    Message,
    MeterInterval,
    MeterProperty,
    MeterReading,
    MeterStatus,
    ReadMeter,
)
from hemsd.hub.protocol import LINE_MAX, PROTOCOL
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.wire import RemoteSeat, Server, WireError, connect, decode, encode

KINDS = {kind.__name__: kind for kind in Message.__subclasses__()}
STATUS = MeterStatus(meter=METER, online=True, stage="online", since=AT)


class Served:
    """A hub with a socket for one domain."""

    def __init__(self, path: Path, hub: Hub, server: Server) -> None:
        self.path = str(path)
        self.hub = hub
        self.server = server

    def seat(self) -> Any:
        return connect(self.path)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection without our client, greeting read."""
        reader, writer = await asyncio.open_unix_connection(self.path, limit=2 * LINE_MAX)
        assert json.loads(await reader.readline())["protocol"] == PROTOCOL
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def served(directory: Path, domain: Domain = Domain.OPERATOR, **more: Any) -> AsyncIterator[Served]:
    hub = Hub(ROUTES_6_4_3)
    with socket.socket(socket.AF_UNIX) as listening:
        path = directory / "hub.sock"
        listening.bind(str(path))
        listening.listen()
        server = Server(hub, domain, listening, **more)
        running = asyncio.create_task(server.run())
        async with asyncio.timeout(20):
            yield Served(path, hub, server)
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])


async def take(seat: RemoteSeat, count: int) -> list[Message]:
    found = []
    async for message in seat.messages():
        found.append(message)
        if len(found) == count:
            break
    return found


async def last_line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """What the server said before it closed the connection."""
    lines = (await reader.read()).splitlines()
    told: dict[str, Any] = json.loads(lines[-1])
    return told


async def settled(seats: int, hub: Hub) -> None:
    """Until so many seats are taken."""
    while len(hub._seats) != seats:
        await asyncio.sleep(0.001)


async def test_a_question_and_its_answer_pass(tmp_path: Path) -> None:
    """What a remote seat publishes is heard as from its domain, and it hears what that domain may hear."""
    async with served(tmp_path) as house, house.seat() as seat:
        routeb = house.hub.seat(Domain.ROUTEB)
        question = ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7,))
        seat.publish(question)
        async for message in routeb.messages():
            assert message == question
            break
        answer = MeterProperty(
            request="r1", to=Domain.OPERATOR, meter=METER, epc=0xE7, value=432, unit="W", last=True
        )
        routeb.publish(answer)
        assert await take(seat, 1) == [answer]


async def test_who_may_open_the_socket_speaks_as_its_domain_only(tmp_path: Path) -> None:
    """A gateway cannot ask the meter, neither in its own name nor in that of the command line; both are counted."""
    async with served(tmp_path, Domain.GATEWAY) as house, house.seat() as seat:
        routeb = house.hub.seat(Domain.ROUTEB)
        for asker in (Domain.GATEWAY, Domain.OPERATOR):
            seat.publish(ReadMeter(request="r1", asker=asker, epcs=(0xE7,)))
        while sum(house.hub.denied.values()) < 2:
            await asyncio.sleep(0.001)
        assert await heard(routeb) == []
        assert {denial.sender for denial in house.hub.denied} == {Domain.GATEWAY}


async def test_a_new_seat_hears_how_things_stand(tmp_path: Path) -> None:
    """The last status, reading and progress of a meter come at once, each once, in the order they were said."""
    async with served(tmp_path) as house:
        routeb = house.hub.seat(Domain.ROUTEB)
        routeb.publish(MeterStatus(meter=None, online=False, stage="scanning", since=AT))
        routeb.publish(MeterReading(meter=METER, measured_at=AT, power_w=1))
        routeb.publish(MeterInterval(meter=METER, end=AT, source="read"))
        progress = BackfillProgress(request="b", meter=METER, done=1, total=2)
        reading = MeterReading(meter=METER, measured_at=AT, power_w=2)
        for message in (progress, STATUS, reading):
            routeb.publish(message)
        async with house.seat() as seat:
            assert await take(seat, 3) == [progress, STATUS, reading]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_message_comes_out_as_it_went_in(kind: type[Message]) -> None:
    """The closed set of messages, over a line."""
    changes = {"outcome": "read"} if kind is BackfillProgress else {}
    message = make(kind, Domain.OPERATOR, Domain.OPERATOR, **changes)
    assert decode(encode(message)) == message


def test_every_property_of_a_meter_comes_out_as_it_went_in() -> None:
    """Whatever a meter of either generation may tell, histories, maps and states included, can be a line."""
    kinds = set()
    for epc in PROPERTIES:
        for size in range(256):
            for byte in (0x00, 0x01, 0x0B, 0xFF):
                edt = bytes([byte]) * size
                try:
                    told = describe(epc, edt)
                except PropertyError:
                    continue
                kinds.add(epc)
                message = MeterProperty(request="r", to=Domain.OPERATOR, meter=METER, epc=epc, value=told.value)
                assert decode(encode(message)) == message
    assert len(kinds) > 0.8 * len(PROPERTIES)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"hello\n", "does not understand this line: JSON is malformed"),
        (b"{}\n", "missing required field `type`"),
        (b'{"type":"Frame","hex":"1081"}\n', "Invalid value 'Frame'"),
        (b'{"type":"ReadMeter","request":"r","asker":"operator","epcs":"E7"}\n', "Expected `array`"),
        (b'{"type":"ReadMeter","request":"r","asker":"nobody","epcs":[]}\n', "nobody"),
        (b'{"type":"ApplianceStatus","appliance":"a/b"}\n', "matching regex"),
        (b'{"type":"MeterStatus","meter":"m1\\n"}\n', "matching regex"),
        (b'{"type":"Health","at":"2025-01-15T03:30:00Z","source":"operator","part":"#"}\n', "matching regex"),
        (b'{"type":"Greeting","hemsd":"1","protocol":1}\n', "Invalid value 'Greeting'"),
        (b"\xff\xfe\n", "does not understand this line"),
        (b'{"type":"Event","x":' + b"[" * 100_000 + b"\n", "does not understand this line"),
        (b"x" * (LINE_MAX + 2), f"a line may have {LINE_MAX} bytes"),
    ],
)
async def test_what_is_no_message_ends_the_connection_with_a_reason(tmp_path: Path, line: bytes, why: str) -> None:
    """The peer is told in a last line, it is counted, and the hub and other peers go on."""
    async with served(tmp_path) as house, house.seat() as other:
        async with house.raw() as (reader, writer):
            writer.write(line)
            told = await last_line(reader)
        assert told["type"] == "Closed"
        assert why in told["why"]
        assert house.server.refused == {"malformed": 1}
        house.hub.seat(Domain.ROUTEB).publish(STATUS)
        assert await take(other, 1) == [STATUS]
        await settled(2, house.hub)


@pytest.mark.parametrize(
    ("time", "why"),
    [
        ("2026-01-01T00:00:00", "timezone component"),
        ("9999-12-31T23:59:59-09:00", "in no calendar of ours"),
        ("0001-01-01T00:00:00+09:00", "in no calendar of ours"),
    ],
)
def test_a_time_that_others_could_not_reckon_with_is_refused(time: str, why: str) -> None:
    """None without a zone, none out of range in another one; within records, too: each would end its reader."""
    for line in (
        f'{{"type":"MeterStatus","online":false,"stage":"waiting","since":"{time}"}}',
        f'{{"type":"UserRequest","request":"r","asker":"gateway","operation":"get","target":"x","expires_at":"{time}"}}',
        '{"type":"Records","request":"r","to":"gateway","head":1,"records":[{"seq":1,"content":'
        f'{{"type":"Event","at":"{time}","source":"history","kind":"x","severity":"info","text":""}}}}]}}',
    ):
        assert decode(line.replace(time, "2026-01-01T00:00:00+09:00").encode())
        with pytest.raises(WireError, match=why):
            decode(line.encode())


async def test_lines_may_come_in_any_pieces(tmp_path: Path) -> None:
    """Half a line waits for its other half; half a line at the end counts for nothing."""
    async with served(tmp_path) as house:
        history = house.hub.seat(Domain.HISTORY)
        event = make(Event, Domain.OPERATOR, Domain.HISTORY)
        lines = encode(event) * 2
        async with house.raw() as (_, writer):
            for piece in (lines[:7], lines[7 : len(lines) // 2 + 3], lines[len(lines) // 2 + 3 :] + lines[:9]):
                writer.write(piece)
                await asyncio.sleep(0.01)
        await settled(1, house.hub)
        assert await heard(history) == [event, event]
        assert not house.server.refused


async def test_connections_are_limited(tmp_path: Path) -> None:
    """The seventeenth is told so; one that ends makes room."""
    async with served(tmp_path) as house, AsyncExitStack() as peers:
        for _ in range(wire.PEERS_MAX - 1):
            await peers.enter_async_context(house.raw())
        async with house.raw():
            async with house.raw() as (reader, _):
                assert "16 connections are the most" in (await last_line(reader))["why"]
            assert house.server.refused == {"too many": 1}
        await settled(wire.PEERS_MAX - 1, house.hub)
        async with house.seat():
            await settled(wire.PEERS_MAX, house.hub)


async def test_a_domain_may_have_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is greeted, told why, and left; on_peer and on_left tell of the first only."""
    told: list[str] = []
    async with served(
        tmp_path,
        Domain.GATEWAY,
        site="home-1",
        peers_max=1,
        on_peer=lambda: told.append("come"),
        on_left=lambda: told.append("left"),
    ) as house:
        async with house.seat() as first:
            assert first.site == "home-1"
            async with house.raw() as (reader, _):
                assert "another process is here as gateway" in (await last_line(reader))["why"]
            with pytest.raises(WireError, match="another process is here as gateway; end one of the two"):
                async with house.seat():
                    pass
            assert told == ["come"]
        await settled(0, house.hub)
        async with house.seat():
            await settled(1, house.hub)
    assert told == ["come", "left", "come", "left"]


async def test_a_connection_is_closed_even_where_its_user_is_cancelled_twice(tmp_path: Path) -> None:
    """Once while it listens, once while it leaves: no descriptor is left behind."""
    async with served(tmp_path) as house:

        async def use() -> None:
            async with house.seat() as seat:
                await take(seat, 1)

        for turns in range(6):
            using = asyncio.create_task(use())
            await settled(1, house.hub)
            using.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            using.cancel()
            await asyncio.wait([using])
            await settled(0, house.hub)


async def test_a_reader_that_takes_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded, half hours are then lost to it alone and counted, and at last it is left."""
    monkeypatch.setattr(wire, "STALLED_S", 0.3)
    async with served(tmp_path) as house:
        history, routeb = house.hub.seat(Domain.HISTORY), house.hub.seat(Domain.ROUTEB)
        got = 0
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(house.path)
            await settled(3, house.hub)
            for many in (9_000, 6_000):  # so many at once, so that it is not left before they have come
                for number in range(many):
                    routeb.publish(MeterInterval(meter=str(number), end=AT, source="read"))
                got += sum(isinstance(each, MeterInterval) for each in await heard(history))
            assert got == 15_000
            assert {loss.to for loss in house.hub.lost} == {Domain.OPERATOR}
            while not house.server.refused:
                await asyncio.sleep(0.01)
            assert house.server.refused == {"stalled": 1}
            assert len(house.hub._seats) == 2


async def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    """messages() raises, so that whoever waits can come back later."""
    async with served(tmp_path) as house, house.seat() as seat:
        waiting = asyncio.create_task(take(seat, 1))
        await settled(1, house.hub)
        house.hub._seats[0].close()
        with pytest.raises(WireError, match="gone"):
            await waiting


async def test_closing_ends_the_messages(tmp_path: Path) -> None:
    """As with a seat in the same process."""
    async with served(tmp_path) as house, house.seat() as seat:
        waiting = asyncio.create_task(take(seat, 1))
        await asyncio.sleep(0.01)
        seat.close()
        seat.close()
        assert await waiting == []


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b'{"type":"Greeting","hemsd":"9.1","protocol":99}\n', "it is hemsd 9.1 and speaks protocol 99"),
        (b'{"type":"Closed","why":"no"}\n', "it does not greet"),
        (b"220 smtp.example.org\n", "this is no socket of hemsd"),
        (b"", "ended before it greeted"),
        (b"y" * 2 * LINE_MAX, "this is no socket of hemsd"),
    ],
)
async def test_another_server_is_told_from_ours(tmp_path: Path, greeting: bytes, why: str) -> None:
    """A daemon of another version, one that is just ending, or something else altogether."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_unix_server(greet, tmp_path / "hub.sock"):
        with pytest.raises(WireError, match=why):
            async with connect(str(tmp_path / "hub.sock")):
                pass


@pytest.mark.parametrize("name", ["none.sock", "x" * 200])
async def test_nobody_there_is_told(tmp_path: Path, name: str) -> None:
    """No such file, or a path that the kernel cannot take."""
    with pytest.raises(WireError, match="nobody answers there"):
        async with connect(str(tmp_path / name)):
            pass


def test_a_message_too_long_for_a_line_is_an_error() -> None:
    """It would be refused at the other end."""
    with pytest.raises(WireError, match="longer than a line may be"):
        encode(
            Event(
                at=datetime.now(UTC),
                source=Domain.CONTROL,
                kind="x",
                severity="info",
                text="x" * LINE_MAX,
            )
        )


def test_what_is_no_text_is_an_error() -> None:
    """One kind of error only, for whoever sends is to go on with the next message."""
    with pytest.raises(WireError, match="a Event cannot be said"):
        encode(Event(at=AT, source=Domain.CONTROL, kind="x", severity="info", text="\udcff"))
