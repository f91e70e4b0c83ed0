"""What is learnt of one node and outlives a restart: how much it answers at once, what only alone, how fast. Pure.

Theory. How many properties a node takes in one Get is found out, never assumed: one, then twice as many as it last
answered in full. Reactions to too many are a shortened answer, an empty refusal, silence, or a broken connection; any
of them may also be one lost datagram. So a size is given up only when it failed DOUBTS times, each time while fewer
properties of the same request were then answered, and was not answered in full in between. Likewise a property is
asked alone for good when it failed DOUBTS times in company, and each time was answered by itself, as was all of that
company: else the company may have failed for one that is never answered. Where datagrams get lost, that happens by
chance: there it has to fail as often as makes CHANCE of it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from hemsd.echonet.roundtrips import KEPT, RoundTrips

PROPERTIES_MAX = 16  # in one Get, however many a node would answer
DOUBTS = 3
CHANCE = 0.00001
WORST_SHARE = 0.8  # of requests lost; more is an absence
LOST_MAX = 3  # in a row, counted: more are an absence
LOSSY_SHARE = 0.2  # of requests lost; from there on an answer that is late is more likely to be lost
SAMPLES = 64  # answers by which the loss is judged: when they are full, they count half
FORGOTTEN = 0.1  # fewer lost among those are as good as none
ALONE_MAX = 256  # properties of one node known to fail in company

SOFT_FIRST_S = 5.0  # wired and Wi-Fi adapters answer within one second, gateways to radio within three
SOFT_MIN_S = 1.0
SOFT_FACTOR = 3  # times the observed p95, where little gets lost,
FAST_S = SOFT_MIN_S / SOFT_FACTOR  # shorter makes no difference
RECENT = 8  # or the slowest of as many answers, where that is less: it has become faster
LIMIT_S = 20.0  # after which a node is silent: the slowest adapters in the field keep to it


class _Remembered(Struct, kw_only=True):
    """The plain data."""

    proven: Annotated[int, Meta(ge=0, le=PROPERTIES_MAX)] = 0
    ceiling: Annotated[int, Meta(ge=1, le=PROPERTIES_MAX)] = PROPERTIES_MAX
    p95_s: Annotated[float, Meta(gt=0, le=2 * LIMIT_S)] = SOFT_FIRST_S / SOFT_FACTOR
    alone: Annotated[list[Annotated[str, Meta(pattern="^[0-9A-F]{8}$")]], Meta(max_length=ALONE_MAX)] = []


class Manners:
    """One node's. A property is named by its key: EOJ and EPC, ``eoj << 8 | epc``.

    `properties_per_request` is how many to ask at once: twice what the node is known to answer, while that is not
    known to be too many. `soft_s` is when an answer is overdue: three times the p95, 1 to 20 s; so a node that always
    takes long is not asked twice, and one that took long for a while soon is again. Where much gets lost it is the
    p95 itself: what has not come by then will hardly come.
    """

    __slots__ = (
        "_answers", "_doubted", "_doubts", "_fast", "_least_s", "_missed", "_recent_s", "_round_trips", "alone",
        "ceiling", "properties_per_request", "proven", "soft_s", "strikes", "usual_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.proven = 0  # as many properties in one Get as it was seen to answer in full
        self.ceiling = PROPERTIES_MAX  # more are not tried
        self.alone: set[int] = set()  # keys of what fails in company
        self._round_trips = RoundTrips(SOFT_FIRST_S / SOFT_FACTOR)
        self._recent_s = deque([SOFT_FIRST_S / SOFT_FACTOR], RECENT)
        self._doubted, self._doubts = PROPERTIES_MAX + 1, 0  # the size that failed last, and how often in a row
        self.strikes: Counter[int] = Counter()  # by key: failed in company, answered alone, how often in a row
        self.properties_per_request = 1
        self._answers, self._missed = 2.0, 0.0  # requests answered, and those lost
        self.usual_s = SOFT_FIRST_S / SOFT_FACTOR  # an answer takes, at most
        self.soft_s, self._least_s = SOFT_FIRST_S, SOFT_MIN_S
        self._fast = 0  # answers in a row within FAST_S, with no loss remembered, up to KEPT

    def took(self, round_trip_s: float, *, lost: int = 0) -> None:
        """It answered after so long, when so many requests for the same had been lost."""
        fast = round_trip_s <= FAST_S and not lost
        if fast and self._fast == KEPT:
            return  # all that is remembered is like that
        self._fast = self._fast + 1 if fast and self._missed < FORGOTTEN else 0
        self._answers += 1
        self._missed += min(lost, LOST_MAX)
        if self._answers > SAMPLES:
            self._answers, self._missed = self._answers / 2, self._missed / 2
        self._round_trips.observe(round_trip_s)
        self._recent_s.append(round_trip_s)
        self.usual_s = usual_s = min(self._round_trips.p95_s, max(self._recent_s))
        self.soft_s = min(LIMIT_S, max(self._least_s, usual_s if self.lossy else SOFT_FACTOR * usual_s))

    def wait(self, answer_s: float) -> None:
        """It is known to take so long: an answer is not overdue before."""
        self._least_s = min(LIMIT_S, max(self._least_s, answer_s))
        self.soft_s = max(self.soft_s, self._least_s)

    @property
    def lost_share(self) -> float:
        """Of the requests to it (0 to 1), with their answers, as far as was seen."""
        return min(self._missed / (self._answers + self._missed), WORST_SHARE)

    @property
    def lossy(self) -> bool:
        """Whether so much gets lost that an answer that is late is not waited for."""
        return self.lost_share > LOSSY_SHARE

    @property
    def loses(self) -> bool:
        """Whether so much gets lost that it is to be reckoned with."""
        return self.doubts > DOUBTS

    @property
    def doubts(self) -> int:
        """How often in a row something has to fail before it is not taken for loss."""
        share = self.lost_share
        return max(DOUBTS, math.ceil(math.log(CHANCE) / math.log(share))) if share else DOUBTS

    def answered(self, size: int) -> None:
        """It answered so many properties at once in full."""
        if size > self.proven:
            self._limits(size, self.ceiling)
        if size >= self._doubted:
            self._doubted, self._doubts = PROPERTIES_MAX + 1, 0

    def fell_short(self, size: int, managed: int) -> None:
        """It did not answer so many, and then did answer some of them: as many as it `managed`, or fewer."""
        self._doubts = self._doubts + 1 if size == self._doubted else 1
        self._doubted = size
        if self._doubts >= self.doubts:
            self._limits(self.proven, max(1, min(managed, size - 1)))
            self._doubted, self._doubts = PROPERTIES_MAX + 1, 0

    def only_alone(self, key: int) -> None:
        """A property that failed in company was answered alone, as was all of its company."""
        if len(self.strikes) >= ALONE_MAX:
            self.strikes.clear()
        self.strikes[key] += 1
        if self.strikes[key] >= self.doubts and len(self.alone) < ALONE_MAX:
            del self.strikes[key]
            self.alone.add(key)

    def plain(self) -> dict[str, object]:
        """All of this as plain JSON data."""
        return {
            "proven": self.proven,
            "ceiling": self.ceiling,
            "p95_s": round(self._round_trips.p95_s, 3),
            "alone": [f"{key:08X}" for key in sorted(self.alone)],
        }

    def _limits(self, proven: int, ceiling: int) -> None:
        self.proven, self.ceiling = min(proven, ceiling), ceiling
        self.properties_per_request = max(1, min(2 * self.proven, ceiling))

    @classmethod
    def restored(cls, plain: object) -> Manners:
        """From plain data of whatever origin; what does not hold together is as if nothing was known."""
        manners = cls()
        try:
            told = msgspec.convert(plain if isinstance(plain, Mapping) else {}, _Remembered)
        except msgspec.ValidationError:
            return manners
        manners._limits(told.proven, told.ceiling)
        manners._round_trips = RoundTrips(told.p95_s)
        manners.took(told.p95_s)
        manners.alone = {int(key, 16) for key in told.alone}
        return manners
