"""The simulated devices: what their classes demand of them, and physics that can be believed."""

from __future__ import annotations

from datetime import datetime
from operator import ge

import pytest
from support.simulated import SUMMER, WINTER, bench, frames, get, lived, set_c, world

from hemsd.simulator.appliances import (
    MAKERS,
    AirConditioner,
    Battery,
    Board,
    Device,
    EcoCute,
    EvCharger,
    EvDischarger,
    FloorHeater,
    FuelCell,
    GasMeter,
    GasWaterHeater,
    GeneralLighting,
    MultiInputPcs,
    Photovoltaics,
    Refrigerator,
    SubMeter,
    WaterMeter,
    WattHourMeter,
    inverter,
)

MANDATORY = {  # get, set and announce, of the release that each tells; from the Machine Readable Appendix 1.3.1
    0x0130: ("80 8F A0 B0 B3 BB", "80 8F A0 B0 B3", "80 8F A0 B0"),
    0x026B: ("B0 B2 C0 C3 C7 C8 C9 CA CB CC CD CE CF", "B0 C0 C7 CA CD", "B0 B2 C3"),
    0x0272: ("D0 E2", "", ""),
    0x0279: ("83 89 8C C1 C2 D0 D1 E0 E1 E8", "C1", ""),
    0x027B: ("80", "80", "80"),
    0x027C: ("C2 C4 C5 CB D0 D1 D2", "D1 D2", "CB"),
    0x027D: (
        "89 8C 97 98 A0 A1 A2 A3 A4 A5 A8 A9 AA AB C1 C2 C8 C9 CF DA DB E6",
        "AA AB DA",
        "AA AB C1 C2 CF DA",
    ),
    0x027E: ("89 8C C0 C2 C4 C5 C6 C7 C8 C9 CA CB CC CE CF D0 DA DC DD E2 E4 E6", "CD DA", "C7 DA DC DD"),
    0x0280: ("E0 E2", "", ""),
    0x0281: ("E0 E1", "", ""),
    0x0282: ("E0", "", ""),
    0x0287: ("C0 C1 C2", "", ""),
    0x028D: ("D4 D7 E0 E1 E2 E3 E4 E7 E8 EA EB", "E0", ""),
    0x0290: ("80 B6", "80 B6", "80"),
    0x0291: ("80", "80", "80"),
    0x02A1: ("C5 C7 CC CE CF D0 DA E2 E4 E6", "CD DA", "C7 DA"),
    0x02A5: ("80 83 89 8C 97 98 D0 E0 E3 E7 E8", "", "80"),
    0x03B7: ("", "", ""),
}
SUPER = ("80 81 82 88 8A 9D 9E 9F", "81", "80 81 88")
SIZES = {  # bytes, where the Appendix leaves no choice and a slip would not show elsewhere
    "80": 1, "82": 4, "83": 17, "84": 2, "85": 4, "88": 1, "89": 2, "8A": 3, "8C": 12, "93": 1, "97": 2, "98": 4,
    "0130 B8": 8, "0130 B9": 2, "0130 BB": 1, "027D C8": 8, "027D D3": 4, "027D D4": 2, "027D E2": 4, "027D E4": 1,
    "0279 E0": 2, "0279 E1": 4, "027E C8": 8, "027E CA": 4, "027E D3": 4, "02A1 CA": 4, "02A1 D3": 4, "026B CB": 16,
    "026B CC": 8, "026B CE": 12, "026B CF": 6, "026B C2": 4, "026B D9": 51, "026B E1": 2, "027C D1": 4, "027C C7": 2,
    "0287 C3": 194, "0287 C7": 4, "0287 C8": 4, "0287 D0": 8, "028D E2": 194, "028D E8": 4, "028D EA": 11,
    "0280 E3": 192, "0281 E2": 192, "0282 E2": 192, "02A5 E8": 7, "03B7 DA": 2,
}  # fmt: skip


def all_of(start: datetime = SUMMER) -> list[Device]:
    there = world(start)
    return [make(there) for make in MAKERS.values()] + [inverter(there)[2]]


def number(device: Device, epc: int, *, signed: bool = False) -> int:
    edt = device.get(epc)
    assert edt is not None
    return int.from_bytes(edt, "big", signed=signed)


def set_to(device: Device, **properties: str) -> None:
    """Set properties, given as xB0="41"."""
    for name, edt in properties.items():
        assert device.set(int(name[1:], 16), bytes.fromhex(edt)), name


@pytest.mark.parametrize("device", all_of(), ids=lambda device: f"{device.code:04X}")
def test_mandatory_properties(device: Device) -> None:
    """Of the class and of the super class, readable, settable and announced."""
    for access, own, common in zip("rsa", MANDATORY[device.code], SUPER, strict=True):
        assert {int(epc, 16) for epc in f"{own} {common}".split()} <= device.epcs(access)


@pytest.mark.parametrize("device", all_of(), ids=lambda device: f"{device.code:04X}")
def test_every_property_can_be_read_and_has_its_size(device: Device) -> None:
    """At the start and after a day."""
    for _ in range(2):
        for epc in device.epcs("r"):
            edt = device.get(epc)
            assert edt, f"{epc:02X}"
            size = SIZES.get(f"{device.code:04X} {epc:02X}", SIZES.get(f"{epc:02X}"))
            assert size in (None, len(edt)), f"{epc:02X}"
        lived(device, 24)


@pytest.mark.parametrize("device", all_of(), ids=lambda device: f"{device.code:04X}")
def test_what_is_settable_takes_its_own_value(device: Device) -> None:
    """Whatever can be read and set accepts what it shows, and refuses an empty value."""
    if device.code == 0x0287:  # the ranges of its lists show that none is chosen
        return
    for epc in device.epcs("r") & device.epcs("s") - {0x93}:
        assert not device.set(epc, b""), f"{epc:02X}"
        assert device.set(epc, device.get(epc) or b""), f"{epc:02X}"


REGISTERS = {
    0x0130: (0x85,), 0x026B: (0x85,), 0x0279: (0xE1, 0xE3), 0x027B: (0x85,), 0x027C: (0xC5, 0xC8, 0xCD),
    0x027D: (0xA8, 0xA9), 0x027E: (0xD6, 0xD8), 0x0280: (0xE0,), 0x0281: (0xE0,), 0x0282: (0xE0,),
    0x0287: (0xC0, 0xC1), 0x028D: (0xE1,), 0x0290: (0x85,), 0x02A1: (0xD8,), 0x02A5: (0xE0, 0xE3), 0x03B7: (0x85,),
}  # fmt: skip


@pytest.mark.parametrize("start", [SUMMER, WINTER], ids=["summer", "winter"])
def test_registers_never_fall(start: datetime) -> None:
    """Whatever counts energy, water or gas, over a day and in use."""
    for device in all_of(start):
        if 0x80 in device.epcs("s"):
            set_to(device, x80="30")
        for epc in (0xCD, 0xDA) if device.code in (0x027E, 0x02A1) else ():
            assert device.set(epc, b"\x10" if epc == 0xCD else b"\x42")
        before = [number(device, epc) for epc in REGISTERS.get(device.code, ())]
        for _ in range(24):
            lived(device, 1)
            now = [number(device, epc) for epc in REGISTERS.get(device.code, ())]
            assert all(map(ge, now, before)), f"{device.code:04X}"
            before = now


def test_power_integrates_to_energy() -> None:
    """Of a device that uses it: 84 over time is what 85 grows by."""
    air = AirConditioner(world())
    set_to(air, x80="30")
    power_w: list[int] = []
    begun = number(air, 0x85)
    lived(air, 6, lambda it: power_w.append(number(it, 0x84)))
    assert number(air, 0x85) - begun == pytest.approx(sum(power_w) * 5 / 3600, rel=0.01)
    assert max(power_w) > 300


def test_a_room_is_cooled_to_the_target_and_warms_up_again() -> None:
    """Full power at first, less when it is there; without it the weather wins."""
    air = lived(AirConditioner(world()), 1)
    warm_c = air.room.air_c
    set_to(air, x80="30", xB0="42", xB3="1A")
    lived(air, 0.05)
    at_first_w = number(air, 0x84)
    lived(air, 3)
    assert abs(air.room.air_c - 26) < 0.6 < warm_c - 26
    assert number(air, 0xBB) == 26
    assert 25 < number(air, 0x84) < at_first_w
    set_to(air, x80="31")
    lived(air, 4)
    assert air.room.air_c > 27 and number(air, 0x84) == 2


def test_a_room_is_heated_in_winter_and_not_cooled_by_heating() -> None:
    """Each mode does its own."""
    air = lived(AirConditioner(world(WINTER)), 6)
    cold_c = air.room.air_c
    set_to(air, x80="30", xB0="43", xB3="16")
    lived(air, 2)
    assert cold_c < 18 and abs(air.room.air_c - 22) < 0.6
    set_to(air, xB0="42", xB3="1C")
    lived(air, 2)
    assert number(air, 0x84) == 25  # only its fan turns


def test_targets_of_the_modes() -> None:
    """Each remembers its own; the fan has none, and refuses one."""
    air = AirConditioner(world())
    set_to(air, xB3="18", xB0="43")
    assert number(air, 0xB3) == 21
    set_to(air, xB0="45")
    assert number(air, 0xB3) == 0xFD and not air.set(0xB3, b"\x18")
    set_to(air, xB0="42")
    assert number(air, 0xB3) == 0x18
    assert number(air, 0xBE) == 0x7E  # off: it does not know how warm it is outside
    set_to(air, x80="30")
    assert 20 < number(air, 0xBE) < 38


def test_a_floor_is_warmed_by_temperature_or_by_level() -> None:
    """What was set last counts; 41 is automatic, not 65 degrees."""
    heater = FloorHeater(world(WINTER))
    assert not heater.set(0xE0, b"\x37") and number(heater, 0xE0) == 0x41
    set_to(heater, x80="30", xE0="1E")
    assert abs(number(lived(heater, 5), 0xE3) - 30) <= 1
    set_to(heater, xE1="31")
    assert number(lived(heater, 5), 0xE3) < 25


def test_a_lamp_draws_what_it_shines() -> None:
    """Nearly nothing when off."""
    lamp = lived(GeneralLighting(world()), 0.1)
    assert number(lamp, 0x84) == 0
    set_to(lamp, x80="30", xB0="32")
    assert number(lived(lamp, 0.1), 0x84) == 30
    set_to(lamp, xB6="43")
    assert number(lived(lamp, 0.1), 0x84) == 2
    set_to(lamp, xB6="45")
    assert number(lamp, 0xB1) == 0xFD


def test_the_sun_is_that_of_the_meter_and_output_limits_cut_it() -> None:
    """E0 by the minute; D1 tells that it is held down."""
    there = world()
    sun = lived(Photovoltaics(there), 0.1)
    assert number(sun, 0xE0) == there.household.sun_w(there.at(355)) > 1000
    set_to(sun, xA0="0A")
    lived(sun, 0.1)
    assert (number(sun, 0xE0), number(sun, 0xD1)) == (400, 0x41)
    set_to(sun, xA0="64", xA1="0064")
    assert number(lived(sun, 0.1), 0xE0) == 100
    lived(sun, 9)
    assert (number(sun, 0xE0), number(sun, 0xD1)) == (0, 0x44)


def test_a_battery_stays_within_its_limits() -> None:
    """0 to 100 %, its own limits, the power that it can give; what went in and out is what it holds."""
    battery = Battery(world())
    soc_wh, charged, discharged = battery.soc_wh, number(battery, 0xA8), number(battery, 0xA9)

    def within(it: Battery) -> None:
        assert 0 <= number(it, 0xE4) <= 100 and abs(number(it, 0xD3, signed=True)) <= 3000

    for order in ("42", "43", "46", "41", "44"):
        set_to(battery, xDA=order)
        lived(battery, 6, within)
    moved_wh = (number(battery, 0xA8) - charged) * 0.95 - (number(battery, 0xA9) - discharged) / 0.95
    assert battery.soc_wh - soc_wh == pytest.approx(moved_wh, abs=5)
    assert number(battery, 0xE4) == 100


def test_a_battery_shows_its_order_and_what_it_does() -> None:
    """DA at once, CF after a moment; full, it stands by although it shall charge."""
    battery = Battery(world())
    set_to(battery, xDA="42")
    assert (number(battery, 0xDA), number(battery, 0xCF)) == (0x42, 0x44)
    lived(battery, 0.01)
    assert (number(battery, 0xCF), number(battery, 0xD3)) == (0x42, 3000)
    set_to(battery, xC1="03", xEB="000003E8")
    assert number(lived(battery, 0.01), 0xD3) == 1000
    assert not battery.set(0xEB, (99).to_bytes(4, "big"))  # below C8
    set_to(battery, xC1="01")
    lived(battery, 5)
    assert (number(battery, 0xDA), number(battery, 0xCF), number(battery, 0xE4)) == (0x42, 0x44, 100)
    set_to(battery, xDA="43", xC2="01", xA7="32")
    lived(battery, 5)
    assert (number(battery, 0xCF), number(battery, 0xE4)) == (0x44, 50)


def test_a_battery_charges_as_much_as_it_was_told() -> None:
    """AA in Wh, after which it stands by."""
    battery = Battery(world())
    before = number(battery, 0xA8)
    set_to(battery, xAA="000001F4", xDA="42")
    lived(battery, 2)
    assert abs(number(battery, 0xA8) - before - 500) < 10
    assert (number(battery, 0xDA), number(battery, 0xAA)) == (0x44, 0)


def test_an_inverter_shows_the_sum_of_what_is_behind_it() -> None:
    """E7 negative while it gives; E8 names them."""
    sun, battery, pcs = inverter(world())
    assert pcs.get(0xE8) == bytes.fromhex("02 027901 027D01")
    set_to(battery, xDA="44")
    for each in (sun, battery, pcs):
        lived(each, 0.2)
    assert isinstance(pcs, MultiInputPcs)
    assert number(pcs, 0xE7, signed=True) == -number(sun, 0xE0) < -1000


def test_a_vehicle_comes_and_goes() -> None:
    """Away on working days; back, it is seen only after it was confirmed, and has driven meanwhile."""
    charger = EvDischarger(world())
    assert (number(charger, 0xC7), number(charger, 0xE6)) == (0x30, 0)
    set_to(charger, xCD="10", xDA="42")
    lived(charger, 1)
    assert (number(charger, 0xC7), number(charger, 0xD3)) == (0x30, 0)
    before = number(charger, 0xE4)
    lived(charger, 7)
    assert number(charger, 0xC7) == 0xFF and number(charger, 0xE4) < before
    set_to(charger, xCD="10")
    assert number(charger, 0xC7) == 0x43
    assert (charger.get(0xE6) or b"")[1:] == b"SIMULATED-EV"
    lived(charger, 13)
    assert number(charger, 0xC7) == 0x30


def test_a_vehicle_is_charged_and_discharged_as_told() -> None:
    """027E either way, 02A1 only one; never below its reserve or above 100 %."""
    evening = world(WINTER.replace(hour=20))
    both, single = EvDischarger(evening), EvCharger(evening)
    for each in (both, single):
        set_to(each, xCD="10", xDA="42")
    set_to(single, xEB="000005DC")
    for each in (both, single):
        lived(each, 0.1)
    assert (number(both, 0xD3), number(both, 0xE1), number(single, 0xD3)) == (6000, 0x42, 1500)
    assert not single.set(0xDA, b"\x43")
    set_to(both, xDA="43", xDD="03", xEC="000007D0")
    lived(both, 0.1)
    assert (number(both, 0xD3, signed=True), number(both, 0xE1)) == (-2000, 0x43)
    set_to(both, xDD="01")
    lived(both, 8)
    assert (number(both, 0xE4), number(both, 0xE1)) == (10, 0x44)


def test_an_ecocute_heats_at_night_and_when_told() -> None:
    """B0 is the order, B2 the state; 80 cannot be set."""
    tank = EcoCute(world())
    assert 0x80 not in tank.epcs("s")
    heated: list[int] = []
    lived(tank, 24, lambda it: heated.append(60 * it.wall_clock.hour + it.wall_clock.minute) if it.heating else None)
    assert 60 <= min(heated) < max(heated) <= 360
    set_to(tank, xB0="42")
    lived(tank, 0.01)
    assert (number(tank, 0xB2), number(tank, 0x84)) == (0x41, 1250)
    lived(tank, 8)
    assert (number(tank, 0xB0), number(tank, 0xB2), number(tank, 0xE1)) == (0x41, 0x42, pytest.approx(370, abs=40))
    set_to(tank, xB0="43")
    lived(tank, 60)
    assert (number(tank, 0xB2), number(tank, 0x84)) == (0x42, 4)
    assert 0 <= number(tank, 0xE1) < 250


def test_an_ecocute_moves_its_heating_into_the_day() -> None:
    """Energy shift: part of it from the hour that was set (CA), if it takes part (C7)."""
    tank = EcoCute(world(WINTER))
    set_to(tank, xC7="01", xCA="0D")
    heated: set[int] = set()
    lived(tank, 24, lambda it: heated.add(it.wall_clock.hour) if it.heating else None)
    assert 13 in heated
    assert (number(tank, 0xCA), number(tank, 0xC7)) == (0x0D, 1)


def test_a_bath_is_run_and_kept_warm() -> None:
    """E3; the EcoCute tells it by EA, the gas heater by EF, and both switch it off in the end."""
    for heater, state in ((EcoCute(world()), 0xEA), (GasWaterHeater(world()), 0xEF)):
        assert number(heater, state) == 0x42
        set_to(heater, xE3="41")
        lived(heater, 0.1)
        assert number(heater, state) == 0x41
        lived(heater, 0.5)
        assert number(heater, state) == 0x43
        lived(heater, 3)
        assert (number(heater, state), number(heater, 0xE3)) == (0x42, 0x42)


def test_a_fuel_cell_follows_the_house_or_gives_all_it_can() -> None:
    """200 to 700 W; it takes half an hour to start and stops when its tank is full."""
    cell = lived(FuelCell(world(WINTER)), 0.1)
    assert 200 <= number(cell, 0xC4) <= 700 and number(cell, 0xCB) == 0x41
    set_to(cell, xD2="41")
    assert number(lived(cell, 0.1), 0xC4) == 700
    set_to(cell, xCA="42")
    assert number(lived(cell, 0.1), 0xCB) == 0x42 and number(cell, 0xC4) == 0
    set_to(cell, xCA="41")
    assert number(lived(cell, 0.1), 0xCB) == 0x43
    assert number(lived(cell, 0.5), 0xCB) == 0x41
    statuses: set[int] = set()
    lived(cell, 24, lambda it: statuses.add(it.status))
    assert {0x41, 0x42} <= statuses
    set_to(cell, xD1="00000000")  # no hour at all
    assert number(lived(cell, 1), 0xC4) == 0


def test_a_board_shows_the_page_that_was_chosen() -> None:
    """B2 for B3 and so on; nothing before; only as many channels as there are."""
    board = lived(Board(world(), channels=40), 1)
    assert board.get(0xB3) == b"\xfd\xfd"
    set_to(board, xB2="213C", xB4="0101", xB6="0102", xB9="011E")
    assert (board.get(0xB3) or b"")[:2] == bytes((33, 8)) and len(board.get(0xB3) or b"") == 2 + 8 * 4
    assert len(board.get(0xB5) or b"") == 6 and len(board.get(0xB7) or b"") == 10
    assert board.get(0xBA) is not None and len(board.get(0xBA) or b"") == 2 + 2 * 8
    assert not board.set(0xB2, bytes((1, 61))) and not board.set(0xB9, bytes((1, 31)))
    set_to(board, xB2="0101")
    assert (board.get(0xB3) or b"")[2:] == (board.get(0xD0) or b"")[:4]
    assert number(board, 0xB1) == 40
    assert {0xD0, 0xEF} <= board.epcs("r") and 0xE0 not in Board(world(), channels=16).epcs("r")


def test_a_board_counts_what_the_meter_counts() -> None:
    """Its main switch is the household's; its history that of the day that was chosen."""
    there = world()
    board = lived(Board(there), 1)
    energy = there.wall.energy(board.wall_clock)
    assert energy is not None
    assert number(board, 0xC0) == energy.imported_j // 36_000
    assert number(board, 0xC6, signed=True) == there.wall.power_w(board.wall_clock)
    assert (board.get(0xC3) or b"")[:2] == b"\0\xff"
    set_to(board, xC5="00")
    today = board.get(0xC3) or b""
    slots = [int.from_bytes(today[at : at + 4], "big") for at in range(2, 194, 4)]
    assert slots[: 14 * 2 + 1] == sorted(slots[: 14 * 2 + 1]) and slots[28] == number(board, 0xC0)
    assert set(slots[29:]) == {0xFFFFFFFE}


def test_meters_count_a_households_use() -> None:
    """About what a day needs; the sub-meter announces its half-hours, its history follows E0."""
    there = world(SUMMER.replace(hour=0))
    meters = [(WattHourMeter(there), 0xE0, 0.01), (SubMeter(there), 0xE1, 0.001), (WaterMeter(there), 0xE0, 0.001)]
    for meter, epc, unit in [*meters, (GasMeter(there), 0xE0, 0.001)]:
        begun = number(meter, epc)
        lived(meter, 24)
        assert (number(meter, epc) - begun) * unit == pytest.approx(meter.daily, rel=0.3)
    node = bench(SubMeter(there))
    told = [(at, said.payload) for at, said in node.said if said.to is None] + [
        (node.now, said.payload) for said in node.wait(3700) if said.to is None
    ]
    assert [payload[11:14].hex() for _, payload in told] == ["02ea0b", "02ea0b"]
    assert [payload[18:20].hex() for _, payload in told] == ["001e", "0100"]
    node.ask(set_c(0x028D01, (0xE0, "01")))
    (answer,) = node.ask(get(0x028D01, 0xE2))
    assert answer.payload[14:16] == b"\0\x01" and b"\xff\xff\xff\xfe" not in answer.payload


def test_a_refrigerator_keeps_cold_and_its_door_is_opened() -> None:
    """Its compressor comes and goes; an open door is told."""
    fridge = Refrigerator(world(SUMMER.replace(hour=6)))
    power_w: set[int] = set()
    doors: set[int] = set()

    def look(it: Refrigerator) -> None:
        power_w.add(number(it, 0x84))
        doors.add(number(it, 0xB0))
        assert 0 <= it.fridge_c < 12 and -25 < it.freezer_c < -10

    lived(fridge, 24, look)
    assert power_w == {6, 95} and doors == {0x41, 0x42}


def test_appliances_are_the_same_for_a_seed() -> None:
    """Two of everything, some hours later: every property alike."""
    for one, another in zip(all_of(), all_of(), strict=True):
        lived(one, 8)
        another.advance(8 * 3600)
        assert [one.get(epc) for epc in one.epcs("r")] == [another.get(epc) for epc in another.epcs("r")]


def test_a_set_only_property_makes_it_beep_and_no_more() -> None:
    """D0 of the air conditioner: accepted, never read."""
    node = bench(AirConditioner(world()))
    assert frames(node.ask(set_c(0x013001, (0xD0, "41")))) == ["01300105ff017101d000"]
    assert frames(node.ask(get(0x013001, 0xD0))) == ["01300105ff015201d000"]
