"""Simulated appliances: nodes of ECHONET Lite with devices that live, and faults as met in the field.

>>> world = World(datetime(2026, 8, 1, 13, 0))
>>> node = ApplianceNode(world, [AirConditioner(world)], "127.0.0.2")
>>> async with serve_nodes([node], "lo"): ...

Written from the manuals; shares no code with what it is there to test.
"""

from hemsd.simulator.appliances.climate import AirConditioner, FloorHeater
from hemsd.simulator.appliances.device import Device
from hemsd.simulator.appliances.light import GeneralLighting, MonoLighting
from hemsd.simulator.appliances.node import ApplianceNode, Said
from hemsd.simulator.appliances.power import Battery, MultiInputPcs, Photovoltaics
from hemsd.simulator.appliances.sockets import serve_nodes
from hemsd.simulator.appliances.temper import Temper
from hemsd.simulator.appliances.world import World

__all__ = [
    "AirConditioner",
    "ApplianceNode",
    "Battery",
    "Device",
    "FloorHeater",
    "GeneralLighting",
    "MonoLighting",
    "MultiInputPcs",
    "Photovoltaics",
    "Said",
    "Temper",
    "World",
    "serve_nodes",
]
