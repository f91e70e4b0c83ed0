"""Objects: how they are addressed, and the properties that every device and every node has.

ECHONET Lite Specification 1.14, part II, chapter 6 (node profile); ECHONET Appendix release R, chapter 2 (device
object super class) and annex 1 (property maps).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final, cast

from construct import Adapter, Bytes, GreedyBytes, Int16ub, Int24ub, ValidationError
from msgspec import Struct

from hemsd.echonet.layout import Counted, Packed
from hemsd.echonet.values import (
    DATE,
    TIME,
    UNSIGNED_8,
    UNSIGNED_16,
    UNSIGNED_32,
    Code,
    Declared,
    Hexadecimal,
    Number,
    Text,
)

METER: Final = 0x028801  # low-voltage smart electric energy meter; on Route B always instance 01
NODE_PROFILE: Final = 0x0EF001
CONTROLLER: Final = 0x05FF01  # what we are

BITMAP_SIZE: Final = 17  # bytes of a property map in bitmap form
LIST_MAX: Final = 15  # properties that a map lists; from one more on it is a bitmap


def decode_property_map(edt: bytes) -> frozenset[int]:
    """The EPCs (0x80-0xFF) of a property map in either form (annex 1). Raises ValueError for no bytes at all.

    Made for what devices send: the bits count and not the number before them; a list may be padded and repeat itself.
    """
    if not edt:
        raise ValueError("a property map has 1 to 17 bytes")
    if len(edt) == BITMAP_SIZE and edt[0] > LIST_MAX:
        return frozenset(
            0x80 + 0x10 * bit + at for at, bits in enumerate(edt[1:]) for bit in range(8) if bits & 1 << bit
        )
    return frozenset(epc for epc in edt[1:] if epc >= 0x80)


def encode_property_map(epcs: Collection[int]) -> bytes:
    """The property map of some EPCs (0x80-0xFF), the inverse of decode_property_map()."""
    listed = sorted(set(epcs))
    if len(listed) <= LIST_MAX:
        return bytes((len(listed), *listed))
    bits = bytearray(BITMAP_SIZE)
    bits[0] = len(listed)
    for epc in listed:
        bits[1 + epc % 0x10] |= 1 << epc // 0x10 - 8
    return bytes(bits)


class PropertyMap(Adapter):
    """A property map as the set of its EPCs."""

    def _decode(self, obj: bytes, context: None, path: None) -> frozenset[int]:
        try:
            return decode_property_map(obj)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Release(Struct, frozen=True):
    """The release of the Appendix that a device follows: letter A to Z, and revision."""

    letter: str
    revision: int

    def __str__(self) -> str:
        return f"{self.letter} rev.{self.revision}" if self.revision else self.letter


class ReleaseField(Adapter):
    """Standard version of a device: two zeros, release letter in ASCII (the first one is ``a``), revision."""

    def _decode(self, obj: tuple[bytes, int], context: None, path: None) -> Release:
        letter, revision = obj
        if not letter.isalpha():
            raise ValidationError(f"{letter!r} is no release")
        return Release(letter.decode("ascii").upper(), revision)


def in_hex(codes: Iterable[int], digits: int) -> list[str]:
    """Codes for people: upper-case hexadecimal, in their order."""
    return [f"{code:0{digits}X}" for code in codes]


ON_OFF: Final = Code({0x30: True, 0x31: False})
YES_NO: Final = Code({0x41: True, 0x42: False})

SUPER_CLASS: Final[Mapping[int, Declared]] = {
    0x80: Declared("operation_status", ON_OFF),
    0x81: Declared("installation_location", Hexadecimal({1, 17})),
    0x82: Declared("standard_version", ReleaseField(Packed("2xcB")), show=str),
    0x83: Declared("identification_number", Hexadecimal({17})),
    0x84: Declared("power_consumption", Number("H", 0, 65_533, UNSIGNED_16), "W"),
    0x85: Declared(
        "cumulative_energy_consumption",
        Number("L", 0, 999_999_999, UNSIGNED_32, step=Decimal("0.001")),
        "kWh",
    ),
    0x86: Declared("maker_fault_code", Hexadecimal(range(1, 256))),
    0x87: Declared("current_limit", Number("B", 0, 100, UNSIGNED_8), "%"),
    0x88: Declared("fault_status", YES_NO),
    0x89: Declared("fault_description", Hexadecimal({2})),
    0x8A: Declared("maker_code", Hexadecimal({3})),
    0x8B: Declared("business_facility_code", Hexadecimal({3})),
    0x8C: Declared("product_code", Text(Bytes(12))),
    0x8D: Declared("serial_number", Text(Bytes(12))),
    0x8E: Declared("production_date", DATE),
    0x8F: Declared("power_saving", YES_NO),
    0x97: Declared("clock_time", TIME),
    0x98: Declared("clock_date", DATE),
    0x99: Declared("power_limit", Number("H", 0, 65_533, UNSIGNED_16), "W"),
    **{
        epc: Declared(name, PropertyMap(GreedyBytes), show=lambda epcs: in_hex(sorted(epcs), 2))
        for epc, name in ((0x9D, "announcement_map"), (0x9E, "set_map"), (0x9F, "get_map"))
    },
}
"""What any device has, by EPC; what no meter has (93, 9A) is in the catalogue of classes alone."""

_INSTANCES: Final = Counted(Int24ub, range(85))

NODE_CLASS: Final[Mapping[int, Declared]] = {
    0x82: Declared("version", Packed(">BBBx"), show=lambda version: f"{version[0]}.{version[1]}"),
    0xD5: Declared("instance_list_notification", _INSTANCES, show=lambda eojs: in_hex(eojs, 6)),
    0xD6: Declared("instance_list", _INSTANCES, show=lambda eojs: in_hex(eojs, 6)),
    0xD7: Declared("class_list", Counted(Int16ub, range(1, 9)), show=lambda classes: in_hex(classes, 4)),
}
"""What of the node profile is to be understood, by EPC; the catalogue of classes has all of it, to be shown."""


def decode_instance_list(edt: bytes) -> tuple[int, ...]:
    """The objects, 24 bits each, of an instance list (D5 or D6 of the node profile). Raises PropertyError."""
    return cast(tuple[int, ...], NODE_CLASS[0xD6].decode(0xD6, edt))
