"""An independent reader, PyPI's momonga, reads the simulated meter through a real tty."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from momonga import Momonga

from hemsd.simulator import Fault, Flash, Household, Meter, Network, Plate, SkModule, Strike, Timing
from hemsd.simulator.pty import serve_on_pty

START = datetime(2026, 10, 1, 12, 30, 1)
KWH_J = 3_600_000


def _kwh(joules: int) -> float:
    return round(joules // (KWH_J // 10) * 0.1, 1)


def _imported(household: Household, at: datetime) -> float:
    energy = household.energy(at)
    assert energy is not None
    return _kwh(energy.imported_j)


def _exported(household: Household, at: datetime) -> float:
    energy = household.energy(at)
    assert energy is not None
    return _kwh(energy.exported_j)


def _read_everything(path: str, network: Network, module: SkModule) -> dict[str, Any]:
    """What momonga sees, without its fixed pauses between requests."""
    reader = Momonga(network.route_b_id, network.password, path)
    reader.internal_xmit_interval = 0
    with reader:
        yesterday = reader.get_historical_cumulative_energy_1(day=1)
        sold = reader.get_historical_cumulative_energy_1(day=1, reverse=True)
        slots = reader.get_historical_cumulative_energy_2(START, num_of_data_points=3)
        module.faults.add(Fault(Strike.NOTIFY))
        values = {
            "power": reader.get_instantaneous_power(),
            "current": reader.get_instantaneous_current(),
            "energy": reader.get_measured_cumulative_energy(),
            "sold": reader.get_measured_cumulative_energy(reverse=True),
            "yesterday": yesterday,
            "sold yesterday": sold,
            "slots": slots,
            "serial": reader.get_serial_number(),
            "map": reader.get_properties_to_get_values(),
            "notification": reader.get_notification(timeout=5),
            "lqi": reader.lqi,
        }
        if 0xEE in values["map"]:
            values["minutes"] = reader.get_historical_cumulative_energy_3(START, num_of_data_points=5)
            values["minute"] = reader.get_one_minute_measured_cumulative_energy()
            values["route b id"] = reader.get_route_b_id()
        return values


async def _serve_and_read(family: Literal["SE", "DUAL"], household: Household, plate: Plate) -> dict[str, Any]:
    network = Network()
    module = SkModule(
        family,
        Meter(household, start=START, plate=plate),
        network,
        timing=Timing.fast(),
        flash=Flash(wopt=1 if family == "SE" else 0),
    )
    async with serve_on_pty(module) as path:
        values = await asyncio.to_thread(_read_everything, path, network, module)
    values["flash writes"] = module.flash.writes
    return values


async def test_momonga_reads_both_families() -> None:
    """Power, currents, registers, histories and announcements are what the household says, in both families."""
    household = Household(7, pv_kw=4)
    single, dual = await asyncio.gather(
        _serve_and_read("SE", household, Plate()),
        _serve_and_read("DUAL", household, Plate(generation=2, coefficient=None)),
    )
    for values in (single, dual):
        _check(household, values)
    assert single["lqi"] is None
    assert abs(dual["lqi"] - Network().lqi) < 8
    assert single["flash writes"] == 0
    assert dual["flash writes"] == 1  # momonga wants hexadecimal payloads and stores that
    _check_second_generation(household, dual)


def _check(household: Household, values: dict[str, Any]) -> None:
    assert values["power"] == household.power_w(START)
    r_a, t_a = household.currents_a(START)
    assert values["current"]["r phase current"] == pytest.approx(r_a, abs=0.051)
    assert values["current"]["t phase current"] == pytest.approx(t_a, abs=0.051)
    later = START + timedelta(minutes=1)
    assert _imported(household, START) <= round(values["energy"], 1) <= _imported(household, later)
    assert _exported(household, START) <= round(values["sold"], 1) <= _exported(household, later)
    midnight = START.replace(hour=0, minute=0, second=0) - timedelta(days=1)
    times = [midnight + slot * timedelta(minutes=30) for slot in range(48)]
    bought = [round(entry["cumulative energy"], 1) for entry in values["yesterday"]]
    assert bought == [_imported(household, at) for at in times]
    sold = [round(entry["cumulative energy"], 1) for entry in values["sold yesterday"]]
    assert sold == [_exported(household, at) for at in times]
    assert values["slots"][2]["timestamp"] == datetime(2026, 10, 1, 11, 30)
    assert values["serial"] == Plate().serial
    announced = {int(epc): value for epc, value in values["notification"]["properties"].items()}
    half_hour = datetime(2026, 10, 1, 12, 30)
    assert announced[0xEA]["timestamp"] == half_hour
    assert round(announced[0xEA]["cumulative energy"], 1) == _imported(household, half_hour)
    assert round(announced[0xEB]["cumulative energy"], 1) == _exported(household, half_hour)


def _check_second_generation(household: Household, values: dict[str, Any]) -> None:
    minutes = [START.replace(second=0) - timedelta(minutes=back) for back in range(5)]
    for entry, at in zip(values["minutes"], minutes, strict=True):
        assert entry["timestamp"] == at
        assert round(entry["cumulative energy"]["normal direction"], 1) == _imported(household, at)
        assert round(entry["cumulative energy"]["reverse direction"], 1) == _exported(household, at)
    assert values["minute"]["timestamp"].second == 0
    assert values["route b id"]["manufacturer code"] == Plate().maker.to_bytes(3, "big")
