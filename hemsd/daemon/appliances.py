"""The networks of appliances as the configuration has them; loaded where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hemsd.appliances.network import NetworkSettings
from hemsd.appliances.steward import Plan, Steward
from hemsd.appliances.telling import Label
from hemsd.appliances.wellbeing import Wellbeing
from hemsd.daemon.config import Config
from hemsd.hub.hub import Hall
from hemsd.hub.messages import Domain


def stewards_of(config: Config, state: Path, hub: Hall) -> list[Steward]:
    """One for each network, each with a seat of its own in the hub; to be made within the running loop."""
    wellbeing, owners = Wellbeing(), dict[str, str]()
    labels = tuple(_labels(config))
    return [
        Steward(
            Plan(
                settings=NetworkSettings(name=name, nodes=network.nodes),
                maker=config.controller.maker,
                interface=network.interface,
                ipv4=network.ipv4,
                ipv6=network.ipv6,
                labels=labels,
                meter=config.meter.peer if network.interface == config.meter.interface else None,
            ),
            hub.seat(Domain.APPLIANCES),
            state,
            wellbeing,
            owners,
        )
        for name, network in config.networks.items()
    ]


def _labels(config: Config) -> Iterator[Label]:
    for name, appliance in config.appliances.items():
        yield Label(
            name=name,
            room=appliance.room,
            id=appliance.id or "",
            address=appliance.address or "",
            eoj=None if appliance.object is None else int(appliance.object, 16),
        )
