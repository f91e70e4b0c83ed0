"""JSON Schemas of what is published and taken, made from hemsd.gateway.payloads; `python -m` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hemsd.gateway.payloads import PUBLISHED, TAKEN, schema_id

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY = Path(__file__).with_name("schemas")


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one payload; in what is published every field is always there."""
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = parts.pop(kind.__name__)
    if kind in PUBLISHED:
        own["required"] = list(own["properties"])
        own["properties"]["schema"] = {"const": schema_id(kind)}
    named = {"$schema": DIALECT, "$id": schema_id(kind)}
    return {**named, **own, **({"$defs": parts} if parts else {})}


def file_of(kind: type[Struct]) -> Path:
    """Where its schema is: hemsd.meter.live/1 is in hemsd.meter.live-1.json."""
    return DIRECTORY / f"{schema_id(kind).replace('/', '-')}.json"


def text_of(kind: type[Struct]) -> str:
    """The content of that file."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in (*PUBLISHED, *TAKEN):
        file_of(each).write_text(text_of(each), "utf-8")
