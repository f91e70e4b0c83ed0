"""[gateway.broker] in the configuration file, and the files that it names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.mosquitto import Pki

from hemsd.gateway.config import BrokerConfig, advice, check

PIN = "sha256//" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mqtt://broker.home", ("broker.home", 1883, False)),
        ("mqtts://broker.home", ("broker.home", 8883, True)),
        ("mqtt://192.168.1.10:11883/", ("192.168.1.10", 11883, False)),
        ("mqtts://[fd00::1]:9", ("fd00::1", 9, True)),
        ("MQTT://Broker_1.local.", ("broker_1.local.", 1883, False)),
    ],
)
def test_url(url: str, parts: tuple[str, int, bool]) -> None:
    """Host, port and TLS come from the URL, with the usual ports."""
    config = BrokerConfig(url=url, plain=not parts[2])
    assert (config.host, config.port, config.tls) == parts


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://broker", "begin with mqtt:// or mqtts://"),
        ("broker:1883", "begin with mqtt:// or mqtts://"),
        ("mqtt://", "name a host"),
        ("mqtt://a..b", "name a host"),
        (f"mqtt://{'a' * 64}", "name a host"),
        ("mqtt://a b", "name a host"),
        ("mqtt://broker:0", "name a host"),
        ("mqtt://broker:99999", "not valid"),
        ("mqtt://broker:x", "not valid"),
        ("mqtt://[::1", "not valid"),
        ("mqtt://broker/topic", "nothing after host and port"),
        ("mqtt://broker?x=1", "nothing after host and port"),
        ("mqtt://user:hunter2@broker", "use username and password_file"),
        ("mqtt://user:hunter2@[broker", "not valid"),
    ],
)
def test_a_url_that_is_of_no_use(url: str, words: str) -> None:
    """What is wrong with a URL is said in words that never repeat it."""
    with pytest.raises(ValueError, match=words) as caught:
        BrokerConfig(url=url, plain=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"password_file": "/p"}, "password_file needs username"),
        ({"cert_file": "/c"}, "belong together"),
        ({"key_file": "/k"}, "belong together"),
        ({"url": "mqtt://b", "ca_file": "/ca"}, "write mqtts:// in url"),
        ({"url": "mqtt://b", "pin": PIN}, "write mqtts:// in url"),
        ({"pin": "sha256//short"}, "pin"),
        ({"pin": PIN.removeprefix("sha256//")}, "pin"),
        ({"url": "mqtt://b"}, "write mqtts:// in url, for which `hemsd pki`.* or plain = true beside url"),
        ({"plain": True}, "plain = true is for mqtt://"),
        ({"url": "mqtt://b", "cert_file": "/c", "key_file": "/k"}, "write mqtts:// in url"),
        ({"version": 5}, "version"),
        ({"version": "3.1"}, "Invalid enum value"),
        ({"keepalive_s": 4}, ">= 5"),
        ({"client_id": "häuschen"}, "client_id"),
        ({"base_topic": "a/b/c/d"}, "base_topic"),
        ({"base_topic": "a/#"}, "base_topic"),
        ({"passwort": "x"}, "unknown field"),
    ],
)
def test_keys_that_contradict_or_do_not_exist(keys: dict[str, Any], words: str) -> None:
    """As read from a file, keys that make no sense are errors."""
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({"url": "mqtts://b", **keys}, BrokerConfig)


def test_everything_may_be_said_at_once() -> None:
    """Control: a table with every key is read."""
    table = {
        "url": "mqtts://b",
        "username": "u",
        **{f"{name}_file": f"/{name}" for name in ("password", "ca", "cert", "key")},
        "pin": PIN,
        "server_name": "broker.example.net",
        "version": "3.1.1",
        "client_id": "Home_1",
        "keepalive_s": 60,
        "base_topic": "home/hemsd",
        "replay_days": 0,
    }
    config = msgspec.convert(table, BrokerConfig)
    assert msgspec.to_builtins(config) == table | {"plain": False}


def test_the_password_is_the_file_without_its_last_line_break(tmp_path: Path) -> None:
    """Spaces may belong to a password, the editor's line break does not."""
    (tmp_path / "password").write_text(" pass word \r\n")
    config = BrokerConfig(url="mqtts://b", username="u", password_file=str(tmp_path / "password"))
    assert config.read_password() == " pass word "
    assert BrokerConfig(url="mqtts://b").read_password() is None


def files(pki: Pki, **changes: str) -> BrokerConfig:
    """A configuration with certificates, some of them changed."""
    names = {"ca_file": "ca.crt", "cert_file": "hemsd.crt", "key_file": "hemsd.key", **changes}
    return BrokerConfig(url="mqtts://b", **{key: str(pki.directory / name) for key, name in names.items()})  # type: ignore[arg-type]


def test_good_files_have_no_problem(pki: Pki) -> None:
    """Control: what is right passes, and three days before its end there is advice."""
    assert check(files(pki)) == []
    [text] = advice(files(pki))
    end = datetime.now(UTC) + timedelta(days=3)
    assert text == f"the certificate {pki.directory / 'hemsd.crt'} expires on {end:%Y-%m-%d}"


def test_files_that_are_not_there(pki: Pki) -> None:
    """A missing file is named with the key that names it."""
    gone = str(pki.directory / "gone")
    assert check(files(pki, ca_file="gone", cert_file="gone")) == [
        f"ca_file {gone}: no such file or directory",
        f"cert_file {gone}: no such file or directory",
    ]
    assert check(files(pki, key_file="gone")) == [f"key_file {gone}: no such file or directory"]
    config = BrokerConfig(url="mqtts://b", username="u", password_file=gone)
    assert check(config) == [f"password_file {gone}: no such file or directory"]


@contextmanager
def nobody() -> Iterator[None]:
    """Not as root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("readable", [True, False])
def test_a_file_that_may_not_be_read(readable: bool) -> None:
    """A file without read permission is a problem; with it, it is none."""
    with TemporaryDirectory() as name:
        directory, path = Path(name), Path(name) / "password"
        directory.chmod(0o755)
        path.write_text("x")
        path.chmod(0o444 if readable else 0o000)
        config = BrokerConfig(url="mqtts://b", username="u", password_file=str(path))
        with nobody():
            problems = check(config)
    assert problems == ([] if readable else [f"password_file {path}: permission denied"])


def test_files_that_hold_something_else(pki: Pki, tmp_path: Path) -> None:
    """A key where a certificate should be, and the other way round; an empty password."""
    key, certificate = pki.directory / "hemsd.key", pki.directory / "hemsd.crt"
    assert check(files(pki, ca_file="hemsd.key")) == [f"ca_file {key} holds no certificate in PEM form"]
    assert check(files(pki, cert_file="hemsd.key")) == [f"cert_file {key} holds no certificate in PEM form"]
    assert check(files(pki, key_file="hemsd.crt")) == [f"key_file {certificate} holds no private key in PEM form"]
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    config = BrokerConfig(url="mqtts://b", username="u", password_file=str(tmp_path / "password"))
    assert check(config) == [f"password_file {tmp_path / 'password'} is not UTF-8 text"]
    (tmp_path / "password").write_text("\n")
    assert check(config) == [f"password_file {tmp_path / 'password'} is empty"]


def test_a_key_of_another_certificate(pki: Pki) -> None:
    """Key and certificate must be a pair."""
    key = pki.directory / "viewer.key"
    assert check(files(pki, key_file="viewer.key")) == [
        f"key_file {key} does not belong to the certificate in cert_file"
    ]


def test_a_locked_key(pki: Pki, tmp_path: Path) -> None:
    """A passphrase cannot be typed at start."""
    key = load_pem_private_key((pki.directory / "hemsd.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    [text] = check(files(pki, key_file=str(locked)))
    assert "locked with a passphrase" in text


def test_certificates_out_of_their_time(pki: Pki) -> None:
    """Before and after its validity a certificate is a problem, with the date; so is an authority that has ended."""
    own, authority = pki.directory / "hemsd.crt", pki.directory / "ca.crt"
    now = datetime.now(UTC)
    end = now + timedelta(days=3)
    assert check(files(pki), now + timedelta(days=5)) == [
        f"the certificate {authority} expired on {end:%Y-%m-%d}",
        f"the certificate {own} expired on {end:%Y-%m-%d}",
    ]
    begin = end - timedelta(days=365)
    assert check(files(pki), now - timedelta(days=400)) == [
        f"the certificate {own} is valid from {begin:%Y-%m-%d} only"
    ]


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("mqtt://192.168.1.10", True),
        ("mqtt://broker.home", True),
        ("mqtts://broker.home", False),
        ("mqtt://localhost", False),
        ("mqtt://127.0.0.1", False),
        ("mqtt://[::1]", False),
    ],
)
def test_plain_mqtt_over_a_network_is_a_choice_with_a_standing_warning(
    tmp_path: Path, url: str, warned: bool
) -> None:
    """It takes plain = true and is advised against for ever; within this machine, and with TLS, all is well."""
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o600)
    for keys in ({}, {"username": "u", "password_file": str(tmp_path / "password")}):
        if warned:
            with pytest.raises(ValueError, match="plain = true beside url"):
                BrokerConfig(url=url, **keys)
        config = BrokerConfig(url=url, plain=warned, **keys)
        assert check(config) == []
        assert ["in clear (plain = true)" in text for text in advice(config)] == [True] * warned
        assert ["with the password" in text for text in advice(config)] == [bool(keys)] * warned


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    """A password file that everyone can read works, and gets the command that mends it."""
    path = tmp_path / "password"
    path.write_text("x")
    path.chmod(0o644)
    config = BrokerConfig(url="mqtts://b", username="u", password_file=str(path))
    assert advice(config) == [f"password_file {path} is open to everyone: chmod o= {path}"]
