"""The configuration file: what may stand in it, where it is found, and reading it."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import fields, replace

from drivers.ports import PermanentPortError
from hemsd.daemon.networks import (
    ApplianceTable,
    ControllerTable,
    ControlTable,
    InterfaceName,
    Name,
    NetworkTable,
    appliance_problems,
    network_problems,
    normal,
    normal_appliance,
    overlay_problems,
)
from hemsd.daemon.schema import Problem, Table, line_numbers, problems
from hemsd.gateway.config import BrokerConfig, HomeAssistantConfig, LinkConfig, MetricsConfig, ProviderConfig
from hemsd.hub.profiles import Layout, undeclared
from hemsd.hub.requirements import Profile
from hemsd.hub.routes import Exposure

SYSTEM_FILE = Path("/etc/hemsd/hemsd.toml")
UDEV_NAME = Path("/dev/hemsd-wisun")  # given by systemd/60-hemsd.rules
NO_PORT = "none"  # in the place of a port: there is no link to the meter
POLLING_FLOOR_S = 10  # asked more often some meters fall silent, and the hourly transmission time runs out

Seconds = Annotated[int, Meta(ge=1, le=3600, description="a whole number of seconds from 1 to 3600")]
Days = Annotated[int, Meta(ge=1, le=3660, description="a whole number of days from 1 to 3660")]
TcpPort = Annotated[int, Meta(ge=1, le=65535, description="a port, a whole number from 1 to 65535")]
SiteId = Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$", description="1 to 64 of a-z, 0-9 and hyphen, in quotes")]
RequirementNumber = Annotated[
    str, Meta(pattern="^R([1-9]|[1-4][0-9]|5[0-5])$", description='the number of a requirement, "R1" to "R55"')
]
PortPath = Annotated[
    str, Meta(pattern="^(auto|none|/.+)$", description='"auto", "none" or a path like "/dev/ttyUSB0"')
]
L = TypeVar("L", bound=LinkConfig)
LINK_LOCAL = ipaddress.IPv6Network("fe80::/64")  # where IPv6 over Ethernet and Wi-Fi makes link-local addresses


class SiteTable(Table, frozen=True, kw_only=True):
    """[site]: this home. Without an id a random one is made and kept in the state directory."""

    id: SiteId | None = None


class MeterTable(Table, frozen=True, kw_only=True):
    """[meter]: the module or the network interface, the credentials, and how often the meter is asked.

    With port "none" and no interface there is no meter.
    """

    port: PortPath = "auto"
    interface: InterfaceName | None = None  # instead of a module: where a second-generation meter is on IPv6
    peer: str | None = None  # its link-local address; without one it is looked for
    credentials: str | None = None  # a path; hemsd.daemon.credentials.find_credentials says what None means
    live_s: Seconds = 30  # power and current, while nobody is looking
    watched_s: Seconds = 10  # and while someone is
    energy_s: Annotated[int, Meta(ge=10, le=300, description="a whole number of seconds from 10 to 300")] = 300
    backfill_pace_s: Annotated[int, Meta(ge=1, le=60, description="a whole number of seconds from 1 to 60")] = 2
    allow_fast_polling: bool = False

    @property
    def there(self) -> bool:
        """Whether there is a link to the meter at all."""
        return self.interface is not None or self.port != NO_PORT


class GatewayTable(Table, frozen=True, kw_only=True):
    """[gateway]: the home gateway and what it may have; without a broker nothing is published."""

    exposure: Exposure = "aggregates"
    log: Literal["off", "info", "warning", "error"] = "off"  # lines of the log for the broker, from this level on
    sign: bool = False  # half-hours, with a key that is made and kept in the state directory
    broker: BrokerConfig | None = None
    provider: ProviderConfig | None = None
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()
    metrics: MetricsConfig | None = None


class HistoryTable(Table, frozen=True, kw_only=True):
    """[history]: how far back the meter is asked, and how long other things than half-hours are kept."""

    backfill_days: Annotated[int, Meta(ge=0, le=99, description="a whole number of days from 0 to 99")] = 99
    samples_days: Days = 14  # live values, one by one
    minutes_days: Days = 366  # and by minutes
    events_days: Days = 366


class LanTable(Table, frozen=True, kw_only=True):
    """[lan]: the general purpose home network, where the home gateway is."""

    interface: InterfaceName | None = None  # None: the one that the default route leads over


class IsolationTable(Table, frozen=True, kw_only=True):
    """[isolation]: what to do where an interface of the meter or of appliances is not kept apart."""

    on_breach: Literal["degrade", "refuse"] = "degrade"  # tell of it and go on; or stay away from it
    admit_tcp: tuple[TcpPort, ...] = ()  # that `hemsd firewall` leaves open to appliances' networks


class DaemonTable(Table, frozen=True, kw_only=True):
    """[daemon]: the process itself."""

    state_directory: str | None = None  # hemsd.daemon.state.find_state_directory says what None means
    operator_socket: str | None = None  # hemsd.daemon.operator.find_operator_socket says what None means
    operator_group: str | None = None  # hemsd.daemon.operator.listen says what None means
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Table, frozen=True, kw_only=True):
    """The whole file; `version` is that of the format."""

    version: Literal[1]
    profile: Profile = "6.4.3"
    accept: tuple[RequirementNumber, ...] = ()  # requirements that this home is declared not to meet
    site: SiteTable = SiteTable()
    lan: LanTable = LanTable()
    meter: MeterTable = MeterTable()
    networks: dict[Name, NetworkTable] = msgspec.field(default_factory=dict)
    appliances: dict[Name, ApplianceTable] = msgspec.field(default_factory=dict)
    controller: ControllerTable = ControllerTable()
    control: ControlTable = ControlTable()
    gateway: GatewayTable = GatewayTable()
    history: HistoryTable = HistoryTable()
    isolation: IsolationTable = IsolationTable()
    daemon: DaemonTable = DaemonTable()

    @property
    def overlaid(self) -> bool:
        """Whether the meter's interface is one of appliances as well (G.9958, R22)."""
        return self.meter.interface in {each.interface for each in self.networks.values()}


class NoMeter(PermanentPortError):
    """The configuration has no link to a meter."""


class ConfigError(Exception):
    """The configuration cannot be used; the text has one line for each thing that is wrong with it."""


def user_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a plain user keeps configuration and credentials (XDG Base Directory Specification)."""
    home = environ.get("HOME", "/nonexistent")  # users that systemd makes have none
    return Path(environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "hemsd"


def find_config(environ: Mapping[str, str] = os.environ) -> Path | None:
    """A plain user's own configuration file, else the system's; None where there is neither."""
    places = [SYSTEM_FILE] if os.geteuid() == 0 else [user_directory(environ) / SYSTEM_FILE.name, SYSTEM_FILE]
    return next((place for place in places if _is_there(place)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # reading it will tell
        return True


def find_port(configured: str) -> str:
    """The path of the module's port: as configured, else the udev rule's name for it, else the one that is likely.

    Raises PortMissing, PortUnclear, NoMeter.
    """
    if configured == NO_PORT:
        raise NoMeter(configured, 'the configuration has no link to a meter: [meter] port = "none"')
    if configured != "auto":
        return configured
    if UDEV_NAME.exists():
        return str(UDEV_NAME)
    from drivers.usb import guess_port  # here, because only who reads the meter needs it

    return guess_port()


def load(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, lan: str | None = None, judge: bool = True
) -> Config:
    """Read a configuration file; without a path the one that find_config() finds, or else the defaults.

    Relative paths in it start at the directory it stands in. `lan` is the interface to the home network where the
    file does not name it; without either, what the profile wants of it is not checked. Without `judge` nothing is
    that the profile wants. Raises ConfigError.
    """
    path = path or find_config(environ)
    if path is None:
        return Config(version=1)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not UTF-8 text (byte {error.start})") from error
    return parse(text, path, environ, lan=lan, judge=judge)


def parse(
    text: str, path: Path, environ: Mapping[str, str] = os.environ, *, lan: str | None = None, judge: bool = True
) -> Config:
    """Check the text of a configuration file that stands at `path`; see load(). Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    found = _version_problems(document) or problems(document, Config)
    if not found:
        config = msgspec.convert(document, Config)
        found = [*_contradictions(config), *(_breaches(config, lan) if judge else ())]
    if found:
        lines = line_numbers(text)
        raise ConfigError("\n".join(f"{path}{_line(where, lines)}: {problem}" for where, problem in found))
    config = replace(
        config,
        networks={name: normal(network) for name, network in config.networks.items()},
        appliances={name: normal_appliance(appliance) for name, appliance in config.appliances.items()},
    )
    return _anchored(config, path.absolute().parent, environ)


def _version_problems(document: Mapping[str, object]) -> list[Problem]:
    version = document.get("version")
    if version is None:
        return [(("", ""), "version is missing: write version = 1 as the first line")]
    if version != 1:
        return [(("", "version"), "version must be 1: this hemsd knows no other format")]
    return []


def _contradictions(config: Config) -> Iterator[Problem]:
    """What is allowed by itself and not together."""
    if config.profile == "6.2":
        for name in config.networks:
            text = 'profile "6.2" has no HEMS controller, and so no appliances: take it away, or another profile'
            yield (f"networks.{name}", ""), f"[networks.{name}] {text}"
    yield from ((("meter", key), text) for key, text in _interface_problems(config.meter))
    yield from network_problems(config.networks)
    if config.meter.peer is None:
        yield from overlay_problems(config.networks, config.meter.interface)
    yield from appliance_problems(config.appliances)
    if config.gateway.log != "off" and config.gateway.exposure == "aggregates":
        text = 'tells of single appliances: set exposure = "appliances" as well, or leave it "off"'
        yield ("gateway", "log"), f"[gateway] log {text}"
    broker, provider = config.gateway.broker, config.gateway.provider
    if broker and provider and (broker.host, broker.port) == (provider.host, provider.port):
        text = "is the broker of [gateway.broker]: half-hours are there already, take this table away"
        yield ("gateway.provider", "url"), f"[gateway.provider] url {text}"
    if not config.meter.allow_fast_polling:
        for key, value in (("live_s", config.meter.live_s), ("watched_s", config.meter.watched_s)):
            if value < POLLING_FLOOR_S:
                text = f"must be at least {POLLING_FLOOR_S} unless allow_fast_polling = true, not {value}"
                yield ("meter", key), f"[meter] {key} {text}"


def layout(config: Config, lan: str | None = None) -> Layout:
    """What it connects with what; `lan` is the interface to the home network where it does not name it."""
    meter, gateway = config.meter, config.gateway
    tables = [each.name for each in fields(GatewayTable) if each.default is None]  # what is not there by itself
    return Layout(
        profile=config.profile,
        meter_port=meter.there and meter.interface is None,
        meter_interface=meter.interface,
        networks={name: network.interface for name, network in config.networks.items()},
        lan=config.lan.interface or lan,
        gateway=tuple(f"gateway.{name}" for name in tables if getattr(gateway, name) is not None),
        accepted=frozenset(config.accept),
    )


def _breaches(config: Config, lan: str | None) -> Iterator[Problem]:
    """Where it breaks its own profile, undeclared."""
    return ((each.where, each.text) for each in undeclared(layout(config, lan)))


def _interface_problems(meter: MeterTable) -> Iterator[tuple[str, str]]:
    if meter.interface is not None and meter.port not in ("auto", NO_PORT):
        yield "interface", "[meter] names a port and an interface: the meter is on one of them, take the other away"
    if meter.peer is None:
        return
    if meter.interface is None:
        yield "peer", "[meter] peer is the address of a meter on a network interface: name that as well, as interface"
    try:
        if ipaddress.IPv6Address(meter.peer) not in LINK_LOCAL:
            raise ValueError(meter.peer)
    except ValueError:
        yield "peer", f'[meter] peer must be a link-local IPv6 address like "fe80::1", not {meter.peer!r}'


def _line(where: tuple[str, str], lines: Mapping[tuple[str, str], int]) -> str:
    number = lines.get(where) or lines.get((where[0], ""))
    return f":{number}" if number else ""


def _anchored(config: Config, base: Path, environ: Mapping[str, str]) -> Config:
    """The same with absolute paths; what systemd handed over of /etc/hemsd is taken from where it put it."""

    def absolute(path: str | None) -> str | None:
        if path is None:
            return None
        found = base / Path(path).expanduser()
        handed = Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / found.name
        return str(handed if found.parent == SYSTEM_FILE.parent and _is_given(handed) else found)

    def anchored(link: L | None) -> L | None:
        if link is None:
            return None
        names = [name for name in link.__struct_fields__ if name.endswith("_file")]
        return replace(link, **{name: absolute(getattr(link, name)) for name in names})

    gateway = config.gateway
    return replace(
        config,
        meter=replace(config.meter, credentials=absolute(config.meter.credentials)),
        gateway=replace(gateway, broker=anchored(gateway.broker), provider=anchored(gateway.provider)),
        daemon=replace(
            config.daemon,
            state_directory=absolute(config.daemon.state_directory),
            operator_socket=absolute(config.daemon.operator_socket),
        ),
    )


def _is_given(handed: Path) -> bool:
    """Whether systemd handed over more than the blank line that stands in for a file that is not there."""
    return handed.exists() and handed.stat().st_size > 1
