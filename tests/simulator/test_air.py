"""What happens in the air: scans, authentication, sending, lifetimes, the transmission limit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.simulator import ADDRESS, NETWORK, OWN, Bench, get, payloads

from hemsd.simulator import Fault, Flash, Flaw, Spell, Strike, Timing

FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])
OTHER = "FE80:0000:0000:0000:021C:6400:6014:FFFF"


def scan(bench: Bench, arguments: str, seconds: float = 80) -> str:
    return bench.say(f"SKSCAN {arguments}{bench.side}", seconds)


@FAMILIES
def test_scan_finds_the_meter_with_its_pairing_id(family: str) -> None:
    """EVENT 20, the EPANDESC block as this family prints it, and EVENT 22 at the end."""
    bench = Bench(family).quiet().identify()
    own = OWN[family]
    side = "  Side:0\n" if family == "DUAL" else ""
    description = (
        f"EPANDESC\n  Channel:31\n  Channel Page:09\n  Pan ID:B5FB\n  Addr:{NETWORK.mac}\n  LQI:A5\n"
        f"{side}  PairID:0194BFAD\n"
    )
    expected = "OK\n" + bench.event("20", of=own) + description + bench.event("22", of=own)
    assert scan(bench, "2 FFFFFFFF 6") == expected


def test_scan_takes_its_time() -> None:
    """Each channel takes 9.6 ms * (2**duration + 1): 17.5 s for all 28 at duration 6."""
    bench = Bench("SE").quiet()
    scan(bench, "2 FFFFFFFF 6")
    assert bench.printed[-1][0] == pytest.approx(0.0096 * 65 * 28, abs=0.1)
    assert Bench("SE").quiet().say("SKSCAN 2 FFFFFFFF 6", 17) == "OK\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("2 FFFFFFFF 4", "the duration is below what this meter needs"),
        ("2 00000001 6", "the mask leaves its channel out"),
    ],
)
def test_empty_scan_still_ends(arguments: str, why: str) -> None:
    """A scan that finds nothing ends with EVENT 22 alone."""
    bench = Bench("SE").quiet().identify()
    assert scan(bench, arguments) == "OK\n" + bench.event("22", of=OWN["SE"]), why


def test_meter_of_another_pairing_id_keeps_silent() -> None:
    """With the wrong Route B ID no beacon answers an active scan; without the pairing ID (mode 3) it does."""
    bench = Bench("SE").quiet().identify(route_b_id="F" * 32)
    assert "EPANDESC" not in scan(bench, "2 FFFFFFFF 6")
    text = scan(bench, "3 FFFFFFFF 6")
    assert "  Pan ID:B5FB\n" in text
    assert "PairID" not in text


@FAMILIES
def test_energy_detection(family: str) -> None:
    """Mode 0 ends with EVENT 1F and the noise on each channel, the side first in the dual-stack family."""
    bench = Bench(family).quiet()
    text = scan(bench, "0 00000003 4")
    *_, event, title, levels = text.splitlines()
    assert event + "\n" == bench.event("1F", of=OWN[family])
    assert title == "EEDSCAN"
    words = levels.split(" ")
    assert words[0 if family == "SE" else 1 :: 2] == ["21", "22"]
    assert len(words) == (4 if family == "SE" else 5)


@pytest.mark.parametrize("arguments", ["1 FFFFFFFF 6", "2 FFFFFFFFF 6", "2 FFFFFFFF F", "2 XYZ 6"])
def test_scan_arguments_out_of_range(arguments: str) -> None:
    """Modes 0, 2 and 3, eight digits of mask, durations to E."""
    assert scan(Bench("SE").quiet(), arguments, 0) == "FAIL ER06\n"


@FAMILIES
def test_nothing_else_during_a_scan(family: str) -> None:
    """While it scans the module refuses to scan, join or send, and still answers other commands."""
    bench = Bench(family).quiet().identify()
    scan(bench, "2 FFFFFFFF 6", 1)
    assert scan(bench, "2 FFFFFFFF 6", 0) == "FAIL ER10\n"
    assert bench.say(f"SKJOIN {ADDRESS}") == "FAIL ER10\n"
    assert bench.get(0xE7, seconds=0.1) == "\nFAIL ER10\n"
    assert bench.say("SKSREG S2") == "ESREG 31\nOK\n"


def test_reset_ends_a_scan() -> None:
    """After SKRESET the scan is over without EVENT 22."""
    bench = Bench("SE").quiet().identify()
    scan(bench, "2 FFFFFFFF 6", 1)
    assert "EVENT" not in bench.say("SKRESET", 60)
    assert scan(bench, "2 FFFFFFFF 4", 0).endswith("OK\n")


@FAMILIES
def test_join(family: str) -> None:
    """OK, neighbour solicitation, the meter's four PANA datagrams each answered, EVENT 25, its D5."""
    bench = Bench(family).quiet().identify()
    lines = bench.say(f"SKJOIN {ADDRESS}", 10).splitlines()
    kinds = [" ".join(line.split(" ")[:2]) if line.startswith("EVENT") else line.split(" ")[0] for line in lines]
    assert kinds == [
        "OK",
        *("EVENT 21", "EVENT 02"),
        *("ERXUDP", "EVENT 21") * 4,
        "EVENT 25",
        "ERXUDP",
    ]
    assert payloads("\n".join(lines)) == ["108100000EF0010EF0017301D50401028801"]


@pytest.mark.parametrize(
    "wrong", [{"password": "0123456789AC"}, {"route_b_id": "0" * 31 + "1"}, {"password": "0123456789ab"}]
)
def test_wrong_credentials(wrong: dict[str, str]) -> None:
    """The meter stops after its challenge; EVENT 24 follows when the module has tried for 38 s."""
    bench = Bench("SE").quiet().identify(**wrong)
    text = bench.say(f"SKJOIN {ADDRESS}", 60)
    assert [line.split(" ")[7] for line in text.splitlines() if line.startswith("ERXUDP")] == ["0028", "0068"]
    assert text.endswith(bench.event("24"))
    assert bench.printed[-1][0] == pytest.approx(38)


def test_join_where_nobody_is() -> None:
    """On a wrong channel or address nothing comes but EVENT 24."""
    bench = Bench("SE").quiet().identify()
    bench.say("SKSREG S2 33")
    assert bench.say(f"SKJOIN {ADDRESS}", 60) == "OK\n" + bench.event("21", "02") + bench.event("24")


def test_join_soon_after_leaving_fails() -> None:
    """Within ten seconds after SKTERM the meter admits nobody; later it does."""
    bench = Bench("DUAL").joined()
    assert bench.say("SKTERM", 1) == "OK\n" + bench.event("27")
    assert bench.say(f"SKJOIN {ADDRESS}", 60).endswith(bench.event("24"))
    assert bench.event("25") in bench.say(f"SKJOIN {ADDRESS}", 60)


def test_join_during_a_join_is_refused() -> None:
    """One authentication at a time, and no sending before EVENT 25."""
    bench = Bench("SE").quiet().identify()
    bench.say(f"SKJOIN {ADDRESS}", 1)
    assert "FAIL ER10\n" in bench.say(f"SKJOIN {ADDRESS}")
    assert bench.get(0xE7, seconds=0.01).endswith("FAIL ER10\n")


def test_session_survives_until_reset() -> None:
    """The session lives in the module: sending works much later, and not after SKRESET."""
    bench = Bench("SE").joined()
    bench.say("", 20_000)
    assert len(payloads(bench.get(0xE7))) == 1
    bench.say("SKRESET")
    bench.quiet()
    assert bench.get(0xE7) == "\n" + bench.event("21", "01") + "OK\n"


def test_get_is_answered_after_ok() -> None:
    """EVENT 21, OK and a second later the answer, with the latencies of a real meter."""
    bench = Bench("SE").joined()
    begun = bench.now
    text = bench.get(0xE1)
    head = "\n" + bench.event("21", "00") + "OK\n"
    line = f"ERXUDP {ADDRESS} {OWN['SE']} 0E1A 0E1A {NETWORK.mac} 1 000F 1081123402880105FF017201E10101\n"
    assert text == head + line
    assert 0.7 < bench.printed[-1][0] - begun < 1.6


def test_erxudp_of_dual_stack_modules() -> None:
    """SIDE stands after SECURED; with SA2 set LQI stands before it."""
    bench = Bench("DUAL").joined()
    assert bench.get(0xE1).splitlines()[-1].split(" ")[6:9] == ["1", "0", "000F"]
    bench.say("SKSREG SA2 1")
    words = bench.get(0xE1).splitlines()[-1].split(" ")
    assert abs(int(words[6], 16) - NETWORK.lqi) <= 3
    assert words[7:10] == ["1", "0", "000F"]


def test_binary_payloads() -> None:
    """As delivered, data comes as raw bytes that only their length delimits."""
    bench = Bench("SE", flash=Flash()).joined()
    bench.raw(b"WOPT 00\r")
    text = bench.send(get(0xD7))
    assert text.endswith(" 000F " + bytes.fromhex("1081123402880105FF017201D70106").decode("latin-1") + "\n")


def test_unknown_neighbour_is_solicited_first() -> None:
    """EVENT 21 02 and OK at once, EVENT 02 and EVENT 21 00 when it is found, then the answer."""
    bench = Bench("DUAL").joined()
    bench.module.faults.add(Fault(Strike.FORGET_NEIGHBOUR))
    text = bench.get(0xE1)
    found = bench.event("02") + bench.event("21", "00")
    assert text.startswith("\n" + bench.event("21", "02") + "OK\n" + found + "ERXUDP")


def test_skaddnbr_spares_the_solicitation() -> None:
    """A neighbour told by hand needs not be found."""
    bench = Bench("SE").quiet().identify()
    bench.say(f"SKADDNBR {ADDRESS} {NETWORK.mac}")
    assert bench.say(f"SKJOIN {ADDRESS}", 0.5) == "OK\n" + bench.event("21", "00")


def test_sending_to_nobody() -> None:
    """Without an acknowledgement the fate is 01, after the solicitation that comes first."""
    bench = Bench("SE").joined()
    expected = "\n" + bench.event("21", "02", of=OTHER) + "OK\n" + bench.event("21", "01", of=OTHER)
    assert bench.send(get(0xE7), to=OTHER) == expected


@pytest.mark.parametrize(("security", "fate"), [(0, "00"), (1, "01"), (2, "00")])
def test_sending_without_a_session(security: int, fate: str) -> None:
    """1 is encrypted or not sent; 0 and 2 go out plain, and the meter ignores them."""
    bench = Bench("SE").quiet().identify()
    bench.say(f"SKADDNBR {ADDRESS} {NETWORK.mac}")
    assert bench.send(get(0xE7), security=security) == "\n" + bench.event("21", fate) + "OK\n"


def test_multicast_reaches_the_meter() -> None:
    """A request to FF02::1 needs no neighbour and is answered."""
    bench = Bench("SE").joined()
    everyone = "FF02:0000:0000:0000:0000:0000:0000:0001"
    text = bench.send(get(0xE1), to=everyone)
    assert bench.event("21", "00", of=everyone) in text
    assert len(payloads(text)) == 1


def test_ping() -> None:
    """EPONG comes from the meter, and nothing from where nobody is."""
    bench = Bench("SE").joined()
    assert bench.say(f"SKPING {ADDRESS}", 1) == f"OK\nEPONG {ADDRESS}\n"
    assert bench.say(f"SKPING {OTHER}", 1) == "OK\n"


def test_rejoin() -> None:
    """SKREJOIN within a session authenticates again and the meter greets again."""
    bench = Bench("SE").joined()
    text = bench.say("SKREJOIN", 10)
    assert bench.event("25") in text
    assert len(payloads(text)) == 1


def test_module_renews_its_session_by_itself() -> None:
    """At 80 % of the lifetime EVENT 25 comes by itself, and EVENT 29 never; sending goes on meanwhile."""
    bench = Bench("SE", timing=Timing(lifetime_s=1000)).joined()
    text = bench.say("", 10_000)
    assert text.count("EVENT 25") == 12
    assert "EVENT 29" not in text


def test_session_expires_where_renewal_is_off() -> None:
    """With S17 = 0 the lifetime ends with EVENT 29 and the session."""
    bench = Bench("SE", timing=Timing(lifetime_s=1000)).quiet()
    bench.say("SKSREG S17 0")
    bench.joined()
    assert bench.say("", 1000).endswith(bench.event("29"))
    assert bench.get(0xE7).endswith(bench.event("21", "01") + "OK\n")


@pytest.mark.parametrize(("lost_s", "end"), [(300, "25"), (2000, "24")])
def test_expiry_while_the_radio_is_down(lost_s: float, end: str) -> None:
    """A renewal that cannot be made leads to EVENT 29, then 25 if the meter is back and 24 if not."""
    lost = Fault(Spell.RADIO_LOST, at=700, seconds=lost_s)
    bench = Bench("SE", timing=Timing(lifetime_s=1000), faults=[lost]).joined()
    text = bench.say("", 1100)
    assert bench.event("29") in text
    assert bench.event(end) in text.split("EVENT 29")[1]


def test_sending_is_refused_between_expiry_and_renewal() -> None:
    """From EVENT 29 until EVENT 25 SKSENDTO draws ER10."""
    bench = Bench("SE").joined()
    bench.module.faults.add(Fault(Strike.EXPIRE))
    assert bench.event("29") in bench.say("", 1)
    assert bench.get(0xE7, seconds=0.1).endswith("FAIL ER10\n")
    assert bench.event("25") in bench.say("", 10)
    assert len(payloads(bench.get(0xE7))) == 1


def test_transmission_limit() -> None:
    """Beyond the limit EVENT 32 comes, sends fail with 01, SFB is 1; EVENT 33 when the hour has moved on."""
    bench = Bench("DUAL", timing=replace(Timing(), duty_limit_s=0.2)).joined()
    text = ""
    while "EVENT 32" not in text:
        text = bench.get(0xE7)
    assert bench.event("32", of=OWN["DUAL"]) in text
    assert bench.get(0xE7) == "\n" + bench.event("21", "01") + "OK\n"
    assert bench.say("SKSREG SFB") == "ESREG 1\nOK\n"
    bench.say("SKRESET")
    text = bench.say("", 3600)
    assert bench.event("33", of=OWN["DUAL"]) in text
    assert "ESREG 0\n" in bench.say("SKSREG SFB")


def test_air_time_is_counted() -> None:
    """SFD counts the milliseconds sent and can be cleared."""
    bench = Bench("SE").joined()
    before = int(bench.say("SKSREG SFD").split()[1], 16)
    for _ in range(20):
        bench.get(0xE7)
    after = int(bench.say("SKSREG SFD").split()[1], 16)
    assert 100 < after - before < 200
    bench.say("SKSREG SFD 0")
    assert "ESREG 0000000000000000" in bench.say("SKSREG SFD")


def test_half_hour_values_arrive() -> None:
    """A joined module prints the meter's announcement within five minutes after each half-hour."""
    bench = Bench("SE").joined()
    announced = payloads(bench.say("", 3600))
    assert [payload[20:24] for payload in announced] == ["7302", "7302"]


def test_a_day_of_reading() -> None:
    """A day of a Get every minute: each is answered, 48 announcements and one renewal arrive."""
    bench = Bench("DUAL").joined()
    begun = len(bench.printed)
    answers = sum("017202E704" in bench.get(0xE7, 0xE8, seconds=60) for _ in range(1440))
    printed = b"".join(data for _, data in bench.printed[begun:])
    assert answers == 1440
    assert printed.count(b"017302EA0B") == 48
    assert printed.count(b"EVENT 25") == 1


def test_join_can_be_broken_off() -> None:
    """A scripted failure stops half-way, like a wrong password, once."""
    bench = Bench("SE", faults=[Fault(Flaw.JOIN_FAILS)]).quiet().identify()
    assert bench.say(f"SKJOIN {ADDRESS}", 60).endswith(bench.event("24"))
    assert bench.event("25") in bench.say(f"SKJOIN {ADDRESS}", 60)
