"""The J11 engine and the simulated module, written apart from each other from the same manual, at one table."""

from __future__ import annotations

from typing import Any

import pytest
from support.skstack import GET_POWER
from support.table import CREDENTIALS, NETWORK, Table, answers

from drivers.j11 import Engine
from drivers.module import (
    BeaconHeard,
    Credentials,
    Done,
    Event,
    Family,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    NoAnswer,
    Open,
    Pan,
    Ready,
    Refused,
    Rejoin,
    Scan,
    Send,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
    UseCredentials,
)
from hemsd.simulator import Fault, Flaw, J11Module, Network, Spell, Strike

PAN = Pan(NETWORK.channel, NETWORK.pan_id, NETWORK.mac, CREDENTIALS.pairing_id, rssi_dbm=-59)


def module_of(table: Table) -> J11Module:
    assert isinstance(table.module, J11Module)
    return table.module


def armed(credentials: Credentials = CREDENTIALS, **options: Any) -> Table:
    table = Table("J11", **options)
    table.do(Open(keep_session=False))
    table.do(UseCredentials(credentials))
    return table


def fates(told: list[Event]) -> list[Fate]:
    return [event.fate for event in told if isinstance(event, Transmission)]


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_from_open_to_a_reading(chunk: int) -> None:
    """Found, scanned, joined and read, byte by byte or at once; nothing goes out in plaintext."""
    table = Table("J11", chunk=chunk).joined()
    [ready] = [event for event in table.heard if isinstance(event, Ready)]
    assert ready.info.family is Family.J11
    assert BeaconHeard(PAN) in table.heard
    told = table.read()
    [answer] = answers(told)
    assert answer.sender == NETWORK.address
    assert answer.secured
    assert answer.rssi_dbm is not None
    assert -65 < answer.rssi_dbm < -55
    assert fates(told) == [Fate.SENT]
    assert module_of(table).plaintext == []


def test_a_session_survives_opening_again() -> None:
    """A new engine finds the module as the last one left it, tells its PAN, and reads at once."""
    table = Table("J11").joined()
    table.engine = Engine()
    told = table.do(Open(keep_session=True))
    [ready] = [event for event in told if isinstance(event, Ready)]
    assert (ready.info.channel, ready.info.pan_id) == (NETWORK.channel, NETWORK.pan_id)
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize("waited_s", [0.1, 2.0])
def test_a_session_that_is_only_being_made_does_not_survive(waited_s: float) -> None:
    """The last program died between 0053 and 6028: there is nothing to keep, and nothing goes out in plaintext."""
    table = armed(faults=[Fault(Spell.METER_SILENT, seconds=1000)])
    table.engine.command(Join(PAN), table.now)
    table.run(1 + waited_s)
    table.engine = Engine()
    told = table.do(Open(keep_session=True))
    [ready] = [event for event in told if isinstance(event, Ready)]
    assert ready.info.pan_id is None
    table.do(Send(NETWORK.address, GET_POWER))
    assert module_of(table).plaintext == []


def test_the_simulated_module_does_send_in_plaintext() -> None:
    """Proof that the tests above can fail: asked by hand, it does what v1.2 warns of."""
    table = armed(faults=[Fault(Spell.METER_SILENT, seconds=1000)])
    table.do(Join(PAN))
    engine = table.engine
    assert isinstance(engine, Engine)
    engine._standing.authenticated = True
    table.do(Send(NETWORK.address, GET_POWER))
    assert module_of(table).plaintext == [GET_POWER]


def test_a_wrong_password_is_refused_after_minutes() -> None:
    """6028 with 02 after 312 s, which is within the second of the limits that the module asks for."""
    table = armed(Credentials(CREDENTIALS.id, "A" * 12))
    table.do(Join(PAN))
    assert table.run(300) == []
    assert table.run(20) == [JoinFailed(NETWORK.address, refused=True)]


def test_a_silent_meter_is_given_up_after_twelve_minutes() -> None:
    """6028 with 03 after 706 s; until then the module is in PANA, and a reset ends that."""
    table = armed(faults=[Fault(Spell.METER_SILENT, seconds=100_000)])
    table.do(Join(PAN))
    assert table.run(690) == []
    assert table.run(20) == [JoinFailed(NETWORK.address, refused=False)]
    table.do(Join(PAN))
    assert isinstance(table.do(Open(keep_session=False))[-1], Done)
    assert table.run(1000) == []


def test_a_join_after_a_failed_one() -> None:
    """Left, set up and joined again, once the meter is heard."""
    table = armed(faults=[Fault(Flaw.JOIN_FAILS)])
    table.do(Join(PAN))
    table.run(400)
    assert JoinFailed(NETWORK.address, refused=True) in table.heard
    table.do(Join(PAN))
    assert table.run(10)[0] == Joined(NETWORK.address)
    assert len(answers(table.read())) == 1


def test_a_meter_out_of_reach_fails_the_join_soon() -> None:
    """0E, three times."""
    table = armed(faults=[Fault(Spell.RADIO_LOST, seconds=100)])
    assert table.do(Join(PAN)) == [Done(Join(PAN)), JoinFailed(NETWORK.address, refused=False)]
    assert table.now < 10


def test_leaving_and_joining_again() -> None:
    """0057 erases the credentials: the engine gives them again."""
    table = Table("J11").joined()
    assert table.do(Leave())[-1] == SessionClosed(NETWORK.address, by_peer=False)
    table.run(15)
    assert not module_of(table).air.joined
    table.do(Join(PAN))
    assert Joined(NETWORK.address) in table.run(10)
    assert len(answers(table.read())) == 1


def test_authenticating_again() -> None:
    """00D2, and the session goes on."""
    table = Table("J11").joined()
    assert table.do(Rejoin()) == [Done(Rejoin())]
    assert table.run(10)[0] == Joined(NETWORK.address)
    assert len(answers(table.read())) == 1


def test_renewals_are_silent() -> None:
    """At 80 % of the lifetime the module authenticates again, and nothing is told; reading goes on for days."""
    table = Table("J11").joined()
    told = table.run(3 * 86_400)
    assert not any(isinstance(event, Joined | JoinFailed | SessionClosed) for event in told)
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize(
    ("strike", "event"),
    [
        (Strike.PEER_CLOSES, SessionClosed(NETWORK.address, by_peer=True)),
        (Strike.LOSE_SESSION, JoinFailed(NETWORK.address, refused=False)),
        (Strike.REBOOT, SessionClosed(NETWORK.address, by_peer=False)),
    ],
)
def test_what_ends_a_session_is_told_and_a_join_brings_it_back(strike: Strike, event: Event) -> None:
    """601A, 6028 out of the blue, 6019 of the watchdog."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(strike, at=table.now))
    assert event in table.run(5)
    table.do(Join(PAN))
    assert Joined(NETWORK.address) in table.run(10)
    assert len(answers(table.read())) == 1
    assert module_of(table).plaintext == []


def test_the_hourly_limit() -> None:
    """Outcome 2 of 0008; the engine lets it be tried again each minute."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(Strike.LIMIT, at=table.now, seconds=100))
    told = table.read() + table.run(60)
    assert [event for event in told if isinstance(event, SendLimit)] == [SendLimit(True), SendLimit(False)]
    table.run(60)
    assert len(answers(table.read())) == 1


def test_keys_that_do_not_fit_are_renewed() -> None:
    """6038 three times; after 00D2 the meter is understood again."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(Flaw.UNDECIPHERED, at=table.now, times=3))
    told = [event for _ in range(3) for event in table.read()]
    assert [event for event in told if isinstance(event, SessionExpired | Joined)] == [
        SessionExpired(NETWORK.address),
        Joined(NETWORK.address),
    ]
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize("flaw", [Flaw.ANSWER_DAMAGED, Flaw.ANSWER_LOST])
def test_a_damaged_answer_costs_that_datagram_only(flaw: Flaw) -> None:
    """A byte lost on the line; the next answer is found in what follows."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(flaw))
    assert answers(table.read()) == []
    assert len(answers(table.read())) == 1


def test_an_answer_that_stalls_is_read_when_it_goes_on() -> None:
    """Half a frame, a pause, the other half."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(Flaw.ANSWER_STALLED, seconds=2))
    assert len(answers(table.read())) == 1


def test_a_module_that_hung_is_usable_again() -> None:
    """It says nothing for a while: the command is given up, and the next one finds its way."""
    table = Table("J11").joined()
    table.module.faults.add(Fault(Spell.HANG, at=table.now, seconds=12))
    assert any(isinstance(event, NoAnswer) for event in table.read())
    table.run(3)
    assert len(answers(table.read())) == 1


def test_a_module_left_in_the_middle_of_a_frame_is_opened() -> None:
    """What a dead program half said swallows the first question; a second later it is over (13)."""
    table = Table("J11").joined()
    table.module.receive(bytes.fromhex("D0EA83FC 0008 01F4 043B 0000 FE80"), table.now)
    table.engine = Engine()
    assert isinstance(table.do(Open(keep_session=True))[-1], Done)
    assert len(answers(table.read())) == 1


def test_a_module_at_another_command_is_opened() -> None:
    """A dead program's scan goes on: 3D until it is over, then all is well."""
    table = armed()
    table.engine.command(Scan(7), table.now)
    table.run(1)
    table.engine = Engine()
    assert isinstance(table.do(Open(keep_session=False))[-1], Done)
    assert table.now > 10
    table.do(UseCredentials(CREDENTIALS))
    assert any(isinstance(event, BeaconHeard) for event in table.do(Scan(6)))


def test_a_sick_module_is_told_in_words() -> None:
    """A result is refused with its code and what it means."""
    table = armed(faults=[Fault(Flaw.COMMAND, arg=("0053", "0C"))])
    [refused] = table.do(Join(PAN))
    assert isinstance(refused, Refused)
    assert refused.code == "0C, the radio's calibration cannot be read"


def test_another_home_is_not_heard() -> None:
    """The meter answers to its own pairing ID only."""
    table = armed(network=Network(route_b_id="F" * 32))
    assert not any(isinstance(event, BeaconHeard) for event in table.do(Scan(6)))
