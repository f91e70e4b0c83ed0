"""A driver wired to a simulated module, on one virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from drivers import j11, skstack
from drivers.module import (
    BeaconHeard,
    Command,
    Credentials,
    Datagram,
    Done,
    Event,
    Join,
    Joined,
    Line,
    Module,
    Open,
    Scan,
    Send,
    UseCredentials,
)
from hemsd.simulator import Board, Family, Household, J11Module, Meter, Network, SkModule
from support.skstack import GET_POWER

NETWORK = Network()
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)
START = datetime(2026, 10, 1, 12, 20)


class Table:
    """The driver is the family's own, or another that is given; `chunk` is how many bytes arrive at a time."""

    def __init__(
        self,
        family: Family,
        engine: Module | None = None,
        *,
        chunk: int = 4096,
        network: Network = NETWORK,
        **options: Any,
    ) -> None:
        meter = Meter(Household(7), start=START)
        self.module: Board
        if family == "J11":
            self.engine = engine or j11.Engine()
            self.module = J11Module(meter, network, **options)
        else:
            self.engine = engine or skstack.Engine()
            self.module = SkModule(family, meter, network, **options)
        self.now = 0.0
        self.heard: list[Event] = []
        self._chunk = chunk
        self._baudrate = Line().baudrate

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> list[Event]:
        """Let time pass, or less until something holds; the events meanwhile."""
        end, begun = self.now + seconds, len(self.heard)
        self._settle()
        while not until():
            dues = [due for due in (self.engine.deadline(), self.module.deadline()) if due is not None and due <= end]
            self.now = min(dues, default=end)
            self.module.tick(self.now)
            self.engine.tick(self.now)
            self._settle()
            if not dues:
                break
        return self.heard[begun:]

    def do(self, command: Command) -> list[Event]:
        """Give a command and run until it has ended; its ending is among the events given."""
        self.engine.command(command, self.now)
        told = self.run(60, until=lambda: not self.engine.busy)
        assert not self.engine.busy
        return told

    def _settle(self) -> None:
        while True:
            sent, printed = self.engine.outgoing(), b"".join(self.module.outgoing())
            self.heard += self.engine.events()
            if not sent and not printed:
                return
            for item in sent:
                if isinstance(item, Line):
                    self._baudrate = item.baudrate
                elif self._baudrate == self.module.baudrate:
                    self.module.receive(item, self.now)
            for at in range(0, len(printed), self._chunk):
                self.engine.receive(printed[at : at + self._chunk], self.now)

    def joined(self) -> Table:
        """With a session up."""
        assert isinstance(self.do(Open(keep_session=False))[-1], Done)
        self.do(UseCredentials(CREDENTIALS))
        told = self.do(Scan(6))
        [pan] = [event.pan for event in told if isinstance(event, BeaconHeard)]
        self.do(Join(pan))
        self.run(10)
        assert Joined(NETWORK.address) in self.heard
        return self

    def read(self) -> list[Event]:
        """Ask for the power and wait for the answer."""
        told = self.do(Send(NETWORK.address, GET_POWER))
        return told + self.run(5)


def answers(told: list[Event]) -> list[Datagram]:
    return [event for event in told if isinstance(event, Datagram) and event.payload[10:11] == b"\x72"]
