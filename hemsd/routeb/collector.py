"""What to ask the meter when, and what of it to publish; also answers those who ask for properties or history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from drivers.ports import PortError
from hemsd.echonet.exchange import Missing
from hemsd.echonet.objects import METER
from hemsd.hub.hub import Place
from hemsd.hub.messages import Backfill, Domain, Event, MeterInterval, MeterReading, ReadMeter, SiteAggregate
from hemsd.routeb import readings
from hemsd.routeb.asked import answer
from hemsd.routeb.backfill import Backfiller, Backlog
from hemsd.routeb.errors import ModuleTrouble, RouteBError
from hemsd.routeb.meter import Meter
from hemsd.routeb.news import news_of
from hemsd.routeb.offered import offered
from hemsd.routeb.stages import Lost, Online, SessionEvent

WATCHED_FOR_S = 60.0  # after someone asked
ROUND_S = 150.0  # that a round of readings may take, at least, a re-authentication in it included
STATUS_S = 60.0
LATE_S = 60.0  # the longest a meter may take to answer (AIF 1.01): so long after the next reading was due
HALF_HOUR = timedelta(minutes=30)
A_BOUNDARY = datetime(2000, 1, 1, tzinfo=UTC)
NOTIFIED_WITHIN = timedelta(minutes=5)  # of the half-hour (AIF 1.01); after it the meter is asked
HALF_HOUR_TRIES = 3
TIMEOUT = Missing.TIMEOUT.value  # as a reading has it
HALF_HOUR_RETRY = timedelta(minutes=2)


class Pace(Struct, frozen=True):
    """Seconds from one reading to the next; polling more often than every 10 s troubles meter and neighbours.

    Live values are fresh for one idle period and LATE_S: then the next ones ought to have come.
    """

    idle_s: float = 30.0  # power and current when nobody is looking
    watched_s: float = 10.0  # and while someone is
    energy_s: float = 300.0  # registers, at least
    backfill_s: float = 2.0  # between two requests for what the meter remembers


class Collector:
    """Publishes MeterReading, MeterInterval, MeterStatus and Event on its seat, answers ReadMeter and Backfill.

    `clock` is the wall clock; all waiting is on the event loop's. The meter is to be one that persists.
    """

    def __init__(
        self,
        meter: Meter,
        seat: Place,
        *,
        pace: Pace | None = None,
        backlog: Backlog | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._meter = meter
        self._seat = seat
        self._pace = pace or Pace()
        self._backfiller = Backfiller(meter, seat.publish, pace_s=self._pace.backfill_s, backlog=backlog)
        self._clock = clock
        self._woken = asyncio.Event()
        self._watched_until = self._energy_due = self._round_began = float("-inf")
        self._verified = False  # what never changes has been read in this session
        self._interval: MeterInterval | None = None  # the last published,
        self._told_at: datetime | None = None  # and when the meter told of that half-hour first
        self._boundary: datetime | None = None  # the half-hour last asked for,
        self._tries = 0  # so many times

    def watch(self, for_s: float = WATCHED_FOR_S) -> None:
        """Someone is looking: read more often for a while."""
        self._watched_until = max(self._watched_until, asyncio.get_running_loop().time() + for_s)
        self._woken.set()

    async def run(self) -> None:
        """Collect until cancelled, through any loss of the meter.

        Raises PortError when the port is lost, ModuleTrouble when it has to be closed and opened again.
        """
        lost: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (
                    self._report,
                    self._beat,
                    self._listen,
                    self._answer,
                    self._poll,
                    self._backfiller.run,
                ):
                    tasks.create_task(work(), name=work.__qualname__)
                tasks.create_task(self._meter.ended(), name="meter port")
        except* (PortError, ModuleTrouble) as errors:
            lost = errors.exceptions[0]  # to raise it here would wrap it again in Python before 3.11.4
        if lost is not None:
            raise lost

    # --- readings

    async def _poll(self) -> None:
        """Rounds, as long as it takes."""
        while True:
            await self._meter.online()
            try:
                async with asyncio.timeout(None) as limit:
                    await self._rounds(limit)
            except (RouteBError, TimeoutError):
                pass  # the meter's status tells; the next round tries again
            await self._rest()

    async def _rounds(self, limit: asyncio.Timeout) -> None:
        """One after the other while the meter is online. The limit is moved seldom, because that is dear."""
        while self._meter.is_online:
            self._round_began = now = self._now()
            if (limit.when() or 0.0) < now + ROUND_S:
                limit.reschedule(now + 2 * ROUND_S)
            with self._backfiller.turns.giving_way():
                await self._round()
            await self._rest()

    async def _round(self) -> None:
        await self._meter.identify()
        energy = self._round_began >= self._energy_due
        reading = await self._meter.read_live(energy=energy)
        self._publish_reading(reading)
        if reading.energy_import_kwh is not None:
            self._energy_due = self._round_began + self._pace.energy_s
        if not self._verified:
            await self._meter.identify(anew=True)
            self._verified = True
        if self._half_hour_due(now := self._clock()) <= now:
            await self._ask_half_hour()

    def _publish_reading(self, reading: MeterReading) -> None:
        self._seat.publish(reading)
        if reading.states.get("power_w") != TIMEOUT:
            logbook, now = self._meter.logbook, self._now()
            was_stale = now >= logbook.fresh_until
            logbook.read_at, logbook.fresh_until = reading.measured_at, now + self._pace.idle_s + LATE_S
            if was_stale:
                self._publish_status()

    async def _rest(self) -> None:
        """Wait for the next round; shorter when someone begins to look meanwhile."""
        while (pause_s := self._pause_s()) > 0:
            self._woken.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                return

    def _pause_s(self) -> float:
        now = self._now()
        period_s = self._pace.watched_s if now < self._watched_until else self._pace.idle_s
        return self._round_began + period_s - now

    # --- half-hours

    def _half_hour_due(self, now: datetime) -> datetime:
        """When the meter is to be asked for the half-hour that it has not notified."""
        boundary = now - (now - A_BOUNDARY) % HALF_HOUR
        if self._told_at is not None and self._told_at >= boundary:
            return boundary + HALF_HOUR + NOTIFIED_WITHIN
        if boundary != self._boundary:
            self._boundary, self._tries = boundary, 0
        if self._tries >= HALF_HOUR_TRIES:
            return boundary + HALF_HOUR + NOTIFIED_WITHIN
        if self._interval is None and not self._tries:
            return boundary  # nothing is known yet, so not even whether it has been notified
        return boundary + NOTIFIED_WITHIN + self._tries * HALF_HOUR_RETRY

    async def _ask_half_hour(self) -> None:
        self._tries += 1
        boundary, began = self._boundary, self._clock()
        if (interval := await self._meter.read_interval()) is not None:
            self._publish_interval(interval)
            if boundary is not None and interval.end < boundary and began < boundary + NOTIFIED_WITHIN:
                self._told_at = None  # the one before, which says nothing of this one

    async def _listen(self) -> None:
        """Half-hours that the meter tells by itself."""
        async for notification in self._meter.notifications():
            frame = notification.frame
            if frame.seoj >> 8 == METER >> 8 and self._meter.name:
                told = {each.epc: each.edt for each in frame.properties}
                interval = readings.interval(told, self._meter.registers, "notified")
                if interval is not None:
                    self._publish_interval(interval)

    def _publish_interval(self, interval: MeterInterval) -> None:
        """Publish what is new of a half-hour: import and export may come one by one, and all may come twice."""
        last = self._interval
        if last is not None and last.end == interval.end:
            interval = _merged(last, interval)
            if interval == replace(last, source=interval.source):
                return
        elif interval.energy_import_kwh is None and interval.energy_export_kwh is None:
            return
        else:
            self._told_at = self._clock()
        self._interval = interval
        self._seat.publish(interval)

    # --- status and events

    async def _report(self) -> None:
        """The meter's status on every change, and what a person may want to know as an event."""
        self._publish_status()
        async for change in self._meter.changes():
            match change:
                case Online():
                    self._verified = False
                case Lost():
                    self._round_began = float("-inf")  # the next round begins when it is online again
                    self._woken.set()
                case _:
                    pass
            self._tell(change)
            self._publish_status()

    async def _beat(self) -> None:
        """The status every minute, and when the values turn stale."""
        due = self._now() + STATUS_S
        while True:
            now, fresh_until = self._now(), self._meter.logbook.fresh_until
            await asyncio.sleep((min(due, fresh_until) if now < fresh_until else due) - now)
            turned_stale = now < self._meter.logbook.fresh_until <= self._now()
            if turned_stale or self._now() >= due:
                self._publish_status()
                due = self._now() + STATUS_S

    def _publish_status(self) -> None:
        status, logbook = self._meter.status, self._meter.logbook
        fresh = status.online and self._now() < logbook.fresh_until
        self._seat.publish(replace(status, read_at=logbook.read_at, fresh=fresh))

    def _tell(self, change: SessionEvent) -> None:
        news = news_of(change)
        if news is None or not (
            isinstance(change, Online | Lost) or self._meter.logbook.is_news(news.text, self._now())
        ):
            return
        at = self._clock()
        self._seat.publish(Event(at=at, source=Domain.ROUTEB, kind=news.kind, severity=news.severity, text=news.text))

    # --- questions

    async def _answer(self) -> None:
        async for message in self._seat.messages():
            match message:
                case ReadMeter():
                    self.watch()
                    await self._answer_read(message)
                case Backfill():
                    self._backfiller.take(message)
                case SiteAggregate():
                    self._meter.offer(offered(message))

    async def _answer_read(self, asked: ReadMeter) -> None:
        with self._backfiller.turns.giving_way():
            with suppress(RouteBError):
                await self._meter.identify()  # nothing to do but for one who asks at the very start
            answers = await answer(self._meter, asked)
        self._publish_status()  # with the link as it was heard just now
        for each in answers:
            self._seat.publish(each)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _merged(known: MeterInterval, new: MeterInterval) -> MeterInterval:
    """Two tellings of one half-hour as one."""
    values = {
        name: value if (value := getattr(new, name)) is not None else getattr(known, name)
        for name in readings.REGISTERS
    }
    states = {name: state for name, state in (known.states | new.states).items() if values[name] is None}
    return replace(new, states=states, **values)
