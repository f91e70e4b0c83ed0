"""What makes and keeps electricity: photovoltaics (0279), a battery (027D), and the inverter of both (02A5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hemsd.simulator.appliances.device import (
    CLOCK,
    FLAG,
    NO,
    ON,
    SWITCH,
    YES,
    Device,
    Row,
    between,
    i16,
    i32,
    one_of,
    u8,
    u16,
    u32,
)
from hemsd.simulator.appliances.world import World

NO_FAULT = Row(0x89, b"\0\0")  # mandatory here from Release R on
RAPID, CHARGING, DISCHARGING, STANDBY, _, AUTO = range(0x41, 0x47)  # DA, CF
MAXIMUM, SURPLUS, WATTS = 1, 2, 3  # C1
FOLLOWING = 2  # C2, whose others are like those of C1


class Photovoltaics(Device):
    """Modules on the roof: what the household's meter sees, cut where an output limit says so."""

    code = 0x0279
    product = "PV-4"
    table = (
        NO_FAULT,
        *CLOCK,
        Row(0xA0, b"\x64", "rs", between(0, 100)),
        Row(0xA1, u16(4000), "rs", between(0, 65533, 2)),
        Row(0xA2, NO, "rs", FLAG),
        Row(0xC1, YES, "rs", one_of(0x41, 0x42, 0x43)),
        Row(0xC2, YES),
        Row(0xD0, b"\0"),
        Row(0xD1, lambda it: b"\x41" if it.restrained else b"\x44"),
        Row(0xE0, lambda it: u16(it.power_w)),
        Row(0xE1, lambda it: u32(it.energy_wh)),
        Row(0xE3, lambda it: u32(it.sold_wh)),
        Row(0xE8, lambda it: u16(it.rated_w)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.rated_w = round(world.household.pv_kw * 1000)
        self.restrained = False
        self._kept_back_w = 0.0
        self.sold_wh = self.energy_wh * 0.6
        self.settings[0xA1] = u16(self.rated_w)

    @property
    def draws_w(self) -> float:
        return self._kept_back_w

    def live(self, at: datetime, seconds: float) -> None:
        sun_w = self.world.sun_w(at)
        limit_w = min(self.rated_w * self.number(0xA0) / 100, self.number(0xA1)) if self.on else 0
        self.restrained = sun_w > limit_w
        self.use(min(sun_w, limit_w), seconds)
        self._kept_back_w = sun_w - self.power_w
        self.sold_wh += min(max(-self.world.grid_w(at), 0), self.power_w) * seconds / 3600


class Battery(Device):
    """Lithium, 9.8 kWh. What it was ordered (DA) shows in what it does (CF) after a moment, if it can."""

    code = 0x027D
    product = "ESS-98"
    LOW_W, HIGH_W, CAPACITY_WH, EFFICIENCY = 100, 3000, 9800.0, 0.95
    LEAVES_W, RIPPLE_W = 50.0, 20.0  # in automatic mode: what still comes from the grid, more or less
    MODES = (RAPID, CHARGING, DISCHARGING, STANDBY, AUTO)
    table = (
        NO_FAULT,
        *CLOCK,
        Row(0xA0, lambda it: u32(it.CAPACITY_WH / it.EFFICIENCY)),
        Row(0xA1, lambda it: u32(it.CAPACITY_WH * it.EFFICIENCY)),
        Row(0xA2, lambda it: u32(it.CAPACITY_WH / it.EFFICIENCY)),
        Row(0xA3, lambda it: u32(it.CAPACITY_WH * it.EFFICIENCY)),
        Row(0xA4, lambda it: u32(it.room_wh() / it.EFFICIENCY)),
        Row(0xA5, lambda it: u32(it.left_wh() * it.EFFICIENCY)),
        Row(0xA6, b"\x64", "rs", between(50, 100)),
        Row(0xA7, b"\x05", "rs", between(0, 50)),
        Row(0xA8, lambda it: u32(it.charged_wh)),
        Row(0xA9, lambda it: u32(it.discharged_wh)),
        Row(0xAA, bytes(4), "rsa", between(0, 999_999_999, 4)),
        Row(0xAB, bytes(4), "rsa", between(0, 999_999_999, 4)),
        Row(0xC1, bytes((MAXIMUM,)), "rsa", one_of(MAXIMUM, SURPLUS, WATTS)),
        Row(0xC2, bytes((FOLLOWING,)), "rsa", one_of(MAXIMUM, FOLLOWING, WATTS)),
        Row(0xC8, u32(LOW_W) + u32(HIGH_W)),
        Row(0xC9, u32(LOW_W) + u32(HIGH_W)),
        Row(0xCF, lambda it: bytes((it.working,)), "ra"),
        Row(0xD0, u32(CAPACITY_WH)),
        Row(0xD3, lambda it: i32(it.power_w)),
        Row(0xD4, lambda it: i16(it.power_w / 200 * 10)),
        Row(0xDA, bytes((AUTO,)), "rsa", one_of(*MODES)),
        Row(0xDB, b"\0"),
        Row(0xE2, lambda it: u32(it.soc_wh)),
        Row(0xE4, lambda it: u8(100 * it.soc_wh / it.CAPACITY_WH)),
        Row(0xE5, u8(97)),
        Row(0xE6, b"\x04"),
        Row(0xEB, u32(2000), "rs", between(LOW_W, HIGH_W, 4)),
        Row(0xEC, u32(2000), "rs", between(LOW_W, HIGH_W, 4)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.soc_wh = self.CAPACITY_WH * self.chance("charge").uniform(0.3, 0.7)
        self.charged_wh, self.discharged_wh = self.energy_wh, self.energy_wh * 0.9
        self.working = STANDBY
        self._ripple = self.chance("ripple")
        self._passed_wh = {0xAA: 0.0, 0xAB: 0.0}

    def wrote(self, epc: int) -> None:
        if epc in self._passed_wh:
            self._passed_wh[epc] = 0.0

    def room_wh(self) -> float:
        return max(self.CAPACITY_WH * self.number(0xA6) / 100 - self.soc_wh, 0.0)

    def left_wh(self) -> float:
        return max(self.soc_wh - self.CAPACITY_WH * self.number(0xA7) / 100, 0.0)

    def live(self, at: datetime, seconds: float) -> None:
        wanted_w = self._wanted_w(self.world.grid_w(at) - self.power_w) if self.on else 0.0
        if 0 < abs(wanted_w) < self.LOW_W:
            wanted_w = 0.0
        most_w = min(self.HIGH_W, self.room_wh() / self.EFFICIENCY * 3600 / seconds)
        least_w = -min(self.HIGH_W, self.left_wh() * self.EFFICIENCY * 3600 / seconds)
        self.power_w = min(max(wanted_w, least_w), most_w)
        moved_wh = self.power_w * seconds / 3600
        self.charged_wh += max(moved_wh, 0.0)
        self.discharged_wh += max(-moved_wh, 0.0)
        self.soc_wh += moved_wh * self.EFFICIENCY if moved_wh > 0 else moved_wh / self.EFFICIENCY
        self.soc_wh = min(max(self.soc_wh, 0.0), self.CAPACITY_WH)
        self._pass_targets(moved_wh)
        self.working = self._works_at()

    def _wanted_w(self, grid_w: float) -> float:
        """What the order (DA) and the methods (C1, C2) make of what the others take from the grid."""
        charge_w = {SURPLUS: max(-grid_w, 0.0), WATTS: self.number(0xEB)}.get(self.number(0xC1), self.HIGH_W)
        discharge_w = {FOLLOWING: max(grid_w, 0.0), WATTS: self.number(0xEC)}.get(self.number(0xC2), self.HIGH_W)
        automatic_w = self.LEAVES_W - grid_w + self._ripple.uniform(-self.RIPPLE_W, self.RIPPLE_W)
        orders = {RAPID: self.HIGH_W, CHARGING: charge_w, DISCHARGING: -discharge_w, AUTO: automatic_w}
        return orders.get(self.number(0xDA), 0.0)

    def _works_at(self) -> int:
        if self.power_w == 0:
            return STANDBY
        if self.power_w < 0:
            return DISCHARGING
        return RAPID if self.number(0xDA) == RAPID else CHARGING

    def _pass_targets(self, moved_wh: float) -> None:
        """Energy to charge (AA) or discharge (AB): once reached the battery stands by and has none any more."""
        for epc, passed_wh in ((0xAA, moved_wh), (0xAB, -moved_wh)):
            if passed_wh > 0 and self.number(epc):
                self._passed_wh[epc] += passed_wh
                if self._passed_wh[epc] >= self.number(epc):
                    self.settings |= {epc: bytes(4), 0xDA: bytes((STANDBY,))}


class MultiInputPcs(Device):
    """The inverter behind which photovoltaics and battery of the same node are; it shows the sum of both."""

    code = 0x02A5
    product = "PCS-60"
    table = (
        Row(0x80, ON, "rsa", SWITCH),
        NO_FAULT,
        *CLOCK,
        Row(0xD0, b"\0"),
        Row(0xE0, lambda it: u32(it.energy_wh)),
        Row(0xE3, lambda it: u32(it.out_wh)),
        Row(0xE7, lambda it: i32(it.power_w)),
        Row(0xE8, lambda it: bytes((len(it.behind),)) + b"".join(each.eoj.to_bytes(3, "big") for each in it.behind)),
    )

    def __init__(self, world: World, behind: tuple[Photovoltaics | Battery, ...], **options: Any) -> None:
        super().__init__(world, **options)
        self.behind = behind
        self.out_wh = 2 * self.energy_wh

    @property
    def draws_w(self) -> float:
        return 0.0  # those behind it have been counted

    def live(self, at: datetime, seconds: float) -> None:
        self.power_w = sum(-each.power_w if isinstance(each, Photovoltaics) else each.power_w for each in self.behind)
        self.energy_wh += max(self.power_w, 0.0) * seconds / 3600
        self.out_wh += max(-self.power_w, 0.0) * seconds / 3600
