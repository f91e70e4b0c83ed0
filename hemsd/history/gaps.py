"""What the meter is asked for, and when: gaps newest first, politely, nothing twice that it cannot give. Pure.

`now` is seconds on a monotonic clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from hemsd.hub.messages import Backfill, BackfillProgress, Domain

MEMORY_DAYS = 99  # before today (EPC E5)
MINUTES_MEMORY = timedelta(hours=1)  # of one-minute registers it is worth asking for after an outage
CHECK_S = 3600.0
STARTED_S = 60.0  # after the meter came online: first what is live
SILENT_S = 1800.0  # a backfill of which nothing is heard so long is over
RETRY_S, RETRY_CAP_S = 3600.0, 86_400.0


@dataclass(slots=True)
class _Tried:
    times: int
    again_at: float


class GapFiller:
    """Decides on backfills; one runs at a time. Tell it what happens, and ask due() and request().

    `name` tells our requests from those of an earlier process, which the meter's may still answer.
    """

    def __init__(self, name: str = "history") -> None:
        self._name = name
        self._check_at: float | None = None  # None while the meter is not online
        self._running: str | None = None
        self._heard_at = 0.0
        self._requests = 0
        self._outcomes: Counter[str] = Counter()
        self._tried: dict[date, _Tried] = {}
        self._left: set[date] = set()  # of the request that runs
        self._minutes_since: datetime | None = None

    def online(self, now: float, today: date, outage_since: datetime | None = None) -> None:
        """The meter came online; what is left of before is asked again. `outage_since` is when it was last read."""
        self._running = None
        for day in {today, *self._left}:
            self._tried.pop(day, None)
        self._check_at = now + STARTED_S
        self._minutes_since = outage_since

    def offline(self) -> None:
        """Nothing is asked until it comes back."""
        self._check_at = None

    def progress(self, told: BackfillProgress, now: float) -> Counter[str] | None:
        """The meter's world did a day of a request; returns the days by outcome when it was the last."""
        if told.request != self._running:
            return None
        self._heard_at = now
        if told.day is not None:
            self._outcomes[told.outcome] += 1
            self._left.discard(told.day)
        if not told.last:
            return None
        self._running = None
        return self._outcomes

    def due(self, now: float) -> bool:
        """Whether it is time to look for gaps."""
        return self._check_at is not None and now >= self._check_at and not self._busy(now)

    def deadline(self, now: float) -> float | None:
        """When due() may become true next."""
        if self._check_at is None:
            return None
        return max(self._check_at, self._heard_at + SILENT_S) if self._busy(now) else self._check_at

    def request(self, missing: Sequence[date], wall: datetime, now: float) -> Backfill | None:
        """Ask for the days that are missing, newest first, but those that were asked for a short while ago."""
        self._check_at = now + CHECK_S
        days = [day for day in missing if (tried := self._tried.get(day)) is None or tried.again_at <= now]
        minutes_since = self._minutes_since
        if minutes_since is not None:
            minutes_since = max(minutes_since, wall - MINUTES_MEMORY)
        self._minutes_since = None
        if not days and minutes_since is None:
            return None
        self._tried = {day: tried for day, tried in self._tried.items() if day in missing}
        for day in days:
            times = self._tried[day].times + 1 if day in self._tried else 1
            self._tried[day] = _Tried(times, now + min(RETRY_S * 2.0 ** min(times - 1, 10), RETRY_CAP_S))
        self._requests += 1
        self._outcomes = Counter()
        self._running, self._heard_at = f"{self._name}-{self._requests}", now
        asked = tuple(days[: 1 + MEMORY_DAYS])
        self._left = set(asked)
        return Backfill(request=self._running, asker=Domain.HISTORY, days=asked, minutes_since=minutes_since)

    def _busy(self, now: float) -> bool:
        return self._running is not None and now < self._heard_at + SILENT_S
