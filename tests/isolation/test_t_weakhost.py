"""T-WEAKHOST (G.9958: R14, R15, R23, R53): what listens for one world is not reached from another.

Linux takes what is for any of its addresses wherever it comes in (RFC 1122, 3.3.4.2). So it is tried by every link
at every address that we have, and the kernel has to say itself that nobody is there.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support import parts
from support.worlds import METRICS_PORT, NAMES, House, Probe, Worlds, address, outcomes

from hemsd.hub.messages import Health, MeterReading

pytestmark = pytest.mark.needs("ip", "root", "mosquitto")

OPEN: Mapping[tuple[str, int], frozenset[str]] = {
    ("tcp4", METRICS_PORT): frozenset({"lan"}),
    ("udp4", 3610): frozenset({"home"}),
    ("udp6", 3610): frozenset({"home", "meter"}),
}
"""What the daemon listens at, and from where it may be reached; there must not be anything else."""

LISTENING = {"tcp4": "0A", "tcp6": "0A", "udp4": "07", "udp6": "07"}  # as linux/tcp_states.h has it; udp: unconnected


def listening(worlds: Worlds) -> set[tuple[str, int]]:
    """All that listens on our host: protocol and port."""
    found = set()
    with worlds.us.entered():
        for kind, state in LISTENING.items():
            table = Path("/proc/thread-self/net") / (kind[:3] + ("6" if kind.endswith("6") else ""))
            for line in table.read_text().splitlines()[1:]:
                _, local, _, status, *_ = line.split()
                if status == state:
                    found.add((kind, int(local.rpartition(":")[2], 16)))
    return found


def knocking(kind: str, port: int) -> Iterator[Probe]:
    """By every link, at every address of ours."""
    for link in NAMES:
        for owner in NAMES:
            yield Probe(link, kind, address(owner, ours=True, version=kind[-1]), port)


def trespassers(worlds: Worlds, ports: Mapping[tuple[str, int], frozenset[str]]) -> list[Probe]:
    """Who was not turned away by the kernel though he came by a link that the port is not for."""
    probes = [probe for kind, port in ports for probe in knocking(kind, port)]
    controls = [Probe(link, "icmp4", address(link, ours=True)) for link in NAMES]
    found = outcomes(worlds, probes, controls)
    assert len(found) == 9 * len(ports)
    return [
        probe
        for probe, outcome in found.items()
        if outcome != "refused" and probe.link not in ports[probe.kind, probe.port]
    ]


async def test_each_port_is_reached_from_its_own_link_only(house: House) -> None:
    """Metrics from the LAN, UDP 3610 from the appliances or the meter; all else is refused; there is no more."""
    await house.hears(MeterReading)
    await house.hears(Health, lambda health: health.counters.get("home: online", 0) > 0)
    assert listening(house.worlds) == OPEN.keys()
    assert trespassers(house.worlds, OPEN) == []
    own = Probe("lan", "tcp4", address("lan", ours=True), METRICS_PORT)
    assert outcomes(house.worlds, (), [own]) == {}  # the control: by its own link there is somebody
    welcome = [Probe("home", "udp4", address("home", ours=True), 3610)]
    assert set(outcomes(house.worlds, welcome, [own]).values()) == {""}  # and here nobody refuses


@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "udp4", "udp6"])
def test_the_check_finds_a_server_that_is_bound_by_its_address_only(worlds: Worlds, kind: str) -> None:
    """The deliberate breach, and why a socket is kept to its interface: it is reached from all three links."""
    family = socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
    with worlds.us.entered():
        server = socket.socket(family, socket.SOCK_STREAM if kind.startswith("tcp") else socket.SOCK_DGRAM)
    with closing(server):
        server.bind((address("lan", ours=True, version=kind[-1]), 0))
        if kind.startswith("tcp"):
            server.listen()
        port = server.getsockname()[1]
        assert (kind, port) in listening(worlds)
        found = trespassers(worlds, {(kind, port): frozenset({"lan"})})
        assert {probe.link for probe in found} == {"meter", "home"}


def test_the_check_finds_a_port_that_forgets_its_interface(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deliberate breach with our own sockets: without SO_BINDTODEVICE every link gets to them."""
    from drivers import inet, tcp
    from drivers.interface import look

    monkeypatch.setattr(tcp, "holder_of", lambda _: None)
    bound = socket.socket.setsockopt

    class Forgetful(socket.socket):
        def setsockopt(self, level: int, option: int, value: int | bytes) -> None:  # type: ignore[override]
            if option != socket.SO_BINDTODEVICE:
                bound(self, level, option, value)

    monkeypatch.setattr(inet.socket, "socket", Forgetful)
    with worlds.us.entered():
        interface = look("home")
        assert interface is not None
        for where in (address("lan", ours=True), "0.0.0.0"):
            with closing(tcp.listen(where, 0)) as metrics:
                port = metrics.getsockname()[1]
                found = trespassers(worlds, {("tcp4", port): frozenset({"lan"})})
                assert {probe.link for probe in found} == {"meter", "home"}
        monkeypatch.setattr(inet, "ECHONET_PORT", 4610)  # the daemon has the real one
        with closing(inet.Inet4(interface).socket):
            found = trespassers(worlds, {("udp4", 4610): frozenset({"home"})})
            assert {probe.link for probe in found} == {"meter", "lan"}


async def test_groups_are_joined_on_their_own_interface(house: House) -> None:
    """224.0.23.0 on the appliances' interface and on no other, though the LAN might have a route for it."""
    await house.hears(Health)
    group = struct.unpack("=I", socket.inet_aton("224.0.23.0"))[0]
    joined, interface = set(), ""
    with house.worlds.us.entered():
        for line in Path("/proc/thread-self/net/igmp").read_text().splitlines()[1:]:
            if not line.startswith("\t"):
                interface = line.split()[1]
            elif int(line.split()[0], 16) == group:
                joined.add(interface)
    assert joined == {"home"}


def held(pid: int) -> dict[str, set[int]]:
    """The sockets of a process: ports by protocol, 0 where there are none."""
    inodes, found = set(), dict[str, set[int]]()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            inodes.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
    for kind, column in SOCKETS.items():
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[column] in inodes:
                local = fields[1].rpartition(":")[2] if column == 9 else ""
                found.setdefault(kind, set()).add(int(local or "0", 16))
    return found


SOCKETS = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "packet": 8, "netlink": 9, "unix": 6}
"""Tables of proc_net(5), and where they have the inode."""


async def test_as_three_processes_each_has_sockets_of_its_own_world_only(house: House, tmp_path: Path) -> None:
    """Hub and meter have none but AF_UNIX, the gateway listens to the LAN; the control: one process has them all."""
    await house.hears(MeterReading)
    whole = held(house.pid)
    assert {"tcp", "udp", "udp6", "unix"} <= whole.keys() and METRICS_PORT in whole["tcp"]
    port = METRICS_PORT + 1
    metrics = f'[lan]\ninterface = "lan"\n[gateway.metrics]\nlisten = "0.0.0.0:{port}"\n'
    async with parts.street() as street, parts.house(tmp_path / "three", street.port, metrics) as three:
        for part in parts.PARTS:
            await three.start(part, on=house.worlds.us)
        await three.hears(MeterReading)
        async with asyncio.timeout(parts.WITHIN_S):
            while ("tcp4", port) not in listening(house.worlds):
                await asyncio.sleep(0.02)
        assert trespassers(house.worlds, {("tcp4", port): frozenset({"lan"})}) == []
        own = Probe("lan", "tcp4", address("lan", ours=True), port)
        assert outcomes(house.worlds, (), [own]) == {}  # the control: by its own link there is somebody
        sockets = {part: held(three.processes[part].pid) for part in parts.PARTS}
    assert (sockets["hub"].keys(), sockets["routeb"].keys()) == ({"unix"}, {"unix"})
    assert sockets["gateway"].keys() == {"unix", "tcp"}
    assert sockets["gateway"]["tcp"] == {port}
