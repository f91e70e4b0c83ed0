"""Frames cut out of a stream: what is sound comes out, whatever stands around it."""

from __future__ import annotations

import pytest

from drivers.j11.framing import MAX_FRAME, NOISE_BYTES, Frame, Framer, request
from drivers.module import Noise
from hemsd.simulator.frames import frame

BOOT = frame(0x6019)
ANSWER = frame(0x2054, b"\x01")
LONG = frame(0x6018, bytes(range(256)) * 5)


def cut(*parts: bytes) -> list[Frame | Noise]:
    return [each for part in (Framer(),) for piece in parts for each in part.receive(piece)]


def test_frames_are_as_in_the_vendors_log() -> None:
    """F1 and F5 of capture 13: length counts the sums, the header's sum is of 8 bytes, the data's of the data."""
    assert request(0x00D9) == bytes.fromhex("D0EA83FC 00D9 0004 0416 0000")
    credentials = b"00112233445566778899AABBCCDDEEFF0123456789AB"
    assert request(0x0054, credentials) == bytes.fromhex("D0EA83FC 0054 0030 03BD 09D4") + credentials


def test_frames_follow_each_other() -> None:
    """With and without data, up to the longest."""
    longest = frame(0x6018, bytes(MAX_FRAME - 12))
    assert cut(BOOT + ANSWER + longest) == [
        Frame(0x6019, b""),
        Frame(0x2054, b"\x01"),
        Frame(0x6018, bytes(MAX_FRAME - 12)),
    ]


def test_a_request_is_not_longer_than_a_frame() -> None:
    """1361 bytes in all."""
    assert len(request(8, bytes(MAX_FRAME - 12))) == MAX_FRAME
    with pytest.raises(ValueError, match="1349"):
        request(8, bytes(MAX_FRAME - 11))


@pytest.mark.parametrize(
    "garbage",
    [
        b"EVER 1.2.10\r\n",
        b"\xd0",
        b"\xd0\xf9\xee",
        b"\xd0\xd0\xf9\xee\x5e",
        bytes.fromhex("D0EA83FC 006B 0004 03A8 0000"),  # a request, as an echo would be
        bytes.fromhex("D0F9EE5D 6019 0004 0392 0000"),  # its header's sum is wrong
        bytes.fromhex("D0F9EE5D 6019 0003 0390 0000"),  # too short a length
        bytes.fromhex("D0F9EE5D 6019 FFFF") + (sum(bytes.fromhex("D0F9EE5D6019FFFF"))).to_bytes(2, "big") + b"\0\0",
        bytes.fromhex("D0F9EE5D 2054 0005 038D 0002 01"),  # its data's sum is wrong
        LONG[:700],
        LONG[:300] + LONG[301:],
    ],
)
def test_what_is_no_frame_costs_no_other(garbage: bytes) -> None:
    """The next frame is found, and the bytes are told by their number."""
    heard = cut(garbage + ANSWER + LONG + LONG)
    assert [each for each in heard if isinstance(each, Frame)][-2:] == [Frame(0x6018, LONG[12:])] * 2
    assert Frame(0x2054, b"\x01") in heard
    told = [int(each.text.split()[0]) for each in heard if isinstance(each, Noise)]
    assert sum(told) == len(garbage)
    assert max(told) <= NOISE_BYTES


def test_a_frame_that_stops_holds_the_next_one_until_it_is_given_up() -> None:
    """Its length says that more belongs to it; the engine knows when there is no more to come."""
    framer = Framer()
    assert framer.receive(LONG[:100] + ANSWER) == []
    heard = framer.abandon()
    assert heard[-1] == Frame(0x2054, b"\x01")
    assert framer.abandon() == []
    assert framer.receive(BOOT) == [Frame(0x6019, b"")]


def test_neither_frames_nor_noise_show_their_bytes() -> None:
    """They may be the key (2059)."""
    key = b"SECRETKEY0123456"
    heard = cut(frame(0x2059, b"\x01" + key)) + cut(frame(0x2059, b"\x01" + key)[:-1] + BOOT)
    assert len(heard) == 3
    assert not any(b"SECRET".hex() in repr(each) or "SECRET" in repr(each) for each in heard)
