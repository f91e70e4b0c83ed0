"""What the kernel says of its links, addresses, routes and forwarding: rtnetlink's bytes as records. Pure.

rtnetlink(7), netlink(7); linux/rtnetlink.h, linux/if_link.h, linux/netconf.h. Numbers are in this machine's order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from msgspec import Struct

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # length, type
LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, kind of hardware, index, flags, what changed
ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, two prefix lengths, TOS, table, ..., type, flags
HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, weight, index
CONF = struct.Struct("=B3x")  # struct netconfmsg: family
ERROR = struct.Struct("=i")

NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNETCONF, RTM_GETNETCONF = 24, 26, 80, 82
IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 5, 10, 18, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_MULTIPATH, RTA_VIA = 1, 4, 5, 6, 9, 18
RTN_UNICAST = 1
NETCONFA_IFINDEX, NETCONFA_FORWARDING, NETCONFA_MC_FORWARDING, NETCONFA_PROXY_NEIGH = 1, 2, 4, 5
NETCONFA_FORCE_FORWARDING = 9  # of IPv6, Linux 6.17
TYPE_MASK = 0x3FFF

ALL, DEFAULT = -1, -2  # indices of what is set for all interfaces, and for those to come (linux/netconf.h)


class Malformed(ValueError):
    """Bytes that no kernel sends."""


class Link(Struct, frozen=True):
    """An interface."""

    index: int
    name: str
    kind: str  # bridge, bond, vrf, vlan, macvlan, veth, ...; empty for hardware
    master: int | None  # whose port it is
    lower: int | None  # what it is made upon


class Address(Struct, frozen=True):
    """An address of an interface, with its prefix."""

    index: int
    address: IPv4Interface | IPv6Interface


class Route(Struct, frozen=True):
    """A route to others than this machine itself."""

    destination: IPv4Network | IPv6Network
    interfaces: tuple[int, ...]
    gateway: bool  # it leads beyond the link
    metric: int  # of two to the same destination the lower one counts


class Conf(Struct, frozen=True):
    """What an interface, or ALL, is set to do for others; None where that was not told."""

    family: int
    index: int
    forwarding: bool | None = None
    multicast: bool | None = None  # forwarding of it, by a routing daemon
    proxy: bool | None = None  # answers ARP, or neighbour discovery, for addresses that are elsewhere


class End(Struct, frozen=True):
    """Of an answer; `errno` is 0 where all was well."""

    errno: int


Item = Link | Address | Route | Conf | End


def request(kind: int, family: int, sequence: int) -> bytes:
    """Ask for everything of a kind, RTM_GET..., of one family."""
    body = CONF.pack(family) if kind == RTM_GETNETCONF else bytes([family]) + bytes(LINK.size - 1)
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def parse(datagram: bytes, sequence: int) -> Iterator[Item]:
    """What is said in answer to a request, as far as we know of such things. Raises Malformed."""
    for kind, number, body in _messages(datagram):
        if number != sequence:
            continue  # of an earlier answer
        if kind in (NLMSG_ERROR, NLMSG_DONE):
            yield End(-_unpacked(ERROR, body)[0] if body else 0)
        elif kind in _READ:
            yield from _READ[kind](body)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while data:
        size, kind, _, sequence, _ = _unpacked(HEADER, data)
        if not HEADER.size <= size <= len(data):
            raise Malformed(f"a message of {size} bytes in {len(data)}")
        yield kind, sequence, data[HEADER.size : size]
        data = data[size + 3 & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= ATTRIBUTE.size:
        size, kind = ATTRIBUTE.unpack_from(data)
        if not ATTRIBUTE.size <= size <= len(data):
            raise Malformed(f"an attribute of {size} bytes in {len(data)}")
        found[kind & TYPE_MASK] = data[ATTRIBUTE.size : size]
        data = data[size + 3 & ~3 :]
    return found


def _unpacked(form: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) < form.size:
        raise Malformed(f"{len(data)} bytes where {form.size} are needed")
    return form.unpack_from(data)


def _number(attributes: dict[int, bytes], kind: int) -> int | None:
    """A signed 32-bit number; None where there is none."""
    return _unpacked(ERROR, attributes[kind])[0] if kind in attributes else None


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "backslashreplace")


def _link(body: bytes) -> Iterator[Link]:
    _, _, index, _, _ = _unpacked(LINK, body)
    told = _attributes(body[LINK.size :])
    kind = _attributes(told.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    name = _text(told.get(IFLA_IFNAME, b""))
    yield Link(index, name, _text(kind), _number(told, IFLA_MASTER), _number(told, IFLA_LINK))


def _address(body: bytes) -> Iterator[Address]:
    family, prefix, _, _, index = _unpacked(ADDRESS, body)
    told = _attributes(body[ADDRESS.size :])
    packed = told.get(IFA_LOCAL, told.get(IFA_ADDRESS))  # of a point-to-point link the other one is the peer's
    if packed is None or (kind := _kinds(family)) is None:
        return
    try:
        yield Address(index, kind[0]((packed, prefix)))
    except ValueError as error:
        raise Malformed(str(error)) from error


def _route(body: bytes) -> Iterator[Route]:
    family, prefix, _, _, _, _, _, kind, _ = _unpacked(ROUTE, body)
    told = _attributes(body[ROUTE.size :])
    kinds = _kinds(family)
    if kind != RTN_UNICAST or kinds is None:
        return  # to this machine itself, to nobody, or of a protocol that nobody speaks here
    packed = told.get(RTA_DST, b"" if prefix else bytes(16 if family == socket.AF_INET6 else 4))
    hops = list(_hops(told.get(RTA_MULTIPATH, b"")))
    indices = [index for index, _ in hops]
    if (single := _number(told, RTA_OIF)) is not None:
        indices.append(single)
    beyond = any(kind in told for kind in (RTA_GATEWAY, RTA_VIA)) or any(gateway for _, gateway in hops)
    try:
        destination = kinds[1]((packed, prefix))
    except ValueError as error:
        raise Malformed(str(error)) from error
    yield Route(destination, tuple(indices), beyond, _number(told, RTA_PRIORITY) or 0)


def _hops(data: bytes) -> Iterator[tuple[int, bool]]:
    """Of a route with several: the interface, and whether it leads beyond the link."""
    while data:
        size, _, _, index = _unpacked(HOP, data)
        if not HOP.size <= size <= len(data):
            raise Malformed(f"a hop of {size} bytes in {len(data)}")
        told = _attributes(data[HOP.size : size])
        yield index, RTA_GATEWAY in told or RTA_VIA in told
        data = data[size + 3 & ~3 :]


def _conf(body: bytes) -> Iterator[Conf]:
    (family,) = _unpacked(CONF, body)
    told = _attributes(body[CONF.size :])
    index = _number(told, NETCONFA_IFINDEX)
    if index is None:
        return

    def on(kind: int) -> bool | None:
        number = _number(told, kind)
        return None if number is None else number > 0

    forwarding = on(NETCONFA_FORWARDING)
    if family == socket.AF_INET6 and index != ALL:  # of one interface it says only whether that is a router's
        forwarding = on(NETCONFA_FORCE_FORWARDING)
    yield Conf(family, index, forwarding, on(NETCONFA_MC_FORWARDING), on(NETCONFA_PROXY_NEIGH))


def _kinds(
    family: int,
) -> tuple[type[IPv4Interface], type[IPv4Network]] | tuple[type[IPv6Interface], type[IPv6Network]] | None:
    match family:
        case socket.AF_INET:
            return IPv4Interface, IPv4Network
        case socket.AF_INET6:
            return IPv6Interface, IPv6Network
    return None


_READ: Mapping[int, Callable[[bytes], Iterator[Item]]] = {
    RTM_NEWLINK: _link,
    RTM_NEWADDR: _address,
    RTM_NEWROUTE: _route,
    RTM_NEWNETCONF: _conf,
}
