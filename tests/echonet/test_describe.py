"""Whole frames as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from hemsd.echonet.describe import SERVICES, describe_frame
from hemsd.echonet.frame import ESV, decode


def described(text: str) -> dict[str, Any]:
    return describe_frame(decode(bytes.fromhex(text)))


def test_an_answer() -> None:
    """Codes in hexadecimal, and name, value and unit of what the class knows."""
    assert described("1081525302880105FF017202E70400000278E804001E7FFE") == {
        "tid": "5253",
        "seoj": "028801",
        "deoj": "05FF01",
        "esv": "Get_Res",
        "properties": [
            {"epc": "E7", "edt": "00000278", "name": "instantaneous_power", "value": 632, "unit": "W"},
            {
                **{"epc": "E8", "edt": "001E7FFE", "name": "instantaneous_current"},
                **{"value": {"r": 3.0, "t": "no_data"}, "unit": "A"},
            },
        ],
    }


def test_set_get_has_its_second_list() -> None:
    """Both lists of SetGet are the meter's; what is only asked for has no value."""
    told = described("1081000105FF010288016E01E5010101E200")
    assert told["properties"] == [{"epc": "E5", "edt": "01", "name": "history_1_day", "value": 1, "unit": ""}]
    assert told["get_properties"] == [
        {"epc": "E2", "edt": "", "name": "history_1_import", "value": None, "unit": "count"}
    ]
    assert described("1081000102880105FF015E0000")["get_properties"] == []


def test_bytes_that_follow_are_told() -> None:
    """Only where there are any."""
    assert described("108100000EF0010EF0017301D50401028801FF00")["trailing"] == "FF00"
    assert "trailing" not in described("108100000EF0010EF0017301D50401028801")


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ("1081000105FF010288016201D300", "coefficient"),  # a request asks for the other's property
        ("1081000102880105FF017201D30400000001", "coefficient"),  # an answer tells its own
        ("108100010EF00105FF017201D303000001", "number_of_instances"),
        ("108100FF05FF010288017A01EA00", "half_hour_energy_import"),  # an acknowledgement names the notifier's
        ("108100010130010EF0017301800130", "operation_status"),  # what every device has
        ("1081000102880105FF015201C000", "route_b_id"),
    ],
)
def test_a_property_is_of_the_object_that_has_it(frame: str, name: str) -> None:
    """The same code is another property in another class."""
    assert described(frame)["properties"][0]["name"] == name


@pytest.mark.parametrize(
    "frame",
    [
        "1081000101300105FF017201F00142",  # a property that the class does not have
        "108100010F020105FF017201800130",  # a maker's own class
        "1081000102880105FF017201F00142",  # a maker's own property
    ],
)
def test_what_is_unknown_stays_bytes(frame: str) -> None:
    """No name, no value, no guess."""
    assert described(frame)["properties"][0].keys() == {"epc", "edt"}


def test_data_that_the_class_does_not_allow_is_told() -> None:
    """The frame is whole, its property is not: no value, and the reason why."""
    assert described("1081000102880105FF017202E7020278E1010F")["properties"] == [
        {
            **{"epc": "E7", "edt": "0278", "name": "instantaneous_power"},
            **{"value": None, "unit": "W", "error": "4 bytes expected, 2 left"},
        },
        {
            **{"epc": "E1", "edt": "0F", "name": "cumulative_energy_unit"},
            **{"value": None, "unit": "kWh", "error": "0F has no meaning"},
        },
    ]


def test_every_class_of_the_appendix_is_known() -> None:
    """An air conditioner: words, numbers with their unit, and what stands where no number is."""
    told = described("1081000101300105FF017205" + "800130" + "B00142" + "B3011A" + "BB017E" + "A00141")["properties"]
    assert [(each["name"], each["value"], each["unit"]) for each in told] == [
        ("operation_status", True, ""),
        ("operation_mode", "cooling", ""),
        ("target_temperature", 26, "°C"),
        ("room_temperature", "no_data", "°C"),
        ("air_flow_level", "auto", ""),
    ]


def test_a_count_is_worth_what_the_same_frame_tells() -> None:
    """A distribution board's energy, with the unit of its counts beside it and without."""
    energy, unit = "C00400000064", "C20101"
    alone = described("1081000102870105FF017201" + energy)["properties"]
    both = described("1081000102870105FF017202" + energy + unit)["properties"]
    assert (alone[0]["value"], both[0]["value"], both[0]["unit"]) == ("unknown_unit", 10.0, "kWh")


def test_every_service_has_its_name() -> None:
    """The standard's names; a number where it has none."""
    assert SERVICES.keys() == set(ESV)
    assert described("1081000102880105FF017000")["esv"] == "0x70"
    assert described("1081000102880105FF015E0000")["esv"] == "SetGet_SNA"
