"""What goes to a broker when, and what is believed to be there: tables, and every order of losses."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gateway import event, half_hour

from hemsd.gateway.outbox import (
    ANSWER_WITHIN_S,
    IN_FLIGHT,
    PER_SECOND,
    REFUSED_FOR_S,
    SETTLES_AFTER_S,
    SETTLING,
    Outbox,
)
from hemsd.hub.messages import Domain, Event, MeterInterval, Record, Records


def answer(*records: Record, head: int) -> Records:
    return Records(request="r", to=Domain.GATEWAY, records=records, head=head)


def kept(*seqs: int, content: MeterInterval | Event | None = None) -> list[Record]:
    return [Record(seq=seq, content=content or half_hour(seq)) for seq in seqs]


def filled(*seqs: int, old: int = 0) -> Outbox:
    """After 0, with these records read; those up to `old` were there when the connection began."""
    outbox = Outbox(0, old)
    outbox.begin()
    outbox.know(seqs[-1])
    outbox.add(answer(*kept(*seqs), head=seqs[-1]), 0, seqs[-1])
    return outbox


def taken(outbox: Outbox, now: float) -> list[int]:
    found = []
    while it := outbox.take(now):
        found.append(it[0].seq)
    return found


def test_what_is_new_goes_at_once_as_far_as_it_may_fly() -> None:
    """In order of seq, not more than may be without an acknowledgement; each acknowledgement makes room."""
    outbox = filled(*range(1, 31))
    assert taken(outbox, 1.0) == list(range(1, IN_FLIGHT + 1))
    assert outbox.deadline() == 1.0 + ANSWER_WITHIN_S
    outbox.acknowledge(1, 2.0)
    assert taken(outbox, 2.0) == [IN_FLIGHT + 1]
    assert (outbox.acknowledged, outbox.settled) == (1, 0)


def test_a_pace_of_its_own_for_half_hours_only() -> None:
    """For a broker that takes nothing else events are no part of a replay, and take no time; nor does what is new."""
    outbox = Outbox(0, 6, replay_per_s=0.1, half_hours_only=True)
    outbox.begin()
    outbox.know(7)
    told = event("something")
    records = [*kept(1), *kept(2, 3, content=told), *kept(4, 5), *kept(6, content=told), *kept(7)]
    outbox.add(answer(*records, head=7), 0, 7)
    assert taken(outbox, 100.0) == [1, 2, 3]
    assert (taken(outbox, 109.0), outbox.deadline()) == ([], 110.0)
    assert taken(outbox, 110.0) == [4]
    assert taken(outbox, 120.0) == [5, 6, 7]


def test_a_broker_that_takes_fewer_at_once_is_given_fewer() -> None:
    """MQTT 5 brokers say how many they take (Receive Maximum)."""
    outbox = filled(*range(1, 31))
    outbox.begin(9)
    outbox.add(answer(*kept(*range(1, 31)), head=30), 0, 30)
    assert len(taken(outbox, 1.0)) + len(taken(outbox, 1.5)) <= 9


@pytest.mark.parametrize(
    ("old", "content", "replay"),
    [
        (1, half_hour(1), True),  # it was there before the connection
        (0, half_hour(1), False),
        (0, half_hour(1, source="read"), False),
        (0, half_hour(1, source="backfill"), True),  # out of the meter's memory
        (1, event("x"), True),
        (0, event("x"), False),
    ],
)
def test_what_is_a_replay(old: int, content: MeterInterval | Event, replay: bool) -> None:
    """What is late or may have been sent before is marked."""
    outbox = Outbox(0, old)
    outbox.begin()
    outbox.know(1)
    outbox.add(answer(*kept(1, content=content), head=1), 0, 1)
    assert outbox.take(0.0) == (Record(seq=1, content=content), replay)


def test_a_replay_goes_at_its_pace_and_what_is_new_waits_for_none() -> None:
    """One every 20 ms; the first new one behind them goes together with the last."""
    outbox = filled(1, 2, 3, 4, 5, old=3)
    assert taken(outbox, 10.0) == [1]
    assert outbox.deadline() == 10.0 + 1 / PER_SECOND
    assert taken(outbox, 10.0 + 1 / PER_SECOND) == [2]
    assert taken(outbox, 10.03) == []
    assert taken(outbox, 11.0) == [3, 4, 5]


def test_acknowledgements_in_any_order() -> None:
    """The cursor is where everything before it is acknowledged."""
    outbox = filled(1, 2, 3, 4)
    taken(outbox, 0.0)
    for seq, cursor in ((3, 0), (1, 1), (4, 1), (2, 4)):
        outbox.acknowledge(seq, 1.0)
        assert outbox.acknowledged == cursor


def test_an_acknowledgement_settles_after_a_while() -> None:
    """A broker's disk has it then; until then a new connection begins before it."""
    outbox = filled(1, 2)
    taken(outbox, 0.0)
    outbox.acknowledge(1, 100.0)
    outbox.acknowledge(2, 200.0)
    outbox.settle(99.0 + SETTLES_AFTER_S)
    assert outbox.settled == 0
    outbox.settle(100.0 + SETTLES_AFTER_S)
    assert outbox.settled == 1
    outbox.begin()
    assert outbox.wanted() == 1


def test_only_so_many_wait_to_settle() -> None:
    """A long replay is not begun anew because the connection was lost at its end."""
    outbox = filled(*range(1, 301))
    for _ in range(300):
        for seq in taken(outbox, 0.0):
            outbox.acknowledge(seq, 0.0)
    assert (outbox.acknowledged, outbox.settled) == (300, 300 - SETTLING)


def test_what_was_acknowledged_twice_is_settled() -> None:
    """However often the connection is lost, it gets on."""
    outbox = filled(1, 2, 3)
    taken(outbox, 0.0)
    outbox.acknowledge(1, 0.0)
    outbox.begin()
    assert outbox.settled == 0
    outbox.add(answer(*kept(1, 2, 3), head=3), 0, 3)
    assert [taken(outbox, at)[0] for at in (1.0, 2.0)] == [1, 2]
    outbox.acknowledge(1, 3.0)
    assert outbox.settled == 1
    outbox.acknowledge(2, 3.0)
    assert (outbox.settled, outbox.acknowledged) == (1, 2)


def test_one_that_is_refused_goes_again_after_a_while() -> None:
    """So do those behind it; what comes too late of the first time changes nothing."""
    outbox = filled(1, 2, 3)
    taken(outbox, 0.0)
    outbox.acknowledge(1, 1.0)
    outbox.refuse(1.0)
    outbox.acknowledge(3, 1.0)
    assert (outbox.acknowledged, outbox.wanted()) == (1, 1)
    outbox.add(answer(*kept(2, 3), head=3), 1, 3)
    assert taken(outbox, 2.0) == []
    assert outbox.deadline() == 1.0 + REFUSED_FOR_S
    assert taken(outbox, 1.0 + REFUSED_FOR_S) == [2, 3]


def test_a_late_acknowledgement_is_noticed() -> None:
    """Of the oldest that flies."""
    outbox = filled(1, 2)
    taken(outbox, 5.0)
    assert not outbox.overdue(4.9 + ANSWER_WITHIN_S)
    outbox.acknowledge(2, 6.0)
    assert outbox.overdue(5.0 + ANSWER_WITHIN_S)


def test_seqs_that_nothing_has_are_not_waited_for() -> None:
    """History has come to 1000, and its newest record is 3: that is all of it until it comes further."""
    outbox = Outbox(0, 1000)
    assert outbox.wanted() == 0
    outbox.add(answer(*kept(1, 3), head=3), 0, 1000)
    assert outbox.wanted() is None
    outbox.know(1001)
    assert outbox.wanted() == 1000
    outbox.add(answer(head=3), 1000, 1001)
    assert outbox.wanted() is None


def test_a_part_of_an_answer_is_followed_by_the_rest() -> None:
    """Fewer than there are were told: it is asked after the last of them."""
    outbox = Outbox(0, 1000)
    outbox.add(answer(*kept(1, 3), head=900), 0, 1000)
    assert outbox.wanted() == 3


@dataclass
class World:
    """A history that grows and changes, a broker, and between them an outbox that may lose all but a cursor."""

    records: dict[int, Record] = field(default_factory=dict)  # by seq
    seq: int = 0
    now: float = 0.0
    saved: int = 0
    answers: list[tuple[Records, int, int]] = field(default_factory=list)  # of history, on their way
    arrived: list[int] = field(default_factory=list)  # on this connection, and not acknowledged
    acknowledged: set[int] = field(default_factory=set)  # ever
    had: dict[int, list[int]] = field(default_factory=dict)  # half-hour -> seqs in which the broker was given it
    sent: list[int] = field(default_factory=list)  # on this connection
    replayed_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outbox = Outbox(0, 0)

    def keep(self, number: int) -> None:
        """A half-hour is new, or changes: then it has its old seq no more."""
        self.records = {seq: each for seq, each in self.records.items() if each.content != half_hour(number)}
        self.seq += 1
        self.records[self.seq] = Record(seq=self.seq, content=half_hour(number))
        self.outbox.know(self.seq)

    def ask(self, most: int) -> None:
        after, head = self.outbox.wanted(), self.seq
        if after is not None:
            found = [self.records[seq] for seq in sorted(self.records) if seq > after]
            self.answers.append((answer(*found[:most], head=max(self.records, default=0)), after, head))

    def hear(self) -> None:
        if self.answers:
            self.outbox.add(*self.answers.pop(0))

    def send(self) -> None:
        while it := self.outbox.take(self.now):
            record, replay = it
            assert isinstance(record.content, MeterInterval)
            assert not self.sent or record.seq > self.sent[-1], "out of order"
            self.sent.append(record.seq)
            self.arrived.append(record.seq)
            self.had.setdefault(int(record.content.energy_import_kwh or 0), []).append(record.seq)
            if replay:
                self.replayed_at.append(self.now)
        assert len(self.arrived) <= IN_FLIGHT

    def acknowledge(self, which: int) -> None:
        if self.arrived:
            seq = self.arrived.pop(which % len(self.arrived))
            self.acknowledged.add(seq)
            self.outbox.acknowledge(seq, self.now)

    def refuse(self) -> None:
        if self.arrived:
            self.outbox.refuse(self.now)
            self.arrived.clear()
            self.sent.clear()

    def lose(self, died: bool) -> None:
        """The connection; and with it the process, which knows nothing but the cursor it saved."""
        if died:
            self.outbox = Outbox(self.saved, self.seq)
            self.replayed_at.clear()  # nor the pace
            self.answers.clear()
        self.arrived.clear()
        self.sent.clear()
        self.outbox.begin()

    def check(self) -> None:
        outbox = self.outbox
        assert outbox.settled <= outbox.acknowledged
        missing = {seq for seq in self.records if seq <= outbox.acknowledged} - self.acknowledged
        assert not missing, "the cursor is beyond what was acknowledged"

    def finish(self) -> None:
        """A good connection from now on."""
        self.lose(False)
        for _ in range(10_000):
            self.ask(100)
            self.hear()
            self.send()
            if not self.arrived and self.outbox.wanted() is None and self.outbox.deadline() is None:
                return
            while self.arrived:
                self.acknowledge(0)
            self.now += 0.01
        raise AssertionError("it does not come to an end")


steps = st.one_of(
    st.tuples(st.just("keep"), st.integers(0, 60)),
    st.tuples(st.just("ask"), st.integers(1, 100)),
    st.tuples(st.just("hear"), st.just(0)),
    st.tuples(st.just("send"), st.just(0)),
    st.tuples(st.just("acknowledge"), st.integers(0, IN_FLIGHT)),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.02, 1.0, 100.0, SETTLES_AFTER_S])),
    st.tuples(st.just("lose"), st.integers(0, 1)),
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("refuse"), st.just(0)),
)


@given(st.integers(0, 150), st.lists(steps, max_size=120))
def test_whatever_is_lost_everything_arrives_in_order(begun: int, drawn: list[tuple[str, int]]) -> None:
    """Any order of acknowledgements, refusals, losses and restarts: at least once, in order, no cursor too far."""
    world = World()
    for number in range(begun):
        world.keep(number)
    for what, number in drawn:
        match what:
            case "keep":
                world.keep(number)
            case "ask":
                world.ask(number)
            case "hear":
                world.hear()
            case "send":
                world.send()
            case "acknowledge":
                world.acknowledge(number)
            case "wait":
                world.now += number
                world.outbox.settle(world.now)
            case "lose":
                world.lose(bool(number))
            case "save":
                world.saved = world.outbox.settled
            case _:
                world.refuse()
        world.check()
    world.finish()
    world.check()
    for seq, record in world.records.items():
        assert isinstance(record.content, MeterInterval)
        assert seq in world.acknowledged, "a record did not arrive"
        assert world.had[int(record.content.energy_import_kwh or 0)][-1] == seq, "what it was before came last"
    gaps = [after - before for before, after in zip(world.replayed_at, world.replayed_at[1:], strict=False)]
    assert all(gap > 0.99 / PER_SECOND for gap in gaps), "the replay was too fast"


@pytest.mark.parametrize("survives", [1, 7, 30])
def test_it_gets_on_through_connections_that_never_last(survives: int) -> None:
    """Each is lost after so many acknowledgements, and of 500 records none is sent more than a few times."""
    world = World()
    for number in range(500):
        world.keep(number)
    connections = 0
    while world.outbox.acknowledged < 500:
        connections += 1
        assert connections <= 2 * (500 / survives + 1), "it does not get on"
        world.lose(False)
        left = survives
        while left and world.outbox.acknowledged < 500:
            world.ask(100)
            world.hear()
            world.send()
            if world.arrived:
                world.acknowledge(0)
                left -= 1
            world.now += 0.02
