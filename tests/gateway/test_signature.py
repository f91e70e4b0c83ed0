"""Signatures of half-hours: they hold through everything that honest hands do to JSON, and through nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gateway import INTERVAL, SITE, House, bridging, half_hour
from support.mosquitto import Mosquitto, observer

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.signature import SIGNED, SignatureError, Signer, judge, key_id, signer, text_of
from hemsd.gateway.topics import Topics
from hemsd.hub.messages import MeterInterval, Record

SEQ = 1_790_000_000_012  # as of a real history, which begins with the present in milliseconds
DOCUMENT = (Path(__file__).parents[2] / "docs/mqtt.md").read_text("utf-8")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer(tmp_path_factory.mktemp("state") / "gateway" / "key.pem")


def published(key: Signer, **changes: Any) -> dict[str, Any]:
    """A record as it leaves the house."""
    record = Record(seq=SEQ, content=half_hour(7, **({"energy_import_kwh": 12345.6} | changes)))
    publication = Topics("hemsd", SITE, key).record(record, "aggregates", replay=False)
    assert publication is not None
    told: dict[str, Any] = json.loads(publication.payload)
    return told


def test_the_key_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    """The second start signs with the same; nobody else may read it."""
    path = tmp_path / "gateway" / "key.pem"
    first = signer(path)
    assert signer(path).public == first.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_id(first.public) == first.key_id


@pytest.mark.parametrize("content", [b"", b"rubbish", b"x" * 2_000_000])
def test_a_damaged_key_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    """A new one in its place would make strangers of all earlier records."""
    path = tmp_path / "gateway" / "key.pem"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SignatureError, match=r"put it back, or delete it"):
        signer(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """No key, no record that seems to be signed."""
    (tmp_path / "gateway").write_text("a file")
    with pytest.raises(SignatureError, match="the key of our signatures"):
        signer(tmp_path / "gateway" / "key.pem")


def again(text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    return told


def jq(record: dict[str, Any], program: str) -> dict[str, Any]:
    done = subprocess.run(["jq", "-c", program], input=json.dumps(record), capture_output=True, text=True, check=True)
    return again(done.stdout)


HANDS = {
    "order and blanks": lambda record: again(json.dumps(record, sort_keys=True, indent=3)),
    "more decimals": lambda record: again(json.dumps(record).replace("12345.6", "12345.6000")),
    "an exponent": lambda record: again(json.dumps(record).replace("12345.6", "1.23456e4")),
    "17 digits": lambda record: again(json.dumps(record).replace("12345.6", "12345.600000000000364")),
    "a sum of parts": lambda record: record | {"energy_import_kwh": sum([0.1] * 123456)},
    "numbers as floats": lambda record: again(
        json.dumps({k: float(v) if k == "seq" else v for k, v in record.items()})
    ),
    "UTC": lambda record: record | {name: utc(record[name]) for name in ("start", "end")},
    "a database's way of writing times": lambda record: (
        record | {name: record[name].replace("T", " ").replace("+09:00", "+09") for name in ("start", "end")}
    ),
    "nulls left out": lambda record: {name: value for name, value in record.items() if value is not None},
    "fields of a later version": lambda record: record | {"energy_reactive_kvarh": 1.0},
    "a replay": lambda record: record | {"replay": True},
    "other fields left out": lambda record: {k: record[k] for k in (*SIGNED, "key_id", "signature")},
}


def utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("hands", HANDS.values(), ids=HANDS.keys())
def test_what_is_written_otherwise_is_still_good(key: Signer, hands: Any) -> None:
    """The same half-hour in other words."""
    record = published(key)
    assert judge(record, key.public) == "good"
    assert judge(hands(record), key.public) == "good"


@pytest.mark.needs("jq")
@pytest.mark.parametrize("program", [".", "to_entries | reverse | from_entries", '. + {"x": 1} | del(.states)'])
def test_what_jq_makes_of_it_is_still_good(key: Signer, program: str) -> None:
    """A real tool, whose numbers are doubles."""
    for kwh in (0.1, 0.0001, 12345.6, 99999999.0, 1234567.8912, 1e9):
        assert judge(jq(published(key, energy_import_kwh=kwh), program), key.public) == "good"


ALTERED = {
    "site": "home-2",
    "meter": "m2",
    "start": "2025-01-15T15:00:00+09:00",
    "end": "2025-01-15T16:30:00+09:00",
    "energy_import_kwh": 12345.6001,
    "energy_export_kwh": 0.0,
    "wraps_at_kwh": 1000000.0,
    "source": "read",
    "seq": SEQ + 1,
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_altered_is_found(key: Signer, name: str) -> None:
    """Each signed field by itself; also where it is taken away, or of another type."""
    record = published(key)
    assert judge(record | {name: ALTERED[name]}, key.public) == "altered"
    for rubbish in ("rubbish\n", [], {}, True, float("nan"), float("inf"), 1e300):
        assert judge(record | {name: rubbish}, key.public) == "altered"
    if record[name] is not None:
        assert judge(record | {name: None}, key.public) == "altered"


@given(st.floats(0, 1e8), st.floats(0, 1e8))
def test_no_two_values_have_one_signature(key: Signer, one: float, other: float) -> None:
    """As finely as a meter counts: values of one text are less than 0.0001 kWh apart."""
    texts = [text_of(published(key, energy_import_kwh=kwh)) for kwh in (one, other)]
    assert (texts[0] == texts[1]) == (f"{one:.4f}" == f"{other:.4f}")
    assert texts[0] != texts[1] or abs(one - other) <= 0.0001


def test_an_import_is_no_export(key: Signer) -> None:
    """Values that changed places are altered."""
    record = published(key, energy_export_kwh=1.0)
    swapped = {"energy_import_kwh": record["energy_export_kwh"], "energy_export_kwh": record["energy_import_kwh"]}
    assert judge(record | swapped, key.public) == "altered"


def test_other_verdicts(key: Signer, tmp_path: Path) -> None:
    """Not signed, signed by a key that is not the site's, a signature of another record, and what is no record."""
    record, other = published(key), signer(tmp_path / "gateway" / "other.pem")
    assert judge(record | {"signature": None, "key_id": None}, key.public) == "unsigned"
    assert judge(record, other.public) == "other key"
    assert judge(record, None) == "other key"
    assert judge(record | {"key_id": other.key_id}, other.public) == "altered"
    assert judge(record | {"signature": published(key, end=half_hour(8).end)["signature"]}, key.public) == "altered"
    assert judge(record | {"signature": "rubbish"}, key.public) == "altered"
    assert judge({}, key.public) == "no record"
    for public in ("", "ed25519:", "ed25519:AAAA", "rsa:" + key.public[8:], key.public + "A"):
        with pytest.raises(SignatureError, match="44 letters"):
            judge(record, public)


def test_the_documented_example_is_right() -> None:
    """docs/mqtt.md shows a record, what of it is signed, and by which key: another implementation can begin there."""
    blocks = [block.partition("\n")[2] for block in DOCUMENT.partition("### Signatures")[2].split("```")[1:6:2]]
    public, record, text = blocks[0].strip(), json.loads(blocks[1]), blocks[2]
    assert text_of(record).decode() == text
    assert judge(record, public) == "good"


@pytest.mark.needs("openssl")
def test_openssl_agrees(key: Signer, tmp_path: Path) -> None:
    """Given the text as the document describes it, it verifies the same signature."""
    record = published(key)
    raw, signature = base64.b64decode(key.public.removeprefix("ed25519:")), base64.b64decode(record["signature"])
    text = (
        "hemsd.meter.interval/1\nhome-1\nm1\n"
        f"{int(datetime.fromisoformat(record['start']).timestamp())}\n"
        f"{int(datetime.fromisoformat(record['end']).timestamp())}\n12345.6000\n-\n-\nnotified\n{SEQ}\n"
    )
    assert text_of(record).decode() == text
    der = bytes.fromhex("302a300506032b6570032100") + raw  # SubjectPublicKeyInfo of Ed25519 (RFC 8410, 10.1)
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "text").write_text(text)
    (tmp_path / "signature").write_bytes(signature)
    verify = ["-verify", "-pubin", "-inkey", tmp_path / "key.der", "-keyform", "DER", "-rawin"]
    files = ["-in", tmp_path / "text", "-sigfile", tmp_path / "signature"]
    said = subprocess.run(["openssl", "pkeyutl", *verify, *files], capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in said.stdout


@pytest.mark.needs("mosquitto")
async def test_through_a_broker(broker: Mosquitto, tmp_path: Path, key: Signer) -> None:
    """What a consumer gets is good by the key in the retained bridge/info, sent once or again."""
    house = House()
    house.signer = key
    house.history.keep(half_hour(1), half_hour(2, energy_export_kwh=0.3))
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")
    async with bridging(house, config, tmp_path), observer(broker.ports.open) as view:
        house.interval(3)
        seen = await view.until(
            lambda seen: {"info", "interval"} <= {str(each.topic).rpartition("/")[2] for each in seen}
        )
        [info] = [json.loads(each.payload) for each in seen if str(each.topic).endswith("bridge/info")]
        records = [json.loads(text) for text in await view.payloads(INTERVAL, 1)]
    assert info["signing_key_id"] == key.key_id
    assert [judge(record, info["signing_key"]) for record in records] == ["good"] * len(records)


def test_replays_and_first_sendings_are_signed_alike(key: Signer) -> None:
    """The signature is of the record, not of when it was sent; whoever keeps the later one can still check it."""
    end = datetime(2025, 1, 15, tzinfo=UTC) + timedelta(minutes=30)
    record = Record(seq=1, content=MeterInterval(meter="m1", end=end, energy_import_kwh=1.0, source="read"))
    told = [Topics("hemsd", SITE, key).half_hour(record, replay=replay) for replay in (False, True)]
    signatures = {json.loads(each.payload)["signature"] for each in told if each is not None}
    assert len(signatures) == 1
