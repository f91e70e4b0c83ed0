"""What the configuration says about control, and the answer to what may not be."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from hemsd.hub.messages import ErrorCode
from hemsd.hub.routes import Exposure


class Settings(Struct, frozen=True, kw_only=True):
    """How much the house lets be done with it."""

    exposure: Exposure = "aggregates"
    watched_only: frozenset[str] = frozenset()  # ids and names of appliances that are never set (control = false)
    opened: frozenset[str] = frozenset()  # of those that lock the house, which the gateway may set (control = true)
    gap_s: float = 10.0  # between two orders for one appliance (its actuator layer)
    per_hour: int = 20  # of them, for one appliance
    minimums: Mapping[str, tuple[float | None, float | None]] = {}
    # by id or name: seconds that it stays on and off instead of those of its class (None)


class Refused(Struct, frozen=True):
    """Why something is not done: a stable code, and one sentence that says what would do."""

    code: ErrorCode
    text: str
