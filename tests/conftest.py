"""Hygiene for every test: skips name what is missing, and count as failures where HEMSD_NO_SKIP is set."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", derandomize=True, deadline=None, max_examples=200)
settings.register_profile(
    "soak", deadline=None, max_examples=3_000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("soak" if os.environ.get("HEMSD_SOAK") else "suite")

DEBIAN_PACKAGE = {
    "mosquitto": "mosquitto",
    "valgrind": "valgrind",
    "ip": "iproute2",
    "nft": "nftables",
    "systemd-nspawn": "systemd-container",
    "systemd-analyze": "systemd",
    "mmdebstrap": "mmdebstrap",
    "umockdev-wrapper": "umockdev",
    "node": "nodejs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "modprobe": "kmod",
    "psql": "postgresql",
}
NPM_PACKAGES = Path(__file__).parents[1] / ".cache/npm/node_modules"  # as tests/packages.sh installs them
_missing: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    """A daemon that runs on this machine is left alone, and those of the tests are not found by it."""
    own = tempfile.TemporaryDirectory(prefix="hemsd-tests-")
    config.add_cleanup(own.cleanup)
    os.environ["RUNTIME_DIRECTORY"] = own.name
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &`: what is started would not hear it either
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if program == "root":
                if os.geteuid() != 0:
                    pytest.skip("needs root")
            elif program == "echonet-lite":
                if not (NPM_PACKAGES / program).is_dir():
                    pytest.skip(f"needs npm's {program}, which tests/packages.sh installs")
            elif shutil.which(program) is None:
                package = DEBIAN_PACKAGE.get(program, program)
                _missing.add(package)
                pytest.skip(f"needs the Debian package {package}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and os.environ.get("HEMSD_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _missing:
        terminalreporter.section("skipped for want of packages")
        terminalreporter.line("apt install " + " ".join(sorted(_missing)))
