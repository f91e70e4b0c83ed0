"""What a first configuration says: where the module, the appliances and the broker are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from drivers.usb import PortInfo
from hemsd.daemon.install.machine import Machine
from hemsd.daemon.install.places import BROKER_PASSWORD, MODULE_GROUP, Kit
from hemsd.gateway.config import BrokerConfig, LinkConfig
from hemsd.hub.requirements import Profile
from hemsd.hub.routes import Exposure

SMALL_MB = 512  # boards with less than this do better with one process
SAFE = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # what a device says of itself, as far as it may stand in a rule
GPIO_UART = re.compile(r"/dev/(tty(?:AMA|S)[0-9]+)")
ON_THE_LAN = ("R33", "R43")  # what a home does not meet whose appliances are on the network of everything else
BROKER_KEYS = ("url", "plain", "username", "password_file")
RULE_HEAD = "# The port of the Wi-SUN module, found by `hemsd install`. This file is yours: it is not replaced.\n"
RULE_TAIL = f'SYMLINK+="hemsd-wisun", GROUP="{MODULE_GROUP}", MODE="0660", TAG+="systemd"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person wants, where there is a choice; None: nothing of that kind."""

    port: str | None = None  # of the module
    interface: str | None = None  # instead of a module: the one that leads to a second-generation meter
    peer: str | None = None  # that meter's address there
    appliances: str | None = None  # the interface that leads to them
    broker: BrokerConfig | None = None
    exposure: Exposure | None = None  # what that broker gets
    single: bool = False  # one process instead of three


def single_is_better(machine: Machine) -> bool:
    """Whether this is a board on which three processes would be too much."""
    return machine.memory_mb < SMALL_MB


def likely_port(machine: Machine) -> PortInfo | None:
    """The one port that a module may be on, USB before GPIO; None where there is none or several."""
    likely = [port for port in machine.ports if port.likely]
    best = [port for port in likely if port.vid is not None] or likely
    return best[0] if len(best) == 1 else None


def appliance_interfaces(machine: Machine) -> list[str]:
    """The interfaces that may lead to appliances, those that lead to nothing else first.

    One on the same network as everything else, cable and Wi-Fi together, say, is no network apart.
    """
    usable = [each for each in machine.interfaces if each.trouble(ipv4=True) is None]
    lan = [each for each in usable if each.name == machine.lan]
    home = {address.network for each in lan for address in each.ipv4}
    apart = [each for each in usable if each not in lan and home.isdisjoint(address.network for address in each.ipv4)]
    return [each.name for each in (*apart, *lan)]


def broker_at(url: str, username: str | None = None) -> BrokerConfig:
    """A broker; one of mqtt:// is meant to be spoken to in clear. Raises ValueError for what is no address."""
    password_file = str(BROKER_PASSWORD) if username else None
    return BrokerConfig(url=url, plain=LinkConfig(url=url).exposed, username=username, password_file=password_file)


def own_rule(machine: Machine, kit: Kit, port: str | None) -> str | None:
    """A udev rule that names the module's port, where no rule that is shipped does; None where none is needed.

    What a USB device says of itself is foreign text: a serial number that could be more than that makes no rule.
    """
    found = _found(machine, port)
    if found is None or "udevadm" not in machine.tools or _is_known(kit, found):
        return None
    if found.vid is None or found.pid is None:
        uart = GPIO_UART.fullmatch(found.path)
        match = f'KERNEL=="{uart[1]}"' if uart else None
    else:
        is_safe = found.serial is not None and SAFE.fullmatch(found.serial)
        about = f'ATTRS{{idVendor}}=="{found.vid:04x}", ATTRS{{idProduct}}=="{found.pid:04x}"'
        match = f'{about}, ATTRS{{serial}}=="{found.serial}"' if is_safe else None
    return f'{RULE_HEAD}SUBSYSTEM=="tty", {match}, {RULE_TAIL}' if match else None


def has_a_name(machine: Machine, kit: Kit, port: str) -> bool:
    """Whether a udev rule makes it /dev/hemsd-wisun, so that the configuration need not say where it is."""
    found = _found(machine, port)
    if found is None or "udevadm" not in machine.tools:
        return False
    return _is_known(kit, found) or own_rule(machine, kit, port) is not None


def profile_of(machine: Machine, wishes: Wishes) -> Profile:
    """The network configuration of ITU-T G.9958 that such a home is nearest to.

    A meter on a link of its own makes it Appendix I's, whatever the appliances are on; otherwise it is on the home
    network, alone or with them, or shares theirs.
    """
    meter, appliances = wishes.interface, wishes.appliances
    if meter is None or meter not in (machine.lan, appliances):
        return "6.4.3"
    return "6.4.1" if meter == machine.lan and appliances in (None, meter) else "6.4.2"


def configuration(machine: Machine, kit: Kit, wishes: Wishes) -> str:
    """The commented configuration that is shipped, with what this home needs to be said in it."""
    text, profile = kit.configuration, profile_of(machine, wishes)
    if profile != "6.4.3":  # which is the default
        text = with_setting(text, "", "profile", profile)
    if wishes.interface is not None:
        text = with_setting(text, "meter", "interface", wishes.interface)
        if wishes.peer is not None:
            text = with_setting(text, "meter", "peer", wishes.peer)
    elif wishes.port is not None and not has_a_name(machine, kit, wishes.port):
        found = _found(machine, wishes.port)
        text = with_setting(text, "meter", "port", found.name if found else wishes.port)
    if wishes.appliances is not None:
        text = with_setting(text, "networks.home", "interface", wishes.appliances)
        if wishes.appliances == machine.lan and profile == "6.4.3":
            text = with_setting(text, "", "accept", ON_THE_LAN)
    apart = {wishes.interface, wishes.appliances} - {None, machine.lan}
    if machine.lan is not None and apart:  # what they are kept apart from; `hemsd firewall` has to know
        text = with_setting(text, "lan", "interface", machine.lan)
    for key in BROKER_KEYS:
        if value := getattr(wishes.broker, key, None):
            text = with_setting(text, "gateway.broker", key, value)
    if wishes.exposure is not None:
        text = with_setting(text, "gateway", "exposure", wishes.exposure)
    return text


def with_setting(text: str, table: str, key: str, value: str | bool | tuple[str, ...]) -> str:
    """The text of a configuration with one of its commented lines made to say something."""
    lines = text.splitlines(keepends=True)
    at = 0
    if table:
        at = next(number for number, line in enumerate(lines) if line.rstrip() in (f"[{table}]", f"#[{table}]"))
        lines[at] = f"[{table}]\n"
    at = next(number for number in range(at, len(lines)) if lines[number].startswith(f"#{key} = "))
    lines[at] = f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    return "".join(lines)


def _found(machine: Machine, port: str | None) -> PortInfo | None:
    return next((each for each in machine.ports if port in (each.path, each.by_id)), None) if port else None


def _is_known(kit: Kit, port: PortInfo) -> bool:
    """Whether the rules that are shipped know it by what it says of itself."""
    patterns = "|".join(re.findall(r'ATTRS\{product\}=="([^"]+)"', kit.rules)).split("|")
    return port.vid is not None and any(fnmatchcase(port.description, pattern) for pattern in patterns if pattern)
