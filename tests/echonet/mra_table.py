"""Makes hemsd/echonet/classes/appendix.json, our table of every class in the Machine Readable Appendix.

    python tests/echonet/mra_table.py DIR [CLASS ...] > hemsd/echonet/classes/appendix.json

DIR is the Appendix as its publisher packs it (metaData.json, definitions/, devices/, ...), CLASS a class code such as
0130; by default every class. Codes, sizes, ranges, units, enumerations, access rules, releases and names are kept,
prose is not. Its licence stands in NOTICE.

Names are published: what users type and what programs match. They are the Appendix's short names in snake_case, with
its slips mended by the tables below; a new Appendix that spells one differently gets a line here, not a new name.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDERS = ("superClass", "nodeProfile", "devices")
PROSE = {"descriptions", "remark", "note", "elementName", "urlParameters"}

MENDED = {
    "abnormalFrequencyDeviationThreshold (mHz)": "abnormalFrequencyDeviationThreshold",
    "coldWaterTemperatue2MaximumLevel": "coldWaterTemperature2MaximumLevel",
    "common": "superClass",
    "currentRphase": "currentRPhase",
    "currentTphase": "currentTPhase",
    "highlowLevel": "highLowLevel",
    "highspeed": "highSpeed",
    "highspeedOperation": "highSpeedOperation",
    "lvSmartElectricEnergyMeter": "lowVoltageSmartMeter",
    "hvSmartElectricEnergyMeter": "highVoltageSmartMeter",
    "bidirHvSmartElectricEnergyMeter": "bidirectionalHighVoltageSmartMeter",
    "smartElectricEnergySubMeter": "smartSubMeter",
    "drElectricEnergyMeter": "distributedGeneratorMeter",
    "manufacturer(MC)": "manufacturer",
    "multipleInputPCS": "multipleInputPcs",
    "normalDirectionElectricPoweDemandLog": "normalDirectionElectricPowerDemandLog",
    "numberOfinstances": "numberOfInstances",
    "pIControlIntegralGain": "piControlIntegralGain",
    "pIControlProportionalGain": "piControlProportionalGain",
    "ratedElectricPowerOfgeneration": "ratedElectricPowerOfGeneration",
    "ratedElectricPowerOfgenerationIndependent": "ratedElectricPowerOfGenerationIndependent",
    "ratedPowerconsumption": "ratedPowerConsumption",
    "recoverOperationNoReuired": "recoveryOperationNotRequired",
    "repairLocationUnkown": "repairLocationUnknown",
    "reverseDirectionElectricPoweDemandLog": "reverseDirectionElectricPowerDemandLog",
    "targetAutomaticOeprationTime": "targetAutomaticOperationTime",
    "trunOffOrUnplug": "turnOffOrUnplug",
    "v2G": "v2g",
    "warmWaterTemperatue2MaximumLevel": "warmWaterTemperature2MaximumLevel",
}
"""Short names (of classes, properties, fields and words) with slips in them, and what they should be."""

NAMED = {
    ("0000", "82"): "standard_version",
    ("0000", "83"): "identification_number",
    ("0000", "84"): "power_consumption",
    ("0000", "85"): "cumulative_energy_consumption",
    ("0000", "86"): "maker_fault_code",
    ("0000", "8A"): "maker_code",
    ("0000", "97"): "clock_time",
    ("0000", "98"): "clock_date",
    ("0000", "9D"): "announcement_map",
    ("0000", "9E"): "set_map",
    ("0000", "9F"): "get_map",
    ("0156", "DB"): "power_consumption_range",
    ("0157", "DB"): "outdoor_unit_power_consumption",
    ("0288", "D0"): "minute_energy",
    ("0288", "D7"): "effective_digits",
    ("0288", "E0"): "cumulative_energy_import",
    ("0288", "E1"): "cumulative_energy_unit",
    ("0288", "E2"): "history_1_import",
    ("0288", "E3"): "cumulative_energy_export",
    ("0288", "E4"): "history_1_export",
    ("0288", "E5"): "history_1_day",
    ("0288", "E7"): "instantaneous_power",
    ("0288", "EA"): "half_hour_energy_import",
    ("0288", "EB"): "half_hour_energy_export",
    ("0288", "EC"): "history_2",
    ("0288", "ED"): "history_2_selector",
    ("0288", "EE"): "history_3",
    ("0288", "EF"): "history_3_selector",
    ("05FF", "C7"): "device_business_facility_code",
    ("05FF", "C8"): "device_product_code",
    ("05FF", "C9"): "device_manufacture_date",
    ("0EF0", "80"): "operation_status",
    ("0EF0", "82"): "version",
    ("0EF0", "BF"): "unique_identifier",
    ("0EF0", "D3"): "number_of_instances",
    ("0EF0", "D4"): "number_of_classes",
    ("0EF0", "D6"): "instance_list",
    ("0EF0", "D7"): "class_list",
}
"""Properties without a short name, with that of another property of the class, or with one of ours from before this
table."""

WORDS = {
    ("0000", "93", "41"): "not_via_public_network",
    ("0000", "93", "42"): "via_public_network",
    ("0000", "93", "61"): "line_normal_not_usable",
    ("0000", "93", "62"): "line_normal_usable",
}
"""Codes that the Appendix gives the same name as another code of the property."""

TYPES = {
    ("0000", "82"): "release",
    ("0EF0", "82"): "version",
    ("0EF0", "D3"): "uint24",
    **{(code, epc): "text" for code in ("0000", "0EF0") for epc in ("8C", "8D")},
    **{(code, epc): "property_map" for code in ("0000", "0EF0") for epc in ("9D", "9E", "9F")},
}
"""Properties that are bare bytes in the Appendix and mean something by its prose; our layouts are in codec.py. What
is meant in the super class is meant in every class that has its own form of it."""

UNITS = {
    "Celsius": "°C",
    "days": "d",
    "degree": "°",
    "liter": "L",
    "m3": "m³",
    "m3/h": "m³/h",
    "minute": "min",
    "minutes": "min",
    "second": "s",
    "W/sec": "W/s",
}
PREFIXES = {
    ("027A", "0x21"): "cooling",
    ("027A", "0x31"): "heating",
    ("03B9", "0x3000"): "level",
    **{("03D3", base): sign for sign, of in (("plus", "A"), ("minus", "C")) for base in (f"0x{of}0", f"0x{of}000")},
}
"""What tells levels of one property apart that would else be the same numbers."""

DEFAULTS = {"get": "optional", "set": "none", "inf": "optional"}
UPSIDE_DOWN = {("026B", "C2")}  # bits named by their alarm and true where there is none: true is to be the alarm
RULES = {
    "required": "required",
    "required_c": "conditional",
    "required_o": "conditional",
    "optional": "optional",
    "notApplicable": "none",
}


def snake(name: str) -> str:
    """A short name as ours: remainingCapacity1 -> remaining_capacity_1."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", MENDED.get(name, name))
    return re.sub(r"(?<=[a-zA-Z]{3})(?=\d)|(?<=^at)(?=\d)", "_", name).lower()


def resolved(node: Any, definitions: dict[str, Any]) -> Any:
    """A description of data with references filled in (what stands beside one wins over it), without the prose."""
    if isinstance(node, list):
        return [resolved(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return resolved(definitions[node["$ref"].rpartition("/")[2]] | beside, definitions)
    return {key: resolved(value, definitions) for key, value in node.items() if key not in PROSE}


def variants(listed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A property once for each span of releases that defines it differently."""
    for variant in listed.get("oneOf", [{}]):
        yield {key: value for key, value in listed.items() if key != "oneOf"} | variant


def bare(code: str) -> str:
    """A hexadecimal code without its prefix, in upper case: 0x0130 -> 0130, 0x0a...0x13 -> 0A...13."""
    return code.replace("0x", "").upper()


class Data:
    """Makes our form of the data of one property out of the Appendix's."""

    def __init__(self, code: str, epc: str) -> None:
        self.code = code
        self.epc = epc

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        if "oneOf" in data:
            return self.one_of([self(each) for each in data["oneOf"]])
        return getattr(self, data["type"].replace("-", "_"))(data)

    def one_of(self, each: list[dict[str, Any]]) -> dict[str, Any]:
        states = [data for data in each if data["type"] == "state"]
        others = [data for data in each if data["type"] != "state"]
        if len(states) > 1:
            both = {
                key: {k: v for data in states for k, v in data.get(key, {}).items()} for key in ("enum", "read_only")
            }
            states = [{"type": "state", **{key: value for key, value in both.items() if value}}]
        return {"type": "one_of", "of": states + others} if others else states[0]

    def number(self, data: dict[str, Any]) -> dict[str, Any]:
        if "enum" in data:  # numbers that are few, of one byte
            return {"type": "state", "enum": {f"{number:02X}": number for number in data["enum"]}}
        step = data.get("multiple", data.get("multipleOf", 1))  # the second is a slip in class 0287
        return {
            **{key: data[key] for key in ("type", "format", "minimum", "maximum")},
            **({"unit": UNITS.get(data["unit"], data["unit"])} if "unit" in data else {}),
            **({"multiple": step} if step != 1 else {}),
            **({"coefficient": [bare(epc) for epc in data["coefficient"]]} if "coefficient" in data else {}),
            **{key: False for key in ("overflow", "underflow") if not data.get(f"{key}Code", True)},
        }

    def state(self, data: dict[str, Any]) -> dict[str, Any]:
        enum, read_only = {}, {}
        for each in data["enum"]:
            name = each["name"]
            word = WORDS.get((self.code, self.epc, bare(each["edt"]))) or {"true": True, "false": False}.get(name)
            (read_only if each.get("readOnly") else enum)[bare(each["edt"])] = snake(name) if word is None else word
        return {
            "type": "state",
            **({"enum": enum} if enum else {}),
            **({"read_only": read_only} if read_only else {}),
        }

    def numericValue(self, data: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"type": "state", "enum": {bare(each["edt"]): each["numericValue"] for each in data["enum"]}}

    def level(self, data: dict[str, Any]) -> dict[str, Any]:
        prefix = PREFIXES.get((self.code, data["base"]))
        told = {"type": "level", "base": bare(data["base"]), "maximum": data["maximum"]}
        return told | ({"prefix": prefix} if prefix else {})

    def bitmap(self, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "bitmap",
            "size": data["size"],
            "bits": {snake(each["name"]): self.bit(each) for each in data["bitmaps"]},
        }

    def bit(self, data: dict[str, Any]) -> dict[str, Any]:
        value = self(data["value"])
        if (self.code, self.epc) in UPSIDE_DOWN:
            value["enum"] = {code: not told for code, told in sorted(value["enum"].items())}
        flag = value == {"type": "state", "enum": {"00": False, "01": True}}
        mask = int(data["position"]["bitMask"], 2)
        return {"at": data["position"]["index"], "mask": mask, **({} if flag else {"data": value})}

    def object(self, data: dict[str, Any]) -> dict[str, Any]:
        fields = {snake(each["shortName"]): self(each["element"]) for each in data["properties"]}
        if len(fields) < len(data["properties"]):
            raise ValueError(f"{self.code} {self.epc}: two fields of one name")
        return {"type": "object", "fields": fields}

    def array(self, data: dict[str, Any]) -> dict[str, Any]:
        items = {"minimum": data.get("minItems", 0), "maximum": data["maxItems"], "items": self(data["items"])}
        return {"type": "array", **items}

    def raw(self, data: dict[str, Any]) -> dict[str, Any]:
        kind = TYPES.get((self.code, self.epc)) or TYPES.get(("0000", self.epc), "raw")
        if kind == "uint24":
            return {"type": "number", "format": kind, "minimum": 0, "maximum": 2**24 - 1}
        return {"type": kind, "minimum": data["minSize"], "maximum": data["maxSize"]}

    def date(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"type": "date"}

    def time(self, data: dict[str, Any]) -> dict[str, Any]:
        if "maximumOfHour" in data:
            return {"type": "duration", "size": data["size"]}
        return {"type": "time", "size": data.get("size", 3)}

    def date_time(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"type": "date_time", "size": data.get("size", 7)}


def property_facts(
    code: str, listed: dict[str, Any], definitions: dict[str, Any], above: dict[str, str]
) -> dict[str, Any]:
    """One property, or one variant of it, in one flat object; `above` has the names of the super class."""
    epc, since, until = bare(listed["epc"]), listed["validRelease"]["from"], listed["validRelease"]["to"]
    rules = {rule: RULES[word] for rule, word in listed["accessRule"].items()}
    return {
        "epc": epc,
        "name": NAMED.get((code, epc)) or above.get(epc) or snake(listed["shortName"]),
        "since": since,
        **({} if until == "latest" else {"until": until}),
        **{rule: rules[rule] for rule in DEFAULTS if rules[rule] != DEFAULTS[rule]},
        **({"atomic": bare(listed["atomic"])} if "atomic" in listed else {}),
        "title": listed["propertyName"]["en"],
        "title_ja": listed["propertyName"]["ja"],
        "data": Data(code, epc)(resolved(listed["data"], definitions)),
    }


def super_names(appendix: Path) -> dict[str, str]:
    """What the super class calls its properties, by EPC; so does every class that has its own form of one."""
    described = json.loads((appendix / "superClass/0x0000.json").read_text(encoding="utf-8"))
    listed = [variant for listed in described["elProperties"] for variant in variants(listed)]
    return {(epc := bare(each["epc"])): NAMED.get(("0000", epc)) or snake(each["shortName"]) for each in listed}


def class_lines(file: Path, definitions: dict[str, Any], above: dict[str, str]) -> Iterator[str]:
    """One class as lines of JSON, a line for each property."""
    described = json.loads(file.read_text(encoding="utf-8"))
    code = bare(described["eoj"])
    properties = [
        property_facts(code, variant, definitions, {} if code == "0000" else above)
        for listed in described["elProperties"]
        for variant in variants(listed)
    ]
    properties.sort(key=lambda facts: (facts["epc"], facts["since"]))
    head = {
        "name": snake(described["shortName"]),
        "since": described["validRelease"]["from"],
        "title": described["className"]["en"],
        "title_ja": described["className"]["ja"],
    }
    yield f'"{code}": {compact(head)[:-1]},"properties":['
    yield ",\n".join(map(compact, properties))
    yield "]}"


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(appendix: Path, codes: tuple[str, ...]) -> None:
    definitions = json.loads((appendix / "definitions/definitions.json").read_text(encoding="utf-8"))["definitions"]
    meta = json.loads((appendix / "metaData.json").read_text(encoding="utf-8"))["metaData"]
    source = (
        f"ECHONET Lite Machine Readable Appendix {meta['dataVersion']}, {meta['date']}, release {meta['release']}"
    )
    files = sorted(file for folder in FOLDERS for file in (appendix / folder).glob("0x????.json"))
    chosen = sorted((file for file in files if not codes or file.stem[2:] in codes), key=lambda file: file.stem)
    print(f'{{"source": {compact(source)},\n"licence": "MIT, see NOTICE",\n"classes": {{')
    above = super_names(appendix)
    print(",\n".join("\n".join(class_lines(file, definitions, above)) for file in chosen))
    print("}}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
