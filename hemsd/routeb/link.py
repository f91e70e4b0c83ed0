"""The whole way to one meter as a single machine: module, session and exchange. Pure; a pump or a test drives it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from drivers.module import (
    Datagram,
    Done,
    Event,
    Fate,
    Module,
    NoAnswer,
    Refused,
    Send,
    Transmission,
)
from hemsd.echonet.exchange import Exchange, Finished, Notification, QueueFull, Request, Silent
from hemsd.echonet.frame import ESV, Property
from hemsd.echonet.objects import METER
from hemsd.routeb.session import Session
from hemsd.routeb.stages import Lost, Probing, SessionEvent, Stage

PROBE_EPC = 0xE7  # every meter has it
PROBED = (Stage.SURVIVING, Stage.ONLINE)

LinkEvent = SessionEvent | Finished | Notification


class MeterLink:
    """Bytes or packets (as the module takes) and the time go in, the same and events come out; ask() puts requests.

    The module does one thing at a time: what the session wants comes first, then datagrams while the gate is open.
    """

    def __init__(self, module: Module[Any], session: Session, exchange: Exchange) -> None:
        self._module = module
        self._session = session
        self._exchange = exchange
        self._airtime = session.logbook.airtime
        self._probe: Request | None = None
        self._was_open = False
        self._events: list[LinkEvent] = []

    def begin(self, now: float, *, scan_only: bool = False) -> None:
        """Set out for the meter, or only to hear which PANs answer; once."""
        self._session.begin(now, scan_only=scan_only)
        self._turn(now)

    def ask(self, esv: int, properties: Iterable[Property], now: float) -> Request:
        """Ask a Get or SetC of the meter; Finished or Lost follows. Raises QueueFull."""
        request = self._exchange.ask(esv, METER, properties)
        self._turn(now)
        return request

    def cancel(self, request: Request, now: float) -> None:
        """Nobody waits for this answer any more."""
        self._exchange.cancel(request)
        self._turn(now)

    def receive(self, item: Any, now: float) -> None:
        """Take bytes from the line, or a packet."""
        self._module.receive(item, now)
        self._turn(now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._module.tick(now)
        self._session.tick(now)
        self._exchange.tick(now)
        self._turn(now)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        session = self._session
        due = self._module.deadline()
        for other in (session.deadline(), self._exchange.deadline() if session.gate.open else None):
            if other is not None and (due is None or other < due):
                due = other
        return due

    def outgoing(self) -> Sequence[Any]:
        """What is to be written, in order; empties."""
        return self._module.outgoing()

    def events(self) -> list[LinkEvent]:
        """What happened, in order; empties."""
        events, self._events = self._events, []
        return events

    def _turn(self, now: float) -> None:
        """Carry everything on as far as it goes at this moment."""
        module, session, exchange = self._module, self._session, self._exchange
        while True:
            for heard in module.events():
                self._heard(heard, now)
            for happened in exchange.events():
                if isinstance(happened, Silent):
                    session.silent(now)
                else:
                    self._events.append(happened)
            if told := session.events():
                self._tell(told)
            elif module.busy or not self._give(now) or module.busy:
                return

    def _give(self, now: float) -> bool:
        """Give the module, which is free, its next command if there is one."""
        command, gate = self._session.command(), self._session.gate
        if command is None:
            if gate.peer is None or not gate.open or (payload := self._exchange.send(now)) is None:
                return False
            command = Send(gate.peer, payload)
        self._airtime.given(command, now)
        self._module.command(command, now)
        return True

    def _heard(self, event: Event, now: float) -> None:
        session, exchange = self._session, self._exchange
        match event:
            case Datagram():
                if session.accept(event, now):
                    exchange.receive(event.payload, now)
            case Transmission(fate=Fate.SENT):
                exchange.sent(now)
            case Transmission(fate=Fate.FAILED) | Refused(command=Send()) | NoAnswer(command=Send()):
                exchange.unsent(now)
                session.unsent(event, now)
            case Transmission() | Done(command=Send()):
                pass
            case _:
                session.receive(event, now)

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
        if self._was_open and not self._session.gate.open:
            self._exchange.interrupted()
        self._was_open = self._session.gate.open
