"""Comes back to a broker for ever, ever less often while that is of no use, and not in step with other homes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from hemsd.gateway.config import LinkConfig
from hemsd.gateway.connection import BrokerError, Version

_log = logging.getLogger("hemsd.gateway")


class Backoff(NamedTuple):
    """How long to wait before a new attempt: `first_s`, twice as long after each failure, `cap_s` at most.

    `jitter` (0 to 1) is the share of it that is left to chance.
    """

    first_s: float
    cap_s: float
    jitter: float

    def pause_s(self, failures: int, chance: float) -> float:
        """Before the next attempt, after so many failures in a row; `chance` is 0 to 1."""
        longest = min(self.cap_s, self.first_s * 2.0 ** min(failures, 30))
        return longest * (1 - self.jitter * (1 - chance))


async def stay_connected(
    config: LinkConfig,
    session: Callable[[Version], Coroutine[Any, Any, None]],
    lost: Callable[[str], None],
    backoff: Backoff,
    *,
    clock: Callable[[], float],
    chance: Callable[[], float],
) -> None:
    """Run a session after the other, until cancelled; `lost` hears why each that failed did.

    A session raises BrokerError when it fails, and returns when it wants to be begun anew. What has lasted for longer
    than the longest pause was no failure; after it MQTT 5 is tried anew, which a broker may refuse while it starts.
    """
    wanted: Version = "3.1.1" if config.version == "3.1.1" else "5"
    version = wanted
    told: set[str] = set()  # troubles logged since all was well: not again with each retry
    failures = 0
    while True:
        began = clock()
        try:
            await session(version)
        except BrokerError as error:
            if clock() - began > backoff.cap_s:
                told.clear()
                failures, version = 0, wanted
            if str(error) not in told:
                _log.warning("%s", error)
                told.add(str(error))
            lost(str(error))
            if error.try_other_version and config.version == "auto":
                version = "3.1.1" if version == "5" else "5"
        else:
            failures = 0
        await asyncio.sleep(backoff.pause_s(failures, chance()))
        failures += 1


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run these until one ends or fails, and cancel the others.

    A TaskGroup of Python 3.11 loses a cancellation that coincides with a failure, and a broker and this process often
    stop together.
    """
    tasks = [asyncio.create_task(each, name="gateway") for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
