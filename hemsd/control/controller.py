"""Control's seat in the hub: hears meter, appliances and requests, publishes orders, answers, decisions and sums."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from hemsd.control.aggregate import Site
from hemsd.control.limits import Switches
from hemsd.control.requests import Requests
from hemsd.control.services import Services
from hemsd.control.settings import Settings
from hemsd.control.targets import Targets
from hemsd.hub.hub import Place
from hemsd.hub.messages import (
    ApplianceProperty,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Decision,
    Domain,
    Health,
    Message,
    MeterReading,
    MeterStatus,
    PowerCompanyRequest,
    ProviderEvent,
    UserRequest,
)

HEALTH_EVERY_S = 300.0

log = logging.getLogger(__name__)


class Controller:
    """The one way to an appliance, and the sum of the house. To be made where an event loop runs.

    `clock` is the wall clock; all waiting is on the event loop's.
    """

    def __init__(
        self, seat: Place, settings: Settings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._seat = seat
        self._clock = clock
        self._targets = Targets()
        self._switches = Switches(settings.minimums)
        self._site = Site(self._targets, self._now())
        self._requests = Requests(settings, self._targets, self._switches, f"{int(clock().timestamp() * 1000):x}")
        self._services = Services()
        self._sooner = asyncio.Event()  # there is something to do before the time waited for
        self._waits_until = math.inf
        self._health_at = 0.0
        self._well: bool | None = None  # as Health told last

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._seat.listen(self._take), name="control listens")
            tasks.create_task(self._keep_time(), name="control keeps time")

    def _take(self, message: Message) -> None:
        if isinstance(message, MeterReading):
            self._site.hear_reading(message)
            if (self._site.due_at() or math.inf) >= self._waits_until:
                return  # it can change nothing but the sum, which has its time
        else:
            self._hear(message, self._now(), self._clock())
        self._turn()
        if self._deadline() < self._waits_until:
            self._sooner.set()

    async def _keep_time(self) -> None:
        while True:
            self._turn()
            self._sooner.clear()
            self._waits_until = self._deadline()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._waits_until):
                    await self._sooner.wait()

    def _hear(self, message: Message, now: float, at: datetime) -> None:
        match message:
            case MeterStatus():
                self._site.hear_meter(message)
            case ApplianceState():
                self._site.hear_state(message, now, at)
                if (status := self._targets.get(message.appliance)) is not None:
                    self._switches.hear(status, message.values, now)
            case ApplianceStatus():
                self._hear_status(message)
            case ApplianceResult():
                self._requests.result(message, now, at)
            case ApplianceProperty():
                self._requests.property(message, now)
            case UserRequest():
                self._requests.ask(message, now, at)
            case PowerCompanyRequest():
                self._services.by_meter(message, at)
            case ProviderEvent():
                self._services.by_gateway(message, now, at)
            case _:
                pass  # rules will have a use for the others

    def _hear_status(self, status: ApplianceStatus) -> None:
        if not self._targets.hear(status):
            self._requests.counters["too_many_appliances"] += 1
        self._site.hear_status(status)
        if status.forgotten:
            self._switches.forget(status.appliance)

    def _turn(self) -> None:
        """Do what is due, publish what there is."""
        now, at = self._now(), self._clock()
        self._requests.tick(now, at)
        for message in (*self._requests.outgoing(), *self._services.outgoing()):
            if isinstance(message, Decision):
                log.info("%s: %s; %s", self._name(message.appliance), message.decision, message.reason)
            self._seat.publish(message)
        if (aggregate := self._site.aggregate(now, at)) is not None:
            self._seat.publish(aggregate)
        self._tell_health(now, at)

    def _name(self, appliance: str | None) -> str:
        """What people call it."""
        if appliance is None:
            return "no appliance"
        status = self._targets.get(appliance)
        return appliance if status is None else status.name

    def _deadline(self) -> float:
        times = (self._requests.deadline(), self._site.due_at(), self._health_at)
        return min(time for time in times if time is not None)

    def _tell_health(self, now: float, at: datetime) -> None:
        well = not self._requests.silent
        if now < self._health_at and well == self._well:
            return
        self._health_at, self._well = now + HEALTH_EVERY_S, well
        detail = "" if well else "the part of hemsd that speaks to appliances did not answer the last order"
        counters = {"open": len(self._requests), **self._requests.counters, **self._services.counters}
        self._seat.publish(Health(at=at, source=Domain.CONTROL, ok=well, detail=detail, counters=counters))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
