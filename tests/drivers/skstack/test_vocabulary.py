"""Requests and lines, one test per clause of the BP35A1 command reference v1.3.2 that is relied on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from support.skstack import CREDENTIALS, GET_POWER, METER, METER_MAC, PAN, SELF

from drivers.module import (
    BeaconHeard,
    Fate,
    Joined,
    JoinFailed,
    Noise,
    Pan,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
)
from drivers.skstack import vocabulary
from drivers.skstack.dialects import DUAL, SE, of_mark, other
from drivers.skstack.vocabulary import (
    Application,
    Fail,
    Heard,
    Info,
    LineReader,
    Ok,
    Register,
    ScanEnded,
    Value,
    Version,
)


def read(*lines: str) -> list[Heard]:
    reader = LineReader()
    return [heard for line in lines for heard in reader.read(line)]


# --- requests ---------------------------------------------------------------------------------------------------


def test_3_1_sksreg_sets_channel_and_pan_before_3_4_skjoin() -> None:
    """S2 has two digits, S3 four; SKJOIN takes the link-local address that the MAC makes."""
    assert [request.wire for request in vocabulary.join(PAN)] == [
        b"SKSREG S2 31\r\n",
        b"SKSREG S3 B5FB\r\n",
        f"SKJOIN {METER}\r\n".encode(),
    ]


def test_3_4_skjoin_and_3_25_skreset_are_given_more_time() -> None:
    """5 s, where others have 3; what a join comes to is not part of its answer."""
    assert vocabulary.join(PAN)[-1].answer == vocabulary.RESET.answer == ((Ok, 5.0),)


@pytest.mark.parametrize("wrong", [{"channel": 0x20}, {"channel": 0x3D}, {"pan_id": 0xFFFF}, {"mac": "001C\r\nSKX"}])
def test_3_4_skjoin_is_not_asked_of_what_cannot_be_a_pan(wrong: dict[str, object]) -> None:
    """A damaged remembered PAN is our mistake, and never reaches the line."""
    with pytest.raises(ValueError, match=r"PAN|address|invalid literal"):
        vocabulary.join(replace(PAN, **wrong))  # type: ignore[arg-type]


def test_3_7_sksendto_has_exact_widths_and_nothing_after_the_payload() -> None:
    """Handle 1 is port 3610; SEC is 1, encrypted or not at all; DUAL says the side before the length."""
    assert vocabulary.send(METER, GET_POWER, SE).wire == f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode() + GET_POWER
    assert vocabulary.send(METER, GET_POWER, DUAL).wire == f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode() + GET_POWER


@pytest.mark.parametrize(
    ("to", "size"), [(METER, 0), (METER, 1233), (METER[1:], 1), ("FE80::1", 1), (METER + "\r\nSKTERM", 1)]
)
def test_3_7_sksendto_refuses_what_would_wedge_the_module(to: str, size: int) -> None:
    """The length is 0001-04D0 and the address has its full form."""
    with pytest.raises(ValueError, match=r"1 to 1232 bytes|IPv6 address"):
        vocabulary.send(to, b"\0" * size, SE)


def test_3_9_skscan_has_one_argument_more_in_dual() -> None:
    """Active scan with the pairing ID, all channels; the duration is a hexadecimal digit."""
    assert vocabulary.scan(6, SE).wire == b"SKSCAN 2 FFFFFFFF 6\r\n"
    assert vocabulary.scan(6, DUAL).wire == b"SKSCAN 2 FFFFFFFF 6 0\r\n"
    assert vocabulary.scan(14, SE).wire == b"SKSCAN 2 FFFFFFFF E\r\n"


@pytest.mark.parametrize(("duration", "whole_s"), [(4, 4.6), (5, 8.9), (6, 17.5), (7, 34.7), (8, 69.1)])
def test_3_9_a_scan_is_given_its_time_on_28_channels_and_5_s_more(duration: int, whole_s: float) -> None:
    """9.6 ms * (2**duration + 1) a channel."""
    accepted, ended = vocabulary.scan(duration, SE).answer
    assert accepted == (Ok, 3.0)
    assert ended == (ScanEnded, pytest.approx(whole_s + 5.0, abs=0.1))


@pytest.mark.parametrize("duration", [-1, 15])
def test_3_9_a_scan_lasts_0_to_14(duration: int) -> None:
    """Other durations are refused here, not by the module."""
    with pytest.raises(ValueError, match="0 to 14"):
        vocabulary.scan(duration, SE)


def test_3_16_sksetpwd_counts_in_hexadecimal_and_3_17_sksetrbid_gives_the_id() -> None:
    """Twelve characters are C; neither secret shows in what a person may see."""
    password, identity = vocabulary.use_credentials(CREDENTIALS)
    assert password.wire == b"SKSETPWD C 0123456789AB\r\n"
    assert identity.wire == b"SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n"
    assert password.line == "SKSETPWD C ************"
    assert identity.line == "SKSETRBID " + "*" * 32
    assert "0123456789AB" not in repr(password)
    assert "AABBCCDD" not in repr(identity)


def test_3_31_ropt_ends_with_cr_alone() -> None:
    """Product commands take no LF."""
    assert vocabulary.PAYLOAD_MODE.wire == b"ROPT\r"


def test_a_filler_satisfies_the_longest_payload() -> None:
    """A SKSENDTO cut short swallows up to 1232 bytes; what is too much of it are empty lines."""
    assert vocabulary.FILLER == b"\r\n" * 616


def test_the_families_differ_in_the_mark_that_einfo_ends_with() -> None:
    """FFFE is SE, 0 and 1 are DUAL, anything else is an uncertain guess."""
    assert of_mark("FFFE") == (SE, True)
    assert of_mark("0") == of_mark("1") == (DUAL, True)
    assert of_mark("1234") == (SE, False)
    assert other(SE) is DUAL
    assert other(DUAL) is SE


# --- lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("OK", [Ok()]),
        ("OK 01", [Value(1)]),
        ("FAIL ER10", [Fail("ER10")]),
        ("EVER 1.2.10", [Version("1.2.10")]),
        ("EAPPVER rev26e", [Application("rev26e")]),
        ("ESREG 1", [Register(1)]),
        (f"EINFO {SELF} 001D12900003809A 21 FFFF FFFE", [Info(SELF, "001D12900003809A", 0x21, 0xFFFF, "FFFE")]),
        (f"EINFO {SELF} 001D12900003809A 31 B5FB 0 ", [Info(SELF, "001D12900003809A", 0x31, 0xB5FB, "0")]),
    ],
)
def test_2_answers_are_read(line: str, heard: list[Heard]) -> None:
    """OK, FAIL (7), EVER (3.23), EAPPVER (3.24), ESREG (3.1); EINFO (3.2) with or without a blank after it."""
    assert read(line) == heard


@pytest.mark.parametrize(
    ("number", "heard"),
    [
        ("01", []),
        ("02", []),
        ("05", []),
        ("1F", []),
        ("20", []),
        ("22", [ScanEnded()]),
        ("24", [JoinFailed(METER)]),
        ("25", [Joined(METER)]),
        ("26", [SessionClosed(METER, by_peer=True)]),
        ("27", [SessionClosed(METER, by_peer=False)]),
        ("28", [SessionClosed(METER, by_peer=False)]),
        ("29", [SessionExpired(METER)]),
        ("32", [SendLimit(engaged=True)]),
        ("33", [SendLimit(engaged=False)]),
        ("45", []),
        ("57", []),
    ],
)
@pytest.mark.parametrize("side", ["", " 0"], ids=["SE", "DUAL"])
def test_4_8_event_is_read_by_its_number_with_or_without_side(number: str, side: str, heard: list[Heard]) -> None:
    """The side is one digit after the address."""
    assert read(f"EVENT {number} {METER}{side}") == heard


@pytest.mark.parametrize(("parameter", "fate"), [("00", Fate.SENT), ("01", Fate.FAILED), ("02", Fate.RESOLVING)])
@pytest.mark.parametrize("side", ["", " 0", " 1"])
def test_4_8_event_21_tells_a_transmissions_fate_in_its_last_field(parameter: str, side: str, fate: Fate) -> None:
    """The parameter has two digits; a side before it has one, and newer SE firmware may print it too."""
    assert read(f"EVENT 21 {METER}{side} {parameter}") == [Transmission(METER, fate)]


@pytest.mark.parametrize(
    "line",
    [
        f"EVENT 21 {METER}",
        f"EVENT 21 {METER} 0",
        f"EVENT 21 {METER} 03",
        f"EVENT 21 {METER} 0 0 00",
        f"EVENT 99 {METER}",
        "EVENT 25",
        f"EVENT 2 {METER}",
        f"EVENT 25 {METER[:-1]}",
        "EVENT",
        "OK 1",
        "OKAY",
        "FAIL",
        "FAIL ER1",
        "ESREG",
        f"EINFO {SELF} 001D12900003809A 21 FFFF",
        "hello",
        "1081A00102880105FF017302EA0B07E606150F1E0000016CA7EB0B07E606150F1E0000000005",
    ],
)
def test_lines_of_another_shape_are_noise(line: str) -> None:
    """Nothing is guessed from a line that is not as the reference has it."""
    [heard] = read(line)
    assert isinstance(heard, Noise)


def test_4_8_event_c0_has_no_address() -> None:
    """Waking from SKDSLEEP is known and of no consequence."""
    assert read("EVENT C0") == []


BEACON = [
    "EPANDESC",
    "  Channel:31",
    "  Channel Page:09",
    "  Pan ID:B5FB",
    f"  Addr:{METER_MAC}",
    "  LQI:DD",
    "  Side:0",
    "  PairID:CCDDEEFF",
]


def test_4_5_epandesc_tells_a_beacon() -> None:
    """Complete with its PairID, which is the last line of the block."""
    assert read(*BEACON) == [BeaconHeard(PAN)]
    assert read(*[line for line in BEACON if "Side" not in line]) == [BeaconHeard(PAN)]


@pytest.mark.parametrize("blanks", ["", " ", "    "])
def test_4_5_epandesc_may_be_indented_otherwise(blanks: str) -> None:
    """Two blanks are usual; none or more do no harm."""
    assert read(*[blanks + line.strip() for line in BEACON]) == [BeaconHeard(PAN)]


def test_4_5_epandesc_ends_with_the_next_known_line_too() -> None:
    """Without a PairID (scan mode 3) there is no mark of the end; lines that are not known are passed over."""
    block = [*BEACON[:-1], "  Colour:blue", f"EVENT 22 {SELF}"]
    assert read(*block) == [BeaconHeard(replace(PAN, pairing_id="")), ScanEnded()]
    assert read(*BEACON[:-1], *BEACON)[1] == BeaconHeard(PAN)


def test_4_5_epandesc_that_lacks_fields_is_noise() -> None:
    """A PAN without its address is no PAN."""
    for needed in ("  Channel:31", "  Pan ID:B5FB", f"  Addr:{METER_MAC}"):
        heard = read(*[line for line in BEACON if line != needed])
        assert [type(each) for each in heard] == [Noise]
    assert read(*[line for line in BEACON if "LQI" not in line]) == [BeaconHeard(replace(PAN, lqi=None))]


@pytest.mark.parametrize(
    "defect",
    ["Channel:3", "Channel:20", "Channel:3D", "Pan ID:FFFF", "Addr:0011", "LQI:1DD", "PairID:CCDDEEF", "PairID:"],
)
def test_4_5_epandesc_with_a_defective_field_is_noise(defect: str) -> None:
    """One wrong width or impossible value and the whole beacon is not believed."""
    name = defect.partition(":")[0]
    block = [f"  {defect}" if line.startswith(f"  {name}:") else line for line in BEACON]
    heard = read(*block, "OK")
    assert [type(each) for each in heard] == [Noise, Ok]


def test_several_beacons_in_a_row_are_each_told() -> None:
    """Who of them is the right meter is not decided here."""
    second = [line.replace("B5FB", "8888").replace("LQI:DD", "LQI:2D") for line in BEACON]
    assert read(f"EVENT 20 {SELF} 0", *BEACON, f"EVENT 20 {SELF} 0", *second) == [
        BeaconHeard(PAN),
        BeaconHeard(Pan(0x31, 0x8888, METER_MAC, "CCDDEEFF", 0x2D)),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["EEDSCAN", "0 21 1A 22 1B", "22 05 23 06"],  # 4.6, DUAL with the side before
        ["EADDR", SELF, METER],  # 4.3
        ["ENEIGHBOR", f"{METER} {METER_MAC} FFFF"],  # 4.4
        ["EPORT", "3610", "716", "0"],  # 4.7
        ["EHANDLE", f"1 {METER} 0E1A 0E1A"],
        [f"EPONG {METER}"],  # 4.2
        ["ETCP 3 1"],
        [f"ERXTCP {METER} 0E1A 0E1A 0001 00"],
        [METER],  # 3.29, answer to SKLL64
        ["ROPT"],
        ["  "],
    ],
)
def test_known_lines_of_no_consequence_are_silent(lines: list[str]) -> None:
    """They answer what is never asked, or repeat a command; the OK after them is heard."""
    assert read(*lines, "OK") == [Ok()]


@pytest.mark.parametrize(
    "echo",
    ["SKVER", "SKSETPWD C EVENTANDFAIL", f"SKSENDTO 1 {METER} 0E1A 1 0 000E ", "SKSENDTO", "SKSCAN 2 FFFFFFFF 6 0 "],
)
def test_echoes_are_silent(echo: str) -> None:
    """2: with SFE = 1 the module repeats its command line, of SKSENDTO only what comes before the payload."""
    assert read(echo) == []


def test_a_line_glued_to_an_echo_is_read() -> None:
    """An echo that lost its line end does not swallow what follows."""
    assert read(f"SKSENDTOEVENT 21 {METER} 0 00") == [Transmission(METER, Fate.SENT)]
    assert read("SKVEREVER 1.5.2") == [Version("1.5.2")]
    assert read("SKSCAN 2 FFFFFFFF 6FAIL ER05") == [Fail("ER05")]


def test_lower_case_digits_in_addresses_are_corrected() -> None:
    """Addresses are upper case throughout; modules print them so, imitations not always."""
    assert read(f"EVENT 25 {METER.lower()}") == [Joined(METER)]
