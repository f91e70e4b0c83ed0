"""What comes back from the meter when it is asked, faults included, whatever carries it."""

from __future__ import annotations

from typing import NamedTuple

from hemsd.simulator.faults import Faults, Flaw
from hemsd.simulator.meter import GET_RES, Meter, Telegram, asks_for_history, refused, shortened


class Answer(NamedTuple):
    """A telegram, and how much later than usual it comes."""

    telegram: Telegram
    late_s: float


def answers(meter: Meter, payload: bytes, faults: Faults, now: float) -> list[Answer]:
    """The meter's answers to a datagram: one, or by its nature or a fault none, or twice the same."""
    take = faults.take
    if asks_for_history(payload) and (moved := take(Flaw.SELECTOR_MOVED, now)):
        meter.object.set(*moved.arg)
    answer = meter.answer(payload, now)
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
