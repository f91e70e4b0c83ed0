"""Home Assistant: what hemsd, the meter and the appliances are to it, by device-based MQTT discovery. Pure.

Theory. One retained JSON for each device, in ``<prefix>/device/hemsd-<site>/<device>/config``, says what the device
is and which entities it has; their values come from the topics that are there anyway. It is sent when it changes,
with each connection, and when Home Assistant says that it has started. An empty payload takes a device away; one
entity is taken away by a component with nothing but its platform, sent once. A component that is merely missing
stays: so what is not known yet after a start takes nothing away.

An entity is there from the first time that its value is known. Changes wait for SETTLE_S, because Home Assistant
(2025) loses what comes while it still works at the same device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hemsd import __version__
from hemsd.gateway.composites import Told, composite, platform_of
from hemsd.gateway.energy import REGISTERS
from hemsd.gateway.entities import (
    CONTROLS,
    DIAGNOSTIC,
    ENERGY,
    METER,
    SITE,
    WORDS,
    Entity,
    Meaning,
    available,
    key_of,
    meaning_of,
    named,
    reading,
    setting,
    showing,
)
from hemsd.gateway.exposure import exposes
from hemsd.gateway.standing import UNTOLD_S, Home
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    LifetimeEnergy,
    Link,
    Message,
    MeterIdentity,
    MeterReading,
    MeterStatus,
    SiteAggregate,
)

SETTLE_S = 10.0
BIRTH_S = 5.0  # spreads what follows on a start of Home Assistant, to which every device there answers
POLLS = 4  # that may fail before a live value counts as unknown
DEVICES_MAX = 1024
QOS = 1

SITE_DEVICE = "site"
WHOLE = "whole"  # what the one entity is called, in ids, that stands for most of an appliance


@dataclass(slots=True)
class _Device:
    """What is known of one; `told` are the components that Home Assistant may have, by platform."""

    words: set[str] = field(default_factory=set)  # of which a value was known,
    met: set[str] = field(default_factory=set)  # and which were told of an appliance
    identity: MeterIdentity | None = None
    status: ApplianceStatus | None = None
    told: dict[str, str] = field(default_factory=dict)


class Discovery:
    """Hears messages, gives publications. Times are in seconds on one monotonic clock."""

    def __init__(self, topics: Topics, home: Home, now: float) -> None:
        self.status_topic = f"{home.discovery}/status"
        self._topics = topics
        self._home = home
        self._began = now
        self._root = f"{home.discovery}/device/hemsd-{home.site}"
        self._devices = {SITE_DEVICE: _Device()} if home.discovery else {}
        self._due = dict.fromkeys(self._devices, now + SETTLE_S)  # when each is to be told, once enough is known
        self._gone: dict[str, None] = {}  # devices to be taken away
        self._meter: str | None = None

    # --- what comes in

    def hear(self, message: Message, now: float) -> None:
        """Take what says that something is there, and what it can do; the rest is passed over."""
        if not self._home.discovery:
            return
        match message:
            case MeterReading():
                self._meet(message.meter, now)
                self._learn_of(f"meter-{message.meter}", message, METER, now)
            case MeterStatus(meter=str(meter)):
                self._meet(meter, now)
                self._hear_meter(f"meter-{meter}", message, now)
            case SiteAggregate():
                self._learn_of(SITE_DEVICE, message, SITE, now)
            case LifetimeEnergy():
                known = {f"{name}_total_kwh" for name in REGISTERS if getattr(message, name) is not None}
                self._learn(SITE_DEVICE, known, now)
            case ApplianceStatus() | ApplianceState() if not exposes(self._home.exposure, "appliances"):
                pass  # there is no door for them
            case ApplianceStatus():
                self._hear_appliance(f"appliance-{message.appliance}", message, now)
            case ApplianceState():
                known = {word for word, value in message.values.items() if value is not None and word in WORDS}
                self._learn(f"appliance-{message.appliance}", known, now)
            case _:
                pass  # nothing that would change what there is

    def renew(self, now: float) -> None:
        """Everything that was told is to be told again, as to a broker that knows nothing."""
        for name in self._standing():
            if self._devices[name].told:
                self._due[name] = now

    # --- what goes out

    def retained(self) -> list[str]:
        """The topics of everything that was told."""
        return [self._path(name) for name, device in self._devices.items() if device.told]

    def owns(self, path: str) -> bool:
        """Whether a topic is one of these."""
        return bool(self._home.discovery) and path.startswith(f"{self._root}/")

    def leftover(self, path: str, now: float) -> Publication | None:
        """What to say in a topic that was retained for an earlier run, and of which nothing was told so far.

        It is cleared when what it is about is surely gone, as hemsd.gateway.standing does.
        """
        name = path.removeprefix(f"{self._root}/").removesuffix("/config")
        if name in self._devices:
            return None  # it will be told
        kind, _, _ = name.partition("-")
        gone = {
            "meter": self._meter is not None,  # another one
            "appliance": now - self._began >= UNTOLD_S or not exposes(self._home.exposure, "appliances"),
        }
        return Publication(path, b"", QOS, True) if gone.get(kind, True) else None

    def farewell(self) -> Publication | None:
        """The next device to take away, before its topics are cleared; None where all are.

        A state topic that is cleared while there is an entity of it is an error in the log of Home Assistant.
        """
        if not self._gone:
            return None
        name = next(iter(self._gone))
        del self._gone[name]
        return Publication(self._path(name), b"", QOS, True)

    def take(self, now: float) -> Publication | None:
        """The next thing to publish; None where all is told."""
        if now < min(self._due.values(), default=math.inf):
            return None
        for name in self._standing():
            if now >= self._due.get(name, math.inf):
                del self._due[name]
                return self._publication(name, self._devices[name], now)
        return None

    def deadline(self) -> float | None:
        """When take() is wanted next."""
        return (
            min((self._due[name] for name in self._standing() if name in self._due), default=None)
            if self._due
            else None
        )

    # --- inside

    def _meet(self, meter: str, now: float) -> None:
        """There is one meter; another one takes its place."""
        if meter != self._meter:
            if self._meter is not None:
                self._drop(f"meter-{self._meter}")
            self._meter = meter
            self._change(SITE_DEVICE, now)  # it says whether the meter is there

    def _hear_meter(self, name: str, status: MeterStatus, now: float) -> None:
        self._learn_of(name, status.link, METER, now)
        device = self._devices[name]
        if status.identity is not None and status.identity != device.identity:
            device.identity = status.identity
            self._change(name, now)

    def _hear_appliance(self, name: str, status: ApplianceStatus, now: float) -> None:
        if status.forgotten:
            self._drop(name)
            return
        if (device := self._device(name)) is None:
            return
        before, device.status = device.status, status
        if before is None or _described(before) != _described(status):
            self._change(name, now)

    def _learn(self, name: str, words: set[str], now: float) -> None:
        """Values that are known for the first time are entities from now on; more of them may be about to come."""
        device = self._device(name)
        if device is not None and not words <= device.words:
            device.words |= words
            self._due[name] = now + SETTLE_S

    def _learn_of(
        self, name: str, message: MeterReading | Link | SiteAggregate, fields: Mapping[str, Meaning], now: float
    ) -> None:
        device = self._device(name)
        if device is not None and (unknown := fields.keys() - device.words):
            self._learn(name, {word for word in unknown if getattr(message, word, None) is not None}, now)

    def _device(self, name: str) -> _Device | None:
        if name not in self._devices and len(self._devices) >= DEVICES_MAX:
            return None
        self._gone.pop(name, None)
        return self._devices.setdefault(name, _Device())

    def _drop(self, name: str) -> None:
        if self._devices.pop(name, None) is not None:
            self._due.pop(name, None)
            self._gone[name] = None

    def _change(self, name: str, now: float) -> None:
        self._due.setdefault(name, now + SETTLE_S)

    def _standing(self) -> Iterator[str]:
        """Devices of which enough is known to tell; hemsd itself first, since the others are behind it."""
        for name, device in self._devices.items():
            if name == SITE_DEVICE or (device.words and (name.startswith("meter-") or _is_known(device.status))):
                yield name

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}/config"

    def _publication(self, name: str, device: _Device, now: float) -> Publication:
        """The device as it is now; once with what it was until now and is no more."""
        if device.status is not None:
            about, entities = self._appliance_device(device.status, device)
        elif name == SITE_DEVICE:
            about, entities = self._site_device(device)
        else:
            about, entities = self._meter_device(name.removeprefix("meter-"), device)
        gone = {key: {"platform": platform} for key, platform in device.told.items() if key not in entities}
        device.told = {key: str(entity["platform"]) for key, entity in entities.items()}
        if gone:
            self._change(name, now)
        origin = {"name": "hemsd", "sw_version": __version__}
        payload = about | {"origin": origin, "components": gone | entities, "qos": QOS}
        return Publication(self._path(name), msgspec.json.encode(payload), QOS, True)

    def _site_device(self, device: _Device) -> tuple[dict[str, Any], dict[str, Entity]]:
        site, health = self._home.site, self._topic("bridge/health")
        entities = {
            key_of("sensor", word): reading(meaning, self._topic("site/live"), word)
            for word, meaning in SITE.items()
            if word in device.words
        }
        entities |= {
            key_of("sensor", word): reading(meaning, self._topic("site/energy"), word)
            for word, meaning in ENERGY.items()
            if word in device.words
        }
        trouble = Meaning("Trouble", "binary_sensor", {"device_class": "problem", **_OFF_IS_GOOD, **DIAGNOSTIC})
        entities[key_of("binary_sensor", "trouble")] = reading(trouble, health, "ok")
        backlog = Meaning("Records to be sent", about={"state_class": "measurement", **DIAGNOSTIC})
        entities[key_of("sensor", "backlog")] = reading(backlog, health, "backlog.records")
        if self._meter is not None:
            entities[key_of("binary_sensor", "meter")] = {
                "platform": "binary_sensor",
                "name": "Smart meter",
                "device_class": "connectivity",
                "state_topic": self._topic("meter/+/availability", self._meter),
                "payload_on": "online",
                "payload_off": "offline",
                **DIAGNOSTIC,
            }
        about = {
            "identifiers": [f"hemsd_site_{site}"],
            "name": "hemsd",
            "manufacturer": "hemsd",
            "model": "Home energy management controller",
            "sw_version": __version__,
        }
        shared = available([self._topic("availability")])
        return {"device": about, **shared}, named(entities, f"site_{site}", "hemsd")

    def _meter_device(self, meter: str, device: _Device) -> tuple[dict[str, Any], dict[str, Entity]]:
        topic, expires_s = self._topic("meter/+/live", meter), round(POLLS * self._home.live_s)
        entities = {
            key_of("sensor", word): reading(meaning, topic, word, expires_s=expires_s)
            for word, meaning in METER.items()
            if word in device.words
        }
        said = device.identity or MeterIdentity(meter=meter)
        generation = f", generation {said.generation}" if said.generation else ""
        about = {
            "identifiers": [f"hemsd_meter_{meter}"],
            "name": "Smart meter",
            "model": f"Smart meter for low voltage{generation}",
            "via_device": f"hemsd_site_{self._home.site}",
            **_made(said.maker or "", said.serial or ""),
        }
        shared = available([self._topic("availability"), self._topic("meter/+/availability", meter)])
        return {"device": about, **shared}, named(entities, f"meter_{meter}", "smart_meter")

    def _appliance_device(self, status: ApplianceStatus, device: _Device) -> tuple[dict[str, Any], dict[str, Entity]]:
        name, kind = status.appliance, status.kind
        topic, order = self._topic("appliance/+/state", name), f"{self._topics.root}/appliance/{name}/set"
        wishes = status.wishes if exposes(self._home.exposure, "control") else {}
        entities: dict[str, Entity] = {}
        covered: frozenset[str] = frozenset()
        if (whole := composite(kind, Told(frozenset(device.words), wishes, topic, order))) is not None:
            entities[key_of(whole.entity["platform"], WHOLE)], covered = whole
        for word in WORDS:
            if word not in device.words:
                continue
            if word not in device.met:
                device.met.add(word)
                device.told |= _possible(word, kind)
            if word not in covered:
                entity = setting(word, kind, wishes[word], topic, order) if word in wishes else None
                entity = entity or showing(word, kind, topic)
                entities[key_of(entity["platform"], word)] = entity
        about = {
            "identifiers": [f"hemsd_appliance_{name}"],
            "name": status.name,
            "model": " ".join(filter(None, (status.product, f"({kind})"))),
            "via_device": f"hemsd_site_{self._home.site}",
            **({"suggested_area": status.room} if status.room else {}),
            **_made(status.maker, status.serial),
        }
        shared = available([self._topic("availability"), self._topic("appliance/+/availability", name)])
        return {"device": about, **shared}, named(entities, f"appliance_{name}", f"hemsd_{name}")

    def _topic(self, topic: str, which: str = "") -> str:
        return self._topics.path((topic, which))


_OFF_IS_GOOD = {"payload_on": "False", "payload_off": "True"}


def _is_known(status: ApplianceStatus | None) -> bool:
    return status is not None and status.known


def _described(status: ApplianceStatus) -> tuple[object, ...]:
    """All that its device is made of."""
    named = status.name, status.room, status.kind, status.maker, status.product, status.serial
    return *named, status.known, status.wishes


def _possible(word: str, kind: str) -> dict[str, str]:
    """The components that an earlier run, at another exposure or of another version, may have told for a word."""
    platforms = {meaning_of(word, kind).platform, CONTROLS.get(word, "")} - {""}
    whole = {key_of(platform, WHOLE): platform for platform in (platform_of(kind),) if platform}
    return {key_of(platform, word): platform for platform in sorted(platforms)} | whole


def _made(maker: str, serial: str) -> dict[str, str]:
    """Who made it, by the code that the ECHONET Consortium gives out, and its number."""
    said = {"manufacturer": f"ECHONET {maker}" if maker else "", "serial_number": re.sub(r"\s+", " ", serial).strip()}
    return {key: text for key, text in said.items() if text}
