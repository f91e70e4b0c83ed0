"""From a command line to a meter: configuration, credentials, port, and what is shown of the way there."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from drivers.module import Credentials
from drivers.ports import BytePort
from hemsd.cli.exits import Exit, GaveUp
from hemsd.daemon.config import Config, MeterTable, find_port, layout, load
from hemsd.daemon.instance import holder_of, meter_key
from hemsd.daemon.operator import find_operator_socket
from hemsd.daemon.state import StateError, find_state_directory, prepare
from hemsd.daemon.wires import open_wire
from hemsd.hub.profiles import check
from hemsd.routeb.cache import PanCache
from hemsd.routeb.meter import Meter
from hemsd.routeb.stages import Progress, Stage

AT_IT = "the daemon{} is at this meter: {}end it first (sudo systemctl stop hemsd.target hemsd-single.service)"
READ_THROUGH_IT = "leave out --port, --credentials and --interface to read through it, or "
Wrap = Callable[[BytePort, Credentials], BytePort]


@asynccontextmanager
async def meter_of(
    arguments: argparse.Namespace, config: Config, *, persist: bool = False, wrap: Wrap | None = None
) -> AsyncIterator[Meter]:
    """The meter that --port or --interface, --credentials and --config lead to, within --timeout.

    `wrap` may wrap a serial port.
    Raises GaveUp when the time is over, and everything that can be wrong on the way.
    """
    settings = _settings(arguments, config.meter)
    for each in check(layout(replace(config, meter=settings))):
        if each.final and each.where[0] == "meter":
            raise GaveUp(Exit.USAGE, each.text)
    if not settings.there:
        find_port(settings.port)  # says why
    if (pid := holder_of(meter_key(settings))) is not None:
        instead = READ_THROUGH_IT if arguments.command == "read" else ""
        raise GaveUp(Exit.PORT, AT_IT.format(f" (pid {pid})" if pid else "", instead))
    wire = await open_wire(settings)
    port = wire.port
    if wrap is not None and wire.credentials is not None:
        port = wrap(port, wire.credentials)
    with ProgressLine() as line:
        async with Meter(
            port, wire.credentials, cache=_cache(config), module=wire.module, on_progress=line.show, persist=persist
        ) as meter:
            try:
                async with asyncio.timeout(arguments.timeout) as deadline:
                    yield meter
            except TimeoutError:
                if not deadline.expired():
                    raise
                raise gave_up(meter, arguments.timeout) from None


def _settings(arguments: argparse.Namespace, configured: MeterTable) -> MeterTable:
    """As configured, but for what was named on the command line."""
    settings = configured
    if arguments.interface is not None:
        same = arguments.interface == configured.interface
        settings = replace(settings, interface=arguments.interface, port="auto", peer=settings.peer if same else None)
    if arguments.port is not None:
        settings = replace(settings, port=arguments.port, interface=None)
    if arguments.credentials is not None:
        settings = replace(settings, credentials=str(arguments.credentials))
    return settings


def config_of(arguments: argparse.Namespace) -> Config:
    """The configuration named on the command line, or the one there is, or the defaults. Raises ConfigError."""
    path: Path | None = arguments.config
    return load(path)


def configured_socket(arguments: argparse.Namespace) -> str:
    """Where the daemon of the configuration on the command line, or of the one there is, has its operator socket."""
    return str(find_operator_socket(config_of(arguments).daemon, state_directory(arguments)))


def state_directory(arguments: argparse.Namespace) -> Path:
    """Where the daemon of that configuration keeps what it remembers."""
    return find_state_directory(config_of(arguments).daemon.state_directory)


def gave_up(meter: Meter, after_s: float) -> GaveUp:
    """What to say, and with which exit code to end, when the time given by the user is over."""
    stage, doing = meter.status.stage, meter.status.detail
    exit = {Stage.OPENING.value: Exit.PORT, Stage.SCANNING.value: Exit.NOT_HEARD}.get(stage, Exit.TIMEOUT)
    return GaveUp(exit, f"gave up after {after_s:g} s while {doing or 'waiting for the meter'}")


def _cache(config: Config) -> PanCache | None:
    """The PAN remembered by earlier runs; the daemon's own where we may look into it."""
    try:
        return PanCache(prepare(find_state_directory(config.daemon.state_directory)))
    except StateError as error:
        print(f"hemsd: nothing will be remembered: {error}", file=sys.stderr)
        return None


class ProgressLine:
    """One line on a terminal that says what is being done now; silent where nobody looks."""

    def __init__(self) -> None:
        self._status: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("opening the port")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, progress: Progress) -> None:
        """Say it; once online, get out of the way of what is read."""
        if self._status is None:
            return
        if progress.stage is Stage.ONLINE:
            self._status.stop()
            return
        wait = f" (about {progress.expected_s:.0f} s)" if progress.expected_s else ""
        self._status.update(progress.text + wait)
        self._status.start()
