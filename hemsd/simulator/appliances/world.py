"""What all appliances of a simulated home share: the wall clock, the weather and the household's own load."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from hemsd.simulator.appliances.wall import Wall
from hemsd.simulator.household import Household, warmth

STEP_S = 5.0  # in which things in appliances move: the only grid there is, so that nothing depends on questions


class World:
    """`start` is the wall clock (JST, without a zone) when `now` is 0. A meter at its `wall` counts what is in it."""

    def __init__(self, start: datetime, *, household: Household | None = None, step_s: float = STEP_S) -> None:
        self.start = start
        self.household = household or Household(seed=1, pv_kw=4.0)
        self.step_s = step_s
        self.draws: list[Callable[[], float]] = []  # watts of each appliance in it
        self.wall = Wall(self.household, start, self.drawn_w)

    @property
    def seed(self) -> int:
        return self.household.seed

    def at(self, now: float) -> datetime:
        """The wall clock."""
        return self.start + timedelta(seconds=now)

    def outdoor_c(self, at: datetime) -> float:
        """Season, hour, and weather that changes within days; in degrees Celsius."""
        day = at.toordinal() + (at.hour * 60 + at.minute) / 1440
        daily = 4.5 * math.cos(2 * math.pi * (day % 1 - 14 / 24))
        weather = 2.0 * math.sin(day / 1.3 + self.seed) + 1.5 * math.sin(day / 0.47 + 2 * self.seed)
        return warmth(at.date()) + daily + weather

    def sun_w(self, at: datetime) -> int:
        """What the modules on the roof give; the meter at the wall counts the same."""
        return self.household.sun_w(at)

    def drawn_w(self) -> float:
        """What all appliances draw together; what the sun gives the household has counted already."""
        return sum(draws() for draws in self.draws)

    def grid_w(self, at: datetime) -> int:
        """What comes from the grid, all in all; negative while it takes."""
        return self.wall.power_w(at)
