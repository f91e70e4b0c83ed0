"""History as a domain beside others, in virtual time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from hemsd.history.historian import Historian
from hemsd.history.query import FILE_NAME
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import (
    Backfill,
    BackfillProgress,
    Domain,
    Message,
    MeterDay,
    MeterIdentity,
    MeterInterval,
    MeterStatus,
)
from hemsd.hub.routes import ROUTES_6_4_3
from support.history import METER, NOON, Inline, records
from support.hub import heard

T = TypeVar("T", bound=Message)


class House:
    """History beside a meter's world, an operator and a gateway, in virtual time from noon on."""

    def __init__(self, state: Path, *, clock: Callable[[], datetime] | None = None, **settings: Any) -> None:
        hub = Hub(ROUTES_6_4_3)
        self.state = state
        self.seat, self.meter = hub.seat(Domain.HISTORY), hub.seat(Domain.ROUTEB)
        self.operator, self.gateway = hub.seat(Domain.OPERATOR), hub.seat(Domain.GATEWAY)
        self.clock = clock or self.now
        self.historian = Historian(self.seat, state, clock=self.clock, executor=Inline(), **settings)
        self.task: asyncio.Task[None] | None = None
        self.heard: dict[Seat, list[Message]] = {}

    def now(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.task = asyncio.create_task(self.historian.run())
        await asyncio.sleep(0.1)
        try:
            yield
        finally:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def told(self, seat: Seat, kind: type[T]) -> list[T]:
        """What a seat has heard of one kind since it was asked last."""
        await asyncio.sleep(0.1)
        waiting = self.heard.setdefault(seat, [])
        waiting += await heard(seat)
        found = [message for message in waiting if isinstance(message, kind)]
        self.heard[seat] = [message for message in waiting if not isinstance(message, kind)]
        return found

    def half_hour(self, slot: int, count: int, **more: Any) -> None:
        """The meter tells of a half-hour after noon."""
        end = NOON + timedelta(minutes=30 * slot)
        kwh = {"energy_import_kwh": count / 10, "import_count": count, "count_kwh": Decimal("0.1"), "digits": 6}
        self.meter.publish(MeterInterval(**{"meter": METER, "end": end, "source": "notified"} | kwh | more))

    def day(self, before: int, *, last: bool = False) -> None:
        """The meter tells of a whole day so many days before, and that it has."""
        first = NOON.replace(hour=15) - (before + 1) * timedelta(days=1)
        counts = tuple(100 * (99 - before) + slot for slot in range(48))
        scale: dict[str, Any] = {"count_kwh": Decimal("0.1"), "digits": 6}
        self.meter.publish(MeterDay(meter=METER, first_at=first, import_counts=counts, **scale))
        day = (first + timedelta(hours=9)).date()
        self.meter.publish(BackfillProgress(request="r", meter=METER, day=day, done=before, total=9, last=last))

    def status(self, online: bool = True, generation: int = 1, meter: str = METER) -> None:
        identity = MeterIdentity(meter=meter, generation=generation)
        told = MeterStatus(meter=meter, online=online, stage="online", since=self.clock(), identity=identity)
        self.meter.publish(told)

    def progress(self, request: Backfill, number: int, outcome: Any = "read") -> None:
        last = number == len(request.days)
        told = {"request": request.request, "meter": METER, "total": len(request.days)}
        day = request.days[number - 1]
        self.meter.publish(BackfillProgress(**told, day=day, outcome=outcome, done=number, last=last))


def stored(state: Path) -> list[Any]:
    with closing(sqlite3.connect(state / FILE_NAME)) as db:
        return [record.content for record in records(db)]
