"""Whether an interface leads where its domain is and nowhere else: what stands around it, judged. Pure.

ITU-T G.9958, 6.4 and I.2. An interface of the meter is used for nothing else; one of appliances has addresses and is
a network of its own. Neither is forwarded to or from, joined with another, or the way out of the house.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from msgspec import Struct

from drivers.netlink import Surroundings
from drivers.rtnetlink import Route
from hemsd.hub.messages import Breach, Domain

TOLD_MAX = 3  # of a kind, in one sentence
LINK_LOCAL = IPv6Network("fe80::/10")
MULTICAST = (IPv4Network("224.0.0.0/4"), IPv6Network("ff00::/8"))
HARMLESS_MASTERS = ("vrf",)  # routing tables of their own

NOT_FORWARDED: Mapping[str, str] = {
    "6.2": "R6",
    "6.3.1": "R14",
    "6.3.2": "R23",
    "6.4.1": "R29",
    "6.4.2": "R36",
    "6.4.3": "R43",
}
"""By profile, what forbids that packets pass from or to appliances; for the meter it is R52 in all of them."""

ON_LAN: Mapping[str, frozenset[Domain]] = {
    "6.3.1": frozenset({Domain.ROUTEB}),
    "6.4.1": frozenset({Domain.ROUTEB, Domain.APPLIANCES}),
    "6.4.2": frozenset({Domain.ROUTEB}),
}
"""By profile, who may be on the home network itself: there is nothing then that it could be kept from."""

DECLARED_ON_LAN: Mapping[Domain, frozenset[str]] = {
    Domain.ROUTEB: frozenset({"R40"}),
    Domain.APPLIANCES: frozenset({"R33", "R43"}),
}
"""Likewise in other profiles, by the requirements that a home is then declared not to meet."""

SYSCTLS = {
    "IPv4": "net.ipv4.ip_forward",
    "IPv6": "net.ipv6.conf.all.forwarding",
    "ARP": "net.ipv4.conf.{}.proxy_arp",
    "NDP": "net.ipv6.conf.{}.proxy_ndp",
}


class Watched(Struct, frozen=True):
    """An interface that is to be kept apart, and whose it is: ROUTEB or APPLIANCES."""

    interface: str
    domain: Domain
    alone: bool = False  # it is the meter's and nobody else's


def may_be_lan(watched: Watched, profile: str, accept: Iterable[str]) -> bool:
    """Whether it may be the home network's own interface, so that the default route leads over it by right."""
    declared = DECLARED_ON_LAN[watched.domain].intersection(accept)
    return bool(declared) or watched.domain in ON_LAN.get(profile, ())


def judge(watched: Watched, around: Surroundings, *, profile: str, walled: bool) -> tuple[Breach, ...]:
    """What is wrong with it, most serious first; none for an interface that is not there.

    `walled`: packets that would be forwarded to or from it are known to be dropped (hemsd.daemon.firewall).
    """
    if not around.exists:
        return ()
    apart = "R52" if watched.domain is Domain.ROUTEB else NOT_FORWARDED[profile]
    found = [(apart, text) for text in (*_joined(around), *(() if walled else _forwarded(around)), *_proxied(around))]
    found += [("R24", text) for text in _default(around)]
    found += [("R51" if watched.alone else apart, text) for text in _led_beyond(around, alone=watched.alone)]
    if watched.alone:
        found += [("R51", text) for text in _shared(around)]
    return tuple(Breach(requirement=requirement, text=text) for requirement, text in found)


def _joined(around: Surroundings) -> Iterator[str]:
    name, master = around.name, around.master
    if master is not None and around.master_kind not in HARMLESS_MASTERS:
        kind = around.master_kind or "interface"
        yield f"{name} is a port of the {kind} {master} and so of all that is on it: `ip link set {name} nomaster`"


def _forwarded(around: Surroundings) -> Iterator[str]:
    wall = "or keep them from this interface with `sudo hemsd firewall apply`"
    for family in around.forwards:
        yield (
            f"this machine forwards {family} packets, so they may pass to and from {around.name}; "
            f"switch it off if nothing (like Docker) needs it, `sudo sysctl {SYSCTLS[family]}=0`, {wall}"
        )
    for family in around.multicast:
        yield f"a multicast routing daemon forwards {family} packets: stop it, {wall}"


def _proxied(around: Surroundings) -> Iterator[str]:
    for kind in around.proxies:
        sysctl = SYSCTLS[kind].format(around.name)
        every = SYSCTLS[kind].format("all")
        yield (
            f"this machine answers on {around.name} for addresses that are elsewhere (proxy {kind}): "
            f"`sudo sysctl {sysctl}=0 {every}=0`"
        )


def _default(around: Surroundings) -> Iterator[str]:
    if any(route.destination.prefixlen == 0 for route in around.routes):
        yield (
            f"the default route leads over {around.name}, and it may lead over the home network only: "
            "set the network manager to make none there (NetworkManager: ipv4.never-default and ipv6.never-default "
            "yes; dhcpcd: nogateway), or name the home network's interface in [lan]"
        )


def _led_beyond(around: Surroundings, *, alone: bool) -> Iterator[str]:
    """Routes that lead off the link; `alone`: any but those that IPv6 itself has on each link."""
    others = [str(route.destination) for route in around.routes if _is_foreign(route, alone)]
    if others:
        yield f"routes to other networks lead over {around.name}: {_listed(others)}; take them away"


def _is_foreign(route: Route, alone: bool) -> bool:
    destination = route.destination
    if destination.prefixlen == 0 or any(
        destination.version == each.version and destination.subnet_of(each)  # type: ignore[arg-type]
        for each in MULTICAST
    ):
        return False
    on_link = isinstance(destination, IPv6Network) and destination.subnet_of(LINK_LOCAL)
    return route.gateway or (alone and not on_link)


def _shared(around: Surroundings) -> Iterator[str]:
    """What an interface to the meter has that it does not need for it."""
    name = around.name
    addresses = [
        str(each) for each in around.addresses if isinstance(each.ip, IPv4Address) or not each.ip.is_link_local
    ]
    if addresses:
        yield (
            f"{name} has addresses besides the link-local one ({_listed(addresses)}): an interface to the meter is "
            "to be used for nothing else; set it to IPv6 link-local only"
        )
    if around.lower is not None:
        yield f"{name} shares the link of {around.lower}, and the meter's is to be its own: use another adapter"
    if around.uppers:
        yield f"{name} carries other interfaces too: take away {_listed(around.uppers)}"


def _listed(items: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(items) - TOLD_MAX} more" if len(items) > TOLD_MAX else ""
    return f"{', '.join(items[:TOLD_MAX])}{more}"
