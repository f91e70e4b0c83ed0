"""What measures: boards, meters of electricity, water and gas, and sensors of power and current.

Classes 0287, 0280, 028D, 028E, 0288 (to show its frames), 0281, 0282, 0022, 0023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.device import Device, Known, Section, Tempo
from hemsd.echonet.classes.wording import Quantity, View
from hemsd.echonet.frame import Property

CHANNELS: Final = range(0xD0, 0xF0)  # of a board, the first 32: energy and currents of each
MOST_CHANNELS: Final = 252

LISTS: Final = (
    # number of channels, selector, list, channels on a page; in the order of what one wants to know
    (0xB1, 0xB6, 0xB7, 60),  # power
    (0xB1, 0xB2, 0xB3, 60),  # energy
    (0xB8, 0xBD, 0xBE, 60),  # the same of channels that take and give
    (0xB8, 0xB9, 0xBA, 30),
)
"""The lists of a board. Those of currents (B5, BC) add nothing to them, and are read when somebody asks."""


def _lists_of(device: Device) -> tuple[tuple[int, int, int, int], ...]:
    return tuple(
        each
        for each in LISTS
        if each[0] in device.readable and each[1] in device.settable and each[2] in device.readable
    )


def _pages(device: Device, known: Known) -> tuple[Section, ...]:
    """One list a section: some boards never answer a request for two (B3 and B7)."""
    return tuple(
        Section((Property(selector, bytes([first, min(size, channels - first + 1)])),), (shown,), page)
        for counted, selector, shown, size in _lists_of(device)
        if len(known.get(counted, b"")) == 1 and (channels := known[counted][0]) <= MOST_CHANNELS
        for page, first in enumerate(range(1, channels + 1, size))
    )


def _channels(device: Device) -> Mapping[int, Tempo | None]:
    """Where there are lists, the channels one by one are the same again."""
    return dict.fromkeys(CHANNELS, None if _lists_of(device) else Tempo.STATE)


BOARD: Final = View(
    words={
        "power_w": Quantity(tells=(0xC6,)),
        "current_r_a": Quantity(tells=(0xC7,), item=0),
        "current_t_a": Quantity(tells=(0xC7,), item=1),
        "energy_import_kwh": Quantity(tells=(0xC0,)),
        "energy_export_kwh": Quantity(tells=(0xC1,)),
    },
    sums="house",
    once=frozenset({0xB0, 0xB1, 0xB8}),
    tempo=_channels,
    sections=_pages,
)

METER: Final = View(
    words={
        "power_w": Quantity(tells=(0xE7,)),
        "current_r_a": Quantity(tells=(0xE8,), item=0),
        "current_t_a": Quantity(tells=(0xE8,), item=1),
        "energy_import_kwh": Quantity(tells=(0xE0,)),
        "energy_export_kwh": Quantity(tells=(0xE3,)),
    },
    sums="house",
    once=frozenset({0xC0, 0xD7}),
)

SUB_METER: Final = View(
    words={
        "power_w": Quantity(tells=(0xE7,)),
        "current_r_a": Quantity(tells=(0xE8,), item=0),
        "current_t_a": Quantity(tells=(0xE8,), item=1),
        "energy_import_kwh": Quantity(tells=(0xE1,)),
        "energy_export_kwh": Quantity(tells=(0xE3,)),
    },
    sums="circuit",
    once=frozenset({0xD7}),
)

GENERATOR_METER: Final = View(  # the sign of its power (E9) is nowhere said
    words={"energy_import_kwh": Quantity(tells=(0xE0,)), "energy_export_kwh": Quantity(tells=(0xE2,))},
    sums="circuit",
    once=frozenset({0xD0, 0xD1, 0xD2, 0xD3, 0xD6}),
    never=frozenset({0xDA}),
)

WATT_HOUR_METER: Final = View(
    words={"energy_import_kwh": Quantity(tells=(0xE0,))}, sums="circuit", never=frozenset({0xE3})
)

ENERGY_SENSOR: Final = View(
    words={"power_w": Quantity(tells=(0xE1, 0xE2, 0xE3)), "energy_import_kwh": Quantity(tells=(0xE0,))},
    sums="circuit",
    never=frozenset({0xE4}),
)

CURRENT_SENSOR: Final = View(
    words={"current_a": Quantity(tells=(0xE2, 0xE0))}, sums="circuit", once=frozenset({0xE1})
)

WATER_METER: Final = View(
    words={"volume_m3": Quantity(tells=(0xE0,))},
    once=frozenset({0xD0, 0xD1, 0xE5, 0xE6}),
    never=frozenset({0xE2, 0xE7}),
)

GAS_METER: Final = View(words={"volume_m3": Quantity(tells=(0xE0,))}, never=frozenset({0xE2}))

VIEWS: Final[Mapping[int, View]] = {
    0x0287: BOARD,
    0x0288: METER,
    0x028D: SUB_METER,
    0x028E: GENERATOR_METER,
    0x0280: WATT_HOUR_METER,
    0x0022: ENERGY_SENSOR,
    0x0023: CURRENT_SENSOR,
    0x0281: WATER_METER,
    0x0282: GAS_METER,
}
