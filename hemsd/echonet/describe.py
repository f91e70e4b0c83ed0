"""A whole frame in words and JSON values, for people: what `hemsd decode` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hemsd.echonet import meter
from hemsd.echonet.frame import ESV, REQUESTS, TWO_LISTS, Frame, Property
from hemsd.echonet.objects import METER, NODE_CLASS, NODE_PROFILE, SUPER_CLASS
from hemsd.echonet.values import Declared, PropertyError

SERVICES: Final[Mapping[int, str]] = {
    ESV.SETI_SNA: "SetI_SNA",
    ESV.SETC_SNA: "SetC_SNA",
    ESV.GET_SNA: "Get_SNA",
    ESV.INF_SNA: "INF_SNA",
    ESV.SETGET_SNA: "SetGet_SNA",
    ESV.SETI: "SetI",
    ESV.SETC: "SetC",
    ESV.GET: "Get",
    ESV.INF_REQ: "INF_REQ",
    ESV.SETGET: "SetGet",
    ESV.SET_RES: "Set_Res",
    ESV.GET_RES: "Get_Res",
    ESV.INF: "INF",
    ESV.INFC: "INFC",
    ESV.INFC_RES: "INFC_Res",
    ESV.SETGET_RES: "SetGet_Res",
}
"""The names of the standard (part II, 3.2.5)."""

_DEVICE_GROUPS: Final = range(0x00, 0x07)
_CLASSES: Final[Mapping[int, Mapping[int, Declared]]] = {
    METER >> 8: meter.PROPERTIES,
    NODE_PROFILE >> 8: NODE_CLASS,
}


def describe_frame(frame: Frame) -> dict[str, Any]:
    """A frame as JSON: codes in hexadecimal, and for every property of a class known here its name, value and unit.

    `value` is null where no data was sent, and where the data is not what its class allows: `error` says why.
    """
    owner = frame.deoj if frame.esv in REQUESTS or frame.esv == ESV.INFC_RES else frame.seoj
    known = _CLASSES.get(owner >> 8, SUPER_CLASS if owner >> 16 in _DEVICE_GROUPS else {})
    told: dict[str, Any] = {
        "tid": f"{frame.tid:04X}",
        "seoj": f"{frame.seoj:06X}",
        "deoj": f"{frame.deoj:06X}",
        "esv": SERVICES.get(frame.esv) or f"0x{frame.esv:02X}",
        "properties": _listed(frame.properties, known),
    }
    if frame.esv in TWO_LISTS:
        told["get_properties"] = _listed(frame.get_properties, known)
    if frame.trailing:
        told["trailing"] = frame.trailing.hex().upper()
    return told


def _listed(properties: Iterable[Property], known: Mapping[int, Declared]) -> list[dict[str, Any]]:
    return [_property(each.epc, each.edt, known.get(each.epc)) for each in properties]


def _property(epc: int, edt: bytes, declared: Declared | None) -> dict[str, Any]:
    told: dict[str, Any] = {"epc": f"{epc:02X}", "edt": edt.hex().upper()}
    if declared is None:
        return told
    told |= {"name": declared.name, "value": None, "unit": declared.unit}
    if edt:
        try:
            told["value"] = declared.describe(epc, edt).value
        except PropertyError as error:
            told["error"] = error.reason
    return told
