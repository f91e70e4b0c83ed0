"""Lamps and lighting systems as a house sees them: classes 0290, 0291, 02A3, 02A4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.catalogue import PropertyClass
from hemsd.echonet.classes.device import Device, Known, Scalar
from hemsd.echonet.classes.wording import Choice, Properties, Quantity, Settable, View, out_of_range
from hemsd.echonet.frame import Property

_RGB: Final = re.compile("#?([0-9A-Fa-f]{6})")


class Rgb(Settable):
    """Three bytes, red, green and blue, as #RRGGBB."""

    __slots__ = ()
    tells = (0xC0,)
    sets = (0xC0,)

    def read(self, epc: int, known: Known, device: Device, properties: Properties) -> Scalar:
        edt = known[epc]
        return f"#{edt.hex().upper()}" if len(edt) == 3 else None

    def accepts(self, target: PropertyClass) -> str:
        return "a colour like #FF8000"

    def edts(self, value: Scalar, target: PropertyClass) -> tuple[bytes, ...]:
        if not (digits := _RGB.fullmatch(str(value).strip())):
            raise out_of_range(self.accepts(target))
        return (bytes.fromhex(digits[1]),)


BRIGHTNESS: Final = Quantity(tells=(0xB0,), sets=(0xB0,))

LAMP: Final = View(
    words={
        "mode": Choice(
            codes={0x41: "auto", 0x42: "normal", 0x43: "night", 0x45: "color"}, tells=(0xB6,), sets=(0xB6,)
        ),
        "brightness_percent": BRIGHTNESS,
        "color": Choice(
            codes={0x41: "incandescent", 0x42: "white", 0x43: "daylight_white", 0x44: "daylight", 0x40: "other"},
            tells=(0xB1,),
            sets=(0xB1,),
            unwished=frozenset({"other"}),
        ),
        "color_rgb": Rgb(),
    },
    order=(0xB6, 0xB0, 0xB1, 0xC0),
    first={0xC0: Property(0xB6, b"\x45")},  # the colour is shown in colour mode only
    shows="blink",
    once=frozenset({0xB4, 0xB5}),
)

PLAIN_LAMP: Final = View(words={"brightness_percent": BRIGHTNESS}, shows="blink")

SCENES: Final = {
    "brightness_percent": BRIGHTNESS,
    "scene": Quantity(tells=(0xC0,), sets=(0xC0,), zero=b"\x00"),
}

LIGHTING_SYSTEM: Final = View(words=SCENES, shows="blink", once=frozenset({0xC1}))

ENHANCED_LIGHTING_SYSTEM: Final = View(
    words=SCENES, shows="blink", once=frozenset({0xC1, 0xC3, 0xC4}), never=frozenset({0xC2})
)

VIEWS: Final[Mapping[int, View]] = {
    0x0290: LAMP,
    0x0291: PLAIN_LAMP,
    0x02A3: LIGHTING_SYSTEM,
    0x02A4: ENHANCED_LIGHTING_SYSTEM,
}
