"""Network namespaces made by a test, two with a link or several on a switch; the kernel's own, so root makes them."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from drivers.interface import look

CLONE_NEWNET = 0x40000000  # linux/sched.h
ETH_P_ALL = 0x0003
WITHIN_S = 10.0  # the kernel looks at a carrier once a second
_numbers = itertools.count()


class Namespace:
    """One host. Sockets stay in the namespace in which they were made."""

    def __init__(self) -> None:
        self.name = f"hemsd-{os.getpid()}-{next(_numbers)}"
        run("ip", "netns", "add", self.name)
        # Link-local addresses at once; in a container, where this is read-only, they take the kernel's two seconds.
        self.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad || true")

    def ip(self, *words: str) -> None:
        run("ip", "-n", self.name, *words)

    def run(self, *command: str) -> None:
        run("ip", "netns", "exec", self.name, *command)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on that host meanwhile."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(home)
            os.close(there)

    def remove(self) -> None:
        run("ip", "netns", "del", self.name)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30, capture_output=True)


def wait_for_links(*ends: tuple[Namespace, str]) -> None:
    """Until each of these interfaces has a carrier and a link-local address that can be used."""

    def trouble(host: Namespace, name: str) -> str | None:
        with host.entered():
            found = look(name)
        return "not there" if found is None else found.trouble()

    end = time.monotonic() + WITHIN_S
    while any(trouble(*each) for each in ends):
        assert time.monotonic() < end, "the link does not come up"
        time.sleep(0.005)


class Street:
    """Two hosts, `home`, and `grid` where the meter is, joined by `wl`."""

    def __init__(self, home: Namespace, grid: Namespace) -> None:
        self.home = home
        self.grid = grid

    def join(self, name: str = "wl") -> None:
        """Make an interface of this name on both, switch it on, and wait until the kernel says that it works."""
        index = next(_numbers) + 100
        home = f"ip link add {name} index {index} address 02:00:00:00:00:01 netns {self.home.name} type veth"
        # Another index, or the kernel puts its look at the carrier off for a second (linkwatch_urgent_event).
        grid = f"peer name {name} index {index + 1000} address 02:00:00:00:00:02 netns {self.grid.name}"
        run(*home.split(), *grid.split())
        self.up(name)

    def up(self, name: str = "wl") -> None:
        """Switch it on at both ends."""
        sides = (self.home, self.grid)
        for side in sides:
            side.ip("link", "set", name, "up")
        wait_for_links(*((side, name) for side in sides))

    def address(self, side: Namespace, name: str = "wl") -> str:
        """The link-local address of an interface."""
        with side.entered():
            found = look(name)
        assert found is not None and found.address is not None
        return found.address

    def socket(self, side: Namespace, source: str = "::", port: int = 0, name: str = "wl") -> socket.socket:
        """A plain UDP socket on one side of the link; `source` may be any address that side has."""
        with side.entered():
            plain = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
            index = socket.if_nametoindex(name)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        plain.bind((source, port, 0, index))
        return plain

    def capture(self, name: str = "wl") -> Capture:
        """Everything that passes on the meter's side from now on."""
        with self.grid.entered():
            return Capture(name)


@contextmanager
def street() -> Iterator[Street]:
    """Both hosts, with this thread on `home` meanwhile."""
    home, grid = Namespace(), Namespace()
    try:
        built = Street(home, grid)
        built.join("wl")
        with home.entered():
            yield built
    finally:
        home.remove()
        grid.remove()


class Segment:
    """Hosts on one switch, each by an interface `wl`, with an IPv4 address and a link-local IPv6 address."""

    def __init__(self) -> None:
        self._switch = Namespace()
        self._hosts: list[Namespace] = []
        self._switch.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self._switch.ip("link", "set", "br0", "up")

    def hosts(self, count: int) -> list[Namespace]:
        """Join hosts 1 to `count`, and wait until their addresses can be used; multicast needs no interface there."""
        joined = [self._join(number) for number in range(1, count + 1)]
        wait_for_links(*((host, "wl") for host in joined))
        return joined

    @staticmethod
    def address(number: int) -> str:
        """Of a host."""
        return f"10.91.0.{number}"

    def _join(self, number: int) -> Namespace:
        host = Namespace()
        self._hosts.append(host)
        index = next(_numbers) + 100
        plug = f"ip link add port{index} index {index + 1000} netns {self._switch.name} type veth"
        run(*plug.split(), *f"peer name wl index {index} netns {host.name}".split())
        self._switch.ip("link", "set", f"port{index}", "master", "br0", "up")
        host.ip("link", "set", "lo", "up")
        host.ip("address", "add", f"{self.address(number)}/24", "broadcast", "+", "dev", "wl")
        host.ip("link", "set", "wl", "up")
        host.ip("route", "add", "224.0.0.0/4", "dev", "wl")
        return host

    def remove(self) -> None:
        for each in (*self._hosts, self._switch):
            each.remove()


@contextmanager
def segment() -> Iterator[Segment]:
    """A switch, to which hosts are joined."""
    built = Segment()
    try:
        yield built
    finally:
        built.remove()


class Capture:
    """Ethernet frames, by a packet socket."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((name, ETH_P_ALL))
        self._socket.setblocking(False)
        self.frames: list[bytes] = []

    def seen(self) -> list[bytes]:
        """All so far."""
        with suppress(BlockingIOError):
            while True:
                self.frames.append(self._socket.recv(65536))
        return self.frames

    def stop(self) -> list[bytes]:
        try:
            return self.seen()
        finally:
            self._socket.close()
