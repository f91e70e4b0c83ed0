"""How long a peer takes to answer: its last round trips, and the time that 95 of 100 of them keep to."""

from __future__ import annotations

from collections import deque

KEPT = 32  # round trips remembered


class RoundTrips:
    """The last KEPT round trips in seconds. One that is assumed counts like one observed, until it is forgotten."""

    __slots__ = ("_kept", "p95_s")

    def __init__(self, assumed_s: float) -> None:
        self.p95_s = assumed_s
        self._kept = deque([assumed_s], KEPT)

    def observe(self, round_trip_s: float) -> None:
        """Remember one, forget the oldest."""
        kept, p95_s = self._kept, self.p95_s
        full, oldest_s = len(kept) == KEPT, kept[0]
        kept.append(round_trip_s)
        if not full or round_trip_s > p95_s or oldest_s >= p95_s:  # otherwise it stays where it is among them
            self.p95_s = sorted(kept)[(95 * len(kept) - 1) // 100]
