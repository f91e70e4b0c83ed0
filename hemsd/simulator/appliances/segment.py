"""A network link in memory, on a virtual clock: nodes, controllers, and a wire that loses, doubles and reorders.

>>> segment = Segment(nodes, loses_one_of=3, seed=7)
>>> segment.join(controller, "192.168.1.5", Packet)
>>> segment.run(60.0)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, NamedTuple, Protocol

from hemsd.simulator.agenda import Agenda
from hemsd.simulator.appliances.node import ApplianceNode, Said
from hemsd.simulator.appliances.temper import ECHONET_PORT

EVERYONE = frozenset(("224.0.23.0", "ff02::1", "255.255.255.255"))
TRAVELS_S = 0.001
LATE_S = 0.5  # at most, of a datagram that others overtake
KEPT = 100_000  # datagrams that can be looked at afterwards


class Passed(NamedTuple):
    at: float
    said: Said


class Machine(Protocol):
    """A controller: what goes out has an `address`, one of EVERYONE for all, and a `payload`."""

    def receive(self, item: Any, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def outgoing(self) -> Iterable[Any]: ...


class Segment:
    """Time begins at 0. All shares are drawn from the seed, anew for each receiver of a datagram.

    `loses_one_of` n: of every n datagrams in a row between two hosts, either way, one is lost. `loses`, `doubles` and
    `overtakes`: the share (0-1) that is lost, comes twice, or so late that others overtake it. All may be changed
    while it runs.
    """

    def __init__(
        self,
        nodes: Iterable[ApplianceNode] = (),
        *,
        loses_one_of: int = 0,
        loses: float = 0.0,
        doubles: float = 0.0,
        overtakes: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.loses_one_of = loses_one_of
        self.loses = loses
        self.doubles = doubles
        self.overtakes = overtakes
        self.cut: set[str] = set()  # addresses that nothing reaches or leaves
        self.passed: deque[Passed] = deque(maxlen=KEPT)  # what was sent, lost or not
        self._agenda = Agenda()
        self._chance = Random(seed)  # noqa: S311 (a simulation, no secret)
        self._losses: dict[frozenset[_Host], _Losses] = {}
        self._hosts: dict[_Host, tuple[str, ...]] = {}  # and the addresses at which each is found
        self._owners: dict[str, _Host] = {}
        self._wakes: dict[_Host, float] = {}
        for node in nodes:
            self.add(node)

    @property
    def now(self) -> float:
        return self._agenda.now

    def add(self, node: ApplianceNode) -> None:
        """Plug a node in; it lives from now on."""
        self._plug(_Host(node))

    def join(self, machine: Machine, address: str, packet: Callable[[str, bytes, int, bool], Any]) -> None:
        """Plug a controller in; `packet` makes what it receives of address, payload, source port, and "to all"."""
        self._plug(_Controller(machine, address, packet))

    def remove(self, one: object) -> None:
        """Pull a node or a controller out; it lives no more."""
        for host in [host for host in self._hosts if host.one is one]:
            self._settle(host, ())
            del self._hosts[host]
            for pair in [pair for pair in self._losses if host in pair]:
                del self._losses[pair]

    def run(self, until: float) -> None:
        """Let time pass."""
        self._agenda.run(until)

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Something happens then."""
        self._agenda.after(when - self.now, call)

    def poke(self, one: object) -> None:
        """Something was done to a node or controller by hand: take what it says."""
        for host in self._hosts:
            if host.one is one:
                self._turn(host)

    def _plug(self, host: _Host) -> None:
        self._hosts[host] = ()
        self._turn(host)

    def _settle(self, host: _Host, addresses: tuple[str, ...]) -> None:
        """Find it at these addresses, and no more at those that it had."""
        for address in self._hosts[host]:
            if self._owners.get(address) is host:
                del self._owners[address]
        self._hosts[host] = addresses
        self._owners |= dict.fromkeys(addresses, host)

    def _turn(self, host: _Host) -> None:
        """Do what is due, carry what is to be sent, and wake it when it wants."""
        if host not in self._hosts:
            return
        host.one.tick(self.now)
        if self._hosts[host] != host.addresses:
            self._settle(host, host.addresses)
        for said in host.outgoing():
            self._carry(host, said)
        due = host.one.deadline()
        if due is not None and self._wakes.get(host) != due:
            self._wakes[host] = due
            self._agenda.after(max(due - self.now, 0.0), partial(self._wake, host, due))

    def _wake(self, host: _Host, due: float) -> None:
        if self._wakes.get(host) == due:
            del self._wakes[host]
            self._turn(host)

    def _carry(self, sender: _Host, said: Said) -> None:
        self.passed.append(Passed(self.now, said))
        ipv6 = ":" in said.source
        if said.to:
            found = self._owners.get(said.to)
            meant = [(said.to, found)] if found else []
        else:
            meant = [(own, host) for own, host in self._owners.items() if (":" in own) == ipv6 and host is not sender]
        for address, host in meant:
            if not self.cut & {said.source, address} and not self._lost(sender, host):
                for _ in range(1 + (self._chance.random() < self.doubles)):
                    late_s = LATE_S * self._chance.random() if self._chance.random() < self.overtakes else 0.0
                    self._agenda.after(TRAVELS_S + late_s, partial(self._arrive, host, said))

    def _lost(self, sender: _Host, host: _Host) -> bool:
        if self.loses and self._chance.random() < self.loses:
            return True
        if not self.loses_one_of:
            return False
        between = self._losses.setdefault(frozenset((sender, host)), _Losses())
        if not between.left:
            between.left = self.loses_one_of
            between.at = self._chance.randint(1, between.left)
        between.left -= 1
        return between.left + 1 == between.at

    def _arrive(self, host: _Host, said: Said) -> None:
        if host in self._hosts:
            host.receive(said, self.now)
            self._turn(host)


@dataclass(slots=True)
class _Losses:
    """Between two hosts."""

    left: int = 0  # of so many datagrams in a row,
    at: int = 0  # counted from the last, this one is lost


class _Host:
    """A node on the wire."""

    def __init__(self, one: Any) -> None:
        self.one = one

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self.one.addresses)

    def receive(self, said: Said, now: float) -> None:
        self.one.receive(said.source, said.payload, now, multicast=said.to is None)

    def outgoing(self) -> list[Said]:
        return list(self.one.outgoing())


class _Controller(_Host):
    """A machine that speaks in packets."""

    def __init__(self, machine: Machine, address: str, packet: Callable[[str, bytes, int, bool], Any]) -> None:
        super().__init__(machine)
        self._addresses = (address,)
        self._packet = packet

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._addresses

    def receive(self, said: Said, now: float) -> None:
        self.one.receive(self._packet(said.source, said.payload, said.port, said.to is None), now)

    def outgoing(self) -> list[Said]:
        (address,) = self._addresses
        return [
            Said(address, None if each.address in EVERYONE else each.address, each.payload, ECHONET_PORT)
            for each in self.one.outgoing()
        ]
