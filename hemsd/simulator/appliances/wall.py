"""The household's connection to the grid, with the appliances of a world on it: what a meter at the wall counts.

Until the simulation begins it is the household's own, a pure function of the wall clock. From then on what the
appliances draw is added; that depends on what happens to them, so it is integrated as time passes, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hemsd.simulator.household import PHASE_V, Energy, Household

MINUTE = timedelta(minutes=1)
HALF_HOUR = 30  # minutes
MINUTES_REMEMBERED = 25 * 60  # each; a meter tells the minutes of a day,
REMEMBERED = 100 * 1440 // HALF_HOUR + MINUTES_REMEMBERED  # and half-hours for as long as this


class Wall(Household):
    """`drawn_w` gives what the appliances draw at this moment; negative: what they give."""

    def __init__(self, household: Household, start: datetime, drawn_w: Callable[[], float]) -> None:
        super().__init__(
            household.seed, contract_a=household.contract_a, pv_kw=household.pv_kw, installed=household.installed
        )
        self._base = household
        self._drawn_w = drawn_w
        self._start = self._at = start
        self._energy: Energy | None = None  # the registers at `_at`; not asked for yet
        self._minutes: dict[int, Energy] = {}  # and by the minute since the start; long ago by the half-hour

    def power_w(self, at: datetime) -> int:
        """Net power now; negative while more is given than taken."""
        return self._base.power_w(at) + (round(self._drawn_w()) if at >= self._start else 0)

    def currents_a(self, at: datetime) -> tuple[float, float]:
        """Appliances are on both phases alike."""
        r_a, t_a = self._base.currents_a(at)
        drawn_a = self._drawn_w() / 2 / PHASE_V if at >= self._start else 0.0
        return r_a + drawn_a, t_a + drawn_a

    def energy(self, at: datetime) -> Energy | None:
        """Exact until the start; from then on as it was when that minute, or the next that was asked for, began."""
        if at < self._start:
            return self._base.energy(at)
        if at >= self._at:
            return self._pass(at)
        return self._minutes.get((at - self._start) // MINUTE, self._energy)

    def _pass(self, at: datetime) -> Energy:
        """Count what passed since it was asked last, at the power of this moment."""
        energy = self._energy or self._base.energy(self._start) or Energy(0, 0)
        while self._at < at:
            end = min(self._at + MINUTE, at)
            joules = round(self.power_w(self._at) * (end - self._at).total_seconds())
            energy = Energy(energy.imported_j + max(joules, 0), energy.exported_j + max(-joules, 0))
            self._at = end
            minute = (end - self._start) // MINUTE
            self._minutes.setdefault(minute, energy)
            self._forget(minute - MINUTES_REMEMBERED)
        while len(self._minutes) > REMEMBERED:
            del self._minutes[next(iter(self._minutes))]
        self._energy = energy
        return energy

    def _forget(self, minute: int) -> None:
        """A minute since the start that is long ago, unless a half-hour ended within it."""
        last = self._start + (minute + 1) * MINUTE - datetime.resolution
        if last.minute % HALF_HOUR:
            self._minutes.pop(minute, None)
