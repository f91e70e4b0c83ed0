"""Which properties a class has in which release, and what they mean: the Appendix as objects to ask.

Nothing is read before it is asked for, each class is read once, and each property's codec is made when first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final

from hemsd.echonet.classes import table
from hemsd.echonet.classes.codec import made
from hemsd.echonet.classes.device import Device, Known, Refusal
from hemsd.echonet.classes.scalars import Codec, Factor
from hemsd.echonet.layout import Misfit
from hemsd.echonet.objects import NODE_PROFILE, decode_property_map
from hemsd.echonet.values import PropertyError

_SUPER_CLASS: Final = 0x0000
GET_MAP: Final = 0x9F
_NEWEST: Final = "~"  # after every letter
_NOTHING_KNOWN: Final[Known] = MappingProxyType({})


class Rule(Enum):
    """What a class demands of a device."""

    REQUIRED = "required"
    CONDITIONAL = "conditional"  # of some devices, or as one of several
    OPTIONAL = "optional"
    NONE = "none"


@dataclass(frozen=True, eq=False)
class PropertyClass:
    """One property as a span of releases, `since` to `until`, has it; without an end: to this day."""

    epc: int
    name: str  # ours, in snake_case, the same for ever
    title: str
    title_ja: str
    since: str  # release letter
    until: str | None
    get: Rule
    set: Rule
    inf: Rule
    atomic: int | None  # EPC to be set before this one means anything
    data: table.Data = field(repr=False)
    owner: DeviceClass = field(repr=False)

    @cached_property
    def unit(self) -> str:
        """Of its numbers; those of different fields after one another, with commas."""
        return ", ".join(dict.fromkeys(number.unit for number in _numbers(self.data) if number.unit))

    @cached_property
    def coefficients(self) -> tuple[int, ...]:
        """EPCs of the properties that its numbers are to be multiplied with."""
        return tuple(dict.fromkeys(int(epc, 16) for number in _numbers(self.data) for epc in number.coefficient))

    @property
    def may_lack(self) -> bool:
        """Whether a device may do without it, as a coefficient: then it is 1. A unit is never taken for granted."""
        return self.get is not Rule.REQUIRED and isinstance(self.data, table.NumberData)

    @property
    def accepts(self) -> str:
        """What encode() takes, in words: "0 to 50 °C", "one of auto, cooling, ..."."""
        return self._codec.accepts

    def decode(self, edt: bytes, known: Known = _NOTHING_KNOWN) -> Any:
        """The value of some data, in the types of the codec room. Raises PropertyError.

        `known` scales it. A coefficient that is not in there makes its numbers State.UNKNOWN_UNIT, unless it is one
        that a device may lack and the device's own get map (9F, in `known` too) says that it does: then it is 1.
        """
        try:
            return self._codec.decode(edt, self._factor(known) if self.coefficients else 1)
        except Misfit as misfit:
            raise PropertyError(self.epc, edt, misfit.reason) from misfit

    def encode(self, value: Any) -> bytes:
        """The data for a value that decode() tells, or the same as text. Raises Refusal, which says what is taken."""
        try:
            return self._codec.encode(value)
        except Refusal as refusal:
            raise Refusal(refusal.code, f"{self.name}: {refusal}") from refusal

    @cached_property
    def _codec(self) -> Codec:
        return made(self.data)

    def _factor(self, known: Known) -> Factor:
        product: Decimal | int = 1
        for epc in self.coefficients:
            coefficient = self.owner.by_epc()[epc]
            if epc in known:
                told = _number(coefficient, known[epc])
                if told is None:
                    return None
                product *= told
            elif not coefficient.may_lack or _may_have(epc, known):
                return None
        return product


class DeviceClass:
    """One class of the Appendix; what it has of the super class included, but for the node profile."""

    def __init__(self, code: int, facts: table.ClassFacts, above: DeviceClass | None) -> None:
        self.code = code
        self.name = facts.name
        self.title = facts.title
        self.title_ja = facts.title_ja
        self._since = facts.since
        self._spans = tuple(_property(each, self) for each in facts.properties)
        self._above = above
        self._by_epc: dict[str, Mapping[int, PropertyClass]] = {}
        self._by_name: dict[str, Mapping[str, PropertyClass]] = {}

    def by_epc(self, release: str = "") -> Mapping[int, PropertyClass]:
        """The properties that it has in a release, by a letter from A to Z; the newest for all else.

        A device that says that it is older than its class is taken to be of the class's first release.
        """
        letter = self._letter(release)
        if letter not in self._by_epc:
            own = {each.epc: each for each in self._spans if each.since <= letter <= (each.until or letter)}
            above = self._above.by_epc(letter) if self._above else {}
            self._by_epc[letter] = MappingProxyType({**above, **own})
        return self._by_epc[letter]

    def by_name(self, release: str = "") -> Mapping[str, PropertyClass]:
        """The same by name."""
        letter = self._letter(release)
        if letter not in self._by_name:
            self._by_name[letter] = MappingProxyType({each.name: each for each in self.by_epc(letter).values()})
        return self._by_name[letter]

    def _letter(self, release: str) -> str:
        return max(release, self._since) if len(release) == 1 and "A" <= release <= "Z" else _NEWEST


@cache
def device_class(code: int) -> DeviceClass | None:
    """The class of a code (0x0130; 0 is the super class, 0x0EF0 the node profile), None where there is none."""
    if code == _SUPER_CLASS:
        return super_class()
    try:
        facts = table.read(code)
    except KeyError:
        return None
    return DeviceClass(code, facts, None if code == NODE_PROFILE >> 8 else super_class())


@cache
def super_class() -> DeviceClass:
    """What every device has."""
    return DeviceClass(_SUPER_CLASS, table.read(_SUPER_CLASS), None)


@cache
def class_names() -> Mapping[int, str]:
    """The name of every class by its code."""
    return MappingProxyType(table.codes())


def class_name(code: int) -> str:
    """The name of a class; class_0F02 where the Appendix has none."""
    return class_names().get(code) or f"class_{code:04X}"


def properties_of(device: Device) -> Mapping[int, PropertyClass]:
    """What a device of this class and release has; what every device has, of a class that is not known."""
    return (device_class(device.code) or super_class()).by_epc(device.release)


def _property(facts: table.PropertyFacts, owner: DeviceClass) -> PropertyClass:
    return PropertyClass(
        epc=int(facts.epc, 16),
        name=facts.name,
        title=facts.title,
        title_ja=facts.title_ja,
        since=facts.since,
        until=facts.until,
        get=Rule(facts.get),
        set=Rule(facts.set),
        inf=Rule(facts.inf),
        atomic=int(facts.atomic, 16) if facts.atomic else None,
        data=facts.data,
        owner=owner,
    )


def _numbers(data: table.Data) -> Iterator[table.NumberData]:
    """Every number within some data."""
    match data:
        case table.NumberData():
            yield data
        case table.ObjectData(fields=fields):
            for each in fields.values():
                yield from _numbers(each)
        case table.ArrayData(items=items):
            yield from _numbers(items)
        case table.OneOfData(of=of):
            for each in of:
                yield from _numbers(each)


def _number(coefficient: PropertyClass, edt: bytes) -> Decimal | int | None:
    """What a coefficient tells; None where it tells no number."""
    try:
        told = coefficient.decode(edt)
    except PropertyError:
        return None
    return told if isinstance(told, int | Decimal) else None


def _may_have(epc: int, known: Known) -> bool:
    """Whether a device may have a property, by its get map if that is known."""
    try:
        return GET_MAP not in known or epc in decode_property_map(known[GET_MAP])
    except ValueError:
        return True
