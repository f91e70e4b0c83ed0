"""The domains as the daemon runs them: made from scratch at every start, their errors sorted for supervision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from socket import socket

from drivers.module import Credentials
from drivers.ports import PermanentPortError, PortError
from drivers.serialport import open_serial
from hemsd.daemon.config import MeterTable, find_port
from hemsd.daemon.credentials import CredentialsError, find_credentials, load_credentials
from hemsd.daemon.instance import AlreadyRunning, claim_meter
from hemsd.daemon.supervision import Kind
from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, MeterStatus, Trouble
from hemsd.routeb.cache import PanCache
from hemsd.routeb.collector import Collector, Pace
from hemsd.routeb.errors import RouteBError
from hemsd.routeb.meter import Meter


def kind_of(error: Exception) -> Kind:
    """What supervision is to make of a domain's error."""
    match error:
        case PermanentPortError() | CredentialsError() | AlreadyRunning():
            return Kind.PERMANENT
        case PortError() | RouteBError():
            return Kind.TRANSIENT
        case _:
            return Kind.UNEXPECTED


def trouble_of(error: Exception) -> Trouble:
    """What the house is told of an error that ended the meter's domain; nothing of a fault of ours."""
    match error:
        case RouteBError():
            return error.trouble
        case CredentialsError():
            return "credentials"
        case PortError() | AlreadyRunning():
            return "port"
        case _:
            return ""


class MeterDomain:
    """The meter's world: opens the port, joins the meter, collects."""

    def __init__(self, settings: MeterTable, state: Path, hub: Hub, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._cache = PanCache(state)
        self._hub = hub
        self._environ = environ
        self._meter: Meter | None = None
        self._known_as: str | None = None
        self._held: tuple[Credentials, socket] | None = None
        self._trouble: Trouble = ""

    def claim(self) -> Credentials:
        """The credentials, and their meter is ours from now on. Raises CredentialsError, AlreadyRunning."""
        credentials = load_credentials(find_credentials(self._settings.credentials, self._environ), self._environ)
        if self._held is None or self._held[0] != credentials:
            self.release()
            self._held = credentials, claim_meter(credentials)
        return credentials

    def release(self) -> None:
        """The meter is free for others. Safe to call twice."""
        if self._held is not None:
            self._held[1].close()
            self._held = None

    async def run(self) -> None:
        """Until the port is lost, or is not to be had: raises PortError, CredentialsError, AlreadyRunning."""
        try:
            await self._run()
        except Exception as error:
            self._trouble = trouble_of(error)
            raise

    async def _run(self) -> None:
        settings = self._settings
        pace = Pace(idle_s=settings.live_s, watched_s=settings.watched_s, energy_s=settings.energy_s)
        credentials = self.claim()
        port = await open_serial(find_port(settings.port))
        seat = self._hub.seat(Domain.ROUTEB)
        try:
            async with Meter(port, credentials, cache=self._cache, persist=True) as self._meter:
                await Collector(self._meter, seat, pace=pace).run()
        finally:
            if self._meter is not None:
                self._known_as = self._meter.name or None
                self._meter = None
            seat.close()
            await port.close()

    def failed(self, text: str) -> None:
        """Tell the house why there is no meter now."""
        seat = self._hub.seat(Domain.ROUTEB)
        seat.publish(
            MeterStatus(
                meter=self._known_as,
                online=False,
                stage="waiting",
                detail=text,
                trouble=self._trouble,
                since=datetime.now(UTC),
                port=self._settings.port,
            )
        )
        seat.close()

    def overdue_s(self) -> float:
        """How late its protocol machines are; 0 while there are none."""
        return 0.0 if self._meter is None else self._meter.overdue_s()


async def run_gateway(broker: BrokerConfig, site: str, hub: Hub) -> None:
    """The home gateway's world: the MQTT bridge, until cancelled."""
    seat = hub.seat(Domain.GATEWAY)
    try:
        await Bridge(seat, broker, site).run()
    finally:
        seat.close()
