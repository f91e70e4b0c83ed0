"""Keeps a domain running: what to do after each of its failures, and doing it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0  # how long a module that was plugged in again waits at most
PARKED_S = 3600.0  # after a permanent error: a person is needed, the meter is left in peace
SETTLED_S = 300.0  # having run this long, a domain starts from the shortest delay again
SOONEST_S = 0.2  # between two runs, however soon there is reason to try again
TOLERATED = 4  # unexpected failures within WINDOW_S; one more ends the process
WINDOW_S = 600.0

log = logging.getLogger(__name__)


class Kind(IntEnum):
    """How bad a failure is; the worst of several counts."""

    TRANSIENT = 1  # may be over by itself
    PERMANENT = 2  # a person has to change something first
    UNEXPECTED = 3  # a fault of ours


class KeepsFailing(Exception):
    """A domain failed unexpectedly too often; only a new process can help."""


class Policy:
    """Decides how long one domain waits after a failure. Takes time and chance as arguments."""

    def __init__(self) -> None:
        self._streak = 0
        self._unexpected: deque[float] = deque(maxlen=TOLERATED + 1)

    def failed(self, kind: Kind, now: float, *, ran_s: float, chance: float) -> float | None:
        """Seconds to wait before running it again, None when it shall not run again.

        `ran_s` is how long it ran before; `chance` (0 to 1) spreads the delays from a half to the whole.
        """
        if ran_s >= SETTLED_S:
            self._streak = 0
        if kind is Kind.PERMANENT:
            return PARKED_S
        if kind is Kind.UNEXPECTED:
            self._unexpected.append(now)
            if len(self._unexpected) > TOLERATED and now - self._unexpected[0] <= WINDOW_S:
                return None
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._streak, 16))
        self._streak += 1
        return delay * (1 + chance) / 2


def worst(error: Exception, kind_of: Callable[[Exception], Kind]) -> tuple[Kind, Exception]:
    """The kind of a failure, and the error that decides it where several came together."""
    if isinstance(error, ExceptionGroup):
        return max((worst(each, kind_of) for each in error.exceptions), key=lambda found: found[0])
    return kind_of(error), error


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    kind_of: Callable[[Exception], Kind],
    *,
    on_failure: Callable[[str], None] = lambda text: None,
    sooner: Callable[[Exception], Awaitable[None]] | None = None,
    chance: Callable[[], float] = random.random,
) -> None:
    """Run `work` again and again until cancelled, waiting after each failure as Policy says.

    `on_failure` is told each failure in a sentence; the same one is logged once. A wait ends early when `sooner`,
    given the error, returns; one that fails is of no use, and no harm. Raises KeepsFailing.
    """
    policy, clock, told = Policy(), asyncio.get_running_loop().time, ""
    while True:
        started = clock()
        try:
            await work()
            raise RuntimeError("ended by itself")
        except Exception as failure:
            kind, error = worst(failure, kind_of)
            text = str(error) if kind is not Kind.UNEXPECTED else f"{type(error).__name__}: {error}"
            delay = policy.failed(kind, clock(), ran_s=clock() - started, chance=chance())
            if kind is Kind.UNEXPECTED:
                log.exception("%s failed unexpectedly", name, exc_info=failure)
            elif text == told and clock() - started < SETTLED_S:
                log.debug("%s: still %s", name, text)
            elif kind is Kind.PERMANENT:
                log.error("%s: %s (tried again in an hour at the latest, or when hemsd is restarted)", name, text)
            else:
                log.warning("%s: %s", name, text)
            told = text
            on_failure(text)
            if delay is None:
                raise KeepsFailing(f"{name} keeps failing: {text}") from failure
        log.debug("%s: again in %.1f s", name, delay)
        failed = clock()
        if sooner is not None:
            try:
                await asyncio.wait_for(sooner(error), delay)
            except TimeoutError:
                pass
            except Exception as trouble:
                log.warning("%s: that it could be tried again sooner would not be noticed: %s", name, trouble)
            else:
                delay = min(delay, SOONEST_S)
        await asyncio.sleep(failed + delay - clock())
