"""How long our own radio was on the air within the last hour, estimated from what the module was given. Pure.

ARIB STD-T108 allows 360 s of transmission in an hour at 20 mW; a module that reaches them sends nothing any more
(SendLimit). What a module counts it does not tell in a way that all families share, so this is an estimate from
sizes, at 100 kbit/s: the radio's own retries and acknowledgements are not seen and not counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache

from drivers.module import Command, Join, Rejoin, Scan, Send

BYTE_S = 8 / 100_000
FRAGMENT_BYTES = (185, 360, 544, 728, 912, 1096, 1232)  # the most that 1, 2, ... fragments carry (J11 63TR014J)
OVERHEAD_BYTES = (
    82  # of a fragment: 255 - 185 of headers and integrity code, 12 of preamble, delimiter and PHY header
)
JOIN_S = 0.1  # PCI, three PANA answers and a neighbour solicitation of about 120 bytes; a failing one repeats as many
SCAN_S = 0.1  # a beacon request of some 40 bytes on each of 28 channels
MINUTES = 60

AIR_S: Mapping[type[Command], float] = {Join: JOIN_S, Rejoin: JOIN_S, Scan: SCAN_S}
"""Of commands other than Send; nothing of the others goes on the air, or a few bytes."""

_REMEMBERED = 32  # sizes; those of one meter's Gets are few


class Airtime:
    """Ours, in a ring of sixty minutes. `now` is seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._minutes: dict[int, float] = {}  # in order, and the seconds in each

    def given(self, command: Command, now: float) -> None:
        """The module is given this command."""
        minutes, minute = self._minutes, int(now) // 60
        air_s = datagram_s(len(command.payload)) if isinstance(command, Send) else AIR_S.get(type(command), 0.0)
        if minute in minutes:
            minutes[minute] += air_s
            return
        minutes[minute] = air_s
        if len(minutes) > MINUTES:
            del minutes[next(iter(minutes))]

    def last_hour_s(self, now: float) -> float:
        """Seconds of transmission within the last sixty minutes, the present one included."""
        since = int(now // 60) - MINUTES
        return sum(seconds for minute, seconds in self._minutes.items() if minute > since)


@lru_cache(_REMEMBERED)
def datagram_s(size: int) -> float:
    """How long a datagram of so many bytes (1-1232) takes to be sent."""
    fragments = bisect_left(FRAGMENT_BYTES, min(size, FRAGMENT_BYTES[-1])) + 1
    return (size + fragments * OVERHEAD_BYTES) * BYTE_S
