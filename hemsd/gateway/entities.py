"""What Home Assistant makes of each value: literal tables, and entities as its MQTT discovery describes them.

Pure. Names and classes are those of Home Assistant's integrations MQTT, sensor and binary_sensor, 2025.10 and later.
An `entity_id` is only proposed; what an entity is known by, for ever, is its `unique_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

Entity = dict[str, Any]
"""One of `components`: keys as Home Assistant documents them, never abbreviated."""

CHOICES_MAX = 20  # of a select that stands for steps


class Meaning(Struct, frozen=True):
    """What one value is: on which platform it is shown, how it is called, and what else is to be said of it."""

    name: str
    platform: str = "sensor"
    about: Mapping[str, Any] = {}


def _live(name: str, device_class: str, unit: str, **more: str) -> Meaning:
    about = {"device_class": device_class, "unit_of_measurement": unit, "state_class": "measurement"}
    return Meaning(name, about=about | more)


def _register(name: str, device_class: str = "energy", unit: str = "kWh") -> Meaning:
    """It counts up; where it falls it began anew, as one does that wraps or was reset."""
    about = {"device_class": device_class, "unit_of_measurement": unit, "state_class": "total_increasing"}
    return Meaning(name, about=about)


def _plain(name: str, unit: str, **more: str) -> Meaning:
    return Meaning(name, about={"unit_of_measurement": unit, "state_class": "measurement"} | more)


def _flag(name: str, on: str = "True", **more: str) -> Meaning:
    """JSON's true comes out of a template as True."""
    off = "False" if on == "True" else "True"
    return Meaning(name, "binary_sensor", {"payload_on": on, "payload_off": off} | more)


DIAGNOSTIC: Mapping[str, str] = {"entity_category": "diagnostic"}

METER: Mapping[str, Meaning] = {
    "power_w": _live("Power", "power", "W"),
    "current_r_a": _live("Current R", "current", "A"),
    "current_t_a": _live("Current T", "current", "A"),
    "rssi_dbm": _live("Signal strength", "signal_strength", "dBm", **DIAGNOSTIC),
    "lqi": Meaning("Link quality", about={"state_class": "measurement", **DIAGNOSTIC}),
}
"""Fields of ``meter/<m>/live``. Its registers are not among them: they wrap, and end with the meter."""

SITE: Mapping[str, Meaning] = {
    "grid_w": _live("Grid power", "power", "W"),
    "pv_w": _live("Solar power", "power", "W"),
    "battery_w": _live("Battery power", "power", "W"),
    "ev_w": _live("Vehicle power", "power", "W"),
    "known_loads_w": _live("Known loads", "power", "W"),
    "rest_w": _live("Other loads", "power", "W"),
}
"""Fields of ``site/live``."""

ENERGY: Mapping[str, Meaning] = {
    "imported_total_kwh": _register("Grid energy imported"),
    "exported_total_kwh": _register("Grid energy exported"),
}
"""Fields of ``site/energy``."""

WORDS: Mapping[str, Meaning] = {
    "on": _flag("Operation", device_class="running"),
    "mode": Meaning("Mode"),
    "activity": Meaning("Activity"),
    "fault": _flag("Fault", device_class="problem", **DIAGNOSTIC),
    "power_saving": _flag("Power saving"),
    "target_temperature_c": _live("Target temperature", "temperature", "°C"),
    "level": Meaning("Level"),  # a number or auto
    "fan": Meaning("Fan"),
    "room_temperature_c": _live("Room temperature", "temperature", "°C"),
    "floor_temperature_c": _live("Floor temperature", "temperature", "°C"),
    "outdoor_temperature_c": _live("Outdoor temperature", "temperature", "°C"),
    "humidity_percent": _live("Humidity", "humidity", "%"),
    "brightness_percent": _plain("Brightness", "%"),
    "color": Meaning("Color"),
    "color_rgb": Meaning("Color RGB"),
    "scene": Meaning("Scene"),
    "power_w": _live("Power", "power", "W"),
    "current_a": _live("Current", "current", "A"),
    "current_r_a": _live("Current R", "current", "A"),
    "current_t_a": _live("Current T", "current", "A"),
    "energy_import_kwh": _register("Energy consumed"),
    "energy_export_kwh": _register("Energy supplied"),
    "power_limit_percent": _plain("Power limit", "%"),
    "power_limit_w": _live("Power limit in watts", "power", "W"),
    "curtailed": _flag("Curtailed"),
    "soc_percent": _live("State of charge", "battery", "%"),
    "stored_wh": _live("Stored energy", "energy_storage", "Wh"),
    "capacity_wh": _live("Capacity", "energy_storage", "Wh"),
    "chargeable_wh": _live("Chargeable energy", "energy_storage", "Wh"),
    "dischargeable_wh": _live("Dischargeable energy", "energy_storage", "Wh"),
    "charge_power_w": _live("Charge power setting", "power", "W"),
    "discharge_power_w": _live("Discharge power setting", "power", "W"),
    "charge_current_a": _live("Charge current setting", "current", "A"),
    "charge_target_wh": _live("Charge target", "energy_storage", "Wh"),
    "discharge_target_wh": _live("Discharge target", "energy_storage", "Wh"),
    "vehicle": Meaning("Vehicle"),
    "heating": _flag("Heating", device_class="heat"),
    "supplying": _flag("Hot water running", device_class="running"),
    "no_hot_water": _flag("No hot water", device_class="problem"),
    "hot_water_l": _live("Hot water", "volume_storage", "L"),
    "tank_l": _live("Tank size", "volume_storage", "L", **DIAGNOSTIC),
    "tank_temperature_c": _live("Tank temperature", "temperature", "°C"),
    "bath": Meaning("Bath"),
    "bath_auto": _flag("Bath automatic"),
    "bath_heating": _flag("Bath reheating", device_class="heat"),
    "bath_temperature_c": _live("Bath temperature", "temperature", "°C"),
    "energy_shift": _flag("Daytime heating"),
    "shift_hour": Meaning("Daytime heating hour"),
    "volume_m3": _register("Volume", "volume", "m³"),
    "fridge_temperature_c": _live("Refrigerator temperature", "temperature", "°C"),
    "freezer_temperature_c": _live("Freezer temperature", "temperature", "°C"),
    "door_open": _flag("Door", device_class="door"),
    "locked": _flag("Lock", on="False", device_class="lock"),  # of a lock, on is unlocked
}
"""Words of the common language of appliances. One that is not here is not shown."""

METERS: Mapping[str, Meaning] = {
    "gas_meter": _register("Gas", "gas", "m³"),
    "water_flow_meter": _register("Water", "water", "m³"),
}
"""What `volume_m3` is by the class of the appliance."""

CONTROLS: Mapping[str, str] = {
    "on": "switch",
    "power_saving": "switch",
    "bath_auto": "switch",
    "energy_shift": "switch",
    "target_temperature_c": "number",
    "bath_temperature_c": "number",
    "brightness_percent": "number",
    "mode": "select",
    "fan": "select",
    "level": "select",
    "color": "select",
}
"""Words that Home Assistant may set one by one, and by what. A target in watt-hours is left to automations."""


def key_of(platform: str, what: str) -> str:
    """The name of a component: of two platforms for one value each has its own, so that one can go."""
    return f"{platform}_{what}"


def reading(meaning: Meaning, topic: str, name: str, *, expires_s: int | None = None) -> Entity:
    """A value of a JSON topic with fixed fields.

    A live value that is null makes the entity unknown. What counts up keeps its last state instead: Home Assistant
    ignores empty text, and would begin to count anew after nothing but a restart of ours.
    """
    counts = meaning.about.get("state_class") == "total_increasing"
    expression = f"value_json.{name}"
    template = f"{{{{ {expression} if {expression} is number else '' }}}}" if counts else f"{{{{ {expression} }}}}"
    expiry = {"expire_after": expires_s} if expires_s is not None and not counts else {}
    return {**_entity(meaning.platform, meaning.name), **meaning.about, **_state(topic, template), **expiry}


def showing(word: str, kind: str, topic: str) -> Entity:
    """A word of an appliance, which leaves out what it does not know."""
    meaning = meaning_of(word, kind)
    value = f"value_json['values'].get('{word}')"  # value_json.values would be a method
    counts = meaning.about.get("state_class") == "total_increasing"
    template = f"{{% set v = {value} %}}{{{{ v if v is number else '' }}}}" if counts else f"{{{{ {value} }}}}"
    return {**_entity(meaning.platform, meaning.name), **meaning.about, **_state(topic, template)}


def setting(word: str, kind: str, accepts: str, topic: str, command_topic: str) -> Entity | None:
    """A word of an appliance that it can be set by; None where what it accepts does not fit on a platform.

    `accepts` is as in ApplianceStatus.wishes. A value that cannot be wished for is shown as unknown.
    """
    meaning, platform = meaning_of(word, kind), CONTROLS.get(word)
    value = f"value_json['values'].get('{word}')"
    entity = _entity(platform or "", meaning.name) | {"command_topic": command_topic}
    if platform == "switch" and accepts == "true or false":
        orders = {"payload_on": f'{{"{word}":true}}', "payload_off": f'{{"{word}":false}}'}
        states = {"state_on": "True", "state_off": "False"}
        return entity | orders | states | _state(topic, f"{{{{ {value} }}}}")
    if platform == "number" and (numbers := numbers_of(accepts)) is not None:
        unit = {key: meaning.about[key] for key in ("device_class", "unit_of_measurement") if key in meaning.about}
        order = {"command_template": f'{{"{word}":{{{{ value }}}}}}', "mode": "box"}
        return entity | unit | numbers | order | _state(topic, f"{{{{ {value} }}}}")
    if platform == "select" and (options := options_of(accepts)):
        template = f"{{% set v = {value} | string %}}{{{{ v if v in {options} else none }}}}"
        order = {"command_template": f'{{"{word}":"{{{{ value }}}}"}}'}
        return entity | {"options": list(options)} | order | _state(topic, template)
    return None


def meaning_of(word: str, kind: str) -> Meaning:
    """What a word is for an appliance of that kind."""
    return METERS.get(kind, WORDS[word]) if word == "volume_m3" else WORDS[word]


def numbers_of(accepts: str) -> dict[str, float] | None:
    """`min`, `max` and `step` out of ``0 to 50 °C``; None where there are words beside the numbers."""
    found = re.fullmatch(r"(-?[\d.]+) to (-?[\d.]+)(?: [^ ,]+)?(?: in steps of ([\d.]+))?", accepts)
    return {"min": float(found[1]), "max": float(found[2]), "step": float(found[3] or 1)} if found else None


def options_of(accepts: str) -> tuple[str, ...]:
    """The words in ``one of auto, cool``, ``rated or follow``, ``1 to 8, or auto``; empty where they are not such."""
    options: list[str] = []
    for part in re.split(", or | or |, ", accepts.removeprefix("one of ")):
        if steps := re.fullmatch(r"(\d{1,2}) to (\d{1,2})", part):
            options += map(str, range(int(steps[1]), int(steps[2]) + 1))
        elif re.fullmatch("[a-z0-9_]{1,32}", part):
            options.append(part)
        else:
            return ()
    return tuple(dict.fromkeys(options)) if len(options) <= CHOICES_MAX else ()


def named(entities: Mapping[str, Entity], owner: str, whose: str) -> dict[str, Entity]:
    """Each with the two ids that it is known by: `owner` is for ever, `whose` begins the proposed entity_id.

    One without a name has that of its device.
    """
    return {
        key: {
            **entity,
            "unique_id": f"hemsd_{owner}_{key.removeprefix(entity['platform'] + '_')}",
            "default_entity_id": f"{entity['platform']}.{slug(whose, entity['name'] or '')}",
        }
        for key, entity in entities.items()
    }


def slug(*parts: str) -> str:
    """What an entity_id is made of."""
    return re.sub("[^a-z0-9]+", "_", " ".join(parts).lower()).strip("_")


def available(topics: Iterable[str]) -> Entity:
    """All of these topics are to say online."""
    return {"availability": [{"topic": topic} for topic in topics], "availability_mode": "all"}


def _entity(platform: str, name: str) -> Entity:
    return {"platform": platform, "name": name}


def _state(topic: str, template: str) -> Entity:
    return {"state_topic": topic, "value_template": template}
