"""The profiles of G.9958 as a person meets them: examples that run, and configurations that do not start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Ran, hemsd
from support.daemon import PASSWORD, ROUTE_B_ID, Listener
from support.netns import Namespace

from drivers.interface import default_interface
from hemsd.cli.exits import Exit
from hemsd.daemon import run as daemon
from hemsd.daemon.check import check
from hemsd.daemon.config import Config, ConfigError, layout, load, parse
from hemsd.hub.profiles import check as contradictions
from hemsd.hub.requirements import EVERY
from hemsd.hub.wire import WireError, connect

EXAMPLES = sorted((Path(__file__).parents[2] / "config/profiles").glob("*.toml"))
LAN = '[lan]\ninterface = "eth0"\n'
FLAT = '[networks.home]\ninterface = "eth0"\n'
BROKER = '[gateway.broker]\nurl = "mqtt://127.0.0.1:9"\n'


def test_every_profile_has_an_example() -> None:
    """By its name; one more shows the commonest home, which declares what it does not meet."""
    profiles = {path.stem: load(path, {}) for path in EXAMPLES}
    assert {name: config.profile for name, config in profiles.items()} == {
        **{name: name for name in EVERY},
        "6.4.3-one-network": "6.4.3",
    }
    broken = {name: contradictions(layout(config)) for name, config in profiles.items()}
    assert {one.id for each in broken.pop("6.4.3-one-network") for one in each.requirements} == {"R33", "R43"}
    assert set(broken.values()) == {()}


def example(path: Path, directory: Path) -> Config:
    """One that can run here: its state in a directory of its own, nobody at the broker's address."""
    text = re.sub(r"^url = .*", 'url = "mqtt://127.0.0.1:9"', path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^ca_file.*", "", text, flags=re.MULTILINE).replace('port = "auto"', 'port = "/dev/hemsd-none"')
    credentials = directory / "credentials.toml"
    credentials.touch(0o600)
    credentials.write_text(f'id = "{ROUTE_B_ID}"\npassword = "{PASSWORD}"\n')
    text = text.replace("[meter]\n", '[meter]\ncredentials = "credentials.toml"\n')
    (directory / "hemsd.toml").write_text(
        f'{text}\n[daemon]\nstate_directory = "state"\noperator_socket = "socket"\n'
    )
    return load(directory / "hemsd.toml", {})


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
async def test_the_example_of_a_profile_runs(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T-PROFILE: it starts, says its profile, has a meter where the profile has one, and stops; nothing is denied."""
    listener = Listener(str(tmp_path / "notify"))
    caplog.set_level("INFO")
    config = example(path, tmp_path)
    running = asyncio.create_task(daemon.run(config, listener.environ))
    said: list[str] = []
    wanted = "STATUS=started" if config.profile == "6.2" else "STATUS=waiting"
    async with asyncio.timeout(10):
        while not any(wanted in each for each in said):
            said += listener.heard()
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    listener.close()
    declared = ", declared not to meet R33, R43" if config.accept else ""
    assert f"profile {config.profile}{declared}\n" in caplog.text
    assert "denied" not in caplog.text


# One for each profile: what contradicts it, the line that is blamed, and the requirement in its own words.
CONTRADICTIONS = [
    ("6.2", "", "", "R4 (6.2(1)): \"A smart meter is not connected to other components in the home"),
    ("6.3.1", '[meter]\ninterface = "eth0"\n' + BROKER, ":7", 'R15 (6.3.1(2)): "Services over a general purpose'),
    ("6.3.1", FLAT, "", 'R9 (6.3.1(1)): "A smart meter and a HEMS controller are connected to a general purpose'),
    ("6.3.2", FLAT, ":6", 'R18 (6.3.2(1)): "Meter, controller and appliances are connected to a HEMS-dedicated'),
    ("6.4.1", FLAT, "", 'R26 (6.4.1(1)): "All components with communication interfaces are connected to the general'),
    ("6.4.2", FLAT, ":6", 'R33 (6.4.2(1)): "The HEMS controller connects to its appliances by one or more HEMS-'),
    ("6.4.3", FLAT, ":6", 'R43 (6.4.3(2)): "Appliances do not communicate with a smart meter and a home gateway'),
]  # fmt: skip


async def command(directory: Path, *arguments: str) -> Ran:
    return await hemsd(*arguments, env={"HOME": str(directory), "PATH": "/usr/bin:/bin"}, directory=directory)


@pytest.mark.parametrize(("profile", "more", "line", "words"), CONTRADICTIONS)
async def test_a_contradiction_stops_the_start(
    tmp_path: Path, profile: str, more: str, line: str, words: str
) -> None:
    """T-PROFILE: `hemsd run` ends with exit code 2, and says where, against which requirement, in which words."""
    path = tmp_path / "hemsd.toml"
    path.write_text(f'version = 1\nprofile = "{profile}"\n{LAN}{more}')
    ended = await command(tmp_path, "run", "--config", str(path))
    assert ended.code == Exit.USAGE
    assert f"{path}{line}: " in ended.err
    assert words in ended.err
    assert [finding.text for finding in check(path)] == ended.err.removeprefix("hemsd: ").splitlines()


def test_appliances_have_no_place_without_a_controller() -> None:
    """In 6.2 there is none, so a network for appliances is refused, whatever is declared."""
    with pytest.raises(ConfigError, match=r':5: \[networks.home\] profile "6.2" has no HEMS controller'):
        parse(f'version = 1\nprofile = "6.2"\nmeter.port = "none"\n\n{FLAT}', Path("/etc/hemsd/hemsd.toml"), {})


async def test_a_meter_link_is_refused_on_the_command_line_as_well(tmp_path: Path) -> None:
    """In 6.2 `hemsd read --port` does not open one either; without a meter configured it says so."""
    path = tmp_path / "hemsd.toml"
    path.write_text('version = 1\nprofile = "6.2"\nmeter.port = "none"\n')
    ended = await command(tmp_path, "read", "--config", str(path), "--port", "/dev/hemsd-none", "power")
    assert ended.code == Exit.USAGE
    assert "R4 (6.2(1))" in ended.err
    ended = await command(tmp_path, "read", "--config", str(path), "--timeout", "5", "power")
    assert ended.code == Exit.PORT
    assert 'no link to a meter: [meter] port = "none"' in ended.err


def test_what_is_declared_in_vain_is_a_warning(tmp_path: Path) -> None:
    """A declaration that nothing needs hides what may come later."""
    path = tmp_path / "hemsd.toml"
    path.write_text('version = 1\nprofile = "6.2"\naccept = ["R33"]\nmeter.port = "none"\n')
    assert "accept declares R33, which this configuration does not break: take it out" in [
        finding.text for finding in check(path)
    ]


@pytest.fixture
def host() -> Iterator[Namespace]:
    host = Namespace()
    yield host
    host.remove()


@pytest.mark.needs("ip", "root")
def test_the_home_network_is_where_the_default_route_leads(host: Namespace, tmp_path: Path) -> None:
    """By IPv4, the lowest metric; else by IPv6. A configuration that does not name it is judged by that."""
    path = tmp_path / "hemsd.toml"
    path.write_text(f"version = 1\n{FLAT.replace('eth0', 'up1')}")

    def found() -> str | None:
        with host.entered():
            told = default_interface()
        load(path, {})  # nothing is said where it is not known
        return told

    assert found() is None
    host.ip("link", "add", "up1", "type", "veth", "peer", "name", "up2")
    for number in (1, 2):
        host.ip("link", "set", f"up{number}", "up")
        host.ip("address", "add", f"192.0.2.{number}/24", "dev", f"up{number}", "noprefixroute")
    host.ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "up2")
    assert found() == "up2"
    host.ip("route", "add", "default", "via", "192.0.2.254", "dev", "up2", "metric", "200", "onlink")
    host.ip("route", "add", "default", "via", "192.0.2.254", "dev", "up1", "metric", "100", "onlink")
    assert found() == "up1"
    with pytest.raises(ConfigError, match="R33"):
        load(path, {}, lan="up1")


async def test_nobody_is_a_home_gateway_where_there_is_none(tmp_path: Path) -> None:
    """In 6.3 whoever comes to the gateway's socket is told forbidden_profile; in 6.4 there is a place."""
    listener = Listener(str(tmp_path / "notify"))
    for name in ("6.3.2", "6.4.3"):
        config = example(next(path for path in EXAMPLES if path.stem == name), tmp_path)
        running = asyncio.create_task(daemon.run(config, listener.environ, part="hub"))
        async with asyncio.timeout(10):
            while not any("READY=1" in each for each in listener.heard()):
                await asyncio.sleep(0.01)
        if name == "6.3.2":
            with pytest.raises(WireError, match=r"forbidden_profile: profile 6\.3\.2 of ITU-T G\.9958 has no place"):
                async with connect(str(tmp_path / "gateway.sock")):
                    pass
        else:
            async with connect(str(tmp_path / "gateway.sock")) as seat:
                assert seat
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
    listener.close()


async def test_a_house_without_a_meter_says_so(tmp_path: Path) -> None:
    """Whoever reads the meter through such a daemon is told at once, not after ten minutes."""
    listener = Listener(str(tmp_path / "notify"))
    config = example(next(path for path in EXAMPLES if path.stem == "6.2"), tmp_path)
    running = asyncio.create_task(daemon.run(config, listener.environ))
    while not (tmp_path / "socket").exists():
        await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        ended = await command(tmp_path, "read", "--config", str(tmp_path / "hemsd.toml"), "power")
    assert (ended.code, ended.out) == (Exit.PORT, "")
    assert 'no link to a meter: [meter] port = "none"' in ended.err
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    listener.close()


@pytest.mark.needs("ip", "root")
def test_a_default_route_that_leads_elsewhere_is_tried_again(host: Namespace, tmp_path: Path) -> None:
    """It may be over in a moment, so the exit code has systemd start hemsd again; not what the file says."""
    path = tmp_path / "hemsd.toml"
    host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for name in ("eth0", "eth1"):
        host.ip("link", "set", name, "up")
    host.ip("address", "add", "192.0.2.1/24", "dev", "eth0")
    host.ip("route", "add", "default", "via", "192.0.2.254", "dev", "eth0")
    for named, code in (("", 1), (LAN, 2)):
        path.write_text(f"version = 1\n{FLAT}{named}")
        command = [sys.executable, "-m", "hemsd", "run", "--config", str(path)]
        with host.entered():
            ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert (ran.returncode, "R33" in ran.stderr, "[lan] interface" in ran.stderr) == (code, True, not named)
