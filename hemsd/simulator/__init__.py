"""A household in memory: a load curve, a smart meter, and a Wi-SUN module or an IPv6 link to read it through.

Its appliances are in hemsd.simulator.appliances.

Written from the manuals; shares no code with what it is there to test.
"""

from hemsd.simulator.appendix import Plate
from hemsd.simulator.board import Board
from hemsd.simulator.families import FAMILIES, Family, module_of
from hemsd.simulator.faults import Fault, Flaw, Spell, Strike
from hemsd.simulator.household import Household
from hemsd.simulator.j11 import J11Module
from hemsd.simulator.meter import Meter
from hemsd.simulator.module import SkModule
from hemsd.simulator.node import MeterNode
from hemsd.simulator.radio import Network, Timing
from hemsd.simulator.stack import Flash

__all__ = [
    "FAMILIES",
    "Board",
    "Family",
    "Fault",
    "Flash",
    "Flaw",
    "Household",
    "J11Module",
    "Meter",
    "MeterNode",
    "Network",
    "Plate",
    "SkModule",
    "Spell",
    "Strike",
    "Timing",
    "module_of",
]
