"""The nftables ruleset in the kernel: what passes between four hosts without it, with it, and after it; T-NOFWD.

The house's own machine has forwarding switched on throughout, as beside Docker.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from support.netns import Namespace, wait_for_links

from drivers.interface import look
from hemsd.daemon import firewall
from hemsd.daemon.firewall import BELIEVED_S, FirewallError, Mark, apply, compare, remove, walled
from hemsd.daemon.ruleset import Walls

pytestmark = pytest.mark.needs("ip", "nft", "root")

INTERFACES = ("eth0", "eth1", "wlan1")  # to the home network, to appliances, to the meter
WALLS = Walls(meter=("wlan1",), networks=("eth1",))
WITHIN_S = 10.0
ports = itertools.count(20_000)  # that attempts come from
QUIET_S = 0.3  # nothing more comes: a veth delivers before send() returns, and a neighbour is found in milliseconds


class Town:
    """The house's machine, `home`, and one host behind each of its interfaces, which is also their way to others."""

    def __init__(self) -> None:
        self.home = Namespace()
        self.hosts = {name: Namespace() for name in INTERFACES}
        for number, (name, host) in enumerate(self.hosts.items(), 1):
            self.home.ip("link", "add", name, "type", "veth", "peer", "name", "wl", "netns", host.name)
            for side, end, last in ((self.home, name, 1), (host, "wl", 2)):
                side.ip("link", "set", "lo", "up")
                side.ip("address", "add", f"10.9.{number}.{last}/24", "dev", end)
                side.ip("address", "add", f"fd09:{number}::{last}/64", "dev", end, "nodad")
                side.ip("link", "set", end, "up")
            host.ip("route", "add", "default", "via", f"10.9.{number}.1")
            host.ip("-6", "route", "add", "default", "via", f"fd09:{number}::1")
        self.home.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        wait_for_links(*((host, "wl") for host in self.hosts.values()))
        wait_for_links(*((self.home, name) for name in INTERFACES))

    def remove(self) -> None:
        for each in (self.home, *self.hosts.values()):
            each.remove()


class Way(NamedTuple):
    """An attempt: from one host to an address and port of another."""

    source: Namespace
    target: Namespace
    address: str
    port: int
    kind: socket.SocketKind = socket.SOCK_DGRAM
    interface: str = ""  # of the source, for a link-local address

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    def __repr__(self) -> str:
        return f"{self.kind.name} to {self.address} port {self.port}"


def passed(*ways: Way, within_s: float = QUIET_S) -> set[Way]:
    """Which of the attempts arrive, told apart by the port that each comes from; returns as soon as all have."""
    with ExitStack() as open_:
        receivers: dict[tuple[object, ...], socket.socket] = {}
        for way in ways:
            if (key := (way.target, way.family, way.port, way.kind)) not in receivers:
                receivers[key] = open_.enter_context(opened(way.target, way, way.port))
                if way.kind is socket.SOCK_STREAM:
                    receivers[key].listen()
        sent = {next(ports): way for way in ways}
        for port, way in sent.items():
            sender = open_.enter_context(opened(way.source, way, port))
            with way.source.entered():
                scope = socket.if_nametoindex(way.interface) if way.interface else 0
            where = (way.address, way.port, 0, scope) if ":" in way.address else (way.address, way.port)
            with suppress(PermissionError):  # dropped on its way out
                assert sender.connect_ex(where) in (0, errno.EINPROGRESS)
                if way.kind is socket.SOCK_DGRAM:
                    sender.send(b"\x10\x81")
        arrived: set[Way] = set()
        end = time.monotonic() + within_s
        while len(arrived) < len(ways) and time.monotonic() < end:
            arrived |= {sent[port] for receiver in receivers.values() for port in come(receiver) if port in sent}
            time.sleep(0.005)
        return arrived


def opened(host: Namespace, way: Way, port: int) -> socket.socket:
    """A socket of that kind on a host, at a port."""
    with host.entered():
        made = socket.socket(way.family, way.kind)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if way.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("", port))
    return made


def come(receiver: socket.socket) -> Iterator[int]:
    """The ports that something has come from."""
    with suppress(BlockingIOError):
        while True:
            if receiver.type is socket.SOCK_STREAM:
                connection, source = receiver.accept()
                connection.close()
            else:
                _, source = receiver.recvfrom(100)
            yield source[1]


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    made = Town()
    try:
        yield made
    finally:
        with made.home.entered():
            firewall._mark_path().unlink(missing_ok=True)
        made.remove()


@pytest.fixture
def home(town: Town) -> Iterator[Town]:
    """The town, with this thread on the house's machine and no ruleset there."""
    with town.home.entered():
        remove()
        yield town
        remove()


@contextmanager
def standing(walls: Walls = WALLS) -> Iterator[None]:
    assert apply(walls)
    yield
    remove()


def crossings(town: Town) -> list[Way]:
    """From each host to each other one, through the house: UDP and TCP, IPv4 and IPv6; the meter's port, too."""
    kinds = ((3610, socket.SOCK_DGRAM), (8080, socket.SOCK_STREAM))
    return [
        Way(source, target, address, port, kind)
        for source in town.hosts.values()
        for number, target in enumerate(town.hosts.values(), 1)
        if target is not source
        for address in (f"10.9.{number}.2", f"fd09:{number}::2")
        for port, kind in kinds
    ]


def test_nothing_passes_while_the_rules_stand(home: Town) -> None:
    """T-NOFWD: with forwarding on everything gets through, with the ruleset nothing does, without it all again."""
    ways = crossings(home)
    assert passed(*ways, within_s=WITHIN_S) == set(ways)
    with standing():
        assert passed(*ways) == set()
    assert passed(*ways, within_s=WITHIN_S) == set(ways)


def test_the_home_network_is_left_alone(home: Town) -> None:
    """What came by eth0 reaches the house's machine as before, ssh included."""
    ways = [Way(home.hosts["eth0"], home.home, "10.9.1.1", port, socket.SOCK_STREAM) for port in (22, 1883)]
    with standing():
        assert passed(*ways, within_s=WITHIN_S) == set(ways)


def test_the_meter_hears_and_says_echonet_lite_only(home: Town) -> None:
    """Between link-local addresses, UDP 3610: both ways. Nothing else in, nothing else out."""
    meter = home.hosts["wlan1"]
    with meter.entered():
        theirs = look("wl")
    ours = look("wlan1")
    assert ours and ours.address and theirs and theirs.address
    allowed = [Way(meter, home.home, ours.address, 3610, interface="wl")]
    allowed += [Way(home.home, meter, theirs.address, 3610, interface="wlan1")]
    others = [
        Way(meter, home.home, ours.address, 3611, interface="wl"),
        Way(meter, home.home, ours.address, 22, socket.SOCK_STREAM, "wl"),
        Way(meter, home.home, "10.9.3.1", 3610),
        Way(meter, home.home, "10.9.1.1", 1883, socket.SOCK_STREAM),  # the address of another interface
        Way(home.home, meter, theirs.address, 3611, interface="wlan1"),
        Way(home.home, meter, "10.9.3.2", 3610),
        Way(home.home, meter, "10.9.3.2", 80, socket.SOCK_STREAM),
    ]
    assert passed(*allowed, *others, within_s=WITHIN_S) == {*allowed, *others}
    with standing():
        assert passed(*allowed, within_s=WITHIN_S) == set(allowed)
        assert passed(*others) == set()


def test_appliances_reach_echonet_lite_only(home: Town) -> None:
    """Not the broker, nor ssh unless it is admitted; and MQTT does not go out to them. What we begin is answered."""
    device = home.hosts["eth1"]
    allowed = [Way(device, home.home, address, 3610) for address in ("10.9.2.1", "fd09:2::1")]
    allowed += [Way(home.home, device, "10.9.2.2", 3610), Way(home.home, device, "10.9.2.2", 80, socket.SOCK_STREAM)]
    ssh = Way(device, home.home, "10.9.2.1", 22, socket.SOCK_STREAM)
    others = [
        Way(device, home.home, "10.9.2.1", 3611),
        Way(device, home.home, "10.9.2.1", 1883, socket.SOCK_STREAM),
        Way(device, home.home, "10.9.1.1", 1883, socket.SOCK_STREAM),
        Way(device, home.home, "fd09:1::1", 1883, socket.SOCK_STREAM),
        Way(home.home, device, "10.9.2.2", 1883, socket.SOCK_STREAM),
        Way(home.home, device, "fd09:2::2", 8883, socket.SOCK_STREAM),
    ]
    assert passed(*allowed, ssh, *others, within_s=WITHIN_S) == {*allowed, ssh, *others}
    with standing():
        assert passed(*allowed, within_s=WITHIN_S) == set(allowed)
        assert passed(ssh, *others) == set()
    with standing(Walls(networks=("eth1",), admitted=(22,))):
        assert passed(ssh, within_s=WITHIN_S) == {ssh}


def test_apply_is_idempotent_and_follows_the_configuration(home: Town) -> None:
    """What stands is not loaded again; what changed is, in place of the former."""
    assert apply(WALLS) and not apply(WALLS)
    assert compare(WALLS) == []
    assert compare(Walls(networks=("eth1",)))
    assert apply(Walls(networks=("eth1",)))
    assert "wlan1" not in subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout


def test_check_says_what_is_different(home: Town) -> None:
    """Rules that are missing, that are not ours, that are not there at all, and a configuration that has changed."""
    assert compare(WALLS) == ["table inet hemsd is not loaded"]
    apply(WALLS)
    nft("flush chain inet hemsd network_out")
    nft('add rule inet hemsd forward iifname "eth9" accept')
    assert compare(WALLS) == [
        'chain forward: not ours: iifname "eth9" accept',
        'chain network_out: missing: oifname "eth1" tcp dport { 1883, 8883 } counter reject with tcp reset',
    ]
    assert apply(WALLS) and compare(WALLS) == []
    (text, *_) = compare(Walls(meter=("wlan1",), networks=("eth1",), admitted=(22,)))
    assert (
        text == "since it was loaded the configuration changed: chain network_only: missing: tcp dport { 22 } accept"
    )
    nft("flush ruleset")
    assert compare(WALLS) == ["table inet hemsd is not loaded"]


def nft(command: str) -> None:
    subprocess.run(["nft", command], check=True, timeout=30)


def test_other_tables_are_left_alone(home: Town) -> None:
    """Loading and removing touches no rule of anybody else."""
    nft("add table inet others")
    apply(WALLS)
    remove()
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert listed == "table inet others\n"
    nft("delete table inet others")


def test_whoever_is_logged_in_over_such_a_network_is_not_locked_out(home: Town) -> None:
    """While a connection to ssh stands there, nothing is loaded unless ssh stays open."""
    with ExitStack() as open_:
        server = open_.enter_context(socket.create_server(("10.9.2.1", 22)))
        with home.hosts["eth1"].entered():
            client = open_.enter_context(socket.socket())
        client.settimeout(WITHIN_S)
        client.connect(("10.9.2.1", 22))
        open_.enter_context(server.accept()[0])
        with pytest.raises(FirewallError, match=r"over eth1.*admit_tcp = \[22\]"):
            apply(WALLS)
        assert compare(WALLS) == ["table inet hemsd is not loaded"]
        assert apply(Walls(networks=("eth1",), admitted=(22,)))


def test_it_takes_netlink_and_nothing_else(home: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unit has no other family of sockets."""
    kind = socket.socket

    def allowed(family: int = socket.AF_INET, *more: int) -> socket.socket:
        if family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return kind(family, *more)

    monkeypatch.setattr(socket, "socket", allowed)
    assert apply(WALLS) and compare(WALLS) == []


def test_the_mark_is_believed_for_a_while_and_here_only(home: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """By anybody who can read it: not when it is old, on another host, or writable by others than root."""
    assert walled() == frozenset()
    apply(WALLS)
    assert walled() == {"eth1", "wlan1"}
    path = firewall._mark_path()
    assert path.stat().st_mode & 0o777 == 0o644
    with home.hosts["eth0"].entered():
        assert walled() == frozenset()
    os.chown(path, 65534, 65534)
    assert walled() == frozenset()
    os.chown(path, 0, 0)
    path.chmod(0o666)
    assert walled() == frozenset()
    path.chmod(0o644)
    assert walled() == {"eth1", "wlan1"}
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "clock_gettime", lambda _: now + BELIEVED_S + 60)
    assert walled() == frozenset()
    monkeypatch.setattr(time, "clock_gettime", lambda _: now - 3600)  # of before this machine was started
    assert walled() == frozenset()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"interfaces":["eth1"]}', bytes(1 << 17)])
def test_a_mark_that_is_none_is_not_believed(home: Town, content: bytes) -> None:
    """Whatever is in it."""
    apply(WALLS)
    firewall._mark_path().write_bytes(content)
    assert walled() == frozenset()
    assert compare(WALLS) and apply(WALLS)
    assert isinstance(firewall._mark(), Mark)


CONFIGURATION = """version = 1
lan.interface = "eth0"
meter.interface = "wlan1"
[networks.home]
interface = "eth1"
"""


def hemsd(directory: Path, action: str, text: str = CONFIGURATION) -> subprocess.CompletedProcess[str]:
    (directory / "hemsd.toml").write_text(text)
    command = [sys.executable, "-m", "hemsd", "firewall", action, "--config", str(directory / "hemsd.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_command(home: Town, tmp_path: Path) -> None:
    """apply, check and remove say what they did, and check by its exit code whether the rules stand."""
    missing = hemsd(tmp_path, "check")
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (1, "table inet hemsd is not loaded")
    assert hemsd(tmp_path, "apply").stdout == "loaded: nothing passes to or from wlan1, eth1\n"
    assert hemsd(tmp_path, "apply").stdout.startswith("it stood already")
    assert hemsd(tmp_path, "check").returncode == 0
    unclear = hemsd(tmp_path, "apply", CONFIGURATION.replace('lan.interface = "eth0"', ""))
    assert unclear.returncode == 2 and "in [lan]" in unclear.stderr
    assert hemsd(tmp_path, "apply", "version = 1\n").returncode == 0  # a serial meter and no network: nothing to do
    assert compare(WALLS) == ["table inet hemsd is not loaded"]
    assert hemsd(tmp_path, "remove").returncode == 0


AS_NOBODY = """
import os
from hemsd.daemon.firewall import FirewallError, remove  # while it may still be read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    remove()
except FirewallError as error:
    print(error)
"""


def test_a_plain_user_is_told_to_be_root(home: Town) -> None:
    """In a sentence, and whatever is in PATH, which for a plain user does not lead to the programs of root."""
    apply(WALLS)
    for marked in (True, False):
        if not marked:
            firewall._mark_path().unlink()
        command = [sys.executable, "-c", AS_NOBODY]
        ran = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=30)
        assert ("sudo" in ran.stdout, ran.stderr) == (True, "")
    assert compare(WALLS)[0].endswith("since this machine was started")
