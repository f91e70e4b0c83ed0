"""Requests and their answers with one peer: TIDs, deadlines, partial answers, refusals, notifications.

Pure: datagrams and the time go in, datagrams and events come out. The caller has pinned the sender already.

Theory. One request is in flight, the others wait in line. A Get of many properties is asked in batches that a weak
meter can answer in full, and goes on until every property is settled: what an answer lacks is asked again, what was
refused in company is asked again alone, what is refused alone is refused. Each asking has a TID of its own and a
frame is an answer only by ESV, then TID, then object class, then properties (ECHONET Lite specification part 2,
3.2 and 4.2.3); a notification never is, whatever its TID. Timing: after the soft deadline a read is asked again with
a new TID while answers to the old one still count; a write is not asked again, what became of it is for the caller
to read back. Only the limit of the AIF specification (low-voltage smart meter - HEMS controller, 1.01) is a silence.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache

from msgspec import Struct

from hemsd.echonet.batch import Batch, next_batch
from hemsd.echonet.frame import (
    ANSWERS,
    EHD,
    ESV,
    NOTIFICATIONS,
    Frame,
    FrameError,
    Property,
    decode,
    encode,
    shape_of,
)
from hemsd.echonet.objects import CONTROLLER
from hemsd.echonet.roundtrips import RoundTrips

QUEUE_LIMIT = 32  # requests in line
RECENT_LIMIT = 32  # TIDs whose late answers are known
REPLY_LIMIT = 4  # answers to INFC not yet sent
WATCHED = 100  # askings of which it is known whether they were answered in the usual time
BATCHES = 32  # ready to be asked again

SOFT_MIN_S = 2.0
SOFT_FACTOR = 3  # times the observed p95
ASSUMED_P95_S = 2.0  # until enough has been observed; good links answer in 1.3 s, poor ones in 4 s
BACK_OFF_S = (1.0, 2.0, 4.0)  # after a transmission that failed

IS_READ: Mapping[int, bool] = {ESV.GET: True, ESV.SETC: False}
READ_ANSWERS, WRITE_ANSWERS = ANSWERS[ESV.GET], ANSWERS[ESV.SETC]
OUR_CLASSES = frozenset({0x05FF, 0x0EF0})
ASKED = (CONTROLLER, CONTROLLER & 0xFFFF00)  # our one instance, or each of ours


class Missing(Enum):
    """Why a property has no value."""

    ABSENT = "absent"  # the peer has no such property
    REFUSED = "refused"  # asked alone, it was not given
    TIMEOUT = "timeout"


class QueueFull(RuntimeError):
    """More requests than QUEUE_LIMIT wait already."""


class Request(Struct, eq=False):
    """Properties asked of one object. When done, `answers` has every EPC: its EDT (empty for a write) or why not."""

    is_read: bool  # a Get, not a SetC
    eoj: int
    wanted: tuple[Property, ...]  # not settled yet
    answers: dict[int, bytes | Missing] = {}
    alone: frozenset[int] = frozenset()  # to be asked by themselves
    done: bool = False
    dropped: bool = False  # nobody waits for it any more
    since: float | None = None  # when its present batch was first asked
    repeats: int = 0  # askings of that batch that met the soft deadline
    unsent: int = 0  # transmissions that failed in a row


class _Asking(Struct, eq=False):
    """One asking of a request, with a TID of its own."""

    request: Request
    tid: int
    head: bytes  # of its answer: EHD and TID
    batch: Batch
    asked_at: float
    observed: bool = False  # its round trip has been


class Finished(Struct, frozen=True):
    request: Request


class Silent(Struct, frozen=True):
    """No answer within the AIF limit, all repetitions included."""

    request: Request


class Notification(Struct, frozen=True):
    """INF or INFC of the peer; an INFC is being answered already."""

    frame: Frame


class Strange(Struct, frozen=True):
    """A frame of the peer for an object that we do not have."""

    frame: Frame


ExchangeEvent = Finished | Silent | Notification | Strange


class Exchange:
    """Requests and answers with one peer. `now` is seconds on a monotonic clock and never goes back."""

    def __init__(self, *, first_tid: int = 1) -> None:
        self.counters: Counter[str] = Counter()
        self.offered: Mapping[int, bytes] = {}  # what our controller object answers a Get of the peer; {}: nothing
        self.unanswered: deque[bool] = deque(maxlen=WATCHED)  # by the soft deadline, of the last askings
        self._tid = (first_tid - 1) & 0xFFFF
        self._queue: deque[Request] = deque()
        self._asking: _Asking | None = None  # in flight
        self._recent: list[_Asking | None] = [None] * RECENT_LIMIT  # by TID, which is given in turn
        self._replies: deque[bytes] = deque(maxlen=REPLY_LIMIT)
        self._last: _Asking | None = None  # what the last datagram sent was, None for a reply
        self._retry_at: float | None = None
        self._soft_at = self._hard_at = 0.0
        self._round_trips = RoundTrips(ASSUMED_P95_S)
        self._soft_s = SOFT_FACTOR * ASSUMED_P95_S
        self.happened: list[ExchangeEvent] = []  # until events() takes it
        self._next = lru_cache(BATCHES)(next_batch)  # the same few are asked all day, and answered alike

    # --- asking

    def ask(self, esv: int, eoj: int, properties: Iterable[Property]) -> Request:
        """Put a Get (empty EDTs) or SetC in line; Finished tells its end. Raises QueueFull."""
        if len(self._queue) >= QUEUE_LIMIT:
            raise QueueFull
        if (is_read := IS_READ.get(esv)) is None:
            raise ValueError("only a Get or SetC can be asked")
        request = Request(is_read, eoj, tuple(properties))
        if not request.wanted:
            raise ValueError("there is nothing to ask for")
        self._queue.append(request)
        return request

    def cancel(self, request: Request) -> None:
        """Forget a request. One in flight keeps its place until answered or past its soft deadline: one at a time."""
        request.dropped = True
        if request.done or (self._asking is not None and self._asking.request is request):
            return
        if self._queue[0] is request:
            self._retry_at = None
        self._finish(request)

    def send(self, now: float) -> bytes | None:
        """Take the next datagram, if one is due. To be called only while sending is allowed and possible."""
        if self._replies:
            self._last = None
            return self._replies.popleft()
        if self._asking is not None or self._retry_at is not None or not self._queue:
            return None
        request = self._queue[0]
        batch = self._next(request.is_read, request.eoj, request.wanted, request.alone)
        self._tid = tid = (self._tid + 1) & 0xFFFF
        head = EHD + tid.to_bytes(2, "big")
        self._asking = self._last = self._recent[tid % RECENT_LIMIT] = _Asking(request, tid, head, batch, now)
        self.counters["requests"] += 1
        if request.since is None:
            request.since = now
        self._hard_at = request.since + batch.limit_s
        self._arm(request, now)
        return head + batch.body

    def sent(self, now: float) -> None:
        """The last datagram is out: its answer is waited for from now."""
        if (asking := self._last) is not None and asking is self._asking:
            request = asking.request
            request.unsent = 0
            asking.asked_at = now
            self._arm(request, now)

    def unsent(self, now: float) -> None:
        """The last datagram did not get out (or nobody acknowledged it): reads are tried again soon."""
        if (asking := self._last) is None or asking is not self._asking:
            return
        self.counters["unsent"] += 1
        self.unanswered.append(True)
        request, self._asking = asking.request, None
        if not request.is_read or request.dropped:
            self._finish(request)
        else:
            pause_s = BACK_OFF_S[min(request.unsent, len(BACK_OFF_S) - 1)]
            self._retry_at = min(now + pause_s, self._hard_at)
            request.unsent += 1

    def withheld(self) -> None:
        """The last datagram must not be sent: what it asks for counts as refused."""
        if (asking := self._last) is None:
            return
        self.counters["requests"] -= 1
        request = asking.request
        for epc in asking.batch.epcs:
            request.answers.setdefault(epc, Missing.REFUSED)
        request.wanted = tuple([p for p in request.wanted if p.epc not in request.answers])
        self._start_over(request)
        if not request.wanted:
            self._finish(request)

    def interrupted(self) -> None:
        """Sending is forbidden from now: what is in flight is lost. A read is asked anew, a write ends unanswered."""
        self._replies.clear()
        if not self._queue or (request := self._queue[0]).since is None:
            return
        self.counters["interrupted"] += 1
        in_flight = self._asking is not None
        self._start_over(request)
        if in_flight and (not request.is_read or request.dropped):
            self._finish(request)

    def clear(self) -> None:
        """The peer is gone: every request ends."""
        self.interrupted()
        while self._queue:
            self._finish(self._queue[0])

    # --- hearing

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram of the peer. Never raises for what it is: counts instead."""
        asking = self._asking
        if asking is not None and (shape := asking.batch.shape) is not None and data.startswith(asking.head):
            told = shape.told(data)
            if told is not None:  # the usual answer, of which nothing but its data is new
                self._heard(asking, now)
                asking.request.answers.update(told)
                self._settled(asking)
                return
        try:
            frame = decode(data)
        except FrameError:
            self.counters["malformed"] += 1
            return
        if frame.deoj >> 8 not in OUR_CLASSES:
            self.happened.append(Strange(frame))
            return
        if frame.esv in NOTIFICATIONS:
            self._notified(frame)
            return
        if frame.esv == ESV.GET and self.offered and frame.deoj in ASKED and not frame.empty:
            self._asked(frame)
            return
        asking = self._recent[frame.tid % RECENT_LIMIT]
        if asking is None or not _answers(frame, asking):
            self.counters["stray"] += 1
            return
        self._heard(asking, now)
        if asking.request.done:
            self.counters["late"] += 1
        else:
            self._settle(asking, frame)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
        request = self._queue[0] if self._queue else None
        if request is None or request.since is None:
            return
        if self._asking is not None and now >= self._soft_at:
            self.unanswered.append(True)
        if now >= self._hard_at:
            self._asking = self._retry_at = None
            self.counters["silences"] += 1
            if not request.dropped:
                self.happened.append(Silent(request))
            self._finish(request)
        elif self._asking is not None and now >= self._soft_at:
            self._asking = None
            if not request.is_read or request.dropped:
                self._finish(request)
            else:
                self.counters["repeated"] += 1
                request.repeats += 1

    def deadline(self) -> float | None:
        """When tick() is wanted next; of no interest while sending is forbidden."""
        return self._retry_at if self._asking is None else self._soft_at

    def events(self) -> list[ExchangeEvent]:
        """What happened, in order; empties."""
        events, self.happened = self.happened, []
        return events

    # --- inside

    def _arm(self, request: Request, now: float) -> None:
        """The soft deadline counts from now, and is never later than the hard one."""
        soft_at = now + self._soft_s * 2**request.repeats
        self._soft_at = soft_at if soft_at < self._hard_at else self._hard_at

    def _heard(self, asking: _Asking, now: float) -> None:
        """An asking is answered, perhaps not for the first time: how long that took."""
        if asking.observed:
            return
        asking.observed = True
        if asking is self._asking:
            self.unanswered.append(False)
        self._round_trips.observe(now - asking.asked_at)
        soft_s = SOFT_FACTOR * self._round_trips.p95_s
        self._soft_s = soft_s if soft_s > SOFT_MIN_S else SOFT_MIN_S

    def _settle(self, asking: _Asking, frame: Frame) -> None:
        request = asking.request
        (_settle_read if request.is_read else _settle_write)(asking, frame)
        if request.is_read and _is_whole(asking, frame):
            asking.batch.shape = shape_of(frame)
        self._settled(asking)

    def _settled(self, asking: _Asking) -> None:
        """The request of an asking has answers: is it done, or what is to be asked next?"""
        request, in_flight = asking.request, self._asking
        answers = request.answers
        request.wanted = wanted = tuple([p for p in request.wanted if p.epc not in answers])
        if in_flight is None or in_flight is asking or in_flight.batch.epcs.isdisjoint([p.epc for p in wanted]):
            self._start_over(request)
        if not wanted or not request.is_read or (request.dropped and self._asking is None):
            self._finish(request)

    def _start_over(self, request: Request) -> None:
        """What is still wanted of the request at the head of the line makes a new batch."""
        request.since, request.repeats, request.unsent = None, 0, 0
        self._asking = self._retry_at = None

    def _finish(self, request: Request) -> None:
        for wanted in request.wanted:
            request.answers.setdefault(wanted.epc, Missing.TIMEOUT)
        request.wanted = ()
        request.done = True
        self._queue.remove(request)
        if not request.dropped:
            self.happened.append(Finished(request))

    def _asked(self, frame: Frame) -> None:
        """Answer a Get of what is offered (4.2.3.2); what is not comes back empty."""
        self.counters["asked"] += 1
        told = tuple(Property(p.epc, self.offered.get(p.epc, b"")) for p in frame.properties)
        esv = ESV.GET_RES if all(p.edt for p in told) else ESV.GET_SNA
        self._replies.append(encode(Frame(tid=frame.tid, seoj=CONTROLLER, deoj=frame.seoj, esv=esv, properties=told)))

    def _notified(self, frame: Frame) -> None:
        self.happened.append(Notification(frame))
        if frame.esv != ESV.INFC:
            return
        seoj = frame.deoj if frame.deoj & 0xFF else frame.deoj | 1  # instance 0 means each of ours
        heard = tuple(Property(p.epc) for p in frame.properties)
        self._replies.append(
            encode(Frame(tid=frame.tid, seoj=seoj, deoj=frame.seoj, esv=ESV.INFC_RES, properties=heard))
        )


def _answers(frame: Frame, asking: _Asking) -> bool:
    """Whether a frame that is no notification is an answer to an asking."""
    request = asking.request
    return (
        frame.tid == asking.tid
        and frame.esv in (READ_ANSWERS if request.is_read else WRITE_ANSWERS)
        and frame.seoj >> 8 == request.eoj >> 8
        and asking.batch.epcs.issuperset([p.epc for p in frame.properties])
    )


def _is_whole(asking: _Asking, frame: Frame) -> bool:
    """Whether the answer to a Get has all that was asked, each property with data."""
    told, epcs = frame.properties, asking.batch.epcs
    return len(told) == len(epcs) and epcs == {p.epc for p in told} and all(p.edt for p in told)


def _settle_read(asking: _Asking, frame: Frame) -> None:
    request, asked, told = asking.request, asking.batch.epcs, frame.properties
    answers, empty = request.answers, []
    for each in told:
        if not each.edt:
            empty.append(each.epc)
        elif not isinstance(answers.get(each.epc), bytes):
            answers[each.epc] = each.edt
    if len(empty) < len(told):
        if empty and len(asked) > 1:
            request.alone |= frozenset(empty)
    elif len(asked) > 1:
        request.alone |= asked
    else:
        for epc in asked:
            answers.setdefault(epc, Missing.REFUSED)


def _settle_write(asking: _Asking, frame: Frame) -> None:
    for each in frame.properties:  # one that was not accepted comes back with its EDT
        asking.request.answers[each.epc] = Missing.REFUSED if each.edt else b""
