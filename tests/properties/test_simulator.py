"""Whatever bytes come in whatever pieces, the simulated module stays in order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.simulator import ADDRESS, Bench, get

from hemsd.simulator.uart import MAX_LINE, MAX_PAYLOAD, Input

families = st.sampled_from(["SE", "DUAL"])
METER = Bench("SE").meter


def _conversation(bench: Bench) -> bytes:
    payload = get(0xE7, 0x0D, 0x0A)
    send = bench.header(payload).encode() + payload
    lines = [b"SKVER\r\n", b"ROPT\r", b"SKSREG S2 31\r\n", send, b"\r\n", b"NONSENSE\r\n", b"RUART\r\n", send]
    return b"".join([*lines, f"SKLL64 {'0' * 16}\r\nSKADDNBR {ADDRESS} {'1' * 16}\r\n".encode()])


@given(family=families, cuts=st.lists(st.integers(0, 400), max_size=20))
def test_any_chunking_prints_the_same(family: str, cuts: list[int]) -> None:
    """How the bytes are cut does not matter."""
    whole, cut = Bench(family), Bench(family)
    data = _conversation(whole)
    expected = whole.raw(data, 1)
    places = [0, *sorted(place for place in cuts if place < len(data)), len(data)]
    printed = b"".join(cut.raw(data[begin:end]) for begin, end in pairwise(places))
    assert printed + cut.raw(b"", 1) == expected


@given(family=families, data=st.binary(max_size=3000))
def test_garbage_harms_nothing(family: str, data: bytes) -> None:
    """No bytes make the module raise; once it has had all it may be waiting for it answers again."""
    bench = Bench(family)
    bench.raw(data, 1)
    bench.raw(b"\r\n" + bytes(MAX_PAYLOAD) + b"\r\n", 1)
    assert b"EVER" in bench.raw(b"SKVER\r\n", 1)


@given(chunks=st.lists(st.binary(max_size=300), max_size=40), dual=st.booleans())
def test_input_keeps_little(chunks: list[bytes], dual: bool) -> None:
    """However much comes, what is kept is at most a line or a datagram."""
    reader = Input(dual=dual)
    for chunk in chunks:
        reader.feed(chunk)
        while reader.next() is not None:
            pass
        assert len(reader._buffer) <= max(MAX_LINE, MAX_PAYLOAD) + len(chunk)


@given(
    frame=st.binary(max_size=60)
    | st.binary(max_size=40).map(lambda tail: bytes.fromhex("1081000105FF0102880162") + tail)
)
def test_no_frame_makes_the_meter_raise(frame: bytes) -> None:
    """A malformed request is silence, never an error; an answer mirrors the request's TID."""
    answer = METER.answer(frame, 0)
    assert answer is None or answer.payload[2:4] == frame[2:4]
