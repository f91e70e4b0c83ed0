"""One command's course: write, settle, read back, compare, next write, and what became of it. Pure.

Theory. A 71 says that a write was accepted, never that it had an effect, and silence does not say that it was not
taken: what a device is now decides. So after each write the properties that show its effect are read, and read again
while they are not as wished and the device may still be at it; its own notifications count as well. Nothing is
written twice. A refusal that turns out to be of something that is as wished already is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Literal

from msgspec import Struct

from hemsd.appliances.dialogue import Dialogue
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Write
from hemsd.echonet.exchange import Missing, QueueFull

AGAIN_S = (2.0, 4.0)  # after a read-back that was not as wished; with a second to settle, 7 s in all
BY_THE_WAY = frozenset({0x93})  # how a wish came (super class); a device that will not know may still do as told


class Outcome(Struct, frozen=True):
    """What became of a command, in the words of hemsd.hub.messages.ApplianceResult."""

    outcome: Literal["applied", "unverified", "rejected", "refused", "timeout"]
    error: Literal["", "unverified", "device_refused", "timeout", "busy", "expired"] = ""
    detail: str = ""


class Stage(Enum):
    """Where a command is."""

    WRITING = "a write is under way"
    SETTLING = "the device is given time to show its effect"
    READING = "that is being read back"
    OVER = "there is an outcome"


NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.WRITING: frozenset({Stage.WRITING, Stage.SETTLING, Stage.READING, Stage.OVER}),
    Stage.SETTLING: frozenset({Stage.WRITING, Stage.READING, Stage.OVER}),
    Stage.READING: frozenset({Stage.WRITING, Stage.SETTLING, Stage.OVER}),
    Stage.OVER: frozenset(),
}


def subjects(write: Write) -> frozenset[int]:
    """The properties that a write is about."""
    return frozenset([each.epc for each in write.properties]) - BY_THE_WAY


class Setting:
    """The course of one command to one object. It is over when there is an `outcome`; `read_back` is what was seen.

    Every Finished ticket of the dialogue goes to finished(), what the object notifies to told().
    """

    def __init__(
        self,
        dialogue: Dialogue,
        eoj: int,
        writes: tuple[Write, ...],
        *,
        name: Callable[[int], str] = "0x{:02X}".format,
    ) -> None:
        """Send the first write. `name` is how people call a property."""
        self.outcome: Outcome | None = None
        self.read_back: dict[int, bytes] = {}
        self._dialogue, self._eoj, self._name = dialogue, eoj, name
        self._left = list(writes)
        self._stage = Stage.WRITING
        self._ticket: Ticket | None = None
        self._write = Write(())
        self._expects: dict[int, frozenset[bytes]] = {}  # of the present write, what is not confirmed yet
        self._doubts: list[str] = []  # what was accepted and is not confirmed
        self._refused: tuple[int, ...] = ()  # by the device, of the present write
        self._unanswered = self._sent = self._overtaken = False
        self._tries = 0
        self._at = math.inf
        self._advance()

    # --- what comes in

    def finished(self, ticket: Ticket, now: float) -> bool:
        """Take a ticket that is done; whether it was one of this command."""
        if ticket is not self._ticket:
            return False
        self._ticket = None
        if self._stage is Stage.WRITING:
            self._written(ticket, now)
        else:
            self.told({epc: edt for epc, edt in ticket.answers.items() if isinstance(edt, bytes)}, now)
            if self._stage is Stage.READING:
                self._not_as_wished(ticket, now)
        return True

    def told(self, properties: Mapping[int, bytes], now: float) -> None:
        """Take what the object says of itself, by whatever way."""
        if self._stage is Stage.WRITING and (self._ticket is None or not self._ticket.sent):
            return  # not sent yet
        expects = self._expects
        for epc in expects.keys() & properties.keys():
            self.read_back[epc] = properties[epc]
        if self._stage in (Stage.SETTLING, Stage.READING) and self._is_as_wished():
            self._confirmed()

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._stage is Stage.SETTLING and now >= self._at:
            self._read()

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        return self._at if self._stage is Stage.SETTLING else None

    def overtake(self, epcs: Iterable[int]) -> None:
        """A newer command sets these: what is left of them here is neither sent nor waited for any more."""
        if self._stage is Stage.OVER:
            return
        newer = frozenset(epcs)
        self._overtaken = self._overtaken or any(not subjects(each).isdisjoint(newer) for each in self._left)
        self._left = [stripped for each in self._left if subjects(stripped := _without(each, newer))]
        if self._stage is Stage.WRITING and self._ticket is not None and not self._ticket.sent:
            self._dialogue.cancel(self._ticket)
            self._overtaken = self._overtaken or not subjects(self._write).isdisjoint(newer)
            if subjects(stripped := _without(self._write, newer)):
                self._left.insert(0, stripped)
            self._advance()
        elif not subjects(self._write).isdisjoint(newer):
            self._overtaken = self._sent = True
            self._expects = {epc: edts for epc, edts in self._expects.items() if epc not in newer}
            if self._stage is not Stage.WRITING and not self._expects:
                self._confirmed()

    # --- the course

    def _go(self, stage: Stage) -> None:
        if stage not in NEXT[self._stage]:
            raise AssertionError(f"a command cannot go from {self._stage} to {stage}")
        self._stage = stage

    def _advance(self) -> None:
        """The next write, or the end."""
        self._at = math.inf
        self._ticket = None
        if not self._left:
            self._conclude()
            return
        self._write = self._left.pop(0)
        self._expects = dict(self._write.expects)
        for epc in self._expects:
            self.read_back.pop(epc, None)
        self._refused, self._unanswered, self._tries = (), False, 0
        self._go(Stage.WRITING)
        try:
            self._ticket = self._dialogue.write(self._eoj, self._write.properties)
        except QueueFull:
            self._left.insert(0, self._write)
            self._end("unverified" if self._sent else "refused", "busy", "too much is being asked of the node")

    def _written(self, ticket: Ticket, now: float) -> None:
        self._sent = True
        answers = ticket.answers
        self._unanswered = Missing.TIMEOUT in answers.values()
        self._refused = tuple([epc for epc, answer in answers.items() if answer is Missing.REFUSED])
        if BY_THE_WAY.issuperset(self._refused) and subjects(self._write):
            self._refused = ()
        if self._is_as_wished() and self._expects:
            self._confirmed()
        elif not self._expects:
            self._unconfirmed()
        elif self._unanswered or self._refused:
            self._read()
        else:
            self._go(Stage.SETTLING)
            self._at = now + self._write.settle_s

    def _read(self) -> None:
        self._go(Stage.READING)
        self._at = math.inf
        try:
            self._ticket = self._dialogue.read(self._eoj, tuple(self._expects), urgent=True)
        except QueueFull:
            self._unconfirmed()

    def _is_as_wished(self) -> bool:
        return all(self.read_back.get(epc) in edts for epc, edts in self._expects.items())

    def _not_as_wished(self, ticket: Ticket, now: float) -> None:
        if self._refused or self._unanswered or ticket.silent or self._tries >= len(AGAIN_S):
            self._unconfirmed()
            return
        self._go(Stage.SETTLING)
        self._at = now + AGAIN_S[self._tries]
        self._tries += 1

    def _confirmed(self) -> None:
        """Nothing of the present write is open."""
        if self._ticket is not None:
            self._dialogue.cancel(self._ticket)
        self._advance()

    def _unconfirmed(self) -> None:
        """What the present write has done is not to be seen."""
        write = self._write
        others = [epc for epc, edts in self._expects.items() if self.read_back.get(epc) not in edts]
        if self._refused:
            accepted = self._names(subjects(write).difference(self._refused))
            but = f"; {accepted} was accepted" if accepted else ""
            self._end("rejected", "device_refused", f"the device refused {self._names(self._refused)}{but}")
        elif self._unanswered and (others or not write.expects):
            missed = f", and {self._names(others)} {self._seen(others)}" if others else ""
            self._end("timeout", "timeout", f"no answer to setting {self._names(subjects(write))}{missed}")
        else:
            if not write.expects:
                self._doubts.append(f"{self._names(subjects(write))} cannot be read back")
            elif others:
                self._doubts.append(f"{self._names(others)} {self._seen(others)}")
            self._advance()

    def _seen(self, epcs: Iterable[int]) -> str:
        return "was not to be read back" if self.read_back.keys().isdisjoint(epcs) else "is not as wished"

    def _conclude(self) -> None:
        if self._overtaken and not self._sent:
            self._end("refused", "expired", "a newer command came before it was sent")
        elif self._overtaken:
            self._end("unverified", "unverified", "a newer command took its place")
        elif self._doubts:
            self._end("unverified", "unverified", ", ".join(self._doubts))
        else:
            self._end("applied")

    def _end(
        self,
        outcome: Literal["applied", "unverified", "rejected", "refused", "timeout"],
        error: Literal["", "unverified", "device_refused", "timeout", "busy", "expired"] = "",
        detail: str = "",
    ) -> None:
        unsent = frozenset().union(*(subjects(each) for each in self._left))
        if unsent:
            detail += f"; {self._names(unsent)} was not sent"
        self._go(Stage.OVER)
        self._left.clear()
        self._at = math.inf
        self.outcome = Outcome(outcome, error, detail)

    def _names(self, epcs: Iterable[int]) -> str:
        return ", ".join([self._name(epc) for epc in sorted(epcs)])


def _without(write: Write, epcs: frozenset[int]) -> Write:
    """A write of what is left of it when others see to these."""
    if subjects(write).isdisjoint(epcs):
        return write
    return Write(
        tuple([each for each in write.properties if each.epc not in epcs]),
        {epc: edts for epc, edts in write.expects.items() if epc not in epcs},
        write.settle_s,
    )
