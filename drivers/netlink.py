"""How the interfaces of this machine stand, and whom it passes packets on between, asked of the kernel in one go.

Needs no rights, and tells of the network namespace that this process is in. rtnetlink(7); linux/netconf.h.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from drivers.interface import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK
from drivers.rtnetlink import (
    ALL,
    DEFAULT,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNETCONF,
    RTM_GETROUTE,
    Address,
    Conf,
    End,
    Item,
    Link,
    Malformed,
    Route,
    parse,
    request,
)

RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x40, 0x400  # linux/rtnetlink.h
RTMGRP_IPV4_NETCONF, RTMGRP_IPV6_NETCONF = 1 << 23, 1 << 24  # RTNLGRP_IPV4_NETCONF is 24 (same)
EVERYTHING = (
    RTMGRP_LINK
    | RTMGRP_IPV4_IFADDR
    | RTMGRP_IPV6_IFADDR
    | RTMGRP_IPV4_ROUTE
    | RTMGRP_IPV6_ROUTE
    | RTMGRP_IPV4_NETCONF
    | RTMGRP_IPV6_NETCONF
)
"""The groups of all that survey() asks for: interface.Watch hears of every change of it."""

ANSWER_S = 1.0  # the kernel answers at once
MESSAGE_SIZE = 65536
ITEMS_MAX = 20_000  # of one kind; a home has some dozens
LOOPBACK = "lo"
T = TypeVar("T", Link, Address, Route, Conf)

PROXIED: Mapping[int, str] = {socket.AF_INET: "ARP", socket.AF_INET6: "NDP"}
STACKED = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap")  # kinds of interfaces that are made upon another


class Surroundings(Struct, frozen=True, kw_only=True):
    """What an interface is connected with; of one that is not there only the name and what holds for all."""

    name: str
    exists: bool = False
    master: str | None = None  # whose port it is
    master_kind: str = ""  # bridge, bond, vrf, ...
    lower: str | None = None  # what it is made upon, as a VLAN is
    uppers: tuple[str, ...] = ()  # what is made upon it
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    routes: tuple[Route, ...] = ()  # that lead over it
    forwards: tuple[str, ...] = ()  # "IPv4", "IPv6": packets of others are passed on, on this interface or another
    multicast: tuple[str, ...] = ()  # likewise, by a multicast routing daemon
    proxies: tuple[str, ...] = ()  # "ARP", "NDP": it answers for addresses that are elsewhere


def survey(names: Iterable[str]) -> dict[str, Surroundings]:
    """Ask how these interfaces stand. Raises OSError where the kernel is not to be asked, as in a sandbox."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(ANSWER_S)
        asking.bind((0, 0))
        links = {each.index: each for each in _ask(asking, RTM_GETLINK, Link)}
        addresses = _ask(asking, RTM_GETADDR, Address)
        routes = _ask(asking, RTM_GETROUTE, Route)
        confs = _ask(asking, RTM_GETNETCONF, Conf)
    common = Surroundings(
        name="",
        forwards=tuple(_families(confs, links, "forwarding")),
        multicast=tuple(_families(confs, links, "multicast")),
    )
    by_name = {each.name: each for each in links.values()}
    found = {}
    for name in names:
        link = by_name.get(name)
        around = replace(common, name=name)
        found[name] = around if link is None else _surroundings(around, link, links, addresses, routes, confs)
    return found


def _surroundings(
    around: Surroundings,
    link: Link,
    links: Mapping[int, Link],
    addresses: Iterable[Address],
    routes: Iterable[Route],
    confs: Iterable[Conf],
) -> Surroundings:
    master = None if link.master is None else links.get(link.master)
    lower = links.get(link.lower) if link.lower is not None and link.kind in STACKED else None
    of_it = {ALL, link.index}
    answered = {each.family for each in confs if each.index in of_it and each.proxy}
    return replace(
        around,
        exists=True,
        master=None if link.master is None else master.name if master else f"interface {link.master}",
        master_kind=master.kind if master else "",
        lower=None if lower is None else lower.name,
        uppers=tuple(each.name for each in links.values() if each.lower == link.index and each.kind in STACKED),
        addresses=tuple(each.address for each in addresses if each.index == link.index),
        routes=tuple(each for each in routes if link.index in each.interfaces),
        proxies=tuple(label for family, label in PROXIED.items() if family in answered),
    )


def _families(confs: Iterable[Conf], links: Mapping[int, Link], what: str) -> Iterator[str]:
    """Where packets of others are passed on: IPv4 asks the interface they came in by, IPv6 one switch for all."""
    for family, label in ((socket.AF_INET, "IPv4"), (socket.AF_INET6, "IPv6")):
        for each in confs:
            name = links[each.index].name if each.index in links else ""
            counts = each.index != DEFAULT and name != LOOPBACK and (each.index != ALL or family == socket.AF_INET6)
            if each.family == family and counts and getattr(each, what):
                yield label
                break


def _ask(asking: socket.socket, kind: int, item: type[T]) -> list[T]:
    """Everything of a kind; nothing of a family that this kernel does not have."""
    found: dict[T, None] = {}  # a family that is missing may be answered with the other one
    for family in (socket.AF_UNSPEC,) if kind == RTM_GETLINK else (socket.AF_INET, socket.AF_INET6):
        sequence = kind << 8 | family
        asking.send(request(kind, family, sequence))
        for each in _answers(asking, sequence):
            if isinstance(each, item):
                found[each] = None
            if len(found) > ITEMS_MAX:
                raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    return list(found)


def _answers(asking: socket.socket, sequence: int) -> Iterator[Item]:
    while True:
        try:
            for each in parse(asking.recv(MESSAGE_SIZE), sequence):
                if not isinstance(each, End):
                    yield each
                elif each.errno in (0, errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    return
                else:
                    raise OSError(each.errno, os.strerror(each.errno))
        except Malformed as error:
            raise OSError(errno.EPROTO, f"{os.strerror(errno.EPROTO)}: {error}") from error
