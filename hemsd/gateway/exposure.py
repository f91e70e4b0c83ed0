"""Every topic there is, how it is delivered, and from which level of exposure on it is there. Pure.

This table is all that a broker ever gets; docs/mqtt.md has it in words. A topic that is retained says how things
stand until the next one does, and is cleared when what it is about ceases to exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from hemsd.hub.routes import Exposure

LEVELS: tuple[Exposure, ...] = get_args(Exposure)  # each has all of those before it


class Delivery(NamedTuple):
    """How a topic is published, and from which level on."""

    qos: Literal[0, 1]
    retain: bool
    level: Exposure


TOPICS: Mapping[str, Delivery] = {
    "availability": Delivery(1, True, "aggregates"),
    "bridge/info": Delivery(1, True, "aggregates"),
    "bridge/health": Delivery(1, True, "aggregates"),
    "bridge/event": Delivery(1, False, "aggregates"),
    "bridge/log/+": Delivery(0, False, "appliances"),
    "alert/+": Delivery(1, True, "aggregates"),
    "meter/+/availability": Delivery(1, True, "aggregates"),
    "meter/+/live": Delivery(0, True, "aggregates"),
    "meter/+/interval": Delivery(1, False, "aggregates"),
    "site/live": Delivery(0, True, "aggregates"),
    "site/day": Delivery(1, True, "aggregates"),
    "site/month": Delivery(1, True, "aggregates"),
    "site/energy": Delivery(1, True, "aggregates"),
    "appliance/+/availability": Delivery(1, True, "appliances"),
    "appliance/+/state": Delivery(1, True, "appliances"),
    "response/+": Delivery(1, False, "control"),
}
"""What is published; LOG only where that is configured."""

LOG = "bridge/log/+"

REQUESTS: Mapping[str, Exposure] = {"request/+": "control", "appliance/+/set": "control"}
"""What is subscribed to, at QoS 1."""

OPERATIONS = ("get", "set", "identify")
"""<op> of request/<op>."""


PROVIDER = ("meter/+/interval", "bridge/info")
"""What of TOPICS a provider is given."""

PROVIDER_HEALTH = ("availability", "bridge/health")
"""And what besides, where that is wanted."""


def provider_topics(*, health: bool) -> tuple[str, ...]:
    """Every topic of the provider link, which listens to none."""
    return (*PROVIDER, *(PROVIDER_HEALTH if health else ()))


def exposes(level: Exposure, needed: Exposure) -> bool:
    """Whether a level has what another one has."""
    return LEVELS.index(level) >= LEVELS.index(needed)


def event_level(kind: str) -> Exposure:
    """From which level on an event is told: one about a single appliance is more than a sum."""
    return "appliances" if kind.startswith("appliance.") else "aggregates"
