"""How everything stands that is retained at the broker: the newest of each, and what has changed since it was told.

Pure. Nothing queues: what changed twice before it could be told is told once, as it is then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from hemsd import __version__
from hemsd.gateway import payloads
from hemsd.gateway.alerts import Alerts, of_health, of_isolation, of_meter
from hemsd.gateway.energy import HouseEnergy
from hemsd.gateway.exposure import LOG, OPERATIONS, REQUESTS, TOPICS, exposes
from hemsd.gateway.meters import Meter
from hemsd.gateway.payloads import LogLevel, timestamp
from hemsd.gateway.signature import Signer
from hemsd.gateway.topics import Key, Publication, Topics, presence
from hemsd.gateway.totals import Totals
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Domain,
    Health,
    HistoryAnswer,
    HistoryQuery,
    IsolationStatus,
    LifetimeEnergy,
    Message,
    MeterInterval,
    MeterReading,
    MeterStatus,
    SiteAggregate,
)
from hemsd.hub.routes import Exposure

REPEAT_S = 60.0  # availability: the will of an earlier connection may arrive after the birth of this one; and health
UNTOLD_S = 600.0  # an appliance of which nothing is told for so long after a start is no more
APPLIANCES_MAX = 1024  # as many as may wait for a seat of the hub

ONLINE, INFO, HEALTH = (("availability", ""), ("bridge/info", ""), ("bridge/health", ""))
SITE, ENERGY = ("site/live", ""), ("site/energy", "")


class Home(Struct, frozen=True, kw_only=True):
    """What the bridge has to know of the house, and what of it is told."""

    site: str
    exposure: Exposure = "aggregates"
    profile: str = ""
    declared: tuple[str, ...] = ()  # requirements of the profile that it is declared not to meet
    config_hash: str | None = None
    live_s: float = 30.0  # from one reading of the meter to the next, at most
    signer: Signer | None = None  # of half-hours
    log: LogLevel | None = None  # from which level on lines of the log are told
    discovery: str = ""  # first level of the topics of Home Assistant's discovery; empty: it is not told


@dataclass(slots=True)
class _Appliance:
    status: ApplianceStatus | None = None
    state: ApplianceState | None = None


class Standing:
    """Hears messages, gives publications. Times are in seconds on one monotonic clock; `at` is the time of day."""

    def __init__(self, topics: Topics, home: Home, now: float) -> None:
        self.counters: Counter[str] = Counter()  # of the bridge, told with its health
        self.lag_s = 0.0  # how late the bridge was at its last appointment
        self._topics = topics
        self._home = home
        self._began = now
        self._behind: int | None = None
        self._behind_since = now
        self._repeat_at = now + REPEAT_S
        self._meters: dict[str, Meter] = {}
        self._appliances: dict[str, _Appliance] = {}
        self._alerts = Alerts()
        self._healths: dict[str, Health] = {}
        self._isolation: dict[str, dict[Domain, IsolationStatus]] = {}  # by interface, which two may share
        self._site: SiteAggregate | None = None
        self._totals = Totals()
        self._energy = HouseEnergy()
        self._there: dict[str, bool] = {}  # meters: whether they were said to be current
        self._changed: dict[Key, None] = {}

    # --- what comes in

    def hear(self, message: Message, now: float, at: datetime) -> None:
        """Take what has news of how things stand; others are passed over."""
        match message:
            case MeterReading():
                self._meter(message.meter, now).read(message, now)
                self._change("meter/+/live", message.meter)
                self._count(message, at)
            case LifetimeEnergy():
                self._count(message, at)
            case MeterStatus():
                if message.meter is not None:
                    self._meter(message.meter, now).stand(message, now)
                self._notice(self._alerts.hear(of_meter(message)))
            case SiteAggregate():
                self._site = message
                self._changed[SITE] = None
            case MeterInterval():
                self._totals.more()
            case HistoryAnswer():
                if (period := self._totals.hear(message, now, at)) is not None:
                    self._change(f"site/{period}", "")
            case ApplianceStatus() | ApplianceState() if not exposes(self._home.exposure, "appliances"):
                pass  # there is no door for them
            case ApplianceStatus():
                self._hear_status(message)
            case ApplianceState():
                if (known := self._appliance(message.appliance)) is not None:
                    known.state = message
                    self._change("appliance/+/state", message.appliance)
            case Health():
                self._healths[message.name] = message
                self._notice(self._alerts.hear(of_health(message)))
            case IsolationStatus():
                breached = self._breached()
                of_interface = self._isolation.setdefault(message.interface, {})
                of_interface[message.source] = message
                self._notice(self._alerts.hear(of_isolation(message.interface, of_interface.values())))
                if breached != self._breached():
                    self._changed[INFO] = None
            case _:
                pass  # it does not stand

    def tick(self, now: float) -> None:
        """Let time pass: what is no longer current, and what is told every minute."""
        for name, meter in self._meters.items():
            if self._there.get(name) != meter.current(now):
                self._change("meter/+/availability", name)
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S
            self._changed |= dict.fromkeys(key for key in self.retained() if key[0].endswith("availability"))
            self._changed[HEALTH] = None

    def questions(self, now: float, at: datetime) -> list[HistoryQuery]:
        """What is to be asked of history, about once a minute."""
        return self._totals.questions(now, at)

    def behind(self, records: int | None, now: float) -> None:
        """How many records of history the broker has not acknowledged."""
        self._behind = records
        if records == 0:
            self._behind_since = now

    def deadline(self) -> float:
        """When tick() is wanted next."""
        return self._repeat_at

    def renew(self, now: float) -> None:
        """Everything is to be told, as to a broker that knows nothing."""
        self._repeat_at = now + REPEAT_S
        self._changed = dict.fromkeys(self.retained()) | self._changed  # what is to be cleared is told, too

    # --- what goes out

    def retained(self) -> Iterator[Key]:
        """Everything that is retained now, hemsd's own availability first."""
        yield from (ONLINE, INFO, HEALTH)
        if self._site is not None:
            yield SITE
        if self._energy.complete:
            yield ENERGY
        for topic in ("site/day", "site/month"):
            if self._totals.get(topic.removeprefix("site/")) is not None:
                yield topic, ""
        yield from (("alert/+", name) for name in self._alerts.names())
        for name, meter in self._meters.items():
            yield "meter/+/availability", name
            if meter.reading is not None:
                yield "meter/+/live", name
        for name, appliance in self._appliances.items():
            if appliance.status is not None:
                yield "appliance/+/availability", name
            if appliance.state is not None:
                yield "appliance/+/state", name

    def leftover(self, path: str, now: float) -> Publication | None:
        """What to say in a topic that was retained for an earlier run, and of which nothing was told so far.

        It is cleared when what it is about is surely gone. Until then it is not available, and keeps its last values.
        """
        key = self._topics.key(path)
        if key is None or not exposes(self._home.exposure, TOPICS[key[0]].level):
            return Publication(path, b"", 1, True)  # of another site id, or exposed no longer
        match key[0].split("/")[0]:
            case "meter":
                gone = bool(self._meters) and key[1] not in self._meters  # another one
            case "appliance":
                gone = now - self._began >= UNTOLD_S
            case "site":
                gone = False
            case _:
                gone = True
        if gone:
            return self._topics.publication(key, b"")
        return self._topics.publication(key, presence(False)) if key[0].endswith("/availability") else None

    def take(self, now: float, at: datetime) -> Publication | None:
        """The next thing to publish; empty where its topic is to be cleared; None where all is told."""
        if not self._changed:
            return None
        key = next(iter(self._changed))
        del self._changed[key]
        return self._render(key, now, at) or self._topics.publication(key, b"")

    def _render(self, key: Key, now: float, at: datetime) -> Publication | None:
        """How it stands now; None where there is nothing any more."""
        topics, (topic, which) = self._topics, key
        meter, appliance = self._meters.get(which), self._appliances.get(which)
        payload: bytes | Struct | None = None
        match topic:
            case "meter/+/live" if meter and meter.reading:
                return topics.live(meter.reading, meter.energy_at, meter.link, now - meter.read_at)
            case "availability":
                payload = presence(True)
            case "bridge/info":
                payload = self._info()
            case "bridge/health":
                payload = self._health(now, at)
            case "alert/+":
                payload = self._alerts.get(which)
            case "site/live":
                return topics.site(self._site) if self._site else None
            case "site/day" | "site/month":
                payload = self._totals.get(topic.removeprefix("site/"))
            case "site/energy" if self._energy.complete:
                return topics.energy(self._energy, at)
            case "meter/+/availability" if meter:
                self._there[which] = meter.current(now)
                payload = presence(self._there[which])
            case "appliance/+/availability" if appliance and appliance.status:
                payload = presence(appliance.status.online)
            case "appliance/+/state" if appliance and appliance.state:
                return topics.appliance(appliance.state, appliance.status)
        return None if payload is None else topics.publication(key, payload)

    # --- inside

    def _meter(self, name: str, now: float) -> Meter:
        """There is one meter; another one takes its place."""
        if name not in self._meters:
            for key in [key for key in self.retained() if key[0].startswith("meter/")]:
                self._changed[key] = None
            self._meters, self._there = {name: Meter(now)}, {}
            self._change("meter/+/availability", name)
        return self._meters[name]

    def _appliance(self, name: str) -> _Appliance | None:
        if name not in self._appliances and len(self._appliances) >= APPLIANCES_MAX:
            self.counters["too_many_appliances"] += 1
            return None
        return self._appliances.setdefault(name, _Appliance())

    def _hear_status(self, status: ApplianceStatus) -> None:
        name = status.appliance
        if status.forgotten:
            before = self._appliances.pop(name, None)
        elif (known := self._appliance(name)) is None:
            return
        else:
            before = _Appliance(known.status, known.state)
            known.status = status
        was = before.status if before else None
        if was is None or status.forgotten or was.online != status.online:
            self._change("appliance/+/availability", name)
        if before and before.state and (was is None or status.forgotten or _called(was) != _called(status)):
            self._change("appliance/+/state", name)

    def _count(self, message: MeterReading | LifetimeEnergy, at: datetime) -> None:
        if self._energy.hear(message, at) and self._energy.complete:
            self._changed[ENERGY] = None

    def _breached(self) -> tuple[str, ...]:
        """The requirements that the network breaks just now."""
        statuses = [each for of_interface in self._isolation.values() for each in of_interface.values()]
        return tuple(sorted({breach.requirement for each in statuses for breach in each.breaches}))

    def _notice(self, alert: str | None) -> None:
        if alert is not None:
            self._change("alert/+", alert)

    def _change(self, topic: str, which: str) -> None:
        self._changed[topic, which] = None

    def _info(self) -> payloads.Info:
        level, log = self._home.exposure, self._home.log
        requests = tuple(topic for topic, needed in REQUESTS.items() if exposes(level, needed))
        return payloads.Info(
            site=self._home.site,
            version=__version__,
            profile=self._home.profile,
            declared=self._home.declared,
            breached=self._breached(),
            exposure=level,
            topics=tuple(
                topic
                for topic, delivery in TOPICS.items()
                if exposes(level, delivery.level) and (topic != LOG or log is not None)
            ),
            requests=requests,
            operations=OPERATIONS if requests else (),
            schemas=tuple(map(payloads.schema_id, payloads.PUBLISHED)),
            signing_key=self._home.signer.public if self._home.signer else None,
            signing_key_id=self._home.signer.key_id if self._home.signer else None,
            config_hash=self._home.config_hash,
        )

    def _health(self, now: float, at: datetime) -> payloads.Health:
        statuses = {name: meter.status for name, meter in self._meters.items() if meter.status is not None}
        return payloads.Health(
            ts=timestamp(at),
            ok=all(health.ok for health in self._healths.values()),
            uptime_s=round(now - self._began),
            lag_s=round(self.lag_s, 3),
            backlog=payloads.Backlog(records=self._behind, for_s=round(now - self._behind_since)),
            meters={name: meter_health(status) for name, status in statuses.items()},
            domains={name: _domain_health(health) for name, health in self._healths.items()},
            counters=self.counters,
        )


def _called(status: ApplianceStatus) -> tuple[str, str, str]:
    return status.name, status.room, status.kind


def meter_health(status: MeterStatus) -> payloads.MeterHealth:
    """How it stands with a meter, for ``bridge/health``."""
    return payloads.MeterHealth(
        stage=status.stage,
        online=status.online,
        detail=status.detail,
        fresh=status.fresh,
        read_ts=timestamp(status.read_at) if status.read_at else None,
        heard_ts=timestamp(status.last_heard_at) if status.last_heard_at else None,
    )


def _domain_health(health: Health) -> payloads.DomainHealth:
    return payloads.DomainHealth(
        ok=health.ok, detail=health.detail, ts=timestamp(health.at), counters=health.counters
    )
