"""Batteries at home and on wheels as a house sees them: classes 027D, 027E (charges and discharges), 02A1 (charges).

An order is not a state: DA is what they were told (`mode`), CF or E1 what they do (`activity`). Where there is no D3
their power is not told at all: it cannot be had from one reading of the energy registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.wording import Choice, Quantity, View, Word
from hemsd.echonet.frame import Property

DESIGNATED_POWER: Final = b"\x03"  # of the methods of charging and discharging, from which EB and EC have an effect
DESIGNATED_CURRENT: Final = b"\x04"  # likewise ED and EE
NO_VEHICLE: Final = (0xC7, frozenset({b"\x30"}))  # what is told of its battery is then what was true once
CONFIRM: Final = 0xCD
LOOKED_AT: Final = frozenset({b"\x30", b"\x40", b"\x41", b"\x42", b"\x43"})  # C7, neither undefined nor unknown

DOING: Final = {0x42: "charging", 0x43: "discharging", 0x44: "standby", 0x40: "other"}

BATTERY: Final = View(
    words={
        "mode": Choice(
            codes={
                0x41: "rapid_charge",
                0x42: "charge",
                0x43: "discharge",
                0x44: "standby",
                0x45: "test",
                0x46: "auto",
                0x48: "restart",
                0x49: "recalculate",
                0x40: "other",
            },
            tells=(0xDA,),
            sets=(0xDA,),
            unwished=frozenset({"test", "restart", "recalculate", "other"}),
        ),
        "activity": Choice(
            codes=DOING
            | {0x41: "rapid_charging", 0x45: "test", 0x46: "auto", 0x48: "restarting", 0x49: "recalculating"},
            tells=(0xCF,),
        ),
        "power_w": Quantity(tells=(0xD3,)),
        "energy_import_kwh": Quantity(tells=(0xA8, 0xD8)),
        "energy_export_kwh": Quantity(tells=(0xA9, 0xD6)),
        "soc_percent": Quantity(tells=(0xE4,)),
        "stored_wh": Quantity(tells=(0xE2,)),
        "capacity_wh": Quantity(tells=(0xD0,)),
        "chargeable_wh": Quantity(tells=(0xA4,)),
        "dischargeable_wh": Quantity(tells=(0xA5,)),
        "charge_power_w": Quantity(tells=(0xEB,), sets=(0xEB,)),
        "discharge_power_w": Quantity(tells=(0xEC,), sets=(0xEC,)),
        "charge_current_a": Quantity(tells=(0xED,), sets=(0xED,)),
        "charge_target_wh": Quantity(tells=(0xAA,), sets=(0xAA,), zero=bytes(4)),
        "discharge_target_wh": Quantity(tells=(0xAB,), sets=(0xAB,), zero=bytes(4)),
    },
    order=(0xC1, 0xC2, 0xEB, 0xEC, 0xED, 0xEE, 0xAA, 0xAB, 0xDA),
    first={
        0xEB: Property(0xC1, DESIGNATED_POWER),
        0xEC: Property(0xC2, DESIGNATED_POWER),
        0xED: Property(0xC1, DESIGNATED_CURRENT),
        0xEE: Property(0xC2, DESIGNATED_CURRENT),
    },
    within={0xEB: 0xC8, 0xEC: 0xC9, 0xED: 0xCA, 0xEE: 0xCB},
    settle_s=3.0,
    once=frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xD1, 0xD2, 0xE6, 0xEF})
    | frozenset(range(0xDC, 0xE0)),
    never=frozenset({0xE1, 0xE7, 0xE8, 0xE9, 0xEA}),
)

VEHICLE: Final = {0x30: "none", 0x40: "connected", 0x41: "chargeable", 0x42: "dischargeable", 0x43: "both"}

_PLUG: Final[Mapping[str, Word]] = {
    "vehicle": Choice(codes=VEHICLE, tells=(0xC7,)),
    "confirm_vehicle": Choice(codes={0x10: True}, sets=(CONFIRM,)),
    "energy_import_kwh": Quantity(tells=(0xD8,)),
    "soc_percent": Quantity(tells=(0xE4,), void=NO_VEHICLE),
    "stored_wh": Quantity(tells=(0xE2,), void=NO_VEHICLE),
    "capacity_wh": Quantity(tells=(0xD0,), void=NO_VEHICLE),
    "chargeable_wh": Quantity(tells=(0xCF,), void=NO_VEHICLE),
    "charge_power_w": Quantity(tells=(0xEB,), sets=(0xEB,)),
    "charge_current_a": Quantity(tells=(0xED,), sets=(0xED,)),
    "charge_target_wh": Quantity(tells=(0xE7,), sets=(0xE7,)),
}

VEHICLE_BOTH_WAYS: Final = View(
    words={
        **_PLUG,
        "mode": Choice(
            codes={
                0x41: "rapid_charge",
                0x42: "charge",
                0x43: "discharge",
                0x44: "standby",
                0x45: "test",
                0x46: "charge_discharge",
                0x47: "idle",
                0x48: "prepare",
                0x49: "auto",
                0x40: "other",
            },
            tells=(0xDA,),
            sets=(0xDA,),
            unwished=frozenset({"test", "other"}),
        ),
        "activity": Choice(codes=DOING | {0x47: "idle", 0x48: "preparing"}, tells=(0xE1,)),
        "power_w": Quantity(tells=(0xD3,)),
        "energy_export_kwh": Quantity(tells=(0xD6,)),
        "dischargeable_wh": Quantity(tells=(0xC2,), void=NO_VEHICLE),
        "discharge_power_w": Quantity(tells=(0xEC,), sets=(0xEC,)),
        "discharge_target_wh": Quantity(tells=(0xEA,), sets=(0xEA,)),
    },
    order=(CONFIRM, 0xDC, 0xDD, 0xEB, 0xEC, 0xED, 0xEE, 0xE7, 0xEA, 0xDA),
    first={
        0xEB: Property(0xDC, DESIGNATED_POWER),
        0xEC: Property(0xDD, DESIGNATED_POWER),
        0xED: Property(0xDC, DESIGNATED_CURRENT),
        0xEE: Property(0xDD, DESIGNATED_CURRENT),
    },
    within={0xEB: 0xC8, 0xEC: 0xC9, 0xED: 0xCA, 0xEE: 0xCB},
    also={CONFIRM: {0xC7: LOOKED_AT}},
    settle_s=3.0,
    once=frozenset({0xC5, 0xC6, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xD2, 0xEF}),
    never=frozenset({0xC1, 0xC3, 0xD1, 0xE3, 0xE9}),
)

VEHICLE_CHARGER: Final = View(
    words={
        **_PLUG,
        "mode": Choice(
            codes={0x42: "charge", 0x44: "standby", 0x47: "idle", 0x40: "other"},
            tells=(0xDA,),
            sets=(0xDA,),
            unwished=frozenset({"other"}),
        ),
        "power_w": Quantity(tells=(0xD3,)),
    },
    order=(CONFIRM, 0xEB, 0xED, 0xE7, 0xDA),
    within={0xEB: 0xC8, 0xED: 0xCA},
    also={CONFIRM: {0xC7: LOOKED_AT}},
    settle_s=3.0,
    once=frozenset({0xC5, 0xC8, 0xCA, 0xCC, 0xD2}),
)

VIEWS: Final[Mapping[int, View]] = {0x027D: BATTERY, 0x027E: VEHICLE_BOTH_WAYS, 0x02A1: VEHICLE_CHARGER}
