"""Keeps the values of a node's appliances fresh: whose turn it is to be read, a few in line at a time. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from hemsd.appliances.dialogue import Dialogue
from hemsd.appliances.events import Source
from hemsd.appliances.instance import Instance
from hemsd.appliances.introspection import given
from hemsd.appliances.polling import Polls
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section, Tempo
from hemsd.echonet.classes.views import sections, tempo

TURNS_MAX: Final = 8  # in line

Told = Callable[[Instance, Mapping[int, bytes], Source, float], None]


class Watch:
    """Of one node. `due` is when tick() is wanted next; `told` is given what polls read."""

    def __init__(self, dialogue: Dialogue, told: Told) -> None:
        self.due = math.inf
        self._dialogue = dialogue
        self._told = told
        self._polls: dict[Instance, Polls] = {}
        self._turns: dict[Ticket, tuple[Instance, int | None]] = {}  # with the page of a section

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._polls

    def add(self, instance: Instance, now: float, chance: Callable[[], float]) -> None:
        """Keep it fresh from now on; constants that are known need not be."""
        device, values = instance.device, instance.values
        wanted = {epc: kept for epc, kept in tempo(device).items() if kept is not Tempo.ONCE or epc not in values}
        selected = sections(device, instance.known_values())
        instance.selectors = frozenset(each.epc for section in selected for each in section.select)
        self._polls[instance] = Polls(wanted, selected, announced=device.announced, now=now, chance=chance)
        self.due = now

    def remove(self, instance: Instance) -> None:
        """It is not to be read any more."""
        self._polls.pop(instance, None)

    def pause(self) -> None:
        """Nobody is there: read nothing until resumed."""
        for ticket, (instance, _) in self._turns.items():
            self._dialogue.cancel(ticket)
            if (polls := self._polls.get(instance)) is not None:
                polls.abandoned()
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
            polls.select(sections(instance.device, instance.known_values()), now)
            self._next(polls)

    def finished(self, ticket: Ticket, now: float) -> bool:
        """Take a ticket of the dialogue that is done; whether it was one of these."""
        if (turn := self._turns.pop(ticket, None)) is None:
            return False
        instance, page = turn
        told = given(ticket.answers)
        if page is not None:
            told = {epc << 8 | page: edt for epc, edt in told.items()}
        elif len(fresh := instance.not_overtaken(told, ticket.asked_at)) < len(told):
            for epc in told.keys() - fresh.keys():
                del ticket.answers[epc]
            told = fresh
        if (polls := self._polls.get(instance)) is not None:
            polls.concluded(ticket, now)
            self._next(polls)
        if len(self._turns) == TURNS_MAX - 1:
            self.due = now
        if told:
            self._told(instance, told, "read", now)
        return True

    def tick(self, now: float) -> None:
        """Put in line what is due, those first that have waited longest."""
        self.due = math.inf
        waiting = list(self._polls.items())
        if len(waiting) > 1:
            waiting.sort(key=lambda each: each[1].deadline())
        for instance, polls in waiting:
            if len(self._turns) >= TURNS_MAX:
                return
            if (at := polls.deadline()) > now:
                self.due = at
                return
            match polls.due(now):
                case Section() as section:
                    self._turns[self._dialogue.section(instance.device.eoj, section)] = instance, section.page
                case tuple(epcs):
                    self._turns[self._dialogue.read(instance.device.eoj, epcs)] = instance, None

    def _next(self, polls: Polls) -> None:
        at = polls.deadline()
        if at < self.due:
            self.due = at
