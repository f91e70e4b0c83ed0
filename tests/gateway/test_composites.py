"""Appliances that are one thing to Home Assistant: against the classes of appliances, and by its own rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import discovery
from support.devices import device

from hemsd.echonet.classes.catalogue import class_names
from hemsd.echonet.classes.typed import words_of
from hemsd.echonet.classes.views import plan, wishes
from hemsd.gateway.composites import KELVIN, Told, composite, platform_of
from hemsd.gateway.entities import WORDS, Entity, named

CODES = {name: code for code, name in class_names().items()}


def whole(kind: str, *, lacks: frozenset[str] = frozenset()) -> tuple[Entity, frozenset[str]] | None:
    """The whole of an appliance that has all of its class but these words, found to be in order."""
    model = device(CODES[kind])
    accepts = {word: text for word, text in wishes(model).items() if word not in lacks}
    found = composite(kind, Told(frozenset(words_of(model)) - lacks, accepts, "state", "order"))
    if found is None:
        return None
    (entity,) = named({f"{found.entity['platform']}_whole": found.entity}, "owner", "hemsd_a").values()
    discovery._check_entity(entity)
    return entity, found.words


def made(kind: str, **more: Any) -> Entity:
    found = whole(kind, **more)
    assert found is not None
    return found[0]


WHOLES = {name: found for name in CODES if (found := whole(name)) is not None}


def test_what_is_a_whole_and_of_which_words() -> None:
    """Classes by platform; a word that is not covered has an entity of its own."""
    assert {name: (entity["platform"], set(words)) for name, (entity, words) in WHOLES.items()} == {
        "home_air_conditioner": ("climate", {"on", "mode", "target_temperature_c", "fan"}),
        "floor_heater": ("climate", {"on", "target_temperature_c"}),
        "instantaneous_water_heater": ("water_heater", {"on", "target_temperature_c"}),
        "general_lighting": ("light", {"on", "brightness_percent", "color", "color_rgb"}),
        "mono_functional_lighting": ("light", {"on", "brightness_percent"}),
        "lighting_system": ("light", {"on", "brightness_percent"}),
        "enhanced_lighting_system": ("light", {"on", "brightness_percent"}),
        "ventilation_fan": ("fan", {"on", "fan"}),
        "air_cleaner": ("fan", {"on", "fan"}),
        "electric_lock": ("lock", {"locked"}),
    }
    assert all(words <= WORDS.keys() for _, words in WHOLES.values())
    assert {name for name in CODES if platform_of(name)} == WHOLES.keys()


def test_it_has_the_name_of_its_device_and_says_so_in_its_id() -> None:
    """Home Assistant calls what has no name as the device."""
    air = made("home_air_conditioner")
    assert air["name"] is None
    assert (air["unique_id"], air["default_entity_id"]) == ("hemsd_owner_whole", "climate.hemsd_a")


def orders() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that Home Assistant can publish for a whole, at the ends of what it can."""
    for name, (entity, _) in WHOLES.items():
        payloads = [key for key in entity if key.startswith("payload_")] if entity["platform"] != "fan" else []
        yield from ((name, discovery.order(entity, key)) for key in payloads)
        choices = {
            "mode_command_template": entity.get("modes", ()),
            "fan_mode_command_template": entity.get("fan_modes", ()),
            "temperature_command_template": [entity.get(key) for key in ("min_temp", "max_temp") if key in entity],
            "percentage_command_template": [entity.get(f"speed_range_{end}") for end in ("min", "max")],
            "preset_mode_command_template": entity.get("preset_modes", ()),
            "command_template": [entity.get("payload_on"), entity.get("payload_off")],
            "command_off_template": [None],
            "command_on_template": [None],
        }
        for key in choices.keys() & entity.keys():
            yield from ((name, discovery.order(entity, key, value)) for value in choices[key])
        if entity["platform"] == "light":
            lit = {"brightness": 255, "color_temp": 3000, "red": 1, "green": 2, "blue": 255}
            known = {"brightness": ["brightness"], "color_temp": ["color_temp"], "red": ["red", "green", "blue"]}
            for first, group in known.items():
                if f"{first}_template" in entity:
                    variables = {each: lit[each] for each in group}
                    yield name, discovery.order(entity, "command_on_template", **variables)


def test_every_order_is_one_that_the_class_takes() -> None:
    """Whatever is tapped on a card can be done."""
    seen: dict[str, set[str]] = {}
    for name, order in orders():
        assert order.keys() <= WORDS.keys()
        assert plan(device(CODES[name]), order, {})
        seen.setdefault(name, set()).update(order)
    assert {name: words - {"mode"} for name, words in seen.items()} == {
        name: set(words - {"mode"}) for name, (_, words) in WHOLES.items()
    }


@pytest.mark.parametrize(
    ("values", "shows"),
    [
        ({"on": True, "mode": "cool", "target_temperature_c": 26, "fan": 3}, ("cool", "26", "3")),
        ({"on": True, "mode": "fan", "fan": "auto"}, ("fan_only", "None", "auto")),
        ({"on": False, "mode": "heat", "target_temperature_c": 21}, ("off", "21", "None")),
        ({"on": True, "mode": "other"}, ("None", "None", "None")),
        ({"mode": "cool"}, ("None", "None", "None")),
        ({}, ("None", "None", "None")),
    ],
)
def test_what_an_air_conditioner_shows(values: dict[str, Any], shows: tuple[str, ...]) -> None:
    """Its mode while it is on; unknown rather than guessed, and never a mode that is none."""
    shown = discovery.shown(made("home_air_conditioner"), **values)
    assert tuple(shown[key] for key in ("mode_state", "temperature_state", "fan_mode_state")) == shows


def test_an_air_conditioner_is_switched_on_and_set_in_one_order() -> None:
    """A mode wakes it up; off is no mode of its own."""
    air = made("home_air_conditioner")
    assert discovery.order(air, "mode_command_template", "fan_only") == {"on": True, "mode": "fan"}
    assert discovery.order(air, "mode_command_template", "off") == {"on": False}
    assert discovery.order(air, "temperature_command_template", 24.0) == {"target_temperature_c": 24}
    assert discovery.order(air, "payload_on") == {"on": True}


def test_what_a_room_says_is_on_the_card_where_it_is_told() -> None:
    """Temperature and humidity; without them the card has none."""
    shown = discovery.shown(made("home_air_conditioner"), room_temperature_c=27, humidity_percent=55)
    assert (shown["current_temperature"], shown["current_humidity"]) == ("27", "55")
    bare = made("home_air_conditioner", lacks=frozenset({"room_temperature_c", "humidity_percent"}))
    assert not [key for key in bare if key.startswith("current")]


def test_a_lamp_shows_white_or_colour() -> None:
    """What the mode says; a brightness that is not known leaves the last one."""
    lamp, white = made("general_lighting"), {"on": True, "mode": "normal", "color": "white", "color_rgb": "#FF8000"}
    assert discovery.shown(lamp, **white, brightness_percent=50) == {
        "state": "on",
        "brightness": "127",
        "color_temp": "4200",
        **dict.fromkeys(("red", "green", "blue"), "None"),
    }
    shown = discovery.shown(lamp, **white | {"on": False, "mode": "color", "color": None})
    assert shown == {
        **{"state": "off", "brightness": "", "color_temp": ""},
        **{"red": "255", "green": "128", "blue": "0"},
    }
    assert discovery.shown(lamp)["state"] == "None"


@pytest.mark.parametrize(
    ("variables", "ordered"),
    [
        ({}, {}),
        ({"brightness": 255}, {"brightness_percent": 100}),
        ({"brightness": 1}, {"brightness_percent": 1}),
        ({"color_temp": 2000}, {"color": "incandescent", "mode": "normal"}),
        ({"color_temp": 4500}, {"color": "white", "mode": "normal"}),
        ({"color_temp": 9000}, {"color": "daylight", "mode": "normal"}),
        (
            {"red": 255, "green": 128, "blue": 0, "brightness": 128},
            {"color_rgb": "#FF8000", "brightness_percent": 50},
        ),
    ],
)
def test_a_lamp_is_lit_as_wished(variables: dict[str, int], ordered: dict[str, Any]) -> None:
    """The nearest white there is; on is never nought percent."""
    assert discovery.order(made("general_lighting"), "command_on_template", **variables) == {"on": True, **ordered}


@pytest.mark.parametrize("shade", KELVIN)
def test_a_white_that_is_shown_is_the_one_that_is_ordered_with_it(shade: str) -> None:
    """So a scene that was saved comes back."""
    lamp = made("general_lighting")
    shown = int(discovery.shown(lamp, color=shade)["color_temp"])
    assert discovery.order(lamp, "command_on_template", color_temp=shown)["color"] == shade


def test_a_fan_is_at_a_speed_or_automatic() -> None:
    """Steps are a percentage, auto is a preset; the other one is then not known."""
    fan = made("ventilation_fan")
    assert discovery.shown(fan, on=True, fan=3) == {
        "state_value": "true",
        "percentage_value": "3",
        "preset_mode_value": "None",
    }
    assert discovery.shown(fan, on=False, fan="auto") == {
        **{"state_value": "false", "percentage_value": "None", "preset_mode_value": "auto"}
    }
    assert set(discovery.shown(fan).values()) == {"None"}


def test_a_lock_is_locked_unlocked_or_unknown() -> None:
    """As it tells; nothing is assumed."""
    lock = made("electric_lock")
    assert [discovery.shown(lock, **values)["value"] for values in ({"locked": True}, {"locked": False}, {})] == [
        lock["state_locked"],
        lock["state_unlocked"],
        "None",
    ]
    assert discovery.order(lock, "payload_unlock") == {"locked": False}


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("home_air_conditioner", "on"),
        ("home_air_conditioner", "mode"),
        ("home_air_conditioner", "target_temperature_c"),
        ("floor_heater", "target_temperature_c"),
        ("instantaneous_water_heater", "target_temperature_c"),
        ("general_lighting", "on"),
        ("ventilation_fan", "fan"),
        ("electric_lock", "locked"),
    ],
)
def test_without_what_makes_it_one_it_is_its_words(kind: str, lacks: str) -> None:
    """A device that cannot be set so, or has not told yet, is no such thing."""
    assert whole(kind, lacks=frozenset({lacks})) is None


def test_what_else_it_may_have_is_left_out() -> None:
    """A lamp without colours has no wheel, an air conditioner without steps no fan."""
    lamp, _ = whole("general_lighting", lacks=frozenset({"color", "color_rgb", "mode", "brightness_percent"})) or (
        {},
        0,
    )
    assert not {"color_temp_template", "red_template", "brightness_template"} & lamp.keys()
    assert "fan_modes" not in made("home_air_conditioner", lacks=frozenset({"fan"}))
    assert "red_template" not in made("general_lighting", lacks=frozenset({"mode"}))
