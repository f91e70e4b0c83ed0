"""What stands around an interface, judged: T-PHYS and T-DOCTOR of ITU-T G.9958's requirements, case by case."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from drivers.netlink import Surroundings
from drivers.rtnetlink import Route
from hemsd.daemon.isolation import Watched, judge, may_be_lan
from hemsd.hub.messages import Domain

METERS = Watched("eth1", Domain.ROUTEB, alone=True)
SHARED = Watched("eth1", Domain.ROUTEB)
NETWORK = Watched("eth1", Domain.APPLIANCES)
LINK_LOCAL = Route(ip_network("fe80::/64"), (2,), False, 256)


def route(destination: str, *, gateway: bool = False) -> Route:
    return Route(ip_network(destination), (2,), gateway, 0)


def around(*routes: Route, **more: Any) -> Surroundings:
    """An interface as IPv6 alone makes it, and what else there is."""
    addresses = (ip_interface("fe80::1/64"), *map(ip_interface, more.pop("addresses", ())))
    return Surroundings(name="eth1", exists=True, addresses=addresses, routes=(LINK_LOCAL, *routes), **more)


def verdict(watched: Watched, found: Surroundings, profile: str = "6.4.3", *, walled: bool = False) -> list[str]:
    return [breach.requirement for breach in judge(watched, found, profile=profile, walled=walled)]


@pytest.mark.parametrize(
    ("found", "meters", "networks"),
    [
        (around(), [], []),
        (around(route("ff00::/8"), route("224.0.0.0/4")), [], []),
        (around(route("192.168.7.0/24"), addresses=["192.168.7.1/24"]), ["R51", "R51"], []),
        (around(addresses=["2001:db8::1/64"]), ["R51"], []),
        (around(route("0.0.0.0/0", gateway=True)), ["R24"], ["R24"]),
        (around(route("::/0")), ["R24"], ["R24"]),
        (around(route("10.0.0.0/8", gateway=True)), ["R51"], ["R43"]),
        (around(route("2001:db8::/32")), ["R51"], []),  # another prefix of the same link
        (around(forwards=("IPv4",)), ["R52"], ["R43"]),
        (around(forwards=("IPv4", "IPv6")), ["R52", "R52"], ["R43", "R43"]),
        (around(multicast=("IPv6",)), ["R52"], ["R43"]),
        (around(proxies=("ARP", "NDP")), ["R52", "R52"], ["R43", "R43"]),
        (around(master="br0", master_kind="bridge"), ["R52"], ["R43"]),
        (around(master="bond0", master_kind="bond"), ["R52"], ["R43"]),
        (around(master="interface 7"), ["R52"], ["R43"]),  # of another namespace
        (around(master="vrf0", master_kind="vrf"), [], []),
        (around(lower="eth0"), ["R51"], []),
        (around(uppers=("eth1.20",)), ["R51"], []),
        (Surroundings(name="eth1", forwards=("IPv4",)), [], []),  # that is not there
    ],
)
def test_each_thing_that_leads_elsewhere(found: Surroundings, meters: list[str], networks: list[str]) -> None:
    """By the requirement that it breaks, on an interface of the meter alone and on one of appliances."""
    assert verdict(METERS, found) == meters
    assert verdict(NETWORK, found) == networks


@pytest.mark.parametrize(
    ("profile", "requirement"), [("6.3.1", "R14"), ("6.3.2", "R23"), ("6.4.2", "R36"), ("6.4.3", "R43")]
)
def test_forwarding_breaks_what_the_profile_says(profile: str, requirement: str) -> None:
    """Of appliances; of the meter it is R52 in all of them."""
    assert verdict(NETWORK, around(forwards=("IPv4",)), profile) == [requirement]
    assert verdict(METERS, around(forwards=("IPv4",)), profile) == ["R52"]


def test_a_wall_stops_what_is_forwarded_and_nothing_else() -> None:
    """Where the firewall stands forwarding harms nobody; a bridge goes round it, and a default route is one still."""
    found = around(route("::/0"), forwards=("IPv4", "IPv6"), multicast=("IPv4",), master="br0", master_kind="bridge")
    assert verdict(METERS, found, walled=True) == ["R52", "R24"]
    assert verdict(NETWORK, found, walled=True) == ["R43", "R24"]


def test_an_interface_that_the_meter_shares_has_addresses() -> None:
    """It is kept apart like one of appliances, and forwarding breaks the meter's requirement."""
    found = around(route("192.168.7.0/24"), addresses=["192.168.7.1/24"], forwards=("IPv4",))
    assert verdict(SHARED, found) == ["R52"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (around(forwards=("IPv4",)), ["forwards IPv4", "sysctl net.ipv4.ip_forward=0", "hemsd firewall apply"]),
        (around(forwards=("IPv6",)), ["sysctl net.ipv6.conf.all.forwarding=0"]),
        (around(proxies=("NDP",)), ["proxy NDP", "net.ipv6.conf.eth1.proxy_ndp=0 net.ipv6.conf.all.proxy_ndp=0"]),
        (around(master="br0", master_kind="bridge"), ["bridge br0", "ip link set eth1 nomaster"]),
        (around(route("::/0")), ["default route leads over eth1", "never-default", "[lan]"]),
        (
            around(*(route(f"10.{number}.0.0/16", gateway=True) for number in range(5))),
            ["10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16 and 2 more"],
        ),
        (around(addresses=["2001:db8::1/64"]), ["2001:db8::1/64", "IPv6 link-local only"]),
    ],
)
def test_what_is_said_tells_what_was_found_and_what_to_do(found: Surroundings, words: list[str]) -> None:
    """One sentence for a person, however many there are of a kind."""
    (breach,) = judge(METERS, found, profile="6.4.3", walled=False)
    assert [word for word in words if word not in breach.text] == []
    assert len(breach.text) < 400


@pytest.mark.parametrize(
    ("watched", "profile", "accept", "may"),
    [
        (NETWORK, "6.4.3", (), False),
        (NETWORK, "6.4.3", ("R33", "R43"), True),
        (NETWORK, "6.4.1", (), True),
        (METERS, "6.4.3", ("R33", "R43"), False),
        (METERS, "6.4.3", ("R40",), True),
        (METERS, "6.4.2", (), True),
        (METERS, "6.3.2", (), False),
    ],
)
def test_who_may_be_on_the_home_network(watched: Watched, profile: str, accept: tuple[str, ...], may: bool) -> None:
    """By profile, or because this home was declared so."""
    assert may_be_lan(watched, profile, accept) is may
