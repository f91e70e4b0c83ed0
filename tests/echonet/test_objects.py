"""Objects: property maps in both forms, instance lists, what nodes and devices tell."""

from __future__ import annotations

import pytest

from hemsd.echonet.objects import (
    NODE_CLASS,
    SUPER_CLASS,
    Release,
    decode_instance_list,
    decode_property_map,
    encode_property_map,
)
from hemsd.echonet.values import PropertyError, State

METER_MAP = "80 81 82 88 8A 8D 97 98 9D 9E 9F D3 D7 E0 E1 E2 E3 E4 E5 E7 E8 EA EB EC ED"


def codes(text: str) -> frozenset[int]:
    return frozenset(bytes.fromhex(text))


def test_the_list_form() -> None:
    """Up to 15 properties are a count and their codes (set map of a captured meter)."""
    assert decode_property_map(bytes.fromhex("0381E5ED")) == codes("81 E5 ED")
    assert decode_property_map(b"\0") == frozenset()


def test_the_bitmap_form() -> None:
    """From 16 on they are a count and 16 bytes of bits (get map of a captured meter)."""
    assert decode_property_map(bytes.fromhex("1941414160404000624300414040430202")) == codes(METER_MAP)


@pytest.mark.parametrize(
    ("edt", "epcs"),
    [
        ("0380818800000000000000000000000000", "80 81 88"),  # a list padded with zeros to the length of a bitmap
        ("3041414160404000624300414040430202", METER_MAP),  # a bitmap whose count is wrong
        ("0480818181", "80 81"),  # the same code again
        ("0380817F", "80 81"),  # no property code
        ("0280818283", "80 81 82 83"),  # more than the count says
        ("0580", "80"),  # fewer
    ],
)
def test_maps_as_devices_send_them(edt: str, epcs: str) -> None:
    """Bits and codes count, the number before them does not; what is no code is passed over."""
    assert decode_property_map(bytes.fromhex(edt)) == codes(epcs)


def test_maps_are_encoded_in_the_form_that_their_size_asks_for() -> None:
    """15 properties are still a list, 16 a bitmap; both come back as they were."""
    assert encode_property_map(codes("ED 81 E5")) == bytes.fromhex("0381E5ED")
    assert encode_property_map(codes(METER_MAP)) == bytes.fromhex("1941414160404000624300414040430202")
    for size, length in ((15, 16), (16, 17), (128, 17)):
        epcs = frozenset(range(0x80, 0x80 + size))
        assert len(encode_property_map(epcs)) == length
        assert decode_property_map(encode_property_map(epcs)) == epcs


def test_an_empty_map_is_refused() -> None:
    """Not even a count."""
    with pytest.raises(ValueError, match="1 to 17 bytes"):
        decode_property_map(b"")
    with pytest.raises(PropertyError):
        SUPER_CLASS[0x9F].decode(0x9F, b"")


def test_instance_lists() -> None:
    """D5 and D6: a count and three bytes for each object; anything else is refused."""
    assert decode_instance_list(bytes.fromhex("01028801")) == (0x028801,)
    assert decode_instance_list(bytes.fromhex("0302880105FF01013002")) == (0x028801, 0x05FF01, 0x013002)
    assert decode_instance_list(b"\0") == ()
    for wrong in ("", "02028801", "0102880100", "FF"):
        with pytest.raises(PropertyError):
            decode_instance_list(bytes.fromhex(wrong))


def test_version_is_a_release_of_a_device_and_a_version_of_a_node() -> None:
    """EPC 82 means one thing in devices and another in the node profile; release A may be written small."""
    assert SUPER_CLASS[0x82].decode(0x82, bytes.fromhex("00004600")) == Release("F", 0)
    assert SUPER_CLASS[0x82].decode(0x82, bytes.fromhex("00006100")) == Release("A", 0)
    assert SUPER_CLASS[0x82].describe(0x82, bytes.fromhex("00005204")).value == "R rev.4"
    assert NODE_CLASS[0x82].describe(0x82, bytes.fromhex("010E0100")).value == "1.14"
    with pytest.raises(PropertyError):
        SUPER_CLASS[0x82].decode(0x82, bytes.fromhex("010E0100"))


@pytest.mark.parametrize(
    ("edt", "text"),
    [
        ("463030303030303030303030", "F00000000000"),
        ("414243444546000000000000", "ABCDEF"),
        ("202020202020313233343536", "123456"),
        ("414243FFFFFFFFFFFFFFFFFF", "ABC"),
        ("000000000000000000000000", ""),
        ("414243E7444546474849404A", "ABC\\xe7DEFGHI@J"),
        ("41421B5B33316D0D0A7F4142", "AB\\x1b[31m\\x0d\\x0a\\x7fAB"),
    ],
)
def test_text_without_its_padding(edt: str, text: str) -> None:
    """Serial numbers come padded with zeros, blanks or ones; what is no letter stays recognisable, and harmless."""
    assert SUPER_CLASS[0x8D].decode(0x8D, bytes.fromhex(edt)) == text


def test_a_clock_that_was_never_set_is_a_state() -> None:
    """All bits set is no date; an impossible date is refused, and one at the ends of the calendar."""
    assert SUPER_CLASS[0x98].decode(0x98, bytes.fromhex("FFFFFFFF")) is State.NO_DATA
    assert SUPER_CLASS[0x97].decode(0x97, bytes.fromhex("FFFF")) is State.NO_DATA
    for wrong in ("07EA021E", "00000101", "00010101", "270F0C1F"):  # 30 February; the years 0, 1 and 9999
        with pytest.raises(PropertyError):
            SUPER_CLASS[0x98].decode(0x98, bytes.fromhex(wrong))
    with pytest.raises(PropertyError):
        SUPER_CLASS[0x97].decode(0x97, bytes.fromhex("1800"))  # 24:00
