"""What every simulated device has in common: a table of properties, the super class, and physics in steps.

A class of devices is one literal table and one method, `live`, which lets some seconds pass. The value of a property
is an EDT, or a function of the device; what was written to it is kept in `settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any, ClassVar, NamedTuple

from hemsd.simulator.appliances.frame import PROFILE, property_map
from hemsd.simulator.appliances.world import World

ENERGY_MAX = 1_000_000_000  # registers of 0.001 kWh begin again from 0 here
ON, OFF, YES, NO = b"\x30", b"\x31", b"\x41", b"\x42"
MAPS = (0x9D, 0x9E, 0x9F)

Accepts = Callable[[bytes], bool]


class Row(NamedTuple):
    """A property. `access` holds r where it can be read, s where set, a where changes are announced."""

    epc: int
    value: bytes | Callable[[Any], bytes]
    access: str = "r"
    accepts: Accepts | None = None  # what may be written


def u8(value: float) -> bytes:
    return _whole(value, 0, 0xFD).to_bytes(1, "big")


def i8(value: float) -> bytes:
    return _whole(value, -127, 125).to_bytes(1, "big", signed=True)


def u16(value: float) -> bytes:
    return _whole(value, 0, 65533).to_bytes(2, "big")


def i16(value: float) -> bytes:
    return _whole(value, -32767, 32765).to_bytes(2, "big", signed=True)


def u32(value: float) -> bytes:
    return (int(value) % ENERGY_MAX).to_bytes(4, "big")


def i32(value: float) -> bytes:
    return _whole(value, -999_999_999, 999_999_999).to_bytes(4, "big", signed=True)


def truth(value: object) -> bytes:
    """41 or 42."""
    return YES if value else NO


def _whole(value: float, low: int, high: int) -> int:
    return min(max(round(value), low), high)


def one_of(*codes: int) -> Accepts:
    return lambda edt: len(edt) == 1 and edt[0] in codes


def between(low: int, high: int, size: int = 1) -> Accepts:
    return lambda edt: len(edt) == size and low <= int.from_bytes(edt, "big") <= high


def clock(at: datetime) -> bytes:
    """Hour and minute, as in EPC 97."""
    return bytes((at.hour, at.minute))


def calendar(at: datetime) -> bytes:
    """Year, month and day, as in EPC 98."""
    return at.year.to_bytes(2, "big") + bytes((at.month, at.day))


SWITCH = one_of(0x30, 0x31)
FLAG = one_of(0x41, 0x42)

SUPER = (
    Row(0x80, ON, "ra"),
    Row(0x81, lambda it: it.settings.get(0x81, it.place), "rsa", lambda edt: len(edt) in (1, 17)),
    Row(0x82, lambda it: b"\0\0" + it.release.encode("ascii") + b"\0"),
    Row(0x83, lambda it: it.identity),
    Row(0x88, NO, "ra"),
    Row(0x8A, lambda it: it.identity[1:4]),
    Row(0x8C, lambda it: it.product.encode("ascii")[:12].ljust(12)),
    Row(0x9D, lambda it: property_map(it.epcs("a"))),
    Row(0x9E, lambda it: property_map(it.epcs("s"))),
    Row(0x9F, lambda it: property_map(it.epcs("r"))),
)
METERED = (Row(0x84, lambda it: u16(it.power_w)), Row(0x85, lambda it: u32(it.energy_wh)))
CLOCK = (Row(0x97, lambda it: clock(it.wall_clock)), Row(0x98, lambda it: calendar(it.wall_clock)))
REMOTE = (  # 93: written 41 or 42; read back 61 or 62, the line being in order
    Row(0x93, lambda it: bytes((it.settings.get(0x93, YES)[0] | 0x20,)), "rs", FLAG),
)


class Device:
    """One object on a node. `lacks`: properties of its class that this one does not have."""

    code: ClassVar[int]
    release: ClassVar[str] = "R"
    product: str
    table: ClassVar[tuple[Row, ...]] = ()
    all_rows: ClassVar[Mapping[int, Row]]

    def __init_subclass__(cls) -> None:
        cls.all_rows = {row.epc: row for row in (*SUPER, *cls.table)}

    def __init__(
        self, world: World, *, instance: int = 1, place: int = 0x00, lacks: frozenset[int] = frozenset()
    ) -> None:
        self.world = world
        self.eoj = self.code << 8 | instance
        self.place = bytes((place,))
        self.rows = {epc: row for epc, row in self.all_rows.items() if epc not in lacks} if lacks else self.all_rows
        self.settings: dict[int, bytes] = {}
        self.identity = b"\xfe\xff\xff\xff" + bytes(13)  # the node gives another
        self.power_w = 0.0
        self.energy_wh = float(self.chance("register").randrange(10_000, 3_000_000))
        self._steps = 0
        world.draws.append(lambda: self.draws_w)
        self._told: dict[int, bytes] = {}

    # --- for the table and the physics

    def live(self, at: datetime, seconds: float) -> None:
        """Let the seconds from an instant on pass."""

    def wrote(self, epc: int) -> None:
        """A property was just set."""

    def __getitem__(self, epc: int) -> bytes:
        """What was set, or is so from the factory."""
        value = self.settings.get(epc, self.all_rows[epc].value)
        return value if isinstance(value, bytes) else value(self)

    def number(self, epc: int) -> int:
        return int.from_bytes(self[epc], "big")

    @property
    def draws_w(self) -> float:
        """What the household has of it at its wall."""
        return self.power_w

    @property
    def on(self) -> bool:
        return self[0x80] == ON

    @property
    def wall_clock(self) -> datetime:
        return self.world.at(self._steps * self.world.step_s)

    def chance(self, what: object) -> Random:
        """Always the same for a seed, an object and a name."""
        return Random(f"{self.world.seed} {self.eoj:06X} {what}")  # noqa: S311 (an appliance, no secret)

    def use(self, power_w: float, seconds: float) -> None:
        """Draw that power for so long."""
        self.power_w = power_w
        self.energy_wh += power_w * seconds / 3600

    # --- for the node

    def get(self, epc: int) -> bytes | None:
        """The value, None where there is no such property or it cannot be read."""
        row = self.rows.get(epc)
        if row is None or "r" not in row.access:
            return None
        return self._value(row)

    def shows(self, epc: int) -> bytes | None:
        """What is announced; also of what can only be announced."""
        row = self.rows.get(epc)
        return None if row is None or "a" not in row.access else self._value(row)

    def set(self, epc: int, edt: bytes) -> bool:
        """Write a property; whether it was accepted."""
        row = self.rows.get(epc)
        if row is None or "s" not in row.access or not (row.accepts is None or row.accepts(edt)):
            return False
        self.settings[epc] = edt
        self.wrote(epc)
        return True

    def epcs(self, access: str) -> frozenset[int]:
        """Those that can be read (r), set (s), or are announced (a)."""
        return frozenset(row.epc for row in self.rows.values() if access in row.access)

    def advance(self, now: float) -> None:
        """Let the whole steps pass that end by `now`."""
        step_s = self.world.step_s
        while (self._steps + 1) * step_s <= now:
            self.live(self.wall_clock, step_s)
            self._steps += 1

    def changed(self) -> list[int]:
        """Properties to announce that have another value than when this was called last."""
        values = {row.epc: self._value(row) for row in self.rows.values() if "a" in row.access}
        changed = [epc for epc, edt in values.items() if self._told.get(epc, edt) != edt]
        self._told = values
        return changed

    def _value(self, row: Row) -> bytes:
        return row.value(self) if callable(row.value) else self.settings.get(row.epc, row.value)


class Profile(Device):
    """The node profile object, which knows the others (Appendix, class 0EF0)."""

    code = PROFILE >> 8
    table = (
        Row(0x80, ON, "ra"),
        Row(0x82, b"\x01\x0e\x01\x00"),
        Row(0xD3, lambda it: len(it.devices).to_bytes(3, "big")),
        Row(0xD4, lambda it: (len(it.classes()) + 1).to_bytes(2, "big")),
        Row(0xD5, lambda it: it.instances(0), "a"),
        Row(0xD6, lambda it: it.instances(0)),
        Row(0xD7, lambda it: bytes((min(len(it.classes()), 8),)) + b"".join(it.classes()[:8])),
    )
    LISTED = 84  # instances that one list can hold

    def __init__(self, world: World, devices: tuple[Device, ...]) -> None:
        super().__init__(world, lacks=frozenset((0x81, 0x88)))
        self.devices = devices
        self.product = devices[0].product if devices else "NOTHING"

    def classes(self) -> list[bytes]:
        return sorted({device.code.to_bytes(2, "big") for device in self.devices})

    def instances(self, first: int) -> bytes:
        """A list as in D5 and D6, from one of them on."""
        listed = self.devices[first : first + self.LISTED]
        return bytes((len(listed),)) + b"".join(device.eoj.to_bytes(3, "big") for device in listed)
