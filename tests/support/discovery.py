"""What Home Assistant takes as device-based discovery (2025.10 to 2026.4), and what it makes of the values.

Written from its documentation of MQTT discovery, sensor and binary_sensor: keys in full, no abbreviations, and of
those only what is documented; `object_id` is none of them any more.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = {"device", "origin", "components", "availability", "availability_mode", "state_topic", "command_topic", "qos"}
DEVICE = {
    *("identifiers", "connections", "name", "manufacturer", "model", "model_id", "hw_version", "sw_version"),
    *("serial_number", "suggested_area", "via_device", "configuration_url"),
}
ORIGIN = {"name", "sw_version", "support_url"}
ANY = {
    *("platform", "unique_id", "default_entity_id", "name", "icon", "entity_category", "enabled_by_default"),
    *("availability", "availability_mode", "qos", "json_attributes_topic", "json_attributes_template"),
    *("state_topic", "value_template"),
}


def _both(*names: str) -> set[str]:
    return {
        f"{name}_{way}_{what}" for name in names for way in ("command", "state") for what in ("topic", "template")
    }


def _shown(*names: str) -> set[str]:
    return {f"{name}_{what}" for name in names for what in ("topic", "template")}


KEYS = {
    "sensor": ANY
    | {"device_class", "unit_of_measurement", "state_class", "expire_after", "force_update", "options"}
    | {"suggested_display_precision", "last_reset_value_template"},
    "binary_sensor": ANY | {"device_class", "payload_on", "payload_off", "expire_after", "off_delay", "force_update"},
    "switch": ANY
    | {"command_topic", "command_template", "payload_on", "payload_off", "state_on", "state_off", "optimistic"}
    | {"device_class", "retain"},
    "number": ANY
    | {"command_topic", "command_template", "min", "max", "step", "mode", "unit_of_measurement", "device_class"}
    | {"optimistic", "payload_reset", "retain"},
    "select": ANY | {"command_topic", "command_template", "options", "optimistic", "retain"},
    "climate": ANY
    | {"modes", "fan_modes", "min_temp", "max_temp", "temp_step", "precision", "temperature_unit", "initial"}
    | {"power_command_topic", "power_command_template", "payload_on", "payload_off", "optimistic", "retain"}
    | _both("mode", "fan_mode", "temperature")
    | _shown("current_temperature", "current_humidity", "action"),
    "water_heater": ANY
    | {"modes", "min_temp", "max_temp", "precision", "temperature_unit", "initial"}
    | {"power_command_topic", "power_command_template", "payload_on", "payload_off", "optimistic", "retain"}
    | _both("mode", "temperature")
    | _shown("current_temperature"),
    "light": ANY - {"value_template"}  # of the schema `template`
    | {"schema", "command_topic", "command_on_template", "command_off_template", "state_template"}
    | {"brightness_template", "color_temp_template", "color_temp_kelvin", "min_kelvin", "max_kelvin"}
    | {"red_template", "green_template", "blue_template", "effect_list", "effect_template", "optimistic"},
    "fan": ANY - {"value_template"}
    | {"command_topic", "command_template", "state_value_template", "payload_on", "payload_off"}
    | {
        "percentage_command_topic",
        "percentage_command_template",
        "percentage_state_topic",
        "percentage_value_template",
    }
    | {"preset_mode_command_topic", "preset_mode_command_template", "preset_mode_state_topic", "preset_modes"}
    | {"preset_mode_value_template", "speed_range_min", "speed_range_max", "optimistic", "retain"},
    "lock": ANY
    | {"command_topic", "command_template", "payload_lock", "payload_unlock", "payload_open", "payload_reset"}
    | {"state_locked", "state_unlocked", "state_jammed", "code_format", "optimistic", "retain"},
}
NEEDED = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "switch": {"command_topic", "state_topic"},
    "number": {"command_topic", "state_topic", "min", "max"},
    "select": {"command_topic", "state_topic", "options"},
    "climate": {"mode_command_topic", "mode_state_topic", "temperature_command_topic", "temperature_state_topic"},
    "water_heater": {
        "mode_command_topic",
        "mode_state_topic",
        "temperature_command_topic",
        "temperature_state_topic",
    },
    "light": {"schema", "command_topic", "command_on_template", "command_off_template", "state_topic"},
    "fan": {"command_topic", "state_topic"},
    "lock": {"command_topic", "state_topic"},
}
CLIMATE_MODES = {"off", "auto", "heat_cool", "cool", "heat", "dry", "fan_only"}
WATER_HEATER_MODES = {"off", "eco", "electric", "gas", "heat_pump", "high_demand", "performance"}
LIVE, COUNTS = {"measurement"}, {"total", "total_increasing"}
SENSOR_CLASSES = {
    "power": ({"W", "kW"}, LIVE),
    "current": ({"A", "mA"}, LIVE),
    "energy": ({"Wh", "kWh", "MWh"}, COUNTS),
    "energy_storage": ({"Wh", "kWh", "MWh"}, LIVE),
    "temperature": ({"°C", "°F"}, LIVE),
    "humidity": ({"%"}, LIVE),
    "battery": ({"%"}, LIVE),
    "signal_strength": ({"dB", "dBm"}, LIVE),
    "volume": ({"L", "m³"}, COUNTS),
    "volume_storage": ({"L", "m³"}, LIVE),
    "gas": ({"L", "m³"}, COUNTS),
    "water": ({"L", "m³"}, COUNTS),
}
BINARY_CLASSES = {"connectivity", "door", "heat", "lock", "problem", "running"}
ID = re.compile("[A-Za-z0-9_-]+")

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined)


def check(payload: dict[str, Any]) -> None:
    """Raise AssertionError where Home Assistant would refuse it, or the contract of hemsd is broken."""
    assert payload.keys() <= ROOT
    assert {"device", "origin", "components"} <= payload.keys()
    assert payload["device"].keys() <= DEVICE
    assert payload["device"]["identifiers"]
    assert all(each.isascii() for each in payload["device"]["identifiers"])
    assert all(payload["device"].values()), "a text is empty"
    assert payload["origin"].keys() <= ORIGIN and payload["origin"]["name"]
    assert payload["availability_mode"] == "all" and payload["availability"]
    entities = [each for each in payload["components"].values() if each.keys() != {"platform"}]
    assert entities
    for key, each in payload["components"].items():
        assert ID.fullmatch(key)
        assert each["platform"] in KEYS
        if each in entities:
            _check_entity(each)
    ids = [(each["platform"], each["unique_id"]) for each in entities]
    assert len(set(ids)) == len(ids)


def _check_entity(entity: dict[str, Any]) -> None:
    platform = entity["platform"]
    assert entity.keys() <= KEYS[platform], entity
    assert {"unique_id", "default_entity_id", "name", *NEEDED[platform]} <= entity.keys()
    assert ID.fullmatch(entity["unique_id"])
    assert re.fullmatch(f"{platform}\\.[a-z0-9_]+", entity["default_entity_id"])
    assert entity.get("entity_category", "diagnostic") == "diagnostic"
    kind, unit = entity.get("device_class"), entity.get("unit_of_measurement")
    match platform:
        case "sensor":
            if kind is not None:
                units, states = SENSOR_CLASSES[kind]
                assert unit in units
                assert entity.get("state_class") in states
            assert unit is None or "state_class" in entity
            assert "expire_after" not in entity or entity["state_class"] == "measurement"
        case "binary_sensor":
            assert kind is None or kind in BINARY_CLASSES
            assert {"payload_on", "payload_off"} <= entity.keys()
        case "number":
            assert entity["min"] < entity["max"] and entity["step"] > 0
        case "select":
            assert len(entity["options"]) == len(set(entity["options"])) > 0
        case "climate" | "water_heater":
            assert set(entity["modes"]) <= (CLIMATE_MODES if platform == "climate" else WATER_HEATER_MODES)
            assert entity["min_temp"] < entity["max_temp"] and entity["temperature_unit"] in ("C", "F")
        case "light":
            assert entity["schema"] == "template" and entity.get("min_kelvin", 0) < entity.get("max_kelvin", 1)
        case "fan":
            assert 0 < entity["speed_range_min"] < entity["speed_range_max"]
    if any(f"{name}_state_topic" in entity for name in ("mode", "fan_mode", "temperature")):
        assert "state_topic" not in entity


def rendered(entity: dict[str, Any], payload: bytes) -> str:
    """The text that an entity takes for its state."""
    template = entity.get("value_template")
    if template is None:
        return payload.decode()
    return _ENVIRONMENT.from_string(template).render(value=payload.decode(), value_json=json.loads(payload))


def state(entity: dict[str, Any], payload: bytes, before: str = "unknown") -> str:
    """The state after a message on its topic. Raises AssertionError where Home Assistant would complain."""
    text = rendered(entity, payload)
    if text == "None":
        return "unknown"
    match entity["platform"]:
        case "sensor":
            if not text and "unit_of_measurement" in entity:
                return before
            if "unit_of_measurement" in entity:
                float(text)
            return text
        case "binary_sensor":
            return {entity["payload_on"]: "on", entity["payload_off"]: "off"}[text]
        case "switch":
            return {entity["state_on"]: "on", entity["state_off"]: "off"}[text]
        case "number":
            assert entity["min"] <= float(text) <= entity["max"]
        case "select":
            assert text in entity["options"]
    return text


def command(entity: dict[str, Any], value: Any) -> bytes:
    """What Home Assistant publishes when somebody wants this of an entity."""
    if entity["platform"] == "switch":
        return str(entity["payload_on" if value else "payload_off"]).encode()
    return _ENVIRONMENT.from_string(entity["command_template"]).render(value=value).encode()


def shown(entity: dict[str, Any], **values: Any) -> dict[str, str]:
    """What each template makes of these values of an appliance, by its name: climate and the like have several."""
    payload = json.dumps({"values": values}).encode()
    templates = {key: text for key, text in entity.items() if key.endswith("_template") and "command" not in key}
    return {key.removesuffix("_template"): rendered({"value_template": templates[key]}, payload) for key in templates}


def order(entity: dict[str, Any], what: str, value: Any = None, **variables: Any) -> dict[str, Any]:
    """What is published for a key of an entity: a template, with its value or variables, or a payload."""
    ordered: dict[str, Any] = json.loads(_ENVIRONMENT.from_string(entity[what]).render(value=value, **variables))
    return ordered
