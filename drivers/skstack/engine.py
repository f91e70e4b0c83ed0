"""drivers.module's commands and events on SKSTACK-IP text modules of both families.

A command is carried out as requests, one at a time, each sent when the whole answer to the one before is there
(BP35A1 command reference, 2). What the module says unasked may come in between, and passes.

Open, and any command after one that went wrong, synchronises first: it probes with SKVER until EVER comes back,
then asks SKINFO. Nothing but that request is answered by EINFO, so answers still under way (to earlier probes, to
a request given up) are over when it comes. Open probes every way the line may be set, other commands only the
present one.

    phase     EVER            next part of the answer   FAIL                      time is over
    IDLE      -               -                         -                         -
    PROBING   ask the first   -                         -                         next probe; NoAnswer
    ASKING    -               ask the next; Done        past it; again; Refused   past it; NoAnswer

While the send limit is engaged the module is asked now and then whether it still is, in case EVENT 33 was lost.

FAIL ER04 and ER09 mean that the line was not understood as sent: once more, after synchronising. FAIL ER05 or ER06
to a request that the families spell differently means that the family was guessed wrong: once more, the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum, auto
from typing import Any, NamedTuple, assert_never

from msgspec import Struct

from drivers.module import (
    PANA_PORT,
    Command,
    Datagram,
    Done,
    Event,
    Join,
    Leave,
    Line,
    ModuleInfo,
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
    UseCredentials,
)
from drivers.skstack import dialects, pana, vocabulary
from drivers.skstack.framing import Framer
from drivers.skstack.vocabulary import (
    Answer,
    Application,
    Fail,
    Info,
    LineReader,
    Ok,
    Part,
    Register,
    Request,
    ScanEnded,
    Value,
    Version,
)


class _Phase(IntEnum):
    IDLE = auto()
    PROBING = auto()
    ASKING = auto()


_IDLE, _PROBING, _ASKING = _Phase


class _Probe(NamedTuple):
    line: Line
    wire: bytes
    wait_s: float


class _Task(Struct):
    """A command under way."""

    command: Command | None  # None: a question of our own, whether the send limit still holds
    began: float
    requests: list[Request]  # still to be sent
    repeated: bool = False  # after ER04 or ER09
    switched: bool = False  # to the other dialect, after ER05


# A module answers within milliseconds, but not in the first 3 s after power-up (BP35A1 v1.3.2), and may lose the
# first command then. Flow control and other rates may be stored in it (WUART, 3.32).
_LINES = (Line(), Line(rtscts=True), *(Line(baudrate) for baudrate in (57600, 38400, 19200, 9600)))
_STUCK_PROBE = vocabulary.FILLER + vocabulary.VERSION.wire
_USUAL_LINE = (*((vocabulary.VERSION.wire, wait_s) for wait_s in (0.2, 0.4, 0.8)), (_STUCK_PROBE, 1.6))
_OTHER_LINE = ((vocabulary.VERSION.wire, 0.3), (_STUCK_PROBE, 0.6))
_BITS_PER_BYTE = 10  # 8N1

LIMIT_S = 60.0  # from one look at the send limit to the next: what was sent is counted by the minute
_UNTOLD = Noise("the module does not tell whether the send limit still holds")


class Engine:
    """A drivers.module.Module for SKSTACK-IP; takes the port to be set as Line() when it is made.

    The module's flash, good for 10 000 writes (WOPT, WUART, SKSAVE), is never written.
    """

    def __init__(self) -> None:
        self.busy = False
        self._framer = Framer()
        self._reader = LineReader()
        self._line = self._usual_line = Line()
        self._dialect, self._certain = dialects.SE, False
        self._phase = _IDLE
        self._task: _Task | None = None
        self._probes: Iterator[_Probe] = iter(())
        self._asked = vocabulary.INFO
        self._awaited: Sequence[Part] = ()  # of the answer to it
        self._deadline: float | None = None
        self._limit_due: float | None = None  # to be asked about next, while it is engaged
        self._lqi_asked = self._in_step = False
        self._forget()
        self._outgoing: list[Outgoing] = []
        self._events: list[Event] = []

    def deadline(self) -> float | None:
        return self._limit_due if self._task is None else self._deadline

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
        self._begin(_Task(command, now, self._plan(command)), now)

    def receive(self, data: bytes, now: float) -> bool:
        frames = self._framer.receive(data)
        heard: Any
        for frame in frames:
            if isinstance(frame, str):
                for heard in self._reader.read(frame):
                    if type(heard) in vocabulary.ANSWERS:
                        self._react(heard, now)
                    else:
                        self._events.append(heard)
                        if type(heard) is SendLimit:
                            self._limit_due = now + LIMIT_S if heard.engaged else None
            elif isinstance(frame, Datagram):
                step = pana.read(frame.payload) if frame.port == PANA_PORT and not frame.secured else None
                self._events.append(step or frame)
            else:
                self._events.append(frame)
        return bool(frames)

    def tick(self, now: float) -> None:
        due = self.deadline()
        if due is None or now < due:
            pass
        elif self._task is not None:
            _OVERDUE[self._phase](self, self._task, now)
        else:
            self._limit_due = now + LIMIT_S
            self._begin(_Task(None, now, [vocabulary.LIMITED]), now)

    # --- asking ---

    def _plan(self, command: Command) -> list[Request]:
        if isinstance(command, Send):  # most are
            return [vocabulary.send(command.to, command.payload, self._dialect)]
        match command:
            case Open():
                self._forget()
                reset = () if command.keep_session else (vocabulary.RESET, vocabulary.INFO)
                return [*reset, vocabulary.ECHO_OFF, vocabulary.APPLICATION, vocabulary.PAYLOAD_MODE]
            case UseCredentials():
                return vocabulary.use_credentials(command.credentials)
            case Scan():
                return [vocabulary.scan(command.duration, self._dialect)]
            case Join():
                return vocabulary.join(command.pan)
            case Rejoin():
                return [vocabulary.REJOIN]
            case Leave():
                return [vocabulary.LEAVE]
        assert_never(command)

    def _begin(self, task: _Task, now: float) -> None:
        self._task = task
        self.busy = True
        if self._in_step:
            self._ask(task, now)
        else:
            self._synchronise(task, now)

    def _ask(self, task: _Task, now: float) -> None:
        """Send the next request. When there is none the command is done."""
        if task.requests:
            request = task.requests.pop(0)
            self._outgoing.append(request.wire)
            self._await(request, request.answer, now)
        elif not self._lqi_asked and self._certain and self._dialect.tells_lqi:
            self._lqi_asked = True
            task.requests.append(vocabulary.TELL_LQI)
            self._ask(task, now)
        elif task.command is None:
            self._finish(SendLimit(engaged=self._limit_due is not None))
        else:
            if type(task.command) is Open:
                self._announce()
            self._finish(Done(task.command))

    def _await(self, request: Request, answer: Sequence[Part], now: float) -> None:
        self._asked = request
        self._awaited = answer
        self._phase = _ASKING
        self._deadline = now + answer[0][1]

    def _synchronise(self, task: _Task, now: float) -> None:
        """Find the module, and get all that is still under way out of the way."""
        self._in_step = False
        task.requests.insert(0, vocabulary.INFO)
        self._probes = _probes(self._usual_line, elsewhere=isinstance(task.command, Open))
        self._phase = _PROBING
        self._probe(task, now)

    def _probe(self, task: _Task, now: float) -> None:
        probe = next(self._probes, None)
        if probe is None:
            self._give_up(task, now)
            return
        if probe.line != self._line:
            self._line = probe.line
            self._framer.clear()
            self._outgoing.append(probe.line)
        self._outgoing.append(probe.wire)
        self._deadline = now + len(probe.wire) * _BITS_PER_BYTE / probe.line.baudrate + probe.wait_s

    def _give_up(self, task: _Task, now: float) -> None:
        self._finish(_UNTOLD if task.command is None else NoAnswer(task.command, now - task.began))

    def _finish(self, ending: Done | Refused | NoAnswer | SendLimit | Noise) -> None:
        self._events.append(ending)
        self._task = None
        self.busy = False
        self._phase = _IDLE
        self._deadline = None

    # --- what is known of the module ---

    def _forget(self) -> None:
        self._info: Info | None = None
        self._firmware = self._application = ""
        self._framer.hex_payload = None
        self._lqi_asked = False
        self._in_step = False  # nothing asked earlier can still be answered

    def _announce(self) -> None:
        info = self._info
        if info is None:
            return
        untouched = info.channel == 0x21 and info.pan_id == 0xFFFF  # as after a reset (SKSREG, 5)
        self._events.append(
            Ready(
                ModuleInfo(
                    self._dialect.family,
                    self._firmware,
                    info.address,
                    info.mac,
                    None if untouched else info.channel,
                    None if untouched else info.pan_id,
                    self._application,
                    self._line,
                )
            )
        )

    # --- reactions ---

    def _react(self, heard: Answer, now: float) -> None:
        reaction = _REACTIONS.get((self._phase, type(heard)))
        if reaction is not None and self._task is not None:
            reaction(self, self._task, heard, now)

    def _found(self, task: _Task, version: Version, now: float) -> None:
        self._firmware = version.text
        self._usual_line = self._line
        self._await(vocabulary.VERSION, vocabulary.VERSION.answer[1:], now)

    def _answered(self, task: _Task, part: Answer, now: float) -> None:
        """Take a part of the answer, if it is the one awaited; after the last, go on."""
        if type(part) is not self._awaited[0][0]:
            return
        self._awaited = awaited = self._awaited[1:]
        self._learn(task, part)
        if awaited:
            self._deadline = now + awaited[0][1]
        else:
            self._ask(task, now)

    def _learn(self, task: _Task, part: Answer) -> None:
        if isinstance(part, Ok):  # most are
            if self._asked.in_dialect:
                self._certain = True
                if task.switched:
                    self._announce()
            return
        match part:
            case Info():
                self._info = part
                self._in_step = True
                if isinstance(task.command, Open):
                    self._dialect, self._certain = dialects.of_mark(part.mark)
            case Application():
                self._application = part.text
            case Value():
                self._framer.hex_payload = bool(part.value & 1)
            case Register(0):
                self._limit_due = None

    def _failed(self, task: _Task, fail: Fail, now: float) -> None:
        if self._asked.optional:
            self._ask(task, now)
        elif fail.code in vocabulary.GARBLED and not task.repeated:
            task.repeated = True
            if self._in_step:  # otherwise it is part of synchronising
                task.requests.insert(0, self._asked)
            self._synchronise(task, now)
        elif fail.code in vocabulary.MISSPELT and self._asked.in_dialect and task.command and not task.switched:
            task.switched = True
            self._dialect = dialects.other(self._dialect)
            task.requests = self._plan(task.command)
            if isinstance(task.command, Send):  # its payload may be taken for the beginning of the next line
                self._synchronise(task, now)
            else:
                self._ask(task, now)
        else:
            if task.switched:  # neither form will do
                self._dialect = dialects.other(self._dialect)
            self._in_step = self._in_step and fail.code == vocabulary.UNWILLING
            told = None if task.command is None else Refused(task.command, fail.code, self._asked.line)
            self._finish(told or _UNTOLD)

    def _unanswered(self, task: _Task, now: float) -> None:
        if self._asked.optional:
            self._synchronise(task, now)
        else:
            self._in_step = False
            self._give_up(task, now)


def _probes(usual: Line, *, elsewhere: bool) -> Iterator[_Probe]:
    """Probes on the line as it usually is, longest, and then on every other setting of it."""
    for line in (usual, *(line for line in _LINES if elsewhere and line != usual)):
        for wire, wait_s in _USUAL_LINE if line == usual else _OTHER_LINE:
            yield _Probe(line, wire, wait_s)


# What to do when this is heard in that phase; nothing where the table has no entry.
_REACTIONS: Mapping[tuple[_Phase, type[Answer]], Callable[[Engine, _Task, Any, float], None]] = {
    (_PROBING, Version): Engine._found,
    (_ASKING, Fail): Engine._failed,
    (_ASKING, Ok): Engine._answered,
    (_ASKING, Value): Engine._answered,
    (_ASKING, Register): Engine._answered,
    (_ASKING, Info): Engine._answered,
    (_ASKING, Application): Engine._answered,
    (_ASKING, ScanEnded): Engine._answered,
}
# What to do when time is over in that phase.
_OVERDUE: Mapping[_Phase, Callable[[Engine, _Task, float], None]] = {
    _PROBING: Engine._probe,
    _ASKING: Engine._unanswered,
}
