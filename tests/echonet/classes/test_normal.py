"""What devices tell, in the common language: one table for each class, with all that is no number among it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.devices import device, known

from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Device, Scalar
from hemsd.echonet.classes.typed import VIEWS, words_of
from hemsd.echonet.classes.views import VOCABULARY, normal
from hemsd.echonet.classes.wording import Settable

READINGS: list[tuple[int, str, dict[str, Scalar]]] = [
    # every class
    (
        0x0F02,
        "80=30 88=42 84=0258 85=000004D2",
        {"on": True, "fault": False, "power_w": 600, "energy_import_kwh": 1.234},
    ),
    (0x0F02, "80=31 88=41 8F=41", {"on": False, "fault": True, "power_saving": True}),
    (0x0F02, "80=40 88=00 84=FFFF 85=FFFFFFFE 8F=", {}),
    (0x0F02, "84=FFFE 85=FFFFFFFF", {}),
    (0x0F02, "E0=30 F1=00", {}),  # of a class that is not known
    # 0130 home air conditioner
    (
        0x0130,
        "80=30 B0=42 B3=1A A0=33 BB=1B BE=24 BA=37 AA=40 B9=0023",
        {
            "on": True,
            "mode": "cool",
            "target_temperature_c": 26,
            "fan": 3,
            "room_temperature_c": 27,
            "outdoor_temperature_c": 36,
            "humidity_percent": 55,
            "activity": "normal",
            "current_a": 3.5,
        },
    ),
    (0x0130, "B0=45 B3=FD A0=41 BA=FD BB=7E BE=7E", {"mode": "fan", "fan": "auto"}),  # not 126 degrees
    (0x0130, "BB=7F", {}),
    (0x0130, "BB=80", {}),
    (0x0130, "BB=FB BE=FF AA=41", {"room_temperature_c": -5, "outdoor_temperature_c": -1, "activity": "defrosting"}),
    (0x0130, "B3=33 A0=39 BA=65 B0=46 AA=44", {}),
    (0x0130, "B3=0000 A0= BB=1B1B", {}),
    # 027B floor heater
    (
        0x027B,
        "E0=19 E2=14 E3=1C",
        {"mode": "manual", "target_temperature_c": 25, "room_temperature_c": 20, "floor_temperature_c": 28},
    ),
    (0x027B, "E0=41 E2=7E E3=7E", {"mode": "auto"}),  # not 65 degrees
    (0x027B, "E0=42", {}),
    # 0133 ventilation fan
    (0x0133, "80=30 A0=38", {"on": True, "fan": 8}),
    # 0290, 0291 lighting
    (
        0x0290,
        "80=30 B0=64 B1=44 B6=42 C0=FF8000",
        {"on": True, "brightness_percent": 100, "color": "daylight", "mode": "normal", "color_rgb": "#FF8000"},
    ),
    (0x0290, "B0=FF B1=FD B6=44 C0=FF80", {}),
    (0x0291, "80=31 B0=00", {"on": False, "brightness_percent": 0}),
    (0x02A3, "B0=32 C0=00", {"brightness_percent": 50, "scene": 0}),
    (0x02A4, "C0=07", {"scene": 7}),
    # 026B electric water heater
    (
        0x026B,
        "80=30 B0=41 B2=41 C3=42 C2=00000000 E1=00D2 E2=0172 C1=50 EA=43 E3=42 D3=2A D1=28 C7=01 CA=0D",
        {
            "on": True,
            "mode": "auto",
            "heating": True,
            "supplying": False,
            "no_hot_water": False,
            "hot_water_l": 210,
            "tank_l": 370,
            "tank_temperature_c": 80,
            "bath": "keeping_warm",
            "bath_auto": False,
            "bath_temperature_c": 42,
            "target_temperature_c": 40,
            "energy_shift": True,
            "shift_hour": 13,
        },
    ),
    (0x026B, "80=30 B0=43 B2=42", {"on": False, "mode": "stop", "heating": False}),  # 80 stays on
    (0x026B, "B0=42 CA=00 C7=00", {"on": True, "mode": "heat", "shift_hour": 0, "energy_shift": False}),
    (0x026B, "C2=01000000", {"no_hot_water": True}),
    (0x026B, "C2=FE000000", {"no_hot_water": False}),
    (0x026B, "C2=01 CA=08 C7=02 B0=44 E1=FFFF", {}),
    # 0272 gas water heater
    (
        0x0272,
        "80=30 D0=41 D1=28 E1=2A E2=42 E3=41 EF=41",
        {
            "on": True,
            "heating": True,
            "target_temperature_c": 40,
            "bath_temperature_c": 42,
            "bath_heating": False,
            "bath_auto": True,
            "bath": "filling",
        },
    ),
    # 0279 photovoltaics
    (
        0x0279,
        "80=30 E0=0ABC E1=00BC614E D1=44 A0=64 A1=0FA0",
        {
            "on": True,
            "power_w": -2748,
            "curtailed": False,
            "energy_export_kwh": 12345.678,
            "power_limit_percent": 100,
            "power_limit_w": 4000,
        },
    ),
    (0x0279, "E0=0000 D1=41", {"power_w": 0, "curtailed": True}),
    (0x0279, "E0=FFFF D1=45", {}),  # more than 65 533 W is not -65535
    (0x0279, "E0=FFFE E1=FFFFFFFF", {}),
    # 027C fuel cell
    (
        0x027C,
        "80=30 C4=02BC C5=000F4240 CB=41 D2=42 E1=0064 C8=000003E8",
        {
            "on": True,
            "power_w": -700,
            "energy_export_kwh": 1000.0,
            "activity": "generating",
            "mode": "follow",
            "hot_water_l": 100,
            "volume_m3": 1.0,
        },
    ),
    # 02A5 multi-input power conditioner
    (
        0x02A5,
        "E7=FFFFFC18 E0=000003E8 E3=000007D0 E8=02027901027D01",
        {"power_w": -1000, "energy_import_kwh": 1.0, "energy_export_kwh": 2.0, "sums": "027901,027D01"},
    ),
    (0x02A5, "E7=7FFFFFFF E8=02027901", {}),
    (0x02A5, "E7=80000000 E8=00", {}),
    # 027D storage battery
    (
        0x027D,
        "80=30 DA=46 CF=43 D3=FFFFFA24 A8=00002710 A9=00001388 E4=50 E2=00001388 A4=000003E8 A5=00000FA0 D0=0000189C",
        {
            "on": True,
            "mode": "auto",
            "activity": "discharging",
            "power_w": -1500,
            "energy_import_kwh": 10.0,
            "energy_export_kwh": 5.0,
            "soc_percent": 80,
            "stored_wh": 5000,
            "chargeable_wh": 1000,
            "dischargeable_wh": 4000,
            "capacity_wh": 6300,
        },
    ),
    (0x027D, "DA=42", {"mode": "charge"}),  # an order is not a state
    (0x027D, "A8=00002710 A9=00001388", {"energy_import_kwh": 10.0, "energy_export_kwh": 5.0}),  # and no power
    (
        0x027D,
        "AA=00000000 AB=000001F4 EB=000005DC",
        {"charge_target_wh": 0, "discharge_target_wh": 500, "charge_power_w": 1500},
    ),
    (0x027D, "E4=65 D3=7FFFFFFF", {}),
    (0x027D, "D3=80000000 CF=47", {}),
    # 027E EV charger and discharger
    (
        0x027E,
        "C7=43 DA=43 E1=43 D3=FFFFF448 E4=3C E2=00005DC0 C2=00004E20 CF=00003E80 D8=000003E8 D6=000001F4",
        {
            "vehicle": "both",
            "mode": "discharge",
            "activity": "discharging",
            "power_w": -3000,
            "soc_percent": 60,
            "stored_wh": 24000,
            "dischargeable_wh": 20000,
            "chargeable_wh": 16000,
            "energy_import_kwh": 1.0,
            "energy_export_kwh": 0.5,
        },
    ),
    (0x027E, "C7=30 E4=00 E2=00000000 C2=00000000", {"vehicle": "none"}),  # there is no battery that is empty
    (0x027E, "C7=FF", {}),
    (0x027E, "C7=44 DA=47", {"mode": "idle"}),
    # 02A1 EV charger
    (
        0x02A1,
        "C7=41 DA=42 D3=00000BB8 ED=0096 E4=32 D8=000003E8",
        {
            "vehicle": "chargeable",
            "mode": "charge",
            "power_w": 3000,
            "charge_current_a": 15.0,
            "soc_percent": 50,
            "energy_import_kwh": 1.0,
        },
    ),
    (0x02A1, "D3=FFFFF448", {}),  # it has no sign
    # 0287 distribution board
    (
        0x0287,
        "C6=FFFFFE0C C7=0064FFCE C0=000003E8 C1=00000064 C2=01",
        {
            "power_w": -500,
            "current_r_a": 10.0,
            "current_t_a": -5.0,
            "energy_import_kwh": 100.0,
            "energy_export_kwh": 10.0,
            "sums": "house",
        },
    ),
    (0x0287, "C0=000003E8 C1=00000064", {"sums": "house"}),  # without its unit it is no energy
    (0x0287, "C0=FFFFFFFE C1=FFFFFFFE C2=01 C6=7FFFFFFE C7=00647FFE", {"current_r_a": 10.0, "sums": "house"}),
    (0x0287, "C0=000003E8 C2=05", {"sums": "house"}),
    # 0288 smart meter, on a dedicated network
    (
        0x0288,
        "E7=000001F4 E8=00140028 E0=000003E8 E3=00000000 E1=02 D3=0000000A",
        {
            "power_w": 500,
            "current_r_a": 2.0,
            "current_t_a": 4.0,
            "energy_import_kwh": 100.0,
            "energy_export_kwh": 0.0,
            "sums": "house",
        },
    ),
    (0x0288, "E0=000003E8 E1=02", {"sums": "house"}),  # D3 is in its get map, and may be 10
    # sub-meters, sensors
    (0x0280, "E0=000003E8 E2=02", {"energy_import_kwh": 10.0, "sums": "circuit"}),
    (
        0x028D,
        "E7=000001F4 E1=000003E8 E3=FFFFFFFE D4=03 D3=00000002",
        {"power_w": 500, "energy_import_kwh": 2.0, "sums": "circuit"},
    ),
    (
        0x028E,
        "E0=000003E8 E2=000003E8 D4=03 E9=00000064",
        {"energy_import_kwh": 1.0, "energy_export_kwh": 1.0, "sums": "circuit"},
    ),
    (0x0022, "E1=000003E8 E0=000003E8", {"power_w": 1000, "energy_import_kwh": 1.0, "sums": "circuit"}),
    (0x0023, "E2=FFFFFC18", {"current_a": -1.0, "sums": "circuit"}),
    (0x0281, "E0=000003E8 E1=02", {"volume_m3": 10.0}),
    (0x0281, "E0=000003E8", {}),
    (0x0282, "E0=000003E8", {"volume_m3": 1.0}),
    # 03B7 refrigerator, 026F lock
    (
        0x03B7,
        "B0=41 D1=04 D2=EE DA=000A",
        {"door_open": True, "fridge_temperature_c": 4, "freezer_temperature_c": -18, "current_a": 1.0},
    ),
    (0x03B7, "D1=7F D2=80", {}),
    (0x026F, "E0=41 E3=42", {"locked": True, "door_open": False}),
]


@pytest.mark.parametrize(
    ("code", "edts", "values"), READINGS, ids=[f"{code:04X} {edts}" for code, edts, _ in READINGS]
)
def test_a_device_speaks_the_common_language(code: int, edts: str, values: dict[str, Scalar]) -> None:
    """What a device tells becomes exactly these values; what is no data is left out."""
    found = normal(device(code), known(edts))
    assert found == values
    assert {word: type(value) for word, value in found.items()} == {word: type(each) for word, each in values.items()}


def test_every_class_with_a_view_is_in_the_table() -> None:
    """No view goes untested."""
    assert VIEWS.keys() - {code for code, *_ in READINGS} == {0x0135}  # like 0133


def test_a_watt_sensor_tells_kilowatts_and_tenths() -> None:
    """0022 has three ranges of its sensor: the one that it has is told in watts."""
    assert normal(device(0x0022, readable=[0xE2]), known("E2=FF9C"))["power_w"] == -10.0
    assert normal(device(0x0022, readable=[0xE3]), known("E3=0014"))["power_w"] == 2000.0


def test_a_floor_heater_with_levels() -> None:
    """027B has either a temperature or a level; automatic is neither."""
    heater = device(0x027B, without=[0xE0])
    assert normal(heater, known("E1=33")) == {"mode": "manual", "level": 3}
    assert normal(heater, known("E1=41")) == {"mode": "auto", "level": "auto"}


def test_a_meter_without_a_coefficient() -> None:
    """D3 counts as 1 only where the get map says that the meter has none."""
    without = device(0x0288, without=[0xD3])
    assert normal(without, known("E0=000003E8 E1=02"))["energy_import_kwh"] == 10.0
    unasked = Device(eoj=0x028801)
    assert "energy_import_kwh" not in normal(unasked, known("E0=000003E8 E1=02"))


def test_a_register_stays_the_same_one() -> None:
    """Of two registers of energy the first that the device has is told, also while only the other is known."""
    assert "energy_import_kwh" not in normal(device(0x027D), known("D8=00002710"))
    old = device(0x027D, without=[0xA8, 0xA9])
    assert normal(old, known("D8=00002710 D6=00001388")) == {"energy_import_kwh": 10.0, "energy_export_kwh": 5.0}


def test_values_are_understood_before_the_maps_are_known() -> None:
    """What is announced by a device that did not tell its maps yet is understood as well."""
    assert normal(Device(eoj=0x013001), known("80=30 B0=43")) == {"on": True, "mode": "heat"}


def test_the_instance_does_not_matter() -> None:
    """OMRON's photovoltaics is instance 1F."""
    assert normal(device(0x0279, instance=0x1F), known("E0=0064")) == {"power_w": -100}


@given(code=st.sampled_from([*sorted(VIEWS), 0x03BB, 0x0F02]), data=st.data())
def test_no_bytes_are_a_wrong_value(code: int, data: st.DataObject) -> None:
    """Whatever bytes are told, nothing is raised, every value is a plain one, and every word is in the vocabulary."""
    release = data.draw(st.sampled_from(["", "A", "D", "H", "Q"]))
    appliance = device(code, release=release)
    size = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 15, 17, 200])
    edts = data.draw(
        st.dictionaries(
            st.integers(0x80, 0xFF) | st.just(0xB700), size.flatmap(lambda n: st.binary(min_size=n, max_size=n))
        )
    )
    values = normal(appliance, edts)
    assert values.keys() <= VOCABULARY.keys()
    assert all(isinstance(value, bool | int | float | str) for value in values.values())


def test_the_vocabulary_is_what_is_spoken() -> None:
    """Every word is used by some class, and every word of a class is explained."""
    used = {word for code in [*VIEWS, 0x0F02] for word in words_of(Device(eoj=code << 8 | 1))} | {"sums"}
    assert used == VOCABULARY.keys()
    assert all(VOCABULARY.values())


@pytest.mark.parametrize("code", sorted(VIEWS))
def test_words_use_properties_that_their_class_has(code: int) -> None:
    """No table names a property that is not in the Appendix, and no word hides a property of the same name."""
    appliance = Device(eoj=code << 8 | 1)
    properties = properties_of(appliance)
    names = {each.name: each.epc for each in properties.values()}
    view = VIEWS[code]
    for word, meaning in words_of(appliance).items():
        uses = {*meaning.tells, *(meaning.sets if isinstance(meaning, Settable) else ())}
        assert uses <= properties.keys()
        assert names.get(word) in (None, *uses)
    assert {
        *view.order,
        *view.once,
        *view.never,
        *view.first,
        *view.within,
        *view.within.values(),
    } <= properties.keys()
