"""hemsd as a service on a throw-away machine, with a simulated meter behind a tty."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.machine import Machine

SINGLE = "hemsd-single.service"
TARGET = "hemsd.target"
HUB, ROUTEB, GATEWAY = "hemsd.service", "hemsd-routeb.service", "hemsd-gateway.service"
SYSTEM = "usr/local/lib/systemd/system"
MODULE = "/dev/ttyUSB0"  # in the machine, where udev would have called it /dev/hemsd-wisun


@dataclass(frozen=True)
class SimulatedMeter:
    """A module on a pty of this machine, and the credentials of the meter behind it."""

    tty: Path
    id: str
    password: str

    @property
    def credentials(self) -> str:
        """What is in the file."""
        return f'id = "{self.id}"\npassword = "{self.password}"\n'

    def forget_its_user(self) -> None:
        """Let go of TIOCEXCL, as a real device does when a process that had it dies: a pty has another end open."""
        descriptor = os.open(self.tty, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(descriptor, termios.TIOCNXCL)
        os.close(descriptor)


def group_number(root: Path, name: str) -> int:
    """The number of a group in a tree."""
    lines = (root / "etc/group").read_text().splitlines()
    return next(int(line.split(":")[2]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def simulated_meter(group: int) -> Iterator[SimulatedMeter]:
    """A meter and its module, on a tty that this group may open, as the udev rule would have it."""
    command = [sys.executable, "-m", "hemsd.simulator", "--fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            told = tomllib.loads("".join(simulator.stdout.readline() for _ in ("port", "id", "password")))
            tty = Path(told["port"]).resolve()
            os.chown(tty, -1, group)
            tty.chmod(0o660)
            yield SimulatedMeter(tty, told["id"], told["password"])
        finally:
            simulator.terminate()


def sandbox(unit: str, program: str, *loosened: str) -> str:
    """A unit that runs a Python program once within what confines the one of this text: same user, state, secrets.

    Lines that loosen the sandbox come last, so that they count.
    """
    unlike = ("ExecStart=", "Type=", "Restart", "WatchdogSec=", "RuntimeDirectory")
    kept = [line for line in unit.splitlines() if not line.startswith(unlike)]
    at = kept.index("[Service]") + 1
    probe = ["Type=oneshot", f"ExecStart=/opt/hemsd/bin/python {program}"]
    return "\n".join([*kept[:at], *probe, *kept[at:], *loosened])


class House(Machine):
    """The machine with the service on it, as one unit or as a target of several, and perhaps a meter."""

    def __init__(self, machine: Machine, meter: SimulatedMeter, unit: str = SINGLE) -> None:
        super().__init__(machine.root, machine.init)
        self.meter = meter
        self.unit = unit
        self.run("ln", "-s", MODULE, "/dev/hemsd-wisun")

    def configure(self, text: str) -> None:
        """Write the configuration."""
        (self.root / "etc/hemsd/hemsd.toml").write_text(f"version = 1\n{text}")

    def give_credentials(self) -> None:
        """Write the credentials file as root would."""
        path = self.root / "etc/hemsd/credentials.toml"
        path.touch(0o600)
        path.write_text(self.meter.credentials)

    def override(self, text: str, unit: str = SINGLE) -> None:
        """Change a unit as `systemctl edit` would."""
        directory = self.root / f"etc/systemd/system/{unit}.d"
        directory.mkdir(exist_ok=True)
        (directory / "override.conf").write_text(text)
        self.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start the service; returns when it is ready."""
        self.run("systemctl", "start", self.unit)

    def wait_online(self, unit: str = SINGLE) -> None:
        """Until `systemctl status` shows a reading."""
        self.wait("reading", lambda: self.show(unit, "StatusText").startswith("online, "))

    @property
    def main_pid(self) -> str:
        """Within the machine."""
        return self.pid(self.unit)

    def pid(self, unit: str) -> str:
        """The main process of a unit, within the machine."""
        return self.show(unit, "MainPID")

    def owner(self, unit: str) -> tuple[str, str]:
        """The user and the group that a unit runs as."""
        user, group = self.run("stat", "-c", "%U %G", f"/proc/{self.pid(unit)}").split()
        return user, group

    def confined(self, unit: str, program: str, *loosened: str) -> str:
        """What a Python program prints in the sandbox of a unit; lines that loosen it count."""
        directory = self.root / "etc/systemd/system"
        name = f"probe{len(list(directory.glob('probe*')))}-{unit}"
        text = sandbox((self.root / SYSTEM / unit).read_text(), program, *loosened)
        (directory / name).write_text(text)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", name)
        return self.journal(name)
