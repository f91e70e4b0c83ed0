"""The next step towards the meter, from what is known of module and session while there is none. Pure."""

from __future__ import annotations

from enum import Enum

from hemsd.routeb.ladder import RUNGS, Rung


class Step(Enum):
    """What is to be done now."""

    OPEN = "the module set up afresh"
    RENEW = "authenticated again within the session"
    PREPARE = "the credentials handed over"
    LEAVE = "the session left that the module holds"
    SCAN = "the meter looked for"
    REST = "the meter given time after its last session"
    JOIN = "the PAN that we know joined"


class Course:
    """Where we are on the ladder, and what that leaves to do; the session tells it what it learns."""

    def __init__(self) -> None:
        self.rung: Rung | None = None  # of the present round; None while online
        self.fresh = False  # the module was reset in this round
        self.prepared = False  # it has our credentials
        self.stuck = False  # it may still be at something that we gave up, or has forgotten everything
        self.standing = False  # it holds a session, as far as we know
        self.heard = False  # the PAN that we know was heard on this rung
        self.rest_until = float("-inf")  # no join before
        self._seek = False  # that PAN is not to be joined before it is heard

    def take(self, rung: Rung) -> None:
        """Begin a rung."""
        self.rung, self.heard, self._seek = rung, False, rung is Rung.RESCAN
        self.stuck = self.stuck or rung is Rung.RESET

    def arrived(self) -> None:
        """The meter is online."""
        self.rung, self.fresh, self.standing = None, False, True

    def leaving(self, *, prepared: bool) -> None:
        """The session is ended; with it a J11 module forgets the credentials. `prepared` as in opening()."""
        self.standing, self.prepared = False, prepared

    def opening(self, *, keep_session: bool, prepared: bool) -> None:
        """The module is opened; `prepared`, where it needs no credentials of ours."""
        self.prepared = prepared
        self.stuck = self.standing = False
        self.fresh = self.fresh or not keep_session

    def found(self) -> None:
        """A scan heard the meter."""
        self.heard, self._seek = True, False

    def seek(self) -> None:
        """Joining the PAN that we know is of no use: scan, still on this rung."""
        self._seek = True

    def next_rung(self, *, persist: bool) -> Rung | None:
        """The next rung that can help, None when there is none in this round.

        A reset helps once; who does not persist is told the diagnosis instead, as is everybody before the port is
        closed.
        """
        rung = RUNGS[RUNGS.index(self.rung or Rung.REJOIN) + 1]
        if rung is Rung.RESET and (self.fresh or not persist):
            return None
        return None if rung is Rung.REOPEN else rung

    def step(self, now: float, *, knows_pan: bool) -> Step:
        """The first that is needed of what leads to a session on this rung."""
        if self.stuck:
            return Step.OPEN
        if self.rung is Rung.REAUTHENTICATE:
            return Step.RENEW
        if self.standing:
            return Step.LEAVE
        if not self.prepared:
            return Step.PREPARE
        if self._seek or not knows_pan:
            return Step.SCAN
        return Step.REST if now < self.rest_until else Step.JOIN
