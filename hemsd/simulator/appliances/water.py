"""Hot water: an EcoCute with its tank (026B), a gas water heater (0272) and a fuel cell with its own tank (027C)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from hemsd.simulator.appliances.device import (
    FLAG,
    METERED,
    NO,
    ON,
    REMOTE,
    SWITCH,
    YES,
    Device,
    Row,
    between,
    one_of,
    truth,
    u8,
    u16,
    u32,
)
from hemsd.simulator.appliances.world import World

AUTO, MANUAL, STOPPED = 0x41, 0x42, 0x43  # B0 of 026B
RUNNING, NO_BATH, KEEPING = 0x41, 0x42, 0x43  # EA of 026B, EF of 0272
BATH_L, BATH_L_MIN = 180.0, 12.0


class Taps:
    """When hot water runs, in litres a minute; drawn for each day."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._day: date | None = None
        self._runs: list[tuple[int, int, float]] = []  # from, until minute of the day, litres a minute

    def l_min(self, at: datetime) -> float:
        if self._day != at.date():
            self._day = at.date()
            chance = self._device.chance(at.date())
            begins = [390 + chance.randrange(40), 1120 + chance.randrange(60), 1230 + chance.randrange(90)]
            self._runs = [(begin, begin + chance.randrange(4, 14), chance.uniform(4, 9)) for begin in begins]
        minute = at.hour * 60 + at.minute
        return sum(flow for begin, end, flow in self._runs if begin <= minute < end)


class Bath:
    """Filled when it is asked for, then kept warm for two hours."""

    KEEP_S = 7200.0

    def __init__(self) -> None:
        self.filled_l = 0.0
        self.kept_s = 0.0

    def live(self, wanted: bool, seconds: float) -> float:
        """Litres that run into it meanwhile; `over` says when it has been kept warm for long enough."""
        if not wanted:
            self.filled_l = self.kept_s = 0.0
            return 0.0
        runs_l = min(BATH_L_MIN * seconds / 60, BATH_L - self.filled_l)
        self.filled_l += runs_l
        self.kept_s += 0.0 if runs_l else seconds
        return runs_l

    @property
    def over(self) -> bool:
        return self.kept_s >= self.KEEP_S

    @property
    def state(self) -> bytes:
        filling = 0 < self.filled_l < BATH_L
        return bytes((RUNNING if filling else KEEPING if self.filled_l else NO_BATH,))


class EcoCute(Device):
    """A heat pump with 370 l. It cannot be switched off (80): not to heat is B0 = 43."""

    code = 0x026B
    product = "ECO-370"
    TANK_L, HEATS_W, HEATS_L_H, COLD_C, HOT_C, LOW_L = 370.0, 1250.0, 62.0, 16.0, 85.0, 50.0
    NIGHT_HOUR, MORNING_HOUR, EVENING_HOUR = 1, 6, 18
    table = (
        *METERED,
        *REMOTE,
        Row(0xB0, bytes((AUTO,)), "rsa", one_of(AUTO, MANUAL, STOPPED)),
        Row(0xB2, lambda it: truth(it.heating), "ra"),
        Row(0xB3, lambda it: u8(it.HOT_C)),
        Row(0xB4, b"\0", "rs", lambda edt: between(0, 252)(edt) or edt == b"\xfd"),
        Row(0xC0, YES, "rs", FLAG),
        Row(0xC1, lambda it: u8(it.COLD_C + (it.HOT_C - it.COLD_C) * it.hot_l / it.TANK_L)),
        Row(0xC2, lambda it: bytes((int(it.hot_l <= 0), 0, 0, 0)), "ra"),  # the first bit: no hot water
        Row(0xC3, lambda it: truth(it.flows), "ra"),
        Row(0xC7, b"\0", "rs", one_of(0x00, 0x01)),
        Row(0xC8, b"\x01"),
        Row(0xC9, b"\x01"),
        Row(0xCA, b"\0", "rs", one_of(0x00, *range(0x09, 0x12))),
        Row(0xCB, b"".join(u32(wh) for wh in (2900, 2700, 2750, 2850))),
        Row(0xCC, b"".join(u16(wh) for wh in (1250, 1180, 1200, 1230))),
        Row(0xCD, b"\0", "rs", one_of(0x00, *range(0x0A, 0x12))),
        Row(0xCE, b"".join(u32(wh) for wh in (1400, 1450, 1500))),
        Row(0xCF, b"".join(u16(wh) for wh in (1180, 1200, 1230))),
        Row(0xD1, b"\x2a", "rs", between(35, 60)),
        Row(0xD3, b"\x29", "rs", between(35, 48)),
        Row(0xD9, b"\x01\x01\0" + 24 * b"\x80\0", "rs", lambda edt: len(edt) == 51),
        Row(0xDB, u16(1450)),
        Row(0xDC, u16(1250)),
        Row(0xDD, u16(1050)),
        Row(0xE1, lambda it: u16(it.hot_l)),
        Row(0xE2, u16(TANK_L)),
        Row(0xE3, NO, "rsa", FLAG),
        Row(0xEA, lambda it: it.bath.state, "ra"),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.hot_l = self.chance("tank").uniform(150, 330)
        self.heating = self.flows = False
        self.taps, self.bath = Taps(self), Bath()

    def live(self, at: datetime, seconds: float) -> None:
        tap_l = self.taps.l_min(at) * seconds / 60
        bath_l = self.bath.live(self[0xE3] == YES, seconds)
        if self.bath.over:
            self.settings[0xE3] = NO
        self.flows = tap_l + bath_l > 0
        self.hot_l = max(self.hot_l - 0.45 * (tap_l + bath_l) - 0.5 * seconds / 3600, 0.0)  # the rest is cold
        self.heating = self._heats(at)
        if self.heating:
            self.hot_l += self.HEATS_L_H * seconds / 3600
            if self.hot_l >= self.TANK_L:
                self._is_full()
        self.use(self.HEATS_W if self.heating else 4.0, seconds)

    def _is_full(self) -> None:
        """Heating by hand ends here."""
        self.hot_l, self.heating = self.TANK_L, False
        if self.number(0xB0) == MANUAL:
            self.settings[0xB0] = bytes((AUTO,))

    def _heats(self, at: datetime) -> bool:
        """As ordered; by itself at night, from the hour of energy shift on, and when hardly anything is left."""
        order = self.number(0xB0)
        if order != AUTO:
            return order == MANUAL
        shift = self.number(0xCA) if self[0xC7] == b"\x01" else 0
        if self.NIGHT_HOUR <= at.hour < self.MORNING_HOUR:
            return self._up_to(self.TANK_L / 2 if shift else self.TANK_L)
        if shift and shift <= at.hour < self.EVENING_HOUR:
            return self._up_to(self.TANK_L)
        return self[0xC0] == YES and self[0xB4] == b"\0" and self._up_to(self.LOW_L)

    def _up_to(self, litres: float) -> bool:
        """Once begun until it is there; else only where much is missing."""
        return self.hot_l < (litres if self.heating else 0.9 * litres)


class GasWaterHeater(Device):
    """Heats what flows; fills a bath by itself and keeps it warm."""

    code = 0x0272
    product = "GAS-24"
    table = (
        Row(0x80, ON, "rsa", SWITCH),
        Row(0xD0, lambda it: truth(it.flows)),
        Row(0xD1, b"\x28", "rs", between(32, 60)),
        Row(0xD4, b"\x05", "rs", between(1, 9)),
        Row(0xD5, b"\x09"),
        Row(0xE1, b"\x29", "rs", between(35, 48)),
        Row(0xE2, lambda it: truth(it.bath_heats)),
        Row(0xE3, NO, "rsa", FLAG),
        Row(0xE4, NO, "rs", FLAG),
        Row(0xEF, lambda it: it.bath.state, "ra"),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.flows = self.bath_heats = False
        self.taps, self.bath = Taps(self), Bath()

    def live(self, at: datetime, seconds: float) -> None:
        bath_l = self.bath.live(self.on and self[0xE3] == YES, seconds)
        if self.bath.over or not self.on:
            self.settings[0xE3] = NO
        self.bath_heats = bath_l > 0 or (self.bath.filled_l > 0 and at.minute % 20 < 3)
        self.flows = self.on and (self.taps.l_min(at) > 0 or bath_l > 0)
        self.use((60.0 if self.flows or self.bath_heats else 3.0) if self.on else 0.5, seconds)


class FuelCell(Device):
    """700 W, as long as its tank can take the heat."""

    code = 0x027C
    product = "FC-700"
    RATED_W, LEAST_W, TANK_L, START_S = 700.0, 200.0, 140.0, 1800.0
    GENERATING, STOPPED, STARTING, STOPPING, IDLING = range(0x41, 0x46)  # CB
    J_M3 = 45e6 * 0.40  # electricity out of a cubic metre of gas
    table = (
        Row(0xC1, lambda it: u8(15 + 50 * it.hot_l / it.TANK_L)),
        Row(0xC2, u16(RATED_W)),
        Row(0xC4, lambda it: u16(it.power_w)),
        Row(0xC5, lambda it: u32(it.energy_wh)),
        Row(0xC7, lambda it: u16(it.power_w / it.J_M3 * 3600 * 1000)),
        Row(0xC8, lambda it: u32(it.energy_wh * 3600 / it.J_M3 * 1000)),
        Row(0xCA, YES, "rs", FLAG),
        Row(0xCB, lambda it: bytes((it.status,)), "ra"),
        Row(0xCC, lambda it: u16(it.house_w)),
        Row(0xCD, lambda it: u32(it.house_wh)),
        Row(0xD0, b"\0"),
        Row(0xD1, b"\xff\xff\xff\xff", "rs", lambda edt: len(edt) == 4),
        Row(0xD2, b"\x42", "rs", FLAG),
        Row(0xE1, lambda it: u16(it.hot_l)),
        Row(0xE2, u16(TANK_L)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.hot_l = 70.0
        self.status = self.GENERATING
        self.house_w, self.house_wh = 0.0, 3 * self.energy_wh
        self._starting_s = 0.0
        self._taps = Taps(self)

    @property
    def draws_w(self) -> float:
        return -self.power_w

    def live(self, at: datetime, seconds: float) -> None:
        self.house_w = max(self.world.grid_w(at) + self.power_w + self.world.sun_w(at), 0.0)
        self.house_wh += self.house_w * seconds / 3600
        self.hot_l = max(self.hot_l - 0.6 * self._taps.l_min(at) * seconds / 60, 0.0)
        self.status = self._next_status(at, seconds)
        generates = self.status == self.GENERATING
        most_w = self.RATED_W if self[0xD2] == YES else min(max(self.house_w, self.LEAST_W), self.RATED_W)
        self.use(most_w if generates else 0.0, seconds)
        self.hot_l = min(self.hot_l + 11 * self.power_w / self.RATED_W * seconds / 3600, self.TANK_L)

    def _next_status(self, at: datetime, seconds: float) -> int:
        if self[0xCA] != YES or self.hot_l >= self.TANK_L or not self._in_time(at):
            return self.STOPPING if self.status == self.GENERATING else self.STOPPED
        if self.status in (self.STOPPED, self.STOPPING):
            if self.hot_l > 0.8 * self.TANK_L:
                return self.STOPPED
            self._starting_s = 0.0
            return self.STARTING
        self._starting_s += seconds
        done = self.status == self.GENERATING or self._starting_s >= self.START_S
        return self.GENERATING if done else self.STARTING

    def _in_time(self, at: datetime) -> bool:
        """Within the hours that were asked for (D1)."""
        if self[0xD1] == b"\xff\xff\xff\xff":
            return True
        asked, now = self[0xD1], bytes((at.hour, at.minute))
        first, last = asked[:2], asked[2:]
        return first <= now < last if first <= last else not last <= now < first
