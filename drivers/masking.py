"""Takes what identifies a home out of a session with a module, message by message, before any of it is written down.

Masked, without changing a length and always in the same way: password, Route B ID (also in the EAP-PSK identity,
RFC 4764), pairing ID, MAC and IPv6 addresses, and the ECHONET Lite properties that name a meter. What is not
understood loses every known secret and everything that could be one. Frames of J11 stay sound, as far as they were.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from drivers.j11 import framing
from drivers.module import Credentials

MASKED = Credentials("00112233445566778899AABBCCDDEEFF", "0123456789AB")
"""What real credentials look like in a transcript; a module replayed from one is opened with these."""

MAX_TEXT = 4096  # bytes of a line; the longest one a module prints is an ERXUDP of about 2600
MAX_PAYLOAD = 1232  # bytes of a UDP datagram (BP35A1 command reference, SKSENDTO)

_LINE_END = re.compile(rb"\r\n|\r|\n")
_HEX = re.compile(rb"[0-9A-F]*", re.IGNORECASE)
_LAST_BREAK = re.compile(rb".*[^0-9A-Z:]", re.IGNORECASE | re.DOTALL)
_ADDRESS = rb"(?:[0-9A-F]{4}:){7}[0-9A-F]{4}"
_SENT_HEADER = re.compile(
    rb"SKSENDTO [0-9A-F] " + _ADDRESS + rb" [0-9A-F]{4} [0-9A-F](?: [0-9A-F])? ([0-9A-F]{4}) ", re.IGNORECASE
)
_RECEIVED_HEADER = re.compile(
    rb"ERXUDP " + _ADDRESS + rb" " + _ADDRESS + rb" [0-9A-F]{4} [0-9A-F]{4} (?:[0-9A-F]{16}|[0-9A-F]{4})"
    rb"(?: [0-9A-F]{2})? [0-9A-F](?: [0-9A-F])? ([0-9A-F]{4}) ",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Message:
    """A line with its terminator, or a datagram's line, or a J11 frame; `payload` is where its content stands."""

    at_s: float  # when its last byte came
    data: bytes
    payload: slice | None = None
    hexadecimal: bool = False  # how the payload is written
    framed: bool = False  # J11


class Splitter:
    """Cuts one direction of a session into messages, the same ones however the bytes were cut on arrival."""

    def __init__(self, *, sent: bool) -> None:
        self._sent = sent
        self._header = _SENT_HEADER if sent else _RECEIVED_HEADER
        self._code = framing.REQUEST_CODE if sent else framing.CODE
        self._pending = bytearray()
        self._at_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Message]:
        """The messages that are complete with these bytes."""
        messages = [] if data.startswith((b"\r", b"\n")) else self.settle()
        self._pending += data
        self._at_s = now_s
        while message := self._next(settled=False):
            messages.append(message)
        return messages

    def settle(self) -> list[Message]:
        """The message that is complete unless a line end is still to grow: a CR may be followed by an LF."""
        message = self._next(settled=True)
        return [message] if message else []

    def flush(self) -> list[Message]:
        """Whatever is left, complete or not."""
        messages = self.settle()
        if self._pending:
            messages.append(self._take(len(self._pending)))
        return messages

    def _next(self, settled: bool) -> Message | None:
        pending = self._pending
        if pending.startswith(self._code):
            return self._frame()
        end = _LINE_END.search(pending, 0, MAX_TEXT)
        header = self._header.search(pending, 0, end.start() if end else MAX_TEXT)
        code = pending.find(self._code, 0, header.start() if header else end.start() if end else MAX_TEXT)
        if code > 0:
            return self._take(code)
        if header and (length := int(header[1], 16)) <= MAX_PAYLOAD:
            start, stop = header.end(), header.end() + length
            if self._sent:
                return self._take(stop, slice(start, stop)) if len(pending) >= stop else None
            if not _HEX.fullmatch(pending, start, stop):  # raw bytes, whatever they look like
                return self._ended(stop, settled, slice(start, stop)) if len(pending) >= stop else None
            if end and end.start() == start + 2 * length and _HEX.fullmatch(pending, start, end.start()):
                return self._ended(end.start(), settled, slice(start, end.start()), hexadecimal=True)
        if end:
            return self._ended(end.start(), settled)
        if len(pending) <= MAX_TEXT:
            return None
        whole = _LAST_BREAK.match(pending, 0, MAX_TEXT)  # rather not in the midst of what could be a secret
        return self._take(whole.end() if whole else MAX_TEXT)

    def _frame(self) -> Message | None:
        """A J11 frame; of one that is none, its code."""
        if len(self._pending) < framing.HEADER_SIZE:
            return None
        stop = framing.end_of(bytes(self._pending[: framing.HEADER_SIZE]), 0)
        if stop is None:
            return self._take(len(self._code))
        if len(self._pending) < stop:
            return None
        return self._take(stop, slice(framing.HEADER_SIZE, stop), framed=True)

    def _ended(
        self, stop: int, settled: bool, payload: slice | None = None, hexadecimal: bool = False
    ) -> Message | None:
        end = _LINE_END.match(self._pending, stop)
        growing = end[0] == b"\r" if end else True
        stop = end.end() if end else stop
        if growing and stop == len(self._pending) and not settled:
            return None
        return self._take(stop, payload, hexadecimal)

    def _take(
        self, stop: int, payload: slice | None = None, hexadecimal: bool = False, framed: bool = False
    ) -> Message:
        data = bytes(self._pending[:stop])
        del self._pending[:stop]
        return Message(self._at_s, data, payload, hexadecimal, framed)


_SECRET = re.compile(
    rb"SKSCAN [0-9A-F] [0-9A-F]{8}"
    rb"|SKSETPWD\s+(?:[0-9A-F]{1,2}\s+)?(?P<password>\S+)"
    rb"|SKSETRBID\s+(?P<id>\S+)"
    rb"|(?:PairID:|SKSREG\s+S0?[AB]\s)\s*(?P<pairing>[0-9A-Z]{8})"
    rb"|(?P<address>" + _ADDRESS + rb")"
    rb"|(?P<run>[0-9A-Z]{8,})",
    re.IGNORECASE,
)
_EAP_IDENTITY = re.compile(rb"(?:SM|HEMS)(?P<id>[0-9A-F]{32})", re.IGNORECASE)
_NOTHING = re.compile(rb"(?!)")
_ECHONET = b"\x10\x81"
_TWO_LISTS = (0x6E, 0x7E, 0x5E)  # SetGet, its answer and its refusal
_NAMING = {0x83: 4, 0x8D: 0, 0xC0: 4}  # properties that name a meter, and how many bytes say only form and maker

# What in the data of a J11 frame is masked, by its code: kind, and from which byte on how many (all that are left).
# Of a code that is not here, nothing stays but the first byte, which is the result.
_Fields = tuple[tuple[str, int, int | None], ...]
_J11_FIELDS: dict[int, _Fields] = {
    **dict.fromkeys((0x0001, 0x0005, 0x0006, 0x0007, 0x0009, 0x000E, 0x0011, 0x0053, 0x0056, 0x0057, 0x0058), ()),
    **dict.fromkeys((0x0059, 0x005E, 0x005F, 0x006B, 0x00D2, 0x00D9, 0x00DB, 0x0107), ()),
    **dict.fromkeys((0x2001, 0x2005, 0x2006, 0x2007, 0x2008, 0x2051, 0x2054, 0x2056, 0x2057, 0x2058), ()),
    **dict.fromkeys((0x205E, 0x205F, 0x206B, 0x20D2, 0x20D9, 0x2107, 0x2FFF, 0x6019, 0xFFFF), ()),
    0x0008: (("packed", 0, 16), ("payload", 22, None)),
    0x0051: (("pairing", 6, 8),),
    0x0054: (("id", 0, 32), ("password", 32, 12)),
    0x2009: (("packed", 1, 16),),
    0x200E: (("binary mac", 1, 8),),
    0x2053: (("binary mac", 4, 8),),
    0x4051: tuple(("binary mac", at, 8) for at in range(3, framing.MAX_FRAME, 11)),
    0x6018: (("packed", 0, 16), ("payload", 27, None)),
    0x601A: (("binary mac", 1, 8),),
    0x6028: (("binary mac", 1, 8),),
    0x6038: (("packed", 1, 16),),
}


class Masker:
    """Remembers the secrets it was given or has met, and what stands for each."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._standins: dict[str, dict[bytes, bytes]] = {}
        self._known: dict[bytes, bytes] = {}
        self._anywhere = _NOTHING
        if credentials is not None:
            self._standin("id", credentials.id.encode())
            self._standin("password", credentials.password.encode())

    def mask(self, message: Message) -> bytes:
        """The message as it may be written down, of the same length."""
        data = message.data
        if message.framed:
            return self._frame(data)
        if message.payload is None:
            return self._text(data)
        start, stop = message.payload.start, message.payload.stop
        payload = data[start:stop]
        if message.hexadecimal:
            plain = bytes.fromhex(payload.decode())
            hidden = self._payload(plain)
            payload = payload if hidden == plain else hidden.hex().upper().encode()
        else:
            payload = self._payload(payload)
        return self._text(data[:start]) + payload + data[stop:]

    def _frame(self, frame: bytes) -> bytes:
        """A J11 frame; its data's sum is as right, or as wrong, as before."""
        data = frame[framing.HEADER_SIZE :]
        code = int.from_bytes(frame[4:6], "big")
        hidden = self._fields(data, _J11_FIELDS[code]) if code in _J11_FIELDS else data[:1] + bytes(len(data[1:]))
        told = int.from_bytes(frame[framing.HEADER_SIZE - 2 : framing.HEADER_SIZE], "big")
        data_sum = (told - sum(data) + sum(hidden)) & 0xFFFF
        return frame[: framing.HEADER_SIZE - 2] + data_sum.to_bytes(2, "big") + hidden

    def _fields(self, data: bytes, fields: _Fields) -> bytes:
        for kind, start, size in fields:
            stop = len(data) if size is None else start + size
            if stop <= len(data):
                data = data[:start] + self._field(kind, data[start:stop]) + data[stop:]
        return self._searched(data)

    def _field(self, kind: str, value: bytes) -> bytes:
        match kind:
            case "payload":
                return self._payload(value)
            case "binary mac":
                return bytes.fromhex(self._standin("mac", value.hex().upper().encode()).decode())
            case "packed":
                digits = value.hex().upper().encode()
                address = self._address(b":".join(digits[at : at + 4] for at in range(0, 32, 4)))
                return bytes.fromhex(address.replace(b":", b"").decode())
            case _:
                return self._standin(kind, value.upper())

    def _text(self, data: bytes) -> bytes:
        return self._with(data, self._found(_SECRET, data))

    def _with(self, data: bytes, standins: list[tuple[int, bytes]]) -> bytes:
        """The data with stand-ins at their places; what lies between them is searched for known secrets."""
        parts = []
        at = 0
        for start, standin in standins:
            parts += [self._searched(data[at:start]), standin]
            at = start + len(standin)
        return b"".join(parts) + self._searched(data[at:])

    def _searched(self, data: bytes) -> bytes:
        return self._anywhere.sub(lambda match: self._known[match[0].lower()], data)

    def _found(self, pattern: re.Pattern[bytes], data: bytes) -> list[tuple[int, bytes]]:
        matches = ((match, match.lastgroup) for match in pattern.finditer(data))
        found = [(match.start(kind), self._hidden(kind, match[kind].upper())) for match, kind in matches if kind]
        return [(start, standin) for start, standin in found if standin]

    def _hidden(self, kind: str, value: bytes) -> bytes:
        """What stands for a value, empty for a mere word."""
        if kind == "address":
            return self._address(value)
        if kind != "run":
            return self._standin(kind, value)
        for standins in self._standins.values():
            if value in standins:
                return standins[value]
        hexadecimal = _HEX.fullmatch(value)
        if hexadecimal and len(value) == 16:
            return self._standin("mac", value)
        return b"0" * len(value) if hexadecimal or not value.isalpha() else b""

    def _address(self, value: bytes) -> bytes:
        """A link-local address stays the one that belongs to the MAC (RFC 4291, appendix A)."""
        if value.startswith(b"FF") or not value.strip(b"0:"):  # multicast, unspecified
            return value
        interface = self._standin("mac", _flipped(value[20:].replace(b":", b"")))
        prefix = value[:20] if value.startswith(b"FE80:") else b"2001:0DB8:0000:0000:"  # RFC 3849
        digits = _flipped(interface)
        return prefix + b":".join(digits[at : at + 4] for at in range(0, 16, 4))

    def _payload(self, payload: bytes) -> bytes:
        if payload.startswith(_ECHONET):
            return self._with(payload, self._names(payload))
        is_pana = payload[:4] == len(payload).to_bytes(4, "big")  # two zero bytes and the length, RFC 5191 6.2
        return self._with(payload, self._found(_EAP_IDENTITY, payload)) if is_pana else self._text(payload)

    def _names(self, payload: bytes) -> list[tuple[int, bytes]]:
        """The stand-ins for naming properties of an ECHONET Lite frame, however far it can be followed."""
        names = []
        at = 11  # EHD 2, TID 2, SEOJ 3, DEOJ 3, ESV 1
        with contextlib.suppress(IndexError, ValueError):  # cut short
            for _ in range(2 if payload[10] in _TWO_LISTS else 1):
                count, at = payload[at], at + 1
                for _ in range(count):
                    epc, size = payload[at : at + 2]
                    start, at = at + 2 + _NAMING.get(epc, size), at + 2 + size
                    if value := payload[start:at]:
                        names.append((start, self._standin(f"{epc:02X}", value)))
            names += [(at + start, standin) for start, standin in self._found(_SECRET, payload[at:])]
        return names

    def _standin(self, kind: str, value: bytes) -> bytes:
        standins = self._standins.setdefault(kind, {})
        if value not in standins:
            standins[value] = standin = self._invented(kind, value, len(standins))
            self._learn(value.rstrip(b" \0"), standin)
        return standins[value]

    def _invented(self, kind: str, value: bytes, number: int) -> bytes:
        """A value of the same length and alphabet; `number` is 0 for the first of its kind."""
        size = len(value)
        match kind:
            case "id" if size == len(MASKED.id):
                text = MASKED.id[:-8] + self._standin("pairing", value[-8:]).decode()
            case "pairing" | "id":
                text = f"{int(MASKED.pairing_id, 16) - number:08X}"
            case "password":
                text = f"{int(MASKED.password, 16) - number:012X}"
            case "mac":
                text = f"00005EEF1000{number + 1:04X}"  # reserved for documentation, RFC 9542 2.2.2
            case _:
                text = f"{number + 1:0{size}d}"[-size:]
        return (text * (size // len(text) + 1))[:size].encode()

    def _learn(self, value: bytes, standin: bytes) -> None:
        """From now on the value is replaced wherever it stands, as text or in hexadecimal."""
        if len(value) < 8 or len(set(value)) < 4:
            return  # a dummy such as 00000000 stands everywhere
        self._known[value.lower()] = standin
        self._known[value.hex().encode()] = standin.hex().upper().encode()
        if len(value) in (16, 32) and _HEX.fullmatch(value):
            self._known[bytes.fromhex(value.decode()).lower()] = bytes.fromhex(standin.decode())
        self._anywhere = re.compile(b"|".join(map(re.escape, self._known)), re.IGNORECASE)


def _flipped(mac: bytes) -> bytes:
    """With the universal/local bit of an EUI-64 inverted."""
    return b"%016X" % (int(mac, 16) ^ 1 << 57)
