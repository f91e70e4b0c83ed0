"""`hemsd pki`: what is there is kept, what is missing is made, and mistakes change nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate
from support.pki import hemsd_pki

from hemsd.cli.exits import Exit
from hemsd.gateway import pkifolder
from hemsd.gateway.pkifolder import Folder

FIRST = ("--broker", "broker.home", "--broker", "192.168.1.10", "--client", "hemsd-home")


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Made by a first run."""
    assert hemsd_pki(tmp_path / "pki", *FIRST).code == Exit.READ
    return tmp_path / "pki"


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_what_a_first_run_makes(tmp_path: Path) -> None:
    """Keys for their owner alone, the rest for mosquitto too, whatever the umask; what to do next on both sides."""
    os.umask(0o077)
    told = hemsd_pki(tmp_path / "a/pki", *FIRST, "--port", "8884")
    assert stat.S_IMODE((tmp_path / "a/pki").stat().st_mode) == 0o755
    modes = {
        str(path.relative_to(tmp_path / "a/pki")): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "a/pki").rglob("*")
    }
    assert modes == {
        "ca.crt": 0o644,
        "ca.key": 0o600,
        "server.crt": 0o644,
        "server.key": 0o600,
        "mosquitto.conf": 0o644,
        "acl.conf": 0o600,
        "clients": 0o700,
        "clients/hemsd-home.crt": 0o644,
        "clients/hemsd-home.key": 0o600,
    }
    assert 'url = "mqtts://broker.home:8884"' in told.out
    assert f"chown mosquitto: {tmp_path}/a/pki/server.key" in told.out
    assert "listener 8884\n" in (tmp_path / "a/pki/mosquitto.conf").read_text()


def test_a_second_run_changes_nothing(directory: Path) -> None:
    """Whether it names the same again or nothing at all."""
    before = contents(directory)
    for arguments in ((), FIRST, (*FIRST, "--renew"), ("--renew",)):
        told = hemsd_pki(directory, *arguments)
        assert told.code == Exit.READ
        assert "made" not in told.out
    assert contents(directory) == before


def test_a_client_is_added(directory: Path) -> None:
    """Its files, and its section at the end of the access rules; an administrator's own changes stay."""
    acl, configuration = directory / "acl.conf", directory / "mosquitto.conf"
    acl.write_text(acl.read_text().replace("topic write hemsd", "topic write mine") + "user me\ntopic #\n")
    configuration.write_text("mine\n")
    before = contents(directory)
    told = hemsd_pki(directory, "--reader", "panel", "--json").json
    after = contents(directory)
    assert {name for name in after if name not in before} == {"clients/panel.crt", "clients/panel.key"}
    assert {name for name in before if after[name] != before[name]} == {"acl.conf"}
    assert acl.read_bytes().startswith(before["acl.conf"])
    assert acl.read_text().endswith("\nuser panel\ntopic read hemsd/v1/#\n")
    assert [(each["name"], each["role"], each["fate"]) for each in told["clients"]] == [
        ("hemsd-home", "site", "kept"),
        ("panel", "reader", "made"),
    ]
    assert told["files"] == {str(configuration): "kept", str(acl): "extended"}


def test_a_client_that_was_locked_out_stays_so(directory: Path) -> None:
    """A section that was taken away comes back only when its client is named again; one put in comments never."""
    acl = directory / "acl.conf"
    acl.write_text("# nobody\n")
    hemsd_pki(directory, "--reader", "panel", "--renew")
    assert "hemsd-home" not in acl.read_text()
    hemsd_pki(directory, "--client", "hemsd-home")
    assert "\nuser hemsd-home\n" in acl.read_text()
    acl.write_text("#user hemsd-home\n")
    hemsd_pki(directory, "--client", "hemsd-home")
    assert acl.read_text() == "#user hemsd-home\n"


def test_access_rules_keep_their_owner(directory: Path) -> None:
    """mosquitto's, whom they were given to."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(directory / "acl.conf", 12345, 12345)
    hemsd_pki(directory, "--reader", "panel")
    about = (directory / "acl.conf").stat()
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (12345, 12345, 0o600)


def test_renewal(directory: Path) -> None:
    """With less than a third of the time left certificates are made anew for their keys, which may be elsewhere."""
    (directory / "clients/hemsd-home.key").unlink()
    before = contents(directory)
    now = datetime.now(UTC)
    for days, renewed in ((540, False), (560, True), (900, True)):
        folder = Folder(directory, now + timedelta(days=days))
        folder.renew()
        fates = {folder.broker().fate, *(each.fate for each in folder.clients.values())}
        assert fates == ({"renewed"} if renewed else {"kept"})
    folder.save(str(directory), 8883)
    after = contents(directory)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"server.crt", "clients/hemsd-home.crt"}
    assert set(after) == set(before)
    for name in changed:
        old, new = (load_pem_x509_certificate(each[name]) for each in (before, after))
        assert old.public_key() == new.public_key()
        assert old.subject == new.subject
        assert new.not_valid_after_utc - now > timedelta(days=1700)


def test_a_broker_of_another_name(directory: Path) -> None:
    """Its certificate is replaced only when asked; the key, and so the pin, stays."""
    before = contents(directory)
    told = hemsd_pki(directory, "--broker", "new.home")
    assert told.code == Exit.USAGE
    assert "server.crt is for broker.home, 192.168.1.10: add --renew" in told.err
    assert contents(directory) == before
    pin = hemsd_pki(directory, "--json").json["broker"]["pin"]
    told = hemsd_pki(directory, "--broker", "new.home", "--renew", "--json")
    assert told.json["broker"] == {**told.json["broker"], "hosts": ["new.home"], "fate": "renewed", "pin": pin}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--broker", "new home"), "neither a host's name nor an address"),
        (("--client", "home"), "a hemsd is called hemsd-<site>"),
        (("--reader", "hemsd-home"), "hemsd-home is there already, as site: delete"),
        (("--operator", "a/b"), "a client cannot be called 'a/b'"),
    ],
)
def test_a_mistake_changes_nothing(directory: Path, arguments: tuple[str, ...], words: str) -> None:
    """Not even what was right beside it."""
    before = contents(directory)
    told = hemsd_pki(directory, "--client", "hemsd-second", *arguments)
    assert told.code == Exit.USAGE
    assert words in told.err
    assert contents(directory) == before


def test_without_a_broker_there_is_nothing_yet(tmp_path: Path) -> None:
    """A mistyped directory is not made."""
    told = hemsd_pki(tmp_path / "kpi", "--client", "hemsd-home")
    assert told.code == Exit.USAGE
    assert "name it with --broker" in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ca.key", b"", "ca.crt: this is no private key in PEM form"),
        ("ca.crt", b"x", "ca.crt: this is no certificate in PEM form"),
        ("server.crt", b"x", "server.crt: this is no certificate in PEM form"),
        ("clients/hemsd-home.crt", b"-" * 70_000, "hemsd-home.crt: this is too long"),
    ],
)
def test_files_that_are_not_what_they_should_be(directory: Path, name: str, content: bytes, words: str) -> None:
    """They are named, and left alone."""
    (directory / name).write_bytes(content)
    before = contents(directory)
    told = hemsd_pki(directory, "--reader", "panel")
    assert told.code == Exit.USAGE
    assert words in told.err
    assert contents(directory) == before


def test_files_of_another_authority(directory: Path, tmp_path: Path) -> None:
    """A certificate in the wrong directory, and one of the wrong kind, are told."""
    hemsd_pki(tmp_path / "other", *FIRST)
    path = directory / "clients/hemsd-home.crt"
    own = path.read_bytes()
    path.write_bytes((tmp_path / "other/clients/hemsd-home.crt").read_bytes())
    assert "hemsd-home.crt: another authority than ca.crt" in hemsd_pki(directory).err
    path.write_bytes((directory / "server.crt").read_bytes())
    assert "hemsd-home.crt: this is not a client's certificate" in hemsd_pki(directory).err
    path.write_bytes(own)
    (directory / "ca.key").unlink()
    told = hemsd_pki(directory)
    assert told.code == Exit.USAGE
    assert told.err == f"hemsd: {directory}/ca.key: no such file or directory\n"


@pytest.mark.parametrize("number", range(9))
def test_a_run_that_is_cut_short_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whichever file it was writing."""
    written = 0
    write = pkifolder._write

    def cut(path: Path, content: bytes, mode: int) -> None:
        nonlocal written
        if written == number:
            raise OSError(28, "No space left on device", str(path))
        written += 1
        write(path, content, mode)

    with monkeypatch.context() as patch:
        patch.setattr(pkifolder, "_write", cut)
        told = hemsd_pki(tmp_path / "pki", *FIRST)
        assert (told.code == Exit.USAGE) == (number < 8)
        assert ("no space left on device" in told.err) == (number < 8)
    done = contents(tmp_path / "pki")
    assert hemsd_pki(tmp_path / "pki", *FIRST).code == Exit.READ
    after = contents(tmp_path / "pki")
    assert len(after) == 8
    assert done.items() <= after.items()


def test_another_place_on_another_machine(tmp_path: Path) -> None:
    """The configuration names the place where its files are going to be."""
    told = hemsd_pki(tmp_path, *FIRST, "--place", "/etc/mosquitto/hemsd")
    assert "certfile /etc/mosquitto/hemsd/server.crt\n" in (tmp_path / "mosquitto.conf").read_text()
    assert str(tmp_path) not in (tmp_path / "mosquitto.conf").read_text()
    assert "Take ca.crt, server.crt, server.key, mosquitto.conf and acl.conf to /etc/mosquitto/hemsd" in told.out
    with pytest.raises(SystemExit):
        hemsd_pki(tmp_path, "--place", "relative")
