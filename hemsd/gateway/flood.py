"""How often something may happen. Pure."""

from __future__ import annotations


class Bucket:
    """Takes `burst` at once, and `per_s` for as long as it goes on."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left = float(burst)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether it may happen now; it counts if so. `now` is monotonic, in seconds."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
