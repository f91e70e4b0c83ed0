"""Publishes what the house tells the home gateway to an MQTT broker, and comes back for ever when that goes away.

Live values are kept in one copy and sent as they are when the broker can take them. Half hours wait in line until the
broker has acknowledged each.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from hemsd.gateway.config import BrokerConfig, advice
from hemsd.gateway.connection import BrokerError, Connection, Version, connect
from hemsd.gateway.renewal import Files
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.hub import Seat
from hemsd.hub.messages import Link, Message, MeterInterval, MeterReading, MeterStatus

INTERVALS_MAX = 4_800  # 100 days of half hours; a meter itself remembers as many
SILENT_AFTER_S = 600.0  # two of the longest intervals at which a meter is asked for anything
REPEAT_S = 60.0  # availability: the will of an earlier connection may arrive after the birth of this one
BACKOFF_S, BACKOFF_CAP_S = 1.0, 60.0
LIVE_VALUES = ("power_w", "current_r_a", "current_t_a", "energy_import_kwh", "energy_export_kwh")

_log = logging.getLogger("hemsd.gateway")


@dataclass(slots=True)
class _Meter:
    """The latest of one meter; the times in seconds are this process's."""

    heard_at: float
    status: MeterStatus | None = None
    reading: MeterReading | None = None
    read_at: float = 0.0
    energy_at: datetime | None = None

    def current(self, now: float) -> bool:
        status = self.status  # none yet where a reading came first
        if status is not None and not (status.online and (status.fresh or status.read_at is None)):
            return False
        return now - self.heard_at < SILENT_AFTER_S

    def stand(self, status: MeterStatus, now: float) -> None:
        if self.status and (status.last_heard_at, status.online) != (self.status.last_heard_at, self.status.online):
            self.heard_at = now
        self.status = status

    def read(self, reading: MeterReading, now: float) -> None:
        """A value that this reading says nothing of, not even why it is missing, stays what it was."""
        told = {name for name in LIVE_VALUES if getattr(reading, name) is not None or name in reading.states}
        if any(name.startswith("energy_") for name in told):
            self.energy_at = reading.measured_at
        if self.reading is not None:
            kept = {name: getattr(self.reading, name) for name in LIVE_VALUES if name not in told}
            states = {name: why for name, why in self.reading.states.items() if name not in told}
            reading = replace(reading, **kept, states=states | reading.states)
        self.reading, self.read_at, self.heard_at = reading, now, now


class Bridge:
    """The gateway's seat in the hub on one side, a broker on the other.

    `clock` is monotonic, in seconds; `chance` (0 to 1) spreads the delays before a new attempt. Raises ValueError for
    a site id that cannot be part of a topic.
    """

    def __init__(
        self,
        seat: Seat,
        config: BrokerConfig,
        site: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._seat = seat
        self._config = config
        self._clock = clock
        self._chance = chance
        self._client_id = config.client_id or f"hemsd-{site}"
        self._topics = Topics(config.base_topic, site)
        self._meters: dict[str, _Meter] = {}
        self._unsent: set[str] = set()  # meters whose live values have changed
        self._intervals: deque[Publication] = deque()
        self._overflowed = 0  # half hours dropped since the broker was last there
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Publish until cancelled; then say offline and disconnect within 2 s. Trouble with the broker is logged."""
        for text in advice(self._config):
            _log.warning("%s", text)
        await _together(self._listen(), self._stay_connected())

    async def _listen(self) -> None:
        async for message in self._seat.messages():
            self._note(message, self._clock())
            self._changed.set()

    def _note(self, message: Message, now: float) -> None:
        match message:
            case MeterReading():
                self._meters.setdefault(message.meter, _Meter(now)).read(message, now)
                self._unsent.add(message.meter)
            case MeterStatus(meter=str(meter)):
                self._meters.setdefault(meter, _Meter(now)).stand(message, now)
            case MeterInterval():
                self._queue(self._topics.interval(message))
            case _:
                pass  # nothing of it is published

    def _queue(self, interval: Publication) -> None:
        if len(self._intervals) == INTERVALS_MAX:
            self._intervals.popleft()
            self._overflowed += 1
            if self._overflowed == 1:
                _log.warning("the broker has been away too long: the oldest half hours are dropped from now on")
        self._intervals.append(interval)

    async def _stay_connected(self) -> None:
        version: Version = "3.1.1" if self._config.version == "3.1.1" else "5"
        told: set[str] = set()  # troubles logged since all was well: not again with each retry
        failures = 0
        while True:
            began = self._clock()
            try:
                await self._session(version)
            except BrokerError as error:
                if self._clock() - began > BACKOFF_CAP_S:
                    told.clear()
                    failures = 0
                if str(error) not in told:
                    _log.warning("%s", error)
                    told.add(str(error))
                if error.try_other_version and self._config.version == "auto":
                    version = "3.1.1" if version == "5" else "5"
            else:
                failures = 0
            await asyncio.sleep(min(BACKOFF_CAP_S, BACKOFF_S * 2.0**failures) * (1 + self._chance()) / 2)
            failures = min(failures + 1, 10)

    async def _session(self, version: Version) -> None:
        """One connection, from its birth to its end, which raises BrokerError; or until its files are renewed."""
        will = self._topics.availability(False)
        files = Files(self._config)
        async with connect(self._config, version, self._client_id, will) as connection:
            _log.info("connected to the broker %s:%d (MQTT %s)", self._config.host, self._config.port, version)
            await _together(connection.lost(), self._publish(connection), files.renewed())

    async def _publish(self, connection: Connection) -> None:
        """Everything retained anew, since the broker may have forgotten it; from then on what changes."""
        self._unsent.update(self._meters)
        told: dict[str, Publication] = {}
        repeat_at = self._clock() + REPEAT_S
        while True:
            self._changed.clear()
            now = self._clock()
            if now >= repeat_at:
                told, repeat_at = {}, now + REPEAT_S
            for publication in self._availability(now):
                if told.get(publication.topic) != publication:
                    await connection.publish(publication)
                    told[publication.topic] = publication
            while self._unsent:
                await self._publish_live(self._meters[self._unsent.pop()], connection)
            if self._intervals:
                await self._publish_oldest(connection)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REPEAT_S):
                        await self._changed.wait()

    async def _publish_live(self, meter: _Meter, connection: Connection) -> None:
        if meter.reading:
            link = meter.status.link if meter.status else Link()
            age_s = self._clock() - meter.read_at
            await connection.publish(self._topics.live(meter.reading, meter.energy_at, link, age_s))

    async def _publish_oldest(self, connection: Connection) -> None:
        oldest = self._intervals[0]
        await connection.publish(oldest)
        if self._intervals[0] is oldest:  # otherwise it was pushed out meanwhile
            self._intervals.popleft()
        if self._overflowed:
            _log.warning("%d half hours were dropped while the broker was away", self._overflowed)
            self._overflowed = 0

    def _availability(self, now: float) -> list[Publication]:
        meters = (self._topics.meter_availability(meter, known.current(now)) for meter, known in self._meters.items())
        return [self._topics.availability(True), *meters]


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Run these until one ends or fails, and cancel the others.

    A TaskGroup of Python 3.11 loses a cancellation that coincides with a failure, and a broker and this process often
    stop together.
    """
    tasks = [asyncio.create_task(each, name="gateway") for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
