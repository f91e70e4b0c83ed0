"""The course of a request: checked, in line, ordered or asked of the appliance, answered. Pure.

Theory. Each request is answered exactly once with `last`, whatever else happens, and within a bound:

    refused        at once: one of hemsd.control.checks, or more than OPEN_MAX requests are open
    in line        set and identify: one of them in flight for each appliance, one more waits for its end and for the
                   gap after it, LINE_S at most; a third is refused. It is checked again when its turn comes
    in flight      until ApplianceResult, ORDER_S at most; an order carries an expiry, so that nothing is begun any
                   more once we have said that it came to nothing
    being read     get: until the last ApplianceProperty, QUERY_S without one at most, QUERY_MAX_S altogether

Every set, identify and forget is one Decision, when it goes out or is refused. A rule's actuation will come in where
a request does: `_order` is the only place where an ApplianceCommand is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hemsd.control.checks import LINE_S, Wish, expiry, exposure, form, refusal_of, span
from hemsd.control.limits import Orders, Switches
from hemsd.control.settings import Refused, Settings
from hemsd.control.targets import Targets, shortened
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    Decision,
    Domain,
    ErrorCode,
    Message,
    Scalar,
    UserRequest,
    UserResponse,
)

OPEN_MAX = 64  # as many as may wait for a seat of the hub
IN_LINE_MAX = 2  # for one appliance, the one in flight included
ORDER_S = 180.0  # three values written and read back by the slowest adapters, which take 20 s for each answer
QUERY_S = 60.0  # from one property to the next: each is asked of the appliance alone, if need be
QUERY_MAX_S = 300.0
BOUND_S = max(LINE_S + ORDER_S, QUERY_MAX_S)
TEXT_MAX = 200  # letters of a Decision

Status = Literal["ok", "partial", "error"]

OUTCOMES: Mapping[str, tuple[Status, ErrorCode]] = {
    "applied": ("ok", ""),
    "unverified": ("partial", "unverified"),
    "rejected": ("error", "device_refused"),
    "refused": ("error", "bad_request"),
    "timeout": ("error", "timeout"),
}
"""What a result is for the asker; the result's own code says more, where it has one and the order was not applied."""

PROPERTY_ERRORS: Mapping[str, ErrorCode] = {
    "": "",
    "absent": "bad_request",
    "refused": "device_refused",
    "timeout": "timeout",
}


@dataclass(slots=True, eq=False)
class _Order:
    """A set, identify or forget that is not answered yet."""

    asked: UserRequest
    operation: Literal["set", "identify", "forget"]
    appliance: str
    until: float  # when it is answered at the latest: as long as it waits, then as long as it is in flight
    expires: float  # when it may not go out any more
    given_at: float | None = None  # None: in line


@dataclass(slots=True, eq=False)
class _Query:
    """A get that is not answered to its end."""

    asked: UserRequest
    appliance: str
    until: float
    ends: float
    told: int = 0
    errors: Counter[ErrorCode] | None = None


class Requests:
    """Takes requests and what becomes of them, gives messages to publish.

    `now` is seconds on a monotonic clock that never goes back, `at` the time of day. Ids of commands and queries
    begin with `name`, which is to be new with each start: late answers to an earlier one are nobody's.
    """

    def __init__(self, settings: Settings, targets: Targets, switches: Switches, name: str) -> None:
        self.counters: Counter[str] = Counter()
        self.silent = False  # the appliances' domain let the last order or query pass without a word
        self._settings = settings
        self._targets = targets
        self._switches = switches
        self._orders = Orders(settings.gap_s, settings.per_hour)
        self._name = name
        self._numbers = 0
        self._lines: dict[str, list[_Order]] = {}  # by appliance; the first of each is in flight or next
        self._in_flight: dict[str, _Order] = {}  # by command
        self._queries: dict[str, _Query] = {}
        self._out: list[Message] = []

    def __len__(self) -> int:
        """How many requests are open."""
        forgetting = sum(order.operation == "forget" for order in self._in_flight.values())
        return sum(map(len, self._lines.values())) + forgetting + len(self._queries)

    # --- what comes in

    def ask(self, asked: UserRequest, now: float, at: datetime) -> None:
        """Take a request."""
        self.counters["requests"] += 1
        refused = exposure(asked, self._settings) or form(asked) or expiry(asked, at)
        found = refused or self._targets.find(asked.target)
        if isinstance(found, Refused):
            self._refuse(asked, found, at)
            return
        appliance = found.appliance
        wish = self._wish(asked, appliance, now, at)
        refused = refusal_of(wish) if isinstance(wish, Wish) else wish
        if refused is None and len(self) >= OPEN_MAX:
            refused = Refused("busy", f"{OPEN_MAX} requests are being carried out: try again in a minute")
        if refused is None and asked.operation in ("set", "identify"):
            refused = self._crowded(appliance, found.name)
        if refused is not None:
            self._refuse(asked, refused, at, appliance)
            return
        match asked.operation:
            case "get":
                self._query(asked, appliance, now)
            case operation:
                left_s = float("inf") if asked.expires_at is None else (asked.expires_at - at).total_seconds()
                order = _Order(asked, operation, appliance, now + LINE_S, now + left_s)
                if operation == "forget":
                    self._order(order, now, at)
                else:
                    self._lines.setdefault(appliance, []).append(order)
                    self._next(appliance, now, at)

    def result(self, told: ApplianceResult, now: float, at: datetime) -> None:
        """Take what became of an order."""
        order = self._in_flight.get(told.command)
        if order is None or order.appliance != told.appliance:
            self.counters["late"] += 1
            return
        self.silent = False
        if told.outcome == "refused" and order.given_at is not None and order.operation != "forget":
            self._orders.take_back(order.appliance, order.given_at)
        status, code = OUTCOMES[told.outcome]
        error: ErrorCode = (told.error or code) if code else ""
        self._answer(order.asked, status, error, told.detail, told.outcome, told.values)
        self._end(told.command, now, at)

    def property(self, told: ApplianceProperty, now: float) -> None:
        """Take one answer to a query."""
        query = self._queries.get(told.query)
        if query is None or query.appliance != told.appliance:
            self.counters["late"] += 1
            return
        self.silent = False
        query.told += 1
        query.until = min(now + QUERY_S, query.ends)
        if error := PROPERTY_ERRORS[told.error]:
            query.errors = query.errors or Counter()
            query.errors[error] += 1
        asked = query.asked
        self._out.append(
            UserResponse(
                request=asked.request,
                to=asked.asker,
                status="error" if error else "ok",
                error=error,
                property=told,
                last=False,
            )
        )
        if told.last:
            self._conclude(told.query, "")

    def tick(self, now: float, at: datetime) -> None:
        """Let time pass."""
        for command in [command for command, order in self._in_flight.items() if now >= order.until]:
            self.silent = True
            text = (
                f"nothing was heard of it for {span(ORDER_S)}: it may or may not be done; look before you repeat it"
            )
            self._answer(self._in_flight[command].asked, "error", "timeout", text, "timeout")
            self._end(command, now, at)
        for name in [name for name, query in self._queries.items() if now >= query.until]:
            query = self._queries[name]
            self.silent = query.told == 0
            self._conclude(name, "timeout")
        for appliance in list(self._lines):
            self._next(appliance, now, at)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        times = [order.until for order in self._in_flight.values()]
        times += [query.until for query in self._queries.values()]
        for appliance, line in self._lines.items():
            waiting = [order for order in line if order.given_at is None]
            times += [min(order.until, order.expires) for order in waiting]
            if waiting and waiting[0] is line[0]:
                times.append(self._orders.next_at(appliance, 0.0))
        return min(times, default=None)

    def outgoing(self) -> list[Message]:
        """What is to be published, in order; empties."""
        out, self._out = self._out, []
        return out

    # --- orders

    def _wish(self, asked: UserRequest, appliance: str, now: float, at: datetime) -> Wish | Refused:
        status = self._targets.get(appliance)
        if status is None:
            return Refused("unknown_target", f"{appliance} has been forgotten meanwhile")
        return Wish(asked, status, self._settings, self._orders, self._switches, now, at)

    def _crowded(self, appliance: str, name: str) -> Refused | None:
        if len(self._lines.get(appliance, ())) < IN_LINE_MAX:
            return None
        return Refused("busy", f"{name} is being set, and another order waits already: try again in a minute")

    def _next(self, appliance: str, now: float, at: datetime) -> None:
        """Send the next order for an appliance when its turn has come; end those for which it came too late."""
        line = self._lines[appliance]
        for order in [order for order in line if order.given_at is None]:
            if refused := self._too_late(order, now):
                line.remove(order)
                self._refuse(order.asked, refused, at, appliance)
        while line and line[0].given_at is None and self._orders.next_at(appliance, now) <= now:
            order = line[0]
            wish = self._wish(order.asked, appliance, now, at)
            refused = refusal_of(wish) if isinstance(wish, Wish) else wish
            if refused is None:
                self._orders.give(appliance, now)
                self._order(order, now, at)
            else:
                line.remove(order)
                self._refuse(order.asked, refused, at, appliance)
        if not line:
            del self._lines[appliance]

    def _too_late(self, order: _Order, now: float) -> Refused | None:
        if now >= order.expires:
            return Refused("expired", "its time was over before its turn came: ask again")
        if now >= order.until:
            return Refused("busy", f"its turn did not come within {span(LINE_S)}: try again in a minute")
        return None

    def _order(self, order: _Order, now: float, at: datetime) -> None:
        """The one place where an appliance is ordered to do something."""
        asked = order.asked
        order.given_at, order.until = now, now + ORDER_S
        command = self._id()
        self._in_flight[command] = order
        self._out.append(
            ApplianceCommand(
                command=command,
                appliance=order.appliance,
                operation=order.operation,
                values=asked.values if order.operation == "set" else {},
                from_outside=asked.asker is Domain.GATEWAY,
                expires_at=at + timedelta(seconds=min(ORDER_S, order.expires - now)),
            )
        )
        self._decide(order.appliance, _wished(asked), f"the {asked.asker.value} asked for it", at)

    def _end(self, command: str, now: float, at: datetime) -> None:
        order = self._in_flight.pop(command)
        line = self._lines.get(order.appliance, [])
        if order in line:
            line.remove(order)
            self._next(order.appliance, now, at)

    # --- queries

    def _query(self, asked: UserRequest, appliance: str, now: float) -> None:
        name = self._id()
        self._queries[name] = _Query(asked, appliance, now + QUERY_S, now + QUERY_MAX_S)
        self._out.append(ApplianceQuery(query=name, appliance=appliance, properties=asked.properties))

    def _conclude(self, name: str, error: ErrorCode) -> None:
        """The last answer to a get; with `error` it ended before its time."""
        query = self._queries.pop(name)
        errors = query.errors or Counter()
        failed = errors.total()
        if error:
            errors[error] += 1
        if not errors:
            self._answer(query.asked, "ok", "", "")
            return
        status: Status = "partial" if failed < query.told else "error"
        text = f"{failed} of {query.told} properties could not be read"
        if error:
            text += "; the rest did not come in time" if query.told else ": nothing came in time"
        self._answer(query.asked, status, errors.most_common(1)[0][0], text)

    # --- answers

    def _answer(
        self,
        asked: UserRequest,
        status: Status,
        error: ErrorCode,
        detail: str,
        outcome: str = "",
        values: Mapping[str, Scalar] | None = None,
    ) -> None:
        self.counters[status] += 1
        self._out.append(
            UserResponse(
                request=asked.request,
                to=asked.asker,
                status=status,
                error=error,
                detail=detail,
                outcome=outcome,
                values=dict(values or {}),
            )
        )

    def _refuse(self, asked: UserRequest, refused: Refused, at: datetime, appliance: str | None = None) -> None:
        self._answer(asked, "error", refused.code, refused.text)
        if asked.operation != "get":
            reason = f"the {asked.asker.value} asked to {_wished(asked)}: {refused.text}"
            self._decide(appliance, f"refused: {refused.code}", reason, at)

    def _decide(self, appliance: str | None, decision: str, reason: str, at: datetime) -> None:
        self._out.append(Decision(rule="request", at=at, appliance=appliance, decision=decision, reason=reason))

    def _id(self) -> str:
        self._numbers += 1
        return f"{self._name}-{self._numbers}"


def _wished(asked: UserRequest) -> str:
    """A request in words, cut to a bound."""
    values = " ".join(f"{shortened(word)}={shortened(_text(value))}" for word, value in asked.values.items())
    text = f"{asked.operation} {values}".strip()
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}..."


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
