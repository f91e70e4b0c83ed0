"""The serial input and the frames of a J11 module, by the letter of its UART interface.

What does not begin with the unique code of a request is discarded. A frame whose bytes stop for 1 s is given up.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUEST, RESPONSE = bytes.fromhex("D0EA83FC"), bytes.fromhex("D0F9EE5D")
HEADER = 12  # unique code 4, command 2, length 2, sum of these 2, sum of the data 2
MAX_LENGTH = 1353  # of both sums and the data
GAP_S = 1.0
GAP, HEADER_SUM, DATA_SUM, TOO_SHORT, TOO_LONG = 0x13, 0xF0, 0xF1, 0xF2, 0xF3  # results
UNTOLD = 0x0FFF  # the command of a frame whose header is not understood


@dataclass(frozen=True, slots=True)
class Command:
    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A frame that cannot be obeyed."""

    code: int
    result: int


def frame(code: int, data: bytes = b"") -> bytes:
    """What the module says."""
    head = RESPONSE + code.to_bytes(2, "big") + (4 + len(data)).to_bytes(2, "big")
    return head + _sum(head) + _sum(data) + data


def _sum(data: bytes) -> bytes:
    return (sum(data) % 0x10000).to_bytes(2, "big")


class Input:
    """Give it bytes by feed(); next() returns one item after the other, None when it needs more bytes."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def amid(self) -> bool:
        """Whether a frame has begun and not ended."""
        return len(self._buffer) >= len(REQUEST)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Command | Spoilt | None:
        begin = self._buffer.find(REQUEST)
        self._buffer = self._buffer[begin:] if begin >= 0 else self._buffer[1 - len(REQUEST) :]
        if begin < 0 or len(self._buffer) < HEADER:
            return None
        head = self._buffer[:HEADER]
        code, length = int.from_bytes(head[4:6], "big"), int.from_bytes(head[6:8], "big")
        if head[8:10] != _sum(head[:8]):
            return self._spoilt(UNTOLD, HEADER_SUM)
        if not 4 <= length <= MAX_LENGTH:
            return self._spoilt(code, TOO_SHORT if length < 4 else TOO_LONG)
        end = HEADER + length - 4
        if len(self._buffer) < end:
            return None
        data, self._buffer = self._buffer[HEADER:end], self._buffer[end:]
        return Command(code, data) if head[10:12] == _sum(data) else Spoilt(code, DATA_SUM)

    def give_up(self) -> Spoilt:
        """Nothing came for too long in the midst of a frame."""
        code = int.from_bytes(self._buffer[4:6], "big") if len(self._buffer) >= HEADER else UNTOLD
        return self._spoilt(code, GAP)

    def _spoilt(self, code: int, result: int) -> Spoilt:
        self._buffer = b""
        return Spoilt(code, result)
