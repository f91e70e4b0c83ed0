"""`hemsd appliances watch`: every change in the house as it comes, one a line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import convert

from hemsd.cli.asking import Daemon, Gone
from hemsd.cli.household import Household, first
from hemsd.cli.inventory import read_back, shown, telling
from hemsd.cli.words import clock, rfc3339
from hemsd.hub.messages import ApplianceResult, ApplianceState, ApplianceStatus, Event, PropertyContent, Scalar

if TYPE_CHECKING:
    from hemsd.cli.asking import Told

QUIET_S = 3600.0
EVENTS = "appliance."  # of these kinds
BY_STATUS = {"appliance.found", "appliance.lost", "appliance.back", "appliance.moved"}  # which says it as well
OUTCOMES: Mapping[str, str] = {
    "applied": "an order was carried out",
    "unverified": "an order was accepted, and is not confirmed",
    "rejected": "it refused an order",
    "refused": "an order was refused, and not sent",
    "timeout": "an order was not answered",
}
"""Of an order, in words."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line. `what` is a word or property, online, address, found, forgotten, result, or the kind of an event."""

    at: datetime
    name: str
    appliance: str
    what: str
    before: Scalar = None
    after: Scalar = None
    by: str = ""  # hemsd, where it was ordered by way of us
    text: str = ""  # in place of before and after

    def line(self) -> str:
        """For people."""
        before = "" if self.before is None else f"{shown(self.before)} -> "
        told = self.text or f"{self.what} {before}{shown(self.after)}"
        return f"{clock(self.at, datetime.now(UTC))}  {self.name:<16}  {told}{f' (by {self.by})' if self.by else ''}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "at": rfc3339(self.at),
            "appliance": self.appliance,
            "name": self.name,
            "what": self.what,
            "from": self.before,
            "to": self.after,
            "by": self.by,
            "text": self.text,
        }


class Changes:
    """Compares what is told with what was known. What a value was before it got lost, it is still compared with."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._values = {id_: self._told_by(state) for id_, state in household.states.items()}

    def of(self, told: Told, now: datetime) -> Iterator[Change]:
        """What is new in a message."""
        match told["type"]:
            case "ApplianceStatus":
                before = self._household.statuses.get(told["appliance"])
                status = self._household.note(told)
                if isinstance(status, ApplianceStatus):
                    yield from self._standing(before, status, now)
            case "ApplianceState":
                known = self._household.states.get(told["appliance"])
                state = self._household.note(told)
                if isinstance(state, ApplianceState):
                    yield from self._told(known, state)
            case "ApplianceResult":
                result = convert(told, ApplianceResult)
                parts = (OUTCOMES[result.outcome], read_back(result.values), result.detail)
                text = ": ".join(part for part in parts if part)
                yield Change(now, self._name(result.appliance), result.appliance, "result", text=text)
            case "Event" if told["kind"].startswith(EVENTS) and told["kind"] not in BY_STATUS:
                event = convert(told, Event)
                named = [status for status in self._household if status.name in event.text]
                about = max(named, key=lambda status: len(status.name), default=None)
                name, appliance = ("", "") if about is None else (about.name, about.appliance)
                yield Change(event.at, name, appliance, event.kind, text=event.text)

    def _name(self, appliance: str) -> str:
        status = self._household.statuses.get(appliance)
        return appliance if status is None else status.name

    def _standing(self, before: ApplianceStatus | None, status: ApplianceStatus, now: datetime) -> Iterator[Change]:
        def change(what: str, text: str, old: Scalar = None, new: Scalar = None) -> Change:
            return Change(now, status.name, status.appliance, what, old, new, text=text)

        kind = status.kind.replace("_", " ")
        if status.forgotten:
            yield change("forgotten", "forgotten")
            self._values.pop(status.appliance, None)
        elif before is None:
            yield change("found", f"found: {kind} at {status.address}")
        else:
            if before.online != status.online:
                text = "online again" if status.online else f"offline: {status.detail}".removesuffix(": ")
                yield change("online", text, before.online, status.online)
            if before.address != status.address:
                text = f"moved from {before.address} to {status.address}"
                yield change("address", text, before.address, status.address)

    def _told(self, known: ApplianceState | None, state: ApplianceState) -> Iterator[Change]:
        if (values := self._values.get(state.appliance)) is None:  # the first that is heard of it is no change
            self._values[state.appliance] = self._told_by(state)
            return
        requested = known.requested if known is not None else {}
        for word, value in self._told_by(state).items():
            if (before := values.get(word)) != value:
                by = "hemsd" if word in requested and requested[word] == value else ""
                yield Change(state.at, self._name(state.appliance), state.appliance, word, before, value, by)
                values[word] = value

    def _told_by(self, state: ApplianceState) -> dict[str, Scalar]:
        """In the common language; of an appliance that has no word of it, its properties as they are."""
        status = self._household.statuses.get(state.appliance)
        if state.values or (status is not None and telling(status)):
            return dict(state.values)
        return {name: _scalar(each.value) for name, each in state.properties.items() if not each.state}


def watch(daemon: Daemon, names: Sequence[str], *, as_json: bool) -> None:
    """Print changes for ever, of those that are named or of all; a daemon that is restarted is waited for."""
    household = first(daemon)
    wanted = {household.find(name).appliance for name in names}
    changes = Changes(household)
    while True:
        try:
            told = daemon.next(time.monotonic() + QUIET_S)
        except Gone as gone:
            daemon = daemon.back(gone)
            continue
        for change in changes.of(told, datetime.now(UTC)) if told is not None else ():
            if not wanted or change.appliance in wanted:
                print(json.dumps(change.as_json(), ensure_ascii=False) if as_json else change.line(), flush=True)


def _scalar(value: PropertyContent) -> Scalar:
    return shown(value) if isinstance(value, list | dict) else value
