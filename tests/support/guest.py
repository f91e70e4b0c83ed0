"""A whole machine, emulated, whose power can be cut and which a stick can be plugged into; root, and QEMU.

It boots Debian with hemsd's dependencies in /opt/hemsd, takes commands by way of a shared directory, and has no
network. All of it is emulated: no help of the hardware is asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.machine import CACHE, PROJECT, base_tree

BUILD = PROJECT / "tests/guest/build.sh"
BOOT_S = 240.0
COMMAND_S = 240.0
LOOK_S = 0.1
QEMU = {
    "amd64": ("qemu-system-x86_64", "-M", "q35", "-cpu", "max"),
    "arm64": ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"),
}
CONSOLE = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
STICK, SERIAL = "stick", "HEMSD001"


NEEDS = ("mmdebstrap", "systemd-nspawn", "qemu-system-x86_64", "qemu-img", "modprobe", "cpio")
"""Programs that it takes; of a foreign architecture, qemu-user and that architecture's QEMU as well."""


def architecture() -> str:
    """The one that the tests are to be run on: HEMSD_GUEST, amd64 or arm64."""
    return os.environ.get("HEMSD_GUEST", "amd64")


@dataclass(frozen=True)
class Image:
    """Kernel, initrd and disk of a guest, which are not written to."""

    architecture: str
    directory: Path


def image(architecture: str) -> Image:
    """The guest's image, made once (a minute; arm64: five) and kept under .cache."""
    tree = base_tree("trixie", "" if architecture == "amd64" else architecture)
    key = hashlib.sha256(f"{tree.name}\0{BUILD.read_text()}".encode()).hexdigest()[:12]
    directory = CACHE / f"guest-{architecture}-{key}"
    if not (directory / "disk.img").exists():
        copy = CACHE / f"guest-{architecture}-tree"
        subprocess.run(["rm", "-rf", copy], check=True)
        subprocess.run(["cp", "-a", tree, copy], check=True)
        subprocess.run([BUILD, copy, directory], check=True, timeout=900)
        subprocess.run(["rm", "-rf", copy], check=True)
    return Image(architecture, directory)


class Guest:
    """One machine with a disk of its own in `scratch`: boot it, cut its power, boot it again.

    `tty` is the far end of its USB stick. `share` is the directory that is /mnt/host inside.
    """

    def __init__(self, image: Image, scratch: Path, tty: Path) -> None:
        self.share = scratch / "share"
        self.share.mkdir()
        self._image = image
        self._scratch = scratch
        self._tty = tty
        self._disk = scratch / "disk.qcow2"
        self._console = scratch / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: _Monitor | None = None
        self._asked = 0
        backing = ["-b", image.directory / "disk.img", "-F", "raw"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, self._disk], check=True)

    def boot(self) -> None:
        """Switch it on and wait until it takes commands; the stick is not plugged in."""
        for left in ("up", "ask-*", "said-*", "code-*"):
            for each in self.share.glob(left):
                each.unlink()
        self._asked = 0
        control = self._scratch / "qmp"
        control.unlink(missing_ok=True)
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [*self._machine(), *_usb(self._tty, control)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self._until((self.share / "up").exists, BOOT_S, "boot")
        self._monitor = _Monitor(control)

    def cut(self) -> None:
        """Take the power away: what is not on its disk is lost. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            if self._monitor is not None:
                self._monitor.close()
                self._monitor = None

    def run(self, script: str, *, check: bool = True) -> str:
        """What a shell script says inside; it must succeed unless `check` is off."""
        self._asked += 1
        ask, said, code = (self.share / f"{name}-{self._asked}" for name in ("ask", "said", "code"))
        draft = ask.with_suffix(".part")
        draft.write_text(script)
        draft.rename(ask)
        self._until(code.exists, COMMAND_S, script)
        text = said.read_text(errors="replace").strip()
        if check and code.read_text().strip() != "0":
            raise AssertionError(f"{script}: {text}\n{self._last_words()}")
        return text

    def wait(self, what: str, happened: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until something happened inside; fails by name when it does not in time."""
        end = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {within_s} s\n{self._last_words()}")
            time.sleep(LOOK_S)

    def plug_in(self) -> None:
        """Push the USB stick in."""
        assert self._monitor is not None
        self._monitor.ask("device_add", driver="usb-serial", serial=SERIAL, chardev="wisun", id=STICK, bus="xhci.0")

    def pull_out(self) -> None:
        """Pull it out."""
        assert self._monitor is not None
        self._monitor.ask("device_del", id=STICK)

    def _machine(self) -> list[str]:
        directory, console = self._image.directory, CONSOLE[self._image.architecture]
        command = f"root=/dev/vda rw console={console} quiet systemd.show_status=0 panic=-1 net.ifnames=0"
        return [
            *QEMU[self._image.architecture],
            *("-accel", "tcg,thread=multi", "-smp", "2", "-m", "512", "-nographic", "-no-reboot", "-nic", "none"),
            *("-kernel", str(directory / "kernel"), "-initrd", str(directory / "initrd"), "-append", command),
            *("-drive", f"file={self._disk},if=virtio,format=qcow2", "-device", "virtio-rng-pci"),
            *("-virtfs", f"local,path={self.share},mount_tag=host,security_model=none"),
        ]

    def _until(self, happened: Callable[[], bool], longest_s: float, what: str) -> None:
        end = time.monotonic() + longest_s
        while not happened():
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                console = self._console.read_text(errors="replace")[-2000:]
                raise AssertionError(f"the guest does not come to an end with: {what}\n{console}")
            time.sleep(LOOK_S)

    def _last_words(self) -> str:
        return self.run("journalctl --no-pager -n 60 -o short-monotonic", check=False)


def _usb(tty: Path, control: Path) -> list[str]:
    return [
        *("-device", "qemu-xhci,id=xhci", "-chardev", f"serial,id=wisun,path={tty}"),
        *("-qmp", f"unix:{control},server=on,wait=off"),
    ]


class _Monitor:
    """QEMU's own control socket (QMP)."""

    def __init__(self, path: Path) -> None:
        here = os.open(path.parent, os.O_RDONLY)  # a path in a deep directory is too long for the kernel
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
        self._lines = connection.makefile("rw")
        connection.close()  # as soon as the file is
        self._lines.readline()
        self.ask("qmp_capabilities")

    def close(self) -> None:
        """Ask nothing more."""
        self._lines.close()

    def ask(self, command: str, **arguments: object) -> Any:
        """Have a command carried out."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer = json.loads(self._lines.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]
