"""A real mosquitto on the loopback interface, and a subscriber that notes when it heard what."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

from aiomqtt import Client

from tests.benchmarks.processes import Failed, started

LISTENS_S = 5.0


class Heard(NamedTuple):
    """One message; `at` is on the machine's monotonic clock."""

    at: float
    topic: str
    payload: bytes


@asynccontextmanager
async def mosquitto() -> AsyncIterator[int]:
    """Start one; gives the port that it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with TemporaryDirectory() as directory:
        config = Path(directory) / "mosquitto.conf"
        # no bound on what waits for a subscriber: ours may be slower than who publishes, and is to miss nothing
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        async with started("mosquitto", "-c", str(config)):
            ends = monotonic() + LISTENS_S
            while not _listens(port):
                if monotonic() > ends:
                    raise Failed("mosquitto does not listen")
                await asyncio.sleep(0.02)
            yield port


def table(port: int) -> str:
    """The table of the configuration for this broker."""
    return f'[gateway.broker]\nurl = "mqtt://127.0.0.1:{port}"\n'


@asynccontextmanager
async def subscriber(port: int) -> AsyncIterator[list[Heard]]:
    """Hear all that hemsd says; the list grows until the end of the block."""
    heard: list[Heard] = []

    async def listen() -> None:
        async for message in client.messages:
            heard.append(Heard(monotonic(), str(message.topic), bytes(message.payload)))  # noqa: PERF401

    async with Client("127.0.0.1", port) as client:
        await client.subscribe("hemsd/#", qos=1)
        listening = asyncio.create_task(listen(), name="subscriber")
        try:
            yield heard
        finally:
            listening.cancel()
            await asyncio.wait([listening])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
