"""What any Wi-SUN Route B module does, whatever it speaks: commands given to it, events heard from it.

A module is a sans-I/O machine: bytes from the serial line and the time go in, bytes for the line and
events come out. `drivers.skstack` is the implementation for the SKSTACK-IP text families. Nothing here does
I/O; `drivers.ports.Pump` drives a module on a real port. A second-generation meter on a network interface is
reached by the same commands and events, with packets in place of bytes (`hemsd.routeb.ip`).

Addresses are IPv6 link-local in the full 39-character upper-case form ``FE80:0000:...:1234``; MAC addresses
are 16 upper-case hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from msgspec import Struct

from drivers.line import Line as Line
from drivers.packet import ECHONET_PORT as ECHONET_PORT

PANA_PORT = 716


class Family(Enum):
    """How a module's language differs; found out from the module, never asked of the user."""

    SE = "SKSTACK-IP single-hop"  # BP35A1, WSR35A1, RL7023 Stick-D/IPS
    DUAL = "SKSTACK-IP dual stack"  # BP35C0, BP35C2, RS-WSUHA-P, RL7023 Stick-D/DSS
    J11 = "J11 binary"  # BP35C*-J11, RS-WSUHA-J11
    IP = "no module"  # a second-generation meter on a network interface: hemsd.routeb.ip


Outgoing = bytes | Line
"""What a module wants done to its line: bytes to be written in one piece, or the line set differently."""

ItemT = TypeVar("ItemT")  # what goes over a port: bytes, or drivers.packet.Packet


class InvalidCredentials(ValueError):
    """Route B ID or password of the wrong length or alphabet; the text says what is wrong, never the secret."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The Route B authentication ID (32 hexadecimal digits) and password (12 of 0-9 A-Z).

    Lower case is corrected: meters know upper case only (BP35A1 command reference, SKSETPWD).
    Raises InvalidCredentials. Neither value is ever part of repr().
    """

    id: str = field(repr=False)
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.id.strip().upper())
        object.__setattr__(self, "password", self.password.strip().upper())
        _check("Route B ID", self.id, 32, "0123456789ABCDEF", "0-9 and A-F")
        _check("Route B password", self.password, 12, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0-9 and A-Z")

    @property
    def pairing_id(self) -> str:
        """The last 8 characters of the ID, by which the right meter answers a scan."""
        return self.id[-8:]


def _check(what: str, text: str, length: int, alphabet: str, words: str) -> None:
    if len(text) != length:
        raise InvalidCredentials(f"the {what} must have {length} characters, this one has {len(text)}")
    for at, character in enumerate(text, 1):
        if character not in alphabet:
            raise InvalidCredentials(f"the {what} may contain {words} only; character {at} is something else")


NO_RADIO = 0
"""The channel of a meter that is not reached by a radio module's PAN but on a network interface."""


class Pan(Struct, frozen=True):
    """A meter's private network as its beacon tells it (or as remembered from an earlier one)."""

    channel: int  # 0x21-0x3C, ARIB STD-T108 unit channels 33-60, whatever the module's own numbering is; or NO_RADIO
    pan_id: int  # 0-0xFFFE
    mac: str  # of the meter, 16 hexadecimal digits
    pairing_id: str = ""  # 8 characters, or none told
    lqi: int | None = None  # 0-255, from modules that tell it
    rssi_dbm: int | None = None  # from modules that tell that

    def __str__(self) -> str:
        where = f"PAN {self.pan_id:04X} on channel {self.channel}"
        return f"the meter at {self.address}" if self.channel == NO_RADIO else where

    @property
    def address(self) -> str:
        """The meter's link-local address: FE80::/64 and the MAC with the universal/local bit flipped (RFC 4291)."""
        digits = f"{int(self.mac[:2], 16) ^ 0x02:02X}{self.mac[2:]}"
        return "FE80:0000:0000:0000:" + ":".join(digits[at : at + 4] for at in range(0, 16, 4))

    @property
    def dbm(self) -> float | None:
        """How strongly the beacon was heard."""
        return dbm_of(self.lqi, self.rssi_dbm)


def rssi_dbm(lqi: int) -> float:
    """Received signal strength in dBm for an LQI (0-255), by the fit users of these modules publish."""
    return round(0.275 * lqi - 104.27, 1)


def dbm_of(lqi: int | None, told_dbm: float | None) -> float | None:
    """Received signal strength in dBm: as the module told it, else from the LQI; None where it tells neither."""
    if told_dbm is not None or lqi is None:
        return told_dbm
    return rssi_dbm(lqi)


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a module said of itself when it was opened."""

    family: Family
    firmware: str  # as printed by the module, for example "1.2.10"
    address: str  # its own
    mac: str
    channel: int | None  # it is set to; None when it was never told
    pan_id: int | None
    application: str = ""  # EAPPVER text where the module has one
    line: Line = field(default_factory=Line)  # what it was found to need
    join_limits_s: tuple[float, ...] = (
        60.0,
    )  # how long the first, second, ... failing join may take, before a reset
    channels: int = 28  # that a scan looks at; 0 where there are none


# --- commands: one at a time; each ends in exactly one Done, Refused or NoAnswer -----------------------------


class Open(Struct, frozen=True):
    """Find out what the module is and set it up (echo off, signal quality reported); announces Ready.

    With `keep_session` nothing is reset, so that a PANA session surviving in the module stays usable;
    without it the module is reset first, which ends any session it holds.
    """

    keep_session: bool


class UseCredentials(Struct, frozen=True):
    """Give the module the Route B ID and password. Lost on reset."""

    credentials: Credentials


class Scan(Struct, frozen=True):
    """Active scan with the pairing ID on all channels; BeaconHeard for each answer, Done at the end.

    One channel takes 9.6 ms * (2**duration + 1); duration 4-8 is of use.
    """

    duration: int


class Join(Struct, frozen=True):
    """Tune to a PAN and authenticate (PANA). Done when accepted; Joined or JoinFailed follows."""

    pan: Pan


class Rejoin(Struct, frozen=True):
    """Authenticate again within the present session. Done when accepted; Joined or JoinFailed follows."""


class Leave(Struct, frozen=True):
    """End the session at the meter; SessionClosed follows. A join within 10 s of it tends to fail."""


class Send(Struct, frozen=True):
    """Send an ECHONET Lite datagram (1-1232 bytes), encrypted or not at all; Transmission tells its fate.

    Transmission events name the address; they may come before Done and again after it (RESOLVING first).
    """

    to: str
    payload: bytes

    def __repr__(self) -> str:
        return f"Send(to={self.to!r}, {len(self.payload)} bytes)"


Command = Open | UseCredentials | Scan | Join | Rejoin | Leave | Send


# --- events ---------------------------------------------------------------------------------------------------


class Done(Struct, frozen=True):
    command: Command


class Refused(Struct, frozen=True):
    """The module would not do it. `code` is its own, for example ``ER10``; `line` the failing command, masked."""

    command: Command
    code: str
    line: str


class NoAnswer(Struct, frozen=True):
    """The module did not answer a command in time; for Open: nothing was heard at any baud rate."""

    command: Command
    waited_s: float


class Found(Struct, frozen=True):
    """Which module it is that an Open was given to: it does everything from now on, and may be used directly."""

    module: Module[bytes]


class Ready(Struct, frozen=True):
    info: ModuleInfo


class BeaconHeard(Struct, frozen=True):
    pan: Pan


class AuthenticationStep(Enum):
    """How far PANA has come, seen in the meter's own messages (RFC 5191, RFC 4764)."""

    STARTED = "the meter answers"
    CHALLENGED = "the meter asks for the password's proof"
    ANSWERED = "the meter accepted the proof"
    COMPLETED = "the meter opened the session"


class Authentication(Struct, frozen=True):
    """A PANA message of the meter passed by. Lifetime and result code stand in the last one only."""

    step: AuthenticationStep
    result_code: int | None = None  # PANA Result-Code AVP, 0 = success
    lifetime_s: int | None = None  # Session-Lifetime AVP


class Joined(Struct, frozen=True):
    """A session is up: sending is allowed. Also after the module re-authenticated by itself."""

    address: str  # of the meter


class JoinFailed(Struct, frozen=True):
    """Authentication failed, the first one or the module's own later one."""

    address: str
    refused: bool | None = None  # by the meter; None where the module cannot tell that from silence


class SessionExpired(Struct, frozen=True):
    """The session's lifetime is over; the module re-authenticates by itself. Sending is forbidden until Joined."""

    address: str


class SessionClosed(Struct, frozen=True):
    address: str
    by_peer: bool


class SendLimit(Struct, frozen=True):
    """The hourly transmission limit (ARIB STD-T108) is engaged or released; while engaged nothing is sent."""

    engaged: bool


class Fate(Enum):
    SENT = "sent"  # and, for unicast, acknowledged by the peer's radio
    FAILED = "not sent"  # channel busy, limit, or no radio acknowledgement
    RESOLVING = "neighbour solicitation sent first; another Transmission follows"


class Transmission(Struct, frozen=True):
    to: str
    fate: Fate


class Datagram(Struct, frozen=True):
    """A UDP datagram from the air, up to 1232 bytes. Nothing about it has been checked."""

    sender: str
    to: str
    sender_port: int
    port: int
    mac: str  # of the sender
    secured: bool
    payload: bytes
    lqi: int | None = None
    rssi_dbm: int | None = None

    def __repr__(self) -> str:
        told = f"sender={self.sender!r}, to={self.to!r}, sender_port={self.sender_port}, port={self.port}"
        return (
            f"Datagram({told}, mac={self.mac!r}, secured={self.secured}, lqi={self.lqi}, {len(self.payload)} bytes)"
        )


class Noise(Struct, frozen=True):
    """Bytes or a line that mean nothing here; at most 80 characters of it, secrets masked, for diagnosis."""

    text: str


Event = (
    Done
    | Refused
    | NoAnswer
    | Found
    | Ready
    | BeaconHeard
    | Authentication
    | Joined
    | JoinFailed
    | SessionExpired
    | SessionClosed
    | SendLimit
    | Transmission
    | Datagram
    | Noise
)


class Module(Protocol[ItemT]):
    """The machine itself, on bytes or on packets. `now` is seconds on a monotonic clock and never goes back."""

    @property
    def busy(self) -> bool:
        """Whether a command is under way; another one must not be given."""

    def command(self, command: Command, now: float) -> None:
        """Begin a command; its bytes are in outgoing(). Raises RuntimeError when busy."""

    def receive(self, item: ItemT, now: float, /) -> bool:
        """Take bytes from the line, cut anywhere, or one packet; False while it is the beginning of something only.

        Never raises for what it is.
        """

    def tick(self, now: float) -> None:
        """Let time pass: what is due by `now` happens."""

    def deadline(self) -> float | None:
        """When tick() is wanted next, None when only input can change anything."""

    def outgoing(self) -> Sequence[ItemT | Line]:
        """What is to be written, in order; empties."""

    def events(self) -> list[Event]:
        """What was learnt, in order; empties."""
