"""Files of a connection that are replaced while it lasts: noticed when complete, and used without a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest
from support.gateway import AVAILABILITY, House, bridging
from support.mosquitto import Mosquitto, Pki, observer

from hemsd.gateway import renewal
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.renewal import Files


def copied(pki: Pki, directory: Path, name: str, port: int = 8883) -> BrokerConfig:
    """A configuration whose files are copies of this client's."""
    for kind in ("crt", "key"):
        replace(pki, directory, name, kind)
    return BrokerConfig(
        url=f"mqtts://localhost:{port}",
        ca_file=str(pki.directory / "ca.crt"),
        cert_file=str(directory / "own.crt"),
        key_file=str(directory / "own.key"),
    )


def replace(pki: Pki, directory: Path, name: str, kind: str) -> None:
    shutil.copy(pki.directory / f"{name}.{kind}", directory / ".draft")
    (directory / ".draft").replace(directory / f"own.{kind}")


def test_files_that_stay_what_they_are(pki: Pki, tmp_path: Path) -> None:
    """Nothing is renewed by being looked at, nor by being read."""
    files = Files(copied(pki, tmp_path, "hemsd"))
    assert not any(files.look() for _ in range(3))
    (tmp_path / "own.crt").read_bytes()
    assert not any(files.look() for _ in range(3))


def test_a_pair_that_is_replaced_is_used_when_it_is_complete(pki: Pki, tmp_path: Path) -> None:
    """Certificate and key are two files, so each change is looked at twice, and both have to fit."""
    files = Files(copied(pki, tmp_path, "hemsd"))
    replace(pki, tmp_path, "viewer", "crt")
    assert not files.look()
    replace(pki, tmp_path, "viewer", "key")
    assert not files.look()  # changed again since
    assert files.look()


def test_a_file_that_is_written_in_place_counts_too(pki: Pki, tmp_path: Path) -> None:
    """Same size, same inode: its time tells."""
    files = Files(copied(pki, tmp_path, "hemsd"))
    path = tmp_path / "own.key"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert [files.look(), files.look()] == [False, True]


def test_files_that_are_of_no_use_are_told_once(pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The connection is kept: half a pair, or none, would only end it. What mends them is noticed."""
    files = Files(copied(pki, tmp_path, "hemsd"))
    replace(pki, tmp_path, "viewer", "crt")
    assert not any(files.look() for _ in range(5))
    assert caplog.text.count("are of no use yet: key_file") == 1
    (tmp_path / "own.key").unlink()
    assert not any(files.look() for _ in range(5))
    assert caplog.text.count("no such file") == 1
    replace(pki, tmp_path, "viewer", "key")
    assert [files.look(), files.look()] == [False, True]


@pytest.mark.needs("mosquitto")
async def test_the_bridge_connects_anew_with_renewed_files(
    broker: Mosquitto, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says goodbye and is back at once, as whom the new certificate says; nothing of it is a warning."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(renewal, "LOOKED_EVERY_S", 0.05)
    config = copied(pki, tmp_path, "hemsd", broker.ports.tls)
    async with observer(broker.ports.tls, pki) as view, bridging(House(), config):
        assert await view.payloads(AVAILABILITY, 1) == ["online"]
        pki.issue("hemsd")
        for kind in ("crt", "key"):
            replace(pki, tmp_path, "hemsd", kind)
        assert await view.payloads(AVAILABILITY, 3) == ["online", "offline", "online"]
        await asyncio.sleep(0)
    told = [record for record in caplog.records if record.name == "hemsd.gateway"]
    assert sum("were renewed" in record.message for record in told) == 1
    assert sum(record.message.startswith("connected to") for record in told) == 2
    assert all(record.levelno == logging.INFO or "expires on" in record.message for record in told)
