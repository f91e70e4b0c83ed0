"""Appliances as a network would tell of them, with plain values, for whoever has none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hemsd.appliances.events import Appliance, Source, Told
from hemsd.appliances.telling import Believed
from hemsd.echonet.classes.device import Device

AC = Device(
    eoj=0x013001,
    release="R",
    readable=frozenset({0x80, 0x81, 0x84, 0x85, 0x86, 0x9D, 0x9E, 0x9F, 0xB0, 0xB3, 0xBB, 0xBE, 0xF1}),
    settable=frozenset({0x80, 0xB0, 0xB3, 0xF1}),
    announced=frozenset({0x80, 0xB0}),
    maker="000008",
    product="ZZ-123",
)


def appliance(id: str = "0130-00000001", device: Device = AC, **changes: Any) -> Appliance:
    told: dict[str, Any] = {"address": "192.0.2.7", "serial": "S1", "known": True, "since": 5.0, "heard_at": 60.0}
    return Appliance(id=id, device=device, **(told | changes))


def believed(edts: Mapping[int, str], at: float = 60.0, source: Source = "read") -> Believed:
    """Hexadecimal digits, all told at the same time."""
    known = {key: bytes.fromhex(edt) for key, edt in edts.items()}
    return Believed(known, dict.fromkeys(known, (at, source)))


def told(of: Appliance, edts: Mapping[int, str], at: float = 60.0, source: Source = "read") -> Told:
    known, ages = believed(edts, at, source)
    return Told(of, source, dict(known), known, ages)


def utc(at: float) -> datetime:
    """The clock of these tests: it began with the epoch."""
    return datetime.fromtimestamp(at, UTC)
