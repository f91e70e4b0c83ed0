"""A module and a meter as plain as can be, at the level of drivers.module, and virtual time for asyncio code."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Command,
    Credentials,
    Datagram,
    Done,
    Event,
    Family,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    Line,
    ModuleInfo,
    Open,
    Outgoing,
    Pan,
    Ready,
    Refused,
    Rejoin,
    Scan,
    Send,
    SessionClosed,
    Transmission,
)
from drivers.ports import PortError, PortLost
from hemsd.echonet.exchange import Exchange, Request
from hemsd.echonet.frame import ESV, Property
from hemsd.hub.messages import Message
from hemsd.routeb.link import LinkEvent, MeterLink
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.session import Session
from hemsd.routeb.stages import Progress, Stage
from hemsd.simulator import Board

T = TypeVar("T")

REOPENING_S = 1.0  # until supervision opens a port again, the first time
CREDENTIALS = Credentials(id="000000000000000000000000AABBCCDD", password="0123456789AB")
PAN = Pan(channel=0x31, pan_id=0xB5FB, mac="001C6400601421A3", pairing_id="AABBCCDD", lqi=0xDD)
OUR_ADDRESS = "FE80:0000:0000:0000:021D:1290:0005:747B"
PROPERTIES = {  # of a first-generation meter, as a published capture shows it
    0x80: "30",
    0x82: "00004600",
    0x88: "42",
    0x8A: "000016",
    0x8D: "463030303030303030303030",
    0x97: "0E1A",
    0x98: "07EA0514",
    0x9F: "1941414160404000624300414040430202",
    0xD3: "00000001",
    0xD7: "06",
    0xE0: "0000FE73",
    0xE1: "01",
    0xE3: "00000016",
    0xE5: "00",
    0xE7: "00000278",
    0xE8: "001E0032",
    0xEA: "07EA05140E00000000FE68",
    0xEB: "07EA05140E000000000016",
}


def frame(tid: int, esv: int, properties: dict[int, str], seoj: str = "028801", deoj: str = "05FF01") -> bytes:
    """A frame written out by hand."""
    head = f"1081{tid:04X}{seoj}{deoj}{esv:02X}{len(properties):02X}"
    return bytes.fromhex(head + "".join(f"{epc:02X}{len(edt) // 2:02X}{edt}" for epc, edt in properties.items()))


def asked(payload: bytes) -> tuple[int, int, dict[int, str]]:
    """TID, ESV and properties of a frame that we sent."""
    properties, at = {}, 12
    for _ in range(payload[11]):
        end = at + 2 + payload[at + 1]
        properties[payload[at]] = payload[at + 2 : end].hex().upper()
        at = end
    return int.from_bytes(payload[2:4], "big"), payload[10], properties


class FakeMeter:
    """Answers Get and SetC out of a dictionary; `limit` is how many properties it can handle in one Get."""

    def __init__(self, properties: dict[int, str] | None = None, *, limit: int = 32) -> None:
        self.properties = dict(PROPERTIES if properties is None else properties)
        self.limit = limit
        self.requests: list[tuple[int, int, dict[int, str]]] = []

    def answer(self, payload: bytes) -> list[bytes]:
        tid, esv, properties = asked(payload)
        self.requests.append((tid, esv, properties))
        if esv == 0x62:
            given = {epc: self.properties.get(epc, "") for epc in list(properties)[: self.limit]}
            whole = all(given.values()) and len(given) == len(properties)
            return [frame(tid, 0x72 if whole else 0x52, given)]
        if esv == 0x61:
            self.properties.update(properties)
            return [frame(tid, 0x71, dict.fromkeys(properties, ""))]
        return []


class FakeModule:
    """A module that does what it is told at once; what it does not do well is set by its attributes."""

    def __init__(self, meter: FakeMeter | None = None) -> None:
        self.meter = meter or FakeMeter()
        self.log: list[tuple[float, Command]] = []
        self.session = False  # PANA stands
        self.channel: int | None = None
        self.pan_id: int | None = None
        self.beacons: dict[int, list[Pan]] = {duration: [PAN] for duration in (6, 7, 8)}
        self.scan_s = 0.5
        self.join_s = 0.3
        self.send_s = 0.005
        self.join_limits_s = (60.0,)
        self.latency_s = 0.02
        self.joins: list[Sequence[AuthenticationStep] | None] = []  # of the joins to come: how far failing ones get
        self.silent = False  # the meter
        self.refuse: type = type(None)  # commands that always fail
        self.drop: type = type(None)  # events that never come
        self.fates: list[Fate] = []  # of the datagrams to come, SENT after that
        self.instead: list[Callable[[Command], list[Event]]] = []  # ends of the commands to come
        self._due: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._ended: list[Event] = []
        self._command: Command | None = None
        self.now = 0.0

    @property
    def busy(self) -> bool:
        return self._command is not None

    def command(self, command: Command, now: float) -> None:
        if self._command is not None:
            raise RuntimeError("busy")
        self.now = now
        self._command = command
        self.log.append((now, command))
        if self.instead:
            for event in self.instead.pop(0)(command):
                self.later(0.0, event)
            return
        if isinstance(command, self.refuse):
            self.later(0.01, Refused(command, "ER10", "SKSOMETHING"))
            return
        match command:
            case Open(keep_session):
                self._open(keep_session)
            case Scan(duration):
                for pan in self.beacons.get(duration, []):
                    self.later(self.scan_s / 2, BeaconHeard(pan))
                self.later(self.scan_s, Done(command))
                return
            case Join(pan):
                self._join(pan)
            case Rejoin():
                self._authenticate(PAN)
            case Leave():
                self.session = False
                self.later(0.1, SessionClosed(PAN.address, by_peer=False))
            case Send(to, payload):
                self._send(to, payload)
            case _:
                pass
        self.later(0.01, Done(command))

    def _open(self, keep_session: bool) -> None:
        if not keep_session:
            self.session, self.channel, self.pan_id = False, None, None
        self.later(0.01, self.opened(Open(keep_session))[0])

    def _join(self, pan: Pan) -> None:
        self.session = False
        self.channel, self.pan_id = pan.channel, pan.pan_id
        self._authenticate(pan)

    def _authenticate(self, pan: Pan) -> None:
        failed = self.joins.pop(0) if self.joins else None
        for step in AuthenticationStep if failed is None else failed:
            self.later(self.join_s / 2, Authentication(step))
        if failed is None:
            self.session = True
            self.later(self.join_s, Joined(pan.address))
        else:
            self.later(38.0, JoinFailed(pan.address))

    def _send(self, to: str, payload: bytes) -> None:
        fate = self.fates.pop(0) if self.fates else Fate.SENT
        self.later(self.send_s, Transmission(to, fate))
        if fate is Fate.FAILED or not self.session or self.silent:
            return
        for answer in self.meter.answer(payload):
            self.later(self.latency_s, self.datagram(answer))

    def datagram(self, payload: bytes, **changes: Any) -> Datagram:
        told = {"sender": PAN.address, "to": OUR_ADDRESS, "sender_port": 3610, "port": 3610, "mac": PAN.mac}
        return Datagram(**({**told, "secured": True, "payload": payload, "lqi": 0xC0} | changes))

    def opened(self, command: Command) -> list[Event]:
        """What ends an Open, for `instead`."""
        info = ModuleInfo(Family.DUAL, "1.5.2", OUR_ADDRESS, "001D12900005747B", self.channel, self.pan_id)
        info = replace(info, join_limits_s=self.join_limits_s)
        return [Ready(info), Done(command)]

    def later(self, delay_s: float, event: Event) -> None:
        """Let an event happen."""
        if not isinstance(event, self.drop):
            heapq.heappush(self._due, (self.now + delay_s, next(self._order), event))

    def receive(self, data: bytes, now: float) -> bool:
        raise AssertionError("no bytes here")

    def reopened(self) -> None:
        """Another engine drives it: nothing asked before is answered any more."""
        self._command = None
        self._due = [due for due in self._due if not hasattr(due[2], "command")]
        self._ended.clear()

    def tick(self, now: float) -> None:
        self.now = now
        while self._due and self._due[0][0] <= now:
            event = heapq.heappop(self._due)[2]
            if getattr(event, "command", None) is not None and event.command is self._command:  # type: ignore[union-attr]
                self._command = None
            self._ended.append(event)

    def deadline(self) -> float | None:
        return self._due[0][0] if self._due else None

    def outgoing(self) -> list[Outgoing]:
        return []

    def events(self) -> list[Event]:
        events, self._ended = self._ended, []
        return events

    def commands(self, *kinds: type) -> list[Command]:
        """What it was told, of some kinds."""
        return [command for _, command in self.log if isinstance(command, kinds or object)]


class Driven:
    """A link in virtual time: what it tells, with the time of it."""

    def __init__(
        self,
        module: FakeModule,
        *,
        remembered: Pan | None = None,
        persist: bool = False,
        logbook: Logbook | None = None,
    ) -> None:
        self.module = module
        self.logbook = logbook or Logbook()
        self._remembered, self._persist = remembered, persist
        self.now = 0.0
        self.told: list[tuple[float, LinkEvent]] = []
        self._connect()

    def _connect(self) -> None:
        self.session = Session(CREDENTIALS, self._remembered, persist=self._persist, logbook=self.logbook)
        self.link = MeterLink(self.module, self.session, Exchange())

    def reopen(self) -> None:
        """Close the port and open it again, as supervision does; the module has heard nothing of it."""
        self._remembered = self.session.pan
        self.module.reopened()
        self._connect()
        self.begin()

    def begin(self, *, scan_only: bool = False) -> None:
        self.link.begin(self.now, scan_only=scan_only)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or until something is so."""
        end = self.now + seconds
        while True:
            self.told += [(self.now, event) for event in self.link.events()]
            if self._persist and self.session.stage is Stage.STOPPED and self.now + REOPENING_S <= end:
                self.now += REOPENING_S
                self.reopen()
                continue
            due = self.link.deadline()
            if until() or due is None or due > end:
                break
            self.now = max(self.now, due)
            self.link.tick(self.now)
        if not until():
            self.now = end

    def online(self) -> None:
        """Come online."""
        self.begin()
        self.run(300, lambda: self.session.stage is Stage.ONLINE)
        assert self.session.stage is Stage.ONLINE

    def hear(self, event: Event) -> None:
        """Let the module tell something now."""
        self.module.now = self.now
        self.module.later(0.0, event)
        self.run(0.0)

    def get(self, *epcs: int) -> Request:
        return self.link.ask(ESV.GET, [Property(epc) for epc in epcs], self.now)

    def events(self, *kinds: type) -> list[LinkEvent]:
        return [event for _, event in self.told if isinstance(event, kinds)]

    def stages(self) -> list[Stage]:
        """The stages gone through, each once in a row."""
        return [stage for stage, _ in itertools.groupby(event.stage for event in self.events(Progress))]


class NoPort:
    """A byte port with nothing behind it; lose() unplugs it."""

    name = "/dev/nothing"

    def __init__(self) -> None:
        self.closed = False
        self._on_lost: Callable[[PortError], None] | None = None

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        self._on_lost = on_lost

    def lose(self, error: PortError) -> None:
        if self._on_lost is not None:
            self._on_lost(error)

    def write(self, data: bytes) -> None:
        raise AssertionError("no bytes here")

    def configure(self, line: Line) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class SimulatedPort:
    """A byte port with a simulated module at its other end, both on the time of the running loop.

    It is lost when the module's stick is pulled out, and finds nothing of what was printed before it was opened.
    """

    name = "/dev/simulated"

    def __init__(self, module: Board) -> None:
        self.module = module
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._line = Line()
        self._closed = False
        self._on_bytes: Callable[[bytes], None] = lambda data: None
        self._on_lost: Callable[[PortError], None] = lambda error: None

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.module.tick(self._loop.time())
        self.module.outgoing()  # what it said while nobody had the port open
        self.turn()

    def write(self, data: bytes) -> None:
        if self._line.baudrate == self.module.baudrate:
            self.module.receive(data, self._loop.time())
        self._loop.call_soon(self.turn)

    def configure(self, line: Line) -> None:
        self._line = line

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def turn(self) -> None:
        """Let the module do what is due."""
        if self._closed:
            return
        now = self._loop.time()
        self.module.tick(now)
        if self._timer is not None:
            self._timer.cancel()
        if not self.module.plugged:
            self._closed = True
            self._on_lost(PortLost(self.name, f"{self.name} went away"))
            return
        printed = b"".join(self.module.outgoing())
        flows = self._line.rtscts or not self.module.rtscts
        if printed and flows and self._line.baudrate == self.module.baudrate:
            self._on_bytes(printed)
        due = self.module.deadline()
        self._timer = None if due is None else self._loop.call_later(max(1e-6, due - now), self.turn)


class FakeSeat:
    """Keeps what is published, with the virtual time of it."""

    def __init__(self) -> None:
        self.published: list[tuple[float, Message]] = []
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    def publish(self, message: Message) -> None:
        self.published.append((asyncio.get_running_loop().time(), message))

    async def messages(self) -> AsyncIterator[Message]:
        while True:
            yield await self.inbox.get()

    def close(self) -> None:
        pass

    def of(self, kind: type[T]) -> list[T]:
        return [message for _, message in self.published if isinstance(message, kind)]

    def times(self, kind: type, since: float = 0.0) -> list[float]:
        return [at for at, message in self.published if isinstance(message, kind) and at >= since]


EPOCH = datetime(2026, 5, 14, 5, 1, tzinfo=UTC)  # 14:01 in Japan


def virtual_now() -> datetime:
    """The wall clock that goes with the virtual loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
