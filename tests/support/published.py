"""What is published is what the shipped schemas say, under a topic of the table and delivered as it says."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from hemsd.gateway.exposure import TOPICS
from hemsd.gateway.schema import DIRECTORY

SCHEMAS = {
    "bridge/info": "hemsd.bridge.info-1",
    "bridge/health": "hemsd.bridge.health-1",
    "bridge/event": "hemsd.event-1",
    "bridge/log/+": "hemsd.log-1",
    "alert/+": "hemsd.alert-1",
    "meter/+/live": "hemsd.meter.live-1",
    "meter/+/interval": "hemsd.meter.interval-1",
    "site/live": "hemsd.site.live-1",
    "site/day": "hemsd.site.total-1",
    "site/month": "hemsd.site.total-1",
    "site/energy": "hemsd.site.energy-1",
    "appliance/+/state": "hemsd.appliance.state-1",
    "response/+": "hemsd.response-1",
}
_BELOW = re.compile("(?:[A-Za-z0-9_-]+/){1,3}v1/[a-z0-9-]+/(.+)")


@cache
def validator(name: str) -> Any:
    """Of one shipped schema."""
    return Draft202012Validator(json.loads((DIRECTORY / f"{name}.json").read_text("utf-8")))


def kind_of(topic: str) -> str | None:
    """Its row of the table; None for what is not hemsd's to say."""
    if (below := _BELOW.fullmatch(topic)) is None:
        return None
    for kind in TOPICS:
        if re.fullmatch(kind.replace("+", "[a-z0-9-]+"), below[1]):
            return kind
    return None


def check(topic: str, payload: bytes) -> None:
    """Raise where a payload is not what its topic promises. Topics that are not hemsd's are let pass."""
    kind = kind_of(topic)
    if kind is None or not payload:
        assert kind is None or TOPICS[kind].retain, f"{topic} is cleared, and was never retained"
    elif kind.endswith("availability"):
        assert payload in (b"online", b"offline")
    else:
        validator(SCHEMAS[kind]).validate(json.loads(payload))
