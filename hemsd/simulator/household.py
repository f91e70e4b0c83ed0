"""A Japanese household as the meter at its wall sees it: power by the minute, a pure function of the wall clock.

Everything is drawn from the seed and the date, so that any instant since the meter's installation, past or
future, can be asked for in any order. Power is constant within a minute; energy is its exact integral.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import accumulate
from operator import add, sub
from random import Random
from typing import NamedTuple

MINUTES = 1440  # of a day
DAYS_REMEMBERED = 8
PHASE_V = 100  # single-phase three-wire: R and T are 100 V each, large appliances are on both (200 V)
LATITUDE = math.radians(35.7)  # Tokyo


class Energy(NamedTuple):
    """Cumulative energy since the meter was installed, in joules (1 kWh = 3 600 000 J)."""

    imported_j: int
    exported_j: int


class _Block(NamedTuple):
    """An appliance running: from a minute of the day, for some minutes, watts on either phase."""

    start: int
    minutes: int
    r_w: int = 0
    t_w: int = 0


class _Day(NamedTuple):
    """One day: watts by the minute on each phase, net (negative: export), and W*min since its midnight."""

    r_w: array[int]
    t_w: array[int]
    net_w: array[int]
    sun_w: array[int]  # what the modules produce, both phases
    imported: array[int]
    exported: array[int]


class Household:
    """A load curve with seasons, week-ends and optionally photovoltaics, deterministic for a seed.

    `contract_a` caps the load at that many times 100 W; `pv_kw` is the nominal power of the modules (0: none).
    All instants are naive Japanese wall time. Before `installed` there is no energy.
    """

    def __init__(
        self, seed: int = 1, *, contract_a: int = 40, pv_kw: float = 0.0, installed: date = date(2025, 4, 1)
    ) -> None:
        self.seed = seed
        self.contract_a = contract_a
        self.pv_kw = pv_kw
        self.installed = installed
        self._days: dict[date, _Day] = {}
        self._midnights = [(0, 0)]  # W*min imported and exported at 00:00 of each day since installed

    def power_w(self, at: datetime) -> int:
        """Net power now; negative while more is produced than used."""
        return self._day(at.date()).net_w[_minute(at)]

    def sun_w(self, at: datetime) -> int:
        """What the photovoltaic modules produce now."""
        return self._day(at.date()).sun_w[_minute(at)]

    def currents_a(self, at: datetime) -> tuple[float, float]:
        """Current on the R and the T phase, signed like the power."""
        day, minute = self._day(at.date()), _minute(at)
        return day.r_w[minute] / PHASE_V, day.t_w[minute] / PHASE_V

    def energy(self, at: datetime) -> Energy | None:
        """The integral of the power since installation, to the second; None before that."""
        age = (at.date() - self.installed).days
        if age < 0:
            return None
        while len(self._midnights) <= age:
            day = self._day(self.installed + timedelta(days=len(self._midnights) - 1))
            imported, exported = self._midnights[-1]
            self._midnights.append((imported + day.imported[-1], exported + day.exported[-1]))
        day, minute = self._day(at.date()), _minute(at)
        imported, exported = self._midnights[age]
        now_w = day.net_w[minute]
        return Energy(
            60 * (imported + day.imported[minute]) + at.second * max(now_w, 0),
            60 * (exported + day.exported[minute]) + at.second * max(-now_w, 0),
        )

    def _day(self, date_: date) -> _Day:
        day = self._days.get(date_)
        if day is None:
            if len(self._days) >= DAYS_REMEMBERED:
                del self._days[next(iter(self._days))]
            day = self._days[date_] = self._live_through(date_)
        return day

    def _live_through(self, date_: date) -> _Day:
        chance = Random(f"{self.seed} {date_}")  # noqa: S311 (a household, no secret)
        blocks = list(_appliances(chance, date_))
        r_w = _watts([(block.start, block.minutes, block.r_w) for block in blocks])
        t_w = _watts([(block.start, block.minutes, block.t_w) for block in blocks])
        _keep_below(self.contract_a * PHASE_V, r_w, t_w)
        sun_w = _watts(list(_sunshine(chance, date_, self.pv_kw))) if self.pv_kw else [0] * MINUTES
        if self.pv_kw:
            r_w, t_w = list(map(sub, r_w, sun_w)), list(map(sub, t_w, sun_w))
        net_w = list(map(add, r_w, t_w))
        imported = list(accumulate([watts if watts > 0 else 0 for watts in net_w], initial=0))
        exported = list(map(sub, imported, accumulate(net_w, initial=0)))
        return _Day(*[array("q", each) for each in (r_w, t_w, net_w, map(add, sun_w, sun_w), imported, exported)])


def _minute(at: datetime) -> int:
    return at.hour * 60 + at.minute


def _watts(blocks: list[tuple[int, int, int]]) -> list[int]:
    """Blocks of (start, minutes, watts) piled up: watts of each minute of the day."""
    steps = [0] * (MINUTES + 1)
    for start, minutes, watts in blocks:
        steps[min(start, MINUTES)] += watts
        steps[min(start + minutes, MINUTES)] -= watts
    return list(accumulate(steps[:MINUTES]))


def _keep_below(limit_w: int, r_w: list[int], t_w: list[int]) -> None:
    """Scale the minutes down in which both phases together draw more."""
    total_w = list(map(add, r_w, t_w))
    if max(total_w) > limit_w:
        for minute in (minute for minute in range(MINUTES) if total_w[minute] > limit_w):
            r_w[minute] = r_w[minute] * limit_w // total_w[minute]
            t_w[minute] = t_w[minute] * limit_w // total_w[minute]


def warmth(date_: date) -> float:
    """Mean outdoor temperature in degrees Celsius on this day of the year in Tokyo, roughly."""
    return 15.5 - 10.5 * math.cos(2 * math.pi * (date_.timetuple().tm_yday - 25) / 365.25)


def _appliances(chance: Random, date_: date) -> Iterator[_Block]:
    """What runs on this day, and when."""
    at_home = [(390, 1410)] if date_.weekday() >= 5 else [(360, 490), (1050, 1410)]
    degrees = warmth(date_) + chance.gauss(0, 2)
    yield _Block(0, MINUTES, 75, 55)  # standby, router, ventilation
    yield from _refrigerator(chance, degrees)
    yield from _hot_water(chance, degrees)
    for start, end in at_home:
        yield from _evening_and_morning(chance, start, end)
        yield from _air_conditioner(chance, degrees, start, end)
    for meal, dishes in ((395, 1), (725, 1 if len(at_home) == 1 else 0), (1110, 2)):
        yield from _meal(chance, meal + chance.randrange(-15, 40), dishes)
    if chance.random() < 0.6:
        yield _Block(chance.randrange(370, 560), 45, 0, 280)  # washing machine
    if chance.random() < 0.3:
        yield _Block(chance.randrange(570, 1000), 20, 900, 0)  # vacuum cleaner
    for _ in range(chance.randrange(1, 4)):
        yield _Block(chance.randrange(1230, 1390), 7, 0, 1100)  # hair dryer


def _refrigerator(chance: Random, degrees: float) -> Iterator[_Block]:
    at = chance.randrange(40)
    while at < MINUTES:
        runs = 12 + chance.randrange(5) + int(max(degrees, 0) / 4)
        yield _Block(at, runs, 115, 0)
        at += runs + 24 + chance.randrange(8)


def _hot_water(chance: Random, degrees: float) -> Iterator[_Block]:
    """A heat pump water heater on night tariff, done before five o'clock; colder water takes longer."""
    minutes = round(170 - 3.5 * degrees) + chance.randrange(-10, 10)
    watts = round(760 - 8 * degrees)
    yield _Block(300 - minutes, minutes, watts, watts)


def _evening_and_morning(chance: Random, start: int, end: int) -> Iterator[_Block]:
    """Lights, television and computers while somebody is up."""
    for at in range(start, end, 30):
        yield _Block(at, 30, chance.randrange(20, 90), chance.randrange(40, 220))


def _air_conditioner(chance: Random, degrees: float, start: int, end: int) -> Iterator[_Block]:
    """An inverter on 200 V: full power at first, then what the weather asks for."""
    strain = max(degrees - 23.5, 13.0 - degrees, 0.0)
    if strain:
        yield _Block(start, 15, 500, 500)
        for at in range(start + 15, end, 15):
            watts = min(round(strain * 45 * chance.uniform(0.6, 1.4)) + 90, 600)
            yield _Block(at, min(15, end - at), watts, watts)


def _meal(chance: Random, at: int, dishes: int) -> Iterator[_Block]:
    if dishes:
        yield _Block(at, 4, 1150, 0)  # kettle
        yield _Block(at + 8, chance.randrange(2, 7), 0, 1250)  # microwave oven
    if dishes > 1:
        yield _Block(at - 40, 40, 0, 380)  # rice cooker
        yield _Block(at, chance.randrange(18, 35), 700, 700)  # induction hob


def _sunshine(chance: Random, date_: date, pv_kw: float) -> Iterator[tuple[int, int, int]]:
    """Photovoltaic power in ten-minute steps, as watts on each phase."""
    tilt = math.radians(23.44) * math.sin(2 * math.pi * (date_.timetuple().tm_yday - 81) / 365.25)
    sky = chance.choice((0.25, 0.6, 0.85, 0.95, 1.0))
    for at in range(0, MINUTES, 10):
        angle = math.radians((at + 5 - 700) / 4)  # the sun is highest at 11:40 in Tokyo
        height = math.sin(LATITUDE) * math.sin(tilt) + math.cos(LATITUDE) * math.cos(tilt) * math.cos(angle)
        cloud = sky * (1 if sky == 1.0 else chance.uniform(0.55, 1.0))
        if height > 0:
            yield at, 10, round(pv_kw * 500 * 0.85 * cloud * height)
