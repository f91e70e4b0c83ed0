"""Engine, link, meter and collector against the simulated module and meter, in virtual time, for every family."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.clock import run
from support.house import START, House, simulated
from support.routeb import SimulatedPort, virtual_now

from drivers.module import Credentials
from hemsd.echonet.meter import encode_history_1_day
from hemsd.hub.messages import Event, MeterInterval, MeterReading
from hemsd.routeb.cache import PanCache
from hemsd.routeb.errors import CredentialsRefused, MeterNotHeard, RadioTrouble
from hemsd.routeb.meter import Meter
from hemsd.simulator import FAMILIES as ALL
from hemsd.simulator import (
    Board,
    Family,
    Fault,
    Flash,
    Flaw,
    Household,
    Network,
    Plate,
    Spell,
    Strike,
    Timing,
    module_of,
)
from hemsd.simulator import Meter as SimulatedMeter

FAMILIES = pytest.mark.parametrize("family", ALL)
NETWORK = Network()
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)


def connect(module: Board, **options: Any) -> Meter:
    return Meter(SimulatedPort(module), CREDENTIALS, clock=virtual_now, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("SE", {"flash": Flash(wopt=0)}),
        ("SE", {"flash": Flash(wopt=1)}),
        ("DUAL", {"flash": Flash(wopt=0)}),
        ("DUAL", {"flash": Flash(wopt=1)}),
        ("J11", {}),
    ],
    ids=["SE-raw", "SE-hex", "DUAL-raw", "DUAL-hex", "J11"],
)
def test_a_reading(family: Family, options: dict[str, Any]) -> None:
    """From a module fresh on the table to values that are the household's own."""

    async def main() -> None:
        module = simulated(family, **options)
        async with connect(module) as meter:
            identity = await meter.identify()
            reading = await meter.read_live()
            history = await meter.select_and_read(
                0xE5, encode_history_1_day(1), [0xE2, 0xE4], lambda value: value.require(1)
            )
        assert (identity.generation, identity.release) in [(1, "F"), (2, "R")]
        household = Household(7, pv_kw=4)
        near = [household.power_w(START + timedelta(seconds=s)) for s in range(0, 180)]
        assert reading.power_w in near
        assert reading.energy_import_kwh is not None
        assert reading.energy_export_kwh is not None
        assert [len(history[epc].counts) for epc in (0xE2, 0xE4)] == [48, 48]

    run(main())


@FAMILIES
def test_what_we_add_to_the_modules_own_time(family: Family, tmp_path: Path) -> None:
    """Cold, with the PAN cached and with the session alive, the first reading comes in the link's own time."""

    async def main() -> None:
        timing = Timing.fast()
        module = simulated(family, timing=timing)
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(3):
            start = loop.time()
            async with connect(module, cache=PanCache(tmp_path)) as meter:
                await meter.read_live(energy=False)
                took.append(loop.time() - start)
            if len(took) == 1:
                await asyncio.sleep(1)
                module = simulated(family, timing=timing)  # another module, never on a PAN
        channels, found_out_s = (14, 0.2) if family == "J11" else (28, 0.0)
        scans_s = sum(timing.dwell_s * (2**duration + 1) * channels for duration in (4, 5))
        join_s = 0.35
        assert took[0] - scans_s - join_s - found_out_s < 0.1
        assert took[1] - join_s < 0.1
        assert took[2] < 0.1

    run(main())


@FAMILIES
def test_diagnosis(family: Family) -> None:
    """Wrong ID: not heard. Wrong password over a good link: refused. A bad link: radio."""

    async def conclude(module: Board, credentials: Credentials, error: type[Exception]) -> None:
        async with Meter(SimulatedPort(module), credentials) as meter:
            with pytest.raises(error):
                await meter.online()

    async def main() -> None:
        await conclude(simulated(family), Credentials("0" * 32, NETWORK.password), MeterNotHeard)
        await conclude(simulated(family), Credentials(NETWORK.route_b_id, "A" * 12), CredentialsRefused)
        faults = [Fault(Flaw.JOIN_FAILS, times=9)]
        module = module_of(family, SimulatedMeter(Household(7), start=START), Network(lqi=0x40), faults=faults)
        await conclude(module, CREDENTIALS, RadioTrouble)

    run(main())


STORM = [
    Fault(Flaw.ANSWER_LOST, at=600, times=3),
    Fault(Flaw.SEND_FAILS, at=1200, times=2),
    Fault(Flaw.SEND_REFUSED, at=1500, times=2),
    Fault(Flaw.ANSWER_SHORT, at=2000, times=2),
    Fault(Flaw.ANSWER_REFUSED, at=2300, times=1),
    Fault(Flaw.ANSWER_TWICE, at=2600, times=3),
    Fault(Flaw.ANSWER_LATE, at=2900, times=2, seconds=15),
    Fault(Flaw.ANSWER_DAMAGED, at=3200, times=2),
    Fault(Flaw.INF_BEFORE_ECHO, at=3500, times=2),
    Fault(Strike.EXPIRE, at=4000),
    Fault(Strike.PEER_CLOSES, at=5000),
    Fault(Strike.LIMIT, at=6000, seconds=200),
    Fault(Strike.LOSE_SESSION, at=7000),
    Fault(Strike.METER_RESTARTS, at=8000),
    Fault(Strike.GARBAGE, at=9000, arg=b"\xff\x00EVENT 2\r\nERXUDP FE80\r\n"),
    Fault(Strike.MOVE_PAN, at=10000, arg=(0x3B, 0x1234)),
    Fault(Strike.REBOOT, at=11500),
    Fault(Spell.RADIO_LOST, at=12500, seconds=120),
    Fault(Spell.HANG, at=13500, seconds=60),
]


@FAMILIES
def test_a_day_with_every_fault(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four stormy hours and twenty quiet ones: it always comes back, no half-hour is missing, no value is wrong."""

    async def main() -> None:
        house = House(simulated(family, {"confirmed": family == "SE"}, faults=STORM), tmp_path, monkeypatch)
        seat = house.seat
        async with house.living():
            await asyncio.sleep(86_400)
            assert house.status.online
            assert house.status.fresh
        events = [event.kind for event in seat.of(Event)]
        assert events.count("meter.online") == events.count("meter.lost") + 1
        assert events.count("meter.unreachable") == 1  # while the module hangs
        assert sum(house.status.radio.recoveries.values()) >= events.count("meter.lost")
        ends = [interval.end for interval in seat.of(MeterInterval)]
        first = datetime(2026, 5, 14, 5, 0, tzinfo=UTC)
        assert sorted(set(ends)) == [first + timedelta(minutes=30) * n for n in range(len(set(ends)))]
        assert len(set(ends)) >= 48
        gaps = [later - earlier for earlier, later in pairwise(seat.times(MeterReading))]
        assert max(gaps) < 600
        assert sum(gap > 60 for gap in gaps) < 15
        registers = [reading.energy_import_kwh for reading in seat.of(MeterReading)]
        told = [register for register in registers if register is not None]
        assert told == sorted(told)

    run(main())


def test_a_weak_and_slow_meter() -> None:
    """Two properties an answer, single-phase two-wire, no coefficient, 5 s to answer: read in full all the same."""

    async def main() -> None:
        plate = Plate(coefficient=None, two_wire=True)
        module = simulated("SE", {"limit_properties": 2, "plate": plate}, timing=Timing(answer_s=5.0))
        async with connect(module) as meter:
            await meter.identify()
            reading = await meter.read_live()
        assert reading.states == {"current_t_a": "no_data"}
        assert reading.energy_import_kwh is not None

    run(main())
