"""Finding out what is on the line and setting it up, without asking the user and without writing flash."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.skstack import EINFO_DUAL, EINFO_SE, METER, POWER, PROBE, SELF, Bench, erxudp, opened

import drivers.skstack
from drivers.module import (
    Datagram,
    Done,
    Family,
    Joined,
    Line,
    ModuleInfo,
    NoAnswer,
    Noise,
    Open,
    Ready,
    Refused,
)
from drivers.skstack.vocabulary import FILLER

KEEP = Open(keep_session=True)


def probing() -> Bench:
    """A bench whose engine has just sent its first probe."""
    bench = Bench()
    bench.give(KEEP)
    assert bench.engine.outgoing() == [PROBE]
    return bench


def finish(bench: Bench, einfo: str = EINFO_SE) -> ModuleInfo:
    """Play the rest of Open after EVER and OK."""
    bench.answer(b"SKINFO\r\n", einfo, "OK")
    bench.answer(b"SKSREG SFE 0\r\n", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    bench.answer(b"ROPT\r", b"OK 01\r")
    if einfo == EINFO_DUAL:
        bench.answer(b"SKSREG SA2 1\r\n", "OK")
    *_, ready, done = bench.events()
    assert isinstance(ready, Ready)
    assert done == Done(KEEP)
    return ready.info


def test_a_single_hop_module_is_found_out_and_keeps_its_session() -> None:
    """3.23 SKVER, 3.2 SKINFO (FFFE), 3.1 SKSREG SFE, 3.24 SKAPPVER, 3.31 ROPT; neither SKRESET nor SA2."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    assert finish(bench) == ModuleInfo(
        Family.SE, "1.2.10", SELF, "001D12900003809A", channel=None, pan_id=None, application="rev26e", line=Line()
    )
    assert not bench.engine.busy
    assert bench.engine.deadline() is None


def test_a_dual_stack_module_is_asked_for_signal_quality() -> None:
    """EINFO ends with a side; SA2 means LQI there and something else elsewhere, so it is set only for certain."""
    bench = probing()
    bench.hear("EVER 1.5.2", "OK")
    assert finish(bench, EINFO_DUAL).family is Family.DUAL


def test_channel_and_pan_are_told_where_they_were_ever_set() -> None:
    """3.2: 21 and FFFF are what a reset leaves behind."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    info = finish(bench, EINFO_SE.replace("21 FFFF", "31 B5FB"))
    assert (info.channel, info.pan_id) == (0x31, 0xB5FB)


def test_without_keeping_the_session_the_module_is_reset_first() -> None:
    """3.25: SKRESET ends the session, and brings back the echo, which is put off again after it."""
    bench = Bench()
    bench.give(Open(keep_session=False))
    bench.answer(PROBE, "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_SE.replace("21 FFFF", "31 B5FB"), "OK")
    bench.answer(b"SKRESET\r\n", "OK")
    bench.answer(b"SKINFO\r\n", "SKINFO", EINFO_SE, "OK")
    bench.answer(b"SKSREG SFE 0\r\n", "SKSREG SFE 0", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    bench.answer(b"ROPT\r", b"OK 01\r")
    ready, done = bench.events()
    assert isinstance(ready, Ready)
    assert ready.info.channel is None
    assert done == Done(Open(keep_session=False))


def test_echo_is_no_hindrance() -> None:
    """2: with SFE = 1, as after power-up, every command comes back before its answer."""
    bench = probing()
    bench.hear(b"\r\nSKVER\r\nEVER 1.2.10\r\nOK\r\n")
    bench.answer(b"SKINFO\r\n", b"SKINFO\r" + EINFO_SE.encode() + b"\r\nOK\r\n")
    bench.answer(b"SKSREG SFE 0\r\n", "SKSREG SFE 0", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    bench.answer(b"ROPT\r", b"ROPT\rOK 01\r")
    assert bench.events()[-1] == Done(KEEP)


def test_what_a_module_does_not_know_is_passed_over() -> None:
    """FAIL ER04 to ROPT leaves the payload mode to be learnt, to SKAPPVER leaves the application untold."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_SE, "OK")
    bench.answer(b"SKSREG SFE 0\r\n", "OK")
    bench.answer(b"SKAPPVER\r\n", "FAIL ER04")
    bench.answer(b"ROPT\r", "FAIL ER04")
    ready, done = bench.events()
    assert isinstance(ready, Ready)
    assert ready.info.application == ""
    assert done == Done(KEEP)
    for raw in (True, False):
        bench.hear(erxudp(POWER, raw=raw))
        [heard] = bench.events()
        assert isinstance(heard, Datagram)
        assert heard.payload == POWER


def test_a_product_command_without_any_answer_is_passed_over() -> None:
    """Whatever waits for more of ROPT is ended by the next probe; Open goes on after it."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_DUAL, "OK")
    bench.answer(b"SKSREG SFE 0\r\n", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    assert bench.engine.outgoing() == [b"ROPT\r"]
    assert bench.silence() == [PROBE]
    bench.hear("FAIL ER04", "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", EINFO_DUAL, "OK")
    bench.answer(b"SKSREG SA2 1\r\n", "OK")
    assert bench.events()[-1] == Done(KEEP)


@pytest.mark.parametrize(("mode", "raw"), [("OK 00", True), ("OK 01", False)])
def test_the_payload_mode_is_read_never_set(mode: str, raw: bool) -> None:
    """3.31: a payload of hexadecimal digits is what the mode says it is."""
    bench = opened(mode=mode)
    bench.hear(erxudp(b"1081", raw=raw))
    [heard] = bench.events()
    assert isinstance(heard, Datagram)
    assert heard.payload == b"1081"


@pytest.mark.parametrize("mark", ["1234", "2", "FFFF"])
def test_an_unknown_family_is_left_open(mark: str) -> None:
    """EINFO with another last field decides nothing, and SA2 is not touched; ER05 will tell."""
    bench = opened(EINFO_SE.replace("FFFE", mark))
    assert bench.engine.outgoing() == []


# --- waking it up -----------------------------------------------------------------------------------------------


def test_a_lost_first_command_is_repeated_soon() -> None:
    """After power-up the first command is often eaten: the waits begin short and grow."""
    bench = probing()
    began = bench.now
    assert bench.silence() == [PROBE]
    first = bench.now - began
    assert bench.silence() == [PROBE]
    assert 0.1 < first < bench.now - began - first < 1
    bench.hear("EVER 1.2.10", "OK")
    finish(bench)


def test_answers_to_earlier_probes_are_not_taken_for_later_ones() -> None:
    """EINFO answers nothing but SKINFO: what comes late before it is left over from the probes."""
    bench = probing()
    bench.silence()
    bench.hear("EVER 1.2.10", "OK")
    assert bench.engine.outgoing() == [b"SKINFO\r\n"]
    bench.hear("EVER 1.2.10", "OK")
    assert bench.engine.outgoing() == []
    bench.hear(EINFO_SE, "OK")
    bench.answer(b"SKSREG SFE 0\r\n")


def test_refusals_of_noise_are_survived() -> None:
    """7: ER04 and ER09 answer what was half on the line before the first probe."""
    bench = probing()
    bench.hear(b"\x00\xff", "FAIL ER04", "FAIL ER09", "OK", "EVER 1.2.10", "OK")
    finish(bench)


def test_a_garbled_question_is_asked_again() -> None:
    """7: ER09 says that the line did not arrive as sent."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", "FAIL ER09")
    bench.answer(PROBE, "FAIL ER04", "EVER 1.2.10", "OK")
    finish(bench)


def test_a_question_garbled_twice_is_refused() -> None:
    """Once more is enough: then the person must hear of it."""
    bench = probing()
    bench.hear("EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", "FAIL ER09")
    bench.answer(PROBE, "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", "FAIL ER09")
    assert bench.events() == [Refused(KEEP, "ER09", "SKINFO")]


def test_a_module_left_in_the_middle_of_a_datagram_is_freed() -> None:
    """3.7: a SKSENDTO cut short swallows all that comes until its length is reached; a filler ends that."""
    bench = probing()
    swallowing = 1000
    sent = [PROBE]
    while sum(map(len, sent)) < swallowing:
        sent += [item for item in bench.silence() if isinstance(item, bytes)]
    assert sent[-1] == FILLER + PROBE
    assert bench.now < 103
    bench.hear(f"EVENT 21 {METER} 01", "OK", "EVER 1.2.10", "OK")
    finish(bench)


def test_what_comes_unasked_meanwhile_is_told() -> None:
    """A session that survived in the module goes on talking."""
    bench = probing()
    bench.hear(f"EVENT 25 {METER}", erxudp(POWER), "EVER 1.2.10", "OK")
    joined, datagram = bench.events()
    assert joined == Joined(METER)
    assert isinstance(datagram, Datagram)
    finish(bench)


# --- the line ---------------------------------------------------------------------------------------------------


def settings(bench: Bench, *, until: Line | None = None) -> list[Line]:
    """Let silence go on until the engine gives up or sets the line so; how it set the line meanwhile."""
    lines: list[Line] = []
    while bench.engine.busy:
        lines += [item for item in bench.silence() if isinstance(item, Line)]
        if until is not None and lines[-1:] == [until]:
            break
    return lines


ELSEWHERE = [Line(rtscts=True), Line(57600), Line(38400), Line(19200), Line(9600)]


def test_stored_flow_control_and_rates_are_tried() -> None:
    """3.32 WUART may have stored them: RTS/CTS first, then the slower rates; then there is no answer."""
    bench = probing()
    assert settings(bench) == ELSEWHERE
    [ending] = bench.events()
    assert isinstance(ending, NoAnswer)
    assert ending.command == KEEP
    assert ending.waited_s == pytest.approx(bench.now - 100)
    assert 3 < ending.waited_s < 15
    assert bench.engine.deadline() is None


@pytest.mark.parametrize("line", ELSEWHERE)
def test_a_module_on_another_setting_is_found_there(line: Line) -> None:
    """The setting is part of what is told of the module."""
    bench = probing()
    settings(bench, until=line)
    bench.hear("EVER 1.5.2", "OK")
    assert finish(bench).line == line


def test_the_setting_that_worked_is_tried_first_next_time() -> None:
    """After a later failure of another command, and of Open, the usual setting is where to begin."""
    bench = probing()
    settings(bench, until=Line(57600))
    bench.hear("EVER 1.5.2", "OK")
    finish(bench)
    bench.give(KEEP)
    assert bench.engine.outgoing() == [PROBE]
    assert settings(bench) == [line for line in [Line(), *ELSEWHERE] if line != Line(57600)]
    bench.give(KEEP)
    assert bench.engine.outgoing() == [Line(57600), PROBE]


def test_rubbish_of_a_wrong_rate_does_not_spoil_the_right_one() -> None:
    """What was held back of the old setting is forgotten with it."""
    bench = probing()
    bench.hear(b"\x80\x00\x1c")
    settings(bench, until=Line(57600))
    bench.hear("EVER 1.5.2", "OK")
    finish(bench)


def test_an_answer_slower_than_its_bytes_is_waited_for() -> None:
    """A filler takes more than a second on the wire at 9600: the wait counts from its end."""
    bench = probing()
    settings(bench, until=Line(9600))
    before = bench.now
    assert bench.silence() == [FILLER + PROBE]
    before = bench.now
    bench.silence()
    assert bench.now - before > 1.3


# --- flash ------------------------------------------------------------------------------------------------------


def test_no_word_that_writes_flash_is_in_the_code() -> None:
    """WOPT, WUART, SKSAVE, SKUDPPORT, SKERASE, SFF: good for 10 000 writes, and never sent."""
    for source in Path(drivers.skstack.__file__).parent.glob("*.py"):
        for literal in ('"WOPT', '"WUART', '"SKSAVE', '"SKUDPPORT', '"SKERASE', "SFF"):
            assert literal not in source.read_text()


def test_lines_without_meaning_are_told_as_noise() -> None:
    """For diagnosis, while Open goes on."""
    bench = probing()
    bench.hear("Linux raspberrypi login:")
    assert bench.events() == [Noise("Linux raspberrypi login:")]
    bench.hear("EVER 1.2.10", "OK")
    finish(bench)
