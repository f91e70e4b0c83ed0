"""Requests in any order, with any answers and any waiting: each is answered once and in time, and limits hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.control import AIRCON, LAMP, WATER, Desk, status

from hemsd.control.limits import HOUR_S
from hemsd.control.requests import BOUND_S, OPEN_MAX, ORDER_S
from hemsd.hub.messages import ApplianceCommand, ApplianceQuery, Decision, Domain, UserResponse

NAMES = {AIRCON: "living-ac", WATER: "water", LAMP: "lamp"}

asks = st.tuples(
    st.just("ask"),
    st.sampled_from(["set", "set", "set", "identify", "get", "forget"]),
    st.sampled_from([*NAMES.values(), AIRCON, "nobody"]),
    st.sampled_from([Domain.OPERATOR, Domain.GATEWAY]),
    st.sampled_from([{"on": True}, {"on": False}, {"mode": "heat"}, {"xyz": 1}, {}]),
    st.none() | st.integers(-1, 100),
)
steps = st.one_of(
    asks,
    asks,
    st.tuples(st.just("wait"), st.floats(0, 30) | st.floats(0, 2000)),
    st.tuples(
        st.just("result"),
        st.integers(0, 3),
        st.sampled_from(["applied", "applied", "unverified", "rejected", "refused", "timeout"]),
    ),
    st.tuples(st.just("property"), st.integers(0, 3), st.booleans(), st.sampled_from(["", "timeout", "absent"])),
    st.tuples(
        st.just("status"),
        st.sampled_from([*NAMES]),
        st.sampled_from([{}, {"online": False}, {"known": False}, {"forgotten": True}]),
    ),
    st.tuples(st.just("state"), st.sampled_from([*NAMES]), st.booleans()),
)


@dataclass
class Watch:
    """What was asked, ordered and answered, by the clock."""

    desk: Desk
    asked: dict[str, tuple[float, str]] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    commands: list[ApplianceCommand] = field(default_factory=list)
    queries: list[ApplianceQuery] = field(default_factory=list)
    given: dict[str, list[float]] = field(default_factory=dict)  # by appliance
    in_flight: dict[str, tuple[str, float]] = field(default_factory=dict)
    decisions: int = 0

    def look(self) -> None:
        for each in self.desk.sent(UserResponse, ApplianceCommand, ApplianceQuery, Decision):
            match each:
                case UserResponse(last=True):
                    self.answered[each.request] += 1
                    assert self.desk.now <= self.asked[each.request][0] + BOUND_S
                case ApplianceCommand():
                    self.commands.append(each)
                    if each.operation != "forget":
                        self.ordered(each)
                case ApplianceQuery():
                    self.queries.append(each)
                case Decision():
                    self.decisions += 1
        assert len(self.desk.requests) <= OPEN_MAX

    def ordered(self, command: ApplianceCommand) -> None:
        now, before = self.desk.now, self.in_flight.get(command.appliance)
        assert before is None or now >= before[1] + ORDER_S, "two orders in flight for one appliance"
        self.in_flight[command.appliance] = command.command, now
        given = self.given.setdefault(command.appliance, [])
        assert not given or now >= given[-1] + 10
        given.append(now)
        assert sum(then > now - HOUR_S for then in given) <= 20

    def result(self, which: int, outcome: Any) -> None:
        if not self.commands:
            return
        command = self.commands[-1 - which % len(self.commands)]
        name, _ = self.in_flight.get(command.appliance, ("", 0.0))
        if name == command.command:
            del self.in_flight[command.appliance]
            if outcome == "refused":
                self.given[command.appliance].pop()
        self.desk.result(command, outcome)


def step(watch: Watch, what: tuple[Any, ...]) -> None:
    desk = watch.desk
    match what:
        case "ask", operation, target, asker, values, expires_s:
            expires_at = None if expires_s is None else desk.at + timedelta(seconds=expires_s)
            watch.asked[f"r{desk.asked + 1}"] = desk.now, operation
            desk.ask(operation, target, asker, values=values, expires_at=expires_at)
        case "wait", seconds:
            end = desk.now + seconds
            while desk.now < end:
                deadline = desk.requests.deadline()
                desk.wait((end if deadline is None or deadline > end else deadline) - desk.now)
                watch.look()
        case "result", which, outcome:
            watch.result(which, outcome)
        case "property", which, last, error:
            if watch.queries:
                desk.property(watch.queries[-1 - which % len(watch.queries)], last=last, error=error)
        case "status", appliance, change:
            desk.targets.hear(status(appliance, NAMES[appliance], **change))
        case "state", appliance, on:
            desk.state(appliance, on=on)
    watch.look()


@given(st.lists(steps, max_size=40))
def test_every_request_is_answered_once_and_no_appliance_is_worn_out(story: list[tuple[Any, ...]]) -> None:
    """Whatever happens: one last answer each, within the bound; never more orders than the limits allow; no leak."""
    watch = Watch(Desk(exposure="control"))
    for what in story:
        step(watch, what)
    step(watch, ("wait", BOUND_S))
    assert watch.answered == dict.fromkeys(watch.asked, 1)
    assert watch.decisions == sum(operation != "get" for _, operation in watch.asked.values())
    assert len(watch.desk.requests) == 0
    assert watch.desk.requests.deadline() is None
