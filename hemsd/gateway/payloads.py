"""The JSON of every topic, field by field; hemsd.gateway.schema makes JSON Schemas of it.

Within the number of a schema fields are only ever added. Names end with their unit. A value that is not there is
null, never 0, and `states` says why. Times are RFC 3339 in Japan's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins
from msgspec.structs import fields

JST = timezone(timedelta(hours=9))
TIMES_KEPT = 64  # in words: that of the registers comes with every reading

Timestamp = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+09:00$", description="RFC 3339, Japan")]
Transaction = Annotated[str, Meta(max_length=128)] | int | None
Severity = Literal["info", "warning", "error"]
LogLevel = Literal["info", "warning", "error"]
Scalar = float | int | str | bool | None
Content = Any  # of a property: a number, text, true or false, or a list or object of those


class Info(Struct, frozen=True, kw_only=True):
    """``bridge/info``: what this hemsd is, and what it gives and takes."""

    schema: Literal["hemsd.bridge.info/1"] = "hemsd.bridge.info/1"
    site: str
    version: str  # of hemsd
    profile: str  # network configuration of ITU-T G.9958
    declared: tuple[str, ...]  # numbers of its requirements that this home is declared not to meet
    breached: tuple[str, ...] | None  # and of those that the network breaks as it is now (see alert/); null: not told
    exposure: Literal["aggregates", "appliances", "control"]
    topics: tuple[str, ...]  # published at this exposure, below <base>/v1/<site>/; + stands for an id
    requests: tuple[str, ...]  # listened to at this exposure
    operations: tuple[str, ...]  # <op> of request/<op>
    schemas: tuple[str, ...]
    signing_key: str | None  # public, of the signatures of half-hours: "ed25519:" and Base64; null: they have none
    signing_key_id: str | None
    config_hash: str | None  # changes with the configuration; no secret is in it


class DomainHealth(Struct, frozen=True, kw_only=True):
    """How one part of hemsd is doing."""

    ok: bool
    detail: str  # one plain sentence where it is not
    ts: Timestamp
    counters: Mapping[str, int]  # since its start


class MeterHealth(Struct, frozen=True, kw_only=True):
    """How it stands with a meter."""

    stage: str
    online: bool
    detail: str
    fresh: bool  # the latest live values are as new as they should be
    read_ts: Timestamp | None  # when they were read
    heard_ts: Timestamp | None


class Backlog(Struct, frozen=True, kw_only=True):
    """Half-hours and events that the broker has not acknowledged."""

    records: int | None  # at most; null until history was heard of
    for_s: int  # since there were none


class Health(Struct, frozen=True, kw_only=True):
    """``bridge/health``, every minute."""

    schema: Literal["hemsd.bridge.health/1"] = "hemsd.bridge.health/1"
    ts: Timestamp
    ok: bool  # every part of hemsd is
    uptime_s: int  # of the bridge
    lag_s: float  # how late the bridge was at its last appointment
    backlog: Backlog
    meters: Mapping[str, MeterHealth]
    domains: Mapping[str, DomainHealth]
    counters: Mapping[str, int]  # of the bridge, since its start


class Event(Struct, frozen=True, kw_only=True):
    """``bridge/event``: something happened that a person may want to know; (site, id) is its key."""

    schema: Literal["hemsd.event/1"] = "hemsd.event/1"
    site: str
    id: int  # grows
    ts: Timestamp
    type: str  # dotted, stable
    severity: Severity
    source: str  # the part of hemsd
    text: str
    replay: bool  # late, or perhaps not for the first time


class Log(Struct, frozen=True, kw_only=True):
    """``bridge/log/<level>``: a line of hemsd's log."""

    schema: Literal["hemsd.log/1"] = "hemsd.log/1"
    ts: Timestamp
    level: LogLevel
    logger: str  # the part of hemsd
    text: str  # at most 1000 characters


class Alert(Struct, frozen=True, kw_only=True):
    """``alert/<id>``: something is not as it should be, for as long as the topic is there."""

    schema: Literal["hemsd.alert/1"] = "hemsd.alert/1"
    id: str
    ts: Timestamp  # since when
    severity: Severity
    code: str  # stable
    text: str


class Live(Struct, frozen=True, kw_only=True):
    """``meter/<m>/live``: the latest of each value; energy is asked less often and has its own time."""

    schema: Literal["hemsd.meter.live/1"] = "hemsd.meter.live/1"
    ts: Timestamp
    age_s: float  # of the values, when this was published
    power_w: int | None  # negative = export
    current_r_a: float | None
    current_t_a: float | None
    energy_import_kwh: float | None  # register readings
    energy_export_kwh: float | None
    energy_ts: Timestamp | None
    states: Mapping[str, str]  # why a value is null
    lqi: int | None
    rssi_dbm: float | None
    channel: int | None


class Interval(Struct, frozen=True, kw_only=True):
    """``meter/<m>/interval``: one half hour; (site, meter, start) is its key, and it may come twice."""

    schema: Literal["hemsd.meter.interval/1"] = "hemsd.meter.interval/1"
    site: str
    meter: str
    start: Timestamp
    end: Timestamp
    energy_import_kwh: float | None  # register readings at `end`
    energy_export_kwh: float | None
    wraps_at_kwh: float | None  # a register that reaches this starts again from 0; null: not known
    states: Mapping[str, str]  # why a value is null
    source: Literal["notified", "read", "backfill"]
    seq: int  # grows with what is learnt: of two with the same key the greater is right
    replay: bool  # late, or perhaps not for the first time
    key_id: str | None  # of the key that signed it
    signature: str | None  # Base64; hemsd.gateway.signature says of what


class Site(Struct, frozen=True, kw_only=True):
    """``site/live``: the house in few numbers; positive flows into the house, a battery, a vehicle or a load."""

    schema: Literal["hemsd.site.live/1"] = "hemsd.site.live/1"
    ts: Timestamp
    grid_w: int | None  # negative = export
    pv_w: int | None  # what is made, 0 or more
    battery_w: int | None  # negative = discharging
    ev_w: int | None  # negative = discharging
    known_loads_w: int | None
    rest_w: int | None  # what is left of grid_w after all that is known


class Total(Struct, frozen=True, kw_only=True):
    """``site/day``, ``site/month``: energy of the period that is going on, by Japan's calendar, as far as known."""

    schema: Literal["hemsd.site.total/1"] = "hemsd.site.total/1"
    ts: Timestamp
    period: Literal["day", "month"]
    period_start: Timestamp
    period_end: Timestamp
    imported_kwh: float | None
    exported_kwh: float | None
    coverage: float  # 0-1: how much of the time that has passed is known


class SiteEnergy(Struct, frozen=True, kw_only=True):
    """``site/energy``: all that the house ever took from and gave to the grid; never falls."""

    schema: Literal["hemsd.site.energy/1"] = "hemsd.site.energy/1"
    ts: Timestamp
    imported_total_kwh: float | None  # through wraps and exchanges of the meter, as far as history goes back
    exported_total_kwh: float | None  # null: the meter has none


class Property(Struct, frozen=True, kw_only=True):
    """One property of an appliance as its class defines it."""

    value: Content
    unit: str
    state: str  # why the value is null, or empty
    ts: Timestamp
    source: Literal["read", "notified"]


class Appliance(Struct, frozen=True, kw_only=True):
    """``appliance/<a>/state``: all that one appliance told and is still believed."""

    schema: Literal["hemsd.appliance.state/1"] = "hemsd.appliance.state/1"
    ts: Timestamp  # of the newest value
    appliance: str
    name: str
    room: str
    kind: str  # name of its ECHONET Lite class
    values: Mapping[str, Scalar]  # one language for all classes
    requested: Mapping[str, Scalar]  # what was ordered and is not confirmed yet
    interval_s: float  # nothing of it is read more often than so
    properties: Mapping[str, Property]


class Answer(Struct, frozen=True, kw_only=True):
    """One property in the answer to a get."""

    value: Content
    unit: str
    state: str  # why the value is null, or empty
    edt: str | None  # the data in hexadecimal
    error: str  # why it could not be read: absent, refused, timeout; or empty


class Data(Struct, frozen=True, kw_only=True):
    """What came of a request."""

    outcome: str  # of set and identify: applied, unverified, rejected, refused, timeout; otherwise empty
    values: Mapping[str, Scalar]  # of set: what was read back
    properties: Mapping[str, Answer]  # of get


class Error(Struct, frozen=True, kw_only=True):
    """Why a request was not, or not surely, fulfilled."""

    code: str  # stable
    message: str
    detail: Mapping[str, str] | None  # of get: why each property that failed did


class Response(Struct, frozen=True, kw_only=True):
    """``response/<op>``: the one answer to a request."""

    schema: Literal["hemsd.response/1"] = "hemsd.response/1"
    ts: Timestamp
    op: str
    status: Literal["ok", "partial", "error"]
    transaction: Transaction  # as in the request
    target: str
    data: Data | None
    error: Error | None


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``request/<op>``: someone wants something of the house; it is good from `ts`, or its arrival, for `ttl_s`."""

    schema: Literal["hemsd.request/1"] = "hemsd.request/1"
    transaction: Transaction = None  # any; it is in the answer
    target: Annotated[str, Meta(max_length=64)] = ""  # id, name or address of an appliance
    values: dict[str, Scalar] = {}  # of set
    properties: tuple[str, ...] = ()  # of get; none: all
    ttl_s: Annotated[float, Meta(gt=0, le=3600)] | None = None
    ts: Annotated[datetime, Meta(tz=True)] | None = None


PUBLISHED: tuple[type[Struct], ...] = (
    *(Info, Health, Event, Log, Alert, Live, Interval),
    *(Site, Total, SiteEnergy, Appliance, Response),
)
TAKEN: tuple[type[Struct], ...] = (Request,)


def schema_id(kind: type[Struct]) -> str:
    """The id that a payload carries in its field `schema`."""
    return next(str(field.default) for field in fields(kind) if field.name == "schema")


@lru_cache(TIMES_KEPT)
def timestamp(at: datetime) -> Timestamp:
    """RFC 3339 to the second in Japan's time, +09:00. `at` is aware."""
    return f"{to_builtins(at.astimezone(JST)):.19}+09:00"  # without a fraction; isoformat() takes twice as long
