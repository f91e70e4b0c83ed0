"""What every simulated Wi-SUN module is, whatever it speaks: powered, plugged in, on the air, and beset by faults.

Time is an argument everywhere, in seconds from 0; whoever plays with a module calls receive(), tick() by deadline(),
and outgoing().
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random

from hemsd.simulator.agenda import Agenda
from hemsd.simulator.air import Air, Fate, Signal
from hemsd.simulator.faults import Fault, Faults, Flaw, Spell, Strike
from hemsd.simulator.meter import Meter
from hemsd.simulator.radio import Beacon, Datagram, Network, Timing


class Board(ABC):
    """A module on the table, powered up; what is in the air is up to `meter`, `network` and `faults`.

    `meter`, `air` and `faults` may be looked at and changed while it runs. A module makes its own things and calls
    _power_up() at the end of its __init__, and hears of the air as air.Listener says.
    """

    def __init__(self, meter: Meter, network: Network, timing: Timing, faults: Iterable[Fault], seed: int) -> None:
        self.meter = meter
        self.faults = Faults(faults)
        self._agenda = Agenda()
        self._chance = Random(seed)  # noqa: S311 (a simulation, no secret)
        self.air = Air(
            meter,
            network,
            timing=timing,
            agenda=self._agenda,
            faults=self.faults,
            chance=self._chance,
            listener=self,
        )
        self._outgoing: list[bytes] = []
        self._plugged = True
        self._dead = False
        self._held_back: list[bytes] = []  # behind a message that stalls
        self._holds_until: float | None = None

    @abstractmethod
    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the line."""

    @property
    @abstractmethod
    def baudrate(self) -> int:
        """What the line has to be set to."""

    @property
    def rtscts(self) -> bool:
        """Whether it prints only to who has set flow control."""
        return False

    @abstractmethod
    def _power_up(self) -> None:
        """Everything as after a power cut; what was held back is gone."""
        self._held_back = []
        self._holds_until = None

    # --- what the air tells

    @abstractmethod
    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None: ...
    @abstractmethod
    def beacon(self, beacon: Beacon) -> None: ...
    @abstractmethod
    def listened(self, channel: int) -> None: ...
    @abstractmethod
    def levels(self, levels: dict[int, int]) -> None: ...
    @abstractmethod
    def datagram(self, datagram: Datagram) -> None: ...
    @abstractmethod
    def undeciphered(self) -> None: ...
    @abstractmethod
    def pong(self, address: str) -> None: ...

    # --- time

    def tick(self, now: float) -> None:
        """Let time pass: everything due by `now` happens, in order."""
        while (due := self.deadline()) is not None and due <= now:
            self._turn(due)
        self._agenda.run(now)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        dues = (self._agenda.deadline(), self.meter.deadline(), self.faults.deadline(), self._holds_until)
        return min((due for due in dues if due is not None), default=None)

    def outgoing(self) -> list[bytes]:
        """What appears on the line, in order; empties."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    @property
    def plugged(self) -> bool:
        """Whether the USB stick is in its socket."""
        return self._plugged

    def _turn(self, due: float) -> None:
        self._agenda.run(due)
        strikes = self.faults.turn(due)
        self.meter.object.overrides = dict(spell.arg for spell in self.faults.held(Spell.VALUE, due))
        for fault in strikes:
            self._strike(fault)
        plugged = not self.faults.held(Spell.UNPLUGGED, due)
        if plugged != self._plugged:
            self._plugged, self._dead = plugged, False
            self._power_up()
        if self.faults.held(Spell.METER_OFF, due):
            self.meter.leave()
        if self._holds_until is not None and self._holds_until <= due:
            self._holds_until = None
            self._outgoing += self._held_back
            self._held_back = []
        self.meter.tick(due)
        self.air.relay()

    def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case Strike.REBOOT:
                self._power_up()
            case Strike.DIE:
                self._dead = True
            case Strike.GARBAGE:
                self._emit(fault.arg)
            case _:
                self.air.strike(fault)

    def _brown_out(self) -> None:
        """The supply dips: a byte or two of rubbish, and all begins anew."""
        self._emit(b"\0\xf8")
        self._power_up()

    def _speechless(self) -> bool:
        held, now = self.faults.held, self._agenda.now
        return bool(self._dead or held(Spell.HANG, now) or held(Spell.UNPLUGGED, now))

    def _spoil(self, text: bytes) -> bytes:
        now = self._agenda.now
        if self.faults.take(Flaw.ANSWER_DAMAGED, now):
            text = text[: len(text) // 2] + text[len(text) // 2 + 1 :]
        if stall := self.faults.take(Flaw.ANSWER_STALLED, now):
            self._emit(text[: len(text) // 2])
            self._holds_until = now + stall.seconds
            text = text[len(text) // 2 :]
        return text

    def _emit(self, data: bytes) -> None:
        if not self._speechless():
            (self._outgoing if self._holds_until is None else self._held_back).append(data)
