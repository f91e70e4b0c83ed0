"""The wire to the meter as it is configured: which port, what drives it, and when it may be there again."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.module import Credentials, Module
from drivers.ports import Port, PortLost, PortMissing, PortUnclear
from hemsd.daemon.config import MeterTable, find_port
from hemsd.daemon.credentials import find_credentials, load_credentials


@dataclass(frozen=True, slots=True)
class Wire:
    """A port, open, and what routeb.meter.Meter needs to use it; what is on a serial one, it finds out itself."""

    port: Port[Any]
    credentials: Credentials | None = None  # None where the link has none of ours
    module: Module[Any] | None = None


async def open_wire(
    settings: MeterTable,
    environ: Mapping[str, str] = os.environ,
    *,
    overlaid: bool = False,
    dropped: Counter[str] | None = None,
) -> Wire:
    """Open the network interface or the serial port that leads to the meter. Raises PortError, CredentialsError.

    Where it is `overlaid`, with appliances on the same interface, the port is for the named peer alone. What comes in
    by an interface and is not handed on, `dropped` counts.
    """
    if settings.interface is not None:
        from drivers.udp import open_udp  # here and below, because a home has one or the other
        from hemsd.routeb.ip import IpMeter

        port = open_udp(settings.interface, only=settings.peer if overlaid else None, dropped=dropped)
        return Wire(port, module=IpMeter(port.address, peer=settings.peer))
    from drivers.serialport import open_serial

    credentials = load_credentials(find_credentials(settings.credentials, environ), environ)
    return Wire(await open_serial(find_port(settings.port)), credentials)


async def back_again(settings: MeterTable, error: Exception) -> None:
    """Wait until the port whose loss or absence this error tells may be there again; for ever with other errors.

    A port that is unclear is one that is absent, where the others that there are were never meant.
    """
    if not isinstance(error, PortLost | PortMissing | PortUnclear):
        await asyncio.get_running_loop().create_future()
    elif settings.interface is not None:
        from drivers.interface import usable

        await usable(settings.interface)
    else:
        from drivers.usb import plugged

        await plugged(lambda: find_port(settings.port))
