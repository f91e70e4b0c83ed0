"""How often what one node has can be read, whatever gets lost and however slow it is. Pure.

Theory. A node is asked one thing at a time, so its line has room for so many requests. Two things are wanted of it:
that reading all there is at its tempo takes no more than BUSY of its time, and that a value is read anew before it is
three polls old, which is that all its other reads, and then the longest wait for this one, fit into two. Where that
cannot be, nothing of the node is read more often than every `interval_s`: what is fastest gives way first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from hemsd.appliances.manners import Manners
from hemsd.echonet.classes.device import Tempo

LIVE_S: Final = Tempo.LIVE.value
BUSY: Final = 0.9  # of the time; the rest is for people and for getting to know it
RARELY: Final = 0.0001  # of reads wait for longer than reckoned with
STEP: Final = 1.25  # from one interval to the next,
STEPS_MAX: Final = 28  # up to more than an hour
MARGIN: Final = 1.25  # that there is to be before it becomes shorter again
TURNS: Final = 32  # about so many are what a read is taken to take


Reads = Callable[[float, float], float]
"""Requests a second that it takes to read all of a node, with an interval in seconds, where one takes so long."""


class Pace:
    """One node's. `interval_s`: nothing of it is read more often."""

    __slots__ = ("_manners", "_read_s", "_steps", "_turns", "interval_s")

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._steps = 0
        self.interval_s = LIVE_S
        self._read_s = 0.0  # a turn takes, with what is repeated and the gap after it
        self._turns = 0  # so many taken, up to TURNS

    def took(self, turn_s: float) -> None:
        """A read took so long."""
        if self._turns < TURNS:
            self._turns += 1
        self._read_s += (turn_s - self._read_s) / self._turns

    def settle(self, reads: Reads) -> None:
        """Find the interval again."""
        while self._steps < STEPS_MAX and not self._fits(reads, self.interval_s):
            self._step(1)
        while self._steps and self._fits(reads, self.interval_s / STEP, MARGIN):
            self._step(-1)

    def _step(self, by: int) -> None:
        self._steps += by
        self.interval_s = LIVE_S * STEP**self._steps

    def _fits(self, reads: Reads, interval_s: float, margin: float = 1.0) -> bool:
        read_s = margin * self._read_s
        busy = reads(interval_s, read_s) * read_s
        return busy <= BUSY and busy + margin * self._wait_s() / interval_s <= 2

    def _wait_s(self) -> float:
        """For one answer, with what gets lost before."""
        manners = self._manners
        share = manners.lost_share
        return manners.usual_s + (manners.soft_s * math.log(RARELY) / math.log(share) if share else 0.0)
