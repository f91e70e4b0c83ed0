"""What the storms of the other tests are made of, and the clock on which they pass."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.clock import run
from support.storm import CALM_S, DAY_S, SETTLING_S, SOAKED, chosen_seeds, storm

from hemsd.simulator import FAMILIES, Flaw, Spell, Strike

OTHER_METER = {Strike.METER_EXCHANGED, Strike.METER_SET_UP}
"""They change what is true, and have tests of their own with history and backfill."""


def test_the_same_seed_is_the_same_storm() -> None:
    """A storm can be played again, and another seed is another one."""
    assert storm(17, 30) == storm(17, 30)
    assert storm(17, 30).faults != storm(18, 30).faults


def test_a_storm_tells_how_to_play_it_again() -> None:
    """Its text has the seed, and a line for each fault."""
    played = storm(17, 30)
    first, *lines = str(played).splitlines()
    assert "HEMSD_STORM_SEED=17" in first
    assert len(lines) == len(played.faults) > 300
    assert any("RADIO_LOST 108000 s" in line for line in lines)


def test_the_environment_names_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """HEMSD_STORM_SEED comes before everything; a soak draws its own; otherwise the fixed ones are taken."""
    for name in ("HEMSD_STORM_SEED", "HEMSD_SOAK"):
        monkeypatch.delenv(name, raising=False)
    assert chosen_seeds(1, 2) == [1, 2]
    monkeypatch.setenv("HEMSD_SOAK", "1")
    assert len(set(chosen_seeds(1, 2))) == SOAKED
    monkeypatch.setenv("HEMSD_STORM_SEED", "17")
    assert chosen_seeds(1, 2) == [17]


def test_every_kind_of_fault_blows() -> None:
    """A year has all there is; none begins too early to come online at all, or ends too late to come back."""
    faults = [fault for seed in range(12) for fault in storm(seed, 30, FAMILIES[seed % 3]).faults]
    assert {fault.kind for fault in faults} == {*Strike, *Flaw, *Spell} - OTHER_METER
    assert min(fault.at for fault in faults) >= CALM_S
    assert max(fault.at + fault.seconds for fault in faults) <= 30 * DAY_S - SETTLING_S


def test_what_could_spoil_nothing_is_left_out() -> None:
    """No answer is lost while the meter is not heard anyway: all of them would be, one after the other, later."""
    faults = storm(17, 30).faults
    (outage,) = [fault for fault in faults if fault.seconds == 30 * 3600]
    kinds = {fault.kind for fault in faults if outage.at <= fault.at < outage.at + outage.seconds}
    assert Flaw.ANSWER_LOST not in kinds
    assert kinds & {*Strike}
    assert [fault.at for fault in faults if fault.kind is Flaw.ANSWER_LOST][-1] > outage.at + outage.seconds


def test_the_clock_waits_for_threads() -> None:
    """What a thread does takes none of the loop's time, and its time limits are not jumped past."""

    async def main() -> float:
        async with asyncio.timeout(1):
            await asyncio.to_thread(time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0
