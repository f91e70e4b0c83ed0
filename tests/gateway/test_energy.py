"""The totals of the house: they grow with the meter and do nothing else, whatever happens to it or to hemsd."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from support.gateway import AT

from hemsd.gateway.energy import HouseEnergy
from hemsd.hub.messages import Lifetime, LifetimeEnergy, MeterReading


def known(total: float, register: float | None, meter: str = "m1", minutes: float = 0) -> LifetimeEnergy:
    """Of the imported energy, at a half-hour so long after the first."""
    at = AT + timedelta(minutes=minutes)
    return LifetimeEnergy(imported=Lifetime(meter=meter, at=at, total_kwh=total, register_kwh=register))


def shown(kwh: float | None, minutes: float = 5, meter: str = "m1", **more: Any) -> MeterReading:
    at = AT + timedelta(minutes=minutes)
    return MeterReading(meter=meter, measured_at=at, energy_import_kwh=kwh, **more)


def told(*messages: LifetimeEnergy | MeterReading) -> list[float]:
    """The totals as they are told one after the other."""
    energy = HouseEnergy()
    return [energy.totals["imported"] for message in messages if energy.hear(message, AT)]


def test_a_register_adds_what_came_since_the_half_hour() -> None:
    """To the total of history, which has older meters and wraps in it."""
    assert told(known(5000.0, 100.5), shown(100.5), shown(100.7, 10), shown(100.7, 15)) == [5000.0, 5000.2]
    assert told(shown(100.6), known(5000.0, 100.5)) == [5000.1]


def test_half_hours_that_follow_change_nothing() -> None:
    """The same register, the same total: none of both is ahead of the other."""
    assert told(known(5000.0, 100.0), shown(101.0, 29), known(5001.0, 101.0, minutes=30), shown(102.0, 40)) == [
        5001.0,
        5002.0,
    ]


def test_nothing_is_told_until_a_register_was_read() -> None:
    """What was told before a restart may be more than history knows."""
    assert told(known(5000.0, 100.0), shown(None, power_w=5), shown(100.4)) == [5000.4]


def test_a_register_that_cannot_be_read_is_told_by_half_hours() -> None:
    """From one on that surely is later than all that was told before the start."""
    half_hours = [known(5000.0 + number, 100.0 + number, minutes=30 * number) for number in range(4)]
    assert told(*half_hours) == [5002.0, 5003.0]


def test_a_wrap_waits_for_the_half_hour() -> None:
    """Nothing is told between; then it goes on, and the wrap is in the total."""
    before, after = known(99999.5, 99999.5), known(100_000.2, 0.2, minutes=30)
    assert told(before, shown(99999.8), shown(0.1, 20), after, shown(0.2, 31), shown(0.5, 40)) == [
        99999.8,
        100_000.2,
        100_000.5,
    ]


def test_another_meter_waits_for_its_half_hour() -> None:
    """What it shows has nothing to do with the one before."""
    new = known(5000.3, 7.0, "m2", 30)
    messages = known(5000.0, 100.0), shown(100.2), shown(7.0, 20, "m2"), new, shown(7.5, 40, "m2")
    assert told(*messages) == [5000.2, 5000.3, 5000.8]
    assert told(known(5000.0, 100.0), shown(101.0, meter="m2")) == []


def test_what_cannot_be_is_not_told() -> None:
    """A register at zero, one that fell, one ten times as high for another unit: neither a drop nor a spike."""
    garbage = (shown(0.0, 6), shown(99.9, 7), shown(1000.0, 8), shown(10.0, 9), shown(166.0, 30))
    assert told(known(5000.0, 100.0), shown(100.1), *garbage, shown(100.2, 31)) == [5000.1, 5000.2]


def test_as_much_as_a_house_can_take_is_told() -> None:
    """Three days without hemsd are made up for at once."""
    assert told(known(5000.0, 100.0), shown(190.0, 3 * 24 * 60)) == [5090.0]


def test_a_total_never_falls() -> None:
    """Not even where history makes something else of the past."""
    assert told(known(5000.0, 100.0), shown(101.0), known(4000.0, 101.0), shown(101.5)) == [5001.0]


def test_a_total_that_waits_stands() -> None:
    """While history holds it the register says nothing."""
    assert told(known(5000.0, None), shown(3.0), shown(4.0)) == [5000.0]


def test_it_is_complete_with_all_that_history_knows() -> None:
    """So that no total which was told is told as unknown after a start; a house without export has one."""
    energy = HouseEnergy()
    assert not energy.complete
    lifetime = Lifetime(meter="m1", at=AT, total_kwh=1.0, register_kwh=1.0)
    energy.hear(LifetimeEnergy(imported=lifetime, exported=lifetime), AT)
    energy.hear(shown(1.0), AT)
    assert not energy.complete
    energy.hear(MeterReading(meter="m1", measured_at=AT, energy_export_kwh=1.0), AT)
    assert energy.complete
    alone = HouseEnergy()
    alone.hear(LifetimeEnergy(imported=lifetime), AT)
    alone.hear(shown(1.0), AT)
    assert alone.complete
