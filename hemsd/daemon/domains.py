"""The domains that live with the hub as the daemon runs them: made from scratch at every start; their errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.ports import PermanentPortError, PortError
from hemsd.control.controller import Controller
from hemsd.control.settings import Settings
from hemsd.daemon.config import Config, HistoryTable
from hemsd.daemon.supervision import Kind
from hemsd.daemon.watch import NotKeptApart
from hemsd.history.database import NewerDatabase
from hemsd.history.historian import Historian
from hemsd.history.store import Retention
from hemsd.hub.hub import Hall
from hemsd.hub.messages import Domain

if TYPE_CHECKING:
    from hemsd.appliances.steward import Steward


def kind_of(error: Exception) -> Kind:
    """What supervision is to make of an error of history, control or a network of appliances."""
    match error:
        case PermanentPortError() | NewerDatabase():
            return Kind.PERMANENT
        case PortError() | NotKeptApart():
            return Kind.TRANSIENT
        case _:
            return Kind.UNEXPECTED


async def run_history(settings: HistoryTable, state: Path, hub: Hall) -> None:
    """The memory of the house, until cancelled. Raises NewerDatabase where a newer hemsd wrote it."""
    seat = hub.seat(Domain.HISTORY)
    retention = Retention(settings.samples_days, settings.minutes_days, settings.events_days)
    try:
        await Historian(seat, state, retention=retention, backfill_days=settings.backfill_days).run()
    finally:
        seat.close()


async def run_control(config: Config, hub: Hall) -> None:
    """The one way to an appliance, and the sum of the house, until cancelled."""
    seat = hub.seat(Domain.CONTROL)
    settings = Settings(
        exposure=config.gateway.exposure,
        watched_only=frozenset(name for name, each in config.appliances.items() if each.control is False),
        opened=frozenset(name for name, each in config.appliances.items() if each.control),
        gap_s=config.control.write_gap_s,
        per_hour=config.control.writes_per_hour,
        minimums={name: (each.min_on_s, each.min_off_s) for name, each in config.appliances.items()},
    )
    try:
        await Controller(seat, settings).run()
    finally:
        seat.close()


def stewards(config: Config, state: Path, hub: Hall) -> list[Steward]:
    """Who runs each network of appliances, each with a seat of its own; to be made within the running loop."""
    if not config.networks:
        return []
    from hemsd.daemon.appliances import stewards_of  # a third of all that is ever loaded, and most homes have none

    return stewards_of(config, state, hub)
