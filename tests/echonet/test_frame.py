"""The frame codec: part II, chapter 3 of the specification, clause by clause."""

from __future__ import annotations

import pytest

from hemsd.echonet.frame import (
    ANSWERS,
    ESV,
    NOTIFICATIONS,
    REFUSALS,
    REQUESTS,
    RESPONSES,
    Frame,
    FrameError,
    Property,
    decode,
    encode,
)
from hemsd.echonet.objects import CONTROLLER, METER

ANSWER = bytes.fromhex("1081525302880105FF017202E70400000278E804001E0032")


def test_an_answer_of_a_real_meter() -> None:
    """Every field of the header and every property is where the standard has it."""
    assert decode(ANSWER) == Frame(
        tid=0x5253,
        seoj=METER,
        deoj=CONTROLLER,
        esv=ESV.GET_RES,
        properties=(Property(0xE7, b"\0\0\x02\x78"), Property(0xE8, b"\0\x1e\0\x32")),
    )


def test_a_request_is_fourteen_bytes() -> None:
    """The smallest request: one property without data."""
    frame = Frame(0x0001, CONTROLLER, METER, ESV.GET, (Property(0xE7),))
    assert encode(frame) == bytes.fromhex("1081000105FF010288016201E700")
    assert decode(encode(frame)) == frame


@pytest.mark.parametrize("esv", ESV)
def test_every_service(esv: ESV) -> None:
    """Each ESV is decoded as itself; SetGet and its answers, and no others, have two lists."""
    second = (Property(0xE2),) if "SETGET" in esv.name else ()
    frame = Frame(0xFFFF, METER, CONTROLLER, esv, (Property(0xE5, b"\x01"),), second)
    again = decode(encode(frame))
    assert again == frame
    assert isinstance(again.esv, ESV)
    assert not again.unknown_esv


def test_a_refusal_of_set_get_may_have_an_empty_half() -> None:
    """OPC 0 in one half of SetGet_SNA is lawful and not flagged."""
    frame = decode(bytes.fromhex("1081000102880105FF015E0001E200"))
    assert (frame.properties, frame.get_properties) == ((), (Property(0xE2),))
    assert not frame.empty


def test_no_properties_and_unknown_services_are_flagged() -> None:
    """OPC 0 and an ESV that nobody knows decode, and say so."""
    frame = decode(bytes.fromhex("1081000102880105FF017000"))
    assert frame.empty
    assert frame.unknown_esv
    assert frame.esv == 0x70
    assert not isinstance(frame.esv, ESV)
    assert not decode(ANSWER).empty


def test_bytes_that_follow_are_kept() -> None:
    """Trailing bytes are tolerated, reported, and written again."""
    frame = decode(ANSWER + b"\r\n")
    assert frame.trailing == b"\r\n"
    assert frame.properties == decode(ANSWER).properties
    assert encode(frame) == ANSWER + b"\r\n"


@pytest.mark.parametrize(
    ("length", "at"),
    [
        (0, 0),
        (1, 1),
        (7, 7),
        (11, 11),
        (12, 12),
        (13, 12),
        (14, 14),
        (17, 14),
        (18, 18),
        (19, 18),
        (20, 20),
        (23, 20),
    ],
)
def test_a_cut_frame_is_refused_at_its_byte(length: int, at: int) -> None:
    """`at` is where the header breaks off, or where the field begins that is not whole."""
    with pytest.raises(FrameError) as refused:
        decode(ANSWER[:length])
    assert refused.value.at == at
    assert refused.value.data == ANSWER[:length]
    assert str(refused.value).startswith(f"byte {at}: ")


def test_what_overruns_is_told_in_numbers() -> None:
    """A PDC larger than what follows, and an OPC larger than the list, are refused where they stop fitting."""
    with pytest.raises(FrameError, match="byte 14: 9 bytes expected, 4 left"):
        decode(bytes.fromhex("1081000102880105FF017201E70900000278"))
    with pytest.raises(FrameError, match="byte 18: 2 bytes expected, 0 left"):
        decode(bytes.fromhex("1081000102880105FF017202E70400000278"))
    with pytest.raises(FrameError, match="byte 15: 1 bytes expected, 0 left"):
        decode(bytes.fromhex("1081000105FF010288016E01E50101"))


@pytest.mark.parametrize(
    ("head", "at", "reason"),
    [
        ("1082", 1, "format 2"),
        ("1083", 1, "format 83"),
        ("8081", 0, "classic ECHONET"),
        ("C081", 0, "classic ECHONET"),
        ("0081", 0, "not ECHONET Lite"),
        ("7F81", 0, "not ECHONET Lite"),
    ],
)
def test_other_protocols_are_named(head: str, at: int, reason: str) -> None:
    """What is not format 1 of ECHONET Lite is refused with a reason of its own, however short."""
    for data in (bytes.fromhex(head) + ANSWER[2:], bytes.fromhex(head)):
        with pytest.raises(FrameError, match=reason) as refused:
            decode(data)
        assert refused.value.at == at


@pytest.mark.parametrize(
    "frame",
    [
        Frame(0x10000, METER, CONTROLLER, ESV.GET, ()),
        Frame(-1, METER, CONTROLLER, ESV.GET, ()),
        Frame(1, 0x1000000, CONTROLLER, ESV.GET, ()),
        Frame(1, METER, -1, ESV.GET, ()),
        Frame(1, METER, CONTROLLER, 0x100, ()),
        Frame(1, METER, CONTROLLER, ESV.GET, (Property(0x100),)),
        Frame(1, METER, CONTROLLER, ESV.SETC, (Property(0xE5, bytes(256)),)),
        Frame(1, METER, CONTROLLER, ESV.GET, (Property(0xE7),) * 256),
        Frame(1, METER, CONTROLLER, ESV.GET, (Property(0xE7),), (Property(0xE8),)),
    ],
)
def test_what_no_frame_can_hold_is_not_encoded(frame: Frame) -> None:
    """Our own mistakes are raised, never sent."""
    with pytest.raises(ValueError, match=r"."):
        encode(frame)


def test_services_fall_into_four_kinds() -> None:
    """Every ESV is exactly one of request, response, notification and refusal, as its high nibble tells."""
    kinds = [REQUESTS, RESPONSES, NOTIFICATIONS, REFUSALS]
    assert sorted(esv for kind in kinds for esv in kind) == sorted(ESV)
    assert {esv >> 4 for esv in REQUESTS} == {6}
    assert {esv >> 4 for esv in RESPONSES | NOTIFICATIONS} == {7}
    assert {esv >> 4 for esv in REFUSALS} == {5}


def test_what_answers_what() -> None:
    """Requests and INFC have answers, each of them of its own; a refusal has the low nibble of its request."""
    assert ANSWERS.keys() == REQUESTS | {ESV.INFC}
    answers = [answer for each in ANSWERS.values() for answer in each]
    assert len(answers) == len(set(answers))
    for request, possible in ANSWERS.items():
        assert {answer & 0x0F for answer in possible & REFUSALS} <= {request & 0x0F}
    assert REFUSALS | RESPONSES | {ESV.INF} == set(answers)
