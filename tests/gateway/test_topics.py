"""Topics and payloads to the letter: consumers depend on them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from hemsd.gateway import exposure
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.messages import Domain, Event, Link, MeterInterval, MeterReading, Record

AT = datetime(2025, 1, 15, 3, 30, 12, 345_000, tzinfo=UTC)
TOPICS = Topics("hemsd", "home-1")
LINK = Link(channel=0x3B, pan_id="8888", lqi=180, rssi_dbm=-60.5)


def test_availability() -> None:
    """Plain words, retained, at QoS 1, for the site and for a meter."""
    assert TOPICS.availability(True) == Publication("hemsd/v1/home-1/availability", b"online", 1, True)
    assert TOPICS.availability(False) == Publication("hemsd/v1/home-1/availability", b"offline", 1, True)
    assert TOPICS.publication(("meter/+/availability", "m1"), b"offline") == Publication(
        "hemsd/v1/home-1/meter/m1/availability", b"offline", 1, True
    )


def test_live() -> None:
    """Every value under its name with its unit, numbers as numbers, time in Japan's."""
    reading = MeterReading(
        meter="m1",
        measured_at=AT,
        power_w=-250,
        current_r_a=2.5,
        current_t_a=3.0,
        energy_import_kwh=12345.6,
        energy_export_kwh=78.9,
    )
    publication = TOPICS.live(reading, AT.replace(minute=25), LINK, 1.26)
    assert (publication.topic, publication.qos, publication.retain) == ("hemsd/v1/home-1/meter/m1/live", 0, True)
    assert json.loads(publication.payload) == {
        "schema": "hemsd.meter.live/1",
        "ts": "2025-01-15T12:30:12+09:00",
        "age_s": 1.3,
        "power_w": -250,
        "current_r_a": 2.5,
        "current_t_a": 3.0,
        "energy_import_kwh": 12345.6,
        "energy_export_kwh": 78.9,
        "energy_ts": "2025-01-15T12:25:12+09:00",
        "states": {},
        "lqi": 180,
        "rssi_dbm": -60.5,
        "channel": 59,
    }


def test_live_without_data_is_null() -> None:
    """What the meter or the module did not tell is null, with the reason where there is one, and never 0."""
    reading = MeterReading(meter="m1", measured_at=AT, states={"energy_export_kwh": "absent"})
    live = json.loads(TOPICS.live(reading, None, Link(), 0.0).payload)
    assert {name for name, value in live.items() if value is None} == {
        *("power_w", "current_r_a", "current_t_a", "energy_import_kwh", "energy_export_kwh", "energy_ts"),
        *("lqi", "rssi_dbm", "channel"),
    }
    assert live["states"] == {"energy_export_kwh": "absent"}


def test_interval() -> None:
    """A half hour stands alone: whose, from when to when, registers at its end, where they are from."""
    record = MeterInterval(
        meter="m1",
        end=datetime(2025, 1, 14, 15, 0, tzinfo=UTC),
        energy_import_kwh=12345.6,
        count_kwh=Decimal("0.1"),
        digits=6,
        source="backfill",
        states={"energy_export_kwh": "no_data"},
    )
    publication = TOPICS.record(Record(seq=7, content=record), "aggregates", replay=True)
    assert publication is not None
    assert (publication.topic, publication.qos, publication.retain) == (
        "hemsd/v1/home-1/meter/m1/interval",
        1,
        False,
    )
    assert json.loads(publication.payload) == {
        "schema": "hemsd.meter.interval/1",
        "site": "home-1",
        "meter": "m1",
        "start": "2025-01-14T23:30:00+09:00",
        "end": "2025-01-15T00:00:00+09:00",
        "energy_import_kwh": 12345.6,
        "energy_export_kwh": None,
        "wraps_at_kwh": 100_000.0,
        "states": {"energy_export_kwh": "no_data"},
        "source": "backfill",
        "seq": 7,
        "replay": True,
        "key_id": None,
        "signature": None,
    }


def test_event() -> None:
    """What happened, when, how bad it is, who says so; site and number are its key."""
    told = Event(at=AT, source=Domain.ROUTEB, kind="meter.lost", severity="warning", text="the meter is silent")
    publication = TOPICS.record(Record(seq=8, content=told), "aggregates", replay=False)
    assert publication is not None
    assert (publication.topic, publication.qos, publication.retain) == ("hemsd/v1/home-1/bridge/event", 1, False)
    assert json.loads(publication.payload) == {
        "schema": "hemsd.event/1",
        "site": "home-1",
        "id": 8,
        "ts": "2025-01-15T12:30:12+09:00",
        "type": "meter.lost",
        "severity": "warning",
        "source": "routeb",
        "text": "the meter is silent",
        "replay": False,
    }


def test_an_event_about_an_appliance_is_for_those_who_may_know_of_it() -> None:
    """Below its level there is nothing to publish."""
    told = Event(at=AT, source=Domain.APPLIANCES, kind="appliance.by_hand", severity="info", text="lamp: on")
    record = Record(seq=8, content=told)
    assert TOPICS.record(record, "aggregates", replay=False) is None
    assert TOPICS.record(record, "appliances", replay=False) is not None


def test_topics_are_within_the_limits_of_a_broker() -> None:
    """AWS IoT Core takes 7 slashes, even below the deepest base, and 256 bytes, even with the longest ids."""

    def every(base: str, name: str) -> list[str]:
        topics = Topics(base, name)
        return [topics.path((topic, name)) for topic in (*exposure.TOPICS, *exposure.REQUESTS)]

    assert max(topic.count("/") for topic in every("a/b/c", "m1")) == 7
    assert max(len(topic) for topic in every("hemsd", "m" * 64)) <= 256


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "Home", "家", "a b", "$SYS", "a" * 65, "a\n"])
def test_ids_that_cannot_be_in_a_topic_are_refused(name: str) -> None:
    """No wildcard, no level, nothing but a-z, 0-9 and hyphen gets into a topic, by site or by meter."""
    with pytest.raises(ValueError, match="cannot be part of a topic"):
        Topics("hemsd", name)
    with pytest.raises(ValueError, match="cannot be part of a topic"):
        TOPICS.path(("meter/+/availability", name))
