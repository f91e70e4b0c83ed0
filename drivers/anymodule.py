"""A module of any family: finds out by itself which language is spoken at the other end, and speaks it.

What a J11 module says begins with a unique code, which is looked for in everything that arrives until an Open is
done. Unless J11 is known, SKSTACK-IP's question is asked first, and J11's along with it when it has to be repeated:
a J11 module discards what is not a frame without a word, and to the others a frame is a garbled line. A module of
another family than the last time is found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers import j11, skstack
from drivers.j11.framing import CODE
from drivers.j11.vocabulary import VERSION
from drivers.module import Command, Done, Event, Family, Found, Line, Module, NoAnswer, Open, Outgoing

_TURNS = 3  # an Open may go over to the other family twice: to the wrong one, and back


class AnyModule:
    """A drivers.module.Module; takes the port to be set as Line() when it is made.

    `last` is the family found the last time. Found tells, once, which module has been found; from then on this one
    does nothing but pass on. Replayed bytes are understood without an Open too.
    """

    def __init__(self, last: Family | None = None) -> None:
        self._engine: Module[bytes] = j11.Engine() if last is Family.J11 else skstack.Engine()
        self._found = False
        self._line = Line()
        self._tail = b""  # of what has arrived, not longer than the code
        self._aside = b""  # J11's question, until it is asked along with SKSTACK-IP's
        self._given: Command | None = None  # and not ended
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
        if not self._found:
            self._given, self._began, self._turns = command, now, 1
            self._aside = VERSION.wire if isinstance(self._engine, skstack.Engine) else b""

    def receive(self, data: bytes, now: float) -> bool:
        if self._found:
            return self._engine.receive(data, now)
        seen = self._tail + data
        self._tail = seen[1 - len(CODE) :]
        at = seen.find(CODE)
        if at < 0 or isinstance(self._engine, j11.Engine):
            self._engine.receive(data, now)
            self._settle(now)
        else:
            self._go_over(j11.Engine(), now, seen[at:])
        return True

    def tick(self, now: float) -> None:
        self._engine.tick(now)
        if self._found:
            return
        if self._aside and (repeated := self._engine.outgoing()):
            self._outgoing += [self._aside, *repeated]
            self._aside = b""
        self._settle(now)

    def deadline(self) -> float | None:
        return self._engine.deadline()

    def outgoing(self) -> Sequence[Outgoing]:
        taken = [*self._outgoing, *self._engine.outgoing()]
        self._outgoing = []
        for item in taken:
            if isinstance(item, Line):
                self._line = item
        return taken

    def events(self) -> list[Event]:
        taken, self._events = self._events + self._engine.events(), []
        return taken

    def _settle(self, now: float) -> None:
        """Go over to the other family where this one has no answer; it is found where an Open is done."""
        for event in self._engine.events():
            if isinstance(event, NoAnswer) and isinstance(event.command, Open):
                if isinstance(self._engine, j11.Engine) and self._turns < _TURNS:
                    self._go_over(skstack.Engine(), now)
                    return
                event = NoAnswer(event.command, now - self._began)
            elif isinstance(event, Done) and isinstance(event.command, Open):
                self._found = True
                self._events.append(Found(self._engine))
            self._events.append(event)
        if not self._engine.busy:
            self._given = None

    def _go_over(self, engine: Module[bytes], now: float, heard: bytes = b"") -> None:
        """Let another engine go on, with what it has heard already."""
        self._events += self._engine.events()
        self.outgoing()  # what was to be said is not said any more
        self._engine = engine
        self._aside = b""
        self._turns += 1
        if self._line != Line():
            self._outgoing.append(Line())
        engine.receive(heard, now)
        if self._given is not None:
            engine.command(self._given, now)
