"""Each rung of the ladder brings the meter back, by itself, within its bound; the whole house in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.clock import run
from support.house import Family, House, simulated

from hemsd.routeb.ladder import BOUND_S, RUNGS, Rung
from hemsd.routeb.news import DOING
from hemsd.simulator import Fault, Flaw, Spell, Strike

OUTAGES: dict[Rung, list[Fault]] = {  # what only this rung can mend
    Rung.RETRY: [Fault(Spell.METER_SILENT, seconds=70)],
    Rung.REAUTHENTICATE: [Fault(Strike.METER_RESTARTS)],
    Rung.REJOIN: [Fault(Strike.PEER_CLOSES)],
    Rung.RESCAN: [Fault(Strike.MOVE_PAN, arg=(0x3B, 0x1234))],
    Rung.RESET: [
        Fault(Flaw.COMMAND, times=3, arg=("SKSCAN", "ER10")),
        Fault(Flaw.COMMAND, times=3, arg=("0051", "37")),  # the same of a J11 module
        Fault(Strike.MOVE_PAN, arg=(0x3B, 0x1234)),
    ],
    Rung.REOPEN: [Fault(Spell.HANG, seconds=150)],
    Rung.REPLUG: [Fault(Spell.UNPLUGGED, seconds=600)],
}


def rung_of(text: str) -> Rung:
    """Which rung an event tells of."""
    return next(rung for rung in RUNGS if text.endswith(DOING[rung]))


def walk(house: House, since: float) -> list[tuple[Rung, float]]:
    """The rungs taken since, and how long each lasted: until the next, a conclusion, online or a reading."""
    taken = [(at, rung_of(event.text)) for at, event in house.told("meter.recovery", since)]
    ended = [*house.told("meter.unreachable", since), *house.told("meter.online", since)]
    ends = sorted([*[at for at, _ in taken], *[at for at, _ in ended], *house.readings(since)])
    return [(rung, next(end for end in ends if end > at) - at) for at, rung in taken]


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.value)
def test_each_rung(rung: Rung, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheapest rung that can work brings the meter back, cheaper ones were tried, and none took too long."""

    async def main() -> None:
        house = House(simulated(family), tmp_path, monkeypatch)
        async with house.living():
            since = house.now
            house.strike(*OUTAGES[rung])
            await house.until(lambda: rung.value in house.status.radio.recoveries)
            await asyncio.sleep(5)
            status = house.status
            assert (status.online, status.stage) == (True, "online")
            assert status.radio.recoveries == {rung.value: 1}
            taken = walk(house, since)
            assert [step for step, _ in taken] == sorted([step for step, _ in taken], key=RUNGS.index)
            assert taken[-1][0] is rung
            for step, took_s in taken:
                assert took_s <= BOUND_S[step] + (600 if step is Rung.REPLUG else 0)
            if rung is not Rung.RETRY:
                assert house.told("meter.online", since)[0][1].text.startswith("the meter is online again after ")
            assert status.radio.recovery_s is not None
            assert status.radio.recovery_s <= house.now - since

    run(main())
