"""When and whom to ask who is there: at start, again soon, because answers get lost, and then for ever. Pure.

ECHONET Lite Specification 1.14, part II, 4.2.1 and 4.3.1. Our own announcement goes first; then everybody is asked
for the list of his instances (Get D6), and once to announce it (INF_REQ D5), for nodes that heed only one of them.
Nodes that multicast does not reach are listed in the configuration and asked by themselves.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from hemsd.appliances.ourselves import ANNOUNCED_LIST, INSTANCE_LIST, OwnNode
from hemsd.echonet.frame import ESV, Frame, Property
from hemsd.echonet.objects import CONTROLLER, NODE_PROFILE

ROUNDS_S: Final = (0.0, 3.0, 10.0, 60.0)  # after the start
AGAIN_S: Final = (600.0, 3600.0)  # from round to round after those: at least, at most
ASKED_KNOWN: Final = 64
URGED_ROUND: Final = 1  # in which everybody is also asked to announce himself


class Discovery:
    """The rounds of one network. `groups`: multicast addresses that we can send to; `chance`: numbers in [0, 1)."""

    def __init__(self, groups: tuple[str, ...], nodes: tuple[str, ...], chance: Callable[[], float]) -> None:
        self.groups = groups
        self.asked: deque[int] = deque(maxlen=ASKED_KNOWN)  # TIDs that anybody may answer
        self._nodes = nodes
        self._chance = chance
        self._round = 0
        self._started_at = 0.0
        self.due = -math.inf  # when tick() is wanted next: at once, to begin with

    def tick(self, now: float, ourselves: OwnNode, next_tid: Callable[[], int]) -> list[tuple[str, Frame]]:
        """What to send now, each with its address."""
        if now < self.due:
            return []
        sent: list[tuple[str, Frame]] = []
        if self._round == 0:
            self._started_at = now
            sent += [(group, frame) for frame in ourselves.announcements(next_tid) for group in self.groups]
        sent += [(address, self._asking(ESV.GET, INSTANCE_LIST, next_tid())) for address in self.groups + self._nodes]
        if self._round == URGED_ROUND:
            sent += [(group, self._asking(ESV.INF_REQ, ANNOUNCED_LIST, next_tid())) for group in self.groups]
        self._round += 1
        self.due = self._next(now)
        return sent

    def _asking(self, esv: ESV, epc: int, tid: int) -> Frame:
        self.asked.append(tid)
        return Frame(tid, CONTROLLER, NODE_PROFILE, esv, (Property(epc),))

    def _next(self, now: float) -> float:
        if self._round < len(ROUNDS_S):
            return self._started_at + ROUNDS_S[self._round]
        least, most = AGAIN_S
        return now + least + (most - least) * self._chance()
