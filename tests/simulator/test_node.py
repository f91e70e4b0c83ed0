"""The simulated meter on an IPv6 link: whom it answers and tells, and each fault that applies to it."""

from __future__ import annotations

from typing import Any

import pytest
from support.simulator import HOUSEHOLD, START, get

from hemsd.simulator import Fault, Flaw, Meter, MeterNode, Plate, Spell, Strike
from hemsd.simulator.node import Datagram

US, THEM = "fe80::5", "fe80::6"
WHO = bytes.fromhex("1081000105FF010EF0016201D600")
LIST = bytes.fromhex("108100010EF00105FF017201D60401028801")
ANNOUNCED = bytes.fromhex("108100000EF0010EF0017301D50401028801")
ANSWER = bytes.fromhex("1081123402880105FF017201E10101")


class Bench:
    """A node on the table."""

    def __init__(self, *faults: Fault, meter: dict[str, Any] | None = None) -> None:
        arguments = {"start": START, "plate": Plate(generation=2), **(meter or {})}
        self.node = MeterNode(Meter(HOUSEHOLD, **arguments), faults=faults)
        self.now = 0.0
        self.said: list[tuple[float, Datagram]] = []

    def wait(self, seconds: float) -> list[Datagram]:
        """Let time pass; what it said meanwhile."""
        begun, end = len(self.said), self.now + seconds
        while (due := self.node.deadline()) is not None and due <= end:
            self.now = due
            self.node.tick(due)
            self.said += [(due, datagram) for datagram in self.node.outgoing()]
        self.now = end
        return [datagram for _, datagram in self.said[begun:]]

    def ask(
        self, payload: bytes, sender: str = US, *, multicast: bool = False, seconds: float = 1.0
    ) -> list[Datagram]:
        self.node.receive(sender, payload, self.now, multicast=multicast)
        return self.wait(seconds)

    def settled(self) -> Bench:
        """With its first announcement over."""
        self.wait(1.0)
        return self


def test_it_announces_itself_to_everyone_when_switched_on() -> None:
    """ECHONET Lite part II, 4.3: the instance list, once."""
    bench = Bench()
    assert bench.wait(10) == [Datagram(None, ANNOUNCED)]


def test_it_answers_whoever_asks_and_alone() -> None:
    """Asked by itself or with everyone, the answer goes to the asker only."""
    bench = Bench().settled()
    assert bench.ask(WHO, multicast=True) == [Datagram(US, LIST)]
    assert bench.ask(WHO, THEM) == [Datagram(THEM, LIST)]
    assert bench.ask(b"\x10\x81 garbage") == []


@pytest.mark.parametrize(("confirmed", "esv"), [(False, 0x73), (True, 0x74)])
def test_half_hours_go_to_the_controller_that_asked_last(confirmed: bool, esv: int) -> None:
    """A question to everyone makes nobody a controller; without one nothing is said."""
    bench = Bench(meter={"confirmed": confirmed}).settled()
    bench.ask(WHO, multicast=True)
    assert bench.wait(1800) == []
    bench.ask(get(0xE7))
    told = bench.wait(1800)
    assert {to for to, _ in told} == {US}
    assert {payload[10] for _, payload in told} == {esv}
    bench.ask(get(0xE7), THEM)
    assert {to for to, _ in bench.wait(1800)} == {THEM}


def test_an_inf_confirmed_is_not_repeated() -> None:
    """INFC comes again every 20 s until it is answered."""
    bench = Bench(meter={"confirmed": True}).settled()
    bench.ask(get(0xE7))
    (_, told), *_ = bench.wait(900)
    answer = told[:4] + told[7:10] + told[4:7] + b"\x7a" + told[11:12] + bytes.fromhex("EA00EB00")
    assert bench.ask(answer, seconds=60) == []


@pytest.mark.parametrize(
    ("fault", "answers"),
    [
        (Fault(Flaw.ANSWER_LOST), 0),
        (Fault(Flaw.ANSWER_TWICE), 2),
        (Fault(Spell.METER_SILENT, seconds=2), 0),
        (Fault(Spell.RADIO_LOST, seconds=2), 0),
    ],
)
def test_answers_lost_and_doubled(fault: Fault, answers: int) -> None:
    """For as long, or as often, as the fault says."""
    bench = Bench(fault)
    assert len([each for each in bench.ask(get(0xE1)) if each.to]) == answers
    bench.settled()
    assert bench.ask(get(0xE1)) == [Datagram(US, ANSWER)]


def test_answers_late_short_and_refused() -> None:
    """One after the other."""
    bench = Bench(
        Fault(Flaw.ANSWER_LATE, seconds=15), Fault(Flaw.ANSWER_SHORT, at=20), Fault(Flaw.ANSWER_REFUSED, at=30)
    )
    assert bench.ask(get(0xE1), seconds=14)[1:] == []
    assert bench.wait(2) == [Datagram(US, ANSWER)]
    bench.wait(5)
    (short,) = bench.ask(get(0xE1, 0xD7))
    assert short.payload[10:12] == b"\x52\x01"
    bench.wait(10)
    (refused,) = bench.ask(get(0xE1))
    assert refused.payload[10:] == bytes.fromhex("5201E100")


def test_a_restart_forgets_the_controller_and_is_announced() -> None:
    """So does a move to another address."""
    bench = Bench(Fault(Strike.METER_RESTARTS, at=10), Fault(Strike.MOVE_PAN, at=3000, arg=THEM)).settled()
    bench.ask(get(0xE7))
    bench.wait(8)
    assert bench.ask(get(0xE7), seconds=2) == []  # starting
    assert bench.wait(5) == [Datagram(None, ANNOUNCED)]
    assert bench.wait(1800) == []
    assert bench.node.address != THEM
    assert bench.wait(1800) == [Datagram(None, ANNOUNCED)]
    assert bench.node.address == THEM


def test_what_happens_to_the_meter_is_told() -> None:
    """A value held, an announcement now, a change of status."""
    bench = Bench(
        Fault(Spell.VALUE, at=5, seconds=10, arg=(0xE1, b"\x02")),
        Fault(Strike.NOTIFY, at=20),
        Fault(Strike.METER_STATUS, at=30, arg=(0x88, b"\x41")),
    ).settled()
    bench.wait(5)
    assert bench.ask(get(0xE1))[0].payload[-1] == 2
    told = bench.wait(30)
    assert [payload[12] for _, payload in told] == [0xEA, 0x88]
