"""The one thing that is remembered of a broker's records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.cursor import Cursor, CursorFile

BROKER = BrokerConfig(url="mqtts://broker.home")


def test_it_is_what_was_saved_last(tmp_path: Path) -> None:
    """By another process too; nobody else may read it, and a person sees what it is about."""
    file = CursorFile(tmp_path, BROKER, "hemsd-1")
    assert file.load() is None
    file.save("aa", 7)
    file.save("aa", 8)
    assert CursorFile(tmp_path, BROKER, "hemsd-1").load() == Cursor(
        broker="broker.home:8883", client_id="hemsd-1", history="aa", seq=8
    )
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.path.read_bytes())["broker"] == "broker.home:8883"
    assert [each.name for each in file.path.parent.iterdir()] == [file.path.name]


@pytest.mark.parametrize(
    ("config", "client_id"),
    [
        (BrokerConfig(url="mqtts://other.home"), "hemsd-1"),
        (BrokerConfig(url="mqtts://broker.home:1884"), "hemsd-1"),
        (BROKER, "hemsd-2"),
    ],
)
def test_another_broker_has_another(tmp_path: Path, config: BrokerConfig, client_id: str) -> None:
    """By its address, its port, and who we are to it; anything else of its configuration may change."""
    CursorFile(tmp_path, BROKER, "hemsd-1").save("aa", 7)
    assert CursorFile(tmp_path, config, client_id).load() is None
    same = BrokerConfig(url="mqtts://broker.home:8883", version="3.1.1", keepalive_s=60)
    assert CursorFile(tmp_path, same, "hemsd-1").load() is not None


@pytest.mark.parametrize("content", [b"", b"{", b'{"seq": 1}', b'{"seq": "x"}', b"\xff" * 10, b"[" * 100_000])
def test_a_damaged_one_is_none_and_is_told(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Rubbish of any kind ends nothing."""
    file = CursorFile(tmp_path, BROKER, "hemsd-1")
    file.save("aa", 7)
    file.path.write_bytes(content)
    assert file.load() is None
    assert "broker.home:8883 is new to us" in caplog.text
