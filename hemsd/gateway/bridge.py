"""Publishes what the house tells the home gateway to an MQTT broker, and comes back for ever when that goes away.

How things stand is kept in one copy and sent as it is when the broker can take it: see hemsd.gateway.standing. What
must arrive, half-hours and events, comes out of history: hemsd.gateway.forward. What others ask of the house goes
through hemsd.gateway.requests. What Home Assistant is told of all that: hemsd.gateway.homeassistant.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from hemsd.gateway.config import BrokerConfig, advice
from hemsd.gateway.connection import Connection, Version, connect
from hemsd.gateway.cursor import CursorFile
from hemsd.gateway.exposure import REQUESTS, exposes
from hemsd.gateway.files import place
from hemsd.gateway.forward import Forwarder
from hemsd.gateway.homeassistant import BIRTH_S, Discovery
from hemsd.gateway.logtopic import LogTopic
from hemsd.gateway.reconnecting import Backoff, stay_connected, together
from hemsd.gateway.renewal import Files
from hemsd.gateway.requests import Incoming, Requests
from hemsd.gateway.retained import Retained
from hemsd.gateway.standing import Home, Standing
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.hub import Place
from hemsd.hub.messages import Domain, Event, Health, HistoryHead, Message, Records, UserResponse

BACKOFF = Backoff(first_s=1.0, cap_s=60.0, jitter=0.5)
REFUSALS_MAX = 256  # topics; more are not told of

_log = logging.getLogger("hemsd.gateway")


class Bridge:
    """The gateway's seat in the hub on one side, a broker on the other.

    The directory `state` remembers what the broker has of us. `clock` is monotonic, in seconds, `wall` the time of
    day; `chance` (0 to 1) spreads the delays before a new attempt. Raises ValueError for a site id that cannot be
    part of a topic.
    """

    def __init__(
        self,
        seat: Place,
        config: BrokerConfig,
        home: Home,
        state: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._seat = seat
        self._config = config
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._client_id = config.client_id or f"hemsd-{home.site}"
        self._topics = topics = Topics(config.base_topic, home.site, home.signer)
        self._standing = Standing(topics, home, clock())
        self._discovery = Discovery(topics, home, clock())
        self._renew_at = math.inf  # Home Assistant has started
        self._requests = Requests(topics, f"mqtt-{int(wall().timestamp() * 1000):x}", self._standing.counters)
        self._subscriptions = [
            f"{topics.root}/{topic}" for topic, level in REQUESTS.items() if exposes(home.exposure, level)
        ]
        if home.discovery:
            self._subscriptions.append(self._discovery.status_topic)
        self._retained = Retained(place(state, "retained", config))
        self._log_topic = None if home.log is None else LogTopic(home.log)
        self._refusals: set[tuple[str, str]] = set()  # told of
        self._forwarder = Forwarder(
            seat.publish,
            CursorFile(state, config, self._client_id),
            lambda record, replay: topics.record(record, home.exposure, replay=replay),
            replay_days=config.replay_days,
            refused=self._hear_refusal,
            anew=lambda text: self._tell("gateway.replay", text),
        )
        self._changed = asyncio.Event()
        self._alarm_at = math.inf  # when it rings: at the deadline, or before

    async def run(self) -> None:
        """Publish until cancelled; then say offline and disconnect within 2 s. Trouble with the broker is logged."""
        for text in advice(self._config):
            _log.warning("%s", text)
        staying = stay_connected(
            self._config, self._session, self._tell_health, BACKOFF, clock=self._clock, chance=self._chance
        )
        loop = asyncio.get_running_loop()
        with ExitStack() as held:
            if self._log_topic is not None:
                held.enter_context(self._log_topic.listening(lambda: loop.call_soon_threadsafe(self._changed.set)))
            await together(self._seat.listen(self._hear), staying, self._forwarder.keep())

    # --- the house

    def _hear(self, message: Message) -> None:
        now = self._clock()
        match message:
            case HistoryHead() | Records():
                self._forwarder.note(message)
            case UserResponse():
                self._requests.hear(message, self._wall())
            case _:
                self._standing.hear(message, now, self._wall())
                self._discovery.hear(message, now)
        self._changed.set()

    def _take(self, incoming: Incoming) -> None:
        if incoming.topic == self._discovery.status_topic:
            if incoming.payload == b"online":
                self._renew_at = self._clock() + self._chance() * BIRTH_S
                self._changed.set()
            return
        self._requests.take(incoming, self._clock(), self._wall())
        for message in self._requests.outgoing():
            self._seat.publish(message)
        self._changed.set()

    def _hear_refusal(self, topic: str, why: str) -> None:
        """Tell it once: with MQTT 5 a broker says that its access rules, say, forbid a topic."""
        if (topic, why) not in self._refusals and len(self._refusals) < REFUSALS_MAX:
            self._refusals.add((topic, why))
            self._tell("gateway.refused", f"the broker {self._config.host} refused {topic}: {why}")

    def _tell(self, kind: str, text: str) -> None:
        event = Event(at=self._wall(), source=Domain.GATEWAY, kind=kind, severity="warning", text=text)
        self._seat.publish(event)

    def _tell_health(self, trouble: str = "") -> None:
        """How it stands with the broker, and what should be changed though it works."""
        detail = "; ".join(text for text in (trouble, *advice(self._config)) if text)
        counters = dict(self._standing.counters)
        if (behind := self._forwarder.behind) is not None:
            counters["behind"] = behind
        if self._log_topic is not None:
            counters["log_dropped"] = self._log_topic.dropped
        health = Health(at=self._wall(), source=Domain.GATEWAY, ok=not trouble, detail=detail, counters=counters)
        self._seat.publish(health)

    # --- the broker

    async def _session(self, version: Version) -> None:
        """One connection, from its birth to its end, which raises BrokerError; or until its files are renewed."""
        will = self._topics.availability(False)
        files = Files(self._config)
        async with connect(self._config, version, self._client_id, will) as connection:
            _log.info("connected to the broker %s:%d (MQTT %s)", self._config.host, self._config.port, version)
            self._requests.connected()
            work = (connection.listen(self._take), self._publish(connection), self._forwarder.run(connection))
            try:
                await together(*work, files.renewed())
            finally:
                self._standing.counters["requests_dropped"] += connection.dropped

    async def _publish(self, connection: Connection) -> None:
        """Everything retained anew, since the broker may have forgotten it; from then on what changes."""
        for topic in self._subscriptions:
            if why := await connection.subscribe(topic):
                self._hear_refusal(topic, why)
        standing, requests, discovery = self._standing, self._requests, self._discovery
        self._renew_at = self._clock()
        await self._expect(map(self._topics.path, standing.retained()))
        tidied_for = 0.0
        while True:
            self._changed.clear()
            now, at = self._clock(), self._wall()
            if now >= self._renew_at:
                self._renew_at = math.inf
                standing.renew(now)
                discovery.renew(now)
            standing.behind(self._forwarder.behind, now)
            standing.tick(now)
            requests.tick(now, at)
            while (publication := self._next(now, at)) is not None:
                await self._send(publication, connection)
                now, at = self._clock(), self._wall()
                if now >= standing.deadline():
                    break  # where things change faster than a slow link takes them, the clock still has its turn
            if tidied_for != (deadline := standing.deadline()):  # once a minute, when we are awake anyway
                tidied_for = deadline
                self._tell_health()
                for question in standing.questions(now, at):
                    self._seat.publish(question)
                await self._tidy(now, connection)
            await self._expect(())  # or the next run clears again what was cleared
            times = (requests.deadline(), discovery.deadline(), self._renew_at)
            await self._rest(min(deadline, *(time for time in times if time is not None)))

    def _next(self, now: float, at: datetime) -> Publication | None:
        """What is to be published next. Home Assistant gets a device after its values, and loses it before them."""
        told = self._requests.answer() or self._discovery.farewell()
        told = told or self._standing.take(now, at) or self._discovery.take(now)
        if told is None and self._log_topic is not None and (line := self._log_topic.take()) is not None:
            return self._topics.log(line)
        return told

    async def _send(self, publication: Publication, connection: Connection) -> None:
        """Publish; what is retained is noted first, so that it can be cleared whatever happens to us."""
        if publication.retain and publication.payload:
            await self._expect([publication.topic])
        elif publication.retain and publication.topic not in self._retained.topics:
            return  # there is nothing to clear
        if why := await connection.publish(publication):
            self._hear_refusal(publication.topic, why)
        elif publication.retain and not publication.payload:
            self._retained.cleared(publication.topic)

    async def _expect(self, topics: Iterable[str]) -> None:
        if self._retained.expect(topics):
            await asyncio.to_thread(self._retained.write)

    async def _tidy(self, now: float, connection: Connection) -> None:
        """See to what was retained for an earlier run; devices go before their values, as in _next."""
        told = {self._topics.path(key) for key in self._standing.retained()}.union(self._discovery.retained())
        left = sorted(self._retained.topics - told)
        for topic in sorted(left, key=self._discovery.owns, reverse=True):
            owner = self._discovery if self._discovery.owns(topic) else self._standing
            if (publication := owner.leftover(topic, now)) is not None:
                await self._send(publication, connection)

    async def _rest(self, until: float) -> None:
        """Until something changes, or until then. A later time than the last leaves the alarm: this is cheaper."""
        if until < self._alarm_at:
            self._alarm_at = until
            asyncio.get_running_loop().call_later(until - self._clock(), self._ring, until)
        await self._changed.wait()

    def _ring(self, at: float) -> None:
        if at == self._alarm_at:  # otherwise an earlier one was set after this
            self._alarm_at = math.inf
            self._standing.lag_s = max(0.0, self._clock() - at)
            self._changed.set()
