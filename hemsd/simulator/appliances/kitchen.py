"""A refrigerator (03B7): its compressor comes and goes, its door is opened at mealtimes and now and then left so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hemsd.simulator.appliances.device import METERED, NO, Device, Row, between, i8, one_of, truth, u16
from hemsd.simulator.appliances.world import World


class Refrigerator(Device):
    """Warns when the door has stood open for a minute."""

    code = 0x03B7
    product = "FRIDGE-450"
    RUNS_W, RESTS_W, WARNS_S = 95.0, 6.0, 60.0
    MEALS = (7, 12, 19)  # o'clock
    table = (
        *METERED,
        Row(0xA0, b"\x41", "rs", one_of(0x41, 0x42, 0x43)),
        Row(0xA4, b"\x41", "rs", one_of(0x41, 0x42)),
        Row(0xB0, lambda it: truth(it.open_s > 0), "ra"),
        Row(0xB1, lambda it: truth(it.open_s > it.WARNS_S), "ra"),
        Row(0xB2, lambda it: truth(it.open_s > 0)),
        Row(0xB3, NO),
        Row(0xD1, lambda it: i8(it.fridge_c)),
        Row(0xD2, lambda it: i8(it.freezer_c)),
        Row(0xDA, lambda it: u16(it.power_w / 100 * 10)),
        Row(0xDC, u16(120)),
        Row(0xE2, b"\x03", "rs", between(0, 8)),
        Row(0xE3, i8(-19), "rs", between(0xE8, 0xF4)),
    )

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.fridge_c, self.freezer_c = 4.0, -18.0
        self.open_s = 0.0
        self._cooling = False
        self._openings = self.chance("door")

    def live(self, at: datetime, seconds: float) -> None:
        self._door(at, seconds)
        target_c = float(self.number(0xE2))
        if self.fridge_c > target_c + 1.5:
            self._cooling = True
        elif self.fridge_c < target_c - 0.5:
            self._cooling = False
        quick = self[0xA0] == b"\x42"
        warms_k_h = 3.0 + (40.0 if self.open_s else 0.0)
        self.fridge_c = min(self.fridge_c + (warms_k_h - (9.0 if self._cooling else 0.0)) * seconds / 3600, 15.0)
        goal_c = (-28.0 if quick else self.number(0xE3) - 256.0) if self._cooling or quick else -10.0
        self.freezer_c += (goal_c - self.freezer_c) * seconds / 20_000
        self.use(self.RUNS_W if self._cooling or quick else self.RESTS_W, seconds)

    def _door(self, at: datetime, seconds: float) -> None:
        often = 0.02 if at.hour in self.MEALS else 0.002 if 6 <= at.hour < 24 else 0.0
        if self.open_s:
            closes = self._openings.random() < seconds / 15
            self.open_s = 0.0 if closes else self.open_s + seconds
        elif self._openings.random() < often * seconds / 5:
            self.open_s = seconds
