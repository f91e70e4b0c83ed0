"""What day it is for a meter, which counts its days of history from its own today. Pure.

EPC 97 and 98 tell the meter's clock to the minute only, some time between question and answer, and its speed is not
quite ours: what is known of it later is a span. A day number means one date while the whole span lies in one day.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from msgspec import Struct

MINUTE_S = 60.0  # the resolution of EPC 97
DAY_S = 86_400.0
DRIFT = 0.001  # seconds in a second by which the meter's clock may run away from ours; real ones do 20 millionths
AGE_LIMIT_S = 3600.0  # after which it is asked again: somebody may have set it


class MeterClock(Struct, frozen=True):
    """A reading of the meter's clock: `told` without a zone, between `asked` and `heard` on our monotonic clock."""

    told: datetime
    asked: float
    heard: float

    @property
    def doubtful(self) -> bool:
        """Whether date and time may be of different days: a weak meter tells them in two answers."""
        took_s = self.heard - self.asked
        return self._told_s < took_s or self._told_s + MINUTE_S + took_s > DAY_S

    def outdated(self, now: float) -> bool:
        """Whether it is time to ask again."""
        return now - self.asked > AGE_LIMIT_S

    def earliest(self, now: float) -> datetime:
        """Not earlier than this it is for the meter."""
        return self.told + timedelta(seconds=self._least_s(now))

    def latest(self, now: float) -> datetime:
        """Nor later than this."""
        return self.told + timedelta(seconds=self._most_s(now))

    def date(self, now: float) -> tuple[date, float] | None:
        """The date that it certainly is, and before when on our clock it stays that; None around midnight."""
        days = (self._told_s + self._least_s(now)) // DAY_S
        until = self.asked + ((days + 1) * DAY_S - MINUTE_S - self._told_s) / (1 + DRIFT)
        return (self.told.date() + timedelta(days), until) if now < until else None

    def until_new_day_s(self, now: float) -> float:
        """How long until midnight has certainly passed."""
        earliest = self.earliest(now)
        midnight = datetime.combine(earliest.date() + timedelta(days=1), time())
        return (midnight - earliest).total_seconds() / (1 - DRIFT)

    @property
    def _told_s(self) -> float:
        return self.told.hour * 3600 + self.told.minute * MINUTE_S

    def _least_s(self, now: float) -> float:
        """What has passed since it was told, at least."""
        return (now - self.heard) * (1 - DRIFT)

    def _most_s(self, now: float) -> float:
        return MINUTE_S + (now - self.asked) * (1 + DRIFT)
