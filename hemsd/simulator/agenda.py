"""What a simulated device has to do later: a virtual clock with a queue, and little plays that wait in between."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from itertools import count

Play = Generator[float, None, None]
"""Something that takes time: it yields the seconds to wait before it goes on."""


class Agenda:
    """Calls in order of their time. Time (seconds, from 0) only moves when `run` is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call at `seconds` from now."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), call))

    def play(self, play: Play) -> None:
        """Start a play at once and go on with it each time its wait is over."""
        wait = next(play, None)
        if wait is not None:
            self.after(wait, lambda: self.play(play))

    def deadline(self) -> float | None:
        """When the next call is due."""
        return self._queue[0][0] if self._queue else None

    def run(self, now: float) -> None:
        """Make every call due by `now`, each at its own time; then it is `now`."""
        while self._queue and self._queue[0][0] <= now:
            self.now, _, call = heapq.heappop(self._queue)
            call()
        self.now = max(self.now, now)

    def clear(self) -> None:
        """Forget all that was planned."""
        self._queue.clear()
