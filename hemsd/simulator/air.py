"""The radio side of a simulated module: scanning, authentication, sending, and what the meter sends by itself.

Says what happens to whoever listens; how that looks on the serial line is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from random import Random
from typing import Protocol

from hemsd.simulator.agenda import Agenda, Play
from hemsd.simulator.answers import answer_s, answers
from hemsd.simulator.faults import Fault, Faults, Flaw, Spell, Strike
from hemsd.simulator.meter import Meter, Telegram
from hemsd.simulator.pana import authentication
from hemsd.simulator.radio import BROADCAST, CHANNELS, Beacon, Datagram, Duty, Network, Timing

ECHONET_PORT = 3610
PANA_PORT = 716
RENEWAL = 0.8  # of the lifetime: when a module authenticates again by itself
ALL_STEPS, UNTIL_CHALLENGE = 4, 2  # of an authentication


class Busy(Exception):
    """What was asked cannot be done in this state."""


class Signal(Enum):
    """What happens in the air, apart from beacons and datagrams."""

    NEIGHBOUR_FOUND = 0x02
    LEVELS_DONE = 0x1F
    BEACON = 0x20
    SENT = 0x21  # with a Fate
    SCAN_DONE = 0x22
    JOIN_FAILED = 0x24
    JOINED = 0x25
    PEER_CLOSED = 0x26
    CLOSED = 0x27
    CLOSE_UNANSWERED = 0x28
    EXPIRED = 0x29
    LIMITED = 0x32
    RELEASED = 0x33


class Fate(Enum):
    """Of a datagram given to the radio."""

    SENT = "00"
    FAILED = "01"
    SOLICITING = "02"


class Listener(Protocol):
    """Who is told. Where no address is given it is the module's own."""

    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None: ...
    def beacon(self, beacon: Beacon) -> None: ...
    def listened(self, channel: int) -> None: ...
    def levels(self, levels: dict[int, int]) -> None: ...
    def datagram(self, datagram: Datagram) -> None: ...
    def undeciphered(self) -> None: ...
    def pong(self, address: str) -> None: ...


class Air:
    """One module's radio and one meter.

    The module sets `tuned` (channel, PAN ID), `renews`, `patience_s` and `gates_plain`.
    """

    def __init__(
        self,
        meter: Meter,
        network: Network,
        *,
        timing: Timing,
        agenda: Agenda,
        faults: Faults,
        chance: Random,
        listener: Listener,
    ) -> None:
        self.meter = meter
        self.network = network
        self.tuned = (0, 0)
        self.renews = True
        self.gates_plain = True  # during an authentication nothing is sent, not even in plaintext
        self.patience_s = (timing.join_limit_s, timing.join_limit_s)  # with a meter that is silent, or that refuses
        self.challenged = False  # by the meter, in the last authentication
        self.neighbours: dict[str, str] = {}  # address: MAC
        self.duty = Duty(timing.duty_limit_s)
        self._limited_until: float | None = None
        self._timing = timing
        self._agenda = agenda
        self._faults = faults
        self._chance = chance
        self._listener = listener
        self._session: object | None = None
        self._peer = network.address
        self._credentials = ("", "")
        self._occupied = False  # scanning or authenticating
        self._gated = False  # nothing may be sent
        self._closed_at = -timing.after_close_s

    @property
    def limited(self) -> bool:
        """Whether the hourly limit of transmission forbids to send."""
        return self._limited_until is not None

    @property
    def joined(self) -> bool:
        """Whether the module holds a session."""
        return self._session is not None

    def drop(self) -> None:
        """Forget everything, as at a reset, but not the law. The meter is not told."""
        self._agenda.clear()
        if self._limited_until is not None:
            self._agenda.after(self._limited_until - self._agenda.now, self._release)
        self._session = None
        self._occupied = self._gated = False
        self.neighbours.clear()

    def scan(self, mask: int, duration: int, pairing_id: str | None, *, measure: bool = False) -> None:
        """Listen on each channel of the mask: for beacons, or (measure) how much noise there is."""
        self._claim()
        self._agenda.play(self._scan(mask, duration, pairing_id, measure))

    def join(self, address: str, route_b_id: str, password: str) -> None:
        """Authenticate with the meter at this address, on the channel and PAN tuned to."""
        self._claim()
        self._peer, self._credentials = address, (route_b_id, password)
        self._agenda.play(self._authenticate())

    def rejoin(self) -> None:
        """Authenticate again within the session."""
        if not self.joined:
            raise Busy
        self._claim()
        self._agenda.play(self._authenticate())

    def leave(self) -> None:
        """Close the session."""
        if not self.joined:
            raise Busy
        self._agenda.play(self._close())

    def ping(self, address: str) -> None:
        """Ask for an echo; there is none from where nobody is."""
        if self.reaches(address):
            self._agenda.after(self._timing.solicit_s, lambda: self._listener.pong(address))

    def send(
        self,
        to: str,
        port: int,
        security: int,
        payload: bytes,
        done: Callable[[], None],
        settled: Callable[[Fate], None] = lambda _: None,
    ) -> None:
        """Send a datagram; `security` 0: plain, 1: encrypted or not at all, 2: encrypted where possible.

        It is `done` when its solicitation, or itself, has gone out or not, and `settled` when itself has.
        """
        gated = self._gated and (security > 0 or self.gates_plain)
        if gated or self._faults.take(Flaw.SEND_REFUSED, self._agenda.now):
            raise Busy
        self._agenda.play(self._send(to, port, security, payload, done, settled))

    def reaches(self, address: str) -> bool:
        """Whether what is sent to this address is acknowledged."""
        there = (self.network.address, self.network.channel, self.network.pan_id)
        return (address, *self.tuned) == there and self._gets_through()

    def finds(self, channel: int, pairing_id: str | None) -> bool:
        """Whether the meter answers on this channel to who asks for this pairing ID, or for anybody."""
        asked = not self.limited and (pairing_id is None or pairing_id == self.network.route_b_id[-8:])
        return asked and channel == self.network.channel and self._gets_through()

    def relay(self) -> None:
        """Deliver what the meter announced by itself."""
        for telegram in self.meter.outgoing():
            self._deliver(telegram)

    def strike(self, fault: Fault) -> None:
        """Something happens to the session, the law or the meter."""
        now = self._agenda.now
        match fault.kind:
            case Strike.EXPIRE:
                self._expire(self._session)
            case Strike.PEER_CLOSES if self.joined:
                self._end(Signal.PEER_CLOSED)
            case Strike.LOSE_SESSION if self.joined:
                self.challenged = False
                self._end(Signal.JOIN_FAILED)
            case Strike.LIMIT:
                self._limit(fault.seconds)
            case Strike.MOVE_PAN:
                channel, pan_id = fault.arg
                self.network = self.network.moved(channel, pan_id)
                self.meter.leave()
            case Strike.METER_RESTARTS:
                self.meter.leave()
            case Strike.METER_EXCHANGED:
                plate, mac = fault.arg
                self.network = self.network.exchanged(mac)
                self.meter.exchange(plate, now)
            case Strike.METER_SET_UP:
                self.meter.object.change_plate(fault.arg)
            case Strike.NOTIFY:
                self.meter.notify(now)
            case Strike.GREET:
                for _ in range(fault.times):
                    self.meter.greet()
            case Strike.METER_ASKS:
                self.meter.ask(fault.arg)
            case Strike.METER_STATUS:
                epc, edt = fault.arg
                self.meter.change(epc, edt, now)
            case Strike.FORGET_NEIGHBOUR:
                self.neighbours.clear()
        self.relay()

    def _holds(self, spell: Spell) -> bool:
        return bool(self._faults.held(spell, self._agenda.now))

    def _gets_through(self) -> bool:
        """Whether one transmission, either way, arrives."""
        if self._holds(Spell.RADIO_LOST) or self._holds(Spell.METER_OFF):
            return False
        return all(self._chance.random() >= noise.arg for noise in self._faults.held(Spell.NOISE, self._agenda.now))

    def _claim(self) -> None:
        if self._occupied:
            raise Busy
        self._occupied = self._gated = True

    def _scan(self, mask: int, duration: int, pairing_id: str | None, measure: bool) -> Play:
        levels = {}
        yield self._timing.send_s
        for place, channel in enumerate(CHANNELS):
            if not mask >> place & 1:
                continue
            yield self._timing.dwell_s * (2**duration + 1)
            noisy = self._holds(Spell.NOISE)
            levels[channel] = self._chance.randrange(188, 203) if noisy else self._chance.randrange(8, 40)
            if not measure and duration >= self.network.scan_threshold and self.finds(channel, pairing_id):
                self._listener.signal(Signal.BEACON)
                self._listener.beacon(Beacon(self.network, pairing_id is not None))
            self._listener.listened(channel)
        self._occupied = self._gated = False
        if measure:
            self._listener.signal(Signal.LEVELS_DONE)
            self._listener.levels(levels)
        else:
            self._listener.signal(Signal.SCAN_DONE)

    def _authenticate(self) -> Play:
        """PANA as it is seen from the serial line; ends in JOINED, or in JOIN_FAILED after the module's retries."""
        began = self._agenda.now
        yield from self._call_on(self._peer)
        payloads = authentication(self._chance, self.network.route_b_id, self._timing.lifetime_s)
        steps = self._steps()
        self.challenged = steps >= UNTIL_CHALLENGE
        for payload in payloads[:steps]:
            yield self._timing.pana_step_s
            if not self.reaches(self._peer):
                break
            self._listener.datagram(self._from_meter(PANA_PORT, payload, secured=False))
            self.duty.add(len(payload), self._agenda.now)
            self._listener.signal(Signal.SENT, self._peer, Fate.SENT)
        else:
            if steps == ALL_STEPS:
                self._admit()
                return
        yield max(began + self.patience_s[self.challenged] - self._agenda.now, 0)
        self._occupied = self._gated = False
        self._end(Signal.JOIN_FAILED)

    def _call_on(self, address: str) -> Play:
        """The first word to the peer: its neighbour solicitation, or the datagram itself."""
        yield self._timing.send_s
        if self.limited:
            self._listener.signal(Signal.SENT, address, Fate.FAILED)
            return
        if address in self.neighbours:
            self._listener.signal(Signal.SENT, address, Fate.SENT if self.reaches(address) else Fate.FAILED)
            return
        self._listener.signal(Signal.SENT, address, Fate.SOLICITING)
        yield self._timing.solicit_s
        if self.reaches(address):
            self.neighbours[address] = self.network.mac
            self._listener.signal(Signal.NEIGHBOUR_FOUND, address)

    def _steps(self) -> int:
        """How far the meter goes along with this authentication."""
        now = self._agenda.now
        early = now < self._closed_at + self._timing.after_close_s or self._holds(Spell.OCCUPIED)
        if early or self.limited or not self.reaches(self._peer) or self._holds(Spell.METER_SILENT):
            return 0
        expected = (self.network.route_b_id, self.network.password)
        if self._credentials != expected or self._faults.take(Flaw.JOIN_FAILS, now):
            return UNTIL_CHALLENGE
        return ALL_STEPS

    def _admit(self) -> None:
        session = self._session = object()
        self._occupied = self._gated = False
        self._listener.signal(Signal.JOINED, self._peer)
        lifetime_s = self._timing.lifetime_s
        self._agenda.after(RENEWAL * lifetime_s, lambda: self._renew(session))
        self._agenda.after(lifetime_s, lambda: self._expire(session))
        self.meter.join(self._agenda.now)

    def _renew(self, session: object) -> None:
        """A module with its register S17 set authenticates again before the lifetime is over; sending goes on."""
        if self._session is session and self.renews and not self._occupied and self.reaches(self._peer):
            self._occupied = True
            self._agenda.play(self._authenticate())

    def _expire(self, session: object | None) -> None:
        if session is None or self._session is not session:
            return
        self._listener.signal(Signal.EXPIRED, self._peer)
        self._session = None
        self.meter.leave()
        if self.renews:
            self._occupied = self._gated = True
            self._agenda.play(self._authenticate())

    def _end(self, signal: Signal) -> None:
        self._session = None
        self.meter.leave()
        self._listener.signal(signal, self._peer)

    def _close(self) -> Play:
        spoilt = self._faults.take(Flaw.CLOSE_UNANSWERED, self._agenda.now)
        unanswered = spoilt or self.limited or not self.reaches(self._peer)
        yield self._timing.join_limit_s if unanswered else self._timing.close_s
        self._closed_at = self._agenda.now
        self._end(Signal.CLOSE_UNANSWERED if unanswered else Signal.CLOSED)

    def _send(
        self,
        to: str,
        port: int,
        security: int,
        payload: bytes,
        done: Callable[[], None],
        settled: Callable[[Fate], None],
    ) -> Play:
        yield self._timing.send_s
        spoilt = self._faults.take(Flaw.SEND_FAILS, self._agenda.now)
        if spoilt or self.limited or (security == 1 and not self.joined):
            self._listener.signal(Signal.SENT, to, Fate.FAILED)
            done()
            settled(Fate.FAILED)
            return
        self.duty.add(len(payload), self._agenda.now)
        soliciting = to != BROADCAST and to not in self.neighbours
        if soliciting:
            self._listener.signal(Signal.SENT, to, Fate.SOLICITING)
            done()
            yield self._timing.solicit_s
        sent = to == BROADCAST or self.reaches(to)
        if soliciting and sent:
            self.neighbours[to] = self.network.mac
            self._listener.signal(Signal.NEIGHBOUR_FOUND, to)
        self._listener.signal(Signal.SENT, to, Fate.SENT if sent else Fate.FAILED)
        if not soliciting:
            done()
        settled(Fate.SENT if sent else Fate.FAILED)
        if sent and port == ECHONET_PORT and security and self.joined:
            self._ask(payload)
        self._limit(self.duty.exceeded_for_s(self._agenda.now))

    def _limit(self, seconds: float) -> None:
        if seconds > 0 and not self.limited:
            self._limited_until = self._agenda.now + seconds
            self._listener.signal(Signal.LIMITED)
            self._agenda.after(seconds, self._release)

    def _release(self) -> None:
        self._limited_until = None
        self._listener.signal(Signal.RELEASED)

    def _ask(self, payload: bytes) -> None:
        """The meter gets an encrypted datagram, and answers it if it knows the session."""
        now = self._agenda.now
        if not self.meter.joined or not self.reaches(self.network.address) or self._holds(Spell.METER_SILENT):
            return
        for copy, (telegram, late_s) in enumerate(answers(self.meter, payload, self._faults, now)):
            usual_s = answer_s(self._timing.answer_s, self._faults, self._chance, now)
            wait_s = usual_s + late_s + copy * self._timing.send_s
            self._agenda.after(wait_s, partial(self._deliver, telegram))

    def _deliver(self, telegram: Telegram) -> None:
        heard = self.joined and self.meter.joined and self.reaches(self.network.address)
        if not heard or self._holds(Spell.METER_SILENT):
            return
        if self._faults.take(Flaw.UNDECIPHERED, self._agenda.now):
            self._listener.undeciphered()
        else:
            self._listener.datagram(self._from_meter(ECHONET_PORT, telegram.payload, telegram.multicast))

    def _from_meter(self, port: int, payload: bytes, multicast: bool = False, *, secured: bool = True) -> Datagram:
        lqi = min(max(self.network.lqi + self._chance.randrange(-3, 4), 0), 0xFF)
        return Datagram(BROADCAST if multicast else "", port, secured, payload, lqi)
