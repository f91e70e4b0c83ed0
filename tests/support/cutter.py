"""A TCP relay that cuts connections after bytes drawn from a seed, in either direction, in the middle of whatever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random


class Cutter:
    """Cuts so many connections, each when a number of bytes has passed one way; relays the following ones whole.

    `most` is the highest such number, to the broker and back.

    Sometimes the cut is clean, sometimes the other side is told a moment later or with a reset, as networks do.
    """

    def __init__(self, target: int, seed: int, cuts: int, most: tuple[int, int]) -> None:
        self.port = 0
        self.cut = 0  # connections so far
        self.left = cuts
        self._target = target
        self._random = Random(seed)
        self._most = most

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        limits: list[int | None] = [None, None]
        if self.left:
            self.left -= 1
            way = self._random.randrange(2)
            limits[way] = self._random.randint(1, self._most[way])
        passing = [
            asyncio.create_task(self._pass(reader, far_writer, limits[0])),
            asyncio.create_task(self._pass(far_reader, writer, limits[1])),
        ]
        try:
            over, _ = await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            self.cut += any(each.result() for each in over)
        finally:
            for task in passing:
                task.cancel()
            for each in (writer, far_writer):
                if self._random.random() < 0.5:
                    each.transport.abort()
                else:
                    each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> bool:
        """Relay until the end, or until `limit` bytes have passed; whether that was it."""
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if limit is not None and passed + len(data) >= limit:
                    writer.write(data[: limit - passed])
                    await writer.drain()
                    await asyncio.sleep(0)
                    return True
                passed += len(data)
                writer.write(data)
                await writer.drain()
        return False


@asynccontextmanager
async def cutter(target: int, seed: int, cuts: int, most: tuple[int, int]) -> AsyncIterator[Cutter]:
    """A relay to a port."""
    made = Cutter(target, seed, cuts, most)
    server = await asyncio.start_server(made.relay, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
