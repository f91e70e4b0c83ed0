"""The link to one meter in the world of asyncio: pumped on a port, waited for, asked, listened to."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from drivers.anymodule import AnyModule
from drivers.module import NO_RADIO, Credentials, Module, Pan, dbm_of
from drivers.ports import Port, Pump
from hemsd.echonet.exchange import Exchange, Finished, Missing, Notification, Request
from hemsd.echonet.frame import Property
from hemsd.hub.messages import Link, MeterStatus
from hemsd.routeb.approach import strength
from hemsd.routeb.errors import MeterNotHeard, NoAnswerInTime, RouteBError
from hemsd.routeb.gate import LIMITED
from hemsd.routeb.link import LinkEvent, MeterLink
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.session import Session
from hemsd.routeb.stages import (
    ESTABLISHED,
    Concluded,
    Contended,
    Lost,
    Online,
    Progress,
    Scanned,
    SessionEvent,
    Stage,
)

T = TypeVar("T")

FEED_LIMIT = 64  # items that a slow listener may leave unread; then it misses the oldest

log = logging.getLogger(__name__)


class _Feed(Generic[T]):
    """Hands each item to everyone who listens at that time."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    def put(self, item: T) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(item)

    async def items(self) -> AsyncIterator[T]:
        queue: asyncio.Queue[T] = asyncio.Queue(FEED_LIMIT)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


class Connection:
    """One meter through the module on an open port, which it owns; `module` and `port` take the same items.

    Entering starts nothing but the pump: online(), scan() or the first request sets out. Leaving closes the port and
    leaves the session in the module. With `persist` it tries as long as the port may be of use; without, the first
    conclusion is raised to everyone. `logbook` outlives it, for the next one. Errors: RouteBError, and PortError once
    the port is lost. Cancelling any call breaks nothing.
    """

    def __init__(
        self,
        port: Port[Any],
        credentials: Credentials | None,
        *,
        remembered: Pan | None = None,
        module: Module[Any] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        persist: bool = False,
        logbook: Logbook | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._port = port
        self._by_radio = credentials is not None
        self._on_progress = on_progress
        self._clock = clock
        self.logbook = logbook or Logbook(random.random)
        self._session = Session(credentials, remembered, persist=persist, logbook=self.logbook)
        kind = _LoggedExchange if log.isEnabledFor(logging.DEBUG) else Exchange
        exchange = kind(first_tid=secrets.randbelow(0x10000))
        exchange.counters, exchange.unanswered = self.logbook.counters, self.logbook.unanswered
        self._link = MeterLink(module or AnyModule(), self._session, exchange)
        self._waiting: dict[Request, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self._changes: _Feed[SessionEvent] = _Feed()
        self._notifications: _Feed[Notification] = _Feed()
        self._begun = False
        self._was_online = False
        self._failure: BaseException | None = None  # why there is nothing to wait for any more
        self._trouble: RouteBError | None = None  # the last conclusion, while not online
        self._doing = ""
        self._since = clock()
        self._scanned: Scanned | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._pump = Pump(self._link, self._port, self._on_event)
        self._pumping = asyncio.create_task(self._pump.run(), name="meter pump")
        self._pumping.add_done_callback(self._pump_ended)
        await asyncio.sleep(0)  # now the pump runs
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pumping.cancel()
        await asyncio.wait([self._pumping])
        await self._port.close()

    # --- how it stands

    @property
    def is_online(self) -> bool:
        """Whether there is a session, be it gated for the moment."""
        return self._session.stage in ESTABLISHED

    @property
    def link(self) -> Link:
        """The radio link as last heard."""
        pan, gate = self._session.pan, self._session.gate
        if pan is None or pan.channel == NO_RADIO:
            return Link()
        lqi, dbm = gate.lqi, dbm_of(gate.lqi, gate.rssi_dbm)
        if dbm is None:
            lqi, dbm = pan.lqi, pan.dbm
        return Link(channel=pan.channel, pan_id=f"{pan.pan_id:04X}", lqi=lqi, rssi_dbm=dbm)

    @property
    def status(self) -> MeterStatus:
        """How it stands between us and the meter, now."""
        stage, gate, info = self._session.stage, self._session.gate, self._session.info
        now, at = self._loop.time(), self._clock()
        heard = None if gate.heard_at is None else timedelta(seconds=now - gate.heard_at)
        return MeterStatus(
            online=self.is_online,
            stage=(Stage.GATED if stage is Stage.ONLINE and gate.limited else stage).value,
            detail=LIMITED if gate.limited else self._doing if self._trouble is None else str(self._trouble),
            trouble="" if self._trouble is None else self._trouble.trouble,
            since=self._since,
            last_heard_at=None if heard is None else at - heard,
            link=self.link,
            module="" if info is None or not info.firmware else f"{info.family.value}, firmware {info.firmware}",
            port=self._port.name,
            contended=self.logbook.contention.holds(now),
            radio=self.logbook.health(now, at),
        )

    def overdue_s(self) -> float:
        """How long ago the machines' own deadline passed unheeded (for a watchdog)."""
        return self._pump.overdue_s()

    # --- waiting and listening

    async def online(self) -> None:
        """Wait until the meter is online; sets out for it the first time."""
        self._begin()
        while not self.is_online:
            await self._change()

    async def scan(self) -> list[Pan]:
        """The PANs that answer with our pairing ID, best first; to be called instead of online().

        Raises MeterNotHeard where none does.
        """
        self._begin(scan_only=True)
        while self._scanned is None or not self._scanned.last:
            await self._change()
        if not self._scanned.pans:
            raise MeterNotHeard(by_radio=self._by_radio)
        best: dict[str, Pan] = {}
        for pan in sorted(self._scanned.pans, key=strength, reverse=True):
            best.setdefault(pan.mac, pan)
        return list(best.values())

    async def ended(self) -> None:
        """Wait for the end, and raise what it was: the port is lost, or is to be closed and opened again."""
        while True:
            await self._change()

    def offer(self, properties: Mapping[int, bytes]) -> None:
        """What the meter may read of our controller object from now on; it is answered by itself."""
        self._link.offer(properties)

    def selector_moved(self) -> None:
        """A history was not the one selected: somebody else may be at the meter."""
        if self.logbook.contention.selector_moved(self._loop.time()):
            self._changes.put(Contended())

    def changes(self) -> AsyncIterator[SessionEvent]:
        """What happens to the session from now on, without end."""
        return self._changes.items()

    def notifications(self) -> AsyncIterator[Notification]:
        """INF and INFC of the meter from now on, without end; INFC are answered already."""
        return self._notifications.items()

    # --- asking

    async def ask(
        self,
        esv: int,
        properties: Iterable[Property],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - what came in time is returned
    ) -> dict[int, bytes | Missing]:
        """A Get or SetC of the meter, and what every property came to. Raises NoAnswerInTime when offline."""
        if not self._begun:
            await self.online()
        self._check()
        if not self.is_online:
            raise NoAnswerInTime(f"the meter is not reachable now: {self.status.detail}")
        loop = self._loop
        request = self._link.ask(esv, properties, loop.time())
        answered = self._waiting[request] = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _settle, answered)
        self._pump.poke()
        try:
            await answered
        finally:
            if timer is not None:
                timer.cancel()
            if request in self._waiting:
                del self._waiting[request]
                self._link.cancel(request, loop.time())
                self._pump.poke()
        if request.done:
            return request.answers
        return request.answers | dict.fromkeys([each.epc for each in request.wanted], Missing.TIMEOUT)

    # --- inside

    def _begin(self, *, scan_only: bool = False) -> None:
        if not self._begun:
            self._begun = True
            self._link.begin(self._loop.time(), scan_only=scan_only)
            self._pump.poke()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _change(self) -> None:
        """Wait for the next event of the session."""
        self._check()
        await self._changed.wait()

    def _on_event(self, event: LinkEvent) -> None:
        if isinstance(event, Finished):
            if (answered := self._waiting.pop(event.request, None)) is not None:
                _settle(answered)
        elif isinstance(event, Notification):
            self._notifications.put(event)
        else:
            self._on_session(event)

    def _on_session(self, event: SessionEvent) -> None:
        match event:
            case Progress():
                self._doing = event.text
                if self._on_progress is not None:
                    self._on_progress(event)
            case Online():
                self._trouble = None
            case Lost():
                self._fail(NoAnswerInTime(f"the session with the meter was lost: {event.text}"))
            case Concluded():
                self._trouble = event.error
                if self._session.stage is Stage.STOPPED:
                    self._failure = event.error
            case Scanned():
                self._scanned = event
        if self._was_online != self.is_online:
            self._was_online, self._since = self.is_online, self._clock()
        self._changes.put(event)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _fail(self, error: BaseException) -> None:
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            if not answered.done():
                answered.set_exception(error)

    def _pump_ended(self, pumping: asyncio.Task[None]) -> None:
        error = None if pumping.cancelled() else pumping.exception()
        self._failure = error or NoAnswerInTime("the connection to the meter was closed")
        self._fail(self._failure)
        self._wake()


class _LoggedExchange(Exchange):
    """The same, with every frame in the log, at level debug."""

    def send(self, now: float) -> bytes | None:
        if (data := super().send(now)) is not None:
            log.debug("to the meter: %s", data.hex().upper())
        return data

    def receive(self, data: bytes, now: float) -> None:
        log.debug("from the meter: %s", data.hex().upper())
        super().receive(data, now)


def _settle(answered: asyncio.Future[None]) -> None:
    """Let the waiter go on with what there is."""
    if not answered.done():
        answered.set_result(None)
