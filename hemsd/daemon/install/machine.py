"""What `hemsd install` has to know of a machine; looking changes nothing."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hemsd
from drivers.interface import Interface, default_interface, physical_interfaces
from drivers.interface import look as look_at
from drivers.usb import PortInfo, list_ports
from hemsd.daemon.config import SYSTEM_FILE as CONFIGURATION
from hemsd.daemon.config import UDEV_NAME
from hemsd.daemon.install.places import (
    APART,
    ASKERS,
    BROKER_PASSWORD,
    COMMAND,
    DROP_INS,
    FIREWALL,
    MADE,
    OWN_RULE,
    RULES,
    SECRETS,
    SINGLE,
    STATE,
    SYSUSERS,
    TARGET,
    TMPFILES,
    UNITS,
    USERS,
    share_directory,
)
from hemsd.daemon.places import system_path

TOOLS = ("systemctl", "systemd-creds", "systemd-sysusers", "systemd-tmpfiles", "udevadm", "usermod")
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - ProtectHome=, PrivateTmp=
ASK_S = 20.0  # for systemctl to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a machine is now, as far as it matters here."""

    root: bool  # whether we may do anything
    booted: bool  # by systemd, so that units can be started
    command: Path  # hemsd itself, as the units will call it
    interpreter: Path  # every link followed
    memory_mb: int
    tools: frozenset[str]
    ports: tuple[PortInfo, ...]
    interfaces: tuple[Interface, ...]  # with hardware behind them
    lan: str | None  # the one that the default route leads over
    users: frozenset[str]  # of ours
    files: Mapping[Path, bytes]  # ours, the configuration and the person's rule, as they are
    there: frozenset[Path]  # of files with secrets, directories, and others that matter
    link: Path | None  # what /usr/local/bin/hemsd leads to; itself where it is no link
    enabled: frozenset[str]
    active: frozenset[str]
    outdated: bool  # what is active was started before the newest of its files was written
    askers: frozenset[str]  # people who may ask the daemon
    person: str | None  # who called sudo

    @property
    def trouble(self) -> str | None:
        """Why the service could not run from where hemsd is, in words for a person."""
        for path in (self.command, self.interpreter):
            if any(path.is_relative_to(place) for place in HIDDEN):
                return (
                    f"{path} is where the service may not look. Have hemsd in a place for everyone:\n"
                    "  sudo /usr/bin/python3 -m venv /opt/hemsd\n"
                    f"  sudo /opt/hemsd/bin/pip install {pip_name()}\n"
                    "  sudo /opt/hemsd/bin/hemsd install"
                )
        if "systemctl" not in self.tools:
            return "this machine has no systemd; start `hemsd run` in your own way"
        return None


def look() -> Machine:
    """How this machine is now. Raises OSError."""
    tools = frozenset(name for name in TOOLS if shutil.which(name, path=system_path()))
    booted = Path("/run/systemd/system").is_dir()
    if booted and not Path("/run/udev/control").exists():  # a container: no udevd that could be told anything
        tools -= {"udevadm"}
    files = {path: path.read_bytes() for path in _files() if path.is_file()}
    active = frozenset(unit for unit in (TARGET, SINGLE) if booted and _systemctl("is-active", unit, tools))
    return Machine(
        root=os.geteuid() == 0,
        booted=booted,
        command=Path(sys.prefix) / "bin/hemsd",
        interpreter=Path(sys.executable).resolve(),
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        tools=tools,
        ports=tuple(list_ports()),
        interfaces=tuple(found for name in physical_interfaces() if (found := look_at(name)) is not None),
        lan=default_interface(),
        users=frozenset(name for name in USERS if _has_user(name)),
        files=files,
        there=frozenset(path for path in _others() if os.path.lexists(path)),
        link=COMMAND.readlink() if COMMAND.is_symlink() else COMMAND if COMMAND.exists() else None,
        enabled=frozenset(unit for unit in (TARGET, SINGLE) if _systemctl("is-enabled", unit, tools)),
        active=active,
        outdated=any(_started(unit) < int(_written(files)) for unit in active),
        askers=_members(ASKERS),
        person=os.environ.get("SUDO_USER"),
    )


def pip_name() -> str:
    """What pip takes to install this hemsd elsewhere."""
    share = share_directory()
    return str(share) if (share / "pyproject.toml").exists() else "hemsd"


def _files() -> Iterator[Path]:
    yield from UNITS.glob("hemsd*")
    yield from (SYSUSERS, TMPFILES, RULES, CONFIGURATION, OWN_RULE)


def _others() -> Iterator[Path]:
    yield from (
        *SECRETS,
        BROKER_PASSWORD,
        CONFIGURATION.parent,
        *STATE,
        *APART,
        *APART.values(),
        *MADE,
        FIREWALL,
        UDEV_NAME,
    )
    yield from DROP_INS.glob("hemsd*")


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _systemctl(question: str, unit: str, tools: frozenset[str]) -> bool:
    if "systemctl" not in tools:
        return False
    command = ["systemctl", question, "--quiet", unit]
    return subprocess.run(command, capture_output=True, timeout=ASK_S, check=False).returncode == 0


def _started(unit: str) -> int:
    """When, in seconds since 1970; 0 where that is not told."""
    command = ["systemctl", "show", "--timestamp=unix", "--property=ActiveEnterTimestamp", "--value", unit]
    told = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False).stdout
    return int(told[1:]) if told.startswith("@") else 0


def _written(files: Iterable[Path]) -> float:
    """When the newest of these, or the program itself, was written."""
    return max(path.stat().st_mtime for path in (Path(hemsd.__file__).parent, *files))


def _members(group: str) -> frozenset[str]:
    try:
        return frozenset(grp.getgrnam(group).gr_mem)
    except KeyError:
        return frozenset()
