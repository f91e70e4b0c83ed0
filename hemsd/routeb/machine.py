"""A machine of stages: in each it waits for events of the module, for the end of a command, or for its time. Pure.

What it does with them is a literal table of its own, `RULES`; which moves there are stands in `hemsd.routeb.stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drivers import module
from drivers.module import Command
from hemsd.routeb.stages import Progress, SessionEvent, Stage, moved

Rules = Mapping[type, Callable[[Any, Any, float], None]]
"""What to do by type of event: the machine's method, called with the event and the time."""

TIME_IS_UP = type(None)  # the key of the rule for a stage whose time is over; its event is None


class StageMachine:
    """To be made concrete by its tables: `RULES` by stage, and `ALWAYS` for what a stage has no rule for."""

    RULES: ClassVar[Mapping[Stage, Rules]]
    ALWAYS: ClassVar[Rules]

    def __init__(self) -> None:
        self.stage = Stage.WAITING
        self._then: Callable[[float], None] = lambda now: None  # what follows a wait
        self._due: float | None = None  # the end of the stage's time
        self.wanted: Command | None = None  # for the module, when it is free: command() takes it
        self._not_before: float | None = None
        self._given: Command | None = None  # whose end is awaited
        self.happened: list[SessionEvent] = []  # until events() takes it

    def receive(self, event: module.Event, now: float) -> None:
        """Take an event of the module other than a datagram or the end of a Send."""
        if isinstance(event, module.Done | module.Refused | module.NoAnswer) and event.command != self._given:
            return  # of a stage that is over
        rule = self.RULES[self.stage].get(type(event)) or self.ALWAYS.get(type(event))
        if rule is not None:
            rule(self, event, now)

    def command(self) -> Command | None:
        """Take the command that the module, being free, is to be given now."""
        if self.wanted is None or self._not_before is not None:
            return None
        self._given, self.wanted = self.wanted, None
        return self._given

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._not_before is not None and now >= self._not_before:
            self._not_before = None
        if self._due is not None and now >= self._due:
            self._due = None
            self.RULES[self.stage][TIME_IS_UP](self, None, now)

    def events(self) -> list[SessionEvent]:
        """What happened, in order; empties."""
        events, self.happened = self.happened, []
        return events

    def _move(
        self, stage: Stage, text: str, command: Command | None = None, *, due: float | None = None, **told: Any
    ) -> None:
        """Enter a stage, with a command for the module or with a time at which it ends."""
        self.stage = moved(self.stage, stage)
        self.wanted, self._given, self._not_before, self._due = command, None, None, due
        self.happened.append(Progress(stage, text, **told))

    def _wait(
        self, wait_s: float, then: Callable[[float], None], now: float, why: str, command: Command | None = None
    ) -> None:
        self._move(Stage.WAITING, why, command, due=now + wait_s, expected_s=wait_s)
        self._then = then

    def _waited(self, _: None, now: float) -> None:
        self._then(now)
