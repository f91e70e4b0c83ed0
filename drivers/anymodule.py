"""A module of any family: finds out by itself which language is spoken at the other end, and speaks it.

What a J11 module says begins with a unique code; while nothing is decided, and whenever the module is opened, that
is looked for in everything that arrives, and both languages' questions are asked: SKSTACK-IP's with J11's among
them first, unless the family is known. A module of another family than the last time is found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers import j11, skstack
from drivers.j11.framing import CODE
from drivers.module import Command, Event, Family, Line, Module, NoAnswer, Open, Outgoing

_TURNS = 3  # an Open may go over to the other family twice: to the wrong one, and back


class AnyModule:
    """A drivers.module.Module; takes the port to be set as Line() when it is made.

    `last` is the family found the last time. Replayed bytes are understood without an Open too.
    """

    def __init__(self, last: Family | None = None) -> None:
        self._engine: Module[bytes] = j11.Engine() if last is Family.J11 else skstack.Engine()
        self._line = Line()
        self._tail = b""  # of what arrived while undecided, not longer than the code
        self._undecided = True
        self._given: Command | None = None  # and not ended, while undecided
        self._began = 0.0
        self._turns = 0
        self._outgoing: list[Outgoing] = []
        self._events: list[Event] = []

    @property
    def busy(self) -> bool:
        return self._engine.busy

    def command(self, command: Command, now: float) -> None:
        """Begin a command. Raises RuntimeError when busy, ValueError for what no module can be asked."""
        self._engine.command(command, now)
        if isinstance(command, Open):
            self._undecided, self._tail = True, b""
        if self._undecided:
            self._given, self._began, self._turns = command, now, 1

    def receive(self, data: bytes, now: float) -> None:
        if not self._undecided:
            self._engine.receive(data, now)
            return
        seen = self._tail + data
        self._tail = seen[1 - len(CODE) :]
        at = seen.find(CODE)
        if at < 0 or isinstance(self._engine, j11.Engine):
            self._engine.receive(data, now)
            self._settle(now)
        else:
            self._go_over(j11.Engine(), now, seen[at:])

    def tick(self, now: float) -> None:
        self._engine.tick(now)
        if self._undecided:
            self._settle(now)

    def deadline(self) -> float | None:
        return self._engine.deadline()

    def outgoing(self) -> Sequence[Outgoing]:
        if not self._undecided:
            return self._engine.outgoing()
        taken = [*self._outgoing, *self._engine.outgoing()]
        self._outgoing = []
        for item in taken:
            if isinstance(item, Line):
                self._line = item
        return taken

    def events(self) -> list[Event]:
        if not self._events:
            return self._engine.events()
        taken, self._events = self._events + self._engine.events(), []
        return taken

    def _settle(self, now: float) -> None:
        """Go over to the other family where this one has no answer; decide where an Open has ended."""
        for event in self._engine.events():
            if isinstance(event, NoAnswer) and isinstance(event.command, Open):
                if isinstance(self._engine, j11.Engine) and self._turns < _TURNS:
                    self._go_over(skstack.Engine(), now)
                    return
                event = NoAnswer(event.command, now - self._began)
            self._events.append(event)
        if not self._engine.busy:
            self._undecided = self._undecided and not isinstance(self._given, Open)
            self._given = None

    def _go_over(self, engine: Module[bytes], now: float, heard: bytes = b"") -> None:
        """Let another engine go on, with what it has heard already."""
        self._events += self._engine.events()
        self.outgoing()  # what was to be said is not said any more
        self._engine = engine
        self._turns += 1
        if self._line != Line():
            self._outgoing.append(Line())
        engine.receive(heard, now)
        if self._given is not None:
            engine.command(self._given, now)
