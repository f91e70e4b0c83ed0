"""How often an appliance may be ordered, and how long it is to stay on or off. Pure: `now` is monotonic seconds.

Theory. Two things wear an appliance out, or only confuse it: many orders, and a compressor or contactor that is
switched again too soon. Orders are counted for each appliance: one in 10 s, 20 in an hour; all that one request sets
is one. How long an appliance has been on or off is seen from what it tells, whoever switched it; after a start of
ours it is not known, and then nothing is forbidden.

Who may be an automation (the home gateway: nobody sees whether a person or a script is behind it) keeps the minimum
times of its class. A person at the machine may switch off at any time, as with the remote control, and on again
as soon as a compressor has rested. Minimum times on are for comfort and wear, the rest is for the machine: a guard
may break the former, nobody the latter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from hemsd.control.targets import class_code
from hemsd.hub.messages import ApplianceStatus, Scalar

HOUR_S = 3600.0
REMEMBERED_MAX = 4096  # appliances whose orders of the last hour are counted; more than there can be at a time


class Minimum(Struct, frozen=True):
    """How long an appliance stays on and off, in seconds, and which words tell whether it runs.

    The words are those of its state and of wishes alike, and codes like 0xb0; the first that tells counts. A value
    that is not there leaves it to the appliance.
    """

    on_s: float
    off_s: float
    rest_s: float  # off, whoever asks
    running: Mapping[str, Mapping[str, bool]]


def _either(on: str, off: str) -> dict[str, bool]:
    return dict.fromkeys(on.split(), True) | dict.fromkeys(off.split(), False)


_ON = _either("true on yes 1 30", "false off no 0 31")
_PLUG = _either("charge rapid_charge discharge charge_discharge", "standby idle")

_SWITCH = {"on": _ON, "operation_status": _ON, "0x80": _ON}
_WATER_HEATER = {
    "heating": _ON,
    "mode": _either("heat", "stop"),
    "on": _either("", "false off no 0"),
    "automatic_water_heating": _either("manual_heating", "manual_no_heating manual_not_heating"),
    "0xb0": _either("42", "43"),
}
_VEHICLE = {
    "activity": _either("charging rapid_charging discharging", "standby idle"),
    "mode": _PLUG,
    "operation_mode": _PLUG | {"charging_discharging": True},
    "0xda": _either("41 42 43 46", "44 47"),
}

# Control rules 4.4: 20 min on for heat pumps, 5 min for vehicles, 10 min off for all. Air conditioners leave a
# compressor that was stopped alone for 3 min themselves: a start in that time would only be put off.
MINIMUM: Mapping[int, Minimum] = {
    0x0130: Minimum(1200.0, 600.0, 180.0, _SWITCH),  # home air conditioner
    0x0156: Minimum(1200.0, 600.0, 180.0, _SWITCH),  # commercial air conditioner
    0x026B: Minimum(1200.0, 600.0, 180.0, _WATER_HEATER),  # EcoCute
    0x02A6: Minimum(1200.0, 600.0, 180.0, _WATER_HEATER),  # heat pump and gas
    0x027E: Minimum(300.0, 600.0, 0.0, _VEHICLE),
    0x02A1: Minimum(300.0, 600.0, 0.0, _VEHICLE),
}
"""By class code; a class that is not here may be switched at any time."""

UNLIMITED = Minimum(0.0, 0.0, 0.0, _SWITCH)


class Orders:
    """Counts the orders of each appliance: how many there may be in how short a time."""

    def __init__(self, gap_s: float, per_hour: int) -> None:
        self._gap_s = gap_s
        self._per_hour = per_hour
        self._given: dict[str, deque[float]] = {}

    def next_at(self, appliance: str, now: float) -> float:
        """When the next one may be given; not later than `now` where that is at once."""
        given = self._given.get(appliance)
        if not given:
            return now
        at = given[-1] + self._gap_s
        return max(at, given[0] + HOUR_S) if len(given) == self._per_hour else at

    def give(self, appliance: str, now: float) -> None:
        """One goes out now."""
        given = self._given.pop(appliance, None)
        self._given[appliance] = given = deque(maxlen=self._per_hour) if given is None else given
        given.append(now)
        if len(self._given) > REMEMBERED_MAX:
            del self._given[next(iter(self._given))]  # the one that was ordered longest ago

    def take_back(self, appliance: str, given_at: float) -> None:
        """The one of that time did not reach the appliance."""
        given = self._given.get(appliance)
        if given is not None and given_at in given:
            given.remove(given_at)


class Switches:
    """Sees when each appliance went on and off, and how long it stays so; `configured` as in Settings.minimums."""

    def __init__(self, configured: Mapping[str, tuple[float | None, float | None]]) -> None:
        self._configured = configured
        self._seen: dict[str, tuple[bool, float | None]] = {}  # whether it runs, and since when, where that was seen

    def hear(self, status: ApplianceStatus, values: Mapping[str, Scalar], now: float) -> None:
        """Take what an appliance tells."""
        minimum = self._minimum(status)
        runs = None if minimum is None else _runs(minimum, values)
        if runs is not None:
            before = self._seen.get(status.appliance)
            if before is None or before[0] != runs:
                self._seen[status.appliance] = runs, None if before is None else now

    def forget(self, appliance: str) -> None:
        """It is gone for good."""
        self._seen.pop(appliance, None)

    def held_until(self, status: ApplianceStatus, values: Mapping[str, Scalar], *, person: bool) -> float | None:
        """Until when it is to stay as it is, although `values` would switch it; None where they would not."""
        if (minimum := self._minimum(status)) is None:
            return None
        wanted = _runs(minimum, values)
        runs, since = self._seen.get(status.appliance, (None, None))
        if wanted is None or wanted == runs or since is None:
            return None
        if person:
            return since + minimum.rest_s if wanted else None
        return since + (minimum.off_s if wanted else minimum.on_s)

    def _minimum(self, status: ApplianceStatus) -> Minimum | None:
        usual = MINIMUM.get(class_code(status))
        configured = self._configured.get(status.appliance, self._configured.get(status.name))
        if configured is None:
            return usual
        usual = usual or UNLIMITED
        on_s = usual.on_s if configured[0] is None else configured[0]
        off_s = usual.off_s if configured[1] is None else configured[1]
        return Minimum(on_s, off_s, min(usual.rest_s, off_s), usual.running)


def _runs(minimum: Minimum, values: Mapping[str, Scalar]) -> bool | None:
    """Whether an appliance with these values runs; None where they do not tell."""
    said = {word.casefold(): str(value).strip().casefold() for word, value in values.items()}
    told = (meaning.get(said[word]) for word, meaning in minimum.running.items() if word in said)
    return next((runs for runs in told if runs is not None), None)
