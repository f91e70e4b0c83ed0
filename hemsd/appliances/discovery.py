"""When and whom to ask who is there: at start, again soon, because answers get lost, and then for ever. Pure.

ECHONET Lite Specification 1.14, part II, 4.2.1 and 4.3.1. Our own announcement goes first; then everybody is asked
for the list of his instances (Get D6), and once to announce it (INF_REQ D5), for nodes that heed only one of them.
Nodes that multicast does not reach are listed in the configuration and asked by themselves. When a node is missed,
everybody is asked out of turn: mostly it has only moved.
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
LOOKS_S: Final = (5.0, 60.0)  # after one is missed
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
        self._round_at = -math.inf
        self._started_at = 0.0
        self._looks: list[float] = []
        self.due = -math.inf  # when tick() is wanted next: at once, to begin with

    def miss(self, now: float) -> None:
        """A node is not where it was. Who is missed while another is looked for is looked for with him."""
        if not self._looks:
            self._looks = [now + after_s for after_s in LOOKS_S]
            self.due = min(self.due, self._looks[0])

    def look(self) -> None:
        """Ask everybody with the next tick: what was forgotten may be there."""
        self.due = -math.inf

    def tick(self, now: float, ourselves: OwnNode, next_tid: Callable[[], int]) -> list[tuple[str, Frame]]:
        """What to send now, each with its address."""
        if now < self.due:
            return []
        first = self._round == 0
        urged = self._round == URGED_ROUND and now >= self._round_at
        if now >= self._round_at:
            self._round += 1
            self._started_at = now if first else self._started_at
            self._round_at = self._next(now)
        self._looks = [at for at in self._looks if at > now]
        self.due = min([self._round_at, *self._looks])
        sent: list[tuple[str, Frame]] = []
        if first:
            sent += [(group, frame) for frame in ourselves.announcements(next_tid) for group in self.groups]
        sent += [(address, self._asking(ESV.GET, INSTANCE_LIST, next_tid())) for address in self.groups + self._nodes]
        if urged:
            sent += [(group, self._asking(ESV.INF_REQ, ANNOUNCED_LIST, next_tid())) for group in self.groups]
        return sent

    def _asking(self, esv: ESV, epc: int, tid: int) -> Frame:
        self.asked.append(tid)
        return Frame(tid, CONTROLLER, NODE_PROFILE, esv, (Property(epc),))

    def _next(self, now: float) -> float:
        if self._round < len(ROUNDS_S):
            return self._started_at + ROUNDS_S[self._round]
        least, most = AGAIN_S
        return now + least + (most - least) * self._chance()
