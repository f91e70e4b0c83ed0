"""Water heaters as a house sees them: classes 026B (electric, EcoCute) and 0272 (gas)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.wording import YES_OR_NO, Choice, Quantity, Special, View

BATH: Final = {0x41: "filling", 0x42: "idle", 0x43: "keeping_warm"}

ELECTRIC: Final = View(
    words={
        # 80 is fixed on in many of them. What heats no water by itself is off.
        "on": Choice(codes={0x41: True, 0x42: True, 0x43: False}, tells=(0xB0,), sets=(0xB0,)),
        "mode": Choice(codes={0x41: "auto", 0x42: "heat", 0x43: "stop"}, tells=(0xB0,), sets=(0xB0,)),
        "heating": Choice(codes=YES_OR_NO, tells=(0xB2,)),
        "supplying": Choice(codes=YES_OR_NO, tells=(0xC3,)),
        "no_hot_water": Special(tells=(0xC2,), meaning=lambda edt: bool(edt[0] & 1) if len(edt) == 4 else None),
        "hot_water_l": Quantity(tells=(0xE1,)),
        "tank_l": Quantity(tells=(0xE2,)),
        "tank_temperature_c": Quantity(tells=(0xC1,)),
        "target_temperature_c": Quantity(tells=(0xD1,), sets=(0xD1,)),
        "bath": Choice(codes=BATH, tells=(0xEA,)),
        "bath_auto": Choice(codes=YES_OR_NO, tells=(0xE3,), sets=(0xE3,)),
        "bath_temperature_c": Quantity(tells=(0xD3,), sets=(0xD3,)),
        "energy_shift": Choice(codes={0x01: True, 0x00: False}, tells=(0xC7,), sets=(0xC7,)),
        "shift_hour": Choice(codes={0x00: 0} | {hour: hour for hour in range(9, 18)}, tells=(0xCA,), sets=(0xCA,)),
    },
    order=(0xC7, 0xCA, 0xCD, 0xB0),
    settle_s=3.0,
    once=frozenset({0xD5, 0xDB, 0xDC, 0xDD, 0xC9}),
    never=frozenset({0x90, 0x91, 0xD9}),
)

GAS: Final = View(
    words={
        "heating": Choice(codes=YES_OR_NO, tells=(0xD0,)),
        "target_temperature_c": Quantity(tells=(0xD1,), sets=(0xD1,)),
        "bath": Choice(codes=BATH, tells=(0xEF,)),
        "bath_auto": Choice(codes=YES_OR_NO, tells=(0xE3,), sets=(0xE3,)),
        "bath_heating": Choice(codes=YES_OR_NO, tells=(0xE2,)),
        "bath_temperature_c": Quantity(tells=(0xE1,), sets=(0xE1,)),
    },
    settle_s=3.0,
    once=frozenset({0xD5}),
    never=frozenset({0x90, 0x91, 0x92, 0xEC, 0xED}),
)

VIEWS: Final[Mapping[int, View]] = {0x026B: ELECTRIC, 0x0272: GAS}
