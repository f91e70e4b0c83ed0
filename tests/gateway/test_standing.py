"""What stands at the broker: the newest of everything once, what is over cleared, what is old told as such."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.control import AIRCON, NOON, status
from support.published import check

from hemsd.gateway.meters import SILENT_AFTER_S
from hemsd.gateway.standing import REPEAT_S, UNTOLD_S, Home, Standing
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.messages import (
    ApplianceState,
    Breach,
    Domain,
    Event,
    Health,
    IsolationStatus,
    Message,
    MeterReading,
    MeterStatus,
    PropertyValue,
    SiteAggregate,
)
from hemsd.hub.routes import Exposure

ROOT = "hemsd/v1/home-1"
ALWAYS = ["availability", "bridge/info", "bridge/health"]


class Broker:
    """What it keeps, as far as it was told."""

    def __init__(self, exposure: Exposure = "control") -> None:
        home = Home(site="home-1", exposure=exposure, profile="6.4.3", declared=("R33",), config_hash="0123456789ab")
        self.now = 0.0
        self.standing = Standing(Topics("hemsd", "home-1"), home, self.now)
        self.kept: dict[str, Any] = {}

    @property
    def at(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def hear(self, *messages: Message) -> list[str]:
        """What is published in answer, by topic."""
        for message in messages:
            self.standing.hear(message, self.now, self.at)
        return self.look()

    def look(self, seconds: float = 0.0) -> list[str]:
        """Let time pass; what is published, by topic."""
        self.now += seconds
        self.standing.tick(self.now)
        told = []
        while (publication := self.standing.take(self.now, self.at)) is not None:
            check(publication.topic, publication.payload)
            topic = publication.topic.removeprefix(f"{ROOT}/")
            told.append(topic)
            self.kept.pop(topic, None)
            if publication.payload:
                plain = topic.endswith("availability")
                self.kept[topic] = publication.payload.decode() if plain else json.loads(publication.payload)
        return told

    def leftover(self, topic: str) -> Publication | None:
        return self.standing.leftover(f"{ROOT}/{topic}", self.now)


def meter(name: str | None = "m1", **more: Any) -> MeterStatus:
    told: dict[str, Any] = {"meter": name, "online": True, "stage": "online", "since": NOON, "last_heard_at": NOON}
    return MeterStatus(**told | more)


def read(name: str = "m1", **values: Any) -> MeterReading:
    return MeterReading(meter=name, **{"measured_at": NOON, "power_w": 1} | values)


def state(appliance: str = AIRCON, **more: Any) -> ApplianceState:
    return ApplianceState(appliance=appliance, **{"at": NOON, "values": {"on": True}} | more)


def health(source: Domain = Domain.HISTORY, **more: Any) -> Health:
    return Health(**{"at": NOON, "source": source, "ok": True} | more)


def test_a_new_broker_is_told_everything() -> None:
    """Whatever was told before is told again, hemsd's own availability first."""
    broker = Broker()
    aggregate = SiteAggregate(at=NOON, grid_w=5)
    told = broker.hear(meter(), read(), status(), state(), aggregate, health(ok=False, detail="the disk is full"))
    assert set(told) == {
        *("meter/m1/availability", "meter/m1/live", f"appliance/{AIRCON}/availability", f"appliance/{AIRCON}/state"),
        *("site/live", "alert/history"),
    }
    broker.standing.renew(broker.now)
    again = broker.look()
    assert again[:3] == ALWAYS
    assert set(again) == {*ALWAYS, *told}
    assert [ROOT + "/" + topic for topic in again] == [
        broker.standing._topics.path(key) for key in broker.standing.retained()
    ]


def test_what_is_to_be_cleared_is_told_to_a_broker_that_was_away() -> None:
    """An appliance that was forgotten meanwhile does not stay there."""
    broker = Broker()
    broker.hear(status(), state())
    broker.standing.hear(status(forgotten=True), broker.now, NOON)
    broker.standing.renew(broker.now)
    broker.look()
    assert not any(AIRCON in topic for topic in broker.kept)


def test_what_changes_twice_is_told_once() -> None:
    """The newest wins; nothing queues."""
    broker = Broker()
    assert broker.hear(*(read(power_w=number) for number in range(5))).count("meter/m1/live") == 1
    assert broker.kept["meter/m1/live"]["power_w"] == 4


def test_a_minute_goes_by() -> None:
    """Availability and health are told every minute, whatever happens; nothing else is."""
    broker = Broker()
    broker.hear(meter(), read(), status(), state())
    assert broker.look(REPEAT_S - 1) == []
    assert broker.standing.deadline() == REPEAT_S
    assert set(broker.look(1)) == {
        *("availability", "bridge/health", "meter/m1/availability", f"appliance/{AIRCON}/availability")
    }
    assert broker.look() == []


def test_a_silent_meter_is_away_and_another_takes_its_place() -> None:
    """What is told of it is no longer current; when another one is there its topics are cleared."""
    broker = Broker()
    broker.hear(meter(), read())
    for _ in range(int(SILENT_AFTER_S / REPEAT_S)):
        broker.look(REPEAT_S)
    assert broker.kept["meter/m1/availability"] == "offline"
    broker.hear(meter("m2"), read("m2"))
    assert {topic for topic in broker.kept if "meter" in topic} == {"meter/m2/availability", "meter/m2/live"}
    assert broker.kept["meter/m2/availability"] == "online"


@pytest.mark.parametrize(
    ("trouble", "severity"),
    [("credentials", "error"), ("port", "error"), ("radio", "warning"), ("refused", "warning")],
)
def test_a_meter_that_is_away_is_an_alert(trouble: Any, severity: str) -> None:
    """From when something went wrong until it is back, beginning when it began, with the latest words."""
    broker = Broker()
    assert "alert/meter" not in broker.hear(meter(None, online=False, stage="scanning"))
    broker.hear(meter(None, online=False, stage="waiting", trouble=trouble, detail="look at it"))
    later = NOON + timedelta(minutes=5)
    broker.hear(meter(None, online=False, stage="scanning", trouble=trouble, detail="look again", since=later))
    assert broker.kept["alert/meter"] == {
        "schema": "hemsd.alert/1",
        "id": "meter",
        "ts": "2025-01-15T12:00:00+09:00",
        "severity": severity,
        "code": trouble,
        "text": "look again",
    }
    assert broker.hear(meter(None, online=False, stage="joining", trouble=trouble, detail="look again")) == []
    broker.hear(meter())
    assert "alert/meter" not in broker.kept


def test_a_meter_that_nobody_reads_is_an_alert() -> None:
    """Its process is gone, and cannot say what went wrong; one that merely was not begun with is none."""
    broker = Broker()
    assert "alert/meter" not in broker.hear(meter(None, online=False, stage="stopped"))
    broker.hear(meter(None, online=False, stage="stopped", detail="it does not run"))
    told = broker.kept["alert/meter"]
    assert (told["code"], told["severity"], told["text"]) == ("stopped", "error", "it does not run")
    broker.hear(meter())
    assert "alert/meter" not in broker.kept


def test_a_part_in_trouble_is_an_alert_and_in_health() -> None:
    """Until it says that it is well; health has all parts and their counters."""
    broker = Broker()
    broker.standing.behind(5, 30.0)
    broker.hear(health(), health(Domain.APPLIANCES, ok=False, detail="network home is down", counters={"home: x": 3}))
    broker.look(REPEAT_S)
    assert broker.kept["alert/appliances"]["text"] == "network home is down"
    told = broker.kept["bridge/health"]
    assert (told["ok"], told["uptime_s"], told["lag_s"]) == (False, 60, 0.0)
    assert told["backlog"] == {"records": 5, "for_s": 60}
    assert told["domains"]["appliances"] == {
        "ok": False,
        "detail": "network home is down",
        "ts": "2025-01-15T12:00:00+09:00",
        "counters": {"home: x": 3},
    }
    broker.standing.behind(0, 60.0)
    assert broker.hear(health(Domain.APPLIANCES)) == ["alert/appliances"]
    broker.look(REPEAT_S)
    assert broker.kept["bridge/health"]["backlog"] == {"records": 0, "for_s": 60}
    assert "alert/appliances" not in broker.kept


def test_an_interface_that_is_not_kept_apart_is_an_alert() -> None:
    """For each interface, whatever its name, with all that is wrong and whether it is used; until it is over."""
    broker = Broker()
    found = (Breach(requirement="R43", text="it forwards"), Breach(requirement="R24", text="it leads out"))
    status = IsolationStatus(source=Domain.APPLIANCES, interface="Eth1.20", since=NOON, breaches=found)
    assert broker.hear(status) == ["alert/isolation-eth1-20", "bridge/info"]
    assert broker.kept["bridge/info"]["breached"] == ["R24", "R43"]
    alert = broker.kept["alert/isolation-eth1-20"]
    assert (alert["severity"], alert["code"], alert["text"]) == (
        "error",
        "breach",
        "R43, it forwards; R24, it leads out",
    )
    assert broker.hear(replace(status, refused=True)) == ["alert/isolation-eth1-20"]
    assert broker.kept["alert/isolation-eth1-20"]["code"] == "refused"
    broker.hear(replace(status, source=Domain.ROUTEB, breaches=(Breach(requirement="R52", text="it forwards too"),)))
    broker.hear(replace(status, breaches=()))  # the meter's process, on the same interface, still sees it
    assert broker.kept["alert/isolation-eth1-20"]["text"] == "R52, it forwards too"
    assert broker.kept["bridge/info"]["breached"] == ["R52"]
    broker.hear(replace(status, source=Domain.ROUTEB, breaches=()))
    assert broker.kept["bridge/info"]["breached"] == []
    assert not [topic for topic in broker.kept if topic.startswith("alert/")]


def test_info_says_what_this_level_gives() -> None:
    """A client finds out what it may expect, and ask for."""
    for level, requests in (("aggregates", []), ("appliances", []), ("control", ["request/+", "appliance/+/set"])):
        broker = Broker(level)  # type: ignore[arg-type]
        broker.standing.renew(0.0)
        broker.look()
        told = broker.kept["bridge/info"]
        assert (told["exposure"], told["requests"]) == (level, requests)
        assert (told["profile"], told["declared"], told["breached"]) == ("6.4.3", ["R33"], [])
        assert ("appliance/+/state" in told["topics"]) == (level != "aggregates")
        assert bool(told["operations"]) == (level == "control")


def test_an_appliance_has_a_name_and_a_time_for_each_property() -> None:
    """Japanese only as a name; a new name is told with the state."""
    broker = Broker()
    value = PropertyValue(value=21, unit="C", at=NOON - timedelta(seconds=5), source="notified")
    broker.hear(
        status(name="エアコン", room="居間"), state(properties={"room_temperature": value}, requested={"on": False})
    )
    told = broker.kept[f"appliance/{AIRCON}/state"]
    assert (told["name"], told["room"], told["values"], told["requested"]) == (
        *("エアコン", "居間"),
        *({"on": True}, {"on": False}),
    )
    assert told["properties"]["room_temperature"] == {
        "value": 21,
        "unit": "C",
        "state": "",
        "ts": "2025-01-15T11:59:55+09:00",
        "source": "notified",
    }
    assert broker.hear(status(name="ac", room="居間")) == [f"appliance/{AIRCON}/state"]
    assert broker.hear(status(name="ac", room="居間", detail="x")) == []
    assert broker.hear(status(name="ac", room="居間", online=False)) == [f"appliance/{AIRCON}/availability"]
    assert broker.kept[f"appliance/{AIRCON}/availability"] == "offline"


def test_a_forgotten_appliance_is_cleared() -> None:
    """Both of its topics, and it may come back."""
    broker = Broker()
    broker.hear(status(), state())
    broker.hear(status(forgotten=True))
    assert broker.kept == {}
    broker.hear(status())
    assert broker.kept == {f"appliance/{AIRCON}/availability": "online"}


def test_appliances_are_not_told_below_their_level() -> None:
    """Even if a door were open by mistake."""
    broker = Broker("aggregates")
    assert broker.hear(status(), state(), status(forgotten=True)) == []
    broker.hear(status(), state())
    broker.standing.renew(0.0)
    assert broker.look() == ALWAYS


def test_what_does_not_stand_is_passed_over() -> None:
    """An event that is not kept is not published; history tells the kept ones."""
    event = Event(at=NOON, source=Domain.CONTROL, kind="x.y", severity="info", text="z")
    assert Broker().hear(event) == []


def test_leftovers_of_an_earlier_run() -> None:
    """Cleared when surely gone; until then not available, with their last values."""
    broker = Broker()
    cleared = {"alert/meter", "alert/history"}
    unsure = {"meter/old/availability", f"appliance/{AIRCON}/availability"}
    kept = {"meter/old/live", f"appliance/{AIRCON}/state", "site/live"}
    assert {topic: broker.leftover(topic) for topic in cleared | unsure | kept} == {
        **{topic: Publication(f"{ROOT}/{topic}", b"", 1, True) for topic in cleared},
        **{topic: Publication(f"{ROOT}/{topic}", b"offline", 1, True) for topic in unsure},
        **dict.fromkeys(kept),
    }
    broker.hear(meter("new"))
    broker.look(UNTOLD_S)
    for topic in (unsure | kept) - {"site/live"}:
        found = broker.leftover(topic)
        assert found is not None
        assert (found.payload, found.retain) == (b"", True)


def test_the_values_of_a_meter_that_is_not_read_yet_stay() -> None:
    """They were told of the same one, and a topic without a payload is an error in the log of Home Assistant."""
    broker = Broker()
    broker.hear(meter("m1"))
    assert broker.leftover("meter/m1/live") is None
    assert broker.leftover("meter/old/live") is not None


@pytest.mark.parametrize("path", ["hemsd/v1/home-2/availability", "old/v1/home-1/site/live", f"{ROOT}/no/such"])
def test_leftovers_of_another_site_are_cleared(path: str) -> None:
    """Where base topic or site id were changed nothing stays under the old ones."""
    assert Broker().standing.leftover(path, 0.0) == Publication(path, b"", 1, True)


def test_leftovers_of_a_higher_level_are_cleared_at_once() -> None:
    """Whoever lowers the exposure does not leave appliances at the broker."""
    for topic in (f"appliance/{AIRCON}/state", f"appliance/{AIRCON}/availability"):
        found = Broker("aggregates").leftover(topic)
        assert found is not None
        assert found.payload == b""
