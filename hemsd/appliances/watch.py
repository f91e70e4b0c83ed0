"""Keeps the values of a node's appliances fresh: whose turn it is to be read, a few in line at a time. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from hemsd.appliances.dialogue import Dialogue
from hemsd.appliances.events import Source
from hemsd.appliances.instance import Instance
from hemsd.appliances.introspection import given
from hemsd.appliances.pace import Pace
from hemsd.appliances.polling import SECTION_S, Polls
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section, Tempo
from hemsd.echonet.classes.views import sections, tempo

TURNS_MAX: Final = 2  # in line: one that is asked, and one more

SETTLE_S: Final = 60.0  # after which the pace is settled anew

Told = Callable[[Instance, Mapping[int, bytes], Source, float], None]


class _Turn(Struct, eq=False):
    """A request for an appliance, `page` that of a section; so many of its answers have been taken."""

    instance: Instance
    polls: Polls
    page: int | None = None
    taken: int = 0


class Watch:
    """Of one node. `due` is when tick() is wanted next; `told` is given what polls read.

    Nothing is read more often than every `interval_s`, because the node cannot keep up.
    """

    __slots__ = ("_dialogue", "_pace", "_polls", "_settle_at", "_told", "_turns", "due", "interval_s")

    def __init__(self, dialogue: Dialogue, told: Told) -> None:
        self.due = math.inf
        self._dialogue = dialogue
        self._told = told
        self._pace = Pace(dialogue.manners)
        self.interval_s = self._pace.interval_s
        self._settle_at = math.inf
        self._polls: dict[Instance, Polls] = {}
        self._turns: dict[Ticket, _Turn] = {}

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._polls

    def add(self, instance: Instance, now: float, chance: Callable[[], float]) -> None:
        """Keep it fresh from now on; constants that are known need not be."""
        if not self._polls:
            self._settle_at = now + SETTLE_S
        device, values = instance.device, instance.values
        wanted = {epc: kept for epc, kept in tempo(device).items() if kept is not Tempo.ONCE or epc not in values}
        selected = sections(device, instance.values)
        instance.selectors = frozenset(each.epc for section in selected for each in section.select)
        polls = Polls(wanted, selected, announced=device.announced, now=now, chance=chance)
        polls.keep(self.interval_s, now, relied=not self._dialogue.manners.lossy)
        self._polls[instance] = polls
        self.due = now

    def remove(self, instance: Instance) -> None:
        """It is not to be read any more."""
        self._polls.pop(instance, None)

    def pause(self) -> None:
        """Nobody is there: read nothing until resumed."""
        for ticket, turn in self._turns.items():
            self._dialogue.cancel(ticket)
            turn.polls.abandoned()
        self._turns.clear()
        self.due = math.inf

    def resume(self, now: float) -> None:
        """Go on; what became due meanwhile is read at once."""
        self.due = now

    def heard(self, instance: Instance, properties: Mapping[int, bytes], source: Source, now: float) -> None:
        """It told values otherwise."""
        if (polls := self._polls.get(instance)) is not None:
            polls.told(properties, now, source)
            self._next(polls)

    def select(self, instance: Instance, now: float) -> None:
        """There may be more to select than was known."""
        if (polls := self._polls.get(instance)) is not None:
            polls.select(sections(instance.device, instance.values), now)
            self._next(polls)

    def progressed(self, now: float) -> None:
        """Something came: what takes several frames is told as it comes, because it is true now."""
        for ticket, turn in list(self._turns.items()):
            if turn.page is not None or ticket.done or len(ticket.answers) == turn.taken:
                continue
            if told := _brought(ticket, turn):
                self._told(turn.instance, told, "read", now)
                self.heard(turn.instance, told, "read", now)

    def finished(self, ticket: Ticket, now: float) -> bool:
        """Take a ticket of the dialogue that is done; whether it was one of these."""
        if (turn := self._turns.pop(ticket, None)) is None:
            return False
        instance, polls, told = turn.instance, turn.polls, ticket.recognised
        if told is None or instance.notified_at > ticket.asked_at:
            told = _brought(ticket, turn)
        if turn.page is None and not ticket.silent:
            self._pace.took(now - ticket.asked_at + self._dialogue.gap_s)
            if now >= self._settle_at:
                self._settle(now)
        polls.concluded(ticket, told, now)
        self.due = now  # somebody may have waited for the place in line
        if told:
            if turn.page is not None:
                told = _paged(told, turn.page)
            self._told(instance, told, "read", now)
        return True

    def tick(self, now: float) -> None:
        """Put in line what is due, those first that have waited longest."""
        self.due = math.inf
        dialogue, turns = self._dialogue, self._turns
        most = dialogue.manners.properties_per_request
        waiting: Iterable[tuple[Instance, Polls]] = self._polls.items()
        if len(self._polls) > 1:
            waiting = sorted(waiting, key=lambda each: each[1].deadline())
        for instance, polls in waiting:
            if len(turns) >= TURNS_MAX:
                return
            if (turn := polls.due(now, most)) is None:
                self.due = polls.deadline()
                return
            eoj = instance.device.eoj
            if isinstance(turn, Section):
                turns[dialogue.section(eoj, turn)] = _Turn(instance, polls, turn.page)
            else:
                turns[dialogue.read(eoj, turn)] = _Turn(instance, polls)
            if polls.sections:  # both may be due
                self._next(polls)

    def _settle(self, now: float) -> None:
        """See what interval there is room for."""
        self._settle_at = now + SETTLE_S
        self._pace.settle(self._reads)
        self.interval_s = self._pace.interval_s
        for polls in self._polls.values():
            polls.keep(self.interval_s, now, relied=not self._dialogue.manners.lossy)

    def _reads(self, interval_s: float, read_s: float) -> float:
        """Requests a second that it takes to keep such an interval, where one takes so long."""
        manners, every = self._dialogue.manners, self._polls.values()
        both = 1 + 1 / (1 - manners.lost_share)  # requests of a section, which begins anew where either is lost
        sections = both * sum(polls.sections for polls in every) / (max(SECTION_S, interval_s) + read_s)
        return sections + sum(polls.reads(interval_s, read_s, manners.properties_per_request) for polls in every)

    def _next(self, polls: Polls) -> None:
        at = polls.deadline()
        if at < self.due:
            self.due = at


def _paged(told: Mapping[int, bytes], page: int) -> Mapping[int, bytes]:
    """By key of device.Known."""
    return {epc << 8 | page: edt for epc, edt in told.items()}


def _brought(ticket: Ticket, turn: _Turn) -> Mapping[int, bytes]:
    """What has come since the last look, but for what a notification has overtaken."""
    answers = ticket.answers
    told = ticket.recognised or given(dict(list(answers.items())[turn.taken :]) if turn.taken else answers)
    turn.taken = len(answers)
    if turn.page is None and (overtaken := turn.instance.overtaken(told, ticket.asked_at)):
        return {epc: edt for epc, edt in told.items() if epc not in overtaken}
    return told
