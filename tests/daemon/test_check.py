from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PASSWORD, ROUTE_B_ID
from support.netns import street

from hemsd.daemon.check import Finding, Severity, check


class Home:
    """A configuration with everything it points to."""

    def __init__(self, directory: Path, port: str) -> None:
        self.directory = directory
        self.write("hemsd.toml", f'version = 1\n[meter]\nport = "{port}"\ncredentials = "credentials.toml"\n')
        self.add('[daemon]\nstate_directory = "state"\n')
        self.write("credentials.toml", f'id = "{ROUTE_B_ID}"\npassword = "{PASSWORD}"\n')
        (directory / "state").mkdir(mode=0o700)

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)
        (self.directory / name).chmod(0o600)

    def add(self, text: str) -> None:
        with (self.directory / "hemsd.toml").open("a") as file:
            file.write(text)

    def findings(self) -> list[Finding]:
        return check(self.directory / "hemsd.toml")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    ours, theirs = pty.openpty()
    yield Home(tmp_path, os.ttyname(theirs))
    os.close(ours)
    os.close(theirs)


def only(findings: list[Finding]) -> tuple[Severity, str]:
    (finding,) = findings
    return finding.severity, finding.text


def test_a_good_configuration_has_no_findings(home: Home) -> None:
    """Port, credentials and state directory in order: nothing to say."""
    assert home.findings() == []


def test_every_mistake_in_the_file_is_a_finding(home: Home) -> None:
    """Two wrong keys are two errors, and nothing else is looked at."""
    home.add("prot = 1\n[metre]\n")
    assert [finding.severity for finding in home.findings()] == [Severity.ERROR] * 2


def test_credentials_that_cannot_be_used_are_an_error(home: Home) -> None:
    """A credentials file open to others is found here, before the daemon starts."""
    (home.directory / "credentials.toml").chmod(0o644)
    severity, text = only(home.findings())
    assert severity is Severity.ERROR
    assert "chmod 600" in text


def test_a_module_that_is_not_plugged_in_is_a_warning(tmp_path: Path) -> None:
    """The daemon waits for a port that is missing; one that is no port it cannot use."""
    missing = Home(tmp_path, f"{tmp_path}/ttyUSB0")
    severity, text = only(missing.findings())
    assert severity is Severity.WARNING
    assert text == f"{tmp_path}/ttyUSB0: no such file or directory; is the module plugged in?"
    missing.write("ttyUSB0", "")
    severity, text = only(missing.findings())
    assert severity is Severity.ERROR
    assert "this is not a serial port" in text


def test_the_state_directory_must_be_private_if_it_is_there(home: Home) -> None:
    """One that others may enter is an error; a missing one is made at the first start."""
    (home.directory / "state").chmod(0o750)
    severity, text = only(home.findings())
    assert severity is Severity.ERROR
    assert "chmod 700" in text
    (home.directory / "state").rmdir()
    assert home.findings() == []


def test_the_provider_is_checked_too(home: Home) -> None:
    """As the broker of the house is."""
    home.add('[gateway.provider]\nurl = "mqtts://ingest.example.net"\nca_file = "provider-ca.pem"\n')
    severity, text = only(home.findings())
    assert severity is Severity.ERROR
    assert text.startswith(f"[gateway.provider] ca_file {home.directory}/provider-ca.pem: no such file")


def test_the_broker_is_checked_too(home: Home) -> None:
    """What keeps a connection from being made is an error; what should be changed all the same is a warning."""
    home.add(
        '[gateway.broker]\nurl = "mqtt://broker.home"\nplain = true\n'
        'username = "u"\npassword_file = "mqtt-password"\n'
    )
    severity, text = only(home.findings()[:1])
    assert severity is Severity.ERROR
    assert text.startswith(f"[gateway.broker] password_file {home.directory}/mqtt-password: no such file")
    home.write("mqtt-password", "secret")
    severity, text = only(home.findings())
    assert severity is Severity.WARNING
    assert "in clear" in text


def test_metrics_are_checked_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home network that cannot be told is a warning, what is not installed an error; an address is good."""
    home.add('[gateway.metrics]\nlisten = "0.0.0.0:9850"\n')
    monkeypatch.setattr("hemsd.daemon.check.default_interface", lambda: "eth0")
    assert home.findings() == []
    monkeypatch.setattr("hemsd.daemon.check.default_interface", lambda: None)
    severity, text = only(home.findings())
    assert severity is Severity.WARNING
    assert text.startswith("[gateway.metrics] 0.0.0.0 is for the home network only")
    home.write("hemsd.toml", (home.directory / "hemsd.toml").read_text().replace("0.0.0.0", "127.0.0.1"))
    assert home.findings() == []
    monkeypatch.setattr("hemsd.daemon.check.find_spec", lambda name: None)
    severity, text = only(home.findings())
    assert severity is Severity.ERROR
    assert "pip install 'hemsd[metrics]'" in text


@pytest.mark.needs("ip", "root")
def test_a_network_interface_is_looked_at_in_place_of_port_and_credentials(tmp_path: Path) -> None:
    """Not there or not usable: the daemon waits, so a warning; with other addresses it is used for more (R51)."""
    home = Home(tmp_path, "auto")
    (home.directory / "credentials.toml").unlink()
    home.write("hemsd.toml", 'version = 1\n[meter]\ninterface = "wl"\n[daemon]\nstate_directory = "state"\n')
    with street() as link:
        assert home.findings() == []
        link.home.ip("addr", "add", "2001:db8::1/64", "dev", "wl", "nodad")
        route, address = home.findings()
        assert {route.severity, address.severity} == {Severity.WARNING}
        assert "other networks" in route.text and route.text.endswith("(R51 of G.9958)")
        assert "(2001:db8::1/64)" in address.text and "nothing else" in address.text
        link.home.ip("link", "set", "wl", "down")
        assert only(home.findings())[1].startswith("wl is switched off")
        link.home.ip("link", "del", "wl")
        assert only(home.findings()) == (
            Severity.WARNING,
            "wl: there is no such network interface; `ip link` lists them",
        )


@pytest.mark.needs("ip", "root")
def test_the_networks_of_appliances_are_looked_at(home: Home) -> None:
    """Each interface as it is now: there, switched on, with the addresses that most appliances need."""
    home.add('[networks.home]\ninterface = "wl"\n')
    with street() as link:
        assert only(home.findings()) == (
            Severity.WARNING,
            "[networks.home] wl has no IPv4 address, and most appliances speak nothing else",
        )
        link.home.ip("addr", "add", "192.168.20.1/24", "dev", "wl")
        assert home.findings() == []
        link.home.ip("link", "set", "wl", "down")
        assert only(home.findings())[1].startswith("[networks.home] wl is switched off")
        link.home.ip("link", "del", "wl")
        assert only(home.findings())[1] == "wl: there is no such network interface; `ip link` lists them"


def test_names_without_a_network_are_told(home: Home) -> None:
    """They would name nothing; the rest works."""
    home.add('[appliances.living-ac]\nid = "0130-1f2e3d4c"\n')
    severity, text = only(home.findings())
    assert severity is Severity.WARNING
    assert "[networks.NAME]" in text
