"""How much of something flows through a meter: a pure function of the wall clock, drawn from a seed and the date."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random

SLOTS, SLOT_S = 48, 1800  # half-hours of a day
HALF_HOUR = timedelta(seconds=SLOT_S)
INSTALLED_DAYS = 30  # before the simulation began
RHYTHM = (2, 1, 1, 1, 1, 2, 6, 9, 6, 3, 3, 4, 5, 4, 3, 3, 4, 7, 10, 11, 10, 9, 7, 4)  # of a household, by hour
DAYS_REMEMBERED = 3


class Usage:
    """About `daily` units a day, in a household's rhythm or evenly; even within each half-hour."""

    def __init__(self, name: str, start: datetime, daily: float, *, even: bool = False) -> None:
        self._name = name
        self._installed = start.date() - timedelta(days=INSTALLED_DAYS)
        self._daily = daily
        self._rhythm = (1,) * 24 if even else RHYTHM
        self._midnights = [0.0]
        self._days: dict[date, list[float]] = {}  # passed since its midnight at each half-hour

    def total(self, at: datetime) -> float:
        """What passed since it was installed; 0 before."""
        age = (at.date() - self._installed).days
        if age < 0:
            return 0.0
        while len(self._midnights) <= age:
            past = self._day(self._installed + timedelta(days=len(self._midnights) - 1))
            self._midnights.append(self._midnights[-1] + past[-1])
        day = self._day(at.date())
        slot, share = _slot(at)
        return self._midnights[age] + day[slot] + share * (day[slot + 1] - day[slot])

    def rate(self, at: datetime) -> float:
        """What passes now, in units an hour."""
        day, slot = self._day(at.date()), _slot(at)[0]
        return (day[slot + 1] - day[slot]) * 3600 / SLOT_S

    def slots(self, day: date, now: datetime) -> list[float | None]:
        """The totals at the 48 half-hours of a day; None for those to come."""
        midnight = datetime(day.year, day.month, day.day)
        instants = [midnight + slot * HALF_HOUR for slot in range(SLOTS)]
        return [self.total(at) if at <= now else None for at in instants]

    def _day(self, day: date) -> list[float]:
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= DAYS_REMEMBERED:
                del self._days[next(iter(self._days))]
            chance = Random(f"{self._name} {day}")  # noqa: S311 (a household, no secret)
            shares = [self._rhythm[slot // 2] * chance.uniform(0.4, 1.6) for slot in range(SLOTS)]
            scale = self._daily / (2 * sum(self._rhythm))
            found = self._days[day] = list(accumulate((share * scale for share in shares), initial=0.0))
        return found


def _slot(at: datetime) -> tuple[int, float]:
    """The half-hour of the day, and how much of it has passed (0-1)."""
    return at.hour * 2 + at.minute // 30, (at.minute % 30 * 60 + at.second) / SLOT_S
