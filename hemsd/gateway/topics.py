"""Messages of the house as publications: under which topic, how delivered, with which JSON. Pure.

A topic is ``<base>/v1/<site>/...``; within the major version fields are only ever added. An interval record stands
alone: registers at its end, no difference to the record before, which a consumer may not have.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from hemsd.gateway import payloads
from hemsd.gateway.energy import HouseEnergy
from hemsd.gateway.exposure import LOG, TOPICS, event_level, exposes
from hemsd.gateway.payloads import timestamp
from hemsd.gateway.signature import Signer
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Event,
    Link,
    MeterInterval,
    MeterReading,
    PropertyValue,
    Record,
    SiteAggregate,
)
from hemsd.hub.routes import Exposure

MAJOR = "v1"
CHECKED_MAX = 1024  # ids remembered to be in order
INTERVAL = timedelta(minutes=30)  # of a meter's load profile (ECHONET Lite class 0x0288, EPC EA and EB)

Key = tuple[str, str]
"""A topic of exposure.TOPICS, and what stands for its + (empty where there is none)."""


class Publication(Struct, frozen=True):
    """One message for the broker; an empty payload clears what is retained. `correlation`: of MQTT 5 (4.10.2)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes | None = None


class Topics:
    """Everything that one site publishes; half-hours are signed where there is a `signer`.

    Raises ValueError for an id that is not of a-z, 0-9 and hyphen.
    """

    def __init__(self, base: str, site: str, signer: Signer | None = None) -> None:
        self.root = f"{base}/{MAJOR}/{_checked(site)}"
        self._site = site
        self._signer = signer

    def path(self, key: Key) -> str:
        """The whole topic."""
        topic, which = key
        return f"{self.root}/{topic.replace('+', _checked(which)) if '+' in topic else topic}"

    def key(self, path: str) -> Key | None:
        """What path() makes of it; None for a topic that is not, or no longer, ours."""
        below = path.removeprefix(f"{self.root}/")
        if below == path:
            return None
        for topic in TOPICS:
            which = re.fullmatch(re.escape(topic).replace(r"\+", "([a-z0-9-]{1,64})"), below)
            if which is not None:
                return topic, "".join(which.groups())
        return None

    def publication(self, key: Key, payload: bytes | Struct) -> Publication:
        """A payload as its topic is delivered."""
        delivery = TOPICS[key[0]]
        content = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return Publication(self.path(key), content, delivery.qos, delivery.retain)

    def availability(self, online: bool) -> Publication:
        """Whether hemsd itself is there; the offline one is also its last will."""
        return self.publication(("availability", ""), presence(online))

    def live(self, reading: MeterReading, energy_at: datetime | None, link: Link, age_s: float) -> Publication:
        """The latest values of a meter; `energy_at` is when its registers were read."""
        live = payloads.Live(
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
        return self.publication(("meter/+/live", reading.meter), live)

    def record(self, record: Record, level: Exposure, *, replay: bool) -> Publication | None:
        """A half-hour or an event out of history; None where it is not for this level.

        `replay`: late, or perhaps not for the first time.
        """
        if isinstance(event := record.content, Event):
            return self._event(event, record.seq, replay) if exposes(level, event_level(event.kind)) else None
        return self.half_hour(record, replay=replay)

    def half_hour(self, record: Record, *, replay: bool) -> Publication | None:
        """The same of half-hours alone."""
        content = record.content
        return self._interval(content, record.seq, replay) if isinstance(content, MeterInterval) else None

    def site(self, aggregate: SiteAggregate) -> Publication:
        """The sum of the house."""
        sums = payloads.Site(
            ts=timestamp(aggregate.at),
            grid_w=aggregate.grid_w,
            pv_w=aggregate.pv_w,
            battery_w=aggregate.battery_w,
            ev_w=aggregate.ev_w,
            known_loads_w=aggregate.known_loads_w,
            rest_w=aggregate.rest_w,
        )
        return self.publication(("site/live", ""), sums)

    def energy(self, energy: HouseEnergy, at: datetime) -> Publication:
        """What the house ever took and gave."""
        totals = payloads.SiteEnergy(
            ts=timestamp(energy.at or at),
            imported_total_kwh=energy.totals.get("imported"),
            exported_total_kwh=energy.totals.get("exported"),
        )
        return self.publication(("site/energy", ""), totals)

    def appliance(self, state: ApplianceState, status: ApplianceStatus | None) -> Publication:
        """All that one appliance told; `status` says what people call it."""
        told = payloads.Appliance(
            ts=timestamp(state.at),
            appliance=state.appliance,
            name=status.name if status else state.appliance,
            room=status.room if status else "",
            kind=status.kind if status else "",
            values=state.values,
            requested=state.requested,
            interval_s=state.interval_s,
            properties={name: _property(each) for name, each in state.properties.items()},
        )
        return self.publication(("appliance/+/state", state.appliance), told)

    def log(self, line: payloads.Log) -> Publication:
        """A line of the log."""
        return self.publication((LOG, line.level), line)

    def response(self, response: payloads.Response) -> Publication:
        """The answer to a request."""
        return self.publication(("response/+", response.op), response)

    def _interval(self, told: MeterInterval, seq: int, replay: bool) -> Publication:
        interval = payloads.Interval(
            site=self._site,
            meter=told.meter,
            start=timestamp(told.end - INTERVAL),
            end=timestamp(told.end),
            energy_import_kwh=told.energy_import_kwh,
            energy_export_kwh=told.energy_export_kwh,
            wraps_at_kwh=_wraps_at_kwh(told),
            states=told.states,
            source=told.source,
            seq=seq,
            replay=replay,
            key_id=None,
            signature=None,
        )
        if (signer := self._signer) is not None:
            interval = replace(interval, key_id=signer.key_id, signature=signer.sign(asdict(interval)))
        return self.publication(("meter/+/interval", told.meter), interval)

    def _event(self, told: Event, seq: int, replay: bool) -> Publication:
        event = payloads.Event(
            site=self._site,
            id=seq,
            ts=timestamp(told.at),
            type=told.kind,
            severity=told.severity,
            source=told.source.value,
            text=told.text,
            replay=replay,
        )
        return self.publication(("bridge/event", ""), event)


def presence(online: bool) -> bytes:
    """The payload of every topic called availability."""
    return b"online" if online else b"offline"


def _wraps_at_kwh(told: MeterInterval) -> float | None:
    if told.count_kwh is None or told.digits is None:
        return None
    return float(told.count_kwh * 10**told.digits)


def _property(told: PropertyValue) -> payloads.Property:
    return payloads.Property(
        value=told.value, unit=told.unit, state=told.state, ts=timestamp(told.at), source=told.source
    )


@lru_cache(CHECKED_MAX)
def _checked(name: str) -> str:
    if not re.fullmatch("[a-z0-9-]{1,64}", name):
        raise ValueError(f"{name!r} cannot be part of a topic: only a-z, 0-9 and hyphen, at most 64")
    return name
