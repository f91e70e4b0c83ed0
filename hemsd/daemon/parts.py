"""Which process runs what: everything over one hub, or the hub, the meter and the gateway each in one of its own.

A process loads nothing of the others: hence the imports where things are used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hemsd import __version__
from hemsd.daemon.config import Config
from hemsd.daemon.instance import claim_state
from hemsd.daemon.notify import ServiceManager
from hemsd.daemon.report import Report
from hemsd.daemon.sockets import Listening, find_hub_socket, handed_over, make, name_of
from hemsd.daemon.state import StateError, find_state_directory, prepare
from hemsd.daemon.supervision import supervise
from hemsd.hub.messages import Domain, Health, Message
from hemsd.hub.routes import DOORS_6_4_3

if TYPE_CHECKING:
    from hemsd.hub.hub import Hall, Hub

Part = Literal["hub", "routeb", "gateway"]
Work = Callable[[], Coroutine[Any, Any, None]]

GUESTS = (Domain.ROUTEB, Domain.GATEWAY)  # the domains that may have a process of their own

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a process starts from; what is entered into `held` is kept until its end."""

    config: Config
    environ: Mapping[str, str]
    manager: ServiceManager
    held: ExitStack

    def state(self, reached: Path, suffix: str = "") -> Path:
        """Our state directory, ours alone from now on. Raises AlreadyRunning, StateError."""
        configured = self.config.daemon.state_directory
        directory = prepare(find_state_directory(configured, self.environ, suffix=suffix))
        self.held.enter_context(claim_state(directory, reached))
        return directory


@dataclass(frozen=True, slots=True)
class Process:
    """What is to run, by name, and how late its machines are."""

    work: dict[str, Work] = field(default_factory=dict)
    overdue: list[Callable[[], float]] = field(default_factory=list)

    def keep(self, name: str, *supervised: Any, **more: Any) -> None:
        """Run this under supervision; the arguments are supervise()'s."""
        self.work[name] = partial(supervise, name, *supervised, **more)

    def overdue_s(self) -> float:
        """By how much the latest of them is late."""
        return max((overdue_s() for overdue_s in self.overdue), default=0.0)


def assemble(start: Start, part: Part | None) -> Process:
    """The process of a part, or of the whole house. Raises AlreadyRunning, StateError."""
    match part:
        case "routeb":
            return _routeb(start)
        case "gateway":
            return _gateway(start)
        case _:
            return _house(start, alone=part is None)


# --- the hub's process, which may be the only one


def _house(start: Start, *, alone: bool) -> Process:
    from hemsd.daemon.operator import find_operator_socket
    from hemsd.daemon.state import site_id
    from hemsd.hub.hub import Hub

    config, process = start.config, Process()
    given = handed_over(start.environ)
    table = config.daemon
    path = find_operator_socket(table, find_state_directory(table.state_directory, start.environ), start.environ)
    state = start.state(path)
    site = config.site.id or site_id(state)
    log.info("hemsd %s: site %s, profile %s", __version__, site, config.profile)
    hub = Hub(DOORS_6_4_3[config.gateway.exposure])
    _report(process, start, hub, frozenset() if alone else frozenset(GUESTS))
    _operator(process, start, hub, site, given.get(Domain.OPERATOR.value), path)
    _household(process, config, state, hub)
    if alone:
        _meter(process, start, state, hub)
        _bridge(process, config, site, state, hub)
    else:
        for domain in GUESTS:
            _guest(process, start, hub, site, given.get(domain.value), domain, path.with_name(name_of(domain)))
    return process


def _report(process: Process, start: Start, hub: Hub, elsewhere: frozenset[Domain]) -> None:
    report = Report(start.manager, elsewhere=elsewhere)

    async def listen() -> None:
        async for message in hub.seat(Domain.OPERATOR).messages():
            report.hear(message)

    process.work["report"] = listen


def _operator(process: Process, start: Start, hub: Hub, site: str, given: Listening | None, path: Path) -> None:
    """What answers the command line. Without a place for its socket the house is served all the same."""
    from hemsd.daemon.operator import Operator

    try:
        listening = given or make(path, start.config.daemon.operator_group)
    except StateError as error:
        log.error("`hemsd read` and `hemsd status` cannot ask this daemon: %s", error)
        return
    start.held.callback(listening.close)
    process.work["operator"] = Operator(hub, listening.socket, site=site).run


def _guest(
    process: Process, start: Start, hub: Hub, site: str, given: Listening | None, domain: Domain, path: Path
) -> None:
    from hemsd.daemon.guests import Guest

    listening = given or make(path, private=True)
    start.held.callback(listening.close)
    process.work[f"{domain.value} socket"] = Guest(hub, domain, listening, site=site).run


def _household(process: Process, config: Config, state: Path, hub: Hub) -> None:
    from hemsd.daemon import domains

    kind_of = domains.kind_of
    process.keep("history", partial(domains.run_history, config.history, state, hub), kind_of)
    process.keep("control", partial(domains.run_control, config, hub), kind_of)
    for each in domains.stewards(config, state, hub):
        process.keep(f"network {each.name}", each.run, kind_of, on_failure=each.failed, sooner=each.sooner)
        process.overdue.append(each.overdue_s)


# --- what may be in this process or in one of its own


def _meter(process: Process, start: Start, state: Path, hall: Hall) -> None:
    from hemsd.daemon.credentials import CredentialsError
    from hemsd.daemon.instance import MeterClaim
    from hemsd.daemon.meter import MeterDomain, kind_of

    claim = MeterClaim(start.config.meter, start.environ)
    start.held.callback(claim.release)
    with suppress(CredentialsError):  # the domain tells of it
        claim.hold()
    meter = MeterDomain(start.config.meter, state, hall, start.environ, claim=claim.hold)
    process.keep("meter", meter.run, kind_of, on_failure=meter.failed, sooner=meter.sooner)
    process.overdue.append(meter.overdue_s)


def _bridge(process: Process, config: Config, site: str, state: Path, hall: Hall) -> None:
    if config.gateway.broker is None and config.gateway.metrics is None:
        return
    from hemsd.daemon import gateway

    if (broker := config.gateway.broker) is not None:
        process.keep("gateway", partial(gateway.run_gateway, config, broker, site, state, hall), gateway.kind_of)
    if (metrics := config.gateway.metrics) is not None:
        process.keep("metrics", partial(gateway.run_metrics, metrics, site, hall), gateway.kind_of)


def _routeb(start: Start) -> Process:
    from hemsd.hub.uplink import Uplink

    process, report = Process(), Report(start.manager)
    path = find_hub_socket(Domain.ROUTEB, start.config.daemon, start.environ)
    state = start.state(path, "-routeb")
    uplink = Uplink(str(path), Domain.ROUTEB, DOORS_6_4_3[start.config.gateway.exposure], overhear=report.hear)
    process.work["uplink"] = uplink.run
    _meter(process, start, state, uplink)
    return process


def _gateway(start: Start) -> Process:
    from hemsd.daemon import gateway
    from hemsd.hub.uplink import Uplink

    process, config = Process(), start.config
    path = find_hub_socket(Domain.GATEWAY, config.daemon, start.environ)
    state = start.state(path, "-gateway")

    def overhear(message: Message) -> None:
        if isinstance(message, Health):
            start.manager.tell(f"STATUS={message.detail or 'the broker is told everything'}")

    uplink = Uplink(str(path), Domain.GATEWAY, DOORS_6_4_3[config.gateway.exposure], overhear=overhear)
    process.work["uplink"] = uplink.run
    if (broker := config.gateway.broker) is not None:

        def bridge(site: str) -> Coroutine[Any, Any, None]:
            return gateway.run_gateway(config, broker, site, state, uplink)

        process.keep("gateway", partial(gateway.while_there, uplink, bridge), gateway.kind_of)
    if (metrics := config.gateway.metrics) is not None:

        def exporter(site: str) -> Coroutine[Any, Any, None]:
            return gateway.run_metrics(metrics, site, uplink)

        process.keep("metrics", partial(gateway.while_there, uplink, exporter), gateway.kind_of)
    return process
