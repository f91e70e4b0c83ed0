"""[networks], [appliances], [control] and [controller]: what may stand in these tables, and what not together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from hemsd.daemon.schema import Problem, Table

LINK_LOCAL = IPv6Network("fe80::/10")
ID = re.compile("[0-9a-f]{4}-[0-9a-f]{8}")  # hemsd.appliances.events.Appliance

Name = Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$", description="1 to 64 of a-z, 0-9 and hyphen")]
InterfaceName = Annotated[
    str, Meta(pattern=r"^[^/\s:]{1,15}$", description='the name of a network interface, like "wlan1"')
]
ApplianceId = Annotated[
    str, Meta(pattern=f"^{ID.pattern}$", description='an id as `hemsd appliances` shows it, like "0130-1f2e3d4c"')
]
NodeAddress = Annotated[
    str, Meta(pattern=r"^[0-9A-Fa-f:.]+$", description='an address like "192.168.20.31" or "fe80::1"')
]
ObjectCode = Annotated[
    str, Meta(pattern="^[0-9A-Fa-f]{6}$", description='6 hexadecimal digits of an object, like "013001"')
]
MakerCode = Annotated[str, Meta(pattern="^[0-9A-Fa-f]{6}$", description='6 hexadecimal digits, like "FFFFFF"')]
RoomName = Annotated[str, Meta(max_length=64, description="at most 64 characters in quotes")]
AtLeastSeconds = Annotated[int, Meta(ge=0, le=86400, description="a whole number of seconds from 0 to 86400")]


class NetworkTable(Table, frozen=True, kw_only=True):
    """[networks.NAME]: a dedicated home network with appliances, on an interface of its own."""

    interface: InterfaceName
    ipv4: bool = True
    ipv6: bool = True
    nodes: tuple[NodeAddress, ...] = ()  # asked one by one, besides all that are found


class ApplianceTable(Table, frozen=True, kw_only=True):
    """[appliances.NAME]: what an appliance is called, found by its id or by where it is, and what we may do to it."""

    id: ApplianceId | None = None
    address: NodeAddress | None = None
    object: ObjectCode | None = None  # where several are at one address
    room: RoomName = ""
    control: bool | None = None  # False: nobody sets it through us; None: the gateway not what locks the house
    min_on_s: AtLeastSeconds | None = None  # None: as its class has it
    min_off_s: AtLeastSeconds | None = None


class ControlTable(Table, frozen=True, kw_only=True):
    """[control]: how often one appliance is set at most; what is set may be kept in memory that wears out."""

    writes_per_hour: Annotated[int, Meta(ge=1, le=600, description="a whole number from 1 to 600")] = 20
    write_gap_s: Annotated[int, Meta(ge=0, le=600, description="a whole number of seconds from 0 to 600")] = 10


class ControllerTable(Table, frozen=True, kw_only=True):
    """[controller]: who we say we are on the appliances' networks. The consortium gives codes to its members."""

    maker: MakerCode = "FFFFFF"


def normal(network: NetworkTable) -> NetworkTable:
    """The same with addresses as the kernel writes them."""
    return replace(network, nodes=tuple(str(ip_address(node)) for node in network.nodes))


def normal_appliance(appliance: ApplianceTable) -> ApplianceTable:
    """The same with its address as the kernel writes it and its object in upper case."""
    address, code = appliance.address, appliance.object
    return replace(
        appliance, address=address and str(ip_address(address)), object=None if code is None else code.upper()
    )


def network_problems(networks: Mapping[str, NetworkTable]) -> Iterator[Problem]:
    """What does not go together."""
    owners: dict[str, str] = {}
    for name, network in networks.items():
        table = f"networks.{name}"
        owner = owners.setdefault(network.interface, name)
        if owner != name:
            yield (table, "interface"), f"[{table}] interface is that of [networks.{owner}]: take one of them away"
        if not network.ipv4 and not network.ipv6:
            yield (table, "ipv4"), f"[{table}] ipv4 and ipv6 are both false: at least one of them is needed"
        for number, node in enumerate(network.nodes, 1):
            if trouble := _address_trouble(node, network):
                yield (table, "nodes"), f"[{table}] nodes: item {number} {trouble}"


def overlay_problems(networks: Mapping[str, NetworkTable], meter: str | None) -> Iterator[Problem]:
    """What is missing where a meter without a peer is among appliances: who it is, to tell it from them."""
    for name, network in networks.items():
        if network.interface == meter:
            table, how = f"networks.{name}", f"`hemsd scan --interface {meter}` finds it"
            text = f"interface is the meter's as well: write the meter's address down, as peer in [meter]; {how}"
            yield (table, "interface"), f"[{table}] {text}"


def appliance_problems(appliances: Mapping[str, ApplianceTable]) -> Iterator[Problem]:
    """What does not go together, in one table or between two."""
    owners: dict[object, str] = {}
    for name, appliance in appliances.items():
        table = f"appliances.{name}"
        for key, text in _identity_problems(name, appliance):
            yield (table, key), f"[{table}] {text}"
        for place in _places(appliance):
            if (owner := owners.setdefault(place, name)) != name:
                key = "id" if place == appliance.id else "address"
                yield (table, key), f"[{table}] {key} is that of [appliances.{owner}]: one appliance has one name"
                break
    for name, appliance in appliances.items():  # an address alone means the only appliance there is
        owner = owners.get((_packed(appliance.address), None), name)
        if appliance.object is not None and owner != name:
            table = f"appliances.{name}"
            text = f"address is that of [appliances.{owner}], which needs an object too, to tell them apart"
            yield (table, "address"), f"[{table}] {text}"


def _identity_problems(name: str, appliance: ApplianceTable) -> Iterator[tuple[str, str]]:
    if ID.fullmatch(name):
        yield "", "is no name: it looks like an id; choose another, and write the id below it"
    if appliance.id is None and appliance.address is None:
        yield "", "says not which appliance it is: give its id (`hemsd appliances` shows it) or its address"
    elif appliance.id is not None and appliance.address is not None:
        yield "id", "has an id and an address: the id finds it wherever it is, take the address away"
    if appliance.object is not None and appliance.address is None:
        yield "object", "object tells apart what is at one address: give that as well, or take the object away"
    if appliance.address is not None and (trouble := _address_trouble(appliance.address)):
        yield "address", f"address {trouble}"


def _places(appliance: ApplianceTable) -> Iterator[object]:
    """What may belong to one table only."""
    if appliance.id is not None:
        yield appliance.id
    if (packed := _packed(appliance.address)) is not None:
        yield packed, appliance.object and appliance.object.upper()


def _packed(address: str | None) -> bytes | None:
    try:
        return None if address is None else ip_address(address).packed
    except ValueError:
        return None


def _address_trouble(text: str, network: NetworkTable | None = None) -> str | None:
    """What is wrong with the address of a node, in words that follow its place."""
    try:
        address = ip_address(text)
    except ValueError:
        return f'must be an address like "192.168.20.31" or "fe80::1", not {text!r}'
    match address:
        case IPv4Address():
            if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
                return f"must be the address of one node, not {text!r}"
            return "is an IPv4 address, and ipv4 = false" if network and not network.ipv4 else None
        case IPv6Address():
            if address not in LINK_LOCAL:
                return f'must be a link-local IPv6 address like "fe80::1", not {text!r}: others leave the link'
            return "is an IPv6 address, and ipv6 = false" if network and not network.ipv6 else None
