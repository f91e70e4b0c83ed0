"""The hall between the domains, in memory: messages pass where the routes open a door, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple, Protocol, TypeVar

from hemsd.hub.latest import Latest
from hemsd.hub.messages import (
    Backfill,
    Domain,
    Event,
    Health,
    HistoryAnswer,
    HistoryQuery,
    IsolationStatus,
    Message,
    MeterProperty,
    ReadMeter,
    Records,
    RecordsAfter,
    UserRequest,
    UserResponse,
)
from hemsd.hub.queue import Queue
from hemsd.hub.routes import Routes

REPORT_EVERY_S = 60.0  # at most one event for each kind of denial or loss

_RECEIVER: Mapping[type[Message], Callable[[Message], Domain]] = {
    kind: attrgetter("to") for kind in (MeterProperty, UserResponse, Records, HistoryAnswer)
}
"""Whom an answer is meant for."""

_CLAIMED: Mapping[type[Message], Callable[[Message], Domain]] = {
    **{kind: attrgetter("asker") for kind in (ReadMeter, Backfill, RecordsAfter, HistoryQuery, UserRequest)},
    **{kind: attrgetter("source") for kind in (Event, Health, IsolationStatus)},
}
"""Who the message says is speaking; anyone but its sender would be a forgery."""

_NOBODY: frozenset[Domain] = frozenset()

M = TypeVar("M", bound=Message)

_log = logging.getLogger("hemsd.hub")


class Denial(NamedTuple):
    """A kind of message that was not let through; `to` is None where it named no receiver."""

    sender: Domain
    message: str
    to: Domain | None


class Loss(NamedTuple):
    """A kind of message dropped or refused because this receiver does not keep up."""

    to: Domain
    message: str


class Place(Protocol):
    """A domain's place in a hub, wherever that is: Seat, or hemsd.hub.wire.RemoteSeat."""

    def publish(self, message: Message) -> None:
        """Hand a message to whoever may hear it; never blocks."""

    def messages(self) -> AsyncIterator[Message]:
        """What this domain may hear, in order, until close(). For one reader at a time, which may be busy."""

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """The same, handed on as it is published; raises what `hear` raises, which is to take no time."""

    def close(self) -> None:
        """Leave: messages() and listen() end. Safe to call twice."""


class Hall(Protocol):
    """Where domains take their places: the Hub, or what stands for it in another process."""

    def seat(self, domain: Domain) -> Place:
        """Take one; it hears how things stand, then what is published from now on."""


def say(hall: Hall, domain: Domain, *messages: Message) -> None:
    """Publish for a domain from a place that nobody reads at: it is left at once, for what waits there is bounded."""
    place = hall.seat(domain)
    for message in messages:
        place.publish(message)
    place.close()


class Carrier(Protocol):
    """What a seat stands in: the Hub, or what stands for it."""

    def carry(self, message: Message, sender: Seat) -> None:
        """Deliver what a seat published."""

    def leave(self, seat: Seat) -> None:
        """Forget a seat."""


class Seat:
    """A domain's place in the hub; made by seat() of a hall. For use within one event loop."""

    def __init__(self, hub: Carrier, domain: Domain) -> None:
        self.domain = domain
        self._hub = hub
        self._queue = Queue()
        self._hear: Callable[[Message], None] | None = None  # who listens
        self._waiting: asyncio.Future[None] | None = None  # for something to come, or for the end
        self._closed = False

    def publish(self, message: Message) -> None:
        """Hand a message to whoever may hear it; never blocks. A denial is counted and reported, not raised."""
        self._hub.carry(message, self)

    async def messages(self) -> AsyncIterator[Message]:
        """What this domain may hear, in order, until close(). For one reader at a time, which may be busy."""
        while not self._closed:
            if (message := self._queue.take()) is not None:
                yield message
            else:
                await self._wait()

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """The same, handed on as it is published: no queue, no turn of the loop.

        Raises what `hear` raises, which is to take no time; whoever published knows nothing of it.
        """
        while (message := self._queue.take()) is not None:
            hear(message)
        if not self._closed:
            self._hear = hear
            try:
                await self._wait()
            finally:
                self._hear = None

    def close(self) -> None:
        """Leave: what still waits is forgotten, messages() and listen() end. Safe to call twice."""
        self._closed = True
        self._queue = Queue()
        self._hub.leave(self)
        self._wake()

    def put(self, message: Message) -> bool:
        """For the hub: hand on, or add to what waits here; False when something was lost by it."""
        if self._hear is None:
            kept = self._queue.put(message)
            self._wake()
            return kept
        try:
            self._hear(message)
        except Exception as error:
            self._hear = None
            self._wake(error)
        return True

    async def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self, error: Exception | None = None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)


class Hub:
    """Delivers by a table of routes. A domain may hold several seats; no seat hears its own messages.

    A new seat hears at once how things stand: what hemsd.hub.latest keeps of what it may hear.
    `denied` and `lost` count since the start; each kind is also logged once, and reported as an Event hub.denied or
    hub.lost at most once a minute, as far as the routes let events of that domain pass.
    """

    def __init__(self, routes: Routes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.denied: Counter[Denial] = Counter()
        self.lost: Counter[Loss] = Counter()
        self._routes = routes
        self._clock = clock
        self._seats: list[Seat] = []
        self._audiences: dict[frozenset[Domain], tuple[Seat, ...]] = {}  # until somebody comes or goes
        self._delivering = False
        self._waiting: deque[tuple[Message, frozenset[Domain], Seat | None]] = deque()  # until that is done
        self._latest = Latest()
        self._reported: dict[Denial | Loss, float] = {}

    def seat(self, domain: Domain) -> Seat:
        """Take a seat; it hears how things stand, then what is published from now on."""
        seat = Seat(self, domain)
        for sender, message in self._latest:
            if domain in self._routes[sender, type(message)]:
                seat.put(message)
        self._seats.append(seat)
        self._audiences.clear()
        return seat

    def latest(self, kind: type[M]) -> list[M]:
        """The last of a kind that says how things stand."""
        return [message for _, message in self._latest if isinstance(message, kind)]

    def leave(self, seat: Seat) -> None:
        """Forget a seat; see Seat.close()."""
        if seat in self._seats:
            self._seats.remove(seat)
            self._audiences.clear()

    def carry(self, message: Message, sender: Seat) -> None:
        """Deliver what a seat published; see Seat.publish()."""
        kind, domain = type(message), sender.domain
        allowed = self._routes.get((domain, kind))
        to = _RECEIVER[kind](message) if kind in _RECEIVER else None
        if kind in _CLAIMED and (claimed := _CLAIMED[kind](message)) is not domain:
            self._deny(message, domain, to, f"in the name of {claimed.value}")
        elif allowed is None:
            self._deny(message, domain, to, "which it may not send")
        elif to and to not in allowed:
            self._deny(message, domain, to, f"to {to.value}, which may not have it")
        else:
            self._latest.note(message, domain)
            self._deliver(message, frozenset({to}) if to else allowed, sender)

    def _deliver(self, message: Message, to: frozenset[Domain], sender: Seat | None = None) -> None:
        """One message after the other: what is published by one who hears this goes to everyone after this."""
        if self._delivering:
            self._waiting.append((message, to, sender))
            return
        self._delivering = True
        try:
            while True:
                if (audience := self._audiences.get(to)) is None:
                    audience = self._audiences[to] = tuple(seat for seat in self._seats if seat.domain in to)
                for seat in audience:
                    if seat is not sender and not seat.put(message):
                        self._lose(Loss(seat.domain, type(message).__name__))
                if not self._waiting:
                    break
                message, to, sender = self._waiting.popleft()
        finally:
            self._waiting.clear()
            self._delivering = False

    def _deny(self, message: Message, sender: Domain, to: Domain | None, why: str) -> None:
        denial = Denial(sender, type(message).__name__, to)
        self.denied[denial] += 1
        text = f"{sender.value} sent {denial.message} {why}: denied, {self.denied[denial]} so far"
        self._report(denial, sender, "hub.denied", text)

    def _lose(self, loss: Loss) -> None:
        self.lost[loss] += 1
        text = f"{loss.to.value} does not keep up: {loss.message} lost, {self.lost[loss]} so far"
        self._report(loss, loss.to, "hub.lost", text)

    def _report(self, what: Denial | Loss, source: Domain, kind: str, text: str) -> None:
        before, now = self._reported.get(what), self._clock()
        if before is None:
            _log.warning("%s; further ones are counted, not logged", text)
        elif now - before < REPORT_EVERY_S:
            return
        self._reported[what] = now  # first, because this event may itself be one too many for a seat
        event = Event(at=datetime.now(UTC), source=source, kind=kind, severity="warning", text=text)
        self._deliver(event, self._routes.get((source, Event), _NOBODY))
