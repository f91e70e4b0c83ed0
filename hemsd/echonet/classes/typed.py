"""The view of every class: its own where it has one, and what all classes have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hemsd.echonet.classes import climate, generation, household, lighting, metering, storage, water
from hemsd.echonet.classes.catalogue import PropertyClass, properties_of
from hemsd.echonet.classes.device import Device, Known
from hemsd.echonet.classes.wording import YES_OR_NO, Choice, Quantity, Settable, View, Word

VIEWS: Final[Mapping[int, View]] = (
    dict(climate.VIEWS)
    | dict(lighting.VIEWS)
    | dict(water.VIEWS)
    | dict(generation.VIEWS)
    | dict(storage.VIEWS)
    | dict(metering.VIEWS)
    | dict(household.VIEWS)
)

COMMON: Final[Mapping[str, Word]] = {
    "on": Choice(codes={0x30: True, 0x31: False}, tells=(0x80,), sets=(0x80,)),
    "fault": Choice(codes=YES_OR_NO, tells=(0x88,)),
    "power_saving": Choice(codes=YES_OR_NO, tells=(0x8F,), sets=(0x8F,)),
    "power_w": Quantity(tells=(0x84,)),
    "energy_import_kwh": Quantity(tells=(0x85,)),
}
"""What every class can say by its super class."""

OTHERS: Final = View()


def view_of(device: Device) -> View:
    """What its class means to a house; for a class that nobody looked at, only what all have in common."""
    return VIEWS.get(device.code, OTHERS)


def words_of(device: Device) -> dict[str, Word]:
    """The words of its class and those that all classes have, in the order in which people want to see them."""
    return {**COMMON, **view_of(device).words}


def told_by(word: Word, device: Device, known: Known) -> int | None:
    """The property of this device that tells a word, None where it has none: see Word.tells."""
    return next((epc for epc in word.tells if epc in device.readable or epc in known), None)


def set_by(device: Device) -> Iterator[tuple[str, Settable, PropertyClass]]:
    """The words that its class, its release and its set map let somebody set, each with its property."""
    properties = properties_of(device)
    for word, meaning in words_of(device).items():
        if isinstance(meaning, Settable):
            for epc in meaning.sets:
                if epc in device.settable and epc in properties:
                    yield word, meaning, properties[epc]
                    break
