"""The closed set of messages that may cross between domains.

Every message is frozen and carries typed values only: nothing here is `bytes`, and text that could smuggle a
frame is refused (`MeterProperty.edt`). Times are aware datetimes in UTC. `energy_*_kwh` is always a register
reading, never a difference. A value that is not there is None, and `states` says why: ``no_data``,
``overflow``, ``underflow``, ``absent`` (the meter has no such property), ``refused`` and ``timeout`` (it did not give
it this time), ``unknown_unit``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

from msgspec import Meta, Struct

_EDT = re.compile("([0-9A-Fa-f]{2}){0,255}")  # one byte counts them (ECHONET Lite specification, part 2, 3.2)
_FRAME = re.compile("108[12]([0-9A-Fa-f]{2}){10,}")  # EHD, and at least TID, SEOJ, DEOJ, ESV and OPC (same)

PROPERTY_CODE = re.compile("0[xX]([89A-Fa-f][0-9A-Fa-f])")
"""How a property is meant by its code in the place of a name: 0xB3."""

Time = Annotated[datetime, Meta(tz=True)]
"""A moment; a datetime without a time zone is refused from another process."""

Id = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
"""Of a meter or an appliance, as it may be part of a topic; checked where a message comes over a socket."""

Scalar = float | int | str | bool | None
_Row = dict[str, Scalar]
PropertyContent = Scalar | list[Scalar | _Row] | dict[str, Scalar | list[Scalar | _Row] | _Row]
"""A value as a property table defines it."""

ErrorCode = Literal[
    "",
    "bad_request",
    "unknown_target",
    "not_settable",
    "out_of_range",
    "busy",
    "timeout",
    "device_refused",
    "unverified",
    "forbidden_origin",
    "forbidden_profile",
    "overridden_by_rule",
    "rate_limited",
    "expired",
    "internal",
]
"""Why a request was not, or not surely, fulfilled; stable."""

Trouble = Literal["", "port", "module", "credentials", "not_heard", "radio", "refused", "unclear"]


def holds_frame(*values: object) -> bool:
    """Whether a text in these values, however deep, is a frame: such a message is refused."""
    return any(_FRAME.fullmatch(text) for text in _texts(values))


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _texts([*value, *value.values()])
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _no_frame(*values: object) -> None:
    """Raise ValueError where there is one."""
    if holds_frame(*values):
        raise ValueError("a frame may not cross between domains")


def _only_an_edt(edt: str | None, value: object) -> None:
    """Raise ValueError where the data of a property is none, or text in its place is a frame."""
    if edt is not None and not _EDT.fullmatch(edt):
        raise ValueError("edt must be whole bytes in hexadecimal, at most 255 of them")
    _no_frame(edt, value)


class Domain(Enum):
    """Who may hold a seat in the hub. ITU-T G.9958 keeps the first three apart; `operator` is the command line."""

    ROUTEB = "routeb"
    APPLIANCES = "appliances"
    GATEWAY = "gateway"
    CONTROL = "control"
    HISTORY = "history"
    OPERATOR = "operator"

    __hash__ = object.__hash__  # of a member there is one; Enum's own is Python, on the way of every message


class Message(Struct, frozen=True, kw_only=True):
    """Base of everything that crosses."""


class Link(Struct, frozen=True, kw_only=True):
    """The radio link to the meter; None where the module does not tell."""

    channel: int | None = None  # the module's numbering
    pan_id: str | None = None  # 4 hexadecimal digits
    lqi: int | None = None  # 0-255, of the last datagram heard
    rssi_dbm: float | None = None


class MeterIdentity(Struct, frozen=True, kw_only=True):
    """What a meter said of itself. `meter` is the short hash that names it outside."""

    meter: Id
    maker: str | None = None  # 6 hexadecimal digits (EPC 8A)
    serial: str | None = None  # EPC 8D
    release: str | None = None  # Appendix release letter (EPC 82)
    generation: int | None = None  # 1 or 2


class MeterReading(Message, frozen=True, kw_only=True, tag=True):
    """Live values, read together or merged within one round."""

    meter: Id
    measured_at: Time  # when the answer arrived, by this machine's clock
    power_w: int | None = None  # negative = export
    current_r_a: float | None = None
    current_t_a: float | None = None
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    states: dict[str, str] = {}


class MeterInterval(Message, frozen=True, kw_only=True, tag=True):
    """Registers at a half-hour boundary, by the meter's own clock; in kWh, and as the counts that were told.

    A register shows `digits` digits of a count and starts again from 0 after the last; kWh = count * `count_kwh`.
    """

    meter: Id
    end: Time
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    import_count: int | None = None  # 0-99 999 999 (EPC E0, E2, EA, EC)
    export_count: int | None = None
    count_kwh: Decimal | None = None  # what one count is worth, D3 * E1; None while E1 is not known
    digits: int | None = None  # 1-8 (EPC D7)
    source: Literal["notified", "read", "backfill"]
    states: dict[str, str] = {}


class MeterDay(Message, frozen=True, kw_only=True, tag=True):
    """Registers at half-hour boundaries of one day out of the meter's memory, as the counts that were told.

    Counts are at `first_at` and at each half-hour after it, as many of both registers, 48 at most; None where the
    meter has none. A register that was not told has no counts; `states` may say why, as in MeterInterval.
    """

    meter: str
    first_at: Time
    import_counts: tuple[int | None, ...] = ()
    export_counts: tuple[int | None, ...] = ()
    count_kwh: Decimal | None = None  # as in MeterInterval
    digits: int | None = None
    states: dict[str, str] = {}


class MeterMinute(Message, frozen=True, kw_only=True, tag=True):
    """Registers at a full minute, by the meter's own clock; out of the memory of a second-generation meter."""

    meter: str
    at: Time
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None


INTERVAL_S = 10.0  # from one read of the power of an appliance to the next
AIR_ALLOWED_S = 360.0  # of transmission within an hour (ARIB STD-T108)


class RadioHealth(Struct, frozen=True, kw_only=True):
    """How the way to the meter has been doing; counts are since the start of the daemon."""

    requests: int = 0  # datagrams that asked something
    repeated: int = 0  # of them again, because no answer came in the usual time
    silences: int = 0  # requests never answered
    loss: float | None = None  # 0-1: share of the last 100 datagrams that drew no answer in the usual time
    air_s: float = 0.0  # of transmission within the last hour, estimated; AIR_ALLOWED_S are allowed
    sessions: int = 0  # authentications that succeeded, as far as the module tells
    session_since: Time | None = None
    lifetime_s: int | None = None  # of a session, as the meter last told
    lifetimes_s: tuple[int, ...] = ()  # seen: how long the last 8 sessions lasted, each until the next began
    recoveries: dict[str, int] = {}  # by the step that brought the meter back: retry, reauthenticate, rejoin, ...
    recovery_s: float | None = None  # how long the last loss lasted
    dropped: dict[str, int] = {}  # datagrams by reason: not the meter's, not secured; of ours, "not sent: ..."


class MeterStatus(Message, frozen=True, kw_only=True, tag=True):
    """How it stands between us and the meter; sent on every change, and with a fresh link every minute."""

    meter: Id | None = None  # None until it is known
    online: bool
    stage: str  # opening, surviving, joining, scanning, renewing, online, gated, waiting, refused, stopped
    detail: str = ""  # one plain sentence
    trouble: Trouble = ""  # what ended the last attempt, until the meter is online again
    since: Time
    last_heard_at: Time | None = None
    read_at: Time | None = None  # when the latest live values were read
    fresh: bool = False  # the latest live values are as new as they should be; otherwise they are stale
    link: Link = Link()
    identity: MeterIdentity | None = None
    module: str = ""  # the module as it called itself; empty for a meter reached over a network interface
    port: str = ""  # the serial port, or the network interface
    contended: bool = False  # another controller seems to be at this meter
    radio: RadioHealth = RadioHealth()


class PowerCompanyRequest(Message, frozen=True, kw_only=True, tag=True):
    """A request of the power company; it may come from the meter's side only (G.9958 6.4, R31, R32)."""

    meter: str
    received_at: Time
    request: str
    value: float | None = None


class ReadMeter(Message, frozen=True, kw_only=True, tag=True):
    """Ask the meter for properties, by EPC (0x80-0xFF, at most 32)."""

    request: str  # echoed in the answers
    asker: Domain
    epcs: tuple[int, ...]


class MeterProperty(Message, frozen=True, kw_only=True, tag=True):
    """One property of the meter in answer to ReadMeter: `edt`, and `value` where we understand it; or `error`."""

    request: str
    to: Domain
    meter: str
    epc: int
    name: str = ""
    value: PropertyContent = None
    unit: str = ""
    edt: str | None = None  # the data, in at most 510 hexadecimal digits; never a frame
    error: Literal["", "absent", "refused", "timeout"] = ""
    last: bool = False  # no more answers to this request

    def __post_init__(self) -> None:
        _only_an_edt(self.edt, self.value)


class Backfill(Message, frozen=True, kw_only=True, tag=True):
    """Ask for history out of the meter's own memory; MeterInterval, MeterMinute and BackfillProgress follow.

    A newer request of the same asker replaces what is left of the one before.
    """

    request: str
    asker: Domain
    days: tuple[date, ...]  # by the meter's calendar, at most 100, in the order wanted
    minutes_since: Time | None = None  # one-minute registers too, from then on, where the meter keeps them


class BackfillProgress(Message, frozen=True, kw_only=True, tag=True):
    """What became of one day of a Backfill; a request with no days left has one with `last` and no day."""

    request: str
    meter: str
    day: date | None = None
    outcome: Literal["read", "empty", "failed"] = "read"  # empty: the meter holds nothing of that day
    done: int  # days so far
    total: int
    last: bool = False


class SiteAggregate(Message, frozen=True, kw_only=True, tag=True):
    """The whole house in few numbers, each None while it is not known; a sum is None while a part of it is not.

    Power flows into the house, a battery, a vehicle or a load where it is positive; only `pv_w` counts what is made.
    What is left of the meter's power after all that is known is `rest_w`.
    """

    at: Time
    grid_w: int | None = None  # negative = export
    pv_w: int | None = None  # photovoltaics and other generators, 0 or more
    battery_w: int | None = None  # negative = discharging
    ev_w: int | None = None  # negative = discharging
    known_loads_w: int | None = None  # appliances that tell their power and are none of the above
    rest_w: int | None = None


class PropertyValue(Struct, frozen=True, kw_only=True):
    """One property of an appliance as last told."""

    value: PropertyContent = None  # as its class defines it; None where `state` says why
    unit: str = ""
    state: str = ""  # no_data, overflow, underflow, unknown_unit, malformed
    at: Time  # when it was told
    source: Literal["read", "notified"]


class ApplianceState(Message, frozen=True, kw_only=True, tag=True):
    """All that one appliance told of itself and is still believed; a newer one replaces it.

    `values` speak one language for all classes (hemsd.echonet.classes.views.VOCABULARY): `on`, `mode`, `power_w`
    (positive: it takes power; negative: it gives), `energy_import_kwh`, `energy_export_kwh`, `soc_percent`, ...; one
    that is not known, or is not told any more for three polls, is left out. `properties` has what can be read, by
    name, as the class itself defines it.
    """

    appliance: Id
    at: Time  # of the newest value
    values: dict[str, Scalar]
    properties: dict[str, PropertyValue] = {}
    requested: dict[str, Scalar] = {}  # what was ordered and is not confirmed yet
    interval_s: float = INTERVAL_S  # nothing of it is read more often; longer where its node cannot keep up

    def __post_init__(self) -> None:
        _no_frame(self.values, self.requested, *(each.value for each in self.properties.values()))


class ApplianceStatus(Message, frozen=True, kw_only=True, tag=True):
    """Whether an appliance is there, what it is, and what it can do, by property names; unknown ones like 0xF1."""

    appliance: Id  # stable, whatever its address
    name: str  # as configured, otherwise the id
    room: str = ""
    kind: str  # name of its class: home_air_conditioner, ...; like class_0F02 for one that is not known
    online: bool
    detail: str = ""  # one plain sentence
    since: Time  # of `online`
    last_heard_at: Time | None = None  # as this was said; while it is online ApplianceState is newer
    network: str  # as configured
    address: str  # where its node is now
    eoj: str  # 6 hexadecimal digits
    maker: str = ""  # 6 hexadecimal digits (EPC 8A)
    product: str = ""  # EPC 8C
    serial: str = ""  # EPC 8D
    release: str = ""  # letter of the Appendix (EPC 82)
    known: bool = False  # its property maps have been read
    readable: tuple[str, ...] = ()
    settable: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()  # it promised to tell when they change
    wishes: dict[str, str] = {}  # words of the common language it can be set by, and what each accepts
    properties_per_request: int | None = None  # as many at once as it was seen to answer
    forgotten: bool = False  # nothing more will be told of it

    def __post_init__(self) -> None:
        _no_frame(self.product, self.serial)


class ApplianceCommand(Message, frozen=True, kw_only=True, tag=True):
    """A decided actuation: set `values`, by property name or word of the common language; or something else."""

    command: str
    appliance: str
    operation: Literal["set", "identify", "forget"] = "set"
    values: dict[str, Scalar] = {}
    from_outside: bool = False  # the wish came from outside the house (ECHONET Appendix, property 93)
    expires_at: Time | None = None  # not to be sent any more after this


class ApplianceQuery(Message, frozen=True, kw_only=True, tag=True):
    """Ask an appliance for properties anew, by name or like 0xF1; without any, for all that it can tell."""

    query: str
    appliance: str
    properties: tuple[str, ...] = ()


class ApplianceProperty(Message, frozen=True, kw_only=True, tag=True):
    """One property of an appliance in answer to ApplianceQuery, as MeterProperty is of the meter."""

    query: str
    appliance: str
    epc: int
    name: str = ""
    value: PropertyContent = None
    unit: str = ""
    state: str = ""  # as in PropertyValue
    edt: str | None = None  # the data, in at most 510 hexadecimal digits; never a frame
    error: Literal["", "absent", "refused", "timeout"] = ""
    last: bool = False  # no more answers to this query

    def __post_init__(self) -> None:
        _only_an_edt(self.edt, self.value)


class ApplianceResult(Message, frozen=True, kw_only=True, tag=True):
    """What became of an ApplianceCommand.

    applied: read back as wished. unverified: accepted, and not to be read back or not (yet) as wished. rejected: by
    the appliance. refused: by us, before anything was sent. timeout: no answer; it may or may not have been taken.
    """

    command: str
    appliance: str
    outcome: Literal["applied", "unverified", "rejected", "refused", "timeout"]
    error: ErrorCode = ""
    detail: str = ""  # one plain sentence
    values: dict[str, Scalar] = {}  # what was read back, by the words of the command


class UserRequest(Message, frozen=True, kw_only=True, tag=True):
    """Someone wants something of the house."""

    request: str
    asker: Domain
    operation: Literal["set", "get", "identify", "forget"]
    target: str  # id, name or address of an appliance
    values: dict[str, Scalar] = {}  # of set
    properties: tuple[str, ...] = ()  # of get; none: all
    expires_at: Time | None = None


class UserResponse(Message, frozen=True, kw_only=True, tag=True):
    """The answer to a UserRequest; `error` is a stable code, empty when it went well."""

    request: str
    to: Domain
    status: Literal["ok", "partial", "error"]
    error: ErrorCode = ""
    detail: str = ""
    outcome: str = ""  # of set and identify: as in ApplianceResult
    values: dict[str, Scalar] = {}  # of set: what was read back
    property: ApplianceProperty | None = None  # of get: one in each answer
    last: bool = True  # no more answers to this request


class ProviderEvent(Message, frozen=True, kw_only=True, tag=True):
    """An event of an energy provider (never the power company) that came by the home gateway."""

    event: str
    starts_at: Time
    ends_at: Time
    kind: str
    value: float | None = None


class Decision(Message, frozen=True, kw_only=True, tag=True):
    """What a rule decided, and why."""

    rule: str
    at: Time
    appliance: str | None = None  # that it is about
    decision: str
    reason: str


class Event(Message, frozen=True, kw_only=True, tag=True):
    """Something happened that a person may want to know."""

    at: Time
    source: Domain
    kind: str  # dotted, stable: meter.online, meter.lost, hub.denied, ...
    severity: Literal["info", "warning", "error"]
    text: str


class Health(Message, frozen=True, kw_only=True, tag=True):
    """How a domain is doing, or a part of it that is told of by itself; counters since its start."""

    at: Time
    source: Domain
    part: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{0,32}\Z")] = ""
    ok: bool
    detail: str = ""
    counters: dict[str, int] = {}

    @property
    def name(self) -> str:
        """What it is about."""
        return self.part or self.source.value


class Breach(Struct, frozen=True, kw_only=True):
    """A requirement of ITU-T G.9958 that this machine does not meet, by its number in docs/conformance.md."""

    requirement: str  # R1..R55
    text: str  # what was found, and what to do about it


class IsolationStatus(Message, frozen=True, kw_only=True, tag=True):
    """Whether an interface leads where its domain should be and nowhere else; told at once and at every change."""

    source: Domain
    interface: str
    since: Time
    breaches: tuple[Breach, ...] = ()  # none: it does
    refused: bool = False  # nothing is sent or taken on it until that has ended


class Record(Struct, frozen=True, kw_only=True):
    """One kept interval or event; `seq` grows by time of keeping and never repeats. A changed one has a new seq."""

    seq: int
    content: MeterInterval | Event


class HistoryHead(Message, frozen=True, kw_only=True, tag=True):
    """How far history has come. Seqs of different histories do not compare: a cursor is one of both."""

    history: str  # which one it is; another one where the database was replaced
    seq: int  # the highest that was given away, to a record that there may not be any more


class Lifetime(Struct, frozen=True, kw_only=True):
    """One register of the house at the newest half-hour known of it: what all its meters counted, and what it showed.

    The total goes on through wraps and exchanges of the meter, and never falls.
    """

    meter: str  # that shows it
    at: Time
    total_kwh: float
    register_kwh: float | None  # None while it fell without a reason: the total waits for it


class LifetimeEnergy(Message, frozen=True, kw_only=True, tag=True):
    """What the house ever took and gave, as far as history goes back; None for a register that is not known."""

    imported: Lifetime | None = None
    exported: Lifetime | None = None


class RecordsAfter(Message, frozen=True, kw_only=True, tag=True):
    """Ask history for records after a cursor; Records answers."""

    request: str
    asker: Domain
    seq: int
    limit: int = 100  # at most 1000, and fewer where their texts are long
    last_days: int | None = None  # not before the first of so many days; they end with the newest half-hour


class Records(Message, frozen=True, kw_only=True, tag=True):
    """Records in the order of their seq; whoever has the one of `head` has them all."""

    request: str
    to: Domain
    records: tuple[Record, ...]
    head: int  # the newest seq there is, 0 where there is none


SHOWN_DAYS: Mapping[str, int] = {"30m": 1, "day": 30, "week": 12 * 7, "month": 365}
"""How many days a HistoryQuery is about that does not say."""


class HistoryQuery(Message, frozen=True, kw_only=True, tag=True):
    """Ask history for energy by period, or for what is missing; HistoryAnswer answers."""

    request: str
    asker: Domain
    what: Literal["30m", "day", "week", "month", "gaps"]
    first: date | None = None  # by Japan's calendar, both inclusive; None: SHOWN_DAYS, to today
    last: date | None = None
    meter: str | None = None  # None: the one that is there


class HistoryRow(Struct, frozen=True, kw_only=True):
    """Energy of one period, half-open; or one gap, which has none."""

    start: Time
    end: Time
    imported_kwh: float | None = None  # within the period, as far as it is covered
    exported_kwh: float | None = None
    coverage: float = 0.0  # 0-1: how much of the period that has passed is known
    energy_import_kwh: float | None = None  # the register at `end`, where one half-hour is told
    energy_export_kwh: float | None = None
    source: str = ""  # of that register


class HistoryAnswer(Message, frozen=True, kw_only=True, tag=True):
    """Rows in the order of time, in one or more answers; `error` says in a sentence why there are none."""

    request: str
    to: Domain
    meter: str | None = None
    rows: tuple[HistoryRow, ...] = ()
    last: bool = True
    error: str = ""
