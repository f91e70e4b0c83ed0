"""An event loop whose clock jumps: thirty days of waiting take no time."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DEADLOCK_S = 30.0  # of real time in which nothing happens although nothing is scheduled


class _Selector(selectors.DefaultSelector):
    """Where nothing is ready, time jumps to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            if not (ready := super().select(DEADLOCK_S)):
                raise RuntimeError("nothing is scheduled and nothing happens: everybody waits for somebody else")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that begins at 0 s and in which sleeping takes no time; `jump` moves its clock by hand."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Threads live in real time: the timeout that Python 3.12 and later set would jump ahead of them."""
        await super().shutdown_default_executor()

    def jump(self, to_s: float) -> None:
        """What a blocked loop looks like."""
        self._clock.now = to_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
