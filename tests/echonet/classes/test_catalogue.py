"""The catalogue: which properties a class has in which release, by code and by name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.classes import RELEASES, a_class, every_property

from hemsd.echonet import meter
from hemsd.echonet.classes import table
from hemsd.echonet.classes.catalogue import (
    DeviceClass,
    Rule,
    class_name,
    class_names,
    device_class,
    properties_of,
)
from hemsd.echonet.classes.device import Device
from hemsd.echonet.objects import NODE_CLASS, SUPER_CLASS

PUBLISHED = Path(__file__).with_name("names.txt")


def test_every_class_of_the_appendix_is_there() -> None:
    """55 classes of devices, the super class and the node profile, in every release."""
    assert len(class_names()) == 57
    for code, name in class_names().items():
        found = a_class(code)
        assert (found.code, found.name) == (code, name) == (code, class_name(code))
        assert found.title
        assert found.title_ja
        for release in RELEASES:
            assert found.by_epc(release).keys() >= {0x80, 0x82, 0x8A, 0x9D, 0x9E, 0x9F}


def test_the_table_is_what_the_appendix_has() -> None:
    """As many properties as the Appendix 1.3.1 lists, each once for each span of releases."""
    facts = [each for code in class_names() for each in table.read(code).properties]
    assert len(facts) == len(list(every_property())) == 982


@pytest.mark.parametrize("release", RELEASES)
def test_names_are_unique(release: str) -> None:
    """Within a class and release, with what it has of the super class."""
    for code in class_names():
        found = a_class(code)
        assert not [
            name for name, count in Counter(each.name for each in found.by_epc(release).values()).items() if count > 1
        ]
        assert {each.epc for each in found.by_name(release).values()} == found.by_epc(release).keys()


def test_spans_of_releases_do_not_overlap() -> None:
    """A property is one thing in one release."""
    spans = [
        (each.owner.code, each.epc, letter)
        for each in every_property()
        for letter in RELEASES
        if each.since <= letter <= (each.until or letter)
    ]
    assert len(spans) == len(set(spans))


def test_a_release_selects_what_a_device_has() -> None:
    """027D DA gained orders over time, 0279 B0 came with K; before a class began, its first release counts."""
    battery = a_class(0x027D)
    assert [battery.by_epc(letter)[0xDA].since for letter in "ACEHR"] == ["A", "B", "D", "H", "H"]
    assert 0xB0 not in a_class(0x0279).by_epc("J")
    assert 0xB0 in a_class(0x0279).by_epc("K")
    assert a_class(0x02A5).by_epc("A") == a_class(0x02A5).by_epc("K") != {}
    assert a_class(0x0000).by_epc("B")[0x93].name == "location_information"
    assert a_class(0x0130).by_epc("C")[0x93].name == "remote_control"


def test_what_a_release_dropped_is_no_longer_there() -> None:
    """A span that ends and is followed by none; the Appendix has no such property yet."""
    facts = table.PropertyFacts("B0", "dropped", "C", "", "", table.DateData(), until="F")
    made = DeviceClass(0x0FFF, table.ClassFacts("a_class", "A", "", "", [facts]), None)
    assert [letter for letter in RELEASES if made.by_epc(letter)] == ["C", "D", "E", "F"]
    assert made.by_epc() == {}


@pytest.mark.parametrize("release", ["", "S", "Z", "é", "?", "10"])
def test_a_release_that_is_not_known_is_the_newest(release: str) -> None:
    """A device from the future, or one that does not tell."""
    for code in class_names():
        assert a_class(code).by_epc(release) == a_class(code).by_epc("R")


def test_a_device_has_its_class_or_the_super_class() -> None:
    """Makers' own classes (0F02) have at least what every device has; the node profile has nothing of it."""
    assert properties_of(Device(eoj=0x013001))[0xB0].name == "operation_mode"
    assert properties_of(Device(eoj=0x013001, release="C"))[0xBB].until == "C"
    assert properties_of(Device(eoj=0x0F0201)) == a_class(0x0000).by_epc()
    assert device_class(0x0F02) is None
    assert class_name(0x0F02) == "class_0F02"
    assert 0x81 not in a_class(0x0EF0).by_epc()


def test_a_class_has_its_own_form_of_what_every_device_has() -> None:
    """PV has to tell its identification number, any device may."""
    assert a_class(0x0279).by_epc()[0x83].get is Rule.REQUIRED
    assert a_class(0x0290).by_epc()[0x83].get is Rule.OPTIONAL


def test_access_rules_and_selectors() -> None:
    """What has to be settable, what cannot be, and what has to be set before it means anything."""
    board, conditioner = a_class(0x0287).by_epc(), a_class(0x0130).by_epc()
    assert (conditioner[0xB0].get, conditioner[0xB0].set, conditioner[0xB0].inf) == (Rule.REQUIRED,) * 3
    assert (conditioner[0xBE].get, conditioner[0xBE].set) == (Rule.OPTIONAL, Rule.NONE)
    assert a_class(0x0279).by_epc()[0xA0].set is Rule.CONDITIONAL
    assert {epc: each.atomic for epc, each in board.items() if each.atomic} == {
        **{0xB3: 0xB2, 0xB5: 0xB4, 0xB7: 0xB6, 0xBA: 0xB9, 0xBC: 0xBB, 0xBE: 0xBD, 0xC3: 0xC5, 0xC4: 0xC5}
    }
    assert a_class(0x027E).by_epc()[0xC7].atomic == 0xCD


def test_units_and_coefficients() -> None:
    """The same job on another code in each class (028D: unit D4, day E0); a coefficient is one thing at all times."""
    assert a_class(0x0288).by_epc()[0xE0].coefficients == (0xD3, 0xE1)
    assert a_class(0x028D).by_epc()[0xE1].coefficients == (0xD3, 0xD4)
    assert a_class(0x028A).by_epc()[0xE3].coefficients == (0xD3, 0xD4, 0xE6)
    assert a_class(0x028D).by_epc()[0xE8].coefficients == (0xD8,)
    assert a_class(0x0287).by_epc()[0xD0].coefficients == (0xC2,)
    assert (a_class(0x0287).by_epc()[0xD0].unit, a_class(0x0130).by_epc()[0xBB].unit) == ("kWh, A", "°C")
    spans = Counter((each.owner.code, each.epc) for each in every_property())
    for each in every_property():
        for epc in each.coefficients:
            assert spans[each.owner.code, epc] == 1
            assert not each.owner.by_epc()[epc].coefficients
        assert not (each.coefficients and each.set is not Rule.NONE), "a count would be set that is not known"


def test_what_is_ours_already_keeps_its_name() -> None:
    """Super class, node profile and meter have one name for each property, wherever they are shown."""
    for code, declared in ((0x0000, SUPER_CLASS), (0x0EF0, NODE_CLASS), (0x0288, meter.PROPERTIES)):
        names = {epc: each.name for epc, each in a_class(code).by_epc().items()}
        assert {epc: each.name for epc, each in declared.items()}.items() <= names.items()
    for code in class_names().keys() - {0x0000, 0x0EF0}:
        for epc, each in a_class(0x0000).by_epc().items():
            assert a_class(code).by_epc()[epc].name == each.name


def published() -> list[str]:
    """Every name of the table, a line for each class and each property: its code, its name, names and words in it."""
    lines: dict[str, set[str]] = defaultdict(set)
    for each in every_property():
        lines[f"{each.owner.code:04X} {each.epc:02X} {each.name}"].update(inner_names(each.data))
    lines |= {f"{code:04X} {name}": set() for code, name in class_names().items()}
    return sorted(" ".join((head, *sorted(inner))) for head, inner in lines.items())


def inner_names(data: table.Data) -> Iterator[str]:
    match data:
        case table.StateData():
            yield from (told for told in (data.enum | data.read_only).values() if isinstance(told, str))
        case table.BitmapData():
            for name, bit in data.bits.items():
                yield name
                yield from inner_names(bit.data)
        case table.ObjectData():
            for name, inner in data.fields.items():
                yield name
                yield from inner_names(inner)
        case table.ArrayData():
            yield from inner_names(data.items)
        case table.OneOfData():
            for inner in data.of:
                yield from inner_names(inner)


def test_a_name_once_published_does_not_change() -> None:
    """names.txt is what users type and programs match: lines may come to it, none may be taken away or changed."""
    assert PUBLISHED.read_text(encoding="utf-8").splitlines() == published()


def test_names_are_words_of_one_form() -> None:
    """Lower case, digits and underscores; nothing that a shell or a topic would have to quote."""
    names = {name for line in published() for name in line.split()[1:] if not re.fullmatch("[0-9A-F]{2}", name)}
    assert not [name for name in names if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name)]
