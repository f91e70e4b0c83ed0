"""The table of every class in the Appendix, appendix.json, as types; read one class at a time.

What stands in it is explained where it is made (tests/echonet/mra_table.py); a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

Rules = Literal["required", "conditional", "optional", "none"]


class Kind(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of what data can be."""


class NumberData(Kind, frozen=True, tag="number"):
    """An integer; times `multiple`, and times what the properties `coefficient` tell, it is in `unit`."""

    format: Literal["uint8", "int8", "uint16", "int16", "uint24", "uint32", "int32"]
    minimum: int
    maximum: int
    unit: str = ""
    multiple: int | float = 1
    coefficient: tuple[str, ...] = ()
    overflow: bool = True  # whether the general code for it (Appendix, 2.3) is one here, where there is a unit
    underflow: bool = True


class StateData(Kind, frozen=True, tag="state"):
    """What codes mean: a word, whether something is so, or a number; a key may be a span of codes: 000A...0013."""

    enum: dict[str, bool | str | int | float] = {}
    read_only: dict[str, bool | str] = {}


class LevelData(Kind, frozen=True, tag="level"):
    """Levels 1 to `maximum` from code `base` on; with a prefix they are words: plus_1, plus_2, ..."""

    base: str
    maximum: int
    prefix: str = ""


class Bit(msgspec.Struct, frozen=True):
    """Bits of one byte of a bitmap; without data, one bit that is set where it is so."""

    at: int
    mask: int
    data: StateData | LevelData = StateData({"00": False, "01": True})


class BitmapData(Kind, frozen=True, tag="bitmap"):
    size: int
    bits: dict[str, Bit]


class ObjectData(Kind, frozen=True, tag="object"):
    """Fields one after the other; a number before a list that is not of one length tells how long it is."""

    fields: dict[str, Data]


class ArrayData(Kind, frozen=True, tag="array"):
    minimum: int
    maximum: int
    items: Data


class BytesData(Kind, frozen=True, tag="raw"):
    minimum: int
    maximum: int


class ReleaseData(BytesData, frozen=True, tag="release"):
    """Standard version of a device."""


class VersionData(BytesData, frozen=True, tag="version"):
    """Version of a node."""


class TextData(BytesData, frozen=True, tag="text"):
    """ASCII."""


class PropertyMapData(BytesData, frozen=True, tag="property_map"):
    """In either form."""


class DateData(Kind, frozen=True, tag="date"):
    """Year, month, day."""


class TimeData(Kind, frozen=True, tag="time"):
    """Hours, minutes and, of three bytes, seconds."""

    size: int


class DurationData(Kind, frozen=True, tag="duration"):
    """Hours, up to 255, and minutes."""

    size: int


class MomentData(Kind, frozen=True, tag="date_time"):
    """Date and time, to the second or, of six bytes, to the minute."""

    size: int


class OneOfData(Kind, frozen=True, tag="one_of"):
    """Any of these, states first."""

    of: tuple[Data, ...]


Data = (
    NumberData
    | StateData
    | LevelData
    | BitmapData
    | ObjectData
    | ArrayData
    | BytesData
    | ReleaseData
    | VersionData
    | TextData
    | PropertyMapData
    | DateData
    | TimeData
    | DurationData
    | MomentData
    | OneOfData
)


class PropertyFacts(msgspec.Struct, frozen=True):
    """One property as one span of releases has it; without an end: to this day."""

    epc: str
    name: str
    since: str
    title: str
    title_ja: str
    data: Data
    until: str | None = None
    get: Rules = "optional"
    set: Rules = "none"
    inf: Rules = "optional"
    atomic: str | None = None  # EPC to be set before this one means anything


class ClassFacts(msgspec.Struct, frozen=True):
    """One class without what it has of the super class."""

    name: str
    since: str
    title: str
    title_ja: str
    properties: list[PropertyFacts]


_DECODER: Final = msgspec.json.Decoder(ClassFacts)


def read(code: int) -> ClassFacts:
    """The facts of a class by its code (0x0130; 0 is the super class). Raises KeyError where the Appendix has none.

    Looks for the line with which the class begins and parses no other: the whole takes many times as long.
    """
    text = _text()
    begin = text.find(b'\n"%04X": {' % code)
    if begin < 0:
        raise KeyError(code)
    end = text.index(b"\n]}", begin)
    return _DECODER.decode(memoryview(text)[text.index(b"{", begin) : end + 3])


def codes() -> Mapping[int, str]:
    """The name of every class by its code."""
    heads = [line for line in _text().split(b"\n") if line.startswith(b'"') and line.endswith(b'"properties":[')]
    return {int(line[1:5], 16): msgspec.json.decode(line[8:] + b"]}", type=ClassFacts).name for line in heads}


def _text() -> bytes:
    return Path(__file__).with_name("appendix.json").read_bytes()
