"""What stands for the hub in the process of one domain: places here, and one socket to it, whenever it is there."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from hemsd.hub.hub import Seat
from hemsd.hub.latest import Latest
from hemsd.hub.messages import Domain, Message
from hemsd.hub.queue import POLICIES, Queue
from hemsd.hub.routes import Routes
from hemsd.hub.wire import RemoteSeat, WireError, connect

FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0  # between two attempts to connect
SETTLED_S = 10.0  # having lasted this long, a connection makes the next delay the shortest again

_log = logging.getLogger("hemsd.hub")


class Uplink:
    """A hall for one domain; run() keeps it joined to the hub behind the socket at `path`, for ever.

    All its seats hear what the hub says, and of what one of them says what `routes` let its own domain hear; a new
    seat hears how things stand. While the hub is away what is said waits, bounded as for a seat that is slow. A hub
    that comes back may be a new process that knows nothing: it is told how things stand, then what has waited.

    What was on its way when a connection ended may be lost, and nothing here says it again. Half-hours the meter
    remembers, and history asks for those it misses whenever the meter comes online, as it does for a new hub. Whoever
    asked something asks again (hemsd.gateway.forward) or gives up in time (hemsd.gateway.requests). An Event is lost.
    A request that waited says itself until when it is good.

    `overhear` is told all that is said here. `clock` is monotonic, in seconds; `chance` (0 to 1) spreads the delays.
    """

    def __init__(
        self,
        path: str,
        domain: Domain,
        routes: Routes,
        *,
        overhear: Callable[[Message], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.lost: Counter[str] = Counter()
        self._path = path
        self._domain = domain
        self._echoed = {kind for (sender, kind), to in routes.items() if sender is domain and domain in to}
        self._overhear = overhear
        self._clock = clock
        self._chance = chance
        self._seats: list[Seat] = []
        self._heard, self._told = Latest(), Latest()
        self._waiting = Queue()
        self._remote: RemoteSeat | None = None
        self._site = ""
        self._away_since = clock()
        self._here, self._away = asyncio.Event(), asyncio.Event()
        self._away.set()

    # --- the hall

    def seat(self, domain: Domain) -> Seat:
        """Take a place of the one domain there is here. Raises ValueError for another one."""
        if domain is not self._domain:
            raise ValueError(f"this process speaks as {self._domain.value}, not as {domain.value}")
        seat = Seat(self, domain)
        for _, message in self._heard:
            seat.put(message)
        for _, message in self._told:
            if type(message) in self._echoed:
                seat.put(message)
        self._seats.append(seat)
        return seat

    def carry(self, message: Message, sender: Seat) -> None:
        """Say to the hub what a seat published, now or when it is there; never blocks."""
        self._overhear(message)
        self._told.note(message, self._domain)
        if type(message) in self._echoed:
            self._deliver(message, sender)
        if self._remote is not None:
            self._remote.publish(message)
        elif not self._waiting.put(message):
            self._lose("the hub", message)

    def leave(self, seat: Seat) -> None:
        """Forget a seat."""
        if seat in self._seats:
            self._seats.remove(seat)

    def _deliver(self, message: Message, sender: Seat | None = None) -> None:
        for seat in self._seats:
            if seat is not sender and not seat.put(message):
                self._lose(self._domain.value, message)

    def _lose(self, to: str, message: Message) -> None:
        kind = type(message).__name__
        self.lost[kind] += 1
        if self.lost[kind] == 1:
            _log.warning("%s does not keep up or is away: a %s was lost; others are counted, not told", to, kind)

    # --- whether the hub is there

    @property
    def away_s(self) -> float:
        """How long the hub has been away; 0 while it is there."""
        return 0.0 if self._here.is_set() else self._clock() - self._away_since

    async def here(self) -> str:
        """Wait for the hub, and give the site that it serves."""
        await self._here.wait()
        return self._site

    async def gone(self, site: str, for_s: float) -> None:
        """Wait until the hub of this site has been away for so long, or that of another site is there."""
        while self._site == site:
            await self._away.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    await self._here.wait()
            if not self._here.is_set():
                return

    # --- the connection

    async def run(self) -> None:
        """Connect, and again whenever that ends, until cancelled."""
        failures, told, complained = 0, "", False
        while True:
            began = self._clock()
            try:
                async with connect(self._path, self._waiting) as remote:
                    self._arrive(remote)
                    if complained:
                        _log.info("the hub is there")
                        complained = False
                    async for message in remote.messages():
                        self._heard.note(message, self._domain)
                        self._deliver(message)
            except WireError as error:
                if self._clock() - began > SETTLED_S:
                    failures, told = 0, ""
                if told != (told := str(error)):
                    _log.warning("the hub is away (%s); tried again until it is there", error)
                    complained = True
            finally:
                self._part()
            delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 16)) * (1 + self._chance()) / 2
            failures += 1
            await asyncio.sleep(delay_s)

    def _arrive(self, remote: RemoteSeat) -> None:
        self._remote = remote
        self._site = remote.site
        self._heard = Latest()  # it tells anew
        self._away.clear()
        self._here.set()

    def _part(self) -> None:
        """Get ready for a hub that knows nothing; what is said until it comes replaces what is put here."""
        if self._remote is None:
            return
        self._remote = None
        self._away_since = self._clock()
        self._here.clear()
        self._away.set()
        left, self._waiting = self._waiting, Queue()
        for _, latest in self._told:
            if POLICIES[type(latest)].latest_by is not None:  # a BackfillProgress is an answer to a hub that is gone
                self._waiting.put(latest)
        while (message := left.take()) is not None:
            if POLICIES[type(message)].latest_by is None:
                self._waiting.put(message)
