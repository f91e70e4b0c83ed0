"""One node: what is asked of it and why, which appliances it has, whether it is there. Pure.

Theory. A node is met (who is it, which objects has it), then each appliance is explored (what can it do) and its
constants are read, one question at a time; from then on it is polled. Any valid frame is a sign of life. SILENCES
tickets in a row without one, and it counts as gone: it is left alone but for a meeting now and then, in growing
intervals, until something of it is heard. Whoever else heeds this node looks at `concluded` and `met`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from drivers.packet import Packet
from hemsd.appliances.courses import Courses
from hemsd.appliances.dialogue import GAP_S, Dialogue, Quiet
from hemsd.appliances.echoes import Echoes
from hemsd.appliances.events import Changed, Forgotten, NetworkEvent, Source
from hemsd.appliances.exploring import Exploring
from hemsd.appliances.identity import Particulars, appliance_id
from hemsd.appliances.instance import Instance
from hemsd.appliances.introspection import (
    NO_APPLIANCES,
    Met,
    appliances_of,
    given,
    meet,
)
from hemsd.appliances.manners import Manners
from hemsd.appliances.memory import APPLIANCES_MAX, INSTANCES_MAX, RememberedNode
from hemsd.appliances.orders import Orders
from hemsd.appliances.ourselves import ANNOUNCED_LIST, INSTANCE_LIST
from hemsd.appliances.tickets import Ticket
from hemsd.appliances.watch import Watch
from hemsd.echonet.classes.device import Device
from hemsd.echonet.frame import Frame
from hemsd.echonet.objects import NODE_PROFILE

SILENCES: Final = 3  # tickets in a row without an answer: gone
PAUSES_S: Final = (
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)  # before something that failed is tried again; the last repeats
JITTER: Final = 0.2
MET_AGAIN_S: Final = 10.0  # at least, from one meeting to the next that something unexpected gives rise to
VAGUE_MAX: Final = 5  # meetings in a row for what it is silent about
DAY_S: Final = 86_400.0  # after which it is looked at anew in any case
RESTARTED_S: Final = 300.0  # after a meeting, in which the list of instances told once more is no news
HEARD_OF_MAX: Final = INSTANCES_MAX  # objects that showed themselves and are not listed


class Commons(Struct):
    """What the nodes of one network share."""

    next_tid: Callable[[], int]
    chance: Callable[[], float]  # numbers in [0, 1)
    gap_s: float = GAP_S  # after an answer of a node, at least
    events: list[NetworkEvent] = []
    appliances: dict[str, Instance] = {}  # by id
    # a Counter is slow to count with
    counters: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


class Node:
    """One node, at an address of each family at most. Without `identity` it is a candidate and has no appliances."""

    __slots__ = (
        "_commons", "_courses", "_echoes", "_exploring", "_heard_of", "_proven_told", "_retry_at", "_silences",
        "address", "addresses", "armed", "concluded", "dialogue", "failures", "fickle", "heard_at", "identity",
        "instances", "left", "lost", "manners", "met", "met_at", "orders", "said", "vague", "watch",
    )  # fmt: skip

    def __init__(self, commons: Commons, addresses: Iterable[str], manners: Manners | None = None) -> None:
        self.place(addresses)
        self.left = ""  # where it was before
        self.identity = ""
        self.fickle = False  # its number changes, and says nothing of who it is
        self.said = Particulars()
        self.manners = manners or Manners()
        self.dialogue = Dialogue(self.manners, commons.next_tid, gap_s=commons.gap_s, counters=commons.counters)
        self.instances: dict[int, Instance] = {}
        self.orders = Orders(self.dialogue, commons.events)
        self.heard_at = -math.inf
        self.lost = False
        self.met: Met | None = None
        self.concluded = False  # a meeting; `met` tells what came of it
        self.met_at = -math.inf
        self.failures = 0  # meetings in a row that came to nothing
        self.vague = 0  # meetings in a row that left something to ask
        self.armed = math.inf  # for whoever wakes it
        self._commons = commons
        self._silences = 0
        self._proven_told = 1  # properties at once, as its appliances were told to be answered
        self._retry_at = math.inf
        self._courses = Courses(self.dialogue)
        self.watch = Watch(self.dialogue, self.told)
        self._exploring = Exploring(self, self._courses, self.watch, commons.chance)
        self._heard_of: set[int] = set()
        self._echoes = Echoes()

    @classmethod
    def restored(cls, commons: Commons, kept: RememberedNode) -> Node:
        """One known from an earlier run, of which nothing has been heard in this one."""
        node = cls(commons, kept.addresses, Manners.restored(kept.manners))
        node.identity, node.said, node.fickle, node.lost = kept.identity, kept.said, kept.fickle, True
        for each in kept.appliances:
            instance = node._enter(each.device, 0.0)
            if instance is not None:
                instance.known, instance.serial = each.known, each.serial
                instance.online, instance.detail = False, "not heard since hemsd started"
        return node

    def remembered(self) -> RememberedNode:
        """What the next run is to know of it."""
        said = self.said
        return RememberedNode(
            identity=self.identity,
            fickle=self.fickle,
            addresses=list(self.addresses),
            identification=said.identification,
            maker=said.maker,
            product=said.product,
            serial=said.serial,
            manners=self.manners.plain(),
            appliances=[each.remembered() for each in self.instances.values()],
        )

    @property
    def gone(self) -> bool:
        """Whether it was asked, and is not where it was."""
        return not self.addresses or (self.lost and self.failures > 0)

    @property
    def listed(self) -> frozenset[int]:
        """The EOJs of the appliances that it has now."""
        return frozenset([eoj for eoj, each in self.instances.items() if each.listed])

    # --- time and frames

    def recognise(self, data: bytes, now: float) -> bool:
        """A datagram of it; whether that answers what is asked of it, as it did the last time but for its data."""
        if (ticket := self.dialogue.recognise(data, now)) is None:
            return False
        self.heard(now)
        if not self.watch.finished(ticket, now):
            self._finished(ticket, now)
        self._go_on(now)
        return True

    def receive(self, frame: Frame, now: float) -> bool:
        """An answer of it; whether it belongs to something asked."""
        if not self.dialogue.receive(frame, now):
            return False
        if self.manners.proven >= 2 * self._proven_told:
            self._proven_told = self.manners.proven
            self.tell(Changed(each.shown()) for each in self.instances.values())
        self.watch.progressed(now)
        self._work(now)
        return True

    def notified(self, frame: Frame, packet: Packet, now: float) -> None:
        """It told something by itself, or to everybody; what comes twice, by two ways perhaps, counts once."""
        if self._echoes.has(packet, now):
            self._commons.counters["repeated"] += 1
            return
        eoj = frame.seoj
        if eoj == NODE_PROFILE:
            for each in frame.properties:
                if each.epc in (ANNOUNCED_LIST, INSTANCE_LIST):
                    self.listed_itself(each.edt, now, announced=True)
        elif (instance := self.instances.get(eoj)) is not None and instance.listed:
            if values := {each.epc: each.edt for each in frame.properties if each.edt}:
                self.watch.heard(instance, values, "notified", now)
                self.told(instance, values, "notified", now)
                self._work(now)
        elif eoj >> 8 not in NO_APPLIANCES and eoj & 0xFF and len(self._heard_of) < HEARD_OF_MAX:
            self._heard_of.add(eoj)
            self._meet_soon(now)

    def listed_itself(self, instance_list: bytes, now: float, *, announced: bool) -> None:
        """It told what it has. If that is news, or as it `announced` it may have restarted: is it who it was?"""
        eojs = appliances_of(instance_list)
        if eojs is None:
            return
        if not self.identity:
            if self.failures:  # perhaps it had not started yet
                self._meet_soon(now)
            return
        news_s = RESTARTED_S if announced else DAY_S
        if now > self.met_at + news_s or not self.listed.issuperset(eojs) or len(eojs) != len(self.listed):
            self._heard_of.update(eojs[: HEARD_OF_MAX - len(self._heard_of)])
            self._meet_soon(now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if now >= self._retry_at:
            self.meet(now)
        self.orders.tick(now)
        self._work(now)

    def deadline(self) -> float:
        """When tick() is wanted next."""
        at, retry_at, due = self.dialogue.deadline(), self._retry_at, self.watch.due
        if retry_at < at:
            at = retry_at
        if due < at:
            at = due
        if self.orders.commands and (due := self.orders.deadline()) < at:
            at = due
        return at

    def _work(self, now: float) -> None:
        """Take what the dialogue has concluded, and ask what is to be asked now."""
        self._heed(now)
        self._go_on(now)

    def _heed(self, now: float) -> None:
        for event in self.dialogue.events():
            if isinstance(event, Quiet):
                self._quiet(event.ticket, now)
            elif not self.watch.finished(event.ticket, now):
                self._finished(event.ticket, now)

    def _go_on(self, now: float) -> None:
        """Ask what is to be asked now."""
        dialogue, watch, orders = self.dialogue, self.watch, self.orders
        if now >= watch.due:
            watch.tick(now)
        while dialogue.tick(now):
            self._heed(now)
            if now >= watch.due:
                watch.tick(now)
        if orders.commands or orders.queries:
            orders.settle(now)

    def _finished(self, ticket: Ticket, now: float) -> None:
        """Whoever asked has the answers, if it was not the watch."""
        if self._courses.finished(ticket, now):
            self._exploring.go_on(now)
        else:
            self._ordered(ticket, now)

    def tell(self, events: Iterable[NetworkEvent]) -> None:
        """Something happened."""
        self._commons.events += events

    # --- being there

    def place(self, addresses: Iterable[str]) -> None:
        """It is at these, and asked at the first; none: nobody knows where it is."""
        self.addresses = tuple(addresses)
        self.address = self.addresses[0] if self.addresses else ""

    def heard(self, now: float) -> None:
        """A valid frame of it came: it is there."""
        self.heard_at = now
        self._silences = 0
        if self.lost and self.identity:
            self.lost = False
            self._retry_at = now
            self.watch.resume(now)
            for instance in self.instances.values():
                if instance.listed:
                    self.tell(instance.stands(online=True, detail="", now=now))

    def lose(self, why: str, now: float) -> None:
        """It is gone: nothing more is asked but whether it is back, and what a person wants."""
        self.lost, self.failures = True, 0
        self._courses.end()
        self.watch.pause()
        for instance in self.instances.values():
            self.tell(instance.stands(online=False, detail=why, now=now))
        self.conclude(None, now)

    def _quiet(self, ticket: Ticket, now: float) -> None:
        self._silences += 1
        instance = self.instances.get(ticket.eoj)
        if instance is not None:
            instance.silences += 1
        if self._silences >= SILENCES and self.identity and not self.lost:
            self.lose(f"no answer from {self.address}, {self._silences} times in a row", now)
        elif instance is not None and instance.silences >= SILENCES and instance.online:
            why = f"no answer, {instance.silences} times in a row, though its node is there"
            self.tell(instance.stands(online=False, detail=why, now=now))
        if len(self.addresses) > 1:  # perhaps it hears us by its other one
            self.place(reversed(self.addresses))

    def try_again(self, tries: int, now: float) -> None:
        """Meet it again after a pause."""
        pause_s = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
        self._retry_at = min(self._retry_at, now + pause_s * (1 + JITTER * self._commons.chance()))

    # --- getting to know it

    def expect(self, at: float) -> None:
        """Meet it then."""
        self._retry_at = at

    def show(self, now: float) -> None:
        """It is known from an earlier run: tell so."""
        for instance in self.instances.values():
            instance.since = instance.explored_at = now
            self.tell([Changed(instance.shown())])

    def meet(self, now: float) -> None:
        """Ask it (again) who it is and what it has."""
        self._retry_at = math.inf
        if not self._courses.ends_in(self.conclude):
            self._courses.begin(meet(tells=bool(self.said.identification)), self.conclude, now)

    def _meet_soon(self, now: float) -> None:
        self._retry_at = min(self._retry_at, max(now, self.met_at + MET_AGAIN_S))

    def conclude(self, met: Met | None, now: float) -> None:
        """A meeting is over, with what it said of itself, or in silence."""
        self.met_at, self.concluded = now, True
        if met is None:
            self.met = None
            self.try_again(self.failures, now)
            self.failures += 1
            return
        self.failures = 0
        self.vague = 0 if met.final else self.vague + 1
        if 0 < self.vague < VAGUE_MAX:
            self.try_again(self.vague, now)
        others = self._heard_of.difference(met.instances)  # lists are short, old, or wrong; who speaks is there
        said = replace(met.said, identification="") if self.fickle else met.said
        self.met = replace(met, said=said, instances=(*met.instances, *sorted(others)))
        self._heard_of.clear()

    def admit(self, identity: str, met: Met, now: float) -> None:
        """It is known who it is: take it at its word about what it has."""
        self.identity = identity
        self.said = self.said.merged(met.said)
        for eoj in met.instances:
            if (instance := self.instances.get(eoj)) is None:
                if (instance := self._enter(Device(eoj=eoj), now)) is None:
                    continue
                self.tell([Changed(instance.shown())])
            instance.listed = True  # it is back as soon as it says something
            self._exploring.consider(instance, now)
        if met.whole:
            for instance in list(self.instances.values()):
                if instance.listed and instance.device.eoj not in met.instances:
                    self._unlist(instance, now)
        self._exploring.go_on(now)

    def _enter(self, device: Device, now: float) -> Instance | None:
        """A new appliance, where there is room for it."""
        id = appliance_id(self.identity, device.eoj)
        commons = self._commons
        crowded = len(self.instances) >= INSTANCES_MAX or len(commons.appliances) >= APPLIANCES_MAX
        if crowded or id in commons.appliances:
            commons.counters["appliances_too_many"] += 1
            return None
        instance = Instance(self, id, device, now)
        self.instances[device.eoj] = self._commons.appliances[id] = instance
        return instance

    def _unlist(self, instance: Instance, now: float) -> None:
        """Its node does not list it any more: it is not asked for anything. What never said anything was not."""
        if not instance.known:
            self.forget(instance)
            return
        instance.listed = False
        self.watch.remove(instance)
        self.tell(instance.stands(online=False, detail="its node does not have it any more", now=now))

    def forget(self, instance: Instance) -> None:
        """Let go of an appliance; what is heard of it later finds it anew."""
        self.orders.drop((instance,))
        self.watch.remove(instance)
        del self.instances[instance.device.eoj], self._commons.appliances[instance.id]
        self.tell([Forgotten(instance.shown())])

    # --- values

    def _ordered(self, ticket: Ticket, now: float) -> None:
        """A ticket of a command or a query is done."""
        instance = self.instances.get(ticket.eoj)
        if instance is not None and ticket.kind == "read":
            told = given(ticket.answers)
            for epc in instance.overtaken(tuple(told), ticket.asked_at):
                del told[epc]
            if told:
                self.watch.heard(instance, told, "read", now)
                self.told(instance, told, "read", now)
        self.orders.finished(ticket, now)

    def told(self, instance: Instance, told: Mapping[int, bytes], source: Source, now: float) -> None:
        """Values of an appliance came, by whatever way."""
        if not instance.online and instance.listed:
            self.tell(instance.stands(online=True, detail="", now=now))
        values = instance.values
        known_before = len(values)
        self._commons.events += instance.told(told, source, now)
        if self.orders.commands:
            self.orders.told(instance, told, now)
        if len(values) > known_before:
            self.watch.select(instance, now)
