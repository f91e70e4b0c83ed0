"""Makes mra.json, the facts of the Machine Readable Appendix that our declarations are tested against.

    python tests/echonet/mra_table.py DIR [CLASS ...] > tests/echonet/mra.json

DIR is the Appendix as its publisher packs it (metaData.json, definitions/, devices/, ...), CLASS a class code such as
0130; by default the device super class, the node profile and the smart meter. Codes, sizes, ranges, units,
enumerations, access rules, releases and names are kept, prose is not. Its licence stands in NOTICE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEFAULT_CLASSES = ("0000", "0EF0", "0288")
FOLDERS = ("superClass", "nodeProfile", "devices")
PROSE = {"descriptions", "remark", "note", "elementName", "urlParameters"}


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


def property_facts(listed: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One property, or one variant of it, in one flat object."""
    since, until = listed["validRelease"]["from"], listed["validRelease"]["to"]
    return {
        "epc": listed["epc"].removeprefix("0x"),
        "since": since,
        **({} if until == "latest" else {"until": until}),
        **listed["propertyName"],
        **listed["accessRule"],
        **({"atomic": listed["atomic"].removeprefix("0x")} if "atomic" in listed else {}),
        "data": resolved(listed["data"], definitions),
    }


def class_lines(appendix: Path, code: str, definitions: dict[str, Any]) -> Iterator[str]:
    """One class as lines of JSON, a line for each property."""
    file = next(path for folder in FOLDERS if (path := appendix / folder / f"0x{code}.json").exists())
    described = json.loads(file.read_text(encoding="utf-8"))
    properties = [
        compact(property_facts(variant, definitions))
        for listed in described["elProperties"]
        for variant in variants(listed)
    ]
    yield f'"{code}": {{"name": {compact(described["className"])}, "properties": ['
    yield ",\n".join(properties)
    yield "]}"


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(appendix: Path, codes: tuple[str, ...]) -> None:
    definitions = json.loads((appendix / "definitions/definitions.json").read_text(encoding="utf-8"))["definitions"]
    meta = json.loads((appendix / "metaData.json").read_text(encoding="utf-8"))["metaData"]
    source = (
        f"ECHONET Lite Machine Readable Appendix {meta['dataVersion']}, {meta['date']}, release {meta['release']}"
    )
    print(f'{{"source": {compact(source)},\n"licence": "MIT, see NOTICE",\n"classes": {{')
    print(",\n".join("\n".join(class_lines(appendix, code, definitions)) for code in codes))
    print("}}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]) or DEFAULT_CLASSES)
