from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import run as run_virtually
from support.daemon import Listener

from hemsd.daemon.notify import ServiceManager, feed_watchdog


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"\0hemsd-test-{os.getpid()}"
    listener = Listener(address)
    yield listener
    listener.close()


def test_assignments_reach_the_manager(listener: Listener) -> None:
    """One datagram, one line per assignment, on paths and abstract names alike."""
    ServiceManager(listener.environ).tell("READY=1", "STATUS=waiting\nfor the meter")
    assert listener.heard() == ["READY=1\nSTATUS=waiting for the meter"]


def test_what_is_no_text_reaches_it_too(listener: Listener) -> None:
    """A name with bytes that are no UTF-8, in an error of the system, ends nobody."""
    ServiceManager(listener.environ).tell("STATUS=\udcff is away")
    assert listener.heard() == [r"STATUS=\udcff is away"]


def test_no_manager_is_fine(tmp_path: Path) -> None:
    """Started by hand nobody listens, and a manager that went away is no error."""
    ServiceManager({}).tell("READY=1")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")


def feedings(listener: Listener, overdue_s: float, for_s: float, **environ: str) -> int:
    manager = ServiceManager(listener.environ | environ)

    async def feed() -> None:
        try:
            await asyncio.wait_for(feed_watchdog(manager, lambda: overdue_s), for_s)
        except TimeoutError:
            return

    run_virtually(feed())
    return listener.heard().count("WATCHDOG=1")


def test_the_watchdog_is_fed_at_half_its_time(listener: Listener) -> None:
    """With 60 s to live, it is fed at 0, 30, 60 and 90 s."""
    assert feedings(listener, 0, 100, WATCHDOG_USEC="60000000") == 4


def test_an_overdue_machine_starves_the_watchdog(listener: Listener) -> None:
    """A protocol machine that misses its own deadline by more than ten seconds is stuck; systemd shall restart us."""
    assert feedings(listener, 10.0, 100, WATCHDOG_USEC="60000000") == 4
    assert feedings(listener, 10.1, 100, WATCHDOG_USEC="60000000") == 0


def test_a_watchdog_that_is_not_ours_is_left_alone(listener: Listener) -> None:
    """WATCHDOG_PID of another process, or no watchdog at all, means nothing to feed."""
    assert feedings(listener, 0, 100, WATCHDOG_USEC="60000000", WATCHDOG_PID="1") == 0
    assert feedings(listener, 0, 100) == 0
