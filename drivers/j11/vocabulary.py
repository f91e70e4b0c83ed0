"""The words of the J11 binary protocol: requests as bytes, frames of the module as what they mean.

J11 UART interface v1.2; commands are named by their codes. Layouts that it leaves open are those of published
sessions and drivers. A request knows how long its answer may take, and shows itself without its data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import Struct

from drivers.j11.framing import Frame, request
from drivers.j11.results import MISHEARD, Result
from drivers.module import ECHONET_PORT, Credentials, Datagram, Fate, Noise, Pan

# --- what is said -----------------------------------------------------------------------------------------------

# Each is the longest that the interface names for the command, and 1 s (3.2 to 3.4).
USUAL_S = 2.0
START_S = 2.6  # of Route B, a MAC connection
SEND_S = 7.0  # of 1232 bytes; 0.9 s is usual, 2.7 s with a neighbour solicitation
BOOT_S = 10.0
DWELL_S = 9.64e-3  # a scan stays 2**duration times as long on each channel, and once more
FIRST, LAST = 0x04, 0x11  # channels: 922.5 MHz and 0.4 MHz a step
MASK = 0x0003FFF0  # all of them
DUAL = 0x05  # mode in which Route B runs
MAX_PAYLOAD = 1232

_REMEMBERED = 16  # addresses; there are the meter's and our own

RESPONSE = 0x2000  # response to a command: its code and this


class Request(Struct, frozen=True):
    """One command. `fine` are the results that will do; with `optional` any will, and none."""

    code: int
    name: str
    wire: bytes
    wait_s: float = USUAL_S
    fine: frozenset[int] = frozenset({Result.DONE})
    optional: bool = False

    @property
    def line(self) -> str:
        """To be shown."""
        return f"{self.code:04X} ({self.name})"

    def __repr__(self) -> str:
        return f"Request({self.line})"


def _command(code: int, name: str, data: bytes = b"", wait_s: float = USUAL_S, *, optional: bool = False) -> Request:
    return Request(code, name, request(code, data), wait_s, optional=optional)


VERSION = _command(0x006B, "version")
STATE = _command(0x0001, "state")
SETTINGS = _command(0x0107, "settings")
PAN_ID = _command(0x005E, "PAN ID")
OWN_MAC = _command(0x000E, "own MAC address", optional=True)
OWN_ADDRESS = _command(0x0009, "own IP address", optional=True)
RESET = _command(0x00D9, "hardware reset", wait_s=BOOT_S)
START = _command(0x0053, "start Route B", wait_s=START_S)
STOP = _command(0x0058, "end Route B", optional=True)
OPEN_PORT = Request(
    0x0005,
    "open UDP port",
    request(0x0005, ECHONET_PORT.to_bytes(2, "big")),
    fine=frozenset({Result.DONE, Result.PORT_OPEN}),
)
AUTHENTICATE = _command(0x0056, "start PANA")
AUTHENTICATE_AGAIN = _command(0x00D2, "authenticate again")
END = _command(0x0057, "end PANA")
END_IF_ANY = _command(0x0057, "end PANA", optional=True)
# Starting PANA is refused with these while a session stands, with another while one is only being made.
IS_AUTHENTICATED = frozenset({Result.RUNNING, Result.AUTHENTICATED})
ASK_WHETHER_AUTHENTICATED = Request(
    0x0056, "start PANA", request(0x0056), fine=frozenset(Result) - {Result.BUSY} - MISHEARD
)


def set_up(channel: int) -> Request:
    """005F: both sides (only so Route B runs), no sleep, 20 mW. `channel` is the module's number, 4-17."""
    return _command(0x005F, "initial settings", bytes([DUAL, 0, channel, 0]))


def use_credentials(credentials: Credentials) -> Request:
    """0054, the ID and the password; set already is fine, for they are forgotten before others are given."""
    data = (credentials.id + credentials.password).encode()
    fine = frozenset({Result.DONE, Result.ALREADY_SET})
    return Request(0x0054, "set credentials", request(0x0054, data), fine=fine)


def scan(duration: int, pairing_id: str) -> Request:
    """0051, active on all channels with the pairing ID. Raises ValueError for a duration outside 1-14."""
    if not 1 <= duration <= 14:
        raise ValueError(f"a scan's duration is 1 to 14, not {duration}")
    data = bytes([duration]) + MASK.to_bytes(4, "big") + b"\x01" + pairing_id.encode()
    whole_s = (LAST - FIRST + 1) * DWELL_S * (2**duration + 1)
    return _command(0x0051, "active scan", data, whole_s + USUAL_S)


def send(to: str, payload: bytes) -> Request:
    """0008 from and to port 3610; encrypted as soon as there is a session, and never told whether.

    Raises ValueError for an address or a payload (1-1232 bytes) that cannot be sent.
    """
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a datagram has 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
    ports = 2 * ECHONET_PORT.to_bytes(2, "big")
    return _command(0x0008, "send", _packed(to) + ports + len(payload).to_bytes(2, "big") + payload, SEND_S)


@lru_cache(_REMEMBERED)
def _packed(address: str) -> bytes:
    digits = address.replace(":", "")
    if len(address) != 39 or address.count(":") != 7:
        raise ValueError(f"not an IPv6 address in full form: {address!r}")
    return _exactly(16, bytes.fromhex(digits))


def channel_of(unit: int) -> int:
    """The module's number for a channel of drivers.module.Pan. Raises ValueError for one it has not."""
    number, between = divmod(unit - 0x21, 2)
    if between or not FIRST <= number + FIRST <= LAST:
        raise ValueError(f"no channel of Route B: {unit:02X}")
    return number + FIRST


def unit_of(channel: int) -> int:
    """The channel as drivers.module.Pan has it."""
    return 0x21 + 2 * (channel - FIRST)


# --- what is heard ----------------------------------------------------------------------------------------------


class Answer(Struct, frozen=True):
    """A response. `command` is the code it answers, None where the module could not tell what it was asked."""

    command: int | None
    result: int


class Version(Answer, frozen=True):
    firmware: str
    application: str


class State(Answer, frozen=True):
    """0001. `route_b` is 1 not running, 2 connected, 3 in authentication."""

    whole: int
    route_b: int


IN_AUTHENTICATION = 3


class Settings(Answer, frozen=True):
    mode: int
    channel: int


class PanId(Answer, frozen=True):
    pan_id: int


class Mac(Answer, frozen=True):
    mac: str


class Address(Answer, frozen=True):
    address: str


class Sent(Answer, frozen=True):
    """0008. `limited`: not sent for the hourly limit. `echo` is how the payload began, up to 5 bytes."""

    fate: Fate
    limited: bool
    echo: bytes


class Heard(Struct, frozen=True):
    """What is heard on one channel during a scan (4051); nothing of a PAN tells the pairing ID it was asked for."""

    pans: tuple[Pan, ...]


class Booted(Struct, frozen=True):
    """6019: the module has started; all that it was told is forgotten."""


class PanaEnded(Struct, frozen=True):
    """6028."""

    succeeded: bool
    refused: bool
    address: str  # of the meter


class LinkDown(Struct, frozen=True):
    """601A with what the other side ended: the session, or also the MAC connection."""

    address: str
    connection: bool


class Undeciphered(Struct, frozen=True):
    """6038 for want of the right key."""


Meaning = Answer | Heard | Booted | PanaEnded | LinkDown | Undeciphered | Datagram | Noise

_SENT = {0x0: Fate.SENT, 0xF: Fate.RESOLVING}  # low digit; 3 channel busy, 5 no acknowledgement, 8 another reason
_LIMITED = 0x2
_PAN = 11  # bytes of a PAN heard
_UNICAST = 0x00
_ENCRYPTED = 0x02
_PANA_OK, _PANA_REFUSED = 0x01, 0x02
_DOWN = {0x03: True, 0x04: False}
_KEY_TROUBLE = frozenset({0x01, 0x02})
_EVERYONE = "FF02:0000:0000:0000:0000:0000:0000:0001"


def read(frame: Frame, own: str) -> Meaning | None:
    """What a frame means; None for what does not matter. `own` is the address of the module.

    A frame that is shorter than it must be is Noise.
    """
    reader = _READERS.get(frame.code)
    try:
        if reader is not None:
            return reader(frame.data, own)
        if frame.code & 0xF000 == RESPONSE:
            return _read_answer(frame.code - RESPONSE, frame.data)
    except (IndexError, ValueError):
        return Noise(f"a frame {frame.code:04X} of {len(frame.data)} bytes, which it should not have")
    return None


def _exactly(size: int, data: bytes) -> bytes:
    if len(data) != size:
        raise ValueError(size)
    return data


def _mac(data: bytes) -> str:
    return _exactly(8, data).hex().upper()


def _signed(byte: int) -> int:
    return byte - 0x100 if byte >= 0x80 else byte


@lru_cache(_REMEMBERED)
def _address(data: bytes) -> str:
    digits = _exactly(16, data).hex().upper()
    return ":".join(digits[at : at + 4] for at in range(0, 32, 4))


@lru_cache(_REMEMBERED)
def _mac_within(address: bytes) -> str:
    """The MAC whose link-local address this is (RFC 4291)."""
    return bytes([address[8] ^ 0x02, *address[9:]]).hex().upper()


def _read_answer(command: int, data: bytes) -> Answer:
    """A response; what follows the result stands there only when the command was done."""
    result = data[0]
    form = _FORMS.get(command)
    return form(data) if form is not None and result == Result.DONE else Answer(command, result)


def _read_version(data: bytes) -> Answer:
    """206B: firmware ID 2, major 1, minor 1, revision 4."""
    _exactly(9, data)
    return Version(0x006B, data[0], f"{data[3]}.{data[4]}", f"{data[1:3].hex().upper()} {data[5:].hex().upper()}")


def _read_sent(data: bytes) -> Answer:
    outcome = data[1] & 0xF
    fate = _SENT.get(outcome, Fate.FAILED)
    return Sent(0x0008, data[0], fate, outcome == _LIMITED, data[2:])


_FORMS: Mapping[int, Callable[[bytes], Answer]] = {
    0x0001: lambda data: State(0x0001, data[0], data[1], data[2]),
    0x0008: _read_sent,
    0x0009: lambda data: Address(0x0009, data[0], _address(data[1:])),
    0x000E: lambda data: Mac(0x000E, data[0], _mac(data[1:])),
    0x005E: lambda data: PanId(0x005E, data[0], int.from_bytes(_exactly(2, data[1:]), "big")),
    0x006B: _read_version,
    0x0107: lambda data: Settings(0x0107, data[0], data[1], data[3]),
}


def _read_heard(data: bytes, _own: str) -> Heard:
    """4051: 00 heard or 01 not, channel, number of PANs and each with MAC 8, PAN ID 2, RSSI 1."""
    if data[0] != 0:
        return Heard(())
    channel, count, told = data[1], data[2], data[3:]
    _exactly(count * _PAN, told)
    if not FIRST <= channel <= LAST:
        raise ValueError(channel)
    return Heard(tuple(_read_pan(channel, told[at : at + _PAN]) for at in range(0, len(told), _PAN)))


def _read_pan(channel: int, data: bytes) -> Pan:
    return Pan(unit_of(channel), int.from_bytes(data[8:10], "big"), _mac(data[:8]), rssi_dbm=_signed(data[10]))


def _read_datagram(data: bytes, own: str) -> Datagram:
    """6018: sender 16, ports 2 and 2, PAN ID 2, to all or not 1, encrypted or not 1, RSSI 1, length 2, payload."""
    payload = _exactly(data[25] << 8 | data[26], data[27:])
    return Datagram(
        sender=_address(data[:16]),
        to=own if data[22] == _UNICAST else _EVERYONE,
        sender_port=int.from_bytes(data[16:18], "big"),
        port=int.from_bytes(data[18:20], "big"),
        mac=_mac_within(data[:16]),
        secured=data[23] == _ENCRYPTED,
        payload=payload,
        rssi_dbm=_signed(data[24]),
    )


def _read_pana(data: bytes, _own: str) -> PanaEnded:
    _exactly(9, data)
    return PanaEnded(data[0] == _PANA_OK, data[0] == _PANA_REFUSED, Pan(0, 0, _mac(data[1:])).address)


def _read_link(data: bytes, _own: str) -> LinkDown | None:
    _exactly(10, data)
    return LinkDown(Pan(0, 0, _mac(data[1:9])).address, _DOWN[data[0]]) if data[0] in _DOWN else None


_READERS: Mapping[int, Callable[[bytes, str], Meaning | None]] = {
    0x2FFF: lambda data, _own: Answer(None, data[0]),
    0x4051: _read_heard,
    0x6018: _read_datagram,
    0x6019: lambda _data, _own: Booted(),
    0x601A: _read_link,
    0x6028: _read_pana,
    0x6038: lambda data, _own: Undeciphered() if data[0] in _KEY_TROUBLE else None,
    0xFFFF: lambda _data, _own: Answer(None, Result.UNKNOWN_COMMAND),
}
