"""Plugging in and pulling out, with udev's events and without; each scenario in a process under umockdev-wrapper."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.clock import run as run_virtually
from support.daemon import Listener
from support.drivers import pseudo_terminal
from support.fakeusb import Adapter, MockMachine

from drivers import usb
from drivers.usb import guess_port, plugged
from hemsd.daemon import run as daemon
from hemsd.daemon import supervision
from hemsd.daemon.config import load
from hemsd.simulator import Household, Meter, Network, SkModule, Timing
from hemsd.simulator.pty import serve_on_pty

NEVER_S = 100_000.0
SOON_S = 10.0  # of a machine that has other things to do


class Expected:
    """plugged(), awaited in the background."""

    def __init__(self, find: Callable[[], str]) -> None:
        self._task = asyncio.create_task(plugged(find))

    async def still_waits(self) -> None:
        await asyncio.sleep(0.1)
        assert not self._task.done()

    async def returns(self) -> None:
        await asyncio.wait_for(self._task, SOON_S)


async def it_comes() -> None:
    """By its stable name, by the udev rule's, by the kernel's, and as the only likely port."""
    stick = Adapter(MockMachine())
    for find in (lambda: stick.by_id, lambda: "/dev/hemsd-wisun", lambda: "/dev/ttyUSB3", guess_port):
        with pseudo_terminal() as pty:
            expected = Expected(find)
            await expected.still_waits()
            stick.plug_in(pty.path, "ttyUSB3", links=("/dev/hemsd-wisun",))
            await expected.returns()
            stick.unplug()


async def it_goes_and_comes() -> None:
    """Again and again, the same node or another: the one that is about to go is not taken for the one awaited."""
    stick = Adapter(MockMachine())
    for node, after in itertools.pairwise(("ttyUSB0", "ttyUSB0", "ttyUSB1", "ttyUSB0")):
        with pseudo_terminal() as old, pseudo_terminal() as new:
            stick.plug_in(old.path, node)
            expected = Expected(lambda: stick.by_id)  # reading has failed; udev has said nothing yet
            await expected.still_waits()
            old.hang_up()
            stick.unplug()
            await expected.still_waits()
            stick.plug_in(new.path, after)
            await expected.returns()
            stick.unplug()


async def others_come() -> None:
    """Another stick is not the one awaited; of two that could be it none is, until one is pulled out again."""
    bed = MockMachine()
    ours, other = Adapter(bed), Adapter(bed, socket="1-2", serial="DM00OTHER")
    with pseudo_terminal() as one, pseudo_terminal() as two:
        by_name = Expected(lambda: ours.by_id)
        other.plug_in(one.path, "ttyUSB0")
        await by_name.still_waits()
        ours.plug_in(two.path, "ttyUSB1")
        await by_name.returns()
        likely = Expected(guess_port)
        await likely.still_waits()
        other.unplug()
        await likely.returns()


def _module() -> SkModule:
    return SkModule("DUAL", Meter(Household(1), start=datetime(2026, 10, 1)), Network(), timing=Timing.fast())


CONFIG = """version = 1
daemon.state_directory = "state"
meter.credentials = "credentials.toml"
meter.port = "{port}"
"""


@asynccontextmanager
async def _daemon(port: str) -> AsyncIterator[Callable[[str], Coroutine[Any, Any, None]]]:
    """The daemon on this port, in this process; gives what waits for words in its status."""
    with TemporaryDirectory() as directory:
        network, listener = Network(), Listener(f"{directory}/notify")
        credentials, file = Path(directory, "credentials.toml"), Path(directory, "hemsd.toml")
        credentials.touch(0o600)
        credentials.write_text(f'id = "{network.route_b_id}"\npassword = "{network.password}"\n')
        file.write_text(CONFIG.format(port=port))
        running = asyncio.create_task(daemon.run(load(file, {}), listener.environ))

        async def says(words: str) -> None:
            async with asyncio.timeout(SOON_S):
                while not any(words in message for message in listener.heard()):
                    await asyncio.sleep(0.01)

        try:
            yield says
        finally:
            running.cancel()
            await asyncio.wait([running])
            listener.close()


async def the_daemon_follows() -> None:
    """The whole daemon: online soon after each plugging in, whichever of line and udev tells of the end first."""
    supervision.FIRST_DELAY_S = supervision.LONGEST_DELAY_S = NEVER_S
    stick = Adapter(MockMachine())
    async with _daemon(stick.by_id) as says:
        await says("is the module plugged in?")
        for node, line_first in (("ttyUSB0", True), ("ttyUSB0", False), ("ttyUSB1", True), ("ttyUSB0", True)):
            async with serve_on_pty(_module(), paced=False) as path:
                stick.plug_in(os.path.realpath(path), node)
                await says("STATUS=online")
                if not line_first:
                    stick.unplug()
                    await asyncio.sleep(0.1)
            await says("went away")
            if line_first:
                stick.unplug()
            await asyncio.sleep(0.1)


SCENARIOS = {
    scenario.__name__: scenario for scenario in (it_comes, it_goes_and_comes, others_come, the_daemon_follows)
}


@pytest.mark.needs("umockdev-wrapper")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_udev_tells(scenario: str) -> None:
    """As the scenario says; nobody looks by himself meanwhile."""
    command = ["umockdev-wrapper", sys.executable, __file__, scenario]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("broken", ["import", "netlink"])
def test_without_udev_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """No libudev, or a sandbox without netlink: found within 5 s; one that may not be opened yet is left alone."""
    if broken == "import":
        monkeypatch.setitem(sys.modules, "pyudev", None)
    else:
        import pyudev

        def refused(*_: object) -> None:
            raise OSError("Could not create udev monitor")

        monkeypatch.setattr(pyudev.Monitor, "from_netlink", refused)

    async def main() -> None:
        loop, link = asyncio.get_running_loop(), tmp_path / "wisun"
        with pseudo_terminal() as pty:
            waiting = asyncio.create_task(plugged(lambda: str(link)))
            await asyncio.sleep(12)
            (tmp_path / "file").touch()
            link.symlink_to(tmp_path / "file")
            await asyncio.sleep(10)
            assert not waiting.done()
            link.unlink()
            link.symlink_to(pty.path)
            with monkeypatch.context() as closed:
                closed.setattr(os, "access", lambda path, mode: False)
                await asyncio.sleep(10)
                assert not waiting.done()
            changed = loop.time()
            await waiting
            assert loop.time() - changed <= usb.LOOK_S

    run_virtually(main())


if __name__ == "__main__":
    usb.LOOK_S = NEVER_S
    asyncio.run(SCENARIOS[sys.argv[1]]())
