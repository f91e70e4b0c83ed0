"""Cuts what a SKSTACK-IP module sends into lines, UDP datagrams and noise (BP35A1 command reference, 4.1 ERXUDP).

A line ends with CR, LF or CRLF. ERXUDP alone is delimited by its length field: its payload is either LEN raw
bytes, in which CR, LF or "OK" may occur, or 2 * LEN hexadecimal digits (WOPT and ROPT, 3.30 and 3.31). A line
end follows in both forms, and that tells them apart: after LEN hexadecimal digits comes another digit in the one
and the line end in the other. A payload with no line end where it must be has lost bytes, and is refused.

How a stream is cut depends on its bytes only, never on the pieces in which they arrive.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from drivers.module import Datagram, Noise

MAX_LINE = 300  # characters; the longest one that is understood, the header of an ERXUDP, has 126
MAX_PAYLOAD = 0x4D0  # bytes (3.7 SKSENDTO)

Frame = str | Datagram | Noise
"""A line without its end, never empty; or one of the other things that can arrive."""

_HEX4 = "[0-9A-Fa-f]{4}"
ADDRESS = ":".join([_HEX4] * 8)  # IPv6 in full

# ERXUDP SENDER DEST RPORT LPORT SENDERLLA [LQI] SECURED [SIDE] LEN: the widths tell which optional fields are there.
_HEADER = re.compile(
    f"ERXUDP {ADDRESS} {ADDRESS} {_HEX4} {_HEX4} {_HEX4}(?:{_HEX4 * 3})? "
    f"(?:[0-9A-Fa-f]{{2}} )?[01] (?:[01] )?{_HEX4} ".encode()
)
_HEX_DIGITS = b"0123456789ABCDEFabcdef"
_ENDS = (b"\r", b"\n")
_REMEMBERED = 256  # headers, and pieces of text; headers of one meter differ in LQI and LEN only


class _Header(NamedTuple):
    """What an ERXUDP says before the payload."""

    text: bytes
    told: tuple[str, str, int, int, str, bool]  # sender, destination, their ports, MAC of the sender, secured or not
    lqi: int | None
    length: int  # of the payload, in bytes


class Framer:
    """Bytes in, frames out; holds back at most one line or one datagram."""

    def __init__(self) -> None:
        self.hex_payload: bool | None = None  # as ROPT tells; until then each payload is judged by its looks
        self._known: dict[bytes, _Header] = {}
        self._width = 0  # of the last header; a module's are all alike
        self.clear()

    def clear(self) -> None:
        """Forget what is held back: what follows has nothing to do with it."""
        self._rest = b""
        self._skipping = False  # everything up to the next line end

    def receive(self, data: bytes) -> Sequence[Frame]:
        """Take bytes, cut anywhere; give what is complete. Never raises for what the bytes are."""
        data = self._rest + data
        if not self._skipping and data.find(b"ERXUDP ") < 0 and len(data) <= MAX_LINE and data.isascii():
            lines, self._rest = (_lines.__wrapped__ if data.find(b"SK") >= 0 else _lines)(data)
            return lines  # the same as below, in one go
        frames: list[Frame] = []
        at = 0
        while at < len(data) and (after := self._cut(data, at, frames)) is not None:
            at = after
        self._rest = data[at:]
        return frames

    def _cut(self, data: bytes, at: int, frames: list[Frame]) -> int | None:
        """Take one line or datagram; where to go on, None when more bytes are needed."""
        if self._skipping:
            end = _line_end(data, at, len(data))
            self._skipping = end < 0
            return len(data) if end < 0 else end + 1
        if header := self._known.get(data[at : at + self._width]):
            return self._datagram(data, at + self._width, header, frames)
        if found := _HEADER.match(data, at):
            return self._datagram(data, found.end(), self._learn(found[0]), frames)
        end = _line_end(data, at, at + MAX_LINE + 1)
        line = data[at : at + MAX_LINE + 1 if end < 0 else end]
        plain = _is_plain(line)
        if not plain and (found := _HEADER.search(line)):  # behind an echo cut short
            before = line[: found.start()]
            frames.append(before.decode("ascii") if _is_plain(before) else noise(before))
            return at + found.start()
        if end >= 0:
            if line:
                frames.append(line.decode("ascii") if plain else noise(line))
            return _after(data, end)
        if len(line) <= MAX_LINE:
            return None
        frames.append(noise(line))
        self._skipping = True
        return at + len(line)

    def _learn(self, text: bytes) -> _Header:
        if len(self._known) == _REMEMBERED:
            self._known.clear()
        self._width = len(text)
        self._known[text] = header = _read_header(text)
        return header

    def _datagram(self, data: bytes, at: int, header: _Header, frames: list[Frame]) -> int | None:
        """Take the payload that belongs to a header; where to go on, None when more bytes are needed."""
        length, in_hex = header.length, self.hex_payload
        raw_end, hex_end = at + length, at + 2 * length
        digits = in_hex is not False and not data[at:hex_end].translate(None, _HEX_DIGITS)
        if length > MAX_PAYLOAD:
            payload = None
        elif digits and data[hex_end : hex_end + 1] in _ENDS:
            payload, at = unhexlify(data[at:hex_end]), hex_end
            self.hex_payload = True if length else in_hex
        elif not in_hex and data.startswith(b"\r", raw_end):  # LF would be that of a CRLF one byte too early
            payload, at = data[at:raw_end], raw_end
        elif (digits and len(data) <= hex_end) or (not in_hex and len(data) <= raw_end):
            return None
        else:
            payload = None
        if payload is None:
            frames.append(noise(header.text))
            self._skipping = True
            return at
        frames.append(Datagram(*header.told, payload, header.lqi))
        return _after(data, at)


@lru_cache(_REMEMBERED)  # most come again and again; it is not asked about echoes, which may hold credentials
def _lines(data: bytes) -> tuple[tuple[str, ...], bytes]:
    """The lines in ASCII text, and the beginning of one at its end."""
    lines = data.decode().replace("\r", "\n").split("\n")
    rest = lines.pop().encode()
    return tuple(filter(None, lines)), rest


def _line_end(data: bytes, start: int, stop: int) -> int:
    cr = data.find(b"\r", start, stop)
    lf = data.find(b"\n", start, stop if cr < 0 else cr)
    return cr if lf < 0 else lf


def _after(data: bytes, end: int) -> int:
    return end + 2 if data.startswith(b"\r\n", end) else end + 1  # a LF still to come is an empty line by itself


def _is_plain(line: bytes) -> bool:
    return line.isascii() and b"ERXUDP " not in line


def _read_header(text: bytes) -> _Header:
    _, sender, to, sender_port, port, mac, *lqi, secured, length = _without_side(text.decode("ascii").upper().split())
    told = (sender, to, int(sender_port, 16), int(port, 16), mac, secured == "1")
    return _Header(text, told, int(lqi[0], 16) if lqi else None, int(length, 16))


def _without_side(fields: list[str]) -> list[str]:
    """The fields of a header; SIDE is the second of two that have one digit."""
    return [*fields[:-2], fields[-1]] if len(fields[-3]) == 1 else fields


# --- noise ----------------------------------------------------------------------------------------------------

_SHOWN = 80  # characters, drivers.module.Noise
_PRINTABLE = bytes(code if 0x20 <= code < 0x7F else ord(".") for code in range(256))
_SECRET = re.compile(r"[0-9A-Z]{5,}")  # credentials are upper case only
_WORDS = frozenset(("ERXUDP", "EVENT", "EINFO", "EPANDESC", "SKSENDTO", "SKSETPWD", "SKSETRBID", "SKSREG"))


def noise(data: bytes) -> Noise:
    """Bytes that mean nothing, fit to be shown: of capitals and digits only known words and up to 4 in a row stay.

    Broken echoes and broken payloads may hold any part of the Route B ID or the password.
    """
    text = data.translate(_PRINTABLE).decode("ascii")
    return Noise(_SECRET.sub(lambda run: run[0] if run[0] in _WORDS else "*" * len(run[0]), text)[:_SHOWN])
