"""What a first configuration says, and the rule for a module's port."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.install import FRESH, GPIO, KIT, interface, usb

from drivers.usb import PortInfo
from hemsd.daemon.config import parse
from hemsd.daemon.install.proposal import (
    Wishes,
    appliance_interfaces,
    broker_at,
    configuration,
    has_a_name,
    likely_port,
    own_rule,
    single_is_better,
    with_setting,
)

STICK = usb("/dev/ttyUSB0")
PLACE = Path("/etc/hemsd/hemsd.toml")


def settings(text: str) -> list[str]:
    """The lines that say something other than what is shipped."""
    return [line for line in text.splitlines() if line not in KIT.configuration.splitlines()]


def test_without_a_wish_the_configuration_is_as_it_is_shipped() -> None:
    """Nothing is said that is the default anyway."""
    assert configuration(FRESH, KIT, Wishes()) == KIT.configuration


@pytest.mark.parametrize("port", [usb("/dev/ttyUSB0"), usb("/dev/ttyUSB1", "RATOC RS-WSUHA-P"), GPIO])
def test_a_port_with_a_name_needs_no_setting(port: PortInfo) -> None:
    """What a rule calls /dev/hemsd-wisun is found by that name, whatever it is plugged into."""
    machine = replace(FRESH, ports=(port,))
    assert has_a_name(machine, KIT, port.path)
    assert configuration(machine, KIT, Wishes(port=port.path)) == KIT.configuration


def test_a_stick_that_says_what_it_is_needs_no_rule_of_its_own() -> None:
    """The rule that is shipped knows it; one that only says FT230X is known by its number, the pins by their name."""
    machine = replace(FRESH, ports=(STICK, usb("/dev/ttyUSB1", "ROHM BP35C2"), GPIO))
    assert own_rule(machine, KIT, "/dev/ttyUSB1") is None
    (line,) = [line for line in (own_rule(machine, KIT, STICK.path) or "").splitlines() if not line.startswith("#")]
    assert line == (
        'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6015", ATTRS{serial}=="DM00ABCD", '
        'SYMLINK+="hemsd-wisun", GROUP="hemsd-routeb", MODE="0660", TAG+="systemd"'
    )
    assert 'KERNEL=="ttyAMA0", SYMLINK+="hemsd-wisun"' in (own_rule(machine, KIT, "/dev/ttyAMA0") or "")


@pytest.mark.parametrize("serial", ['X", RUN+="/bin/sh', "A\nB", "*", "A[BC]", "", "x" * 65, None])
def test_what_a_device_says_of_itself_cannot_write_a_rule(serial: str | None) -> None:
    """A serial number that is more than letters and digits makes no rule; the configuration names the port."""
    port = usb("/dev/ttyUSB0", serial=serial)
    machine = replace(FRESH, ports=(port,))
    assert own_rule(machine, KIT, port.path) is None
    config = parse(configuration(machine, KIT, Wishes(port=port.path)), PLACE)
    assert config.meter.port == port.name


def test_a_port_nobody_knows_is_named_in_the_configuration() -> None:
    """Where there is no udev, or the port is none of the kernel's list, its path is written down."""
    nameless = replace(FRESH, ports=(STICK,), tools=FRESH.tools - {"udevadm"})
    assert settings(configuration(nameless, KIT, Wishes(port=STICK.path))) == [f'port = "{STICK.by_id}"']
    assert settings(configuration(FRESH, KIT, Wishes(port="/dev/ttyX0"))) == ['port = "/dev/ttyX0"']


@pytest.mark.parametrize(
    ("url", "username", "said"),
    [
        ("mqtts://broker.home", None, ['url = "mqtts://broker.home"']),
        ("mqtt://127.0.0.1", None, ['url = "mqtt://127.0.0.1"']),
        (
            "mqtt://192.168.1.10",
            "花子",
            [
                'url = "mqtt://192.168.1.10"',
                "plain = true",
                'username = "花子"',
                'password_file = "/etc/hemsd/mqtt-password"',
            ],
        ),
    ],
)
def test_a_broker_is_written_down(url: str, username: str | None, said: list[str]) -> None:
    """In clear where its address says so, with a place for the password of root's; what it gets as it was chosen."""
    text = configuration(FRESH, KIT, Wishes(broker=broker_at(url, username), exposure="control"))
    assert [line for line in settings(text) if line != "[gateway.broker]"] == ['exposure = "control"', *said]
    config = parse(text, PLACE)
    assert (config.gateway.broker, config.gateway.exposure) == (broker_at(url, username), "control")


@pytest.mark.parametrize("url", ["192.168.1.10", "http://broker", "mqtt://user:secret@broker", "mqtt://a b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """By what the configuration would be refused for, and a password in it is not repeated."""
    with pytest.raises(ValueError, match="url") as refused:
        broker_at(url)
    assert "secret" not in str(refused.value)


def test_appliances_on_a_network_of_their_own_need_no_declaration() -> None:
    """A second interface is theirs, and the home network that it is kept apart from is named for the firewall."""
    machine = replace(FRESH, interfaces=(*FRESH.interfaces, interface("eth1", "10.0.0.1/24")))
    config = parse(configuration(machine, KIT, Wishes(appliances="eth1")), PLACE)
    assert (config.networks["home"].interface, config.lan.interface, config.accept) == ("eth1", "eth0", ())
    unknown = configuration(replace(machine, lan=None), KIT, Wishes(appliances="eth1"))
    assert settings(unknown) == ["[networks.home]", 'interface = "eth1"']


def test_appliances_on_the_network_of_everything_else_are_declared() -> None:
    """The commonest home: 6.4.3, with the requirements that it does not meet named in `accept`."""
    config = parse(configuration(FRESH, KIT, Wishes(appliances="eth0")), PLACE, lan="eth0")
    assert (config.profile, config.accept) == ("6.4.3", ("R33", "R43"))
    assert config.networks["home"].interface == "eth0"


def test_a_meter_on_a_network_interface() -> None:
    """A second-generation meter is named by the interface that leads to it."""
    config = parse(configuration(FRESH, KIT, Wishes(interface="wlan1")), PLACE)
    assert (config.meter.interface, config.meter.port) == ("wlan1", "auto")


@pytest.mark.parametrize(
    ("meter", "appliances", "profile"),
    [
        ("wlan1", None, "6.4.3"),
        ("wlan1", "eth1", "6.4.3"),
        ("wlan1", "eth0", "6.4.3"),
        ("eth0", None, "6.4.1"),
        ("eth0", "eth0", "6.4.1"),
        ("eth0", "eth1", "6.4.2"),
        ("eth1", "eth1", "6.4.2"),
    ],
)
def test_the_profile_follows_what_leads_where(meter: str, appliances: str | None, profile: str) -> None:
    """Whatever is chosen makes a configuration that nothing contradicts; the home network is eth0."""
    wishes = Wishes(interface=meter, appliances=appliances, peer="fe80::1")
    config = parse(configuration(FRESH, KIT, wishes), PLACE, lan="eth0")
    assert (config.profile, config.meter.peer) == (profile, "fe80::1")
    assert config.accept == (("R33", "R43") if (profile, appliances) == ("6.4.3", "eth0") else ())


def test_every_commented_line_can_be_made_to_say_something() -> None:
    """with_setting() finds each key of the configuration that is shipped, below its own table and no other."""
    table, found = "", 0
    for line in KIT.configuration.splitlines():
        if header := re.fullmatch(r"#?\[([a-z_.-]+)\]", line):
            table = header[1]
        elif (key := re.match(r"#([a-z_]+) = ", line)) and table in ("", "meter", "networks.home", "gateway"):
            before = KIT.configuration.splitlines()
            after = with_setting(KIT.configuration, table, key[1], "something").splitlines()
            changed = [line for line, old in zip(after, before, strict=True) if line != old]
            assert changed[-1] == f'{key[1]} = "something"'
            assert len(changed) <= 2
            found += 1
    assert found > 10


def test_which_port_is_taken() -> None:
    """USB before the pins, none where several are likely."""
    gadget = usb("/dev/ttyUSB5", "CH340", likely=False)
    assert likely_port(replace(FRESH, ports=(GPIO, STICK, gadget))) == STICK
    assert likely_port(replace(FRESH, ports=(GPIO, gadget))) == GPIO
    assert likely_port(replace(FRESH, ports=(STICK, usb("/dev/ttyUSB1")))) is None
    assert likely_port(replace(FRESH, ports=(gadget,))) is None


def test_which_interfaces_may_lead_to_appliances() -> None:
    """One that leads to nothing else before the LAN; none that is down, or that is on the LAN as well."""
    eth1, wlan0 = interface("eth1", "10.0.0.1/24"), interface("wlan0", "192.168.1.11/24")
    down = interface("wlan1", running=False)
    machine = replace(FRESH, interfaces=(*FRESH.interfaces, eth1, wlan0, down))
    assert appliance_interfaces(machine) == ["eth1", "eth0"]
    assert appliance_interfaces(replace(FRESH, interfaces=(eth1, down), lan="br0")) == ["eth1"]


def test_a_small_board_runs_one_process() -> None:
    """Below 512 MB, which is what a board of 512 MB has left for Linux."""
    assert single_is_better(replace(FRESH, memory_mb=427))
    assert not single_is_better(replace(FRESH, memory_mb=922))
