"""The sums of the house, from tables of what is there and what it tells."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.control import NOON, state, status
from support.hub import METER

from hemsd.control.aggregate import EVERY_S, FRESH_S, GAP_S, Site
from hemsd.control.targets import APPLIANCES_MAX, Targets
from hemsd.hub.messages import MeterReading, MeterStatus, SiteAggregate

PV, CELL, BATTERY, V2H, CHARGER = "0279-00000001", "027c-00000001", "027d-00000001", "027e-00000001", "02a1-00000001"
PCS, BOARD, SUBMETER, AIRCON, LAMP = (
    "02a5-00000001",
    "0287-00000001",
    "028d-00000001",
    "0130-00000001",
    "0290-00000001",
)


class House:
    """A meter and appliances, and what is published of them."""

    def __init__(self, *, meter: bool = True) -> None:
        self.now = 0.0
        self.targets = Targets()
        self.site = Site(self.targets, -GAP_S)
        if meter:
            self.meter()

    @property
    def at(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def meter(self, fresh: bool = True, meter: str = METER, **more: Any) -> None:
        told = {"online": True, "stage": "online", "since": NOON, "fresh": fresh, "meter": meter}
        self.site.hear_meter(MeterStatus(**told | more))

    def reading(self, power_w: int | None, meter: str = METER, **more: Any) -> None:
        self.site.hear_reading(MeterReading(meter=meter, measured_at=self.at, power_w=power_w, **more))

    def there(self, appliance: str, **more: Any) -> None:
        """Each is a node of its own, unless it is said where it is."""
        told = status(appliance, **({"address": f"fe80::{appliance[:4]}"} | more))
        self.targets.hear(told)
        self.site.hear_status(told)

    def tells(self, appliance: str, power_w: Any = None, *, age_s: float = 0.0, **more: Any) -> None:
        if self.targets.get(appliance) is None:
            self.there(appliance)
        values = more if power_w is None else {"power_w": power_w, **more}
        self.site.hear_state(state(appliance, self.at - timedelta(seconds=age_s), **values), self.now, self.at)

    def published(self, after_s: float = GAP_S) -> SiteAggregate | None:
        self.now += after_s
        return self.site.aggregate(self.now, self.at)

    def sums(self) -> tuple[int | None, ...]:
        """Grid, generators, battery, vehicle, known loads, rest; of what is published now."""
        found = self.published()
        assert found is not None
        return found.grid_w, found.pv_w, found.battery_w, found.ev_w, found.known_loads_w, found.rest_w


@pytest.mark.parametrize(
    ("grid_w", "powers", "sums"),
    [
        (500, {}, (500, None, None, None, None, 500)),
        (-1200, {}, (-1200, None, None, None, None, -1200)),
        (500, {AIRCON: 300, LAMP: 40.4}, (500, None, None, None, 340, 160)),
        (-1500, {PV: -3000, AIRCON: 800}, (-1500, 3000, None, None, 800, 700)),
        (100, {PV: -2000, BATTERY: 1500}, (100, 2000, 1500, None, None, 600)),
        (100, {BATTERY: -900, V2H: 500}, (100, None, -900, 500, None, 500)),
        (3400, {V2H: -1000, CHARGER: 3000}, (3400, None, None, 2000, None, 1400)),
        (0, {PV: -1000, CELL: -700}, (0, 1700, None, None, None, 1700)),
        (0, {PV: 5, CELL: -700}, (0, 700, None, None, 5, 695)),  # an inverter on standby takes a little
        (300, {PV: 0}, (300, 0, None, None, None, 300)),  # by night
        (300, {LAMP: 0}, (300, None, None, None, 0, 300)),
        (300, {LAMP: -50}, (300, 50, None, None, None, 350)),  # whatever it is, it gives
        (900, {BOARD: 900, SUBMETER: 200, LAMP: 10}, (900, None, None, None, 10, 890)),  # they measure others
    ],
)
def test_sums(grid_w: int, powers: dict[str, float], sums: tuple[int | None, ...]) -> None:
    """Power flows into the house, batteries, vehicles and loads; generators make it; what is left is the rest."""
    house = House()
    house.reading(grid_w)
    for appliance, power_w in powers.items():
        house.tells(appliance, power_w)
    assert house.sums() == sums


@pytest.mark.parametrize("appliance", [PV, CELL, BATTERY, V2H, CHARGER])
@pytest.mark.parametrize("trouble", ["silent", "offline", "stale", "without power", "no number"])
def test_one_that_is_not_known_makes_its_sum_unknown(appliance: str, trouble: str) -> None:
    """Nothing silently becomes zero: not the sum it belongs to, nor the rest. The others stay known."""
    house = House()
    house.reading(500)
    house.tells(LAMP, 60)
    house.tells("0279-000000aa", -100) if appliance[:4] != "0279" else house.tells("027d-000000aa", 100)
    if trouble != "silent":
        house.tells(appliance, 1000)
    match trouble:
        case "silent" | "offline":
            house.there(appliance, online=False)
        case "stale":
            house.tells(appliance, 1000, age_s=FRESH_S)
        case "without power":
            house.tells(appliance, soc_percent=50)
        case "no number":
            house.tells(appliance, float("nan"))
    found = house.published()
    assert found is not None
    place = {PV: "pv_w", CELL: "pv_w", BATTERY: "battery_w"}.get(appliance, "ev_w")
    assert getattr(found, place) is None
    assert found.rest_w is None
    assert (found.grid_w, found.known_loads_w) == (500, 60)
    assert (found.battery_w if appliance[:4] == "0279" else found.pv_w if place != "pv_w" else 100) == 100


@pytest.mark.parametrize("value", [None, True, "120", float("inf")])
def test_a_load_that_does_not_tell_is_part_of_the_rest(value: Any) -> None:
    """Known loads are those that tell now."""
    house = House()
    house.reading(500)
    house.tells(LAMP, 60)
    house.tells(AIRCON, value)
    assert house.sums()[4:] == (60, 440)
    house.there(LAMP, online=False)
    assert house.sums()[4:] == (None, 500)


@pytest.mark.parametrize(
    "change", [{"fresh": False}, {"online": False, "fresh": True}, {"meter": "another"}, {"meter": None}]
)
def test_without_a_fresh_meter(change: dict[str, Any]) -> None:
    """A meter that is stale, gone, or another one tells no grid power; what the appliances tell is still summed."""
    house = House()
    house.reading(500)
    house.tells(LAMP, 60)
    assert house.sums() == (500, None, None, None, 60, 440)
    house.meter(**change)
    assert house.sums() == (None, None, None, None, 60, None)
    house.meter()
    assert house.sums() == (500, None, None, None, 60, 440)


def test_without_a_meter() -> None:
    """A house with appliances alone."""
    house = House(meter=False)
    house.tells(PV, -700)
    assert house.sums() == (None, 700, None, None, None, None)


def test_a_meter_that_did_not_answer_once() -> None:
    """A round without an answer leaves the power as it was; "no data" does not."""
    house = House()
    house.reading(500)
    house.reading(None, states={"power_w": "timeout"})
    assert house.sums()[0] == 500
    house.reading(None, states={"power_w": "no_data"})
    assert house.sums()[0] is None


@pytest.mark.parametrize(
    ("behind", "sums", "pv_w", "battery_w"),
    [
        ({PV: -2000, BATTERY: 500}, "027901,027D01", 2000, 500),
        ({PV: -2000, BATTERY: 500}, "", 2000, 500),  # it does not tell what is behind it
        ({PV: -2000}, "027901,027D01", 2000, None),
        ({}, "027901,027D01", 1500, None),  # what is behind it does not tell: the sum stands for it
        ({}, "", 1500, None),
        ({BATTERY: 500}, "027901", 1500, 500),  # that battery is not behind it
    ],
)
def test_a_power_conditioner_and_what_is_behind_it(
    behind: dict[str, float], sums: str, pv_w: int, battery_w: int | None
) -> None:
    """Its power is the sum of what is behind it on its node: they count, and it never beside them."""
    house = House()
    house.reading(0)
    for appliance in (PCS, *behind):
        house.there(appliance, address="192.0.2.7")
    house.tells(PCS, -1500, **({"sums": sums} if sums else {}))
    for appliance, power_w in behind.items():
        house.tells(appliance, power_w)
    assert house.sums()[1:3] == (pv_w, battery_w)


def test_another_node_is_not_behind_a_power_conditioner() -> None:
    """The same object on another node, or on another network with the same address, is another device."""
    house = House()
    for number, more in enumerate(({"address": "192.0.2.8"}, {"address": "192.0.2.7", "network": "second"})):
        house.there(f"0279-0000000{number}", **more)
        house.tells(f"0279-0000000{number}", -1000)
    house.there(PCS, address="192.0.2.7")
    house.tells(PCS, -1500, sums="027901")
    assert house.sums()[1] == 3500


@pytest.mark.parametrize("sums", ["house", "circuit"])
def test_what_says_that_it_sums_others(sums: str) -> None:
    """Whatever its class is."""
    house = House()
    house.reading(500)
    house.tells(LAMP, 60)
    house.tells(AIRCON, 460, sums=sums)
    assert house.sums()[4] == 60


def test_published_on_change_with_a_gap() -> None:
    """At once after a change, at most every 2 s; nothing for what changes nothing; no timer without a reason."""
    house = House()
    house.reading(500)
    assert house.published(0) is not None
    assert house.site.due_at() is None
    house.reading(600)
    assert house.published(GAP_S / 2) is None
    assert house.site.due_at() == GAP_S
    assert house.published(GAP_S / 2) is not None
    house.reading(600)
    house.tells(AIRCON, room_temperature_c=21)
    assert house.published() is None
    house.tells(AIRCON, room_temperature_c=22)
    assert house.site.due_at() is None


def test_published_every_minute_while_the_meter_is_fresh() -> None:
    """With the readings that come anyway; a house whose meter is stale says so once."""
    house = House()
    times = []
    for _ in range(20):
        house.reading(500)
        if house.published(10) is not None:
            times.append(house.now)
    assert times == [10, 10 + EVERY_S, 10 + 2 * EVERY_S, 10 + 3 * EVERY_S]
    house.meter(fresh=False)
    assert house.published(10) is not None
    house.reading(500)
    assert house.published(EVERY_S) is None


def test_a_load_that_turned_stale_is_dropped_with_the_next_reading() -> None:
    """Age is looked at when something comes, and one that tells the same again is back at once."""
    house = House()
    house.reading(500)
    house.tells(LAMP, 60)
    assert house.sums()[4] == 60
    house.now += FRESH_S
    house.reading(500)
    assert house.sums()[4] is None
    house.tells(LAMP, 60)
    assert house.sums()[4] == 60


def test_one_that_cannot_be_read_often_stays_fresh_for_longer() -> None:
    """For three of its polls."""
    house = House()
    house.reading(500)
    told = replace(state(LAMP, house.at, power_w=60), interval_s=FRESH_S)
    house.there(LAMP)
    house.site.hear_state(told, house.now, house.at)
    for known in (60, 60, None):
        house.now += FRESH_S
        house.reading(500)
        assert house.sums()[4] == known


def test_told_before_it_is_known_what_it_is() -> None:
    """A new seat in the hub may hear states before statuses; none is lost, and their number is bounded."""
    house = House()
    house.reading(0)
    for number in range(APPLIANCES_MAX + 10):
        told = state(f"0290-{number:08x}", power_w=1)
        house.site.hear_state(told, 0.0, NOON)
    for number in range(APPLIANCES_MAX + 10):
        house.there(f"0290-{number:08x}")
    assert house.sums()[4] == APPLIANCES_MAX
    house.there("0290-00000000", forgotten=True)
    assert house.sums()[4] == APPLIANCES_MAX - 1
