"""The closed set of messages that may cross between domains.

Every message is frozen and carries typed values only: nothing here is `bytes`, and text that could smuggle a
frame is refused (`MeterProperty.edt`). Times are aware datetimes in UTC. `energy_*_kwh` is always a register
reading, never a difference. A value that is not there is None, and `states` says why: ``no_data``,
``overflow``, ``underflow``, ``absent`` (the meter has no such property), ``refused`` and ``timeout`` (it did not give
it this time), ``unknown_unit``.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Literal

from msgspec import Struct

_EDT = re.compile("([0-9A-Fa-f]{2}){0,255}")  # one byte counts them (ECHONET Lite specification, part 2, 3.2)
_FRAME = re.compile("108[12]([0-9A-Fa-f]{2}){10,}")  # EHD, and at least TID, SEOJ, DEOJ, ESV and OPC (same)


class Domain(Enum):
    """Who may hold a seat in the hub. ITU-T G.9958 keeps the first three apart; `operator` is the command line."""

    ROUTEB = "routeb"
    APPLIANCES = "appliances"
    GATEWAY = "gateway"
    CONTROL = "control"
    HISTORY = "history"
    OPERATOR = "operator"


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
    """Registers at a half-hour boundary, by the meter's own clock."""

    meter: str
    end: datetime
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    source: Literal["notified", "read", "backfill"]
    states: dict[str, str] = {}


class MeterStatus(Message, frozen=True, kw_only=True, tag=True):
    """How it stands between us and the meter; sent on every change, and with a fresh link every minute."""

    meter: str | None = None  # None until it is known
    online: bool
    stage: str  # opening, surviving, joining, scanning, online, gated, waiting, refused
    detail: str = ""  # one plain sentence
    since: datetime
    last_heard_at: datetime | None = None
    link: Link = Link()
    identity: MeterIdentity | None = None


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
    """One property of the meter in answer to ReadMeter. Exactly one of value, edt and error tells something."""

    request: str
    to: Domain
    meter: str
    epc: int
    name: str = ""
    value: float | int | str | dict[str, float | int | str | None] | list[float | None] | None = None
    unit: str = ""
    edt: str | None = None  # hexadecimal, for a property we do not understand; at most 510 digits, never a frame
    error: Literal["", "absent", "refused", "timeout"] = ""
    last: bool = False  # no more answers to this request

    def __post_init__(self) -> None:
        if self.edt is not None and not _EDT.fullmatch(self.edt):
            raise ValueError("edt must be whole bytes in hexadecimal, at most 255 of them")
        if any(isinstance(text, str) and _FRAME.fullmatch(text) for text in (self.edt, self.value)):
            raise ValueError("a frame may not cross between domains")


class Backfill(Message, frozen=True, kw_only=True, tag=True):
    """Ask for history out of the meter's own memory."""

    request: str
    asker: Domain
    first_day: int = 0  # days ago, 0-99
    last_day: int = 99


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


class Record(Message, frozen=True, kw_only=True, tag=True):
    """One kept interval or event; `seq` grows by time of keeping and never repeats."""

    seq: int
    to: Domain
    content: MeterInterval | Event


class RecordsAfter(Message, frozen=True, kw_only=True, tag=True):
    """Ask history for records after a cursor."""

    asker: Domain
    seq: int
    limit: int = 100
