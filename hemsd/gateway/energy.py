"""What the house ever took from and gave to the grid, as totals that never fall, jump, or begin at nothing. Pure.

History knows the totals at half-hours; a register that was read since then says what has come to them. Where it does
not fit, because it wrapped, fell, belongs to another meter or rose beyond belief, nothing is told until history has
made sense of it. What was told before a start may be ahead of history: until a register was read, or history knows of
a later time, nothing is told either. Only where a meter was exchanged right before a start, that may still be less.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from hemsd.hub.messages import Lifetime, LifetimeEnergy, MeterReading

MOST_KW = 50.0  # contracts at low voltage stay below
LATE = timedelta(minutes=30)  # that our clock may be behind the meter's
HOUR = timedelta(hours=1)
REGISTERS: Mapping[str, str] = {"imported": "energy_import_kwh", "exported": "energy_export_kwh"}


class _Shown(NamedTuple):
    """A register as it was read last."""

    meter: str
    kwh: float
    at: datetime


class HouseEnergy:
    """Both totals in kWh, by name."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.at: datetime | None = None  # when a register was read last
        self._began: datetime | None = None
        self._known = LifetimeEnergy()
        self._shown: dict[str, _Shown] = {}

    @property
    def complete(self) -> bool:
        """Whether all is known that can be: a total that history has is not told as unknown."""
        known = {name for name in REGISTERS if getattr(self._known, name) is not None}
        return bool(known) and known <= self.totals.keys()

    def hear(self, message: LifetimeEnergy | MeterReading, at: datetime) -> bool:
        """Take one, at this time of day; whether a total has grown by it."""
        self._began = self._began or at
        if isinstance(message, LifetimeEnergy):
            self._known = message
        elif not self._shows(message):
            return False
        found = {name: self._total(name) for name in REGISTERS}
        grown = {name: kwh for name, kwh in found.items() if kwh is not None and kwh > self.totals.get(name, -1.0)}
        self.totals |= grown
        return bool(grown)

    def _shows(self, reading: MeterReading) -> bool:
        """Whether it tells of a register; most do not."""
        for name, register in REGISTERS.items():
            if (kwh := getattr(reading, register)) is not None:
                self._shown[name] = _Shown(reading.meter, kwh, reading.measured_at)
                self.at = reading.measured_at
        return self.at is reading.measured_at

    def _total(self, name: str) -> float | None:
        known: Lifetime | None = getattr(self._known, name)
        if known is None or self._began is None:
            return None
        shown = self._shown.get(name)
        if shown is not None and shown.meter == known.meter and known.register_kwh is not None:
            rise = round(shown.kwh - known.register_kwh, 4)
            most = MOST_KW * max(shown.at - known.at + LATE, LATE) / HOUR
            if 0 <= rise <= most:
                return round(known.total_kwh + rise, 4)
        waits = known.register_kwh is None
        return known.total_kwh if waits or known.at > self._began + LATE else None
