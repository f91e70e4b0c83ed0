"""Whole courses of a network of appliances, in virtual time against nodes written from the manual."""

from __future__ import annotations

from hemsd.appliances.events import Changed, Noted, Told
from support.appliances import (
    AIR_CONDITIONER,
    BATTERY,
    LAMP,
    House,
    Node,
    air_conditioner,
    battery,
    identification,
    lamp,
)

HALL, CELLAR = "192.168.7.20", "192.168.7.21"


def house() -> House:
    return House(
        {
            HALL: Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1)),
            CELLAR: Node({BATTERY: battery()}, identification(2)),
        }
    )


def test_finds_gets_to_know_and_watches() -> None:
    """What answers the multicast Get is asked who it is and what it can do, told of, and polled from then on."""
    course = house()
    course.run(5.0)
    assert {each.device.eoj for each in course.network.appliances() if each.known} == {AIR_CONDITIONER, LAMP, BATTERY}
    assert [each.kind for each in course.events if isinstance(each, Noted)] == ["appliance.found"] * 3
    assert any(isinstance(each, Changed) for each in course.events)
    told = [each for each in course.run(60.0) if isinstance(each, Told)]
    assert {each.appliance.device.eoj for each in told} == {AIR_CONDITIONER, LAMP, BATTERY}
    assert all(each.by_hand == frozenset() for each in told)
