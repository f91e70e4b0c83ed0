"""When a request in the background may be made: apart from the one before it, and only while nobody goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import TracebackType

from hemsd.routeb.connection import Connection


class Turns(AbstractAsyncContextManager[None]):
    """`async with` it around each request: it is begun while online, `pace_s` after the end of the one before.

    None is begun within giving_way(); at most the one in flight is waited for.
    """

    def __init__(self, connection: Connection, pace_s: float) -> None:
        self._connection = connection
        self._pace_s = pace_s
        self._time = asyncio.get_running_loop().time
        self._next_at = float("-inf")
        self._ahead = 0  # of us
        self._way_free = asyncio.Event()

    async def __aenter__(self) -> None:
        if (pause_s := self._next_at - self._time()) > 0:
            await asyncio.sleep(pause_s)
        if not self._connection.is_online:
            await self._connection.online()
        if self._ahead:
            await self._way_free.wait()
            await self._connection.online()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next_at = self._time() + self._pace_s

    @contextmanager
    def giving_way(self) -> Iterator[None]:
        """No request is begun within."""
        self._ahead += 1
        try:
            yield
        finally:
            self._ahead -= 1
            if not self._ahead:
                self._way_free.set()  # even where the next one comes at once, one of us gets its turn
                self._way_free = asyncio.Event()
