"""From wishes to writes: exact data, their order, what confirms them, and every reason to refuse."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.devices import device, known

from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Device, Refusal, Scalar, Write
from hemsd.echonet.classes.typed import VIEWS
from hemsd.echonet.classes.views import VOCABULARY, identify, normal, plan, wishes
from hemsd.echonet.frame import Property

LIMITS = "C8=0000006400000BB8 C9=000000C8000007D0 CA=000A0096 CB=000A0096"

WISHES: list[tuple[int, dict[str, Scalar], str]] = [
    # every class: on comes first, off last
    (0x0F02, {"on": True}, "80=30"),
    (0x0F02, {"on": "off", "power_saving": "on"}, "8F=41 80=31"),
    (0x0F02, {"power_saving": 0, "on": 1}, "80=30 8F=42"),
    # 0130: the mode before the temperature, which it may change
    (0x0130, {"target_temperature_c": 26, "mode": "heat", "on": True}, "80=30 B0=43 B3=1A"),
    (0x0130, {"on": False, "mode": "auto"}, "B0=41 80=31"),
    (0x0130, {"fan": "auto"}, "A0=41"),
    (0x0130, {"fan": 8, "target_temperature_c": "22"}, "B3=16 A0=38"),
    (0x0130, {"mode": "fan", "fan": 1}, "B0=45 A0=31"),
    (0x0130, {"operation_mode": "cooling", "0xB3": "1c"}, "B0=42 B3=1C"),  # names of properties and raw data
    # 027B: one of two ways
    (0x027B, {"target_temperature_c": 30}, "E0=1E"),
    (0x027B, {"level": 15}, "E1=3F"),
    (0x027B, {"level": "auto"}, "E1=41"),
    (0x027B, {"mode": "auto"}, "E0=41"),
    # 0290: a colour needs colour mode
    (0x0290, {"brightness_percent": 40, "on": True, "mode": "normal"}, "80=30 B6=42 B0=28"),
    (0x0290, {"color_rgb": "#ff8000"}, "B6=45 C0=FF8000"),
    (0x0290, {"color": "daylight"}, "B1=44"),
    (0x02A3, {"scene": 5}, "C0=05"),
    (0x02A3, {"scene": 0}, "C0=00"),
    # 026B: off is B0, not 80
    (0x026B, {"on": False}, "B0=43"),
    (0x026B, {"on": True}, "B0=41"),
    (0x026B, {"on": True, "mode": "heat"}, "B0=42"),
    (0x026B, {"mode": "heat", "on": True}, "B0=42"),
    (0x026B, {"shift_hour": 13, "energy_shift": True}, "C7=01 CA=0D"),
    (0x026B, {"shift_hour": 0}, "CA=00"),
    (0x0272, {"bath_auto": True, "bath_temperature_c": 42, "on": True}, "80=30 E1=2A E3=41"),
    # generation
    (0x0279, {"power_limit_percent": 50}, "A0=32"),
    (0x027C, {"mode": "rated"}, "D2=41"),
    # 027D: how, how much, and then that it shall
    (0x027D, {"mode": "charge", "charge_power_w": 1500}, "C1=03 EB=000005DC DA=42"),
    (0x027D, {"discharge_power_w": 2000, "mode": "discharge"}, "C2=03 EC=000007D0 DA=43"),
    (0x027D, {"charge_current_a": 10.5}, "C1=04 ED=0069"),
    (0x027D, {"charge_target_wh": 0, "discharge_target_wh": 1000, "mode": "auto"}, "AA=00000000 AB=000003E8 DA=46"),
    (0x027D, {"operation_mode": "test"}, "DA=45"),  # the words of the class itself go further
    # 027E, 02A1
    (0x027E, {"mode": "charge", "charge_power_w": 3000}, "DC=03 EB=00000BB8 DA=42"),
    (0x027E, {"confirm_vehicle": True, "mode": "auto"}, "CD=10 DA=49"),
    (0x02A1, {"mode": "charge", "charge_current_a": 15}, "ED=0096 DA=42"),
    (0x02A1, {"confirm_vehicle": "yes"}, "CD=10"),
    (0x026F, {"locked": True}, "E0=41"),
]


WISHED = [f"{code:04X} {values}" for code, values, _ in WISHES]


def sent(writes: tuple[Write, ...]) -> str:
    return " ".join(f"{each.epc:02X}={each.edt.hex().upper()}" for write in writes for each in write.properties)


@pytest.mark.parametrize(("code", "values", "edts"), WISHES, ids=WISHED)
def test_wishes_become_writes(code: int, values: dict[str, Scalar], edts: str) -> None:
    """Exactly these data in this order, one property in each SetC, each confirmed by being read back."""
    writes = plan(device(code), values, known(LIMITS) if code in (0x027D, 0x027E) else {})
    assert sent(writes) == edts
    for write in writes:
        (written,) = write.properties
        if written.epc in device(code).readable:
            assert write.expects[written.epc] == {written.edt}
        assert write.settle_s >= 1


REFUSALS: list[tuple[int, dict[str, Scalar], str, str]] = [
    (0x0130, {}, "bad_request", "what can be set: on, power_saving, mode, target_temperature_c, fan, "),
    (0x0130, {"colour": 1}, "bad_request", "colour: the device has nothing of this name; what can be set: on, "),
    (0x0130, {"brightness_percent": 1}, "not_settable", "what can be set: on, "),
    (
        0x0130,
        {"room_temperature_c": 20},
        "not_settable",
        "room_temperature_c: it cannot be set; what can be set: on, ",
    ),
    (0x0130, {"room_temperature": 20}, "not_settable", "room_temperature: it cannot be set"),
    (0x0130, {"0xBB": "14"}, "not_settable", "0xBB: it cannot be set"),
    (0x0130, {"0xF1": "14"}, "not_settable", "0xF1: it cannot be set"),
    (0x0130, {"0x1B": "14"}, "bad_request", "nothing of this name"),
    (0x0130, {"0xB3": "1"}, "bad_request", "hexadecimal"),
    (0x0130, {"0xB3": 26}, "bad_request", "hexadecimal"),
    (0x0130, {"0xB3": ""}, "bad_request", "hexadecimal"),
    (0x0130, {"0xB3": "00" * 256}, "bad_request", "hexadecimal"),
    (0x0130, {"target_temperature_c": 51}, "out_of_range", "target_temperature_c: 51 is not 0 to 50 °C"),
    (0x0130, {"target_temperature_c": -1}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": 22.5}, "out_of_range", "target_temperature"),
    (0x0130, {"target_temperature_c": "undefined"}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": None}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": True}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": float("nan")}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": "1e999999999"}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature_c": 10**5000}, "out_of_range", "no property holds such a number"),
    (0x0130, {"on": -(10**5000)}, "out_of_range", "no property holds such a number"),
    (0x0130, {"target_temperature": 51}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"target_temperature": None}, "out_of_range", "0 to 50 °C"),
    (0x0130, {"mode": "other"}, "out_of_range", "one of auto, cool, heat, dry, fan"),
    (0x0130, {"mode": "charge"}, "out_of_range", "one of auto, cool, heat, dry, fan"),
    (0x0130, {"mode": None}, "out_of_range", "one of auto, cool, heat, dry, fan"),
    (0x0130, {"on": 2}, "out_of_range", "true or false"),
    (0x0130, {"on": None}, "out_of_range", "true or false"),
    (0x0130, {"fan": 9}, "out_of_range", "1 to 8"),
    (0x0130, {"fan": "strong"}, "out_of_range", "1 to 8, or auto"),
    (0x0130, {"mode": "fan", "target_temperature_c": 20}, "bad_request", "a fan has no target temperature"),
    (0x0130, {"mode": "heat", "operation_mode": "cooling"}, "bad_request", "contradicts"),
    (0x0130, {"0xB0": "41", "mode": "heat"}, "bad_request", "contradicts"),
    (0x027B, {"target_temperature_c": 30, "level": 3}, "bad_request", "either a temperature or a level"),
    (0x027B, {"mode": "auto", "level": 3}, "bad_request", "either"),
    (0x027B, {"mode": "manual"}, "out_of_range", "auto"),
    (0x027B, {"target_temperature_c": "auto"}, "out_of_range", "0 to 50 °C"),
    (0x0290, {"color_rgb": "red"}, "out_of_range", "#FF8000"),
    (0x0290, {"color_rgb": "#FF8000", "mode": "night"}, "bad_request", "operation_mode"),
    (0x0290, {"color": "other"}, "out_of_range", "one of incandescent"),
    (0x0290, {"brightness_percent": 101}, "out_of_range", "0 to 100 %"),
    (0x026B, {"on": False, "mode": "heat"}, "bad_request", "contradicts"),
    (0x026B, {"shift_hour": 8}, "out_of_range", "one of 0, 9, 10"),
    (0x026B, {"heating": True}, "not_settable", "heating: it cannot be set"),
    (0x027D, {"charge_power_w": 99}, "out_of_range", "charging_power: the device accepts 100 to 3000 W"),
    (0x027D, {"charge_power_w": 3001}, "out_of_range", "100 to 3000 W"),
    (0x027D, {"charging_power": 3001}, "out_of_range", "100 to 3000 W"),
    (0x027D, {"0xEB": "00000BB9"}, "out_of_range", "100 to 3000 W"),
    (0x027D, {"discharge_power_w": 100}, "out_of_range", "200 to 2000 W"),
    (0x027D, {"charge_current_a": 15.1}, "out_of_range", "1.0 to 15.0 A"),
    (0x027D, {"charge_power_w": 1000, "charge_current_a": 5}, "bad_request", "charging_method"),
    (0x027D, {"charge_power_w": 1000, "charging_method": "surplus"}, "bad_request", "charging_method"),
    (0x027D, {"mode": "test"}, "out_of_range", "one of rapid_charge, charge, discharge, standby, auto"),
    (0x027D, {"activity": "charging"}, "not_settable", "activity: it cannot be set"),
    (0x027D, {"power_w": 100}, "not_settable", "power_w: it cannot be set"),
    (0x027E, {"confirm_vehicle": False}, "out_of_range", "true"),
    (0x027E, {"vehicle": "none"}, "not_settable", "vehicle: it cannot be set"),
    (0x02A1, {"mode": "discharge"}, "out_of_range", "one of charge, standby, idle"),
    (0x02A5, {"sums": "house"}, "not_settable", "sums: it cannot be set"),
]


REFUSED = [f"{code:04X} {' '.join(values)} {text}" for code, values, _, text in REFUSALS]


@pytest.mark.parametrize(
    ("code", "values", "error", "text"),
    REFUSALS,
    ids=REFUSED,
)
def test_what_cannot_be_is_refused(code: int, values: dict[str, Scalar], error: str, text: str) -> None:
    """Before anything is sent, with a code that is stable and a text that says what would do."""
    with pytest.raises(Refusal) as refusal:
        plan(device(code), values, known(LIMITS) if code in (0x027D, 0x027E) else {})
    assert (refusal.value.code, text in str(refusal.value)) == (error, True), str(refusal.value)


def test_the_set_map_decides() -> None:
    """What the class would allow, but not this device, is refused, and not offered."""
    plain = device(0x0130, settable=[0x80, 0xB0])
    assert list(wishes(plain)) == ["on", "mode"]
    with pytest.raises(Refusal, match=r"what can be set: on, mode$"):
        plan(plain, {"target_temperature_c": 20}, {})
    with pytest.raises(Refusal, match="has not told yet what can"):
        plan(Device(eoj=0x013001), {"on": True}, {})
    assert sent(plan(device(0x0130, settable=[0xF1]), {"0xF1": "0102"}, {})) == "F1=0102"


def test_the_release_decides() -> None:
    """Modes that came with later releases are neither offered nor sent to a device of an earlier one."""
    assert wishes(device(0x027E, release="G"))["mode"] == "one of charge, discharge, standby, idle"
    assert "charge_discharge" in wishes(device(0x027E, release="N"))["mode"]
    with pytest.raises(Refusal, match="one of charge, discharge, standby, idle"):
        plan(device(0x027E, release="G"), {"mode": "auto"}, {})
    assert wishes(device(0x027E, release="D"))["mode"] == "one of rapid_charge, charge, discharge, standby"
    ahead = device(0x027E, release="D", settable=[0xCD, 0xDA])  # a set map that is ahead of its release
    assert list(wishes(ahead)) == ["mode"]
    with pytest.raises(Refusal, match=r"what can be set: mode$"):
        plan(ahead, {"confirm_vehicle": True}, {})
    early = device(0x027D, release="H")
    assert sent(plan(early, {"charge_power_w": 1000}, {})) == "EB=000003E8"  # methods came with M


def test_what_is_so_already_is_left_so() -> None:
    """026B: on is true of two modes; a device that is in one of them is not put into the other."""
    assert sent(plan(device(0x026B), {"on": True}, known("B0=42"))) == "B0=42"
    assert sent(plan(device(0x026B), {"on": True}, known("B0=43"))) == "B0=41"
    assert sent(plan(device(0x026B), {"on": True, "mode": "auto"}, known("B0=42"))) == "B0=41"


def test_a_power_needs_its_method() -> None:
    """EB does nothing unless C1 is 03: written where it can be, otherwise known to be so, otherwise refused."""
    fixed = device(0x027D, without=[0xC1])
    fixed = Device(eoj=fixed.eoj, readable=fixed.readable | {0xC1}, settable=fixed.settable)
    assert sent(plan(fixed, {"charge_power_w": 1000}, known("C1=03"))) == "EB=000003E8"
    with pytest.raises(Refusal, match="no effect with the present charging_method") as refusal:
        plan(fixed, {"charge_power_w": 1000}, known("C1=01"))
    assert refusal.value.code == "not_settable"


@pytest.mark.parametrize("limits", ["", "C8=00", "C8=0000000000000000", "C8=00000BB800000064"])
def test_limits_that_are_none_limit_nothing(limits: str) -> None:
    """Limits that are not known, or cannot be meant, leave what the class allows."""
    assert plan(device(0x027D), {"charge_power_w": 50_000}, known(limits) if limits else {})


def test_a_mode_may_change_the_temperature() -> None:
    """0130: whatever B3 is after B0 was written, it is read again; unless it is written next anyway."""
    alone = plan(device(0x0130), {"mode": "heat"}, {})
    assert alone[0].expects.keys() == {0xB0, 0xB3}
    assert {b"\x10", b"\x1e", b"\xfd"} <= alone[0].expects[0xB3]
    both = plan(device(0x0130), {"mode": "heat", "target_temperature_c": 22}, {})
    assert [write.expects for write in both] == [{0xB0: {b"\x43"}}, {0xB3: {b"\x16"}}]
    blind = plan(device(0x0130, without=[0xB3]), {"mode": "heat"}, {})
    assert blind[0].expects == {0xB0: {b"\x43"}}


def test_a_vehicle_is_looked_at() -> None:
    """CD cannot be read: that C7 tells something anew confirms it."""
    (write,) = plan(device(0x02A1), {"confirm_vehicle": True}, {})
    assert write.expects == {0xC7: {b"\x30", b"\x40", b"\x41", b"\x42", b"\x43"}}


def test_from_outside() -> None:
    """Property 93 goes with each command that came from outside, where the device has it and it means that."""
    outside = Property(0x93, b"\x42")
    writes = plan(device(0x0130), {"mode": "heat", "on": True}, {}, from_outside=True)
    assert [write.properties[0] for write in writes] == [outside, outside]
    assert [len(write.properties) for write in writes] == [2, 2]
    assert all(0x93 not in write.expects for write in writes)
    assert sent(plan(device(0x0130, without=[0x93]), {"on": True}, {}, from_outside=True)) == "80=30"
    assert sent(plan(device(0x0130, release="B"), {"on": True}, {}, from_outside=True)) == "80=30"  # another meaning
    assert sent(plan(device(0x0130), {"on": True, "0x93": "42"}, {}, from_outside=True)) == "93=42 80=30"
    assert sent(plan(device(0x0130), {"0x93": "42"}, {}, from_outside=True)) == "93=42"
    with pytest.raises(Refusal, match="from inside"):
        plan(device(0x0130), {"on": True, "0x93": "41"}, {}, from_outside=True)


def applied(writes: tuple[Write, ...], before: Mapping[int, bytes]) -> dict[int, bytes]:
    return {**before, **{each.epc: each.edt for write in writes for each in write.properties}}


@pytest.mark.parametrize(("code", "values", "edts"), WISHES, ids=WISHED)
def test_what_was_wished_is_what_is_told(code: int, values: dict[str, Scalar], edts: str) -> None:
    """A device that took all writes tells the values that were wished, and wishing those again is the same writes."""
    appliance = device(code)
    before = known(LIMITS) if code in (0x027D, 0x027E) else {}
    writes = plan(appliance, values, before)
    after = applied(writes, before)
    told = normal(appliance, after)
    words = {word: told[word] for word in values if word in told}
    if len(words) == len(values):
        again = plan(appliance, words, after)
        assert sent(again) == edts
        assert normal(appliance, applied(again, after)) == told
    else:  # names and raw data, and what only can be wished
        assert all(word not in VOCABULARY or word == "confirm_vehicle" for word in values.keys() - words.keys()) or (
            values.get("mode") == "auto"
        )


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "on", "0", "1C"])
)


@given(
    code=st.sampled_from([*sorted(VIEWS), 0x03BB, 0x0F02]),
    release=st.sampled_from(["", "A", "G", "Q"]),
    outside=st.booleans(),
    data=st.data(),
)
def test_nothing_but_a_refusal(code: int, release: str, outside: bool, data: st.DataObject) -> None:
    """Whatever is wished: a plan of what the set map has, each property once, or a Refusal."""
    appliance = device(code, release=release)
    names = [*wishes(appliance), *(each.name for each in properties_of(appliance).values()), "0xB3", "0xEB", "", "x"]
    values = data.draw(st.dictionaries(st.sampled_from(names), scalars, max_size=4))
    told = data.draw(st.dictionaries(st.sampled_from([0xC1, 0xC8, 0xC9, 0xCA, 0xB6, 0x80]), st.binary(max_size=9)))
    try:
        writes = plan(appliance, values, told, from_outside=outside)
    except Refusal as refusal:
        assert refusal.code in ("bad_request", "not_settable", "out_of_range")
        assert str(refusal)
        return
    written = [write.properties[-1].epc for write in writes]
    assert len(written) == len(set(written))
    assert set(written) <= appliance.settable
    assert all(write.expects.keys() <= appliance.readable for write in writes)


@pytest.mark.parametrize(
    ("code", "now", "edts"),
    [
        (0x0290, "80=30", "80=31 80=30 80=31 80=30"),
        (0x02A3, "80=30", "80=31 80=30 80=31 80=30"),
        (0x0291, "80=31", "80=30 80=31 80=30 80=31"),
        (0x0130, "80=31", "D0=41"),
        (0x027B, "80=31", "80=31"),
        (0x0133, "80=30", "80=30"),
    ],
)
def test_a_device_shows_itself(code: int, now: str, edts: str) -> None:
    """A lamp blinks and is as it was; an air conditioner beeps; a fan is told what it is."""
    assert sent(identify(device(code), known(now))) == edts


def test_an_air_conditioner_without_a_beep() -> None:
    """It is told again what it is."""
    assert sent(identify(device(0x0130, without=[0xD0]), known("80=30"))) == "80=30"
    assert sent(identify(device(0x0130, release="D"), known("80=30"))) == "80=30"


@pytest.mark.parametrize("code", [0x026B, 0x0272, 0x0279, 0x027C, 0x027D, 0x027E, 0x02A1, 0x0287, 0x026F, 0x0F02])
def test_some_do_not_show_themselves(code: int) -> None:
    """What heats, stores or makes energy, locks a door or is not known is not touched for that."""
    with pytest.raises(Refusal, match="no harmless way") as refusal:
        identify(device(code), known("80=30"))
    assert refusal.value.code == "not_settable"


@pytest.mark.parametrize("now", ["", "80=40"])
def test_a_lamp_of_which_nothing_is_known(now: str) -> None:
    """It could not be left as it was."""
    with pytest.raises(Refusal, match="try again") as refusal:
        identify(device(0x0290), known(now) if now else {})
    assert refusal.value.code == "busy"
