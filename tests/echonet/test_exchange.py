"""Requests and answers with one peer, in virtual time."""

from __future__ import annotations

import pytest
from support.routeb import FakeMeter, asked, frame

from hemsd.echonet.batch import ANSWER_BYTES, EDT_BYTES
from hemsd.echonet.exchange import (
    QUEUE_LIMIT,
    Exchange,
    Finished,
    Missing,
    Notification,
    QueueFull,
    Request,
    Silent,
)
from hemsd.echonet.frame import ESV, Frame, Property, encode
from hemsd.echonet.objects import CONTROLLER, METER

E7, E8, E0, D3, E1, E2 = 0xE7, 0xE8, 0xE0, 0xD3, 0xE1, 0xE2


class Wire:
    """An exchange, the time, and what came of it."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.now = 100.0
        self.happened: list[object] = []

    def get(self, *epcs: int) -> Request:
        return self.exchange.ask(ESV.GET, METER, [Property(epc) for epc in epcs])

    def send(self) -> tuple[int, int, dict[int, str]] | None:
        datagram = self.exchange.send(self.now)
        return None if datagram is None else asked(datagram)

    def ask_tid(self) -> int:
        sent = self.send()
        assert sent is not None
        return sent[0]

    def hear(self, tid: int, esv: int, properties: dict[int, str], **objects: str) -> None:
        self.exchange.receive(frame(tid, esv, properties, **objects), self.now)
        self.happened += self.exchange.events()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.exchange.tick(self.now)
        self.happened += self.exchange.events()

    def talk(self, meter: FakeMeter) -> list[list[int]]:
        """Let the meter answer everything; the properties of each Get."""
        gets = []
        while (datagram := self.exchange.send(self.now)) is not None:
            gets.append(list(asked(datagram)[2]))
            for answer in meter.answer(datagram):
                self.exchange.receive(answer, self.now)
            assert len(gets) < 100
        self.happened += self.exchange.events()
        return gets


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_get_is_answered(wire: Wire) -> None:
    """One Get of two properties, one answer: both values, and an end."""
    request = wire.get(E7, E8)
    tid, esv, properties = wire.send() or (0, 0, {})
    assert (esv, properties) == (ESV.GET, {E7: "", E8: ""})
    wire.hear(tid, ESV.GET_RES, {E7: "000000E4", E8: "001E0032"})
    assert request.answers == {E7: b"\0\0\0\xe4", E8: b"\0\x1e\0\x32"}
    assert wire.happened == [Finished(request)]


def test_one_request_at_a_time(wire: Wire) -> None:
    """The second request is sent when the first has ended, with another TID."""
    wire.get(E7)
    wire.get(E8)
    first = wire.ask_tid()
    assert wire.send() is None
    wire.hear(first, ESV.GET_RES, {E7: "000000E4"})
    second = wire.send()
    assert second is not None
    assert second[0] != first
    assert list(second[2]) == [E8]


def test_the_line_is_bounded(wire: Wire) -> None:
    """A request too many is refused at once."""
    for _ in range(QUEUE_LIMIT):
        wire.get(E7)
    with pytest.raises(QueueFull):
        wire.get(E7)


@pytest.mark.parametrize(
    ("esv", "properties", "seoj", "tid_off"),
    [
        (ESV.INF, {E7: "000000E4"}, "028801", 0),
        (ESV.INFC, {E7: "000000E4"}, "028801", 0),
        (ESV.GET_RES, {E7: "000000E4"}, "028801", 1),
        (ESV.GET_RES, {E7: "000000E4"}, "0EF001", 0),
        (ESV.GET_RES, {E8: "00010001"}, "028801", 0),
        (ESV.SET_RES, {E7: ""}, "028801", 0),
        (0x7F, {E7: "000000E4"}, "028801", 0),
    ],
)
def test_what_is_no_answer(wire: Wire, esv: int, properties: dict[int, str], seoj: str, tid_off: int) -> None:
    """A notification with our very TID, a foreign TID, object, property or service settles nothing."""
    request = wire.get(E7)
    wire.hear(wire.ask_tid() + tid_off, esv, properties, seoj=seoj)
    assert not request.done
    assert request.answers == {}


def test_infc_is_answered(wire: Wire) -> None:
    """INFC_Res echoes TID and properties with no data, from the object addressed; an INF is only handed on."""
    wire.hear(0xA001, ESV.INFC, {0xEA: "07EA05140E00000000FE68", 0xEB: "07EA05140E000000000016"})
    wire.hear(0xA002, ESV.INF, {0xEA: "07EA05140E00000000FE68"})
    assert [type(event) for event in wire.happened] == [Notification, Notification]
    reply = wire.exchange.send(wire.now)
    assert reply is not None
    assert reply.hex().upper() == "1081A00105FF010288017A02EA00EB00"
    assert wire.send() is None


def test_a_reply_does_not_disturb_the_request_in_flight(wire: Wire) -> None:
    """An INFC in the middle of a Get is answered; its transmission tells nothing of the Get."""
    request = wire.get(E7)
    tid = wire.ask_tid()
    wire.hear(tid, ESV.INFC, {0xEA: "07EA05140E00000000FE68"})
    assert wire.exchange.send(wire.now) is not None
    wire.exchange.unsent(wire.now)
    assert wire.send() is None
    wire.hear(tid, ESV.GET_RES, {E7: "000000E4"})
    assert request.done


def test_malformed_frames_are_counted(wire: Wire) -> None:
    """Garbage and truncated frames never raise."""
    wire.get(E7)
    tid = wire.ask_tid()
    whole = frame(tid, ESV.GET_RES, {E7: "000000E4"})
    for data in [b"", b"\x10\x81", whole[:-1], b"\x80" * 20, whole[:11]]:
        wire.exchange.receive(data, wire.now)
    assert wire.exchange.counters["malformed"] == 5


def test_soft_deadline_asks_again_and_late_answers_count(wire: Wire) -> None:
    """After the soft deadline a read has a new TID; the answer to the old one still settles it."""
    request = wire.get(E7)
    first = wire.ask_tid()
    assert wire.exchange.deadline() == wire.now + 6.0
    wire.wait(5.9)
    assert wire.send() is None
    wire.wait(0.1)
    second = wire.ask_tid()
    assert second != first
    wire.hear(first, ESV.GET_RES, {E7: "000000E4"})
    assert wire.happened == [Finished(request)]
    wire.hear(second, ESV.GET_RES, {E7: "000000E5"})
    assert request.answers == {E7: b"\0\0\0\xe4"}
    assert wire.exchange.counters["late"] == 1


def test_late_answer_never_serves_the_next_request(wire: Wire) -> None:
    """What comes after its request has ended is not taken for the answer to a later one of the same property."""
    wire.get(E7)
    first = wire.ask_tid()
    wire.wait(20)
    later = wire.get(E7)
    wire.send()
    wire.hear(first, ESV.GET_RES, {E7: "000000E4"})
    assert not later.done


@pytest.mark.parametrize(("epcs", "limit_s"), [([E7], 20.0), ([E7, E8], 60.0), ([E2], 60.0)])
def test_only_the_aif_limit_is_a_silence(wire: Wire, epcs: list[int], limit_s: float) -> None:
    """However often it was asked, the silence comes at 20 s for one property, 60 s for more or a day of history."""
    request = wire.get(*epcs)
    start = wire.now
    while not request.done:
        assert wire.now - start <= limit_s
        wire.send()
        assert wire.happened == []
        due = wire.exchange.deadline()
        assert due is not None
        wire.wait(due - wire.now)
    assert wire.now - start == limit_s
    assert wire.happened == [Silent(request), Finished(request)]
    assert request.answers == dict.fromkeys(epcs, Missing.TIMEOUT)
    assert wire.exchange.counters["repeated"] in (1, 2, 3)


@pytest.mark.parametrize(("answer_s", "soft_s"), [(0.1, 2.0), (1.0, 3.0), (5.0, 15.0), (10.0, 20.0)])
def test_the_soft_deadline_adapts(wire: Wire, answer_s: float, soft_s: float) -> None:
    """Three times the observed p95, from 2 s up to the limit."""
    for _ in range(40):
        wire.get(E7)
        tid = wire.ask_tid()
        wire.wait(answer_s)
        wire.hear(tid, ESV.GET_RES, {E7: "000000E4"})
    wire.get(E7)
    wire.send()
    assert wire.exchange.deadline() == pytest.approx(wire.now + soft_s)


def test_the_answer_is_waited_for_from_transmission(wire: Wire) -> None:
    """A datagram that took a while to get out does not lose that time."""
    wire.get(E7)
    wire.send()
    wire.now += 1.5
    wire.exchange.sent(wire.now)
    assert wire.exchange.deadline() == wire.now + 6.0


def test_failed_transmissions_back_off(wire: Wire) -> None:
    """EVENT 21 01: again after 1, 2, 4, 4 s with a new TID each."""
    wire.get(E7)
    tids, pauses = [], []
    for _ in range(4):
        tids.append(wire.ask_tid())
        wire.exchange.unsent(wire.now)
        assert wire.send() is None
        due = wire.exchange.deadline()
        assert due is not None
        pauses.append(due - wire.now)
        wire.wait(pauses[-1])
    assert pauses == [1, 2, 4, 4]
    assert len(set(tids)) == 4


def test_failing_for_ever_is_a_silence(wire: Wire) -> None:
    """Transmissions that never get out end at the AIF limit."""
    request = wire.get(E7)
    while not request.done:
        if wire.send() is not None:
            wire.exchange.unsent(wire.now)
        wire.wait(0.5)
    assert wire.happened == [Silent(request), Finished(request)]


def test_writes_are_never_repeated(wire: Wire) -> None:
    """A SetC ends at the soft deadline, unanswered, and is no silence; so it does when it did not get out."""
    for end in (lambda: wire.wait(6.0), lambda: wire.exchange.unsent(wire.now)):
        request = wire.exchange.ask(ESV.SETC, METER, [Property(0xE5, b"\x03")])
        assert wire.send() is not None
        end()
        assert wire.send() is None
        assert request.done
        assert request.answers == {0xE5: Missing.TIMEOUT}
    assert not any(isinstance(event, Silent) for event in wire.happened)


def test_write_answers(wire: Wire) -> None:
    """Accepted comes back empty, refused comes back with its data."""
    for esv, edt, outcome in [(ESV.SET_RES, "", b""), (ESV.SETC_SNA, "63", Missing.REFUSED)]:
        request = wire.exchange.ask(ESV.SETC, METER, [Property(0xE5, b"\x63")])
        wire.hear(wire.ask_tid(), esv, {0xE5: edt})
        assert request.answers == {0xE5: outcome}


def test_gets_stay_small(wire: Wire) -> None:
    """At most 6 properties and 33 answered bytes a Get; histories and what has no known size by themselves."""
    meter = FakeMeter(dict.fromkeys([*EDT_BYTES, E2, 0xEC], "00"))
    gets = wire.talk(meter) if wire.get(*EDT_BYTES, E2, 0xEC, 0xF5) else []
    for get in gets:
        assert len(get) <= 6
        assert len(get) == 1 or sum(2 + EDT_BYTES[epc] for epc in get) <= ANSWER_BYTES
    assert [E2] in gets
    assert [0xF5] in gets
    assert sorted({epc for get in gets for epc in get}) == sorted({*EDT_BYTES, E2, 0xEC, 0xF5})


def test_a_property_named_twice_is_asked_once(wire: Wire) -> None:
    """In a read and in a write, and what it came to is told once."""
    request = wire.get(E7, E8, E7)
    sent = wire.exchange.send(wire.now)
    assert sent == bytes.fromhex(f"1081 {wire.exchange._tid:04X} 05FF01 028801 62 02 E700 E800")
    wire.hear(wire.exchange._tid, ESV.GET_RES, {E7: "000001F8", E8: "00140014"})
    assert request.answers == {E7: bytes.fromhex("000001F8"), E8: bytes.fromhex("00140014")}
    write = wire.exchange.ask(ESV.SETC, METER, [Property(0xE5, b"\x01"), Property(0xE5, b"\x02")])
    sent = wire.exchange.send(wire.now)
    assert sent == bytes.fromhex(f"1081 {wire.exchange._tid:04X} 05FF01 028801 61 01 E50102")
    wire.hear(wire.exchange._tid, ESV.SET_RES, {0xE5: ""})
    assert write.answers == {0xE5: b""}


def test_of_a_property_told_twice_the_first_counts(wire: Wire) -> None:
    """However often such an answer comes: it is never taken for the usual one."""
    for number in range(3):
        request = wire.get(E7, E8)
        tid = wire.ask_tid()
        twice = [Property(E7, bytes((number, 1, 1, 1))), Property(E7, bytes((number, 2, 2, 2)))]
        wire.exchange.receive(encode(Frame(tid, METER, CONTROLLER, ESV.GET_RES, tuple(twice))), wire.now)
        assert request.answers == {E7: bytes((number, 1, 1, 1))}
        wire.hear(wire.ask_tid(), ESV.GET_RES, {E8: "001E0032"})
        assert request.done


def test_all_live_values_and_their_scale_fit_one_get(wire: Wire) -> None:
    """Power, currents, both energies, coefficient and unit are one Get: the shortest way to a first reading."""
    wire.get(E7, E8, E0, 0xE3, D3, E1)
    assert wire.talk(FakeMeter()) == [[E7, E8, E0, 0xE3, D3, E1]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_shortened_answers_are_used_and_the_rest_asked_again(wire: Wire, limit: int) -> None:
    """A meter that answers only the first properties of a list is read in full all the same."""
    request = wire.get(E7, E8, E0, D3, E1)
    wire.talk(FakeMeter(limit=limit))
    assert request.done
    assert all(isinstance(answer, bytes) for answer in request.answers.values())


def test_refused_in_company_is_asked_alone(wire: Wire) -> None:
    """D3 refused beside others is asked once more alone, then it is refused; the others are kept."""
    meter = FakeMeter()
    del meter.properties[D3]
    request = wire.get(E0, D3, E1)
    assert wire.talk(meter) == [[E0, D3, E1], [D3]]
    assert request.answers[D3] is Missing.REFUSED
    assert request.answers[E0] == b"\0\0\xfe\x73"


def test_a_meter_that_takes_one_property_only(wire: Wire) -> None:
    """An answer with nothing in it makes each property be asked alone."""
    request = wire.get(E7, E8)
    wire.hear(wire.ask_tid(), ESV.GET_SNA, {E7: "", E8: ""})
    assert wire.talk(FakeMeter()) == [[E7], [E8]]
    assert request.done


def test_an_answer_split_in_two(wire: Wire) -> None:
    """Get_Res with one part and Get_SNA with the other, both to the first TID, settle the request."""
    request = wire.get(E7, E8)
    first = wire.ask_tid()
    wire.hear(first, ESV.GET_RES, {E7: "000000E4"})
    assert list((wire.send() or (0, 0, {}))[2]) == [E8]
    wire.hear(first, ESV.GET_SNA, {E8: "001E0032"})
    assert request.done
    assert request.answers[E8] == b"\0\x1e\0\x32"


def test_a_late_part_leaves_the_repetition_in_flight(wire: Wire) -> None:
    """Part of an answer to the old TID does not make a third asking: the second one will bring the rest."""
    request = wire.get(E7, E8)
    first = wire.ask_tid()
    wire.wait(6.0)
    second = wire.ask_tid()
    wire.hear(first, ESV.GET_RES, {E7: "000000E4"})
    assert wire.send() is None
    wire.hear(second, ESV.GET_RES, {E7: "000000E5", E8: "001E0032"})
    assert request.answers == {E7: b"\0\0\0\xe4", E8: b"\0\x1e\0\x32"}


def test_an_empty_answer_ends(wire: Wire) -> None:
    """A meter that answers with no property at all (OPC 0) is not asked for ever."""
    request = wire.get(E7, E8)
    for _ in range(3):
        wire.hear(wire.ask_tid(), ESV.GET_RES, {})
    assert request.done
    assert request.answers == {E7: Missing.REFUSED, E8: Missing.REFUSED}


def test_interrupted_reads_are_asked_anew(wire: Wire) -> None:
    """When the gate shuts, a read starts over later, its time not counted; a write ends unanswered."""
    request = wire.get(E7)
    first = wire.ask_tid()
    wire.exchange.interrupted()
    assert wire.exchange.deadline() is None
    wire.wait(3600)
    assert wire.happened == []
    second = wire.ask_tid()
    assert second != first
    wire.exchange.interrupted()
    wire.ask_tid()
    write = wire.exchange.ask(ESV.SETC, METER, [Property(0xE5, b"\x03")])
    wire.hear(second, ESV.GET_RES, {E7: "000000E4"})
    assert request.done
    wire.ask_tid()
    wire.exchange.interrupted()
    assert write.answers == {0xE5: Missing.TIMEOUT}


def test_cancelled_while_waiting_is_never_sent(wire: Wire) -> None:
    """A request nobody waits for leaves the line."""
    kept, cancelled = wire.get(E7), wire.get(E8)
    wire.exchange.cancel(cancelled)
    wire.hear(wire.ask_tid(), ESV.GET_RES, {E7: "000000E4"})
    assert wire.send() is None
    assert wire.happened == [Finished(kept)]


def test_cancelled_in_flight_keeps_its_place(wire: Wire) -> None:
    """The next request waits for its answer or soft deadline: one at a time, also then."""
    cancelled, kept = wire.get(E8), wire.get(E7)
    tid = wire.ask_tid()
    wire.exchange.cancel(cancelled)
    assert wire.send() is None
    wire.hear(tid, ESV.GET_RES, {E8: "001E0032"})
    assert wire.happened == []
    tid = wire.ask_tid()
    wire.exchange.cancel(kept)
    wire.wait(6.0)
    assert wire.send() is None
    assert wire.happened == []


def test_clear_ends_everything(wire: Wire) -> None:
    """When the peer is gone, what is in flight and what waits ends."""
    requests = [wire.get(E7), wire.get(E8)]
    wire.send()
    wire.exchange.clear()
    assert wire.exchange.events() == [Finished(request) for request in requests]


def test_memory_is_bounded(wire: Wire) -> None:
    """Thousands of unanswered requests leave no more than the recent TIDs behind."""
    for _ in range(2000):
        wire.get(E7)
        wire.send()
        wire.wait(20)
    assert len(wire.exchange._recent) == 32
    assert wire.exchange.deadline() is None
