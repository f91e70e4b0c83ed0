"""`hemsd verify`: which records are what a home signed, line by line, and the exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.gateway import half_hour

from hemsd.cli import main
from hemsd.gateway.signature import Signer, signer
from hemsd.gateway.topics import Topics
from hemsd.hub.messages import Record


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Signer]:
    """Of two homes."""
    for site in ("home-1", "home-2"):
        (tmp_path / site).mkdir()
    return {site: signer(tmp_path / site / "gateway" / "key.pem") for site in ("home-1", "home-2")}


def record(site: str, key: Signer | None, number: int = 1) -> dict[str, Any]:
    publication = Topics("hemsd", site, key).half_hour(Record(seq=number, content=half_hour(number)), replay=False)
    assert publication is not None
    told: dict[str, Any] = json.loads(publication.payload)
    return told


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
    return path


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["verify", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_good_records(keys: dict[str, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but their number is said; blank lines are passed over."""
    records = write(tmp_path / "records", *(record("home-1", keys["home-1"], number) for number in range(3)), " ")
    assert verify(capsys, records, "--key", keys["home-1"].public) == (0, "3 good\n", "")
    assert verify(capsys, records, "--key", f"home-1={keys['home-1'].public}")[0] == 0


def test_others_are_named(keys: dict[str, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line, verdict, and which it is; one of them is enough for the exit code."""
    good = record("home-1", keys["home-1"])
    lines = (
        good,
        good | {"energy_import_kwh": 2.0},
        record("home-1", None),
        record("home-1", keys["home-2"]),
        "rubbish",
    )
    code, out, _ = verify(capsys, write(tmp_path / "records", *lines, "x" * 200_000), "--key", keys["home-1"].public)
    which = "home-1 m1 2025-01-15T12:30:00+09:00"
    assert code == 1
    assert out.splitlines() == [
        f"line 2: altered: {which}",
        f"line 3: unsigned: {which}",
        f"line 4: other key: {which}",
        "line 5: no record",
        "line 6: no record",
        "2 no record, 1 good, 1 altered, 1 unsigned, 1 other key",
    ]


def test_nothing_is_not_good(keys: dict[str, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What came empty out of a pipe that broke was not verified."""
    assert verify(capsys, write(tmp_path / "records", " "), "--key", keys["home-1"].public) == (1, "no records\n", "")


def test_a_key_is_of_one_home(keys: dict[str, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One home cannot speak for another, though both keys are known."""
    forged = record("home-1", keys["home-2"])
    records = write(tmp_path / "records", record("home-2", keys["home-2"]), forged)
    named = [f"--key={site}={key.public}" for site, key in keys.items()]
    infos = [{"site": site, "signing_key": key.public, "exposure": "control"} for site, key in keys.items()]
    silent = {"site": "home-3", "signing_key": None}
    for given in (named, [f"--keys={write(tmp_path / 'keys', *infos, silent)}"]):
        code, out, _ = verify(capsys, records, "--json", *given)
        assert code == 1
        assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["good", "other key"]


def test_standard_input(
    keys: dict[str, Signer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of a pipe from mosquitto_sub."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(record("home-1", keys["home-1"]))))
    assert verify(capsys, "-", "--key", keys["home-1"].public)[:2] == (0, "1 good\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--key, or --keys"),
        (["--key", "secret"], "44 letters"),
        (["--keys", "{}/missing"], "cannot be read"),
        (["--keys", "{}/rubbish"], "line 1: this is not what a home tells"),
    ],
)
def test_no_key_is_no_verdict(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a key, or with one that is none, the command says what it wants."""
    records, _ = write(tmp_path / "records", "{}"), write(tmp_path / "rubbish", "rubbish")
    code, out, err = verify(capsys, records, *(each.format(tmp_path) for each in arguments))
    assert (code, out) == (2, "")
    assert words in err


def test_a_file_that_is_not_there(
    keys: dict[str, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named."""
    code, _, err = verify(capsys, tmp_path / "missing", "--key", keys["home-1"].public)
    assert (code, "missing: no such file" in err) == (2, True)
