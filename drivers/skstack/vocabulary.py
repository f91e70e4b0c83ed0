"""The words of SKSTACK-IP: requests to the module as bytes, its lines as what they mean.

BP35A1 command reference v1.3.2; clause numbers in parentheses. A request knows the whole of its answer, and shows
itself with its secrets masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import Struct

from drivers.module import (
    ECHONET_PORT,
    BeaconHeard,
    Credentials,
    Fate,
    Joined,
    JoinFailed,
    Noise,
    Pan,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
)
from drivers.skstack.dialects import Dialect
from drivers.skstack.framing import ADDRESS, MAX_PAYLOAD, noise

# --- what is heard --------------------------------------------------------------------------------------------


class Answer(Struct, frozen=True):
    """What a request waits for."""


class Ok(Answer, frozen=True):
    """OK: accepted."""


class Value(Answer, frozen=True):
    """OK with what was asked for, the answer to ROPT (3.31)."""

    value: int


class Fail(Answer, frozen=True):
    """FAIL with an error code (7)."""

    code: str


class Version(Answer, frozen=True):
    """EVER (3.23)."""

    text: str


class Application(Answer, frozen=True):
    """EAPPVER (3.24)."""

    text: str


class Info(Answer, frozen=True):
    """EINFO (3.2). `mark` is the last field, which differs between the families."""

    address: str
    mac: str
    channel: int
    pan_id: int
    mark: str


class Register(Answer, frozen=True):
    """ESREG (3.1)."""

    value: int


class ScanEnded(Answer, frozen=True):
    """EVENT 22 (4.8)."""


Report = BeaconHeard | Joined | JoinFailed | SessionExpired | SessionClosed | SendLimit | Transmission | Noise
"""What is said unasked, in drivers.module's words."""

ANSWERS = frozenset(Answer.__subclasses__())  # isinstance() takes long where it is false, which it often is
Heard = Answer | Report

GARBLED = frozenset({"ER04", "ER09"})  # unknown command, UART input error: not understood as it was sent
MISSPELT = frozenset({"ER05", "ER06"})  # wrong number of arguments, wrong form of one
UNWILLING = "ER10"  # understood, and not possible now

# --- what is said ---------------------------------------------------------------------------------------------

# How long answers take is written nowhere. These are several times what is seen; v1.3.2 warns that a command which
# needs the radio may be answered late where that is bad.
AT_ONCE_S = 3.0
SOON_S = 5.0
BY_RADIO_S = 10.0
DWELL_S = 9.6e-3  # an active scan stays (2**duration + 1) times as long on each channel (3.9)
CHANNELS = range(0x21, 0x3D)  # register S2 (5): 28 channels, 922.5 MHz and 0.2 MHz a step

Part = tuple[type[Answer], float]
"""Part of an answer, and within how many seconds after the part before it must come."""


class Request(Struct, frozen=True):
    """One command. Its answer is all of these parts in this order, unless FAIL ends it."""

    wire: bytes
    line: str  # to be shown
    answer: tuple[Part, ...] = ((Ok, AT_ONCE_S),)
    optional: bool = False  # no answer, or FAIL, does no harm
    in_dialect: bool = False  # the families' forms differ

    def __repr__(self) -> str:
        return f"Request({self.line!r})"


# The line end before SKVER (3.23) ends whatever was half said to the module before.
VERSION = Request(b"\r\nSKVER\r\n", "SKVER", ((Version, AT_ONCE_S), (Ok, AT_ONCE_S)))
INFO = Request(b"SKINFO\r\n", "SKINFO", ((Info, AT_ONCE_S), (Ok, AT_ONCE_S)))
RESET = Request(b"SKRESET\r\n", "SKRESET", ((Ok, SOON_S),))
ECHO_OFF = Request(b"SKSREG SFE 0\r\n", "SKSREG SFE 0", optional=True)
TELL_LQI = Request(b"SKSREG SA2 1\r\n", "SKSREG SA2 1", optional=True)
APPLICATION = Request(b"SKAPPVER\r\n", "SKAPPVER", ((Application, AT_ONCE_S), (Ok, AT_ONCE_S)), optional=True)
PAYLOAD_MODE = Request(b"ROPT\r", "ROPT", ((Value, AT_ONCE_S),), optional=True)  # product commands end with CR alone
LIMITED = Request(b"SKSREG SFB\r\n", "SKSREG SFB", ((Register, AT_ONCE_S), (Ok, AT_ONCE_S)))  # 1 while it is (5)
REJOIN = Request(b"SKREJOIN\r\n", "SKREJOIN")
LEAVE = Request(b"SKTERM\r\n", "SKTERM")

# Ends a SKSENDTO whose payload never came, however long; what is too much of it are empty lines.
FILLER = b"\r\n" * (MAX_PAYLOAD // 2)

_ADDRESS = re.compile(ADDRESS)
_SENT: tuple[Part, ...] = ((Ok, BY_RADIO_S),)
_REMEMBERED = 64  # lines said and heard; those of one module and one meter are few and always the same


def use_credentials(credentials: Credentials) -> list[Request]:
    """SKSETPWD and SKSETRBID (3.16, 3.17): the length of the password is hexadecimal."""
    password, identity = credentials.password, credentials.id
    set_password = f"SKSETPWD {len(password):X} "
    return [
        Request(f"{set_password}{password}\r\n".encode(), set_password + "*" * len(password)),
        Request(f"SKSETRBID {identity}\r\n".encode(), "SKSETRBID " + "*" * len(identity)),
    ]


def scan(duration: int, dialect: Dialect) -> Request:
    """SKSCAN (3.9), active with the pairing ID, on all channels.

    Raises ValueError for a duration outside 0-14.
    """
    if not 0 <= duration <= 14:
        raise ValueError(f"a scan's duration is 0 to 14, not {duration}")
    line = f"SKSCAN 2 FFFFFFFF {duration:X} {dialect.side}".rstrip()
    whole_s = DWELL_S * (2**duration + 1) * len(CHANNELS)
    answer = ((Ok, AT_ONCE_S), (ScanEnded, whole_s + SOON_S))
    return Request(f"{line}\r\n".encode(), line, answer, in_dialect=True)


def join(pan: Pan) -> list[Request]:
    """SKSREG S2 and S3 (3.1, 5) to tune in, then SKJOIN (3.4). Raises ValueError for what cannot be a PAN."""
    if not (pan.channel in CHANNELS and 0 <= pan.pan_id < 0xFFFF):
        raise ValueError(f"not a PAN: channel {pan.channel:X}, PAN ID {pan.pan_id:X}")
    lines = [f"SKSREG S2 {pan.channel:02X}", f"SKSREG S3 {pan.pan_id:04X}"]
    joining = f"SKJOIN {_checked(pan.address)}"
    return [
        *(Request(f"{line}\r\n".encode(), line) for line in lines),
        Request(f"{joining}\r\n".encode(), joining, ((Ok, SOON_S),)),
    ]


def send(to: str, payload: bytes, dialect: Dialect) -> Request:
    """SKSENDTO (3.7) from and to port 3610, encrypted or not at all (SEC 1); nothing follows the payload.

    Fields have exact widths. Raises ValueError for an address or a payload (1-1232 bytes) that cannot be sent.
    """
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a datagram has 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
    line, head = _sending(to, len(payload), dialect.side)
    return Request(head + payload, line, _SENT, in_dialect=True)


@lru_cache(_REMEMBERED)
def _sending(to: str, length: int, side: str) -> tuple[str, bytes]:
    line = f"SKSENDTO 1 {_checked(to)} {ECHONET_PORT:04X} 1 {side}{length:04X}"
    return line, f"{line} ".encode()


def _checked(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"not an IPv6 address in full form: {address!r}")
    return address


# --- reading lines --------------------------------------------------------------------------------------------

EVENTS: Mapping[int, Callable[[str], Heard] | None] = {
    0x01: None,  # neighbour solicitation received
    0x02: None,  # neighbour advertisement received
    0x05: None,  # echo request received
    0x1F: None,  # energy detection scan ended; EEDSCAN follows
    0x20: None,  # beacon received; EPANDESC follows
    0x22: lambda _address: ScanEnded(),
    0x24: JoinFailed,  # also after the module authenticated again by itself
    0x25: Joined,  # likewise
    0x26: lambda address: SessionClosed(address, by_peer=True),
    0x27: lambda address: SessionClosed(address, by_peer=False),
    0x28: lambda address: SessionClosed(address, by_peer=False),  # the peer did not answer; closed all the same
    0x29: SessionExpired,
    0x32: lambda _address: SendLimit(engaged=True),
    0x33: lambda _address: SendLimit(engaged=False),
    **dict.fromkeys([*range(0x40, 0x47), *range(0x50, 0x58)]),  # keys of the HAN side
    0xC0: None,  # woken from SKDSLEEP
}
"""What an event says about an address, by its number (4.8); None: nothing that matters. EVENT 21 is read apart."""

_FATES = {"00": Fate.SENT, "01": Fate.FAILED, "02": Fate.RESOLVING}  # parameter of EVENT 21

# A single digit after the address is a side, whichever the family; the parameter has two.
_EVENT = re.compile(rf"EVENT ([0-9A-F]{{2}}) ({ADDRESS})(?: [0-9A-F])?(?: ([0-9A-F]{{2}}))?|EVENT C0")
_OK = re.compile(r"OK(?: ([0-9A-F]{2}))?")
_FAIL = re.compile(r"FAIL (ER[0-9]{2})")
_ESREG = re.compile(r"ESREG ([0-9A-F]{1,16})")
_EINFO = re.compile(rf"EINFO ({ADDRESS}) ([0-9A-Fa-f]{{16}}) ([0-9A-F]{{2}}) ([0-9A-F]{{4}}) ([0-9A-F]{{1,4}})")


def _read_event(line: str) -> tuple[Heard, ...] | None:
    if not (found := _EVENT.fullmatch(line)):
        return None
    if found[1] is None:  # C0
        return ()
    number, address, parameter = int(found[1], 16), found[2].upper(), found[3]
    if number == 0x21:
        return (Transmission(address, _FATES[parameter]),) if parameter in _FATES else None
    if number not in EVENTS:
        return None
    says = EVENTS[number]
    return () if says is None else (says(address),)


def _read_ok(line: str) -> tuple[Heard, ...] | None:
    if not (found := _OK.fullmatch(line)):
        return None
    return (Ok() if found[1] is None else Value(int(found[1], 16)),)


def _read_fail(line: str) -> tuple[Heard, ...] | None:
    found = _FAIL.fullmatch(line)
    return (Fail(found[1]),) if found else None


def _read_register(line: str) -> tuple[Heard, ...] | None:
    found = _ESREG.fullmatch(line)
    return (Register(int(found[1], 16)),) if found else None


def _read_info(line: str) -> tuple[Heard, ...] | None:
    if not (found := _EINFO.fullmatch(line)):
        return None
    address, mac, channel, pan_id, mark = found.groups()
    return (Info(address.upper(), mac.upper(), int(channel, 16), int(pan_id, 16), mark),)


_READERS: Mapping[str, Callable[[str], tuple[Heard, ...] | None]] = {
    "OK": _read_ok,
    "FAIL": _read_fail,
    "EVENT": _read_event,
    "EINFO": _read_info,
    "ESREG": _read_register,
    "EVER": lambda line: (Version(line[4:].strip()),),
    "EAPPVER": lambda line: (Application(line[7:].strip()),),
    # answers to what is never asked here, headings of blocks of lines (4.3-4.7), the echo of a product command
    **dict.fromkeys(("EPONG", "ETCP", "ERXTCP", "EPANDESC", "ROPT"), lambda _line: ()),
    **dict.fromkeys(("EEDSCAN", "EADDR", "ENEIGHBOR", "EPORT", "EHANDLE"), lambda _line: ()),
}


@lru_cache(_REMEMBERED)
def _read_known(line: str) -> tuple[str, tuple[Heard, ...]] | None:
    """The known word that a line begins with, and what the line means; None where it begins with none."""
    text = line.strip()
    word = text.partition(" ")[0]
    if word not in _READERS:
        return None
    heard = _READERS[word](text)
    return word, (noise(text.encode()),) if heard is None else heard


_LISTS = frozenset({"EEDSCAN", "EADDR", "ENEIGHBOR", "EPORT", "EHANDLE"})
_AFTER_ECHO = re.compile(r"(?:EVENT|EINFO|EVER|EAPPVER|FAIL) .*")  # no argument of a command looks like these
_BEACON_FIELDS = {  # of EPANDESC (4.5), with what their values must be
    "Channel": re.compile("2[1-9A-F]|3[0-9A-C]"),
    "Pan ID": re.compile("(?!FFFF)[0-9A-F]{4}"),
    "Addr": re.compile("[0-9A-F]{16}"),
    "LQI": re.compile("[0-9A-F]{2}"),
    "PairID": re.compile("[0-9A-Z]{8}"),
}


class LineReader:
    """Lines in, in order; what they mean out. Some belong to a block that an earlier one opened.

    Echoed commands, blank lines and known lines of no consequence mean nothing; any other line is Noise.
    A beacon's block ends with its PairID or with the next line that is not part of it.
    """

    def __init__(self) -> None:
        self._beacon: dict[str, str] | None = None  # fields of the EPANDESC that is open
        self._in_list = False  # whose lines do not matter here

    def read(self, line: str) -> tuple[Heard, ...]:
        known = (_read_known.__wrapped__ if "SK" in line else _read_known)(line)  # an echo may hold credentials
        if known is None:
            return self._read_other(line.strip())
        word, heard = known
        if self._beacon is not None:
            heard = self._end_block() + heard
        if word == "EPANDESC":
            self._beacon = {}
        self._in_list = word in _LISTS
        return heard

    def _read_other(self, text: str) -> tuple[Heard, ...]:
        """Read a line that begins with no known word."""
        if text.startswith("SK"):
            glued = _AFTER_ECHO.search(text)
            return self.read(glued[0]) if glued else ()
        if self._beacon is not None:
            return self._read_beacon_field(text, self._beacon)
        if not text or self._in_list or _ADDRESS.fullmatch(text):  # a bare address answers SKLL64 (3.29)
            return ()
        return (noise(text.encode()),)

    def _read_beacon_field(self, text: str, beacon: dict[str, str]) -> tuple[Heard, ...]:
        name, _, value = text.partition(":")
        if name not in _BEACON_FIELDS:
            return ()
        if not _BEACON_FIELDS[name].fullmatch(value.strip()):
            self._beacon, self._in_list = None, True  # the rest of it does not matter
            return (noise(text.encode()),)
        beacon[name] = value.strip()
        return self._end_block() if name == "PairID" else ()

    def _end_block(self) -> tuple[Heard, ...]:
        beacon, self._beacon = self._beacon, None
        if beacon is None:
            return ()
        if not beacon.keys() >= {"Channel", "Pan ID", "Addr"}:
            return (Noise("EPANDESC that lacks fields"),)
        pan = Pan(
            channel=int(beacon["Channel"], 16),
            pan_id=int(beacon["Pan ID"], 16),
            mac=beacon["Addr"],
            pairing_id=beacon.get("PairID", ""),
            lqi=int(beacon["LQI"], 16) if "LQI" in beacon else None,
        )
        return (BeaconHeard(pan),)
