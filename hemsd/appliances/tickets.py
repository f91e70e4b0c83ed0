"""What is asked of one object of a node, and how far that has come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from hemsd.appliances.manners import PROPERTIES_MAX
from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import BODY_AT, Property, Shape


class Ticket(Struct, eq=False):
    """Something asked of one object. To others only the first thirteen are of interest.

    When done, `answers` has every EPC: its EDT (empty for a write that was accepted) or why not: REFUSED; ABSENT, it
    was said to be given and was empty; TIMEOUT. Of a section they are all EDTs, or none is. Before that, answers of a
    read come in one by one.
    """

    kind: Literal["read", "write", "section"]
    eoj: int
    epcs: tuple[int, ...]
    written: tuple[Property, ...] = ()  # by a write, or to select
    urgent: bool = False
    answers: dict[int, bytes | Missing] = {}
    done: bool = False
    recognised: Mapping[int, bytes] | None = None  # its answer, where that is like the one before but for its data
    silent: bool = False  # nothing was heard in answer within the limit
    unanswered: tuple[int, ...] = ()  # what was asked last before that
    dropped: bool = False  # nobody waits for it any more
    asked_at: float = math.inf  # when it was sent, for the first time

    wanted: tuple[int, ...] = ()  # not settled yet
    selected: bool = False  # (section) in this attempt
    stood_back: bool = False  # (section) for another, since its last attempt
    limit_at: float = math.inf  # when that counts as a silence
    retry_at: float = math.inf  # when it may be asked (again), while it is open
    repeats: int = 0  # of the present batch
    heard: bool = False  # something came
    gave_up: bool = False  # the batch before was a silence
    size: int = PROPERTIES_MAX  # not more at once any more
    failed: tuple[int, ...] = ()  # what got nothing when more was asked than the node may be able to answer:
    failed_size: int = 0  # so many,
    managed: int = 0  # where so many are known to work
    alone: frozenset[int] = frozenset()  # failed in company: to be asked alone
    company: frozenset[int] = frozenset()  # those that failed together, whichever of them it is due to
    last: Asking | None = None  # until it is done, so that nothing goes round in a circle and stays

    @property
    def sent(self) -> bool:
        """Whether it has been asked at all."""
        return self.asked_at < math.inf

    def settle(self) -> None:
        """What has an answer is wanted no more."""
        answers = self.answers
        self.wanted = tuple([epc for epc in self.wanted if epc not in answers])


class Plan(Struct, eq=False):
    """One frame to be sent: its EPCs, and what follows its TID."""

    epcs: tuple[int, ...]
    body: bytes
    writes: bool = False
    shape: Shape | None = None  # of the last answer, where that had all of them and nothing else
    answer: bytes | None = None  # what followed the TID of the last one of that shape, as far as there was one,
    told: Mapping[int, bytes] = {}  # its data by EPC, the same object as long as they are the same,
    answers: dict[int, bytes | Missing] = {}  # and as answers of a ticket that is done

    def learn(self, shape: Shape | None) -> None:
        """An answer had this shape, or did not have all."""
        self.shape, self.answer = shape, None

    def recognise(self, data: bytes) -> bool:
        """Take a datagram into `told`, if it is of this shape. The same answer as the last time is not read again."""
        if (answer := data[BODY_AT:]) == self.answer:
            return True
        if self.shape is None or (told := self.shape.told(data)) is None:
            return False
        self.answer, self.told, self.answers = answer, told, {**told}
        return True


class Asking(Struct, eq=False):
    """One frame that was sent for a ticket."""

    ticket: Ticket
    tid: int
    head: bytes  # EHD and TID, as in its answer
    plan: Plan
    asked_at: float
    whole: bool = False  # the ticket has just begun, and wants nothing but this
    tries: int = 0  # of the same just before, not answered in time
    overdue: bool = False  # its soft deadline has passed
    heard: bool = False
    void: bool = False  # of an attempt at a section that was given up
    named: int = 0  # of its EPCs, in all answers to it
    given: frozenset[int] = frozenset()  # those with data, where one answer did not give all

    @property
    def epcs(self) -> tuple[int, ...]:
        return self.plan.epcs

    @property
    def writes(self) -> bool:
        return self.plan.writes
