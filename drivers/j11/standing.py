"""What is known of a J11 module, and what a command to it therefore needs.

Settings, credentials, connection and session stand on one another and are lost at a restart; 0057 takes the
credentials too (J11 UART interface; Route B application note). Nothing here is asked: the engine tells what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from drivers.j11 import vocabulary
from drivers.j11.vocabulary import Address, Answer, Mac, PanId, Request, Settings, Version
from drivers.module import (
    Command,
    Credentials,
    Family,
    Join,
    Leave,
    ModuleInfo,
    Open,
    Pan,
    Rejoin,
    Scan,
    Send,
    UseCredentials,
)

JOIN_LIMITS_S = (120.0, 320.0, 720.0)  # a refusal is told after 312 s, an unanswered PANA given up after 706 s

AFRESH = (vocabulary.RESET, vocabulary.OWN_MAC, vocabulary.OWN_ADDRESS)
"""What Open asks after the version of a module that is to be used afresh."""

KEPT = (
    vocabulary.PAN_ID,
    vocabulary.SETTINGS,
    vocabulary.OPEN_PORT,
    vocabulary.OWN_MAC,
    vocabulary.OWN_ADDRESS,
)
"""And of one whose session is kept."""


class Standing:
    """How a module stands, as far as it has told. `peer` is the meter's address."""

    def __init__(self) -> None:
        self.credentials: Credentials | None = None  # ours, whether the module has them or not
        self.peer = self.address = ""
        self._firmware = self._application = self._mac = ""
        self._channel: int | None = None
        self._pan_id: int | None = None
        self.forget()

    def forget(self) -> None:
        """As after a restart."""
        self.joining = False  # PANA will end
        self.authenticated = False
        self._set_up = self._armed = False  # it has initial settings, and the credentials
        self._running = False  # connected to the meter's network
        self._channel = self._pan_id = None

    def survived(self) -> None:
        """A session stands that somebody made before."""
        self._set_up = self._armed = self._running = self.authenticated = True

    def disconnected(self) -> None:
        """The meter's network is gone."""
        self._running = False

    def learn(self, answer: Answer) -> None:
        """Take what a module says of itself."""
        match answer:
            case Version():
                self._firmware, self._application = answer.firmware, answer.application
            case Mac():
                self._mac = answer.mac
                self.address = self.address or Pan(0, 0, answer.mac).address
            case Address():
                self.address = answer.address
            case PanId():
                self._pan_id = answer.pan_id
            case Settings():
                self._channel = vocabulary.unit_of(answer.channel)

    def did(self, code: int) -> None:
        """Take that the module has done a command."""
        if code in _EFFECTS:
            _EFFECTS[code](self)

    @property
    def info(self) -> ModuleInfo:
        """What there is to be announced."""
        return ModuleInfo(
            Family.J11,
            self._firmware,
            self.address,
            self._mac,
            self._channel,
            self._pan_id,
            self._application,
            join_limits_s=JOIN_LIMITS_S,
            channels=vocabulary.LAST - vocabulary.FIRST + 1,
        )

    def plan(self, command: Command) -> list[Request]:
        """The requests that carry out a command. Raises ValueError for what no module can be asked."""
        match command:
            case Send():
                return [vocabulary.send(command.to, command.payload)]
            case Open():
                return [vocabulary.STATE] if command.keep_session else list(AFRESH)
            case UseCredentials():
                self.credentials = command.credentials
                return [vocabulary.set_up(vocabulary.FIRST), vocabulary.use_credentials(command.credentials)]
            case Scan():
                pairing_id = "" if self.credentials is None else self.credentials.pairing_id
                set_up = () if self._set_up else (vocabulary.set_up(vocabulary.FIRST),)
                return [*set_up, vocabulary.scan(command.duration, pairing_id)]
            case Join():
                return self._plan_join(command.pan)
            case Rejoin():
                return [vocabulary.AUTHENTICATE_AGAIN]
            case Leave():
                return [vocabulary.END, vocabulary.STOP]
        assert_never(command)

    def _plan_join(self, pan: Pan) -> list[Request]:
        """Leave what there may be, and start from the settings; the port is opened before the meter announces."""
        set_up = vocabulary.set_up(vocabulary.channel_of(pan.channel))
        requests = [vocabulary.END_IF_ANY, vocabulary.STOP] if self._running else []
        requests.append(set_up)
        if self.credentials is not None and (self._running or not self._armed):
            requests.append(vocabulary.use_credentials(self.credentials))
        self.peer = pan.address
        self.authenticated = False
        return [*requests, vocabulary.START, vocabulary.OPEN_PORT, vocabulary.AUTHENTICATE]

    def _is_set_up(self) -> None:
        self._set_up = True

    def _is_armed(self) -> None:
        self._armed = True

    def _is_running(self) -> None:
        self._running = True

    def _is_joining(self) -> None:
        self.joining = True

    def _has_ended(self) -> None:
        self.authenticated = self.joining = self._armed = False


_EFFECTS: Mapping[int, Callable[[Standing], None]] = {
    0x0053: Standing._is_running,
    0x0054: Standing._is_armed,
    0x0056: Standing._is_joining,
    0x0057: Standing._has_ended,
    0x0058: Standing.disconnected,
    0x005F: Standing._is_set_up,
    0x00D2: Standing._is_joining,
}
