"""Watt-hour meter (0280), sub-meter (028D), water meter (0281) and gas meter (0282)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hemsd.simulator.appliances.device import Device, Row, between, calendar, i16, i32, u16
from hemsd.simulator.appliances.usage import Usage
from hemsd.simulator.appliances.world import World

NO_DATA = b"\xff\xff\xff\xfe"


class FlowMeter(Device):
    """A register that follows a usage. A count is `count` units."""

    daily = 1.0
    count = 0.001

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        self.usage = Usage(f"{world.seed} {self.eoj:06X}", world.start, self.daily)

    def register(self, at: datetime | None = None) -> bytes:
        return self.counted(self.usage.total(at or self.wall_clock))

    def counted(self, total: float) -> bytes:
        return int(total / self.count).to_bytes(4, "big")

    def log(self, days_ago: int = 0) -> bytes:
        """The register at the half-hours of a day."""
        now = self.wall_clock
        totals = self.usage.slots(now.date() - timedelta(days=days_ago), now)
        return b"".join(NO_DATA if total is None else self.counted(total) for total in totals)


class WattHourMeter(FlowMeter):
    """Counts in 0.01 kWh."""

    code = 0x0280
    product = "WH-1"
    daily, count = 6.0, 0.01
    table = (
        Row(0xE0, lambda it: it.register()),
        Row(0xE2, b"\x02"),
        Row(0xE3, lambda it: it.log()),
    )


class SubMeter(FlowMeter):
    """Single-phase three-wire. Counts in 0.001 kWh; the day of its history is chosen by E0."""

    code = 0x028D
    product = "SUB-1"
    daily, count = 8.0, 0.001
    table = (
        Row(0xD3, (1).to_bytes(4, "big")),
        Row(0xD4, b"\x03"),
        Row(0xD7, b"\x08"),
        Row(0xD8, u16(1)),
        Row(0xD9, u16(1)),
        Row(0xE0, b"\xff", "rs", lambda edt: between(0, 99)(edt) or edt == b"\xff"),
        Row(0xE1, lambda it: it.register()),
        Row(0xE2, lambda it: it.history()),
        Row(0xE3, bytes(4)),
        Row(0xE4, lambda it: it.history()[:2] + NO_DATA * 48),
        Row(0xE7, lambda it: i32(it.usage.rate(it.wall_clock) * 1000)),
        Row(0xE8, lambda it: 2 * i16(it.usage.rate(it.wall_clock) * 1000 / 200 * 10)),
        Row(0xE9, u16(1012) + u16(1008)),
        Row(0xEA, lambda it: it.half_hourly(), "ra"),
        Row(0xEB, lambda it: it.half_hourly()[:7] + bytes(4), "ra"),
    )

    def history(self) -> bytes:
        day = self.number(0xE0)
        return b"\0\xff" + NO_DATA * 48 if day == 0xFF else day.to_bytes(2, "big") + self.log(day)

    def half_hourly(self) -> bytes:
        now = self.wall_clock
        at = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        return calendar(at) + bytes((at.hour, at.minute, 0)) + self.register(at)


class WaterMeter(FlowMeter):
    """Counts litres."""

    code = 0x0281
    product = "WATER-20"
    daily = 0.6
    table = (
        Row(0xD0, b"\x30", "rs", between(0x30, 0x33)),
        Row(0xE0, lambda it: it.register()),
        Row(0xE1, b"\x03"),
        Row(0xE2, lambda it: it.log()),
        Row(0xE3, b"\x42", "ra"),
    )


class GasMeter(FlowMeter):
    """Counts 0.001 m3."""

    code = 0x0282
    product = "GAS-6"
    daily = 1.1
    table = (Row(0xE0, lambda it: it.register()), Row(0xE2, lambda it: it.log()))
