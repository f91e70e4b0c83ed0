"""How often to try again, how long to pause, and when to conclude: the counting behind a session. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from drivers.module import AuthenticationStep, rssi_dbm
from hemsd.routeb.errors import CredentialsRefused, RadioTrouble, RouteBError

JOIN_TRIES_REMEMBERED, JOIN_TRIES_HEARD = 2, 3  # of one PAN, before it is forgotten
JOIN_BACK_OFF_S = 5.0  # doubled each time
REFUSALS = 3  # in a row mean a wrong password
GOOD_LQI = 0x60
SILENCES = 3  # in a row mean a lost session
PAUSE_S, PAUSE_MAX_S = 60.0, 300.0  # after a conclusion
REFUSED_S = 3600.0
JITTER = 0.2  # of a pause, at most
FAULTS = 2  # repetitions of a command that the module would not do
FAULT_BACK_OFF_S = 1.0  # doubled each time
REOPENINGS = 2


class Way(Enum):
    """What to do after a failed join, unless it is concluded."""

    AGAIN = "join the same PAN"
    SCAN = "look for the meter anew"


class Ladder:
    """Counts what goes wrong. `jitter` gives numbers in [0, 1)."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._joins = self._refusals = self._rounds = self._silences = self._faults = self._reopenings = 0

    def reached(self) -> None:
        """The meter is online: all is forgiven."""
        self._joins = self._refusals = self._rounds = self._silences = self._faults = self._reopenings = 0

    def heard(self) -> None:
        """A datagram of the meter came."""
        self._silences = self._faults = 0

    def command_done(self) -> None:
        """The module did what it was told."""
        self._faults = 0

    def other_pan(self) -> None:
        """The next join is of another PAN than the last."""
        self._joins = 0

    def join_failed(self, lqi: int | None, step: AuthenticationStep | None, *, remembered: bool) -> Way | RouteBError:
        """What follows from a failed join that came as far as `step`, the beacon heard at `lqi`.

        A meter that asked for the proof and did not accept it, three times in a row and over a good link, tells of a
        wrong password; all else is radio trouble.
        """
        self._joins += 1
        refused = step is AuthenticationStep.CHALLENGED and lqi is not None and lqi > GOOD_LQI
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= REFUSALS:
            self._refusals = 0
            return CredentialsRefused()
        if self._joins < (JOIN_TRIES_REMEMBERED if remembered else JOIN_TRIES_HEARD):
            return Way.AGAIN
        return Way.SCAN if remembered else RadioTrouble(None if lqi is None else rssi_dbm(lqi))

    def join_pause_s(self) -> float:
        """How long to wait before joining again."""
        return self._jittered(JOIN_BACK_OFF_S * 2 ** max(0, self._joins - 1))

    def pause_s(self, error: RouteBError) -> float:
        """How long to wait after a conclusion: growing, and an hour where hammering would be no use."""
        if isinstance(error, CredentialsRefused):
            return REFUSED_S
        self._rounds += 1
        return self._jittered(min(PAUSE_MAX_S, PAUSE_S * 2.0 ** (self._rounds - 1)))

    def silence_is_loss(self) -> bool:
        """Count a request that the meter never answered."""
        self._silences += 1
        return self._silences >= SILENCES

    def fault_pause_s(self) -> float | None:
        """How long to wait before giving the module its command again; None when that was tried enough."""
        self._faults += 1
        return FAULT_BACK_OFF_S * 2 ** (self._faults - 1) if self._faults <= FAULTS else None

    def may_reopen(self) -> bool:
        """Whether setting the module up afresh is worth another try."""
        self._faults = 0
        self._reopenings = (self._reopenings + 1) % (REOPENINGS + 1)
        return self._reopenings > 0

    def _jittered(self, pause_s: float) -> float:
        return pause_s * (1 + JITTER * self._jitter())
