"""How all networks of appliances are doing, as one Health, so that none of them hides another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct

from hemsd.hub.messages import Domain, Health


class Part(Struct, frozen=True):
    """How one network is doing; `trouble` is a sentence, or nothing."""

    trouble: str
    counters: Mapping[str, int]


class Wellbeing:
    """Asks all of them."""

    def __init__(self) -> None:
        self._networks: dict[str, Callable[[], Part]] = {}

    def watch(self, network: str, part: Callable[[], Part]) -> None:
        """One network, and who tells how it is doing."""
        self._networks[network] = part

    def health(self, at: datetime) -> Health:
        """How all are doing now."""
        parts = {name: part() for name, part in self._networks.items()}
        return Health(
            at=at,
            source=Domain.APPLIANCES,
            ok=not any(part.trouble for part in parts.values()),
            detail="; ".join(f"network {name}: {part.trouble}" for name, part in parts.items() if part.trouble),
            counters={f"{name}: {what}": n for name, part in parts.items() for what, n in part.counters.items()},
        )
