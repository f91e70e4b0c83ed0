"""One network of appliances on its port and in the hub: what is heard becomes messages, orders become frames.

A steward outlives its port: when that is lost a run ends, supervision begins another, and what is known stays known.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from drivers.interface import usable
from drivers.packet import Packet
from drivers.ports import PortError, PortLost, PortMissing, Pump
from drivers.udp import UdpPort, open_udp
from hemsd.appliances.events import Changed, Forgotten, NetworkEvent, Settled
from hemsd.appliances.keeping import Keeping, unique_number
from hemsd.appliances.ledger import Ledger
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from hemsd.appliances.telling import Label, Teller
from hemsd.appliances.wellbeing import Part, Wellbeing
from hemsd.hub.hub import Place
from hemsd.hub.messages import ApplianceCommand, ApplianceQuery, Message

GATHER_S = 0.25  # what is told within this time goes out as one ApplianceState
HEALTH_SOON_S = 10.0  # after the start of a run, by when most of what is there has been found,
HEALTH_S = 60.0  # and from then on
KEEP_S = 60.0  # from a change until it is written down
CLOCK_STEP_S = 0.05  # so far the wall clock may be off before times are told by a new reckoning

log = logging.getLogger(__name__)


class Plan(Struct, frozen=True, kw_only=True):
    """A network as it is configured."""

    settings: NetworkSettings
    maker: str  # 6 hexadecimal digits, for our own node
    interface: str
    ipv4: bool
    ipv6: bool
    labels: tuple[Label, ...] = ()
    meter: str | None = None  # its address, where it is on this interface with a socket of its own


class _LoggedNetwork(Network):
    """The same, with every datagram in the log, at level debug."""

    def receive(self, packet: Packet, now: float) -> bool:
        log.debug("from %s: %s", packet.address, packet.payload.hex().upper())
        return super().receive(packet, now)

    def outgoing(self) -> Sequence[Packet]:
        outgoing = super().outgoing()
        for packet in outgoing:
            log.debug("to %s: %s", packet.address, packet.payload.hex().upper())
        return outgoing


class Run(Struct, frozen=True):
    """A network on a port that is open."""

    network: Network
    port: UdpPort
    pump: Pump[Packet, NetworkEvent]


class Steward:
    """Runs one network; `wellbeing` and `owners` (see Ledger) are shared by all of them.

    `clock` is the wall clock; all waiting is on the event loop's.
    """

    def __init__(
        self,
        plan: Plan,
        seat: Place,
        state: Path,
        wellbeing: Wellbeing,
        owners: dict[str, str],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._plan = plan
        self._seat = seat
        self._wellbeing = wellbeing
        self._clock = clock
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._reckoning = clock().timestamp() - self._loop.time()
        self._ledger = Ledger(Teller(self.name, plan.labels, self._utc), owners)
        self._keeping = Keeping(state, self.name)
        self._remembered = Remembered.restored(self._keeping.load())
        self._unique = unique_number(state)
        remembered = self._network(Addresses(None, None)).appliances()
        self._ledger.begin(remembered, self._loop.time())  # told when a run begins, or fails to
        self._running: Run | None = None
        self._counted = Counter[str]()  # in the runs before
        self._gathered: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()  # something that is to be kept
        wellbeing.watch(self.name, self._part)

    @property
    def name(self) -> str:
        """Of its network."""
        return self._plan.settings.name

    async def run(self) -> None:
        """Until the port is lost. Raises PortError."""
        plan = self._plan
        port = open_udp(plan.interface, ipv4=plan.ipv4, ipv6=plan.ipv6, without=plan.meter)
        lost: BaseException | None = None
        try:
            network = self._network(Addresses(port.ipv4, port.address or None))
            self._running = run = Run(network, port, Pump(network, port, self._hear))
            self._publish(*self._ledger.begin(network.appliances(), self._loop.time()))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run.pump.run(), name=f"{self.name}: packets")
                tasks.create_task(self._listen(), name=f"{self.name}: orders")
                tasks.create_task(self._beat(), name=f"{self.name}: health")
                tasks.create_task(self._keep(network), name=f"{self.name}: memory")
        except* PortError as errors:
            lost = errors.exceptions[0]  # to raise it here would wrap it again in Python before 3.11.4
        finally:
            await port.close()
            self._end()
        if lost is not None:
            raise lost

    async def sooner(self, error: Exception) -> None:
        """Wait for a reason to run again at once; whoever orders something meanwhile hears that it cannot be done."""
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(), name=f"{self.name}: orders")
            if isinstance(error, PortLost | PortMissing):
                await usable(self._plan.interface, ipv4=self._plan.ipv4, ipv6=self._plan.ipv6)
            else:
                await self._loop.create_future()
            listening.cancel()

    def failed(self, text: str) -> None:
        """Tell the house that the network is down, and why."""
        self._publish(*self._ledger.down(text, self._loop.time()))
        self._publish(self._wellbeing.health(self._clock()))

    def overdue_s(self) -> float:
        """How late its protocol machine is; 0 while there is none."""
        return 0.0 if self._running is None else self._running.pump.overdue_s()

    # --- the network

    def _network(self, own: Addresses) -> Network:
        plan, remembered = self._plan, self._remembered
        ourselves = OwnNode(maker=plan.maker, unique=self._unique, location=remembered.location)
        kind = _LoggedNetwork if log.isEnabledFor(logging.DEBUG) else Network
        return kind(plan.settings, own=own, remembered=remembered, ourselves=ourselves, chance=self._chance)

    def _hear(self, event: NetworkEvent) -> None:
        told = self._ledger.hear(event, self._loop.time())
        if isinstance(event, Settled):
            self._tell_states()  # who is told of what became of an order sees it there already
        self._publish(*told)
        self._gather()
        if isinstance(event, Changed | Forgotten):
            self._changed.set()

    def _gather(self) -> None:
        """Tell states soon: what comes in a moment goes with them."""
        if self._gathered is None and self._ledger.gathering:
            self._gathered = self._loop.call_later(GATHER_S, self._tell_states)

    def _tell_states(self) -> None:
        if self._gathered is not None:
            self._gathered.cancel()
            self._gathered = None
        self._publish(*self._ledger.states(self._loop.time()))

    def _end(self) -> None:
        if (run := self._running) is None:
            return
        self._counted, self._running = self._counters(), None
        self._tell_states()
        self._publish(*self._ledger.end())
        kept = run.network.remember()
        self._remembered = Remembered.restored(kept)
        if (content := self._keeping.draft(kept)) is not None:
            self._keeping.write(content)

    # --- the house

    async def _listen(self) -> None:
        async for message in self._seat.messages():
            match message:
                case ApplianceCommand() if self._ledger.has(message.appliance):
                    self._order(message)
                case ApplianceQuery() if self._ledger.has(message.appliance):
                    self._query(message)
                case _:
                    pass  # of another network

    def _order(self, command: ApplianceCommand) -> None:
        if (refusal := self._ledger.order(command, self._clock())) is not None:
            self._publish(refusal)
        elif self._running is not None:
            network = self._running.network
            match command.operation:
                case "set":
                    network.order(
                        command.command, command.appliance, command.values, from_outside=command.from_outside
                    )
                case "identify":
                    network.identify(command.command, command.appliance)
                case "forget":
                    network.forget(command.command, command.appliance)
            self._running.pump.poke()
            self._tell_states()  # at once: what changes after that, as ordered, is seen to be its doing

    def _query(self, query: ApplianceQuery) -> None:
        epcs, answers = self._ledger.query(query)
        self._publish(*answers)
        if self._running is not None and self._ledger.is_open(query.query):
            self._running.network.query(query.query, query.appliance, epcs)
            self._running.pump.poke()

    async def _beat(self) -> None:
        pause_s = HEALTH_SOON_S
        while True:
            reckoning = self._clock().timestamp() - self._loop.time()
            if abs(reckoning - self._reckoning) > CLOCK_STEP_S:  # it was set
                self._reckoning = reckoning
            self._publish(self._wellbeing.health(self._clock()))
            await asyncio.sleep(pause_s)
            pause_s = HEALTH_S

    def _part(self) -> Part:
        """How this network is doing."""
        return Part(self._ledger.trouble, {**self._ledger.counters, **self._counters()})

    def _counters(self) -> Counter[str]:
        """What became of frames and packets since the start."""
        if self._running is None:
            return self._counted
        dropped = Counter({f"dropped: {why}": n for why, n in self._running.port.dropped.items()})
        return self._counted + self._running.network.counters() + dropped

    async def _keep(self, network: Network) -> None:
        """Write down what is known, some time after it changed."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(KEEP_S)
            self._changed.clear()
            if (content := self._keeping.draft(network.remember())) is not None:
                await asyncio.to_thread(self._keeping.write, content)

    def _publish(self, *messages: Message) -> None:
        for message in messages:
            self._seat.publish(message)

    def _utc(self, at: float) -> datetime:
        """From the loop's clock."""
        return datetime.fromtimestamp(self._reckoning + at, UTC)
