"""Two that know the Appendix, and nothing of each other: simulated devices as hemsd's table of classes reads them."""

from __future__ import annotations

from typing import Any

import pytest
from support.simulated import SUMMER, WINTER, lived, world

from hemsd.echonet.classes.catalogue import Rule, properties_of
from hemsd.echonet.classes.device import Device as Described
from hemsd.echonet.classes.views import normal, sections
from hemsd.simulator.appliances import MAKERS, Board, Device, inverter

HOUSE = world()
DEVICES = [make(HOUSE) for make in MAKERS.values()] + [inverter(HOUSE)[2]]
each_device = pytest.mark.parametrize("device", DEVICES, ids=lambda device: f"{device.code:04X}")


def described(device: Device) -> tuple[Described, dict[int, bytes]]:
    readable = device.epcs("r")
    told = Described(
        eoj=device.eoj,
        release=device.release,
        readable=readable,
        settable=device.epcs("s"),
        announced=device.epcs("a"),
        product=device.product,
    )
    return told, {epc: device.get(epc) or b"" for epc in readable}


@each_device
def test_maps_are_as_the_class_allows(device: Device) -> None:
    """Nothing that the class does not have, or does not let be read or set; all that it demands."""
    for epc, rule in properties_of(described(device)[0]).items():
        for access, demanded in (("r", rule.get), ("s", rule.set)):
            has = epc in device.epcs(access)
            assert not (has and demanded is Rule.NONE), f"{epc:02X} {access}"
            assert has or demanded is not Rule.REQUIRED, f"{epc:02X} {access}"
    assert device.rows.keys() <= properties_of(described(device)[0]).keys()


@each_device
def test_every_value_can_be_decoded(device: Device) -> None:
    """At the start and a day later."""
    for _ in range(2):
        told, known = described(device)
        for epc, edt in known.items():
            properties_of(told)[epc].decode(edt, known)
        lived(device, 24)


def test_values_mean_what_happens() -> None:
    """Each number as the physics have it, signs included."""
    there = world(WINTER.replace(hour=9))
    sun, battery, pcs = inverter(there)
    battery.set(0xC2, b"\x01")
    battery.set(0xDA, b"\x43")
    for each in (sun, battery, pcs):
        lived(each, 0.1)
    values = _normal(battery)
    assert (values["activity"], values["mode"]) == ("discharging", "discharge")
    assert values["power_w"] == round(battery.power_w) < 0
    assert values["soc_percent"] == round(battery.soc_wh / 98)
    assert _normal(sun)["power_w"] == -round(sun.power_w) <= 0
    assert _normal(pcs)["power_w"] == round(pcs.power_w)
    assert _normal(pcs)["sums"] == "027901,027D01"
    charger = MAKERS[0x027E](world(SUMMER.replace(hour=21)))
    assert "vehicle" not in _normal(charger)
    charger.set(0xCD, b"\x10")
    assert _normal(charger)["vehicle"] == "both"
    floor = MAKERS[0x027B](there)
    assert _normal(floor)["mode"] == "auto" and "target_temperature_c" not in _normal(floor)
    lamp = MAKERS[0x0290](there)
    lamp.set(0xB0, b"\x32")
    assert (_normal(lamp)["on"], _normal(lamp)["brightness_percent"]) == (False, 50)


def test_a_board_is_read_page_by_page_as_its_class_says() -> None:
    """Each section selects what the board accepts, and reads what it then shows."""
    board = lived(Board(world(), channels=130), 1)
    told, known = described(board)
    pages = sections(told, known)
    assert len(pages) >= 3
    for section in pages:
        for selector in section.select:
            assert board.set(selector.epc, selector.edt)
        for epc in section.read:
            shown = board.get(epc) or b""
            assert shown[0] == section.select[0].edt[0] and len(shown) > 2
            properties_of(told)[epc].decode(shown, known)


def _normal(device: Device) -> dict[str, Any]:
    return dict(normal(*described(device)))
