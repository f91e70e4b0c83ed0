"""Courses of questions, played by hand: what is asked, in which order, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from support.scripted import ECOCUTE, LAMP, identification, lamp, property_map

from hemsd.appliances.identity import Particulars
from hemsd.appliances.introspection import Answers, Ask, Explored, Met, appliances_of, constants, explore, meet
from hemsd.echonet.classes.device import Device
from hemsd.echonet.exchange import Missing

PROFILE = {0x83: identification(1), 0x8A: b"\0\0\x0b", 0x8C: b"BRIDGE", 0xD6: b"\2\2\x90\1\2\x90\2"}


def play(
    course: Generator[Ask, Answers, Any], has: dict[int, bytes], missing: Missing = Missing.REFUSED
) -> tuple[Any, list[tuple[int, ...]]]:
    """Answer a course with what a device has; what it found out, and what it asked."""
    asked, ask = [], next(course)
    while True:
        asked.append(ask[1])
        try:
            ask = course.send({epc: has.get(epc, missing) for epc in ask[1]})
        except StopIteration as over:
            return over.value, asked


def test_a_node_is_met_one_question_at_a_time() -> None:
    """83, 8A, 8C, then the instance list; the serial number only where the number cannot be believed."""
    met, asked = play(meet(), PROFILE)
    assert met == Met(Particulars("FE00000B" + "0" * 25 + "1", "00000B", "BRIDGE"), (0x029001, 0x029002), whole=True)
    assert asked == [(0x83,), (0x8A,), (0x8C,), (0xD6,)]
    met, asked = play(meet(), {**PROFILE, 0x83: identification(0), 0x8D: b"77"})
    assert met.said == Particulars("", "00000B", "BRIDGE", "77")
    assert asked == [(0x83,), (0x8A,), (0x8C,), (0x8D,), (0xD6,)]


def test_nobody_is_there() -> None:
    """Two silences end it; one, where the node always told its number."""
    assert play(meet(), {}, Missing.TIMEOUT) == (None, [(0x83,), (0x8A,)])
    assert play(meet(tells=True), {}, Missing.TIMEOUT) == (None, [(0x83,)])
    assert play(meet(), {})[0] is None


def test_a_class_list_in_the_place_of_an_instance_list() -> None:
    """D6 refused, or damaged: D7 tells the classes, and who answers as the first of one is there."""
    for d6 in ({}, {0xD6: b"\2\2\x90"}):
        classes = {0x80: b"\x30", 0xD7: b"\3\x0e\xf0\2\x90\1\x30"}
        met, asked = play(meet(), {0x83: identification(1), **classes, **d6})
        assert asked[-3:] == [(0xD7,), (0x80,), (0x80,)]
        assert (met.instances, met.whole) == ((0x029001, 0x013001), False)
    met, _ = play(meet(), {0x83: identification(1), 0xD7: b"\x54"})
    assert (met.instances, met.whole) == ((), False)


def test_silent_about_its_lists() -> None:
    """What is silent may be lost: it is met again for that, and not for what it refuses."""
    told = {0x83: identification(1), 0x8A: b"\0\0\x0b"}
    met, _ = play(meet(), told, Missing.TIMEOUT)
    assert (met.instances, met.final) == ((), False)
    met, _ = play(meet(), told)
    assert (met.instances, met.final) == ((), True)


def test_a_full_list_may_not_be_all() -> None:
    """84 instances are what a list holds."""
    full = bytes([84]) + b"".join((0x029000 + n).to_bytes(3, "big") for n in range(1, 85))
    met, _ = play(meet(), {**PROFILE, 0xD6: full})
    assert (len(met.instances), met.whole) == (84, False)


def test_what_is_no_appliance_in_a_list() -> None:
    """Profiles, controllers, instance 00 and repetitions."""
    assert appliances_of(bytes.fromhex("050EF00105FF01029000029001029001")) == (0x029001,)
    assert appliances_of(b"") is None


def test_a_device_is_explored_map_by_map() -> None:
    """9F, 9E, 9D, each by itself; then what it says of itself, as far as its map has it."""
    has = {**lamp(), 0x82: b"\0\0P\1", 0x8C: b"LX-1"}
    has[0x9F] = property_map(has)
    found, asked = play(explore(LAMP, Particulars(maker="00000B", product="BRIDGE")), has)
    assert asked == [(0x9F,), (0x9E,), (0x9D,), (0x82,), (0x8A,), (0x8C,)]
    assert found.mapped
    assert found.final
    assert found.device == Device(
        eoj=LAMP,
        release="P",
        readable=frozenset(has),
        settable=frozenset({0x80, 0x81, 0xB6}),
        announced=frozenset({0x80}),
        maker="00000B",
        product="LX-1",
    )


def test_a_map_that_lies_about_its_form() -> None:
    """1.6: a list padded to the length of a bitmap, and codes that are none."""
    padded = b"\x03\x80\xb6\x05" + bytes(13)
    found, _ = play(explore(LAMP, Particulars()), {0x9F: padded, 0x9E: b"\1\x80", 0x9D: b"\0"})
    assert found.device.readable == {0x80, 0xB6}
    assert found.device.settable == {0x80}


def guessed(has: dict[int, bytes], missing: Missing) -> tuple[Explored | None, list[tuple[int, ...]]]:
    return play(explore(ECOCUTE, Particulars(maker="00000B")), has, missing)


def test_a_device_without_maps() -> None:
    """Refused, silent or empty: what the class requires is tried, and what comes is believed."""
    for maps, missing in (({}, Missing.REFUSED), ({}, Missing.TIMEOUT), ({0x9F: b"\0"}, Missing.REFUSED)):
        found, asked = guessed({0x80: b"\x30", 0xB0: b"\x41", 0xB2: b"\x42", **maps}, missing)
        assert found is not None
        assert not found.mapped
        assert found.device.readable == {0x80, 0xB0, 0xB2}
        assert {0xB0} <= found.device.settable
        assert found.device.announced == frozenset()
        assert found.final is (missing is Missing.REFUSED)
        assert (0x80,) in asked


def test_a_device_that_says_nothing() -> None:
    """No maps, no state: left alone, after two questions."""
    assert guessed({}, Missing.TIMEOUT) == (None, [(0x9F,), (0x80,)])
    assert guessed({}, Missing.REFUSED)[0] is None


def test_constants_come_before_energies() -> None:
    """The unit of a board's energies is what is read before anything is polled, unless it is known."""
    board = Device(eoj=0x028701, readable=frozenset({0x80, 0xB1, 0xC0, 0xC2}))
    assert 0xC2 in constants(board, ())
    assert 0xC0 not in constants(board, ())
    assert 0xC2 not in constants(board, {0xC2: b"\2"})
