"""What waits to be written, bounded, with the right time on everything. Pure: time is an argument.

`wall` is this machine's clock, which may not be set yet; `now` is seconds on a monotonic clock.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from hemsd.history import calendar
from hemsd.history.calendar import CLOCK_SET
from hemsd.history.intervals import NotKept, Run, kept, kept_day
from hemsd.hub.messages import BackfillProgress, Event, MeterDay, MeterInterval, MeterMinute, MeterReading

RUNS_MAX = 10_000  # 208 days of half-hours that come one by one
EVENTS_MAX, SAMPLES_MAX, EARLY_MAX = 1_000, 5_000, 1_000


@dataclass(slots=True)
class Batch:
    """What is written in one transaction."""

    runs: list[Run] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    asked: list[tuple[str, date]] = field(default_factory=list)  # days that a meter gave, as far as it has them

    def __bool__(self) -> bool:
        return bool(self.runs or self.events or self.asked)


class Inbox:
    """Gathers what is heard. Half-hours carry the meter's time; events and live values this machine's."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.read_at: datetime | None = None  # when live values were read last
        self._over = date.min  # the last day that is known to be over
        self._writing = Batch()
        self._runs: deque[Run] = deque(maxlen=RUNS_MAX)
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._asked: deque[tuple[str, date]] = deque(maxlen=EVENTS_MAX)
        self._readings: deque[MeterReading] = deque(maxlen=SAMPLES_MAX)
        self._minutes: deque[MeterMinute] = deque(maxlen=SAMPLES_MAX)
        self._early: deque[tuple[float, Event | MeterReading]] = deque(maxlen=EARLY_MAX)  # before the clock was set

    def hear_half_hours(self, message: MeterInterval | MeterDay) -> str:
        """One or a day of them; returns why they are not kept, empty where they are."""
        try:
            run = kept_day(message) if isinstance(message, MeterDay) else kept(message)
        except NotKept as error:
            self.counters["not_kept"] += 1
            return str(error)
        if run is not None:
            if len(self._runs) == RUNS_MAX:
                self.counters["dropped"] += 1
            self._runs.append(run)
        return ""

    def hear_minute(self, minute: MeterMinute) -> None:
        """Registers at a minute out of the meter's memory."""
        self._minutes.append(minute)

    def hear_progress(self, told: BackfillProgress, clock: Callable[[], datetime]) -> None:
        """A day that is over and that the meter gave, as far as it has it, is not to be asked again."""
        day = told.day
        if day is None or told.outcome == "failed":
            return
        if day > self._over:
            self._over = calendar.day(calendar.day_of(calendar.seconds(clock())) - 1)
        if day <= self._over:
            self._asked.append((told.meter, day))

    def hear(self, message: Event | MeterReading, wall: datetime, now: float) -> None:
        """Something with this machine's time on it; before the clock is set it waits, to be stamped when it is."""
        if wall < CLOCK_SET:
            self._early.append((now, message))
            return
        self.stamp_early(wall, now)
        self._sort(message)

    def stamp_early(self, wall: datetime, now: float) -> None:
        """The clock is set: so long ago was what waited for it."""
        while self._early:
            then, message = self._early.popleft()
            at = wall - timedelta(seconds=now - then)
            self._sort(replace(message, at=at) if isinstance(message, Event) else replace(message, measured_at=at))

    def _sort(self, message: Event | MeterReading) -> None:
        if isinstance(message, Event):
            self._events.append(message)
        else:
            self.read_at = message.measured_at
            self._readings.append(message)

    def batch(self) -> Batch:
        """What is to be written now, the same until written(); empty where nothing waits."""
        if not self._writing:
            self._writing = Batch(list(self._runs), list(self._events), list(self._asked))
            for waiting in (self._runs, self._events, self._asked):
                waiting.clear()
        return self._writing

    def written(self) -> None:
        """The batch is on the disk."""
        self._writing = Batch()

    def samples(self) -> tuple[list[MeterReading], list[MeterMinute]]:
        """Take what has gathered of live values."""
        taken = list(self._readings), list(self._minutes)
        self._readings.clear()
        self._minutes.clear()
        return taken

    def put_back(self, readings: list[MeterReading], minutes: list[MeterMinute]) -> None:
        """They could not be written."""
        self._readings.extendleft(reversed(readings))
        self._minutes.extendleft(reversed(minutes))

    @property
    def samples_waiting(self) -> int:
        """How many live values have gathered."""
        return len(self._readings) + len(self._minutes)
