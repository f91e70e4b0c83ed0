"""Third-party programs as processes on hosts of their own, and ourselves on the same segment."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drivers.packet import Packet
from drivers.ports import Pump
from drivers.udp import UdpPort, open_udp
from hemsd.appliances.events import Answered, Appliance, NetworkEvent, Settled, Told
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from hemsd.echonet.classes.device import Scalar
from hemsd.echonet.classes.views import normal
from support.netns import Namespace

INTEROP = Path(__file__).parents[1] / "interop"
PACKAGES = Path(__file__).parents[2] / ".cache/npm/node_modules"  # as tests/packages.sh installs them
WITHIN_S = 30.0
LINE_MAX = 1 << 20


class Peer:
    """A program that prints what happens to it, and does what it is told: a JSON object a line, both ways."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.said: list[dict[str, Any]] = []
        self._process = process
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="peer")

    async def says(
        self, suits: Callable[[dict[str, Any]], object], since: int = 0, *, within_s: float = WITHIN_S
    ) -> dict[str, Any]:
        """Wait for a line that suits, said or still to be said."""
        async with asyncio.timeout(within_s):
            while True:
                for line in self.said[since:]:
                    if suits(line):
                        return line
                assert not self._reading.done(), f"it ended after {self.said[-5:]}"
                self._news.clear()
                await self._news.wait()

    async def does(self, what: str, *words: Any) -> Any:
        """Have it do something, and wait for what came of it."""
        number = next(self._numbers)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": number, "do": what, "words": words}).encode() + b"\n")
        line = await self.says(lambda line: line.get("number") == number)
        assert "error" not in line, line["error"]
        return line["result"]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(json.loads(line))
            self._news.set()
        self._news.set()

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def peer(host: Namespace, script: str, *words: str) -> AsyncIterator[Peer]:
    """A script of tests/interop/peers on a host, from the time when it says that it is ready."""
    path = INTEROP / "peers" / script
    program = ["node"] if path.suffix == ".js" else [sys.executable]
    paths = {"NODE_PATH": str(PACKAGES), "PYTHONPATH": str(path.parent / "standin")}
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", host.name, *program, str(path), *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_MAX,
        env=os.environ | paths,
    )
    running = Peer(process)
    try:
        await running.says(lambda line: line.get("ready"))
        yield running
    finally:
        await running.stop()


class Listening(Network):
    """Keeps what it hears and says."""

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__(*settings, **more)
        self.heard: list[Packet] = []
        self.said: list[Packet] = []

    def receive(self, packet: Packet, now: float) -> bool:
        self.heard.append(packet)
        return super().receive(packet, now)

    def outgoing(self) -> Sequence[Packet]:
        outgoing = super().outgoing()
        self.said += outgoing
        return outgoing


class Home:
    """Our own network on its real port: what it told, and what is known of each appliance."""

    def __init__(self, port: UdpPort) -> None:
        self.network = Listening(
            NetworkSettings(name="home"),
            own=Addresses(port.ipv4, port.address or None),
            remembered=Remembered(),
            ourselves=OwnNode(unique=bytes(range(1, 14))),
            chance=lambda: 0.5,
        )
        self.told: list[NetworkEvent] = []
        self.known: dict[str, Mapping[int, bytes]] = {}  # by id of the appliance
        self.pump: Pump[Any, NetworkEvent] = Pump(self.network, port, self._hear)
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something to become true by what the network tells."""
        async with asyncio.timeout(WITHIN_S):
            while not (result := condition()):
                self._news.clear()
                await self._news.wait()
        return result

    async def finds(self, eoj: int, address: str) -> Appliance:
        """An appliance at an address, its maps read."""

        def found() -> Appliance | None:
            for each in self.network.appliances():
                if (each.device.eoj, each.address) == (eoj, address) and each.known and each.online:
                    return each
            return None

        appliance: Appliance = await self.until(found)
        return appliance

    async def reads(self, appliance: Appliance, *words: str) -> dict[str, Scalar]:
        """Wait until these words of the common language are known, and give them as they are now."""

        def values() -> dict[str, Scalar]:
            known = normal(appliance.device, self.known.get(appliance.id, {}))
            return {word: known[word] for word in words} if all(word in known for word in words) else {}

        result: dict[str, Scalar] = await self.until(values)
        return result

    async def sets(self, appliance: Appliance, **values: Scalar) -> Settled:
        """Order something, and wait for what becomes of it."""
        command = f"c{next(self._numbers)}"
        self.network.order(command, appliance.id, values)
        self.pump.poke()
        settled: Settled = await self.until(lambda: self.first(Settled, lambda event: event.command == command))
        return settled

    async def asks(self, appliance: Appliance, *epcs: int) -> dict[int, str]:
        """Read properties now: EDTs in hexadecimal, or why there is none."""
        query = f"q{next(self._numbers)}"
        self.network.query(query, appliance.id, epcs)
        self.pump.poke()
        await self.until(lambda: self.first(Answered, lambda event: event.query == query and event.last))
        answers = [event for event in self.told if isinstance(event, Answered) and event.query == query]
        return {event.epc: event.error if event.edt is None else event.edt.hex() for event in answers}

    def frames(self, address: str, eoj: int) -> list[bytes]:
        """What an object there said so far: each frame from its ESV on."""
        seoj = eoj.to_bytes(3, "big")
        heard = [packet.payload for packet in self.network.heard if packet.address == address]
        return [payload[10:] for payload in heard if payload[4:7] == seoj]

    def by_hand(self, appliance: Appliance, epc: int) -> Told | None:
        """The latest telling that somebody else changed this property."""
        told = [event for event in self.told if isinstance(event, Told) and event.appliance.id == appliance.id]
        return next((event for event in reversed(told) if epc in event.by_hand), None)

    def first(self, kind: type[Any], suits: Callable[[Any], object]) -> Any:
        return next((event for event in self.told if isinstance(event, kind) and suits(event)), None)

    def _hear(self, event: NetworkEvent) -> None:
        self.told.append(event)
        if isinstance(event, Told):
            self.known[event.appliance.id] = {key: edt for key, (edt, _, _) in event.known.items()}
        self._news.set()


@asynccontextmanager
async def at_home(host: Namespace) -> AsyncIterator[Home]:
    """We on a host, listening to both families."""
    with host.entered():
        port = open_udp("wl", ipv4=True, ipv6=True)
        home = Home(port)
        running = asyncio.create_task(home.pump.run(), name="home")
        await asyncio.sleep(0)  # the port looks at its interface, from where it is
    try:
        yield home
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.wait([running])
        await port.close()
