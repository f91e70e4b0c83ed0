"""Machines and kits to plan an installation for, without a machine."""

from __future__ import annotations

import re
from ipaddress import IPv4Interface
from pathlib import Path

from drivers.interface import Interface
from drivers.usb import PortInfo
from hemsd.daemon.install.machine import TOOLS, Machine
from hemsd.daemon.install.places import RULES, SYSUSERS, TMPFILES, UNITS, Kit

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "config/hemsd.toml").read_text("utf-8")
RULE = (ROOT / "systemd/60-hemsd.rules").read_bytes()
THREE, ONE = UNITS / "hemsd.target", UNITS / "hemsd-single.service"

KIT = Kit(
    files={
        THREE: b"[Unit]\n",
        ONE: b"[Unit]\n",
        RULES: RULE,
        SYSUSERS: b"u hemsd\n",
        TMPFILES: b"d /etc/hemsd\n",
    },
    configuration=CONFIGURATION,
    wifi="[Service]\nRestrictNetworkInterfaces=wlan1\n",
)


def interface(name: str, *addresses: str, running: bool = True) -> Interface:
    """A network interface with IPv4 addresses."""
    return Interface(name, 2, running, running, "fe80::1", (), tuple(map(IPv4Interface, addresses)))


# As fresh as Debian comes, seen by root.
FRESH = Machine(
    root=True,
    booted=True,
    command=Path("/opt/hemsd/bin/hemsd"),
    interpreter=Path("/usr/bin/python3.11"),
    memory_mb=4096,
    tools=frozenset(TOOLS),
    ports=(),
    interfaces=(interface("eth0", "192.168.1.10/24"),),
    lan="eth0",
    users=frozenset(),
    files={},
    there=frozenset(),
    link=None,
    enabled=frozenset(),
    active=frozenset(),
    outdated=False,
    askers=frozenset(),
    person=None,
)


def usb(
    path: str, product: str = "FTDI FT230X Basic UART", serial: str | None = "DM00ABCD", *, likely: bool = True
) -> PortInfo:
    """A USB serial port."""
    by_id = (
        f"/dev/serial/by-id/usb-{re.sub('[^A-Za-z0-9]', '_', serial)}-if00-port0" if serial else None
    )  # as udev does
    return PortInfo(path, by_id, product, 0x0403, 0x6015, serial, likely, None)


GPIO = PortInfo("/dev/ttyAMA0", None, "UART on the pin header", None, None, None, True, None)
