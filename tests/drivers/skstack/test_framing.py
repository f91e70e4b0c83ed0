"""Cutting the module's bytes: BP35A1 command reference 2 (lines), 4.1 (ERXUDP), 3.30/3.31 (payload modes)."""

from __future__ import annotations

import pytest
from support.skstack import METER, METER_MAC, POWER, SELF, erxudp

from drivers.module import Datagram, Noise
from drivers.skstack.framing import MAX_LINE, MAX_PAYLOAD, Frame, Framer


def frames(data: bytes, *, hex_payload: bool | None = None) -> list[Frame]:
    """The frames of a stream, after checking that one byte at a time gives the same."""
    whole, bytewise = Framer(), Framer()
    whole.hex_payload = bytewise.hex_payload = hex_payload
    result = list(whole.receive(data))
    assert [frame for at in range(len(data)) for frame in bytewise.receive(data[at : at + 1])] == result
    return result


def datagram(payload: bytes, *, lqi: int | None = None, secured: bool = True, port: int = 3610) -> Datagram:
    return Datagram(METER, SELF, port, port, METER_MAC, secured, payload, lqi)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_line_ends_with_cr_lf_or_both(end: bytes) -> None:
    """Product commands are answered with CR alone, all else with CRLF; nobody waits for a missing LF."""
    assert frames(b"OK 01" + end) == ["OK 01"]


def test_empty_lines_are_dropped() -> None:
    """The line end that stands for an unprinted echo is not a line."""
    assert frames(b"\r\n\r\r\nOK\r\n\r\n") == ["OK"]


def test_an_echo_ended_by_cr_alone_is_its_own_line() -> None:
    """Some firmware ends an echo with CR, so that answer and next echo arrive together."""
    assert frames(b"OK\rSKINFO\rEVER 1.5.2\r\n") == ["OK", "SKINFO", "EVER 1.5.2"]


@pytest.mark.parametrize(
    ("middle", "lqi"),
    [("1", None), ("1 0", None), ("5D 1", 0x5D), ("5D 1 0", 0x5D)],
    ids=["9 fields", "10 fields with side", "10 fields with LQI", "11 fields"],
)
@pytest.mark.parametrize("raw", [False, True], ids=["hex", "raw"])
def test_every_shape_of_erxudp_is_told_by_the_widths_of_its_fields(middle: str, lqi: int | None, raw: bool) -> None:
    """4.1: LQI has two digits, SECURED and SIDE one, LEN four."""
    assert frames(erxudp(POWER, raw=raw, middle=middle)) == [datagram(POWER, lqi=lqi)]


def test_secured_and_ports_are_told() -> None:
    """4.1: SECURED 0 on the PANA port is plain text."""
    assert frames(erxudp(b"\0", middle="0 0", ports="02CC 02CC")) == [datagram(b"\0", secured=False, port=716)]


def test_a_short_sender_address_is_read() -> None:
    """4.1 allows a SENDERLLA of 4 digits."""
    [heard] = frames(erxudp(POWER).replace(METER_MAC.encode(), b"831F"))
    assert isinstance(heard, Datagram)
    assert heard.mac == "831F"


@pytest.mark.parametrize(
    "payload",
    [
        b"\r\n",
        b"\r\nOK\r\n",
        b"EVENT 25 FE80\r\nERXUDP ",
        b"  ",
        b"\x10\x81\r\nFAIL ER04\r\n",
        b"\xd0\xf9\xee\x5d" * 3,
        b"",
        b"x" * MAX_PAYLOAD,
    ],
)
def test_a_raw_payload_is_cut_by_its_length_only(payload: bytes) -> None:
    """4.1 in binary mode: line ends, blanks and words of the protocol may occur in it."""
    stream = erxudp(payload, raw=True) + b"OK\r\n"
    assert frames(stream) == frames(stream, hex_payload=False) == [datagram(payload), "OK"]


@pytest.mark.parametrize("payload", [b"00", b"1081", b"ABCDEF0123456789"])
def test_a_raw_payload_of_hexadecimal_digits_stays_what_it_is(payload: bytes) -> None:
    """Half as many digits as hex mode would print, then the line end: raw, whether the mode is known or not."""
    stream = erxudp(payload, raw=True) + b"OK\r\n"
    assert frames(stream) == frames(stream, hex_payload=False) == [datagram(payload), "OK"]


def test_half_a_hex_payload_is_not_taken_for_a_raw_one() -> None:
    """Once hex mode is known, by ROPT or by a datagram before, lost digits cannot make up a payload."""
    short = erxudp(POWER).replace(POWER.hex().upper().encode(), POWER.hex().upper()[: len(POWER)].encode())
    assert isinstance(frames(short, hex_payload=True)[0], Noise)
    learnt = frames(erxudp(POWER) + short + b"OK\r\n")
    assert learnt[0] == datagram(POWER)
    assert isinstance(learnt[1], Noise)
    assert learnt[2:] == ["OK"]


@pytest.mark.parametrize("raw", [False, True], ids=["hex", "raw"])
@pytest.mark.parametrize("lost", [1, 2, 7])
def test_a_payload_that_lost_bytes_is_refused(raw: bool, lost: int) -> None:
    """Without the line end in its place a payload is not believed: a shifted power value would look like one."""
    whole = erxudp(POWER, raw=raw)
    at = len(whole) - 8
    stream = whole[: at - lost] + whole[at:] + b"EVENT 22 " + SELF.encode() + b"\r\nOK\r\n"
    heard = frames(stream, hex_payload=not raw)
    assert isinstance(heard[0], Noise)
    assert not any(isinstance(frame, Datagram) for frame in heard)
    assert heard[-1] == "OK"


def test_a_datagram_is_found_behind_a_stray_echo() -> None:
    """An echo cut short glues the datagram to itself; both are taken."""
    assert frames(b"SKSENDTO" + erxudp(POWER)) == ["SKSENDTO", datagram(POWER)]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (METER_MAC, METER_MAC + "00"),
        (METER_MAC, METER_MAC[1:]),
        (METER_MAC, "<MeterAddr Omitted>"),
        (METER, METER[:-1]),
        (METER, METER.replace(":0364:", ":364:")),
        ("0E1A 0E1A", "0E1A E1A"),
        (" 1 0012", " 2 0012"),
        (" 1 0012", " 1 012"),
        (" 1 0012", " 1 00 0012"),
        (" 1 0012", " 1 04D1"),
        (" 1 0012", " 1 FFFF"),
        (" 1 0012 ", "  1 0012 "),
    ],
)
def test_a_datagram_with_a_field_of_wrong_width_or_range_is_refused(good: str, bad: str) -> None:
    """A defective header is never a reason to guess; the line after it is whole again."""
    line = erxudp(POWER)
    assert good.encode() in line
    heard = frames(line.replace(good.encode(), bad.encode()) + b"OK\r\n")
    assert isinstance(heard[0], Noise)
    assert heard[1:] == ["OK"]


def test_bytes_that_are_not_text_are_noise() -> None:
    """A wrong baud rate or a broken cable makes bytes that no line has."""
    assert frames(b"\x00\xffOK\x80\r\nOK\r\n") == [Noise("..OK."), "OK"]


def test_a_line_without_end_is_given_up_until_one_comes() -> None:
    """Beyond the longest line nothing is kept; after the next line end all is well again."""
    framer = Framer()
    assert frames(b"-" * (MAX_LINE + 500) + b"\r\nOK\r\n") == [Noise("-" * 80), "OK"]
    for _ in range(100):
        framer.receive(b"?" * 997)
        assert len(framer._rest) <= MAX_LINE
    assert framer.receive(b"\nOK\n") == ["OK"]


def test_an_unfinished_datagram_is_bounded() -> None:
    """What is held back never exceeds a header and the longest payload in its longer form."""
    framer = Framer()
    header = erxudp(b"\0" * MAX_PAYLOAD)[:126]
    framer.receive(header)
    for _ in range(100):
        framer.receive(b"0" * 97)
        assert len(framer._rest) <= len(header) + 2 * MAX_PAYLOAD


def test_noise_shows_no_more_than_80_characters_and_no_secret() -> None:
    """Broken echoes and identities in broken payloads are masked; words and short groups stay to help diagnosis."""
    identity = b"00112233445566778899AABBCCDDEEFF"
    assert frames(b"\xffSKSETPWD C 0123456789AB\r\n") == [Noise(".SKSETPWD C ************")]
    assert frames(b"\xffSKSETRBID " + identity + b"\r\n") == [Noise(".SKSETRBID " + "*" * 32)]
    assert frames(b"\xff8\x00\x2f\x00SM" + identity + b"\r\n") == [Noise(".8./." + "*" * 34)]
    assert frames(b"\xff" + b"FE80:" * 50 + b"\r\n") == [Noise(("." + "FE80:" * 50)[:80])]


def test_a_datagram_is_shown_without_its_payload() -> None:
    """What was measured does not belong into a log; its size does."""
    shown = repr(datagram(b"\x10\x81" + b"secret"))
    assert "secret" not in shown
    assert "8 bytes" in shown
