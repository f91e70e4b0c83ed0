"""Who a node is, and how far that can be believed."""

from __future__ import annotations

import pytest
from support.scripted import identification

from hemsd.appliances.identity import Particulars, appliance_id, believable, claims


@pytest.mark.parametrize(
    "edt",
    [b"", bytes(17), identification(0), b"\xfe\0\0\x0b" + b"\xff" * 13, b"\xff" + bytes(16), b"\xfe" + bytes(15)],
)
def test_numbers_that_identify_nothing(edt: bytes) -> None:
    """Absent, all zero behind the maker (cheap stacks), or of another form."""
    assert not believable(edt)
    assert Particulars().told({0x83: edt}).identification == ""


def test_what_a_node_says_of_itself() -> None:
    """Text without padding, codes in hexadecimal, the release as a letter; nonsense is as if unsaid."""
    said = Particulars().told(
        {
            0x83: identification(5),
            0x8A: b"\0\0\x0b",
            0x8C: b"RAS-X1\0\0\0\0\0\0",
            0x8D: b"12345 \x07      ",
            0x82: b"\0\0P\1",
        }
    )
    assert said == Particulars("FE00000B" + "0" * 25 + "5", "00000B", "RAS-X1", "12345", "P")
    assert Particulars().told({0x8A: b"\0", 0x82: b"\0\0", 0x8C: b"\xff" * 12, 0xE0: b"\1"}) == Particulars()


def test_claims_from_the_best_to_the_worst() -> None:
    """The number, the serial number, the address: the last is always there, and nobody else's."""
    said = Particulars("FE00000B" + "0" * 25 + "5", "00000B", "RAS-X1", "12345")
    best, good, own = claims(said, "fe80::5")
    assert best.startswith("83:FE")
    assert good == "8D:00000B/RAS-X1/12345"
    assert own == "at:00000B/RAS-X1/fe80::5"
    assert claims(Particulars(), "fe80::5") == ("at://fe80::5",)


def test_an_id_is_for_ever() -> None:
    """Names of appliances are in people's configurations: these may never change."""
    assert appliance_id("83:FE00000B00000000000000000000000001", 0x013001) == "0130-52aec424"
    assert appliance_id("83:FE00000B00000000000000000000000001", 0x013002) == "0130-98758bb1"


def test_contradiction_needs_two() -> None:
    """What is not said this time contradicts nothing."""
    before = Particulars(identification="A", product="RAS")
    assert not before.contradicted(Particulars(maker="00000B"))
    assert not before.contradicted(before)
    assert before.contradicted(Particulars(identification="B"))
    assert before.merged(Particulars(maker="00000B")) == Particulars("A", "00000B", "RAS")
