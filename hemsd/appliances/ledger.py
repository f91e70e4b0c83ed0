"""What is known, believed and under way on one network, and the messages that come of it. Pure: time is an argument.

`now` is seconds on the monotonic clock. What is returned is to be published at once; states gather until states().
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, assert_never

from msgspec.structs import replace

from hemsd.appliances.events import Answered, Appliance, Changed, Forgotten, NetworkEvent, Noted, Settled, Told
from hemsd.appliances.telling import Believed, Teller, epcs_of
from hemsd.echonet.classes.device import Known, Scalar
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceState,
    ErrorCode,
    Message,
)

OPEN_MAX = 64  # orders, and queries, under way
PENDING_S = 60.0  # how long what was ordered is shown that was neither confirmed nor refused

Requested = tuple[Mapping[str, Scalar], float]
"""Values that were ordered, and until when they are shown."""


class Ledger:
    """Outlives each run of a network. `owners` are shared by all: by appliance, the network that it belongs to.

    That is the one which found it first, where several reach it: it is not to be set twice.
    """

    def __init__(self, teller: Teller, owners: dict[str, str]) -> None:
        self._teller = teller
        self._owners = owners
        self._overlap = ""  # the network that is the same as this one, as it seems
        self._appliances: dict[str, Appliance] = {}
        self._believed: dict[str, Believed] = {}
        self._changed: dict[str, None] = {}  # appliances whose state is to be told, in the order of their changes
        self._orders: dict[str, ApplianceCommand] = {}
        self._queries: dict[str, ApplianceQuery] = {}
        self._requested: dict[str, dict[str, Requested]] = {}  # by appliance, then by command
        self.trouble = ""  # why the network cannot be reached

    @property
    def counters(self) -> dict[str, int]:
        """How many appliances there are."""
        online = sum(appliance.online for appliance in self._appliances.values())
        return {"appliances": len(self._appliances), "online": online}

    def has(self, appliance: str) -> bool:
        """Whether there is an appliance of this id on the network."""
        return appliance in self._appliances

    # --- runs

    def begin(self, appliances: Iterable[Appliance], now: float) -> list[Message]:
        """The network can be reached from now on; these are known on it, none else, and were not heard yet."""
        told: list[Message] = []
        if self.trouble:
            told.append(
                self._teller.event(
                    Noted("network.back", "info", f"network {self._teller.network} can be reached again"), now
                )
            )
        self.trouble = ""
        known = {each.id: replace(each, since=now) for each in appliances if self._is_ours(each)}
        told += [self._forget(each) for each in list(self._appliances.values()) if each.id not in known]
        return told + [self._status(each) for each in known.values()]

    def end(self) -> list[Message]:
        """Nothing more will come of what is under way. Values are as old as they are: none is told again."""
        lost: list[Message] = [
            ApplianceResult(
                command=order.command,
                appliance=order.appliance,
                outcome="timeout",
                error="timeout",
                detail="the network was lost before there was an answer; whether it was taken is not known",
            )
            for order in self._orders.values()
        ]
        lost += [_no_answer(query, "timeout") for query in self._queries.values()]
        self._orders, self._queries, self._requested, self._believed, self._changed = {}, {}, {}, {}, {}
        return lost

    def down(self, why: str, now: float) -> list[Message]:
        """The network cannot be reached: its appliances stay known. The same reason again is no news."""
        if why == self.trouble:
            return []
        self.trouble = why
        lost = self._teller.event(
            Noted("network.lost", "warning", f"network {self._teller.network} cannot be reached: {why}"), now
        )
        detail = f"its network is down: {why}"
        gone = [replace(each, online=False, detail=detail, since=now) for each in self._appliances.values()]
        return [lost, *map(self._status, gone)]

    # --- what the network tells

    def hear(self, event: NetworkEvent, now: float) -> list[Message]:
        """What comes of an event at once."""
        if not isinstance(event, Noted) and not self._is_ours(event.appliance):
            return self._belongs_elsewhere(event.appliance, now)
        match event:
            case Changed(appliance):
                return [self._status(appliance)]
            case Forgotten(appliance):
                return [self._forget(appliance)]
            case Told():
                self._appliances[event.appliance.id] = event.appliance
                self._believed[event.appliance.id] = Believed(dict(event.known), dict(event.ages))
                self._changed[event.appliance.id] = None
                return []
            case Answered():
                if event.last:
                    self._queries.pop(event.query, None)
                return [self._teller.answer(event, self._known(event.appliance.id))]
            case Settled():
                return self._settle(event, now)
            case Noted():
                return [self._teller.event(event, now)]
            case _:
                assert_never(event)

    def states(self, now: float) -> list[ApplianceState]:
        """Of all that told something, or were ordered something, since the last time."""
        changed, self._changed = self._changed, {}
        return [
            self._teller.state(self._appliances[each], self._believed[each], self._wanted(each, now))
            for each in changed
            if each in self._appliances and each in self._believed
        ]

    @property
    def gathering(self) -> bool:
        """Whether there are states to be told."""
        return bool(self._changed)

    def _is_ours(self, appliance: Appliance) -> bool:
        return self._owners.setdefault(appliance.id, self._teller.network) == self._teller.network

    def _belongs_elsewhere(self, appliance: Appliance, now: float) -> list[Message]:
        owner = self._owners[appliance.id]
        if owner == self._overlap:
            return []
        self._overlap = owner
        text = f"networks {owner} and {self._teller.network} reach the same appliances: take one of them away"
        return [self._teller.event(Noted("network.overlap", "warning", text), now)]

    def _status(self, appliance: Appliance) -> Message:
        """What a run of the network does not know of the runs before it is added."""
        before = self._appliances.get(appliance.id, appliance)
        if appliance.online == before.online:
            appliance = replace(appliance, since=before.since)
        if appliance.heard_at is None and before.heard_at is not None:
            detail = appliance.detail if appliance.online else "not heard since its network is back"
            appliance = replace(appliance, heard_at=before.heard_at, detail=detail)
        self._appliances[appliance.id] = appliance
        return self._teller.status(appliance)

    def _forget(self, appliance: Appliance) -> Message:
        del self._owners[appliance.id]
        self._appliances.pop(appliance.id, None)
        self._believed.pop(appliance.id, None)
        self._requested.pop(appliance.id, None)
        told = self._teller.status(appliance, forgotten=True)
        self._teller.forget(appliance.id)
        return told

    def _known(self, appliance: str) -> Known:
        believed = self._believed.get(appliance)
        return {} if believed is None else believed.known

    def _settle(self, settled: Settled, now: float) -> list[Message]:
        order = self._orders.pop(settled.command, None)
        if order is None:
            return []
        self._changed[order.appliance] = None
        if settled.outcome in ("unverified", "timeout"):  # perhaps it was taken
            self._request(order, now + PENDING_S)
        else:
            self._requested.get(order.appliance, {}).pop(order.command, None)
        return [self._teller.result(settled, order, self._known(order.appliance))]

    # --- orders and queries

    def order(self, command: ApplianceCommand, at: datetime) -> ApplianceResult | None:
        """Take a command on, or say why not. `at` is the time of day."""
        if command.expires_at is not None and command.expires_at <= at:
            return _refused(command, "expired", "it came too late")
        if self.trouble:
            return _refused(command, "timeout", f"nothing was sent, the network is down: {self.trouble}")
        if len(self._orders) >= OPEN_MAX:
            return _refused(command, "busy", f"{OPEN_MAX} orders are under way already; try again in a minute")
        self._orders[command.command] = command
        self._request(command, math.inf)
        self._changed[command.appliance] = None
        return None

    def query(self, query: ApplianceQuery) -> tuple[tuple[int, ...], list[Message]]:
        """Take a query on: what to ask for, () meaning all, and what can be said at once, which may be all."""
        if self.trouble or len(self._queries) >= OPEN_MAX:
            return (), [_no_answer(query, "timeout" if self.trouble else "refused")]
        wanted = epcs_of(self._appliances[query.appliance].device, query.properties)
        epcs = tuple(dict.fromkeys(epc for epc in wanted.values() if epc is not None))
        unknown = [name for name, epc in wanted.items() if epc is None]
        absent: list[Message] = [
            _no_answer(query, "absent", name, last=not epcs and name == unknown[-1]) for name in unknown
        ]
        if epcs or not unknown:
            self._queries[query.query] = query
        return epcs, absent

    def is_open(self, query: str) -> bool:
        """Whether a query was taken on and has not been answered to its end."""
        return query in self._queries

    def _request(self, order: ApplianceCommand, until: float) -> None:
        if order.values:
            self._requested.setdefault(order.appliance, {})[order.command] = order.values, until

    def _wanted(self, appliance: str, now: float) -> dict[str, Scalar]:
        """What was ordered lately, the newer over the older."""
        orders = self._requested.get(appliance, {})
        for command in [command for command, (_, until) in orders.items() if until <= now]:
            del orders[command]
        return {word: value for values, _ in orders.values() for word, value in values.items()}


def _refused(command: ApplianceCommand, error: ErrorCode, detail: str) -> ApplianceResult:
    return ApplianceResult(
        command=command.command, appliance=command.appliance, outcome="refused", error=error, detail=detail
    )


def _no_answer(
    query: ApplianceQuery, error: Literal["absent", "refused", "timeout"], name: str = "", *, last: bool = True
) -> ApplianceProperty:
    return ApplianceProperty(query=query.query, appliance=query.appliance, epc=0, name=name, error=error, last=last)
