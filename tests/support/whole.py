"""The whole daemon in a simulated house, in virtual time: what it goes through in a month, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from array import array
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from drivers import serialport, udp
from drivers.module import Credentials
from drivers.ports import PortLost, PortMissing
from hemsd.daemon import meter as meter_domain
from hemsd.daemon.config import MeterTable
from hemsd.daemon.meter import MeterDomain, kind_of
from hemsd.daemon.supervision import supervise
from hemsd.history.historian import Historian
from hemsd.hub.hub import Hub
from hemsd.hub.messages import (
    Domain,
    Event,
    HistoryAnswer,
    HistoryQuery,
    HistoryRow,
    MeterInterval,
    MeterReading,
    Record,
    Records,
    RecordsAfter,
)
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.routeb.connection import Connection
from hemsd.routeb.ladder import Rung
from hemsd.routeb.logbook import Logbook, Recovery
from hemsd.routeb.stages import Concluded, SessionEvent
from hemsd.simulator import Board, Household, MeterNode, Network, Spell
from support.ip import OURS, SimulatedLink
from support.routeb import EPOCH, SimulatedPort

T = TypeVar("T", Records, HistoryAnswer)

LOOK_S = 5.0
ANSWER_S = 60.0
MEMORY_DAYS = 99  # of half-hours (EPC E2, E4)
HALF_HOUR = timedelta(minutes=30)
SETTLED = timedelta(minutes=15)  # after a half-hour it is notified, or asked for
COUNT_J = 360_000  # the simulated meter counts in 0.1 kWh
START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)  # Japan's wall clock
NETWORK = Network()
SECRETS = (NETWORK.route_b_id, NETWORK.password, Credentials(NETWORK.route_b_id, NETWORK.password).pairing_id)
_FORMS = tuple(form.lower().encode() for secret in SECRETS for form in (secret, secret.encode().hex()))


def leaks(data: bytes) -> bool:
    """Whether there is a secret in it, as it is or in hexadecimal."""
    data = data.lower()
    return any(form in data for form in _FORMS)


@dataclass
class Heard:
    """What was published, as little of it as tells all: a month must not fill the memory."""

    readings: array[float] = field(default_factory=lambda: array("d"))  # when
    events: list[tuple[float, Event]] = field(default_factory=list)
    steps: list[tuple[float, Rung | None]] = field(
        default_factory=list
    )  # of the ladder begun, None: back, or a pause
    leaks: list[str] = field(default_factory=list)

    def take(self, message: object, now: float) -> None:
        text = msgspec.json.encode(message)
        if leaks(text):
            self.leaks.append(text.decode())
        if isinstance(message, MeterReading):
            self.readings.append(now)
        elif isinstance(message, Event):
            self.events.append((now, message))


class Whole:
    """The daemon on one simulated module; `state` is where it keeps its files."""

    def __init__(
        self, module: Board | MeterNode, state: Path, monkeypatch: pytest.MonkeyPatch, **settings: float
    ) -> None:
        self.module = module
        self.heard = Heard()
        self.state = state
        self._loop = asyncio.get_running_loop()
        self._hub = Hub(ROUTES_6_4_3, clock=_now)
        credentials = state.parent / "credentials.toml"
        credentials.touch(0o600)
        credentials.write_text(f'id = "{NETWORK.route_b_id}"\npassword = "{NETWORK.password}"\n')
        state.mkdir(mode=0o700)
        place: dict[str, Any] = {"port": "/dev/simulated", "credentials": credentials}
        if isinstance(module, MeterNode):
            place = {"interface": SimulatedLink.name}
        table = MeterTable(**place, **settings)  # type: ignore[arg-type]
        self._meter = MeterDomain(table, state, self._hub, {}, clock=self.clock)
        monkeypatch.setattr(serialport, "open_serial", self._open)
        monkeypatch.setattr(udp, "open_udp", self._open_udp)
        monkeypatch.setattr(meter_domain, "back_again", self._back_again)
        self._spy(monkeypatch)

    def clock(self) -> datetime:
        """The wall clock that goes with the virtual loop, from any thread."""
        return EPOCH + timedelta(seconds=self._loop.time())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Whole]:
        """For so long the daemon runs."""
        meter = self._meter
        tasks = [
            asyncio.create_task(self._listen(), name="operator"),
            asyncio.create_task(supervise("history", self._history, kind_of)),
            asyncio.create_task(
                supervise("meter", meter.run, kind_of, on_failure=meter.failed, sooner=meter.sooner),
            ),
        ]
        try:
            yield self
            for task in tasks:
                assert not task.done(), task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _spy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Note the steps of the ladder, told to the house or not; and their ends, a retry's too."""
        take, back, happened = Logbook.take, Logbook.back, Connection._on_session

        def taken(logbook: Logbook, rung: Rung) -> None:
            self.heard.steps.append((_now(), rung))
            take(logbook, rung)

        def returned(logbook: Logbook, now: float) -> Recovery | None:
            self.heard.steps.append((now, None))
            return back(logbook, now)

        def told(connection: Connection, event: SessionEvent) -> None:
            if isinstance(event, Concluded):
                self.heard.steps.append((_now(), None))
            happened(connection, event)

        monkeypatch.setattr(Logbook, "take", taken)
        monkeypatch.setattr(Logbook, "back", returned)
        monkeypatch.setattr(Connection, "_on_session", told)

    async def _open(self, path: str) -> SimulatedPort:
        assert isinstance(self.module, Board)
        if not self._is_there():
            raise PortMissing(path, f"{path} does not exist")
        return SimulatedPort(self.module)

    def _open_udp(self, name: str, **_: object) -> _Interface:
        assert isinstance(self.module, MeterNode)
        if not self._is_there():
            raise PortMissing(name, f"{name} is switched off")
        return _Interface(self.module)

    def _is_there(self) -> bool:
        self.module.tick(_now())
        return not self.module.faults.held(Spell.UNPLUGGED, _now())

    async def _back_again(self, settings: MeterTable, error: Exception) -> None:
        """What udev tells."""
        while not isinstance(error, PortLost | PortMissing) or not self._is_there():
            await asyncio.sleep(LOOK_S)

    async def _history(self) -> None:
        seat = self._hub.seat(Domain.HISTORY)
        try:
            await Historian(seat, self.state, clock=self.clock).run()
        finally:
            seat.close()

    async def records(self) -> list[Record]:
        """All that history has, in the order of seq."""
        found: list[Record] = []
        head, seq = 1, 0
        while seq < head:
            asked = RecordsAfter(request=f"{seq}", asker=Domain.OPERATOR, seq=seq, limit=1000)
            async for answer in self._answers(asked, Records):
                found += answer.records
                head = answer.head
                seq = answer.records[-1].seq if answer.records else head
                break
        return found

    async def gaps(self) -> list[HistoryRow]:
        """What history itself says is missing."""
        found: list[HistoryRow] = []
        async for answer in self._answers(
            HistoryQuery(request="gaps", asker=Domain.OPERATOR, what="gaps"), HistoryAnswer
        ):
            assert not answer.error
            found += answer.rows
            if answer.last:
                break
        return found

    async def _answers(self, question: HistoryQuery | RecordsAfter, kind: type[T]) -> AsyncIterator[T]:
        seat = self._hub.seat(Domain.OPERATOR)
        try:
            seat.publish(question)
            async with asyncio.timeout(ANSWER_S):
                async for message in seat.messages():
                    if isinstance(message, kind) and message.request == question.request:
                        yield message
        finally:
            seat.close()

    async def _listen(self) -> None:
        async for message in self._hub.seat(Domain.OPERATOR).messages():
            self.heard.take(message, _now())


class _Interface(SimulatedLink):
    """A network interface that may be switched off, and keeps nothing of what has passed."""

    address = OURS

    def __init__(self, node: MeterNode) -> None:
        super().__init__(node)
        self.sent = deque(maxlen=1)  # type: ignore[assignment]

    def _turn(self) -> None:
        if self.closed:
            return
        if self.nodes[0].faults.held(Spell.UNPLUGGED, self._loop.time()):
            self.closed = True
            self._on_lost(PortLost(self.name, f"{self.name} was switched off"))
            return
        super()._turn()


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Ear(logging.Handler):
    """Listens to all that is logged, keeps what should not have been: secrets, and faults of ours."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if leaks(text.encode()) or record.exc_info:
            self.kept.append(text)


@contextmanager
def logged_amiss() -> Iterator[list[str]]:
    """Whatever is logged with a secret in it, down to the finest level, or with the traceback of a fault."""
    root, ear = logging.getLogger(), _Ear()
    level, handlers = root.level, root.handlers
    root.handlers = [ear]  # pytest's own would keep every frame
    root.setLevel(logging.DEBUG)
    try:
        yield ear.kept
    finally:
        root.setLevel(level)
        root.handlers = handlers


def wrong_books(records: list[Record], household: Household, end: datetime) -> list[str]:
    """What is missing, double or wrong of the half-hours that the meter could tell, against its own registers.

    The meter remembers the 99 days before its today; `end` is Japan's wall clock when the records were taken.
    """
    wrong = []
    kept: dict[datetime, MeterInterval] = {}
    for record in records:
        if isinstance(record.content, MeterInterval):
            at = (record.content.end + timedelta(hours=9)).replace(tzinfo=None)
            if at in kept:
                wrong.append(f"{at}: twice")
            kept[at] = record.content
    at = datetime.combine(START.date(), time()) - timedelta(days=MEMORY_DAYS)
    while at <= end - SETTLED:
        wrong += _wrong_entry(at, kept.pop(at, None), household)
        at += HALF_HOUR
    wrong += [f"{at}: not of this time" for at in kept if at > end]
    return wrong


def _wrong_entry(at: datetime, told: MeterInterval | None, household: Household) -> list[str]:
    energy = household.energy(at)
    assert energy is not None
    counts = (energy.imported_j // COUNT_J, energy.exported_j // COUNT_J)
    if told is None:
        return [f"{at}: missing"]
    if (told.import_count, told.export_count) != counts:
        return [f"{at}: {told.import_count}, {told.export_count} instead of {counts}"]
    kwh = (told.energy_import_kwh, told.energy_export_kwh)
    return [] if kwh == tuple(count / 10 for count in counts) else [f"{at}: {kwh} kWh"]


def files_with_secrets(directory: Path) -> list[str]:
    """Files that give one away."""
    return [str(path) for path in directory.rglob("*") if path.is_file() and leaks(path.read_bytes())]


@dataclass(frozen=True)
class Footprint:
    """What the process holds."""

    resident_kib: int
    descriptors: tuple[str, ...]
    tasks: int

    @classmethod
    def now(cls) -> Footprint:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE") // 1024, tuple(_descriptors()), len(asyncio.all_tasks()))


def _descriptors() -> Iterator[str]:
    """What the open files are, in order."""
    for each in sorted(Path("/proc/self/fd").iterdir(), key=lambda path: int(path.name)):
        with suppress(OSError):  # the one that the directory was read by
            yield str(each.readlink())
