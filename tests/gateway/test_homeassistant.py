"""Discovery for Home Assistant: what it is told of the house, when, and what becomes of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from support import discovery
from support.control import AIRCON, NOON, status
from support.published import kind_of

from hemsd.gateway.exposure import LEVELS, REQUESTS, TOPICS, exposes
from hemsd.gateway.homeassistant import SETTLE_S, UNTOLD_S, Discovery
from hemsd.gateway.requests import Incoming, Requests
from hemsd.gateway.standing import Home, Standing
from hemsd.gateway.topics import Topics
from hemsd.hub.messages import (
    ApplianceState,
    Lifetime,
    LifetimeEnergy,
    Link,
    Message,
    MeterIdentity,
    MeterReading,
    MeterStatus,
    SiteAggregate,
)
from hemsd.hub.routes import Exposure

SITE = "home-1"
ROOT = f"homeassistant/device/hemsd-{SITE}"
IDENTITY = MeterIdentity(meter="m1", maker="000016", serial="A123  45 ", generation=2)
VALUES = {"on": True, "mode": "cool", "target_temperature_c": 26, "power_w": 400, "energy_import_kwh": 12.5}


def meter(name: str = "m1", **more: Any) -> MeterStatus:
    told: dict[str, Any] = {"online": True, "stage": "online", "since": NOON, "last_heard_at": NOON}
    return MeterStatus(meter=name, **told | more)


def read(name: str = "m1", **values: Any) -> MeterReading:
    return MeterReading(meter=name, measured_at=NOON, **values)


def state(**values: Any) -> ApplianceState:
    return ApplianceState(appliance=AIRCON, at=NOON, values=values)


WISHES = {
    **{"on": "true or false", "mode": "one of auto, cool", "target_temperature_c": "0 to 50 °C"},
    "charge_power_w": "0 to 9 W",
}
HOUSE: tuple[Message, ...] = (
    meter(identity=IDENTITY, link=Link(lqi=200, rssi_dbm=-70.5)),
    read(power_w=1200, current_r_a=6.0, current_t_a=6.5, energy_import_kwh=1234.5, energy_export_kwh=0.1),
    LifetimeEnergy(
        imported=Lifetime(meter="m1", at=NOON, total_kwh=2234.4, register_kwh=1234.4),
        exported=Lifetime(meter="m1", at=NOON, total_kwh=0.1, register_kwh=0.1),
    ),
    SiteAggregate(at=NOON, grid_w=1200, known_loads_w=400, rest_w=800),
    status(name="居間のエアコン", room="居間", maker="00000B", product="X 1", serial="7", wishes=WISHES),
    state(**VALUES),
)


class Assistant:
    """Home Assistant at a broker, with a bridge that may begin anew: what is retained, and what came of it."""

    def __init__(self, level: Exposure = "control", prefix: str = "homeassistant") -> None:
        self.kept: dict[str, bytes] = {}
        self.now = 0.0
        self.start(level, prefix)

    def start(self, level: Exposure = "control", prefix: str = "homeassistant") -> None:
        """hemsd begins, knowing nothing but what the broker keeps."""
        home = Home(site=SITE, exposure=level, discovery=prefix)
        self.topics = Topics("hemsd", SITE)
        self.standing = Standing(self.topics, home, self.now)
        self.discovery = Discovery(self.topics, home, self.now)
        for each in (self.standing, self.discovery):
            each.renew(self.now)

    def hear(self, *messages: Message) -> list[str]:
        """Topics that are published of these, of discovery without its root, in order."""
        for message in messages:
            self.standing.hear(message, self.now, NOON)
            self.discovery.hear(message, self.now)
        return self.look()

    def wait(self, seconds: float = SETTLE_S) -> list[str]:
        self.now += seconds
        return self.look()

    def look(self) -> list[str]:
        told = []
        while (publication := self.standing.take(self.now, NOON)) is not None:
            self.kept[publication.topic] = publication.payload
        while (publication := self.discovery.farewell() or self.discovery.take(self.now)) is not None:
            assert (publication.qos, publication.retain) == (1, True)
            told.append(publication.topic.removeprefix(f"{ROOT}/").removesuffix("/config"))
            self.kept[publication.topic] = publication.payload
            if publication.payload:
                discovery.check(json.loads(publication.payload))
            else:
                del self.kept[publication.topic]
        return told

    def device(self, name: str) -> dict[str, Any]:
        """As it is told now."""
        told: dict[str, Any] = json.loads(self.kept[f"{ROOT}/{name}/config"])
        return told

    def entities(self, name: str) -> dict[str, Any]:
        entities: dict[str, Any] = self.device(name)["components"]
        return entities

    def devices(self) -> set[str]:
        return {topic.split("/")[-2] for topic in self.kept if topic.startswith(ROOT)}

    def states(self, name: str) -> dict[str, str]:
        """The state of each entity by what the broker keeps."""
        entities = self.entities(name).items()
        return {key: discovery.state(each, self.kept[each["state_topic"]]) for key, each in entities}


@pytest.fixture
def assistant() -> Assistant:
    found = Assistant()
    found.hear(*HOUSE)
    assert found.wait() == ["site", "meter-m1", f"appliance-{AIRCON}"]
    found.wait()
    return found


def test_every_entity_has_a_state_of_a_real_payload(assistant: Assistant) -> None:
    """Each template renders what its topic really carries."""
    assert assistant.states("site") == {
        "sensor_grid_w": "1200",
        "sensor_known_loads_w": "400",
        "sensor_rest_w": "800",
        "sensor_imported_total_kwh": "2234.5",
        "sensor_exported_total_kwh": "0.1",
        "binary_sensor_trouble": "off",
        "sensor_backlog": "unknown",
        "binary_sensor_meter": "on",
    }
    assert assistant.states("meter-m1") == {
        "sensor_power_w": "1200",
        "sensor_current_r_a": "6.0",
        "sensor_current_t_a": "6.5",
        "sensor_rssi_dbm": "-70.5",
        "sensor_lqi": "200",
    }
    assert assistant.states(f"appliance-{AIRCON}") == {
        "switch_on": "on",
        "select_mode": "cool",
        "number_target_temperature_c": "26",
        "sensor_power_w": "400",
        "sensor_energy_import_kwh": "12.5",
    }


def test_an_appliance_is_told_when_no_more_of_it_becomes_known() -> None:
    """Read bit by bit after a start, it does not lose for a moment what it was before."""
    assistant, device = Assistant(), f"appliance-{AIRCON}"
    assistant.hear(status(wishes=WISHES))
    assistant.wait(SETTLE_S - 1)
    assistant.hear(state(on=True))
    assert device not in assistant.wait(1)  # so long after it was met
    assistant.hear(state(**VALUES))
    assert assistant.wait(SETTLE_S - 1) == []
    assert assistant.wait(1) == [device]
    assert assistant.entities(device)["select_mode"]["platform"] == "select"


def test_what_an_entity_is_known_by_never_changes(assistant: Assistant) -> None:
    """unique_id and identifiers are forever: statistics and dashboards hang on them."""
    ids = {
        each["unique_id"]: each["default_entity_id"]
        for device in assistant.devices()
        for each in assistant.entities(device).values()
    }
    assert ids == {
        "hemsd_site_home-1_grid_w": "sensor.hemsd_grid_power",
        "hemsd_site_home-1_known_loads_w": "sensor.hemsd_known_loads",
        "hemsd_site_home-1_rest_w": "sensor.hemsd_other_loads",
        "hemsd_site_home-1_imported_total_kwh": "sensor.hemsd_grid_energy_imported",
        "hemsd_site_home-1_exported_total_kwh": "sensor.hemsd_grid_energy_exported",
        "hemsd_site_home-1_trouble": "binary_sensor.hemsd_trouble",
        "hemsd_site_home-1_backlog": "sensor.hemsd_records_to_be_sent",
        "hemsd_site_home-1_meter": "binary_sensor.hemsd_smart_meter",
        "hemsd_meter_m1_power_w": "sensor.smart_meter_power",
        "hemsd_meter_m1_current_r_a": "sensor.smart_meter_current_r",
        "hemsd_meter_m1_current_t_a": "sensor.smart_meter_current_t",
        "hemsd_meter_m1_rssi_dbm": "sensor.smart_meter_signal_strength",
        "hemsd_meter_m1_lqi": "sensor.smart_meter_link_quality",
        "hemsd_appliance_0130-00000001_on": "switch.hemsd_0130_00000001_operation",
        "hemsd_appliance_0130-00000001_mode": "select.hemsd_0130_00000001_mode",
        "hemsd_appliance_0130-00000001_target_temperature_c": "number.hemsd_0130_00000001_target_temperature",
        "hemsd_appliance_0130-00000001_power_w": "sensor.hemsd_0130_00000001_power",
        "hemsd_appliance_0130-00000001_energy_import_kwh": "sensor.hemsd_0130_00000001_energy_consumed",
    }
    identifiers = [assistant.device(name)["device"]["identifiers"] for name in sorted(assistant.devices())]
    assert identifiers == [["hemsd_appliance_0130-00000001"], ["hemsd_meter_m1"], ["hemsd_site_home-1"]]


def test_a_device_says_what_it_is(assistant: Assistant) -> None:
    """Names may be Japanese; who made it, and what stands behind what."""
    assert assistant.device("meter-m1")["device"] == {
        "identifiers": ["hemsd_meter_m1"],
        "name": "Smart meter",
        "manufacturer": "ECHONET 000016",
        "model": "Smart meter for low voltage, generation 2",
        "serial_number": "A123 45",
        "via_device": "hemsd_site_home-1",
    }
    assert assistant.device(f"appliance-{AIRCON}")["device"] == {
        "identifiers": [f"hemsd_appliance_{AIRCON}"],
        "name": "居間のエアコン",
        "suggested_area": "居間",
        "manufacturer": "ECHONET 00000B",
        "model": "X 1 (some_class)",
        "serial_number": "7",
        "via_device": "hemsd_site_home-1",
    }


def test_availability_has_two_levels(assistant: Assistant) -> None:
    """hemsd must be there, and the device: each by a topic that says online or offline."""
    for name, own in (("site", ""), ("meter-m1", "meter/m1/"), (f"appliance-{AIRCON}", f"appliance/{AIRCON}/")):
        topics = [each["topic"] for each in assistant.device(name)["availability"]]
        assert topics == [f"hemsd/v1/{SITE}/{each}availability" for each in dict.fromkeys(("", own))]
        assert {assistant.kept[topic] for topic in topics} == {b"online"}


def test_live_values_of_the_meter_expire_and_totals_do_not(assistant: Assistant) -> None:
    """After as many polls without one; a total that expired would be a gap in the energy."""
    assert {each.get("expire_after") for each in assistant.entities("meter-m1").values()} == {120}
    assert {each.get("expire_after") for each in assistant.entities("site").values()} == {None}


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_refers_to_topics_of_that_level_only(level: Exposure) -> None:
    """Nothing is promised that is not published, or not listened to, at this exposure."""
    assistant = Assistant(level)
    assistant.hear(*HOUSE)
    assistant.wait()
    assert (f"appliance-{AIRCON}" in assistant.devices()) == (level != "aggregates")
    controls = 0
    for name in assistant.devices():
        device = assistant.device(name)
        topics = [each["topic"] for each in device["availability"]]
        for entity in device["components"].values():
            topics += [entity["state_topic"]] if "state_topic" in entity else []
            if "command_topic" in entity:
                controls += 1
                assert entity["command_topic"] == f"hemsd/v1/{SITE}/appliance/{AIRCON}/set"
                assert exposes(level, REQUESTS["appliance/+/set"])
        for topic in topics:
            kind = kind_of(topic)
            assert kind is not None and exposes(level, TOPICS[kind].level) and topic in assistant.kept
    assert controls == (3 if level == "control" else 0)


def test_a_command_is_a_request(assistant: Assistant) -> None:
    """What Home Assistant publishes is taken for what it means."""
    requests = Requests(assistant.topics, "r", Counter())
    for key, wanted in (("switch_on", False), ("select_mode", "auto"), ("number_target_temperature_c", 25)):
        entity = assistant.entities(f"appliance-{AIRCON}")[key]
        payload = discovery.command(entity, wanted)
        requests.take(Incoming(entity["command_topic"], payload), 0.0, NOON)
        (asked,) = requests.outgoing()
        word = key.partition("_")[2]
        assert (asked.operation, asked.target, asked.values) == ("set", AIRCON, {word: wanted})


def test_an_entity_begins_with_its_first_value() -> None:
    """A house without solar panels has no entity for them; one that gets some has."""
    assistant = Assistant()
    assistant.hear(meter(), read(power_w=5))
    assistant.wait()
    assert assistant.entities("meter-m1").keys() == {"sensor_power_w"}
    assistant.hear(read(current_r_a=1.5))
    assert assistant.wait() == ["meter-m1"]
    assert assistant.entities("meter-m1").keys() == {"sensor_power_w", "sensor_current_r_a"}


def test_changes_are_told_together_and_values_are_not_changes(assistant: Assistant) -> None:
    """What comes within the time to settle is one payload; what only has new values is none."""
    assert assistant.hear(read(power_w=7), state(**VALUES | {"power_w": 5}), status(name="居間のエアコン")) == []
    assert assistant.hear(status(name="new"), state(**VALUES, room_temperature_c=20), status(name="newer")) == []
    assert assistant.wait(SETTLE_S - 1) == []
    assert assistant.wait(1) == [f"appliance-{AIRCON}"]
    assert assistant.device(f"appliance-{AIRCON}")["device"]["name"] == "newer"


def test_all_is_told_again_to_a_new_broker_and_on_a_start_of_home_assistant(assistant: Assistant) -> None:
    """The same, byte for byte."""
    before = dict(assistant.kept)
    assistant.discovery.renew(assistant.now)
    assert assistant.look() == ["site", "meter-m1", f"appliance-{AIRCON}"]
    assert assistant.kept == before


def test_what_is_forgotten_is_taken_away(assistant: Assistant) -> None:
    """An empty payload, once, also where the broker was away meanwhile."""
    assert assistant.hear(status(forgotten=True)) == [f"appliance-{AIRCON}"]
    assert assistant.devices() == {"site", "meter-m1"}
    assert assistant.wait(UNTOLD_S) == []
    assert assistant.discovery.retained() == [f"{ROOT}/{name}/config" for name in ("site", "meter-m1")]


def test_another_meter_is_another_device(assistant: Assistant) -> None:
    """Its entities are its own; the totals of the house go on."""
    assistant.hear(meter("m2"), read("m2", power_w=1))
    assistant.wait()
    assert assistant.devices() == {"site", "meter-m2", f"appliance-{AIRCON}"}
    assert "m2" in assistant.entities("site")["binary_sensor_meter"]["state_topic"]


def test_a_restart_takes_nothing_away(assistant: Assistant) -> None:
    """What is not told yet stays as it is until it surely is gone."""
    before = assistant.devices()
    assistant.start()
    for path in [f"{ROOT}/{name}/config" for name in before]:
        assert assistant.discovery.owns(path)
        assert assistant.discovery.leftover(path, assistant.now) is None
    assistant.hear(meter("m2"))
    gone = {name for name in before if assistant.discovery.leftover(f"{ROOT}/{name}/config", assistant.now)}
    assert gone == {"meter-m1"}
    later = assistant.now + UNTOLD_S
    assert assistant.discovery.leftover(f"{ROOT}/appliance-{AIRCON}/config", later) is not None
    other = f"homeassistant/device/hemsd-other/meter-{AIRCON}/config"
    assert not assistant.discovery.owns(other)


def test_energy_is_never_zero_null_or_less_through_a_restart(assistant: Assistant) -> None:
    """History may be behind what was told, and registers are read later than power: until then nothing is said."""
    entity = assistant.entities("site")["sensor_imported_total_kwh"]
    states = [discovery.state(entity, assistant.kept[entity["state_topic"]])]
    assistant.start()
    behind = Lifetime(meter="m1", at=NOON, total_kwh=2234.4, register_kwh=1234.4)
    first = LifetimeEnergy(imported=behind, exported=Lifetime(meter="m1", at=NOON, total_kwh=0, register_kwh=0))
    later = read(energy_import_kwh=1234.7, energy_export_kwh=0.1)
    for message in (read(power_w=5), first, read(power_w=6), read(energy_import_kwh=1234.6), later):
        assistant.hear(message)
        states.append(discovery.state(entity, assistant.kept[entity["state_topic"]], before=states[-1]))
    assert states == ["2234.5"] * 5 + ["2234.7"]


def test_the_platform_of_a_word_changes_with_the_exposure(assistant: Assistant) -> None:
    """What may not be set any more is taken away as a switch, with its platform alone and once, and is a sensor."""
    assistant.start("appliances")
    assistant.hear(*HOUSE)
    assistant.wait()
    first = assistant.entities(f"appliance-{AIRCON}")
    assert {key: each for key, each in first.items() if len(each) == 1} == {
        "switch_on": {"platform": "switch"},
        "select_mode": {"platform": "select"},
        "number_target_temperature_c": {"platform": "number"},
    }
    assert f"appliance-{AIRCON}" in assistant.wait()
    then = assistant.entities(f"appliance-{AIRCON}")
    assert then.keys() == {key for key, each in first.items() if len(each) > 1}
    assert {"binary_sensor_on", "sensor_mode", "sensor_target_temperature_c"} <= then.keys()
    assert assistant.wait() == []


def test_what_is_a_whole_stands_for_its_words(assistant: Assistant) -> None:
    """A card in place of switch, select and number, which an earlier run may have told; less exposure undoes it."""
    device = f"appliance-{AIRCON}"
    assistant.hear(status(kind="home_air_conditioner", wishes=WISHES))
    assistant.wait()
    first = assistant.entities(device)
    card = first["climate_whole"]
    topics = {each for key, each in card.items() if key.endswith("_topic")}
    assert topics == {f"hemsd/v1/{SITE}/appliance/{AIRCON}/{what}" for what in ("state", "set")}
    assert {key for key, each in first.items() if len(each) == 1} == {
        *("switch_on", "select_mode", "number_target_temperature_c")
    }
    assistant.wait()
    assert assistant.entities(device).keys() == {"climate_whole", "sensor_power_w", "sensor_energy_import_kwh"}
    assistant.start("appliances")
    assistant.hear(*HOUSE[:-2], status(kind="home_air_conditioner", wishes=WISHES), HOUSE[-1])
    assistant.wait()
    assert assistant.entities(device)["climate_whole"] == {"platform": "climate"}
    assistant.wait()
    shown = assistant.entities(device)
    assert {each["platform"] for each in shown.values()} == {"sensor", "binary_sensor"}
    assert {"binary_sensor_on", "sensor_mode", "sensor_target_temperature_c"} <= shown.keys()


def test_an_appliance_waits_until_it_is_known() -> None:
    """What it can do is not said before it has told."""
    assistant = Assistant()
    assistant.hear(status(known=False), state(**VALUES))
    assistant.wait(100)
    assert assistant.devices() == {"site"}
    assistant.hear(status())
    assert assistant.wait() == [f"appliance-{AIRCON}"]


def test_switched_off_it_says_nothing() -> None:
    """And owns no topic, so that what an earlier run told is cleared."""
    assistant = Assistant(prefix="")
    assistant.hear(*HOUSE)
    assert assistant.wait() == []
    assert assistant.discovery.deadline() is None
    assert not assistant.discovery.owns(f"{ROOT}/site/config")
    left = assistant.standing.leftover(f"{ROOT}/site/config", assistant.now)
    assert left is not None and left.payload == b""
