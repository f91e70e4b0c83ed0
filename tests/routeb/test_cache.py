"""What is remembered between runs, and how it is kept."""

from __future__ import annotations

import stat
from decimal import Decimal
from pathlib import Path

import pytest
from support.routeb import CREDENTIALS, PAN

from drivers.module import NO_RADIO, Credentials, Family, Pan
from hemsd.hub.messages import MeterIdentity
from hemsd.routeb.cache import FILE_NAME, METER_LIMIT, Facts, PanCache, Remembered

KNOWN = Remembered(
    pan=PAN,
    facts=Facts(
        mac=PAN.mac,
        properties=(0x80, 0xE7),
        unit=Decimal("0.1"),
        coefficient=1,
        digits=6,
        identity=MeterIdentity(meter="abcdefghij", serial="F00000000000"),
    ),
    family=Family.J11,
)


def test_kept_and_found(tmp_path: Path) -> None:
    """What was saved is loaded by another instance, for the same credentials only."""
    PanCache(tmp_path).save(CREDENTIALS, KNOWN)
    assert PanCache(tmp_path).load(CREDENTIALS) == KNOWN
    assert PanCache(tmp_path).load(Credentials("F" * 32, CREDENTIALS.password)) == Remembered()


def test_a_meter_without_credentials_is_kept_by_its_interface(tmp_path: Path) -> None:
    """One meter for each interface, beside those that have credentials; its address comes back exactly."""
    cache, pan = PanCache(tmp_path), Pan(NO_RADIO, 0xFFFE, "001C64FFFE601421")
    cache.save("wlan1", Remembered(pan=pan))
    cache.save(CREDENTIALS, KNOWN)
    assert cache.load("wlan1").pan == pan
    assert cache.load("wlan2") == Remembered()
    assert cache.load(CREDENTIALS) == KNOWN


def test_no_secret_in_the_file(tmp_path: Path) -> None:
    """Neither the Route B ID nor the pairing ID nor the password is written, and only we may read the file."""
    cache = PanCache(tmp_path)
    cache.save(CREDENTIALS, KNOWN)
    text = (tmp_path / FILE_NAME).read_text()
    for secret in (CREDENTIALS.id, CREDENTIALS.pairing_id, CREDENTIALS.password):
        assert secret not in text
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_the_key_cannot_be_guessed_from_the_pairing_id(tmp_path: Path) -> None:
    """IDs with the same last 8 characters are told apart, and two files name the same ID differently."""
    PanCache(tmp_path).save(CREDENTIALS, KNOWN)
    assert PanCache(tmp_path).load(Credentials("1" * 24 + CREDENTIALS.pairing_id, "0" * 12)) == Remembered()
    other = tmp_path / "other"
    other.mkdir()
    PanCache(other).save(CREDENTIALS, KNOWN)
    assert (other / FILE_NAME).read_text() != (tmp_path / FILE_NAME).read_text()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"salt":"00"}',
        b'{"salt":"00","meters":{"x":{"pan":{"channel":49,"pan_id":1,"mac":"xyz"}}}}',
        b" " * 100_000,
    ],
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, damage: bytes) -> None:
    """It is ignored, and written anew with the next thing learnt."""
    (tmp_path / FILE_NAME).write_bytes(damage)
    cache = PanCache(tmp_path)
    assert cache.load(CREDENTIALS) == Remembered()
    cache.save(CREDENTIALS, KNOWN)
    assert cache.load(CREDENTIALS) == KNOWN


def test_nothing_new_nothing_written(tmp_path: Path) -> None:
    """Saving the same again leaves the file as it is: an SD card is not worn for nothing."""
    cache = PanCache(tmp_path)
    cache.save(CREDENTIALS, KNOWN)
    before = (tmp_path / FILE_NAME).stat()
    cache.save(CREDENTIALS, KNOWN)
    after = (tmp_path / FILE_NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_facts_outlive_the_pan(tmp_path: Path) -> None:
    """A PAN that led nowhere is forgotten; what is known of the meter stays."""
    cache = PanCache(tmp_path)
    cache.save(CREDENTIALS, KNOWN)
    cache.save(CREDENTIALS, Remembered(facts=KNOWN.facts))
    assert cache.load(CREDENTIALS) == Remembered(facts=KNOWN.facts)


def test_bounded(tmp_path: Path) -> None:
    """Only the newest meters are kept."""
    cache = PanCache(tmp_path)
    everyone = [Credentials(f"{n:032X}", "0" * 12) for n in range(METER_LIMIT + 3)]
    for credentials in everyone:
        cache.save(credentials, KNOWN)
    kept = [cache.load(credentials).pan is not None for credentials in everyone]
    assert kept == [False] * 3 + [True] * METER_LIMIT
