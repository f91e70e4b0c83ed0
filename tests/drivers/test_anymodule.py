"""Which language a module speaks is found out, never asked: every family, whatever was thought of it before."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.skstack import GET_POWER, PROBE
from support.table import CREDENTIALS, NETWORK, Table, answers

from drivers.anymodule import AnyModule
from drivers.module import Done, Family, Found, Line, NoAnswer, Open, Ready, Scan, Send, UseCredentials
from drivers.skstack import Engine
from drivers.transcript import read_published
from hemsd.simulator import FAMILIES, Fault, Flash, J11Module, Spell, Strike
from hemsd.simulator import Family as Simulated

TRANSCRIPTS = Path(__file__).parents[2] / "hw-test/transcripts"
KEEP, AFRESH = Open(keep_session=True), Open(keep_session=False)
J11_PROBE = bytes.fromhex("D0EA83FC 006B 0004 03A8 0000")
families = pytest.mark.parametrize("family", FAMILIES)


def found(table: Table) -> Family:
    [ready] = [event for event in table.heard if isinstance(event, Ready)]
    return ready.info.family


@families
@pytest.mark.parametrize("last", [None, *Family])
@pytest.mark.parametrize("command", [KEEP, AFRESH])
def test_a_module_is_found_whatever_it_was_the_last_time(
    family: Simulated, last: Family | None, command: Open
) -> None:
    """At once where that is right or nothing is known, in seconds where another stick is in the socket."""
    table = Table(family, AnyModule(last))
    table.run(1.5)  # a J11 module starts meanwhile
    began = table.now
    assert table.do(command)[-1] == Done(command)
    assert found(table) is Family[family]
    wrong = (last is Family.J11) != (family == "J11")
    assert table.now - began < (5 if wrong and last is not None else 1.5)


@pytest.mark.parametrize("family", ["SE", "DUAL"])
def test_other_modules_are_found_no_later_than_by_their_own_driver(family: Simulated) -> None:
    """What is asked of J11 costs them nothing, not even where the first command is lost."""

    def took(table: Table) -> float:
        table.do(AFRESH)
        return table.now

    for options in ({}, {"eats_first": True}, {"flash": Flash(wuart=3)}):
        assert took(Table(family, AnyModule(), **options)) == took(Table(family, Engine(), **options))  # type: ignore[arg-type]


@families
def test_from_opening_to_a_reading(family: Simulated) -> None:
    """And a second time, without anything asked of another family."""
    table = Table(family, AnyModule()).joined()
    assert len(answers(table.read())) == 1
    assert table.do(KEEP)[-1] == Done(KEEP)
    assert len(answers(table.read())) == 1


def test_a_module_that_is_busy_is_found() -> None:
    """3D, a scan that goes on and tells of its channels, and an answer under way are J11 too."""
    table = Table("J11", AnyModule())
    table.do(AFRESH)
    table.do(UseCredentials(CREDENTIALS))
    table.engine.command(Scan(7), table.now)
    table.run(1)
    table.engine = AnyModule()
    table.heard.clear()
    assert table.do(KEEP)[-1] == Done(KEEP)
    assert found(table) is Family.J11


def test_a_module_that_just_starts_is_found() -> None:
    """Its boot notice tells."""
    table = Table("J11", AnyModule())
    table.do(AFRESH)
    assert found(table) is Family.J11
    assert table.now < 3


def test_a_boot_notice_in_pieces_tells() -> None:
    """Byte by byte, with the code between two reads."""
    table = Table("J11", AnyModule(), chunk=1)
    table.do(AFRESH)
    assert found(table) is Family.J11


def test_a_datagram_of_the_session_that_survived_tells() -> None:
    """What comes first is neither an answer nor a boot notice."""
    table = Table("J11").joined()
    table.engine = AnyModule()
    table.heard.clear()
    table.module.faults.add(Fault(Strike.NOTIFY, at=table.now + 0.01))
    table.do(KEEP)
    assert found(table) is Family.J11
    assert len(answers(table.read())) == 1


@pytest.mark.parametrize("last", [None, Family.J11])
def test_where_nobody_answers_it_says_so_in_bounded_time(last: Family | None) -> None:
    """Both languages at the usual settings, SKSTACK-IP at the others; the whole wait is told."""
    table = Table("SE", AnyModule(last), faults=[Fault(Spell.HANG, seconds=1000)])
    [ending] = table.do(AFRESH)
    assert ending == NoAnswer(AFRESH, table.now)
    assert table.now < 20


def test_a_line_set_otherwise_is_set_back_for_the_other_family() -> None:
    """J11 has one rate: it is spoken to at that again, after the others were tried."""
    module = AnyModule()
    module.command(AFRESH, 0.0)
    now = 0.0
    while Line(57600) not in (sent := module.outgoing()):
        now = module.deadline() or now
        module.tick(now)
    module.receive(bytes.fromhex("D0F9EE5D 6019 0004 0391 0000"), now)
    sent = module.outgoing()
    assert sent[0] == Line()
    assert sent[1:] == [J11_PROBE]


def test_bytes_that_look_like_j11_do_not_mislead_for_long() -> None:
    """The code by chance: the other language is tried, is not answered, and SKSTACK-IP is gone back to."""
    table = Table("DUAL", AnyModule(), faults=[Fault(Strike.GARBAGE, at=0.0, arg=bytes.fromhex("D0F9EE5D 00"))])
    assert table.do(KEEP)[-1] == Done(KEEP)
    assert found(table) is Family.DUAL
    assert table.now < 5


def test_once_decided_bytes_are_only_bytes() -> None:
    """A payload may hold anything: the code within one changes nothing."""
    table = Table("DUAL", AnyModule(), flash=Flash(wopt=0)).joined()
    table.module.faults.add(
        Fault(Strike.GARBAGE, at=table.now, arg=bytes.fromhex("D0F9EE5D 6019 0004 0391 0000 0D0A"))
    )
    table.run(1)
    assert len(answers(table.read())) == 1


def test_what_was_recorded_is_understood_without_opening_anything() -> None:
    """Bytes alone, as in a replay: capture 13 is J11 and capture 11 is not."""
    for number, sender in ((13, "0250:C2FF:FEDC:2822"), (11, "021C:6400:030C:12A4")):
        module = AnyModule()
        [path] = TRANSCRIPTS.glob(f"{number}-*.txt")
        module.receive(read_published(path.read_text()).received, 0.0)
        assert any(sender in repr(event) for event in module.events() if type(event).__name__ == "Datagram")


@families
def test_who_hears_what_was_found_may_use_it(family: Simulated) -> None:
    """Told once, before the Open is done; there is nothing more to be had from who found it."""
    table = Table(family, AnyModule())
    *_, found_it, ending = table.do(AFRESH)
    assert isinstance(found_it, Found)
    assert ending == Done(AFRESH)
    finder, table.engine = table.engine, found_it.module
    table.joined()
    assert len(answers(table.read())) == 1
    assert not finder.outgoing()
    assert len([event for event in table.heard if isinstance(event, Found)]) == 1


def test_a_question_not_answered_is_asked_along_with_that_to_j11() -> None:
    """J11 UART interface: length counts the sums, the header sum is of bytes 0-7. Asked once, after 0.2 s."""
    module = AnyModule()
    module.command(KEEP, 0.0)
    sent = [*module.outgoing()]
    while module.busy:
        now = module.deadline() or 0.0
        module.tick(now)
        sent += module.outgoing()
        if len(sent) == 3:
            assert 0.1 < now < 0.3
    assert sent[:4] == [PROBE, J11_PROBE, PROBE, PROBE]
    assert sent.count(J11_PROBE) == 1
    assert int.from_bytes(J11_PROBE[6:8]) == 4
    assert int.from_bytes(J11_PROBE[8:10]) == sum(J11_PROBE[:8])
    assert int.from_bytes(J11_PROBE[10:]) == 0


def test_a_datagram_goes_to_the_family_that_was_found() -> None:
    """Commands after Open are the found driver's."""
    table = Table("J11", AnyModule()).joined()
    assert isinstance(table.module, J11Module)
    table.do(Send(NETWORK.address, GET_POWER))
    assert table.module.plaintext == []
