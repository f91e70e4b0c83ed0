"""What is in the air between a module and the one meter that it hears: the meter's network, times, and the law."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field, replace
from functools import lru_cache

CHANNELS = range(0x21, 0x3D)  # register S02: 922.5 MHz and 0.2 MHz a step
BYTE_S = 8 / 100_000  # 100 kbit/s
OVERHEAD_BYTES = 60  # radio and IPv6 headers, security, roughly
BROADCAST = "FF02:0000:0000:0000:0000:0000:0000:0001"


def _route_b_id() -> str:
    """One for each process: hemsd runs once for each meter of a machine. Meters answer to the last 8 digits."""
    return f"00112233{os.getpid():016X}0194BFAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The meter's radio: where it is heard and whom it admits."""

    route_b_id: str = field(default_factory=_route_b_id, repr=False)
    password: str = field(default="0123456789AB", repr=False)
    channel: int = 0x31
    pan_id: int = 0xB5FB
    mac: str = "001C6400601421A3"
    lqi: int = 0xA5
    scan_threshold: int = 5  # the shortest scan duration in which its beacon is caught

    @property
    def address(self) -> str:
        return link_local(self.mac)

    def moved(self, channel: int, pan_id: int) -> Network:
        """The same meter on another channel and PAN ID, as after its firmware update."""
        return replace(self, channel=channel, pan_id=pan_id)

    def exchanged(self, mac: str) -> Network:
        """The network of another meter in its place."""
        return replace(self, mac=mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take, in seconds. The defaults are those of real modules and meters."""

    dwell_s: float = 0.0096  # a scan stays (2**duration + 1) times as long on each channel
    send_s: float = 0.03  # from SKSENDTO to EVENT 21
    solicit_s: float = 0.4  # until a neighbour solicitation is answered
    answer_s: float = 1.1  # of the meter, give or take a quarter
    pana_step_s: float = 0.7
    join_limit_s: float = 38.0  # 2 + 4 + 8 + 8 + 8 + 8: the module's own retries
    close_s: float = 0.3
    after_close_s: float = 10.0  # for so long after a session was closed the meter admits nobody
    lifetime_s: int = 86_400  # Session-Lifetime, as all published captures have it
    duty_limit_s: float = 360.0  # of transmission in an hour (ARIB STD-T108)
    # of J11 modules only
    boot_s: float = 1.0
    connect_s: float = 1.0  # to the meter's network, before authentication
    silent_join_limit_s: float = 706.0  # 491.9 at the least
    refused_join_limit_s: float = 311.5

    @classmethod
    def fast(cls) -> Timing:
        """For demonstrations and tests in real time: a scan (duration 6) of 0.4 s, a join of 0.3 s."""
        return replace(
            cls(),
            dwell_s=0.4 / 65 / len(CHANNELS),
            send_s=0.001,
            solicit_s=0.005,
            answer_s=0.01,
            pana_step_s=0.06,
            join_limit_s=1.0,
            close_s=0.01,
            after_close_s=0.5,
            boot_s=0.02,
            connect_s=0.02,
            silent_join_limit_s=1.5,
            refused_join_limit_s=0.8,
        )


@dataclass(frozen=True, slots=True)
class Beacon:
    network: Network
    paired: bool  # it was asked for by pairing ID


@dataclass(frozen=True, slots=True)
class Datagram:
    """From the meter, as the module got it."""

    to: str
    port: int  # at both ends
    secured: bool
    payload: bytes = field(repr=False)
    lqi: int = 0


class Duty:
    """How long was sent: in all, and within the last hour by the minute."""

    def __init__(self, limit_s: float) -> None:
        self.total_s = 0.0
        self.frames = 0
        self._limit_s = limit_s
        self._minutes: deque[tuple[int, float]] = deque()

    def add(self, size: int, now: float) -> None:
        """A datagram of so many bytes is sent."""
        seconds = (size + OVERHEAD_BYTES) * BYTE_S
        self.total_s += seconds
        self.frames += 1
        minute = int(now // 60)
        if self._minutes and self._minutes[-1][0] == minute:
            seconds += self._minutes.pop()[1]
        self._minutes.append((minute, seconds))

    def exceeded_for_s(self, now: float) -> float:
        """How long sending is forbidden from now on; 0 while it is allowed."""
        while self._minutes and self._minutes[0][0] <= now // 60 - 60:
            self._minutes.popleft()
        excess_s = sum(seconds for _, seconds in self._minutes) - self._limit_s
        allowed_at = now
        for minute, seconds in self._minutes:
            if excess_s <= 0:
                break
            excess_s -= seconds
            allowed_at = (minute + 60) * 60
        return max(allowed_at - now, 0.0)


@lru_cache(16)
def link_local(mac: str) -> str:
    """FE80::/64 and the MAC with the universal/local bit flipped (RFC 4291), written in full."""
    digits = f"{int(mac[:2], 16) ^ 0x02:02X}{mac[2:].upper()}"
    return "FE80:0000:0000:0000:" + ":".join(digits[at : at + 4] for at in range(0, 16, 4))
