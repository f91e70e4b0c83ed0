"""The latest of one meter, merged from what was read at different times; whether it is current. Pure."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter

from msgspec.structs import replace

from hemsd.hub.messages import Link, MeterReading, MeterStatus

SILENT_AFTER_S = 600.0  # two of the longest intervals at which a meter is asked for anything
LIVE_VALUES = ("power_w", "current_r_a", "current_t_a", "energy_import_kwh", "energy_export_kwh")
ENERGY = {"energy_import_kwh", "energy_export_kwh"}

_values = attrgetter(*LIVE_VALUES)


class Meter:
    """Times in seconds are on the monotonic clock of whoever calls."""

    def __init__(self, now: float) -> None:
        self.status: MeterStatus | None = None
        self.reading: MeterReading | None = None
        self.read_at = 0.0
        self.energy_at: datetime | None = None
        self._heard_at = now

    @property
    def link(self) -> Link:
        """The radio link as last told."""
        return self.status.link if self.status else Link()

    def current(self, now: float) -> bool:
        """Whether what is told of it is how it is now."""
        status = self.status  # none yet where a reading came first
        if status is not None and not (status.online and (status.fresh or status.read_at is None)):
            return False
        return now - self._heard_at < SILENT_AFTER_S

    def stand(self, status: MeterStatus, now: float) -> None:
        """How it stands with the meter."""
        if self.status and (status.last_heard_at, status.online) != (self.status.last_heard_at, self.status.online):
            self._heard_at = now
        self.status = status

    def read(self, reading: MeterReading, now: float) -> None:
        """A value that this reading says nothing of, not even why it is missing, stays what it was."""
        before = self.reading or MeterReading(meter=reading.meter, measured_at=reading.measured_at)
        kept = {
            name: was
            for name, value, was in zip(LIVE_VALUES, _values(reading), _values(before), strict=True)
            if value is None and name not in reading.states
        }
        if not kept.keys() >= ENERGY:
            self.energy_at = reading.measured_at
        if kept:
            states = {name: why for name, why in before.states.items() if name in kept}
            reading = replace(reading, **kept, states=states | reading.states)
        self.reading, self.read_at, self._heard_at = reading, now, now
