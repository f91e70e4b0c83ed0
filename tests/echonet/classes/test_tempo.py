"""How fresh what a device tells is kept, and what has to be selected before it can be read."""

from __future__ import annotations

import pytest
from support.devices import device, known

from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Device, Section, Tempo
from hemsd.echonet.classes.typed import VIEWS
from hemsd.echonet.classes.views import sections, tempo
from hemsd.echonet.frame import Property

OF_INTEREST = {
    0x0130: ("84 85 B9", "80 88 8F A0 AA B0 B3 BA BB"),
    0x0290: ("84 85", "80 88 B0 B1 B6 C0"),
    0x026B: ("84 85", "80 88 B0 B2 C1 C2 C3 D1 E1 E3 EA"),
    0x0279: ("85 E0 E1", "80 88 B1 D1"),
    0x027D: ("A8 A9 D3", "80 88 A4 A5 AA AB C1 C2 CF DA E2 E4"),
    0x02A1: ("D3 D8", "80 88 C7 CF DA E2 E4"),
    0x0287: ("C0 C1 C6 C7", "80 88"),
    0x0F02: ("84 85", "80 88"),
}


def listed(paces: dict[int, Tempo], pace: Tempo) -> str:
    return " ".join(f"{epc:02X}" for epc in sorted(paces) if paces[epc] is pace)


@pytest.mark.parametrize("code", OF_INTEREST)
def test_what_is_of_interest(code: int) -> None:
    """Power and energy every ten seconds, states every minute: these, of all that the class knows."""
    paces = dict(tempo(device(code)))
    assert (listed(paces, Tempo.LIVE), listed(paces, Tempo.STATE)) == OF_INTEREST[code]


@pytest.mark.parametrize("code", sorted(VIEWS))
def test_little_is_asked_often(code: int) -> None:
    """Even a device that has all that its class knows is asked for fewer than two properties in three seconds."""
    paces = tempo(device(code))
    assert sum(1 / pace.value for pace in paces.values()) < 0.75
    assert not paces.keys() & {0x82, 0x83, 0x8A, 0x97, 0x98, 0x9D, 0x9E, 0x9F}


def test_only_what_the_get_map_has() -> None:
    """Nothing is asked that the device does not say it can tell; nothing before it said so."""
    assert tempo(device(0x0130, readable=[0x80, 0xB0, 0xF1])) == {0x80: Tempo.STATE, 0xB0: Tempo.STATE}
    assert tempo(Device(eoj=0x013001)) == {}


@pytest.mark.parametrize(
    ("code", "units"), [(0x0287, "C2"), (0x0288, "D3 E1"), (0x0280, "E2"), (0x028D, "D3 D4"), (0x0281, "E1")]
)
def test_units_are_read_once(code: int, units: str) -> None:
    """What energies and volumes are multiplied with never changes."""
    paces = tempo(device(code))
    assert {paces[int(epc, 16)] for epc in units.split()} == {Tempo.ONCE}


@pytest.mark.parametrize("code", sorted(VIEWS))
def test_what_has_to_be_selected_is_not_polled(code: int) -> None:
    """Nor are the selectors, which belong to whoever reads by them; C7 of vehicles shows what it was unselected."""
    properties = properties_of(device(code))
    selected = {epc: each.atomic for epc, each in properties.items() if each.atomic is not None and epc != 0xC7}
    assert not tempo(device(code)).keys() & {*selected, *selected.values()}


def test_the_pages_of_a_board() -> None:
    """Each list is read in pages of 60 channels, of 30 where they take and give, one list in a request."""
    board = device(0x0287)
    assert sections(board, known("B1=2B B8=FD")) == (
        Section((Property(0xB6, bytes([1, 43])),), (0xB7,), 0),
        Section((Property(0xB2, bytes([1, 43])),), (0xB3,), 0),
    )
    assert [
        (each.select[0].edt.hex(), each.page) for each in sections(board, known("B1=FC")) if each.read == (0xB7,)
    ] == [
        ("013c", 0),
        ("3d3c", 1),
        ("793c", 2),
        ("b53c", 3),
        ("f10c", 4),
    ]
    assert [(each.read[0], each.select[0].edt.hex(), each.page) for each in sections(board, known("B8=1F"))] == [
        (0xBE, "011f", 0),
        (0xBA, "011e", 0),
        (0xBA, "1f01", 1),
    ]


@pytest.mark.parametrize("told", ["B1=FD", "B1=00", "B1=", "B1=0001", "C2=01"])
def test_a_board_that_does_not_tell_its_channels(told: str) -> None:
    """Without a number of channels there is nothing to select."""
    assert sections(device(0x0287), known(told)) == ()


def test_a_board_without_lists() -> None:
    """Where nothing can be selected, up to 32 channels are read one by one; where it can, they are not."""
    plain = device(0x0287, without=range(0xB2, 0xC0))
    assert sections(plain, known("B1=20")) == ()
    assert {tempo(plain)[epc] for epc in range(0xD0, 0xF0)} == {Tempo.STATE}
    assert not tempo(device(0x0287)).keys() & set(range(0xD0, 0xF0))


def test_other_classes_have_no_sections() -> None:
    """Histories of meters are the business of whoever wants them."""
    assert not [code for code in VIEWS if code != 0x0287 and sections(device(code), known("B1=10"))]
