"""What outlives a connection: the loss under way, what brought the meter back before, how the radio has been doing.

A port that is closed and opened again begins a new connection; to the householder it is the same loss. Pure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from hemsd.echonet.exchange import WATCHED
from hemsd.hub.messages import RadioHealth
from hemsd.routeb.airtime import Airtime
from hemsd.routeb.contention import Contention
from hemsd.routeb.gate import Gate
from hemsd.routeb.ladder import Ladder, Rung

TOLD_AGAIN_S = 3600.0
TOLD_LIMIT = 32
LIFETIMES = 8


class Recovery(Struct, frozen=True):
    """The meter came back."""

    rung: Rung  # that brought it
    took_s: float  # since the first request that it did not answer, or since it was lost


class Logbook:
    """One meter's. Given to each of its connections in turn; times are seconds on one monotonic clock."""

    def __init__(self, jitter: Callable[[], float] = lambda: 0.5) -> None:
        self.ladder = Ladder(jitter)
        self.gate = Gate()
        self.airtime = Airtime()
        self.contention = Contention()
        self.counters: Counter[str] = Counter()  # of the exchange
        self.unanswered: deque[bool] = deque(maxlen=WATCHED)  # the same
        self.sessions = 0
        self.authenticated_at: float | None = None  # when the present session began, None where we were not there
        self.lifetime_s: int | None = None  # as the meter told,
        self.lifetimes_s: deque[float] = deque(maxlen=LIFETIMES)  # and as they were
        self.recoveries: Counter[Rung] = Counter()
        self.recovery_s: float | None = None
        self.read_at: datetime | None = None  # when the latest live values were read
        self.fresh_until = float("-inf")  # then they are stale
        self._told: dict[str, float] = {}
        self._well = False  # the meter was online, and answered
        self._lost_at: float | None = None
        self._rung: Rung | None = None  # the last taken since

    @property
    def lost(self) -> bool:
        """Whether the meter is to be brought back; not before it was online for the first time."""
        return self._lost_at is not None

    def lose(self, now: float) -> None:
        """The meter does not answer, or the session or the port is gone; the first of it counts."""
        if self._well:
            self._well, self._lost_at = False, now

    def take(self, rung: Rung) -> None:
        """A rung is begun."""
        self._rung = rung

    def back(self, now: float) -> Recovery | None:
        """The meter is online; None where it was never lost."""
        recovery = None
        if self._lost_at is not None and self._rung is not None:
            recovery = Recovery(self._rung, now - self._lost_at)
            self.recoveries[recovery.rung] += 1
            self.recovery_s = recovery.took_s
        if self._rung is not Rung.RETRY:
            self._told.clear()
        self._well, self._lost_at, self._rung = True, None, None
        return recovery

    def is_news(self, text: str, now: float) -> bool:
        """Whether this is worth telling: not again within the hour, as long as the meter is not back."""
        if now - self._told.get(text, float("-inf")) < TOLD_AGAIN_S:
            return False
        if len(self._told) >= TOLD_LIMIT:
            self._told.clear()
        self._told[text] = now
        return True

    def authenticated(self, now: float) -> None:
        """A session began, or was renewed. The one before it lasted until then, or until it was lost."""
        self.sessions += 1
        if (began := self.authenticated_at) is not None:
            ended = now if self._lost_at is None or self._lost_at < began else self._lost_at
            self.lifetimes_s.append(ended - began)
        self.authenticated_at = now

    def health(self, now: float, at: datetime) -> RadioHealth:
        """All of it as a message; `at` is `now` on the wall clock."""
        counters, began = self.counters, self.authenticated_at
        return RadioHealth(
            requests=counters["requests"],
            repeated=counters["repeated"],
            silences=counters["silences"],
            loss=round(sum(self.unanswered) / len(self.unanswered), 3) if self.unanswered else None,
            air_s=round(self.airtime.last_hour_s(now), 3),
            sessions=self.sessions,
            session_since=None if began is None else at - timedelta(seconds=now - began),
            lifetime_s=self.lifetime_s,
            lifetimes_s=tuple(map(round, self.lifetimes_s)),
            recoveries={rung.value: count for rung, count in self.recoveries.items()},
            recovery_s=None if self.recovery_s is None else round(self.recovery_s, 3),
            dropped=dict(self.gate.dropped),
        )
