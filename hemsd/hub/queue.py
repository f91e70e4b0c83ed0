"""What waits for one seat of the hub, bounded: which messages may be replaced, dropped or refused is said by kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter

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


@dataclass(frozen=True, slots=True)
class Policy:
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


def key_of(by: tuple[str, ...]) -> Callable[[Message], object]:
    """Gives the values of a message in these fields."""
    return attrgetter(*by) if by else lambda _: None


_KEYS: Mapping[type[Message], Callable[[Message], object]] = {
    kind: key_of(policy.latest_by) for kind, policy in POLICIES.items() if policy.latest_by is not None
}


class Queue:
    """Messages in the order they came; each kind has a lane of its own, so that a flood of one costs no other."""

    def __init__(self) -> None:
        self._lanes: dict[type[Message], OrderedDict[object, tuple[int, Message]]] = {}  # none is empty
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def put(self, message: Message) -> bool:
        """Add a message; False when it was refused or another one lost for it."""
        kind = type(message)
        if (lane := self._lanes.get(kind)) is None:
            lane = self._lanes[kind] = OrderedDict()
        self._arrivals += 1
        key: object = self._arrivals
        if kind in _KEYS:
            key = _KEYS[kind](message)
            if key in lane:
                lane[key] = (lane[key][0], message)  # keeps the place in the line
                return True
        policy = POLICIES[kind]
        full = len(lane) >= policy.cap
        if full and policy.refuse_newest:
            return False
        if full:
            lane.popitem(last=False)
        lane[key] = (self._arrivals, message)
        return not full

    def take(self) -> Message | None:
        """Remove and return the message that waits longest."""
        if not self._lanes:
            return None
        kind, lane = min(self._lanes.items(), key=_first_arrival)
        _, (_, message) = lane.popitem(last=False)
        if not lane:
            del self._lanes[kind]
        return message


def _first_arrival(lane: tuple[type[Message], OrderedDict[object, tuple[int, Message]]]) -> int:
    return next(iter(lane[1].values()))[0]
