"""Credentials at rest: what is sealed is opened again, here and unchanged only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from support.daemon import PASSWORD, ROUTE_B_ID

from drivers.module import Credentials
from hemsd.daemon import credentials as room
from hemsd.daemon.credentials import CredentialsError, as_file, find_credentials, load_credentials
from hemsd.daemon.sealing import MAGIC, NONCE_SIZE, new_key, seal

CONTENT = as_file(Credentials(ROUTE_B_ID, PASSWORD))


def sealed_in(directory: Path, key: bytes | None = None) -> Path:
    """A sealed file with its key beside it."""
    made = new_key()
    (directory / "credentials.key").write_bytes(made if key is None else key)
    (directory / "credentials.sealed").write_bytes(seal(CONTENT, made))
    for path in directory.iterdir():
        path.chmod(0o600)
    return directory / "credentials.sealed"


def refusal(path: Path) -> str:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(path, {})
    assert PASSWORD not in str(caught.value)
    assert ROUTE_B_ID not in str(caught.value)
    return str(caught.value)


def test_a_sealed_file_is_opened_with_the_key_beside_it(tmp_path: Path) -> None:
    """What was sealed is read again; neither file holds a secret in clear, and sealing twice gives another file."""
    path = sealed_in(tmp_path)
    assert (load_credentials(path, {}).id, load_credentials(path, {}).password) == (ROUTE_B_ID, PASSWORD)
    content = path.read_bytes() + path.with_name("credentials.key").read_bytes()
    assert PASSWORD.encode() not in content
    assert ROUTE_B_ID.encode() not in content
    assert seal(CONTENT, b"k" * 32) != seal(CONTENT, b"k" * 32)


def test_the_form_is_plain_aes_gcm(tmp_path: Path) -> None:
    """Somebody else's AES-GCM opens it by what the module says of the form, so no hemsd is needed to rescue it."""
    path = sealed_in(tmp_path)
    key, content = path.with_name("credentials.key").read_bytes(), path.read_bytes()
    at = len(MAGIC)
    assert AESGCM(key).decrypt(content[at : at + NONCE_SIZE], content[at + NONCE_SIZE :], content[:at]) == CONTENT


@pytest.mark.parametrize("at", [len(MAGIC), len(MAGIC) + NONCE_SIZE, -1])
def test_a_tampered_file_is_refused(tmp_path: Path, at: int) -> None:
    """One bit changed anywhere, in the nonce, the text or its tag, and it is not believed."""
    path = sealed_in(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert refusal(path) == (
        f"{path}: it was changed, or sealed with another key than the one beside it; "
        "seal it again: sudo hemsd install --credentials FILE"
    )


def test_what_else_may_be_wrong_with_a_sealed_file(tmp_path: Path) -> None:
    """Another key, none, a short one, or a file that was never sealed: each is said as what it is."""
    path = sealed_in(tmp_path, new_key())
    assert "sealed with another key" in refusal(path)
    path.with_name("credentials.key").write_bytes(b"short")
    assert "its key must have 32 bytes, this one has 5" in refusal(path)
    path.with_name("credentials.key").unlink()
    assert "its key, credentials.key beside it, is not there" in refusal(path)
    sealed_in(tmp_path)
    path.write_bytes(CONTENT)
    assert "this is not a sealed file" in refusal(path)


@pytest.mark.parametrize("name", ["credentials.key", "credentials.sealed"])
def test_neither_file_may_be_open_to_others(tmp_path: Path, name: str) -> None:
    """A key that others may read seals nothing."""
    path = sealed_in(tmp_path)
    (tmp_path / name).chmod(0o640)
    assert refusal(path) == f"{tmp_path / name}: others may read it (mode 0640); run: chmod 600 {tmp_path / name}"


def test_the_first_that_systemd_hands_over_counts(tmp_path: Path) -> None:
    """Of the forms a unit names those that are not there are blank; a plain file, written by hand, wins."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    for name in ("routeb", "hemsd-routeb"):
        (tmp_path / name).write_text("\n")
    assert find_credentials(None, environ) == tmp_path / "routeb"
    with pytest.raises(CredentialsError, match=r"^/etc/hemsd/credentials\.toml: no credentials yet"):
        load_credentials(tmp_path / "routeb", environ)
    sealed = sealed_in(tmp_path)
    assert find_credentials(None, environ) == sealed
    assert load_credentials(sealed, environ).id == ROUTE_B_ID
    (tmp_path / "hemsd-routeb").write_bytes(CONTENT)  # as systemd opened it
    assert find_credentials(None, environ) == tmp_path / "hemsd-routeb"
    assert load_credentials(tmp_path / "hemsd-routeb", environ).id == ROUTE_B_ID
    (tmp_path / "routeb").write_bytes(CONTENT)
    assert find_credentials("/etc/hemsd/credentials.toml", environ) == tmp_path / "routeb"


def test_what_is_wrong_with_a_copy_is_said_of_the_original(tmp_path: Path) -> None:
    """A person can mend the file in /etc, not systemd's copy."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    (tmp_path / "hemsd-routeb").write_text('id = "1"')
    with pytest.raises(CredentialsError, match=r'^/etc/credstore\.encrypted/hemsd-routeb: "password" is missing'):
        load_credentials(tmp_path / "hemsd-routeb", environ)
    sealed = sealed_in(tmp_path, new_key())
    with pytest.raises(CredentialsError, match=r"^/etc/hemsd/credentials\.sealed: it was changed"):
        load_credentials(sealed, environ)


def test_root_finds_the_sealed_ones_without_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo hemsd read` with no daemon uses what the service would: the plain file, else a sealed one."""
    places = {name: tmp_path / name for name in ("credentials.toml", "hemsd-routeb", "credentials.sealed")}
    monkeypatch.setattr(room, "HANDED", places)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in reversed(places):
        places[name].touch()
        assert find_credentials(None, {}) == places[name]


def test_who_may_not_look_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else than root cannot see whether credentials are sealed, and does not call that missing."""
    monkeypatch.setattr(room, "_open_at_once", lambda *_: os.open("/nonexistent", os.O_RDONLY))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = refusal(room.SYSTEM_FILE)
    assert told.endswith(
        "no such file; it holds id and password (mode 0600); only root can see whether they are sealed"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert refusal(room.SYSTEM_FILE).endswith("no such file; it holds id and password (mode 0600)")
