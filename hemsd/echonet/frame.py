"""Frames: the bytes of one ECHONET Lite datagram, and one frozen `Frame`.

ECHONET Lite Specification 1.14, part II, chapter 3, format 1 (EHD 10 81). A datagram carries exactly one frame;
there is neither a checksum nor a length of the whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from io import BytesIO
from itertools import chain
from typing import Final

from construct import Construct, StreamError, StringError
from msgspec import Struct

from hemsd.echonet.layout import Misfit, Packed, build, parse


class ESV(IntEnum):
    """What a frame asks or tells (3.2.5). High nibble 6: request; 7: response or notification; 5: not possible."""

    SETI_SNA = 0x50
    SETC_SNA = 0x51
    GET_SNA = 0x52
    INF_SNA = 0x53
    SETGET_SNA = 0x5E
    SETI = 0x60
    SETC = 0x61
    GET = 0x62
    INF_REQ = 0x63
    SETGET = 0x6E
    SET_RES = 0x71
    GET_RES = 0x72
    INF = 0x73
    INFC = 0x74
    INFC_RES = 0x7A
    SETGET_RES = 0x7E


REQUESTS: Final = frozenset({ESV.SETI, ESV.SETC, ESV.GET, ESV.INF_REQ, ESV.SETGET})
RESPONSES: Final = frozenset({ESV.SET_RES, ESV.GET_RES, ESV.INFC_RES, ESV.SETGET_RES})
NOTIFICATIONS: Final = frozenset({ESV.INF, ESV.INFC})
REFUSALS: Final = frozenset({ESV.SETI_SNA, ESV.SETC_SNA, ESV.GET_SNA, ESV.INF_SNA, ESV.SETGET_SNA})
TWO_LISTS: Final = frozenset({ESV.SETGET, ESV.SETGET_RES, ESV.SETGET_SNA})

ANSWERS: Final[Mapping[int, frozenset[ESV]]] = {
    ESV.SETI: frozenset({ESV.SETI_SNA}),
    ESV.SETC: frozenset({ESV.SET_RES, ESV.SETC_SNA}),
    ESV.GET: frozenset({ESV.GET_RES, ESV.GET_SNA}),
    ESV.INF_REQ: frozenset({ESV.INF, ESV.INF_SNA}),
    ESV.SETGET: frozenset({ESV.SETGET_RES, ESV.SETGET_SNA}),
    ESV.INFC: frozenset({ESV.INFC_RES}),
}
"""What may answer what; anything else is never answered."""


class Property(Struct, frozen=True, gc=False):
    """A property in a frame: its code (EPC, 0x00-0xFF) and its data (EDT, 0-255 bytes)."""

    epc: int
    edt: bytes = b""


class Frame(Struct, frozen=True, gc=False):
    """One frame. `esv` is an ESV where it is a known one; SetGet and its answers have two lists."""

    tid: int  # 0-0xFFFF
    seoj: int  # 24 bits: class group, class, instance
    deoj: int
    esv: int
    properties: tuple[Property, ...]
    get_properties: tuple[Property, ...] = ()
    trailing: bytes = b""  # what followed the frame in its datagram

    @property
    def unknown_esv(self) -> bool:
        """Whether the standard knows no such service: such a frame is never answered."""
        return self.esv not in _ESV

    @property
    def empty(self) -> bool:
        """Whether no property is named at all (OPC 0), which the standard has no use for."""
        return not self.properties and not self.get_properties


class FrameError(ValueError):
    """A datagram that is no frame: `at` is the offset (0-len) of the field that does not fit, `data` all of it."""

    def __init__(self, reason: str, at: int, data: bytes) -> None:
        super().__init__(f"byte {at}: {reason}")
        self.reason = reason
        self.at = at
        self.data = data


class _Properties(Construct):
    """OPC, and that many times EPC, PDC and PDC bytes of EDT."""

    def _parse(self, stream: BytesIO, context: None, path: None) -> tuple[Property, ...]:
        read, properties = stream.read, []
        try:
            (count,) = read(1)
            for _ in range(count):
                epc, size = read(2)
                edt = read(size)
                if len(edt) < size:
                    raise StreamError("cut off")
                properties.append(Property(epc, edt))
        except ValueError as error:
            raise StreamError("cut off") from error
        return tuple(properties)

    def _build(self, obj: tuple[Property, ...], stream: BytesIO, context: None, path: None) -> None:
        try:
            stream.write(bytes((len(obj),)))
            for each in obj:
                stream.write(bytes((each.epc, len(each.edt))) + each.edt)
        except ValueError as error:
            raise StringError("neither the number of properties, nor EPC nor length may exceed 255") from error


EHD: Final = b"\x10\x81"
_HEADER: Final = Packed(">2sHHBHBB")  # EHD, TID, class and instance of SEOJ and of DEOJ, ESV
_PROPERTIES: Final = _Properties()
_ESV: Final[Mapping[int, ESV]] = {esv: esv for esv in ESV}


class _Datagram(Construct):
    """A frame as its header, one list of properties or two, and what follows it."""

    def __init__(self, *, two_lists: bool) -> None:
        super().__init__()
        self.two_lists = two_lists

    def _parse(self, stream: BytesIO, context: None, path: None) -> Frame:
        _, tid, seoj, s_instance, deoj, d_instance, esv = _HEADER._parse(stream, context, path)
        properties = _PROPERTIES._parse(stream, context, path)
        more = _PROPERTIES._parse(stream, context, path) if self.two_lists else ()
        seoj, deoj = seoj << 8 | s_instance, deoj << 8 | d_instance
        return Frame(tid, seoj, deoj, _ESV.get(esv, esv), properties, more, stream.read())

    def _build(self, obj: Frame, stream: BytesIO, context: None, path: None) -> None:
        seoj, deoj = obj.seoj, obj.deoj
        header = (EHD, obj.tid, seoj >> 8, seoj & 0xFF, deoj >> 8, deoj & 0xFF, obj.esv)
        _HEADER._build(header, stream, context, path)
        _PROPERTIES._build(obj.properties, stream, context, path)
        if self.two_lists:
            _PROPERTIES._build(obj.get_properties, stream, context, path)
        stream.write(obj.trailing)


_ONE_LIST: Final = _Datagram(two_lists=False)
_TWO_LISTS: Final = _Datagram(two_lists=True)
_LAYOUT: Final[Mapping[int, Construct]] = {esv: _TWO_LISTS if esv in TWO_LISTS else _ONE_LIST for esv in ESV}
BODY_AT: Final = 4  # what follows EHD and TID
_ESV_AT: Final = 10
SHAPES: Final = 1024  # that are remembered
_SHORTEST: Final = 12  # bytes, with OPC 0


def decode(data: bytes) -> Frame:
    """Read one datagram. Raises FrameError, and nothing else, for anything that is no complete frame.

    Bytes after the frame are kept in `trailing`. OPC 0 and an unknown ESV are no errors: see `empty`, `unknown_esv`.
    """
    if len(data) < _SHORTEST or not data.startswith(EHD):
        raise _refused(data)
    try:
        frame: Frame = parse(_LAYOUT.get(data[_ESV_AT], _ONE_LIST), data)[0]
    except Misfit as misfit:
        raise FrameError(misfit.reason, misfit.at, data) from misfit
    return frame


def encode(frame: Frame) -> bytes:
    """The datagram of a frame, the inverse of decode(). Raises ValueError for what no frame can hold."""
    layout = _LAYOUT.get(frame.esv, _ONE_LIST)
    if frame.get_properties and layout is _ONE_LIST:
        raise ValueError("only SetGet and its answers have a second list of properties")
    return build(layout, frame)


class Shape:
    """All of a frame but its TID and its data: one like it is read or made at one go. It has one list, not empty."""

    def __init__(self, frame: Frame) -> None:
        between = _SHORTEST - BODY_AT + 2  # bytes between the data of two properties, or before those of the first
        marks = edts = f"{BODY_AT}x"
        for each in frame.properties:
            marks += f"{between}s{len(each.edt)}x"
            edts += f"{between}x{len(each.edt)}s"
            between = 2
        self._size = struct.calcsize(marks)
        self._unpack_marks, self._unpack_edts = struct.Struct(marks).unpack, struct.Struct(edts).unpack
        self._marks = self._unpack_marks(encode(frame))
        self._epcs = tuple([each.epc for each in frame.properties])

    def told(self, data: bytes) -> dict[int, bytes] | None:
        """The data by EPC of a datagram of this shape; None for others. EHD and TID are not looked at."""
        if len(data) != self._size or self._unpack_marks(data) != self._marks:
            return None
        return dict(zip(self._epcs, self._unpack_edts(data)))  # noqa: B905 - of one frame; to check it again is dear

    def body(self, edts: Iterable[bytes]) -> bytes:
        """All of the datagram with these data that follows the TID; each is to have its size."""
        return b"".join(chain.from_iterable(zip(self._marks, edts, strict=True)))


def shape_of(frame: Frame) -> Shape:
    """The shape of a frame; frames of devices alike have the same, and share it."""
    return shape(frame.seoj, frame.deoj, frame.esv, tuple([(each.epc, len(each.edt)) for each in frame.properties]))


@lru_cache(SHAPES)
def shape(seoj: int, deoj: int, esv: int, sizes: tuple[tuple[int, int], ...]) -> Shape:
    """The shape of frames with these properties: EPC, and number of bytes of its data."""
    return Shape(Frame(0, seoj, deoj, esv, tuple([Property(epc, bytes(size)) for epc, size in sizes])))


def _refused(data: bytes) -> FrameError:
    """Why a datagram has no header of ours."""
    match data[:2]:
        case b"" | b"\x10" | b"\x10\x81":
            return FrameError("the header breaks off", len(data), data)
        case b"\x10\x82":
            return FrameError("format 2, whose contents are known to its makers only", 1, data)
        case head if head[0] == 0x10:
            return FrameError(f"format {head[1]:02X} is unknown", 1, data)
        case head if head[0] >= 0x80:
            return FrameError("classic ECHONET, not ECHONET Lite", 0, data)
        case _:
            return FrameError("not ECHONET Lite", 0, data)
