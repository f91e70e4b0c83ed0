"""What `hemsd config check` looks at: the configuration and everything it points to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from drivers.interface import default_interface, look
from drivers.ports import PermanentPortError, PortError
from hemsd.daemon.config import Config, ConfigError, find_config, find_port, layout, load
from hemsd.daemon.credentials import CredentialsError, find_credentials, load_credentials
from hemsd.daemon.state import StateError, find_state_directory, inspect
from hemsd.daemon.watch import breaches_of, watched
from hemsd.gateway import config as gateway
from hemsd.gateway.exporter import NOT_INSTALLED
from hemsd.hub.messages import Domain
from hemsd.hub.profiles import needless


class Severity(Enum):
    """ERROR: hemsd would not do what it shall. WARNING: it does, or will as soon as something is plugged in."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a person should look at."""

    severity: Severity
    text: str


def check(path: Path | None = None) -> list[Finding]:
    """Everything that is or may be wrong with the configuration; without a path, the one `hemsd run` would use."""
    path = path or find_config()
    try:
        lan = default_interface()
        config = load(path, lan=lan)
    except ConfigError as error:
        return [Finding(Severity.ERROR, line) for line in str(error).splitlines()]
    findings = [] if path else [Finding(Severity.WARNING, "there is no configuration file; the defaults are used")]
    return [
        *findings,
        *_declared(config, lan),
        *_meter(config),
        *_networks(config),
        *_isolation(config),
        *_broker(config),
        *_metrics(config, lan),
        *_state(config),
    ]


def _declared(config: Config, lan: str | None) -> Iterator[Finding]:
    for number in needless(layout(config, lan)):
        text = f"accept declares {number}, which this configuration does not break: take it out"
        yield Finding(Severity.WARNING, text)


def _meter(config: Config) -> Iterator[Finding]:
    if config.meter.interface is not None:
        yield from _interface(config.meter.interface)
    elif config.meter.there:
        yield from _credentials(config)
        yield from _port(config.meter.port)


def _credentials(config: Config) -> Iterator[Finding]:
    try:
        load_credentials(find_credentials(config.meter.credentials))
    except CredentialsError as error:
        yield Finding(Severity.ERROR, str(error))


def _port(configured: str) -> Iterator[Finding]:
    try:
        path = find_port(configured)
        mode = Path(path).stat().st_mode
    except PermanentPortError as error:
        yield Finding(Severity.ERROR, str(error))
    except PortError as error:
        yield Finding(Severity.WARNING, str(error))
    except OSError as error:
        yield Finding(
            Severity.WARNING, f"{configured}: {(error.strerror or str(error)).lower()}; is the module plugged in?"
        )
    else:
        if not stat.S_ISCHR(mode):
            yield Finding(Severity.ERROR, f"{path}: this is not a serial port; `hemsd ports` lists them")
        elif not os.access(path, os.R_OK | os.W_OK):
            yield Finding(Severity.WARNING, f"{path}: this user may not open it; the system service may")


def _networks(config: Config) -> Iterator[Finding]:
    if config.appliances and not config.networks:
        text = "appliances have names, and there is no network that leads to them: write [networks.NAME]"
        yield Finding(Severity.WARNING, text)
    for name, network in config.networks.items():
        found = look(network.interface)
        if found is None:
            yield _absent(network.interface)
        elif (trouble := found.trouble(ipv4=network.ipv4, ipv6=network.ipv6)) is not None:
            yield Finding(Severity.WARNING, f"[networks.{name}] {trouble}")
        elif network.ipv4 and not found.ipv4:
            text = f"{found.name} has no IPv4 address, and most appliances speak nothing else"
            yield Finding(Severity.WARNING, f"[networks.{name}] {text}")


def _isolation(config: Config) -> Iterator[Finding]:
    apart = [each for each in watched(config, *Domain) if each.interface != config.lan.interface]
    with suppress(OSError):  # the daemon will tell that the kernel does not answer
        for breaches in breaches_of(apart, config).values():
            for each in breaches:
                if each.requirement not in config.accept:
                    yield Finding(Severity.WARNING, f"{each.text} ({each.requirement} of G.9958)")


def _absent(interface: str) -> Finding:
    return Finding(Severity.WARNING, f"{interface}: there is no such network interface; `ip link` lists them")


def _interface(name: str) -> Iterator[Finding]:
    found = look(name)
    if found is None:
        yield _absent(name)
        return
    if (trouble := found.trouble()) is not None:
        yield Finding(Severity.WARNING, trouble)


def _broker(config: Config) -> Iterator[Finding]:
    for table, link in (("broker", config.gateway.broker), ("provider", config.gateway.provider)):
        if link is not None:
            yield from (Finding(Severity.ERROR, f"[gateway.{table}] {text}") for text in gateway.check(link))
            yield from (Finding(Severity.WARNING, f"[gateway.{table}] {text}") for text in gateway.advice(link))


def _metrics(config: Config, lan: str | None) -> Iterator[Finding]:
    if (metrics := config.gateway.metrics) is not None:
        if find_spec("prometheus_client") is None:
            yield Finding(Severity.ERROR, f"[gateway.metrics] {NOT_INSTALLED}")
        if metrics.on_lan and config.lan.interface is None and lan is None:
            text = f"{metrics.host} is for the home network only, and no default route leads there: name it in [lan]"
            yield Finding(Severity.WARNING, f"[gateway.metrics] {text}")


def _state(config: Config) -> Iterator[Finding]:
    directory = find_state_directory(config.daemon.state_directory)
    if directory.exists():  # otherwise it is made at the first start
        try:
            inspect(directory)
        except StateError as error:
            yield Finding(Severity.ERROR, str(error))
