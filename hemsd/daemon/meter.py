"""The domain of the meter as the daemon runs it: what it learns of the radio outlives each run; and its errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from drivers.ports import PermanentPortError, PortError, PortLost, PortMissing, TransientPortError
from hemsd.daemon.config import MeterTable
from hemsd.daemon.credentials import CredentialsError
from hemsd.daemon.instance import AlreadyRunning
from hemsd.daemon.supervision import Kind
from hemsd.daemon.watch import NotKeptApart
from hemsd.daemon.wires import back_again, open_wire
from hemsd.hub.hub import Hall, say
from hemsd.hub.messages import Domain, Event, MeterStatus, Trouble
from hemsd.routeb.backfill import Backlog
from hemsd.routeb.cache import PanCache
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.errors import RouteBError
from hemsd.routeb.ladder import Rung
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.meter import Meter
from hemsd.routeb.news import news_of
from hemsd.routeb.stages import Recovering


def kind_of(error: Exception) -> Kind:
    """What supervision is to make of an error of the meter's domain."""
    match error:
        case PermanentPortError() | CredentialsError() | AlreadyRunning():
            return Kind.PERMANENT
        case PortError() | RouteBError() | NotKeptApart():
            return Kind.TRANSIENT
        case _:
            return Kind.UNEXPECTED


def trouble_of(error: Exception) -> Trouble:
    """What the house is told of an error that ended the meter's domain; nothing of a fault of ours."""
    match error:
        case RouteBError():
            return error.trouble
        case CredentialsError():
            return "credentials"
        case PortError() | AlreadyRunning():
            return "port"
        case _:
            return ""


class MeterDomain:
    """The meter's world: opens the port, joins the meter, collects. What it learns of the radio outlives each run."""

    def __init__(
        self,
        settings: MeterTable,
        state: Path,
        hub: Hall,
        environ: Mapping[str, str],
        *,
        overlaid: bool = False,
        claim: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._cache = PanCache(state)
        self._hub = hub
        self._environ = environ
        self._overlaid = overlaid  # appliances are on the same interface
        self._claim = claim  # makes sure that the meter is ours
        self._clock = clock
        self._logbook = Logbook(random.random)
        self._backlog = Backlog()
        self._meter: Meter | None = None
        self._known_as: str | None = None
        self._trouble: Trouble = ""
        self._gone_since: datetime | None = None

    async def run(self) -> None:
        """Until the port is lost or has to be opened again, or is not to be had.

        Raises PortError, ModuleTrouble, CredentialsError and AlreadyRunning. The two dearest rungs of the ladder are
        begun here: the next run finds the port, the device, and perhaps the session in it.
        """
        try:
            self._claim()
            await self._collect()
        except Exception as error:
            self._trouble = trouble_of(error)
            if isinstance(error, PortMissing | PortLost):
                self._take(Rung.REPLUG, str(error))
            elif isinstance(error, TransientPortError):
                self._take(Rung.REOPEN, str(error))
            raise

    async def _collect(self) -> None:
        settings = self._settings
        pace = Pace(
            idle_s=settings.live_s,
            watched_s=settings.watched_s,
            energy_s=settings.energy_s,
            backfill_s=settings.backfill_pace_s,
        )
        dropped = self._logbook.gate.dropped
        wire = await open_wire(settings, self._environ, overlaid=self._overlaid, dropped=dropped)
        self._gone_since = None
        seat = self._hub.seat(Domain.ROUTEB)
        try:
            async with Meter(
                wire.port,
                wire.credentials,
                cache=self._cache,
                module=wire.module,
                persist=True,
                logbook=self._logbook,
                clock=self._clock,
            ) as self._meter:
                collector = Collector(self._meter, seat, pace=pace, backlog=self._backlog, clock=self._clock)
                await collector.run()
        finally:
            if self._meter is not None:
                self._known_as = self._meter.name or None
                self._meter = None
            seat.close()
            await wire.port.close()

    async def sooner(self, error: Exception) -> None:
        """Wait for a reason to run again at once: what was unplugged, or switched off, is back."""
        await back_again(self._settings, error)

    def failed(self, text: str) -> None:
        """Tell the house why there is no meter now."""
        at, now = self._clock(), asyncio.get_running_loop().time()
        self._gone_since = self._gone_since or at
        status = MeterStatus(
            meter=self._known_as,
            online=False,
            stage="waiting",
            detail=text,
            trouble=self._trouble,
            since=self._gone_since,
            read_at=self._logbook.read_at,
            port=self._settings.interface or self._settings.port or "",
            contended=self._logbook.contention.holds(now),
            radio=self._logbook.health(now, at),
        )
        say(self._hub, Domain.ROUTEB, status)

    def _take(self, rung: Rung, why: str) -> None:
        """Begin a rung that is not the session's, for there is none without a port."""
        now = asyncio.get_running_loop().time()
        self._logbook.lose(now)
        self._logbook.take(rung)
        news = news_of(Recovering(rung, why))
        if news is not None and self._logbook.is_news(news.text, now):
            event = Event(
                at=self._clock(), source=Domain.ROUTEB, kind=news.kind, severity=news.severity, text=news.text
            )
            say(self._hub, Domain.ROUTEB, event)

    def overdue_s(self) -> float:
        """How late its protocol machines are; 0 while there are none."""
        return 0.0 if self._meter is None else self._meter.overdue_s()
