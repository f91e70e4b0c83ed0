"""EDT and values of every kind of data, and the traps among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.classes import a_class

from hemsd.echonet.classes.catalogue import PropertyClass
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.objects import encode_property_map
from hemsd.echonet.values import PropertyError, State, plain

NO_DATA, OVERFLOW, UNDERFLOW = State.NO_DATA, State.OVERFLOW, State.UNDERFLOW
BOARD_UNIT = {0xC2: b"\x01"}  # 0.1 kWh
CONNECTED = {"number_of_connected_device_objects": 2, "connected_device_object_list": ["027D01", "027E1F"]}
STOVES = {"left_stove": "level_2", "right_stove": 1000, "far_side_stove": "very_low_flame", "roaster": "no_setting"}
BATTERY = {"chargeable_energy": 1, "dischargeable_energy": 1}
BATTERY |= dict.fromkeys(("stored_energy", "stored_energy_percent", "health_state"), NO_DATA)


def the(code: int, epc: int, release: str = "") -> PropertyClass:
    return a_class(code).by_epc(release)[epc]


def decoded(code: int, epc: int, edt: str, known: Mapping[int, bytes] | None = None) -> Any:
    return the(code, epc).decode(bytes.fromhex(edt), known or {})


@pytest.mark.parametrize(
    ("code", "epc", "edt", "value"),
    [
        (0x0130, 0x80, "30", True),
        (0x0130, 0xB0, "42", "cooling"),
        (0x0130, 0xB3, "1A", 26),
        (0x0130, 0xBB, "F6", -10),  # a number with a sign
        (0x0130, 0xB9, "0019", Decimal("2.5")),  # steps of 0.1 A
        (0x0130, 0xA0, "33", 3),  # a level
        (0x0130, 0xA0, "41", "auto"),
        (0x0279, 0xE1, "00003039", Decimal("12.345")),
        (0x0279, 0xC1, "43", "undefined"),  # in an enumeration it is a word like others
        (0x0279, 0xB1, "07EA05140A1E00", datetime(2026, 5, 20, 10, 30)),
        (0x0279, 0xB1, "FFFFFFFFFFFFFF", "no_control_no_schedule"),
        (0x0280, 0xE2, "02", Decimal("0.01")),  # a code that stands for a number
        (0x026B, 0xC8, "14", 20),  # one of few numbers
        (0x026B, 0xCA, "00", "cleared"),  # two enumerations in one
        (0x026B, 0xB5, "0A1E", time(10, 30)),
        (0x0130, 0x92, "641E", timedelta(hours=100, minutes=30)),
        (0x028E, 0xDA, "0A1E0F", time(10, 30, 15)),
        (0x027C, 0xD1, "060A1200", {"start_time": time(6, 10), "end_time": time(18, 0)}),
        (0x0290, 0xC0, "FF8000", {"red": 255, "green": 128, "blue": 0}),
        (0x027D, 0xE0, "FFFFFFFF", -1),  # the number of one form is the overflow of the other
        (0x027D, 0xE0, "3B9AC9FF", 999_999_999),
        (0x027D, 0xE0, "7FFFFFFF", OVERFLOW),
        (0x02A5, 0xE8, "02027D01027E1F", CONNECTED),
        (0x03D3, 0xD6, "A1", "plus_2"),  # three kinds of level in one property
        (0x03D3, 0xD6, "C0", "minus_1"),
        (0x03D3, 0xD6, "32", 2),
        (0x03B9, 0xE7, "3001" + "03E8" + "4002" + "FFFF", STOVES),
        (0x0EF0, 0xD3, "000102", 258),
        (0x0EF0, 0x82, "010E0100", "1.14"),
        (0x0000, 0x82, "00005201", "R rev.1"),
        (0x0000, 0x8C, "41422D312020202020202020", "AB-1"),
        (0x0279, 0x8C, "41422D312020202020202020", "AB-1"),  # a class that has its own form of it means the same
        (0x0000, 0x9F, "03808188", ["80", "81", "88"]),
        (0x0000, 0x81, "08", "08"),
        (0x0000, 0x89, "0000", "no_fault"),
        (0x0000, 0x89, "0010", "abnormal_event_or_safety"),  # a span of codes
        (0x027B, 0xE4, "05", {f"zone_{at}": at in (0, 2) for at in range(8)}),
    ],
)
def test_each_kind_of_data(code: int, epc: int, edt: str, value: Any) -> None:
    """Numbers, words, levels, dates and times, structures, texts."""
    told = decoded(code, epc, edt)
    assert (told, type(told)) == (value, type(value))


@pytest.mark.parametrize(
    ("code", "epc", "edt", "state"),
    [
        (0x0130, 0xBB, "7E", NO_DATA),  # mistake 12: 126 degrees
        (0x0130, 0xBE, "7E", NO_DATA),
        (0x0130, 0xBA, "FD", NO_DATA),  # 253 %
        (0x0130, 0xB3, "FD", NO_DATA),
        (0x0130, 0xBB, "7F", OVERFLOW),
        (0x0130, 0xBB, "80", UNDERFLOW),
        (0x0130, 0xB8, "FFFE" * 4, dict.fromkeys(("cooling", "heating", "dehumidifying", "circulation"), NO_DATA)),
        (0x0279, 0xE0, "FFFF", OVERFLOW),
        (0x0279, 0xE0, "FFFE", UNDERFLOW),
        (0x027D, 0xD3, "80000000", UNDERFLOW),
        (0x0287, 0xC7, "001E7FFE", {"r_phase": 3, "t_phase": NO_DATA}),
        (0x0287, 0xC6, "7FFFFFFE", NO_DATA),
        (0x0287, 0xC0, "FFFFFFFE", NO_DATA),  # here it is no underflow, whatever a count is worth
        (0x0287, 0xC5, "FF", State.NOT_SELECTED),
        (0x0287, 0xC8, "FFFE03E8", {"r_s": UNDERFLOW, "s_t": 100}),
        (0x027B, 0xE2, "7E", NO_DATA),
        (0x02A7, 0xDC, "00000001" * 2 + "FFFFFFFF" + "FFFF", BATTERY),
        (0x027C, 0xD1, "FFFFFFFF", NO_DATA),
        (0x03D3, 0xDB, "FFFF", NO_DATA),
    ],
)
def test_what_is_no_number_never_looks_like_one(code: int, epc: int, edt: str, state: Any) -> None:
    """Sentinels of each property table, and the general codes for overflow and underflow."""
    told = decoded(code, epc, edt)
    assert told == state


def test_a_code_with_a_meaning_is_no_number() -> None:
    """027B E0: 41 is automatic and no 65 degrees; 02A4 C5: 0 cancels; 02A7 D9: FFFFFFFF is no -1."""
    assert decoded(0x027B, 0xE0, "41") == "auto"
    assert decoded(0x027B, 0xE0, "32") == 50
    assert decoded(0x02A4, 0xC5, "0000") == "cancel"
    with pytest.raises(Refusal, match="cancel"):
        the(0x02A4, 0xC5).encode(0)
    with pytest.raises(PropertyError):
        decoded(0x027B, 0xE0, "40")


def test_an_energy_is_worth_what_its_unit_says() -> None:
    """Mistake 13: never a count taken for kWh, and no unit taken for granted (C2 here, D4 or E1 elsewhere)."""
    assert decoded(0x0287, 0xC0, "00000064") is State.UNKNOWN_UNIT
    assert decoded(0x0287, 0xC0, "00000064", BOARD_UNIT) == Decimal("10.0")
    assert decoded(0x0287, 0xC0, "00000064", {0xC2: b"\x00"}) == 100
    assert decoded(0x0287, 0xC0, "00000064", {0xC2: b"\x77"}) is State.UNKNOWN_UNIT  # the unit itself is nonsense
    assert decoded(0x0287, 0xC0, "FFFFFFFE", BOARD_UNIT) is NO_DATA
    assert decoded(0x0287, 0xD0, "00000064001E7FFE", BOARD_UNIT) == {
        "electric_energy": Decimal("10.0"),
        "current_r_phase": Decimal("3.0"),
        "current_t_phase": NO_DATA,
    }
    assert decoded(0x0287, 0xD0, "00000064001E7FFE")["electric_energy"] is State.UNKNOWN_UNIT


@pytest.mark.parametrize(
    ("known", "energy"),
    [
        ({}, State.UNKNOWN_UNIT),
        ({0xD3: b"\0\0\0\x0a"}, State.UNKNOWN_UNIT),
        ({0xE1: b"\x01"}, State.UNKNOWN_UNIT),  # whether the meter has D3 is not known either
        ({0xE1: b"\x01", 0x9F: encode_property_map({0xE0, 0xE1, 0xD3})}, State.UNKNOWN_UNIT),  # it has, not yet told
        ({0xE1: b"\x01", 0x9F: encode_property_map({0xE0, 0xE1})}, Decimal("0.5")),  # it has none: 1
        ({0xE1: b"\x01", 0xD3: b"\0\0\0\x0a"}, Decimal("5.0")),
        ({0xE1: b"\x01", 0xD3: b"\xff\xff\xff\xff"}, State.UNKNOWN_UNIT),
        ({0xE1: b"\x01", 0x9F: b""}, State.UNKNOWN_UNIT),
    ],
)
def test_a_coefficient_is_one_only_where_the_device_has_none(known: dict[int, bytes], energy: Any) -> None:
    """D3 of a meter is optional: absent from its own get map it is 1, only not read yet it is unknown."""
    told = decoded(0x0288, 0xE0, "00000005", known)
    assert (told, type(told)) == (energy, type(energy))


def test_coefficients_multiply() -> None:
    """A high-voltage meter: D3, D4 and a unit of the energy's own."""
    known = {0xD3: (60).to_bytes(4, "big"), 0xD4: b"\x01", 0xE6: b"\x0a"}
    assert decoded(0x028A, 0xE3, "07EA05140A1E00" + "00000007", known) == {
        "date_and_time": datetime(2026, 5, 20, 10, 30),
        "active_electric_energy": Decimal("420.0"),
    }


def test_a_coefficient_and_steps_multiply() -> None:
    """A sub-meter's current: steps of 0.1 A, times what D8 says, or 1 where it has no D8."""
    both = {"r_phase": Decimal("6.0"), "t_phase": NO_DATA}
    assert decoded(0x028D, 0xE8, "001E7FFE", {0xD8: b"\x00\x02"}) == both
    without = decoded(0x028D, 0xE8, "001E7FFE", {0x9F: encode_property_map({0xE8})})
    assert without == both | {"r_phase": Decimal("3.0")}


def test_a_unit_is_never_taken_for_granted() -> None:
    """028A CD is optional; a meter that lacks it has told no unit, and its counts are worth nothing known."""
    known = {0xD3: (1).to_bytes(4, "big"), 0xD4: b"\x00", 0x9F: encode_property_map({0xCB})}
    assert (
        decoded(0x028A, 0xCB, "07EA05140A1E00" + "00000007", known)["reactive_electric_energy"] is State.UNKNOWN_UNIT
    )


def test_histories_and_lists() -> None:
    """As long as told, not cut off, not longer; what has no data is no zero."""
    log = decoded(0x0287, 0xC3, "0001" + "FFFFFFFE" + "0000000A" * 47, BOARD_UNIT)
    assert log["day"] == 1
    assert log["electric_energy"] == [NO_DATA] + [Decimal("1.0")] * 47
    channels = decoded(0x0287, 0xB7, "0103" + "00000001" + "7FFFFFFE" + "FFFFFFFF")
    assert channels == {"start_channel": 1, "range": 3, "instantaneous_electric_power": [1, NO_DATA, -1]}
    for edt in ("0001" + "0000000A" * 47, "0001" + "0000000A" * 49):
        with pytest.raises(PropertyError):
            decoded(0x0287, 0xC3, edt)
    for edt in ("0103" + "00000001" * 2, "0103" + "00000001" * 4, "0103" + "00000001" * 3 + "00", "01"):
        with pytest.raises(PropertyError):
            decoded(0x0287, 0xB7, edt)


def test_an_alarm_is_true() -> None:
    """026B C2: named by the alarm, the Appendix has it true where there is none; other bits are passed over."""
    quiet = dict.fromkeys(("no_hot_water", "leaking", "freezing"), False)
    assert decoded(0x026B, 0xC2, "00000000") == quiet
    assert decoded(0x026B, 0xC2, "82000000") == quiet | {"leaking": True}


def test_an_error_says_which_property_and_why() -> None:
    """And carries what was sent."""
    with pytest.raises(PropertyError, match="property 8D: ") as caught:
        decoded(0x0130, 0x8D, "41")
    assert (caught.value.epc, caught.value.edt) == (0x8D, b"A")
    with pytest.raises(PropertyError, match="day: 200 is not in 0 to 99"):
        decoded(0x0287, 0xC3, "00C8" + "00000000" * 48)


@pytest.mark.parametrize(
    ("code", "epc", "value", "edt"),
    [
        *((0x0130, 0xB3, value, "1A") for value in (26, 26.0, "26", " 26.0 ", Decimal(26))),
        *((0x0130, 0xB0, value, "42") for value in ("cooling", "Cooling", " COOLING ")),
        *((0x0130, 0x80, value, "30") for value in (True, "true", "on", "ON", "yes")),
        *((0x0130, 0x80, value, "31") for value in (False, "false", "off", "no")),
        *((0x0130, 0xC1, value, "41") for value in (True, "true", "on")),  # its words are on and off
        *((0x0130, 0xA0, value, edt) for value, edt in (("auto", "41"), (8, "38"), ("8", "38"))),
        (0x0130, 0x92, "100:30", "641E"),
        (0x0130, 0x92, timedelta(hours=1), "0100"),
        *((0x0130, 0x91, value, "060A") for value in ("06:10", time(6, 10))),
        *((0x0287, 0x98, value, "07EA0514") for value in ("2026-05-20", date(2026, 5, 20))),
        (0x0288, 0xED, {"date_and_time": "2026-05-20T10:30", "number_of_collection_segments": 12}, "07EA05140A1E0C"),
        *((0x027D, 0xED, value, "0001") for value in (0.1, "0.1", Decimal("0.1"))),
        (0x027D, 0xED, 0.1 + 0.2, "0003"),
        (0x027D, 0xE0, -1, "FFFFFFFF"),
        (0x0290, 0xC0, {"red": 1, "green": "2", "blue": 3}, "010203"),
        (0x0290, 0xC0, '{"red": 1, "green": 2, "blue": 3}', "010203"),  # as it is given on a command line
        (0x027B, 0xE4, json.dumps({f"zone_{at}": at == 7 for at in range(8)}), "80"),
        (0x03D3, 0xD6, "minus_8", "C7"),
        (
            0x026B,
            0xD9,
            {"month": 1, "day": 2, "hour": 3, "surplus_energy_prediction_value": ["invalid"] * 24},
            "010203" + "8000" * 24,
        ),
        (
            0x026B,
            0xD9,
            {"month": 1, "day": 2, "hour": 3, "surplus_energy_prediction_value": [NO_DATA] * 24},
            "010203" + "8000" * 24,
        ),
        (0x0000, 0x81, "0x08"[2:], "08"),
        (0x027B, 0xE4, {f"zone_{at}": at in (0, 7) for at in range(8)}, "81"),
    ],
)
def test_a_value_goes_out_as_it_is_meant(code: int, epc: int, value: Any, edt: str) -> None:
    """Numbers, words, text that is one of them; JSON's own forms of dates, times and structures."""
    assert the(code, epc).encode(value).hex().upper() == edt


@pytest.mark.parametrize(
    ("code", "epc", "value", "error", "text"),
    [
        (0x0130, 0xB3, 99, "out_of_range", "target_temperature: 99 is not 0 to 50 °C"),
        (0x0130, 0xB3, 26.5, "out_of_range", "target_temperature: 26.5 is not 0 to 50 °C"),
        (0x0130, 0xB3, "warm", "bad_request", "target_temperature: 'warm' is not 0 to 50 °C"),
        (0x0130, 0xB3, "undefined", "bad_request", "'undefined' is not 0 to 50 °C"),  # only a device says so
        (0x0130, 0xB0, "warm", "bad_request", "'warm' is not one of auto, cooling, heating, dehumidification"),
        (0x0130, 0xA0, 9, "out_of_range", "9 is not 1 to 8, or auto"),
        (0x0130, 0x80, 1, "bad_request", "1 is not true or false"),
        (0x0130, 0xB3, True, "bad_request", "True is not 0 to 50"),
        (0x0130, 0xB3, None, "bad_request", "None is not"),
        (0x0130, 0xB3, float("nan"), "bad_request", "nan is not"),
        (0x0130, 0xB3, "1e999999999", "out_of_range", "is not 0 to 50"),
        (0x0130, 0xB3, NO_DATA, "bad_request", "is not 0 to 50"),
        (0x0290, 0xB1, "undefined", "bad_request", "is not one of"),
        (0x027D, 0xED, 0.15, "out_of_range", "0.15 is not a multiple of 0.1"),
        (0x027D, 0xE0, 0, "out_of_range", "0 is not 1 to 999999999 Wh, or -999999999 to -1 Wh"),
        (0x0130, 0x92, "256:00", "out_of_range", "up to 255:59"),
        (0x0130, 0x92, "10:60", "bad_request", "like 01:30"),
        (0x0130, 0x91, "24:00", "bad_request", "a time like 23:30"),
        (0x0130, 0x91, "06:10:30", "bad_request", "a time like 23:30"),
        (0x0130, 0x91, time(6, 10, 30), "bad_request", "a time like"),
        (0x0287, 0x98, "0001-01-01", "bad_request", "a date like 2026-05-20"),
        (0x0287, 0x98, datetime(2026, 5, 20), "bad_request", "a date like"),
        (0x0290, 0xC0, {"red": 1, "green": 2}, "bad_request", "is not all of red (0 to 255), green (0 to 255)"),
        (0x0290, 0xC0, {"red": 1, "green": 2, "blue": 256}, "out_of_range", "rgb: blue: 256 is not 0 to 255"),
        (0x0290, 0xC0, "FF0000", "bad_request", "is not all of"),
        (0x0290, 0xC0, "[" * 5000, "bad_request", "is not all of"),
        (0x0290, 0xC0, '{"red": NaN, "green": 2, "blue": 3}', "bad_request", "rgb: red: nan is not 0 to 255"),
        (
            0x026B,
            0xD9,
            {"month": 1, "day": 2, "hour": 3, "surplus_energy_prediction_value": []},
            "bad_request",
            "a list of 24",
        ),
        (
            0x0287,
            0xB7,
            {"start_channel": 1, "range": 2, "instantaneous_electric_power": 5},
            "bad_request",
            "a list of",
        ),
        (
            0x0287,
            0xB7,
            {"start_channel": 1, "range": 2, "instantaneous_electric_power": [5]},
            "bad_request",
            "range is not",
        ),
        (0x0000, 0x81, "080808", "bad_request", "1 byte in hexadecimal, or 17 bytes in hexadecimal"),
        (0x0000, 0x81, "zz", "bad_request", "in hexadecimal"),
        (0x0000, 0x82, "R", "bad_request", "standard_version: it cannot be set"),
        (0x03D3, 0xD6, "minus_9", "out_of_range", "minus_1 to minus_8"),
    ],
)
def test_a_refusal_says_what_is_accepted(code: int, epc: int, value: Any, error: str, text: str) -> None:
    """Nothing is rounded, clipped or guessed."""
    with pytest.raises(Refusal) as caught:
        the(code, epc).encode(value)
    assert caught.value.code == error
    assert text in str(caught.value)


def test_a_number_of_any_length_is_only_refused() -> None:
    """Thousands of digits are no reason to fail."""
    with pytest.raises(Refusal, match="so large a number is not 0 to 50"):
        the(0x0130, 0xB3).encode(10**5000)


def test_what_is_accepted_in_words() -> None:
    """For help, and for the text of refusals."""
    assert the(0x0130, 0xB3).accepts == "0 to 50 °C"
    assert the(0x0130, 0xB0).accepts == "one of auto, cooling, heating, dehumidification, circulation, other"
    assert the(0x027D, 0xED).accepts == "0.0 to 6553.3 A in steps of 0.1"
    assert the(0x027B, 0xE0).accepts == "0 to 50 °C, or auto"
    assert the(0x026B, 0xB4).accepts == "0 to 252 d, or infinite"


def test_values_are_plain_outside() -> None:
    """As JSON: states and moments by name, durations as hours and minutes."""
    assert plain({"a": [NO_DATA, Decimal("0.5"), timedelta(hours=100, minutes=5)], "b": date(2026, 5, 20)}) == {
        "a": ["no_data", 0.5, "100:05"],
        "b": "2026-05-20",
    }
