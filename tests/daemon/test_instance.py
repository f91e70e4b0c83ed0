from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hemsd.daemon.instance import AlreadyRunning, _name, claim_meter, claim_state, holder_of
from hemsd.daemon.state import StateError

OURS = f"00112233{os.getpid():016X}CCDDEEFF"  # a Route B ID


def test_a_state_directory_has_one_daemon(tmp_path: Path) -> None:
    """A second one hears the pid of the first and its socket; when the first is gone the place is free."""
    (tmp_path / "operator.sock").touch()
    with claim_state(tmp_path, tmp_path / "operator.sock"):
        with pytest.raises(AlreadyRunning) as caught:
            claim_state(tmp_path, tmp_path / "operator.sock")
        assert f"(pid {os.getpid()}, socket {tmp_path}/operator.sock)" in str(caught.value)
        assert "systemctl stop hemsd" in str(caught.value)
    claim_state(tmp_path, tmp_path / "none.sock").close()
    assert (tmp_path / "lock").stat().st_mode & 0o077 == 0


def test_a_daemon_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel gives back what a process held, however it ended."""
    script = "import sys, time\nfrom pathlib import Path\nfrom hemsd.daemon.instance import claim_state\n"
    script += "held = claim_state(Path(sys.argv[1]), Path('x')); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=f"pid {process.pid}"):
            claim_state(tmp_path, Path("x"))
        process.kill()
    claim_state(tmp_path, Path("x")).close()


def test_a_lock_file_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """A link in its place is not followed."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="is a link, which is not followed"):
        claim_state(tmp_path, Path("x"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.needs("root", "mount")
def test_a_disk_that_is_full_or_read_only_is_held_all_the_same(tmp_path: Path) -> None:
    """One daemon still, though it cannot leave its pid there; on a disk where none ever was, what to do is told."""
    made = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", tmp_path]
    if (mounted := subprocess.run(made, capture_output=True)).returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        with contextlib.suppress(OSError), (tmp_path / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        for how in ("rw", "ro"):
            subprocess.run(["mount", "-o", f"remount,{how}", tmp_path], check=True)
            with claim_state(tmp_path, Path("x")), pytest.raises(AlreadyRunning):
                claim_state(tmp_path, Path("x"))
        subprocess.run(["mount", "-o", "remount,rw", tmp_path], check=True)
        (tmp_path / "lock").unlink()
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        with pytest.raises(StateError, match="mounted read-only; remount it"):
            claim_state(tmp_path, Path("x"))
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_meter_has_one_daemon() -> None:
    """Whatever else differs: the Route B ID counts."""
    assert holder_of(OURS) is None
    with claim_meter(OURS):
        assert holder_of(OURS) == os.getpid()
        with pytest.raises(AlreadyRunning, match=rf"for this meter \(pid {os.getpid()}\)"):
            claim_meter(OURS)
        claim_meter(OURS[:-1] + "0").close()
    assert holder_of(OURS) is None
    claim_meter(OURS).close()


def test_however_often_one_asks_the_holder_is_found() -> None:
    """Nobody accepts these connections; they cost nothing and hold nothing up."""
    with claim_meter(OURS), contextlib.ExitStack() as stack:
        for _ in range(20):
            asking = stack.enter_context(socket.socket(socket.AF_UNIX))
            asking.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                asking.connect(_name(OURS))
        assert holder_of(OURS) is not None
        with pytest.raises(AlreadyRunning):
            claim_meter(OURS)


def test_the_id_is_not_in_what_everybody_can_see() -> None:
    """Neither it nor the part that meters answer to is in the address."""
    with claim_meter(OURS):
        shown = Path("/proc/net/unix").read_text()
    assert "@hemsd-meter-" in shown
    assert OURS not in shown and OURS[-8:] not in shown
