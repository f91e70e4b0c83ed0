from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from hemsd.daemon import state
from hemsd.daemon.state import ReadOnly, StateError, find_state_directory, inspect, prepare, site_id, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_found_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured, then systemd's, then the system's for root and the XDG one for anybody else."""
    assert find_state_directory("/srv/h", {"STATE_DIRECTORY": "/a"}) == Path("/srv/h")
    assert find_state_directory(None, {"STATE_DIRECTORY": "/var/lib/hemsd:/b"}) == Path("/var/lib/hemsd")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_state_directory(None, {}) == Path("/var/lib/hemsd")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert find_state_directory(None, {"XDG_STATE_HOME": "/home/x/s"}) == Path("/home/x/s/hemsd")
    assert find_state_directory(None, {"HOME": "/home/x"}) == Path("/home/x/.local/state/hemsd")


def test_another_process_has_a_directory_beside_it() -> None:
    """What systemd provides is its own already."""
    assert find_state_directory("/srv/h", {"STATE_DIRECTORY": "/a"}, suffix="-routeb") == Path("/srv/h-routeb")
    assert find_state_directory(None, {"STATE_DIRECTORY": "/var/lib/x"}, suffix="-routeb") == Path("/var/lib/x")
    assert find_state_directory(None, {}, suffix="-gateway").name == "hemsd-gateway"


def test_a_missing_directory_is_made_private(tmp_path: Path) -> None:
    """The state directory is created with mode 0700, directories above it as needed."""
    assert mode(prepare(tmp_path / "a/b")) == 0o700


def test_an_open_directory_is_refused_and_not_changed(tmp_path: Path) -> None:
    """A directory that others may enter may be there for something else: say chmod, do not do it."""
    tmp_path.chmod(0o755)
    with pytest.raises(StateError, match=rf"others may look into it \(mode 0755\); run: chmod 700 {tmp_path}"):
        prepare(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    """A file where the directory should be is named, not a traceback."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match="a file stands where a directory is needed"):
        prepare(tmp_path / "state")


def test_the_site_id_is_random_and_stays(tmp_path: Path) -> None:
    """The name of the home is made once, fits MQTT topics, and is the same ever after."""
    first = site_id(tmp_path)
    assert re.fullmatch("home-[a-z2-7]{8}", first)
    assert site_id(tmp_path) == first
    assert mode(tmp_path / "site") == 0o600
    (tmp_path / "site").unlink()
    assert site_id(tmp_path) != first


@pytest.mark.parametrize("content", [b"", b"Home 1", b"\xff", b"a" * 65])
def test_a_damaged_site_id_is_not_silently_replaced(tmp_path: Path, content: bytes) -> None:
    """A new name would orphan everything kept under the old one, so a person decides."""
    (tmp_path / "site").write_bytes(content)
    with pytest.raises(StateError, match="site: "):
        site_id(tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "mounted read-only"), (errno.EACCES, "no permission")],
)
def test_disk_trouble_is_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """A full or read-only disk is named as such, and the file that was there is untouched."""
    write_atomically(tmp_path / "site", b"old\n")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(state.os, "fsync", fail)
    with pytest.raises(StateError, match=words):
        write_atomically(tmp_path / "site", b"new\n")
    assert (tmp_path / "site").read_bytes() == b"old\n"


@pytest.mark.needs("root", "mount")
def test_a_read_only_disk_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """It is told where the configuration is checked; the site keeps its name, and history tells the rest."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", tmp_path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        name = site_id(tmp_path)
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        assert site_id(prepare(tmp_path)) == name
        with pytest.raises(ReadOnly, match="mounted read-only; remount it"):
            inspect(tmp_path)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
