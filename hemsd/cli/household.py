"""The appliances of the house as the running daemon tells of them, and which of them a person means."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from msgspec import convert

from hemsd.cli.asking import Daemon
from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.cli.words import listed
from hemsd.hub.messages import ApplianceState, ApplianceStatus, Domain

if TYPE_CHECKING:
    from hemsd.cli.asking import Told

FIRST_S = 5.0  # for the daemon to tell how things stand


@dataclass(slots=True)
class Household:
    """What was told last of each appliance, by its id."""

    statuses: dict[str, ApplianceStatus] = field(default_factory=dict)
    states: dict[str, ApplianceState] = field(default_factory=dict)

    def note(self, told: Told) -> ApplianceStatus | ApplianceState | None:
        """Take in a message, if it is of an appliance."""
        match told["type"]:
            case "ApplianceStatus":
                status = convert(told, ApplianceStatus)
                self.statuses[status.appliance] = status
                if status.forgotten:
                    del self.statuses[status.appliance]
                    self.states.pop(status.appliance, None)
                return status
            case "ApplianceState":
                state = convert(told, ApplianceState)
                self.states[state.appliance] = state
                return state
        return None

    def __iter__(self) -> Iterator[ApplianceStatus]:
        """By room and name."""
        return iter(sorted(self.statuses.values(), key=lambda status: (status.room, status.name)))

    def find(self, text: str) -> ApplianceStatus:
        """The one that is meant by a name, an id, the beginning of an id, or an address with or without /OBJECT.

        Raises GaveUp where there is none, UsageError where there are several; both say which there are.
        """
        for kind in (self._named, self._begun, self._placed):
            match list(kind(text)):
                case [status]:
                    return status
                case [_, *_] as several:
                    those = listed(f"{_place(each)} ({each.name})" for each in several)
                    raise UsageError(f"{text!r} is more than one appliance: {those}")
        names = [each.name for each in self]
        if not names:
            raise GaveUp(Exit.ABSENT, f"there is no appliance {text!r}: none has been found yet")
        near = difflib.get_close_matches(text, [*names, *self.statuses], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {listed(names)}"
        raise GaveUp(Exit.ABSENT, f"there is no appliance {text!r}; {hint}")

    def _named(self, text: str) -> Iterator[ApplianceStatus]:
        if text in self.statuses:
            yield self.statuses[text]
        else:
            yield from (each for each in self if each.name == text.lower())

    def _begun(self, text: str) -> Iterator[ApplianceStatus]:
        return (each for each in self if text and each.appliance.startswith(text.lower()))

    def _placed(self, text: str) -> Iterator[ApplianceStatus]:
        address, _, code = text.partition("/")
        try:
            normal = str(ip_address(address.partition("%")[0]))  # as the kernel writes it, without a zone
        except ValueError:
            return
        yield from (each for each in self if each.address == normal and code.upper() in ("", each.eoj))


def first(daemon: Daemon) -> Household:
    """How things stand: what the daemon tells everyone at once, ending with its own health."""
    household, until = Household(), time.monotonic() + FIRST_S
    while (told := daemon.next(until)) is not None:
        if told["type"] == "Health" and told["source"] == Domain.OPERATOR.value:
            break
        household.note(told)
    return household


def _place(status: ApplianceStatus) -> str:
    return f"{status.address}/{status.eoj}"
