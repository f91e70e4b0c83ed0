"""The daemon: one part of the house or all of it in this process, under supervision, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

from hemsd.daemon import logs
from hemsd.daemon.config import Config
from hemsd.daemon.instance import AlreadyRunning
from hemsd.daemon.notify import ServiceManager, feed_watchdog
from hemsd.daemon.parts import Part, Process, Start, assemble
from hemsd.daemon.state import StateError
from hemsd.daemon.supervision import KeepsFailing

STOP_S = 4.5  # after a signal everything has ended within 5 s, whatever the kernel thinks of closing a port
METERS: tuple[Part | None, ...] = (None, "routeb")  # the processes that read one
STOPPED, FAILED, ALREADY_RUNNING = 0, 1, 75  # exit codes; 75 is EX_TEMPFAIL of sysexits.h

log = logging.getLogger(__name__)


class _Stop(Exception):
    """A signal asked us to end."""


def serve(config: Config, part: Part | None = None) -> int:
    """Run the daemon as this process; returns its exit code. Within 5 s of a signal the process has ended.

    The guard outlives the event loop, which waits for threads at its end: a name that does not resolve, a port that
    does not close.
    """
    code = FAILED
    overtime = threading.Timer(STOP_S, lambda: os._exit(code))
    overtime.daemon = True

    async def main() -> int:
        nonlocal code
        code = await run(config, part=part, on_stop=overtime.start)
        if not overtime.is_alive():
            overtime.start()
        return code

    try:
        with asyncio.Runner(loop_factory=loop_factory(part)) as runner:
            return runner.run(main())
    finally:
        overtime.cancel()


def loop_factory(part: Part | None) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop's where the meter is read, as far as it is to be had for this machine.

    A reading takes a quarter less work on it. Elsewhere it would only cost memory.
    """
    if part in METERS:
        with suppress(ImportError):
            from uvloop import new_event_loop

            return new_event_loop
    return asyncio.new_event_loop


async def run(
    config: Config,
    environ: Mapping[str, str] = os.environ,
    *,
    part: Part | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> int:
    """Run until SIGTERM or SIGINT (0), until something keeps failing (1), or not at all beside another daemon (75).

    Without a part everything runs here. To be run in the main thread. The service manager hears READY as soon as
    everything is under way, whether or not the meter, the hub or the broker answers. Logs go to standard error unless
    they were set up before.
    """
    logs.set_up(config.daemon.log_level, environ=environ)
    manager = ServiceManager(environ)
    try:
        with ExitStack() as held:
            return await _run(assemble(Start(config, environ, manager, held), part), manager, on_stop)
    except AlreadyRunning as error:
        log.error("%s", error)
        return ALREADY_RUNNING
    except StateError as error:
        log.error("%s", error)
        return FAILED


async def _run(process: Process, manager: ServiceManager, on_stop: Callable[[], None]) -> int:
    code = STOPPED
    manager.tell("STATUS=started")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_signalled(manager, on_stop), name="signals")
            for name, work in process.work.items():
                tasks.create_task(work(), name=name)
            await asyncio.sleep(0)  # now they have begun, and signals are heard
            manager.tell("READY=1")
            tasks.create_task(feed_watchdog(manager, process.overdue_s), name="watchdog")
    except* _Stop:
        log.info("stopped")
    except* KeepsFailing as failures:
        for failure in failures.exceptions:
            log.critical("%s", failure)
        code = FAILED
    return code


async def _signalled(manager: ServiceManager, on_stop: Callable[[], None]) -> None:
    """Wait for a signal to stop, then raise _Stop; a second signal ends the process at once."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, asked.set)
    try:
        await asked.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
    manager.tell("STOPPING=1", "STATUS=stopping")
    on_stop()
    raise _Stop
