"""What is remembered of a meter between runs, so that a start needs no scan and reads at once.

A JSON file of mode 0600. Meters are kept under a salted hash of the Route B ID, never under the ID or a part of it;
one that needs no credentials, under that of the network interface that leads to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from drivers.module import Credentials, Family, Pan
from hemsd.hub.messages import MeterIdentity

FILE_NAME = "pans.json"
METER_LIMIT = 8  # the newest stay
SIZE_LIMIT = 64 * 1024  # bytes; a file above it is not ours


class Facts(Struct, frozen=True, kw_only=True):
    """What does not change in a meter's life, and which meter's it is. None is what was not learnt yet."""

    mac: str
    properties: tuple[int, ...] | None = None  # what it can be asked for (EPC 9F)
    unit: Decimal | None = None  # kWh of one count (EPC E1)
    coefficient: int | None = None  # EPC D3; 1 where the meter has none
    digits: int | None = None  # effective ones of a count (EPC D7)
    identity: MeterIdentity | None = None


class Remembered(Struct, frozen=True, kw_only=True):
    """A meter's PAN, if it is known, facts, and the family of the module that it was read through."""

    pan: Pan | None = None
    family: Family | None = None
    facts: Facts | None = None


class _Pan(Struct, frozen=True):
    channel: Annotated[int, Meta(ge=0, le=0xFF)]
    pan_id: Annotated[int, Meta(ge=0, le=0xFFFE)]
    mac: Annotated[str, Meta(pattern="^[0-9A-F]{16}$")]
    lqi: Annotated[int, Meta(ge=0, le=0xFF)] | None = None
    rssi_dbm: Annotated[int, Meta(ge=-0x80, le=0x7F)] | None = None


class _Meter(Struct, frozen=True):
    pan: _Pan | None = None
    facts: Facts | None = None
    family: Family | None = None


class _File(Struct):
    salt: str
    meters: dict[str, _Meter]


class PanCache:
    """The file in a directory. A file that is missing or damaged counts as empty and is written anew."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def load(self, of: Credentials | str) -> Remembered:
        """What is known of the meter these credentials, or this network interface, are for."""
        file = self._read()
        meter = file.meters.get(_key(file.salt, of), _Meter())
        pan = meter.pan
        if pan is None:
            return Remembered(facts=meter.facts, family=meter.family)
        paired = "" if isinstance(of, str) else of.pairing_id
        return Remembered(
            pan=Pan(pan.channel, pan.pan_id, pan.mac, paired, pan.lqi, pan.rssi_dbm),
            facts=meter.facts,
            family=meter.family,
        )

    def save(self, of: Credentials | str, known: Remembered) -> None:
        """Remember; nothing is written when nothing is new. Raises OSError."""
        file = self._read()
        key = _key(file.salt, of)
        pan = known.pan
        kept = None if pan is None else _Pan(pan.channel, pan.pan_id, pan.mac, pan.lqi, pan.rssi_dbm)
        meter = _Meter(kept, known.facts, known.family)
        if file.meters.get(key) == meter:
            return
        file.meters.pop(key, None)
        file.meters[key] = meter
        while len(file.meters) > METER_LIMIT:
            del file.meters[next(iter(file.meters))]
        self._write(file)

    def _read(self) -> _File:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            with self._path.open("rb") as file:
                text = file.read(SIZE_LIMIT + 1)
            if len(text) <= SIZE_LIMIT:
                return msgspec.json.decode(text, type=_File)
        return _File(secrets.token_hex(16), {})

    def _write(self, file: _File) -> None:
        beside = self._path.with_suffix(f".{os.getpid()}")
        beside.unlink(missing_ok=True)
        beside.touch(0o600)
        beside.write_bytes(msgspec.json.encode(file))
        beside.replace(self._path)


def _key(salt: str, of: Credentials | str) -> str:
    whose = of if isinstance(of, str) else of.id
    return hashlib.sha256(f"{salt}{whose}".encode()).hexdigest()[:32]
