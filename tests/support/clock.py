"""An event loop whose clock jumps: thirty days of waiting take no time.

Threads live in real time. While one works for the loop (`run_in_executor`, `asyncio.to_thread`) the clock stands
still: it would otherwise jump past the time limits of those who wait for it.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DEADLOCK_S = 30.0  # of real time in which nothing happens although nothing is scheduled


class _Selector(selectors.DefaultSelector):
    """Where nothing is ready, time jumps to the next timer."""

    now = 0.0
    working = 0  # calls in threads

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or (timeout > 0 and self.working):
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

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Call in a thread, in no time as this clock has it."""
        done = super().run_in_executor(executor, func, *args)
        self._clock.working += 1
        done.add_done_callback(self._worked)
        return done

    def _worked(self, _: object) -> None:
        self._clock.working -= 1

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
