"""What hemsd says over MQTT: the topics, how each is delivered, and the JSON in it.

A topic is ``<base>/v1/<site>/...``; within the major version fields are only ever added. A value that is not there is
null, never 0. An interval record stands alone: registers at its end, no difference to the record before, which a
consumer may not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from hemsd.hub.messages import Event, Link, MeterInterval, MeterReading, Record

MAJOR = "v1"
INTERVAL = timedelta(minutes=30)  # of a meter's load profile (ECHONET Lite class 0x0288, EPC EA and EB)
JST = timezone(timedelta(hours=9))


class Delivery(NamedTuple):
    """How a topic is published."""

    qos: Literal[0, 1]
    retain: bool


DELIVERY: Mapping[str, Delivery] = {
    "availability": Delivery(qos=1, retain=True),
    "meter/+/availability": Delivery(qos=1, retain=True),
    "meter/+/live": Delivery(qos=0, retain=True),
    "meter/+/interval": Delivery(qos=1, retain=False),
    "bridge/event": Delivery(qos=1, retain=False),
}


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Live(Struct, frozen=True, kw_only=True):
    """Payload of ``meter/<m>/live``: the latest of each value; energy is asked less often and has its own time."""

    schema: Literal["hemsd.meter.live/1"] = "hemsd.meter.live/1"
    ts: str
    age_s: float  # of the values, when this was published
    power_w: int | None  # negative = export
    current_r_a: float | None
    current_t_a: float | None
    energy_import_kwh: float | None  # register readings
    energy_export_kwh: float | None
    energy_ts: str | None
    states: Mapping[str, str]  # why a value is null
    lqi: int | None
    rssi_dbm: float | None
    channel: int | None


class Interval(Struct, frozen=True, kw_only=True):
    """Payload of ``meter/<m>/interval``: one half hour; (site, meter, start) is its key, and it may come twice."""

    schema: Literal["hemsd.meter.interval/1"] = "hemsd.meter.interval/1"
    site: str
    meter: str
    start: str
    end: str
    energy_import_kwh: float | None  # register readings at `end`
    energy_export_kwh: float | None
    states: Mapping[str, str]  # why a value is null
    source: Literal["notified", "read", "backfill"]
    seq: int  # of one key the higher one is the newer
    replay: bool  # it is late, or may have come before


class Happening(Struct, frozen=True, kw_only=True):
    """Payload of ``bridge/event``: something that a person may want to know; `id` is its key."""

    schema: Literal["hemsd.event/1"] = "hemsd.event/1"
    id: int
    ts: str
    type: str  # dotted, stable: meter.online, meter.lost, ...
    severity: Literal["info", "warning", "error"]
    source: str  # the domain that tells it
    text: str
    replay: bool


class Topics:
    """Everything that one site publishes. Raises ValueError for an id that is not of a-z, 0-9 and hyphen."""

    def __init__(self, base: str, site: str) -> None:
        self._root = f"{base}/{MAJOR}/{_checked(site)}"
        self._site = site

    def availability(self, online: bool) -> Publication:
        """Whether hemsd itself is there; the offline one is also its last will."""
        return self._publication("availability", None, _presence(online))

    def meter_availability(self, meter: str, online: bool) -> Publication:
        """Whether what is told of this meter is current."""
        return self._publication("meter/+/availability", meter, _presence(online))

    def live(self, reading: MeterReading, energy_at: datetime | None, link: Link, age_s: float) -> Publication:
        """The latest values of a meter; `energy_at` is when its registers were read."""
        live = Live(
            ts=timestamp(reading.measured_at),
            age_s=round(age_s, 1),
            power_w=reading.power_w,
            current_r_a=reading.current_r_a,
            current_t_a=reading.current_t_a,
            energy_import_kwh=reading.energy_import_kwh,
            energy_export_kwh=reading.energy_export_kwh,
            energy_ts=timestamp(energy_at) if energy_at else None,
            states=reading.states,
            lqi=link.lqi,
            rssi_dbm=link.rssi_dbm,
            channel=link.channel,
        )
        return self._publication("meter/+/live", reading.meter, msgspec.json.encode(live))

    def record(self, record: Record, replay: bool) -> Publication:
        """A half-hour or an event out of history; `replay`: late, or perhaps not for the first time."""
        match record.content:
            case MeterInterval() as interval:
                return self._interval(interval, record.seq, replay)
            case Event() as event:
                happening = Happening(
                    id=record.seq,
                    ts=timestamp(event.at),
                    type=event.kind,
                    severity=event.severity,
                    source=event.source.value,
                    text=event.text,
                    replay=replay,
                )
                return self._publication("bridge/event", None, msgspec.json.encode(happening))

    def _interval(self, told: MeterInterval, seq: int, replay: bool) -> Publication:
        interval = Interval(
            site=self._site,
            meter=told.meter,
            start=timestamp(told.end - INTERVAL),
            end=timestamp(told.end),
            energy_import_kwh=told.energy_import_kwh,
            energy_export_kwh=told.energy_export_kwh,
            states=told.states,
            source=told.source,
            seq=seq,
            replay=replay,
        )
        return self._publication("meter/+/interval", told.meter, msgspec.json.encode(interval))

    def _publication(self, kind: str, meter: str | None, payload: bytes) -> Publication:
        path = kind if meter is None else kind.replace("+", _checked(meter))
        return Publication(f"{self._root}/{path}", payload, *DELIVERY[kind])


def timestamp(at: datetime) -> str:
    """RFC 3339 to the second in Japan's time, +09:00. `at` is aware."""
    return at.astimezone(JST).isoformat(timespec="seconds")


def _presence(online: bool) -> bytes:
    return b"online" if online else b"offline"


def _checked(name: str) -> str:
    if not re.fullmatch("[a-z0-9-]{1,64}", name):
        raise ValueError(f"{name!r} cannot be part of a topic: only a-z, 0-9 and hyphen, at most 64")
    return name
