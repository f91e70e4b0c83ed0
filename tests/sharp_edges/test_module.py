"""Sharp edges of the modules' language, through the whole link: what a naive implementation gets wrong."""

from __future__ import annotations

import re

import pytest
from support.wired import CREDENTIALS, METER, NETWORK, PAN, Wired

from drivers.module import (
    BeaconHeard,
    Credentials,
    Datagram,
    Fate,
    Noise,
    Pan,
    Ready,
    Transmission,
)
from drivers.module import Family as Kind
from hemsd.echonet.exchange import Missing, Notification
from hemsd.echonet.frame import ESV, Property
from hemsd.routeb.stages import Scanned, Stage
from hemsd.simulator import Fault, Flash, Flaw, Network, Spell, Strike

FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])
POWER = bytes.fromhex("1081000102880105FF017201E704000001F8")
ANSWER_S = 3.0


def erxudp(middle: str, *, payload: bytes = POWER, sender: str = METER) -> str:
    """An ERXUDP from the meter; `middle` is what stands between the MAC address and LEN."""
    own = "FE80:0000:0000:0000:021D:1290:0005:747B"
    return f"ERXUDP {sender} {own} 0E1A 0E1A {NETWORK.mac} {middle} {len(payload):04X} {payload.hex().upper()}"


def answered(bench: Wired, *epcs: int, within_s: float = ANSWER_S) -> dict[int, bytes | Missing]:
    """Ask for properties; what they come to within that time."""
    request = bench.get(*epcs)
    bench.run(within_s, lambda: request.done)
    assert request.done
    return request.answers


@pytest.mark.parametrize(("family", "claims"), [("SE", b" 0\r\n"), ("DUAL", b" FFFE\r\n"), ("DUAL", b" 1234\r\n")])
def test_edge_01_the_families_count_arguments_differently(family: str, claims: bytes) -> None:
    """A module taken for the other family is spoken to its own way after one refusal, and read like any other."""
    bench = Wired(family, remembered=None)
    bench.on_its_way = lambda data: re.sub(rb"(EINFO .*) \w+\r\n", rb"\1" + claims, data)
    bench.online()
    assert bench.printed.count(b"FAIL ER05") <= 1
    ready = [event.info.family for event in bench.heard if isinstance(event, Ready)]
    assert ready[-1] is Kind[family]
    assert isinstance(answered(bench, 0xE7)[0xE7], bytes)


@FAMILIES
def test_edge_02_product_commands_end_with_cr_alone(family: str) -> None:
    """ROPT's answer has no LF: it is not waited for, and the next command follows at once."""
    bench = Wired(family).online()
    [(asked_at, ropt)] = bench.said("ROPT")
    assert ropt == b"ROPT\r"
    assert re.search(rb"OK 00\r(?!\n)", bench.printed)
    following = [at for at, data in bench.written if at >= asked_at and not data.startswith(b"ROPT")]
    assert following[0] - asked_at < 0.1


@FAMILIES
def test_edge_03_skll64_answers_without_ok(family: str) -> None:
    """It is not needed: the address follows from the MAC, and its bare line on the wire ends nothing else."""
    bench = Wired(family).online()
    assert bench.said("SKLL64") == []
    assert bench.said("SKJOIN")[0][1] == f"SKJOIN {METER}\r\n".encode()
    request = bench.get(0xE7)
    bench.say(METER)
    assert not request.done
    bench.run(ANSWER_S)
    assert isinstance(request.answers[0xE7], bytes)
    assert not [event for event in bench.heard if isinstance(event, Noise)]


@FAMILIES
def test_edge_04_sksendto_has_exact_widths_and_raw_bytes(family: str) -> None:
    """Full addresses, four-digit numbers, the bytes announced and not one more."""
    bench = Wired(family).online()
    answered(bench, 0xE7, 0xE8, 0xE0)
    [(_, sent)] = bench.said("SKSENDTO")
    side = b"0 " if family == "DUAL" else b""
    header = re.match(rb"SKSENDTO 1 (?:[0-9A-F]{4}:){7}[0-9A-F]{4} 0E1A 1 " + side + rb"([0-9A-F]{4}) ", sent)
    assert header is not None
    assert len(sent) == header.end() + int(header[1], 16)
    assert sent[header.end() :].startswith(b"\x10\x81")


@FAMILIES
def test_edge_04_a_module_wedged_by_a_short_payload_is_freed(family: str) -> None:
    """It swallows whatever comes until its count is full; so it is fed, and then it hears again."""
    bench = Wired(family)
    bench.module.receive(f"SKSENDTO 1 {METER} 0E1A 1{bench.side} 04D0 half".encode(), 0)
    bench.online()
    assert isinstance(answered(bench, 0xE7)[0xE7], bytes)


@FAMILIES
def test_edge_05_event_21_comes_before_ok_and_an_inf_before_the_echo(family: str) -> None:
    """Neither order confuses request and answer, and the announcement is heard."""
    bench = Wired(family).online()
    bench.strike(Fault(Flaw.INF_BEFORE_ECHO))
    printed = len(bench.printed)
    answers = answered(bench, 0xE7)
    said = bench.printed[printed:]
    assert said.index(b"ERXUDP") < said.index(b"EVENT 21") < said.index(b"OK\r\n")
    assert isinstance(answers[0xE7], bytes)
    assert [each.frame.esv for each in bench.events(Notification)][-1] == ESV.INF


@FAMILIES
def test_edge_06_event_21_02_is_no_error_and_01_the_only_quick_one(family: str) -> None:
    """02 is waited through; 01 is acted on within a second, long before an answer would be missed."""
    bench = Wired(family).online()
    bench.strike(Fault(Strike.FORGET_NEIGHBOUR))
    answered(bench, 0xE7)
    assert Transmission(METER, Fate.RESOLVING) in bench.heard
    assert len(bench.said("SKSENDTO")) == 1
    bench.strike(Fault(Flaw.SEND_FAILS))
    answered(bench, 0xE7)
    _, (first, _), (second, _) = bench.said("SKSENDTO")
    assert second - first < 1.1
    assert bench.losses == 0


@FAMILIES
@pytest.mark.parametrize("stays", [False, True], ids=["turned off", "stays on"])
def test_edge_07_the_echo_returns_with_skreset_and_holds_the_password(family: str, stays: bool) -> None:
    """It is turned off before the credentials are said; a module that will not still tells no secret."""
    bench = Wired(family, remembered=None)
    if stays:
        bench.strike(Fault(Flaw.COMMAND, times=99, arg=("SKSREG SFE", "ER06")))
    bench.online()
    assert bench.said("SKRESET")[-1][0] <= bench.said("SKSREG SFE 0")[-1][0] <= bench.said("SKSETPWD")[0][0]
    assert (b"SKSETPWD" in bench.printed) is stays
    assert isinstance(answered(bench, 0xE7)[0xE7], bytes)
    told = repr(bench.heard) + repr(bench.told)
    assert CREDENTIALS.password not in told
    assert CREDENTIALS.id not in told


@FAMILIES
@pytest.mark.parametrize("glued", ["SKSETPWD", "SKSETRBID"])
def test_edge_07_an_echo_glued_to_the_answer_gives_nothing_away(family: str, glued: str) -> None:
    """Even an echo that lost its line end is not told as noise with the secret in it."""
    bench = Wired(family)
    bench.strike(Fault(Flaw.ECHO_STRAY, arg=glued))
    bench.online()
    told = repr(bench.heard) + repr(bench.told)
    assert CREDENTIALS.password.encode() in bench.printed or CREDENTIALS.id.encode() in bench.printed
    assert CREDENTIALS.password not in told
    assert CREDENTIALS.id not in told


@FAMILIES
@pytest.mark.parametrize("wopt", [0, 1], ids=["binary", "hexadecimal"])
@pytest.mark.parametrize("edt", [b"\r\n\r\n", b"OK\r\n", b"00FF", b"\r\n \0"])
def test_edge_08_a_binary_payload_may_hold_line_ends(family: str, wopt: int, edt: bytes) -> None:
    """Datagrams are cut by their length, in the mode that is found; neither is assumed and none is set."""
    bench = Wired(family, flash=Flash(wopt=wopt)).online()
    bench.strike(Fault(Spell.VALUE, seconds=99, arg=(0xE0, edt)))
    assert answered(bench, 0xE0)[0xE0] == edt
    assert bench.module.flash.writes == 0


@pytest.mark.parametrize(
    ("middle", "lqi", "secured"),
    [
        ("1", None, True),
        ("0", None, False),
        ("1 0", None, True),
        ("0 0", None, False),
        ("2D 1", 0x2D, True),
        ("01 0", 1, False),
        ("2D 1 0", 0x2D, True),
        ("01 0 0", 1, False),
    ],
)
def test_edge_09_ten_tokens_of_erxudp_mean_two_things(middle: str, lqi: int | None, secured: bool) -> None:
    """LQI has two digits, SECURED and SIDE have one: their width tells which is there."""
    bench = Wired("DUAL", flash=Flash(wopt=1)).online()
    bench.say(erxudp(middle))
    heard = bench.heard[-1]
    assert isinstance(heard, Datagram)
    assert (heard.lqi, heard.secured, heard.payload) == (lqi, secured, POWER)


def test_edge_10_sa2_is_signal_quality_on_one_family_and_power_on_the_other() -> None:
    """It is set where it surely means the former: never on a single-hop stack, nor before the family is certain."""
    assert Wired("SE").online().said("SKSREG SA2") == []
    assert len(Wired("DUAL").online().said("SKSREG SA2 1")) == 1
    unsure = Wired("DUAL", remembered=None)
    unsure.on_its_way = lambda data: re.sub(rb"(EINFO .*) \w+\r\n", rb"\1 1234\r\n", data)
    unsure.online()
    assert unsure.said("SKSREG SA2 1")[0][0] > unsure.said("SKSCAN")[0][0]


@FAMILIES
def test_edge_11_a_beacon_has_no_end_and_a_scan_does(family: str) -> None:
    """Incomplete beacons, others' pairing IDs and an empty scan are nothing; what counts is known after EVENT 22."""
    bench = Wired(family, remembered=None)
    bench.strike(Fault(Spell.RADIO_LOST, seconds=14))
    bench.link.begin(0)
    bench.run(60, lambda: bool(bench.said("SKSCAN")))
    bench.run(1)
    stranger = [
        "EPANDESC",
        "  Channel:33",
        "  Channel Page:09",
        "  Pan ID:0001",
        "  Addr:001C640000000001",
        "  LQI:FF",
    ]
    bench.say(*stranger, "  PairID:11111111", "EPANDESC", "  Channel:34", "EVENT 20 " + METER, *stranger)
    bench.run(120, lambda: bench.stage is Stage.JOINING)
    first, *_, last = bench.events(Scanned)
    assert (first.last, last.last) == (False, True)
    assert [event.pan.pairing_id for event in bench.heard if isinstance(event, BeaconHeard)][:2] == ["11111111", ""]
    bench.run(60, lambda: bench.stage is Stage.ONLINE)
    assert bench.stage is Stage.ONLINE


@FAMILIES
def test_edge_12_channel_is_hexadecimal_and_pan_id_has_a_blank(family: str) -> None:
    """The beacon's Channel is what S2 is set to, digit by digit; so is its Pan ID for S3."""
    network = Network(channel=0x3B, pan_id=0x00AB)
    bench = Wired(family, remembered=None, network=network).online()
    assert b"  Channel:3B\r\n" in bench.printed
    assert b"  Pan ID:00AB\r\n" in bench.printed
    assert bench.said("SKSREG S2")[-1][1] == b"SKSREG S2 3B\r\n"
    assert bench.said("SKSREG S3")[-1][1] == b"SKSREG S3 00AB\r\n"


@FAMILIES
def test_edge_13_the_password_is_upper_case_and_its_length_hexadecimal(family: str) -> None:
    """A letter's small print typed as it stands joins all the same."""
    network = Network(password="ABCDEFGHIJ12")
    bench = Wired(family, network=network, credentials=Credentials(NETWORK.route_b_id.lower(), "abcdefghij12"))
    bench.online()
    assert bench.said("SKSETPWD")[0][1] == b"SKSETPWD C ABCDEFGHIJ12\r\n"


@FAMILIES
def test_edge_20_what_is_written_to_flash_wears_it_out(family: str) -> None:
    """WOPT, WUART and SKSAVE are never said, however often the module has to be set up again."""
    faults = [Fault(Strike.REBOOT, at=600.0 * n) for n in range(1, 20)]
    bench = Wired(family, remembered=None, faults=faults).online()
    while bench.now < 4 * 3600:
        if bench.stage is Stage.ONLINE:
            bench.get(0xE7)
        bench.run(30)
    assert len(bench.said("SKRESET")) > 5
    assert bench.module.flash.writes == 0


@FAMILIES
def test_edge_21_skreset_forgets_everything(family: str) -> None:
    """After each one echo, credentials, channel and PAN are set again; nothing is trusted to autoload."""
    bench = Wired(family).online()
    bench.strike(Fault(Strike.REBOOT))
    while bench.losses == 0 and bench.now < 3600:
        bench.get(0xE7)
        bench.run(60)
    bench.run(600, lambda: bench.stage is Stage.ONLINE)
    assert isinstance(answered(bench, 0xE7)[0xE7], bytes)
    reset = bench.said("SKRESET")[-1][0]
    for command in ("SKSREG SFE 0", "SKSETPWD", "SKSETRBID", "SKSREG S2", "SKSREG S3", "SKJOIN"):
        assert bench.said(command, reset), command
    assert bench.said("SKSREG SFF") == bench.said("SKLOAD") == bench.said("SKSAVE") == []


@FAMILIES
@pytest.mark.parametrize("wuart", [0x80, 0x06, 0x05, 0x04, 0x03], ids=lambda wuart: f"{wuart:02X}")
def test_edge_23_flow_control_and_rate_may_be_stored(family: str, wuart: int) -> None:
    """What somebody stored in the module is found out, and left as it is."""
    bench = Wired(family, flash=Flash(wuart=wuart)).online()
    assert isinstance(answered(bench, 0xE7)[0xE7], bytes)
    assert (bench.line.baudrate, bench.line.rtscts) == (bench.module.baudrate, wuart == 0x80)
    assert (bench.module.flash.wuart, bench.module.flash.writes) == (wuart, 0)


@FAMILIES
def test_edge_24_a_narrow_scan_needs_patience(family: str) -> None:
    """Always all channels, beginning long enough to hear anything, and longer each time, until the meter is heard."""
    bench = Wired(family, remembered=None, network=Network(scan_threshold=8)).online()
    scans = [data.split()[1:4] for _, data in bench.said("SKSCAN")]
    assert scans == [[b"2", b"FFFFFFFF", b"%X" % duration] for duration in range(4, 9)]
    later = Wired(family, remembered=Pan(0x21, 0x1234, PAN.mac, PAN.pairing_id)).online()
    assert {data.split()[2] for _, data in later.said("SKSCAN")} == {b"FFFFFFFF"}


@FAMILIES
def test_edge_26_one_datagram_at_a_time(family: str) -> None:
    """Polls, writes and confirmations wait for one another: no byte comes between a header and its OK."""
    bench = Wired(family, meter={"confirmed": True}).online()
    bench.strike(Fault(Spell.CHATTER, seconds=300, arg=ESV.INFC), Fault(Spell.SLOW, seconds=300, arg=5.0))
    requests = [bench.get(0xE7), bench.ask(ESV.SETC, [Property(0xE5, b"\1")]), bench.get(0xE0), bench.get(0xE8)]
    bench.run(300, lambda: all(request.done for request in requests))
    bench.run(10)
    assert [type(*request.answers.values()) for request in requests] == [bytes] * 4
    assert sum(b"\x05\xff\x01\x02\x88\x01\x7a" in data for _, data in bench.said("SKSENDTO")) >= 3
    sending = False
    for direction, data in bench.exchanged:
        if direction == ">":
            assert not sending, data
            sending = data.startswith(b"SKSENDTO")
        elif b"OK\r\n" in data:
            sending = False
