"""One dedicated network of appliances as one machine on packets: who is there, what they say and are told. Pure.

ECHONET Lite Specification 1.14, part II. Theory. A frame is for ourselves (requests), or one node's answer to what it
was asked, or a notification; whatever it is, it is a sign of life, and from an unknown host the beginning of getting
to know it. Nodes are machines of their own; one heap tells which of them wants time next. A port that was lost and
opened again gets a new network, made of what the old one remembers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, assert_never

from msgspec import Struct

from drivers.packet import ALL_NODES, ALL_NODES_IPV4, Packet
from hemsd.appliances import memory
from hemsd.appliances.dialogue import GAP_S
from hemsd.appliances.discovery import Discovery
from hemsd.appliances.events import Appliance, Changed, NetworkEvent, Noted, Settled
from hemsd.appliances.introspection import Met
from hemsd.appliances.memory import NODES_MAX, Remembered
from hemsd.appliances.node import Commons, Node
from hemsd.appliances.ourselves import INSTANCE_LIST, OwnNode
from hemsd.appliances.registry import Registry, Verdict, is_ipv6
from hemsd.echonet.classes.device import Scalar
from hemsd.echonet.frame import ESV, NOTIFICATIONS, REQUESTS, Frame, FrameError, decode, encode
from hemsd.echonet.objects import METER, NODE_PROFILE

PAYLOAD_MAX: Final = 1232  # bytes that any link carries in one piece
CANDIDATE_TRIES: Final = 3  # meetings that came to nothing,
CANDIDATE_S: Final = 60.0  # and so long nothing heard, and a host is no node
RIVALS_MAX: Final = 16  # candidates waiting to hear whether a node is where it was
FICKLE: Final = 2  # numbers that one node had before, and it is not known by its number any more
SECOND_S: Final = 5.0  # after which an IPv6 host is met where there is IPv4 too: it may be known by then
ASTRAY_S: Final = 3600.0  # until it is told again that there is a meter here
AWAIT_S: Final = 5.0  # within which nodes known from an earlier run are asked


class Addresses(Struct, frozen=True):
    """Our own on this network; at least one."""

    ipv4: str | None = None
    ipv6: str | None = None


class NetworkSettings(Struct, frozen=True, kw_only=True):
    """`nodes`: addresses that multicast does not reach; `gap_s`: how long a node rests after an answer, at least."""

    name: str
    nodes: tuple[str, ...] = ()
    gap_s: float = GAP_S


class Network:
    """Machine[Packet, NetworkEvent] for drivers.ports.Pump. After query(), order() and their like: poke().

    `chance` gives numbers in [0, 1). `ourselves.location` is kept in what remember() gives.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        *,
        own: Addresses,
        remembered: Remembered,
        ourselves: OwnNode,
        chance: Callable[[], float],
    ) -> None:
        groups = ((ALL_NODES,) if own.ipv6 else ()) + ((ALL_NODES_IPV4,) if own.ipv4 else ())
        self._own = frozenset(filter(None, (own.ipv4, own.ipv6)))
        self._both = len(self._own) == 2
        self._ourselves = ourselves
        self._discovery = Discovery(groups, settings.nodes, chance)
        self._commons = Commons(self._next_tid, chance, settings.gap_s)
        self._registry = Registry(remembered.shared)
        self._rivals: dict[Node, list[tuple[Node, str]]] = {}  # candidates, and their claims, by who is being asked
        self._tid = 0
        self._turn_of = count()
        self._timers: list[tuple[float, int, Node]] = []
        self._outgoing: list[Packet] = []
        self._started = False
        self._astray_at = -math.inf
        for kept in remembered.nodes:
            self._registry.enter(Node.restored(self._commons, kept))

    def counters(self) -> Counter[str]:
        """For health: frames by what became of them, and how the dialogues with all nodes have gone."""
        return Counter(self._commons.counters)

    # --- the machine

    def receive(self, packet: Packet, now: float) -> bool:
        """Take a datagram; whatever it is, nothing is raised."""
        address, payload = packet.address, packet.payload
        node = self._registry.by_address.get(address)
        if node is not None and node.recognise(payload, now):
            self._turn(node, now)
            return True
        counters = self._commons.counters
        if address in self._own:
            counters["own"] += 1
            return True
        try:
            frame = decode(payload)
        except FrameError:
            counters["malformed"] += 1
            return True
        esv = frame.esv
        if frame.unknown_esv or frame.empty:
            counters["unknown"] += 1
            return True
        if frame.seoj >> 8 == METER >> 8:
            self._astray(address, now)
            return True
        if node is not None:
            node.heard(now)
        elif (node := self._greet(address, now)) is None:
            counters["nodes_too_many"] += 1
        if esv in NOTIFICATIONS:
            counters["notifications"] += 1
            if esv == ESV.INFC:
                self._answer(frame, address)
            if node is not None:
                node.notified(frame, packet, now)
        elif esv in REQUESTS:
            counters["asked"] += 1
            self._answer(frame, address)
        elif node is None or not node.receive(frame, now):
            self._unasked(node, frame, now)
        if node is not None:
            self._turn(node, now)
        return True

    def tick(self, now: float) -> None:
        """Let time pass."""
        if not self._started:
            self._start(now)
        if now >= self._discovery.due:
            for address, frame in self._discovery.tick(now, self._ourselves, self._next_tid):
                self._send(address, encode(frame))
        timers, due = self._timers, []
        while timers and timers[0][0] <= now:
            at, _, node = heappop(timers)
            if at == node.armed:
                node.armed = math.inf
                due.append(node)
        for node in due:
            if (at := node.deadline()) <= now:
                node.tick(now)
                self._turn(node, now)
            else:
                self._arm(node, at)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        due, timers = self._discovery.due, self._timers
        return timers[0][0] if timers and timers[0][0] < due else due

    def outgoing(self) -> Sequence[Packet]:
        """Packets to send, in order; empties."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[NetworkEvent]:
        """What happened, in order; empties."""
        commons = self._commons
        events = commons.events[:]
        commons.events.clear()
        return events

    # --- what is wanted of it

    def appliances(self) -> Iterable[Appliance]:
        """All of them as they are now."""
        return [instance.shown() for instance in self._commons.appliances.values()]

    def has(self, appliance: str) -> bool:
        """Whether there is an appliance of this id."""
        return appliance in self._commons.appliances

    def query(self, query: str, appliance: str, epcs: tuple[int, ...]) -> None:
        """Read properties now, () for all that it has; Answered follows for each. Raises KeyError."""
        instance = self._commons.appliances[appliance]
        instance.node.orders.query(instance, query, epcs)
        self._wake(instance.node)

    def order(
        self, command: str, appliance: str, values: Mapping[str, Scalar], *, from_outside: bool = False
    ) -> None:
        """Set an appliance by words (see views.plan); Settled follows. Raises KeyError."""
        instance = self._commons.appliances[appliance]
        instance.node.orders.set(instance, command, values, from_outside=from_outside)
        self._wake(instance.node)

    def identify(self, command: str, appliance: str) -> None:
        """Have it show itself; Settled follows. Raises KeyError."""
        instance = self._commons.appliances[appliance]
        instance.node.orders.identify(instance, command)
        self._wake(instance.node)

    def forget(self, command: str, appliance: str) -> None:
        """Let go of an appliance, and with the last of its node; Settled and Forgotten follow. Raises KeyError.

        One that is still there is found anew at once.
        """
        instance = self._commons.appliances[appliance]
        node = instance.node
        self._tell(Settled(command, instance.shown(), "applied"))
        node.forget(instance)
        if not node.instances:
            self._remove(node)
        self._discovery.look()

    def remember(self) -> dict[str, Any]:
        """What the next run is to know, as plain JSON data for Remembered.restored()."""
        known = [node.remembered() for node in self._registry.known]
        return memory.plain(known, self._registry.shared, self._ourselves.location)

    # --- frames

    def _next_tid(self) -> int:
        self._tid = self._tid % 0xFFFF + 1
        return self._tid

    def _answer(self, frame: Frame, address: str) -> None:
        for answer in self._ourselves.answer(frame, self._next_tid):
            payload = encode(answer.frame)
            for to in self._discovery.groups if answer.to_all else (address,):
                self._send(to, payload)

    def _astray(self, address: str, now: float) -> None:
        """A smart meter, or who says so: what it tells is for its controller on its own link (G.9958, R45)."""
        self._commons.counters["meter"] += 1
        if now >= self._astray_at + ASTRAY_S:
            self._astray_at = now
            text = f"{address} speaks as a smart meter on the appliances' network; that is not listened to"
            self._tell(Noted("meter.astray", "warning", f"{text}: a meter talks with its controller only (R45)"))

    def _unasked(self, node: Node | None, frame: Frame, now: float) -> None:
        """An answer to nothing that was asked of this node: perhaps to what was asked of all."""
        asked_of_all = frame.tid in self._discovery.asked and frame.seoj == NODE_PROFILE
        if node is not None and asked_of_all and frame.esv == ESV.GET_RES:
            self._commons.counters["discovered"] += 1
            for each in frame.properties:
                if each.epc == INSTANCE_LIST:
                    node.listed_itself(each.edt, now, announced=False)
        else:
            self._commons.counters["stray"] += 1

    def _send(self, address: str, payload: bytes) -> None:
        if len(payload) > PAYLOAD_MAX:
            self._commons.counters["too_long"] += 1
        elif address:
            self._outgoing.append(Packet(address, payload))

    def _tell(self, *events: NetworkEvent) -> None:
        self._commons.events += events

    # --- nodes

    def _start(self, now: float) -> None:
        """Ask for those that are known, each at a time of his own."""
        self._started = True
        for node in self._registry.known:
            node.expect(now + AWAIT_S * self._commons.chance())
            node.show(now)
            self._turn(node, now)

    def _greet(self, address: str, now: float) -> Node | None:
        """An unknown host said something: get to know it, if there is room."""
        if not self._has_room():
            return None
        node = Node(self._commons, (address,))
        self._registry.enter(node)
        node.expect(now + (SECOND_S if is_ipv6(address) and self._both else 0.0))
        return node

    def _has_room(self) -> bool:
        """Whether there is room for one more; who is nowhere to be found makes way first."""
        registry = self._registry
        if len(registry.known) >= NODES_MAX:
            for node in [each for each in registry.known if not each.addresses][:1]:
                self._dismiss(node)
        return not registry.crowded

    def _dismiss(self, node: Node) -> None:
        """Let go of a node with all it has."""
        for instance in list(node.instances.values()):
            node.forget(instance)
        self._remove(node)

    def _remove(self, node: Node) -> None:
        self._registry.remove(node)
        node.armed = math.nan  # no timer of it counts any more, and it gets no new one
        for rival, _ in self._rivals.pop(node, ()):
            rival.expect(-math.inf)
            self._wake(rival)

    def _wake(self, node: Node) -> None:
        """It has something to do at once."""
        self._arm(node, -math.inf)

    def _turn(self, node: Node, now: float) -> None:
        """A node had a frame or the time: send what it wants sent, heed what it found out, wake it when it wants."""
        for payload in node.dialogue.outgoing():
            self._send(node.address, payload)
        if node.concluded:
            self._concluded(node, now)
        if (at := node.deadline()) < node.armed:
            self._arm(node, at)

    def _arm(self, node: Node, at: float) -> None:
        """Wake it then at the latest; sooner does no harm."""
        if at < node.armed:
            node.armed = at
            heappush(self._timers, (at, next(self._turn_of), node))

    def _concluded(self, node: Node, now: float) -> None:
        """A node said who it is, or is silent."""
        node.concluded = False
        if node.met is not None:
            self._identify(node, node.met, now)
        elif node.identity and node.gone and node.failures == 1:
            self._discovery.miss(now)
        elif not node.identity and node.failures >= CANDIDATE_TRIES and now > node.heard_at + CANDIDATE_S:
            self._commons.counters["no_node"] += 1
            self._remove(node)
        for rival, claim in self._rivals.pop(node, ()):
            if rival.met is not None and rival.address:
                if node.met is None and not node.lost:
                    node.lose(f"it is not at {node.address} any more", now)
                elif not node.gone:
                    self._registry.share(claim)
                self._identify(rival, rival.met, now)
                self._turn(rival, now)

    def _identify(self, node: Node, met: Met, now: float) -> None:
        """Take a node for whom it is; see registry."""
        registry = self._registry
        verdict, claim, owner = registry.judge(node, met)
        match verdict:
            case Verdict.KNOWN:
                node.admit(claim, met, now)
                registry.enter(node)
            case Verdict.NEW if not met.said.identification and 0 < node.vague < CANDIDATE_TRIES:
                pass  # it may have a number yet, and is asked again
            case Verdict.NEW:
                if not self._has_room():
                    self._commons.counters["nodes_too_many"] += 1
                    self._remove(node)
                else:
                    node.admit(claim, met, now)
                    registry.enter(node)
            case Verdict.OTHER:
                address = node.address
                registry.leave(node, address)
                node.lose(f"{address} is somebody else's now", now)
                other = Node(self._commons, (address,))
                if len(twins := registry.twins(address, met)) >= FICKLE:
                    other.fickle = True
                    for twin in twins:
                        self._dismiss(twin)
                registry.enter(other)
                other.conclude(met, now)
                self._turn(other, now)
            case Verdict.MOVED | Verdict.SAME:
                self._join(owner, node, met, now, moved=verdict is Verdict.MOVED)
            case Verdict.DISPUTED:
                rivals = self._rivals.setdefault(owner, [])
                if len(rivals) < RIVALS_MAX:
                    rivals.append((node, claim))
                owner.meet(now)
                self._turn(owner, now)
            case _:
                assert_never(verdict)

    def _join(self, owner: Node, node: Node, met: Met, now: float, *, moved: bool) -> None:
        """A candidate turned out to be a node that is known: at a new address, or at one more."""
        address, before = node.address, owner.address
        self._remove(node)
        if moved:
            self._registry.leave(owner, *owner.addresses)
        owner.place((*owner.addresses, address))
        self._registry.enter(owner)
        if moved and before != address and owner.instances:
            names = ", ".join(instance.name for instance in owner.instances.values())
            self._tell(Noted("appliance.moved", "info", f"{names}: moved from {before or 'nowhere'} to {address}"))
        owner.heard(now)
        owner.dialogue.rest(now)
        owner.admit(owner.identity, met, now)
        self._tell(*(Changed(instance.shown()) for instance in owner.instances.values()))
        self._turn(owner, now)
