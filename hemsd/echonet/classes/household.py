"""Refrigerators and doors as a house sees them: classes 03B7, 026F."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.wording import YES_OR_NO, Choice, Quantity, View

REFRIGERATOR: Final = View(
    words={
        "door_open": Choice(codes=YES_OR_NO, tells=(0xB0,)),
        "fridge_temperature_c": Quantity(tells=(0xD1,)),
        "freezer_temperature_c": Quantity(tells=(0xD2,)),
        "current_a": Quantity(tells=(0xDA,)),
    },
    once=frozenset({0xDC, 0xE0}),
)

LOCK: Final = View(
    words={
        "locked": Choice(codes=YES_OR_NO, tells=(0xE0,), sets=(0xE0,)),
        "door_open": Choice(codes=YES_OR_NO, tells=(0xE3,)),
    },
    settle_s=3.0,
)

VIEWS: Final[Mapping[int, View]] = {0x03B7: REFRIGERATOR, 0x026F: LOCK}
