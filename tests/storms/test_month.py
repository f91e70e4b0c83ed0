"""Thirty days under a storm, the whole daemon in virtual time, each way to the meter: what is left of it."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from pathlib import Path

import pytest
from support.clock import run
from support.storm import DAY_S, Storm, chosen_seeds, storm
from support.whole import NETWORK, START, Footprint, House

from hemsd.routeb.collector import Pace
from hemsd.simulator import Household, module_of
from hemsd.simulator import Meter as SimulatedMeter

DAYS = 30
PACE = Pace(idle_s=60.0, energy_s=300.0)
BACK_S = 2400.0  # after the last trouble


def troubles(played: Storm) -> list[tuple[float, float]]:
    """From when to when each fault may keep us from the meter; what lies in wait for its occasion, from its time."""
    return [(fault.at, fault.at + fault.seconds) for fault in played.faults]


def late(times: list[float], played: Storm) -> list[tuple[float, float]]:
    """The pauses between readings that no trouble explains: when they began, and how long after the last trouble."""
    found = []
    for before, after in pairwise(times):
        ends = [min(end, after) for begin, end in troubles(played) if before - 600 < begin < after and end > before]
        since = max([before, *ends])
        if after - since > BACK_S:
            found.append((before, after - since))
    return found


@pytest.mark.parametrize("seed", chosen_seeds(1))
@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
def test_thirty_days(family: str, seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Always back in time, nothing missing, nothing wrong, nothing told, nothing left behind."""
    played = storm(seed, DAYS, family)
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        household = Household(7, pv_kw=4)
        module = module_of(family, SimulatedMeter(household, start=START), NETWORK, faults=played.faults)  # type: ignore[arg-type]
        house = House(module, household, tmp_path, seed=seed, pace=PACE)
        async with house.inhabited():
            await asyncio.sleep(5 * DAY_S)
            early = Footprint.now()
            await asyncio.sleep((DAYS - 5) * DAY_S)
            end = Footprint.now()
        print(early.resident_kib, end.resident_kib, early.descriptors, end.descriptors, early.tasks, end.tasks)
        print(len(house.heard.readings), len(house.heard.events))
        assert late(list(house.heard.readings), played) == []
        assert house.heard.leaks == []
        assert end.descriptors == early.descriptors

    print(played)
    run(main())
