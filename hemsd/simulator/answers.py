"""What comes back from the meter when it is asked, faults included, whatever carries it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hemsd.simulator.faults import Faults, Flaw, Spell
from hemsd.simulator.meter import GET_RES, Meter, Telegram, asks_for_history, refused, shortened


class Answer(NamedTuple):
    """A telegram, and how much later than usual it comes."""

    telegram: Telegram
    late_s: float


def answer_s(usual_s: float, faults: Faults, chance: Random, now: float) -> float:
    """How long an answer takes; where it is slow, 19 of 20 come within the seconds told."""
    for slow in faults.held(Spell.SLOW, now):
        return usual_s / 2 + chance.expovariate(3 / (slow.arg - usual_s / 2))
    return usual_s * chance.uniform(0.75, 1.25)


def answers(meter: Meter, payload: bytes, faults: Faults, now: float) -> list[Answer]:
    """The meter's answers to a datagram: one, or by its nature or a fault none, or twice the same."""
    take = faults.take
    if asks_for_history(payload) and (moved := take(Flaw.SELECTOR_MOVED, now)):
        meter.object.set(*moved.arg)
    answer = meter.answer(payload, now)
    for chatter in faults.held(Spell.CHATTER, now) if answer else ():
        meter.notify(now, chatter.arg, tid=int.from_bytes(payload[2:4], "big"))
    if answer is None or take(Flaw.ANSWER_LOST, now):
        return []
    if answer.payload[10] == GET_RES:
        if take(Flaw.ANSWER_SHORT, now):
            answer = answer._replace(payload=shortened(answer.payload))
        elif take(Flaw.ANSWER_REFUSED, now):
            answer = answer._replace(payload=refused(answer.payload))
    late = take(Flaw.ANSWER_LATE, now)
    copies = 2 if take(Flaw.ANSWER_TWICE, now) else 1
    return [Answer(answer, late.seconds if late else 0.0)] * copies
