"""One scenario on a real module and its meter: found out, scanned, joined, read, left; the dialogue is recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import pytest

from drivers.anymodule import AnyModule
from drivers.masking import Masker
from drivers.module import (
    BeaconHeard,
    Command,
    Credentials,
    Datagram,
    Done,
    Event,
    Join,
    Joined,
    JoinFailed,
    Leave,
    NoAnswer,
    Open,
    Pan,
    Ready,
    Refused,
    Scan,
    Send,
    SessionClosed,
    UseCredentials,
)
from drivers.ports import Pump
from drivers.serialport import open_serial
from drivers.transcript import Recorder
from hemsd.daemon.credentials import load_credentials

GET_POWER = bytes.fromhex("1081000105FF010288016201E700")
EventT = TypeVar("EventT", bound=Event)


class Bench:
    """The driver on the real line."""

    def __init__(self, port: Recorder) -> None:
        self.engine = AnyModule()
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self.pump = Pump(self.engine, port, self.heard.put_nowait)

    async def until(self, *kinds: type[Event], within_s: float) -> list[Event]:
        """The events up to the first of these kinds, which must come in time."""
        told: list[Event] = []
        async with asyncio.timeout(within_s):
            while not told or not isinstance(told[-1], kinds):
                told.append(await self.heard.get())
        return told

    async def do(self, command: Command) -> list[Event]:
        """Carry out a command; it must be done."""
        self.engine.command(command, asyncio.get_running_loop().time())
        self.pump.poke()
        told = await self.until(Done, Refused, NoAnswer, within_s=120)
        assert told[-1] == Done(command)
        return told


async def find(bench: Bench, credentials: Credentials) -> Pan:
    """Scan for longer and longer until the meter answers."""
    for duration in range(4, 9):
        told = await bench.do(Scan(duration))
        for event in told:
            if isinstance(event, BeaconHeard) and event.pan.pairing_id == credentials.pairing_id:
                return event.pan
    pytest.fail("no meter answered; is the antenna within 30 m of it, and are the credentials for it?")


async def test_a_real_module_reads_its_meter(pytestconfig: pytest.Config) -> None:
    """Open, scan, join, one reading and a gentle end; without --credentials only what the module itself can do."""
    options = pytestconfig.option
    credentials = load_credentials(options.credentials) if options.credentials else None
    record: Path = options.record
    with record.open("w", buffering=1) as sink:
        port = Recorder(await open_serial(options.port), sink, Masker(credentials))
        bench = Bench(port)
        pumping = asyncio.create_task(bench.pump.run())
        try:
            told = await bench.do(Open(keep_session=False))
            assert any(isinstance(event, Ready) for event in told)
            if credentials is not None:
                await read(bench, credentials)
        finally:
            pumping.cancel()
            await port.close()


async def read(bench: Bench, credentials: Credentials) -> None:
    await bench.do(UseCredentials(credentials))
    pan = await find(bench, credentials)
    await bench.do(Join(pan))
    told = await bench.until(Joined, JoinFailed, within_s=320)  # a J11 module tells of a refusal that late
    assert told[-1] == Joined(pan.address)
    await bench.do(Send(pan.address, GET_POWER))
    async with asyncio.timeout(20):
        while True:
            event = await bench.heard.get()
            if isinstance(event, Datagram) and event.payload[10:11] == b"\x72":
                break
    assert event.sender == pan.address
    assert event.secured
    await bench.do(Leave())
    await bench.until(SessionClosed, within_s=20)
