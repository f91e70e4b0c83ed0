"""Requests and their answers with one node: one at a time, at its own pace, urgent ones first. Pure.

Theory. All objects of a node share one line, because adapters have one buffer: the next request leaves a gap after
the answer to the last. A Get of many properties goes out in batches as large as the node's Manners allow, and goes on
until every property is settled. What an answer lacks is asked again, what failed in company is asked alone, what is
refused alone is refused. A frame is an answer only by node, TID, ESV, object with its instance, and properties
(ECHONET Lite specification part 2, 3.2 and 4.2.3); a notification never is. Timing: at its soft deadline a read gives
way to what is urgent and is asked again after a pause with a new TID, while answers to the old one still count; a
write is not asked again, only waited for. Where much gets lost there is no pause. Nothing heard within LIMIT_S is a
silence. A section (select, then read) has the line for itself; what it was told counts only as a whole, and it is
repeated only as a whole, after whatever else waits.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from hemsd.appliances.batches import Batches
from hemsd.appliances.manners import LIMIT_S, PROPERTIES_MAX, SOFT_MIN_S, Manners
from hemsd.appliances.tickets import Asking, Ticket
from hemsd.echonet.classes.device import Section
from hemsd.echonet.exchange import Missing, QueueFull
from hemsd.echonet.frame import ANSWERS, EHD, ESV, Frame, Property, shape_of

GAP_S = 0.2  # after an answer; adapters that get two requests at once drop the second
PAUSE_S = 1.0  # before a read is asked again, where little gets lost
SECTION_LIMIT_S = 3 * LIMIT_S  # selecting and reading, each as slow as may be, and one of them again
LATE_S = 2 * LIMIT_S  # a TID may still be answered, counted from when it was sent
QUEUE_LIMIT = 32  # tickets in either line
RECENT_LIMIT = 16  # TIDs whose late answers are known

_head: Final = struct.Struct(">2sH").pack  # of EHD and TID
READ_ANSWERS: Final = ANSWERS[ESV.GET]
WRITE_ANSWERS: Final = ANSWERS[ESV.SETC] | {ESV.SETI_SNA}  # some devices refuse a SetC with 50


class Finished(Struct, frozen=True):
    """A ticket is done; told once of each, but for one that was cancelled."""

    ticket: Ticket


class Quiet(Struct, frozen=True):
    """Nothing was heard in answer to a ticket within the limit, all repetitions included; Finished follows."""

    ticket: Ticket


DialogueEvent = Finished | Quiet


class Dialogue:
    """Requests and answers with one node. `now` is seconds on a monotonic clock and never goes back.

    `next_tid` gives transaction numbers that no other node has at present. After asking something call tick(); it and
    receive() fill outgoing() and events(). `counters` counts requests, repeats, silences, late and partial answers.
    """

    __slots__ = (
        "_asking", "_batches", "_events", "_free_at", "_held", "_next_tid", "_open", "_outgoing", "_recent",
        "_recognised", "_routine", "_soft_at", "_urgent", "counters", "gap_s", "manners",
    )  # fmt: skip

    def __init__(
        self,
        manners: Manners,
        next_tid: Callable[[], int],
        *,
        gap_s: float = GAP_S,
        counters: defaultdict[str, int] | None = None,
    ) -> None:
        self.manners = manners
        self.counters = defaultdict[str, int](int) if counters is None else counters
        self._next_tid = next_tid
        self._batches = Batches(manners)
        self.gap_s = gap_s
        # What follows is empty nearly always: all nodes then share (), and there is less memory to look into.
        self._urgent: tuple[Ticket, ...] = ()
        self._routine: tuple[Ticket, ...] = ()
        self._open: tuple[Ticket, ...] = ()  # begun and not in flight: to go on, to be repeated, or to be waited for
        self._recent: tuple[Asking, ...] = ()  # not in flight any more; the last one first
        self._outgoing: tuple[bytes, ...] = ()
        self._events: tuple[DialogueEvent, ...] = ()
        self._held: Ticket | None = None  # a section that goes on before anything else
        self._asking: Asking | None = None  # in flight
        self._soft_at = math.inf  # its soft deadline
        self._free_at = 0.0  # when the gap is over
        self._recognised = -1  # TID of the last answer that was: it may come twice

    def heed(
        self,
        eoj: int,
        *,
        alone: Iterable[int] = (),
        batch: int | None = None,
        gap_s: float | None = None,
        answer_s: float | None = None,
    ) -> None:
        """Take to heart what is known of a maker's devices: EPCs to ask alone, largest batch, gap, time to answer.

        All but the first hold for the whole node; of several the most cautious ones do.
        """
        self._batches.heed(eoj, alone, batch or PROPERTIES_MAX)
        self.gap_s = max(self.gap_s, gap_s or 0.0)
        self.manners.wait(answer_s or 0.0)

    # --- asking

    def read(self, eoj: int, epcs: Iterable[int], *, urgent: bool = False) -> Ticket:
        """Ask for properties of one object. Raises QueueFull."""
        wanted = tuple(epcs)
        return self._add(Ticket("read", eoj, wanted, urgent=urgent, wanted=wanted))

    def write(self, eoj: int, properties: tuple[Property, ...], *, urgent: bool = True) -> Ticket:
        """Set properties of one object together, with one SetC that is never repeated. Raises QueueFull."""
        wanted = tuple([each.epc for each in properties])
        return self._add(Ticket("write", eoj, wanted, properties, urgent=urgent, wanted=wanted))

    def section(self, eoj: int, section: Section) -> Ticket:
        """Select, then read, with nothing else in between. Raises QueueFull."""
        return self._add(Ticket("section", eoj, section.read, section.select, wanted=section.read))

    def cancel(self, ticket: Ticket) -> None:
        """Forget a ticket; nothing more is told of it. One in flight keeps the line until answered or overdue."""
        ticket.dropped = True
        if self._asking is not None and self._asking.ticket is ticket:
            self._asking.whole = False
            return
        if ticket.done:
            return
        if self._held is ticket:
            self._held = None
        self._urgent, self._routine = _without(self._urgent, ticket), _without(self._routine, ticket)
        self._finish(ticket)

    def rest(self, now: float) -> None:
        """Leave the gap that follows an answer: the node gave one to somebody else."""
        self._free_at = max(self._free_at, now + self.gap_s)

    @property
    def idle(self) -> bool:
        """Whether nothing is being asked or waits to be."""
        return self._asking is None and not (self._urgent or self._routine or self._open or self._held)

    # --- hearing

    def recognise(self, data: bytes, now: float) -> Ticket | None:
        """Take a datagram that answers all that is in flight, and is like its last answer but for its data.

        Nothing else is to be learnt of it. Its ticket is done, of which no event tells. None for any other.
        """
        asking = self._asking
        if asking is None or not asking.whole or not data.startswith(asking.head):
            return None
        plan = asking.plan
        if not plan.recognise(data):
            return None
        self._asking = None
        self._recognised = asking.tid
        self._free_at = now + self.gap_s
        self.manners.took(now - asking.asked_at)
        ticket = asking.ticket
        ticket.answers, ticket.recognised = plan.answers, plan.told
        ticket.last, ticket.done = None, True
        return ticket

    def receive(self, frame: Frame, now: float) -> bool:
        """Take a frame of this node; whether it belongs to something asked, be it late, split or partial."""
        tid, asking = frame.tid, self._asking
        if asking is None or asking.tid != tid:
            asking = next((each for each in self._recent if each.tid == tid), None)
        if asking is None:
            return tid == self._recognised
        if now > asking.asked_at + LATE_S or frame.seoj != asking.ticket.eoj:
            return False
        if frame.esv not in (WRITE_ANSWERS if asking.writes else READ_ANSWERS):
            return False
        asked = asking.epcs
        told = {each.epc: each.edt for each in frame.properties if each.epc in asked}
        if not told and frame.properties:
            return False
        if asking.overdue:
            self.counters["late"] += 1
        first, asking.heard = not asking.heard, True
        if first:
            self.manners.took(now - asking.asked_at, lost=0 if asking.ticket.done else asking.tries)
        ticket = asking.ticket
        if not ticket.done and not asking.void:
            asking.named += len(told)
            before = ticket.wanted
            if self._settle(asking, frame.esv, told):
                asking.plan.learn(shape_of(frame) if len(told) == len(frame.properties) else None)
            if first or ticket.wanted != before:
                self._progress(ticket, now)
        if asking is self._asking:
            self._landed(asking)
            if not ticket.done:
                self._go_on(ticket, now)
        if not (ticket.done or ticket.wanted):
            self._finish(ticket)
        if self._asking is None:
            self._free_at = now + self.gap_s
        return True

    def tick(self, now: float) -> bool:
        """Let time pass: send what is due, give up what is over; whether there are events."""
        if self._asking is not None and now >= self._soft_at:
            self._overdue(self._asking, now)
        if self._open:
            self._end(now)
        if self._asking is None and now >= self._free_at and (ticket := self._next(now)) is not None:
            self._ask(ticket, now)
        return bool(self._events)

    def deadline(self) -> float:
        """When tick() is wanted next; in the past where something can go at once."""
        asking, at = self._asking, math.inf
        if asking is not None:
            at = self._soft_at
        elif self._urgent or self._held or (self._routine and not self._blocked()):
            at = self._free_at
        for ticket in self._open:
            at = min(at, ticket.limit_at)
            if asking is None:
                at = min(at, max(ticket.retry_at, self._free_at))
        return at

    def outgoing(self) -> Sequence[bytes]:
        """Datagrams to send, in order; empties."""
        outgoing, self._outgoing = self._outgoing, ()
        return outgoing

    def events(self) -> Sequence[DialogueEvent]:
        """What happened, in order; empties."""
        events, self._events = self._events, ()
        return events

    # --- the line

    def _add(self, ticket: Ticket) -> Ticket:
        if not ticket.epcs:
            raise ValueError("there is nothing to ask for")
        if len(self._urgent if ticket.urgent else self._routine) >= QUEUE_LIMIT:
            raise QueueFull
        if ticket.urgent:
            self._urgent += (ticket,)
        else:
            self._routine += (ticket,)
        return ticket

    def _blocked(self) -> bool:
        """Whether a routine read is under way already, even if it is not in flight."""
        return any(each.kind == "read" and not each.urgent and each.retry_at < math.inf for each in self._open)

    def _next(self, now: float) -> Ticket | None:
        if (held := self._held) is not None:
            self._held = None
            if now + SOFT_MIN_S <= held.limit_at:
                return held
            held.retry_at = math.inf
            self._open += (held,)
        if self._urgent:
            ticket, self._urgent = self._urgent[0], self._urgent[1:]
            return ticket
        if self._open and (ready := self._ready(now)) is not None:
            return ready
        routine = self._routine
        if not routine or (self._open and self._blocked()):
            return None
        self._routine = routine[1:]
        return routine[0]

    def _ready(self, now: float) -> Ticket | None:
        """Of those open, one that goes on now; a section stands back once for a routine read."""
        ready = [each for each in self._open if now >= each.retry_at]
        if not ready:
            return None
        ticket = next((each for each in ready if each.urgent), ready[0])
        if ticket.kind == "section" and self._routine and not ticket.stood_back and not self._blocked():
            ticket.stood_back = True
            return None
        ticket.stood_back = False
        self._open = _without(self._open, ticket)
        return ticket

    def _ask(self, ticket: Ticket, now: float) -> None:
        last, counters = ticket.last, self.counters
        if last is not None and self._batches.going_on(ticket):
            counters["partial"] += 1
        plan, tid = self._batches.plan(ticket), self._next_tid()
        head = _head(EHD, tid)
        whole = last is None and plan.epcs == ticket.epcs
        self._asking = ticket.last = asking = Asking(ticket, tid, head, plan, now, whole)
        if last is None:
            ticket.asked_at = now
        elif last.epcs == plan.epcs and not last.heard:
            asking.tries = last.tries + 1
        limit_at = ticket.limit_at
        if limit_at == math.inf:
            ticket.limit_at = limit_at = now + (SECTION_LIMIT_S if ticket.kind == "section" else LIMIT_S)
        soft_at = now + self.manners.soft_s
        self._soft_at = soft_at if soft_at < limit_at else limit_at
        counters["requests"] += 1
        if ticket.repeats:
            counters["repeats"] += 1
        self._outgoing += (head + plan.body,)

    def _landed(self, asking: Asking) -> None:
        """It is not in flight any more; what comes later still counts."""
        self._asking = None
        self._recent = (asking, *self._recent[: RECENT_LIMIT - 1])

    # --- where a ticket goes

    def _settle(self, asking: Asking, esv: int, told: Mapping[int, bytes]) -> bool:
        """Work an answer into its ticket; whether it gave all that was to be read."""
        ticket = asking.ticket
        if not asking.writes:
            return self._batches.told(asking, esv, told)
        if ticket.kind == "write":
            _taken(ticket, esv, told)
        elif esv == ESV.SET_RES:
            ticket.selected = True
        else:
            ticket.answers.update(dict.fromkeys(ticket.epcs, Missing.REFUSED))
            ticket.settle()
        return False

    def _progress(self, ticket: Ticket, now: float) -> None:
        """Something new came: what is left makes a new batch, with a limit of its own."""
        ticket.heard, ticket.gave_up, ticket.repeats = True, False, 0
        if ticket.kind == "read":
            ticket.limit_at = math.inf
            ticket.retry_at = now

    def _go_on(self, ticket: Ticket, now: float) -> None:
        """What was in flight is answered."""
        if ticket.dropped:
            self._finish(ticket)
        elif ticket.kind == "section":
            self._held = ticket
        elif ticket.wanted:
            self._open += (ticket,)

    def _overdue(self, asking: Asking, now: float) -> None:
        """The soft deadline of what is in flight has passed: the line is free for others."""
        self._landed(asking)
        asking.overdue = True
        ticket = asking.ticket
        if ticket.done:
            return
        if ticket.dropped:
            self._finish(ticket)
            return
        self._open += (ticket,)
        if ticket.kind == "write":
            return
        ticket.retry_at = now if self.manners.lossy else now + PAUSE_S
        ticket.repeats += 1
        if ticket.kind == "read":
            self._batches.overdue(asking, now)
            return
        for each in self._recent:
            each.void = each.void or each.ticket is ticket
        ticket.selected = False
        ticket.answers.clear()
        ticket.wanted = ticket.epcs

    def _end(self, now: float) -> None:
        """Give up what is open and has no time left to be answered."""
        for ending in [each for each in self._open if now + SOFT_MIN_S > each.limit_at]:
            ending.retry_at = math.inf
            if now >= ending.limit_at:
                self._expired(ending, now)

    def _expired(self, ticket: Ticket, now: float) -> None:
        """The limit of an open ticket has passed. A node that answered other things may be silent about one."""
        self.counters["silences"] += 1
        if ticket.kind == "read" and ticket.heard and not ticket.gave_up and ticket.last is not None:
            ticket.answers.update([(epc, Missing.TIMEOUT) for epc in ticket.last.epcs if epc not in ticket.answers])
            ticket.settle()
            ticket.gave_up, ticket.repeats, ticket.retry_at, ticket.limit_at = True, 0, now, math.inf
            if not ticket.wanted:
                self._finish(ticket)
            return
        if not ticket.heard or ticket.gave_up:
            ticket.silent = True
            ticket.unanswered = () if ticket.last is None else ticket.last.epcs
            self._events += (Quiet(ticket),)
        self._finish(ticket)

    def _finish(self, ticket: Ticket) -> None:
        if self._open:
            self._open = _without(self._open, ticket)
        if self._held is ticket:
            self._held = None
        if ticket.wanted:
            answers = ticket.answers
            answers.update([(epc, Missing.TIMEOUT) for epc in ticket.epcs if epc not in answers])
        if ticket.kind == "section":
            answers = ticket.answers
            for why in [each for each in answers.values() if isinstance(each, Missing)][:1]:
                answers.update(dict.fromkeys(answers, why))
        ticket.wanted, ticket.last = (), None
        ticket.done = True
        if not ticket.dropped:
            self._events += (Finished(ticket),)


def _without(line: tuple[Ticket, ...], ticket: Ticket) -> tuple[Ticket, ...]:
    return tuple([each for each in line if each is not ticket])


def _taken(ticket: Ticket, esv: int, told: Mapping[int, bytes]) -> None:
    """What became of a write: what was refused comes back with its EDT; where nothing does, a refusal means all."""
    refused = ticket.epcs if esv != ESV.SET_RES else ()
    if any(told.values()):
        refused = tuple([epc for epc in refused if told.get(epc)])
    for epc in told or ticket.epcs:
        ticket.answers[epc] = Missing.REFUSED if epc in refused else b""
    ticket.settle()
