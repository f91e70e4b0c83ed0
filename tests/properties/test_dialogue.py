"""Whatever a network loses, doubles, delays, reorders and splits: the line keeps its rules, all comes to an end."""

from __future__ import annotations

import heapq
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.dialogues import AIRCON, Node, answer, hear, properties

from hemsd.appliances.batches import PLAN_LIMIT, REFUSED_LIMIT, SIZES_LIMIT
from hemsd.appliances.dialogue import GAP_S, QUEUE_LIMIT, RECENT_LIMIT, SECTION_LIMIT_S, Dialogue, Finished, Quiet
from hemsd.appliances.manners import LIMIT_S, SOFT_MIN_S, Manners
from hemsd.appliances.polling import Polls
from hemsd.appliances.setting import Setting
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section, Tempo, Write
from hemsd.echonet.exchange import Missing, QueueFull
from hemsd.echonet.frame import ESV, Property, decode

LAMP = 0x029001
EPCS = range(0x80, 0x98)
SECTION = Section((Property(0xB2, b"\x01"),), (0xB3, 0xB4))
SLACK_S = 0.001


@dataclass
class Air:
    """What happens to datagrams, either way; `lose_every` counts instead of throwing dice."""

    random: Random
    loss: float = 0.0
    doubled: float = 0.0
    split: float = 0.0
    slow_s: float = 0.1
    lose_every: int = 0
    passed: int = 0

    def copies(self) -> list[float]:
        """After how long each copy of a datagram arrives."""
        number = 1 + (self.random.random() < self.doubled)
        return [self.random.random() * self.slow_s for _ in range(number) if not self._lost()]

    def _lost(self) -> bool:
        self.passed += 1
        if self.lose_every:
            return self.passed % self.lose_every == 0
        return self.random.random() < self.loss

    def pieces(self, data: bytes) -> list[bytes]:
        """An answer, perhaps in several frames with the same TID."""
        told = properties(data)
        if len(told) < 2 or self.random.random() >= self.split:
            return [data]
        cut = self.random.randrange(1, len(told))
        rest = bytes([data[10]])
        head = data[:4] + data[7:10] + data[4:7]
        return [answer(head, rest[0], part) for part in (told[:cut], told[cut:])]


@dataclass
class World:
    """One node beyond the air, and a line to it. Checks the rules of the line at each datagram that leaves."""

    node: Node
    air: Air
    forgetful: bool = False  # it reads every answer
    now: float = 50.0
    tid: int = 0xFFF0
    arrivals: list[tuple[float, int, str, bytes]] = field(default_factory=list)
    done: list[Ticket] = field(default_factory=list)
    quiet: list[Ticket] = field(default_factory=list)
    heard_at: float = -1.0  # when an answer to the last request came first
    sent_at: float = -1.0
    last: bytes = b""
    sent: list[bytes] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    numbered: int = 0

    def __post_init__(self) -> None:
        self.dialogue = Dialogue(Manners(), self._next_tid)

    def _next_tid(self) -> int:
        self.tid = (self.tid + 1) & 0xFFFF
        return self.tid

    def step(self) -> None:
        """All that is due now."""
        for _ in range(100):
            self.dialogue.tick(self.now)
            for setting in self.settings:
                setting.tick(self.now)
            sent, events = self.dialogue.outgoing(), self.dialogue.events()
            for data in sent:
                self._leaves(data)
            self._happened(events)
            if not sent and not events:
                break
        else:
            raise AssertionError("it never comes to rest")
        self.check_bounds()

    def _happened(self, events: list[Finished | Quiet]) -> None:
        for event in events:
            match event:
                case Finished(ticket):
                    self.done.append(ticket)
                    for setting in self.settings:
                        setting.finished(ticket, self.now)
                case Quiet(ticket):
                    self.quiet.append(ticket)

    def _leaves(self, data: bytes) -> None:
        if self.last:
            if self.heard_at >= self.sent_at:
                assert self.now >= self.heard_at + GAP_S - SLACK_S, "no gap"
            else:
                assert self.now >= self.sent_at + SOFT_MIN_S - SLACK_S, "two requests in flight"
        if data[10] == ESV.GET and properties(data)[0][0] in SECTION.read:
            assert properties(self.last)[0][0] in (0xB2, *SECTION.read), "something came in between"
        self.last, self.sent_at = data, self.now
        self.sent.append(data)
        self._carry("node", data)

    def _carry(self, to: str, data: bytes) -> None:
        for delay in self.air.copies():
            self.numbered += 1
            heapq.heappush(self.arrivals, (self.now + delay, self.numbered, to, data))

    def run(self, until: float) -> None:
        """Let time pass."""
        self.step()
        for _ in range(100_000):
            at = self.next_at()
            if at > until:
                break
            self.now = max(self.now, at)
            while self.arrivals and self.arrivals[0][0] <= self.now:
                _, _, to, data = heapq.heappop(self.arrivals)
                if to == "node":
                    for each in self.node.answers(data):
                        for piece in self.air.pieces(each):
                            self._carry("us", piece)
                else:
                    if self.forgetful:
                        taken = self.dialogue.receive(decode(data), self.now)
                    else:
                        taken, happened = hear(self.dialogue, data, self.now)
                        self._happened(happened)
                    if taken and data[2:4] == self.last[2:4]:
                        self.heard_at = self.now
            self.step()
        else:
            raise AssertionError("it wakes up for nothing")
        self.now = until

    def next_at(self) -> float:
        at = [each for each in (self.dialogue.deadline(), *(s.deadline() for s in self.settings)) if each is not None]
        return min([*at, *(each[0] for each in self.arrivals[:1])], default=float("inf"))

    def check_bounds(self) -> None:
        dialogue: Any = self.dialogue
        assert len(dialogue._recent) <= RECENT_LIMIT
        assert len(dialogue._urgent) <= QUEUE_LIMIT and len(dialogue._routine) <= QUEUE_LIMIT
        assert len(dialogue._open) <= 2 * QUEUE_LIMIT
        assert len(dialogue._batches._plans) <= PLAN_LIMIT
        assert len(dialogue._batches._refused) <= REFUSED_LIMIT
        assert len(dialogue._batches._sizes) <= SIZES_LIMIT


chances = st.integers(0, 2**32).map(Random)
airs = st.builds(
    Air,
    chances,
    loss=st.sampled_from([0.0, 0.1, 0.33, 0.6, 1.0]),
    doubled=st.sampled_from([0.0, 0.3]),
    split=st.sampled_from([0.0, 0.5]),
    slow_s=st.sampled_from([0.05, 0.5, 4.0, 19.0]),
)
nodes = st.builds(
    Node,
    st.sets(st.sampled_from(EPCS)).map(lambda epcs: {epc: bytes([epc, 7]) for epc in (*epcs, 0xB2, 0xB3, 0xB4)}),
    limit=st.sampled_from([1, 2, 6, 255]),
    beyond=st.sampled_from(["prefix", "empty", "silence"]),
    alone=st.sets(st.sampled_from(EPCS), max_size=2).map(frozenset),
    refuses=st.sets(st.sampled_from(EPCS), max_size=4).map(frozenset),
)
reads = st.tuples(st.just("read"), st.lists(st.sampled_from(EPCS), min_size=1, max_size=20), st.booleans())
doings = st.lists(
    st.tuples(
        st.floats(0.0, 30.0),
        st.one_of(
            reads,
            st.tuples(st.just("write"), st.lists(st.sampled_from(EPCS), min_size=1, max_size=3, unique=True)),
            st.tuples(st.just("section")),
            st.tuples(st.just("cancel"), st.integers(0, 20)),
        ),
    ),
    max_size=12,
)


def is_write(data: bytes) -> bool:
    """Whether it sets something, other than to select."""
    return data[10] == ESV.SETC and properties(data)[0][0] != 0xB2


@given(nodes, airs, doings)
def test_every_ticket_ends_and_the_line_keeps_its_rules(node: Node, air: Air, doings: list[Any]) -> None:
    """Reads end as values, refused or silent within their bound, writes are sent once, one request is in flight."""
    world = World(node, air)
    tickets: list[Ticket] = []
    bound_s, wrote = 10.0, 0
    for pause_s, doing in doings:
        world.run(world.now + pause_s)
        match doing:
            case ("read", epcs, urgent):
                tickets.append(world.dialogue.read(AIRCON if len(epcs) % 2 else LAMP, epcs, urgent=urgent))
                bound_s += (LIMIT_S + GAP_S) * (len(epcs) + 2)
            case ("write", epcs):
                wrote += 1
                tickets.append(world.dialogue.write(AIRCON, tuple(Property(epc, bytes([wrote])) for epc in epcs)))
                bound_s += LIMIT_S + GAP_S
            case ("section",):
                tickets.append(world.dialogue.section(AIRCON, SECTION))
                bound_s += SECTION_LIMIT_S + GAP_S
            case ("cancel", number) if tickets:
                world.dialogue.cancel(tickets[number % len(tickets)])
    world.run(world.now + bound_s)

    assert world.dialogue.idle
    assert max(Counter(id(each) for each in world.done).values(), default=1) == 1
    for ticket in tickets:
        assert ticket.done
        assert ticket.dropped or ticket in world.done
        assert ticket.answers.keys() == set(ticket.epcs)
        assert ticket.silent == (ticket in world.quiet) or ticket.dropped
        given = [each for each in ticket.answers.values() if isinstance(each, bytes)]
        if ticket.kind == "section":
            assert len(given) in (0, len(ticket.epcs))
    writes = Counter(bytes(data[12:]) for data in world.sent if is_write(data))
    assert max(writes.values(), default=1) == 1
    assert air.loss < 1.0 or all(ticket.silent or ticket.dropped for ticket in tickets)


@given(nodes, airs.filter(lambda air: air.loss == 0.0 and air.slow_s < 1.0))
def test_a_network_that_loses_nothing(node: Node, air: Air) -> None:
    """All that a node gives alone is read, whatever its habits; nothing else is missing for another reason."""
    world = World(node, air)
    for _ in range(8):
        ticket = world.dialogue.read(AIRCON, EPCS)
        world.run(world.now + 200.0)
        assert ticket.answers == {epc: node.values.get(epc, Missing.REFUSED) for epc in EPCS}


QUESTIONS = ((*EPCS[:4],), (*EPCS[2:6],), (EPCS[0],), (*EPCS[:12],))


@given(nodes, airs, chances)
def test_an_answer_that_is_recognised_is_worth_as_much(node: Node, air: Air, random: Random) -> None:
    """Polls go the same way, tell and teach the same, whether answers that say nothing new are read or recognised."""
    node.values = dict.fromkeys(EPCS, b"\x01")
    worlds = [World(deepcopy(node), deepcopy(air), forgetful=forgetful) for forgetful in (True, False)]
    tickets: list[list[Ticket]] = [[], []]
    for number in range(30):
        pause_s, question = random.uniform(0.3, 30.0), random.choice(QUESTIONS)
        changed, edt = random.choice(EPCS[:8]), random.choice([b"", bytes([number])])
        changes = random.random() < 0.1
        for world, asked in zip(worlds, tickets, strict=True):
            asked.append(world.dialogue.read(AIRCON, question))
            world.run(world.now + pause_s)
            if changes:
                world.node.values[changed] = edt
    for world in worlds:
        world.run(world.now + 300.0)
    for one, other in zip(*tickets, strict=True):
        assert one.answers == other.answers and one.silent == other.silent
        assert not one.recognised
    assert worlds[0].sent == worlds[1].sent
    assert worlds[0].dialogue.counters == worlds[1].dialogue.counters
    assert worlds[0].dialogue.manners.plain() == worlds[1].dialogue.manners.plain()


@given(
    chances,
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.sampled_from([0.05, 4.0, 19.0]),
    st.sets(st.sampled_from(EPCS), max_size=2),
    st.integers(1, 4),
)
def test_a_command_comes_to_an_end_and_is_written_once(
    random: Random, loss: float, slow_s: float, refuses: set[int], number: int
) -> None:
    """Whatever is lost: there is an outcome, applied only if it is so, and no write went out twice."""
    node = Node(dict.fromkeys(EPCS, b"\x00"), refuses=frozenset(refuses))
    world = World(node, Air(random, loss=loss, slow_s=slow_s, doubled=0.2))
    epcs = list(EPCS)[:number]
    writes = tuple(Write((Property(epc, b"\1"),), {epc: frozenset({b"\1"})}) for epc in epcs)
    setting = Setting(world.dialogue, AIRCON, writes)
    world.settings.append(setting)
    world.run(world.now + number * 100.0)
    outcome = setting.outcome
    assert outcome is not None
    assert setting.deadline() is None
    assert world.dialogue.idle
    if outcome.outcome == "applied":
        assert all(node.values[epc] == b"\1" for epc in epcs)
    if loss == 0.0 and slow_s < 1.0:
        assert outcome.outcome == ("rejected" if refuses & set(epcs) else "applied")
    assert (outcome.outcome == "applied") == (not outcome.error)
    counted = Counter(bytes(data[12:]) for data in world.sent if is_write(data))
    assert max(counted.values()) == 1


TEMPO = {0x84: Tempo.LIVE, 0x80: Tempo.STATE, 0xB0: Tempo.STATE, 0xB1: Tempo.STATE, 0x89: Tempo.SLOW}


@given(chances, st.integers(0, 2), st.sampled_from([0.05, 0.5]))
def test_every_third_datagram_lost(random: Random, phase: int, slow_s: float) -> None:
    """And some doubled, and all out of order: no value becomes older than three polls once its pace is learnt."""
    node = Node({epc: bytes([epc]) for epc in TEMPO})
    world = World(node, Air(random, lose_every=3, passed=phase, doubled=0.2, slow_s=slow_s))
    polls = Polls(TEMPO, now=world.now, chance=random.random)
    told: dict[int, float] = {}
    oldest = Counter[int]()
    ticket: Ticket | None = None
    end = world.now + 2100.0
    while world.now < end:
        if ticket is not None and ticket.done:
            if len(told) == len(TEMPO) and world.now > end - 1800.0:
                oldest |= Counter({epc: world.now - told[epc] for epc in ticket.answers})  # type: ignore[dict-item]
            brought = {epc: edt for epc, edt in ticket.answers.items() if isinstance(edt, bytes)}
            told |= dict.fromkeys(brought, world.now)
            polls.concluded(ticket, brought, world.now)
            ticket = None
        if (
            ticket is None
            and (turn := polls.due(world.now, world.dialogue.manners.properties_per_request)) is not None
        ):
            assert not isinstance(turn, Section)
            ticket = world.dialogue.read(AIRCON, turn)
        world.step()
        world.run(max(world.now + 0.001, min(end, world.next_at(), polls.deadline())))
    assert all(oldest[epc] < 3 * tempo.value for epc, tempo in TEMPO.items())
    assert all(world.now - at < 3 * TEMPO[epc].value for epc, at in told.items())
    assert not world.quiet


def test_the_line_refuses_what_is_too_much() -> None:
    """A flood of requests to a silent node is refused at the door, and what was taken ends."""
    world = World(Node({}), Air(Random(1), loss=1.0))
    taken, refused = [], 0
    for _ in range(200):
        try:
            taken.append(world.dialogue.read(AIRCON, (0x80,)))
        except QueueFull:
            refused += 1
        world.run(world.now + 0.1)
    world.run(world.now + (QUEUE_LIMIT + 2) * (LIMIT_S + GAP_S))
    assert refused > 100
    assert all(ticket.silent for ticket in taken)
    assert world.dialogue.idle
