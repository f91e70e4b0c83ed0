"""What to read when of one appliance: no value becomes older than it may, and nothing is asked too often. Pure.

Theory. Each property has its tempo, and is due that long after it was last told, in whatever way. When one is due,
those due soon go with it: properties of one tempo come to be read together, in one request or few. Notifications are
what one would like to rely on, but the announcement map is a promise often broken: only where a change was told
before a poll found it is a state polled at the slow tempo, which never ends, and a change that a poll finds first
ends it. What an appliance does not give is asked ever more seldom, and by itself: it may be what nothing is answered
in company of. After a silence all else is asked for first for the same reason; an appliance that says nothing at all
is left alone for longer and longer, never for more than ten minutes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from hemsd.appliances.events import Source
from hemsd.appliances.manners import PROPERTIES_MAX
from hemsd.appliances.tickets import Ticket
from hemsd.echonet.classes.device import Section, Tempo
from hemsd.echonet.exchange import Missing

START_S = 10.0  # over which first reads are spread
SECTION_S = Tempo.STATE.value  # lists that have to be selected
SOON = 0.2  # of its interval before it is due, a property goes along: STATE always finds a LIVE turn
AGAIN_S = 60.0  # what need be read only once is tried again first
SELDOM_S = Tempo.SLOW.value  # the longest that anything is left alone
AT_ONCE = 2  # silences in a row after which it is asked again at once, so that soon it is known to be gone
FIRST_PAUSE_S = 30.0  # after the next; doubled each time
PROOFS = 3  # changes told in time, after one that was not, until notifications are believed in again;
PROOFS_MAX = 48  # twice as many each time, because some networks lose much of what is told to all
DOUBTFUL = 2  # failures in a row, and it is asked without those that are answered
FAILED_MAX = 16  # failures that are counted
JITTER = 0.2  # of a pause, at most
PACES = 256  # sets of intervals that appliances alike share
TARDY_S = 10.0  # a notification may come after a poll that found the same
NONE: Final[Mapping[int, Any]] = MappingProxyType({})  # shared by all appliances of which there is nothing to say


class _Promise(Struct):
    """Whether an announced property is told when it changes."""

    edt: bytes | None = None  # as last told
    kept: int = 0  # changes told in time, in a row
    needed: int = 1
    found_at: float = -math.inf  # when a poll found a change that had not been told,
    before: tuple[int, int] = (0, 1)  # and `kept` and `needed` before that

    @property
    def holds(self) -> bool:
        return self.kept >= self.needed

    def told(self, edt: bytes, now: float, source: Source) -> None:
        changed = self.edt is not None and edt != self.edt
        self.edt = edt
        if source == "notified":
            if changed:
                self.kept += 1
            elif now - self.found_at <= TARDY_S:
                self.kept, self.needed = self.before[0] + 1, self.before[1]
                self.found_at = -math.inf
        elif changed:
            self.before = (self.kept, self.needed)
            self.kept, self.needed, self.found_at = 0, min(max(PROOFS, 2 * self.needed), PROOFS_MAX), now


class Polls:
    """Of one appliance. due() gives a turn; until concluded() or abandoned() ends it no other of its kind is due.

    The kinds are: properties; a section.
    """

    __slots__ = (
        "_at", "_chance", "_due", "_failed", "_held_until", "_interval_s", "_missed", "_paces", "_promises",
        "_relied", "_sections", "_selecting", "_silences", "_suspects", "_tempo", "_turn", "sections",
    )  # fmt: skip

    def __init__(
        self,
        tempo: Mapping[int, Tempo],
        sections: Collection[Section] = (),
        *,
        announced: Collection[int] = (),
        now: float,
        chance: Callable[[], float],
    ) -> None:
        """`chance` gives numbers in [0, 1)."""
        self._chance = chance
        self._tempo = tuple(sorted([(epc, each.value) for epc, each in tempo.items()], key=lambda each: each[1]))
        self._interval_s = 0.0  # nothing is read more often
        self._paces = _paced(self._tempo, 0.0)
        self._relied = True  # on notifications, where they come
        self._due = dict.fromkeys(self._paces.every, now)
        self._failed: Mapping[int, int] = NONE  # times in a row, by EPC
        self._suspects: frozenset[int] = frozenset()  # what was asked last when nothing was said
        promised = [epc for epc, each in tempo.items() if each is Tempo.STATE and epc in announced]
        self._promises: Mapping[int, _Promise] = {epc: _Promise() for epc in promised} or NONE
        self._sections: dict[Section, float] = {}  # when each is due
        self._missed: dict[Section, int] = {}  # times in a row
        self._held_until = now + START_S * chance()  # nothing at all before
        self._silences = 0  # of the whole appliance, in a row
        self._turn: tuple[int, ...] | None = None
        self._selecting: Section | None = None  # the turn of one
        self._at: float | None = None  # deadline, once worked out
        self.sections = 0  # so many there are, each to be read every SECTION_S
        self.select(sections, now)

    def select(self, sections: Collection[Section], now: float) -> None:
        """These are the sections now; those that are new are due."""
        self._sections = {each: self._sections.get(each, now) for each in sections}
        self.sections = len(self._sections)
        self._at = None

    def keep(self, interval_s: float, now: float, *, relied: bool) -> None:
        """Read nothing more often, from the next time on; rely on notifications where they come, or never."""
        if self._relied and not relied:
            self._due |= {epc: min(self._due[epc], now + self._paces.every[epc]) for epc in self._promises}
            self._at = None
        self._relied = relied
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._paces = _paced(self._tempo, interval_s)

    def reads(self, interval_s: float, read_s: float, most: int) -> float:
        """Requests a second of `most` properties that it takes to keep such an interval, where a read takes so long.

        What is slower goes along with what is faster, as far as there is room.
        """
        counts = Counter[float]()
        for _, every_s in self._tempo:
            if every_s < math.inf:
                counts[max(every_s, interval_s) + read_s] += 1
        fastest_s = min(counts, default=math.inf)
        shared = sum(count / period_s for period_s, count in counts.items()) / most
        return max(math.ceil(counts[fastest_s] / most) / fastest_s, shared)

    def announces(self, epc: int) -> bool | None:
        """Whether notifications of a property come when it changes; None where nothing has shown it yet."""
        promise = self._promises.get(epc)
        if promise is None or (promise.needed == 1 and not promise.kept):
            return None
        return promise.holds

    def deadline(self) -> float:
        """When something is due that has no turn; infinity while both have."""
        if (at := self._at) is None:
            at, held_until = math.inf, self._held_until
            if self._turn is None and (due := self._due):
                at = -math.inf if self._silences else min(due.values())
            if self.sections and self._selecting is None:
                at = min(at, *self._sections.values())
            self._at = at = at if at > held_until else held_until
        return at

    def due(self, now: float, most: int = PROPERTIES_MAX) -> tuple[int, ...] | Section | None:
        """What to read now: `most` properties at most, first what is most overdue for its tempo; None for nothing."""
        if now < self.deadline():
            return None
        self._at = None
        if self.sections and self._selecting is None:
            section = min(self._sections, key=self._sections.__getitem__)
            if self._turn is not None or (now - self._sections[section]) / SECTION_S >= self._late(now):
                self._selecting = section
                return section
        if self._silences:
            candidates = self._least_failed()
        else:
            ahead, candidates = self._paces.ahead, []
            for epc, at in self._due.items():  # as a comprehension, which is a function anew, it takes twice as long
                if at - ahead[epc] <= now:
                    candidates.append(epc)
            if len(candidates) > most:
                candidates.sort(key=self._early(now))
        if self._suspects or self._failed:
            candidates = self._sure(candidates) or candidates
        self._turn = turn = tuple(candidates if len(candidates) <= most else candidates[:most])
        return turn

    def concluded(self, ticket: Ticket, given: Mapping[int, bytes], now: float) -> None:
        """A turn was read: Ticket of a Dialogue, done, and what it brought that was not told() before."""
        self._at = None
        answers = ticket.answers
        if ticket.kind == "section":
            section, self._selecting = self._selecting, None
            if section in self._sections:
                self._selected(section, answers, now)
        else:
            self._turn = None
            if given:
                self.told(given, now, "read")
            if len(given) < len(answers):
                missing = [epc for epc, answer in answers.items() if not isinstance(answer, bytes)]
                if len(missing) == 1 or not ticket.silent:
                    for epc in missing:
                        self._not_given(epc, now, lost=answers[epc] is Missing.TIMEOUT)
                if ticket.unanswered:
                    self._suspects |= set(ticket.unanswered)
        if ticket.silent:
            self._silent(now)
        else:
            self._silences = 0

    def abandoned(self) -> None:
        """What has a turn was not read, and will not be: it is due as before."""
        self._turn = self._selecting = self._at = None

    def told(self, properties: Mapping[int, bytes], now: float, source: Source) -> None:
        """Properties came: in answer to whatever request, or by themselves. Any of them shows that it is there."""
        due, every, promises = self._due, self._paces.every, self._promises
        if self._silences:
            if self._silences > 1:  # it is back: never mind what it did not give meanwhile
                due.update(dict.fromkeys(self._failed, now))
                self._failed = NONE
            self._silences, self._held_until = 0, now
        for epc in properties:
            if epc in every:
                due[epc] = now + every[epc]
        if promises:
            for epc, promise in promises.items():
                if epc in properties:
                    promise.told(properties[epc], now, source)
                    if promise.holds and self._relied:
                        due[epc] = now + max(every[epc], SELDOM_S)
        if self._suspects or self._failed:
            self._cleared(properties)
        self._at = None

    def _cleared(self, epcs: Collection[int]) -> None:
        """They were given."""
        self._suspects = self._suspects.difference(epcs)
        self._failed = {epc: times for epc, times in self._failed.items() if epc not in epcs}

    def _least_failed(self) -> list[int]:
        """All that is ever due, what failed least and is due first."""
        due, failed = self._due, self._failed
        return sorted(
            [epc for epc, at in due.items() if at < math.inf], key=lambda epc: (failed.get(epc, 0), due[epc])
        )

    def _early(self, now: float) -> Callable[[int], float]:
        """Of a property: how long before it is due, for its tempo."""
        due, pace = self._due, self._paces.pace
        return lambda epc: (due[epc] - now) / pace[epc]

    def _sure(self, epcs: Iterable[int]) -> list[int]:
        """Those that are answered. Others come by themselves, and last: in their company these may not be."""
        suspects, failed = self._suspects, self._failed
        return [epc for epc in epcs if epc not in suspects and failed.get(epc, 0) < DOUBTFUL]

    def _late(self, now: float) -> float:
        """How overdue the most overdue property is for its tempo."""
        pace = self._paces.pace
        return max([(now - at) / pace[epc] for epc, at in self._due.items()], default=-math.inf)

    def _selected(self, section: Section, answers: Mapping[int, bytes | Missing], now: float) -> None:
        """One was read, or not: what may have got lost is due as before once, and then ever more seldom."""
        missed, every_s = 0, max(SECTION_S, self._interval_s)
        if Missing.REFUSED in answers.values():
            missed = FAILED_MAX
        elif any(isinstance(answer, Missing) for answer in answers.values()):
            missed = min(self._missed.get(section, 0) + 1, FAILED_MAX)
        self._missed[section] = missed
        if missed != 1:
            self._sections[section] = now + max(every_s, min(SELDOM_S, every_s * 2.0 ** (missed - 1)))

    def _not_given(self, epc: int, now: float, *, lost: bool) -> None:
        """It is asked more seldom; but what may have got lost is due as before once."""
        if (pace := self._paces.pace.get(epc)) is not None:
            failed = min(self._failed.get(epc, 0) + 1, FAILED_MAX)
            self._failed = {**self._failed, epc: failed}
            if failed > 1 or not lost:
                self._due[epc] = now + min(SELDOM_S, pace * 2.0**failed)

    def _silent(self, now: float) -> None:
        """Nobody answered: at once again, then with growing pauses, for ever."""
        self._silences = min(self._silences + 1, FAILED_MAX)
        self._held_until = now
        if self._silences > AT_ONCE:
            pause_s = FIRST_PAUSE_S * 2.0 ** (self._silences - AT_ONCE - 1)
            self._held_until += min(SELDOM_S, pause_s * (1 + JITTER * self._chance()))


class _Paces:
    """How often properties are read, in seconds by EPC. Appliances alike share it.

    `pace` has a time for what is read once, too; `ahead`: so long before it is due a property goes along.
    """

    def __init__(self, tempo: tuple[tuple[int, float], ...], interval_s: float) -> None:
        self.every = {epc: max(every_s, interval_s) for epc, every_s in tempo}
        self.pace = {epc: every_s if every_s < math.inf else AGAIN_S for epc, every_s in self.every.items()}
        self.ahead = {epc: SOON * every_s for epc, every_s in self.pace.items()}


@lru_cache(PACES)
def _paced(tempo: tuple[tuple[int, float], ...], interval_s: float) -> _Paces:
    return _Paces(tempo, interval_s)
