from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.machine import base_tree, booted, install, overlay, wheel
from support.service import MODULE, SINGLE, SYSTEM, TARGET, House, group_number, simulated_meter

SHARE = "opt/hemsd/lib/python3.11/site-packages/hemsd/share"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Debian 12 with this checkout installed from its wheel, its users, units and example configuration in place."""
    with overlay(base_tree("bookworm"), tmp_path_factory.mktemp("installed")) as root:
        package = wheel(tmp_path_factory.mktemp("wheel"))
        shutil.copy(package, root / "opt")
        install(root, "/opt/hemsd/bin/pip", "install", "--quiet", "--no-deps", "--no-index", f"/opt/{package.name}")
        (root / SYSTEM).mkdir(parents=True)
        shipped = root / SHARE / "systemd"
        for kind in ("service", "socket", "target", "timer"):
            for unit in shipped.glob(f"*.{kind}"):
                shutil.copy(unit, root / SYSTEM)
        for name in ("sysusers", "tmpfiles"):
            (root / f"usr/local/lib/{name}.d").mkdir()
            shutil.copy(shipped / f"{name}.conf", root / f"usr/local/lib/{name}.d/hemsd.conf")
        install(root, "systemd-sysusers", "hemsd.conf")
        install(root, "systemd-tmpfiles", "--create", "hemsd.conf")
        shutil.copy(root / SHARE / "config/hemsd.toml", root / "etc/hemsd")
        yield root


@contextmanager
def house_of(installed: Path, directory: Path, unit: str) -> Iterator[House]:
    """Booted, with the meter's credentials and its module; beside it a serial port that is somebody else's."""
    directory.mkdir()
    ours, theirs = os.openpty()
    os.chown(other := os.ttyname(theirs), -1, group_number(installed, "dialout"))
    Path(other).chmod(0o660)
    try:
        with (
            simulated_meter(group_number(installed, "hemsd-routeb")) as meter,
            overlay(installed, directory) as root,
            booted(root, f"--bind={meter.tty}:{MODULE}", f"--bind={other}:/dev/ttyUSB1") as machine,
        ):
            house = House(machine, meter, unit)
            house.configure("")
            house.give_credentials()
            yield house
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture
def house(installed: Path, tmp_path: Path) -> Iterator[House]:
    """One process for everything; the service is not started yet."""
    with house_of(installed, tmp_path / "machine", SINGLE) as house:
        yield house


@pytest.fixture
def three(installed: Path, tmp_path: Path) -> Iterator[House]:
    """Three processes for three worlds; not started yet."""
    with house_of(installed, tmp_path / "machine", TARGET) as house:
        yield house
