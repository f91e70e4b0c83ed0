"""What goes wrong between engine and module, and how they find together again."""

from __future__ import annotations

import pytest
from support.skstack import (
    CREDENTIALS,
    EINFO_DUAL,
    EINFO_SE,
    GET_POWER,
    METER,
    PAN,
    POWER,
    PROBE,
    SELF,
    Bench,
    erxudp,
    opened,
)

from drivers.module import (
    Command,
    Datagram,
    Done,
    Family,
    Fate,
    Join,
    Leave,
    NoAnswer,
    Open,
    Ready,
    Refused,
    Rejoin,
    Scan,
    Send,
    Transmission,
    UseCredentials,
)

SEND = Send(METER, GET_POWER)
SENDTO_SE = f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode() + GET_POWER
SENDTO_DUAL = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode() + GET_POWER


def resynchronise(bench: Bench, einfo: str = EINFO_SE) -> None:
    """Play the way back into step."""
    bench.answer(PROBE, "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", einfo, "OK")


# --- the other family -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("einfo", "family", "first", "second"),
    [
        (EINFO_SE, Family.DUAL, b"SKSCAN 2 FFFFFFFF 6\r\n", b"SKSCAN 2 FFFFFFFF 6 0\r\n"),
        (EINFO_DUAL, Family.SE, b"SKSCAN 2 FFFFFFFF 6 0\r\n", b"SKSCAN 2 FFFFFFFF 6\r\n"),
    ],
)
def test_a_wrong_family_is_corrected_by_er05(einfo: str, family: Family, first: bytes, second: bytes) -> None:
    """7: the scan is repeated in the other form at once, the family announced anew, and remembered."""
    bench = opened(einfo)
    bench.give(Scan(6))
    bench.answer(first, "FAIL ER05")
    bench.answer(second, "OK")
    [ready] = bench.events()
    assert isinstance(ready, Ready)
    assert ready.info.family is family
    bench.hear(f"EVENT 22 {SELF}")
    if family is Family.DUAL:
        bench.answer(b"SKSREG SA2 1\r\n", "OK")
    assert bench.events() == [Done(Scan(6))]
    bench.give(Scan(6))
    bench.answer(second, "OK", f"EVENT 22 {SELF}")
    assert bench.events() == [Done(Scan(6))]


@pytest.mark.parametrize("code", ["ER05", "ER06"])
def test_sending_corrects_the_family_too(code: str) -> None:
    """A surviving session needs no scan: the first datagram finds out. Its payload is left on the line."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, f"FAIL {code}")
    bench.answer(PROBE, "FAIL ER04", "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_SE, "OK")
    bench.answer(SENDTO_DUAL, f"EVENT 21 {METER} 0 00", "OK")
    bench.answer(b"SKSREG SA2 1\r\n", "OK")
    sent, ready, done = bench.events()
    assert isinstance(ready, Ready)
    assert ready.info.family is Family.DUAL
    assert (sent, done) == (Transmission(METER, Fate.SENT), Done(SEND))


def test_a_scan_refused_in_both_forms_is_refused() -> None:
    """Then the family is as uncertain as before, and the next attempt begins as the last did."""
    bench = opened()
    bench.give(Scan(6))
    for _ in range(2):
        bench.answer(b"SKSCAN 2 FFFFFFFF 6\r\n", "FAIL ER05")
        bench.answer(b"SKSCAN 2 FFFFFFFF 6 0\r\n", "FAIL ER05")
        assert bench.events() == [Refused(Scan(6), "ER05", "SKSCAN 2 FFFFFFFF 6 0")]
        bench.give(Scan(6))
        resynchronise(bench)


def test_an_uncertain_family_is_certain_after_its_form_was_taken() -> None:
    """Nothing is announced, for nothing has changed."""
    bench = opened(EINFO_SE.replace("FFFE", "1234"))
    bench.give(Scan(6))
    bench.answer(b"SKSCAN 2 FFFFFFFF 6\r\n", "OK", f"EVENT 22 {SELF}")
    assert bench.events() == [Done(Scan(6))]


# --- silence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "first", "limit_s"),
    [
        (UseCredentials(CREDENTIALS), b"SKSETPWD C 0123456789AB\r\n", 3),
        (Scan(6), b"SKSCAN 2 FFFFFFFF 6\r\n", 3),
        (Join(PAN), b"SKSREG S2 31\r\n", 3),
        (Rejoin(), b"SKREJOIN\r\n", 3),
        (Leave(), b"SKTERM\r\n", 3),
        (SEND, SENDTO_SE, 10),
    ],
)
def test_a_command_without_answer_is_given_up_in_time(command: Command, first: bytes, limit_s: float) -> None:
    """The engine is free again, and waits for nothing."""
    bench = opened()
    bench.give(command)
    assert bench.engine.outgoing() == [first]
    assert bench.silence() == []
    assert bench.events() == [NoAnswer(command, pytest.approx(limit_s))]
    assert not bench.engine.busy
    assert bench.engine.deadline() is None


def test_a_late_answer_is_not_taken_for_the_next_commands() -> None:
    """After a command was given up the next one synchronises first: what comes before EINFO is old."""
    bench = opened()
    bench.give(SEND)
    assert bench.engine.outgoing() == [SENDTO_SE]
    bench.silence()
    bench.give(Leave())
    bench.answer(PROBE, "OK", "FAIL ER10")
    assert bench.engine.outgoing() == []
    bench.hear("EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", "OK", EINFO_SE, "OK")
    bench.answer(b"SKTERM\r\n")
    bench.events()
    bench.hear("OK")
    assert bench.events() == [Done(Leave())]


def test_a_late_answer_while_idle_is_forgotten() -> None:
    """The next command still synchronises, as more may be under way."""
    bench = opened()
    bench.give(SEND)
    bench.engine.outgoing()
    bench.silence()
    bench.hear("OK")
    bench.give(SEND)
    resynchronise(bench)
    bench.answer(SENDTO_SE, "OK")
    assert [type(event) for event in bench.events()] == [NoAnswer, Done]


def test_a_module_that_stays_silent_answers_each_command_with_no_answer() -> None:
    """Only the present setting of the line is probed; that takes some seconds."""
    bench = opened()
    bench.give(SEND)
    bench.engine.outgoing()
    bench.silence()
    bench.events()
    bench.give(Leave())
    bench.engine.outgoing()
    while bench.engine.busy:
        assert all(isinstance(item, bytes) for item in bench.silence())
    [ending] = bench.events()
    assert isinstance(ending, NoAnswer)
    assert ending.command == Leave()
    assert ending.waited_s < 5
    bench.give(Leave())
    resynchronise(bench)
    bench.answer(b"SKTERM\r\n", "OK")
    assert bench.events() == [Done(Leave())]


@pytest.mark.parametrize("code", ["ER04", "ER09"])
def test_a_garbled_datagram_is_sent_again_after_synchronising(code: str) -> None:
    """7: it was not understood, so it was not sent; its payload may have drawn more refusals."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, f"FAIL {code}")
    bench.answer(PROBE, f"FAIL {code}", "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_SE, "OK")
    bench.answer(SENDTO_SE, "OK")
    assert bench.events() == [Done(SEND)]


def test_a_datagram_garbled_twice_is_refused_and_the_next_command_synchronises() -> None:
    """More refusals of the same noise may still come."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, "FAIL ER09")
    resynchronise(bench)
    bench.answer(SENDTO_SE, "FAIL ER09")
    assert bench.events() == [Refused(SEND, "ER09", f"SKSENDTO 1 {METER} 0E1A 1 000E")]
    bench.give(Rejoin())
    resynchronise(bench)
    bench.answer(b"SKREJOIN\r\n", "OK")
    assert bench.events() == [Done(Rejoin())]


def test_opening_again_starts_over() -> None:
    """Whatever was known of the module before may have changed with it."""
    bench = opened(EINFO_DUAL, mode="OK 01")
    bench.give(Open(keep_session=True))
    bench.answer(PROBE, "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_SE, "OK")
    bench.hear(erxudp(POWER, raw=True))
    [heard] = bench.events()
    assert isinstance(heard, Datagram)
    bench.answer(b"SKSREG SFE 0\r\n", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    bench.answer(b"ROPT\r", b"OK 00\r")
    ready, _done = bench.events()
    assert isinstance(ready, Ready)
    assert ready.info.family is Family.SE
