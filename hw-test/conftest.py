"""Options for tests on a real module: pytest hw-test --port /dev/ttyUSB0 --credentials credentials.toml."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hemsd hardware in the loop")
    group.addoption("--port", help="a real module's serial port; without it only published captures are played")
    group.addoption("--credentials", type=Path, help="TOML file with the Route B id and password, to join the meter")
    group.addoption("--record", type=Path, default=Path("dialogue.txt"), help="where the masked dialogue is written")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs a module is not there to be skipped where none is named."""
    return True if collection_path.name == "test_module.py" and config.getoption("--port") is None else None
