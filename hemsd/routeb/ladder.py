"""The ladder back to the meter: its rungs, how long each may take, and the counting that says when to go on. Pure.

Theory. A loss is begun at the cheapest rung that can bring back what was lost, and a rung that did not is followed by
the next dearer one that can; none is skipped that could work, and none is tried twice in a round. A round that ends
without the meter is a diagnosis (`hemsd.routeb.errors`), a pause with jitter, and a new round from the cheapest rung
that can work then. There is no last round.

    rung            what is done                                        what it is for
    RETRY           asks again, one property, until three are silent    a burst of noise
    REAUTHENTICATE  the module authenticates within its session         the meter restarted and forgot us
    REJOIN          leaves, waits 10 s, joins the PAN we know           the session is gone at either end
    RESCAN          looks for the meter on all channels, joins it       the meter moved to another PAN
    RESET           sets the module up afresh, joins, scans             the module has lost its way
    REOPEN          the port is closed and opened                       the module is silent, or its driver stuck
    REPLUG          waits for the device                                it was unplugged
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from drivers.module import AuthenticationStep, JoinFailed, Pan, rssi_dbm
from hemsd.routeb.errors import CredentialsRefused, RouteBError


class Rung(Enum):
    """A step of the ladder, from the cheapest to the dearest."""

    RETRY = "retry"
    REAUTHENTICATE = "reauthenticate"
    REJOIN = "rejoin"
    RESCAN = "rescan"
    RESET = "reset"
    REOPEN = "reopen"
    REPLUG = "replug"


RUNGS = tuple(Rung)

BOUND_S: Mapping[Rung, float] = {
    Rung.RETRY: 140.0,  # two more silences of at most 60 s (AIF 1.01), each begun once the module is free, 10 s
    Rung.REAUTHENTICATE: 150.0,  # an authentication (120 s) and a Get (20 s)
    Rung.REJOIN: 360.0,  # SKTERM unanswered (45 s), 10 s of rest, two joins of 120 s, a pause between, a Get
    Rung.RESCAN: 600.0,  # leaving (55 s), scans of durations 4 to 8 (135 s), three joins and their pauses, a Get
    Rung.RESET: 720.0,  # setting up (15 s, three times), a join, scans of durations 6 to 8 (121 s), three more joins
    Rung.REOPEN: 420.0,  # a minute of supervision, opening (twice), a Get on the surviving session, two joins, a Get
    Rung.REPLUG: 420.0,  # the same, from the moment the device is back
}
"""How long a rung may take until the meter is online or the next rung is begun, or the round concluded.

Authentications end within 120 s: text modules give up after 40 s and get 60, or 90 while PANA messages are seen; a
J11 module gets 120 s once the password is known to be right. An engaged send limit, and the module authenticating
again by itself, stop these clocks: nothing may be sent.
"""

JOIN_TRIES_REMEMBERED, JOIN_TRIES_AGAIN = 2, 1  # of the PAN that we know: in the first round of a loss, later
JOIN_TRIES_HEARD = 3  # of one that a scan heard just now
JOIN_BACK_OFF_S = 5.0  # doubled each time
REFUSALS = 3  # in a row mean a wrong password,
TOLD_REFUSAL = 2  # is what one counts that the module tells of itself: it takes a J11 module five minutes
GOOD_DBM = rssi_dbm(0x60)
SILENCES = 3  # in a row mean a lost session
PAUSE_S, PAUSE_MAX_S = 60.0, 300.0  # after a conclusion
REFUSED_S = 3600.0
JITTER = 0.2  # of a pause, at most
FAULTS = 2  # repetitions of a command that the module would not do
FAULT_BACK_OFF_S = 1.0  # doubled each time
RESETS = 2  # for a module that does not do as it is told


class Ladder:
    """Counts what goes wrong. `jitter` gives numbers in [0, 1). Kept through new connections for its rounds."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self.rounds = 0  # concluded since the meter was last online
        self._refusals = 0
        self.connected()

    def connected(self) -> None:
        """Another port, or the same opened again: what its module did before is no matter now."""
        self._joins = self._failed_joins = self._silences = self._faults = self._resets = 0

    def reached(self) -> None:
        """The meter is online: all is forgiven."""
        self.rounds = self._refusals = 0
        self.connected()

    def heard(self) -> None:
        """A datagram of the meter came."""
        self._silences = self._faults = 0

    def silent(self) -> int:
        """Count a request that the meter never answered; how many that are in a row."""
        self._silences += 1
        return self._silences

    def command_done(self) -> None:
        """The module did what it was told."""
        self._faults = 0

    def other_pan(self) -> None:
        """The next join is of another PAN than the last, or for another reason."""
        self._joins = 0

    def refused(self, event: JoinFailed | None, pan: Pan | None, step: AuthenticationStep | None) -> bool:
        """Whether a join failed because the meter would not have us: no other reason is left.

        The module says so, or the meter asked for the proof and did not accept it; and the beacon was heard well.
        """
        told = None if event is None else event.refused
        by_meter = step is AuthenticationStep.CHALLENGED if told is None else told
        return by_meter and pan is not None and pan.dbm is not None and pan.dbm > GOOD_DBM

    def join_failed(
        self, *, refused: bool, heard: bool, first: bool, certain: bool = False, untold: bool = False
    ) -> bool | CredentialsRefused:
        """Whether to join the same PAN again. `heard` in a scan just now, else remembered; `first` time in a loss.

        Refused three times in a row is a wrong password, or twice where that is `certain`, for the module says so;
        after an hour's pause once is enough to say so again. A join whose reason is `untold`, for it was not waited
        for, says nothing of either.
        """
        self._failed_joins += 1
        if untold:
            return True
        self._joins += 1
        self._refusals = self._refusals + (TOLD_REFUSAL if certain else 1) if refused else 0
        if self._refusals >= REFUSALS:
            self._refusals = REFUSALS - 1
            return CredentialsRefused()
        remembered = JOIN_TRIES_REMEMBERED if first and not self.rounds else JOIN_TRIES_AGAIN
        return self._joins < (JOIN_TRIES_HEARD if heard else remembered)

    def join_limit_s(self, limits_s: tuple[float, ...], *, trusted: bool) -> float:
        """How long the next join may take, if the last ones failed; the last limit repeats.

        The longer ones are there to hear that the password is wrong. One that was right before is `trusted`: a join
        that has not succeeded within the first limit is over, and the way back goes on.
        """
        return limits_s[0 if trusted else min(self._failed_joins, len(limits_s) - 1)]

    def has_longer(self, limits_s: tuple[float, ...], *, trusted: bool) -> bool:
        """Whether the join after this one may take longer."""
        return not trusted and self._failed_joins + 1 < len(limits_s)

    def join_pause_s(self) -> float:
        """How long to wait before joining again."""
        return self._jittered(JOIN_BACK_OFF_S * 2 ** max(0, self._joins - 1))

    def concluded(self, error: RouteBError) -> float:
        """A round is over; how long to wait: growing, and an hour where hammering would be no use."""
        self.rounds += 1
        if isinstance(error, CredentialsRefused):
            return REFUSED_S
        return self._jittered(min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self.rounds - 1, 8)))

    def fault_pause_s(self) -> float | None:
        """How long to wait before giving the module its command again; None when that was tried enough."""
        self._faults += 1
        return FAULT_BACK_OFF_S * 2 ** (self._faults - 1) if self._faults <= FAULTS else None

    def may_reset(self) -> bool:
        """Whether setting the module up afresh is worth another try."""
        self._faults = 0
        self._resets = (self._resets + 1) % (RESETS + 1)
        return self._resets > 0

    def _jittered(self, pause_s: float) -> float:
        return pause_s * (1 + JITTER * self._jitter())
