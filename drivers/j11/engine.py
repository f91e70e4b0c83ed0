"""drivers.module's commands and events on J11 binary modules.

A command is carried out as requests, one at a time, each sent when the one before is answered: a module that is still
at one answers 3D to another, which is then asked again while its time lasts. What a module says unasked may come in
between. A restart (6019) can come at any time and makes it forget everything, credentials too; so does 0057 with
those. Whatever a command needs and the module has not is therefore given again first.

Open begins with the version, asked until it is answered. A module with a session that is to be kept stays as it is;
any other is reset, for nothing else leads to a known state. Route B `in authentication` (0001) may mean that it is
only being tried; then starting PANA is refused as running, and as authenticated otherwise. (Both by the interface's
words; no public session shows it. Where a module answers anything else it is reset, and joins anew.)

Until PANA has succeeded, and when its session is gone, a module would send in plaintext (v1.2, 0008). Nothing is
given to it to be sent then. A known limit: if the line spoils the notice that the session is gone (601A, 6028), what
is sent is not encrypted until so many requests were silent that Rejoin is tried; no answer that is understood tells.

    phase     its answer               3D             6019            time is over
    IDLE      -                        -              forget          -
    PROBING   reset, or look closer    probe again    probe again     next probe; NoAnswer
    ASKING    ask the next; Done       pause          Refused; again  past it; NoAnswer
    PAUSING   -                        -              Refused; again  ask again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum, auto
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from drivers.j11 import vocabulary
from drivers.j11.framing import Frame, Framer
from drivers.j11.results import GONE, MISHEARD, Result, words
from drivers.j11.standing import AFRESH, KEPT, Standing
from drivers.j11.vocabulary import (
    Answer,
    Booted,
    Heard,
    LinkDown,
    Meaning,
    PanaEnded,
    Request,
    Sent,
    State,
    Undeciphered,
    Version,
)
from drivers.module import (
    BeaconHeard,
    Command,
    Datagram,
    Done,
    Event,
    Joined,
    JoinFailed,
    Leave,
    NoAnswer,
    Noise,
    Open,
    Outgoing,
    Ready,
    Refused,
    Rejoin,
    Scan,
    Send,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
)

LIMIT_S = 60.0  # the module counts what it sent by the minute: the soonest that the limit can be over
UNDECIPHERED = 3  # in a row mean that the keys do not fit any more

# What a dead program left half said is over 1 s later (result 13). A module that is busy has at most a scan to end.
_PROBES_S = (0.3, 1.2, 1.2, 1.2)
_BUSY_S = 40.0
_BUSY_PAUSE_S = 0.5
_STARTS, _START_PAUSE_S = 3, 1.0  # of Route B, whose connection fails often
_RESTARTS = 2  # of Open
_NO_SESSION = "no session, so it would not be encrypted"
_RESTARTED = "a restart of the module"


class _Phase(IntEnum):
    IDLE = auto()
    PROBING = auto()
    ASKING = auto()
    PAUSING = auto()


class _Task(Struct):
    """A command under way."""

    command: Command
    began: float
    requests: list[Request]  # still to be sent
    ours: bool = False  # not given by anybody
    repeated: bool = False  # after the line spoilt it
    tries: int = 0  # probes, starts of Route B
    restarts: int = 0


class Engine:
    """A drivers.module.Module for J11; takes the port to be set as Line() when it is made."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._phase = _Phase.IDLE
        self._task: _Task | None = None
        self._asked = vocabulary.VERSION
        self._patience = 0.0  # how long that may be asked again
        self._deadline: float | None = None
        self._limit_due: float | None = None
        self._standing = Standing()
        self._undeciphered = 0  # datagrams in a row
        self._keys_unfit = False  # new ones are to be made
        self._outgoing: list[Outgoing] = []
        self._events: list[Event] = []

    @property
    def busy(self) -> bool:
        return self._task is not None

    def deadline(self) -> float | None:
        if self._limit_due is None or self._deadline is None:
            return self._limit_due if self._deadline is None else self._deadline
        return min(self._limit_due, self._deadline)

    def outgoing(self) -> list[Outgoing]:
        taken, self._outgoing = self._outgoing, []
        return taken

    def events(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken

    def command(self, command: Command, now: float) -> None:
        """Begin a command. Raises RuntimeError when busy, ValueError for what no module can be asked."""
        if self._task is not None:
            raise RuntimeError(f"busy with {self._task.command}")
        self._begin(_Task(command, now, self._standing.plan(command)), now)

    def receive(self, data: bytes, now: float) -> bool:
        frames = self._framer.receive(data)
        for frame in frames:
            self._take(frame, now)
        return bool(frames)

    def tick(self, now: float) -> None:
        if self._limit_due is not None and now >= self._limit_due:
            self._limit_due = None
            self._events.append(SendLimit(engaged=False))
        if self._task is not None and self._deadline is not None and now >= self._deadline:
            _OVERDUE[self._phase](self, self._task, now)

    # --- asking ---

    def _begin(self, task: _Task, now: float) -> None:
        self._task = task
        if isinstance(task.command, Open):
            self._forget()
            self._probe(task, now)
        elif isinstance(task.command, Send) and not self._standing.authenticated:
            self._finish(Refused(task.command, _NO_SESSION, task.requests[0].line), now)
        elif isinstance(task.command, Scan) and self._standing.credentials is None:
            code = words(Result.NO_CREDENTIALS)
            self._finish(Refused(task.command, code, task.requests[-1].line), now)
        else:
            self._ask(task, now)

    def _probe(self, task: _Task, now: float) -> None:
        """Ask for the version once more."""
        if task.tries == len(_PROBES_S):
            self._finish(NoAnswer(task.command, now - task.began), now)
            return
        self._patience = now + _BUSY_S if task.tries == 0 else self._patience
        self._put(vocabulary.VERSION, _Phase.PROBING, now + _PROBES_S[task.tries])
        task.tries += 1

    def _ask(self, task: _Task, now: float) -> None:
        """Send the next request. When there is none the command is done."""
        if not task.requests:
            if isinstance(task.command, Open):
                self._events.append(Ready(self._standing.info))
            self._finish(Done(task.command), now)
            if isinstance(task.command, Leave):
                self._events.append(SessionClosed(self._standing.peer, by_peer=False))
            return
        request = task.requests.pop(0)
        task.repeated = False
        self._patience = now + (_BUSY_S if isinstance(task.command, Open) else request.wait_s)
        self._put(request, _Phase.ASKING, now + request.wait_s)

    def _put(self, request: Request, phase: _Phase, due: float) -> None:
        self._asked = request
        self._phase = phase
        self._deadline = due
        self._outgoing.append(request.wire)

    def _pause(self, until: float) -> None:
        self._phase = _Phase.PAUSING
        self._deadline = until

    def _paused(self, task: _Task, now: float) -> None:
        phase = _Phase.PROBING if self._asked is vocabulary.VERSION else _Phase.ASKING
        self._put(self._asked, phase, now + self._asked.wait_s)

    def _unanswered(self, task: _Task, now: float) -> None:
        due = self._deadline
        for frame in self._framer.abandon():  # one that broke off may hold the answer back
            self._take(frame, now)
        if self._task is not task or self._deadline != due:
            return
        if self._phase is _Phase.PROBING:
            self._probe(task, now)
        elif self._asked.optional:
            self._ask(task, now)
        else:
            self._finish(NoAnswer(task.command, now - task.began), now)

    def _finish(self, ending: Done | Refused | NoAnswer, now: float) -> None:
        task, self._task = self._task, None
        self._phase = _Phase.IDLE
        self._deadline = None
        if task is None or not task.ours:
            self._events.append(ending)
        elif not isinstance(ending, Done):
            self._standing.authenticated = False
            self._events.append(JoinFailed(self._standing.peer))
        if self._keys_unfit and self._task is None:
            self._renew_keys(now)

    def _forget(self) -> None:
        """As after a restart."""
        self._standing.forget()
        self._undeciphered = 0
        self._keys_unfit = False

    # --- reactions ---

    def _learn(self, task: _Task, answer: Answer) -> None:
        standing = self._standing
        if isinstance(answer, State):
            stands = answer.route_b == vocabulary.IN_AUTHENTICATION
            task.requests = [vocabulary.ASK_WHETHER_AUTHENTICATED] if stands else list(AFRESH)
        elif self._asked is vocabulary.ASK_WHETHER_AUTHENTICATED:
            stands = answer.result in vocabulary.IS_AUTHENTICATED
            task.requests = list(KEPT if stands else AFRESH)
            if stands:
                standing.survived()
        else:
            standing.learn(answer)
            standing.did(self._asked.code)

    def _take(self, frame: Frame | Noise, now: float) -> None:
        meaning = frame if isinstance(frame, Noise) else vocabulary.read(frame, self._standing.address)
        if isinstance(meaning, Answer):
            if self._task is not None and (reaction := _REACTIONS.get(self._phase)):
                reaction(self, self._task, meaning, now)
        elif meaning is not None:
            self._hear(meaning, now)

    def _found(self, task: _Task, answer: Answer, now: float) -> None:
        if isinstance(answer, Version):
            self._standing.learn(answer)
            self._ask(task, now)
        elif answer.result == Result.BUSY and now < self._patience:
            self._pause(now + _BUSY_PAUSE_S)

    def _answered(self, task: _Task, answer: Answer, now: float) -> None:
        """Take the answer to the request, unless it is a late one to another."""
        asked = self._asked
        if answer.command not in (asked.code, None) or not _is_of(answer, task.command):
            return
        if answer.result == Result.BUSY and now + _BUSY_PAUSE_S < self._patience:
            self._pause(now + _BUSY_PAUSE_S)
        elif answer.result in MISHEARD and not task.repeated:
            task.repeated = True
            self._put(asked, _Phase.ASKING, now + asked.wait_s)
        elif answer.result in asked.fine:
            self._learn(task, answer)
            if isinstance(answer, Sent):
                self._sent(task, answer, now)
            self._ask(task, now)
        elif asked is vocabulary.START and answer.result == Result.NOT_CONNECTED:
            self._not_connected(task, now)
        elif asked.optional:
            self._ask(task, now)
        else:
            self._refused(task, answer, now)

    def _sent(self, task: _Task, sent: Sent, now: float) -> None:
        if isinstance(task.command, Send):
            self._standing.peer = task.command.to
            self._events.append(Transmission(task.command.to, sent.fate))
        if sent.limited:
            self._limit_due = now + LIMIT_S
            self._events.append(SendLimit(engaged=True))

    def _not_connected(self, task: _Task, now: float) -> None:
        task.tries += 1
        if task.tries < _STARTS:
            self._pause(now + _START_PAUSE_S)
        else:
            self._finish(Done(task.command), now)
            self._events.append(JoinFailed(self._standing.peer, refused=False))

    def _refused(self, task: _Task, answer: Answer, now: float) -> None:
        self._finish(Refused(task.command, words(answer.result), self._asked.line), now)
        if self._standing.authenticated and answer.result in GONE:
            self._forget()
            self._events.append(SessionClosed(self._standing.peer, by_peer=False))

    # --- what is said unasked ---

    def _hear(self, meaning: Meaning, now: float) -> None:
        match meaning:
            case Datagram():
                self._undeciphered = 0 if meaning.secured else self._undeciphered
                self._events.append(meaning)
            case Heard():
                asked_for = "" if self._standing.credentials is None else self._standing.credentials.pairing_id
                self._events += [BeaconHeard(replace(pan, pairing_id=asked_for)) for pan in meaning.pans]
            case PanaEnded():
                self._pana_ended(meaning)
            case LinkDown():
                self._link_down(meaning)
            case Undeciphered():
                self._not_deciphered(now)
            case Booted():
                self._restarted(now)
            case Noise():
                self._events.append(meaning)
            case Answer():
                raise AssertionError(meaning)  # these are taken before
            case _:
                assert_never(meaning)

    def _pana_ended(self, end: PanaEnded) -> None:
        self._standing.joining = self._keys_unfit = False
        self._undeciphered = 0
        self._standing.authenticated = end.succeeded
        if end.succeeded:
            self._standing.peer = end.address
            self._events.append(Joined(end.address))
        else:
            self._events.append(JoinFailed(self._standing.peer or end.address, end.refused))

    def _link_down(self, down: LinkDown) -> None:
        if down.connection:
            self._standing.disconnected()
        self._end_session(down.address, by_peer=True)

    def _end_session(self, address: str, *, by_peer: bool) -> None:
        """What there was of a session, or of an attempt at one, is over."""
        attempt = self._standing.joining and not self._standing.authenticated
        self._events.append(JoinFailed(address, refused=False) if attempt else SessionClosed(address, by_peer))
        self._standing.authenticated = self._standing.joining = self._keys_unfit = False

    def _not_deciphered(self, now: float) -> None:
        """Datagrams under a key that is not known: the meter and the module need new ones."""
        self._undeciphered += 1
        if self._standing.authenticated and not self._keys_unfit and self._undeciphered >= UNDECIPHERED:
            self._keys_unfit = True
            self._events.append(SessionExpired(self._standing.peer))
            if self._task is None:
                self._renew_keys(now)

    def _renew_keys(self, now: float) -> None:
        self._keys_unfit = False
        self._undeciphered = 0
        self._begin(_Task(Rejoin(), now, self._standing.plan(Rejoin()), ours=True), now)

    def _restarted(self, now: float) -> None:
        if self._phase is _Phase.ASKING and self._asked is vocabulary.RESET and self._task is not None:
            self._forget()
            self._ask(self._task, now)
            return
        if self._standing.authenticated or self._standing.joining:
            self._end_session(self._standing.peer, by_peer=False)
        self._forget()
        task = self._task
        if task is None:
            return
        if isinstance(task.command, Open) and task.restarts < _RESTARTS:
            self._begin(
                _Task(task.command, task.began, self._standing.plan(task.command), restarts=task.restarts + 1), now
            )
        else:
            self._finish(Refused(task.command, _RESTARTED, self._asked.line), now)


def _is_of(answer: Answer, command: Command) -> bool:
    """Whether an answer can be the one to this command; what was sent is told by its beginning."""
    return not isinstance(answer, Sent) or (isinstance(command, Send) and command.payload.startswith(answer.echo))


# What to do with a response in that phase; in the others it is a late one.
_REACTIONS: Mapping[_Phase, Callable[[Engine, _Task, Answer, float], None]] = {
    _Phase.PROBING: Engine._found,
    _Phase.ASKING: Engine._answered,
}
# What to do when time is over in that phase.
_OVERDUE: Mapping[_Phase, Callable[[Engine, _Task, float], None]] = {
    _Phase.PROBING: Engine._unanswered,
    _Phase.ASKING: Engine._unanswered,
    _Phase.PAUSING: Engine._paused,
}
