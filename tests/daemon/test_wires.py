"""What leads to the meter as it is configured, and what is waited for when it is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.clock import run
from support.daemon import PASSWORD, ROUTE_B_ID
from support.drivers import pseudo_terminal
from support.netns import street

from drivers import interface, usb
from drivers.ports import (
    PortBusy,
    PortDenied,
    PortError,
    PortLost,
    PortMissing,
    PortUnclear,
)
from drivers.udp import UdpPort
from hemsd.daemon.config import MeterTable
from hemsd.daemon.credentials import CredentialsError
from hemsd.daemon.wires import back_again, open_wire
from hemsd.routeb.ip import IpMeter


async def test_a_serial_port_needs_credentials(tmp_path: Path) -> None:
    """They are looked at before the port is touched; what is on the port, the connection finds out."""
    path = tmp_path / "credentials.toml"
    with pseudo_terminal() as pty:
        settings = MeterTable(port=pty.path, credentials=str(path))
        with pytest.raises(CredentialsError):
            await open_wire(settings, {})
        path.touch(0o600)
        path.write_text(f'id = "{ROUTE_B_ID}"\npassword = "{PASSWORD}"\n')
        wire = await open_wire(settings, {})
        assert (wire.port.name, wire.module) == (pty.path, None)
        assert wire.credentials is not None and wire.credentials.id == ROUTE_B_ID
        await wire.port.close()


@pytest.mark.needs("ip", "root")
async def test_an_interface_needs_none() -> None:
    """The machine for packets on the port for packets; not one file is looked at."""
    with street():
        wire = await open_wire(MeterTable(interface="wl", credentials="/nonexistent"), {})
        assert isinstance(wire.port, UdpPort) and isinstance(wire.module, IpMeter)
        assert wire.credentials is None
        await wire.port.close()


@pytest.mark.parametrize("settings", [MeterTable(), MeterTable(interface="wl")], ids=["serial", "interface"])
@pytest.mark.parametrize(
    ("error", "returns"),
    [(PortMissing, True), (PortLost, True), (PortUnclear, True), (PortBusy, False), (PortDenied, False)],
)
def test_only_what_is_absent_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, settings: MeterTable, error: type[PortError], returns: bool
) -> None:
    """A stick plugged in, an interface switched on; that a port is held or forbidden nobody tells us the end of."""
    waited: list[object] = []

    async def comes(what: object) -> None:
        waited.append(what)

    monkeypatch.setattr(usb, "plugged", comes)
    monkeypatch.setattr(interface, "usable", comes)

    async def main() -> None:
        try:
            await asyncio.wait_for(back_again(settings, error("wl", "")), 1e6)
        except TimeoutError:
            assert not returns
        else:
            assert returns
        assert len(waited) == returns
        assert not waited or (waited == ["wl"]) == (settings.interface is not None)

    run(main())
