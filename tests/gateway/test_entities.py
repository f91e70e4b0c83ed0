"""What Home Assistant makes of each value, against the classes of appliances and its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support import discovery
from support.devices import device

from hemsd.echonet.classes.catalogue import class_names
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.classes.views import VOCABULARY, plan, wishes
from hemsd.gateway.entities import (
    CONTROLS,
    ENERGY,
    METER,
    SITE,
    WORDS,
    Entity,
    meaning_of,
    named,
    numbers_of,
    options_of,
    reading,
    setting,
    showing,
)
from hemsd.gateway.payloads import Live, Site, SiteEnergy

NOT_SHOWN = {"sums", "confirm_vehicle"}  # how to add up; and what nothing tells


def checked(entity: Entity) -> dict[str, Any]:
    """The entity as it is published, found to be in order."""
    (entity,) = named({f"{entity['platform']}_it": entity}, "owner", "hemsd").values()
    discovery._check_entity(entity)
    return entity


def state_of(**values: Any) -> bytes:
    return json.dumps({"values": values}).encode()


def test_every_word_and_field_is_shown_or_left_out_on_purpose() -> None:
    """A word that the appliances learn is not forgotten here."""
    assert WORDS.keys() | NOT_SHOWN == VOCABULARY.keys()
    assert METER.keys() <= set(Live.__struct_fields__)
    assert ENERGY.keys() == {name for name in SiteEnergy.__struct_fields__ if name.endswith("_kwh")}
    assert SITE.keys() == {name for name in Site.__struct_fields__ if name.endswith("_w")}
    assert CONTROLS.keys() <= WORDS.keys()


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_in_order(word: str) -> None:
    """Class, unit and class of state belong together, whatever kind of appliance tells it."""
    for kind in ("gas_meter", "water_flow_meter", "home_air_conditioner"):
        entity = checked(showing(word, kind, "t"))
        assert meaning_of(word, kind).name == entity["name"]
        told = True if entity["platform"] == "binary_sensor" else 7
        assert discovery.state(entity, state_of(**{word: told})) != "unknown"


@pytest.mark.parametrize("name", [*METER, *SITE, *ENERGY])
def test_every_field_is_in_order(name: str) -> None:
    """A number is its state; null is unknown, but leaves alone what counts up."""
    entity = checked(reading((METER | SITE | ENERGY)[name], "t", name, expires_s=120))
    assert discovery.state(entity, json.dumps({name: 12.5}).encode()) == "12.5"
    counts = name in ENERGY
    nothing = discovery.state(entity, json.dumps({name: None}).encode(), before="12.5")
    assert nothing == ("12.5" if counts else "unknown")
    assert ("expire_after" in entity) != counts


def test_a_word_that_is_not_known_is_unknown_but_a_register_stays() -> None:
    """What an appliance leaves out is never zero, and no new beginning."""
    for word, before in (("power_w", "unknown"), ("on", "unknown"), ("energy_import_kwh", "7"), ("volume_m3", "7")):
        assert discovery.state(showing(word, "x", "t"), state_of(), before="7") == before


def test_of_a_lock_on_is_unlocked() -> None:
    """Home Assistant's way round."""
    entity = checked(showing("locked", "electric_lock", "t"))
    assert [discovery.state(entity, state_of(locked=locked)) for locked in (True, False)] == ["off", "on"]


@pytest.mark.parametrize(
    ("accepts", "numbers"),
    [
        ("0 to 50 °C", (0, 50, 1)),
        ("-12.5 to 6553.3 A in steps of 0.1", (-12.5, 6553.3, 0.1)),
        ("0 to 3", (0, 3, 1)),
        ("0, or 1 to 9 Wh", None),
        ("1 to 8, or auto", None),
        ("true or false", None),
    ],
)
def test_numbers_in_words(accepts: str, numbers: tuple[float, ...] | None) -> None:
    """A range is understood whole or not at all."""
    found = numbers_of(accepts)
    assert (None if found is None else tuple(found.values())) == numbers


@pytest.mark.parametrize(
    ("accepts", "options"),
    [
        ("one of auto, cool, daylight_white", "auto cool daylight_white"),
        ("rated or follow", "rated follow"),
        ("auto", "auto"),
        ("1 to 3, or auto", "1 2 3 auto"),
        ("1 to 99, or auto", ""),
        ("a colour like #FF8000", ""),
        ("0 to 50 °C", ""),
    ],
)
def test_options_in_words(accepts: str, options: str) -> None:
    """Words and few steps are options; anything else is none."""
    assert " ".join(options_of(accepts)) == options


def settings() -> Iterator[tuple[int, str, Entity]]:
    """Every entity by which an appliance of any class can be set, as it tells what it accepts."""
    for code in class_names():
        for word, accepts in wishes(device(code)).items():
            if word in WORDS and (entity := setting(word, "some_class", accepts, "t", "c")) is not None:
                yield code, word, entity


def test_what_home_assistant_may_set_every_class_takes() -> None:
    """Each option, bound and position of a switch is a value that the class accepts, and can be its state."""
    seen = set()
    for code, word, entity in settings():
        checked(entity)
        seen.add(word)
        match entity["platform"]:
            case "switch":
                values = [True, False]
            case "number":
                values = [entity["min"], entity["max"], entity["min"] + entity["step"]]
            case _:
                values = entity["options"]
        for value in values:
            order = json.loads(discovery.command(entity, value))
            assert order.keys() == {word}
            try:
                assert plan(device(code), order, {})
            except Refusal as refusal:
                pytest.fail(f"{code:04X} {order}: {refusal}")
            discovery.state(entity, state_of(**{word: value}))
    assert seen == CONTROLS.keys()


def test_a_value_that_cannot_be_wished_for_is_unknown() -> None:
    """Home Assistant complains of a state that is no option."""
    entity = setting("mode", "x", "one of auto, cool", "t", "c")
    assert entity is not None
    assert discovery.state(entity, state_of(mode="other")) == "unknown"
    assert discovery.state(entity, state_of()) == "unknown"
    fan = setting("fan", "x", "1 to 8, or auto", "t", "c")
    assert fan is not None
    assert [discovery.state(fan, state_of(fan=value)) for value in (3, "auto")] == ["3", "auto"]


def test_what_does_not_fit_is_not_set() -> None:
    """Better no switch than one that works one way only; a lock and a target in watt-hours have none at all."""
    assert setting("on", "x", "true", "t", "c") is None
    assert setting("target_temperature_c", "x", "16 to 30 °C, or auto", "t", "c") is None
    assert setting("color", "x", "a colour like #FF8000", "t", "c") is None
    assert setting("locked", "x", "true or false", "t", "c") is None
    assert setting("charge_target_wh", "x", "0 to 9 Wh", "t", "c") is None
