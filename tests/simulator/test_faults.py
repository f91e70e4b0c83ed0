"""Each kind of fault that can be scripted does what it says, once or for as long as it says."""

from __future__ import annotations

import pytest
from support.simulator import ADDRESS, NETWORK, OWN, Bench, get, payloads

from hemsd.simulator import Fault, Flaw, Plate, Spell, Strike

ANSWER = "1081123402880105FF017201E10101"


def struck(*faults: Fault, family: str = "SE") -> Bench:
    """A joined bench on which these faults begin now."""
    bench = Bench(family).joined()
    bench.module.faults.add(*faults)
    return bench


def test_send_fails_so_often() -> None:
    """The next two sends end with EVENT 21 01, the third does not."""
    bench = struck(Fault(Flaw.SEND_FAILS, times=2))
    fates = [bench.get(0xE1).split("EVENT 21")[1].split()[1] for _ in range(3)]
    assert fates == ["01", "01", "00"]


def test_send_refused() -> None:
    """SKSENDTO draws ER10 after its data."""
    bench = struck(Fault(Flaw.SEND_REFUSED))
    assert bench.get(0xE1) == "\nFAIL ER10\n"
    assert ANSWER in bench.get(0xE1)


def test_command_refused() -> None:
    """The next command beginning so is refused with the code given; others are not."""
    bench = struck(Fault(Flaw.COMMAND, arg=("SKSCAN", "ER10")))
    assert bench.say("SKVER").endswith("OK\n")
    assert bench.say("SKSCAN 2 FFFFFFFF 4") == "FAIL ER10\n"
    assert bench.say("SKSCAN 2 FFFFFFFF 4") == "OK\n"


def test_inf_before_echo() -> None:
    """An announcement gets between the command and its echo."""
    bench = struck(Fault(Flaw.INF_BEFORE_ECHO))
    text = bench.get(0xE1, seconds=0.01)
    assert text.startswith("ERXUDP")
    assert text.endswith("\n\n")


def test_answer_lost_late_and_twice() -> None:
    """One answer never comes, one comes 30 s later, one comes twice."""
    bench = struck(Fault(Flaw.ANSWER_LOST))
    assert payloads(bench.get(0xE1, seconds=30)) == []
    bench.module.faults.add(Fault(Flaw.ANSWER_LATE, seconds=30))
    assert payloads(bench.get(0xE1, seconds=30)) == []
    assert payloads(bench.say("", 5)) == [ANSWER]
    bench.module.faults.add(Fault(Flaw.ANSWER_TWICE))
    assert payloads(bench.get(0xE1)) == [ANSWER, ANSWER]


def test_answer_shortened_and_refused() -> None:
    """Only the first property, or none with a value; both are ESV 52. An answer to Set is left alone."""
    bench = struck(Fault(Flaw.ANSWER_SHORT), Fault(Flaw.ANSWER_REFUSED))
    setting = bytes.fromhex("1081123405FF010288016101E50101")
    assert payloads(bench.send(setting))[0].endswith("7101E500")
    assert payloads(bench.get(0xE1, 0xD7))[0].endswith("5201E10101")
    assert payloads(bench.get(0xE1, 0xD7))[0].endswith("5202E100D700")


def test_answer_stalls_in_mid_line() -> None:
    """Half the line comes, the rest ten seconds later, and whatever is printed meanwhile comes behind it."""
    bench = struck(Fault(Flaw.ANSWER_STALLED, seconds=10))
    text = bench.get(0xE1, seconds=5)
    assert ANSWER not in text
    assert not text.endswith("\n")
    assert bench.say("SKVER") == ""
    rest = bench.say("", 10)
    assert rest.endswith(ANSWER + "\nEVER 1.2.10\nOK\n")


def test_answer_damaged() -> None:
    """One byte of the line is missing."""
    bench = struck(Fault(Flaw.ANSWER_DAMAGED))
    damaged = bench.get(0xE1).splitlines()[-1]
    assert len(bench.get(0xE1).splitlines()[-1]) - len(damaged) == 1


@pytest.mark.parametrize(("strike", "event"), [(Strike.PEER_CLOSES, "26"), (Strike.LOSE_SESSION, "24")])
def test_session_lost(strike: Strike, event: str) -> None:
    """EVENT 26 or 24 out of the blue; the session is gone and can be made again."""
    bench = struck(Fault(strike))
    assert bench.say("", 1) == bench.event(event)
    assert bench.event("21", "01") in bench.get(0xE1)
    assert bench.event("25") in bench.say(f"SKJOIN {ADDRESS}", 10)


def test_limit_for_a_while() -> None:
    """EVENT 32, sends fail, EVENT 33 after the seconds given; the session stays."""
    bench = struck(Fault(Strike.LIMIT, seconds=60), family="DUAL")
    assert bench.say("", 1) == bench.event("32", of=OWN["DUAL"])
    assert bench.event("21", "01") in bench.get(0xE1)
    assert bench.say("", 60) == bench.event("33", of=OWN["DUAL"])
    assert ANSWER in bench.get(0xE1)


def test_nothing_is_joined_within_the_limit() -> None:
    """Every transmission is cancelled: no beacon is asked for, no authentication gets through."""
    bench = struck(Fault(Strike.LIMIT, seconds=100), family="DUAL")
    bench.say("", 1)
    assert "EPANDESC" not in bench.say("SKSCAN 2 FFFFFFFF 6 0", 30)
    assert bench.event("24") in bench.say(f"SKJOIN {ADDRESS}", 45)
    assert bench.event("33", of=OWN["DUAL"]) in bench.say("", 40)
    assert bench.event("25") in bench.say(f"SKJOIN {ADDRESS}", 10)


def test_meter_restarts() -> None:
    """A meter that forgot the session acknowledges and says nothing, until it is joined again."""
    bench = struck(Fault(Strike.METER_RESTARTS))
    assert bench.get(0xE1, seconds=60) == "\n" + bench.event("21", "00") + "OK\n"
    bench.say("SKREJOIN", 10)
    assert ANSWER in bench.get(0xE1)


def test_meter_moves() -> None:
    """After a change of PAN nothing is acknowledged; a scan finds it where it is now."""
    bench = struck(Fault(Strike.MOVE_PAN, arg=(0x39, 0x1234)))
    assert bench.event("21", "01") in bench.get(0xE1)
    assert bench.say("SKTERM", 60).endswith(bench.event("28"))
    text = bench.say("SKSCAN 2 FFFFFFFF 6", 20)
    assert "  Channel:39\n" in text
    assert "  Pan ID:1234\n" in text


def test_announcements_on_demand() -> None:
    """The meter announces half-hour values or a state now."""
    bench = struck(Fault(Strike.NOTIFY), Fault(Strike.METER_STATUS, arg=(0x88, b"\x41")))
    energy, state = payloads(bench.say("", 1))
    assert energy[20:26] == "7302EA"
    assert state[20:] == "73018801" + "41"


def test_garbage() -> None:
    """Bytes appear on the line."""
    assert struck(Fault(Strike.GARBAGE, arg=b"\xff\x00\r\nEVE")).raw(b"", 1) == b"\xff\x00\r\nEVE"


def test_module_restarts() -> None:
    """After its watchdog the module is as after power-up: echo on, no session; the flash is as it was."""
    bench = struck(Fault(Strike.REBOOT))
    bench.say("", 1)
    assert bench.say("SKTERM") == "SKTERM\nFAIL ER10\n"
    assert bench.raw(b"ROPT\r") == b"ROPT\rOK 01\r"


def test_module_hangs() -> None:
    """Deaf and dumb for a while; what was said to it is lost, the session is not."""
    bench = struck(Fault(Spell.HANG, at=100, seconds=60))
    bench.say("", 100)
    assert bench.say("SKVER", 60) == ""
    assert bench.say("SKVER", 1) == "EVER 1.2.10\nOK\n"
    assert ANSWER in bench.get(0xE1)


def test_stick_is_pulled_out() -> None:
    """While it is out nothing is heard; when it is back it has just been powered up."""
    bench = struck(Fault(Spell.UNPLUGGED, at=100, seconds=60))
    assert bench.module.plugged
    bench.say("", 100)
    assert not bench.module.plugged
    assert bench.say("SKVER", 60) == ""
    assert bench.module.plugged
    assert bench.say("SKTERM") == "SKTERM\nFAIL ER10\n"


def test_radio_lost() -> None:
    """No acknowledgement, no beacon, no authentication; afterwards the session still works."""
    bench = struck(Fault(Spell.RADIO_LOST, seconds=200))
    assert bench.event("21", "01") in bench.get(0xE1)
    assert "EPANDESC" not in bench.say("SKSCAN 2 FFFFFFFF 6", 20)
    bench.say("", 200)
    assert ANSWER in bench.get(0xE1)


def test_meter_silent() -> None:
    """Acknowledged, but neither answered nor announced; a join fails."""
    bench = struck(Fault(Spell.METER_SILENT, seconds=3600))
    assert bench.get(0xE1) == "\n" + bench.event("21", "00") + "OK\n"
    assert payloads(bench.say("", 3500)) == []
    bench.say("SKRESET")
    bench.quiet().identify()
    assert bench.say(f"SKJOIN {ADDRESS}", 60).endswith(bench.event("24"))


@pytest.mark.parametrize(
    ("epc", "edt"), [(0xE8, "7FFE7FFE"), (0xE0, "FFFFFFFE"), (0xE7, "7FFFFFFE"), (0xE7, "80000000")]
)
def test_sentinel_values(epc: int, edt: str) -> None:
    """A property has a given value for a while, and its own again afterwards."""
    bench = struck(Fault(Spell.VALUE, seconds=60, arg=(epc, bytes.fromhex(edt))))
    assert payloads(bench.get(epc))[0].endswith(edt)
    bench.say("", 60)
    assert not payloads(bench.get(epc))[0].endswith(edt)


def test_a_property_the_meter_lacks_stays_absent() -> None:
    """A value cannot be put where there is no property: 9F lacks D3 and Get is refused."""
    spell = Fault(Spell.VALUE, seconds=60, arg=(0xD3, bytes(4)))
    bench = Bench("SE", meter={"plate": Plate(coefficient=None)}, faults=[spell]).joined()
    assert payloads(bench.get(0xD3))[0].endswith("5201D300")


def test_closing_unanswered() -> None:
    """SKTERM that nobody confirms ends with EVENT 28, and the session is over all the same."""
    bench = struck(Fault(Flaw.CLOSE_UNANSWERED))
    assert bench.say("SKTERM", 60) == "OK\n" + bench.event("28")
    assert bench.say("SKTERM") == "FAIL ER10\n"


def test_a_script_is_played_at_its_times() -> None:
    """Faults come in the order of their times, whatever steps time takes, and each just once."""
    script = [
        Fault(Strike.GARBAGE, at=300, arg=b"c"),
        Fault(Strike.GARBAGE, at=100, arg=b"a"),
        Fault(Strike.GARBAGE, at=200, arg=b"b"),
    ]
    bench = Bench("SE", faults=script)
    bench.module.tick(250)
    assert bench.module.outgoing() == [b"a", b"b"]
    bench.module.tick(1000)
    assert bench.module.outgoing() == [b"c"]


def test_same_seed_same_storm() -> None:
    """Two modules with the same seeds and script print the same bytes at the same times."""
    script = [Fault(Flaw.ANSWER_LATE, at=60, seconds=9), Fault(Strike.EXPIRE, at=120), Fault(Flaw.SEND_FAILS, at=200)]
    benches = [Bench("DUAL", faults=script, seed=5).joined() for _ in range(2)]
    for bench in benches:
        for _ in range(30):
            bench.send(get(0xE7, 0xE8), 10)
    assert benches[0].printed == benches[1].printed
    assert len(benches[0].printed) > 90
    assert NETWORK.password not in repr(benches[0].module.air.network)


def test_selector_moved() -> None:
    """Before the next history is told another controller has selected another day; other Gets are let through."""
    bench = struck(Fault(Flaw.SELECTOR_MOVED, arg=(0xE5, b"\x09")))
    bench.send(bytes.fromhex("1081000105FF0102880161" + "01E50103"))
    assert "E50103" in payloads(bench.get(0xE5))[0]
    assert "E2C20009" in payloads(bench.get(0xE2))[0]
    bench.send(bytes.fromhex("1081000105FF0102880161" + "01E50103"))
    assert "E2C20003" in payloads(bench.get(0xE2))[0]


def test_meter_exchanged() -> None:
    """The new meter answers at its own address only, to whoever joins it."""
    bench = struck(Fault(Strike.METER_EXCHANGED, arg=(Plate(serial="F0A000099999"), "001C640060149999")))
    bench.say("", 1)
    assert payloads(bench.get(0xE1)) == []
    assert "Addr:001C640060149999" in bench.say("SKSCAN 2 FFFFFFFF 6", 30)


def test_meter_set_up() -> None:
    """The same meter in the same session counts in another unit."""
    bench = struck(Fault(Strike.METER_SET_UP, arg=Plate(unit=0x02)))
    assert payloads(bench.get(0xE1)) == [ANSWER[:-2] + "02"]
