"""The session with the meter: find it, join it, stay, come back. Pure, and the same for every module.

Events of `drivers.module` and the time go in, commands and `hemsd.routeb.stages` events come out. What the stages
are, and why, stands there. Datagrams are not sent here, it is only told when and to whom they may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivers import module
from drivers.module import AuthenticationStep, Command, Credentials, Datagram, ModuleInfo, Open, Pan, rssi_dbm
from hemsd.routeb.errors import (
    CredentialsRefused,
    MeterNotHeard,
    MeterUnclear,
    ModuleTrouble,
    RouteBError,
    module_trouble,
)
from hemsd.routeb.gate import LIMIT_S, Gate
from hemsd.routeb.ladder import SILENCES, Ladder, Way
from hemsd.routeb.stages import (
    Concluded,
    Lost,
    Online,
    PanForgotten,
    Probing,
    Progress,
    Scanned,
    SessionEvent,
    Stage,
    moved,
)

PROBE_S = 6.0  # for the surviving session's meter to answer; good links take 1.3 s, poor ones 4 s
FIRST_SCAN, LAST_SCAN, SCAN_AGAIN = 4, 8, 6  # durations
SCAN_CHANNELS = 28
JOIN_S, JOIN_SEEN_S = 60.0, 90.0  # the module itself gives up after about 40 s of silence
REAUTHENTICATION_S = 60.0
AFTER_LEAVE_S = 10.0
LEAVE_S = 15.0
LIMIT_LOOK_S = 60.0


class Session:
    """One meter, one module. `remembered` is the PAN of an earlier session, `jitter` gives numbers in [0, 1).

    Without `credentials` there is no module to give them to: the meter is the one on our network interface.

    Nothing happens before begin(). With `persist` it tries for ever; without, the first conclusion is the last.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        remembered: Pan | None = None,
        *,
        persist: bool = False,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.stage = Stage.WAITING
        self.pan = remembered
        self.info: ModuleInfo | None = None
        self.gate = Gate()
        self._credentials = credentials
        self._persist = persist
        self._ladder = Ladder(jitter)
        self._scan_only = False
        self._remembered = remembered is not None
        self._prepared = False  # the module has our credentials
        self._then: Callable[[float], None] = self._proceed  # what follows a wait
        self._due: float | None = None  # the end of the stage's time
        self._wanted: Command | None = None  # for the module, when it is free
        self._not_before: float | None = None
        self._given: Command | None = None  # whose end is awaited
        self._beacons: list[Pan] = []
        self._duration = self._first_scan = FIRST_SCAN
        self._step: AuthenticationStep | None = None
        self._join_began = 0.0
        self._events: list[SessionEvent] = []

    def begin(self, now: float, *, scan_only: bool = False) -> None:
        """Set out for the meter, or only to hear which PANs answer."""
        self._scan_only = scan_only
        self._open(now, keep_session=self._remembered and not scan_only)

    def receive(self, event: module.Event, now: float) -> None:
        """Take an event of the module other than a datagram or the end of a Send."""
        if isinstance(event, module.Done | module.Refused | module.NoAnswer) and event.command != self._given:
            return  # of a stage that is over
        rule = _RULES[self.stage].get(type(event)) or _ALWAYS.get(type(event))
        if rule is not None:
            rule(self, event, now)

    def accept(self, datagram: Datagram, now: float) -> bool:
        """Whether a datagram is the meter's and safe to read."""
        if not self.gate.accept(datagram, now):
            return False
        self._ladder.heard()
        if self.stage is Stage.SURVIVING:
            self._online(datagram.sender, now, resumed=True)
        return True

    def unsent(self, event: module.Refused | module.NoAnswer | module.Transmission, now: float) -> None:
        """A datagram did not get out."""
        if self.stage is Stage.SURVIVING:
            self._not_surviving(event, now)
        elif self.gate.peer and isinstance(event, module.NoAnswer) and self._ladder.fault_pause_s() is None:
            self._lose("the module does not answer")
            self._reopen(module_trouble(event), now)

    def silent(self, now: float) -> None:
        """The AIF limit passed without an answer; three times in a row is a loss."""
        if self._ladder.silence_is_loss() and self.stage is Stage.ONLINE:
            self._lose(f"the meter did not answer {SILENCES} times in a row")
            self._wait(LEAVE_S, self._proceed, now, "leaving the silent session", command=module.Leave())

    def command(self) -> Command | None:
        """Take the command that the module, being free, is to be given now."""
        if self._wanted is None or self._not_before is not None:
            return None
        self._given, self._wanted = self._wanted, None
        return self._given

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._not_before is not None and now >= self._not_before:
            self._not_before = None
        if self.gate.limit_due is not None and now >= self.gate.limit_due:
            self._limit(module.SendLimit(engaged=False), now)
        if self._due is not None and now >= self._due:
            self._due = None
            _RULES[self.stage][_TIME_IS_UP](self, None, now)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        if self._not_before is None and self.gate.limit_due is None:
            return self._due
        dues = (self._due, self._not_before, self.gate.limit_due)
        return min(due for due in dues if due is not None)

    def events(self) -> list[SessionEvent]:
        """What happened, in order; empties."""
        events, self._events = self._events, []
        return events

    # --- moving

    def _move(
        self, stage: Stage, text: str, command: Command | None = None, *, due: float | None = None, **told: Any
    ) -> None:
        self.stage = moved(self.stage, stage)
        self._wanted, self._given, self._not_before, self._due = command, None, None, due
        self.gate.authenticated = stage is Stage.ONLINE or stage is Stage.SURVIVING
        self._events.append(Progress(stage, text, **told))

    def _wait(
        self, wait_s: float, then: Callable[[float], None], now: float, why: str, command: Command | None = None
    ) -> None:
        self._move(Stage.WAITING, why, command, due=now + wait_s, expected_s=wait_s)
        self._then = then

    def _waited(self, _: None, now: float) -> None:
        self._then(now)

    # --- opening

    def _open(self, now: float, *, keep_session: bool = False) -> None:
        self._prepared = False
        self._move(Stage.OPENING, "opening the module", Open(keep_session))

    def _ready(self, event: module.Ready, now: float) -> None:
        self.info = event.info
        info = event.info
        text = f"found a module: {info.family.value}, firmware {info.firmware}"
        self._events.append(Progress(self.stage, text if self._credentials else f"on the link as {info.address}"))

    def _opened(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        info, pan = self.info, self.pan
        if isinstance(event.command, module.UseCredentials):
            self._prepared = True
            self._proceed(now)
        elif info is None or pan is None or info.pan_id is None or event.command != Open(keep_session=True):
            self._proceed(now)  # a module that was never on a PAN holds no session: nothing to try, nothing to reset
        elif (info.channel, info.pan_id) == (pan.channel, pan.pan_id):
            self._move(Stage.SURVIVING, "trying the session of the last time", due=now + PROBE_S, pan=pan)
            self.gate.peer = pan.address
            self._events.append(Probing())
        else:
            self._open(now)

    def _not_surviving(self, _: object, now: float) -> None:
        self.gate.peer = None
        self._open(now)

    def _proceed(self, now: float) -> None:
        """Take the next step there is: credentials, the PAN we know, a scan."""
        if not self._prepared and self._credentials is not None:
            self._move(Stage.OPENING, "handing over the Route B ID", module.UseCredentials(self._credentials))
        elif self.pan is None or self._scan_only:
            self._scan(now, self._first_scan)
        elif self.gate.limited:
            self._wait(LIMIT_LOOK_S, self._proceed, now, "no join while the hourly send limit is reached")
        else:
            self._join(self.pan, now)

    # --- scanning and joining

    def _scan(self, now: float, duration: int) -> None:
        self._duration, self._beacons = duration, []
        expected_s = None if self._credentials is None else SCAN_CHANNELS * 0.0096 * (2**duration + 1)
        self._move(Stage.SCANNING, f"scanning, duration {duration}", module.Scan(duration), expected_s=expected_s)

    def _beacon(self, event: module.BeaconHeard, now: float) -> None:
        self._beacons.append(event.pan)

    def _scanned(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        paired = "" if self._credentials is None else self._credentials.pairing_id
        ours = [pan for pan in self._beacons if pan.pairing_id == paired]
        ended = bool(ours) or self._duration >= LAST_SCAN
        self._events.append(Scanned(tuple(self._beacons), last=ended))
        if ended and self._scan_only:
            self._move(Stage.STOPPED, "the scan is over")
        elif self._credentials is None and len(ours) > 1:
            self._conclude(MeterUnclear([pan.address for pan in ours]), now)
        elif ours:
            self.pan = max(ours, key=lambda pan: pan.lqi or 0)
            self._remembered = False
            self._ladder.other_pan()
            self._proceed(now)
        elif ended:
            self._conclude(MeterNotHeard(by_radio=self._credentials is not None), now)
        else:
            self._scan(now, self._duration + 1)

    def _join(self, pan: Pan, now: float) -> None:
        self._step = None
        heard = "" if pan.lqi is None else f", LQI {pan.lqi} ({rssi_dbm(pan.lqi)} dBm)"
        text = f"joining {pan}{heard}"
        self._move(Stage.JOINING, text, module.Join(pan), pan=pan)

    def _join_accepted(self, event: module.Done, now: float) -> None:
        self._ladder.command_done()
        self._join_began = now
        self._due = now + JOIN_S

    def _authentication(self, event: module.Authentication, now: float) -> None:
        self._step = event.step
        if self._due is not None:
            self._due = self._join_began + JOIN_SEEN_S
        lifetime = "" if event.lifetime_s is None else f" for {event.lifetime_s} s"
        self._events.append(Progress(self.stage, event.step.value + lifetime))

    def _joined(self, event: module.Joined, now: float) -> None:
        self._online(event.address, now, resumed=False)

    def _join_failed(self, event: module.JoinFailed, now: float) -> None:
        if self._may_join_again(now):
            self._wait(self._ladder.join_pause_s(), self._proceed, now, "the join failed, once more after a pause")

    def _join_overdue(self, _: None, now: float) -> None:
        if self._may_join_again(now):
            self._open(now)  # the module may still be at it

    def _may_join_again(self, now: float) -> bool:
        """After a failed join; goes the other way where joining this PAN once more makes no sense."""
        lqi = None if self.pan is None else self.pan.lqi
        match self._ladder.join_failed(lqi, self._step, remembered=self._remembered):
            case Way.AGAIN:
                return True
            case Way.SCAN:
                self.pan, self._remembered = None, False
                self._ladder.other_pan()
                self._events.append(PanForgotten())
                self._open(now)  # afresh, for the module may be what forgot
            case error:
                self._conclude(error, now)
        return False

    # --- online and after

    def _online(self, address: str, now: float, *, resumed: bool) -> None:
        self._move(Stage.ONLINE, "online", pan=self.pan)
        self.gate.peer = address
        self._remembered, self._first_scan = True, FIRST_SCAN
        self._ladder.reached()
        self._events.append(Online(resumed))

    def _expired(self, event: module.SessionExpired, now: float) -> None:
        self._move(Stage.GATED, "the module authenticates again, its session expired", due=now + REAUTHENTICATION_S)

    def _renewed(self, event: module.Joined, now: float) -> None:
        self.gate.peer = event.address
        self._move(Stage.ONLINE, "authenticated again")

    def _renewal_overdue(self, _: None, now: float) -> None:
        if self.gate.limited:
            self._due = now + REAUTHENTICATION_S  # that holds it back
        else:
            self._lose("authenticating again did not end")
            self._open(now)  # the module may still be at it

    def _renewal_failed(self, event: module.JoinFailed, now: float) -> None:
        self._lose("authenticating again failed")
        self._wait(self._ladder.join_pause_s(), self._proceed, now, "joining the meter again")

    def _closed(self, event: module.SessionClosed, now: float) -> None:
        self._lose("the meter ended the session" if event.by_peer else "the session was ended")
        self._wait(AFTER_LEAVE_S, self._proceed, now, "giving the meter time after the end of the session")

    def _left(self, event: module.SessionClosed, now: float) -> None:
        if isinstance(self._given, module.Leave):
            self._due = now + AFTER_LEAVE_S
        elif self._due is not None:
            self._due = max(self._due, now + AFTER_LEAVE_S)

    def _lose(self, text: str) -> None:
        self.gate.peer = None
        self._events.append(Lost(text))

    def _limit(self, event: module.SendLimit, now: float) -> None:
        self.gate.limit_due = now + LIMIT_S if event.engaged else None
        text = "the hourly send limit is reached, nothing is sent" if event.engaged else "sending is allowed again"
        self._events.append(Progress(self.stage, text))

    # --- trouble

    def _fault(self, event: module.Refused | module.NoAnswer | module.Unsupported, now: float) -> None:
        """The module would not, or did not answer: again, then set up afresh, then conclude."""
        if isinstance(event, module.Unsupported):
            self._conclude(module_trouble(event), now)
        elif isinstance(event.command, module.Leave):
            self._open(now)  # it knows of no session, so it has restarted
        elif isinstance(event.command, Open) and isinstance(event, module.NoAnswer):
            self._conclude(module_trouble(event), now)  # its own search is over
        elif isinstance(event.command, Open) or (pause_s := self._ladder.fault_pause_s()) is None:
            self._reopen(module_trouble(event), now)
        else:
            self._wanted, self._not_before = event.command, now + pause_s

    def _reopen(self, error: ModuleTrouble, now: float) -> None:
        if self._ladder.may_reopen():
            self._open(now)
        else:
            self._conclude(error, now)

    def _conclude(self, error: RouteBError, now: float) -> None:
        self._events.append(Concluded(error))
        if not self._persist:
            self._move(Stage.STOPPED, "giving up")
            return
        pause_s = self._ladder.pause_s(error)
        if isinstance(error, CredentialsRefused):
            self._move(Stage.REFUSED, "the next attempt is in an hour", due=now + pause_s, expected_s=pause_s)
            self._then = self._look_again
        else:
            again = self._open if isinstance(error, ModuleTrouble) else self._look_again
            self._wait(pause_s, again, now, "a pause before the next attempt")

    def _look_again(self, now: float) -> None:
        self.pan, self._first_scan = None, SCAN_AGAIN
        self._open(now)


_Rules = Mapping[type, Callable[[Session, Any, float], None]]

_TIME_IS_UP = type(None)  # the key of the rule for a stage whose time is over

_RULES: Mapping[Stage, _Rules] = {
    Stage.WAITING: {_TIME_IS_UP: Session._waited, module.SessionClosed: Session._left},
    Stage.OPENING: {
        module.Ready: Session._ready,
        module.Done: Session._opened,
        module.Unsupported: Session._fault,
    },
    Stage.SURVIVING: {
        _TIME_IS_UP: Session._not_surviving,
        module.SessionClosed: Session._not_surviving,
        module.SessionExpired: Session._not_surviving,
        module.JoinFailed: Session._not_surviving,
    },
    Stage.SCANNING: {module.BeaconHeard: Session._beacon, module.Done: Session._scanned},
    Stage.JOINING: {
        _TIME_IS_UP: Session._join_overdue,
        module.Done: Session._join_accepted,
        module.Authentication: Session._authentication,
        module.Joined: Session._joined,
        module.JoinFailed: Session._join_failed,
    },
    Stage.ONLINE: {
        module.SessionExpired: Session._expired,
        module.SessionClosed: Session._closed,
        module.JoinFailed: Session._renewal_failed,
    },
    Stage.GATED: {
        _TIME_IS_UP: Session._renewal_overdue,
        module.Joined: Session._renewed,
        module.SessionClosed: Session._closed,
        module.JoinFailed: Session._renewal_failed,
    },
    Stage.REFUSED: {_TIME_IS_UP: Session._waited},
    Stage.STOPPED: {},
}
_ALWAYS: _Rules = {
    module.Refused: Session._fault,
    module.NoAnswer: Session._fault,
    module.SendLimit: Session._limit,
}
