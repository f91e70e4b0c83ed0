"""The home gateway's world as the daemon runs it: what reaches out of the house, beside a hub that may be away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from drivers.interface import default_interface
from hemsd.daemon.config import Config
from hemsd.daemon.supervision import Kind
from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig, MetricsConfig, ProviderConfig
from hemsd.gateway.exporter import Exporter, MetricsError, MetricsMissing
from hemsd.gateway.provider import ProviderLink
from hemsd.gateway.signature import SignatureError, signer
from hemsd.gateway.standing import Home
from hemsd.hub.hub import Hall
from hemsd.hub.messages import Domain
from hemsd.hub.uplink import Uplink

Work = Callable[[str], Coroutine[Any, Any, None]]

AWAY_S = 30.0  # a hub that is restarted is back before; after it what we have to tell is not true any more


def kind_of(error: Exception) -> Kind:
    """What supervision is to make of an error of what reaches out."""
    match error:
        case MetricsMissing():
            return Kind.PERMANENT
        case MetricsError() | SignatureError():
            return Kind.TRANSIENT
        case _:
            return Kind.UNEXPECTED


async def run_gateway(config: Config, broker: BrokerConfig, site: str, state: Path, hub: Hall) -> None:
    """The home gateway's world: the MQTT bridge, until cancelled. Raises SignatureError."""
    home = _home(config, site, state)
    seat = hub.seat(Domain.GATEWAY)
    try:
        await Bridge(seat, broker, home, state).run()
    finally:
        seat.close()


async def run_provider(config: Config, provider: ProviderConfig, site: str, state: Path, hub: Hall) -> None:
    """The link to an energy provider, until cancelled. Raises SignatureError."""
    home = _home(config, site, state)
    seat = hub.seat(Domain.GATEWAY)
    try:
        await ProviderLink(seat, provider, home, state).run()
    finally:
        seat.close()


def _home(config: Config, site: str, state: Path) -> Home:
    home_assistant = config.gateway.home_assistant
    return Home(
        site=site,
        exposure=config.gateway.exposure,
        profile=config.profile,
        declared=config.accept,
        config_hash=hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:12],
        live_s=config.meter.live_s,
        signer=signer(state / "gateway" / "signing-key.pem") if config.gateway.sign else None,
        log=None if config.gateway.log == "off" else config.gateway.log,
        discovery=home_assistant.prefix if home_assistant.enabled else "",
    )


async def run_metrics(config: Config, metrics: MetricsConfig, site: str, hub: Hall) -> None:
    """The house for Prometheus, until cancelled. Raises MetricsError."""
    lan = config.lan.interface or default_interface()
    seat = hub.seat(Domain.GATEWAY)
    try:
        await Exporter(seat, metrics, site, lan).run()
    finally:
        seat.close()


def links(config: Config, state: Path, hall: Hall) -> dict[str, Work]:
    """What is configured to reach out, by name; each is to be given the site."""
    found: dict[str, Work] = {}
    if (broker := config.gateway.broker) is not None:
        found["gateway"] = lambda site: run_gateway(config, broker, site, state, hall)
    if (provider := config.gateway.provider) is not None:
        found["provider"] = lambda site: run_provider(config, provider, site, state, hall)
    if (metrics := config.gateway.metrics) is not None:
        found["metrics"] = lambda site: run_metrics(config, metrics, site, hall)
    return found


async def while_there(uplink: Uplink, work: Work) -> None:
    """Do the work, given the site, whenever the hub is there, and end it when that is away for AWAY_S; for ever.

    Raises what the work raises.
    """
    while True:
        site = await uplink.here()
        gone = asyncio.create_task(uplink.gone(site, AWAY_S), name="hub away")
        working = asyncio.create_task(work(site), name="while the hub is there")
        try:
            await asyncio.wait((gone, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not working.done():
                working.cancel()
            await asyncio.wait((gone, working))
        if not working.cancelled():
            return working.result()
