"""The maker of appendix.json, on an Appendix small enough to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOL = Path(__file__).with_name("mra_table.py")
ACCESS = {"get": "required", "set": "notApplicable", "inf": "optional"}


def listed(epc: str, data: Any, since: str = "A", until: str = "latest", **more: Any) -> dict[str, Any]:
    return {
        **{"epc": epc, "validRelease": {"from": since, "to": until}, "propertyName": {"ja": "名", "en": "Name"}},
        **{
            "shortName": f"x{epc[2:].lower()}",
            "accessRule": ACCESS,
            "descriptions": {"en": "long prose"},
            "data": data,
        },
        **more,
    }


def made(appendix: Path, *properties: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """What the tool prints for a class of these properties, and the properties in it."""
    (appendix / "definitions").mkdir()
    (appendix / "devices").mkdir()
    (appendix / "superClass").mkdir()
    definitions = {
        "energy": {"type": "number", "format": "uint32", "minimum": 0, "maximum": 99, "unit": "kWh"},
        "none": {
            "type": "state",
            "size": 4,
            "enum": [{"edt": "0xFF", "name": "noData", "descriptions": {"en": "p"}}],
        },
        "both": {"oneOf": [{"$ref": "#/definitions/energy"}, {"$ref": "#/definitions/none"}]},
    }
    described = {
        **{"eoj": "0x0288", "className": {"ja": "類", "en": "Class"}, "shortName": "aClass"},
        **{"validRelease": {"from": "F", "to": "latest"}, "elProperties": properties},
    }
    meta = {"dataVersion": "9.9", "date": "2030-01-01", "release": "Z"}
    for name, value in (
        ("definitions/definitions.json", {"definitions": definitions}),
        ("devices/0x0288.json", described),
        (
            "superClass/0x0000.json",
            {"elProperties": [listed("0x8F", {"type": "date"}) | {"shortName": "powerSaving"}]},
        ),
        ("metaData.json", {"metaData": meta}),
    ):
        (appendix / name).write_text(json.dumps(value), encoding="utf-8")
    command = [sys.executable, "-X", "utf8", TOOL, appendix, "0288"]
    text = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    return text, json.loads(text)["classes"]["0288"]["properties"]


def test_references_are_filled_in_and_what_stands_beside_them_wins(tmp_path: Path) -> None:
    """A $ref inside a $ref too; siblings are merged over it; prose is left behind."""
    data = {
        "oneOf": [
            {"$ref": "#/definitions/energy", "coefficient": ["0xD3"], "maximum": 7},
            {"$ref": "#/definitions/none"},
        ]
    }
    text, (first, second) = made(
        tmp_path, listed("0xE0", data, atomic="0xE5"), listed("0xE1", {"$ref": "#/definitions/both"})
    )
    energy = {
        "type": "number",
        "format": "uint32",
        "minimum": 0,
        "maximum": 7,
        "unit": "kWh",
        "coefficient": ["D3"],
    }
    none = {"type": "state", "enum": {"FF": "no_data"}}
    assert first["data"] == {"type": "one_of", "of": [none, energy]}  # what overlaps a number is looked for first
    assert second["data"]["of"][1]["maximum"] == 99
    assert (first["epc"], first["atomic"], first["title"], first["get"]) == ("E0", "E5", "Name", "required")
    assert "prose" not in text


def test_a_property_is_listed_once_for_each_span_of_releases(tmp_path: Path) -> None:
    """Whether the Appendix lists it twice, or once with variants; the latest has no end."""
    raw = {"type": "raw", "minSize": 1, "maxSize": 1}
    variant = {"oneOf": [listed("0x83", raw, "A", "B"), listed("0x83", raw | {"maxSize": 2}, "C")], "epc": "0x83"}
    _, found = made(tmp_path, listed("0x81", raw, "A", "G"), listed("0x81", raw, "H"), variant)
    assert [(each["epc"], each["since"], each.get("until")) for each in found] == [
        *(("81", "A", "G"), ("81", "H", None)),
        *(("83", "A", "B"), ("83", "C", None)),
    ]


def test_names_are_ours(tmp_path: Path) -> None:
    """Snake case, slips mended, digits set off; what the super class has too is called as there; words likewise."""
    on = {
        "type": "state",
        "size": 1,
        "enum": [{"edt": "0x41", "name": "trunOffOrUnplug"}, {"edt": "0x42", "name": "false"}],
    }
    _, found = made(
        tmp_path,
        listed("0x8F", {"type": "date"}) | {"shortName": "powerSavingOperation"},
        listed("0xB0", on) | {"shortName": "ratedElectricPowerOfgeneration"},
        listed("0xB1", {"type": "time", "size": 2}) | {"shortName": "remainingCapacity1"},
        listed("0xE0", {"type": "time"}) | {"shortName": "normalDirectionCumulativeElectricEnergy"},
    )
    assert [each["name"] for each in found] == [
        *("power_saving", "rated_electric_power_of_generation", "remaining_capacity_1", "cumulative_energy_import")
    ]
    assert found[1]["data"]["enum"] == {"41": "turn_off_or_unplug", "42": False}


def test_the_table_has_a_line_for_each_property(tmp_path: Path) -> None:
    """Compact, and yet a change shows as the property that changed; the table names its source."""
    text, found = made(tmp_path, *(listed(f"0x{epc:X}", {"type": "date"}) for epc in range(0x80, 0x90)))
    assert sum(line.startswith('{"epc"') for line in text.splitlines()) == len(found) == 16
    assert "Machine Readable Appendix 9.9, 2030-01-01, release Z" in text
