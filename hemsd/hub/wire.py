"""The same hub reached over a Unix socket by another process; hemsd.hub.protocol says what the lines are.

One socket is one domain: whoever may open the file speaks as that domain, and cannot claim to be another.

>>> async with connect(path) as seat:
...     seat.publish(ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7,)))
...     async for message in seat.messages(): ...
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from socket import socket
from typing import Any, Final, Union

import msgspec
from msgspec import Struct

from hemsd import __version__
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import Domain, Message
from hemsd.hub.protocol import LINE_MAX, PROTOCOL, mismatch
from hemsd.hub.queue import Queue

PEERS_MAX = 16
UNSENT_MAX = 64 * 1024  # bytes waiting in a connection; more wait in the seat's queue
STALLED_S = 60.0  # a peer that takes nothing for so long is left
GREETING_S = 5.0
CLOSE_S = 1.0  # for the last line to be taken
ACCEPT_RETRY_S = 1.0
NOT_YEARS = (1, 9999)  # in another time zone their ends are no datetime at all

_log = logging.getLogger("hemsd.hub")


class Greeting(Struct, frozen=True, kw_only=True, tag=True):
    """The first line of a server."""

    hemsd: str
    protocol: int
    site: str = ""  # the id of this home; empty where a server does not tell
    refused: str = ""  # why the connection ends at once, in a sentence


class Closed(Struct, frozen=True, kw_only=True, tag=True):
    """The last line of a server that has a reason to leave."""

    why: str


class WireError(Exception):
    """The other end is not there, left, or does not speak our language; the text says which."""


_MESSAGES: Final[tuple[type[Message], ...]] = tuple(Message.__subclasses__())
_FROM_CLIENT: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Union[_MESSAGES])  # noqa: UP007
_FROM_SERVER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Union[(*_MESSAGES, Greeting, Closed)])


def decode(line: bytes) -> Message:
    """A line of a client as a message. Raises WireError, and nothing else, for whatever is none."""
    message: Message = _decoded(_FROM_CLIENT, line)
    return message


def encode(message: Message | Greeting | Closed) -> bytes:
    """A message as a line. Raises WireError for one that is too long, or holds what is no text."""
    try:
        line = msgspec.json.encode(message) + b"\n"
    except ValueError as error:  # half a character, which is what a name that is no UTF-8 is decoded to
        raise WireError(f"a {type(message).__name__} cannot be said: {error}") from None
    if len(line) > LINE_MAX:
        raise WireError(f"a {type(message).__name__} of {len(line)} bytes is longer than a line may be")
    return line


class Server:
    """Gives a seat of `domain` to everyone who connects to a listening socket, to `peers_max` at a time.

    With `closed` nobody gets one, and everyone is told this instead.
    `refused` counts the peers that were left, by reason: closed, too many, malformed, ... `on_peer` is called
    before each gets its seat, `on_left` after each has lost it.
    """

    def __init__(
        self,
        hub: Hub,
        domain: Domain,
        listening: socket,
        *,
        site: str = "",
        peers_max: int = PEERS_MAX,
        closed: str = "",
        on_peer: Callable[[], None] = lambda: None,
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._site = site
        self._peers_max = peers_max
        self._closed = closed
        self._on_left = on_left
        self._hub = hub
        self._domain = domain
        self._listening = listening
        self._on_peer = on_peer
        self._peers = 0

    async def run(self) -> None:
        """Serve until cancelled; that leaves all peers."""
        self._listening.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as peers:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listening)
                except OSError as error:  # no descriptors left, mostly
                    _log.warning("a connection to the %s socket was not taken: %s", self._domain.value, error)
                    await asyncio.sleep(ACCEPT_RETRY_S)
                    continue
                peers.create_task(self._serve(connection), name=f"{self._domain.value} peer")

    async def _serve(self, connection: socket) -> None:
        """One peer from its greeting to its end."""
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_MAX)
        except OSError:
            connection.close()
            return
        writer.transport.set_write_buffer_limits(high=UNSENT_MAX)
        self._peers += 1
        try:
            refused = self._closed or (self._refusal() if self._peers > self._peers_max else "")
            greeting = Greeting(hemsd=__version__, protocol=PROTOCOL, site=self._site, refused=refused)
            writer.write(encode(greeting))
            if refused:
                raise Left("closed" if self._closed else "too many", refused)
            await self._talk(reader, writer)
        except Left as left:
            self.refused[left.kind] += 1
            _log.debug("a peer of the %s socket is left: %s", self._domain.value, left)
            writer.write(encode(Closed(why=str(left))))
        except OSError:
            pass  # it is gone
        finally:
            self._peers -= 1
            await _close(writer)

    def _refusal(self) -> str:
        if self._peers_max == 1:
            return f"another process is here as {self._domain.value}; end one of the two"
        return f"{self._peers_max} connections are the most; close one"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways at once until the peer ends. Raises Left, OSError."""
        self._on_peer()
        seat = self._hub.seat(self._domain)
        hearing = asyncio.create_task(hear(reader, seat), name=f"{self._domain.value} peer, hearing")
        telling = asyncio.create_task(_tell(seat, writer), name=f"{self._domain.value} peer, telling")
        try:
            ended, _ = await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            seat.close()
            for task in (hearing, telling):
                task.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)
            self._on_left()


class Left(Exception):
    """We leave this peer, for this reason."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


async def hear(reader: asyncio.StreamReader, seat: Seat) -> None:
    """Publish what the peer says on its seat until it ends. Raises Left."""
    try:
        while line := await _line(reader):
            seat.publish(decode(line))
            await asyncio.sleep(0)  # one that never pauses holds nobody up
    except WireError as error:
        raise Left("malformed", str(error)) from None


async def _tell(seat: Seat, writer: asyncio.StreamWriter) -> None:
    """Send the peer what it may hear."""
    try:
        async for message in seat.messages():
            writer.write(encode(message))
            async with asyncio.timeout(STALLED_S):
                await writer.drain()
    except WireError as error:
        _log.error("%s", error)
        raise Left("unsaid", str(error)) from None
    except TimeoutError:
        raise Left("stalled", f"nothing was taken for {STALLED_S:g} s") from None


class RemoteSeat:
    """A place in the hub of another process; connect() makes it. To be used as a Seat is. `site` names the home."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, site: str, waiting: Queue | None = None
    ) -> None:
        self.site = site
        self._reader = reader
        self._writer = writer
        self._queue = Queue() if waiting is None else waiting
        self._waiting = asyncio.Event()
        self._closed = False

    def publish(self, message: Message) -> None:
        """Hand a message to the hub; never blocks. What waits for a hub that does not keep up is bounded."""
        if not self._queue.put(message):
            _log.warning("the hub does not keep up: a %s was lost", type(message).__name__)
        self._waiting.set()

    async def messages(self) -> AsyncIterator[Message]:
        """What this domain may hear, in order, until close(). Raises WireError when the other end is gone."""
        while not self._closed:
            try:
                line = await _line(self._reader)
            except OSError as error:
                raise WireError(f"the daemon is gone: {error}") from error
            if self._closed:
                return
            if not line:
                raise WireError("the daemon is gone")
            match _decoded(_FROM_SERVER, line):
                case Closed(why=why):
                    raise WireError(f"the daemon ended the connection: {why}")
                case Message() as message:
                    yield message
                case _:
                    raise WireError("the daemon greeted twice")

    def close(self) -> None:
        """Leave: messages() ends. Safe to call twice."""
        self._closed = True
        self._reader.feed_eof()

    async def send(self) -> None:
        """For connect(): send what is published until cancelled or until the other end is gone."""
        with suppress(OSError):  # messages() tells
            while True:
                self._waiting.clear()
                while (message := self._queue.take()) is not None:
                    try:
                        self._writer.write(encode(message))
                    except WireError as error:  # the others are none the worse for it
                        _log.error("%s", error)
                    await self._writer.drain()
                await self._waiting.wait()


@asynccontextmanager
async def connect(path: str, waiting: Queue | None = None) -> AsyncIterator[RemoteSeat]:
    """A seat in the hub behind a socket; the domain is the socket's. Raises WireError.

    What is in `waiting` is said first; what could not be said is in it afterwards.
    """
    try:
        async with asyncio.timeout(GREETING_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_MAX)
    except (OSError, ValueError) as error:  # ValueError: the kernel takes no path of this length
        raise WireError(f"{path}: nobody answers there: {error}") from error
    writer.transport.set_write_buffer_limits(high=UNSENT_MAX)
    sending: asyncio.Task[None] | None = None
    try:
        greeting = await _greeted(reader, path)
        seat = RemoteSeat(reader, writer, greeting.site, waiting)
        sending = asyncio.create_task(seat.send(), name="hub wire, sending")
        yield seat
    finally:
        try:
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])
        finally:  # we may be cancelled just now
            await _close(writer)


async def _greeted(reader: asyncio.StreamReader, path: str) -> Greeting:
    try:
        async with asyncio.timeout(GREETING_S):
            line = await _line(reader)
        greeting = _decoded(_FROM_SERVER, line) if line else None
    except (TimeoutError, WireError) as error:
        raise WireError(f"{path}: this is no socket of hemsd: {error or 'it says nothing'}") from None
    except OSError as error:
        raise WireError(f"{path}: the daemon ended before it greeted: {error}") from None
    if greeting is None:
        raise WireError(f"{path}: the daemon ended before it greeted")
    if not isinstance(greeting, Greeting):
        raise WireError(f"{path}: this is no socket of hemsd: it does not greet")
    if other := mismatch(greeting.protocol, greeting.hemsd):
        raise WireError(f"{path}: {other}")
    if greeting.refused:
        raise WireError(f"{path}: {greeting.refused}")
    return greeting


def _decoded(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        found = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"hemsd {__version__} does not understand this line: {error}") from None
    if any(time.year in NOT_YEARS for time in _times(found)):
        raise WireError("a time that can be in no calendar of ours")
    return found


def _times(value: object) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _times(getattr(value, name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _times(each)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; empty at the end, where half a line counts for nothing. Raises WireError for one too long."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        raise WireError(f"a line may have {LINE_MAX} bytes") from None


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close without waiting for a peer that takes nothing."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_S):
            await writer.wait_closed()
    except OSError:  # TimeoutError is one
        writer.transport.abort()
