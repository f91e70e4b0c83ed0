"""An air conditioner (0130) and a floor heater (027B) in rooms that warm up and cool down."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hemsd.simulator.appliances.device import (
    FLAG,
    METERED,
    NO,
    OFF,
    REMOTE,
    SWITCH,
    Device,
    Row,
    between,
    i8,
    one_of,
    u8,
    u16,
)
from hemsd.simulator.appliances.world import World

AUTO, COOLING, HEATING, DRY, FAN = range(0x41, 0x46)  # B0
UNDEFINED, UNMEASURABLE = b"\xfd", b"\x7e"
MAINS_V = 200

ROOM_J_K = 900_000.0  # heat that a room takes to become one degree warmer
LOSS_W_K = 90.0  # and loses for each degree between inside and outside
PEOPLE_W = 250.0  # what else warms it, and so does the sun:
WINDOW = 0.15  # of what it gives on the roof


class Room:
    """Air in a house."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.air_c = 0.6 * world.outdoor_c(world.start) + 11.0

    def live(self, at: datetime, heat_w: float, seconds: float) -> None:
        """Let seconds pass with that much heat coming in; negative: taken out."""
        outdoor_c, sun_w = self._world.outdoor_c(at), self._world.sun_w(at)
        gain_w = heat_w + PEOPLE_W + WINDOW * sun_w + LOSS_W_K * (outdoor_c - self.air_c)
        self.air_c += gain_w * seconds / ROOM_J_K


class AirConditioner(Device):
    """An inverter for 4 kW that keeps to its target; each mode has a target of its own, the fan none."""

    code = 0x0130
    product = "AC-40"
    table = (
        Row(0x80, OFF, "rsa", SWITCH),
        *METERED,
        Row(0x8F, NO, "rsa", FLAG),
        *REMOTE,
        Row(0xA0, b"\x41", "rsa", one_of(*range(0x31, 0x39), 0x41)),
        Row(0xA3, b"\x31", "rs", one_of(0x31, 0x41, 0x42, 0x43)),
        Row(0xAA, lambda it: bytes((it.special,))),
        Row(0xB0, b"\x42", "rsa", one_of(AUTO, COOLING, HEATING, DRY, FAN)),
        Row(0xB3, lambda it: it.target(), "rsa", between(16, 32)),
        Row(0xB8, u16(1100) + u16(1300) + u16(500) + u16(30)),
        Row(0xB9, lambda it: u16(it.power_w / MAINS_V * 10)),
        Row(0xBA, lambda it: u8(it.humidity)),
        Row(0xBB, lambda it: i8(it.room.air_c)),
        Row(0xBE, lambda it: i8(it.outdoor_c) if it.on else UNMEASURABLE),  # its fan stands still
        Row(0xD0, b"", "s", one_of(0x41)),
    )
    CAPACITY_W, STANDBY_W, FAN_W = 4000.0, 2.0, 25.0
    COP = 3.6  # heat moved for each watt

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.room = Room(world)
        self.outdoor_c = world.outdoor_c(world.start)
        self.humidity = 55.0
        self.special = 0x40
        self._targets = {AUTO: 24, COOLING: 26, HEATING: 21, DRY: 25}

    @property
    def mode(self) -> int:
        return self.number(0xB0)

    def target(self) -> bytes:
        target = self._targets.get(self.mode)
        return UNDEFINED if target is None else bytes((target,))

    def set(self, epc: int, edt: bytes) -> bool:
        if epc == 0xB3 and self.mode == FAN:
            return False
        return super().set(epc, edt)

    def wrote(self, epc: int) -> None:
        if epc == 0xB3:
            self._targets[self.mode] = self.settings[0xB3][0]

    def live(self, at: datetime, seconds: float) -> None:
        self.outdoor_c = self.world.outdoor_c(at)
        heat_w = self._heat_w()
        self.room.live(at, heat_w, seconds)
        drying = 1.0 if heat_w < 0 else 0.0
        self.humidity += (55 - 15 * drying - self.humidity) * seconds / 3600
        self.special = 0x41 if heat_w > 0 and self.outdoor_c < 5 and at.minute < 4 and at.hour % 2 else 0x40
        self.use(abs(heat_w) / self.COP + (self.FAN_W if self.on else self.STANDBY_W), seconds)

    def _heat_w(self) -> float:
        """What it does to the room: the further from the target, the more; nothing where the mode does not."""
        target = self._targets.get(self.mode)
        if not self.on or target is None:
            return 0.0
        capacity_w = self.CAPACITY_W / (2 if self[0x8F] != NO else 1)
        wanted_w = 1800.0 * (target - self.room.air_c) - LOSS_W_K * (self.outdoor_c - self.room.air_c)
        low = {HEATING: 0.0, DRY: -0.4 * capacity_w}.get(self.mode, -capacity_w)
        high = 0.0 if self.mode in (COOLING, DRY) else capacity_w
        return min(max(wanted_w, low), high)


class FloorHeater(Device):
    """Electric, under the living room: by temperature (E0) or by level (E1), whichever was set last."""

    code = 0x027B
    product = "FH-8"
    table = (
        Row(0x80, OFF, "rsa", SWITCH),
        *METERED,
        Row(0xD1, b"\x09", "ra"),
        Row(0xE0, b"\x41", "rs", lambda edt: edt == b"\x41" or between(20, 40)(edt)),
        Row(0xE1, b"\x41", "rs", one_of(0x41, *range(0x31, 0x3A))),
        Row(0xE2, lambda it: i8(it.room.air_c)),
        Row(0xE3, lambda it: i8(it.floor_c)),
        Row(0xE5, b"\x41", "rs", one_of(0x41, 0x42, 0x43)),
        Row(0xE9, u16(800)),
    )
    RATED_W = 800.0

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.room = Room(world)
        self.floor_c = self.room.air_c
        self._by_level = False

    def wrote(self, epc: int) -> None:
        if epc in (0xE0, 0xE1):
            self._by_level = epc == 0xE1

    def target_c(self) -> float:
        if self._by_level and self[0xE1] != b"\x41":
            return 22.0 + 1.5 * (self.number(0xE1) - 0x31)
        if not self._by_level and self[0xE0] != b"\x41":
            return float(self.number(0xE0))
        return 28.0

    def live(self, at: datetime, seconds: float) -> None:
        share = min(max(2 * (self.target_c() - self.floor_c), 0.0), 1.0) if self.on else 0.0
        self.use(self.RATED_W * share, seconds)
        into_room_w = 60.0 * (self.floor_c - self.room.air_c)
        self.floor_c += (self.power_w - into_room_w) * seconds / 200_000
        self.room.live(at, into_room_w, seconds)
