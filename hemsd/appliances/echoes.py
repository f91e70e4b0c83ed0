"""Notifications that come twice, by two ways or because they are sent again, and count once. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from drivers.packet import Packet

KNOWN: Final = 8  # notifications of one node of which a repetition is recognised,
KNOWN_S: Final = 1.0  # for so long


class Echoes:
    """Of one node, whose addresses are several ways to it."""

    def __init__(self) -> None:
        self._heard: deque[tuple[bytes, tuple[str, bool], float]] = deque(maxlen=KNOWN)

    def has(self, packet: Packet, now: float) -> bool:
        """Take a notification; whether it is the last one once more, or one of the last that came another way."""
        way = (packet.address, packet.multicast)
        same = [each for each in self._heard if each[0] == packet.payload and now - each[2] < KNOWN_S]
        repeated = any(each is self._heard[-1] or each[1] != way for each in same)
        self._heard.append((packet.payload, way, now))
        return repeated
