"""The household: plausible, deterministic, and its registers are exactly the integral of its power."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from hemsd.simulator import Household

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def _kwh(household: Household, begin: datetime, end: datetime) -> tuple[float, float]:
    first, last = household.energy(begin), household.energy(end)
    assert first is not None
    assert last is not None
    return (last.imported_j - first.imported_j) / 3.6e6, (last.exported_j - first.exported_j) / 3.6e6


@pytest.mark.parametrize("pv_kw", [0.0, 4.5])
def test_registers_are_the_integral_of_power(pv_kw: float) -> None:
    """Import and export grow by the watts of each minute, across midnight, to the joule."""
    household = Household(3, pv_kw=pv_kw)
    at = datetime(2026, 5, 9, 22, 0)
    imported, exported = household.energy(at) or (0, 0)
    for _ in range(26 * 60):
        power_w = household.power_w(at)
        imported += 60 * max(power_w, 0)
        exported += 60 * max(-power_w, 0)
        at += MINUTE
        assert household.energy(at) == (imported, exported)


def test_registers_grow_by_the_second() -> None:
    """Within a minute the register follows the constant power."""
    household = Household(3)
    at = datetime(2026, 5, 9, 19, 30)
    begin, later = household.energy(at), household.energy(at + timedelta(seconds=17))
    assert begin is not None
    assert later is not None
    assert later.imported_j - begin.imported_j == 17 * household.power_w(at)


def test_same_seed_same_house_in_any_order() -> None:
    """The curve depends on seed and instant only, not on what was asked before."""
    instants = [datetime(2026, 3, 1) + timedelta(hours=7 * step) for step in range(60)]
    forward, backward, other = Household(5, pv_kw=3), Household(5, pv_kw=3), Household(6, pv_kw=3)
    seen = [(forward.power_w(at), forward.currents_a(at), forward.energy(at)) for at in instants]
    again = [(backward.power_w(at), backward.currents_a(at), backward.energy(at)) for at in reversed(instants)]
    assert seen == again[::-1]
    assert [other.power_w(at) for at in instants] != [power for power, _, _ in seen]


def test_currents_make_the_power() -> None:
    """R and T together, at 100 V each, are the power; both turn negative with the sun."""
    household = Household(2, pv_kw=5)
    for minute in range(0, 1440, 7):
        at = datetime(2026, 5, 20) + minute * MINUTE
        r_a, t_a = household.currents_a(at)
        assert round((r_a + t_a) * 100) == household.power_w(at)
    assert all(current < 0 for current in household.currents_a(datetime(2026, 5, 20, 12)))


def test_a_plausible_year() -> None:
    """8 to 30 kWh a day, more in winter than in spring; water is heated at night; nothing above the contract."""
    household = Household(1, contract_a=40)
    january, _ = _kwh(household, datetime(2026, 1, 1), datetime(2026, 2, 1))
    may, _ = _kwh(household, datetime(2026, 5, 1), datetime(2026, 6, 1))
    assert 8 < may / 31 < january / 31 < 30
    night, _ = _kwh(household, datetime(2026, 1, 14, 2), datetime(2026, 1, 14, 5))
    assert night > 2
    day = datetime(2026, 1, 15)
    powers = [household.power_w(day + minute * MINUTE) for minute in range(1440)]
    assert 100 < min(powers) < 300
    assert 1500 < max(powers) <= 4000


def test_sun_by_season() -> None:
    """Photovoltaics export by day, never at night, and more in May than in December."""
    household = Household(1, pv_kw=4)
    _, may = _kwh(household, datetime(2026, 5, 1), datetime(2026, 6, 1))
    _, december = _kwh(household, datetime(2026, 12, 1), datetime(2027, 1, 1))
    assert may > 1.5 * december > 0
    _, night = _kwh(household, datetime(2026, 5, 1, 20), datetime(2026, 5, 2, 4))
    assert night == 0


def test_no_energy_before_the_meter_was_installed() -> None:
    """The registers begin at zero on the day of installation and have no value before."""
    household = Household(1, installed=date(2026, 4, 1))
    assert household.energy(datetime(2026, 3, 31, 23, 59, 59)) is None
    assert household.energy(datetime(2026, 4, 1)) == (0, 0)
