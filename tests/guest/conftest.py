from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guest import Guest, architecture, image
from support.service import simulated_meter


@pytest.fixture(scope="session")
def tty() -> Iterator[str]:
    """The far end of the USB stick: a simulated module with its meter."""
    with simulated_meter() as meter:
        yield meter.tty


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory, tty: str) -> Iterator[Guest]:
    """One machine for all tests, booted; nothing is plugged in."""
    guest = Guest(image(architecture()), tmp_path_factory.mktemp("guest"))
    try:
        guest.boot(tty)
        yield guest
    finally:
        guest.cut()
