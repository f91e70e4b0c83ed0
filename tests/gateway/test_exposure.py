"""The table of topics by level: as documented, and as really published."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from support.control import status
from support.gateway import AT, INTERVAL, METER, House, bridging, event, half_hour
from support.mosquitto import Mosquitto, observer
from support.published import kind_of

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.exposure import LEVELS, REQUESTS, TOPICS, event_level, exposes
from hemsd.hub.messages import (
    ApplianceState,
    Domain,
    ErrorCode,
    Health,
    HistoryAnswer,
    HistoryRow,
    Lifetime,
    LifetimeEnergy,
    PropertyValue,
    SiteAggregate,
)
from hemsd.hub.routes import Exposure

DOCUMENT = (Path(__file__).parents[2] / "docs/mqtt.md").read_text("utf-8")
IDS = {"alert/<id>": "alert/+", "<level>": "+", "<m>": "+", "<a>": "+", "<op>": "+"}
ASKED_FOR = {"response/+", "bridge/log/+"}


def rows() -> list[list[str]]:
    """The cells of every table row of the document."""
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def plain(topic: str) -> str:
    for word, sign in IDS.items():
        topic = topic.replace(word, sign)
    return topic.strip("`")


def test_the_documentation_has_the_table() -> None:
    """Topic, level, QoS and retained of every topic, in the order of the table; and what is listened to."""
    published = [row for row in rows() if len(row) == 5]
    assert {plain(topic): (int(qos), kept == "yes", level) for topic, level, qos, kept, _ in published} == {
        topic: tuple(delivery) for topic, delivery in TOPICS.items()
    }
    taken = [row for row in rows() if len(row) == 3 and row[1] in LEVELS]
    assert {plain(topic): level for topic, level, _ in taken} == REQUESTS


def test_the_documentation_has_every_error_code() -> None:
    """A consumer finds each code there, and no other."""
    codes = {code.strip("` ") for row in rows() if len(row) == 2 for code in row[0].split(",")}
    assert set(get_args(ErrorCode)) - {""} <= codes


def test_each_level_has_what_those_before_it_have() -> None:
    """They are a ladder."""
    assert LEVELS == ("aggregates", "appliances", "control")
    assert [[exposes(level, needed) for needed in LEVELS] for level in LEVELS] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize(
    ("kind", "level"),
    [("meter.lost", "aggregates"), ("network.lost", "aggregates"), ("appliance.by_hand", "appliances")],
)
def test_events_about_single_appliances(kind: str, level: Exposure) -> None:
    """Who switched on what by hand is nothing for whoever is to have sums only."""
    assert event_level(kind) == level


def tell_everything(house: House) -> None:
    """One of all that could be published of how things stand."""
    house.status(online=False)
    house.read(power_w=1, energy_import_kwh=100.5)
    appliances, control = house.hub.seat(Domain.APPLIANCES), house.hub.seat(Domain.CONTROL)
    control.publish(SiteAggregate(at=AT, grid_w=1))
    control.publish(Health(at=AT, source=Domain.CONTROL, ok=False, detail="something is wrong"))
    appliances.publish(status())
    value = PropertyValue(value={"a": [1, "x"]}, at=AT, source="read")
    appliances.publish(
        ApplianceState(appliance=status().appliance, at=AT, values={"on": True}, properties={"x": value})
    )
    house.history.keep(half_hour(1), event("something happened"))
    lifetime = Lifetime(meter=METER, at=AT, total_kwh=5000.0, register_kwh=100.0)
    house.history._seat.publish(LifetimeEnergy(imported=lifetime))
    for name in ("total-day", "total-month"):
        row = HistoryRow(start=AT, end=AT, imported_kwh=1.0)
        house.history._seat.publish(HistoryAnswer(request=name, to=Domain.GATEWAY, rows=(row,)))


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("level", LEVELS)
async def test_a_broker_gets_what_its_level_says(broker: Mosquitto, level: Exposure) -> None:
    """Of a house that tells everything, each topic of the level arrives, delivered as it says, and no other."""
    house = House(level)
    expected = {topic for topic, row in TOPICS.items() if exposes(level, row.level)} - ASKED_FOR
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")
    async with observer(broker.ports.open) as view, bridging(house, config):
        tell_everything(house)
        await view.until(lambda seen: expected <= {kind_of(str(each.topic)) for each in seen})
        house.interval(2)  # after all else
        for each in await view.until(lambda seen: sum(str(each.topic) == INTERVAL for each in seen) == 2):
            kind = kind_of(str(each.topic))
            assert kind in expected
            assert each.qos == TOPICS[kind].qos
    async with observer(broker.ports.open) as late:
        kept = {topic for topic in expected if TOPICS[topic].retain}
        seen = await late.until(lambda seen: len({kind_of(str(each.topic)) for each in seen}) == len(kept))
    assert {kind_of(str(each.topic)) for each in seen} == kept
