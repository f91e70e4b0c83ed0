"""What G14 asks of our radio, in a house in virtual time. The ledger looks back one hour: two tell of a day."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from hemsd.hub.messages import MeterStatus, RadioHealth
from hemsd.simulator import Timing
from support.house import House, simulated

HOUR_S = 3600.0
SLOW = Timing(answer_s=4.1)  # give or take a quarter: 95 % within 5 s


@dataclass(frozen=True)
class Aired:
    """Seconds of transmission in an hour, and what came of it."""

    readings: int
    ledger_s: float  # as hemsd tells, the most
    module_s: float  # as the module itself counts, on average
    limited: bool  # the module sent nothing any more
    radio: RadioHealth


async def one_read_a_second(directory: Path, patch: pytest.MonkeyPatch, hours: int = 2) -> Aired:
    """The fastest pace there is."""
    timing = Timing(answer_s=0.3)
    house = House(simulated(timing=timing), directory, patch, live_s=1, watched_s=1, allow_fast_polling=True)
    async with house.living():
        since, before_s = house.now, house.module.air.duty.total_s
        await asyncio.sleep(hours * HOUR_S)
        told = house.seat.of(MeterStatus)
        return Aired(
            readings=len(house.readings(since)),
            ledger_s=max(status.radio.air_s for status in told),
            module_s=(house.module.air.duty.total_s - before_s) / hours,
            limited="gated" in {status.stage for status in told},
            radio=told[-1].radio,
        )


async def slow_meter(directory: Path, patch: pytest.MonkeyPatch, hours: int = 2) -> RadioHealth:
    """A meter that takes its time, read as usual."""
    house = House(simulated(timing=SLOW), directory, patch)
    async with house.living():
        await asyncio.sleep(hours * HOUR_S)
        return house.status.radio
