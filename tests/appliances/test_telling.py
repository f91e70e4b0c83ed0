from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.telling import AC, appliance, believed, utc

from hemsd.appliances.events import Answered, Noted, Settled
from hemsd.appliances.telling import Believed, Label, Teller, epcs_of
from hemsd.echonet.classes.catalogue import PropertyClass, class_names, device_class
from hemsd.echonet.classes.device import Device
from hemsd.echonet.values import PropertyError, plain
from hemsd.hub.messages import ApplianceCommand, ApplianceState, Domain, PropertyContent, PropertyValue

FRAME = bytes.fromhex("1081000005ff010130016201800130")
ROOM = {0x80: "30", 0x84: "01F4", 0xB0: "42", 0xB3: "1A", 0xBB: "1C"}
SUB_METER = Device(eoj=0x028001, release="R", readable=frozenset({0x80, 0x9F, 0xE0, 0xE2}))


def teller(*labels: Label) -> Teller:
    return Teller("home", labels, utc)


# --- names


@pytest.mark.parametrize(
    ("label", "fits"),
    [
        (Label(name="living-ac", id="0130-00000001"), True),
        (Label(name="living-ac", id="0130-00000002"), False),
        (Label(name="living-ac", address="192.0.2.7"), True),
        (Label(name="living-ac", address="192.0.2.7", eoj=0x013001), True),
        (Label(name="living-ac", address="192.0.2.7", eoj=0x013002), False),
        (Label(name="living-ac", address="192.0.2.8"), False),
    ],
)
def test_names_are_those_of_the_configuration(label: Label, fits: bool) -> None:
    """By id, or by address and perhaps object; whoever is not named there goes by its id."""
    status = teller(label).status(appliance())
    assert status.name == ("living-ac" if fits else "0130-00000001")


def test_a_status_says_what_it_is_and_can_do() -> None:
    """Class, properties and wishes by name, codes where there is none, times by the wall clock."""
    status = teller(Label(name="living-ac", room="living room", id="0130-00000001")).status(
        appliance(properties_per_request=4, detail="it answers")
    )
    assert (status.kind, status.eoj, status.room) == ("home_air_conditioner", "013001", "living room")
    assert (status.maker, status.product, status.serial, status.release) == ("000008", "ZZ-123", "S1", "R")
    assert (status.network, status.address, status.known, status.online) == ("home", "192.0.2.7", True, True)
    assert status.settable == ("operation_status", "operation_mode", "target_temperature", "0xF1")
    assert status.announced == ("operation_status", "operation_mode")
    assert set(status.wishes) >= {"on", "mode", "target_temperature_c"}
    assert (status.since, status.last_heard_at) == (utc(5.0), utc(60.0))
    assert (status.properties_per_request, status.detail) == (4, "it answers")


def test_a_class_that_nobody_knows_is_shown_raw() -> None:
    """Its number in place of a name, codes in place of its own properties, and no wishes but those of any device."""
    stranger = Device(eoj=0x0F0201, readable=frozenset({0x80, 0xE5}), settable=frozenset({0xE5}))
    status = teller().status(appliance("0f02-00000001", stranger))
    assert (status.kind, status.readable, status.settable) == ("class_0F02", ("operation_status", "0xE5"), ("0xE5",))


def test_events_call_appliances_as_people_do() -> None:
    """The network knows ids only; what is said to people has the names they gave."""
    says = teller(Label(name="living-ac", id="0130-00000001"))
    says.status(appliance())
    event = says.event(Noted("appliance.lost", "warning", "0130-00000001 is gone, 0130-00000002 is there"), 70.0)
    assert event.text == "living-ac is gone, 0130-00000002 is there"
    assert (event.source, event.kind, event.severity, event.at) == (
        Domain.APPLIANCES,
        "appliance.lost",
        "warning",
        utc(70.0),
    )


# --- values


def test_a_state_speaks_both_languages() -> None:
    """Common words, and the class's own properties with unit, time and source; unknown ones are left out."""
    state = teller().state(appliance(), believed(ROOM | {0xF1: "AB", 0x9F: "0180"}, at=61.5), {})
    assert state.values["on"] is True
    assert state.values["mode"] == "cool"
    assert state.values["target_temperature_c"] == 26
    assert state.properties["room_temperature"] == PropertyValue(value=28, unit="°C", at=utc(61.5), source="read")
    assert state.at == utc(61.5)
    assert state.interval_s == 10.0
    assert set(state.properties) == {
        "operation_status",
        "power_consumption",
        "operation_mode",
        "target_temperature",
        "room_temperature",
    }


@pytest.mark.parametrize(
    ("epc", "word", "kept_s"),
    [(0x84, "power_w", 90.0), (0xB0, "mode", 180.0), (0x80, "on", 1800.0)],  # 80 is promised to be told
)
def test_what_is_not_told_any_more_is_left_out(epc: int, word: str, kept_s: float) -> None:
    """After three polls, though others go on; the property keeps its time, and what is read once is never old."""
    says, device = teller(), replace(AC, announced=frozenset({0x80}))
    for age_s, there in ((kept_s, True), (kept_s + 1.0, False)):
        known, ages = believed(ROOM, at=2000.0)
        told = Believed(known, {**ages, epc: (2000.0 - age_s, "read")})
        state = says.state(appliance(device=device), told, {})
        assert (word in state.values) is there
        assert state.at == utc(2000.0)
        assert len(state.properties) == len(ROOM)
    slow = says.state(appliance(device=device, interval_s=1000.0), told, {})
    assert word in slow.values


def test_a_state_says_how_often_it_can_be_read() -> None:
    """More than ten seconds apart where its node cannot keep up."""
    assert teller().state(appliance(interval_s=24.4140625), believed(ROOM), {}).interval_s == 24.4


@pytest.mark.parametrize(
    ("edt", "state"),
    [("7E", "no_data"), ("7F", "overflow"), ("80", "underflow"), ("", "malformed"), ("1A1A", "malformed")],
)
def test_what_is_no_number_is_a_state(edt: str, state: str) -> None:
    """126 degrees outdoors is nobody's temperature."""
    told = teller().state(appliance(), believed({0xBE: edt}), {}).properties["outdoor_temperature"]
    assert (told.value, told.state) == (None, state)


def test_a_count_is_no_energy_before_its_unit_is_known() -> None:
    """And it is one as soon as that is told: what a property means is worked out anew when what scales it changes."""
    says, meter = teller(), appliance("0280-00000001", SUB_METER)
    before = says.state(meter, believed({0xE0: "000004D2"}), {})
    after = says.state(meter, believed({0xE0: "000004D2", 0xE2: "01"}), {})
    (name,) = (name for name in after.properties if "unit" not in name)
    assert (before.properties[name].value, before.properties[name].state) == (None, "unknown_unit")
    assert (after.properties[name].value, after.properties[name].unit) == (pytest.approx(123.4), "kWh")
    assert "energy_import_kwh" not in before.values


def test_a_coefficient_that_a_device_does_not_have_is_one() -> None:
    """Its own get map says that it has none; a map with it says that it is still to be read."""
    meter = Device(eoj=0x028801, release="F", readable=frozenset({0x80, 0xD7, 0xE0, 0xE1}))
    for device, known in ((meter, True), (replace(meter, readable=meter.readable | {0xD3}), False)):
        edts = believed({0xE0: "000004D2", 0xE1: "01"})
        told = teller().state(appliance("0288-00000001", device), edts, {}).properties["cumulative_energy_import"]
        assert (told.value == pytest.approx(123.4)) is known
        assert told.state == ("" if known else "unknown_unit")


def test_what_has_not_changed_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are told anew all the time, and decoding every property each time would keep a small machine busy."""
    decoded: list[int] = []
    decode = PropertyClass.decode

    def counted(self: PropertyClass, *data: Any) -> Any:
        decoded.append(self.epc)
        return decode(self, *data)

    says = teller()
    says.state(appliance(), believed({0x86: "0401000008FF", 0xBE: "10"}), {})
    monkeypatch.setattr(PropertyClass, "decode", counted)
    state = says.state(appliance(), believed({0x86: "0401000008FF", 0xBE: "11"}, at=70.0), {})
    assert 0x86 not in decoded and 0xBE in decoded
    assert state.properties["maker_fault_code"].at == utc(70.0)


def test_the_pages_of_a_list_stay_apart() -> None:
    """Further ones have their number behind the name."""
    board = Device(eoj=0x028701, release="R", readable=frozenset({0x80, 0xB3}))
    state = teller().state(
        appliance("0287-00000001", board),
        believed({0xB3: "010100000001", 0xB321: "210100000002"}),
        {},
    )
    first, second = sorted(state.properties)
    assert second == f"{first}_33"


def test_requested_values_are_shown_until_they_are_so() -> None:
    """A display can say what was wanted beside what is."""
    says, known = teller(), believed(ROOM)
    wanted = {"on": True, "mode": "heat", "target_temperature_c": 26}
    assert says.state(appliance(), known, wanted).requested == {"mode": "heat"}


def test_every_value_of_every_class_can_cross() -> None:
    """Whatever a property of the Appendix is made of, the message can hold it, and another process can read it."""
    chance, shown = random.Random(4), 0
    for code in class_names():
        class_ = device_class(code)
        assert class_ is not None
        for property_ in class_.by_epc().values():
            for size in (1, 2, 3, 4, 6, 7, 8, 17):
                try:
                    value = property_.decode(chance.randbytes(size))
                except PropertyError:
                    continue
                content = plain(value)
                msgspec.json.decode(msgspec.json.encode(content), type=PropertyContent)
                shown += 1
    assert shown > 1000


# --- answers


def answered(epc: int, edt: bytes | None, **more: Any) -> Any:
    return teller().answer(Answered("q1", appliance(), epc, edt, **more), {})


def test_an_answer_is_raw_and_understood() -> None:
    """Code, name, value, unit and data; the last one says so."""
    told = answered(0xBB, b"\x1c", last=True)
    assert (told.epc, told.name, told.value, told.unit) == (0xBB, "room_temperature", 28, "°C")
    assert (told.edt, told.state, told.last, told.query) == ("1C", "", True, "q1")


def test_an_unknown_property_crosses_as_code_and_data() -> None:
    """One at a time, on request."""
    told = answered(0xF1, b"\xab\xcd")
    assert (told.name, told.value, told.edt) == ("", None, "ABCD")


def test_an_answer_that_is_none_says_why() -> None:
    """Refused, or nobody answered; there is no value then."""
    told = answered(0xBB, None, error="refused")
    assert (told.error, told.edt, told.value, told.name) == ("refused", None, None, "room_temperature")


@pytest.mark.parametrize("epc", [0xF1, 0x86])
def test_a_frame_never_crosses(epc: int) -> None:
    """Not as the data of a property, and not as the text that such data stands for: it is told as malformed."""
    told = answered(epc, FRAME)
    assert (told.edt, told.value, told.state) == (None, None, "malformed")


def test_nothing_raw_is_in_a_state() -> None:
    """A frame in a property that the class itself shows in hexadecimal is malformed there."""
    state = teller().state(appliance(), believed({0x86: FRAME.hex()}), {"note": FRAME.hex()})
    assert (state.properties["maker_fault_code"].value, state.properties["maker_fault_code"].state) == (
        None,
        "malformed",
    )
    assert state.requested == {}
    assert FRAME.hex().upper() not in msgspec.json.encode(state).decode().upper()


def test_a_device_that_calls_itself_a_frame_is_malformed() -> None:
    """Its name for itself is text of its own choice."""
    status = teller().status(appliance(device=replace(AC, product=FRAME.hex()), serial=FRAME.hex()))
    assert (status.product, status.serial) == ("malformed", "malformed")


def test_a_smuggler_is_stopped_by_the_message_itself() -> None:
    """However deep it hides a frame."""
    at = utc(0)
    hidden: Any = {"list": [{"deep": FRAME.hex()}]}
    with pytest.raises(ValueError, match="a frame may not cross"):
        ApplianceState(
            appliance="a", at=at, values={}, properties={"x": PropertyValue(value=hidden, at=at, source="read")}
        )


# --- orders


def test_epcs_are_found_by_name_and_code() -> None:
    """And what the class does not have is told apart."""
    assert epcs_of(AC, ("room_temperature", "0xf1", "0x12", "warmth")) == {
        "room_temperature": 0xBB,
        "0xf1": 0xF1,
        "0x12": None,
        "warmth": None,
    }


def test_a_result_tells_what_was_read_back_in_the_words_of_the_order() -> None:
    """A common word, a property name or a code, whichever was used; what was not read back is left out."""
    values: dict[str, Any] = {"mode": "heat", "target_temperature": 20, "0xF1": "AB", "on": True}
    settled = Settled("c1", appliance(), "applied", read_back={0xB0: b"\x43", 0xB3: b"\x14", 0xF1: b"\xab"})
    command = ApplianceCommand(command="c1", appliance="0130-00000001", values=values)
    result = teller().result(settled, command, {0x80: b"\x30", 0xB0: b"\x42"})
    assert result.values == {"mode": "heat", "target_temperature": 20, "0xF1": "AB"}
    assert (result.command, result.outcome, result.error) == ("c1", "applied", "")


def test_a_result_without_reading_back_tells_no_values() -> None:
    """What was known before is not what became of it."""
    settled = Settled("c1", appliance(), "rejected", "device_refused", "it refused operation_mode")
    command = ApplianceCommand(command="c1", appliance="0130-00000001", values={"mode": "heat"})
    result = teller().result(settled, command, {0xB0: b"\x42"})
    assert (result.values, result.error, result.detail) == ({}, "device_refused", "it refused operation_mode")
