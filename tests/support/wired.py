"""The whole link over a simulated module, byte by byte in virtual time; a test may speak in the module's place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from drivers import j11, skstack
from drivers.module import Credentials, Event, Line, Pan
from hemsd.echonet.exchange import Exchange, Request
from hemsd.echonet.frame import ESV, Property
from hemsd.routeb.link import LinkEvent, MeterLink
from hemsd.routeb.session import Session
from hemsd.routeb.stages import Lost, Stage
from hemsd.simulator import Board, Fault, Household, J11Module, Network, SkModule
from hemsd.simulator import Meter as SimulatedMeter

T = TypeVar("T")

START = datetime(2026, 10, 1, 12, 1)  # in Japan
HOUSEHOLD = Household(7, pv_kw=4)
NETWORK = Network()
METER = NETWORK.address
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)
PAN = Pan(NETWORK.channel, NETWORK.pan_id, NETWORK.mac, CREDENTIALS.pairing_id, NETWORK.lqi)


class _Overheard:
    """A driver, and all that it has told."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.told: list[Event] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def events(self) -> list[Event]:
        events: list[Event] = self._engine.events()
        self.told += events
        return events


class Wired:
    """Module, meter and link. `heard` are the driver's events, `told` the link's, `written` is what we say."""

    def __init__(
        self,
        family: str,
        *,
        remembered: Pan | None = PAN,
        credentials: Credentials = CREDENTIALS,
        network: Network = NETWORK,
        meter: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.side = " 0" if family == "DUAL" else ""
        simulated = SimulatedMeter(HOUSEHOLD, **{"start": START, **(meter or {})})
        self.module: Board
        if family == "J11":
            self.module = J11Module(simulated, network, **options)
            self._engine = _Overheard(j11.Engine())
        else:
            self.module = SkModule(family, simulated, network, **options)  # type: ignore[arg-type]
            self._engine = _Overheard(skstack.Engine())
        self.session = Session(credentials, remembered, persist=True)
        self.link = MeterLink(self._engine, self.session, Exchange())  # type: ignore[arg-type]
        self.now = 0.0
        self.told: list[tuple[float, LinkEvent]] = []
        self.written: list[tuple[float, bytes]] = []
        self.printed = b""
        self.exchanged: list[tuple[str, bytes]] = []  # both directions in order: ">" ours, "<" the module's
        self.line = Line()
        self.on_its_way: Callable[[bytes], bytes] = lambda data: data  # what becomes of the module's bytes

    @property
    def heard(self) -> list[Event]:
        return self._engine.told

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or until something is so."""
        end = self.now + seconds
        while True:
            self._settle()
            if until():
                return
            dues = [due for due in (self.module.deadline(), self.link.deadline()) if due is not None]
            if not dues or min(dues) > end:
                break
            self.now = max(self.now, min(dues))
            self.module.tick(self.now)
            self.link.tick(self.now)
        self.now = end
        self.module.tick(end)

    def online(self) -> Wired:
        """Come online, and past the meter's greeting."""
        self.link.begin(self.now)
        self.run(600, lambda: self.stage is Stage.ONLINE)
        assert self.stage is Stage.ONLINE
        self.run(5)
        return self

    def say(self, *lines: str | bytes) -> None:
        """The module prints these lines now (bytes: exactly these)."""
        for line in lines:
            self.link.receive(line if isinstance(line, bytes) else f"{line}\r\n".encode(), self.now)
        self.run(0)

    def event(self, number: str, detail: str = "", *, of: str = METER) -> str:
        """An EVENT line as this family prints it."""
        return f"EVENT {number} {of}{self.side}{detail and ' ' + detail}"

    def strike(self, *faults: Fault) -> None:
        self.module.faults.add(*faults)

    def get(self, *epcs: int) -> Request:
        return self.ask(ESV.GET, [Property(epc) for epc in epcs])

    def ask(self, esv: int, properties: Iterable[Property]) -> Request:
        request = self.link.ask(esv, properties, self.now)
        self._settle()
        return request

    @property
    def stage(self) -> Stage:
        return self.session.stage

    def events(self, kind: type[T]) -> list[T]:
        return [event for _, event in self.told if isinstance(event, kind)]

    @property
    def losses(self) -> int:
        return len(self.events(Lost))

    def said(self, start: str, since: float = 0.0) -> list[tuple[float, bytes]]:
        """Our commands that begin so, with their times."""
        return [(at, data) for at, data in self.written if data.startswith(start.encode()) and at >= since]

    def _settle(self) -> None:
        while True:
            outgoing, printed = self.link.outgoing(), b"".join(self.module.outgoing())
            if not outgoing and not printed:
                break
            for item in outgoing:
                if isinstance(item, Line):
                    self.line = item
                    continue
                self.written.append((self.now, item))
                self.exchanged.append((">", item))
                if self.line.baudrate == self.module.baudrate:
                    self.module.receive(item, self.now)
            flows = self.line.rtscts or not self.module.rtscts
            if flows and self.line.baudrate == self.module.baudrate and (printed := self.on_its_way(printed)):
                self.printed += printed
                self.exchanged.append(("<", printed))
                self.link.receive(printed, self.now)
        self.told += [(self.now, event) for event in self.link.events()]
