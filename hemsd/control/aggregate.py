"""The whole house in few numbers, from the meter and from what appliances tell. Pure.

Theory. Every appliance with a power of its own plays one part: it generates, it is a battery, a vehicle, or a load.
What measures others (meters, a distribution board, a sensor on a cable) plays none, and neither does a power
conditioner beside what is behind it: it is their sum. Of generators, batteries and vehicles all have to be known, or
their sum is not, nor what is left of the meter's power; a load that does not tell (any more) is part of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from hemsd.control.targets import APPLIANCES_MAX, Targets, class_code
from hemsd.hub.messages import ApplianceState, ApplianceStatus, MeterReading, MeterStatus, Scalar, SiteAggregate

GAP_S = 2.0  # between two that are published
EVERY_S = 60.0  # at least, while the meter is fresh
FRESH_POLLS = 3  # that what an appliance told may be old,
FRESH_S = 90.0  # at least: three of one that takes 30 s over each


class Part(Enum):
    """What an appliance is to the house."""

    GENERATOR = "generator"
    BATTERY = "battery"
    VEHICLE = "vehicle"
    LOAD = "load"
    CONDITIONER = "conditioner"  # a generator, unless what is behind it tells for itself
    NONE = "none"


PARTS: Mapping[int, Part] = {
    0x0279: Part.GENERATOR,  # photovoltaics
    0x027C: Part.GENERATOR,  # fuel cell
    0x027D: Part.BATTERY,
    0x027E: Part.VEHICLE,  # EV charger and discharger
    0x02A1: Part.VEHICLE,  # EV charger
    0x02A5: Part.CONDITIONER,  # multi-input power conditioner
    **dict.fromkeys((0x0022, 0x0023), Part.NONE),  # sensors of energy and current
    **dict.fromkeys((0x0280, 0x0281, 0x0282, 0x0287, 0x0288), Part.NONE),  # meters, and the distribution board
    **dict.fromkeys((0x028A, 0x028D, 0x028E, 0x028F), Part.NONE),  # more meters
}
"""By class code; every other class is a load."""

_BEHIND = (Part.GENERATOR, Part.BATTERY, Part.VEHICLE)


class _Told(Struct, frozen=True):
    power_w: float | None
    sums: str  # word of the common language: house, circuit, or the objects behind it
    until: float  # monotonic: it is fresh


class Site:
    """Hears the meter and the appliances, says when there is something to publish, and what.

    `now` is seconds on a monotonic clock, `at` the time of day. `targets` has the appliances that there are.
    """

    def __init__(self, targets: Targets, now: float) -> None:
        self._targets = targets
        self._told: dict[str, _Told] = {}
        self._reading: MeterReading | None = None
        self._meter: MeterStatus | None = None
        self._changed = False  # perhaps
        self._last: SiteAggregate | None = None  # published,
        self._published_at = -math.inf  # and when
        self._summed_at = now  # first when a new seat in the hub has heard how things stand

    # --- hearing

    def hear_reading(self, reading: MeterReading) -> None:
        """Live values of the meter; a round in which it did not answer leaves what is known, until that is stale."""
        if reading.power_w is not None or reading.states.get("power_w") != "timeout":
            self._reading = reading
            self._changed = True

    def hear_meter(self, status: MeterStatus) -> None:
        """How it stands with the meter."""
        before, self._meter = self._grid_w, status
        self._changed |= before != self._grid_w

    def hear_state(self, state: ApplianceState, now: float, at: datetime) -> None:
        """What an appliance told; perhaps before it is known what it is."""
        if state.appliance not in self._told and len(self._told) >= APPLIANCES_MAX:
            return
        before = self._told.get(state.appliance)
        age_s = max(0.0, (at - state.at).total_seconds())
        fresh_s = max(FRESH_S, FRESH_POLLS * state.interval_s) - age_s
        told = _Told(_number(state.values.get("power_w")), str(state.values.get("sums") or ""), now + fresh_s)
        self._told[state.appliance] = told
        if before is None or now > before.until or (before.power_w, before.sums) != (told.power_w, told.sums):
            self._changed = True

    def hear_status(self, status: ApplianceStatus) -> None:
        """An appliance came, went, or is no more; to be told after Targets is."""
        if status.forgotten:
            self._told.pop(status.appliance, None)
        self._changed = True

    # --- telling

    def due_at(self) -> float | None:
        """When there may be something to publish; None while nothing was heard since the last."""
        return self._summed_at + GAP_S if self._changed else None

    def aggregate(self, now: float, at: datetime) -> SiteAggregate | None:
        """What is to be published now, if anything is."""
        if not self._changed or now < self._summed_at + GAP_S:
            return None
        self._changed, self._summed_at = False, now
        found = self._sum(now, at)
        same = self._last is not None and replace(self._last, at=at) == found
        if same and not (self._fresh and now >= self._published_at + EVERY_S):
            return None
        self._last, self._published_at = found, now
        return found

    # --- inside

    @property
    def _fresh(self) -> bool:
        return self._meter is not None and self._meter.online and self._meter.fresh

    @property
    def _grid_w(self) -> int | None:
        reading, meter = self._reading, self._meter
        if reading is None or meter is None or not self._fresh or reading.meter != meter.meter:
            return None
        return reading.power_w

    def _power_w(self, status: ApplianceStatus, now: float) -> float | None:
        told = self._told.get(status.appliance)
        return told.power_w if told is not None and status.online and now <= told.until else None

    def _sum(self, now: float, at: datetime) -> SiteAggregate:
        powers: dict[Part, list[float | None]] = {part: [] for part in Part}
        for status, part in self._parts():
            powers[part].append(self._power_w(status, now))
        loads = [power for power in powers[Part.LOAD] if power is not None]
        made = powers[Part.GENERATOR] + [power for power in loads if power < 0]
        loads = [power for power in loads if power >= 0]
        pv = _total(None if power is None else max(0.0, -power) for power in made)
        loads += [power for power in powers[Part.GENERATOR] if power is not None and power > 0]  # on standby
        battery, vehicle = _total(powers[Part.BATTERY]), _total(powers[Part.VEHICLE])
        grid = self._grid_w
        counted = [(made, pv, 1), (powers[Part.BATTERY], battery, -1), (powers[Part.VEHICLE], vehicle, -1)]
        rest = None
        if grid is not None and not any(those and total is None for those, total, _ in counted):
            rest = grid + sum(sign * (total or 0.0) for _, total, sign in counted) - sum(loads)
        return SiteAggregate(
            at=at,
            grid_w=grid,
            pv_w=_whole(pv),
            battery_w=_whole(battery),
            ev_w=_whole(vehicle),
            known_loads_w=_whole(_total(loads)),
            rest_w=_whole(rest),
        )

    def _parts(self) -> Iterable[tuple[ApplianceStatus, Part]]:
        """Each appliance that counts, and as what."""
        parts = [(status, PARTS.get(class_code(status), Part.LOAD)) for status in self._targets]
        behind = {(*_node(status), status.eoj) for status, part in parts if part in _BEHIND}
        nodes = {key[:2] for key in behind}
        for status, part in parts:
            told = self._told.get(status.appliance)
            sums = told.sums if told is not None else ""
            if part is Part.NONE or sums in ("house", "circuit"):
                continue
            if part is not Part.CONDITIONER:
                yield status, part
                continue
            parts_of_it = {(*_node(status), eoj) for eoj in sums.split(",")} if sums else set[tuple[str, str, str]]()
            if not (behind & parts_of_it if sums else _node(status) in nodes):
                yield status, Part.GENERATOR


def _node(status: ApplianceStatus) -> tuple[str, str]:
    return status.network, status.address


def _number(value: Scalar) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and value is not None else None


def _total(powers: Iterable[float | None]) -> float | None:
    """Their sum; None where there are none, or one is not known."""
    every = list(powers)
    known = [power for power in every if power is not None]
    return sum(known) if every and len(known) == len(every) else None


def _whole(power_w: float | None) -> int | None:
    return None if power_w is None else round(power_w)
