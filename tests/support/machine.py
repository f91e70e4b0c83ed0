"""A throw-away Debian machine with a real systemd, booted in half a second by systemd-nspawn (root)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache/machine"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
STEP_S = 60.0  # no single step takes longer; most take well under one second
PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "nftables", "python3-venv")


def base_tree(release: str, architecture: str = "") -> Path:
    """A Debian tree with hemsd's dependencies in /opt/hemsd, built once (half a minute) and kept under .cache.

    It is of this machine's architecture, or of a foreign one that the kernel can run by qemu-user.
    """
    recipe = PROJECT / "tests/tree.sh"
    dependencies: list[str] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    key = hashlib.sha256("\0".join([recipe.read_text(), *PACKAGES, *dependencies]).encode()).hexdigest()[:12]
    kind = f"{release}-{architecture}" if architecture else release
    tree = CACHE / f"{kind}-{key}"
    if not tree.exists():
        raw = CACHE / f"{kind}-raw"
        subprocess.run(["rm", "-rf", raw], check=True, timeout=STEP_S)
        environ = os.environ | ({"ARCHITECTURE": architecture} if architecture else {})
        subprocess.run([recipe, release, raw, *PACKAGES], check=True, timeout=900, env=environ)
        install(raw, "python3", "-m", "venv", "/opt/hemsd")
        install(raw, "/opt/hemsd/bin/pip", "install", "--quiet", *dependencies)
        raw.rename(tree)
    return tree


def install(tree: Path, *command: str) -> None:
    """Run one command inside a tree that is not booted, with this machine's network and package index."""
    settings = {"SSL_CERT_FILE": CERTIFICATES, "PIP_CERT": CERTIFICATES, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if index := os.environ.get("PIP_INDEX_URL"):
        settings["PIP_INDEX_URL"] = index
    container = ["systemd-nspawn", "--quiet", f"--directory={tree}", "--register=no", "--keep-unit", "--as-pid2"]
    environment = [f"--setenv={name}={value}" for name, value in settings.items()]
    finished = subprocess.run(
        [*container, "--console=pipe", *environment, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr


def wheel(directory: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, PROJECT]
    subprocess.run(command, check=True, timeout=STEP_S)
    return next(directory.glob("*.whl"))


@contextlib.contextmanager
def overlay(base: Path, directory: Path) -> Iterator[Path]:
    """A copy of a tree that costs nothing and leaves nothing behind."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True, timeout=STEP_S)
    try:
        upper, work, root = (directory / name for name in ("upper", "work", "root"))
        for each in (upper, work, root):
            each.mkdir()
        options = f"lowerdir={base},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True, timeout=STEP_S)
        try:
            yield root
        finally:
            subprocess.run(["umount", root], check=True, timeout=STEP_S)
    finally:
        subprocess.run(["umount", directory], check=True, timeout=STEP_S)


class Machine:
    """The booted container. `root` is its file system seen from outside."""

    def __init__(self, root: Path, init: int) -> None:
        self.root = root
        self.init = init

    @property
    def enter(self) -> list[str]:
        """What makes a command one that runs inside."""
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return what it wrote; it must succeed unless `check` is off."""
        environ = {name: value for name, value in os.environ.items() if name != "RUNTIME_DIRECTORY"}  # of out here
        finished = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, timeout=STEP_S, env=environ
        )
        if check and finished.returncode != 0:
            raise AssertionError(f"{command}: {finished.stdout}{finished.stderr}\n{self._last_words()}")
        return (finished.stdout + finished.stderr).strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit)

    def journal(self, unit: str) -> str:
        """What a unit, and systemd about it, wrote."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def wait(self, what: str, happened: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait until something happened inside; fails by name when it does not in time."""
        end = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {within_s} s\n{self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        return self.run("journalctl", "--no-pager", "-n60", "-o", "short-monotonic", check=False)


@contextlib.contextmanager
def booted(root: Path, *options: str) -> Iterator[Machine]:
    """Boot a tree on a network of its own; power it off at the end."""
    ours, theirs = pty.openpty()  # a container that boots wants a console
    command = ["systemd-nspawn", "--quiet", f"--directory={root}", "--boot", "--register=no", "--keep-unit"]
    container = subprocess.Popen(
        [*command, "--private-network", *options, "systemd.show_status=0"],  # nobody reads that console
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        machine = Machine(root, _init_of(container))
        settled = ("running", "degraded")  # some units of Debian mind living in a container
        machine.wait("boot", lambda: machine.run("systemctl", "is-system-running", check=False) in settled)
        yield machine
        machine.run("systemctl", "poweroff", check=False)
        container.wait(STEP_S)
    finally:
        container.kill()
        container.wait()
        os.close(ours)


def _init_of(container: subprocess.Popen[bytes]) -> int:
    """The process id, outside, of the container's init: the child that is number 1 inside."""
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
    end = time.monotonic() + STEP_S
    while True:
        for child in children.read_text().split():
            with contextlib.suppress(OSError):  # a helper of nspawn that has just ended
                if "\nNSpid:\t" + child + "\t1\n" in Path(f"/proc/{child}/status").read_text():
                    return int(child)
        assert container.poll() is None, "the container did not start"
        assert time.monotonic() < end, "the container did not start in time"
        time.sleep(0.02)
