"""What to ask the meter when, and what of it to publish; also answers those who ask for single properties."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from drivers.ports import PortError
from hemsd.echonet.objects import METER
from hemsd.hub.hub import Seat
from hemsd.hub.messages import Domain, Event, MeterInterval, ReadMeter
from hemsd.routeb import readings
from hemsd.routeb.asked import answer
from hemsd.routeb.errors import RouteBError
from hemsd.routeb.meter import Meter
from hemsd.routeb.stages import Concluded, Lost, Online

WATCHED_FOR_S = 60.0  # after someone asked
ROUND_S = 150.0  # a round of readings, a re-authentication in it included
STATUS_S = 60.0
HALF_HOUR = timedelta(minutes=30)
NOTIFIED_WITHIN = timedelta(minutes=5)  # of the half-hour (AIF 1.01); after it the meter is asked
HALF_HOUR_TRIES = 3
HALF_HOUR_RETRY = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds from one reading to the next; polling more often than every 10 s troubles meter and neighbours."""

    idle_s: float = 30.0  # power and current when nobody is looking
    watched_s: float = 10.0  # and while someone is
    energy_s: float = 300.0  # registers, at least


class Collector:
    """Publishes MeterReading, MeterInterval, MeterStatus and Event on its seat, and answers ReadMeter.

    `clock` is the wall clock; all waiting is on the event loop's. The meter is to be one that persists.
    """

    def __init__(
        self,
        meter: Meter,
        seat: Seat,
        *,
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._meter = meter
        self._seat = seat
        self._pace = pace or Pace()
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
        """Collect until cancelled, through any loss of the meter. Raises PortError when the port is lost."""
        lost: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._report, self._beat, self._listen, self._answer, self._poll):
                    tasks.create_task(work(), name=work.__qualname__)
                tasks.create_task(self._meter.ended(), name="meter port")
        except* PortError as errors:
            lost = errors.exceptions[0]  # to raise it here would wrap it again in Python before 3.11.4
        if lost is not None:
            raise lost

    # --- readings

    async def _poll(self) -> None:
        """One round after the other while the meter is online."""
        while True:
            await self._meter.online()
            self._round_began = self._now()
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._round()
            except (RouteBError, TimeoutError):
                pass  # the meter's status tells; the next round tries again
            await self._rest()

    async def _round(self) -> None:
        await self._meter.identify()
        energy = self._now() >= self._energy_due
        reading = await self._meter.read_live(energy=energy)
        self._seat.publish(reading)
        if reading.energy_import_kwh is not None:
            self._energy_due = self._round_began + self._pace.energy_s
        if not self._verified:
            await self._meter.identify(anew=True)
            self._verified = True
        if self._half_hour_due() <= self._clock():
            await self._ask_half_hour()

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

    def _half_hour_due(self) -> datetime:
        """When the meter is to be asked for the half-hour that it has not notified."""
        now = self._clock()
        boundary = now - (now - datetime.min.replace(tzinfo=UTC)) % HALF_HOUR
        if self._told_at is not None and self._told_at >= boundary:
            return boundary + HALF_HOUR + NOTIFIED_WITHIN
        if boundary != self._boundary:
            self._boundary, self._tries = boundary, 0
        if self._tries >= HALF_HOUR_TRIES:
            return boundary + HALF_HOUR + NOTIFIED_WITHIN
        return boundary + NOTIFIED_WITHIN + self._tries * HALF_HOUR_RETRY

    async def _ask_half_hour(self) -> None:
        self._tries += 1
        if (interval := await self._meter.read_interval()) is not None:
            self._publish_interval(interval)

    async def _listen(self) -> None:
        """Half-hours that the meter tells by itself."""
        async for notification in self._meter.notifications():
            frame = notification.frame
            if frame.seoj >> 8 == METER >> 8 and self._meter.name:
                told = {each.epc: each.edt for each in frame.properties}
                interval = readings.interval(told, self._meter.scale, self._meter.name, "notified")
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
        self._seat.publish(self._meter.status)
        async for change in self._meter.changes():
            match change:
                case Online(resumed):
                    self._verified = False
                    how = "the session of the last time goes on" if resumed else "joined"
                    self._tell("meter.online", "info", f"the meter is online: {how}")
                case Lost(text):
                    self._round_began = float("-inf")  # the next round begins when it is online again
                    self._woken.set()
                    self._tell("meter.lost", "warning", text)
                case Concluded(error):
                    self._tell("meter.unreachable", "error", str(error))
            self._seat.publish(self._meter.status)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            self._seat.publish(self._meter.status)

    def _tell(self, kind: str, severity: Literal["info", "warning", "error"], text: str) -> None:
        self._seat.publish(Event(at=self._clock(), source=Domain.ROUTEB, kind=kind, severity=severity, text=text))

    # --- questions

    async def _answer(self) -> None:
        async for message in self._seat.messages():
            if isinstance(message, ReadMeter):
                self.watch()
                with suppress(RouteBError):
                    await self._meter.identify()  # nothing to do but for one who asks at the very start
                answers = await answer(self._meter, message)
                self._seat.publish(self._meter.status)  # the link as it was heard just now
                for each in answers:
                    self._seat.publish(each)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _merged(known: MeterInterval, new: MeterInterval) -> MeterInterval:
    """Two tellings of one half-hour as one."""
    values = {
        name: value if (value := getattr(new, name)) is not None else getattr(known, name)
        for name in readings.HALF_HOUR.values()
    }
    states = {name: state for name, state in (known.states | new.states).items() if values[name] is None}
    return replace(new, states=states, **values)
