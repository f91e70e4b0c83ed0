"""The stages of a session with the meter, the moves between them, and what a session tells.

Theory. A PANA session lives in the module, not in this program, so the first try is the one an earlier run left
behind: the module still stands on the remembered PAN and the meter answers one Get. Next comes the remembered PAN
with the module set up afresh, then scans of growing duration. Re-authentication is the module's own business and
shuts the gate from SessionExpired to Joined; the hourly send limit shuts it too and is never a reason to join again.
A session is lost when the meter or the module says so, when re-authentication fails or does not end, and when the
meter stays silent three times. Then `hemsd.routeb.ladder` says which rung is next; a rung has brought the meter back
when the meter answers, not when it has merely admitted us: after a loss each join is proved by one Get. Noise, a
stray datagram or a command that has to be repeated begins nothing. A meter just left needs 10 s. (BP35A1 command
reference: SKJOIN, SKREJOIN, SKTERM, EVENT.)

    stage      is left when
    WAITING    its time is over
    OPENING    the module is ready and has the credentials
    SURVIVING  the meter answered; or did not within 6 s, after an authentication 20 s (AIF 1.01)
    SCANNING   the scan is Done (never earlier: the best beacon wins)
    JOINING    Joined, JoinFailed, or neither within the module's limit (30 s more while PANA messages are seen)
    RENEWING   the same, for the authentication that we asked for within a session that seems to stand
    ONLINE     the session expired or was lost
    GATED      Joined again, or not within 60 s
    REFUSED    an hour is over: a wrong password does not get better by hammering
    STOPPED    never: a single attempt came to its end, or the port has to be opened anew
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from drivers.module import Pan
from hemsd.routeb.errors import RouteBError
from hemsd.routeb.ladder import Rung
from hemsd.routeb.logbook import Recovery


class Stage(Enum):
    """How far we have come."""

    WAITING = "waiting"
    OPENING = "opening"
    SURVIVING = "surviving"
    SCANNING = "scanning"
    JOINING = "joining"
    RENEWING = "renewing"
    ONLINE = "online"
    GATED = "gated"
    REFUSED = "refused"
    STOPPED = "stopped"


ESTABLISHED = (Stage.ONLINE, Stage.GATED)
"""There is a session, be it gated for the moment."""

_S = Stage

MOVES: Mapping[Stage, frozenset[Stage]] = {
    _S.WAITING: frozenset({_S.WAITING, _S.OPENING, _S.SCANNING, _S.JOINING, _S.RENEWING}),
    _S.OPENING: frozenset({_S.WAITING, _S.OPENING, _S.SURVIVING, _S.SCANNING, _S.JOINING, _S.STOPPED}),
    _S.SURVIVING: frozenset({_S.WAITING, _S.OPENING, _S.SCANNING, _S.JOINING, _S.ONLINE, _S.STOPPED}),
    _S.SCANNING: frozenset({_S.WAITING, _S.OPENING, _S.SCANNING, _S.JOINING, _S.STOPPED}),
    _S.JOINING: frozenset(
        {_S.WAITING, _S.OPENING, _S.SCANNING, _S.SURVIVING, _S.ONLINE, _S.REFUSED, _S.STOPPED},
    ),
    _S.RENEWING: frozenset({_S.WAITING, _S.OPENING, _S.SURVIVING}),
    _S.ONLINE: frozenset({_S.WAITING, _S.OPENING, _S.RENEWING, _S.GATED, _S.STOPPED}),
    _S.GATED: frozenset({_S.WAITING, _S.OPENING, _S.ONLINE, _S.STOPPED}),
    _S.REFUSED: frozenset({_S.WAITING, _S.OPENING, _S.SCANNING, _S.JOINING}),
    _S.STOPPED: frozenset(),
}


class IllegalMove(RuntimeError):
    """A mistake of ours: MOVES has no such move."""


def moved(here: Stage, there: Stage) -> Stage:
    """The stage after a move. Raises IllegalMove."""
    if there not in MOVES[here]:
        raise IllegalMove(f"{here.name} -> {there.name}")
    return there


class Progress(Struct, frozen=True):
    """What is being done now, for a person; `expected_s` where it takes a known time."""

    stage: Stage
    text: str
    expected_s: float | None = None
    pan: Pan | None = None


class Probing(Struct, frozen=True):
    """The session may be alive, or dead: one Get to the meter is wanted, its answer tells."""


class Online(Struct, frozen=True):
    resumed: bool  # the session of an earlier run
    recovery: Recovery | None = None  # from a loss


class Lost(Struct, frozen=True):
    text: str


class Recovering(Struct, frozen=True):
    """A rung of the ladder is begun, because of what `text` says."""

    rung: Rung
    text: str


class Contended(Struct, frozen=True):
    """Somebody else seems to be at our meter; once an hour while it is so."""


class Withheld(Struct, frozen=True):
    """A datagram of ours was not sent: it must not leave on this link, because of what `text` says."""

    text: str


class Astray(Struct, frozen=True):
    """The meter sent what is not meant for a controller, as `text` says."""

    text: str


class Scanned(Struct, frozen=True):
    """A scan is over; `last` when no other follows."""

    pans: tuple[Pan, ...]
    last: bool


class Concluded(Struct, frozen=True):
    """A round came to its end without a session; one that persists makes the next by itself, unless it is STOPPED."""

    error: RouteBError


SessionEvent = Progress | Probing | Online | Lost | Recovering | Contended | Withheld | Astray | Scanned | Concluded
