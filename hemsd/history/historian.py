"""History's seat in the hub: keeps what it hears, fills gaps from the meter's memory, answers, and tells how it does.

The event loop never waits for the disk: everything that touches it runs on one thread, in the order it was heard.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from hemsd.history import calendar
from hemsd.history.calendar import CLOCK_SET
from hemsd.history.database import Damaged, DiskTrouble, StoreError
from hemsd.history.gaps import MEMORY_DAYS, GapFiller
from hemsd.history.inbox import SAMPLES_MAX, Batch, Inbox
from hemsd.history.query import Summary
from hemsd.history.store import Restored, Retention, Store
from hemsd.history.totals import Outcome
from hemsd.hub.hub import Place
from hemsd.hub.messages import (
    BackfillProgress,
    Domain,
    Event,
    Health,
    HistoryAnswer,
    HistoryHead,
    HistoryQuery,
    LifetimeEnergy,
    Message,
    MeterDay,
    MeterInterval,
    MeterMinute,
    MeterReading,
    MeterStatus,
    RecordsAfter,
)

OUTAGE_S = 120.0  # without a reading; a second-generation meter is asked for the minutes of a longer one
SAMPLES_EVERY_S = 1_800.0
GATHER_S = 60.0  # a memory card wears by each transaction; at the usual pace that is ten days
HEALTH_EVERY_S = 300.0
TIDY_FIRST_S, TIDY_EVERY_S = 600.0, 6 * 3600.0
RETRY_S, RETRY_CAP_S = 5.0, 60.0  # after trouble with the disk
CLOCK_CHECK_S = 60.0  # while it is not set
QUESTIONS_MAX = 64
JST = timezone(timedelta(seconds=calendar.JST_S))

T = TypeVar("T")

log = logging.getLogger(__name__)


class Historian:
    """Keeps the history of a home in a state directory, through full, failing and damaged disks.

    What is missing of today and of `backfill_days` (0-99) before it is asked of the meter; with 0 nothing is. `clock`
    is the wall clock; all waiting is on the event loop's. `executor` runs one thing at a time; without one there is a
    thread of its own.
    """

    def __init__(
        self,
        seat: Place,
        state: Path,
        *,
        retention: Retention | None = None,
        backfill_days: int = MEMORY_DAYS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        executor: Executor | None = None,
    ) -> None:
        self._seat = seat
        self._store = Store(state, retention or Retention())
        self._backfill_days = backfill_days
        self._clock = clock
        self._executor = executor or ThreadPoolExecutor(1, "history")
        self._inbox = Inbox()
        self._filler = GapFiller(f"history-{secrets.token_hex(4)}")
        self._questions: deque[RecordsAfter | HistoryQuery] = deque(maxlen=QUESTIONS_MAX)
        self._woken = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None  # until then days out of the meter's memory wait
        self._open = False
        self._trouble = ""  # with the disk, since it was well
        self._retry_at, self._retry_s = 0.0, RETRY_S
        self._no_room = False  # for live values
        self._meter: str | None = None  # the one that is online
        self._health_at = self._samples_at = self._tidy_at = 0.0
        self._summary = Summary(0, 0)
        self._head: HistoryHead | None = None  # as told last
        self._lifetime = LifetimeEnergy()  # likewise
        self._head_known = False  # nothing was written since
        self._well: bool | None = None  # as Health told last

    async def run(self) -> None:
        """Until cancelled; then what waits is written. Raises NewerDatabase."""
        self._samples_at, self._tidy_at = self._now() + SAMPLES_EVERY_S, self._now() + TIDY_FIRST_S
        with self._executor:
            listening = asyncio.create_task(self._seat.listen(self._listen), name="history listens")
            try:
                while True:
                    await self._turn()
                    await self._rest()
            finally:
                listening.cancel()
                await self._off(self._finish)

    # --- hearing

    def _listen(self, message: Message) -> None:
        if (hear := _HEARD.get(type(message))) is not None:
            hear(self, message)
        else:
            self._woken.set()  # it is not kept; but what waits is written in the same turn, and totals come sooner

    def _gather(self) -> None:
        """Days of the meter's memory come one after the other, and it has them still: some are written together.

        But for the first of all, from which on there are totals to tell.
        """
        if self._lifetime == LifetimeEnergy():
            self._woken.set()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._woken.set)

    def _hear_half_hours(self, told: MeterInterval | MeterDay) -> None:
        if why_not := self._inbox.hear_half_hours(told):
            log.warning("%s", why_not)
        if isinstance(told, MeterDay):
            self._gather()
        else:
            self._woken.set()

    def _hear_reading(self, reading: MeterReading) -> None:
        self._inbox.hear(reading, self._clock(), self._now())  # and it waits for its time

    def _hear_event(self, event: Event) -> None:
        self._inbox.hear(event, self._clock(), self._now())
        self._woken.set()

    def _hear_minute(self, minute: MeterMinute) -> None:
        self._inbox.hear_minute(minute)
        self._woken.set()

    def _hear_progress(self, told: BackfillProgress) -> None:
        now = self._now()
        self._inbox.hear_progress(told, self._clock)
        if outcomes := self._filler.progress(told, now):
            self._tell_filled(outcomes)
        if told.last:
            self._health_at = now  # what it brought is worth telling at once
            self._woken.set()
        else:
            self._gather()

    def _hear_question(self, question: RecordsAfter | HistoryQuery) -> None:
        self._questions.append(question)
        self._woken.set()

    def _hear_status(self, status: MeterStatus) -> None:
        self._woken.set()
        meter, now = status.meter if status.online else None, self._clock()
        if now < CLOCK_SET or meter == self._meter:
            return
        self._meter = meter
        if meter is None:
            self._filler.offline()
            return
        since = self._inbox.read_at
        if status.identity is None or status.identity.generation != 2:
            since = None
        if since is not None and (now - since).total_seconds() <= OUTAGE_S:
            since = None
        self._filler.online(self._now(), _japans(now), since)

    # --- one turn after the other

    async def _rest(self) -> None:
        """Until something was heard, or it is time for something."""
        now = self._now()
        times = [self._health_at, self._samples_at, self._tidy_at]
        if (deadline := self._filler.deadline(now)) is not None:
            times.append(deadline)
        at = max(min(times), self._retry_at)
        if self._clock() < CLOCK_SET:
            at = now + CLOCK_CHECK_S
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, at - now)):
                await self._woken.wait()
        self._woken.clear()

    async def _turn(self) -> None:
        """Do what waits and what is due. Trouble with the disk is told, and everything tried again later."""
        try:
            if self._now() >= self._retry_at:
                await self._write()
                await self._look_after()
        except Damaged as error:
            await self._heal(str(error))
        except DiskTrouble as error:
            self._in_trouble(str(error))
        try:
            while self._questions:
                await self._answer(self._questions.popleft())
        except Damaged as error:
            await self._heal(str(error))
        except DiskTrouble as error:
            self._in_trouble(str(error))
        self._tell_health()

    async def _write(self) -> None:
        """Everything that waits, in transactions as large as what has gathered."""
        if not self._open:
            self._opened(await self._off(partial(self._store.open, self._clock())))
            self._inbox.read_at = self._inbox.read_at or await self._off(self._store.newest_sample)
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        while batch := self._inbox.batch():
            self._head_known = False
            self._tell_outcome(await self._off(partial(self._store_batch, batch)), batch)
        if not self._head_known:
            await self._tell_head()
        if self._trouble:
            self._trouble, self._retry_s = "", RETRY_S
            self._tell("history.disk_ok", "info", "the history can be written again; nothing was lost meanwhile")

    async def _tell_head(self) -> None:
        """How far it has come, if that is further than was told."""
        head, self._head_known = await self._off(self._store.head), True
        if head != self._head:
            self._head = head
            self._seat.publish(head)
            self._tell_lifetime(await self._off(partial(self._store.ask, lambda history: history.lifetime())))

    def _store_batch(self, batch: Batch) -> Outcome:
        """On the thread, where a stop does not come between writing and knowing that it is written."""
        outcome = self._store.write(batch)
        self._inbox.written()
        return outcome

    async def _look_after(self) -> None:
        """What is due by the clock."""
        now, wall = self._now(), self._clock()
        if wall < CLOCK_SET:
            return
        self._inbox.stamp_early(wall, now)
        if self._meter is not None and self._filler.due(now):
            await self._fill(self._meter, wall)
        if now >= self._samples_at or self._inbox.samples_waiting >= SAMPLES_MAX // 2:
            self._samples_at = now + SAMPLES_EVERY_S
            await self._write_samples()
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY_S
            await self._off(partial(self._store.tidy, wall))
        if now >= self._health_at:
            self._summary = await self._off(partial(self._store.ask, lambda history: history.summary(wall)))

    async def _fill(self, meter: str, wall: datetime) -> None:
        """Ask the meter for what is missing, if anything is."""
        days = self._backfill_days + 1 if self._backfill_days else 0
        missing = await self._off(partial(self._store.ask, lambda history: history.missing_days(meter, wall, days)))
        if (request := self._filler.request(missing, wall, self._now())) is not None:
            if len(request.days) > 1:
                self._tell("history.backfill", "info", f"asking the meter for {len(request.days)} days of its memory")
            self._seat.publish(request)

    async def _write_samples(self) -> None:
        readings, minutes = self._inbox.samples()
        if not readings and not minutes:
            return
        try:
            self._no_room = not await self._off(partial(self._store.write_samples, readings, minutes))
        except StoreError:
            self._inbox.put_back(readings, minutes)
            raise

    def _finish(self) -> None:
        """The last turn, on the thread."""
        with suppress(StoreError):
            if self._open:
                self._store_batch(self._inbox.batch())
                self._store.write_samples(*self._inbox.samples())
        self._store.close()

    # --- questions

    async def _answer(self, question: RecordsAfter | HistoryQuery) -> None:
        try:
            if isinstance(question, RecordsAfter):
                if self._open:
                    records = partial(self._store.ask, lambda history: history.records(question))
                    self._seat.publish(await self._off(records))
            elif self._open:
                answers = self._store.history.query(question, self._clock())
                while answer := await self._off(partial(self._store.ask, lambda _: next(answers, None))):
                    self._seat.publish(answer)
            else:
                raise DiskTrouble(self._trouble)
        except StoreError as error:
            self._refuse(question, str(error))
            if self._open:
                raise
        except Exception:  # whoever asks this again would end history again, and the process in the end
            log.exception("a question could not be answered")
            self._refuse(question, "hemsd failed at this question; its log says where")

    def _refuse(self, question: RecordsAfter | HistoryQuery, error: str) -> None:
        """Whoever reads by cursor asks again; the others are told why not."""
        if isinstance(question, HistoryQuery):
            self._seat.publish(HistoryAnswer(request=question.request, to=question.asker, error=error))

    # --- trouble

    async def _heal(self, reason: str) -> None:
        self._open = False
        self._retry_at = self._now() + RETRY_S
        try:
            self._opened(await self._off(partial(self._store.heal, self._clock(), reason)))
        except (Damaged, DiskTrouble) as error:
            self._in_trouble(str(error))

    def _opened(self, restored: list[Restored]) -> None:
        self._open, self._head_known = True, False
        for each in restored:
            copy = "the last good copy is in its place" if each.good else "it begins anew"
            text = f"{each.reason}: {copy}; what the meter remembers is asked again"
            if each.aside.exists():
                text += f"; the damaged file is kept as {each.aside.name}"
            self._tell("history.restored", "error", text)
        if restored and self._meter is not None:
            self._filler.online(self._now(), _japans(self._clock()))

    def _in_trouble(self, text: str) -> None:
        self._retry_at = self._now() + self._retry_s
        self._retry_s = min(RETRY_CAP_S, 2 * self._retry_s)
        if text != self._trouble:
            self._trouble = text
            self._tell("history.disk", "error", f"the history cannot be written: {text}; readings go on")

    # --- telling

    def _tell(self, kind: str, severity: Literal["info", "warning", "error"], text: str) -> None:
        """An event, kept like those of others."""
        event = Event(at=self._clock(), source=Domain.HISTORY, kind=kind, severity=severity, text=text)
        self._seat.publish(event)
        self._inbox.hear(event, self._clock(), self._now())

    def _tell_outcome(self, outcome: Outcome, batch: Batch) -> None:
        if outcome.replaced:
            text = f"another meter is there now ({batch.runs[-1].meter}): totals go on from where the old one ended"
            self._tell("meter.replaced", "warning", text)
        for register, at in outcome.regressed:
            text = f"the {register} register fell at {_japans_time(at)} without a reason: its total waits for it"
            self._tell("meter.counter_regression", "warning", text)
        for register, at in outcome.jumped:
            text = f"the unit of the {register} register changed at {_japans_time(at)}: its total goes on from there"
            self._tell("meter.unit_changed", "warning", text)
        if outcome.contradicted:
            self._inbox.counters["contradicted"] += len(outcome.contradicted)
            first = _japans_time(outcome.contradicted[0])
            text = f"{len(outcome.contradicted)} half-hours, the first at {first}, were told differently than before"
            self._tell("history.contradiction", "warning", f"{text}: what was known better is kept")

    def _tell_lifetime(self, lifetime: LifetimeEnergy) -> None:
        if lifetime != self._lifetime:
            self._lifetime = lifetime
            self._seat.publish(lifetime)

    def _tell_filled(self, outcomes: Counter[str]) -> None:
        if outcomes.total() > 1:
            told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
            self._tell("history.backfilled", "info", f"the meter's memory is read: {told} of {outcomes.total()} days")

    def _tell_health(self) -> None:
        now, well = self._now(), not self._trouble and not self._no_room
        if now < self._health_at and well == self._well:
            return
        self._health_at, self._well = now + HEALTH_EVERY_S, well
        detail = self._trouble or ("no room on the disk for live values" if self._no_room else "")
        counters = {"half_hours": self._summary.half_hours, "missing": self._summary.missing, **self._inbox.counters}
        with suppress(StoreError):
            counters["bytes"] = self._store.size_bytes()
        health = Health(at=self._clock(), source=Domain.HISTORY, ok=well, detail=detail, counters=counters)
        self._seat.publish(health)

    # --- the thread

    async def _off(self, work: Callable[[], T]) -> T:
        """Do this on the thread. Where we are cancelled it goes on to its end, before anything else is done there."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_HEARD: Mapping[type[Message], Callable[[Historian, Any], None]] = {
    MeterInterval: Historian._hear_half_hours,
    MeterDay: Historian._hear_half_hours,
    MeterMinute: Historian._hear_minute,
    MeterReading: Historian._hear_reading,
    MeterStatus: Historian._hear_status,
    Event: Historian._hear_event,
    BackfillProgress: Historian._hear_progress,
    RecordsAfter: Historian._hear_question,
    HistoryQuery: Historian._hear_question,
}
"""What is done about a message."""


def _japans(now: datetime) -> date:
    return calendar.day(calendar.day_of(int(now.timestamp())))


def _japans_time(at: int) -> str:
    return f"{datetime.fromtimestamp(at, JST):%Y-%m-%d %H:%M}"
