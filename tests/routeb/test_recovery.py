"""Each rung of the ladder brings the meter back, by itself, within its bound; the whole house in virtual time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest
from support.clock import run
from support.house import Family, House, simulated, walk

from hemsd.routeb.ladder import BOUND_S, RUNGS, Rung
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.news import DONE
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
            steps = [step for _, step, _ in taken]
            assert steps == sorted(steps, key=RUNGS.index)
            assert steps[-1] is rung
            for _, step, took_s in taken:
                assert took_s <= BOUND_S[step] + (600 if step is Rung.REPLUG else 0)
            if rung is not Rung.RETRY:
                ((_, event),) = house.told("meter.online", since)
                assert event.text.startswith("the meter is online again after ")
                assert event.text.endswith("its session has survived" if rung is Rung.REOPEN else DONE[rung])
            assert status.radio.recovery_s is not None
            assert status.radio.recovery_s <= house.now - since

    run(main())


def test_a_port_opened_again_is_no_new_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, the loss, the rung and what was read last outlive the port; the first attempts come within seconds."""

    async def main() -> None:
        house = House(simulated(), tmp_path, monkeypatch)
        async with house.living():
            await asyncio.sleep(600)
            before = house.status
            since = house.now
            house.strike(Fault(Spell.UNPLUGGED, seconds=2))
            await house.until(lambda: not house.status.online)
            gone = house.status
            assert (gone.meter, gone.stage, gone.fresh) == (before.meter, "waiting", False)
            assert gone.read_at is not None
            assert gone.radio.requests >= before.radio.requests
            await house.until(lambda: house.status.online)
            assert house.now - since < 10
            assert house.status.radio.requests > before.radio.requests
            assert house.status.radio.sessions == before.radio.sessions + 1
            assert house.opened[-1] - since < 5

    run(main())


def test_the_device_is_gone_for_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning an hour at most, and it is back within a minute and the time of a join."""

    async def main() -> None:
        house = House(simulated(), tmp_path, monkeypatch)
        async with house.living():
            since, week_s = house.now, 7 * 86_400
            house.strike(Fault(Spell.UNPLUGGED, seconds=week_s))
            await asyncio.sleep(week_s)
            assert len(house.told("meter.recovery", since)) <= 7 * 24 + 2
            await house.until(lambda: house.status.online)
            assert house.now - since - week_s < 60 + 10

    run(main())


def test_a_weak_link_is_told_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single silences every ten minutes are counted each, and told a person hourly."""

    async def main() -> None:
        house = House(simulated(), tmp_path, monkeypatch, live_s=10)
        async with house.living():
            house.strike(*[Fault(Spell.METER_SILENT, at=600.0 * n, seconds=75) for n in range(12)])
            await asyncio.sleep(7300)
            assert house.status.radio.recoveries == {"retry": 12}
            assert len(house.told("meter.recovery")) == 2
            assert house.told("meter.lost") == []

    run(main())


LIMITED_S = 400.0  # send limits in a storm, which stop all clocks


def storm(seed: int) -> list[Fault]:
    """A day with one trouble after the other, each begun when the one before may just be over."""
    chance, at, faults = Random(seed), 0.0, []
    while at < 80_000:
        kind = chance.choice(
            [
                *[Spell.METER_SILENT, Spell.RADIO_LOST, Spell.HANG, Spell.UNPLUGGED],
                *[Strike.PEER_CLOSES, Strike.LOSE_SESSION, Strike.EXPIRE, Strike.METER_RESTARTS, Strike.REBOOT],
                *[Strike.MOVE_PAN, Strike.LIMIT, Flaw.JOIN_FAILS, Flaw.SEND_FAILS, Flaw.ANSWER_LOST],
                *[Flaw.CLOSE_UNANSWERED, Flaw.COMMAND],
            ]
        )
        arg: object = None
        if kind is Strike.MOVE_PAN:
            arg = chance.randrange(0x21, 0x3D, 2), chance.randrange(0xFFFF)  # real meters keep to 400 kHz
        elif kind is Flaw.COMMAND:
            arg = chance.choice(["SKSCAN", "SKJOIN", "SKRESET", "SKREJOIN", "SKTERM", "SKSREG"]), "ER10"
        seconds = chance.choice([5, 60, 200, 900, 4000]) if kind is not Strike.LIMIT else LIMITED_S / 2
        faults.append(Fault(kind, at=at, seconds=seconds, times=chance.randrange(1, 6), arg=arg))
        at += chance.choice([1, 30, 300, 3000, 6000])
    return faults


SEEDS = [Random().randrange(2**32) for _ in range(50)] if os.environ.get("HEMSD_SOAK") else [1, 2]


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
@pytest.mark.parametrize("seed", SEEDS)
def test_storms(seed: int, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes together: no rung exceeds its bound, and a quiet hour later the meter is read as ever."""
    monkeypatch.setattr(Logbook, "is_news", lambda *_: True)  # every rung is to be seen

    async def main() -> None:
        house = House(simulated(family), tmp_path, monkeypatch)
        async with house.living():
            since = house.now
            house.strike(*storm(seed))
            await asyncio.sleep(86_400 + 3_600)
            assert (house.status.online, house.status.fresh) == (True, True)
            assert house.readings(house.now - 60)
            for at, rung, took_s in walk(house, since):
                if rung is not Rung.REPLUG:
                    assert took_s <= BOUND_S[rung] + LIMITED_S, (at, rung, took_s)

    run(main())
