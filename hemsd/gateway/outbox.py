"""What of history one broker has not acknowledged: which record is sent when, and where the cursor stands. Pure.

Records go in the order of their seq: one that changed has a new seq and its old key, and never comes before what it
replaces. What was kept before the connection, and what came out of a meter's memory, is a replay and goes at a
measured pace; whatever else there is goes at once.

There are two cursors. Up to `acknowledged` the broker said that it has everything; up to `settled` that is believed.
A broker may write what it took to its disk only now and then, and forget it when the power goes: so a connection
begins after `settled`. What comes twice has the same key; what was acknowledged twice, or a while ago, is settled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from hemsd.hub.messages import MeterInterval, Record, Records

IN_FLIGHT = 20  # not acknowledged; AWS IoT Core allows 100
PER_SECOND = 50.0  # of a replay: a hundred days of half-hours in 96 s
ANSWER_WITHIN_S = 10.0
SETTLES_AFTER_S = 35 * 60.0  # mosquitto writes to its disk every 30 min unless told otherwise (autosave_interval)
SETTLING = 100  # acknowledged and not settled, at most: a long replay is not begun anew for one lost connection
REFUSED_FOR_S = 60.0
READ_AHEAD = 50  # fewer waiting than that: time to ask for more


@dataclass(slots=True)
class _Flight:
    sent_at: float
    landed: bool = False


class Outbox:
    """The records of one history, which has come as far as `head`, for one broker, which has those up to `settled`.

    `replay_per_s` is the pace of a replay, PER_SECOND unless told; where the broker takes `half_hours_only`, others
    are no part of it and go at once, to wherever they go. `now` is monotonic, in seconds.
    """

    def __init__(
        self, settled: int, head: int, *, replay_per_s: float | None = None, half_hours_only: bool = False
    ) -> None:
        self.settled = settled
        self.acknowledged = settled
        self._head = head
        self._old = head  # what there was when the connection began
        self._in_flight = IN_FLIGHT
        self._half_hours_only = half_hours_only
        self._replay_gap_s = 1 / (replay_per_s or PER_SECOND)
        self._read = settled  # up to here it was read from history
        self._waiting: deque[Record] = deque()
        self._flying: dict[int, _Flight] = {}  # by seq
        self._settling: deque[tuple[float, int]] = deque()  # when which seq was acknowledged for the first time
        self._again = settled  # up to here it was acknowledged before this connection
        self._replay_at = self._held_until = -inf

    def begin(self, in_flight: int = IN_FLIGHT) -> None:
        """A new connection, which takes so many at once: whatever is not settled goes again."""
        self._in_flight = min(in_flight, IN_FLIGHT)
        self._again = max(self._again, self.acknowledged)
        self.acknowledged = self.settled
        self._settling.clear()
        self._old = self._head
        self._held_until = -inf
        self._go_back()

    @property
    def behind(self) -> int:
        """How many are not acknowledged, at most: where they are not read yet not every seq has a record."""
        return max(0, self._head - self._read) + len(self._waiting) + len(self._flying)

    def know(self, head: int) -> None:
        """History has come so far."""
        self._head = max(self._head, head)

    def wanted(self) -> int | None:
        """After which seq more records are wanted; None where there are enough, or no more."""
        return self._read if len(self._waiting) < READ_AHEAD and self._read < self._head else None

    def add(self, answer: Records, after: int, head: int) -> None:
        """What history answered to wanted() `after`, when it was known to have come as far as `head`."""
        if after != self._read:
            return  # it was asked before we went back
        self._waiting += [record for record in answer.records if record.seq > after]
        last = answer.records[-1].seq if answer.records else answer.head
        complete = last >= answer.head  # there was nothing else, up to where it had come when it was asked
        self._read = max(after, last, head if complete else 0)

    def take(self, now: float) -> tuple[Record, bool] | None:
        """The record that is to be sent now, and whether it is a replay; None where none is."""
        if not self._ready() or now < self._next_at():
            return None
        record = self._waiting.popleft()
        if replay := self._is_replay(record):
            self._replay_at = max(self._replay_at + self._replay_gap_s, now)
        self._flying[record.seq] = _Flight(now)
        return record, replay

    def acknowledge(self, seq: int, now: float) -> None:
        """The broker has this one."""
        if (flight := self._flying.get(seq)) is None:
            return  # answered late, and sent again meanwhile or to be
        flight.landed = True
        for first in list(self._flying):
            if not self._flying[first].landed:
                break
            del self._flying[first]
            self.acknowledged = first
            if first <= self._again:
                self.settled = first
            else:
                self._settling.append((now, first))
        self.settle(now)

    def refuse(self, now: float) -> None:
        """The broker does not want one of those that fly: after a while it goes again, with those behind it."""
        self._held_until = now + REFUSED_FOR_S
        self._go_back()

    def settle(self, now: float) -> None:
        """Let `settled` follow."""
        settling = self._settling
        while settling and (len(settling) > SETTLING or settling[0][0] <= now - SETTLES_AFTER_S):
            self.settled = settling.popleft()[1]

    def overdue(self, now: float) -> bool:
        """Whether an acknowledgement is."""
        oldest = next(iter(self._flying.values()), None)
        return oldest is not None and now >= oldest.sent_at + ANSWER_WITHIN_S

    def deadline(self) -> float | None:
        """When there is something to take, or an acknowledgement overdue."""
        times = [self._next_at()] if self._ready() else []
        times += [flight.sent_at + ANSWER_WITHIN_S for flight in list(self._flying.values())[:1]]
        return min(times, default=None)

    def _ready(self) -> bool:
        return bool(self._waiting) and len(self._flying) < self._in_flight

    def _next_at(self) -> float:
        return max(
            self._held_until, self._replay_at + self._replay_gap_s if self._is_replay(self._waiting[0]) else -inf
        )

    def _is_replay(self, record: Record) -> bool:
        content = record.content
        if isinstance(content, MeterInterval):
            return record.seq <= self._old or content.source == "backfill"
        return record.seq <= self._old and not self._half_hours_only

    def _go_back(self) -> None:
        self._read = self.acknowledged
        self._waiting.clear()
        self._flying.clear()
