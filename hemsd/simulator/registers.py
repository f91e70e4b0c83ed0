"""The module's S-registers: width, range, default, and who may write them (BP35A1 command reference, SKSREG)."""

from __future__ import annotations

from typing import NamedTuple


class Register(NamedTuple):
    default: int
    digits: int
    low: int = 0
    high: int = 0
    saved: bool = False  # by SKSAVE


CHANNEL, PAN_ID, FRAME_COUNTER, PAIRING_ID = 0x02, 0x03, 0x07, 0x0A
RENEWS, SHOWS_LQI, LIMITED, SENT_MS, ECHO, AUTOLOAD = 0x17, 0xA2, 0xFB, 0xFD, 0xFE, 0xFF

REGISTERS = {  # S0A, the pairing ID, is text and kept apart
    CHANNEL: Register(0x21, 2, 0x21, 0x3C, saved=True),
    PAN_ID: Register(0xFFFF, 4, 0, 0xFFFF, saved=True),
    FRAME_COUNTER: Register(0, 8, 1),  # an empty range: cannot be written
    0x15: Register(0, 1, 0, 1),  # answer beacon requests
    0x16: Register(0x384, 8, 0x3C, 0xFFFFFFFF),  # PANA lifetime proposed
    RENEWS: Register(1, 1, 0, 1),
    0xA0: Register(1, 1, 0, 1),  # encrypt multicast
    0xA1: Register(1, 1, 0, 1),  # accept plain ICMP
    SHOWS_LQI: Register(0, 1, 0, 4),  # single-hop stacks: transmission power 0-4, without effect here
    LIMITED: Register(0, 1, 1),
    SENT_MS: Register(0, 16),  # may be cleared only
    ECHO: Register(1, 1, 0, 1),
    AUTOLOAD: Register(0, 1, 0, 1, saved=True),
}


def defaults() -> dict[int, int]:
    """All registers as after a reset."""
    return {number: register.default for number, register in REGISTERS.items()}
