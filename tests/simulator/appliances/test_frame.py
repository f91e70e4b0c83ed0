"""Frames as the simulated nodes read and write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.simulated import US, bench, world

from hemsd.simulator.appliances import AirConditioner
from hemsd.simulator.appliances.frame import build, parse

EDT = st.binary(max_size=255)
FRAMES = st.builds(
    lambda tid, objects, esv, properties: (
        b"\x10\x81"
        + tid.to_bytes(2, "big")
        + objects
        + bytes((esv, len(properties)))
        + b"".join(bytes((epc, len(edt))) + edt for epc, edt in properties)
    ),
    st.integers(0, 0xFFFF),
    st.sampled_from((b"\x05\xff\x01\x01\x30\x01", b"\x05\xff\x01\x0e\xf0\x01", b"\x0e\xf0\x01\x01\x30\x00")),
    st.sampled_from((0x60, 0x61, 0x62, 0x63, 0x74, 0x6E, 0x73, 0x00)),
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), min_size=1, max_size=30),
)


@given(st.binary(max_size=400) | FRAMES)
def test_what_is_understood_is_written_the_same(payload: bytes) -> None:
    """And all else is nothing."""
    frame = parse(payload)
    assert frame is None or build(frame) == payload


@given(st.lists(st.binary(max_size=100) | FRAMES, max_size=5))
def test_nothing_stops_a_node(payloads: list[bytes]) -> None:
    """Whatever it is sent, it lives on, and what it says are frames."""
    node = bench(AirConditioner(world()))
    for payload in payloads:
        node.node.receive(US, payload, node.now)
    assert all(parse(said.payload) for said in node.wait(10))
    assert node.ask("1081 0001 05FF01 013001 62 01 8000")
