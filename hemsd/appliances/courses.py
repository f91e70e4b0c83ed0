"""Courses of questions to one node (see introspection), one at a time, on its line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from hemsd.appliances.dialogue import Dialogue
from hemsd.appliances.introspection import Answers, Ask
from hemsd.appliances.tickets import Ticket

Course = Generator[Ask, Answers, Any]
Conclude = Callable[[Any, float], None]


class Courses:
    """Of one node. `conclude` is told what a course found out, and may begin another."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._course: Course | None = None
        self._conclude: Conclude | None = None
        self._question: Ticket | None = None

    @property
    def busy(self) -> bool:
        return self._course is not None

    def ends_in(self, conclude: Conclude) -> bool:
        """Whether one is under way that is concluded so."""
        return self._course is not None and self._conclude == conclude

    def begin(self, course: Course, conclude: Conclude, now: float) -> None:
        """Ask its first question; whatever is under way ends here and is not concluded."""
        self.end()
        self._course, self._conclude = course, conclude
        self._advance(course, conclude, None, now)

    def end(self) -> None:
        """Ask no more."""
        self._course = None
        if self._question is not None:
            self._dialogue.cancel(self._question)
            self._question = None

    def finished(self, ticket: Ticket, now: float) -> bool:
        """Take a ticket of the dialogue that is done; whether it was a question of these."""
        course, conclude = self._course, self._conclude
        if ticket is not self._question or course is None or conclude is None:
            return False
        self._question = None
        self._advance(course, conclude, ticket.answers, now)
        return True

    def _advance(self, course: Course, conclude: Conclude, answers: Answers | None, now: float) -> None:
        try:
            eoj, epcs = next(course) if answers is None else course.send(answers)
        except StopIteration as over:
            self._course = None
            conclude(over.value, now)
        else:
            self._question = self._dialogue.read(eoj, epcs)
