"""How long a peer takes to answer: its last round trips, and the time that 95 of 100 of them keep to."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

KEPT = 32  # round trips remembered


class RoundTrips:
    """The last KEPT round trips in seconds. One that is assumed counts like one observed, until it is forgotten."""

    __slots__ = ("_in_order", "_ranked", "p95_s")

    def __init__(self, assumed_s: float) -> None:
        self.p95_s = assumed_s
        self._in_order = deque([assumed_s])
        self._ranked = [assumed_s]  # the same in rising order

    def observe(self, round_trip_s: float) -> None:
        """Remember one, forget the oldest."""
        ranked, in_order = self._ranked, self._in_order
        if len(in_order) == KEPT:
            del ranked[bisect_left(ranked, in_order.popleft())]
        in_order.append(round_trip_s)
        insort(ranked, round_trip_s)
        self.p95_s = ranked[(95 * len(ranked) - 1) // 100]
