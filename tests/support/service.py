"""hemsd as a service on a throw-away machine, with a simulated meter behind a tty."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import termios
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.machine import Machine

UNIT = "hemsd.service"
DIALOUT = 20  # Debian's fixed number of the group


@dataclass(frozen=True)
class SimulatedMeter:
    """A module on a pty of this machine, and the credentials of the meter behind it."""

    tty: Path
    id: str
    password: str

    def forget_its_user(self) -> None:
        """Let go of TIOCEXCL, as a real device does when a process that had it dies: a pty has another end open."""
        descriptor = os.open(self.tty, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(descriptor, termios.TIOCNXCL)
        os.close(descriptor)


@contextmanager
def simulated_meter() -> Iterator[SimulatedMeter]:
    command = [sys.executable, "-m", "hemsd.simulator", "--fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            told = tomllib.loads("".join(simulator.stdout.readline() for _ in ("port", "id", "password")))
            tty = Path(told["port"]).resolve()
            shutil.chown(tty, group=DIALOUT)
            tty.chmod(0o660)
            yield SimulatedMeter(tty, told["id"], told["password"])
        finally:
            simulator.terminate()


class House(Machine):
    """The machine with the service on it, and perhaps a meter."""

    def __init__(self, machine: Machine, meter: SimulatedMeter) -> None:
        super().__init__(machine.root, machine.init)
        self.meter = meter

    def configure(self, text: str) -> None:
        """Write the configuration."""
        (self.root / "etc/hemsd/hemsd.toml").write_text(f"version = 1\n{text}")

    def give_credentials(self) -> None:
        """Write the credentials file as root would."""
        path = self.root / "etc/hemsd/credentials.toml"
        path.touch(0o600)
        path.write_text(f'id = "{self.meter.id}"\npassword = "{self.meter.password}"\n')

    def override(self, text: str) -> None:
        """Change the unit as `systemctl edit` would."""
        directory = self.root / f"etc/systemd/system/{UNIT}.d"
        directory.mkdir(exist_ok=True)
        (directory / "override.conf").write_text(text)
        self.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start the service; returns when it is ready."""
        self.run("systemctl", "start", UNIT)

    def wait_online(self) -> None:
        """Until `systemctl status` shows a reading."""
        self.wait("reading", lambda: self.show(UNIT, "StatusText").startswith("online, "))

    @property
    def main_pid(self) -> str:
        """Within the machine."""
        return self.show(UNIT, "MainPID")
