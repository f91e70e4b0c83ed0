from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from support.guest import Guest, architecture, image
from support.machine import wheel
from support.service import SimulatedMeter, simulated_meter


@pytest.fixture(scope="module")
def meter() -> Iterator[SimulatedMeter]:
    """What is at the far end of the USB stick."""
    with simulated_meter(os.getegid()) as meter:
        yield meter


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory, meter: SimulatedMeter) -> Iterator[Guest]:
    """One machine for all tests, booted; nothing is plugged in."""
    guest = Guest(image(architecture()), tmp_path_factory.mktemp("guest"), meter.tty)
    try:
        guest.boot()
        yield guest
    finally:
        guest.cut()


@pytest.fixture(scope="module")
def installed(guest: Guest, meter: SimulatedMeter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """hemsd from its wheel, with its stick plugged in; gives what the installer said."""
    shutil.copy(wheel(tmp_path_factory.mktemp("wheel")), guest.share)
    guest.run("/opt/hemsd/bin/pip install --quiet --no-deps --no-index /mnt/host/hemsd-*.whl")
    guest.plug_in()
    guest.run(f"umask 077; printf '%s' '{meter.credentials}' >/root/credentials.toml")
    said = guest.run(
        "udevadm wait --timeout=30 /dev/ttyUSB0 &&"
        " /opt/hemsd/bin/hemsd install --yes --three --port /dev/ttyUSB0 --credentials /root/credentials.toml"
    )
    guest.run("rm /root/credentials.toml")
    return said
