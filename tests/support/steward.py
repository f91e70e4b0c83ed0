"""A steward on a network that does what a test says, over a port in memory; in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from drivers.packet import Packet
from drivers.ports import PortError
from hemsd.appliances import memory, steward
from hemsd.appliances.events import Appliance, NetworkEvent
from hemsd.appliances.memory import Remembered, RememberedAppliance, RememberedNode
from hemsd.appliances.network import NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from hemsd.appliances.steward import Plan, Steward
from hemsd.appliances.telling import Label
from hemsd.appliances.wellbeing import Wellbeing
from hemsd.echonet.frame import ESV, Frame, Property
from hemsd.echonet.objects import CONTROLLER, NODE_PROFILE
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Message
from hemsd.hub.routes import ROUTES_6_4_3
from support.telling import appliance

M = TypeVar("M", bound=Message)

EPOCH = datetime(2026, 11, 26, tzinfo=UTC)


class FakePort:
    """A DatagramPort on which nothing passes."""

    name, address, ipv4 = "eth1", "fe80::1", "192.0.2.1"

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.closed = False

    def start(self, on_packet: Callable[[Packet], None], on_lost: Callable[[PortError], None]) -> None:
        self.receive, self.lose = on_packet, on_lost

    def write(self, packet: Packet) -> None:
        raise AssertionError("nothing is sent here")

    def configure(self, line: object) -> None:
        raise AssertionError("there is no line here")

    async def close(self) -> None:
        self.closed = True


class FakeNetwork:
    """Remembers what it was asked, tells what it is told to."""

    def __init__(
        self,
        settings: NetworkSettings,
        *,
        own: Any,
        remembered: Remembered,
        ourselves: OwnNode,
        chance: Callable[[], float],
    ) -> None:
        self.own, self.remembered, self.ourselves = own, remembered, ourselves
        self.counted: Counter[str] = Counter()
        self.asked: list[tuple[Any, ...]] = []
        self.due: float | None = None
        self.nodes = list(remembered.nodes)
        self.says: list[NetworkEvent] = []

    def receive(self, packet: Packet, now: float) -> bool:
        return True

    def tick(self, now: float) -> None:
        self.due = None

    def deadline(self) -> float | None:
        return self.due

    def outgoing(self) -> Sequence[Packet]:
        return []

    def events(self) -> Sequence[NetworkEvent]:
        says, self.says = self.says, []
        return says

    def counters(self) -> Counter[str]:
        return self.counted

    def query(self, *asked: Any) -> None:
        self.asked.append(("query", *asked))

    def order(self, *asked: Any, from_outside: bool) -> None:
        self.asked.append(("order", *asked, from_outside))

    def identify(self, *asked: Any) -> None:
        self.asked.append(("identify", *asked))

    def forget(self, *asked: Any) -> None:
        self.asked.append(("forget", *asked))

    def appliances(self) -> list[Appliance]:
        return [
            appliance(node.identity, kept.device, serial=kept.serial, online=False, heard_at=None, since=0.0)
            for node in self.nodes
            for kept in node.appliances
        ]

    def remember(self) -> dict[str, Any]:
        return memory.plain(self.nodes, (), b"\x00")

    def knows(self, *appliances: Appliance) -> None:
        """From now on it remembers these."""
        for each in appliances:
            kept = RememberedAppliance.of(each.device, each.serial, known=each.known)
            self.nodes.append(RememberedNode(identity=each.id, addresses=[each.address], appliances=[kept]))

    @property
    def number(self) -> bytes:
        """What others know us by (EPC 83)."""
        asked = Frame(1, CONTROLLER, NODE_PROFILE, ESV.GET, (Property(0x83),))
        (answer,) = self.ourselves.answer(asked, lambda: 1)
        return answer.frame.properties[0].edt


class Stewarded:
    """One steward in a hub; `heard` is what the operator hears, with the time of it."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch, *labels: Label, **more: Any) -> None:
        self.hub: Hub = more.pop("hub", None) or Hub(ROUTES_6_4_3, clock=now)
        self.networks: list[FakeNetwork] = []
        self.ports: list[FakePort] = []
        self.refusal: PortError | None = None  # what opening the port raises
        self.heard: list[tuple[float, Message]] = []
        self.set_back_s = 0.0  # the wall clock
        self.back = asyncio.Event()  # the interface is
        name = more.pop("name", "home")
        settings = NetworkSettings(name=name)
        self._name = name
        self._interface = "eth1" if name == "home" else f"eth-{name}"
        self._others = steward.Network, steward.open_udp  # of a house beside this one, perhaps
        monkeypatch.setattr(steward, "Network", self._network)
        monkeypatch.setattr(steward, "open_udp", self._open)
        monkeypatch.setattr(steward, "usable", self._usable)
        plan = Plan(settings=settings, maker="FFFFFF", interface=self._interface, ipv4=True, ipv6=True, labels=labels)
        self.seat = self.hub.seat(Domain.APPLIANCES)
        self.control = self.hub.seat(Domain.CONTROL)
        self.steward = Steward(
            plan,
            self.seat,
            state,
            more.pop("wellbeing", None) or Wellbeing(),
            {},
            clock=self.wall,
            chance=lambda: 0.5,
        )
        self.networks.clear()  # what is only made to be looked at

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=now() - self.set_back_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """One run, its begin over."""
        listening = asyncio.create_task(self._hear())
        run = asyncio.create_task(self.steward.run())
        await asyncio.sleep(0.001)
        try:
            yield run
        finally:
            run.cancel()
            await asyncio.wait([run])
            await asyncio.sleep(0.001)
            listening.cancel()

    @property
    def network(self) -> FakeNetwork:
        return self.networks[-1]

    async def tell(self, *events: NetworkEvent) -> None:
        """Something happens on the network."""
        self.network.says += events
        self.ports[-1].receive(Packet("192.0.2.7", b"something"))
        await asyncio.sleep(0.001)

    async def order(self, message: Message) -> None:
        self.control.publish(message)
        await asyncio.sleep(0.001)

    def of(self, kind: type[M]) -> list[M]:
        """What was heard of one kind."""
        return [message for _, message in self.heard if isinstance(message, kind)]

    def times(self, kind: type[Message]) -> list[float]:
        return [at for at, message in self.heard if isinstance(message, kind)]

    async def _hear(self) -> None:
        seat = self.hub.seat(Domain.OPERATOR)
        async for message in seat.messages():
            self.heard.append((round(now(), 3), message))

    def _network(self, settings: NetworkSettings, **more: Any) -> Any:
        if settings.name != self._name:
            return self._others[0](settings, **more)
        self.networks.append(network := FakeNetwork(settings, **more))
        return network

    def _open(self, interface: str, **options: Any) -> Any:
        if interface != self._interface:
            return self._others[1](interface, **options)
        assert options == {"ipv4": True, "ipv6": True, "without": None}
        if self.refusal is not None:
            raise self.refusal
        self.ports.append(port := FakePort())
        return port

    async def _usable(self, interface: str, **families: bool) -> None:
        await self.back.wait()


def now() -> float:
    return asyncio.get_running_loop().time()


def kept(state: Path, network: str = "home") -> Mapping[str, Any]:
    """What is in the file of a network."""
    found: Mapping[str, Any] = json.loads((state / f"appliances-{network}.json").read_text())
    return found
