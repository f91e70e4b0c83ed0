"""Our tables of device classes beside those of pychonet and uecho, which were written from its prose."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from typing import Any
from unittest.mock import MagicMock

import pytest
from pychonet.ElectricWaterHeater import ElectricWaterHeater
from pychonet.FloorHeater import FloorHeater
from pychonet.FuelCell import FuelCell
from pychonet.GeneralLighting import GeneralLighting
from pychonet.HomeAirConditioner import HomeAirConditioner
from pychonet.HomeSolarPower import HomeSolarPower
from pychonet.HotWaterGenerator import HotWaterGenerator
from pychonet.lib.epc_functions import _hh_mm, _int, _signed_int
from pychonet.StorageBattery import StorageBattery
from support.classes import a_class, size
from support.echonet import uecho_properties

from hemsd.echonet.classes import table
from hemsd.echonet.classes.catalogue import PropertyClass, class_names
from hemsd.echonet.values import PropertyError

CLASSES = {
    0x0130: HomeAirConditioner,
    0x026B: ElectricWaterHeater,
    0x0272: HotWaterGenerator,
    0x0279: HomeSolarPower,
    0x027B: FloorHeater,
    0x027C: FuelCell,
    0x027D: StorageBattery,
    0x0290: GeneralLighting,
}
MILLI, TENTH = Decimal("0.001"), Decimal("0.1")
STEPS = {  # what one count is worth (echonet-lite prose tables); pychonet leaves counts as they are
    **{(0x0279, epc): MILLI for epc in (0xE1, 0xE3)},
    **{(0x027C, epc): MILLI for epc in (0xC5, 0xC7, 0xC8, 0xCD)},
    **{(0x027D, epc): MILLI for epc in (0xA8, 0xA9, 0xD6, 0xD8)},
    **{(0x027D, epc): TENTH for epc in (0xD1, 0xD4, 0xE1, 0xE3, 0xE9, 0xEA, 0xED, 0xEE)},
    (0x0130, 0xB9): TENTH,
    (0x027B, 0x85): MILLI,
}
THEIRS_ALONE: dict[tuple[int, int], set[int]] = {  # codes that the Appendix does not have
    (0x0130, 0xB0): {0xFF},  # for Home Assistant
    (0x0130, 0xC1): set(range(0x31, 0x39)),  # those of C4
    (0x0130, 0xCC): {0x45},
    (0x026B, 0xD7): {0x41, 0x42},  # 30 and 31 there
    (0x027C, 0xD0): {0x03},
}
OURS_ALONE: dict[tuple[int, int], set[int]] = {  # codes that pychonet does not have
    (0x0130, 0xC0): {0x43, 0x44},
    (0x0130, 0xC1): {0x42},
    (0x026B, 0xD7): {0x30, 0x31},
    (0x027C, 0xD0): {0x00},
    (0x0290, 0xB1): {0xFD},
}
SIGNED_THERE = {(0x027B, 0x84), (0x027B, 0x85), (0x027B, 0xE9)}  # pychonet has a sign where the Appendix has none
LEVELS = {(0x0130, 0xA0), (0x027B, 0xE1)}  # 31 is level 1 to us


def theirs(code: int) -> dict[int, Any]:
    """pychonet's decoders of a class by EPC."""
    instance = CLASSES[code]("127.0.0.1", MagicMock())
    assert (instance._eojgc, instance._eojcc) == divmod(code, 0x100)
    return dict(instance.EPC_FUNCTIONS)


def ours(code: int, epc: int) -> PropertyClass:
    return a_class(code).by_epc()[epc]


def with_decoder(*decoders: Callable[..., Any]) -> list[tuple[int, int]]:
    return [(code, epc) for code in CLASSES for epc, each in theirs(code).items() if each in decoders]


ENUMERATED = [(code, epc) for code in CLASSES for epc, each in theirs(code).items() if isinstance(each, list)]
NUMBERS = [key for key in with_decoder(_int, _signed_int) if key not in SIGNED_THERE | LEVELS]


def name(key: tuple[int, int]) -> str:
    return f"{key[0]:04X}-{key[1]:02X}"


def told(each: PropertyClass, edt: bytes) -> Any:
    try:
        return each.decode(edt)
    except PropertyError:
        return None


@pytest.mark.parametrize("key", ENUMERATED, ids=name)
def test_the_same_codes_mean_something(key: tuple[int, int]) -> None:
    """An enumeration has the codes that pychonet has, but for those that are stated; each means one thing to both."""
    words = theirs(key[0])[key[1]][1]
    values = {code: value for code in range(256) if (value := told(ours(*key), bytes((code,)))) is not None}
    assert words.keys() - values.keys() == THEIRS_ALONE.get(key, set())
    assert values.keys() - words.keys() == OURS_ALONE.get(key, set())
    both = {code: (words[code], values[code]) for code in words.keys() & values.keys()}
    assert (
        len(set(both.values()))
        == len({word for word, _ in both.values()})
        == len({value for _, value in both.values()})
    )


@pytest.mark.parametrize("key", NUMBERS, ids=name)
def test_the_same_numbers(key: tuple[int, int]) -> None:
    """What is a number to us is pychonet's number, in steps of what the prose says."""
    decoder, each, chance = theirs(key[0])[key[1]], ours(*key), random.Random(key[1])
    for length in (1, 2, 4):
        for edt in (
            *(chance.randbytes(length) for _ in range(200)),
            *(bytes(length - 1) + bytes((low,)) for low in range(100)),
        ):
            value = told(each, edt)
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                assert value == decoder(edt) * STEPS.get(key, 1), edt.hex()


def test_numbers_are_judged() -> None:
    """Most of them are numbers to us too, and not words or states."""
    judged = [
        key
        for key in NUMBERS
        if any(isinstance(told(ours(*key), bytes(n)[:-1] + b"\x05"), int | Decimal) for n in (1, 2, 4))
    ]
    assert len(judged) > 60


@pytest.mark.parametrize("key", with_decoder(_hh_mm), ids=name)
def test_the_same_times(key: tuple[int, int]) -> None:
    """Hours and minutes."""
    for edt in (b"\x00\x00", b"\x06\x1e", b"\x17\x3b"):
        hours, minutes = map(int, _hh_mm(edt).split(":"))
        assert told(ours(*key), edt) == time(hours, minutes)


@pytest.mark.parametrize("epc", [0xCB, 0xCC, 0xCE, 0xCF])
def test_the_same_shifted_energies(epc: int) -> None:
    """An EcoCute's energies at 10:00, 13:00, 15:00 and 17:00."""
    decoder, each = theirs(0x026B)[epc], ours(0x026B, epc)
    chance = random.Random(epc)
    for length in (16, 12, 8, 6):
        for _ in range(50):
            edt = chance.randbytes(length)
            if (value := told(each, edt)) is not None:
                assert {f"at_{at.replace(':', '')}": number for at, number in decoder(edt).items()} == value


def test_the_same_prediction() -> None:
    """An EcoCute's surplus forecast: pychonet takes it for counts without a sign."""
    edt = bytes((5, 20, 22)) + b"".join(number.to_bytes(2, "big") for number in range(24))
    there = theirs(0x026B)[0xD9](edt)
    here = told(ours(0x026B, 0xD9), edt)
    assert [here["month"], here["day"], here["hour"]] == [int(there["start_month"]), int(there["start_day"]), 22]
    assert [value / 10 for value in here["surplus_energy_prediction_value"]] == list(
        there["predicted_values"].values()
    )


def test_the_same_limits_of_a_battery() -> None:
    """Two numbers in one property; pychonet shows them as text."""
    for epc in (0xC8, 0xC9, 0xDC, 0xDD):
        edt = (500).to_bytes(4, "big") + (3000).to_bytes(4, "big")
        assert "/".join(map(str, told(ours(0x027D, epc), edt).values())) == theirs(0x027D)[epc](edt)


OTHER_SIZES = {(0x027E, 0xEA): 2, (0x0288, 0xD0): 1, (0x03B9, 0xB2): 1}  # slips of uecho


def test_the_same_sizes_and_signs() -> None:
    """uecho's table of the prose, more than 500 properties: as many bytes, and a sign where there is one."""
    compared = 0
    for code, epc, kind, length in uecho_properties():
        each = a_class(code).by_epc().get(epc) if code in class_names() else None
        if each is None or length == OTHER_SIZES.get((code, epc), 0):  # 0: it is not of one size
            continue
        assert size(each.data) == length, f"{code:04X} {epc:02X}"
        if isinstance(each.data, table.NumberData) and (code, epc) != (0x0023, 0xE2):  # there a slip of uecho
            assert each.data.format.startswith("u") == kind.startswith("unsigned"), f"{code:04X} {epc:02X}"
        compared += 1
    assert compared > 500
