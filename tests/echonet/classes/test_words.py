"""The words of every class against those of the Appendix: the same codes, and the same meanings by other names."""

from __future__ import annotations

import pytest

from hemsd.echonet.classes.catalogue import PropertyClass, properties_of
from hemsd.echonet.classes.device import Device, Scalar
from hemsd.echonet.classes.typed import VIEWS, words_of
from hemsd.echonet.classes.wording import Choice, Quantity, edt_is_of
from hemsd.echonet.values import PropertyError

RELEASES = "ABCDEFGHIJKLMNOPQR"

IN_THE_APPENDIX = {
    # 0130
    "cool": "cooling",
    "heat": {"heating", "manual_heating"},  # 026B
    "dry": "dehumidification",
    "fan": "circulation",
    # 0290
    "daylight": "daylight_color",
    # 026B, 0272
    "stop": "manual_no_heating",
    "filling": "running_hot_water",
    "idle": {"idle", "no_operation"},  # vehicles
    "keeping_warm": "keeping_temperature",
    # 027C
    "rated": "maximum_rating",
    "follow": "load_following",
    # 027D, 027E, 02A1
    "rapid_charge": {"rapid_charging", "rapid_charge"},
    "charge": {"charging", "charge"},
    "charging": {"charging", "charge"},
    "discharge": {"discharging", "discharge"},
    "discharging": {"discharging", "discharge"},
    "restarting": "restart",
    "recalculate": "capacity_recalculation",
    "recalculating": "capacity_recalculation",
    "charge_discharge": "charging_discharging",
    "prepare": "preparation",
    "preparing": "preparation",
    "auto": {"auto", "automatic"},  # 027E
    "none": "not_connected",
    "connected": {"connected", "not_chargeable"},
    "both": "chargeable_dischargeable",
}

OTHERWISE = {
    # what is true or false, and more than that in the Appendix
    (0x026B, 0xB0): {0x41: True, 0x42: True, 0x43: False},
    (0x026B, 0xCA): {0: 0} | {hour: hour for hour in range(9, 18)},  # at_0900, ...
    (0x0279, 0xD1): {0x41: True, 0x42: True, 0x43: True, 0x44: False},
    (0x03B7, 0xB0): {0x41: True, 0x42: False},  # any_open, all_close
    **{(code, 0xCD): {0x10: True} for code in (0x027E, 0x02A1)},  # confirmation
}

LEFT_OUT = {
    # codes that say that nothing is known
    (0x0290, 0xB1): {0xFD},
    (0x0279, 0xD1): {0x45},
    (0x027E, 0xC7): {0x44, 0xFF},
    (0x02A1, 0xC7): {0x44, 0xFF},
}

CHOICES = [
    (code, word, meaning, epc)
    for code in [*VIEWS, 0x0F02]
    for word, meaning in words_of(Device(eoj=code << 8 | 1)).items()
    if isinstance(meaning, Choice) and meaning.otherwise is None
    for epc in dict.fromkeys((*meaning.tells, *meaning.sets))
]
CHOSEN = [f"{code:04X} {word} {epc:02X}" for code, word, _, epc in CHOICES]


def in_any_release(code: int, epc: int) -> list[PropertyClass]:
    found = (properties_of(Device(eoj=code << 8 | 1, release=release)).get(epc) for release in RELEASES)
    return list(dict.fromkeys(each for each in found if each is not None))


def meaning_of(code: int, releases: list[PropertyClass]) -> Scalar:
    for each in releases:
        try:
            value = each.decode(bytes([code]))
        except PropertyError:
            continue
        return value if isinstance(value, bool | int | str) else str(value.value)
    return None


@pytest.mark.parametrize(
    ("code", "word", "meaning", "epc"),
    CHOICES,
    ids=CHOSEN,
)
def test_codes_are_those_of_the_appendix(code: int, word: str, meaning: Choice, epc: int) -> None:
    """Every code that a property may have in any release means what the Appendix says, or says nothing by intent."""
    releases = in_any_release(code, epc)
    possible = {each for each in range(256) if any(edt_is_of(bytes([each]), declared) for declared in releases)}
    of_vehicles = {0x42, 0x43} if (code, epc) == (0x02A1, 0xC7) else set()  # one table for both classes of chargers
    assert meaning.codes.keys() | LEFT_OUT.get((code, epc), set()) == possible | of_vehicles
    if OTHERWISE.get((code, epc)) == meaning.codes:
        return
    for number in possible - LEFT_OUT.get((code, epc), set()):
        ours, theirs = meaning.codes[number], meaning_of(number, releases)
        same = IN_THE_APPENDIX.get(str(ours), ours)
        assert theirs in same if isinstance(same, set) else theirs == same, f"{number:02X}: {ours} is {theirs}"


def test_every_difference_is_one() -> None:
    """The tables of this test name nothing that is not there."""
    spoken = {str(each) for _, _, meaning, _ in CHOICES for each in meaning.codes.values()}
    assert IN_THE_APPENDIX.keys() <= spoken
    assert {*OTHERWISE, *LEFT_OUT} <= {(code, epc) for code, _, _, epc in CHOICES}


@pytest.mark.parametrize("code", sorted(VIEWS))
def test_units_are_those_of_the_words(code: int) -> None:
    """A word that ends in a unit is told by properties in that unit, or one that is converted to it."""
    units = {
        "_c": {"°C"},
        "_percent": {"%"},
        "_w": {"W", "kW"},
        "_a": {"A", "mA"},
        "_kwh": {"kWh"},
        "_wh": {"Wh"},
        "_l": {"L"},
        "_m3": {"m³"},
    }
    properties = properties_of(Device(eoj=code << 8 | 1))
    for word, meaning in words_of(Device(eoj=code << 8 | 1)).items():
        if isinstance(meaning, Quantity):
            expected = next((each for ending, each in units.items() if word.endswith(ending)), {""})
            for epc in (*meaning.tells, *meaning.sets):
                assert properties[epc].unit in expected, (word, properties[epc].name)
