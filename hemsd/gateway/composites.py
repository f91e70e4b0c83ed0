"""What an appliance is as a whole to Home Assistant: one entity with a card, in place of single words. Pure.

One literal table for each platform, by the class of the appliance. An entity takes the name of its device. It is
there where the appliance can be set by all that makes it what it is, and leaves out what else it may have; all of its
orders go to ``appliance/<a>/set``. What it shows is what the appliance told, never what was wished for.

An electric water heater is none: what it is set to is the water at the tap, what it has is a tank, and its modes are
none that Home Assistant knows. Nor is anything that Home Assistant would show otherwise than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from msgspec import Struct

from hemsd.gateway.entities import Entity, numbers_of, options_of

TRUTH: Final = "true or false"  # as in ApplianceStatus.wishes
ON, OFF = '{"on":true}', '{"on":false}'


class Composite(NamedTuple):
    """An entity, and the words that need none of their own beside it."""

    entity: Entity
    words: frozenset[str]


class Told(NamedTuple):
    """What is known of an appliance: words that it tells, what it can be set by, and where both go on."""

    words: frozenset[str]
    wishes: Mapping[str, str]
    topic: str
    order: str  # topic of its orders


class Climate(Struct, frozen=True):
    """Keeps a temperature."""

    low_c: int  # what its dial begins with and ends at; the class has 0 to 50, which no dial is good for
    high_c: int
    modes: Mapping[str, str] = {}  # Home Assistant's -> value of `mode`; none: it heats


CLIMATES: Mapping[str, Climate] = {
    "home_air_conditioner": Climate(
        low_c=10,  # of those for cold regions, which keep a house from freezing
        high_c=32,
        modes={"auto": "auto", "cool": "cool", "heat": "heat", "dry": "dry", "fan_only": "fan"},
    ),
    "floor_heater": Climate(low_c=16, high_c=40),
}


class WaterHeater(Struct, frozen=True):
    """Heats water for the tap; it has one mode beside off."""

    mode: str  # one that Home Assistant knows
    low_c: int
    high_c: int


WATER_HEATERS: Mapping[str, WaterHeater] = {
    "instantaneous_water_heater": WaterHeater(mode="gas", low_c=30, high_c=60),
}

LIGHTS: frozenset[str] = frozenset(
    {"general_lighting", "mono_functional_lighting", "lighting_system", "enhanced_lighting_system"}
)

KELVIN: Mapping[str, int] = {"incandescent": 2700, "white": 4200, "daylight_white": 5000, "daylight": 6500}
"""Shades of white by their usual colour temperature; a temperature between two is the nearer one."""

FANS: frozenset[str] = frozenset({"ventilation_fan", "air_cleaner"})

LOCKS: frozenset[str] = frozenset({"electric_lock"})


def composite(kind: str, told: Told) -> Composite | None:
    """What an appliance of this class is as a whole, as far as it can be set; None where it is not such a thing."""
    make = MAKERS.get(platform_of(kind))
    return make(kind, told) if make is not None else None


def platform_of(kind: str) -> str:
    """The platform of the whole of a class; empty where it is only its words."""
    tables = {"climate": CLIMATES, "water_heater": WATER_HEATERS, "light": LIGHTS, "fan": FANS, "lock": LOCKS}
    return next((platform for platform, kinds in tables.items() if kind in kinds), "")


def _climate(kind: str, told: Told) -> Composite | None:
    climate, modes = CLIMATES[kind], {}
    if not _switched(told) or (degrees := numbers_of(told.wishes.get("target_temperature_c", ""))) is None:
        return None
    if climate.modes:
        possible = _modes(told)
        modes = {theirs: ours for theirs, ours in climate.modes.items() if ours in possible}
        if not modes or "mode" not in told.words:
            return None
    wanted = {theirs: f'{{"on":true,"mode":"{ours}"}}' for theirs, ours in modes.items()} or {"heat": ON}
    orders = {"off": OFF} | wanted
    shown = f"{ {ours: theirs for theirs, ours in modes.items()} }.get({_value('mode')})" if modes else "'heat'"
    entity: Entity = {
        "platform": "climate",
        "name": None,
        "modes": list(orders),
        **_mode(orders, shown, told),
        **_power(told),
        **_target(told),
        "temp_step": degrees["step"],
        "min_temp": max(degrees["min"], climate.low_c),
        "max_temp": min(degrees["max"], climate.high_c),
    }
    words = {"on", "target_temperature_c"} | ({"mode"} if modes else set())
    if modes and (steps := options_of(told.wishes.get("fan", ""))) and "fan" in told.words:
        words.add("fan")
        fan = f"{{% set v = {_value('fan')} | string %}}{{{{ v if v in {steps} else none }}}}"
        entity |= {
            "fan_modes": list(steps),
            "fan_mode_command_topic": told.order,
            "fan_mode_command_template": '{"fan":"{{ value }}"}',
            "fan_mode_state_topic": told.topic,
            "fan_mode_state_template": fan,
        }
    if modes:
        entity |= _beside("current_temperature", "room_temperature_c", told)
        entity |= _beside("current_humidity", "humidity_percent", told)
    return Composite(entity, frozenset(words))


def _water_heater(kind: str, told: Told) -> Composite | None:
    degrees = numbers_of(told.wishes.get("target_temperature_c", ""))
    if not _switched(told) or degrees is None:
        return None
    heater = WATER_HEATERS[kind]
    orders = {"off": OFF, heater.mode: ON}
    entity: Entity = {
        "platform": "water_heater",
        "name": None,
        "modes": list(orders),
        **_mode(orders, f"'{heater.mode}'", told),
        **_power(told),
        **_target(told),
        "min_temp": max(degrees["min"], heater.low_c),
        "max_temp": min(degrees["max"], heater.high_c),
    }
    return Composite(entity, frozenset({"on", "target_temperature_c"}))


class LightPart(NamedTuple):
    """What a lamp can do beside on and off: its word, keys of the entity, and what an order says of it."""

    word: str
    entity: Entity
    order: str


def _light(kind: str, told: Told) -> Composite | None:
    if not _switched(told):
        return None
    parts = [part for make in (_brightness, _whites, _colors) if (part := make(told)) is not None]
    entity: Entity = {
        "platform": "light",
        "name": None,
        "schema": "template",
        "command_topic": told.order,
        "command_on_template": "".join(('{"on":true', *(part.order for part in parts), "}")),
        "command_off_template": OFF,
        "state_topic": told.topic,
        "state_template": f"{{{{ {{true: 'on', false: 'off'}}.get({_value('on')}) }}}}",
    }
    for part in parts:
        entity |= part.entity
    return Composite(entity, frozenset({"on", *(part.word for part in parts)}))


def _brightness(told: Told) -> LightPart | None:
    """What is on has 1 percent at least; an empty text leaves the brightness as it was shown."""
    word = "brightness_percent"
    if word not in told.words or numbers_of(told.wishes.get(word, "")) is None:
        return None
    shown = f"{{% set v = {_value(word)} %}}{{{{ (v * 2.55) | round | int if v is number else '' }}}}"
    order = (
        "{% if brightness is defined %}"
        ',"brightness_percent":{{ [1, (brightness / 2.55) | round | int] | max }}{% endif %}'
    )
    return LightPart(word, {"brightness_template": shown}, order)


def _whites(told: Told) -> LightPart | None:
    shades = [shade for shade in KELVIN if shade in options_of(told.wishes.get("color", ""))]
    if "color" not in told.words or len(shades) < 2:
        return None
    known = {shade: KELVIN[shade] for shade in shades}
    entity = {
        "color_temp_kelvin": True,
        "min_kelvin": KELVIN[shades[0]],
        "max_kelvin": KELVIN[shades[-1]],
        # an empty text where there is no white: None is no colour temperature to Home Assistant
        "color_temp_template": f"{{{{ {known}.get({_value('color')}, '') }}}}",
    }
    return LightPart("color", entity, _shade_order(shades, "normal" in _modes(told)))


def _colors(told: Told) -> LightPart | None:
    word = "color_rgb"
    if word not in told.words or word not in told.wishes or "color" not in _modes(told):
        return None
    order = (
        "{% if red is defined %}"
        """,\"color_rgb":"#{{ '%02X%02X%02X' | format(red, green, blue) }}"{% endif %}"""
    )
    channels = (("red", 1), ("green", 3), ("blue", 5))
    return LightPart(word, {f"{name}_template": _channel(at) for name, at in channels}, order)


def _shade_order(shades: list[str], leaves_color: bool) -> str:
    """The shade nearest to a colour temperature; a lamp that shows a colour is to leave that."""
    choice = f"'{shades[-1]}'"
    for shade, following in reversed(list(pairwise(shades))):
        choice = f"'{shade}' if color_temp < {(KELVIN[shade] + KELVIN[following]) // 2} else {choice}"
    mode = ',"mode":"normal"' if leaves_color else ""
    return f'{{% if color_temp is defined %}},"color":"{{{{ {choice} }}}}"{mode}{{% endif %}}'


def _channel(at: int) -> str:
    """Red, green or blue of #RRGGBB, which means something in colour mode only."""
    shown = f"{_value('mode')} == 'color' and {_value('color_rgb')} is string"
    return f"{{{{ {_value('color_rgb')}[{at}:{at + 2}] | int(0, 16) if {shown} else none }}}}"


def _fan(kind: str, told: Told) -> Composite | None:
    steps = options_of(told.wishes.get("fan", ""))
    speeds = [step for step in steps if step.isdecimal()]
    presets = [step for step in steps if not step.isdecimal()]
    if not _switched(told) or "fan" not in told.words or not speeds:
        return None
    entity: Entity = {
        "platform": "fan",
        "name": None,
        "command_topic": told.order,
        "payload_on": "true",
        "payload_off": "false",
        "command_template": '{"on":{{ value }}}',
        "state_topic": told.topic,
        "state_value_template": f"{{{{ {{true: 'true', false: 'false'}}.get({_value('on')}) }}}}",
        "speed_range_min": int(speeds[0]),
        "speed_range_max": int(speeds[-1]),
        "percentage_command_topic": told.order,
        "percentage_command_template": '{"on":true,"fan":{{ value }}}',
        "percentage_state_topic": told.topic,
        "percentage_value_template": f"{{% set v = {_value('fan')} %}}{{{{ v if v is number else none }}}}",
    }
    if presets:
        entity |= {
            "preset_modes": presets,
            "preset_mode_command_topic": told.order,
            "preset_mode_command_template": '{"on":true,"fan":"{{ value }}"}',
            "preset_mode_state_topic": told.topic,
            "preset_mode_value_template": f"{{% set v = {_value('fan')} %}}{{{{ v if v in {presets} else none }}}}",
        }
    return Composite(entity, frozenset({"on", "fan"}))


def _lock(kind: str, told: Told) -> Composite | None:
    if "locked" not in told.words or told.wishes.get("locked") != TRUTH:
        return None
    entity: Entity = {
        "platform": "lock",
        "name": None,
        "command_topic": told.order,
        "payload_lock": '{"locked":true}',
        "payload_unlock": '{"locked":false}',
        "state_topic": told.topic,
        "value_template": f"{{{{ {_value('locked')} }}}}",
        "state_locked": "True",
        "state_unlocked": "False",
    }
    return Composite(entity, frozenset({"locked"}))


MAKERS: Mapping[str, Callable[[str, Told], Composite | None]] = {
    "climate": _climate,
    "water_heater": _water_heater,
    "light": _light,
    "fan": _fan,
    "lock": _lock,
}


def _value(word: str) -> str:
    return f"value_json['values'].get('{word}')"  # value_json.values would be a method


def _modes(told: Told) -> tuple[str, ...]:
    return options_of(told.wishes.get("mode", ""))


def _switched(told: Told) -> bool:
    return "on" in told.words and told.wishes.get("on") == TRUTH


def _mode(orders: Mapping[str, str], shown: str, told: Told) -> Entity:
    """Modes, of which one is off; unknown where it is not known whether it is on, or what else it does."""
    on = _value("on")
    return {
        "mode_command_topic": told.order,
        "mode_command_template": f"{{{{ {dict(orders)}[value] }}}}",
        "mode_state_topic": told.topic,
        "mode_state_template": f"{{{{ {shown} if {on} else 'off' if {on} is false else none }}}}",
    }


def _power(told: Told) -> Entity:
    return {"power_command_topic": told.order, "payload_on": ON, "payload_off": OFF}


def _target(told: Told) -> Entity:
    return {
        "temperature_command_topic": told.order,
        "temperature_command_template": '{"target_temperature_c":{{ value }}}',
        "temperature_state_topic": told.topic,
        "temperature_state_template": f"{{{{ {_value('target_temperature_c')} }}}}",
        "temperature_unit": "C",
        "precision": 1.0,
    }


def _beside(what: str, word: str, told: Told) -> Entity:
    """Something that is shown on the card, and has an entity of its own for its history."""
    template = f"{{{{ {_value(word)} }}}}"
    return {f"{what}_topic": told.topic, f"{what}_template": template} if word in told.words else {}
