"""The engine and the simulated module, written apart from each other from the same manual, at one table."""

from __future__ import annotations

from typing import Literal

import pytest
from support.skstack import GET_POWER
from support.table import NETWORK, Table, answers

from drivers.module import (
    Authentication,
    AuthenticationStep,
    Command,
    Done,
    Family,
    Fate,
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
)
from drivers.skstack import Engine, dialects
from hemsd.simulator import Fault, Flash, Flaw, Spell, Strike

FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])


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
