"""Frames of the J11 binary protocol, written and cut out of a stream (J11 UART interface, frame format).

    unique code 4 | command 2 | length 2 | header sum 2 | data sum 2 | data

All numbers are big-endian. The length counts the two sums and the data; the header sum is that of the first eight
bytes, the data sum that of the data, both modulo 65536. What follows a broken frame is found at the next unique code.

How a stream is cut depends on its bytes only, never on the pieces in which they arrive.
"""

from __future__ import annotations

from struct import Struct as Layout

from msgspec import Struct

from drivers.module import Noise

REQUEST_CODE = bytes.fromhex("D0EA83FC")  # begins what the host says
CODE = bytes.fromhex("D0F9EE5D")  # begins what the module says
MAX_FRAME = 1361  # bytes
NOISE_BYTES = 64  # told at once

_HEADER = Layout(">4sHHHH")
HEADER_SIZE = _HEADER.size
_SUMMED = 8  # bytes of the header
_SUMS = 4  # bytes, counted by the length
_MAX_LENGTH = MAX_FRAME - _SUMMED


class Frame(Struct, frozen=True):
    """A sound frame of the module. Its data may be a key, and is not shown."""

    code: int
    data: bytes

    def __repr__(self) -> str:
        return f"Frame({self.code:04X}, {len(self.data)} bytes)"


def request(code: int, data: bytes = b"") -> bytes:
    """The frame that asks for a command. Raises ValueError for more than 1349 bytes of data."""
    if len(data) + _SUMS > _MAX_LENGTH:
        raise ValueError(f"a frame has at most {_MAX_LENGTH - _SUMS} bytes of data, not {len(data)}")
    head = REQUEST_CODE + code.to_bytes(2, "big") + (len(data) + _SUMS).to_bytes(2, "big")
    return head + sum_of(head) + sum_of(data) + data


def sum_of(data: bytes) -> bytes:
    """The checksum as it stands in a frame."""
    return (sum(data) & 0xFFFF).to_bytes(2, "big")


class Framer:
    """Bytes in, frames out; holds back at most one frame."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipped = 0  # bytes that belong to no frame, not told yet

    def receive(self, data: bytes) -> list[Frame | Noise]:
        """Take bytes, cut anywhere; give what is complete. Never raises for what the bytes are."""
        data = self._rest + data
        frames: list[Frame | Noise] = []
        at = 0
        while True:
            start = _code_at(data, at)
            self._skip(start - at, frames)
            at = start
            if len(data) - at < HEADER_SIZE:
                break
            end = end_of(data, at)
            if end is None:  # no header, whatever it looked like
                self._skip(1, frames)
                at += 1
            elif end > len(data):
                break
            else:
                at = self._take(data, at, end, frames)
        self._rest = data[at:]
        return frames

    def abandon(self) -> list[Frame | Noise]:
        """The rest of the frame that is awaited will not come; give the frames behind its beginning."""
        if not self._rest:
            return []
        rest, self._rest = self._rest[1:], b""
        frames: list[Frame | Noise] = []
        self._skip(1, frames)
        return frames + self.receive(rest)

    def _take(self, data: bytes, at: int, end: int, frames: list[Frame | Noise]) -> int:
        """Take a frame whose bytes are all there, if its data is sound; where to go on."""
        _, code, _, _, data_sum = _HEADER.unpack_from(data, at)
        payload = data[at + HEADER_SIZE : end]
        if sum(payload) & 0xFFFF != data_sum:
            self._skip(1, frames)
            return at + 1
        if self._skipped:
            frames.append(_noise(self._skipped))
            self._skipped = 0
        frames.append(Frame(code, payload))
        return end

    def _skip(self, count: int, frames: list[Frame | Noise]) -> None:
        self._skipped += count
        while self._skipped >= NOISE_BYTES:
            frames.append(_noise(NOISE_BYTES))
            self._skipped -= NOISE_BYTES


def _code_at(data: bytes, at: int) -> int:
    """Where the next unique code begins, or what could become one at the end."""
    found = data.find(CODE, at)
    if found >= 0:
        return found
    for start in range(max(at, len(data) - len(CODE) + 1), len(data)):
        if CODE.startswith(data[start:]):
            return start
    return len(data)


def end_of(data: bytes, at: int) -> int | None:
    """Where the frame ends whose header is all there; None when that is not a sound one."""
    _, _, length, header_sum, _ = _HEADER.unpack_from(data, at)
    if not _SUMS <= length <= _MAX_LENGTH or sum(data[at : at + _SUMMED]) & 0xFFFF != header_sum:
        return None
    return at + _SUMMED + int(length)


def _noise(count: int) -> Noise:
    """Bytes that are no frame, by their number: what they hold may be a part of the key."""
    return Noise(f"{count} bytes that are no frame")
