"""Descriptions of devices (`Device`) as views and quirks get them: what they tell of themselves in their maps."""

from __future__ import annotations

from collections.abc import Collection

from hemsd.echonet.classes.catalogue import Rule, properties_of
from hemsd.echonet.classes.device import Device


def device(
    code: int,
    *,
    release: str = "",
    readable: Collection[int] | None = None,
    settable: Collection[int] | None = None,
    without: Collection[int] = (),
    maker: str = "",
    product: str = "",
    instance: int = 1,
) -> Device:
    """A device of a class with these maps; where none are given with all that the class knows, but `without` some."""
    properties = properties_of(Device(eoj=code << 8 | instance, release=release))
    if readable is None:
        readable = [epc for epc, each in properties.items() if each.get is not Rule.NONE]
    if settable is None:
        settable = [epc for epc, each in properties.items() if each.set is not Rule.NONE]
    return Device(
        eoj=code << 8 | instance,
        release=release,
        readable=frozenset(readable) - frozenset(without),
        settable=frozenset(settable) - frozenset(without),
        maker=maker,
        product=product,
    )


def known(text: str) -> dict[int, bytes]:
    """EDTs as in ``80=30 B3=1A``."""
    return {int(epc, 16): bytes.fromhex(edt) for epc, edt in (each.split("=") for each in text.split())}


def told(edts: dict[int, bytes]) -> str:
    """The same the other way round."""
    return " ".join(f"{epc:02X}={edt.hex().upper()}" for epc, edt in edts.items())
