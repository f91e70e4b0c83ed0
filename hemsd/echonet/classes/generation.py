"""What makes electricity, as a house sees it: photovoltaics (0279), fuel cells (027C), multi-input PCS (02A5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.device import Scalar
from hemsd.echonet.classes.wording import Choice, Quantity, Special, View


def _objects(edt: bytes) -> Scalar:
    """A list of objects that begins with their number (02A5, E8), as text."""
    if not edt or not 1 <= edt[0] <= 10 or len(edt) != 1 + 3 * edt[0]:
        return None
    return ",".join(edt[place : place + 3].hex().upper() for place in range(1, len(edt), 3))


PHOTOVOLTAICS: Final = View(
    words={
        "power_w": Quantity(tells=(0xE0,), factor=-1),
        "energy_export_kwh": Quantity(tells=(0xE1,)),
        "power_limit_percent": Quantity(tells=(0xA0,), sets=(0xA0,)),
        "power_limit_w": Quantity(tells=(0xA1,), sets=(0xA1,)),
        "curtailed": Choice(codes={0x41: True, 0x42: True, 0x43: True, 0x44: False}, tells=(0xD1,)),
    },
    settle_s=3.0,
    once=frozenset({0xC1, 0xC2, 0xC3, 0xC4, 0xE8, 0xE9, 0xB2, 0xB3}),
    never=frozenset({0xB0}),
)

FUEL_CELL: Final = View(
    words={
        "mode": Choice(codes={0x41: "rated", 0x42: "follow"}, tells=(0xD2,), sets=(0xD2,)),
        "activity": Choice(
            codes={0x41: "generating", 0x42: "stopped", 0x43: "starting", 0x44: "stopping", 0x45: "idling"},
            tells=(0xCB,),
        ),
        "power_w": Quantity(tells=(0xC4,), factor=-1),
        "energy_export_kwh": Quantity(tells=(0xC5,)),
        "volume_m3": Quantity(tells=(0xC8,)),
        "hot_water_l": Quantity(tells=(0xE1,)),
        "tank_l": Quantity(tells=(0xE2,)),
        "tank_temperature_c": Quantity(tells=(0xC1,)),
    },
    settle_s=3.0,
    once=frozenset({0xC2, 0xC3}),
)

MULTIPLE_INPUT_PCS: Final = View(
    words={
        # AC to DC is what it takes, DC to AC what it gives.
        "power_w": Quantity(tells=(0xE7,)),
        "energy_import_kwh": Quantity(tells=(0xE0,)),
        "energy_export_kwh": Quantity(tells=(0xE3,)),
        "sums": Special(tells=(0xE8,), meaning=_objects),
    },
)

VIEWS: Final[Mapping[int, View]] = {0x0279: PHOTOVOLTAICS, 0x027C: FUEL_CELL, 0x02A5: MULTIPLE_INPUT_PCS}
