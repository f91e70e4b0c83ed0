"""Commands and events on an opened module: answers, refusals, and what comes in between."""

from __future__ import annotations

import re

import pytest
from support.skstack import (
    CREDENTIALS,
    EINFO_DUAL,
    EINFO_SE,
    GET_POWER,
    METER,
    PAN,
    POWER,
    SELF,
    Bench,
    erxudp,
    opened,
)

from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Command,
    Datagram,
    Done,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    Module,
    NoAnswer,
    Noise,
    Open,
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
from drivers.skstack import Engine

SEND = Send(METER, GET_POWER)
SENDTO_SE = f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode() + GET_POWER
SENDTO_DUAL = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode() + GET_POWER
BEACON = (
    f"EVENT 20 {SELF}\r\nEPANDESC\r\n  Channel:31\r\n  Channel Page:09\r\n  Pan ID:B5FB\r\n"
    f"  Addr:{PAN.mac}\r\n  LQI:DD\r\n  PairID:CCDDEEFF"
)


# --- each command -----------------------------------------------------------------------------------------------


def test_credentials_are_given_one_after_the_other() -> None:
    """3.16 SKSETPWD, then 3.17 SKSETRBID, each after the OK of the one before."""
    bench = opened()
    bench.give(UseCredentials(CREDENTIALS))
    bench.answer(b"SKSETPWD C 0123456789AB\r\n", "OK")
    bench.answer(b"SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n", "OK")
    assert bench.events() == [Done(UseCredentials(CREDENTIALS))]


def test_refused_credentials_are_shown_masked() -> None:
    """The refused line is for a person and a log: its length stays, its secret does not."""
    bench = opened()
    bench.give(UseCredentials(CREDENTIALS))
    bench.answer(b"SKSETPWD C 0123456789AB\r\n", "FAIL ER06")
    [refused] = bench.events()
    assert refused == Refused(UseCredentials(CREDENTIALS), "ER06", "SKSETPWD C ************")
    assert "0123456789AB" not in repr(refused)


def test_a_scan_is_done_when_the_module_says_so() -> None:
    """3.9: OK comes at once, beacons when they are heard, EVENT 22 at the end, also without any beacon."""
    bench = opened()
    bench.give(Scan(6))
    bench.answer(b"SKSCAN 2 FFFFFFFF 6\r\n", "OK")
    assert bench.engine.busy
    bench.hear(BEACON)
    assert bench.events() == [BeaconHeard(PAN)]
    bench.hear(f"EVENT 22 {SELF}")
    assert bench.events() == [Done(Scan(6))]
    bench.give(Scan(4))
    bench.answer(b"SKSCAN 2 FFFFFFFF 4\r\n", "OK", f"EVENT 22 {SELF}")
    assert bench.events() == [Done(Scan(4))]


def test_a_scan_that_never_ends_is_given_up() -> None:
    """17.5 s on 28 channels and 5 s more."""
    bench = opened()
    bench.give(Scan(6))
    began = bench.now
    bench.answer(b"SKSCAN 2 FFFFFFFF 6\r\n", "OK")
    bench.silence()
    [ending] = bench.events()
    assert ending == NoAnswer(Scan(6), pytest.approx(22.5, abs=0.1))
    assert bench.now - began == pytest.approx(22.5, abs=0.1)


def test_a_join_is_done_when_accepted_and_told_when_over() -> None:
    """3.4: EVENT 25 or 24 follows the OK of SKJOIN, after the meter's PANA messages."""
    bench = opened()
    bench.give(Join(PAN))
    bench.answer(b"SKSREG S2 31\r\n", "OK")
    bench.answer(b"SKSREG S3 B5FB\r\n", "OK")
    bench.answer(f"SKJOIN {METER}\r\n".encode(), "OK")
    assert bench.events() == [Done(Join(PAN))]
    start = bytes.fromhex("00000028C0000002136F0BFE2FDA83DC00060000000400000000000500030000000400000000000C")
    bench.hear(erxudp(start, middle="0", ports="02CC 02CC"), f"EVENT 21 {METER} 00", f"EVENT 25 {METER}")
    assert bench.events() == [
        Authentication(AuthenticationStep.STARTED),
        Transmission(METER, Fate.SENT),
        Joined(METER),
    ]
    bench.hear(f"EVENT 24 {METER}")
    assert bench.events() == [JoinFailed(METER)]


def test_a_datagram_on_the_pana_port_that_is_no_pana_stays_a_datagram() -> None:
    """What cannot be read is handed on, not hidden."""
    bench = opened()
    bench.hear(erxudp(b"hello", middle="0", ports="02CC 02CC"), erxudp(b"hello", middle="1", ports="02CC 02CC"))
    assert [type(event) for event in bench.events()] == [Datagram, Datagram]


@pytest.mark.parametrize(("command", "line"), [(Rejoin(), "SKREJOIN"), (Leave(), "SKTERM")])
def test_3_5_rejoin_and_3_6_leave_are_done_when_accepted(command: Command, line: str) -> None:
    """What becomes of them is told by EVENT 25/24 and 27/28; without a session both fail with ER10."""
    bench = opened()
    bench.give(command)
    bench.answer(f"{line}\r\n".encode(), "OK")
    assert bench.events() == [Done(command)]
    bench.give(command)
    bench.answer(f"{line}\r\n".encode(), "FAIL ER10")
    assert bench.events() == [Refused(command, "ER10", line)]


def test_a_datagram_is_sent_in_one_piece_and_done_at_ok() -> None:
    """3.7: header and payload together; EVENT 21 comes before the OK, and may come again after it."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, f"EVENT 21 {METER} 02", "OK", f"EVENT 02 {METER}", f"EVENT 21 {METER} 00")
    assert bench.events() == [Transmission(METER, Fate.RESOLVING), Done(SEND), Transmission(METER, Fate.SENT)]


def test_a_busy_transmitter_refuses() -> None:
    """7: ER10 to SKSENDTO, during authentication or at the transmission limit; the payload is not shown."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, "FAIL ER10")
    assert bench.events() == [Refused(SEND, "ER10", f"SKSENDTO 1 {METER} 0E1A 1 000E")]
    bench.give(SEND)
    bench.answer(SENDTO_SE, "OK")
    assert bench.events() == [Done(SEND)]


def test_the_send_limit_is_asked_about_while_it_is_engaged() -> None:
    """5: register SFB reads 1 while limited; its end is known within a minute where EVENT 33 was lost."""
    bench = opened()
    bench.hear(f"EVENT 32 {SELF}")
    began = bench.now
    assert bench.events() == [SendLimit(engaged=True)]
    assert bench.silence() == [b"SKSREG SFB\r\n"]
    assert bench.now == began + 60
    assert bench.engine.busy
    bench.hear("ESREG 1", "OK")
    assert bench.events() == [SendLimit(engaged=True)]
    assert bench.silence() == [b"SKSREG SFB\r\n"]
    bench.hear("ESREG 0")
    assert bench.engine.busy
    bench.hear("OK")
    assert bench.events() == [SendLimit(engaged=False)]
    assert (bench.engine.busy, bench.engine.deadline()) == (False, None)


def test_a_released_send_limit_is_not_asked_about() -> None:
    """EVENT 33 was heard."""
    bench = opened()
    bench.hear(f"EVENT 32 {SELF}", f"EVENT 33 {SELF}")
    assert bench.engine.deadline() is None


def test_the_send_limit_is_asked_about_between_commands() -> None:
    """A command under way is not disturbed, and its deadline is its own."""
    bench = opened()
    bench.hear(f"EVENT 32 {SELF}")
    bench.now += 59
    bench.give(SEND)
    bench.answer(SENDTO_SE)
    bench.now += 5
    bench.engine.tick(bench.now)
    assert bench.engine.outgoing() == []
    bench.hear("FAIL ER10")
    assert bench.events() == [SendLimit(engaged=True), Refused(SEND, "ER10", f"SKSENDTO 1 {METER} 0E1A 1 000E")]
    bench.engine.tick(bench.now)
    bench.answer(b"SKSREG SFB\r\n", "ESREG 1", "OK")


@pytest.mark.parametrize("answer", ["FAIL ER06", ""])
def test_a_module_that_does_not_tell_the_send_limit(answer: str) -> None:
    """Nothing is known then, and it is asked again in a minute; commands can be given as ever."""
    bench = opened()
    bench.hear(f"EVENT 32 {SELF}")
    bench.silence()
    if answer:
        bench.hear(answer)
    else:
        bench.silence()
    assert [type(event) for event in bench.events()] == [SendLimit, Noise]
    assert not bench.engine.busy
    assert bench.engine.deadline() is not None
    bench.give(SEND)


def test_session_and_limit_events_pass_in_any_state() -> None:
    """4.8: 26, 27, 29, 32 and 33, idle and while something is asked."""
    bench = opened()
    lines = [f"EVENT {number} {METER}" for number in ("26", "27", "29", "32", "33")]
    told = [
        SessionClosed(METER, by_peer=True),
        SessionClosed(METER, by_peer=False),
        SessionExpired(METER),
        SendLimit(engaged=True),
        SendLimit(engaged=False),
    ]
    bench.hear(*lines)
    assert bench.events() == told
    bench.give(SEND)
    bench.hear(*lines)
    assert bench.events() == told
    assert bench.engine.busy


def test_lqi_comes_with_each_datagram_of_a_dual_module() -> None:
    """SA2 = 1 puts it before SECURED."""
    bench = opened(EINFO_DUAL)
    bench.hear(erxudp(POWER, middle="5D 1 0"))
    [heard] = bench.events()
    assert isinstance(heard, Datagram)
    assert heard.lqi == 0x5D


def test_one_command_at_a_time() -> None:
    """A second one is the caller's mistake; one that no module can take is not begun."""
    bench = opened()
    with pytest.raises(ValueError, match="1 to 1232"):
        bench.give(Send(METER, b""))
    assert not bench.engine.busy
    bench.give(SEND)
    with pytest.raises(RuntimeError, match="busy"):
        bench.give(Rejoin())


def test_nothing_is_waited_for_while_idle() -> None:
    """No deadline, no bytes; a stray answer changes nothing."""
    bench = opened()
    bench.hear("OK", "FAIL ER04", "EVER 1.2.10", f"EVENT 22 {SELF}")
    bench.engine.tick(bench.now + 1000)
    assert bench.engine.deadline() is None
    assert bench.engine.outgoing() == []
    assert bench.events() == []


# --- between question and answer --------------------------------------------------------------------------------


def test_a_notification_may_come_between_command_and_echo() -> None:
    """As published of a RS-WSUHA-P: the meter's half-hour message before the echo, EVENT 21 before the OK."""
    bench = opened(EINFO_DUAL)
    bench.give(SEND)
    notification = erxudp(bytes.fromhex("1081000102880105FF017301EA0B07E70C13001E000000458E"), middle="1 0")
    echo = SENDTO_DUAL[: -len(GET_POWER)]
    bench.answer(SENDTO_DUAL, notification, echo + b"\r\n", f"EVENT 21 {METER} 0 00", "OK")
    datagram, sent, done = bench.events()
    assert isinstance(datagram, Datagram)
    assert sent == Transmission(METER, Fate.SENT)
    assert done == Done(SEND)


def test_lines_glued_to_an_echo_are_not_lost() -> None:
    """An echo without its line end, then a datagram, then an event on the same line."""
    bench = opened()
    bench.give(SEND)
    bench.answer(SENDTO_SE, b"SKSENDTO" + erxudp(POWER), f"SKSENDTOEVENT 21 {METER} 00", "\r\nOK")
    assert [type(event) for event in bench.events()] == [Datagram, Transmission, Done]


def test_a_raw_payload_full_of_answers_answers_nothing() -> None:
    """Only LEN ends a raw payload: an OK within it is not the module's."""
    bench = opened(mode="OK 00")
    bench.give(SEND)
    bench.answer(SENDTO_SE, erxudp(b"\r\nOK\r\nFAIL ER04\r\nEVENT 26 X\r\n", raw=True))
    assert bench.engine.busy
    assert [type(event) for event in bench.events()] == [Datagram]


# --- flash ------------------------------------------------------------------------------------------------------

FLASH = re.compile(rb"WOPT|WUART|SKSAVE|SKERASE|SKUDPPORT|SFF")


def test_no_command_writes_flash_whatever_the_module_answers() -> None:
    """Every command against every answer, and silence: none of it makes the engine say a word that writes."""
    commands = [Open(keep_session=False), UseCredentials(CREDENTIALS), Scan(6), Join(PAN), Rejoin(), Leave(), SEND]
    answers = ["OK", "OK 00", "FAIL ER04", "FAIL ER05", "FAIL ER10", "EVER 1", EINFO_SE, EINFO_DUAL, ""]
    for command in commands:
        for answer in answers:
            bench = Bench() if isinstance(command, Open) else opened(EINFO_DUAL)
            bench.give(command)
            for _ in range(20):
                for item in bench.engine.outgoing():
                    assert not isinstance(item, bytes) or not FLASH.search(item)
                bench.hear("EVER 1.2.10", EINFO_DUAL, answer)
                if bench.engine.deadline() is not None:
                    bench.silence()


def test_an_engine_is_a_module() -> None:
    """The protocol that sessions are written against is met."""
    module: Module = Engine()
    assert not module.busy
