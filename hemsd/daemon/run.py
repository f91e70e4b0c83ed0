"""The daemon: hub and domains in one process, under supervision, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from hemsd import __version__
from hemsd.daemon import logs
from hemsd.daemon.config import Config, DaemonTable
from hemsd.daemon.credentials import CredentialsError
from hemsd.daemon.domains import (
    MeterDomain,
    kind_of,
    run_control,
    run_gateway,
    run_history,
    run_metrics,
    run_provider,
    stewards,
)
from hemsd.daemon.instance import AlreadyRunning, MeterClaim, claim_state
from hemsd.daemon.notify import ServiceManager, feed_watchdog
from hemsd.daemon.operator import Operator, find_operator_socket, listen
from hemsd.daemon.state import StateError, find_state_directory, prepare, site_id
from hemsd.daemon.supervision import KeepsFailing, supervise
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import ApplianceStatus, Domain, Event, MeterReading, MeterStatus
from hemsd.hub.routes import DOORS_6_4_3

STOP_S = 4.5  # after a signal everything has ended within 5 s, whatever the kernel thinks of closing a port
STOPPED, FAILED, ALREADY_RUNNING = 0, 1, 75  # exit codes; 75 is EX_TEMPFAIL of sysexits.h
LEVELS: Mapping[str, int] = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

log = logging.getLogger(__name__)


class _Stop(Exception):
    """A signal asked us to end."""


def serve(config: Config) -> int:
    """Run the daemon as this process; returns its exit code. Within 5 s of a signal the process has ended.

    The guard outlives the event loop, which waits for threads at its end: a name that does not resolve, a port that
    does not close.
    """
    code = FAILED
    overtime = threading.Timer(STOP_S, lambda: os._exit(code))
    overtime.daemon = True

    async def main() -> int:
        nonlocal code
        code = await run(config, on_stop=overtime.start)
        if not overtime.is_alive():
            overtime.start()
        return code

    try:
        return asyncio.run(main())
    finally:
        overtime.cancel()


async def run(
    config: Config, environ: Mapping[str, str] = os.environ, *, on_stop: Callable[[], None] = lambda: None
) -> int:
    """Run until SIGTERM or SIGINT (0), until something keeps failing (1), or not at all beside another daemon (75).

    To be run in the main thread. The service manager hears READY as soon as everything is under way, whether or not
    the meter answers. Logs go to standard error unless they were set up before.
    """
    logs.set_up(config.daemon.log_level, environ=environ)
    try:
        state = prepare(find_state_directory(config.daemon.state_directory, environ))
        path = find_operator_socket(config.daemon, state, environ)
        with ExitStack() as held:
            held.enter_context(claim_state(state, path))
            hub = Hub(DOORS_6_4_3[config.gateway.exposure])
            if (operator := _operator(config.daemon, hub, path)) is not None:
                held.callback(operator.close)
            claim = MeterClaim(config.meter, environ)
            held.callback(claim.release)
            with suppress(CredentialsError):  # the domain tells of it
                claim.hold()
            meter = MeterDomain(config.meter, state, hub, environ, claim=claim.hold)
            return await _run(config, state, hub, meter, operator, ServiceManager(environ), on_stop)
    except AlreadyRunning as error:
        log.error("%s", error)
        return ALREADY_RUNNING
    except StateError as error:
        log.error("%s", error)
        return FAILED


async def _run(
    config: Config,
    state: Path,
    hub: Hub,
    meter: MeterDomain,
    operator: Operator | None,
    manager: ServiceManager,
    on_stop: Callable[[], None],
) -> int:
    site = config.site.id or site_id(state)
    log.info("hemsd %s: site %s, profile %s", __version__, site, config.profile)
    code = STOPPED
    try:
        async with asyncio.TaskGroup() as tasks:

            def keep(name: str, work: Callable[[], Awaitable[None]], **more: Any) -> None:
                tasks.create_task(supervise(name, work, kind_of, **more), name=name)

            tasks.create_task(_signalled(manager, on_stop), name="signals")
            tasks.create_task(_report(hub.seat(Domain.OPERATOR), manager), name="report")
            if operator is not None:
                tasks.create_task(operator.run(), name="operator")
            keep("history", partial(run_history, config.history, state, hub))
            keep("meter", meter.run, on_failure=meter.failed, sooner=meter.sooner)
            keep("control", partial(run_control, config, hub))
            networks = stewards(config, state, hub)
            for each in networks:
                keep(f"network {each.name}", each.run, on_failure=each.failed, sooner=each.sooner)
            if config.gateway.broker is not None:
                keep("gateway", partial(run_gateway, config, config.gateway.broker, site, state, hub))
            if config.gateway.provider is not None:
                keep("provider", partial(run_provider, config, config.gateway.provider, site, state, hub))
            if config.gateway.metrics is not None:
                keep("metrics", partial(run_metrics, config.gateway.metrics, site, hub))
            await asyncio.sleep(0)  # now they have begun, and signals are heard
            manager.tell("READY=1", "STATUS=started")
            overdue = [meter.overdue_s, *(each.overdue_s for each in networks)]
            feeding = feed_watchdog(manager, lambda: max(overdue_s() for overdue_s in overdue))
            tasks.create_task(feeding, name="watchdog")
    except* _Stop:
        log.info("stopped")
    except* KeepsFailing as failures:
        for failure in failures.exceptions:
            log.critical("%s", failure)
        code = FAILED
    return code


def _operator(table: DaemonTable, hub: Hub, path: Path) -> Operator | None:
    """What answers the command line. Without a place for its socket the house is served all the same."""
    try:
        return Operator(hub, listen(path, table.operator_group), path)
    except StateError as error:
        log.error("`hemsd read` and `hemsd status` cannot ask this daemon: %s", error)
        return None


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


async def _report(seat: Seat, manager: ServiceManager) -> None:
    """Log what happens in the house, and keep the service manager's status line telling how it stands."""
    meter, online = "started", dict[str, bool]()  # the latter by appliance
    told = ""
    async for message in seat.messages():
        match message:
            case Event():
                log.log(LEVELS[message.severity], "%s", message.text)
            case MeterStatus(online=False):
                meter = f"{message.stage}: {message.detail}"
            case MeterReading(power_w=int(power_w)):
                meter = f"online, {power_w} W"
            case ApplianceStatus(forgotten=True):
                online.pop(message.appliance, None)
            case ApplianceStatus():
                online[message.appliance] = message.online
            case _:
                continue
        there = f"; {sum(online.values())} of {len(online)} appliances online" if online else ""
        if told != (told := f"STATUS={meter}{there}"):
            manager.tell(told)
