"""Our own declarations and the codec of all classes against the facts of the Machine Readable Appendix, one by one.

Each field of a property is put to all its codes (one byte) or to those at its edges (more), the other fields staying
ordinary: what the Appendix allows has to be decoded as it says, what it does not allow has to be refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
from support.classes import a_class

from hemsd.echonet import meter
from hemsd.echonet.classes.catalogue import PropertyClass
from hemsd.echonet.meter import MeterEPC, SlotHistory
from hemsd.echonet.objects import NODE_CLASS, SUPER_CLASS
from hemsd.echonet.values import PropertyError, State

Facts = dict[str, Any]
Key = tuple[str, int]  # class code, EPC
Case = tuple[bytes, list[Any]]  # data, and the values that it means

APPENDIX = json.loads(files("hemsd.echonet.classes").joinpath("appendix.json").read_bytes())["classes"]
EVERY_CLASS: dict[Key, Facts] = {
    (code, int(facts["epc"], 16)): facts
    for code, described in APPENDIX.items()
    for facts in described["properties"]
    if "until" not in facts
}
DECLARED = {"0000": SUPER_CLASS, "0EF0": NODE_CLASS, "0288": meter.PROPERTIES}
LATEST = {
    key: facts
    for key, facts in EVERY_CLASS.items()
    if key[0] in DECLARED and (key[0] != "0EF0" or key[1] in NODE_CLASS)  # of the node profile, what is understood
}
METER = {epc: facts for (code, epc), facts in LATEST.items() if code == "0288"}
LEFT_OUT = {("0000", 0x93), ("0000", 0x9A)}  # remote control and running time: no meter has them

# What these mean stands in prose alone: versions, texts, property maps. Fault codes (89) are enumerated, but shown as
# the codes that they are.
MAPS = {("0000", epc) for epc in (0x9D, 0x9E, 0x9F)}
BY_PROSE = MAPS | {("0000", epc) for epc in (0x82, 0x89, 0x8C, 0x8D)} | {("0EF0", 0x82)}

BITS = {"uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "uint24": 24, "uint32": 32, "int32": 32}
STATES = {  # what words mean beside numbers
    **dict.fromkeys(("no_data", "unmeasurable", "undefined", "unknown", "unsupported", "invalid"), State.NO_DATA),
    **dict.fromkeys(("default_value", "initial_value"), State.NOT_SELECTED),
}
REFUSED = object()


def options(field: Facts) -> list[Facts]:
    return field.get("of", [field])


COMPARED = [key for key in LATEST if key not in BY_PROSE | LEFT_OUT]
RAW = [key for key in COMPARED if options(LATEST[key]["data"])[0]["type"] == "raw"]
FIELDS = [key for key in COMPARED if key not in RAW]


def named(field: Facts) -> dict[int, Any]:
    """What the enumerated codes of a field mean."""
    told: dict[str, Any] = {}
    for option in options(field):
        told |= option.get("enum", {}) | option.get("read_only", {})
    beside = STATES if field["type"] == "one_of" else {}
    return {int(code, 16): exact(beside.get(str(word), word)) for code, word in told.items()}


def exact(word: Any) -> Any:
    return Decimal(str(word)) if isinstance(word, float) else word


def meaning(number: Facts, code: int) -> Any:
    """What a code means as a number: itself, or, for a quantity with a unit, a general code that is not excluded."""
    if number["minimum"] <= code <= number["maximum"]:
        return code * Decimal(str(number.get("multiple", 1)))
    low, high = limits(number)
    general = {high: ("overflow", State.OVERFLOW), low or high - 1: ("underflow", State.UNDERFLOW)}
    excluded, state = general.get(code, ("", REFUSED))
    return state if "unit" in number and number.get(excluded, True) else REFUSED


def limits(number: Facts) -> tuple[int, int]:
    bits = BITS[number["format"]]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if number["format"].startswith("int") else (0, 2**bits - 1)


def coded(field: Facts) -> Iterator[Case]:
    """Codes of a number or an enumeration and what they mean."""
    names = named(field)
    number = next((option for option in options(field) if option["type"] == "number"), None)
    if number is None:
        width = len(next(iter(field.get("enum") or field["read_only"]))) // 2
        codes = [*names, *(range(256) if width == 1 else (0, 256**width - 1))]
        yield from ((code.to_bytes(width, "big"), [names.get(code, REFUSED)]) for code in codes)
        return
    low, high = limits(number)
    names = {code if code <= high else code - 2 ** BITS[number["format"]]: told for code, told in names.items()}
    least, most = number["minimum"], number["maximum"]
    edges = {least, least - 1, most, most + 1, low, low + 1, high - 2, high - 1, high, *names}
    for code in [least, *(range(low, high + 1) if high < 256 else sorted(edges))]:
        if low <= code <= high:
            edt = code.to_bytes(BITS[number["format"]] // 8, "big", signed=low < 0)
            yield edt, [names.get(code, meaning(number, code))]


def moments(field: Facts) -> Iterator[Case]:
    """Moments and what they mean; all bits set is our state for one that is not there."""
    size = field.get("size", 4)
    day, clock = (b"", size) if field["type"] == "time" else (b"\x07\xea\x05\x14", size - 4)
    hours = (23, 30, 59)[:clock]
    make = {"date": date, "time": time, "date_time": datetime}[field["type"]]
    yield day + bytes(hours), [make(*((2026, 5, 20) if day else ()), *hours)]
    yield b"\xff" * size, [State.NOT_SELECTED if size == 6 else State.NO_DATA]
    if day:
        yield b"\x07\xea\x02\x1e" + bytes(hours), [REFUSED]  # 30 February
        yield b"\x00\x00\x05\x14" + bytes(hours), [REFUSED]
    if clock:
        yield day + bytes((24, *hours[1:])), [REFUSED]


def cases(field: Facts) -> list[Case]:
    """Data of one field with its meaning, the first of them ordinary."""
    match field["type"]:
        case "date" | "time" | "date_time":
            return list(moments(field))
        case "raw":  # within a list: an object or a class
            code = b"\x02\x88\x01"[: field["minimum"]]
            return [(code, [int.from_bytes(code, "big")])]
        case _:
            return list(coded(field))


def slots(data: Facts, items: int) -> list[list[Case]]:
    """For each field of a property its cases; the array that a property may end with has as many items as told."""
    if data["type"] == "array":
        return slots(data["items"], items) * items
    if data["type"] != "object":
        return [cases(data)]
    found = [slots(element, items) for element in data["fields"].values()]
    if counted(data):
        found[-2] = [[(bytes((items,)), [])]]
    return [slot for each in found for slot in each]


def array(data: Facts) -> Facts:
    """The array that a property ends with, or nothing."""
    last = [*data["fields"].values()][-1] if data["type"] == "object" else data
    return last if last["type"] == "array" else {}


def counted(data: Facts) -> bool:
    """Whether the byte before the array tells the number of its items."""
    return array(data).get("minimum") != array(data).get("maximum")


def ours(key: Key, edt: bytes) -> Any:
    """Our values in the order in which they stand in the data."""
    try:
        return flat(DECLARED[key[0]][key[1]].decode(key[1], edt))
    except PropertyError:
        return REFUSED


def flat(value: Any) -> list[Any]:
    if isinstance(value, SlotHistory):
        return [value.at, *flat(value.slots)]
    if isinstance(value, tuple):
        return [each for item in value for each in flat(item)]
    if hasattr(type(value), "__match_args__"):
        return [each for name in type(value).__match_args__ for each in flat(getattr(value, name))]
    return [value]


def name(key: Key) -> str:
    return f"{key[0]}-{key[1]:02X}"


def test_every_property_is_declared() -> None:
    """The Appendix's properties are ours, but for what is left out by name, and no others are."""
    for code, declared in DECLARED.items():
        theirs = {epc for each, epc in LATEST if each == code or (each, code) == ("0000", "0288")}
        assert declared.keys() == theirs - {epc for each, epc in LEFT_OUT if code != "0EF0"}


def kinds(data: Facts) -> set[str]:
    """What some data is made of."""
    inner = [*data.get("fields", {}).values(), *data.get("of", ()), *([data["items"]] if "items" in data else ())]
    return {data["type"]}.union(*map(kinds, inner))


def simple(data: Facts) -> bool:
    """Whether it is made of what cases() knows: numbers with words beside them, words, moments, in fixed numbers."""
    if data["type"] == "one_of":
        return sorted(each["type"] for each in data["of"]) == ["number", "state"]
    if data["type"] == "state":
        return not any("..." in code for code in data.get("enum", ()))
    inner = [*data.get("fields", {}).values(), *([data["items"]] if "items" in data else ())]
    return kinds(data).isdisjoint(OTHER_KINDS) and all(map(simple, inner))


OTHER_KINDS = {"bitmap", "duration", "level", "property_map", "raw", "release", "text", "version"}
COUNTED_IN_TENTHS = {("0280", 0xE0), ("0280", 0xE3)}  # a count is never worth 1 there
CODED = [
    key
    for key, facts in EVERY_CLASS.items()
    if simple(facts["data"]) and not counted(facts["data"]) and key not in COUNTED_IN_TENTHS
]


def one(code: str, epc: str) -> bytes:
    """What a coefficient has to tell to be 1."""
    data = EVERY_CLASS[code, int(epc, 16)]["data"]
    if data["type"] == "number":
        return (1).to_bytes(BITS[data["format"]] // 8, "big")
    return next(bytes.fromhex(key) for key, told in data["enum"].items() if told == 1)


@pytest.mark.parametrize("key", CODED, ids=name)
def test_every_class_is_coded_as_the_appendix_says(key: Key) -> None:
    """The codec of the catalogue: more than 700 properties of all classes, their first fields and their last."""
    code, epc = key
    each = a_class(int(code, 16)).by_epc()[epc]
    data = EVERY_CLASS[key]["data"]
    assert len(CODED) > 700
    known = {coefficient: one(code, f"{coefficient:02X}") for coefficient in each.coefficients}
    every = slots(data, array(data).get("maximum", 0))
    ordinary = [slot[0] for slot in every]
    for at in {*range(min(len(every), 16)), len(every) - 1}:
        for case in every[at]:
            parts = [*ordinary[:at], case, *ordinary[at + 1 :]]
            values = [value for _, meant in parts for value in meant]
            edt = b"".join(part for part, _ in parts)
            assert told(each, edt, known) == (REFUSED if REFUSED in values else values), edt.hex()
            assert told(each, edt[:-1], known) is REFUSED
            assert told(each, edt + b"\x00", known) is REFUSED


def told(each: PropertyClass, edt: bytes, known: dict[int, bytes]) -> Any:
    """The catalogue's values in the order in which they stand in the data."""
    try:
        return leaves(each.decode(edt, known))
    except PropertyError:
        return REFUSED


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]
    return [value]


@pytest.mark.parametrize("key", FIELDS, ids=name)
def test_every_field_means_what_the_appendix_says(key: Key) -> None:
    """Ranges, enumerations, sentinels and moments, field by field; a byte less or more is refused."""
    data = LATEST[key]["data"]
    every = slots(data, 2 if counted(data) else array(data).get("maximum", 0))
    ordinary = [slot[0] for slot in every]
    for at, slot in enumerate(every):
        for case in slot:
            parts = [*ordinary[:at], case, *ordinary[at + 1 :]]
            edt = b"".join(part for part, _ in parts)
            values = [value for _, meant in parts for value in meant]
            assert ours(key, edt) == (REFUSED if REFUSED in values else values), edt.hex()
            assert ours(key, edt[:-1]) is REFUSED
            assert ours(key, edt + b"\x00") is REFUSED


@pytest.mark.parametrize("key", [key for key in FIELDS if counted(LATEST[key]["data"])], ids=name)
def test_every_list_is_as_long_as_the_appendix_allows(key: Key) -> None:
    """The least and the most items are taken, one more or fewer is refused."""
    data = LATEST[key]["data"]
    number = [*data["fields"].values()][-2]
    assert number["maximum"] == array(data)["maximum"]
    for items in {0, number["minimum"], number["maximum"], number["maximum"] + 1}:
        parts = [slot[0] for slot in slots(data, items)]
        expected = [value for _, meant in parts for value in meant]
        allowed = number["minimum"] <= items <= number["maximum"]
        assert ours(key, b"".join(part for part, _ in parts)) == (expected if allowed else REFUSED)


@pytest.mark.parametrize("key", RAW, ids=name)
def test_bare_bytes_have_the_lengths_of_the_appendix(key: Key) -> None:
    """Numbers of identification and the like are their bytes in hexadecimal, and of no other length."""
    sizes = [(option["minimum"], option["maximum"]) for option in options(LATEST[key]["data"])]
    for size in {0, *(size + off for least, most in sizes for size in (least, most) for off in (-1, 0, 1))}:
        allowed = any(least <= size <= most for least, most in sizes)
        assert ours(key, b"\xa5" * size) == (["A5" * size] if allowed else REFUSED)


@pytest.mark.parametrize("key", sorted(BY_PROSE - MAPS), ids=name)
def test_what_prose_explains_has_the_length_of_the_appendix(key: Key) -> None:
    """Versions, texts, fault codes: a byte less or more is refused."""
    data = LATEST[key]["data"]
    size = data.get("minimum") or 2
    assert ours(key, b"A" * size) is not REFUSED
    assert ours(key, b"A" * (size - 1)) is REFUSED
    assert ours(key, b"A" * (size + 1)) is REFUSED


def test_units() -> None:
    """Our units are the Appendix's; what it scales by D3 and E1, and nothing else, is a count until then."""
    for epc, facts in METER.items():
        text = json.dumps(facts["data"])
        scaled = '"coefficient": ["D3", "E1"]' in text
        unit = meter.PROPERTIES[epc].unit
        assert (unit == "count") == scaled
        assert (
            scaled
            or epc == MeterEPC.CUMULATIVE_ENERGY_UNIT
            or (f'"unit": "{unit}"' in text if unit else "unit" not in text)
        )


def test_what_the_second_generation_brought() -> None:
    """C0, D0, EE and EF came with release R; all else a first-generation meter may have."""
    assert {epc for epc, facts in METER.items() if facts["since"] == "R"} == {0xC0, 0xD0, 0xEE, 0xEF}
    assert {facts["since"] for facts in METER.values()} == {"F", "R"}


def test_what_we_rely_on_a_meter_to_have() -> None:
    """Live values, unit and import are mandatory, export depends on the meter, D3 and history 2 may be missing."""
    of = {
        rule: {epc for epc, facts in METER.items() if facts.get("get", "optional") == rule}
        for rule in ("required", "optional")
    }
    assert of["required"] == {0xD0, 0xD7, 0xE0, 0xE1, 0xE2, 0xE5, 0xE7, 0xE8, 0xEA, 0xEE, 0xEF}
    assert of["optional"] == {0xD3, 0xEC, 0xED}
    assert {epc for epc, facts in METER.items() if facts.get("set", "none") != "none"} == {0xE5, 0xED, 0xEF}


def test_histories_go_with_their_selectors() -> None:
    """What has to be set before each history is read."""
    atomic = {epc: int(facts["atomic"], 16) for epc, facts in METER.items() if "atomic" in facts}
    assert atomic == {0xE2: 0xE5, 0xE4: 0xE5, 0xEC: 0xED, 0xEE: 0xEF}
