"""Whatever the bytes are, the frame codec decodes them, or refuses them with its own error and where."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.echonet import frames

from hemsd.echonet import meter
from hemsd.echonet.describe import describe_frame
from hemsd.echonet.frame import ESV, TWO_LISTS, Frame, FrameError, Property, decode, encode, shape_of
from hemsd.echonet.objects import NODE_CLASS, decode_property_map, encode_property_map
from hemsd.echonet.values import PropertyError

CAPTURED = frames()["plain"][:32] + frames()["two-lists"]

codes = st.integers(0, 0xFF)
objects = st.integers(0, 0xFFFFFF)
properties = st.builds(Property, codes, st.binary(max_size=255))
lists = st.lists(properties, max_size=6).map(tuple)
services = codes.map(lambda code: ESV(code) if code in set(ESV) else code) | st.sampled_from(ESV)


@st.composite
def whole_frames(draw: st.DrawFn) -> Frame:
    esv = draw(services)
    return Frame(
        tid=draw(st.integers(0, 0xFFFF)),
        seoj=draw(objects),
        deoj=draw(objects),
        esv=esv,
        properties=draw(lists),
        get_properties=draw(lists) if esv in TWO_LISTS else (),
        trailing=draw(st.binary(max_size=20)),
    )


@given(whole_frames())
def test_what_is_encoded_is_decoded_again(frame: Frame) -> None:
    """decode() is the inverse of encode(), trailing bytes and unknown services included."""
    assert decode(encode(frame)) == frame


@given(whole_frames())
def test_what_is_cut_anywhere_is_refused_inside(frame: Frame) -> None:
    """Every beginning of a frame is refused, at a byte that lies within it or at its end."""
    data = encode(replace(frame, trailing=b""))
    for length in {*range(min(len(data), 40)), len(data) - 1}:
        with pytest.raises(FrameError) as refused:
            decode(data[:length])
        assert 0 <= refused.value.at <= length


@given(whole_frames(), st.binary(min_size=1, max_size=64))
def test_what_follows_changes_nothing(frame: Frame, more: bytes) -> None:
    """Bytes after a frame are reported as trailing, and leave the frame as it is."""
    bare = replace(frame, trailing=b"")
    assert decode(encode(bare) + more) == replace(bare, trailing=more)


def decoded_or_refused(data: bytes) -> None:
    try:
        frame = decode(data)
    except FrameError as error:
        assert 0 <= error.at <= len(data)
    else:
        assert encode(frame) == data
        describe_frame(frame)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"\x10\x81" + data))
def test_garbage(data: bytes) -> None:
    """Any bytes are a frame that encodes to the same bytes, or a FrameError; nothing else is ever raised."""
    decoded_or_refused(data)


@given(st.sampled_from(CAPTURED), st.lists(st.tuples(st.integers(0, 230), codes), min_size=1, max_size=8))
def test_mutations_of_real_frames(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Frames with bytes changed are understood or refused, described included."""
    mutated = bytearray(data)
    for at, code in changes:
        mutated[at % len(mutated)] = code
    decoded_or_refused(bytes(mutated))


@given(
    whole_frames().filter(lambda frame: frame.properties and frame.esv not in TWO_LISTS and not frame.trailing),
    st.lists(st.tuples(st.integers(2, 300), codes), max_size=2),
    st.binary(max_size=2),
)
def test_a_shape_reads_what_decode_reads(frame: Frame, changes: list[tuple[int, int]], more: bytes) -> None:
    """Whatever bytes differ: the same data by EPC, or nothing where anything but TID and data is another."""
    data = bytearray(encode(frame))
    for at, byte in changes:
        data[at % (len(data) - 2) + 2] = byte
    told = shape_of(frame).told(bytes(data) + more)
    try:
        other = decode(bytes(data) + more)
    except FrameError:
        assert told is None
        return
    blank = [
        replace(each, tid=0, properties=[(p.epc, len(p.edt)) for p in each.properties]) for each in (frame, other)
    ]
    assert (told is not None) == (blank[0] == blank[1])
    assert told is None or told == {each.epc: each.edt for each in other.properties}


@given(codes, st.binary(max_size=255))
def test_any_data_of_a_property(epc: int, edt: bytes) -> None:
    """Any data of any property is understood, or refused with PropertyError."""
    with contextlib.suppress(PropertyError):
        meter.describe(epc, edt, meter.Scale())
    if epc in NODE_CLASS:
        with contextlib.suppress(PropertyError):
            NODE_CLASS[epc].describe(epc, edt)


@given(st.sampled_from(sorted(meter.PROPERTIES)), st.data())
def test_data_of_the_right_length(epc: int, data: st.DataObject) -> None:
    """The same for data as long as the meter's properties are."""
    edt = data.draw(
        st.sampled_from([1, 2, 4, 7, 11, 12, 15, 16, 17, 23, 194]).flatmap(
            lambda size: st.binary(min_size=size, max_size=size)
        )
    )
    with contextlib.suppress(PropertyError):
        meter.describe(epc, edt)


@given(st.frozensets(st.integers(0x80, 0xFF)))
def test_property_maps(epcs: frozenset[int]) -> None:
    """A map of any properties is at most 17 bytes long and gives them back."""
    edt = encode_property_map(epcs)
    assert len(edt) <= 17
    assert decode_property_map(edt) == epcs
