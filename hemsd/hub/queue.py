"""What waits for one seat of the hub, bounded: which messages may be replaced, dropped or refused is said by kind."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Backfill,
    BackfillProgress,
    Decision,
    Event,
    Health,
    HistoryAnswer,
    HistoryHead,
    HistoryQuery,
    IsolationStatus,
    LifetimeEnergy,
    Message,
    MeterDay,
    MeterInterval,
    MeterMinute,
    MeterProperty,
    MeterReading,
    MeterStatus,
    PowerCompanyRequest,
    ProviderEvent,
    ReadMeter,
    Records,
    RecordsAfter,
    SiteAggregate,
    UserRequest,
    UserResponse,
)


class Policy(Struct, frozen=True):
    """How messages of one kind wait for a seat that is slow."""

    cap: int  # messages of the kind; one more drops the oldest
    latest_by: tuple[str, ...] | None = None  # replaces the one waiting with the same values in these fields
    refuse_newest: bool = False  # at the cap, instead of dropping the oldest


KEPT = Policy(cap=10_000)  # 208 days of half hours
REQUEST = Policy(cap=64, refuse_newest=True)  # whoever asks more is not waiting for the answers


def _latest(*by: str, cap: int = 64) -> Policy:
    return Policy(cap=cap, latest_by=by)


POLICIES: Mapping[type[Message], Policy] = {
    MeterReading: _latest("meter"),
    MeterStatus: _latest("meter"),
    MeterInterval: KEPT,
    MeterDay: KEPT,
    MeterMinute: KEPT,
    PowerCompanyRequest: KEPT,
    ReadMeter: REQUEST,
    MeterProperty: KEPT,
    Backfill: REQUEST,
    BackfillProgress: KEPT,
    SiteAggregate: _latest(),
    ApplianceState: _latest("appliance", cap=1024),
    ApplianceStatus: _latest("appliance", cap=1024),
    ApplianceProperty: KEPT,
    ApplianceResult: KEPT,
    ApplianceCommand: REQUEST,
    ApplianceQuery: REQUEST,
    UserRequest: REQUEST,
    UserResponse: KEPT,
    ProviderEvent: REQUEST,
    Decision: KEPT,
    Event: KEPT,
    Health: _latest("source", "part"),
    IsolationStatus: _latest("source", "interface"),
    Records: KEPT,
    HistoryHead: _latest(),
    LifetimeEnergy: _latest(),
    RecordsAfter: REQUEST,
    HistoryQuery: REQUEST,
    HistoryAnswer: KEPT,
}


class Queue:
    """Messages in the order they came; each kind is counted by itself, so that a flood of one costs no other."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[object, ...], Message] = OrderedDict()  # by kind, and what tells them apart
        self._counts: Counter[object] = Counter()  # of each kind
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> bool:
        """Add a message; False when it was refused or another one lost for it."""
        kind, waiting = type(message), self._waiting
        policy = POLICIES[kind]
        key: tuple[object, ...]
        if policy.latest_by is None:
            self._arrivals += 1
            key = (kind, self._arrivals)
        else:
            key = (kind, *[getattr(message, field) for field in policy.latest_by])
            if key in waiting:
                waiting[key] = message  # keeps the place in the line
                return True
        full = self._counts[kind] >= policy.cap
        if full and policy.refuse_newest:
            return False
        if full:
            del waiting[next(each for each in waiting if each[0] is kind)]
        else:
            self._counts[kind] += 1
        waiting[key] = message
        return not full

    def take(self) -> Message | None:
        """Remove and return the message that waits longest."""
        if not self._waiting:
            return None
        key, message = self._waiting.popitem(last=False)
        self._counts[key[0]] -= 1
        return message
