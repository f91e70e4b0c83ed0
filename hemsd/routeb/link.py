"""The whole way to one meter as a single machine: module, session and exchange. Pure; a pump or a test drives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from drivers.module import (
    Datagram,
    Done,
    Event,
    Fate,
    Found,
    Module,
    NoAnswer,
    Refused,
    Send,
    Transmission,
)
from hemsd.echonet.exchange import (
    Exchange,
    ExchangeEvent,
    Finished,
    Notification,
    QueueFull,
    Request,
    Silent,
)
from hemsd.echonet.frame import ESV, Property
from hemsd.echonet.objects import METER
from hemsd.routeb.allowed import objection
from hemsd.routeb.session import Session
from hemsd.routeb.stages import Astray, Lost, Probing, SessionEvent, Stage, Withheld

PROBE_EPC = 0xE7  # every meter has it
PROBED = (Stage.SURVIVING, Stage.ONLINE)
SENT, FAILED = Fate.SENT, Fate.FAILED
HANDED_ON = (Finished, Notification)  # of the exchange; a union would be made anew each time

LinkEvent = SessionEvent | Finished | Notification


class MeterLink:
    """Bytes or packets (as the module takes) and the time go in, the same and events come out; ask() puts requests.

    The module does one thing at a time: what the session wants comes first, then datagrams while the gate is open.
    """

    def __init__(self, module: Module[Any], session: Session, exchange: Exchange) -> None:
        self._drive(module)
        self._session = session
        self._exchange = exchange
        self._gate = session.gate
        self._airtime = session.logbook.airtime
        self._probe: Request | None = None
        self._to: str | None = None  # whom the gate let datagrams be sent to when last seen
        self._events: list[LinkEvent] = []

    def _drive(self, module: Module[Any]) -> None:
        self._module = module
        self.outgoing = module.outgoing  # what is to be written, in order; empties

    def begin(self, now: float, *, scan_only: bool = False) -> None:
        """Set out for the meter, or only to hear which PANs answer; once."""
        self._session.begin(now, scan_only=scan_only)
        self._turn(now)

    def ask(self, esv: int, properties: Iterable[Property], now: float) -> Request:
        """Ask a Get or SetC of the meter; Finished or Lost follows. Raises QueueFull."""
        request = self._exchange.ask(esv, METER, properties)
        self._turn(now)
        return request

    def offer(self, properties: Mapping[int, bytes]) -> None:
        """What the meter may read of our controller object from now on."""
        self._exchange.offered = properties

    def cancel(self, request: Request, now: float) -> None:
        """Nobody waits for this answer any more."""
        self._exchange.cancel(request)
        self._turn(now)

    def receive(self, item: Any, now: float) -> bool:
        """Take bytes from the line, or a packet; False while it is the beginning of something only."""
        if not self._module.receive(item, now):
            return False
        if heard := self._module.events():
            self._turn(now, heard)
        return True

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._module.tick(now)
        self._session.tick(now)
        self._exchange.tick(now)
        self._turn(now, self._module.events())

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        due, other = self._module.deadline(), self._session.deadline()
        if due is None or (other is not None and other < due):
            due = other
        other = None if self._gate.to is None else self._exchange.deadline()
        if due is None or (other is not None and other < due):
            due = other
        return due

    def events(self) -> list[LinkEvent]:
        """What happened, in order; empties."""
        events, self._events = self._events, []
        return events

    def _turn(self, now: float, heard: Sequence[Event] = ()) -> None:
        """Carry everything on as far as it goes at this moment, beginning with what the module said."""
        session, exchange, gate = self._session, self._exchange, self._gate
        while True:
            for event in heard:
                _HEARD.get(type(event), _OTHERS)(self, event, now)
            if gate.to is not self._to:
                self._to = gate.to
                if gate.to is None:
                    exchange.interrupted()
            module = self._module
            if exchange.happened:
                self._hand_on(exchange.events(), now)
            if session.happened:
                self._tell(session.events())
            elif module.busy or not self._give(now) or module.busy:
                return
            heard = module.events()

    def _hand_on(self, events: list[ExchangeEvent], now: float) -> None:
        """What the exchange says, as far as it is not for the session."""
        for event in events:
            if isinstance(event, HANDED_ON):
                self._events.append(event)
            elif isinstance(event, Silent):
                self._session.silent(now)
            else:
                self._gate.dropped["object"] += 1
                self._events.append(Astray(f"one for object {event.frame.deoj:06X} was heard"))

    def _give(self, now: float) -> bool:
        """Give the module, which is free, its next command if there is one. Nothing else sends datagrams."""
        session = self._session
        command = None if session.wanted is None else session.command()
        if command is None:
            to = self._gate.to
            if to is None or (payload := self._exchange.send(now)) is None:
                return False
            if reason := objection(payload):
                self._withhold(reason)
                return True  # there may be another
            command = Send(to, payload)
        self._airtime.given(command, now)
        self._module.command(command, now)
        return True

    def _withhold(self, reason: str) -> None:
        """What is just to be sent must not leave: a mistake of ours, counted and told."""
        self._gate.dropped[f"not sent: {reason}"] += 1
        self._exchange.withheld()
        self._events.append(Withheld(reason))

    def _received(self, event: Datagram, now: float) -> None:
        if self._session.accept(event, now):
            self._exchange.receive(event.payload, now)

    def _transmitted(self, event: Transmission, now: float) -> None:
        if event.fate is SENT:
            self._exchange.sent(now)
        elif event.fate is FAILED:
            self._unsent(event, now)

    def _ended(self, event: Done | Refused | NoAnswer, now: float) -> None:
        if not isinstance(event.command, Send):
            self._session.receive(event, now)
        elif not isinstance(event, Done):
            self._unsent(event, now)

    def _unsent(self, event: Transmission | Refused | NoAnswer, now: float) -> None:
        self._exchange.unsent(now)
        self._session.unsent(event, now)

    def _of_session(self, event: Event, now: float) -> None:
        self._session.receive(event, now)

    def _found(self, event: Found, now: float) -> None:
        self._drive(event.module)

    def _ask_probe(self) -> None:
        if self._probe is None or self._probe.done:
            with suppress(QueueFull):  # then there is enough to be answered
                self._probe = self._exchange.ask(ESV.GET, METER, [Property(PROBE_EPC)])

    def _tell(self, told: list[SessionEvent]) -> None:
        """Hand on what the session says, and let the exchange know what it means for the requests."""
        for event in told:
            if isinstance(event, Probing):
                self._ask_probe()
            else:
                self._events.append(event)
            if isinstance(event, Lost):
                self._exchange.clear()
        if self._probe is not None and self._session.stage not in PROBED:
            self._exchange.cancel(self._probe)
            self._probe = None


_HEARD: Mapping[type[Event], Callable[[MeterLink, Any, float], None]] = {
    Datagram: MeterLink._received,
    Transmission: MeterLink._transmitted,
    Done: MeterLink._ended,
    Refused: MeterLink._ended,
    NoAnswer: MeterLink._ended,
    Found: MeterLink._found,
}
"""What is done about an event of the module; the others are the session's."""
_OTHERS = MeterLink._of_session
