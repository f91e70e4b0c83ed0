"""The families of modules that can be simulated, and one of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from hemsd.simulator.board import Board
from hemsd.simulator.faults import Fault
from hemsd.simulator.j11 import J11Module
from hemsd.simulator.meter import Meter
from hemsd.simulator.module import SkModule
from hemsd.simulator.radio import Network, Timing

Family = Literal["SE", "DUAL", "J11"]
FAMILIES: tuple[Family, ...] = get_args(Family)


def module_of(
    family: Family,
    meter: Meter,
    network: Network = Network(),  # noqa: B008 (frozen)
    *,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
    faults: Iterable[Fault] = (),
) -> Board:
    """A module as delivered."""
    if family == "J11":
        return J11Module(meter, network, timing=timing, faults=faults)
    return SkModule(family, meter, network, timing=timing, faults=faults)
