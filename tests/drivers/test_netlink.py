"""What the kernel is asked of interfaces, held against what ip(8) and sysctl(8) have set; and bytes of no kernel."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.netns import Namespace

from drivers.interface import Watch, default_interface
from drivers.netlink import EVERYTHING, Surroundings, survey
from drivers.rtnetlink import RTM_GETADDR, RTM_GETLINK, RTM_GETNETCONF, RTM_GETROUTE, End, Malformed, parse, request

WITHIN_S = 10.0
needs_namespaces = pytest.mark.needs("ip", "root")


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A host with two interfaces that are each other's other end, and this thread on it."""
    made = Namespace()
    try:
        made.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth0")
        for name in ("lo", "eth0", "eth1"):
            made.ip("link", "set", name, "up")
        with made.entered():
            yield made
    finally:
        made.remove()


@contextmanager
def user(number: int) -> Iterator[None]:
    """This process has the rights of a user meanwhile: none with 65534, all with 0."""
    before = os.geteuid()
    os.seteuid(0)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.seteuid(before)


def sysctl(host: Namespace, setting: str) -> None:
    host.run("sysctl", "-q", "-w", setting)


def around(name: str = "eth1") -> Surroundings:
    return survey([name])[name]


@needs_namespaces
def test_an_interface_and_its_addresses_and_routes(host: Namespace) -> None:
    """As ip(8) made them; what is for this machine itself, multicast included, is no route to others."""
    host.ip("address", "add", "192.168.7.1/24", "dev", "eth1")
    host.ip("route", "add", "10.0.0.0/8", "via", "192.168.7.9")
    host.ip("-6", "route", "add", "default", "via", "fe80::9", "dev", "eth1", "metric", "7")
    found = around()
    assert found.exists and ip_interface("192.168.7.1/24") in found.addresses
    beyond = {str(route.destination): route.gateway for route in found.routes}
    assert beyond == {"192.168.7.0/24": False, "10.0.0.0/8": True, "::/0": True, "fe80::/64": False}
    assert around("eth7") == Surroundings(name="eth7")


@needs_namespaces
def test_the_default_route(host: Namespace) -> None:
    """IPv4's before IPv6's, and of several the one of the lowest metric."""
    assert default_interface() is None
    host.ip("-6", "route", "add", "default", "dev", "eth1")
    assert default_interface() == "eth1"
    host.ip("route", "add", "default", "dev", "eth1", "metric", "200")
    host.ip("route", "add", "default", "dev", "eth0", "metric", "100")
    host.ip("route", "add", "unreachable", "default", "metric", "1")  # leads nowhere
    assert default_interface() == "eth0"


@needs_namespaces
def test_a_route_with_several_ways_leads_over_each(host: Namespace) -> None:
    """Multipath routes count for all of their interfaces."""
    host.ip("address", "add", "192.168.7.1/24", "dev", "eth1")
    host.ip("route", "add", "10.0.0.0/8", "nexthop", "via", "192.168.7.9", "nexthop", "dev", "eth0")
    for name in ("eth0", "eth1"):
        (route,) = [each for each in around(name).routes if each.destination == ip_network("10.0.0.0/8")]
        assert route.gateway


@needs_namespaces
@pytest.mark.parametrize(
    ("setting", "field", "told"),
    [
        ("net.ipv4.ip_forward=1", "forwards", ("IPv4",)),
        ("net.ipv4.conf.eth1.forwarding=1", "forwards", ("IPv4",)),
        ("net.ipv4.conf.eth0.forwarding=1", "forwards", ("IPv4",)),  # to eth1
        ("net.ipv6.conf.all.forwarding=1", "forwards", ("IPv6",)),
        ("net.ipv4.conf.eth1.proxy_arp=1", "proxies", ("ARP",)),
        ("net.ipv4.conf.all.proxy_arp=1", "proxies", ("ARP",)),
        ("net.ipv6.conf.eth1.proxy_ndp=1", "proxies", ("NDP",)),
        ("net.ipv6.conf.all.proxy_ndp=1", "proxies", ("NDP",)),
        ("net.ipv4.conf.eth0.proxy_arp=1", "proxies", ()),  # of another one
        ("net.ipv4.conf.default.forwarding=1", "forwards", ()),  # of none there is
        ("net.ipv4.conf.lo.forwarding=1", "forwards", ()),
        ("net.ipv6.conf.eth1.forwarding=1", "forwards", ()),  # it is a router's, which forwards nothing yet
    ],
)
def test_what_is_done_for_others(host: Namespace, setting: str, field: str, told: tuple[str, ...]) -> None:
    """Each switch by itself, and that all are off at first."""
    assert getattr(around(), field) == ()
    sysctl(host, setting)
    assert getattr(around(), field) == told


@needs_namespaces
def test_bridges_and_what_is_stacked(host: Namespace) -> None:
    """Whose port an interface is, and what is made upon it; the other end of a cable is neither."""
    assert (around().master, around().lower, around().uppers) == (None, None, ())
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "set", "eth1", "master", "br0")
    host.ip("link", "add", "mac0", "link", "eth0", "type", "macvlan")
    assert (around().master, around().master_kind) == ("br0", "bridge")
    assert (around("eth0").uppers, around("mac0").lower) == (("mac0",), "eth0")


@needs_namespaces
def test_a_name_that_is_no_text_can_be_told(host: Namespace) -> None:
    """The kernel takes any bytes; what it is called by here can be written and sent."""
    host.ip("link", "add", "br\udcff", "type", "bridge")
    host.ip("link", "set", "eth1", "master", "br\udcff")
    assert around().master == r"br\xff"


@needs_namespaces
async def test_every_change_is_told_without_any_right(host: Namespace) -> None:
    """To a process of nobody: each kind of change wakes it, and it can see what changed."""
    with user(65534):
        changed = asyncio.Event()
        watch = Watch(changed.set, EVERYTHING)
        try:
            for command in (
                "sysctl -q -w net.ipv4.ip_forward=1",
                "sysctl -q -w net.ipv6.conf.all.forwarding=1",
                "sysctl -q -w net.ipv4.conf.eth1.proxy_arp=1",
                "sysctl -q -w net.ipv6.conf.eth1.proxy_ndp=1",
                "ip address add 192.168.7.1/24 dev eth1",
                "ip route add default dev eth1",
                "ip -6 route add default dev eth1",
                "ip link add br0 type bridge",
                "ip link set eth1 master br0",
            ):
                changed.clear()
                before = around()
                with user(0):
                    host.run(*command.split())
                async with asyncio.timeout(WITHIN_S):
                    await changed.wait()
                assert around() != before or command.startswith("ip link add"), command
        finally:
            watch.close()


# --- bytes

KINDS = (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNETCONF)


def recorded() -> list[bytes]:
    """What this machine's kernel says of itself now."""
    answers = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(1)
        for kind in KINDS:
            asking.send(request(kind, socket.AF_UNSPEC if kind == RTM_GETLINK else socket.AF_INET, 1))
            while True:
                answers.append(asking.recv(65536))
                if any(isinstance(each, End) for each in parse(answers[-1], 1)):
                    break
    return answers


RECORDED = recorded()


@given(st.data())
def test_no_bytes_do_harm(data: st.DataObject) -> None:
    """What was cut off, changed anywhere or made up is read or Malformed, never anything else."""
    whole = bytearray(data.draw(st.sampled_from(RECORDED) | st.binary(max_size=200)))
    for _ in range(data.draw(st.integers(0, 4))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        items = list(parse(bytes(whole[:cut]), 1))
    except Malformed:
        return
    assert len(items) <= cut // 16


@pytest.mark.parametrize("size", [17, 15, 0])
def test_a_length_that_cannot_be_is_malformed(size: int) -> None:
    """A message shorter than its own header, or longer than what came, would be read for ever or beyond the end."""
    with pytest.raises(Malformed):
        list(parse(struct.pack("=IHHII", size, 99, 0, 1, 0), 1))


def test_an_answer_to_another_question_is_passed_over() -> None:
    """Sequence numbers tell answers apart."""
    assert [list(parse(each, 2)) for each in RECORDED] == [[] for _ in RECORDED]


def test_a_kernel_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without netlink raises OSError, and says nothing of interfaces."""

    def denied(*_: object, **__: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", denied)
    with pytest.raises(OSError):
        survey(["eth0"])
