"""How all networks of appliances are doing, as one Health, so that none of them hides another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hemsd.hub.messages import Domain, Health


@dataclass(frozen=True, slots=True)
class Part:
    """How one network is doing; `trouble` is a sentence, or nothing."""

    trouble: str
    counters: Mapping[str, int]


class Wellbeing:
    """The latest of each network."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}

    def health(self, network: str, part: Part, at: datetime) -> Health:
        """What to tell now that there is news of one network."""
        self._parts[network] = part
        parts = sorted(self._parts.items())
        return Health(
            at=at,
            source=Domain.APPLIANCES,
            ok=not any(part.trouble for _, part in parts),
            detail="; ".join(f"network {name}: {part.trouble}" for name, part in parts if part.trouble),
            counters={f"{name}: {what}": n for name, part in parts for what, n in part.counters.items()},
        )
