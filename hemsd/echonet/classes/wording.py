"""How a class says the words of the common language: by codes, by numbers, or in ways of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from hemsd.echonet.classes.catalogue import GET_MAP, PropertyClass
from hemsd.echonet.classes.device import Device, Known, Refusal, Scalar, Section, Tempo
from hemsd.echonet.classes.scalars import number_of
from hemsd.echonet.frame import Property
from hemsd.echonet.objects import encode_property_map
from hemsd.echonet.values import PropertyError

Properties = Mapping[int, PropertyClass]

YES_OR_NO: Final[Mapping[int, Scalar]] = {0x41: True, 0x42: False}
"""What most properties say that tell whether something is so."""

IN_OUR_UNITS: Final[Mapping[str, Decimal]] = {"kW": Decimal(1000), "mA": Decimal("0.001")}
"""What a number of the class is multiplied with to be in watts or amperes."""


class Word(ABC):
    """One word as one class says it.

    Of the properties that tell it (`tells`) it is read from the first that a device has, so that a register stays the
    same one.
    """

    __slots__ = ()
    tells: tuple[int, ...]

    @abstractmethod
    def read(self, epc: int, known: Known, device: Device, properties: Properties) -> Scalar:
        """The value that property `epc` (which is in `known`) tells; None where it tells none."""


class Settable(Word):
    """A word that can be wished for: by the first of `sets` that is in the set map of a device, if there is one."""

    __slots__ = ()
    sets: tuple[int, ...]

    @abstractmethod
    def accepts(self, target: PropertyClass) -> str:
        """What it can be set to by this property, in words."""

    @abstractmethod
    def edts(self, value: Scalar, target: PropertyClass) -> tuple[bytes, ...]:
        """The EDTs that fulfil a wish, the one to be preferred first. Raises Refusal."""


def edt_is_of(edt: bytes, declared: PropertyClass) -> bool:
    """Whether a property may have this EDT in its class and release."""
    try:
        declared.decode(edt)
    except PropertyError:
        return False
    return True


def out_of_range(accepts: str) -> Refusal:
    """The refusal of a value, saying what would do."""
    return Refusal("out_of_range", f"it accepts {accepts}")


_YES: Final = frozenset({"true", "on", "yes", "1"})
_NO: Final = frozenset({"false", "off", "no", "0"})


def _means(value: Scalar, meaning: Scalar) -> bool:
    """Whether somebody who says `value` means `meaning`."""
    said = str(value).strip().casefold()
    match meaning:
        case bool():
            return said in (_YES if meaning else _NO)
        case str():
            return said == meaning
        case _:
            return number_of(value) == meaning


def _spoken(meaning: Scalar) -> str:
    return str(meaning).lower() if isinstance(meaning, bool) else str(meaning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Settable):
    """A word whose values stand for one-byte EDTs. Several may have one meaning: it is set by the first of them."""

    codes: Mapping[int, Scalar]
    tells: tuple[int, ...] = ()
    sets: tuple[int, ...] = ()
    otherwise: Scalar = None  # what any other EDT means that the property may have
    unwished: frozenset[Scalar] = frozenset()  # meanings that nobody can wish for

    def read(self, epc: int, known: Known, device: Device, properties: Properties) -> Scalar:
        edt = known[epc]
        if len(edt) == 1 and edt[0] in self.codes:
            return self.codes[edt[0]]
        return self.otherwise if epc in properties and edt_is_of(edt, properties[epc]) else None

    def _can(self, target: PropertyClass) -> dict[int, Scalar]:
        return {
            code: meaning
            for code, meaning in self.codes.items()
            if meaning not in self.unwished and edt_is_of(bytes([code]), target)
        }

    def accepts(self, target: PropertyClass) -> str:
        meanings = dict.fromkeys(_spoken(meaning) for meaning in self._can(target).values())
        return "one of " + ", ".join(meanings) if len(meanings) > 2 else " or ".join(meanings)

    def edts(self, value: Scalar, target: PropertyClass) -> tuple[bytes, ...]:
        meant = tuple(bytes([code]) for code, meaning in self._can(target).items() if _means(value, meaning))
        if not meant:
            raise out_of_range(self.accepts(target))
        return meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity(Settable):
    """A word whose value is a number of the class, in our units; some EDTs may have a name beside the numbers."""

    tells: tuple[int, ...] = ()
    sets: tuple[int, ...] = ()
    item: int | None = None  # which one, where the property has several
    factor: int = 1  # -1: what the class counts is given, not taken
    names: Mapping[int, str] = field(default_factory=dict)
    zero: bytes | None = None  # EDT that stands for 0 where the class has another word for it
    void: tuple[int, frozenset[bytes]] = (0, frozenset())  # means nothing while this property has one of these EDTs

    def read(self, epc: int, known: Known, device: Device, properties: Properties) -> Scalar:
        edt, declared = known[epc], properties.get(epc)
        if declared is None or known.get(self.void[0]) in self.void[1]:
            return None
        if len(edt) == 1 and edt[0] in self.names:
            return self.names[edt[0]]
        if edt == self.zero:
            return 0
        try:
            value = declared.decode(edt, _scales(declared, known, device))
        except PropertyError:
            return None
        if self.item is not None:
            value = _item(value, self.item)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        value = value * self.factor * IN_OUR_UNITS.get(declared.unit, 1) + 0  # + 0: there is no -0
        return float(value) if isinstance(value, Decimal) else value

    def accepts(self, target: PropertyClass) -> str:
        numbers, *_ = target.accepts.split(", or ")  # without the words that the class has beside them
        return ", or ".join([*(["0"] if self.zero is not None else ()), numbers, *self.names.values()])

    def edts(self, value: Scalar, target: PropertyClass) -> tuple[bytes, ...]:
        for code, name in self.names.items():
            if _means(value, name):
                return (bytes([code]),)
        exact = number_of(value)
        if exact is None:
            raise out_of_range(self.accepts(target))
        if exact == 0 and self.zero is not None:
            return (self.zero,)
        try:
            return (target.encode(exact),)
        except Refusal as refusal:  # whoever wished it calls it otherwise
            raise Refusal(refusal.code, str(refusal).removeprefix(f"{target.name}: ")) from None


def _scales(declared: PropertyClass, known: Known, device: Device) -> Known:
    """What a number is multiplied with, as far as known; and what the device has not, so that it counts as 1."""
    if not declared.coefficients:
        return {}
    scales = {epc: known[epc] for epc in declared.coefficients if epc in known}
    return scales | {GET_MAP: encode_property_map(device.readable)} if device.readable else scales


def _item(value: object, item: int) -> object:
    """One of several values that stand together, by its place; None where there is none."""
    several = list(value.values()) if isinstance(value, dict) else value
    return several[item] if isinstance(several, list | tuple) and item < len(several) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Special(Word):
    """A word that is told in a way of its own, and cannot be wished for."""

    tells: tuple[int, ...]
    meaning: Callable[[bytes], Scalar]  # never raises, whatever the EDT

    def read(self, epc: int, known: Known, device: Device, properties: Properties) -> Scalar:
        return self.meaning(known[epc])


def _no_contradiction(wanted: Mapping[int, bytes]) -> str:
    return ""


def _the_same_for_all(device: Device) -> Mapping[int, Tempo | None]:
    return {}


def _nothing_to_select(device: Device, known: Known) -> tuple[Section, ...]:
    return ()


class View(Struct, frozen=True, kw_only=True):
    """What a class means to a house: its words, and what is to be known for reading and setting it."""

    words: Mapping[str, Word] = {}
    sums: str = ""  # of every device of the class: see VOCABULARY
    # setting
    order: tuple[int, ...] = ()  # in which properties are written; all others come after these
    first: Mapping[int, Property] = {}  # what has to be so before a property does anything
    within: Mapping[int, int] = {}  # property that tells the {minimum, maximum} of another
    also: Mapping[int, Mapping[int, frozenset[bytes]]] = {}  # to be read back beside it
    contradiction: Callable[[Mapping[int, bytes]], str] = _no_contradiction  # a sentence, where there is one
    settle_s: float = 1.0
    shows: Literal["", "blink", "again"] | Property = ""  # how it shows itself: see views.identify
    # reading
    once: frozenset[int] = frozenset()  # what never changes, beside what its words say,
    never: frozenset[int] = frozenset()  # what is not worth asking for,
    tempo: Callable[[Device], Mapping[int, Tempo | None]] = _the_same_for_all  # and what depends on the device
    sections: Callable[[Device, Known], tuple[Section, ...]] = _nothing_to_select
