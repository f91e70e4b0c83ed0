"""The words of J11, clause by clause: requests as bytes, frames as what they mean."""

from __future__ import annotations

import pytest
from support.j11 import CREDENTIALS, GET_POWER, MAC, METER, PAN, POWER, SELF, link, packed, told

from drivers.j11 import vocabulary
from drivers.j11.framing import Frame, Framer
from drivers.j11.results import WORDS, Result, words
from drivers.j11.vocabulary import (
    Address,
    Answer,
    Booted,
    Heard,
    LinkDown,
    Mac,
    Meaning,
    PanaEnded,
    PanId,
    Request,
    Sent,
    Settings,
    State,
    Undeciphered,
    Version,
    read,
)
from drivers.module import Datagram, Fate, Noise, Pan
from hemsd.simulator.frames import frame

LOGGED = "FE80:0000:0000:0000:0250:C2FF:FEDC:2822"


def meaning(wire: bytes) -> Meaning | None:
    [heard] = Framer().receive(wire)
    assert isinstance(heard, Frame)
    return read(heard, SELF)


# --- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (vocabulary.RESET, "D0EA83FC 00D9 0004 0416 0000"),
        (vocabulary.set_up(4), "D0EA83FC 005F 0008 03A0 0009 05000400"),
        (
            vocabulary.use_credentials(CREDENTIALS),
            "D0EA83FC 0054 0030 03BD 09D4 3030313132323333343435353636373738383939414142424343444445454646"
            "303132333435363738394142",
        ),
        (vocabulary.scan(6, "CCDDEEFF"), "D0EA83FC 0051 0012 039C 041D 06 0003FFF0 01 4343444445454646"),
        (vocabulary.START, "D0EA83FC 0053 0004 0390 0000"),
        (vocabulary.OPEN_PORT, "D0EA83FC 0005 0006 0344 0028 0E1A"),
        (vocabulary.AUTHENTICATE, "D0EA83FC 0056 0004 0393 0000"),
        (
            vocabulary.send(
                "FE80:0000:0000:0000:0250:C2FF:FEDC:2822", bytes.fromhex("1081000605FF010288016202EA00EB00")
            ),
            "D0EA83FC 0008 002A 036B 0A75 FE800000000000000250C2FFFEDC2822 0E1A 0E1A 0010"
            "1081000605FF010288016202EA00EB00",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Request) else "",
)
def test_requests_are_those_of_the_vendors_log(request_: Request, wire: str) -> None:
    """Capture 13, byte for byte."""
    assert request_.wire == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (vocabulary.STATE, 0x0001),
        (vocabulary.OWN_ADDRESS, 0x0009),
        (vocabulary.OWN_MAC, 0x000E),
        (vocabulary.END, 0x0057),
        (vocabulary.STOP, 0x0058),
        (vocabulary.PAN_ID, 0x005E),
        (vocabulary.VERSION, 0x006B),
        (vocabulary.AUTHENTICATE_AGAIN, 0x00D2),
        (vocabulary.SETTINGS, 0x0107),
    ],
    ids=lambda value: value.name if isinstance(value, Request) else "",
)
def test_what_is_not_in_the_log_has_no_data(request_: Request, code: int) -> None:
    """3.2 to 3.4: these take no parameters."""
    assert request_.code == code
    assert request_.wire[4:8] == code.to_bytes(2, "big") + b"\x00\x04"
    assert len(request_.wire) == 12


def test_no_request_shows_a_secret() -> None:
    """Neither its repr nor its line."""
    request = vocabulary.use_credentials(CREDENTIALS)
    for shown in (repr(request), request.line):
        assert CREDENTIALS.id not in shown
        assert CREDENTIALS.password not in shown
        assert "0054" in shown


@pytest.mark.parametrize(("duration", "longest_s"), [(4, 5), (6, 12), (8, 37)])
def test_a_scan_is_waited_for_as_long_as_it_takes(duration: int, longest_s: float) -> None:
    """3.2.3.4: 14 channels of 9.64 ms times two to the duration; 35.8 s for all at 8."""
    wait_s = vocabulary.scan(duration, "CCDDEEFF").wait_s
    assert 14 * 0.00964 * 2**duration + 1 < wait_s < longest_s


@pytest.mark.parametrize(
    "make",
    [
        lambda: vocabulary.scan(0, "CCDDEEFF"),
        lambda: vocabulary.scan(15, "CCDDEEFF"),
        lambda: vocabulary.send(METER, b""),
        lambda: vocabulary.send(METER, bytes(1233)),
        lambda: vocabulary.send("FE80::1", b"\x10"),
        lambda: vocabulary.send(METER.replace("F", "G"), b"\x10"),
        lambda: vocabulary.channel_of(0x22),
        lambda: vocabulary.channel_of(0x20),
        lambda: vocabulary.channel_of(0x3D),
    ],
)
def test_what_no_module_can_be_asked_is_refused_here(make: object) -> None:
    """A duration, a payload, an address or a channel that does not exist."""
    with pytest.raises(ValueError, match=r".+"):
        make()  # type: ignore[operator]


def test_channels_are_told_as_every_module_has_them() -> None:
    """4 to 17 are every other unit channel from 33 (922.5 MHz) to 59."""
    assert [vocabulary.channel_of(unit) for unit in range(0x21, 0x3D, 2)] == list(range(4, 18))
    assert [vocabulary.unit_of(channel) for channel in range(4, 18)] == list(range(0x21, 0x3D, 2))


# --- what is heard ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "data", "means"),
    [
        (0x206B, "01 0400 01 03 0000158A", Version(0x6B, 1, "1.3", "0400 0000158A")),
        (0x2001, "01 03 02 01", State(0x01, 1, 3, 2)),
        (0x2107, "01 05 00 0C 00", Settings(0x0107, 1, 5, 12)),
        (0x205E, "01 B5FB", PanId(0x5E, 1, 0xB5FB)),
        (0x200E, "01 001D129100041C6A", Mac(0x0E, 1, "001D129100041C6A")),
        (0x2009, "01 FE80000000000000021D129100041C6A", Address(0x09, 1, SELF)),
        (0x2008, "01 00 1081000105", Sent(0x08, 1, Fate.SENT, False, bytes.fromhex("1081000105"))),
        (0x2008, "01 03 1081000105", Sent(0x08, 1, Fate.FAILED, False, bytes.fromhex("1081000105"))),
        (0x2008, "01 05 10", Sent(0x08, 1, Fate.FAILED, False, b"\x10")),
        (0x2008, "01 08", Sent(0x08, 1, Fate.FAILED, False, b"")),
        (0x2008, "01 02 1081000105", Sent(0x08, 1, Fate.FAILED, True, bytes.fromhex("1081000105"))),
        (0x2008, "01 1F 1081000105", Sent(0x08, 1, Fate.RESOLVING, False, bytes.fromhex("1081000105"))),
        (0x2008, "10", Answer(0x08, Result.NOT_STARTED)),
        (0x2053, "0E", Answer(0x53, Result.NOT_CONNECTED)),
        (0x2053, "01 0C BCDE 0050C2FFFEDC2822 DE", Answer(0x53, 1)),
        (0x2001, "37", Answer(0x01, Result.NOT_SET_UP)),
        (0x2FFF, "F0", Answer(None, Result.HEADER_SUM)),
        (0xFFFF, "03", Answer(None, Result.UNKNOWN_COMMAND)),
        (0x6019, "", Booted()),
        (0x4051, "01 04", Heard(())),
        (0x4051, "00 0C 00", Heard(())),
        (0x6038, "01" + 25 * "00", Undeciphered()),
        (0x6038, "02" + 25 * "00", Undeciphered()),
        (0x6038, "40" + 25 * "00", None),
        (0x6041, "00", None),
    ],
)
def test_responses_and_notifications(code: int, data: str, means: Meaning | None) -> None:
    """3.2 to 3.4: the layouts, results and outcomes."""
    assert meaning(frame(code, bytes.fromhex(data))) == means


def test_several_beacons_on_one_channel() -> None:
    """4051: count, then MAC, PAN ID and signed RSSI of each."""
    one, two = MAC + b"\xb5\xfb\xc4", bytes(8) + b"\x00\x01\x98"
    assert meaning(frame(0x4051, b"\x00\x11\x02" + one + two)) == Heard(
        (Pan(0x3B, 0xB5FB, PAN.mac, rssi_dbm=-60), Pan(0x3B, 1, "0" * 16, rssi_dbm=-104))
    )


@pytest.mark.parametrize(("encryption", "secured"), [(2, True), (1, False), (0, False)])
@pytest.mark.parametrize(("kind", "to"), [(0, SELF), (1, "FF02:0000:0000:0000:0000:0000:0000:0001")])
def test_datagrams(encryption: int, secured: bool, kind: int, to: str) -> None:
    """6018: only encryption 02 is encrypted; whom it was for; the sender's MAC is in its address; RSSI is signed."""
    assert meaning(told(POWER, encryption=encryption, kind=kind)) == Datagram(
        METER, to, 3610, 3610, PAN.mac, secured, POWER, lqi=None, rssi_dbm=-70
    )


@pytest.mark.parametrize(("result", "succeeded", "refused"), [(1, True, False), (2, False, True), (3, False, False)])
def test_ends_of_pana(result: int, succeeded: bool, refused: bool) -> None:
    """6028: succeeded, refused, or no response."""
    assert meaning(frame(0x6028, bytes([result]) + MAC)) == PanaEnded(succeeded, refused, METER)


@pytest.mark.parametrize(
    ("state", "means"), [(1, None), (2, None), (3, LinkDown(METER, True)), (4, LinkDown(METER, False))]
)
def test_changes_of_the_link(state: int, means: LinkDown | None) -> None:
    """601A: what comes up is told otherwise; the MAC connection goes down, or the session alone."""
    assert meaning(link(state)) == means


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (0x206B, "01 0400"),
        (0x2001, "01 03"),
        (0x2008, "01"),
        (0x2054, ""),
        (0x4051, "00 0C 02" + 11 * "00"),
        (0x4051, "00 03 01" + 11 * "00"),
        (0x6018, 26 * "00"),
        (0x6018, 25 * "00" + "0002 10"),
        (0x6028, "01"),
        (0x601A, "04"),
        (0x6038, ""),
    ],
)
def test_a_frame_of_another_form_is_noise(code: int, data: str) -> None:
    """Nothing is made of what is too short, or says more than it holds; what is shown of it are code and length."""
    heard = meaning(frame(code, bytes.fromhex(data)))
    assert isinstance(heard, Noise)
    assert heard.text.startswith(f"a frame {code:04X} of {len(bytes.fromhex(data))} bytes")


def test_every_result_has_words() -> None:
    """Table 34; an unknown one is told as its number."""
    assert WORDS.keys() == set(Result)
    assert words(0x51) == "51, the credentials are missing"
    assert words(0x99).startswith("99, ")


def test_an_address_is_packed_as_it_stands() -> None:
    """16 bytes after the header of 0008."""
    assert vocabulary.send(METER, GET_POWER).wire[12:28] == packed(METER)
