"""One node's line of requests, in virtual time."""

from __future__ import annotations

import pytest
from support.dialogues import AIRCON, Line, Node, answer, properties

from hemsd.appliances.dialogue import GAP_S, LATE_S, QUEUE_LIMIT, RECENT_LIMIT, SECTION_LIMIT_S, Finished, Quiet
from hemsd.appliances.manners import DOUBTS, LIMIT_S, PROPERTIES_MAX, SOFT_FIRST_S, Manners
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section
from hemsd.echonet.exchange import Missing, QueueFull
from hemsd.echonet.frame import ESV, Property
from hemsd.echonet.roundtrips import KEPT

ON, MODE, TARGET, ROOM = 0x80, 0xB0, 0xB3, 0xBB
LAMP = 0x029001  # another object on the same node
BOARD = 0x028701
ALL = {epc: bytes([epc]) for epc in range(0x80, 0xC0)}


@pytest.fixture
def line() -> Line:
    """A node whose manners are known: eight properties at once are fine."""
    manners = Manners()
    manners.answered(8)
    return Line(manners)


@pytest.fixture
def one_by_one() -> Line:
    """A node that answers one property at a time."""
    return Line(Manners.restored({"proven": 1, "ceiling": 1}))


def test_a_read_is_answered(line: Line) -> None:
    """One Get from 05FF01 of two properties, one answer: both values, and one end."""
    ticket = line.dialogue.read(AIRCON, (ON, ROOM))
    request = line.one()
    assert request.hex().upper() == "1081010005FF0101300162028000BB00"
    assert line.tell(request, ESV.GET_RES, {ON: b"\x30", ROOM: b"\x1a"})
    assert ticket.answers == {ON: b"\x30", ROOM: b"\x1a"}
    assert ticket.done and not ticket.silent
    assert line.happened == [Finished(ticket)]
    assert line.dialogue.idle


def test_one_at_a_time_for_all_objects_of_a_node_and_a_gap(line: Line) -> None:
    """The second request, though of another object, waits for the first answer and a gap, with a TID of its own."""
    line.dialogue.read(AIRCON, (ON,))
    line.dialogue.read(LAMP, (ON,))
    first = line.one()
    assert line.wait(1.0) == []
    line.tell(first, ESV.GET_RES, {ON: b"\x30"})
    assert line.wait(GAP_S - 0.01) == []
    (second,) = line.wait(0.02)
    assert (first[2:4], second[2:4]) == (b"\x01\x00", b"\x01\x01")
    assert second[7:10] == LAMP.to_bytes(3, "big")


def test_a_maker_s_gap_is_kept(line: Line) -> None:
    """What is known of a maker's devices counts where it is more cautious."""
    line.dialogue.heed(AIRCON, gap_s=0.5)
    line.dialogue.heed(LAMP, gap_s=0.1)
    line.dialogue.read(AIRCON, (ON,))
    line.dialogue.read(AIRCON, (ROOM,))
    line.tell(line.one(), ESV.GET_RES, {ON: b"\x30"})
    assert line.wait(0.49) == []
    assert len(line.wait(0.02)) == 1


def test_no_gap_where_none_is_wanted() -> None:
    """Whoever sets up a network may leave the gap out; a maker's stays."""
    line = Line(gap_s=0.0)
    line.dialogue.read(AIRCON, (ON,))
    line.dialogue.read(AIRCON, (ROOM,))
    line.tell(line.one(), ESV.GET_RES, {ON: b"\x30"})
    assert len(line.wait(0.0)) == 1


def test_urgent_before_routine(one_by_one: Line) -> None:
    """A command that comes later goes before polls, and between two batches of one that has begun."""
    line = one_by_one
    poll = line.dialogue.read(AIRCON, (ON, ROOM))
    line.dialogue.read(AIRCON, (MODE,))
    line.tell(line.one(), ESV.GET_RES, {ON: b"\x30"})
    command = line.dialogue.write(AIRCON, (Property(TARGET, b"\x1a"),))
    (request,) = line.wait(GAP_S)
    assert (request[10], properties(request)) == (ESV.SETC, [(TARGET, b"\x1a")])
    line.tell(request, ESV.SET_RES, {TARGET: b""})
    assert command.answers == {TARGET: b""}
    assert not poll.done
    (request,) = line.wait(GAP_S)
    assert properties(request) == [(ROOM, b"")]


def test_the_line_is_bounded(line: Line) -> None:
    """A ticket too many is refused at once; the urgent have a line of their own."""
    for _ in range(QUEUE_LIMIT):
        line.dialogue.read(AIRCON, (ON,))
    with pytest.raises(QueueFull):
        line.dialogue.read(AIRCON, (ON,))
    line.dialogue.read(AIRCON, (ON,), urgent=True)


def test_nothing_is_not_asked_for(line: Line) -> None:
    """An empty request is a mistake of ours."""
    with pytest.raises(ValueError, match="nothing"):
        line.dialogue.read(AIRCON, ())


@pytest.mark.parametrize(
    ("esv", "told", "seoj", "tid_off"),
    [
        (ESV.INF, {ON: b"\x30"}, AIRCON, 0),
        (ESV.INFC, {ON: b"\x30"}, AIRCON, 0),
        (ESV.SET_RES, {ON: b""}, AIRCON, 0),
        (ESV.GET_RES, {ON: b"\x30"}, AIRCON, 1),
        (ESV.GET_RES, {ON: b"\x30"}, AIRCON + 1, 0),
        (ESV.GET_RES, {ON: b"\x30"}, LAMP, 0),
        (ESV.GET_RES, {ROOM: b"\x1a"}, AIRCON, 0),
    ],
)
def test_mistake_3_what_is_no_answer(line: Line, esv: int, told: dict[int, bytes], seoj: int, tid_off: int) -> None:
    """A notification with our very TID, another service, TID, instance, class or property settles nothing."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    request = line.one()
    frame = bytearray(answer(request, esv, list(told.items())))
    frame[3] += tid_off
    frame[4:7] = seoj.to_bytes(3, "big")
    assert not line.hear(bytes(frame))
    assert not ticket.done
    assert ticket.answers == {}


def test_what_was_not_asked_is_ignored(line: Line) -> None:
    """An answer may say more than was asked; the rest of it still counts."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    assert line.tell(line.one(), ESV.GET_RES, {MODE: b"\x41", ON: b"\x30"})
    assert ticket.answers == {ON: b"\x30"}


def test_mistake_6_partial_answers_count(line: Line) -> None:
    """Of a Get_SNA the values are used; what it does not give is asked alone, and refused alone it is refused."""
    ticket = line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    line.tell(line.one(), ESV.GET_SNA, {ON: b"\x30", MODE: b"", ROOM: b"\x1a"})
    assert ticket.answers == {ON: b"\x30", ROOM: b"\x1a"}
    (again,) = line.wait(GAP_S)
    assert properties(again) == [(MODE, b"")]
    line.tell(again, ESV.GET_SNA, {MODE: b""})
    assert ticket.answers[MODE] is Missing.REFUSED
    assert ticket.done and not ticket.silent


def test_what_was_refused_alone_is_not_asked_alone_each_time(line: Line) -> None:
    """The second time its absence in company is answer enough; once it is given, it is asked as any other."""
    node = Node({ON: b"\x30", ROOM: b"\x1a"})
    first = line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    line.talk(node)
    second = line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    line.talk(node)
    assert first.answers == second.answers == {ON: b"\x30", ROOM: b"\x1a", MODE: Missing.REFUSED}
    assert node.asked == [[ON, MODE, ROOM], [MODE], [ON, MODE, ROOM]]
    node.values[MODE] = b"\x41"
    third = line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    line.talk(node)
    assert third.answers[MODE] == b"\x41"
    del node.values[MODE]
    node.asked.clear()
    line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    line.talk(node)
    assert node.asked == [[ON, MODE, ROOM], [MODE]]


def test_an_empty_value_in_a_get_res_is_no_value(line: Line) -> None:
    """A device that says yes and gives nothing is not asked again."""
    ticket = line.dialogue.read(AIRCON, (ON, MODE))
    line.tell(line.one(), ESV.GET_RES, {ON: b"\x30", MODE: b""})
    assert ticket.done
    assert ticket.answers == {ON: b"\x30", MODE: Missing.ABSENT}


def test_an_answer_without_properties_is_a_refusal(line: Line) -> None:
    """OPC 0 with our TID gives nothing: the property is refused, nobody waits."""
    ticket = line.dialogue.read(AIRCON, (MODE,))
    assert line.tell(line.one(), ESV.GET_SNA, {})
    assert ticket.answers == {MODE: Missing.REFUSED}


def test_a_prefix_is_used_and_the_rest_asked(line: Line) -> None:
    """A node that answers the first two properties only gives them all in the end."""
    ticket = line.dialogue.read(AIRCON, range(0x80, 0x86))
    node = Node(ALL, limit=2)
    line.talk(node)
    assert [len(each) for each in node.asked] == [6, 2, 2]
    assert ticket.answers == {epc: bytes([epc]) for epc in range(0x80, 0x86)}
    assert line.dialogue.counters["partial"] == 1


def test_one_tid_answered_twice(line: Line) -> None:
    """72 with what can be read and 52 with the rest, or two 72: all of it is one answer, and nothing is learnt."""
    before = line.manners.plain()
    ticket = line.dialogue.read(AIRCON, (ON, MODE, ROOM))
    request = line.one()
    line.tell(request, ESV.GET_RES, {ON: b"\x30", ROOM: b"\x1a"})
    line.wait(GAP_S / 2)
    line.tell(request, ESV.GET_SNA, {MODE: b""})
    (again,) = line.wait(GAP_S)
    assert properties(again) == [(MODE, b"")]
    line.tell(again, ESV.GET_SNA, {MODE: b""})
    assert ticket.answers == {ON: b"\x30", ROOM: b"\x1a", MODE: Missing.REFUSED}

    split = line.dialogue.read(AIRCON, (ON, ROOM))
    (request,) = line.wait(GAP_S)
    line.tell(request, ESV.GET_RES, {ON: b"\x31"})
    line.tell(request, ESV.GET_RES, {ROOM: b"\x1b"})
    assert split.answers == {ON: b"\x31", ROOM: b"\x1b"}
    assert line.wait(60.0) == []
    assert line.manners.plain() == before


def test_a_doubled_answer_ends_nothing_twice(line: Line) -> None:
    """The same datagram again is recognised, and changes nothing."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    request = line.one()
    for _ in range(3):
        assert line.tell(request, ESV.GET_RES, {ON: b"\x30"})
    assert line.happened == [Finished(ticket)]


def test_an_answer_like_the_last_one_is_recognised(line: Line) -> None:
    """All of it but its data, with the TID of now, and no other: then only its data are taken."""
    for number in range(3):
        told = {ON: b"\x30", ROOM: bytes([number])}
        ticket = line.dialogue.read(AIRCON, (ON, ROOM))
        (request,) = line.wait(GAP_S)
        like = answer(request, ESV.GET_RES, list(told.items()))
        longer = answer(request, ESV.GET_RES, [(ON, b"\x30"), (ROOM, b"\1\2")])
        other = answer(request, ESV.GET_RES, [(ON, b"\x30"), (MODE, b"\1")])
        refusal = answer(request, ESV.GET_SNA, list(told.items()))
        for data in (b"", like[:-1], longer, other, refusal, b"\x10\x81\xff\xff" + like[4:]):
            assert line.dialogue.recognise(data, line.now) is None
        assert line.dialogue.recognise(like, line.now) is (ticket if number else None)
        assert line.hear(like), "a doubled answer, or the first"
        assert ticket.answers == told and ticket.done
        assert ticket.recognised == (told if number else None)
    assert line.dialogue.counters["late"] == 0
    line.dialogue.read(AIRCON, (ROOM,))
    (request,) = line.wait(GAP_S)
    assert (
        line.dialogue.recognise(answer(request, ESV.GET_RES, list(told.items())), line.now) is None
    )  # something else


def test_the_very_answer_of_the_last_time_is_not_read_again(line: Line) -> None:
    """What it told is then the same object, and stays as it is when another answer comes; a stump is no answer."""
    tickets = []
    for room in (1, 1, 1, 2, 2):
        tickets.append(line.dialogue.read(AIRCON, (ON, ROOM)))
        (request,) = line.wait(GAP_S)
        data = answer(request, ESV.GET_RES, [(ON, b"\x30"), (ROOM, bytes([room]))])
        assert line.dialogue.recognise(data[:4], line.now) is None
        assert line.dialogue.recognise(data, line.now) or line.hear(data)
    _, once, again, other, last = [ticket.recognised for ticket in tickets]
    assert again is once and last is other
    assert once == {ON: b"\x30", ROOM: b"\1"} and other == {ON: b"\x30", ROOM: b"\2"}
    assert [ticket.answers[ROOM] for ticket in tickets] == [b"\1", b"\1", b"\1", b"\2", b"\2"]


def test_an_answer_that_lacks_something_is_read_each_time(line: Line) -> None:
    """What is missing from it is worked out anew, for it may teach something."""
    for _ in range(3):
        ticket = line.dialogue.read(AIRCON, (ON, MODE))
        line.talk(Node({ON: b"\x30"}))
        assert ticket.answers == {ON: b"\x30", MODE: Missing.REFUSED}
        assert ticket.recognised is None


def test_mistake_8_late_answers_count(line: Line) -> None:
    """Asked again after the soft deadline with another TID; the answer to the first asking, 19 s late, is as good."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    first = line.one()
    sent = line.wait(19.0)
    assert sent
    assert line.tell(first, ESV.GET_RES, {ON: b"\x30"})
    assert ticket.answers == {ON: b"\x30"}
    assert line.finished() == [ticket]
    assert line.quiet() == []
    assert line.dialogue.counters["late"] == 1
    assert line.tell(sent[-1], ESV.GET_RES, {ON: b"\x31"})  # what the repetition brings then is known, and too late
    assert ticket.answers == {ON: b"\x30"}


def test_a_late_answer_replaces_nothing_newer(line: Line) -> None:
    """What the repetition brought stays; the late answer gives what is still missing."""
    ticket = line.dialogue.read(AIRCON, (ON, ROOM))
    first = line.one()
    (second,) = line.wait(SOFT_FIRST_S + 1.1)
    line.tell(second, ESV.GET_RES, {ON: b"\x31"})
    line.tell(first, ESV.GET_RES, {ON: b"\x30", ROOM: b"\x1a"})
    assert ticket.answers == {ON: b"\x31", ROOM: b"\x1a"}


def test_polls_wait_while_one_is_repeated(line: Line) -> None:
    """A node that does not answer gets no second question from us, only the first one again."""
    line.dialogue.read(AIRCON, (ON,))
    line.dialogue.read(AIRCON, (ROOM,))
    line.one()
    sent = line.wait(LIMIT_S - 0.1)
    assert [properties(data) for data in sent] == [[(ON, b"")]] * len(sent)


def test_an_old_tid_is_forgotten(line: Line) -> None:
    """A number that came round again is no answer to what was asked with it long ago."""
    line.dialogue.read(AIRCON, (ON,))
    request = line.one()
    line.tell(request, ESV.GET_RES, {ON: b"\x30"})
    line.wait(LATE_S + 1)
    assert not line.tell(request, ESV.GET_RES, {ON: b"\x31"})


def test_silence_is_quiet_after_twenty_seconds(line: Line) -> None:
    """A read is repeated after 1 s of rest each time, and ends after 20 s: Quiet, then Finished."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    start = line.now
    line.one()
    at = []
    while not ticket.done:
        line.now = line.dialogue.deadline() or 0.0
        at += [line.now - start] * len(line.go())
    assert at == pytest.approx([SOFT_FIRST_S + 1, 2 * (SOFT_FIRST_S + 1), 3 * (SOFT_FIRST_S + 1)])
    assert line.now - start == pytest.approx(LIMIT_S)
    assert ticket.answers == {ON: Missing.TIMEOUT}
    assert ticket.silent
    assert line.happened == [Quiet(ticket), Finished(ticket)]
    assert dict(line.dialogue.counters) == {"requests": 4, "repeats": 3, "silences": 1}


def test_an_adapter_that_takes_almost_twenty_seconds(line: Line) -> None:
    """It is answered by the first TID, and is left alone until the limit once it is known to be that slow."""
    node = Node(ALL)
    first = line.dialogue.read(AIRCON, (ON,))
    line.talk(node, takes_s=19.5)
    assert first.answers == {ON: b"\x80"}
    repeats = line.dialogue.counters["repeats"]
    second = line.dialogue.read(AIRCON, (ROOM,))
    line.talk(node, takes_s=19.5)
    assert second.answers == {ROOM: b"\xbb"}
    assert line.dialogue.counters["repeats"] == repeats


def test_a_slow_maker_is_not_asked_twice(line: Line) -> None:
    """Where it is known that devices take long, the first request already waits for them."""
    line.dialogue.heed(AIRCON, answer_s=20.0)
    line.dialogue.read(AIRCON, (ON,))
    line.one()
    assert line.wait(19.9) == []


def test_a_fast_node_is_asked_again_after_a_second() -> None:
    """Three times the p95 of what was observed, but not less than one second."""
    line = Line()
    for _ in range(40):
        line.dialogue.read(AIRCON, (ON,))
        line.talk(Node(ALL), 5.0)
    line.dialogue.read(AIRCON, (ON,))
    start = line.now
    line.one()
    assert len(line.wait(2.1)) == 1
    assert line.now - start < 3


def test_where_much_gets_lost_a_read_is_asked_again_at_once(line: Line) -> None:
    """As soon as an answer is later than others, without a pause, and no sooner than after a second."""
    for _ in range(KEPT):
        line.manners.took(1.5, lost=1)
    line.dialogue.read(AIRCON, (ON,))
    line.one()
    assert line.wait(1.49) == []
    (again,) = line.wait(0.02)
    assert properties(again) == [(ON, b"")]
    for _ in range(KEPT):
        line.manners.took(0.1, lost=1)
    assert len(line.wait(10.0)) == pytest.approx(10, abs=1)


def test_a_node_that_became_slow_does_not_lose(line: Line) -> None:
    """All that was asked again meanwhile is answered in the end: nothing of it was lost."""
    for _ in range(KEPT):
        line.manners.took(0.1)
    line.dialogue.read(AIRCON, (ON,))
    asked = [line.one(), *line.wait(8.0)]
    assert len(asked) > 3
    for each in asked:
        line.tell(each, ESV.GET_RES, {ON: b"\x30"})
    assert line.manners.lost_share == 0


def test_the_urgent_do_not_wait_for_a_silence(line: Line) -> None:
    """After the soft deadline of a poll a command goes out; the poll is repeated after it, and both succeed."""
    poll = line.dialogue.read(AIRCON, (ON,))
    line.one()
    command = line.dialogue.write(AIRCON, (Property(TARGET, b"\x1a"),))
    (request,) = line.wait(SOFT_FIRST_S + 0.1)
    assert request[10] == ESV.SETC
    line.tell(request, ESV.SET_RES, {TARGET: b""})
    line.talk(Node(ALL), 10.0)
    assert command.answers == {TARGET: b""}
    assert poll.answers == {ON: b"\x80"}


def test_no_wake_up_for_what_comes_too_late(line: Line) -> None:
    """A poll that commands kept from being repeated until its last second is not repeated, and nothing spins."""
    poll = line.dialogue.read(AIRCON, (ON,))
    line.one()
    for _ in range(6):
        line.dialogue.write(AIRCON, (Property(TARGET, b"\x1a"),))
    line.wait(SOFT_FIRST_S - 0.01)
    for _ in range(5):
        (request,) = line.wait(GAP_S + 0.01)
        line.wait(1.6)
        line.tell(request, ESV.SET_RES, {TARGET: b""})
    line.wait(100.0 + 19.7 - line.now)  # the sixth left at 14.6 s, and has kept the line until 19.6 s
    assert len(line.sent) == 7
    assert line.dialogue.deadline() == pytest.approx(100.0 + LIMIT_S)
    line.wait(0.5)
    assert poll.silent


def test_a_write_is_sent_once(line: Line) -> None:
    """Without an answer it is silent after 20 s; its frame was sent once, and others were not kept waiting."""
    ticket = line.dialogue.write(AIRCON, (Property(MODE, b"\x42"), Property(TARGET, b"\x1a")))
    line.one()
    poll = line.dialogue.read(AIRCON, (ON,))
    (request,) = line.wait(SOFT_FIRST_S + 0.1)
    line.tell(request, ESV.GET_RES, {ON: b"\x30"})
    line.wait(LIMIT_S)
    assert [data[10] for data in line.sent] == [ESV.SETC, ESV.GET]
    assert ticket.silent
    assert ticket.answers == {MODE: Missing.TIMEOUT, TARGET: Missing.TIMEOUT}
    assert line.happened == [Finished(poll), Quiet(ticket), Finished(ticket)]


def test_a_write_may_be_answered_late(line: Line) -> None:
    """19 s are no silence."""
    ticket = line.dialogue.write(AIRCON, (Property(MODE, b"\x42"),))
    request = line.one()
    line.wait(19.0)
    assert line.tell(request, ESV.SET_RES, {MODE: b""})
    assert ticket.answers == {MODE: b""}
    assert line.happened == [Finished(ticket)]


@pytest.mark.parametrize(
    ("esv", "told", "accepted"),
    [
        (ESV.SET_RES, {MODE: b"", TARGET: b""}, {MODE, TARGET}),
        (ESV.SET_RES, {MODE: b"\x42", TARGET: b"\x1a"}, {MODE, TARGET}),
        (ESV.SETC_SNA, {MODE: b"", TARGET: b"\x1a"}, {MODE}),
        (ESV.SETC_SNA, {MODE: b"\x42", TARGET: b"\x1a"}, set()),
        (ESV.SETI_SNA, {MODE: b"", TARGET: b"\x1a"}, {MODE}),
        (ESV.SETI_SNA, {MODE: b"", TARGET: b""}, set()),
        (ESV.SETC_SNA, {MODE: b"", TARGET: b""}, set()),
        (ESV.SETC_SNA, {}, set()),
    ],
)
def test_mistake_7_what_a_set_answer_says(line: Line, esv: int, told: dict[int, bytes], accepted: set[int]) -> None:
    """Refused properties come back with their EDT, in a 51 or a 50; one that marks none refuses all."""
    ticket = line.dialogue.write(AIRCON, (Property(MODE, b"\x42"), Property(TARGET, b"\x1a")))
    assert line.tell(line.one(), esv, told)
    assert ticket.done
    assert ticket.answers == {epc: b"" if epc in accepted else Missing.REFUSED for epc in (MODE, TARGET)}


def test_a_split_answer_to_a_write(line: Line) -> None:
    """71 for some and 51 for others are one answer."""
    ticket = line.dialogue.write(AIRCON, (Property(MODE, b"\x42"), Property(TARGET, b"\x1a")))
    request = line.one()
    line.tell(request, ESV.SET_RES, {MODE: b""})
    assert not ticket.done
    line.tell(request, ESV.SETC_SNA, {TARGET: b"\x1a"})
    assert ticket.answers == {MODE: b"", TARGET: Missing.REFUSED}
    assert line.wait(60.0) == []


def test_half_an_answer_to_a_write(line: Line) -> None:
    """What was not named in it is not known, but the node was not silent."""
    ticket = line.dialogue.write(AIRCON, (Property(MODE, b"\x42"), Property(TARGET, b"\x1a")))
    line.tell(line.one(), ESV.SET_RES, {MODE: b""})
    assert line.wait(LIMIT_S + 1.0) == []
    assert ticket.answers == {MODE: b"", TARGET: Missing.TIMEOUT}
    assert not ticket.silent
    assert line.quiet() == []


def test_cancelled_while_waiting(line: Line) -> None:
    """It is not sent and not told; one in flight keeps the line until it is answered, and is not told either."""
    first = line.dialogue.read(AIRCON, (ON,))
    second = line.dialogue.read(AIRCON, (ROOM,))
    third = line.dialogue.read(AIRCON, (MODE,))
    request = line.one()
    line.dialogue.cancel(first)
    line.dialogue.cancel(second)
    assert line.wait(1.0) == []
    line.tell(request, ESV.GET_RES, {ON: b"\x30"})
    (request,) = line.wait(GAP_S)
    line.tell(request, ESV.GET_RES, {MODE: b"\x41"})
    line.dialogue.cancel(third)
    assert line.happened == [Finished(third)]
    assert first.done and second.done
    assert line.dialogue.idle


def test_cancelled_in_silence(line: Line) -> None:
    """It gives the line free at its soft deadline and is not repeated."""
    ticket = line.dialogue.read(AIRCON, (ON,))
    line.one()
    line.dialogue.cancel(ticket)
    assert line.wait(60.0) == []
    assert line.happened == []
    assert line.dialogue.idle


# --- how much at once


def test_mistake_5_batches_grow_with_success() -> None:
    """One property, then twice as many as were answered, up to the cap; a line with these manners begins there."""
    line = Line()
    node = Node(ALL)
    line.dialogue.read(AIRCON, ALL)
    line.talk(node)
    assert [len(each) for each in node.asked] == [1, 2, 4, 8, 16, 16, 16, 1]
    again = Line(Manners.restored(line.manners.plain()))
    again.dialogue.read(AIRCON, ALL)
    assert len(again.epcs()) == PROPERTIES_MAX


@pytest.mark.parametrize("beyond", ["prefix", "empty", "silence"])
def test_a_limit_is_learnt(beyond: str) -> None:
    """A node that takes no more than six: whatever it does with more, all is read, and at last without waste."""
    line, node = Line(), Node(ALL, limit=6, beyond=beyond)
    for _ in range(12):
        ticket = line.dialogue.read(AIRCON, ALL)
        line.talk(node, 120.0)
        assert ticket.answers == ALL
    assert 4 <= line.manners.properties_per_request <= 6
    node.asked.clear()
    line.dialogue.read(AIRCON, ALL)
    line.talk(node, 120.0)
    assert max(len(each) for each in node.asked) <= 6
    assert Manners.restored(line.manners.plain()).properties_per_request == line.manners.properties_per_request


def test_one_lost_datagram_teaches_nothing() -> None:
    """The first larger batch is lost, smaller ones go through: the next time the larger one is tried again."""
    line, node = Line(), Node(ALL)
    line.manners.answered(4)
    line.dialogue.read(AIRCON, range(0x80, 0x88))
    assert len(line.epcs()) == 8  # and this one is lost
    line.talk(node)
    assert [len(each) for each in node.asked] == [4, 4]
    line.dialogue.read(AIRCON, range(0x80, 0x88))
    line.talk(node)
    assert len(node.asked[-1]) == 8
    assert line.manners.ceiling == PROPERTIES_MAX


def test_a_size_that_worked_is_not_doubted_for_silence(line: Line) -> None:
    """However often batches are lost that were answered before, the size stays."""
    node = Node(ALL)
    for _ in range(10):
        line.dialogue.read(AIRCON, range(0x80, 0x88))
        assert len(line.epcs()) == 8
        line.talk(node)
    assert line.manners.properties_per_request == PROPERTIES_MAX


def test_what_fails_in_company_is_asked_alone(line: Line) -> None:
    """After it was found out often enough it is asked alone at once, and that survives a restart."""
    node = Node(ALL, alone=frozenset({0x85}))
    for _ in range(DOUBTS):
        ticket = line.dialogue.read(AIRCON, range(0x80, 0x88))
        line.talk(node)
        assert ticket.answers == {epc: bytes([epc]) for epc in range(0x80, 0x88)}
        assert [len(each) for each in node.asked] == [8, 1]
        node.asked.clear()
    again = Line(Manners.restored(line.manners.plain()))
    again.dialogue.read(AIRCON, range(0x80, 0x88))
    again.talk(node)
    assert [0x85] in node.asked
    assert not any(0x85 in each for each in node.asked if len(each) > 1)


def test_company_that_draws_silence(line: Line) -> None:
    """Two properties that a board never answers together (no other node's line knows) are read within the limit."""
    node = Node(ALL)

    def answers(data: bytes) -> list[bytes]:
        asked = {epc for epc, _ in properties(data)}
        return [] if {0xB3, 0xB7} <= asked else Node.answers(node, data)

    node.answers = answers  # type: ignore[method-assign]
    for _ in range(DOUBTS):
        ticket = line.dialogue.read(AIRCON, (0xB3, 0xB7))
        line.talk(node, 120.0)
        assert ticket.answers == {0xB3: b"\xb3", 0xB7: b"\xb7"}
    repeats = line.dialogue.counters["repeats"]
    line.dialogue.read(AIRCON, (0xB3, 0xB7))
    line.talk(node, 120.0)
    assert line.dialogue.counters["repeats"] == repeats


def test_one_that_draws_silence_on_its_company(line: Line) -> None:
    """It is not known which of them it is: nothing is learnt of those that are then answered alone."""
    node = Node(ALL)

    def answers(data: bytes) -> list[bytes]:
        return [] if 0x81 in {epc for epc, _ in properties(data)} else Node.answers(node, data)

    node.answers = answers  # type: ignore[method-assign]
    for _ in range(KEPT):
        line.manners.took(0.05)
    for _ in range(DOUBTS + 1):
        ticket = line.dialogue.read(AIRCON, range(0x81, 0x87))
        line.talk(node, 120.0)
        assert len(ticket.answers) == 6
    assert ticket.answers[0x86] == b"\x86"
    assert line.manners.alone == set()
    assert not line.manners.strikes


def test_what_a_maker_s_devices_answer_only_alone(line: Line) -> None:
    """Known beforehand, it is asked alone of the first request on; of that object only."""
    line.dialogue.heed(AIRCON, alone=(0x81,), batch=3)
    node = Node(ALL)
    line.dialogue.read(AIRCON, (0x80, 0x81, 0x82, 0x83, 0x84))
    line.dialogue.read(LAMP, (0x80, 0x81))
    line.talk(node)
    assert node.asked == [[0x80, 0x82, 0x83], [0x81], [0x84], [0x80, 0x81]]


def test_a_node_that_leaves_out_what_it_does_not_have() -> None:
    """Its shorter answers look like those of one that cannot do more; its limit is not mistaken for that."""
    line, node = Line(), Node({epc: edt for epc, edt in ALL.items() if epc % 4}, beyond="omits")
    for _ in range(8):
        ticket = line.dialogue.read(AIRCON, range(0x80, 0x90))
        line.talk(node, 300.0)
        assert {epc for epc, edt in ticket.answers.items() if edt == bytes([epc])} == node.values.keys() & range(
            0x80, 0x90
        )
    assert line.manners.ceiling == PROPERTIES_MAX


def test_large_answers_are_not_asked_together(line: Line) -> None:
    """Once it is known how large they are, a request asks for no more than fits into one packet."""
    line.manners.answered(16)
    node = Node({epc: bytes(250) for epc in ALL})
    for _ in range(2):
        line.dialogue.read(AIRCON, range(0x80, 0x88))
        line.talk(node)
    assert [len(each) for each in node.asked] == [8, 4, 4]


def test_one_property_that_is_never_answered(one_by_one: Line) -> None:
    """It costs its twenty seconds; the others are read all the same, and the node does not count as silent."""
    line = one_by_one
    node = Node(ALL)

    def answers(data: bytes) -> list[bytes]:
        return [] if properties(data) == [(0x81, b"")] else Node.answers(node, data)

    node.answers = answers  # type: ignore[method-assign]
    ticket = line.dialogue.read(AIRCON, (0x80, 0x81, 0x82))
    line.talk(node)
    assert ticket.answers == {0x80: b"\x80", 0x81: Missing.TIMEOUT, 0x82: b"\x82"}
    assert line.quiet() == []


def test_a_node_that_dies_in_the_middle(one_by_one: Line) -> None:
    """Two silences in a row end a read of many properties, with what it has."""
    line = one_by_one
    ticket = line.dialogue.read(AIRCON, ALL)
    line.tell(line.one(), ESV.GET_RES, {0x80: b"\x30"})
    line.wait(2 * LIMIT_S + 1)
    assert ticket.done and ticket.silent
    assert ticket.answers == {0x80: b"\x30"} | dict.fromkeys(list(ALL)[1:], Missing.TIMEOUT)
    assert line.quiet() == [ticket]


# --- sections

PAGE = Section((Property(0xB2, b"\x01\x14"),), (0xB3,), 1)


def test_mistake_22_nothing_comes_between_selecting_and_reading(line: Line) -> None:
    """Neither a poll nor a command."""
    ticket = line.dialogue.section(BOARD, PAGE)
    line.dialogue.read(LAMP, (ON,))
    select = line.one()
    assert (select[10], properties(select)) == (ESV.SETC, [(0xB2, b"\x01\x14")])
    line.dialogue.write(LAMP, (Property(ON, b"\x30"),))
    line.tell(select, ESV.SET_RES, {0xB2: b""})
    (read,) = line.wait(GAP_S)
    assert (read[10], properties(read)) == (ESV.GET, [(0xB3, b"")])
    line.tell(read, ESV.GET_RES, {0xB3: b"\x01\x14\x00"})
    assert ticket.answers == {0xB3: b"\x01\x14\x00"}
    (command,) = line.wait(GAP_S)
    assert command[10] == ESV.SETC


def test_a_section_is_repeated_as_a_whole(line: Line) -> None:
    """When the read is lost, it is selected anew; an answer to the attempt before counts no more."""
    ticket = line.dialogue.section(BOARD, PAGE)
    line.tell(line.one(), ESV.SET_RES, {0xB2: b""})
    (lost,) = line.wait(GAP_S)
    (select,) = line.wait(SOFT_FIRST_S + 1.1)
    assert select[10] == ESV.SETC
    assert line.tell(lost, ESV.GET_RES, {0xB3: b"\xff"})
    assert not ticket.done
    line.tell(select, ESV.SET_RES, {0xB2: b""})
    (read,) = line.wait(GAP_S)
    line.tell(read, ESV.GET_RES, {0xB3: b"\x01"})
    assert ticket.answers == {0xB3: b"\x01"}


def test_what_an_attempt_at_a_section_gave_is_read_again(one_by_one: Line) -> None:
    """The first of two reads came, the second was lost: after selecting anew both are read."""
    line = one_by_one
    ticket = line.dialogue.section(BOARD, Section(PAGE.select, (0xB3, 0xB5), 1))
    line.tell(line.one(), ESV.SET_RES, {0xB2: b""})
    (read,) = line.wait(GAP_S)
    line.tell(read, ESV.GET_RES, {0xB3: b"\x01"})
    line.wait(GAP_S)
    node = Node({0xB3: b"\x02", 0xB5: b"\x02"})
    line.talk(node)
    assert node.asked == [[0xB3], [0xB5]]
    assert ticket.answers == {0xB3: b"\x02", 0xB5: b"\x02"}


def test_reads_go_between_attempts_at_a_section(line: Line) -> None:
    """Where there is no pause before the next one each time, however many wait: neither keeps the other waiting."""
    for _ in range(KEPT):
        line.manners.took(0.1, lost=1)
    line.dialogue.section(BOARD, PAGE)
    for _ in range(4):
        line.dialogue.read(LAMP, (ON,))
    sent = []
    while len(sent) < 9:
        for data in line.wait(0.1):
            sent.append("section" if data[7:10] == BOARD.to_bytes(3, "big") else "read")
            if sent[-1] == "read":
                line.tell(data, ESV.GET_RES, {ON: b"\x30"})
    assert sent == ["section", "read"] * 4 + ["section"]


def test_a_section_that_is_selected_and_never_read(line: Line) -> None:
    """It ends within its limit with nothing; the node was not silent."""
    ticket = line.dialogue.section(BOARD, PAGE)
    while not ticket.done:
        for data in line.wait(0.1):
            if data[10] == ESV.SETC:
                line.tell(data, ESV.SET_RES, {0xB2: b""})
    assert line.now < 100.0 + SECTION_LIMIT_S + 1.0
    assert ticket.answers == {0xB3: Missing.TIMEOUT}
    assert line.quiet() == []


def test_a_section_is_all_or_nothing(line: Line) -> None:
    """One property refused makes the whole refused; a selection refused as well."""
    ticket = line.dialogue.section(BOARD, Section(PAGE.select, (0xB3, 0xB5), 1))
    line.tell(line.one(), ESV.SET_RES, {0xB2: b""})
    (read,) = line.wait(GAP_S)
    line.tell(read, ESV.GET_SNA, {0xB3: b"\x01", 0xB5: b""})
    (read,) = line.wait(GAP_S)
    line.tell(read, ESV.GET_SNA, {0xB5: b""})
    assert ticket.answers == {0xB3: Missing.REFUSED, 0xB5: Missing.REFUSED}

    other = line.dialogue.section(BOARD, PAGE)
    (select,) = line.wait(GAP_S)
    line.tell(select, ESV.SETC_SNA, {0xB2: b"\x01\x14"})
    assert other.answers == {0xB3: Missing.REFUSED}
    assert not other.silent


def test_a_section_of_a_silent_node_ends(line: Line) -> None:
    """Within its limit, as a silence; a command got in between two attempts."""
    ticket = line.dialogue.section(BOARD, PAGE)
    line.one()
    line.dialogue.write(LAMP, (Property(ON, b"\x30"),))
    sent = line.wait(SECTION_LIMIT_S + 1)
    assert sent[0][7:10] == LAMP.to_bytes(3, "big")
    assert ticket.silent
    assert ticket.answers == {0xB3: Missing.TIMEOUT}


def test_memory_is_bounded(line: Line) -> None:
    """However much is asked of whatever, what is kept for late answers and for sending again is not more."""
    node = Node(ALL)
    for round_ in range(300):
        line.dialogue.read(0x013001 + round_ % 7, [0x80 + (round_ * 7 + at) % 64 for at in range(round_ % 9 + 1)])
        line.talk(node, 1.0)
    dialogue = line.dialogue
    assert dialogue.idle
    assert len(dialogue._recent) <= RECENT_LIMIT
    assert len(dialogue._batches._plans) <= 64
    assert not dialogue._open and not dialogue._events and not dialogue._outgoing


def test_tickets_are_told_apart(line: Line) -> None:
    """Two alike are two: a ticket is a key."""
    first, second = line.dialogue.read(AIRCON, (ON,)), line.dialogue.read(AIRCON, (ON,))
    assert first != second
    assert len({first: 1, second: 2}) == 2
    assert isinstance(first, Ticket)
