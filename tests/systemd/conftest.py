from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine import base_tree, booted, install, overlay, wheel
from support.service import House, simulated_meter

SHARE = "opt/hemsd/lib/python3.11/site-packages/hemsd/share"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Debian 12 with this checkout installed from its wheel, its unit and its example configuration in place."""
    with overlay(base_tree("bookworm"), tmp_path_factory.mktemp("installed")) as root:
        package = wheel(tmp_path_factory.mktemp("wheel"))
        shutil.copy(package, root / "opt")
        install(root, "/opt/hemsd/bin/pip", "install", "--quiet", "--no-deps", "--no-index", f"/opt/{package.name}")
        shutil.copy(root / SHARE / "systemd/hemsd.service", root / "etc/systemd/system")
        (root / "etc/hemsd").mkdir()
        shutil.copy(root / SHARE / "config/hemsd.toml", root / "etc/hemsd")
        yield root


@pytest.fixture
def house(installed: Path, tmp_path: Path) -> Iterator[House]:
    """Booted, with the meter's credentials and its module at /dev/ttyUSB0; the service is not started yet."""
    (tmp_path / "machine").mkdir()
    with (
        simulated_meter() as meter,
        overlay(installed, tmp_path / "machine") as root,
        booted(root, f"--bind={meter.tty}:/dev/ttyUSB0") as machine,
    ):
        house = House(machine, meter)
        house.configure('[meter]\nport = "/dev/ttyUSB0"\n')
        house.give_credentials()
        yield house
