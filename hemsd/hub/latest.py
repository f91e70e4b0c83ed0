"""How things stand: the last of each message that is true until the next one, for whoever comes later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from hemsd.hub.messages import ApplianceState, ApplianceStatus, BackfillProgress, Domain, Message, MeterStatus
from hemsd.hub.queue import POLICIES

LATEST_MAX = 4096  # messages kept


def _values(by: tuple[str, ...]) -> Callable[[Message], object]:
    return attrgetter(*by) if by else lambda _: None


LATEST: Mapping[type[Message], Callable[[Message], object]] = {
    **{kind: _values(policy.latest_by) for kind, policy in POLICIES.items() if policy.latest_by is not None},
    BackfillProgress: _values(("meter",)),
}
"""Messages that say how things stand until the next one does: the last with the same of these values."""


class Latest:
    """The last of each, with who said it, in the order they were said."""

    def __init__(self) -> None:
        self._kept: dict[tuple[type[Message], object], tuple[Domain, Message]] = {}

    def __iter__(self) -> Iterator[tuple[Domain, Message]]:
        return iter(list(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)

    def note(self, message: Message, sender: Domain) -> None:
        """Keep what is in LATEST, in the place of what it replaces; an appliance that is forgotten leaves nothing."""
        kind, kept = type(message), self._kept
        if (value_of := LATEST.get(kind)) is None:
            return
        if isinstance(message, MeterStatus) and message.meter is not None:
            kept.pop((kind, None), None)  # it was this one before we knew it
        if isinstance(message, ApplianceStatus) and message.forgotten:
            for each in (ApplianceStatus, ApplianceState):
                kept.pop((each, message.appliance), None)
            return
        key = kind, value_of(message)
        kept.pop(key, None)
        kept[key] = sender, message
        if len(kept) > LATEST_MAX:
            del kept[next(iter(kept))]
