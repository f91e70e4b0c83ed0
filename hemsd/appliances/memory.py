"""What is known of a network between runs, as plain JSON data: who was there, where, and what each can do. Pure.

Values are not kept: they would be old. Damage costs what is damaged: a node whose record does not hold together is
found anew, the others are there at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from hemsd.appliances.identity import TEXT_MAX, Particulars
from hemsd.appliances.ourselves import NOWHERE
from hemsd.echonet.classes.device import Device

VERSION: Final = 1
NODES_MAX: Final = 1000  # of one network, known or being looked at
INSTANCES_MAX: Final = 255  # appliances of one node,
APPLIANCES_MAX: Final = 1000  # and of all nodes: as many as the house keeps in mind

Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Maker = Annotated[str, Meta(pattern="^([0-9A-F]{6})?$")]
Letter = Annotated[str, Meta(pattern="^[A-Z]?$")]
Object = Annotated[str, Meta(pattern="^[0-9A-F]{6}$")]
Codes = Annotated[str, Meta(pattern="^([89A-F][0-9A-F])*$", max_length=256)]
Address = Annotated[str, Meta(pattern="^[0-9a-f.:]{2,45}$")]
Location = Annotated[str, Meta(pattern="^([0-9A-F]{2}){1,17}$")]


class RememberedAppliance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One appliance; its maps are the EPCs one after the other."""

    eoj: Object
    known: bool = False
    release: Letter = ""
    readable: Codes = ""
    settable: Codes = ""
    announced: Codes = ""
    maker: Maker = ""
    product: Text = ""
    serial: Text = ""

    @classmethod
    def of(cls, device: Device, serial: str, *, known: bool) -> RememberedAppliance:
        return cls(
            eoj=f"{device.eoj:06X}",
            known=known,
            release=device.release,
            readable=_codes(device.readable),
            settable=_codes(device.settable),
            announced=_codes(device.announced),
            maker=device.maker,
            product=device.product,
            serial=serial,
        )

    @property
    def device(self) -> Device:
        return Device(
            eoj=int(self.eoj, 16),
            release=self.release,
            readable=frozenset(bytes.fromhex(self.readable)),
            settable=frozenset(bytes.fromhex(self.settable)),
            announced=frozenset(bytes.fromhex(self.announced)),
            maker=self.maker,
            product=self.product,
        )


class RememberedNode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node. `addresses`: where it was heard last, the one in use first."""

    identity: Annotated[str, Meta(min_length=4, max_length=200)]
    fickle: bool = False
    addresses: Annotated[list[Address], Meta(max_length=2)] = []
    identification: Annotated[str, Meta(pattern="^(FE[0-9A-F]{32})?$")] = ""
    maker: Maker = ""
    product: Text = ""
    serial: Text = ""
    manners: dict[str, Any] = {}
    appliances: Annotated[list[RememberedAppliance], Meta(max_length=INSTANCES_MAX)] = []

    @property
    def said(self) -> Particulars:
        return Particulars(self.identification, self.maker, self.product, self.serial)


class Remembered(Struct, frozen=True):
    """What a network knew when it was last written down."""

    nodes: tuple[RememberedNode, ...] = ()
    shared: frozenset[str] = frozenset()  # claims that more than one node makes, see identity
    location: bytes = NOWHERE  # of ourselves, as another controller set it

    @classmethod
    def restored(cls, plain: object) -> Remembered:
        """From plain data of whatever origin; what does not hold together is left out."""
        data = plain if isinstance(plain, Mapping) and plain.get("version") == VERSION else {}
        nodes = [node for each in _list(data.get("nodes"))[:NODES_MAX] if (node := _converted(each)) is not None]
        nodes = _each_once(nodes)
        shared = [claim for claim in _list(data.get("shared"))[:NODES_MAX] if isinstance(claim, str)]
        try:
            location = bytes.fromhex(msgspec.convert(data.get("location"), Location))
        except msgspec.ValidationError:
            location = NOWHERE
        return cls(tuple(nodes), frozenset(shared), location)


def plain(nodes: Iterable[RememberedNode], shared: Iterable[str], location: bytes) -> dict[str, Any]:
    """The inverse of Remembered.restored(), for a JSON file."""
    return {
        "version": VERSION,
        "nodes": [msgspec.to_builtins(node) for node in nodes],
        "shared": sorted(shared),
        "location": location.hex().upper(),
    }


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _codes(epcs: Iterable[int]) -> str:
    return bytes(sorted(epcs)).hex().upper()


def _each_once(nodes: Iterable[RememberedNode]) -> list[RememberedNode]:
    """No two with one identity, and nobody at an address that somebody else has, or is at as well."""
    kept: dict[str, RememberedNode] = {}
    taken: set[str] = set()
    for node in nodes:
        if node.identity not in kept:
            free = [each for each in dict.fromkeys(node.addresses) if each not in taken and _is_one_host(each)]
            kept[node.identity] = replace(node, addresses=free)
            taken.update(free)
    return list(kept.values())


def _is_one_host(address: str) -> bool:
    """Whether it is an address as the kernel writes them, and not one of many hosts or of none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return str(parsed) == address and not parsed.is_multicast and not parsed.is_unspecified


def _converted(plain: object) -> RememberedNode | None:
    """A node's record; without those of its appliances that are damaged."""
    try:
        return msgspec.convert(plain, RememberedNode)
    except msgspec.ValidationError:
        pass
    if not isinstance(plain, Mapping) or not isinstance(appliances := plain.get("appliances"), list):
        return None
    sound = []
    for each in appliances:
        try:
            sound.append(msgspec.to_builtins(msgspec.convert(each, RememberedAppliance)))
        except msgspec.ValidationError:
            continue
    try:
        return msgspec.convert({**plain, "appliances": sound}, RememberedNode)
    except msgspec.ValidationError:
        return None
