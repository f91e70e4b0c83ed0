"""A power distribution board (0287): the main switch as the meter sees it, and channels in paged lists.

What a list shows is chosen before it is read: B2 for B3, B4 for B5, B6 for B7, and so on for channels in both
directions (B9 for BA, BB for BC, BD for BE).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hemsd.simulator.appliances.device import Accepts, Device, Row, i16, i32, u16
from hemsd.simulator.appliances.meters import NO_DATA
from hemsd.simulator.appliances.usage import HALF_HOUR, SLOTS, Usage
from hemsd.simulator.appliances.world import World

KWH_J = 3_600_000
COUNT_KWH = 0.01  # C2
NO_RANGE = b"\xfd\xfd"  # of channels, not chosen yet
IN_TABLE = 32  # channels that have a property of their own, D0 to EF
MAINS_V = 100


def _page(longest: int) -> Accepts:
    return lambda edt: len(edt) == 2 and 1 <= edt[0] <= 252 and 1 <= edt[1] <= longest


def _list(selector: int, entry: str, channels: str) -> Callable[[Any], bytes]:
    return lambda it: it.listed(selector, getattr(it, channels), getattr(it, entry))


class Board(Device):
    """`channels` in one direction; `duplex` in both."""

    code = 0x0287
    product = "BOARD-32"
    table = (
        Row(0xB0, b"\x3c"),
        Row(0xB1, lambda it: bytes((len(it.channels),))),
        Row(0xB2, NO_RANGE, "rs", _page(60)),
        Row(0xB3, _list(0xB2, "energy", "channels")),
        Row(0xB4, NO_RANGE, "rs", _page(60)),
        Row(0xB5, _list(0xB4, "current", "channels")),
        Row(0xB6, NO_RANGE, "rs", _page(60)),
        Row(0xB7, _list(0xB6, "power", "channels")),
        Row(0xB8, lambda it: bytes((len(it.duplex),))),
        Row(0xB9, NO_RANGE, "rs", _page(30)),
        Row(0xBA, _list(0xB9, "both_energies", "duplex")),
        Row(0xBB, NO_RANGE, "rs", _page(60)),
        Row(0xBC, _list(0xBB, "current", "duplex")),
        Row(0xBD, NO_RANGE, "rs", _page(60)),
        Row(0xBE, _list(0xBD, "power", "duplex")),
        Row(0xC0, lambda it: it.main(it.wall_clock, exported=False)),
        Row(0xC1, lambda it: it.main(it.wall_clock, exported=True)),
        Row(0xC2, b"\x02"),
        Row(0xC3, lambda it: it.history(exported=False)),
        Row(0xC4, lambda it: it.history(exported=True)),
        Row(0xC5, b"\xff", "rs", lambda edt: len(edt) == 1 and (edt[0] <= 99 or edt == b"\xff")),
        Row(0xC6, lambda it: i32(it.world.grid_w(it.wall_clock))),
        Row(0xC7, lambda it: b"".join(i16(10 * a) for a in it.world.wall.currents_a(it.wall_clock))),
        Row(0xC8, u16(1015) + u16(1009)),
        *(Row(0xD0 + number, partial(lambda it, number: it.channel(number), number=number)) for number in range(32)),
    )

    def __init__(self, world: World, *, channels: int = 16, duplex: int = 2, **options: Any) -> None:
        absent = frozenset(range(0xD0 + channels, 0xD0 + IN_TABLE))
        super().__init__(world, lacks=absent | options.pop("lacks", frozenset()), **options)
        name, chance = f"{world.seed} {self.eoj:06X}", self.chance("channels")
        self.channels = [self._usage(f"{name} {n}", chance.uniform(0.1, 2.5)) for n in range(channels)]
        self.duplex = [self._usage(f"{name} both {n}", chance.uniform(1, 4)) for n in range(duplex)]

    def _usage(self, name: str, daily_kwh: float) -> Usage:
        return Usage(name, self.world.start, daily_kwh)

    # --- one entry of a list, for a channel

    def energy(self, usage: Usage) -> bytes:
        return int(usage.total(self.wall_clock) / COUNT_KWH).to_bytes(4, "big")

    def both_energies(self, usage: Usage) -> bytes:
        return self.energy(usage) + bytes(4)

    def power(self, usage: Usage) -> bytes:
        return i32(usage.rate(self.wall_clock) * 1000)

    def current(self, usage: Usage) -> bytes:
        return i16(usage.rate(self.wall_clock) * 1000 / MAINS_V * 10) + i16(0)

    def listed(self, selector: int, channels: list[Usage], entry: Callable[[Usage], bytes]) -> bytes:
        chosen = self[selector]
        if chosen == NO_RANGE:
            return NO_RANGE
        first, count = chosen[0] - 1, chosen[1]
        entries = b"".join(entry(usage) for usage in channels[first : first + count])
        return chosen[:1] + bytes((len(channels[first : first + count]),)) + entries

    def channel(self, number: int) -> bytes:
        """D0 to EF: energy, and currents in whole amperes."""
        usage = self.channels[number]
        return self.energy(usage) + i16(usage.rate(self.wall_clock) * 1000 / MAINS_V) + i16(0)

    # --- the main switch

    def main(self, at: datetime, *, exported: bool) -> bytes:
        energy = self.world.wall.energy(at)
        if energy is None or at > self.wall_clock:
            return NO_DATA
        joules = energy.exported_j if exported else energy.imported_j
        return int(joules / (KWH_J * COUNT_KWH)).to_bytes(4, "big")

    def history(self, *, exported: bool) -> bytes:
        day = self.number(0xC5)
        if day == 0xFF:
            return b"\0\xff" + NO_DATA * SLOTS
        date = self.wall_clock.date() - timedelta(days=day)
        midnight = datetime(date.year, date.month, date.day)
        registers = (self.main(midnight + slot * HALF_HOUR, exported=exported) for slot in range(SLOTS))
        return day.to_bytes(2, "big") + b"".join(registers)
