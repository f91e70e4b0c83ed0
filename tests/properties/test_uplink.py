"""An uplink through any order of hubs that come, go and hang, and of what is said meanwhile."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.hub import AT, METER, heard

from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import Domain, Event, MeterInterval, MeterReading
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.uplink import Uplink
from hemsd.hub.wire import Server

STEPS = st.lists(st.sampled_from(["interval", "reading", "come", "die", "settle", "turn"]), max_size=40)


class House:
    """One hub after the other behind one path, and an uplink to them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._uplink = Uplink(str(path), Domain.ROUTEB, ROUTES_6_4_3, chance=lambda: -0.999)  # at once
        self._seat = self._uplink.seat(Domain.ROUTEB)
        self._joining = asyncio.create_task(self._uplink.run())
        self._serving: asyncio.Task[None] | None = None
        self._hub = Hub(ROUTES_6_4_3)
        self._operator = self._hub.seat(Domain.OPERATOR)
        self._numbers = 0
        self._safe = 0  # numbers below may have been lost
        self._heard: list[int] = []
        self._power_w: int | None = None

    async def do(self, step: str) -> None:
        match step:
            case "interval":
                self._seat.publish(MeterInterval(meter=str(self._numbers), end=AT, source="read"))
                self._numbers += 1
            case "reading":
                self._power_w = self._numbers
                self._seat.publish(MeterReading(meter=METER, measured_at=AT, power_w=self._numbers))
            case "come" if self._serving is None:
                self._hub = Hub(ROUTES_6_4_3)
                self._operator = self._hub.seat(Domain.OPERATOR)
                self._serving = asyncio.create_task(self._serve(self._hub))
            case "die" if self._serving is not None:
                await self._die(self._serving)
            case "settle":
                await self.do("come")
                await self._settle(self._operator)
            case _:
                await asyncio.sleep(0.001)

    async def _serve(self, hub: Hub) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self._path))
            listening.listen()
            try:
                await Server(hub, Domain.ROUTEB, listening, peers_max=1).run()
            finally:
                self._path.unlink()

    async def _die(self, serving: asyncio.Task[None]) -> None:
        serving.cancel()
        await asyncio.wait([serving])
        self._serving = None
        if self._uplink.away_s == 0:  # it has yet to notice
            await self._uplink._away.wait()
            self._safe = self._numbers
        self._hear(await heard(self._operator))

    async def _settle(self, operator: Seat) -> None:
        last = Event(at=AT, source=Domain.ROUTEB, kind="x", severity="info", text=str(self._numbers))
        self._seat.publish(last)
        found = []
        async for message in operator.messages():
            found.append(message)
            if message == last:
                break
        self._hear(found)
        assert set(range(self._safe, self._numbers)) <= set(self._heard)
        told = [reading.power_w for reading in self._hub.latest(MeterReading)]
        assert told == ([] if self._power_w is None else [self._power_w])

    def _hear(self, messages: list[object]) -> None:
        self._heard += [int(each.meter) for each in messages if isinstance(each, MeterInterval)]
        assert self._heard == sorted(set(self._heard))  # in order, none twice

    async def end(self) -> None:
        await self.do("settle")
        assert self._serving is not None
        for task in (self._joining, self._serving):
            task.cancel()
        await asyncio.wait([self._joining, self._serving])


@given(STEPS)
@settings(max_examples=60)
def test_half_hours_keep_their_order_and_the_hub_knows_how_things_stand(steps: list[str]) -> None:
    """None comes twice; what was said after the last connection ended is there, and the newest reading always."""

    async def live() -> None:
        with tempfile.TemporaryDirectory() as directory:
            house = House(Path(directory) / "hub.sock")
            async with asyncio.timeout(20):
                for step in steps:
                    await house.do(step)
                await house.end()

    asyncio.run(live())
