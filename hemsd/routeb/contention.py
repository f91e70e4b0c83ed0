"""Whether somebody else is at our meter: evidence of a second controller, collected over an hour. Pure.

A meter admits one controller (BP35A1 command reference, SKJOIN), so a second one shows by what it does to us: the
meter ends our session, refuses a join that the radio and the password are good for, or answers with another day's
history because the selector (E5, ED) was moved between our writing and our reading it. Each of these happens once
for innocent reasons (a restart of the meter, midnight); only in numbers are they evidence.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 3600.0  # evidence older than this is forgotten; it ends when an hour was quiet
DISPLACED = 3  # sessions ended by the meter, joins refused
SELECTOR_MOVED = 2
ADVICE = (
    "another controller seems to be at this meter: a meter admits one at a time. Switch off other HEMS controllers, "
    "energy monitors and programs that use this Route B ID, or give one of them up"
)


class Contention:
    """The evidence. `now` is seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._displaced: deque[float] = deque(maxlen=DISPLACED)
        self._moved: deque[float] = deque(maxlen=SELECTOR_MOVED)
        self._quiet_at = float("-inf")  # until then it holds
        self._told_at = float("-inf")

    def displaced(self, now: float) -> bool:
        """The meter put us out, or kept us out, although nothing is wrong. Whether that is to be told a person."""
        return self._seen(self._displaced, now)

    def selector_moved(self, now: float) -> bool:
        """The meter's selector was not as we had left it. Whether that is to be told a person."""
        return self._seen(self._moved, now)

    def holds(self, now: float) -> bool:
        """Whether a second controller is likely: until an hour has passed without a sign of it."""
        return now < self._quiet_at

    def _seen(self, signs: deque[float], now: float) -> bool:
        signs.append(now)
        if self.holds(now) or (len(signs) == signs.maxlen and now - signs[0] <= WINDOW_S):
            self._quiet_at = now + WINDOW_S
            if now - self._told_at >= WINDOW_S:
                self._told_at = now
                return True
        return False
