"""Whatever a meter answers, and whenever: the usual answer is worth as much, be it recognised or read."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hemsd.echonet.exchange import Exchange, QueueFull
from hemsd.echonet.frame import ESV, Frame, Property, decode, encode
from hemsd.echonet.objects import METER

SIZES = {0xE7: 4, 0xE8: 4, 0xE0: 4, 0xEA: 11, 0xE2: 194}
GETS = ([0xE7, 0xE8], [0xE7, 0xE8], [0xE0, 0xEA, 0xE7], [0xE2])
STEPS = ("ask", "send", "send", "answer", "answer", "answer", "wait", "cancel")


class Reader(Exchange):
    """Recognises nothing."""

    def send(self, now: float) -> bytes | None:
        self._next.cache_clear()
        return super().send(now)


class Recogniser(Exchange):
    """Counts what it recognises."""

    recognised = 0

    def receive(self, data: bytes, now: float) -> None:
        asking = self._asking
        if asking is not None and asking.batch.shape is not None and data.startswith(asking.head):
            self.recognised += asking.batch.shape.told(data) is not None
        super().receive(data, now)


def answered(datagram: bytes, random: Random) -> bytes:
    """What a meter makes of a datagram: mostly what it should, sometimes less, more or something else."""
    asked = decode(datagram)
    reads = asked.esv == ESV.GET
    told = [Property(p.epc, random.randbytes(SIZES[p.epc]) if reads else b"") for p in asked.properties]
    esv = ESV.GET_RES if reads else ESV.SET_RES
    match random.randrange(16):
        case 0:
            told, esv = told[: random.randrange(len(told) + 1)], ESV.GET_SNA if reads else ESV.SETC_SNA
        case 1 | 2 | 3:
            told = [Property(told[0].epc, b"\0" * random.choice((0, 0, 3))), *told[1:]]
        case 4 | 5 | 6:
            told = [Property(p.epc, random.randbytes(len(p.edt))) for p in random.choices(told, k=len(told))]
        case 7:
            random.shuffle(told)
    answer = Frame(asked.tid, asked.deoj, asked.seoj, esv, tuple(told), (), b"\0" * (random.randrange(8) == 0))
    data = bytearray(encode(answer))
    if random.randrange(8) == 0:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data[: random.randrange(len(data))] if random.randrange(12) == 0 else data)


def life(exchange: Exchange, random: Random) -> list[Any]:
    """All that comes of a life with it."""
    now, came, sent, requests = 0.0, list[Any](), list[bytes](), list[Any]()
    for _ in range(200):
        match random.choice(STEPS):
            case "ask":
                write = random.randrange(4) == 0
                wanted = [Property(0xE5, b"\1")] if write else [Property(epc) for epc in random.choice(GETS)]
                try:
                    requests.append(exchange.ask(ESV.SETC if write else ESV.GET, METER, wanted))
                except QueueFull:
                    came.append("full")
            case "send":
                if (datagram := exchange.send(now)) is not None:
                    sent.append(datagram)
                    came.append(datagram)
                    exchange.sent(now)
            case "answer" if sent:
                exchange.receive(answered(random.choice(sent[-3:]), random), now)
            case "wait":
                now += random.choice((0.1, 0.5, 3.0, 30.0))
                exchange.tick(now)
            case "cancel" if requests and random.randrange(4) == 0:
                exchange.cancel(requests.pop(random.randrange(len(requests))))
        came += [(type(each).__name__, getattr(each, "frame", None)) for each in exchange.events()]
        came += [(dict(each.answers), each.wanted, each.done) for each in requests[-3:]]
        came += [dict(exchange.counters), list(exchange.unanswered), exchange.deadline()]
    return came


@given(st.integers(0, 1 << 32))
def test_an_answer_that_is_recognised_is_worth_as_much(seed: int) -> None:
    """Answers, counters and times are the same, and so is what is asked next."""
    assert life(Recogniser(), Random(seed)) == life(Reader(), Random(seed))


def test_the_usual_answer_is_recognised() -> None:
    """The control: there is something to compare, of reads and of writes."""
    recognised = 0
    for seed in range(50):
        life(exchange := Recogniser(), Random(seed))
        recognised += exchange.recognised
    assert recognised > 200
