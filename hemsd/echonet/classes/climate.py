"""Air conditioners, floor heaters and fans as a house sees them: classes 0130, 027B, 0133, 0135."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.wording import Choice, Quantity, View
from hemsd.echonet.frame import Property

AUTO: Final = 0x41
FAN: Final = b"\x45"  # operation mode of 0130 in which there is no target temperature
ANY_TARGET: Final = frozenset(bytes([degrees]) for degrees in range(51)) | {b"\xfd"}


def _fan_has_no_target(wanted: Mapping[int, bytes]) -> str:
    return "a fan has no target temperature" if wanted.get(0xB0) == FAN and 0xB3 in wanted else ""


def _degrees_or_level(wanted: Mapping[int, bytes]) -> str:
    return "a floor heater follows either a temperature or a level" if {0xE0, 0xE1} <= wanted.keys() else ""


AIR_CONDITIONER: Final = View(
    words={
        "mode": Choice(
            codes={0x41: "auto", 0x42: "cool", 0x43: "heat", 0x44: "dry", 0x45: "fan", 0x40: "other"},
            tells=(0xB0,),
            sets=(0xB0,),
            unwished=frozenset({"other"}),
        ),
        "activity": Choice(
            codes={0x40: "normal", 0x41: "defrosting", 0x42: "preheating", 0x43: "heat_removal"}, tells=(0xAA,)
        ),
        "target_temperature_c": Quantity(tells=(0xB3,), sets=(0xB3,)),
        "fan": Quantity(tells=(0xA0,), sets=(0xA0,), names={AUTO: "auto"}),
        "room_temperature_c": Quantity(tells=(0xBB,)),
        "outdoor_temperature_c": Quantity(tells=(0xBE,)),
        "humidity_percent": Quantity(tells=(0xBA,)),
        "current_a": Quantity(tells=(0xB9,)),
    },
    order=(0xB0, 0xB3, 0xA0),
    also={0xB0: {0xB3: ANY_TARGET}},  # several makers keep a target for each mode
    contradiction=_fan_has_no_target,
    shows=Property(0xD0, b"\x41"),  # beeps
    settle_s=2.0,
    once=frozenset({0xB8, 0xC6, 0xC8, 0xCA}),
)

FLOOR_HEATER: Final = View(
    words={
        "mode": Choice(
            codes={AUTO: "auto"},  # in E0 as well, where 41 would be 65 degrees, were it a temperature
            tells=(0xE0, 0xE1),
            sets=(0xE0, 0xE1),
            otherwise="manual",
        ),
        "target_temperature_c": Quantity(tells=(0xE0,), sets=(0xE0,)),
        "level": Quantity(tells=(0xE1,), sets=(0xE1,), names={AUTO: "auto"}),
        "room_temperature_c": Quantity(tells=(0xE2,)),
        "floor_temperature_c": Quantity(tells=(0xE3,)),
    },
    contradiction=_degrees_or_level,
    shows="again",
    settle_s=2.0,
    once=frozenset({0xD1, 0xE9, 0xEA}),
)

AIR: Final = View(words={"fan": Quantity(tells=(0xA0,), sets=(0xA0,), names={AUTO: "auto"})}, shows="again")

VIEWS: Final[Mapping[int, View]] = {0x0130: AIR_CONDITIONER, 0x027B: FLOOR_HEATER, 0x0133: AIR, 0x0135: AIR}
