"""A J11 session recorded, and played to the driver again: it must ask the same and hear the same."""

from __future__ import annotations

import asyncio
import io
from datetime import datetime

import pytest
from support.clock import run
from support.routeb import SimulatedPort
from support.skstack import GET_POWER

from drivers.anymodule import AnyModule
from drivers.j11.framing import REQUEST_CODE
from drivers.masking import MASKED, Masker
from drivers.module import (
    BeaconHeard,
    Command,
    Credentials,
    Datagram,
    Done,
    Event,
    Join,
    Joined,
    Open,
    Ready,
    Scan,
    Send,
    UseCredentials,
)
from drivers.ports import BytePort, Pump
from drivers.transcript import DialogueReplay, Recorder, TranscriptMismatch, read_transcript
from hemsd.simulator import Household, J11Module, Meter, Network

REAL = Credentials("0A1B2C3D4E5F60718293A4B5C6D7E8F9", "QWERTY123456")
NETWORK = Network(route_b_id=REAL.id, password=REAL.password, mac="0011223344556677")


async def session(port: BytePort, credentials: Credentials) -> list[Event]:
    """From opening to a reading, by what the driver itself hears."""
    engine, heard = AnyModule(), list[Event]()
    pump = Pump(engine, port, heard.append)
    pumping = asyncio.create_task(pump.run())
    await asyncio.sleep(0)

    async def do(command: Command, until: type[Event]) -> None:
        begun = len(heard)
        engine.command(command, asyncio.get_running_loop().time())
        pump.poke()
        while not any(isinstance(event, until) for event in heard[begun:]):
            if pumping.done():
                pumping.result()
            await asyncio.sleep(0.01)

    await do(Open(keep_session=False), Done)
    await do(UseCredentials(credentials), Done)
    await do(Scan(6), Done)
    [pan] = [event.pan for event in heard if isinstance(event, BeaconHeard)]
    await do(Join(pan), Joined)
    while not isinstance(heard[-1], Datagram):
        await asyncio.sleep(0.01)
    await do(Send(pan.address, GET_POWER), Datagram)
    pumping.cancel()
    return heard


async def recorded() -> tuple[list[Event], str]:
    module = J11Module(Meter(Household(7), start=datetime(2026, 10, 1, 12, 20)), NETWORK)
    file = io.StringIO()
    port = Recorder(SimulatedPort(module), file, Masker(REAL), clock=asyncio.get_running_loop().time)  # type: ignore[arg-type]
    heard = await session(port, REAL)
    await port.close()
    return heard, file.getvalue()


def test_a_recording_is_a_dialogue_for_the_masked_credentials() -> None:
    """Every frame asked for is the one recorded, sums included; the same happens, under other names."""

    async def main() -> None:
        lived, text = await recorded()
        for secret in (REAL.id, REAL.password, REAL.pairing_id):
            assert secret not in text
        transcript = read_transcript(text)
        assert not any(bytes.fromhex(NETWORK.mac) in record.data for record in transcript.records)
        assert sum(record.data.startswith(REQUEST_CODE) for record in transcript.records) > 10
        replay = DialogueReplay(transcript)
        heard = await session(replay, MASKED)
        await replay.finished()
        assert list(map(type, heard)) == list(map(type, lived))
        [ready] = [event for event in heard if isinstance(event, Ready)]
        assert ready.info.mac.startswith("00005EEF10")
        told = [[event.payload for event in each if isinstance(event, Datagram)] for each in (heard, lived)]
        assert told[0] == told[1]

    run(main())


def test_other_credentials_than_the_recorded_ones_are_not_shown() -> None:
    """A mismatch in 0054 says so without its bytes."""

    async def main() -> None:
        _, text = await recorded()
        replay = DialogueReplay(read_transcript(text))
        with pytest.raises(TranscriptMismatch, match=r"other credentials than those in the header$"):
            await session(replay, REAL)

    run(main())
