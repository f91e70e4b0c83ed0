"""Thirty days under a storm, the whole daemon in virtual time, each way to the meter: what is left of it."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from support.clock import run
from support.storm import DAY_S, Storm, chosen_seeds, storm
from support.whole import NETWORK, START, Footprint, Heard, Whole, files_with_secrets, logged_amiss, wrong_books

from hemsd.routeb.ladder import BOUND_S, Rung
from hemsd.simulator import FAMILIES, Board, Family, Household, MeterNode, Spell, Strike, module_of
from hemsd.simulator import Meter as SimulatedMeter

DAYS = 30
SETTLED_DAYS = 5
LIVE_S = 60.0  # between two readings; the product's default of 30 s proves the same in twice the time
BACK_S = 2400.0  # the longest from the last trouble to the next reading: a whole round, a pause and another
REFUSED_S = 3700.0  # and where the meter refused us: an hour more
LURKING_S = 600.0  # how long before a pause what causes it may have happened
GROWTH_KIB = 6 * 1024


def late(heard: Heard, played: Storm) -> list[str]:
    """The pauses between readings that no trouble explains."""
    found = []
    for before, after in pairwise(heard.readings):
        if after - before <= BACK_S:
            continue
        ends = [fault.at + fault.seconds for fault in played.faults if fault.at < after]
        since = max([before, *(min(end, after) for end in ends if end > before - LURKING_S)])
        refused = any(before < at < after and "password" in event.text for at, event in heard.events)
        if after - since > (REFUSED_S if refused else BACK_S):
            found.append(f"{_day(before)}: {after - since:.0f} s after the last trouble")
    return found


def slow_steps(heard: Heard, played: Storm) -> list[str]:
    """The steps of the ladder that ended neither in a reading, nor in the next step, nor in a diagnosis in time."""
    found = []
    readings = [*heard.readings, math.inf]
    for (at, rung), (then, _) in pairwise([*heard.steps, (math.inf, None)]):
        if rung is None:
            continue
        ended = min(then, readings[bisect_right(readings, at)])
        since, took_s = at, ended - at
        for fault in played.faults:  # without the device, or with sending forbidden, no clock runs
            if (rung is Rung.REPLUG and fault.kind is Spell.UNPLUGGED) or fault.kind is Strike.LIMIT:
                over = min(fault.at + fault.seconds, ended)
                took_s -= max(0.0, over - max(fault.at, since))
                since = max(since, over)
        if took_s > BOUND_S[rung]:
            found.append(f"{_day(at)}: {rung.value} took {took_s:.0f} s")
    return found


def _day(at: float) -> str:
    return f"day {at // DAY_S:.0f} {at % DAY_S // 3600:02.0f}:{at % 3600 // 60:02.0f}"


@pytest.mark.parametrize("seed", chosen_seeds(1))
@pytest.mark.parametrize("family", [*FAMILIES, "IP"])
def test_thirty_days(family: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Always back in time, nothing missing, nothing wrong, nothing told, nothing left behind."""
    played = storm(seed, DAYS, family)
    print(played)
    random.seed(seed)
    household = Household(7, pv_kw=4)
    meter = SimulatedMeter(household, start=START)
    module: Board | MeterNode
    if family == "IP":
        module = MeterNode(meter, faults=played.faults)
    else:
        module = module_of(cast(Family, family), meter, NETWORK, faults=played.faults)
    state = tmp_path / "state"

    async def main() -> Heard:
        whole = Whole(module, state, monkeypatch, live_s=LIVE_S)
        async with whole.running():
            await asyncio.sleep(SETTLED_DAYS * DAY_S)
            early = Footprint.now()
            await asyncio.sleep((DAYS - SETTLED_DAYS) * DAY_S)
            end = Footprint.now()
            records, gaps = await whole.records(), await whole.gaps()
        print(early.resident_kib, end.resident_kib, early.tasks, end.tasks)
        assert wrong_books(records, household, START + timedelta(days=DAYS)) == []
        assert gaps == []
        assert end.descriptors == early.descriptors
        assert end.resident_kib - early.resident_kib < GROWTH_KIB
        return whole.heard

    with logged_amiss() as amiss:
        heard = run(main())
    assert amiss == []
    assert late(heard, played) == []
    assert slow_steps(heard, played) == []
    assert heard.leaks == files_with_secrets(state) == []
    assert len(heard.readings) > 0.7 * DAYS * DAY_S / LIVE_S
