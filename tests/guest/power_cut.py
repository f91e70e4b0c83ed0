"""Cuts the power of a guest while history is written, some times, and looks what is left: ``make guest``.

Needs root and the Debian packages mmdebstrap, qemu-system-x86, qemu-utils, kmod and cpio. The guest is made once, in
.cache/guest. All of it is emulated: no help of the hardware is asked for.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).parents[2]
GUEST = PROJECT / ".cache/guest"
CUTS = 3
BOOT_S, CHECK_S = 240, 240
NEEDS = ("mmdebstrap", "qemu-system-x86_64", "qemu-img", "modprobe", "cpio", "mke2fs")


def main() -> int:
    """Exit status 1 where something that was acknowledged is not there once."""
    if missing := [program for program in NEEDS if shutil.which(program) is None]:
        print(f"not found: {', '.join(missing)}; apt install mmdebstrap qemu-system-x86 qemu-utils kmod cpio")
        return 2
    if not (GUEST / "initrd").exists():
        subprocess.run([PROJECT / "tests/guest/build.sh", GUEST], check=True)
    with TemporaryDirectory(prefix="hemsd-guest-") as scratch:
        share = shared(Path(scratch))
        disk = share.parent / "disk.qcow2"
        failed = 0
        for cut in range(CUTS):
            backing = ["-b", GUEST / "root.img", "-F", "raw"]
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, disk], check=True)
            print(f"cut {cut + 1}: {cut_off(share, disk, random.uniform(2, 15))}", flush=True)
            said = checked(share, disk)
            print(said)
            failed += "rc=0" not in said
    return 1 if failed else 0


def shared(scratch: Path) -> Path:
    """A directory that the guest sees: our code, and the one package that it needs for the guest's Python."""
    share = scratch / "share"
    share.mkdir()
    shutil.copytree(PROJECT / "hemsd", share / "hemsd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests/guest/inside.py", share)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wheel = ["--only-binary=:all:", "--python-version", guests_python(), "--target", share / "lib", "msgspec"]
    subprocess.run([*pip, *wheel], check=True)
    return share


def guests_python() -> str:
    """The version that Debian of this release has, which is the one in the guest."""
    told = subprocess.run(["apt-cache", "policy", "python3"], capture_output=True, text=True, check=True).stdout
    return ".".join(told.split("Candidate:")[1].split()[0].split(".")[:2])


def booted(share: Path, disk: Path) -> subprocess.Popen[bytes]:
    """The guest, under way."""
    (share / "out.txt").unlink(missing_ok=True)
    machine = [
        "qemu-system-x86_64",
        "-M",
        "q35",
        "-cpu",
        "max",
        "-accel",
        "tcg",
        "-m",
        "512",
        "-nographic",
        "-no-reboot",
    ]
    kernel = ["-kernel", GUEST / "kernel", "-initrd", GUEST / "initrd", "-append", "console=ttyS0 quiet panic=-1 rw"]
    drive = ["-drive", f"file={disk},if=virtio,format=qcow2", "-nic", "none", "-no-reboot"]
    host = ["-virtfs", f"local,path={share},mount_tag=host,security_model=none"]
    with (share.parent / "console.log").open("wb") as console:
        return subprocess.Popen(
            [*machine, *kernel, *drive, *host], stdin=subprocess.DEVNULL, stdout=console, stderr=console
        )


def cut_off(share: Path, disk: Path, after_s: float) -> str:
    """Let it write for a while, then take the power away: what the guest has not flushed is lost."""
    (share / "check").unlink(missing_ok=True)
    acknowledged = share / "acknowledged"
    acknowledged.unlink(missing_ok=True)
    process = booted(share, disk)
    try:
        wait(lambda: acknowledged.exists() and acknowledged.stat().st_size > 0, BOOT_S, share)
        time.sleep(after_s)
    finally:
        process.kill()
        process.wait()
    return f"power cut after {after_s:.1f} s, {acknowledged.read_text()} acknowledged"


def checked(share: Path, disk: Path) -> str:
    """Boot it again and let it look; what it said."""
    (share / "check").touch()
    process = booted(share, disk)
    try:
        process.wait(CHECK_S)
    finally:
        process.kill()
        process.wait()
    return (share / "out.txt").read_text().strip()


def wait(happened: Callable[[], bool], longest_s: float, share: Path) -> None:
    end = time.monotonic() + longest_s
    while not happened():
        if time.monotonic() > end:
            raise SystemExit(f"the guest does not start:\n{(share.parent / 'console.log').read_text()[-2000:]}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
