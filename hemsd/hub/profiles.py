"""The six network configurations of ITU-T G.9958 as checks of what a configuration connects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from hemsd.hub.requirements import BY_ID, Profile, Requirement

Where = tuple[str, str]  # table and key of the configuration


class Layout(Struct, frozen=True, kw_only=True):
    """What a configuration connects with what; networks are told apart by the interface of this machine."""

    profile: Profile
    meter_port: bool = False  # a Wi-SUN module: a network of its own
    meter_interface: str | None = None  # or a network interface; with neither there is no link to the meter
    networks: Mapping[str, str] = {}  # name and interface, of those with appliances
    lan: str | None = None  # the interface to the general purpose home network; None: not known
    gateway: tuple[str, ...] = ()  # tables that give something to the home gateway's side
    accepted: frozenset[str] = frozenset()  # ids of requirements that are declared not to be met


class Contradiction(NamedTuple):
    """Something in a configuration that breaks requirements of its profile."""

    requirements: tuple[Requirement, ...]
    where: Where
    found: str
    remedy: str
    final: bool = False  # no declaration helps: the doors of this profile stay shut

    @property
    def text(self) -> str:
        """For a person: what was found, each requirement with its number, clause and words, and what to do."""
        words = " and ".join(f'{each.id} ({each.clause}): "{each.text}"' for each in self.requirements)
        numbers = ", ".join(f'"{each.id}"' for each in self.requirements)
        declare = "." if self.final else f", or declare it: accept = [{numbers}]"
        return f"{self.found}, against ITU-T G.9958 {words} {self.remedy}{declare}"


class _Found(NamedTuple):
    where: Where
    text: str
    remedy: str
    final: bool = False


_Check = Callable[[Layout], Iterator[_Found]]


def check(layout: Layout) -> tuple[Contradiction, ...]:
    """Everything in which a configuration breaks a requirement of its profile, declared or not.

    What takes to know the interface of the general purpose home network is not found where that is None.
    """
    return tuple(
        Contradiction(tuple(BY_ID[number] for number in numbers), *found)
        for look, numbers in RULES[layout.profile]
        for found in look(layout)
    )


def undeclared(layout: Layout) -> tuple[Contradiction, ...]:
    """Those that keep hemsd from starting, each with the requirements that are not declared."""
    left = []
    for each in check(layout):
        kept = tuple(one for one in each.requirements if each.final or one.id not in layout.accepted)
        if kept:
            left.append(each._replace(requirements=kept))
    return tuple(left)


def needless(layout: Layout) -> tuple[str, ...]:
    """Declared requirements that are met, or that this profile does not have, in the order of their numbers.

    Whether one that is not about the configuration is met, only running shows: it is not among them.
    """
    found = {one.id for each in check(layout) for one in each.requirements}
    judged = {number for _, numbers in RULES[layout.profile] for number in numbers}
    return tuple(
        number
        for number, requirement in BY_ID.items()
        if number in layout.accepted and number not in found
        if number in judged or layout.profile not in requirement.profiles
    )


def _no_meter(layout: Layout) -> Iterator[_Found]:
    if layout.meter_port or layout.meter_interface is not None:
        text = f'profile "{layout.profile}" has no link to the meter, and hemsd would open one'
        remedy = 'Write port = "none" into [meter], or take another profile'
        yield _Found(("meter", "port" if layout.meter_port else "interface"), text, remedy, final=True)


def _no_gateway(layout: Layout) -> Iterator[_Found]:
    for table in layout.gateway:
        text = f'[{table}] gives values to the home network, and profile "{layout.profile}" has no home gateway'
        yield _Found((table, ""), text, "Take the table away, or take one of the profiles 6.4", final=True)


def _meter_on_lan(layout: Layout) -> Iterator[_Found]:
    if layout.meter_port:
        text = f'the meter is reached by a radio module, and in profile "{layout.profile}" it is on the home network'
        yield _Found(("meter", "port"), text, "Name the interface that leads to it, or take profile 6.4.3")
    elif layout.lan is not None and layout.meter_interface not in (None, layout.lan):
        text = f"the meter is on {layout.meter_interface}, the general purpose home network on {layout.lan}"
        yield _Found(("meter", "interface"), text, "Take profile 6.4.3, where they are apart")


def _meter_off_lan(layout: Layout) -> Iterator[_Found]:
    if layout.lan is not None and layout.meter_interface == layout.lan:
        text = f"the meter is on {layout.lan}, which is the general purpose home network"
        yield _Found(("meter", "interface"), text, "Give the meter an interface of its own, or take profile 6.4.1")


def _meter_apart(layout: Layout) -> Iterator[_Found]:
    for name, interface in layout.networks.items():
        if interface == layout.meter_interface:
            text = f"the meter and the appliances of [networks.{name}] are both on {interface}"
            remedy = "Give each of them an interface of its own, or take profile 6.3.2 or 6.4.2"
            yield _Found((f"networks.{name}", "interface"), text, remedy)


def _appliances_off_lan(layout: Layout) -> Iterator[_Found]:
    for name, interface in layout.networks.items():
        if layout.lan is not None and interface == layout.lan:
            text = f"the appliances of [networks.{name}] are on {interface}, the general purpose home network"
            yield _Found((f"networks.{name}", "interface"), text, "Give them a network of their own")


def _appliances_on_lan(layout: Layout) -> Iterator[_Found]:
    for name, interface in layout.networks.items():
        if layout.lan is not None and interface != layout.lan:
            text = f"the appliances of [networks.{name}] are on {interface}, the home network on {layout.lan}"
            yield _Found((f"networks.{name}", "interface"), text, "Take profile 6.4.2 or 6.4.3")


RULES: Final[Mapping[Profile, tuple[tuple[_Check, tuple[str, ...]], ...]]] = {
    "6.2": ((_no_meter, ("R4",)), (_no_gateway, ("R6",))),
    "6.3.1": ((_meter_on_lan, ("R9",)), (_appliances_off_lan, ("R10", "R14")), (_no_gateway, ("R15",))),
    "6.3.2": ((_meter_off_lan, ("R18",)), (_appliances_off_lan, ("R18",)), (_no_gateway, ("R23",))),
    "6.4.1": ((_meter_on_lan, ("R26",)), (_appliances_on_lan, ("R26",))),
    "6.4.2": ((_appliances_off_lan, ("R33", "R36")),),
    "6.4.3": (
        (_meter_off_lan, ("R40",)),
        (_appliances_off_lan, ("R33", "R43")),
        (_meter_apart, ("R51", "R54")),
    ),
}
"""What is looked at in each profile, and which requirements it breaks. 6.3.2, 6.4.1 and 6.4.2 let the flows of meter
and appliances be on one interface (R22, R30, R37); Appendix I, with which 6.4.3 is meant here, does not."""
