"""The provider link ("Route C" of G.9958, I.1): gives the half-hours of this home to an aggregator's broker.

It is one of very many homes there, so it does nothing at the same time as the others: what is new is sent at a moment
of the half-hour that is this site's own, connections are made at moments left to chance, and what was missed is made
up for slowly. It takes no requests: it subscribes to nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from msgspec import Struct

from hemsd import __version__
from hemsd.gateway import payloads
from hemsd.gateway.config import ProviderConfig, advice
from hemsd.gateway.connection import Connection, Version, connect
from hemsd.gateway.cursor import CursorFile
from hemsd.gateway.exposure import provider_topics
from hemsd.gateway.forward import Forwarder
from hemsd.gateway.payloads import timestamp
from hemsd.gateway.reconnecting import Backoff, stay_connected, together
from hemsd.gateway.renewal import Files
from hemsd.gateway.standing import Home, meter_health
from hemsd.gateway.topics import INTERVAL, Publication, Topics
from hemsd.hub.hub import Place
from hemsd.hub.messages import Domain, Event, Health, HistoryHead, Message, MeterStatus, Records

SPREAD_S = 300.0  # homes that could all do something at once do it within this time
BACKOFF = Backoff(first_s=SPREAD_S, cap_s=1800.0, jitter=1.0)
TELL_EVERY_S = 60.0  # the house
HEALTH_EVERY_S = 1800.0  # the provider; a million homes are 560 messages a second
PART = "provider"
SCHEMAS: tuple[type[Struct], ...] = (payloads.Info, payloads.Health, payloads.Interval)

_log = logging.getLogger("hemsd.gateway")


def turn_s(site: str) -> float:
    """How long after the end of a half-hour this site's turn is, 0 to SPREAD_S: the same one always."""
    return int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "big") % round(SPREAD_S * 1000) / 1000


def wait_s(site: str, at: datetime) -> float:
    """How long that which is learnt now waits for this site's turn; 0 after it."""
    return max(0.0, turn_s(site) - at.timestamp() % INTERVAL.total_seconds())


class ProviderLink:
    """A seat of the gateway in the hub on one side, a provider's broker on the other.

    `state`, `clock`, `wall` and `chance` as those of hemsd.gateway.bridge.Bridge. Raises ValueError for a site id
    that cannot be part of a topic.
    """

    def __init__(
        self,
        seat: Place,
        config: ProviderConfig,
        home: Home,
        state: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._seat = seat
        self._config = config
        self._home = home
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._client_id = config.client_id or f"hemsd-{home.site}"
        self._topics = topics = Topics(config.base_topic, home.site, home.signer)
        self._healths: dict[str, bool] = {}
        self._meters: dict[str, MeterStatus] = {}
        self._began = clock()
        self._caught_up_at = clock()
        self._head: HistoryHead | None = None
        self._turn: asyncio.TimerHandle | None = None  # when the head may be known
        self._refusals: set[str] = set()  # told of
        self._forwarder = Forwarder(
            seat.publish,
            CursorFile(state, config, self._client_id),
            lambda record, replay: topics.half_hour(record, replay=replay),
            replay_days=config.replay_days,
            replay_per_s=config.replay_per_minute / 60,
            half_hours_only=True,
            refused=self._hear_refusal,
            anew=lambda text: self._tell("gateway.replay", text),
        )

    async def run(self) -> None:
        """Publish until cancelled. Trouble with the broker is logged, and told as the health of PART."""
        await together(self._listen(), self._forwarder.keep(), self._stay_connected())

    # --- the house

    async def _listen(self) -> None:
        try:
            async for message in self._seat.messages():
                self._note(message)
        finally:
            if self._turn is not None:
                self._turn.cancel()

    def _note(self, message: Message) -> None:
        match message:
            case HistoryHead():
                self._head = message
                if self._turn is None:
                    waited_s = wait_s(self._home.site, self._wall())
                    self._turn = asyncio.get_running_loop().call_later(waited_s, self._take_turn)
            case Records():
                self._forwarder.note(message)
            case MeterStatus(meter=str(name)):
                self._meters = {name: message}
            case Health():
                self._healths[message.name] = message.ok
            case _:
                pass  # not for a provider

    def _take_turn(self) -> None:
        self._turn = None
        if self._head is not None:
            self._forwarder.note(self._head)

    def _hear_refusal(self, topic: str, why: str) -> None:
        if why not in self._refusals:
            self._refusals.add(why)
            self._tell("gateway.refused", f"the provider's broker {self._config.host} refused {topic}: {why}")

    def _tell(self, kind: str, text: str) -> None:
        event = Event(at=self._wall(), source=Domain.GATEWAY, kind=kind, severity="warning", text=text)
        self._seat.publish(event)

    def _tell_health(self, trouble: str = "") -> None:
        behind = self._forwarder.behind
        health = Health(
            at=self._wall(),
            source=Domain.GATEWAY,
            part=PART,
            ok=not trouble,
            detail="; ".join(text for text in (trouble, *advice(self._config)) if text),
            counters={} if behind is None else {"behind": behind},
        )
        self._seat.publish(health)

    # --- the broker

    async def _stay_connected(self) -> None:
        """From a moment on that is left to chance: after a power cut all homes of a region start at once."""
        await asyncio.sleep(self._chance() * SPREAD_S)
        times = {"clock": self._clock, "chance": self._chance}
        await stay_connected(self._config, self._session, self._tell_health, BACKOFF, **times)

    async def _session(self, version: Version) -> None:
        """One connection until its end, which raises BrokerError; or until its files are renewed."""
        will = self._topics.availability(False) if self._config.health else None
        files = Files(self._config)
        async with connect(self._config, version, self._client_id, will) as connection:
            _log.info("connected to the provider's broker %s (MQTT %s)", self._config.host, version)
            work = (self._publish(connection), self._forwarder.run(connection), connection.listen(lambda _: None))
            await together(*work, files.renewed())

    async def _publish(self, connection: Connection) -> None:
        """Who we are, and now and then how we are; and how it stands with the link, to the house."""
        await self._send(self._topics.publication(("bridge/info", ""), self._info()), connection)
        health_at = self._clock() if self._config.health else inf
        while True:
            self._tell_health()
            if self._clock() >= health_at:
                health_at = self._clock() + HEALTH_EVERY_S
                await self._send(self._topics.availability(True), connection)
                await self._send(self._topics.publication(("bridge/health", ""), self._health()), connection)
            await asyncio.sleep(TELL_EVERY_S)

    async def _send(self, publication: Publication, connection: Connection) -> None:
        if why := await connection.publish(publication):
            self._hear_refusal(publication.topic, why)

    def _info(self) -> payloads.Info:
        signer = self._home.signer
        return payloads.Info(
            site=self._home.site,
            version=__version__,
            profile=self._home.profile,
            declared=self._home.declared,
            breached=None,
            exposure="aggregates",
            topics=provider_topics(health=self._config.health),
            requests=(),
            operations=(),
            schemas=tuple(payloads.schema_id(kind) for kind in SCHEMAS),
            signing_key=signer.public if signer else None,
            signing_key_id=signer.key_id if signer else None,
            config_hash=None,
        )

    def _health(self) -> payloads.Health:
        """How hemsd and the meter are doing; of its parts no word, they speak of the house."""
        now = self._clock()
        if (behind := self._forwarder.behind) == 0:
            self._caught_up_at = now
        return payloads.Health(
            ts=timestamp(self._wall()),
            ok=all(self._healths.values()),
            uptime_s=round(now - self._began),
            lag_s=0.0,
            backlog=payloads.Backlog(records=behind, for_s=round(now - self._caught_up_at)),
            meters={name: meter_health(status) for name, status in self._meters.items()},
            domains={},
            counters={},
        )
