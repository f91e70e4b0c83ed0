"""What is read when of one appliance, in virtual time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from random import Random

import pytest
from support.dialogues import AIRCON

from hemsd.appliances.manners import PROPERTIES_MAX
from hemsd.appliances.polling import PROOFS, SECTION_S, SELDOM_S, START_S, TARDY_S, Polls
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section, Tempo
from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import Property

POWER, ON, MODE, FAULT, UNIT = 0x84, 0x80, 0xB0, 0x89, 0xE1
TEMPO = {POWER: Tempo.LIVE, ON: Tempo.STATE, MODE: Tempo.STATE, FAULT: Tempo.SLOW, UNIT: Tempo.ONCE}
START = 1000.0
PAGES = tuple(Section((Property(0xB2, bytes([1 + 20 * page, 20])),), (0xB3,), page) for page in range(2))


def never() -> float:
    return 0.0


class House:
    """An appliance that answers at once, its polls, and when each property was asked."""

    def __init__(
        self,
        tempo: dict[int, Tempo] = TEMPO,
        sections: Iterable[Section] = (),
        announced: Iterable[int] = (),
        most: int = PROPERTIES_MAX,
    ) -> None:
        self.polls = Polls(tempo, tuple(sections), announced=tuple(announced), now=START, chance=never)
        self.now = START
        self.most = most
        self.values = dict.fromkeys(tempo, b"\x01")
        self.missing: dict[int, Missing] = {}
        self.there = True
        self.asked: dict[int, list[float]] = {}
        self.turns: list[tuple[float, tuple[int, ...] | Section]] = []
        self.took_s = 0.0

    def turn(self) -> tuple[int, ...] | Section | None:
        """One turn, if there is one now."""
        turn = self.polls.due(self.now, self.most)
        if turn is None:
            return None
        assert turn
        self.turns.append((self.now, turn))
        epcs = turn.read if isinstance(turn, Section) else turn
        for epc in epcs:
            self.asked.setdefault(epc, []).append(self.now)
        self.idles()
        ticket = Ticket("section" if isinstance(turn, Section) else "read", AIRCON, epcs)
        silent = not self.there or all(self.missing.get(epc) is Missing.TIMEOUT for epc in epcs)
        self.now += 20.0 if silent else self.took_s
        for epc in epcs:
            ticket.answers[epc] = Missing.TIMEOUT if silent else self.missing.get(epc) or self.values.get(epc, b"\1")
        ticket.done, ticket.silent = True, silent
        given = {epc: edt for epc, edt in ticket.answers.items() if isinstance(edt, bytes)}
        self.polls.concluded(ticket, given, self.now)
        return turn

    def idles(self) -> None:
        """During a turn nothing is due, but for sections, which have a turn of their own."""
        if not self.polls.sections:
            assert self.polls.due(self.now, self.most) is None, "one turn at a time"
            assert self.polls.deadline() == math.inf

    def live(self, seconds: float) -> None:
        """Let time pass."""
        end, turns = self.now + seconds, 0
        while (at := self.polls.deadline()) <= end:
            self.now = max(self.now, at)
            self.turn()
            turns += 1
            assert turns < 10 * seconds + 10, "it never comes to rest"
        self.now = max(self.now, end)

    def notify(self, epc: int, edt: bytes) -> None:
        self.values[epc] = edt
        self.polls.told({epc: edt}, self.now, "notified")

    def gaps(self, epc: int) -> list[float]:
        """Between its polls."""
        times = self.asked[epc]
        return [later - earlier for earlier, later in pairwise(times)]


def test_each_property_at_its_tempo() -> None:
    """All at first; then power every 10 s, states every minute, the rest every ten, units never again."""
    house = House()
    house.live(3600.0)
    assert house.turns[0] == (START, (POWER, ON, MODE, FAULT, UNIT))
    assert len(house.asked[POWER]) == pytest.approx(360, abs=2)
    assert 60 <= len(house.asked[ON]) <= 75
    assert 6 <= len(house.asked[FAULT]) <= 8
    assert len(house.asked[UNIT]) == 1


def test_one_tempo_one_turn() -> None:
    """Properties of a tempo are read together, and a slower one along with a faster: no turns of their own."""
    house = House(TEMPO | dict.fromkeys(range(192, 200), Tempo.STATE))
    house.took_s = 0.3
    house.live(3600.0)
    assert len(house.turns) <= 360
    assert all(POWER in turn for _, turn in house.turns if isinstance(turn, tuple))


def test_after_a_notification_properties_come_together_again() -> None:
    """One that was told in between has an age of its own; it is not asked before its time, nor alone for long."""
    house = House({ON: Tempo.STATE, MODE: Tempo.STATE, FAULT: Tempo.STATE})
    house.live(30.0)
    house.notify(ON, b"\x02")
    house.live(3600.0)
    assert all(gap >= 48.0 for gap in house.gaps(MODE))
    assert len(house.turns) < 2.2 * 60


def test_a_notification_refreshes() -> None:
    """A property just told is not read for the length of its tempo."""
    house = House({POWER: Tempo.LIVE})
    house.live(5.0)
    house.notify(POWER, b"\x02")
    house.live(9.9)
    assert len(house.asked[POWER]) == 1
    house.live(0.2)
    assert len(house.asked[POWER]) == 2


def test_mistake_15_an_announcement_is_believed_when_it_came() -> None:
    """Announced alone changes nothing; a change told before a poll found it stretches the polls; they never end."""
    house = House({ON: Tempo.STATE, MODE: Tempo.STATE}, announced=(ON, MODE))
    house.live(600.0)
    assert len(house.asked[ON]) >= 10
    assert house.polls.announces(ON) is None
    house.notify(ON, b"\x02")
    assert house.polls.announces(ON) is True
    house.asked.clear()
    house.live(3 * SELDOM_S)
    assert len(house.asked[ON]) == 3
    assert len(house.asked[MODE]) >= 29


def test_an_announcement_of_nothing_new_is_no_proof() -> None:
    """Periodic notifications of the same value do not show that changes are told."""
    house = House({ON: Tempo.STATE}, announced=(ON,))
    house.live(1.0)
    for _ in range(20):
        house.notify(ON, b"\x01")
        house.live(5.0)
    assert house.polls.announces(ON) is None


def test_what_is_not_in_the_map_is_polled_all_the_same() -> None:
    """A device that tells without having promised is read at the usual tempo."""
    house = House({ON: Tempo.STATE})
    house.live(1.0)
    house.notify(ON, b"\x02")
    house.live(600.0)
    assert len(house.asked[ON]) >= 10
    assert house.polls.announces(ON) is None


def test_one_that_changed_silently_does_not_announce() -> None:
    """A poll that finds a change ends the trust at once; it takes several changes told in time to come back."""
    house = House({ON: Tempo.STATE}, announced=(ON,))
    house.live(1.0)
    house.notify(ON, b"\x02")
    house.values[ON] = b"\x03"
    house.live(SELDOM_S + 1)
    assert house.polls.announces(ON) is False
    house.live(TARDY_S)
    house.asked.clear()
    house.live(300.0)
    assert len(house.asked[ON]) >= 5
    for value in range(4, 4 + PROOFS):
        assert house.polls.announces(ON) is False
        house.notify(ON, bytes([value]))
    assert house.polls.announces(ON) is True


def test_where_announcements_get_lost_they_are_believed_ever_less() -> None:
    """Each time that a change was not told it takes twice as many that were."""
    house = House({ON: Tempo.STATE}, announced=(ON,))
    house.live(1.0)
    values = (bytes([value]) for value in range(2, 256))
    for needed in (1, PROOFS, 2 * PROOFS, 4 * PROOFS):
        for _ in range(needed):
            assert house.polls.announces(ON) is not True
            house.notify(ON, next(values))
        assert house.polls.announces(ON) is True
        house.values[ON] = next(values)
        house.live(SELDOM_S + 1 + TARDY_S)
        assert house.polls.announces(ON) is False


def test_nothing_is_read_more_often_than_its_node_can_keep() -> None:
    """Power as seldom as that, states too if they are faster; what is slower at its own tempo; sections likewise."""
    house = House({POWER: Tempo.LIVE, ON: Tempo.STATE, FAULT: Tempo.SLOW}, sections=PAGES[:1])
    house.polls.keep(100.0, START, relied=True)
    house.live(6000.0)
    assert len(house.asked[POWER]) == pytest.approx(60, abs=2)
    assert len(house.asked[ON]) == pytest.approx(60, abs=2)
    assert len(house.asked[FAULT]) == pytest.approx(10, abs=3)
    assert len(house.asked[0xB3]) == pytest.approx(60, abs=2)


def test_nor_is_what_is_read_seldom_anyway() -> None:
    """What is told when it changes, and lists."""
    house = House({ON: Tempo.STATE}, sections=PAGES[:1], announced=(ON,))
    house.polls.keep(2 * SELDOM_S, START, relied=True)
    house.live(1.0)
    house.notify(ON, b"\x02")
    house.live(20 * SELDOM_S)
    assert len(house.asked[ON]) == pytest.approx(10, abs=2)
    assert len(house.asked[0xB3]) == pytest.approx(10, abs=2)


def test_where_notifications_get_lost_they_are_not_relied_on() -> None:
    """A state that is told when it changes is read every minute from then on, and not first in ten."""
    house = House({ON: Tempo.STATE}, announced=(ON,))
    house.live(1.0)
    house.notify(ON, b"\x02")
    assert house.polls.announces(ON) is True
    assert house.polls.deadline() == house.now + SELDOM_S
    house.polls.keep(Tempo.LIVE.value, house.now, relied=False)
    assert house.polls.deadline() == house.now + Tempo.STATE.value
    house.live(600.0)
    assert max(house.gaps(ON)) < 70.0


@pytest.mark.parametrize(
    ("most", "interval_s", "reads_s"),
    [
        (16, 10.0, 1 / 10),  # what is slower goes along
        (8, 10.0, 1 / 10),
        (2, 10.0, (3 / 10 + 7 / 60 + 3 / 600) / 2),
        (1, 10.0, 3 / 10 + 7 / 60 + 3 / 600),
        (16, 60.0, 1 / 60),
        (4, 60.0, 3 / 60),
    ],
)
def test_how_many_requests_it_takes(most: int, interval_s: float, reads_s: float) -> None:
    """A second, for three properties of LIVE, seven of STATE and three of SLOW."""
    tempo = dict.fromkeys(range(3), Tempo.LIVE) | dict.fromkeys(range(3, 10), Tempo.STATE)
    polls = House(tempo | dict.fromkeys(range(10, 13), Tempo.SLOW) | {13: Tempo.ONCE}).polls
    assert polls.reads(interval_s, 0.0, most) == pytest.approx(reads_s)


def test_mistake_16_a_poll_may_overtake_a_notification() -> None:
    """The poll found the change first, the notification of the same came a moment later: that is a promise kept."""
    house = House({ON: Tempo.STATE}, announced=(ON,))
    house.live(1.0)
    house.notify(ON, b"\x02")
    house.values[ON] = b"\x03"
    house.live(SELDOM_S)
    assert house.polls.announces(ON) is False
    house.notify(ON, b"\x03")
    assert house.polls.announces(ON) is True


def test_start_up_is_spread() -> None:
    """Five hundred appliances begin at five hundred moments within ten seconds, fifty a second."""
    random = Random(4)
    firsts = [Polls(TEMPO, now=START, chance=random.random).deadline() for _ in range(500)]
    assert all(START <= first < START + START_S for first in firsts)
    assert max(Counter(int(first) for first in firsts).values()) < 80


def test_what_was_told_before_is_not_read_again() -> None:
    """Constants that introspection read are known."""
    house = House()
    house.polls.told({UNIT: b"\x01"}, START, "read")
    house.live(60.0)
    assert UNIT not in house.asked


def test_five_hundred_need_few_wake_ups() -> None:
    """An appliance with thirty properties wakes us less than eleven times in 100 s, the first time included."""
    house = House({POWER: Tempo.LIVE} | dict.fromkeys(range(176, 206), Tempo.STATE), most=64)
    house.took_s = 0.05
    house.live(100.0)
    assert len(house.turns) <= 11


def test_the_most_overdue_first_and_one_batch_a_turn() -> None:
    """A turn is no larger than the node takes at once; who waited longest comes first, so that none is forgotten."""
    house = House(dict.fromkeys(range(128, 160), Tempo.LIVE), most=4)
    house.took_s = 2.0
    house.live(400.0)
    assert all(isinstance(turn, tuple) and len(turn) <= 4 for _, turn in house.turns)
    counts = [len(times) for times in house.asked.values()]
    assert len(counts) == 32
    assert max(counts) - min(counts) <= 1


def test_what_is_refused_is_asked_ever_more_seldom() -> None:
    """Down to once in ten minutes; the others keep their pace."""
    house = House({POWER: Tempo.LIVE, ON: Tempo.LIVE})
    house.missing[ON] = Missing.REFUSED
    house.live(7200.0)
    gaps = house.gaps(ON)
    assert gaps == sorted(gaps)
    assert 0.9 * SELDOM_S <= gaps[-1] <= 1.1 * SELDOM_S
    assert len(house.asked[POWER]) >= 700
    del house.missing[ON]
    house.live(1200.0)
    assert house.gaps(ON)[-1] < 12.0


@pytest.mark.parametrize("most", [1, 16])
def test_one_property_that_is_never_answered(most: int) -> None:
    """A silence about one property hardly delays the others: they are asked next, and it backs off."""
    house = House({POWER: Tempo.LIVE, ON: Tempo.STATE, MODE: Tempo.STATE}, most=most)
    house.missing[MODE] = Missing.TIMEOUT
    house.live(7200.0)
    assert house.gaps(MODE)[-1] >= 0.9 * SELDOM_S
    assert max(house.gaps(POWER)) < 40.0
    assert len(house.asked[POWER]) > 650


@pytest.mark.parametrize("most", [1, 16])
def test_one_that_does_not_answer_is_left_alone_more_and_more(most: int) -> None:
    """Pauses grow to ten minutes and no further; when it is back, all is read at once."""
    house = House(most=most)
    house.live(100.0)
    house.there = False
    gone = len(house.turns)
    house.live(6 * 3600.0)
    at = [moment for moment, _ in house.turns[gone:]]
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert max(pauses) <= SELDOM_S + 21.0
    assert pauses[-1] >= SELDOM_S
    assert len(pauses) < 60
    turns = len(house.turns)
    while len(house.turns) == turns:
        house.live(10.0)
    house.there = True
    house.notify(ON, b"\x05")
    back = house.now
    house.live(5.0)
    assert {epc for moment, turn in house.turns if moment >= back for epc in turn} >= {POWER, MODE}  # type: ignore[union-attr]


def test_one_silence_is_no_absence() -> None:
    """The first time it is asked again at once."""
    house = House({POWER: Tempo.LIVE})
    house.live(5.0)
    house.there = False
    house.live(6.0)
    house.there = True
    house.live(1.0)
    assert house.gaps(POWER) == [10.0, 20.0]


def test_an_abandoned_turn_is_due_again() -> None:
    """A ticket that was cancelled, or found no room in the line."""
    house = House()
    turn = house.polls.due(START)
    house.polls.abandoned()
    assert house.polls.due(START) == turn


def test_sections_take_turns() -> None:
    """Each page is a turn of its own, every minute; one that is refused every ten; gone ones are not asked."""
    house = House({POWER: Tempo.LIVE}, sections=PAGES)
    house.live(600.0)
    pages = [(moment, turn.page) for moment, turn in house.turns if isinstance(turn, Section)]
    assert [page for _, page in pages] == [0, 1] * (len(pages) // 2)
    assert len(pages) == pytest.approx(2 * 600 / SECTION_S, abs=2)
    house.polls.select(PAGES[:1], house.now)
    house.missing[0xB3] = Missing.REFUSED
    house.turns.clear()
    house.live(1800.0)
    assert [turn.page for _, turn in house.turns if isinstance(turn, Section)] == [0, 0, 0]


def test_properties_do_not_wait_for_a_section() -> None:
    """While one has its turn properties get theirs, one at a time, and no other section does."""
    house = House({POWER: Tempo.LIVE}, sections=PAGES)
    polls = house.polls
    turns = [polls.due(START), polls.due(START)]
    assert turns == [PAGES[0], (POWER,)]
    assert polls.due(START) is None
    assert polls.deadline() == math.inf
    read = Ticket("read", AIRCON, (POWER,), answers={POWER: b"\x01"}, done=True)
    polls.concluded(read, {POWER: b"\x01"}, START)
    assert polls.deadline() == START + Tempo.LIVE.value
    assert polls.due(START + Tempo.LIVE.value) == (POWER,)
    polls.concluded(Ticket("section", AIRCON, (0xB3,), answers={0xB3: b"\x01"}, done=True), {}, START)
    assert polls.due(START) is PAGES[1]


def test_a_section_that_was_lost_is_soon_due_again() -> None:
    """A timeout may be a lost datagram: after the first one at once, then in two minutes, and then ever longer."""
    house = House({POWER: Tempo.LIVE}, sections=PAGES[:1])
    house.live(1.0)
    house.missing[0xB3] = Missing.TIMEOUT
    house.turns.clear()
    house.live(1000.0)
    moments = [moment for moment, turn in house.turns if isinstance(turn, Section)]
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses == pytest.approx([20 + n * SECTION_S for n in (0, 2, 4, 8)], abs=2.0)  # 20 s of silence each


def test_new_sections_are_due() -> None:
    """Once it is known how many channels there are."""
    house = House({POWER: Tempo.LIVE})
    house.live(5.0)
    house.polls.select(PAGES, house.now)
    assert house.turn() is PAGES[0]
    house.polls.select(PAGES, house.now)
    assert house.turn() is PAGES[1]
    assert house.turn() is None


def test_nothing_to_read() -> None:
    """A device without anything to keep fresh is never asked."""
    assert House({}).polls.deadline() == math.inf
    assert House({}).turn() is None
