"""The session with the meter: find it, join it, stay, come back. Pure, and the same for every module.

Events of `drivers.module` and the time go in, commands and `hemsd.routeb.stages` events come out. What the stages
are, and why, stands there; which step follows which when the meter is lost, in `hemsd.routeb.ladder`; how the steps
are taken, in `hemsd.routeb.approach`. Datagrams are not sent here, it is only told when and to whom they may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from drivers import module
from drivers.module import Credentials, Datagram, Pan
from hemsd.routeb.approach import Approach
from hemsd.routeb.errors import module_trouble
from hemsd.routeb.gate import LIMIT_S, LIMITED
from hemsd.routeb.ladder import SILENCES, Rung
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.machine import TIME_IS_UP, Rules
from hemsd.routeb.stages import Online, Probing, Progress, Stage

REAUTHENTICATION_S = 60.0
MULTICAST = "FF"  # how such an address begins


class Session(Approach):
    """One meter, one module. `remembered` is the PAN of an earlier session, `logbook` what earlier connections leave.

    Without `credentials` there is no module to give them to: the meter is the one on our network interface.

    Nothing happens before begin(). With `persist` it tries for ever, STOPPED only to have its port opened anew;
    without, the first conclusion is the last.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        remembered: Pan | None = None,
        *,
        persist: bool = False,
        logbook: Logbook | None = None,
    ) -> None:
        super().__init__(credentials, remembered, persist=persist, logbook=logbook or Logbook())

    def begin(self, now: float, *, scan_only: bool = False) -> None:
        """Set out for the meter, or only to hear which PANs answer."""
        self.gate.begin(now)
        self._scan_only = scan_only
        remembered = self.pan is not None and not scan_only
        self._course.take(Rung.REJOIN if remembered else Rung.RESCAN)
        self._open(now, keep_session=remembered)

    def accept(self, datagram: Datagram, now: float) -> bool:
        """Whether a datagram is the meter's and safe to read."""
        if not self.gate.accept(datagram, now):
            return False
        self._ladder.heard()
        if self._course.rung is None:
            pass  # all is well
        elif self._course.rung is Rung.RETRY:
            self.logbook.back(now)
            self._course.rung = None
        elif self.stage is Stage.SURVIVING and not datagram.to.startswith(MULTICAST):
            self._online(datagram.sender, now, resumed=self._resuming)  # an announcement to all would prove nothing
        return True

    def unsent(self, event: module.Refused | module.NoAnswer | module.Transmission, now: float) -> None:
        """A datagram did not get out."""
        if self.stage is Stage.SURVIVING and self._resuming:
            self._not_surviving(event, now)
        elif self.gate.peer and isinstance(event, module.NoAnswer) and self._ladder.fault_pause_s() is None:
            self._lose("the module does not answer", now)
            self._useless(module_trouble(event), now)

    def silent(self, now: float) -> None:
        """The AIF limit passed without an answer; three times in a row is a loss."""
        silences = self._ladder.silent()
        if self.stage is not Stage.ONLINE:
            return
        if self._course.rung is None:
            self.logbook.lose(now)
            self._take(Rung.RETRY, "the meter did not answer in time")
        if silences < SILENCES:
            self.happened.append(Probing())
        else:
            text = f"the meter did not answer {silences} times in a row"
            self._lose(text, now)
            self._take(Rung.REAUTHENTICATE, text)
            self._proceed(now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self.gate.limit_due is not None and now >= self.gate.limit_due:
            self._limit(module.SendLimit(engaged=False), now)
        super().tick(now)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        due, limit_due = self._due, self.gate.limit_due
        if self._not_before is not None and (due is None or self._not_before < due):
            due = self._not_before
        return due if limit_due is None or (due is not None and due < limit_due) else limit_due

    # --- online and after

    def _online(self, address: str, now: float, *, resumed: bool) -> None:
        self._move(Stage.ONLINE, "online", pan=self.pan)
        self.gate.meet(address)
        self._course.arrived()
        self._ladder.reached()
        self.happened.append(Online(resumed, self.logbook.back(now)))

    def _renewed_silently(self, event: module.Joined, now: float) -> None:
        self.logbook.authenticated(now)

    def _expired(self, event: module.SessionExpired, now: float) -> None:
        self._authenticated_by = due = now + REAUTHENTICATION_S
        self._move(Stage.GATED, "the module authenticates again, its session expired", due=due)

    def _renewed(self, event: module.Joined, now: float) -> None:
        self.gate.meet(event.address)
        self.logbook.authenticated(now)
        self._move(Stage.ONLINE, "authenticated again")

    def _renewal_overdue(self, _: None, now: float) -> None:
        if self.gate.limited:
            self._due = now + REAUTHENTICATION_S  # that holds it back
        else:
            self._course.stuck = True
            self._rejoin("authenticating again did not end", now)

    def _renewal_failed(self, event: module.JoinFailed, now: float) -> None:
        self._course.standing = False
        self._rejoin("authenticating again failed", now, self._ladder.join_pause_s())

    def _closed(self, event: module.SessionClosed, now: float) -> None:
        self._ended(event, now)
        self._rejoin("the meter ended the session" if event.by_peer else "the session was ended", now)

    def _rejoin(self, why: str, now: float, pause_s: float = 0.0) -> None:
        """The session is gone: whatever cheaper rungs there are, they need one."""
        self._lose(why, now)
        self._take(Rung.REJOIN, why)
        if pause_s:
            self._wait(pause_s, self._proceed, now, "joining the meter again")
        else:
            self._proceed(now)

    def _limit(self, event: module.SendLimit, now: float) -> None:
        was_limited = self.gate.limited
        self.gate.limit(now + LIMIT_S if event.engaged else None)
        if self.gate.limited != was_limited:
            self.happened.append(Progress(self.stage, LIMITED if event.engaged else "sending is allowed again"))

    RULES: ClassVar[Mapping[Stage, Rules]] = {
        **Approach.RULES,
        Stage.RENEWING: {
            TIME_IS_UP: _renewal_overdue,
            module.Done: Approach._authenticating,
            module.Authentication: Approach._authentication,
            module.Joined: Approach._joined,
            module.SessionClosed: _closed,
            module.JoinFailed: _renewal_failed,
        },
        Stage.ONLINE: {
            module.Authentication: Approach._authentication,
            module.Joined: _renewed_silently,
            module.SessionExpired: _expired,
            module.SessionClosed: _closed,
            module.JoinFailed: _renewal_failed,
        },
        Stage.GATED: {
            TIME_IS_UP: _renewal_overdue,
            module.Authentication: Approach._authentication,
            module.Joined: _renewed,
            module.SessionClosed: _closed,
            module.JoinFailed: _renewal_failed,
        },
    }
    ALWAYS: ClassVar[Rules] = {**Approach.ALWAYS, module.SendLimit: _limit}
