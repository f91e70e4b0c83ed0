"""Our frame codec beside two others, uecho and pychonet, on every frame of tests/echonet/frames.txt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from msgspec.structs import replace
from pychonet.lib.functions import DecodeEchonetMsgError, buildEchonetMsg, decodeEchonetMsg
from support.echonet import frames, uecho_message

from hemsd.echonet.frame import ESV, TWO_LISTS, Frame, FrameError, Property, decode, encode
from hemsd.echonet.objects import CONTROLLER

FRAMES = frames()
Message = uecho_message()


class Verdict(Enum):
    """What a codec makes of a frame."""

    AGREES = "decodes it as we do"
    FIRST_LIST = "decodes it as we do, but knows nothing of a second list"
    REFUSES = "refuses it"
    LENIENT = "accepts what is no frame"


@dataclass(frozen=True, slots=True)
class Expected:
    ours: bool  # whether it is a frame to us
    uecho: Verdict
    pychonet: Verdict


EXPECTED = {
    "plain": Expected(True, Verdict.AGREES, Verdict.AGREES),
    "empty": Expected(True, Verdict.AGREES, Verdict.AGREES),
    "unknown": Expected(True, Verdict.AGREES, Verdict.AGREES),
    "trailing": Expected(True, Verdict.AGREES, Verdict.AGREES),
    "two-lists": Expected(True, Verdict.AGREES, Verdict.FIRST_LIST),
    "no-second": Expected(True, Verdict.AGREES, Verdict.AGREES),
    "cut-head": Expected(False, Verdict.REFUSES, Verdict.REFUSES),
    "cut-prop": Expected(False, Verdict.REFUSES, Verdict.REFUSES),
    "cut-data": Expected(False, Verdict.REFUSES, Verdict.LENIENT),  # pychonet takes a shorter EDT than PDC announces
    "cut-two": Expected(False, Verdict.REFUSES, Verdict.LENIENT),  # for pychonet the second list is trailing bytes
    "format-2": Expected(False, Verdict.REFUSES, Verdict.LENIENT),  # pychonet reads format 2 as if it were format 1
    "ehd1-00": Expected(False, Verdict.REFUSES, Verdict.LENIENT),  # pychonet takes EHD1 00 for a header
    "foreign": Expected(False, Verdict.REFUSES, Verdict.REFUSES),
}


def ours(data: bytes) -> Frame | None:
    try:
        return decode(data)
    except FrameError:
        return None


def by_uecho(data: bytes) -> Frame | None:
    message = Message()
    try:
        message.parse_bytes(data)
    except (Message.ParserError, IndexError):  # the second is its way to meet an early end
        return None
    first = message.set_properties if message.ESV in TWO_LISTS else message.properties
    listed = [
        tuple(Property(each.code, bytes(each.data)) for each in each_list)
        for each_list in (first, message.get_properties)
    ]
    return Frame(message.TID, message.SEOJ, message.DEOJ, message.ESV, *listed)


def by_pychonet(data: bytes) -> Frame | None:
    try:
        message = decodeEchonetMsg(data)
    except (DecodeEchonetMsgError, IndexError):
        return None
    seoj, deoj = (
        message[f"{end}GC"] << 16 | message[f"{end}CC"] << 8 | message[f"{end}CI"] for end in ("SEOJ", "DEOJ")
    )
    properties = tuple(Property(each["EPC"], each["EDT"]) for each in message["OPC"])
    return Frame(message["TID"], seoj, deoj, message["ESV"], properties)


def verdict(theirs: Frame | None, our: Frame | None) -> Verdict | str:
    if theirs is None:
        return Verdict.REFUSES
    if our is None:
        return Verdict.LENIENT
    if theirs == replace(our, trailing=b""):
        return Verdict.AGREES
    if theirs == replace(our, trailing=b"", get_properties=()):
        return Verdict.FIRST_LIST
    return f"decodes it as {theirs}"


def test_the_frames_are_many_and_every_category_is_judged() -> None:
    """At least 150 frames, no category without frames or without a stated expectation."""
    assert sum(map(len, FRAMES.values())) >= 150
    assert FRAMES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("category", EXPECTED)
def test_what_is_a_frame_to_us(category: str) -> None:
    """Whole frames decode and encode to the same bytes, all others are refused."""
    for data in FRAMES[category]:
        frame = ours(data)
        assert (frame is not None) == EXPECTED[category].ours, data.hex()
        if frame is not None:
            assert encode(frame) == data


@pytest.mark.parametrize("category", EXPECTED)
def test_uecho(category: str) -> None:
    """uecho agrees with us on every frame, odd and malformed ones included."""
    for data in FRAMES[category]:
        assert verdict(by_uecho(data), ours(data)) == EXPECTED[category].uecho, data.hex()


@pytest.mark.parametrize("category", EXPECTED)
def test_pychonet(category: str) -> None:
    """pychonet agrees with us on every frame but those of the categories where it is known to be lenient."""
    for data in FRAMES[category]:
        assert verdict(by_pychonet(data), ours(data)) == EXPECTED[category].pychonet, data.hex()


def test_uecho_builds_the_same_bytes() -> None:
    """From the same fields uecho builds the datagram that we build."""
    for category in ("plain", "empty", "unknown", "two-lists"):
        for data in FRAMES[category]:
            message = Message()
            message.parse_bytes(data)
            assert bytes(message.to_bytes()) == encode(decode(data))


def test_pychonet_builds_the_same_requests() -> None:
    """Every request that pychonet can build (from 05FF01, to a class it knows) is the datagram that we build."""
    requests = [
        frame
        for frame in map(decode, FRAMES["plain"])
        if frame.seoj == CONTROLLER and frame.esv in {ESV.GET, ESV.SETC, ESV.SETI, ESV.INF_REQ, ESV.INFC_RES}
    ]
    assert len(requests) > 30
    for frame in requests:
        assert bytes(buildEchonetMsg(for_pychonet(frame))) == encode(frame)


def for_pychonet(frame: Frame) -> dict[str, Any]:
    group, code, instance = frame.deoj.to_bytes(3, "big")
    properties = [{"EPC": p.epc, "PDC": len(p.edt), "EDT": int.from_bytes(p.edt, "big")} for p in frame.properties]
    return {
        **{"TID": frame.tid, "DEOJGC": group, "DEOJCC": code, "DEOJCI": instance},
        **{"ESV": int(frame.esv), "OPC": properties},
    }
