"""General lighting (0290) and mono-functional lighting (0291)."""

from __future__ import annotations

from datetime import datetime

from hemsd.simulator.appliances.device import METERED, OFF, SWITCH, Device, Row, between, one_of, u8

NORMAL, NIGHT, COLOUR = 0x42, 0x43, 0x45  # B6


class GeneralLighting(Device):
    """A ceiling lamp with a dimmer, a night light, shades of white and colours."""

    code = 0x0290
    product = "CEILING-60"
    table = (
        Row(0x80, OFF, "rsa", SWITCH),
        *METERED,
        Row(0xB0, b"\x64", "rsa", between(0, 100)),
        Row(0xB1, lambda it: b"\xfd" if it.number(0xB6) == COLOUR else it.settings.get(0xB1, b"\x42"), "rs",
            one_of(0x41, 0x42, 0x43, 0x44)),
        Row(0xB6, bytes((NORMAL,)), "rs", one_of(NORMAL, NIGHT, COLOUR)),
        Row(0xC0, b"\xff\xff\xff", "rs", between(0, 0xFFFFFF, 3)),
    )  # fmt: skip
    RATED_W = 60.0

    def live(self, at: datetime, seconds: float) -> None:
        level = 3 if self.number(0xB6) == NIGHT else self.number(0xB0)
        self.use(self.RATED_W * level / 100 if self.on else 0.3, seconds)


class MonoLighting(Device):
    """A lamp with a dimmer and nothing else."""

    code = 0x0291
    product = "DOWN-9"
    table = (Row(0x80, OFF, "rsa", SWITCH), Row(0xB0, u8(100), "rs", between(0, 100)))

    def live(self, at: datetime, seconds: float) -> None:
        self.use(9.0 * self.number(0xB0) / 100 if self.on else 0.0, seconds)
