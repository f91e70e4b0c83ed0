"""ECHONET Lite frames of format 1, by the letter of the specification (part II, 3.2)."""

from __future__ import annotations

from typing import NamedTuple

SET_I, SET_C, GET, INF_REQ, INFC = 0x60, 0x61, 0x62, 0x63, 0x74  # requests that a node obeys (3.2.5)
SET_I_SNA, SET_C_SNA, GET_SNA, INF_SNA = 0x50, 0x51, 0x52, 0x53
SET_RES, GET_RES, INF, INFC_RES = 0x71, 0x72, 0x73, 0x7A
REQUESTS = frozenset((SET_I, SET_C, GET, INF_REQ, INFC))
ESV = 10  # where it stands in a frame
HEADER = 12
PROFILE = 0x0EF001  # the node profile object


class Property(NamedTuple):
    epc: int
    edt: bytes = b""


class Frame(NamedTuple):
    tid: int
    seoj: int
    deoj: int
    esv: int
    properties: tuple[Property, ...]


def is_request(payload: bytes) -> bool:
    """Whether it may be something that a node has to obey."""
    return len(payload) > ESV and payload[ESV] in REQUESTS


def parse(payload: bytes) -> Frame | None:
    """A frame, or None where a byte is too few, too many or not as it must be."""
    if len(payload) < HEADER or payload[:2] != b"\x10\x81" or not payload[11]:
        return None
    properties, at = [], HEADER
    for _ in range(payload[11]):
        if at + 2 > len(payload):
            return None
        epc, length = payload[at], payload[at + 1]
        properties.append(Property(epc, payload[at + 2 : at + 2 + length]))
        at += 2 + length
    if at != len(payload):
        return None
    tid, seoj, deoj = (int.from_bytes(payload[start:end], "big") for start, end in ((2, 4), (4, 7), (7, 10)))
    return Frame(tid, seoj, deoj, payload[ESV], tuple(properties))


def build(frame: Frame) -> bytes:
    """The bytes of a frame."""
    head = b"\x10\x81" + frame.tid.to_bytes(2, "big") + frame.seoj.to_bytes(3, "big") + frame.deoj.to_bytes(3, "big")
    body = b"".join(bytes((epc, len(edt))) + edt for epc, edt in frame.properties)
    return head + bytes((frame.esv, len(frame.properties))) + body


def property_map(epcs: frozenset[int]) -> bytes:
    """The EDT of 9D, 9E and 9F: a list below 16 properties, from then on a bitmap (part II, appendix 1)."""
    if len(epcs) < 16:
        return bytes((len(epcs), *sorted(epcs)))
    bits = bytearray(16)
    for epc in epcs:
        bits[epc & 0x0F] |= 1 << ((epc >> 4) - 8)
    return bytes((len(epcs), *bits))
