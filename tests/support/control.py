"""Appliances as control hears of them, and what becomes of requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hemsd.control.limits import Switches
from hemsd.control.requests import Requests
from hemsd.control.settings import Settings
from hemsd.control.targets import Targets
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Decision,
    Domain,
    Message,
    UserRequest,
    UserResponse,
)

TURNS_MAX = 1000  # of deadlines in one wait

NOON = datetime(2025, 1, 15, 3, 0, tzinfo=UTC)
AIRCON, WATER, LAMP = "0130-00000001", "026b-00000002", "0290-00000003"


def status(appliance: str = AIRCON, name: str = "living-ac", **more: Any) -> ApplianceStatus:
    """An appliance that is there and has told what it can do; its class is in its id."""
    told: dict[str, Any] = {
        "appliance": appliance,
        "name": name,
        "kind": "some_class",
        "online": True,
        "since": NOON,
        "last_heard_at": NOON,
        "network": "home",
        "address": f"192.0.2.{int(appliance[-2:], 16) or 99}",
        "eoj": f"{appliance[:4].upper()}01",
        "known": True,
        "readable": ("operation_status", "room_temperature", "0xF1"),
        "settable": ("operation_status", "operation_mode"),
        "wishes": {"on": "true or false", "mode": "one of auto, cool, heat"},
    }
    return ApplianceStatus(**told | more)


class Desk:
    """Requests about a house, with time at hand."""

    def __init__(self, *appliances: ApplianceStatus, **settings: Any) -> None:
        self.now, self.targets = 0.0, Targets()
        for each in appliances or (status(), status(WATER, "water"), status(LAMP, "lamp")):
            self.targets.hear(each)
        known = Settings(**settings)
        self.switches = Switches(known.minimums)
        self.requests = Requests(known, self.targets, self.switches, "c")
        self.heard: list[Message] = []
        self.asked = 0

    @property
    def at(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def ask(
        self, operation: Any = "set", target: str = "living-ac", asker: Domain = Domain.OPERATOR, **more: Any
    ) -> str:
        """Someone asks; the request's id."""
        self.asked += 1
        request = f"r{self.asked}"
        if operation == "set":
            more.setdefault("values", {"on": True})
        self.requests.ask(
            UserRequest(request=request, asker=asker, operation=operation, target=target, **more), self.now, self.at
        )
        self._hear()
        return request

    def refused(self, *arguments: Any, **more: Any) -> UserResponse:
        """The one answer to a request that goes no further."""
        request = self.ask(*arguments, **more)
        (answer,) = self.answers(request)
        assert (answer.status, answer.last) == ("error", True)
        assert self.sent(ApplianceCommand, ApplianceQuery) == []
        return answer

    def result(self, command: Message, outcome: Any = "applied", **more: Any) -> None:
        assert isinstance(command, ApplianceCommand)
        told = ApplianceResult(command=command.command, appliance=command.appliance, outcome=outcome, **more)
        self.requests.result(told, self.now, self.at)
        self._hear()

    def property(self, query: Message, **more: Any) -> None:
        assert isinstance(query, ApplianceQuery)
        told = {"query": query.query, "appliance": query.appliance, "epc": 0xBB}
        self.requests.property(ApplianceProperty(**told | more), self.now)
        self._hear()

    def state(self, appliance: str = AIRCON, **values: Any) -> None:
        """What an appliance tells."""
        if (told := self.targets.get(appliance)) is not None:
            self.switches.hear(told, values, self.now)

    def wait(self, seconds: float) -> None:
        """Time passes, and every deadline is met."""
        end = self.now + seconds
        for _ in range(TURNS_MAX):
            if (deadline := self.requests.deadline()) is None or deadline > end:
                break
            assert deadline >= self.now, "a deadline lies in the past"
            self.now = deadline
            self.requests.tick(self.now, self.at)
            self._hear()
        else:
            raise AssertionError("a deadline stays where it is")
        self.now = end

    def answers(self, request: str) -> list[UserResponse]:
        """What was answered to one request since it was asked last."""
        found: list[UserResponse] = []
        others: list[Message] = []
        for each in self.heard:
            if isinstance(each, UserResponse) and each.request == request:
                found.append(each)
            else:
                others.append(each)
        self.heard = others
        return found

    def sent(self, *kinds: type[Message]) -> list[Message]:
        """What was published of these kinds since it was asked last."""
        found = [each for each in self.heard if isinstance(each, kinds)]
        self.heard = [each for each in self.heard if not isinstance(each, kinds)]
        return found

    def decisions(self) -> list[tuple[str | None, str]]:
        return [(each.appliance, each.decision) for each in self.sent(Decision) if isinstance(each, Decision)]

    def _hear(self) -> None:
        self.heard += self.requests.outgoing()


def state(appliance: str, at: datetime = NOON, **values: Any) -> ApplianceState:
    return ApplianceState(appliance=appliance, at=at, values=values)
