"""What may leave on the link to the meter: a literal list; whatever is not on it stays here. Pure.

ITU-T G.9958, I.2(3) (R53, R54): over Route B the controller talks only with the meter, and sends no other type of
traffic. A meter's selectors (E5, ED, EF) are all that a controller is to set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from hemsd.echonet.frame import ESV, Frame, FrameError, decode
from hemsd.echonet.meter import PROPERTIES, MeterEPC
from hemsd.echonet.meter import decode as decode_property
from hemsd.echonet.objects import CONTROLLER, METER, NODE_CLASS, NODE_PROFILE, SUPER_CLASS
from hemsd.echonet.values import PropertyError
from hemsd.routeb.offered import OFFERED

_METER, _NODE, _CONTROLLER = METER >> 8, NODE_PROFILE >> 8, CONTROLLER >> 8
_TELLS, _SETS = (ESV.GET_RES, ESV.GET_SNA), ESV.SETC
_ANY: Final = range(0x100)
_REMEMBERED: Final = 64  # frames without their TID; a meter is asked the same few all day,
_ONE_SET: Final = bytes((ESV.SETC, 1))  # but told to select another day each time: service and number of properties,
_SERVICE, _EPC_AT, _EDT_AT = slice(10, 12), 12, 14  # and where these are
_MISPLACED: Final = "data that do not belong there"
OURS: Final = frozenset({_CONTROLLER, _NODE})
"""The classes that speak here, and are spoken to."""

ALLOWED: Final[Mapping[tuple[int, int], Collection[int]]] = {
    (_METER, ESV.GET): PROPERTIES.keys(),
    (_METER, ESV.SETC): {MeterEPC.HISTORY_1_DAY, MeterEPC.HISTORY_2_SELECTOR, MeterEPC.HISTORY_3_SELECTOR},
    (_METER, ESV.INFC_RES): _ANY,  # it names what the meter told
    (_METER, ESV.GET_RES): OFFERED,  # in configurations 6.3, where there is something to read
    (_METER, ESV.GET_SNA): _ANY,  # it names what the meter asked
    (_NODE, ESV.GET): {*SUPER_CLASS, *NODE_CLASS, 0xD3, 0xD4},
    (_NODE, ESV.INFC_RES): _ANY,
}
"""Property codes by the class that a frame is for and its service."""


def objection(payload: bytes) -> str:
    """Why a datagram must never leave on the link to the meter; empty for one that may."""
    if payload[_SERVICE] == _ONE_SET:
        form = payload[:2] + bytes(2) + payload[4:_EDT_AT] + bytes(len(payload) - _EDT_AT)
        return _objection_to_form(form) or _objection_to_data(payload[_EPC_AT], payload[_EDT_AT:])
    return _judged(payload[:2] + bytes(2) + payload[4:])


@lru_cache(_REMEMBERED)
def _judged(payload: bytes) -> str:
    """The objection to a datagram, whichever transaction it is of."""
    if objection := _objection_to_form(payload):
        return objection
    return "" if _is_proper(decode(payload)) else _MISPLACED


@lru_cache(_REMEMBERED)
def _objection_to_form(payload: bytes) -> str:
    """What there is to object to in a datagram, be its data what they may."""
    try:
        frame = decode(payload)
    except FrameError:
        return "no ECHONET Lite"
    codes = ALLOWED.get((frame.deoj >> 8, frame.esv))
    if codes is None:
        return "a service that is not for a meter"
    if frame.seoj >> 8 not in OURS or frame.trailing or frame.empty:
        return "not a controller's frame"
    if any(each.epc not in codes for each in frame.properties):
        return "a property that is not of the meter interface"
    return ""


def _is_proper(frame: Frame) -> bool:
    """Whether it carries data where it sets something, such as the property takes, and none elsewhere."""
    if frame.esv in _TELLS:
        return frame.seoj == CONTROLLER and all(each.epc in OFFERED for each in frame.properties if each.edt)
    if frame.esv != _SETS:
        return not any(each.edt for each in frame.properties)
    return not any(_objection_to_data(each.epc, each.edt) for each in frame.properties)


def _objection_to_data(epc: int, edt: bytes) -> str:
    """What there is to object to in what a property is set to."""
    try:
        decode_property(epc, edt)
    except PropertyError:
        return _MISPLACED
    return ""
