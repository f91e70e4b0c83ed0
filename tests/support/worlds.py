"""A house of four hosts: ourselves between the meter, an appliance and the home gateway, each on a link of its own.

All links have IPv4 and routable IPv6 addresses, the meter's too, and the others' default routes lead to us: it is
not for want of addresses or routes that nobody gets through.
"""

from __future__ import annotations

import asyncio
import errno
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hemsd.hub.messages import Domain, Message, MeterProperty, MeterStatus, ReadMeter
from hemsd.hub.wire import connect
from support.netns import Capture, Namespace, run, wait_for_links

M = TypeVar("M", bound=Message)

WITHIN_S = 30.0
SETTLED_S = 0.3  # after the last control came through: a probe sent before it has got there, or never will
ECHO_PORT = 7777
METRICS_PORT = 9850
NAMES = ("meter", "home", "lan")  # of the links, as of our interfaces
NETS: Mapping[str, int] = {"meter": 10, "home": 20, "lan": 30}
KINDS = ("tcp4", "tcp6", "udp4", "udp6", "icmp4", "icmp6")
ECHO_REQUEST = {"icmp4": bytes.fromhex("0800f7fd00010001"), "icmp6": bytes.fromhex("8000000000010001")}
# Health every half second, and no other difference to `hemsd run`.
DAEMON = """
from hemsd.appliances import steward
from hemsd.cli import main
steward.HEALTH_SOON_S = steward.HEALTH_S = 0.5
raise SystemExit(main())
"""


def address(link: str, *, ours: bool, version: str = "4") -> str:
    """Of one end of a link."""
    end = 1 if ours else 2
    return f"192.168.{NETS[link]}.{end}" if version == "4" else f"fd00:{NETS[link]}::{end}"


class Worlds:
    """The hosts and links. `us` is where the daemon is; `others` by the link that they are on."""

    def __init__(self, stack: ExitStack) -> None:
        self.us = self._host(stack)
        self.others = {name: self._host(stack) for name in NAMES}
        for number, name in enumerate(NAMES, 1):
            other = self.others[name]
            # Different indices, or the kernel puts its look at the carrier off for a second (see support.netns).
            here = f"ip link add {name} index {number + 10} netns {self.us.name} type veth"
            run(*here.split(), *f"peer name wl index {number + 1000} netns {other.name}".split())
            for host, ours, interface in ((self.us, True, name), (other, False, "wl")):
                host.ip("address", "add", f"{address(name, ours=ours)}/24", "broadcast", "+", "dev", interface)
                host.ip("link", "set", interface, "up")
                host.ip("address", "add", f"{address(name, ours=ours, version='6')}/64", "dev", interface, "nodad")
            self.restore(name)
        for setting in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
            self._set(setting, 0)  # so that everybody who is refused hears of it
        wait_for_links(*((self.us, name) for name in NAMES), *((other, "wl") for other in self.others.values()))

    def restore(self, name: str) -> None:
        """What the far end of a link loses when it is switched off: routable IPv6 addresses, and its routes."""
        other = self.others[name]
        other.ip("address", "replace", f"{address(name, ours=False, version='6')}/64", "dev", "wl", "nodad")
        for version in "46":
            other.ip(f"-{version}", "route", "replace", "default", "via", address(name, ours=True, version=version))

    @staticmethod
    def _host(stack: ExitStack) -> Namespace:
        host = Namespace()
        stack.callback(host.remove)
        host.ip("link", "set", "lo", "up")
        return host

    def link_local(self, name: str, *, ours: bool) -> str:
        """The link-local address of one end of a link."""
        from drivers.interface import look

        host, interface = (self.us, name) if ours else (self.others[name], "wl")
        with host.entered():
            found = look(interface)
        assert found is not None and found.address is not None
        return found.address

    def socket(self, name: str, family: int = socket.AF_INET, source: str = "", port: int = 0) -> socket.socket:
        """A plain UDP socket of another host."""
        with self.others[name].entered():
            plain = socket.socket(family, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("wl")
            if family == socket.AF_INET6:
                plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                plain.bind((source or "::", port, 0, index if source.startswith("fe80") else 0))
            else:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                plain.bind((source, port))
        return plain

    def capture(self, name: str) -> Capture:
        """Everything that passes on a link from now on, seen at its far end."""
        with self.others[name].entered():
            return Capture("wl")

    def _set(self, setting: str, value: int) -> None:
        """A sysctl of our host."""
        self.us.run("sh", "-c", f"echo {value:d} >/proc/sys/net/{setting}")

    def forwarding(self, *, on: bool) -> None:
        """Let the kernel of our host forward, or not."""
        for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self._set(setting, on)


@dataclass(frozen=True)
class Probe:
    """Somebody tries to reach an address and port; of ICMP there is no port."""

    link: str  # of whom
    kind: str  # of KINDS
    to: str
    port: int = ECHO_PORT


def outcomes(worlds: Worlds, probes: Iterable[Probe], controls: Iterable[Probe]) -> dict[Probe, str]:
    """What becomes of each: reached, refused, or "" for nothing heard; not before all controls got through."""
    probes, controls = tuple(probes), tuple(controls)
    found = dict.fromkeys((*probes, *controls), "")
    with ExitStack() as stack:
        opened = {stack.enter_context(_open(worlds, probe)): probe for probe in (*probes, *controls)}
        waiting = set(opened)
        end = time.monotonic() + WITHIN_S
        settled: float | None = None
        while waiting and time.monotonic() < (end if settled is None else settled):
            readable, writable, _ = select.select(waiting, [s for s in waiting if _is_tcp(opened[s])], [], 0.05)
            for ready in {*readable, *writable}:
                if outcome := _outcome(ready, opened[ready].kind):
                    found[opened[ready]] = outcome
                    waiting.discard(ready)
            if settled is None and all(found[control] for control in controls):
                settled = time.monotonic() + SETTLED_S
    unreached = [control for control in controls if found[control] != "reached"]
    assert not unreached, f"the controls do not work: {unreached}"
    return {probe: found[probe] for probe in probes}


def _is_tcp(probe: Probe) -> bool:
    return probe.kind.startswith("tcp")


def _open(worlds: Worlds, probe: Probe) -> socket.socket:
    family = socket.AF_INET6 if probe.kind.endswith("6") else socket.AF_INET
    kinds = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0)}
    icmp = (socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP)
    with worlds.others[probe.link].entered():
        made = socket.socket(family, *kinds.get(probe.kind[:-1], icmp))
    made.setblocking(False)
    with suppress(BlockingIOError):
        made.connect((probe.to, 0 if probe.kind.startswith("icmp") else probe.port))
    if not _is_tcp(probe):
        made.send(ECHO_REQUEST.get(probe.kind, b"hello"))
    return made


def _outcome(ready: socket.socket, kind: str) -> str:
    if kind.startswith("tcp"):
        error = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return "reached" if error == 0 else "refused" if error == errno.ECONNREFUSED else ""
    try:
        answer = ready.recv(2048)
    except ConnectionRefusedError:
        return "refused"
    except OSError:  # no route: as good as nothing
        return ""
    if kind == "icmp4":
        answer = answer[20:]
    return "" if kind.startswith("icmp") and answer[0] not in (0, 129) else "reached"  # an echo reply


@contextmanager
def echoing(host: Namespace, port: int = ECHO_PORT) -> Iterator[None]:
    """A host answers TCP and UDP on a port at all of its addresses."""
    program = """
import selectors, socket, sys
port, poll = int(sys.argv[1]), selectors.DefaultSelector()
for family, any_ in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        made = socket.socket(family, kind)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((any_, port))
        if kind == socket.SOCK_STREAM:
            made.listen()
        poll.register(made, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in poll.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, whom = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(data, whom)
"""
    with running(host, "-c", program, str(port), told="ready"):
        yield


@contextmanager
def running(host: Namespace, *arguments: str, told: str = "") -> Iterator[subprocess.Popen[str]]:
    """A Python process on a host, until the end of the block; with `told` it says so when it is ready."""
    command = ["ip", "netns", "exec", host.name, sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if told:
                assert process.stdout is not None and told in process.stdout.readline()
            yield process
        finally:
            process.terminate()


class Ear:
    """What an operator hears of a daemon that has its files in a directory."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "operator.sock"
        self._directory = directory

    async def hears(
        self, kind: type[M], suits: Callable[[M], bool] = lambda message: True, *asked: Message, count: int = 1
    ) -> M:
        """The latest of so many messages that an operator hears from now on, after he `asked` something."""
        async with asyncio.timeout(WITHIN_S):
            while not self.socket.exists():
                await asyncio.sleep(0.02)
            async with connect(self.socket) as seat:
                for message in asked:
                    seat.publish(message)
                async for message in seat.messages():
                    if isinstance(message, kind) and suits(message):
                        count -= 1
                        if not count:
                            return message
        raise AssertionError("the daemon has hung up")

    async def status(self, suits: Callable[[MeterStatus], bool] = lambda status: status.online) -> MeterStatus:
        """How the meter stands now, once that suits: told after a question of ours, never one that was kept."""
        question = ReadMeter(request="status", asker=Domain.OPERATOR, epcs=(0xE7,))
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with connect(self.socket) as seat:
                    seat.publish(question)
                    async for message in seat.messages():
                        if isinstance(message, MeterStatus):
                            status = message
                        elif isinstance(message, MeterProperty) and message.request == question.request:
                            break
                    else:
                        raise AssertionError("the daemon has hung up")
                if suits(status):
                    return status

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    @contextmanager
    def daemon(self, host: Namespace) -> Iterator[int]:
        """`hemsd run` on a host, with the configuration that is in the directory; its process id."""
        command = ["ip", "netns", "exec", host.name, sys.executable, "-c", DAEMON]
        config = ("run", "--config", str(self._directory / "hemsd.toml"))
        with (
            (self._directory / "log").open("w") as log,
            subprocess.Popen([*command, *config], stderr=log) as process,
        ):
            try:
                yield process.pid
                assert process.poll() is None, self.log
            finally:
                process.terminate()
        assert "Traceback" not in self.log, self.log


class House(Ear):
    """The four worlds inhabited: `hemsd run` in the middle, a simulated meter, appliances, and a broker."""

    def __init__(self, worlds: Worlds, directory: Path) -> None:
        super().__init__(directory)
        self.worlds = worlds
        (directory / "hemsd.toml").write_text(f"""version = 1
daemon.state_directory = "state"
daemon.operator_socket = "operator.sock"
lan.interface = "lan"
meter.interface = "meter"
meter.live_s = 1
meter.watched_s = 1
meter.allow_fast_polling = true
networks.home.interface = "home"
gateway.exposure = "control"
gateway.broker.url = "mqtt://{address("lan", ours=False)}"
gateway.broker.plain = true
gateway.metrics.listen = "{address("lan", ours=True)}:{METRICS_PORT}"
""")

    @contextmanager
    def inhabited(self) -> Iterator[House]:
        """All of it runs."""
        simulator, others = "hemsd.simulator", self.worlds.others
        appliances = ("--appliances", "wl", "--address", address("home", ours=False))
        with ExitStack() as stack:
            stack.enter_context(self._broker())
            stack.enter_context(running(others["meter"], "-m", simulator, "--interface", "wl", told="interface"))
            stack.enter_context(running(others["home"], "-m", simulator, *appliances, told="192.168."))
            self.pid = stack.enter_context(self.daemon(self.worlds.us))
            yield self

    @contextmanager
    def _broker(self) -> Iterator[None]:
        config = self._directory / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener 1883 {address('lan', ours=False)}\nallow_anonymous true\nlog_dest none\n"
        )
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        command = ["ip", "netns", "exec", self.worlds.others["lan"].name, program, "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as broker:
            try:
                yield
            finally:
                broker.terminate()
