"""What a network of appliances tells its domain: who is there, what they said, and what became of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from hemsd.echonet.classes.device import Device, Tempo

Source = Literal["read", "notified"]


class Appliance(Struct, frozen=True, kw_only=True):
    """One device object as it is known now. Times are seconds on the monotonic clock of its network."""

    id: str  # stable whatever its address: class code, hyphen, 8 hexadecimal digits of a hash of its identity
    device: Device
    address: str  # IPv4 or IPv6 of its node, the kernel's short form without a zone
    serial: str = ""  # EPC 8D
    identified: str = ""  # EPC 83 in hexadecimal, where the node has one that can be believed
    known: bool = False  # its property maps have been read
    online: bool = True
    since: float = 0.0  # of `online`
    heard_at: float | None = None  # None: not since this process began
    detail: str = ""  # one plain sentence: what is being found out, why it counts as gone
    properties_per_request: int | None = None
    interval_s: float = Tempo.LIVE.value  # none of its properties is read more often, however short their tempo


class Changed(Struct, frozen=True):
    """An appliance is new, or something about it (not its values) is."""

    appliance: Appliance


class Forgotten(Struct, frozen=True):
    """Nothing more will be told of it, unless it is found anew."""

    appliance: Appliance


class Told(Struct, frozen=True):
    """Properties that an appliance told, by key of device.Known.

    `known` is all that is believed of it now, with ages; it is live: to be used before the network goes on. `by_hand`
    names those that changed without an order of ours: a person or another controller set them.
    """

    appliance: Appliance
    source: Source
    properties: Mapping[int, bytes]
    known: Mapping[int, tuple[bytes, float, Source]]  # EDT, when it was told, and how
    by_hand: frozenset[int] = frozenset()


class Answered(Struct, frozen=True):
    """One property for a query; without an EDT `error` says why: absent, refused, timeout."""

    query: str
    appliance: Appliance
    epc: int
    edt: bytes | None
    error: Literal["", "absent", "refused", "timeout"] = ""
    last: bool = False


class Settled(Struct, frozen=True):
    """What became of a command; the words are those of hub.messages.ApplianceResult."""

    command: str
    appliance: Appliance
    outcome: Literal["applied", "unverified", "rejected", "refused", "timeout"]
    error: str = ""  # a hub.messages.ErrorCode
    detail: str = ""
    read_back: Mapping[int, bytes] = {}


class Noted(Struct, frozen=True):
    """Something for people: an appliance came, went, moved, was set by hand, ..."""

    kind: str  # dotted, stable: appliance.found, .lost, .back, .moved, .by_hand, ...
    severity: Literal["info", "warning", "error"]
    text: str


NetworkEvent = Changed | Forgotten | Told | Answered | Settled | Noted
