"""The engine and the simulated module, written apart from each other from the same manual, at one table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import pytest
from support.skstack import GET_POWER

from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Command,
    Credentials,
    Datagram,
    Done,
    Event,
    Family,
    Fate,
    Join,
    Joined,
    Leave,
    Line,
    NoAnswer,
    Open,
    Ready,
    Refused,
    Scan,
    Send,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
    UseCredentials,
)
from drivers.skstack import Engine, dialects
from hemsd.simulator import Fault, Flash, Flaw, Household, Meter, Network, SkModule, Spell, Strike

NETWORK = Network()
CREDENTIALS = Credentials(NETWORK.route_b_id, NETWORK.password)
FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])
START = datetime(2026, 10, 1, 12, 20)


class Table:
    """An engine wired to a simulated module, on one virtual clock; `chunk` is how many bytes arrive at a time."""

    def __init__(self, family: Literal["SE", "DUAL"], *, chunk: int = 4096, **options: Any) -> None:
        self.engine = Engine()
        self.module = SkModule(family, Meter(Household(7), start=START), NETWORK, **options)
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
        told = self.run(40, until=lambda: not self.engine.busy)
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


@FAMILIES
@pytest.mark.parametrize("wopt", [0, 1], ids=["raw", "hex"])
@pytest.mark.parametrize("chunk", [1, 4096])
def test_from_open_to_a_reading(family: Literal["SE", "DUAL"], wopt: int, chunk: int) -> None:
    """Both families, both payload modes, byte by byte or at once; the flash is as it was."""
    flash = Flash(wopt=wopt)
    table = Table(family, chunk=chunk, flash=flash).joined()
    steps = [event.step for event in table.heard if isinstance(event, Authentication)]
    assert steps == list(AuthenticationStep)
    [ready] = [event for event in table.heard if isinstance(event, Ready)]
    assert ready.info.family is Family[family]
    told = table.read()
    [answer] = answers(told)
    assert answer.sender == NETWORK.address
    assert answer.secured
    assert (answer.lqi is not None) == (family == "DUAL")
    assert Transmission(NETWORK.address, Fate.SENT) in told
    assert flash.writes == 0


@FAMILIES
def test_a_session_survives_opening_again(family: Literal["SE", "DUAL"]) -> None:
    """A new engine finds the module as the last one left it, and reads at once."""
    table = Table(family).joined()
    table.engine = Engine()
    assert isinstance(table.do(Open(keep_session=True))[-1], Done)
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize(("code", "baudrate"), [(3, 9600), (4, 19200), (5, 38400), (6, 57600)])
def test_a_stored_rate_is_found(code: int, baudrate: int) -> None:
    """WUART left the module at another rate: it is found there, and left there."""
    table = Table("SE", flash=Flash(wuart=code))
    told = table.do(Open(keep_session=True))
    [ready] = [event for event in told if isinstance(event, Ready)]
    assert ready.info.line == Line(baudrate)


@FAMILIES
def test_firmware_that_lacks_commands_is_opened(family: Literal["SE", "DUAL"]) -> None:
    """No ROPT, no SKAPPVER, and the first command after power-up lost."""
    table = Table(family, without=["ROPT", "SKAPPVER"], eats_first=True).joined()
    assert len(answers(table.read())) == 1


def test_a_module_left_in_mid_datagram_is_opened() -> None:
    """An earlier program died between header and payload."""
    table = Table("DUAL").joined()
    table.module.receive(f"SKSENDTO 1 {NETWORK.address} 0E1A 1 0 04D0 ".encode() + b"\x10\x81", table.now)
    table.engine = Engine()
    assert isinstance(table.do(Open(keep_session=True))[-1], Done)
    table.run(10)
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize(("family", "wrong"), [("SE", Family.DUAL), ("DUAL", Family.SE)])
@pytest.mark.parametrize("command", [Scan(4), Send(NETWORK.address, GET_POWER)])
def test_a_wrong_family_heals(family: Literal["SE", "DUAL"], wrong: Family, command: Command) -> None:
    """However the module words its refusal, the other form is tried, taken and announced."""
    table = Table(family).joined()
    table.engine._dialect = dialects.DUAL if wrong is Family.DUAL else dialects.SE
    told = table.do(command)
    assert Done(command) in told
    [ready] = [event for event in told if isinstance(event, Ready)]
    assert ready.info.family is Family[family]
    table.run(5)
    assert len(answers(table.read())) == 1


@FAMILIES
def test_what_the_air_does_is_told(family: Literal["SE", "DUAL"]) -> None:
    """Expiry and authentication anew, the limit and its end, a refusal, a failed transmission, closing."""
    table = Table(family).joined()
    now = table.now
    for fault in (Fault(Strike.EXPIRE, at=now + 1), Fault(Strike.LIMIT, at=now + 60, seconds=5)):
        table.module.faults.add(fault)
    told = table.run(70)
    assert SessionExpired(NETWORK.address) in told
    assert Joined(NETWORK.address) in told
    assert [event.engaged for event in told if isinstance(event, SendLimit)] == [True, False]
    table.module.faults.add(Fault(Flaw.SEND_REFUSED))
    assert any(isinstance(event, Refused) for event in table.read())
    table.module.faults.add(Fault(Flaw.SEND_FAILS))
    assert Transmission(NETWORK.address, Fate.FAILED) in table.read()
    table.do(Leave())
    assert SessionClosed(NETWORK.address, by_peer=False) in table.run(5)


@FAMILIES
def test_a_module_that_hung_is_usable_again(family: Literal["SE", "DUAL"]) -> None:
    """It says nothing for a while: the command is given up, and the next one finds its way."""
    table = Table(family).joined()
    table.module.faults.add(Fault(Spell.HANG, at=table.now, seconds=12))
    assert any(isinstance(event, NoAnswer) for event in table.read())
    table.run(3)
    assert len(answers(table.read())) == 1


@FAMILIES
def test_a_damaged_answer_is_refused_and_the_next_one_read(family: Literal["SE", "DUAL"]) -> None:
    """A byte lost on the line costs that datagram only."""
    table = Table(family, flash=Flash(wopt=0)).joined()
    table.module.faults.add(Fault(Flaw.ANSWER_DAMAGED))
    assert answers(table.read()) == []
    assert len(answers(table.read())) == 1
