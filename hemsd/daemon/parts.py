"""Which process runs what: everything over one hub, or the hub, the meter and the gateway each in one of its own.

A process loads nothing of the others: hence the imports where things are used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from hemsd import __version__
from hemsd.daemon.config import Config
from hemsd.daemon.instance import claim_state
from hemsd.daemon.notify import ServiceManager
from hemsd.daemon.report import GatewayReport, Report
from hemsd.daemon.sockets import Listening, find_hub_socket, handed_over, make, name_of
from hemsd.daemon.state import StateError, find_state_directory, prepare
from hemsd.daemon.supervision import Kind, supervise
from hemsd.hub.messages import Domain
from hemsd.hub.routes import Routes, doors

if TYPE_CHECKING:
    from hemsd.daemon.watch import IsolationWatch
    from hemsd.hub.hub import Hall, Hub

Part = Literal["hub", "routeb", "gateway"]
Work = Callable[[], Coroutine[Any, Any, None]]

GUESTS = (Domain.ROUTEB, Domain.GATEWAY)  # the domains that may have a process of their own

log = logging.getLogger(__name__)


class Start(Struct, frozen=True):
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


class Process(Struct, frozen=True):
    """What is to run, by name, and how late its machines are."""

    work: dict[str, Work] = {}
    overdue: list[Callable[[], float]] = []

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
    given, table = handed_over(start.environ), config.daemon
    path = find_operator_socket(table, find_state_directory(table.state_directory, start.environ), start.environ)
    if (operator := given.get(Domain.OPERATOR.value)) is not None:
        path = operator.path
    state = start.state(path)
    site = config.site.id or site_id(state)
    declared = f", declared not to meet {', '.join(config.accept)}" if config.accept else ""
    log.info("hemsd %s: site %s, profile %s%s", __version__, site, config.profile, declared)
    hub = Hub(routes := _doors(config))
    report = Report(start.manager, elsewhere=frozenset(() if alone else GUESTS))
    process.work["report"] = partial(hub.seat(Domain.OPERATOR).listen, report.hear)
    _operator(process, start, hub, site, operator, path)
    apart = _watch(process, config, hub, Domain.APPLIANCES, *((Domain.ROUTEB,) if alone else ()))
    _household(process, config, state, hub, apart)
    if alone:
        _meter(process, start, state, hub, apart)
        _bridge(process, config, site, state, hub)
    else:
        for domain in GUESTS:
            listening = given.get(domain.value) or make(path.with_name(name_of(domain)), private=True)
            _guest(process, start, hub, site, listening, domain, _closed(domain, config, routes))
    return process


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


def _doors(config: Config) -> Routes:
    return doors(config.profile, config.gateway.exposure)


def _closed(domain: Domain, config: Config, routes: Routes) -> str:
    """Why nobody may come as this domain; empty where one may."""
    if domain is Domain.ROUTEB and not config.meter.there:
        return "there is no link to a meter in the configuration"
    if not any(sender is domain for sender, _ in routes):
        return f"forbidden_profile: profile {config.profile} of ITU-T G.9958 has no place for {domain.value}"
    return ""


def _guest(
    process: Process, start: Start, hub: Hub, site: str, listening: Listening, domain: Domain, closed: str
) -> None:
    from hemsd.daemon.guests import Guest
    from hemsd.hub.wire import Server

    start.held.callback(listening.close)
    if closed:
        process.work[f"{domain.value} socket"] = Server(hub, domain, listening.socket, closed=closed).run
        return
    expected = domain is not Domain.GATEWAY or _reaches_out(start.config)
    process.work[f"{domain.value} socket"] = Guest(hub, domain, listening.socket, site=site, expected=expected).run


def _watch(process: Process, config: Config, hall: Hall, *domains: Domain) -> IsolationWatch:
    """An eye on the interfaces of these domains, which is open already."""
    from hemsd.daemon.watch import IsolationWatch, watched

    apart = IsolationWatch(watched(config, *domains), config, hall)
    if apart.interfaces:
        process.keep("isolation", apart.run, lambda _: Kind.UNEXPECTED)
    return apart


def _household(process: Process, config: Config, state: Path, hub: Hub, apart: IsolationWatch) -> None:
    from hemsd.daemon import domains

    kind_of = domains.kind_of
    process.keep("history", partial(domains.run_history, config.history, state, hub), kind_of)
    process.keep("control", partial(domains.run_control, config, hub), kind_of)
    for each in domains.stewards(config, state, hub):
        interface = config.networks[each.name].interface
        work, sooner = apart.guarded(interface, each.run), apart.sooner(interface, each.sooner)
        process.keep(f"network {each.name}", work, kind_of, on_failure=each.failed, sooner=sooner)
        process.overdue.append(each.overdue_s)


# --- what may be in this process or in one of its own


def _meter(process: Process, start: Start, state: Path, hall: Hall, apart: IsolationWatch) -> None:
    if not start.config.meter.there:
        return
    from hemsd.daemon.credentials import CredentialsError
    from hemsd.daemon.instance import MeterClaim
    from hemsd.daemon.meter import MeterDomain, kind_of

    claim = MeterClaim(start.config.meter, start.environ)
    start.held.callback(claim.release)
    with suppress(CredentialsError):  # the domain tells of it
        claim.hold()
    config = start.config
    meter = MeterDomain(config.meter, state, hall, start.environ, overlaid=config.overlaid, claim=claim.hold)
    interface = config.meter.interface
    work, sooner = apart.guarded(interface, meter.run), apart.sooner(interface, meter.sooner)
    process.keep("meter", work, kind_of, on_failure=meter.failed, sooner=sooner)
    process.overdue.append(meter.overdue_s)


def _bridge(process: Process, config: Config, site: str, state: Path, hall: Hall) -> None:
    if not _reaches_out(config):
        return
    from hemsd.daemon import gateway

    for name, work in gateway.links(config, state, hall).items():
        process.keep(name, partial(work, site), gateway.kind_of)


def _routeb(start: Start) -> Process:
    from hemsd.hub.uplink import Uplink

    process, report = Process(), Report(start.manager)
    path = find_hub_socket(Domain.ROUTEB, start.config.daemon, start.environ)
    state = start.state(path, "-routeb")
    uplink = Uplink(str(path), Domain.ROUTEB, _doors(start.config), overhear=report.hear)
    process.work["uplink"] = uplink.run
    _meter(process, start, state, uplink, _watch(process, start.config, uplink, Domain.ROUTEB))
    return process


def _gateway(start: Start) -> Process:
    from hemsd.daemon import gateway
    from hemsd.hub.uplink import Uplink

    process, config = Process(), start.config
    path = find_hub_socket(Domain.GATEWAY, config.daemon, start.environ)
    state = start.state(path, "-gateway")
    uplink = Uplink(str(path), Domain.GATEWAY, _doors(config), overhear=GatewayReport(start.manager).hear)
    process.work["uplink"] = uplink.run
    for name, work in gateway.links(config, state, uplink).items():
        process.keep(name, partial(gateway.while_there, uplink, work), gateway.kind_of)
    if not _reaches_out(config):
        log.info("there is nothing to do here: [gateway] has no broker, no provider and no metrics")
    return process


def _reaches_out(config: Config) -> bool:
    """Whether the gateway has anything to do."""
    gateway = config.gateway
    return any(each is not None for each in (gateway.broker, gateway.provider, gateway.metrics))
