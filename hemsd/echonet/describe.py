"""A whole frame in words and JSON values, for people: what `hemsd decode` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hemsd.echonet import meter
from hemsd.echonet.classes.catalogue import PropertyClass, device_class, super_class
from hemsd.echonet.classes.device import Known
from hemsd.echonet.frame import ESV, REQUESTS, TWO_LISTS, Frame, Property
from hemsd.echonet.objects import METER, NODE_CLASS, NODE_PROFILE
from hemsd.echonet.values import Declared, PropertyError, plain

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


def describe_frame(frame: Frame) -> dict[str, Any]:
    """A frame as JSON: codes in hexadecimal, and for every property of a class known here its name, value and unit.

    `value` is null where no data was sent, and where the data is not what its class allows: `error` says why. Which
    release the object follows is not known: the newest is taken. Energies of a meter are counts; those of other
    classes are in their unit where the same frame tells what a count is worth.
    """
    owner = frame.deoj if frame.esv in REQUESTS or frame.esv == ESV.INFC_RES else frame.seoj
    may_have = _properties(owner)
    told: dict[str, Any] = {
        "tid": f"{frame.tid:04X}",
        "seoj": f"{frame.seoj:06X}",
        "deoj": f"{frame.deoj:06X}",
        "esv": SERVICES.get(frame.esv) or f"0x{frame.esv:02X}",
        "properties": _listed(frame.properties, may_have),
    }
    if frame.esv in TWO_LISTS:
        told["get_properties"] = _listed(frame.get_properties, may_have)
    if frame.trailing:
        told["trailing"] = frame.trailing.hex().upper()
    return told


def _properties(eoj: int) -> Mapping[int, Declared | PropertyClass]:
    """What an object of this class may have; what every device has, of a class that is not known."""
    if eoj >> 8 == METER >> 8:
        return meter.PROPERTIES
    if (found := device_class(eoj >> 8)) is not None:
        return {**found.by_epc(), **(NODE_CLASS if eoj >> 8 == NODE_PROFILE >> 8 else {})}
    return super_class().by_epc() if eoj >> 16 in _DEVICE_GROUPS else {}


def _listed(properties: Sequence[Property], may_have: Mapping[int, Declared | PropertyClass]) -> list[dict[str, Any]]:
    told = {each.epc: each.edt for each in properties}
    return [_property(each.epc, each.edt, may_have.get(each.epc), told) for each in properties]


def _property(epc: int, edt: bytes, declared: Declared | PropertyClass | None, beside: Known) -> dict[str, Any]:
    told: dict[str, Any] = {"epc": f"{epc:02X}", "edt": edt.hex().upper()}
    if declared is None:
        return told
    told |= {"name": declared.name, "value": None, "unit": declared.unit}
    if edt:
        try:
            told["value"] = _value(epc, edt, declared, beside)
        except PropertyError as error:
            told["error"] = error.reason
    return told


def _value(epc: int, edt: bytes, declared: Declared | PropertyClass, beside: Known) -> Any:
    if isinstance(declared, Declared):
        return declared.describe(epc, edt).value
    return plain(declared.decode(edt, beside))
