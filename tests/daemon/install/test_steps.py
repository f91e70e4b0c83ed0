"""Doing the steps of an installation."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PASSWORD, ROUTE_B_ID

from drivers.module import Credentials
from hemsd.daemon.credentials import load_credentials
from hemsd.daemon.install import steps
from hemsd.daemon.install.places import UNITS, load_kit
from hemsd.daemon.install.steps import InstallError, Link, Move, Remove, RemoveEmpty, Run, Seal, Write, carry_out


@pytest.fixture(autouse=True)
def _closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_for_everyone_whatever_the_umask(tmp_path: Path) -> None:
    """Units and configuration are read by users of the service, in directories that they may enter."""
    path = tmp_path / "a/b/unit"
    carry_out([Write(path, b"one"), Write(path, b"two")], lambda _: None)
    assert (path.read_bytes(), mode(path)) == (b"two", 0o644)
    assert mode(path.parent) == mode(path.parent.parent) == 0o755
    assert [each.name for each in path.parent.iterdir()] == ["unit"]


def test_linking_and_removing(tmp_path: Path) -> None:
    """A link is replaced; a directory goes with what is in it, or only if nothing is; what is gone is no error."""
    link, full, empty = tmp_path / "link", tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    (full / "file").touch()
    carry_out([Link(link, full), Link(link, empty), RemoveEmpty(full), RemoveEmpty(empty)], lambda _: None)
    assert link.readlink() == empty
    assert full.exists()
    assert not empty.exists()
    carry_out([Remove(full), Remove(link), Remove(link), RemoveEmpty(empty)], lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_what_is_moved_belongs_to_its_new_place(tmp_path: Path) -> None:
    """A directory with all that is in it, into one of another user; a link in it is not followed."""
    old, new, outside = tmp_path / "old", tmp_path / "new", tmp_path / "outside"
    (old / "keys").mkdir(parents=True)
    (old / "keys/one").touch(0o600)
    outside.touch()
    (old / "link").symlink_to(outside)
    new.mkdir()
    user = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(new, user, -1)
    carry_out([Move(old / "keys", new / "keys"), Move(old / "link", new / "deep/link")], lambda _: None)
    assert [path.lstat().st_uid for path in (new / "keys", new / "keys/one")] == [user] * 2
    assert mode(new / "keys/one") == 0o600
    assert (new / "deep/link").readlink() == outside
    assert outside.stat().st_uid == os.geteuid()
    assert list(old.iterdir()) == []


def test_the_first_failure_ends_it_and_says_so(tmp_path: Path) -> None:
    """Each step is told before it is done; after one that fails nothing is done, and its own words are told."""
    told: list[str] = []
    after = Write(tmp_path / "after", b"")
    with pytest.raises(InstallError, match=r"`sh -c 'echo no >&2; exit 3'` failed: no\nNothing was done after this"):
        carry_out([Run(("sh", "-c", "echo no >&2; exit 3")), after], told.append)
    assert told == ["run     sh -c 'echo no >&2; exit 3'"]
    assert not after.path.exists()
    with pytest.raises(InstallError, match="No such file"):
        carry_out([Run(("hemsd-no-such-program",))], told.append)


def test_where_systemd_cannot_seal_a_key_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is told; what was sealed before in the other way goes."""
    monkeypatch.setattr(steps, "SYSTEMD_FILE", tmp_path / "creds/hemsd-routeb")
    monkeypatch.setattr(steps, "SEALED_FILE", tmp_path / "credentials.sealed")
    monkeypatch.setattr(steps, "KEY_FILE", tmp_path / "credentials.key")
    (tmp_path / "creds").mkdir()
    (tmp_path / "creds/hemsd-routeb").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    carry_out([Seal(Credentials(ROUTE_B_ID, PASSWORD), True)], told.append)
    assert "systemd-creds cannot encrypt it" in told[1]
    assert f"sealed into {tmp_path}/credentials.sealed instead" in told[1]
    assert load_credentials(tmp_path / "credentials.sealed", {}).password == PASSWORD
    assert mode(tmp_path / "credentials.sealed") == mode(tmp_path / "credentials.key") == 0o600
    assert not (tmp_path / "creds/hemsd-routeb").exists()
    assert PASSWORD not in "".join(told)


def test_units_call_the_hemsd_that_is_installed() -> None:
    """In another place than /opt/hemsd no line of a unit leads there any more."""
    kit = load_kit(Path("/srv/hems"))
    units = {path: content.decode() for path, content in kit.files.items() if path.parent == UNITS}
    assert len(units) >= 9
    lines = [line for text in units.values() for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in lines if "/opt/hemsd" in line]
    assert "ExecStart=/srv/hems/bin/hemsd run --part routeb" in lines
    assert all(text.startswith("# hemsd ") for text in units.values())
