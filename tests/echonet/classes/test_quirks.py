"""What makers' devices do differently: the file is whole, and each report is about the right devices."""

from __future__ import annotations

import re

import pytest
from msgspec import ValidationError, convert
from support.devices import device

from hemsd.echonet.classes import quirks
from hemsd.echonet.classes.device import Device
from hemsd.echonet.classes.planning import plan
from hemsd.echonet.classes.quirks import Quirk, Quirks, quirks_of, reported
from hemsd.echonet.classes.views import tempo

PANASONIC, DAIKIN, KOIZUMI = "00000B", "000008", "0000E8"


def test_the_file_is_whole() -> None:
    """Every entry does something, says why and where it was reported."""
    for quirk in reported():
        assert any((quirk.alone, quirk.never, quirk.batch, quirk.gap_s, quirk.answer_s, quirk.settle_s)), quirk
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+|.*no thread", quirk.source), quirk


def test_an_ordinary_device_has_none() -> None:
    """Neither one of another maker, nor one that has not told its maker."""
    assert quirks_of(device(0x0287, maker="000005")) == Quirks()
    assert quirks_of(Device(eoj=0x028701)) == Quirks()


@pytest.mark.parametrize(
    ("code", "maker", "product", "expected"),
    [
        (0x0287, PANASONIC, "", Quirks(alone=frozenset({0xB3, 0xB7}))),
        (0x0287, PANASONIC, "MKN7350S1", Quirks(alone=frozenset({0xB3, 0xB7}), batch=2)),
        (0x0281, PANASONIC, "MKN7350S1", Quirks(batch=2)),
        (0x0291, PANASONIC, "WTY2001", Quirks(gap_s=0.5)),
        (0x0130, PANASONIC, "CS-X", Quirks()),
        (0x02A3, KOIZUMI, "", Quirks(batch=14)),
        (0x026B, DAIKIN, "", Quirks(never=frozenset({0xCD, 0xCE, 0xCF}), batch=1, answer_s=20.0)),
        (0x0130, DAIKIN, "", Quirks()),
    ],
)
def test_who_a_report_is_about(code: int, maker: str, product: str, expected: Quirks) -> None:
    """By maker, class and the beginning of the product code."""
    assert quirks_of(device(code, maker=maker, product=product)) == expected


def test_several_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What several reports say of one device adds up to the most careful of them."""
    several = (
        Quirk(maker=PANASONIC, because="x", source="a/b#1", batch=2, gap_s=0.5, alone=("B3",)),
        Quirk(maker=PANASONIC, because="x", source="a/b#2", batch=6, gap_s=1.0, alone=("B7",), settle_s=5.0),
    )
    monkeypatch.setattr(quirks, "reported", lambda: several)
    lamp = device(0x0291, maker=PANASONIC)
    assert quirks_of(lamp) == Quirks(alone=frozenset({0xB3, 0xB7}), batch=2, gap_s=1.0, settle_s=5.0)
    assert plan(lamp, {"on": True}, {})[0].settle_s == 5.0


def test_what_is_never_asked_is_not_polled() -> None:
    """Daikin's water heaters have no second shift, whatever their map says."""
    assert {0xCD, 0xCE, 0xCF} <= tempo(device(0x026B)).keys()
    assert not {0xCD, 0xCE, 0xCF} & tempo(device(0x026B, maker=DAIKIN)).keys()


def test_a_quirk_needs_no_more_than_its_class_to_be_planned() -> None:
    """A plan for a quirky device is the same plan."""
    assert plan(device(0x026B, maker=DAIKIN), {"on": False}, {}) == plan(device(0x026B), {"on": False}, {})


@pytest.mark.parametrize(
    "broken",
    [
        {"maker": "B"},
        {"batch": 0},
        {"gap_s": -1.0},
        {"alone": ["7F"]},
        {"classes": ["287"]},
        {"source": ""},
        {"bach": 1},
    ],
)
def test_a_broken_entry_is_refused(broken: dict[str, object]) -> None:
    """Misspelt fields, codes that are none and times that cannot be do not pass."""
    whole = {"maker": PANASONIC, "because": "x", "source": "a/b#1", "batch": 2}
    assert convert(whole, Quirk).batch == 2
    with pytest.raises(ValidationError):
        convert(whole | broken, Quirk)
