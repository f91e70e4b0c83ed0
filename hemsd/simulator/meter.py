"""A smart meter as an ECHONET Lite node: datagrams in, datagrams out, whatever radio or network carries them.

ECHONET Lite specification part II (frames, services) and the interface specification between smart meter and
controller (at most six properties in a frame, half-hour values announced within five minutes).
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from hemsd.simulator.agenda import Agenda, Play
from hemsd.simulator.appendix import HALF_HOUR, MeterObject, Plate, node_profile
from hemsd.simulator.household import Household

METER = bytes.fromhex("028801")
NODE = bytes.fromhex("0EF001")
CONTROLLER = bytes.fromhex("05FF01")
HISTORIES = (b"\xe2", b"\xe4", b"\xec", b"\xee")
SETI, GET, GET_SNA, GET_RES, INF, INFC = 0x60, 0x62, 0x52, 0x72, 0x73, 0x74
DONE, IMPOSSIBLE = 0x10, -0x10  # what becomes of a request's ESV: 61 -> 71 or 51
GREETING_S = 0.4  # from authentication to the instance list
CONFIRMATION_WAIT_S = 20.0  # an INFC unanswered for so long is sent again
CONFIRMATION_TRIES = 3

Properties = list[tuple[int, bytes]]


class Telegram(NamedTuple):
    """A datagram of the meter's: to everyone (FF02::1) or to its controller."""

    payload: bytes
    multicast: bool = False


class Meter:
    """The node with its two objects. `start` is the true wall time (JST, naive) when `now` is 0.

    `limit_properties` and `limit_bytes` (of properties with their codes and lengths) bound what one answer
    holds: what is beyond them is left out and the answer's ESV is `shortened_esv`, as weak meters do.
    With `confirmed` half-hour values are sent as INFC, and again until confirmed.
    Nothing is announced while no controller is authenticated: see join() and leave().
    """

    def __init__(
        self,
        household: Household,
        *,
        start: datetime,
        plate: Plate = Plate(),  # noqa: B008 (frozen)
        limit_properties: int = 6,
        limit_bytes: int | None = None,
        shortened_esv: int = 0x52,
        confirmed: bool = False,
        drift_s: float = 0.0,
    ) -> None:
        drift = timedelta(seconds=drift_s)
        self.object = MeterObject(household, plate, drift)
        self.joined = False
        self.read: list[tuple[int, Properties]] = []  # ESV and properties of what the controller answered to ask()
        self._clock_zero = start + drift
        self._profile = node_profile(plate)
        self._limits = limit_properties, limit_bytes
        self._shortened_esv = shortened_esv
        self._confirmed = confirmed
        self._agenda = Agenda()
        self._outgoing: list[Telegram] = []
        self._unconfirmed: set[int] = set()
        self._tid = 0
        self._agenda.play(self._half_hours())

    def clock(self, now: float) -> datetime:
        """The meter's own wall clock."""
        return self._clock_zero + timedelta(seconds=int(now))

    def answer(self, frame: bytes, now: float) -> Telegram | None:
        """What the meter answers to a datagram, if anything."""
        try:
            head, tid, seoj, deoj, esv, opc = struct.unpack_from(">HH3s3sBB", frame)
            asked = _properties(frame, 12, opc)
        except (struct.error, IndexError):
            return None
        if head == 0x1081 and esv in (GET_RES, GET_SNA) and (seoj, deoj) == (CONTROLLER, METER):
            self.read.append((esv, asked))
            return None
        if head != 0x1081 or not opc or deoj[:2] not in (METER[:2], NODE[:2]) or deoj[2] > 1:
            return None
        who = METER if deoj[:2] == METER[:2] else NODE
        match esv:
            case 0x62 | 0x63:
                done, properties = self._get(who, esv, asked, now)
            case 0x60 | 0x61 if who == METER:
                done, properties = self._set(asked)
                if done and esv == SETI:
                    return None
            case 0x7A:
                self._unconfirmed.discard(tid)
                return None
            case _:  # SetGet is optional and most nodes are silent on it
                return None
        result = esv + (DONE if done else IMPOSSIBLE)
        if esv == GET and len(properties) < len(asked):
            result = self._shortened_esv
        return Telegram(_frame(tid, who, seoj, result, properties), multicast=result == INF)

    def join(self, now: float) -> None:
        """A controller is authenticated, or was again; the instance list is announced."""
        self.tick(now)
        self.joined = True
        self._agenda.after(GREETING_S, self.greet)

    def leave(self) -> None:
        """The session is over, or forgotten in a power cut."""
        self.joined = False

    def notify(self, now: float, esv: int = INF, tid: int | None = None) -> None:
        """Announce the half-hour values now."""
        self._announce([0xEA, 0xEB], esv, now, tid)

    def change(self, epc: int, edt: bytes, now: float) -> None:
        """Something happened to the meter (80, 81 or 88): announce it."""
        self.object.change(epc, edt)
        self._announce([epc], INF, now)

    def ask(self, epcs: list[int]) -> None:
        """Read these properties of the controller; the answer is put into `read`. No meter in use does that."""
        self._tid += 1
        payload = _frame(self._tid & 0xFFFF, METER, CONTROLLER, GET, [(epc, b"") for epc in epcs])
        self._outgoing.append(Telegram(payload))

    def exchange(self, plate: Plate, now: float) -> None:
        """The power company puts another meter in its place, which remembers nothing of before."""
        self.object = MeterObject(self.object.household, plate, self.object.drift, since=self.clock(now))
        self._profile = node_profile(plate)
        self.leave()

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._agenda.run(now)

    def deadline(self) -> float | None:
        """When the meter has something to say next."""
        return self._agenda.deadline()

    def outgoing(self) -> list[Telegram]:
        """What it announces; empties."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _get(self, who: bytes, esv: int, asked: Properties, now: float) -> tuple[bool, Properties]:
        clock = self.clock(now)
        most, most_bytes = self._limits
        found: Properties = []
        complete, size = True, 0
        for epc, _ in asked[:most]:
            edt = self.object.get(epc, clock) if who == METER else self._profile.get(epc)
            if who == NODE and epc == 0xD5 and esv == GET:
                edt = None  # announced only
            size += 2 + len(edt or b"")
            if found and most_bytes is not None and size > most_bytes:
                break
            complete = complete and edt is not None
            found.append((epc, edt or b""))
        return complete, found

    def _set(self, asked: Properties) -> tuple[bool, Properties]:
        result = [(epc, b"" if self.object.set(epc, edt) else edt) for epc, edt in asked]
        return all(not edt for _, edt in result), result

    def _half_hours(self) -> Play:
        """Within five minutes after :00 and :30 the registers at that instant are announced."""
        while True:
            clock = self.clock(self._agenda.now)
            past = timedelta(minutes=clock.minute % 30, seconds=clock.second)
            chance = Random(f"{self.object.household.seed} {clock - past}")  # noqa: S311 (a delay, no secret)
            yield (HALF_HOUR - past).total_seconds() + chance.uniform(2, 240)
            if self._confirmed:
                yield from self._insist([0xEA, 0xEB])
            else:
                self.notify(self._agenda.now)

    def _insist(self, epcs: list[int]) -> Play:
        self._tid += 1
        tid = self._tid & 0xFFFF
        self._unconfirmed.add(tid)
        for _ in range(CONFIRMATION_TRIES):
            self._announce(epcs, INFC, self._agenda.now, tid)
            yield CONFIRMATION_WAIT_S
            if tid not in self._unconfirmed:
                return
        self._unconfirmed.discard(tid)

    def greet(self) -> None:
        """Announce the instance list, as after each authentication."""
        if self.joined:
            payload = _frame(0, NODE, NODE, INF, [(0xD5, self._profile[0xD5])])
            self._outgoing.append(Telegram(payload, multicast=True))

    def _announce(self, epcs: list[int], esv: int, now: float, tid: int | None = None) -> None:
        if not self.joined:
            return
        if tid is None:
            self._tid += 1
            tid = self._tid & 0xFFFF
        values = [(epc, self.object.get(epc, self.clock(now))) for epc in epcs]
        properties = [(epc, edt) for epc, edt in values if edt is not None]
        self._outgoing.append(Telegram(_frame(tid, METER, CONTROLLER, esv, properties)))


def _properties(frame: bytes, at: int, count: int) -> Properties:
    """The properties of a request; raises IndexError where the frame ends too early."""
    properties = []
    for _ in range(count):
        end = at + 2 + frame[at + 1]
        if end > len(frame):
            raise IndexError
        properties.append((frame[at], frame[at + 2 : end]))
        at = end
    return properties


def _frame(tid: int, seoj: bytes, deoj: bytes, esv: int, properties: Properties) -> bytes:
    body = b"".join(bytes((epc, len(edt))) + edt for epc, edt in properties)
    return struct.pack(">HH3s3sBB", 0x1081, tid, seoj, deoj, esv, len(properties)) + body


def shortened(frame: bytes) -> bytes:
    """An answer cut down to its first property, as weak meters do (ESV 52)."""
    return frame[:10] + b"\x52\x01" + frame[12 : 14 + frame[13]]


def refused(frame: bytes) -> bytes:
    """An answer in which no property has a value (ESV 52)."""
    properties = _properties(frame, 12, frame[11])
    return frame[:10] + bytes((0x52, len(properties))) + b"".join(bytes((epc, 0)) for epc, _ in properties)


def asks_for_history(frame: bytes) -> bool:
    """Whether it is a Get of what a selector selects."""
    return frame[10:11] == bytes((GET,)) and frame[12:13] in HISTORIES
