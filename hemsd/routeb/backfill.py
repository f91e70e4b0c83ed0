"""Fetch from the meter's own memory what others ask for: days of half-hours, and the minutes of an outage.

Theory. A day is asked for by its number, counted from the meter's today (E5), and told by E2 and E4; the selector is
the meter's, so anybody at it, and midnight, change what comes. Therefore: the answer's own day number has to be the
one selected; the meter's date (98, 97) has to be certain before and the same after, which is waited for around its
midnight and costs about a minute a day; and a day has to join those beside it, or to be told twice. The half-hours
need no such care: a slot that the meter has not filled yet is no data. EC and EE name their moments in full and mean
the same at any time. Minutes go first, because nobody has published how soon they are forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from msgspec import Struct

from hemsd.echonet.exchange import Missing
from hemsd.echonet.meter import (
    HALF_HOUR,
    MINUTE,
    DayHistory,
    MeterEPC,
    MinuteEnergy,
    SlotHistory,
    encode_history_1_day,
    encode_history_2_selector,
    encode_history_3_selector,
)
from hemsd.hub.messages import Backfill, BackfillProgress, Domain, Message, MeterDay
from hemsd.routeb import readings
from hemsd.routeb.clock import MeterClock
from hemsd.routeb.errors import NoAnswerInTime
from hemsd.routeb.meter import SCALE, Meter
from hemsd.routeb.readings import Directions, Row
from hemsd.routeb.turns import Turns

DAYS_LIMIT = 100  # of a request
DAYS_KEPT = 99  # before today (EPC E5)
DAY_TRIES = 3
FAILED_ENOUGH = 3  # days in a row; the meter is left in peace with the others, whoever wants them asks another time
SLOTS = 12  # half-hours in one EC; today by EC is one request less than by E2 and E4 until there are more
MINUTES = 10  # in one EE
MINUTES_BACK = timedelta(hours=24)  # at most
A_DAY = timedelta(days=1)
DOUBT_S = 60.0  # until the meter's clock is asked again when date and time may not belong together

DAY_SELECTOR, ABSENT = MeterEPC.HISTORY_1_DAY, Missing.ABSENT  # on the way of every day
Outcome = Literal["read", "empty", "failed"]
Edges = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""The first and the last count of a day, imported and exported; None where there is none."""

NOTHING: Edges = (None, None)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """What is left of a request."""

    request: Backfill
    days: deque[date]
    total: int
    minutes_since: datetime | None
    outcomes: list[Outcome] = field(default_factory=list)
    failing: int = 0  # days in a row, the last ones
    edges: dict[tuple[str, date], Edges] = field(default_factory=dict)  # of the days read, by meter


class _Today(Struct, frozen=True):
    """The meter's date, which it is `until` then on our clock if nothing happens to the meter's."""

    date: date
    clock: MeterClock
    until: float
    losses: int  # of the session, when the clock was read: whatever ends one may have happened to the clock


class Backlog:
    """What is still to be done for each asker; it outlives the connection to the meter, for the next one."""

    def __init__(self) -> None:
        self.jobs: dict[Domain, _Job] = {}


class Backfiller:
    """Works off Backfill requests one day at a time, askers in turn, and publishes what comes of them.

    Each request to the meter is one of its `turns`, `pace_s` apart. Anything the meter does ends in a
    BackfillProgress; what ends the connection ends run().
    """

    def __init__(
        self,
        meter: Meter,
        publish: Callable[[Message], None],
        *,
        pace_s: float = 2.0,
        backlog: Backlog | None = None,
    ) -> None:
        self.turns = Turns(meter, pace_s)
        self._meter = meter
        self._publish = publish
        self._jobs = (backlog or Backlog()).jobs
        self._taken = asyncio.Event()
        self._today: _Today | None = None

    def take(self, request: Backfill) -> None:
        """Do this from now on, instead of what is left of the asker's last request."""
        days = deque(dict.fromkeys(request.days[:DAYS_LIMIT]))
        if (replaced := self._jobs.pop(request.asker, None)) is not None:
            self._tell(replaced, last=True)
        self._jobs[request.asker] = _Job(request, days, len(days), request.minutes_since)
        self._taken.set()
        log.debug("%d days of half-hours are to be read from the meter's memory", len(days))

    async def run(self) -> None:
        """Work until cancelled. Raises PortError, ModuleTrouble."""
        while True:
            while self._jobs:
                asker, job = next(iter(self._jobs.items()))
                await self._go_on(job)
                if self._jobs.get(asker) is job and (len(self._jobs) > 1 or not job.days):
                    del self._jobs[asker]
                    if job.days:
                        self._jobs[asker] = job  # behind the others
                    else:
                        self._tell(job, last=True)
                        read, empty, failed = [job.outcomes.count(each) for each in ("read", "empty", "failed")]
                        log.debug("the meter's memory: %d days read, %d empty, %d failed", read, empty, failed)
            self._taken.clear()
            await self._taken.wait()

    # --- one step

    async def _go_on(self, job: _Job) -> None:
        if job.minutes_since is not None:
            await self._fetch_minutes(job.minutes_since)
            job.minutes_since = None
        if job.days:
            day = job.days[0]
            outcome: Outcome = "failed" if job.failing >= FAILED_ENOUGH else await self._fetch_day(job, day)
            job.days.popleft()
            job.outcomes.append(outcome)
            job.failing = job.failing + 1 if outcome == "failed" else 0
            if self._jobs.get(job.request.asker) is job:
                self._tell(job, day=day, outcome=outcome)

    def _tell(self, job: _Job, *, day: date | None = None, outcome: Outcome = "read", last: bool = False) -> None:
        self._publish(
            BackfillProgress(
                request=job.request.request,
                meter=self._meter.name,
                day=day,
                outcome=outcome,
                done=len(job.outcomes),
                total=job.total,
                last=last,
            )
        )

    # --- a day

    async def _fetch_day(self, job: _Job, day: date) -> Outcome:
        """Read and publish a day; tried again where it may not be the day it seems to be."""
        known: dict[tuple[str, date], dict[int, Any]] = {}
        doubted: Edges | None = None
        for attempt in range(DAY_TRIES):
            try:
                told = await self._told(day, known, attempt)
            except NoAnswerInTime as error:
                log.debug("no half-hours of %s: %s", day, error)
                continue
            if told is None:
                return "empty"
            edges = _ends(told.import_counts), _ends(told.export_counts)
            if edges == NOTHING:
                return "empty"
            if edges == doubted or self._joins(job, told.meter, day, edges):
                job.edges[told.meter, day] = edges
                self._publish(told)
                return "read"
            log.debug("%s does not join the days beside it; it is read again", day)
            doubted, self._today = edges, None
            known.clear()
        return "failed"

    async def _told(self, day: date, known: dict[tuple[str, date], dict[int, Any]], attempt: int) -> MeterDay | None:
        """The half-hours of a date; None where the meter has none.

        `known` keeps what has been read, by meter and by its today. Raises NoAnswerInTime, also where it is not
        certain that these are the half-hours of that meter and date.
        """
        today, meter = self._certain() or await self._find_today(), self._meter
        name, number = meter.name, (today.date - day).days
        if not 0 <= number <= DAYS_KEPT:
            return None
        slots = None if number else _slots_since(day, today.clock.earliest(self._now()))  # more may come meanwhile
        told = await self._latest(today) if number == attempt == 0 else None
        if told is None:
            values = known.setdefault((name, today.date), {})
            told = await self._by_number(number, values, patient=attempt < DAY_TRIES - 1)
            if self._now() >= today.until or meter.losses != today.losses:
                self._today = None
                raise NoAnswerInTime("it may have become another day meanwhile")
        if name != meter.name:
            raise NoAnswerInTime("it was another meter in the end")
        if told is None:
            return None
        return meter.registers.day(day, told, slots)

    async def _by_number(self, number: int, values: dict[int, Any], *, patient: bool) -> Directions | None:
        """By E5, E2 and E4. Properties that are refused are asked again while `patient`."""
        if len(values) < len(readings.DAY):
            await self._meter.select_and_read(
                DAY_SELECTOR,
                encode_history_1_day(number),
                readings.DAY,
                lambda history: history.require(number),
                values=values,
                turn=self.turns,
            )
        forward, reverse = map(values.__getitem__, readings.DAY)
        if forward is ABSENT:
            return None
        exported = reverse.counts if isinstance(reverse, DayHistory) else reverse
        told = exported is ABSENT or isinstance(exported, tuple)
        if not isinstance(forward, DayHistory) or not (told or (exported is Missing.REFUSED and not patient)):
            values.clear()
            raise NoAnswerInTime("the meter did not give its history this time")
        return forward.counts, exported

    async def _latest(self, today: _Today) -> Directions | None:
        """The half-hours of today by ED and EC, where that takes fewer requests than E5, E2 and E4; else None."""
        if any(map(self._meter.lacks, (MeterEPC.HISTORY_2, MeterEPC.HISTORY_1_EXPORT))):
            return None
        slots = _slots_since(today.date, today.clock.earliest(self._now()))
        if slots > SLOTS:
            return None
        history = await self._slots(
            MeterEPC.HISTORY_2_SELECTOR,
            encode_history_2_selector,
            MeterEPC.HISTORY_2,
            datetime.combine(today.date, time()) + (slots - 1) * HALF_HOUR,
            slots,
        )
        return None if history is None else readings.forward(history)

    def _joins(self, job: _Job, meter: str, day: date, edges: Edges) -> bool:
        """Whether the registers of a day begin where those of the day before end, as far as these are known."""
        before, after = job.edges.get((meter, day - A_DAY)), job.edges.get((meter, day + A_DAY))
        digits = self._meter.registers.digits
        return (not before or _follows(before, edges, digits)) and (not after or _follows(edges, after, digits))

    # --- minutes

    async def _fetch_minutes(self, since: datetime) -> None:
        """Publish the registers by the minute, the latest first, as far back as the meter keeps them."""
        at = oldest = await self._tried(self._last_minute, since)
        if oldest is not None:
            since = max(since, oldest - MINUTES_BACK)
        while at is not None and at >= since:
            at = await self._tried(self._minutes_before, at, since)

    async def _tried(self, step: Callable[..., Awaitable[datetime | None]], *moments: datetime) -> datetime | None:
        """What a step comes to, which is tried as often as a day; None where it fails."""
        for _ in range(DAY_TRIES):
            try:
                return await step(*moments)
            except NoAnswerInTime as error:
                log.debug("no minutes: %s", error)
        return None

    async def _last_minute(self, since: datetime) -> datetime | None:
        """Publish D0; the minute before it, or None where there is none."""
        await self._identify()
        epc = MeterEPC.MINUTE_ENERGY
        async with self.turns:
            last = readings.value_of(epc, (await self._meter.read([epc]))[epc])
        if last is Missing.TIMEOUT:
            raise NoAnswerInTime("the meter did not tell its last minute in time")
        if not isinstance(last, MinuteEnergy) or not isinstance(last.at, datetime):
            return None
        at = readings.utc(last.at.replace(second=0))
        if at >= since and last.at.second == 0:
            self._publish_minutes([(at, last.forward, last.reverse)])
        return at - MINUTE

    async def _minutes_before(self, at: datetime, since: datetime) -> datetime | None:
        """Publish up to ten minutes back from `at`; the minute before them, or None where there is no more."""
        count = min(MINUTES, (at - since) // MINUTE + 1)
        history = await self._slots(
            MeterEPC.HISTORY_3_SELECTOR,
            encode_history_3_selector,
            MeterEPC.HISTORY_3,
            readings.wall_clock(at),
            count,
        )
        rows = [] if history is None else readings.minute_rows(history)
        return at - count * MINUTE if self._publish_minutes(rows) else None

    def _publish_minutes(self, rows: list[Row]) -> bool:
        """Whether there was any."""
        found = [row for row in rows if isinstance(row[1], int) or isinstance(row[2], int)]
        if self._meter.registers.count_kwh is not None:
            for row in found:
                self._publish(self._meter.registers.minute(row))
        return bool(found)

    # --- asking

    async def _slots(
        self, selector: int, encode: Callable[[datetime, int], bytes], epc: int, at: datetime, count: int
    ) -> SlotHistory | None:
        """So many slots back from a moment; None where the meter does not give them."""

        def check(history: SlotHistory) -> None:
            history.require(at, count)

        values = await self._meter.select_and_read(selector, encode(at, count), [epc], check, turn=self.turns)
        history = values[epc]
        return history if isinstance(history, SlotHistory) else None

    async def _identify(self) -> None:
        """Who the meter is, and what a count is worth."""
        if not self._meter.name:
            async with self.turns:
                await self._meter.identify()
        if self._meter.registers.count_kwh is None:
            async with self.turns:
                await self._meter.read(SCALE)

    def _certain(self) -> _Today | None:
        """The meter's date, where that is certain now, and who the meter is."""
        today, meter, now = self._today, self._meter, self._now()
        if today is None or now >= today.until or today.losses != meter.losses or today.clock.outdated(now):
            return None
        return today if (known := meter.registers).meter and known.count_kwh is not None else None

    async def _find_today(self) -> _Today:
        """Wait until that is so. Raises NoAnswerInTime."""
        await self._identify()
        clock, losses = (None, 0) if self._today is None else (self._today.clock, self._today.losses)
        while True:
            now = self._now()
            if clock is None or clock.outdated(now) or losses != self._meter.losses:
                self._today = None
                clock, losses = await self._read_clock()
            elif (today := clock.date(now)) is not None:
                self._today = _Today(today[0], clock, today[1], losses)
                return self._today
            else:
                await asyncio.sleep(clock.until_new_day_s(now))

    async def _read_clock(self) -> tuple[MeterClock, int]:
        """The meter's clock, and how many sessions had been lost by then."""
        while True:
            async with self.turns:
                asked = self._now()
                told = await self._meter.read_clock()
                heard, losses = self._now(), self._meter.losses
            if told is None:
                raise NoAnswerInTime("the meter does not tell what day it is")
            clock = MeterClock(readings.wall_clock(told), asked, heard)
            if not clock.doubtful:
                return clock, losses
            await asyncio.sleep(DOUBT_S)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _slots_since(day: date, until: datetime) -> int:
    """Half-hour boundaries from the beginning of a day to a moment."""
    return (until - datetime.combine(day, time())) // HALF_HOUR + 1


def _ends(counts: Sequence[int | None]) -> tuple[int, int] | None:
    """The first and the last count that there are."""
    if not counts:
        return None
    first, last = counts[0], counts[-1]
    if first is None or last is None:
        told = [each for each in counts if each is not None]
        return (told[0], told[-1]) if told else None
    return first, last


def _follows(older: Edges, newer: Edges, digits: int | None) -> bool:
    """Whether no register goes back from one day to the next; one that began again from 0 goes on."""
    span = 10 ** (digits or 8)
    for before, after in zip(older, newer, strict=True):
        if before and after and (after[0] - before[1]) % span >= span // 2:
            return False
    return True
