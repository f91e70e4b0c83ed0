"""The network link in memory: who hears what, and what the wire does to it."""

from __future__ import annotations

from typing import NamedTuple

from support.simulated import get, set_c, world

from hemsd.simulator.appliances import ApplianceNode, GeneralLighting, Segment

W = world()
US = "192.168.1.5"
GROUP = "224.0.23.0"


class Packet(NamedTuple):
    address: str
    payload: bytes
    port: int = 3610
    multicast: bool = False


class Asker:
    """A machine that asks once a second."""

    def __init__(self, to: str, payload: bytes) -> None:
        self.heard: list[tuple[float, Packet]] = []
        self.asks = True
        self._packet = Packet(to, payload)
        self._next = 0.0
        self._out: list[Packet] = []

    def receive(self, item: Packet, now: float) -> bool:
        self.heard.append((now, item))
        return True

    def tick(self, now: float) -> None:
        while self._next <= now:
            self._next += 1.0
            self._out += [self._packet] * self.asks

    def deadline(self) -> float:
        return self._next

    def outgoing(self) -> list[Packet]:
        out, self._out = self._out, []
        return out


def lamps(count: int = 1) -> list[ApplianceNode]:
    return [ApplianceNode(W, [GeneralLighting(W)], f"192.168.1.{20 + number}") for number in range(count)]


def test_one_is_asked_and_answers_the_asker() -> None:
    """With its address, and the port that it came from; another controller hears nothing of it."""
    asker, other = Asker("192.168.1.20", get(0x029001, 0x80)), Asker(GROUP, b"")
    other.asks = False
    segment = Segment(lamps(2))
    segment.join(asker, US, Packet)
    segment.join(other, "192.168.1.6", Packet)
    segment.run(0.5)
    ((at, answer),) = [each for each in asker.heard if not each[1].multicast]
    assert 0.001 < at < 0.1
    assert answer[0] == "192.168.1.20" and answer.payload[10] == 0x72
    assert other.heard == []  # the nodes had greeted before


def test_all_are_asked() -> None:
    """Each answers, the asker does not hear itself, and what is announced reaches every controller."""
    segment = Segment()
    askers = [Asker(GROUP, set_c(0x029001, (0x80, "30"))), Asker(GROUP, b"")]
    askers[1].asks = False
    for number, asker in enumerate(askers):
        segment.join(asker, f"192.168.1.{5 + number}", Packet)
    for node in lamps(3):
        segment.add(node)
    segment.run(1.5)
    assert len([1 for _, packet in askers[0].heard if packet.payload[10] == 0x71]) == 3
    for asker in askers:
        told = [packet for _, packet in asker.heard if packet.payload[10] == 0x73]
        assert len(told) == 6 and all(packet.multicast for packet in told)  # greetings, then what changed


def test_every_third_is_lost() -> None:
    """One of three in a row, drawn by the seed: two thirds of two thirds of the questions are answered."""
    asker = Asker("192.168.1.20", get(0x029001, 0x80))
    segment = Segment(lamps(), loses_one_of=3, seed=4)
    segment.join(asker, US, Packet)
    segment.run(899.5)
    answers = len([1 for _, packet in asker.heard if packet.payload[10] == 0x72])
    assert 360 <= answers <= 440


def test_doubled_and_overtaken() -> None:
    """By the share that is asked for; all arrive."""
    asker = Asker("192.168.1.20", get(0x029001, 0x80))
    segment = Segment(lamps(), doubles=0.5, overtakes=0.3)
    segment.join(asker, US, Packet)
    segment.run(100.5)
    answers = [at for at, packet in asker.heard if packet.payload[10] == 0x72]
    assert 180 < len(answers) < 280  # 101 questions, each half doubled: 227
    assert max(at % 1 for at in answers) > 0.2


def test_the_same_seed_does_the_same() -> None:
    """And another something else."""

    def told(seed: int) -> list[tuple[float, bytes]]:
        segment = Segment(lamps(2), loses_one_of=3, doubles=0.2, overtakes=0.2, seed=seed)
        asker = Asker(GROUP, get(0x029001, 0x80))
        segment.join(asker, US, Packet)
        segment.run(30)
        return [(at, packet.payload) for at, packet in asker.heard]

    assert told(1) == told(1) != told(2)


def test_cut_off_pulled_out_and_moved() -> None:
    """What happens at a time, what a person does, and who is there no more."""
    (node,) = lamps()
    asker = Asker("192.168.1.20", get(0x029001, 0x80))
    segment = Segment([node])
    segment.join(asker, US, Packet)
    segment.at(9.5, lambda: segment.cut.add("192.168.1.20"))
    segment.at(19.5, segment.cut.clear)
    segment.at(29.5, lambda: node.move("192.168.1.99"))
    segment.at(29.6, lambda: segment.poke(node))
    segment.at(39.5, lambda: segment.remove(node))
    segment.run(60)
    heard = [at for at, packet in asker.heard if packet.payload[10] == 0x72]
    assert [len([at for at in heard if start <= at < start + 10]) for start in range(0, 60, 10)] == [
        10,
        0,
        10,
        0,
        0,
        0,
    ]
    moved = [packet for _, packet in asker.heard if packet.address == "192.168.1.99"]
    assert [packet.payload[10] for packet in moved] == [0x73]
