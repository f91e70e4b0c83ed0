"""The closed set of messages that may cross between domains.

Every message is frozen and carries typed values only: nothing here is `bytes`, and text that could smuggle a
frame is refused (`MeterProperty.edt`). Times are aware datetimes in UTC. `energy_*_kwh` is always a register
reading, never a difference. A value that is not there is None, and `states` says why: ``no_data``,
``overflow``, ``underflow``, ``absent`` (the meter has no such property), ``refused`` and ``timeout`` (it did not give
it this time), ``unknown_unit``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

from msgspec import Struct

_EDT = re.compile("([0-9A-Fa-f]{2}){0,255}")  # one byte counts them (ECHONET Lite specification, part 2, 3.2)
_FRAME = re.compile("108[12]([0-9A-Fa-f]{2}){10,}")  # EHD, and at least TID, SEOJ, DEOJ, ESV and OPC (same)

Scalar = float | int | str | bool | None
Trouble = Literal["", "port", "module", "credentials", "not_heard", "radio", "refused", "unclear"]


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

    meter: str
    maker: str | None = None  # 6 hexadecimal digits (EPC 8A)
    serial: str | None = None  # EPC 8D
    release: str | None = None  # Appendix release letter (EPC 82)
    generation: int | None = None  # 1 or 2


class MeterReading(Message, frozen=True, kw_only=True, tag=True):
    """Live values, read together or merged within one round."""

    meter: str
    measured_at: datetime  # when the answer arrived, by this machine's clock
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

    meter: str
    end: datetime
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
    first_at: datetime
    import_counts: tuple[int | None, ...] = ()
    export_counts: tuple[int | None, ...] = ()
    count_kwh: Decimal | None = None  # as in MeterInterval
    digits: int | None = None
    states: dict[str, str] = {}


class MeterMinute(Message, frozen=True, kw_only=True, tag=True):
    """Registers at a full minute, by the meter's own clock; out of the memory of a second-generation meter."""

    meter: str
    at: datetime
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None


AIR_ALLOWED_S = 360.0  # of transmission within an hour (ARIB STD-T108)


class RadioHealth(Struct, frozen=True, kw_only=True):
    """How the way to the meter has been doing; counts are since the start of the daemon."""

    requests: int = 0  # datagrams that asked something
    repeated: int = 0  # of them again, because no answer came in the usual time
    silences: int = 0  # requests never answered
    loss: float | None = None  # 0-1: share of the last 100 datagrams that drew no answer in the usual time
    air_s: float = 0.0  # of transmission within the last hour, estimated; AIR_ALLOWED_S are allowed
    sessions: int = 0  # authentications that succeeded, as far as the module tells
    session_since: datetime | None = None
    lifetime_s: int | None = None  # of a session, as the meter last told
    recoveries: dict[str, int] = {}  # by the step that brought the meter back: retry, reauthenticate, rejoin, ...
    recovery_s: float | None = None  # how long the last loss lasted
    dropped: dict[str, int] = {}  # datagrams that were not the meter's, or not secured, by reason


class MeterStatus(Message, frozen=True, kw_only=True, tag=True):
    """How it stands between us and the meter; sent on every change, and with a fresh link every minute."""

    meter: str | None = None  # None until it is known
    online: bool
    stage: str  # opening, surviving, joining, scanning, renewing, online, gated, waiting, refused, stopped
    detail: str = ""  # one plain sentence
    trouble: Trouble = ""  # what ended the last attempt, until the meter is online again
    since: datetime
    last_heard_at: datetime | None = None
    read_at: datetime | None = None  # when the latest live values were read
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
    received_at: datetime
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
    value: Scalar | list[Scalar] | dict[str, Scalar | list[Scalar | dict[str, Scalar]]] = None
    unit: str = ""
    edt: str | None = None  # the data, in at most 510 hexadecimal digits; never a frame
    error: Literal["", "absent", "refused", "timeout"] = ""
    last: bool = False  # no more answers to this request

    def __post_init__(self) -> None:
        if self.edt is not None and not _EDT.fullmatch(self.edt):
            raise ValueError("edt must be whole bytes in hexadecimal, at most 255 of them")
        if any(isinstance(text, str) and _FRAME.fullmatch(text) for text in (self.edt, self.value)):
            raise ValueError("a frame may not cross between domains")


class Backfill(Message, frozen=True, kw_only=True, tag=True):
    """Ask for history out of the meter's own memory; MeterInterval, MeterMinute and BackfillProgress follow.

    A newer request of the same asker replaces what is left of the one before.
    """

    request: str
    asker: Domain
    days: tuple[date, ...]  # by the meter's calendar, at most 100, in the order wanted
    minutes_since: datetime | None = None  # one-minute registers too, from then on, where the meter keeps them


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
    """The whole house in few numbers."""

    at: datetime
    grid_w: int | None = None
    pv_w: int | None = None
    battery_w: int | None = None
    ev_w: int | None = None
    known_loads_w: int | None = None
    rest_w: int | None = None


class ApplianceState(Message, frozen=True, kw_only=True, tag=True):
    """Values of one appliance, by property name."""

    appliance: str
    at: datetime
    values: dict[str, float | int | str | bool | None]


class ApplianceStatus(Message, frozen=True, kw_only=True, tag=True):
    """Whether an appliance is there, and what it is."""

    appliance: str
    online: bool
    kind: str = ""
    detail: str = ""


class ApplianceCommand(Message, frozen=True, kw_only=True, tag=True):
    """A decided actuation."""

    command: str
    appliance: str
    values: dict[str, float | int | str | bool]
    from_outside: bool = False


class ApplianceQuery(Message, frozen=True, kw_only=True, tag=True):
    """Ask for an appliance's state anew."""

    query: str
    appliance: str
    properties: tuple[str, ...] = ()


class ApplianceResult(Message, frozen=True, kw_only=True, tag=True):
    """What became of an ApplianceCommand."""

    command: str
    appliance: str
    outcome: Literal["applied", "unverified", "rejected", "timeout"]
    detail: str = ""


class UserRequest(Message, frozen=True, kw_only=True, tag=True):
    """Someone wants something of the house."""

    request: str
    asker: Domain
    operation: str
    target: str = ""
    values: dict[str, float | int | str | bool] = {}
    expires_at: datetime | None = None


class UserResponse(Message, frozen=True, kw_only=True, tag=True):
    """The answer to a UserRequest; `error` is a stable code, empty when it went well."""

    request: str
    to: Domain
    status: Literal["ok", "partial", "error"]
    error: str = ""
    detail: str = ""


class ProviderEvent(Message, frozen=True, kw_only=True, tag=True):
    """An event of an energy provider (never the power company) that came by the home gateway."""

    event: str
    starts_at: datetime
    ends_at: datetime
    kind: str
    value: float | None = None


class Decision(Message, frozen=True, kw_only=True, tag=True):
    """What a rule decided, and why."""

    rule: str
    at: datetime
    decision: str
    reason: str


class Event(Message, frozen=True, kw_only=True, tag=True):
    """Something happened that a person may want to know."""

    at: datetime
    source: Domain
    kind: str  # dotted, stable: meter.online, meter.lost, hub.denied, ...
    severity: Literal["info", "warning", "error"]
    text: str


class Health(Message, frozen=True, kw_only=True, tag=True):
    """How a domain is doing; counters since its start."""

    at: datetime
    source: Domain
    ok: bool
    detail: str = ""
    counters: dict[str, int] = {}


class Record(Struct, frozen=True, kw_only=True):
    """One kept interval or event; `seq` grows by time of keeping and never repeats. A changed one has a new seq."""

    seq: int
    content: MeterInterval | Event


class RecordsAfter(Message, frozen=True, kw_only=True, tag=True):
    """Ask history for records after a cursor; Records answers."""

    request: str
    asker: Domain
    seq: int
    limit: int = 100  # at most 1000


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

    start: datetime
    end: datetime
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
