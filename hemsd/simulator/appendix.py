"""The two objects inside a smart meter, property by property, as the Appendix lays them out (classes 0288 and 0EF0).

Written by hand from the Appendix (Release F for the first generation of meters, Release R for the second) and
from the meters in published captures; shares no code with what reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hemsd.simulator.household import Energy, Household

NO_ENERGY = 0xFFFFFFFE
NO_CURRENT = 0x7FFE
NOT_SELECTED = b"\xff" * 6 + b"\x01"  # default of ED and EF
KWH_J = 3_600_000
UNIT_J = {  # E1: what one count is worth
    **{code: KWH_J // 10**code for code in range(5)},  # 1, 0.1, ... 0.0001 kWh
    **{0x09 + power: KWH_J * 10**power for power in range(1, 5)},  # 0A-0D: 10, 100, ... 10 000 kWh
}
HALF_HOUR = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)
HALF_HOUR_MEMORY = timedelta(days=99)
MINUTE_MEMORY = timedelta(hours=1)  # how far back one-minute values go is not published


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """What kind of meter it is."""

    generation: int = 1  # 2: Release R, with C0, D0, EE and EF
    maker: int = 0x000016
    serial: str = "F0A000012345"  # 12 characters
    unit: int = 0x01  # E1: 0.1 kWh
    coefficient: int | None = 1  # D3; None: the meter has no such property
    digits: int = 6  # D7: the registers roll over at 10**digits
    first_count: int = 0  # of the import register when installed
    first_reverse_count: int = 0  # of the export register
    exports: bool = True  # measures the reverse direction: E3, E4, EB
    half_hour_history: bool = True  # has EC and ED
    two_wire: bool = False  # single-phase two-wire supply: no current on T
    outages: tuple[tuple[datetime, datetime], ...] = ()  # from, until: without power, nothing was remembered


class MeterObject:
    """Object 028801. `clock` is the meter's own wall clock, which is `drift` ahead of the household's.

    With `since` the meter was put there then, in the place of another; else when the household was connected.
    """

    def __init__(
        self, household: Household, plate: Plate, drift: timedelta = timedelta(0), *, since: datetime | None = None
    ) -> None:
        self.household = household
        self.plate = plate
        self.drift = drift
        self._since = since
        before = None if since is None else household.energy(since - drift)
        self._before = before or Energy(0, 0)  # what others have counted
        self.overrides: dict[int, bytes] = {}  # a property answers this instead, whatever it is
        self._state = {
            0x80: b"\x30",
            0x81: b"\x61",
            0x88: b"\x42",
            0xE5: b"\xff",
            0xED: NOT_SELECTED,
            0xEF: NOT_SELECTED,
        }
        self._readers = self._properties()
        self._writable = {0x81, 0xE5, 0xED, 0xEF} & self._readers.keys()

    def get(self, epc: int, clock: datetime) -> bytes | None:
        """The property's value, or None where the meter has no such property."""
        reader = self._readers.get(epc)
        if reader is None:
            return None
        return self.overrides[epc] if epc in self.overrides else reader(clock)

    def set(self, epc: int, edt: bytes) -> bool:
        """Write a property; whether it was accepted."""
        accepted = epc in self._writable and _ACCEPTABLE[epc](edt)
        if accepted:
            self._state[epc] = edt
        return accepted

    def change(self, epc: int, edt: bytes) -> None:
        """Something happened to the meter itself: its status (80), place (81) or fault state (88)."""
        self._state[epc] = edt

    def change_plate(self, plate: Plate) -> None:
        """The power company sets the meter up anew, for example to count in another unit."""
        self.plate = plate
        self._readers = self._properties()

    def count(self, at: datetime, clock: datetime, *, exported: bool = False) -> int:
        """A register as it stood at an instant of the meter's clock; NO_ENERGY where it cannot know."""
        energy = self.household.energy(at - self.drift) if self._was_counting(at, clock) else None
        plate, before = self.plate, self._before
        if energy is None or (exported and not plate.exports):
            return NO_ENERGY
        joules, first = energy.imported_j - before.imported_j, plate.first_count
        if exported:
            joules, first = energy.exported_j - before.exported_j, plate.first_reverse_count
        count_j = UNIT_J[plate.unit] * (plate.coefficient or 1)
        return int((first + joules // count_j) % 10**plate.digits)

    def _was_counting(self, at: datetime, clock: datetime) -> bool:
        there = at <= clock and (self._since is None or self._since <= at)
        return there and not (at < clock and any(cut <= at < back for cut, back in self.plate.outages))

    def _properties(self) -> dict[int, Callable[[datetime], bytes]]:
        plate = self.plate
        release = b"\0\0F\0" if plate.generation == 1 else b"\0\0R\0"
        readers: dict[int, Callable[[datetime], bytes]] = {
            0x80: lambda _: self._state[0x80],
            0x81: lambda _: self._state[0x81],
            0x82: lambda _: release,
            0x88: lambda _: self._state[0x88],
            0x8A: lambda _: plate.maker.to_bytes(3, "big"),
            0x8D: lambda _: plate.serial.encode("ascii").ljust(12)[:12],
            0x97: lambda clock: bytes((clock.hour, clock.minute)),
            0x98: lambda clock: struct.pack(">HBB", clock.year, clock.month, clock.day),
            0x9D: lambda _: property_map((0x80, 0x81, 0x88)),
            0x9E: lambda _: property_map(self._writable),
            0x9F: lambda _: property_map(self._readers),
            0xD7: lambda _: bytes((plate.digits,)),
            0xE0: lambda clock: _u32(self.count(clock, clock)),
            0xE1: lambda _: bytes((plate.unit,)),
            0xE2: lambda clock: self._day(clock, exported=False),
            0xE5: lambda _: self._state[0xE5],
            0xE7: lambda clock: struct.pack(">i", self.household.power_w(clock - self.drift)),
            0xE8: self._currents,
            0xEA: lambda clock: self._fixed_time(clock, exported=False),
        }
        coefficient = plate.coefficient
        if coefficient is not None:
            readers[0xD3] = lambda _: _u32(coefficient)
        if plate.exports:
            readers[0xE3] = lambda clock: _u32(self.count(clock, clock, exported=True))
            readers[0xE4] = lambda clock: self._day(clock, exported=True)
            readers[0xEB] = lambda clock: self._fixed_time(clock, exported=True)
        if plate.half_hour_history:
            readers[0xEC] = lambda clock: self._slots(0xED, clock, HALF_HOUR, HALF_HOUR_MEMORY)
            readers[0xED] = lambda _: self._state[0xED]
        if plate.generation > 1:
            readers[0xC0] = lambda _: b"\0" + plate.maker.to_bytes(3, "big") + plate.serial.encode("ascii").ljust(12)
            readers[0xD0] = self._last_minute
            readers[0xEE] = lambda clock: self._slots(0xEF, clock, MINUTE, MINUTE_MEMORY)
            readers[0xEF] = lambda _: self._state[0xEF]
        return dict(sorted(readers.items()))

    def _currents(self, clock: datetime) -> bytes:
        r_a, t_a = self.household.currents_a(clock - self.drift)
        return struct.pack(">hh", round(r_a * 10), NO_CURRENT if self.plate.two_wire else round(t_a * 10))

    def _both(self, at: datetime, clock: datetime) -> bytes:
        return _u32(self.count(at, clock)) + _u32(self.count(at, clock, exported=True))

    def _last_minute(self, clock: datetime) -> bytes:
        at = clock.replace(second=0, microsecond=0)
        return _instant(at) + self._both(at, clock)

    def _fixed_time(self, clock: datetime, *, exported: bool) -> bytes:
        at = clock.replace(minute=clock.minute // 30 * 30, second=0, microsecond=0)
        return _instant(at) + _u32(self.count(at, clock, exported=exported))

    def _day(self, clock: datetime, *, exported: bool) -> bytes:
        """E2, E4: the selected day's 48 half-hours forward from its midnight, counted from the day it is now."""
        selected = self._state[0xE5][0]
        if selected == 0xFF:
            return struct.pack(">H48I", selected, *[NO_ENERGY] * 48)
        midnight = clock.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=selected)
        counts = (self.count(midnight + slot * HALF_HOUR, clock, exported=exported) for slot in range(48))
        return struct.pack(">H48I", selected, *counts)

    def _slots(self, selector: int, clock: datetime, step: timedelta, memory: timedelta) -> bytes:
        """EC, EE: both directions, backwards from the selected instant."""
        selected = self._state[selector]
        if selected == NOT_SELECTED:
            return selected + _u32(NO_ENERGY) * 2
        last = datetime(*struct.unpack(">HBBBB", selected[:6]))
        slots = (last - slot * step for slot in range(selected[6]))
        known = (self._both(at, clock) if clock - at <= memory else _u32(NO_ENERGY) * 2 for at in slots)
        return selected + b"".join(known)


def node_profile(plate: Plate) -> dict[int, bytes]:
    """What the node profile object 0EF001 of a node with nothing but a meter answers to Get and INF_REQ."""
    maker = plate.maker.to_bytes(3, "big")
    profile = {
        0x80: b"\x30",
        0x82: bytes.fromhex("010D0100"),  # 1.13, message format 1
        0x83: b"\xfe" + maker + plate.serial.encode("ascii").ljust(13, b"\0"),
        0x8A: maker,
        0x9D: property_map((0x80, 0xD5)),
        0x9E: property_map(()),
        0xD3: bytes.fromhex("000001"),
        0xD4: bytes.fromhex("0002"),
        0xD5: bytes.fromhex("01028801"),
        0xD6: bytes.fromhex("01028801"),
        0xD7: bytes.fromhex("010288"),
    }
    return {**profile, 0x9F: property_map([0x9F, *(epc for epc in profile if epc != 0xD5)])}


def property_map(epcs: Iterable[int]) -> bytes:
    """The map of properties: a list below 16 of them, else a bitmap of 16 rows by low digit, 8 columns by high."""
    epcs = sorted(epcs)
    if len(epcs) < 16:
        return bytes((len(epcs), *epcs))
    rows = [sum(1 << (epc >> 4) - 8 for epc in epcs if epc & 0x0F == row) for row in range(16)]
    return bytes((len(epcs), *rows))


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)


def _instant(at: datetime) -> bytes:
    return struct.pack(">HBBBBB", at.year, at.month, at.day, at.hour, at.minute, at.second)


def _is_selector(edt: bytes, step_minutes: int, most: int) -> bool:
    if len(edt) != 7 or not 1 <= edt[6] <= most:
        return False
    try:
        at = datetime(*struct.unpack(">HBBBB", edt[:6]))
    except ValueError:
        return False
    return at.minute % step_minutes == 0


_ACCEPTABLE: dict[int, Callable[[bytes], bool]] = {
    0x81: lambda edt: len(edt) == 1,
    0xE5: lambda edt: len(edt) == 1 and edt[0] <= 99,
    0xED: lambda edt: _is_selector(edt, 30, 12),
    0xEF: lambda edt: _is_selector(edt, 1, 10),
}
