"""The grid connection of a house with appliances: the same for the meter, the battery and the board."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.simulated import SUMMER, lived, world

from hemsd.simulator import Meter, Plate
from hemsd.simulator.appliances import (
    AirConditioner,
    Battery,
    FuelCell,
    MultiInputPcs,
    Photovoltaics,
    World,
    inverter,
)


def power_w(there: World, seconds: float = 360) -> int:
    return there.wall.power_w(there.at(seconds))


def test_before_the_start_it_is_the_households_own() -> None:
    """Registers of the past do not depend on what is switched on now."""
    there = world()
    lived(AirConditioner(there), 0.1).set(0x80, b"\x30")
    for days in (1, 100):
        at = SUMMER - timedelta(days=days)
        assert there.wall.energy(at) == there.household.energy(at)
        assert there.wall.power_w(at) == there.household.power_w(at)


def test_what_appliances_draw_and_give_is_counted() -> None:
    """Power at once, energy as time passes; the sun the household had counted, unless it is held down."""
    there = world()
    alone_w = there.household.power_w(there.at(360))
    air = AirConditioner(there)
    air.set(0x80, b"\x30")
    lived(air, 0.1)
    assert power_w(there) == alone_w + round(air.power_w) > alone_w
    cell = lived(FuelCell(there), 0.1)
    assert power_w(there) == alone_w + round(air.power_w - cell.power_w)
    sun = Photovoltaics(there)
    lived(sun, 0.1)
    assert power_w(there) == alone_w + round(air.power_w - cell.power_w)
    sun.set(0xA0, b"\0")
    lived(sun, 0.1)
    assert power_w(there, 720) == there.household.power_w(there.at(720)) + round(
        air.power_w - cell.power_w + there.sun_w(there.at(715))
    )


def test_registers_follow_the_power() -> None:
    """Import and export never fall; their difference is what passed."""
    there = world()
    battery = Battery(there)
    battery.set(0xDA, b"\x42")
    begun = there.wall.energy(there.start)
    assert begun == there.household.energy(there.start)
    before, passed_j = begun, 0.0
    for minute in range(1, 120):
        passed_j += 60 * there.wall.power_w(there.at(60 * (minute - 1)))
        now = there.wall.energy(there.at(60 * minute))
        assert before is not None and now is not None
        assert now.imported_j >= before.imported_j and now.exported_j >= before.exported_j
        before = now
        lived(battery, 1 / 60)
    assert before is not None and begun is not None
    assert before.imported_j - begun.imported_j - before.exported_j + begun.exported_j == pytest.approx(
        passed_j, rel=0.01
    )
    assert there.wall.energy(there.at(3600)) != before  # it remembers


@pytest.mark.parametrize("began", [timedelta(), timedelta(minutes=1, seconds=37)])
def test_half_hours_are_remembered_for_long_and_minutes_for_a_day(began: timedelta) -> None:
    """As a meter tells them; whatever second the simulation began at."""
    there = World(SUMMER + began)
    days = [SUMMER + timedelta(minutes=minute) for minute in range(2, 4 * 1440)]
    told = {at: there.wall.energy(at) for at in days}
    for at, energy in told.items():
        if at.minute % 30 == 0 or at > days[-1] - timedelta(days=1):
            assert there.wall.energy(at) == energy
    assert len(there.wall._minutes) < 2000


def test_a_battery_that_follows_the_house_leaves_little_to_the_grid() -> None:
    """As long as it has the power and the energy."""
    there = world()
    parts: tuple[Photovoltaics | Battery | MultiInputPcs, ...] = inverter(there)
    assert abs(power_w(there, 0)) > 500
    for each in parts:
        lived(each, 0.02)
    assert 30 <= power_w(there, 70) <= 70


def test_the_meter_reads_what_the_wall_has() -> None:
    """E7 of the smart meter, with an air conditioner running."""
    there = world()
    meter = Meter(there.wall, start=SUMMER, plate=Plate(generation=2))
    meter.join(0.0)
    air = AirConditioner(there)
    air.set(0x80, b"\x30")
    lived(air, 0.1)
    answer = meter.answer(bytes.fromhex("1081000105FF010288016201E700"), 360.0)
    assert answer is not None
    assert int.from_bytes(answer.payload[-4:], "big", signed=True) == power_w(there)
