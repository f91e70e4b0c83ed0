"""A household whose meter is asked for its memory, through the collector, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple

from drivers.module import Credentials
from hemsd.hub.messages import Backfill, BackfillProgress, Domain, MeterDay
from hemsd.routeb.backfill import Backlog
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.meter import Meter
from hemsd.simulator import Household, Network, Plate, SkModule, Timing
from hemsd.simulator import Meter as SimulatedMeter
from hemsd.simulator.meter import Telegram
from support.clock import run
from support.routeb import FakeSeat, SimulatedPort, virtual_now

NETWORK = Network()
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)
START = datetime(2026, 5, 14, 14, 1)  # Japan's wall clock, when the loop's is 0
HALF_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)
SETC = 0x61
COUNT_J = 360_000  # 0.1 kWh
SCAN_AND_JOIN_S = 30.0


class HalfHour(NamedTuple):
    """One half-hour of a day told, by Japan's clock."""

    at: datetime
    import_count: int | None
    export_count: int | None
    day: MeterDay


def half_hours(day: MeterDay) -> Iterator[HalfHour]:
    """Those that the meter has, in order."""
    at = day.first_at.replace(tzinfo=None) + timedelta(hours=9)
    for imported, exported in zip_longest(day.import_counts, day.export_counts):
        if (imported, exported) != (None, None):
            yield HalfHour(at, imported, exported, day)
        at += HALF_HOUR


class RecordingMeter(SimulatedMeter):
    """Remembers when it was asked for what, overhears the next `deaf` writes, and never tells `secret` properties."""

    asked: list[tuple[float, int, tuple[int, ...]]]  # time, ESV, EPCs
    deaf = 0
    secret: frozenset[int] = frozenset()

    def answer(self, frame: bytes, now: float) -> Telegram | None:
        epcs, at = [], 12
        for _ in range(frame[11]):
            epcs.append(frame[at])
            at += 2 + frame[at + 1]
        self.asked.append((now, frame[10], tuple(epcs)))
        if frame[10] == SETC and self.deaf:
            self.deaf -= 1
            return None
        if not self.secret.isdisjoint(epcs):
            return None
        return super().answer(frame, now)


class House:
    """The simulated module and meter, the collector at them, and what it published."""

    def __init__(
        self,
        start: datetime = START,
        *,
        installed: date | None = None,
        plate: Plate = Plate(),  # noqa: B008 (frozen)
        drift_s: float = 0.0,
        pace: Pace | None = None,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
        meter: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.start = start
        installed = installed or (start - 30 * DAY).date()
        self.household = Household(7, pv_kw=4, installed=installed)
        self.drift = timedelta(seconds=drift_s)
        self.simulated = RecordingMeter(self.household, start=start, plate=plate, drift_s=drift_s, **(meter or {}))
        self.simulated.asked = []
        self.module = SkModule("DUAL", self.simulated, NETWORK, timing=timing, **options)
        self.pace = pace or Pace(backfill_s=0.0)
        self.seat = FakeSeat()
        self.backlog = Backlog()
        self.conflicts = 0  # times that the selector was not as we had left it
        self.meter: Meter

    def run(self, *scenarios: Callable[[House], Awaitable[None]]) -> None:
        """Collect while a scenario plays; for each one more the port is opened anew."""

        async def main() -> None:
            for scenario in scenarios:
                await self._connect(scenario)

        run(main())

    async def _connect(self, scenario: Callable[[House], Awaitable[None]]) -> None:
        port = SimulatedPort(self.module)
        async with Meter(port, CREDENTIALS, persist=True, clock=virtual_now) as self.meter:  # type: ignore[arg-type]
            self.meter.selector_moved = self._selector_moved  # type: ignore[method-assign]
            collector = Collector(
                self.meter,
                self.seat,  # type: ignore[arg-type]
                pace=self.pace,
                backlog=self.backlog,
                clock=virtual_now,
            )
            collecting = asyncio.create_task(collector.run())
            await asyncio.sleep(0)
            await scenario(self)
            collecting.cancel()
            await asyncio.wait([collecting])
            if not collecting.cancelled():
                collecting.result()

    def _selector_moved(self) -> None:
        self.conflicts += 1

    def ask(self, *days: date, request: str = "r1", asker: Domain = Domain.HISTORY, **options: Any) -> None:
        """Put a Backfill for these days."""
        self.seat.inbox.put_nowait(Backfill(request=request, asker=asker, days=days, **options))

    async def done(self, request: str = "r1", within_s: float = 86_400.0) -> list[BackfillProgress]:
        """Wait for the last progress of a request; all of them."""
        async with asyncio.timeout(within_s):
            while True:
                told = [each for each in self.seat.of(BackfillProgress) if each.request == request]
                if told and told[-1].last:
                    return told
                await asyncio.sleep(1)

    def now(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    def clock(self) -> datetime:
        """The meter's own, now."""
        return self.simulated.clock(self.now())

    def set_clock(self, by: timedelta) -> None:
        """Somebody sets the meter's clock; what it remembers keeps its labels."""
        self.simulated._clock_zero += by

    def days(self, *back: int) -> list[date]:
        """Dates so many days before the meter's first today."""
        return [(self.start + self.drift).date() - n * DAY for n in back]

    def backfilled(self) -> list[HalfHour]:
        """The half-hours of the days told, each with the day it came in."""
        return [each for day in self.seat.of(MeterDay) for each in half_hours(day)]

    def truth(self, days: Iterable[date], until: datetime) -> dict[datetime, tuple[int, int]]:
        """The counts by the household's own energy, at each half-hour of the meter's clock, in Japan's time."""
        found = {}
        for day in days:
            for slot in range(48):
                at = datetime.combine(day, datetime.min.time()) + slot * HALF_HOUR
                energy = self.household.energy(at - self.drift)
                if energy is not None and at <= until:
                    found[at] = (energy.imported_j // COUNT_J, energy.exported_j // COUNT_J)
        return found

    def told(self) -> dict[datetime, tuple[int | None, int | None]]:
        """What was published, in the same form. A half-hour must not be told twice in two ways."""
        found: dict[datetime, tuple[int | None, int | None]] = {}
        for each in self.backfilled():
            counts = (each.import_count, each.export_count)
            assert found.setdefault(each.at, counts) == counts
        return found

    def requests(self, *epcs: int) -> list[float]:
        """When one of these properties was asked for or set."""
        return [at for at, _, asked in self.simulated.asked if set(asked) & set(epcs)]
