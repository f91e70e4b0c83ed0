"""What people and rules want of the appliances of one node: commands on their way, and queries. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from msgspec import Struct

from hemsd.appliances.dialogue import Dialogue
from hemsd.appliances.events import Answered, NetworkEvent, Settled
from hemsd.appliances.instance import Instance
from hemsd.appliances.setting import Outcome, Setting, subjects
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Refusal, Scalar, Write
from hemsd.echonet.classes.views import identify, plan
from hemsd.echonet.exchange import Missing, QueueFull

ORDERS_MAX: Final = 8  # commands under way on one node
BUSY: Final = "too much is wanted of it at once; try again in a minute"


class _Command(Struct, frozen=True):
    name: str
    instance: Instance
    setting: Setting


class _Query(Struct, frozen=True):
    name: str
    instance: Instance
    ticket: Ticket
    told: set[int] = set()  # EPCs


class Orders:
    """Of one node. Its events go to `events`; every one that is begun ends with one that says so.

    Where there are neither `commands` nor `queries` under way, it need not be told anything.
    """

    __slots__ = ("_dialogue", "_events", "commands", "queries")

    def __init__(self, dialogue: Dialogue, events: list[NetworkEvent]) -> None:
        self._dialogue = dialogue
        self._events = events
        self.commands: tuple[_Command, ...] = ()
        self.queries: tuple[_Query, ...] = ()

    def set(self, instance: Instance, command: str, values: Mapping[str, Scalar], *, from_outside: bool) -> None:
        """Set it by words, as far as it can be."""
        self._begin(
            instance,
            command,
            lambda: plan(instance.device, values, instance.values, from_outside=from_outside),
        )

    def identify(self, instance: Instance, command: str) -> None:
        """Have it show itself."""
        self._begin(instance, command, lambda: identify(instance.device, instance.values))

    def query(self, instance: Instance, query: str, epcs: tuple[int, ...]) -> None:
        """Read properties now, () for all that it has."""
        wanted = tuple(dict.fromkeys(epcs)) or tuple(sorted(instance.device.readable)) or (0x80,)
        try:
            ticket = self._dialogue.read(instance.device.eoj, wanted, urgent=True)
        except QueueFull:
            last = wanted[-1]
            shown = instance.shown()
            self._events += [Answered(query, shown, epc, None, "refused", epc == last) for epc in wanted]
        else:
            self.queries += (_Query(query, instance, ticket),)

    def finished(self, ticket: Ticket, now: float) -> None:
        """A ticket of the dialogue is done; perhaps one of these."""
        for query in self.queries:
            if query.ticket is ticket:
                self._over(query)
                return
        for each in self.commands:
            if each.setting.finished(ticket, now):
                return

    def told(self, instance: Instance, properties: Mapping[int, bytes], now: float) -> None:
        """An appliance told values, by whatever way."""
        for each in self.commands:
            if each.instance is instance:
                each.setting.told(properties, now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        for each in self.commands:
            each.setting.tick(now)

    def deadline(self) -> float:
        """When tick() is wanted next."""
        return min([at for each in self.commands if (at := each.setting.deadline()) is not None], default=math.inf)

    def settle(self, now: float) -> None:
        """Tell of the commands that are over, and of queries as far as they are answered."""
        for query in self.queries:
            self._answered(query, over=False)
        for each in self.commands:
            if (outcome := each.setting.outcome) is not None:
                self._end(each, outcome, now)
        self.commands = tuple([each for each in self.commands if each.setting.outcome is None])

    def drop(self, instances: Collection[Instance]) -> None:
        """Nothing more becomes of what is wanted of these."""
        for each in [each for each in self.commands if each.instance in instances]:
            detail = "it was sent perhaps, and what became of it is not known any more"
            self._events.append(Settled(each.name, each.instance.shown(), "timeout", "timeout", detail))
        self.commands = tuple([each for each in self.commands if each.instance not in instances])
        for query in self.queries:
            if query.instance in instances:
                self._dialogue.cancel(query.ticket)
                self._over(query)

    def _begin(self, instance: Instance, command: str, planned: Callable[[], tuple[Write, ...]]) -> None:
        try:
            if len(self.commands) >= ORDERS_MAX:
                raise QueueFull
            writes = planned()
            properties = properties_of(instance.device)
            setting = Setting(
                self._dialogue,
                instance.device.eoj,
                writes,
                name=lambda epc: properties[epc].name if epc in properties else f"0x{epc:02X}",
            )
        except Refusal as refusal:
            self._refuse(instance, command, refusal.code, str(refusal))
        except QueueFull:
            self._refuse(instance, command, "busy", BUSY)
        else:
            newer = frozenset().union(*map(subjects, writes))
            for each in self.commands:
                if each.instance is instance:
                    each.setting.overtake(newer)
            instance.ordered(writes)
            self.commands += (_Command(command, instance, setting),)

    def _refuse(self, instance: Instance, command: str, code: str, detail: str) -> None:
        self._events.append(Settled(command, instance.shown(), "refused", code, detail))

    def _end(self, command: _Command, outcome: Outcome, now: float) -> None:
        instance = command.instance
        instance.order_ended(now)
        self._events.append(
            Settled(
                command.name,
                instance.shown(),
                outcome.outcome,
                outcome.error,
                outcome.detail,
                command.setting.read_back,
            )
        )

    def _over(self, query: _Query) -> None:
        """All that is to be had of it has come."""
        self.queries = tuple([each for each in self.queries if each is not query])
        self._answered(query, over=True)

    def _answered(self, query: _Query, *, over: bool) -> None:
        """Tell what is new of a query: values as they come, what is missing at the end."""
        ticket, told = query.ticket, query.told
        for epc in ticket.epcs:
            answer = ticket.answers.get(epc, Missing.TIMEOUT)
            if epc in told or not (over or isinstance(answer, bytes)):
                continue
            told.add(epc)
            edt = answer if isinstance(answer, bytes) else None
            error: Literal["", "absent", "refused", "timeout"] = answer.value if isinstance(answer, Missing) else ""
            last = len(told) == len(ticket.epcs)
            self._events.append(Answered(query.name, query.instance.shown(), epc, edt, error, last))
