"""A second-generation meter on an IPv6 link: UDP datagrams in, datagrams out.

ECHONET Lite specification part II, 1.2 and 4.3: everything goes to port 3610, whatever port it came from; the
instance list is announced to all (ff02::1) at the start. How such meters admit a controller to their Wi-Fi network is
not published; here whoever is on the link may ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import Random
from typing import NamedTuple

from hemsd.simulator.agenda import Agenda
from hemsd.simulator.answers import answer_s, answers
from hemsd.simulator.faults import Fault, Faults, Spell, Strike
from hemsd.simulator.meter import Meter, Telegram

ADDRESS = "fe80::21c:64ff:fe60:1421"
RESTART_S = 5.0
COPY_S = 0.03  # between an answer and the same once more


class Datagram(NamedTuple):
    """From the meter; to everyone on the link where no address is given."""

    to: str | None
    payload: bytes


class MeterNode:
    """The meter, switched on when `now` is 0. Half-hour values go to the controller that asked last.

    The flaws of answers, the spells of meter and radio and the meter's strikes apply; MOVE_PAN's `arg` is the address
    that it moves to. `address` and `faults` may be looked at and changed while it runs.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        address: str = ADDRESS,
        answer_s: float = 0.05,
        faults: Iterable[Fault] = (),
        seed: int = 1,
    ) -> None:
        self.meter = meter
        self.address = address
        self.faults = Faults(faults)
        self.controller: str | None = None
        self._answer_s = answer_s
        self._agenda = Agenda()
        self._chance = Random(seed)  # noqa: S311 (a simulation, no secret)
        self._outgoing: list[Datagram] = []
        meter.join(0.0)

    def receive(self, sender: str, payload: bytes, now: float, *, multicast: bool = False) -> None:
        """Take a datagram, sent to us or to everyone."""
        self.tick(now)
        if self._silent() or not self.meter.joined:
            return
        if not multicast:
            self.controller = sender
        for copy, (telegram, late_s) in enumerate(answers(self.meter, payload, self.faults, now)):
            usual_s = answer_s(self._answer_s, self.faults, self._chance, now)
            wait_s = usual_s + late_s + copy * COPY_S
            self._agenda.after(wait_s, partial(self._say, telegram, sender))

    def tick(self, now: float) -> None:
        """Let time pass: everything due by `now` happens, in order."""
        while (due := self.deadline()) is not None and due <= now:
            self._turn(due)
        self._agenda.run(now)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        dues = (self._agenda.deadline(), self.meter.deadline(), self.faults.deadline())
        return min((due for due in dues if due is not None), default=None)

    def outgoing(self) -> list[Datagram]:
        """What it sends, in order; empties."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _turn(self, due: float) -> None:
        self._agenda.run(due)
        strikes = self.faults.turn(due)
        self.meter.object.overrides = dict(spell.arg for spell in self.faults.held(Spell.VALUE, due))
        for fault in strikes:
            self._strike(fault, due)
        self.meter.tick(due)
        for telegram in self.meter.outgoing():
            self._say(telegram, self.controller)

    def _strike(self, fault: Fault, now: float) -> None:
        match fault.kind:
            case Strike.MOVE_PAN:
                self.address = fault.arg
                self._restart()
            case Strike.METER_RESTARTS:
                self._restart()
            case Strike.METER_EXCHANGED:
                plate, self.address = fault.arg
                self.meter.exchange(plate, now)
                self._restart()
            case Strike.METER_SET_UP:
                self.meter.object.change_plate(fault.arg)
            case Strike.GREET:
                for _ in range(fault.times):
                    self.meter.greet()
            case Strike.NOTIFY:
                self.meter.notify(now)
            case Strike.METER_ASKS:
                self.meter.ask(fault.arg)
            case Strike.METER_STATUS:
                epc, edt = fault.arg
                self.meter.change(epc, edt, now)

    def _restart(self) -> None:
        self.controller = None
        self.meter.leave()
        self._agenda.after(RESTART_S, lambda: self.meter.join(self._agenda.now))

    def _silent(self) -> bool:
        """Whether one datagram, either way, is lost."""
        held, now = self.faults.held, self._agenda.now
        if any(held(kind, now) for kind in (Spell.RADIO_LOST, Spell.METER_SILENT, Spell.METER_OFF)):
            return True
        return any(self._chance.random() < noise.arg for noise in held(Spell.NOISE, now))

    def _say(self, telegram: Telegram, to: str | None) -> None:
        if not self._silent() and (telegram.multicast or to is not None):
            self._outgoing.append(Datagram(None if telegram.multicast else to, telegram.payload))
