"""Our own node: the node profile and the controller that others see, and what they are answered.

ECHONET Lite Specification 1.14, part II, 3.2.5 (services), 4.2 and 4.3 (sequences), 6.11 (node profile); ECHONET
Appendix release R, chapter 2 (super class) and class 05FF.

Theory. A request is for one object of ours, or with instance 00 for each of its class; every object answers for
itself. What is not for us, asks nothing (OPC 0), or is no request is never answered, so that no two nodes can keep
each other busy. Nothing of ours can be set but where the controller stands (81).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from hemsd.echonet.frame import ESV, Frame, Property
from hemsd.echonet.objects import CONTROLLER, NODE_PROFILE, encode_property_map

EXPERIMENTAL: Final = "FFFFFF"  # maker code for whoever is not a member of the consortium
UNIQUE_SIZE: Final = 13  # bytes of an identification number that its maker is free in
NOWHERE: Final = b"\x00"  # place of installation: not set
ANSWER_MAX: Final = 1232 - 12  # bytes of properties: what one datagram carries, less the header

STATUS, LOCATION, VERSION, IDENTIFICATION, FAULT, MAKER = 0x80, 0x81, 0x82, 0x83, 0x88, 0x8A
ANNOUNCED, SETTABLE, READABLE = 0x9D, 0x9E, 0x9F
INSTANCES, CLASSES, ANNOUNCED_LIST, INSTANCE_LIST, CLASS_LIST = 0xD3, 0xD4, 0xD5, 0xD6, 0xD7


class Answer(Struct, frozen=True):
    """A frame of ours, for whoever asked or `to_all`."""

    frame: Frame
    to_all: bool = False


class OwnNode:
    """What we are to others. `maker`: 6 hexadecimal digits; `unique`: 13 bytes that no other node of this maker has.

    `location` is where another controller said that we stand (81): 1 byte, or 17 that begin with 01; to be kept.
    Raises ValueError.
    """

    def __init__(self, *, maker: str = EXPERIMENTAL, unique: bytes, location: bytes = NOWHERE) -> None:
        code = bytes.fromhex(maker)
        if len(code) != 3:
            raise ValueError(f"a maker code has 6 hexadecimal digits, not {maker!r}")
        if len(unique) != UNIQUE_SIZE:
            raise ValueError(f"the free part of an identification number has {UNIQUE_SIZE} bytes, not {len(unique)}")
        self.location = location if _is_location(location) else NOWHERE
        common = {STATUS: b"\x30", IDENTIFICATION: b"\xfe" + code + unique, MAKER: code}
        ours = CONTROLLER.to_bytes(3, "big")
        self._objects: Mapping[int, dict[int, bytes]] = {
            NODE_PROFILE: _with_maps(
                {
                    **common,
                    VERSION: b"\x01\x0e\x01\x00",  # 1.14, format 1
                    INSTANCES: b"\x00\x00\x01",
                    CLASSES: b"\x00\x02",  # with the node profile
                    ANNOUNCED_LIST: b"\x01" + ours,
                    INSTANCE_LIST: b"\x01" + ours,
                    CLASS_LIST: b"\x01" + ours[:2],
                },
                announced=(STATUS, ANNOUNCED_LIST),
            ),
            CONTROLLER: _with_maps(
                {
                    **common,
                    VERSION: b"\x00\x00R\x03",  # release R, revision 3
                    LOCATION: self.location,
                    FAULT: b"\x42",  # none
                },
                announced=(STATUS, LOCATION, FAULT),
                settable=(LOCATION,),
            ),
        }

    def announcements(self, next_tid: Callable[[], int]) -> list[Frame]:
        """What is told to all at start (4.3.1): the list of our instances, and that they are in operation."""
        return [
            self._telling(NODE_PROFILE, ANNOUNCED_LIST, next_tid()),
            self._telling(NODE_PROFILE, STATUS, next_tid()),
            self._telling(CONTROLLER, STATUS, next_tid()),
        ]

    def answer(self, frame: Frame, next_tid: Callable[[], int]) -> list[Answer]:
        """What a frame from another node is answered with, in order; nothing for most."""
        if frame.empty or frame.esv not in _ANSWERING:
            return []
        answers = []
        for eoj in self._meant(frame.deoj):
            before = self.location
            if (answer := _ANSWERING[frame.esv](self, eoj, frame)) is not None:
                answers.append(answer)
            if self.location != before:
                answers.append(Answer(self._telling(eoj, LOCATION, next_tid()), to_all=True))
        return answers

    def _meant(self, deoj: int) -> list[int]:
        """Our objects that a frame is for."""
        return [eoj for eoj in self._objects if deoj in (eoj, eoj & 0xFFFF00)]

    def _telling(self, eoj: int, epc: int, tid: int) -> Frame:
        return Frame(tid, eoj, NODE_PROFILE, ESV.INF, (Property(epc, self._objects[eoj][epc]),))

    # --- services

    def _get(self, eoj: int, frame: Frame) -> Answer:
        told, whole = self._read(eoj, frame.properties, ANSWER_MAX)
        return _reply(frame, eoj, ESV.GET_RES if whole else ESV.GET_SNA, told)

    def _inform(self, eoj: int, frame: Frame) -> Answer:
        told, whole = self._read(eoj, frame.properties, ANSWER_MAX)
        answer = _reply(frame, eoj, ESV.INF if whole else ESV.INF_SNA, told)
        return Answer(answer.frame, to_all=whole)

    def _set_confirmed(self, eoj: int, frame: Frame) -> Answer:
        told, whole = self._write(eoj, frame.properties)
        return _reply(frame, eoj, ESV.SET_RES if whole else ESV.SETC_SNA, told)

    def _set_silently(self, eoj: int, frame: Frame) -> Answer | None:
        told, whole = self._write(eoj, frame.properties)
        return None if whole else _reply(frame, eoj, ESV.SETI_SNA, told)

    def _set_and_get(self, eoj: int, frame: Frame) -> Answer | None:
        if not frame.properties or not frame.get_properties:
            return None
        accepted, all_set = self._write(eoj, frame.properties)
        told, all_got = self._read(eoj, frame.get_properties, ANSWER_MAX - 1 - _size(accepted))
        return _reply(frame, eoj, ESV.SETGET_RES if all_set and all_got else ESV.SETGET_SNA, accepted, told)

    def _confirm(self, eoj: int, frame: Frame) -> Answer:
        return _reply(frame, eoj, ESV.INFC_RES, [Property(each.epc) for each in frame.properties])

    def _read(self, eoj: int, asked: Iterable[Property], room: int) -> tuple[list[Property], bool]:
        """Properties with their data, as many as there is room for, and whether that is all that was asked."""
        ours, whole = self._objects[eoj], True
        told: list[Property] = []
        for each in asked:
            mine = Property(each.epc, ours.get(each.epc, b""))
            room -= 2 + len(mine.edt)
            if room < 0:
                return told, False
            told.append(mine)
            whole = whole and each.epc in ours
        return told, whole

    def _write(self, eoj: int, wanted: Iterable[Property]) -> tuple[list[Property], bool]:
        """Properties as an answer names them, the refused ones with the data sent; and whether none was refused."""
        told, whole = [], True
        for each in wanted:
            if eoj == CONTROLLER and each.epc == LOCATION and _is_location(each.edt):
                self.location = self._objects[eoj][LOCATION] = each.edt
                told.append(Property(each.epc))
            else:
                told.append(each)
                whole = False
        return told, whole


_ANSWERING: Final[Mapping[int, Callable[[OwnNode, int, Frame], Answer | None]]] = {
    ESV.GET: OwnNode._get,
    ESV.INF_REQ: OwnNode._inform,
    ESV.SETC: OwnNode._set_confirmed,
    ESV.SETI: OwnNode._set_silently,
    ESV.SETGET: OwnNode._set_and_get,
    ESV.INFC: OwnNode._confirm,
}


def _reply(frame: Frame, eoj: int, esv: ESV, told: Iterable[Property], got: Iterable[Property] = ()) -> Answer:
    return Answer(Frame(frame.tid, eoj, frame.seoj, esv, tuple(told), tuple(got)))


def _with_maps(
    properties: dict[int, bytes], *, announced: tuple[int, ...], settable: tuple[int, ...] = ()
) -> dict[int, bytes]:
    readable = {*properties, ANNOUNCED, SETTABLE, READABLE}
    maps = {ANNOUNCED: announced, SETTABLE: settable, READABLE: readable}
    return properties | {epc: encode_property_map(epcs) for epc, epcs in maps.items()}


def _is_location(edt: bytes) -> bool:
    """Whether 81 can be set to it: one byte of room and number, or 17 bytes, which begin with 01."""
    return (len(edt) == 17) == (edt[:1] == b"\x01") and len(edt) in (1, 17)


def _size(properties: Iterable[Property]) -> int:
    return sum(2 + len(each.edt) for each in properties)
