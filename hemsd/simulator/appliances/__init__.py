"""Simulated appliances: nodes of ECHONET Lite with devices that live, and faults as met in the field.

>>> world = World(datetime(2026, 8, 1, 13, 0))
>>> node = ApplianceNode(world, [AirConditioner(world)], "127.0.0.2", temper=Temper(at_most=2))
>>> async with serve_nodes([node], "lo"): ...

Written from the manuals; shares no code with what it is there to test.
"""

from hemsd.simulator.appliances.board import Board
from hemsd.simulator.appliances.climate import AirConditioner, FloorHeater
from hemsd.simulator.appliances.device import Device
from hemsd.simulator.appliances.homes import MAKERS, home, inverter
from hemsd.simulator.appliances.kitchen import Refrigerator
from hemsd.simulator.appliances.light import GeneralLighting, MonoLighting
from hemsd.simulator.appliances.meters import GasMeter, SubMeter, WaterMeter, WattHourMeter
from hemsd.simulator.appliances.node import ApplianceNode, Said
from hemsd.simulator.appliances.power import Battery, MultiInputPcs, Photovoltaics
from hemsd.simulator.appliances.segment import Segment
from hemsd.simulator.appliances.sockets import serve_nodes
from hemsd.simulator.appliances.temper import Temper
from hemsd.simulator.appliances.vehicle import EvCharger, EvDischarger
from hemsd.simulator.appliances.water import EcoCute, FuelCell, GasWaterHeater
from hemsd.simulator.appliances.world import World

__all__ = [
    "MAKERS",
    "AirConditioner",
    "ApplianceNode",
    "Battery",
    "Board",
    "Device",
    "EcoCute",
    "EvCharger",
    "EvDischarger",
    "FloorHeater",
    "FuelCell",
    "GasMeter",
    "GasWaterHeater",
    "GeneralLighting",
    "MonoLighting",
    "MultiInputPcs",
    "Photovoltaics",
    "Refrigerator",
    "Said",
    "Segment",
    "SubMeter",
    "Temper",
    "WaterMeter",
    "WattHourMeter",
    "World",
    "home",
    "inverter",
    "serve_nodes",
]
