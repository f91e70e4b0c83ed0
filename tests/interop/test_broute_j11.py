"""An independent driver, PyPI's broute-j11, and our own read the same simulated J11 module through a real tty."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from broute_j11 import AuthenticationError, J11Session, MeterReading, SerialTransport, SessionConfig

from drivers.module import Credentials
from drivers.serialport import open_serial
from hemsd.hub.messages import MeterReading as OurReading
from hemsd.routeb.meter import Meter
from hemsd.simulator import Household, J11Module, Network, Timing
from hemsd.simulator import Meter as SimulatedMeter
from hemsd.simulator.pty import serve_on_pty

START = datetime(2026, 10, 1, 12, 30, 1)
NETWORK = Network()


def simulated() -> J11Module:
    return J11Module(SimulatedMeter(Household(7, pv_kw=4), start=START), NETWORK, timing=Timing.fast())


def session(path: str, password: str = NETWORK.password) -> J11Session:
    """Theirs; its scan need not be as long as in a real home, and it waits 45 s for a refusal."""
    return J11Session(SerialTransport(path), SessionConfig(NETWORK.route_b_id, password, scan_duration=6))


async def read_by_them(path: str) -> MeterReading:
    async with asyncio.timeout(20), session(path) as theirs:
        return await theirs.async_read_meter()


async def read_by_us(path: str) -> OurReading:
    port = await open_serial(path)
    async with asyncio.timeout(20), Meter(port, Credentials(NETWORK.route_b_id, NETWORK.password)) as meter:
        return await meter.read_live()


def agree(theirs: MeterReading, ours: OurReading) -> None:
    """Both saw the same household, seconds apart."""
    assert theirs.instantaneous_power is not None
    assert ours.power_w is not None
    assert abs(theirs.instantaneous_power - ours.power_w) < 500
    assert theirs.cumulative_forward_energy is not None
    assert ours.energy_import_kwh is not None
    assert float(theirs.cumulative_forward_energy) == pytest.approx(ours.energy_import_kwh, abs=0.11)


async def test_both_drivers_read_the_same_module() -> None:
    """Theirs, then ours, then theirs again: each finds the module as the other left it; nothing goes in plaintext."""
    module = simulated()
    async with serve_on_pty(module, paced=False) as path:
        theirs = await read_by_them(path)
        agree(theirs, await read_by_us(path))
        agree(await read_by_them(path), await read_by_us(path))
    assert module.plaintext == []


async def test_they_learn_of_a_wrong_password() -> None:
    """6028 with 02 is a refusal to them too."""
    async with serve_on_pty(simulated(), paced=False) as path:
        with pytest.raises(AuthenticationError):
            async with asyncio.timeout(20), session(path, "A" * 12):
                pass
