"""The serial input of an SKSTACK-IP module: bytes cut into commands, by the letter of the command reference.

SK commands end with CR LF; WOPT, ROPT, WUART and RUART with CR alone; SKSENDTO's data follows its header as raw
bytes of exactly the length announced, and whatever comes after that is a command again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE = 512
MAX_PAYLOAD = 0x4D0
HEADER_FORM = rb"SKSENDTO ([1-6]) ([0-9A-F:]{39}) ([0-9A-F]{4}) ([0-2]) %s([0-9A-F]{4}) "
HEADER_LENGTH = 9 + 2 + 40 + 5 + 2 + 5
_PRODUCT_COMMAND = re.compile(rb"((?:WOPT|ROPT|WUART|RUART)[^\r\n]*)\r")


@dataclass(frozen=True, slots=True)
class Line:
    """A command without its end."""

    text: str
    end: str


@dataclass(frozen=True, slots=True)
class Header:
    """SKSENDTO up to and including the blank before its data; the data is still to come."""

    text: str


@dataclass(frozen=True, slots=True)
class Send:
    """A complete SKSENDTO."""

    fields: list[str]  # handle, address, port, security, [side,] length
    payload: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be taken for a command."""

    code: str


class Input:
    """Give it bytes by feed(); next() returns one item after the other, None when it needs more bytes."""

    def __init__(self, *, dual: bool) -> None:
        self._header_form = re.compile(HEADER_FORM % (rb"([01]) " if dual else b""), re.IGNORECASE)
        self._header_length = HEADER_LENGTH + (2 if dual else 0)
        self._buffer = bytearray()
        self._fields: list[str] | None = None  # of a header whose data is awaited

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Line | Header | Send | Unreadable | None:
        if self._fields is not None:
            return self._payload(self._fields)
        while self._buffer[:1] == b"\n":  # left over from CR LF after a product command
            del self._buffer[:1]
        if self._buffer.startswith(b"SKSENDTO ") and b"\r\n" not in self._buffer[: self._header_length]:
            return self._header()
        if product := _PRODUCT_COMMAND.match(self._buffer):
            return Line(self._cut(product.end(1), 1), "\r")
        end = self._buffer.find(b"\r\n")
        if end > MAX_LINE or (end < 0 and len(self._buffer) > MAX_LINE):
            del self._buffer[: end + 2 if end > 0 else len(self._buffer)]
            return Unreadable("ER09")
        return None if end < 0 else Line(self._cut(end, 2), "\r\n")

    def _header(self) -> Header | Unreadable | None:
        if len(self._buffer) < self._header_length:
            return None
        match = self._header_form.match(bytes(self._buffer[: self._header_length]))
        text = self._cut(self._header_length, 0)
        if match is None or not 1 <= int(match[match.lastindex or 0], 16) <= MAX_PAYLOAD:
            return Unreadable("ER06")
        self._fields = [field.decode("ascii") for field in match.groups()]
        return Header(text)

    def _payload(self, fields: list[str]) -> Send | None:
        size = int(fields[-1], 16)
        if len(self._buffer) < size:
            return None
        payload = bytes(self._buffer[:size])
        self._cut(size, 0)
        self._fields = None
        return Send(fields, payload)

    def _cut(self, length: int, end: int) -> str:
        text = self._buffer[:length].decode("latin-1")
        del self._buffer[: length + end]
        return text
