"""Homes ready made: one of each class, and the house of `hemsd demo`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hemsd.simulator.appliances.board import Board
from hemsd.simulator.appliances.climate import AirConditioner, FloorHeater
from hemsd.simulator.appliances.device import Device
from hemsd.simulator.appliances.kitchen import Refrigerator
from hemsd.simulator.appliances.light import GeneralLighting, MonoLighting
from hemsd.simulator.appliances.meters import GasMeter, SubMeter, WaterMeter, WattHourMeter
from hemsd.simulator.appliances.node import ApplianceNode
from hemsd.simulator.appliances.power import Battery, MultiInputPcs, Photovoltaics
from hemsd.simulator.appliances.vehicle import EvCharger, EvDischarger
from hemsd.simulator.appliances.water import EcoCute, FuelCell, GasWaterHeater
from hemsd.simulator.appliances.world import World

MAKERS: dict[int, Callable[[World], Device]] = {
    each.code: each
    for each in (
        AirConditioner,
        Battery,
        Board,
        EcoCute,
        EvCharger,
        EvDischarger,
        FloorHeater,
        FuelCell,
        GasMeter,
        GasWaterHeater,
        GeneralLighting,
        MonoLighting,
        Photovoltaics,
        Refrigerator,
        SubMeter,
        WaterMeter,
        WattHourMeter,
    )
}
"""What makes a device of each class, alone; a MultiInputPcs needs others."""


def inverter(world: World) -> tuple[Photovoltaics, Battery, MultiInputPcs]:
    """Photovoltaics and a battery behind one inverter: a node of three."""
    sun, battery = Photovoltaics(world), Battery(world)
    return sun, battery, MultiInputPcs(world, (sun, battery))


def home(world: World, addresses: Iterable[str]) -> list[ApplianceNode]:
    """A node for each kind of appliance, as far as there are addresses."""
    devices: list[tuple[Device, ...]] = [
        (AirConditioner(world, place=0x08),),  # the living room
        inverter(world),
        (EcoCute(world),),
        (EvDischarger(world),),
        (GeneralLighting(world, place=0x08), GeneralLighting(world, instance=2, place=0x10), MonoLighting(world)),
        (Board(world),),
        (Refrigerator(world, place=0x18),),
        (FloorHeater(world, place=0x08),),
        (FuelCell(world),),
        (GasWaterHeater(world),),
        (EvCharger(world),),
        (WattHourMeter(world), SubMeter(world), WaterMeter(world), GasMeter(world)),
    ]
    return [ApplianceNode(world, each, address) for each, address in zip(devices, addresses, strict=False)]
