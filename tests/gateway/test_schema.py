"""The shipped JSON Schemas are those of the payloads, and would find what is wrong."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError
from msgspec import Struct
from support.published import SCHEMAS, check

from hemsd.gateway.exposure import TOPICS
from hemsd.gateway.payloads import PUBLISHED, TAKEN, schema_id
from hemsd.gateway.schema import DIRECTORY, file_of, text_of

LIVE = {
    "schema": "hemsd.meter.live/1",
    "ts": "2025-01-15T12:30:12+09:00",
    "age_s": 1.3,
    "power_w": None,
    "current_r_a": 2.5,
    "current_t_a": 3.0,
    "energy_import_kwh": 12345.6,
    "energy_export_kwh": None,
    "energy_ts": None,
    "states": {"power_w": "no_data"},
    "lqi": 180,
    "rssi_dbm": -60.5,
    "channel": 59,
}
TOPIC = "hemsd/v1/home-1/meter/m1/live"


@pytest.mark.parametrize("kind", [*PUBLISHED, *TAKEN], ids=schema_id)
def test_the_shipped_schema_is_that_of_the_payload(kind: type[Struct]) -> None:
    """Whoever changes a payload runs `python -m hemsd.gateway.schema`; the result is a JSON Schema."""
    assert file_of(kind).read_text("utf-8") == text_of(kind)
    Draft202012Validator.check_schema(json.loads(text_of(kind)))


def test_nothing_else_is_shipped() -> None:
    """No schema of a payload that there is no more, and one for each topic that is not a plain word."""
    files = {path.name for path in DIRECTORY.iterdir()}
    assert files == {file_of(kind).name for kind in (*PUBLISHED, *TAKEN)}
    assert set(SCHEMAS) == {topic for topic in TOPICS if not topic.endswith("availability")}
    assert {f"{name}.json" for name in set(SCHEMAS.values())} == {file_of(kind).name for kind in PUBLISHED}


def test_what_is_right_passes() -> None:
    """Control of the checks below."""
    check(TOPIC, json.dumps(LIVE | {"added_later": 1}).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": "hemsd.meter.live/2"},
        {"power_w": "423"},
        {"ts": "2025-01-15T03:30:12Z"},
        {"states": None},
        {"age_s": None},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_wrong_is_found(wrong: dict[str, object]) -> None:
    """Another schema, a number as text, a time of another zone, null where it may not be."""
    with pytest.raises(ValidationError):
        check(TOPIC, json.dumps(LIVE | wrong).encode())


@pytest.mark.parametrize("missing", list(LIVE))
def test_a_missing_field_is_found(missing: str) -> None:
    """Every field is always there."""
    with pytest.raises(ValidationError):
        check(TOPIC, json.dumps({name: value for name, value in LIVE.items() if name != missing}).encode())
