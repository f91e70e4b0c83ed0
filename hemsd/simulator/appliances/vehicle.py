"""A charger and discharger for an electric vehicle (027E) and a charger (02A1); the vehicle leaves and comes back.

Whether one is connected (C7) shows only after a controller had it confirmed (CD). Charging needs that.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any, ClassVar

from hemsd.simulator.appliances.device import Device, Row, between, i16, i32, one_of, u8, u16, u32
from hemsd.simulator.appliances.world import World

CHARGE, DISCHARGE, STANDBY, AUTOMATIC, IDLE = 0x42, 0x43, 0x44, 0x46, 0x47  # DA, E1
UNCONFIRMED, NOT_CONNECTED = 0xFF, 0x30  # C7
MAXIMUM, SURPLUS, WATTS = 0x01, 0x02, 0x03  # DC; of DD the second means to follow the load
CAPACITY_WH, EFFICIENCY, RESERVE_WH = 40_000.0, 0.92, 4_000.0
VEHICLE = b"SIMULATED-EV"


class Driver:
    """Somebody who is away with the vehicle on working days, and for some hours on others."""

    def __init__(self, world: World, name: str) -> None:
        self._name = f"{world.seed} {name}"
        self._day: date | None = None
        self._away = (time(), time())
        self.trip_wh = 0.0

    def is_home(self, at: datetime) -> bool:
        if self._day != at.date():
            self._plan(at)
        leaves, comes = self._away
        return not leaves <= at.time() < comes

    def _plan(self, at: datetime) -> None:
        chance = Random(f"{self._name} {at.date()}")  # noqa: S311 (a driver, no secret)
        working = at.weekday() < 5
        leaves = datetime.combine(at, time(7, 20) if working else time(10)) + timedelta(minutes=chance.randrange(60))
        hours = chance.uniform(9.5, 11.5) if working else chance.uniform(1, 5)
        self._day = at.date()
        self._away = (leaves.time(), (leaves + timedelta(hours=hours)).time())
        self.trip_wh = chance.uniform(3_000, 12_000)


def _vehicle(it: Any) -> bytes:
    return bytes((len(VEHICLE),)) + VEHICLE if it.confirmed else b"\0"


class EvCharger(Device):
    """Mode 3, 3 kW on 200 V."""

    code = 0x02A1
    product = "EVC-3"
    HIGH_W, LOW_W = 3000, 1200
    CONNECTED = 0x41  # C7
    ORDERS: tuple[int, ...] = (CHARGE, STANDBY, IDLE)
    table: ClassVar[tuple[Row, ...]] = (
        Row(0xC5, u32(HIGH_W)),
        Row(0xC7, lambda it: bytes((it.connection,)), "ra"),
        Row(0xC8, u32(LOW_W) + u32(HIGH_W)),
        Row(0xCA, u16(60) + u16(150)),
        Row(0xCC, b"\x12"),
        Row(0xCD, b"", "s", one_of(0x10)),
        Row(0xCE, u32(CAPACITY_WH)),
        Row(0xCF, lambda it: u32(CAPACITY_WH - it.soc_wh)),
        Row(0xD0, u32(CAPACITY_WH)),
        Row(0xD2, u16(200)),
        Row(0xD3, lambda it: u32(max(it.power_w, 0.0))),
        Row(0xD8, lambda it: u32(it.energy_wh)),
        Row(0xDA, bytes((STANDBY,)), "rsa", one_of(*ORDERS)),
        Row(0xE2, lambda it: u32(it.soc_wh)),
        Row(0xE4, lambda it: u8(100 * it.soc_wh / CAPACITY_WH)),
        Row(0xE6, _vehicle),
        Row(0xE7, u32(0), "rs", between(0, 999_999_999, 4)),
        Row(0xEB, u32(HIGH_W), "rs", between(LOW_W, HIGH_W, 4)),
        Row(0xED, u16(150), "rs", between(60, 150, 2)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.driver = Driver(world, f"{self.eoj:06X}")
        self.soc_wh = CAPACITY_WH * self.chance("charge").uniform(0.4, 0.8)
        self.home = self.driver.is_home(world.start)
        self.connection = UNCONFIRMED if self.home else NOT_CONNECTED
        self.most_w = float(self.HIGH_W)

    @property
    def confirmed(self) -> bool:
        return self.connection == self.CONNECTED

    def wrote(self, epc: int) -> None:
        match epc:
            case 0xCD:
                self.connection = self.CONNECTED if self.home else NOT_CONNECTED
            case 0xEB:
                self.most_w = float(self.number(0xEB))
            case 0xED:
                self.most_w = self.number(0xED) / 10 * 200

    def live(self, at: datetime, seconds: float) -> None:
        self._come_and_go(at)
        wanted_w = self.wanted_w(at) if self.confirmed and self.on else 0.0
        room_w = (CAPACITY_WH - self.soc_wh) / EFFICIENCY * 3600 / seconds
        left_w = max(self.soc_wh - RESERVE_WH, 0.0) * EFFICIENCY * 3600 / seconds
        self.power_w = min(max(wanted_w, -left_w), room_w)
        moved_wh = self.power_w * seconds / 3600
        self.energy_wh += max(moved_wh, 0.0)
        self.gave(max(-moved_wh, 0.0))
        self.soc_wh += moved_wh * EFFICIENCY if moved_wh > 0 else moved_wh / EFFICIENCY
        self.soc_wh = min(max(self.soc_wh, 0.0), CAPACITY_WH)

    def wanted_w(self, at: datetime) -> float:
        """Positive: charge."""
        return self.most_w if self.number(0xDA) == CHARGE else 0.0

    def gave(self, energy_wh: float) -> None:
        """So much was discharged."""

    def _come_and_go(self, at: datetime) -> None:
        was_home, self.home = self.home, self.driver.is_home(at)
        if was_home and not self.home:
            self.connection = NOT_CONNECTED
            self.settings[0xDA] = bytes((STANDBY,))
        elif self.home and not was_home:
            self.connection = UNCONFIRMED
            self.soc_wh = max(self.soc_wh - self.driver.trip_wh, 0.1 * CAPACITY_WH)


class EvDischarger(EvCharger):
    """CHAdeMO, 6 kW both ways."""

    code = 0x027E
    product = "V2H-6"
    HIGH_W, LOW_W = 6000, 500
    CONNECTED = 0x43
    ORDERS = (CHARGE, DISCHARGE, STANDBY, AUTOMATIC, IDLE)
    table = (
        *(row for row in EvCharger.table if row.epc not in (0xED,)),
        Row(0x89, b"\0\0"),
        Row(0xC0, u32(CAPACITY_WH - RESERVE_WH)),
        Row(0xC2, lambda it: u32(max(it.soc_wh - RESERVE_WH, 0.0))),
        Row(0xC4, lambda it: u8(100 * max(it.soc_wh - RESERVE_WH, 0.0) / (CAPACITY_WH - RESERVE_WH))),
        Row(0xC5, u32(HIGH_W)),
        Row(0xC6, u32(HIGH_W)),
        Row(0xC8, u32(LOW_W) + u32(HIGH_W)),
        Row(0xC9, u32(LOW_W) + u32(HIGH_W)),
        Row(0xCA, u16(25) + u16(300)),
        Row(0xCB, u16(25) + u16(300)),
        Row(0xCC, b"\x22"),
        Row(0xD3, lambda it: i32(it.power_w)),
        Row(0xD4, lambda it: i16(it.power_w / 200 * 10)),
        Row(0xD6, lambda it: u32(it.given_wh)),
        Row(0xDA, bytes((STANDBY,)), "rsa", one_of(*ORDERS)),
        Row(0xDC, bytes((MAXIMUM,)), "rsa", one_of(MAXIMUM, SURPLUS, WATTS)),
        Row(0xDD, b"\x02", "rsa", one_of(MAXIMUM, SURPLUS, WATTS)),
        Row(0xE1, lambda it: bytes((it.working,)), "ra"),
        Row(0xEA, u32(0), "rs", between(0, 999_999_999, 4)),
        Row(0xEB, u32(3000), "rs", between(LOW_W, HIGH_W, 4)),
        Row(0xEC, u32(3000), "rs", between(LOW_W, HIGH_W, 4)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.given_wh = self.energy_wh * 0.4

    @property
    def working(self) -> int:
        if self.power_w:
            return CHARGE if self.power_w > 0 else DISCHARGE
        return STANDBY if self.confirmed else IDLE

    def wanted_w(self, at: datetime) -> float:
        grid_w = self.world.grid_w(at) - self.power_w
        charge_w = {SURPLUS: max(-grid_w, 0), WATTS: self.number(0xEB)}.get(self.number(0xDC), self.HIGH_W)
        discharge_w = {SURPLUS: max(grid_w, 0), WATTS: self.number(0xEC)}.get(self.number(0xDD), self.HIGH_W)
        wanted_w = {CHARGE: charge_w, DISCHARGE: -discharge_w, AUTOMATIC: -grid_w}.get(self.number(0xDA), 0)
        return float(min(max(wanted_w, -self.HIGH_W), self.HIGH_W)) if abs(wanted_w) >= self.LOW_W else 0.0

    def gave(self, energy_wh: float) -> None:
        self.given_wh += energy_wh
