"""The way to the meter: make the module ready, find the PAN, join it, see that the meter answers; or climb. Pure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, assert_never

from drivers import module
from drivers.module import AuthenticationStep, Command, Credentials, ModuleInfo, Open, Pan
from hemsd.routeb.course import Course, Step
from hemsd.routeb.errors import (
    CredentialsRefused,
    MeterMute,
    MeterNotHeard,
    MeterTaken,
    MeterUnclear,
    ModuleTrouble,
    RadioTrouble,
    RouteBError,
    module_trouble,
)
from hemsd.routeb.ladder import Rung
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.machine import TIME_IS_UP, Rules, StageMachine
from hemsd.routeb.stages import ESTABLISHED, Concluded, Contended, Lost, Probing, Progress, Recovering, Scanned, Stage

PROBE_S = 6.0  # for the surviving session's meter to answer; good links take 1.3 s, poor ones 4 s
PROOF_S = 20.0  # for the meter of a session just made: all the time it has (AIF 1.01, response timer 1)
FIRST_SCAN, LAST_SCAN, SCAN_AGAIN = 4, 8, 6  # durations
DWELL_S = 0.0096  # times (2**duration + 1) on each channel
SEEN_S = 30.0  # more than a join may take otherwise, while PANA messages are seen
AFTER_LEAVE_S = 10.0
LEAVE_S = 45.0  # an unanswered SKTERM takes the module about 38 s

ON_AIR = (module.Join, module.Rejoin, module.Scan)
SENDING = (Stage.SURVIVING, Stage.ONLINE)  # when datagrams may be sent


def strength(pan: Pan) -> float:
    """By which beacons are compared, in dBm; one without a signal comes last."""
    return float("-inf") if pan.dbm is None else pan.dbm


class Approach(StageMachine):
    """What a session does while there is none."""

    def __init__(
        self, credentials: Credentials | None, remembered: Pan | None, *, persist: bool, logbook: Logbook
    ) -> None:
        super().__init__()
        self.pan = remembered
        self.info: ModuleInfo | None = None
        self.logbook = logbook
        self.gate = logbook.gate
        self.gate.connected()
        self._credentials = credentials
        self._persist = persist
        self._ladder = logbook.ladder
        self._ladder.connected()
        self._course = Course()
        self._scan_only = False
        self._resuming = False  # the session of an earlier run
        self._beacons: list[Pan] = []
        self._duration = FIRST_SCAN
        self._seen: AuthenticationStep | None = None  # of the authentication under way
        self._authenticated_by = 0.0  # unless it is seen to go on

    @abstractmethod
    def _online(self, address: str, now: float, *, resumed: bool) -> None:
        """The meter is there."""

    @abstractmethod
    def _rejoin(self, why: str, now: float, pause_s: float = 0.0) -> None:
        """There is no session to come back to."""

    def _move(
        self, stage: Stage, text: str, command: Command | None = None, *, due: float | None = None, **told: Any
    ) -> None:
        super()._move(stage, text, command, due=due, **told)
        self.gate.stand(stage in SENDING)

    def command(self) -> Command | None:
        """Take the command that the module, being free, is to be given now; none that needs the air while limited."""
        wanted = self.wanted
        if wanted is None or (self.gate.limited and isinstance(wanted, ON_AIR)):
            return None
        return super().command()

    # --- climbing

    def _lose(self, text: str, now: float) -> None:
        self.gate.meet(None)
        self.logbook.lose(now)
        if self.stage in ESTABLISHED:
            self.happened.append(Lost(text))

    def _take(self, rung: Rung, why: str) -> None:
        """Begin a rung; where it leads is up to the caller."""
        self._course.take(rung)
        self._ladder.other_pan()
        self.logbook.take(rung)
        self.happened.append(Recovering(rung, why))

    def _climb(self, why: str, error: RouteBError, now: float) -> None:
        """What this rung could do did not help: the next one that can, or else the round ends with a diagnosis."""
        rung = self._course.next_rung(persist=self._persist)
        if rung is None:
            self._conclude(error, now)
        else:
            self._take(rung, why)
            self._proceed(now)

    def _conclude(self, error: RouteBError, now: float) -> None:
        self.happened.append(Concluded(error))
        if not self._persist:
            self._move(Stage.STOPPED, "giving up")
            return
        pause_s = self._ladder.concluded(error)
        if isinstance(error, CredentialsRefused):
            self._move(Stage.REFUSED, "the next attempt is in an hour", due=now + pause_s, expected_s=pause_s)
            self._then = self._again
        elif isinstance(error, ModuleTrouble):
            self._take(Rung.REOPEN, str(error))
            self._move(Stage.STOPPED, "the port is closed and opened again")
        else:
            self._wait(pause_s, self._again, now, "a pause before the next attempt")

    def _again(self, now: float) -> None:
        self._course.fresh = False
        self._take(Rung.RESCAN if self.pan is None else Rung.REJOIN, "another attempt after a pause")
        self._proceed(now)

    def _proceed(self, now: float) -> None:
        """Take the next step that there is on this rung."""
        course, pan = self._course, None if self._scan_only else self.pan
        match course.step(now, knows_pan=pan is not None):
            case Step.OPEN:
                self._open(now)
            case Step.RENEW:
                self._move(Stage.RENEWING, "authenticating again", module.Rejoin(), pan=pan)
            case Step.PREPARE:
                self._hand_over()
            case Step.LEAVE:
                course.leaving(prepared=self._credentials is None)
                self._wait(LEAVE_S, self._proceed, now, "leaving the silent session", module.Leave())
            case Step.SCAN:
                at_start = not self._ladder.rounds and course.rung is Rung.RESCAN
                self._scan(now, FIRST_SCAN if at_start else SCAN_AGAIN)
            case Step.REST:
                why = "giving the meter time after the end of the session"
                self._wait(course.rest_until - now, self._proceed, now, why)
            case Step.JOIN:
                self._join()
            case unknown:
                assert_never(unknown)

    # --- opening

    def _open(self, now: float, *, keep_session: bool = False) -> None:
        self._course.opening(keep_session=keep_session, prepared=self._credentials is None)
        self._move(Stage.OPENING, "opening the module", Open(keep_session))

    def _ready(self, event: module.Ready, now: float) -> None:
        self.info = info = event.info
        text = f"found a module: {info.family.value}, firmware {info.firmware}"
        self.happened.append(Progress(self.stage, text if self._credentials else f"on the link as {info.address}"))

    def _opened(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        info, pan = self.info, self.pan
        if isinstance(event.command, module.UseCredentials):
            self._course.prepared = True
            self._proceed(now)
        elif info is None or pan is None or info.pan_id is None or event.command != Open(keep_session=True):
            self._proceed(now)  # a module that was never on a PAN holds no session: nothing to try, nothing to reset
        elif (info.channel, info.pan_id) == (pan.channel, pan.pan_id):
            self._probe(pan.address, PROBE_S, "trying the session of the last time", now, resuming=True)
        else:
            self._open(now)

    def _hand_over(self) -> None:
        if self._credentials is not None:
            self._move(Stage.OPENING, "handing over the Route B ID", module.UseCredentials(self._credentials))

    # --- scanning and joining

    def _scan(self, now: float, duration: int) -> None:
        self._duration, self._beacons = duration, []
        channels = 0 if self.info is None else self.info.channels
        expected_s = channels * DWELL_S * (2**duration + 1) if channels else None
        self._move(Stage.SCANNING, f"scanning, duration {duration}", module.Scan(duration), expected_s=expected_s)

    def _beacon(self, event: module.BeaconHeard, now: float) -> None:
        self._beacons.append(event.pan)

    def _scanned(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        paired = "" if self._credentials is None else self._credentials.pairing_id
        ours = [pan for pan in self._beacons if pan.pairing_id == paired]
        ended = bool(ours) or self._duration >= LAST_SCAN
        self.happened.append(Scanned(tuple(self._beacons), last=ended))
        if ended and self._scan_only:
            self._move(Stage.STOPPED, "the scan is over")
        elif self._credentials is None and len(ours) > 1:
            self._conclude(MeterUnclear([pan.address for pan in ours]), now)
        elif ours:
            self.pan = max(ours, key=strength)
            self._course.found()
            self._ladder.other_pan()
            self._proceed(now)
        elif ended:
            self._climb("no meter answered the scan", MeterNotHeard(by_radio=self._credentials is not None), now)
        else:
            self._scan(now, self._duration + 1)

    def _join(self) -> None:
        if (pan := self.pan) is None:
            return
        lqi = "" if pan.lqi is None else f", LQI {pan.lqi}"
        dbm = "" if pan.dbm is None else f" ({pan.dbm:g} dBm)"
        text = f"joining {pan}{lqi}{dbm}"
        self._move(Stage.JOINING, text, module.Join(pan), pan=pan)

    def _authenticating(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        self._seen = None
        self._due = self._authenticated_by = now + self._ladder.join_limit_s(
            self._join_limits_s(), trusted=self._trusted
        )

    @property
    def _trusted(self) -> bool:
        """Whether the password is known to be right."""
        return self.logbook.sessions > 0

    def _join_limits_s(self) -> tuple[float, ...]:
        return (60.0,) if self.info is None else self.info.join_limits_s

    def _authentication(self, event: module.Authentication, now: float) -> None:
        self._seen = event.step
        if self._due is not None and self.stage is not Stage.ONLINE:
            self._due = self._authenticated_by + SEEN_S
        self.logbook.lifetime_s = event.lifetime_s or self.logbook.lifetime_s
        lifetime = "" if event.lifetime_s is None else f" for {event.lifetime_s} s"
        self.happened.append(Progress(self.stage, event.step.value + lifetime))

    def _joined(self, event: module.Joined, now: float) -> None:
        self._course.standing = True
        self.logbook.authenticated(now)
        if self.logbook.lost:
            self._probe(event.address, PROOF_S, "joined; trying whether the meter answers", now)
        else:
            self._online(event.address, now, resumed=False)

    def _join_failed(self, event: module.JoinFailed | None, now: float) -> None:
        course, pan = self._course, self.pan
        refused = self._ladder.refused(event, pan, self._seen)
        error: RouteBError = RadioTrouble(None if pan is None else pan.dbm)
        if refused and self._trusted:
            error = MeterTaken()
            self._displaced(now)
        course.stuck = event is None
        again = self._ladder.join_failed(
            refused=refused and not self._trusted,
            certain=event is not None and event.refused is True,
            heard=course.heard,
            first=course.rung is Rung.REJOIN,
            untold=course.stuck and self._ladder.has_longer(self._join_limits_s(), trusted=self._trusted),
        )
        if isinstance(again, CredentialsRefused):
            self._conclude(again, now)
        elif again and not course.stuck:
            self._wait(self._ladder.join_pause_s(), self._proceed, now, "the join failed, once more after a pause")
        elif again:
            self._proceed(now)
        elif course.heard:
            self._climb("the meter was heard but could not be joined", error, now)
        elif course.rung is Rung.REJOIN:
            self._climb("the remembered PAN could not be joined", error, now)
        else:
            course.seek()
            self._proceed(now)

    # --- seeing that the meter answers

    def _probe(self, address: str, wait_s: float, text: str, now: float, *, resuming: bool = False) -> None:
        self._move(Stage.SURVIVING, text, due=now + wait_s, pan=self.pan)
        self.gate.meet(address)
        self._resuming = resuming
        self.happened.append(Probing())

    def _unproved(self, _: None, now: float) -> None:
        if self.gate.limited:
            self._due = now + PROOF_S  # that holds the Get back
        else:
            self._not_surviving(None, now)

    def _not_surviving(self, event: object, now: float) -> None:
        self.gate.meet(None)
        if isinstance(event, module.SessionClosed):
            self._ended(event, now)
        elif isinstance(event, module.JoinFailed):
            self._course.standing = False
        if self._resuming:
            self._open(now)
        else:
            self._course.stuck = isinstance(event, module.SessionExpired)  # and at authenticating again
            self._climb("the meter admitted us and did not answer", MeterMute(), now)

    def _ended(self, event: module.SessionClosed, now: float) -> None:
        self._course.standing = False
        self._course.rest_until = now + AFTER_LEAVE_S
        if event.by_peer:
            self._displaced(now)

    def _left(self, event: module.SessionClosed, now: float) -> None:
        self._ended(event, now)
        if isinstance(self._given, module.Leave):
            self._proceed(now)

    def _displaced(self, now: float) -> None:
        if self.logbook.contention.displaced(now):
            self.happened.append(Contended())

    # --- trouble with the module

    def _fault(self, event: module.Refused | module.NoAnswer, now: float) -> None:
        """The module would not, or did not answer: again, then set up afresh, then conclude."""
        if isinstance(event.command, module.Rejoin):
            self._course.stuck = True
            self._rejoin("the module knows of no session, so it has restarted", now)
        elif isinstance(event.command, module.Leave):
            self._open(now)  # the same
        elif isinstance(event.command, Open) and isinstance(event, module.NoAnswer):
            self._conclude(module_trouble(event), now)  # its own search is over
        elif isinstance(event.command, Open) or (pause_s := self._ladder.fault_pause_s()) is None:
            self._useless(module_trouble(event), now)
        else:
            self.wanted, self._not_before = event.command, now + pause_s

    def _useless(self, error: ModuleTrouble, now: float) -> None:
        """No cheaper rung can work with a module that does not do as it is told."""
        if not self._ladder.may_reset():
            self._conclude(error, now)
            return
        if self._course.rung is not Rung.RESET:
            self._take(Rung.RESET, str(error))
        self._open(now)

    RULES: ClassVar[Mapping[Stage, Rules]] = {
        Stage.WAITING: {TIME_IS_UP: StageMachine._waited, module.SessionClosed: _left},
        Stage.OPENING: {module.Ready: _ready, module.Done: _opened},
        Stage.SURVIVING: {
            TIME_IS_UP: _unproved,
            module.SessionClosed: _not_surviving,
            module.SessionExpired: _not_surviving,
            module.JoinFailed: _not_surviving,
        },
        Stage.SCANNING: {module.BeaconHeard: _beacon, module.Done: _scanned},
        Stage.JOINING: {
            TIME_IS_UP: _join_failed,
            module.Done: _authenticating,
            module.Authentication: _authentication,
            module.Joined: _joined,
            module.JoinFailed: _join_failed,
        },
        Stage.REFUSED: {TIME_IS_UP: StageMachine._waited},
        Stage.STOPPED: {},
    }
    ALWAYS: ClassVar[Rules] = {module.Refused: _fault, module.NoAnswer: _fault}
