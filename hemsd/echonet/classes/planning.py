"""From wishes to writes: what can be known before is checked, and nothing is sent that contradicts itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Device, Known, Refusal, Scalar, Write
from hemsd.echonet.classes.quirks import quirks_of
from hemsd.echonet.classes.typed import set_by, view_of, words_of
from hemsd.echonet.classes.vocabulary import VOCABULARY
from hemsd.echonet.classes.wording import Properties, edt_is_of
from hemsd.echonet.frame import Property
from hemsd.echonet.values import PropertyError

OPERATION: Final = 0x80
ON: Final = b"\x30"
WIDEST: Final = 64  # bits of a number that is looked at
NAMED_MAX: Final = 20  # in a sentence that says what can be set
FROM_OUTSIDE: Final = Property(0x93, b"\x42")  # remote control: through a public network (super class)

_CODE: Final = re.compile("0[xX]([89A-Fa-f][0-9A-Fa-f])")
_HEXADECIMAL: Final = re.compile("([0-9A-Fa-f]{2}){1,255}")


def wishes(device: Device) -> dict[str, str]:
    """The words of the common language that the device can be set by, and what each accepts."""
    return {word: meaning.accepts(target) for word, meaning, target in set_by(device)}


def plan(
    device: Device, values: Mapping[str, Scalar], known: Known, *, from_outside: bool = False
) -> tuple[Write, ...]:
    """The writes that fulfil wishes, in their order, one property each.

    `values`: by word of the common language, by name of a property, or raw (``"0xB3": "1A"``). What has to be so
    before a wish can have an effect is written first. `from_outside` tells the device, in each of these writes, that
    the wish came from outside the house, if it wants to know (super class, 93). Raises Refusal: not_settable,
    out_of_range, bad_request.
    """
    if not values:
        raise Refusal("bad_request", f"nothing to set; {_possible(device)}")
    view, properties = view_of(device), properties_of(device)
    wanted = _wanted(device, values, known, properties)
    if from_outside and wanted.get(FROM_OUTSIDE.epc, FROM_OUTSIDE.edt) != FROM_OUTSIDE.edt:
        raise Refusal("bad_request", "a wish from outside the house cannot say that it is from inside")
    if from_outside and len(wanted) > 1:
        wanted.pop(FROM_OUTSIDE.epc, None)  # goes with each of the others
    for epc in tuple(wanted):
        if need := view.first.get(epc):
            _need(need, wanted, device, known, properties)
        if epc in view.within:
            _within(epc, wanted[epc], known.get(view.within[epc]), properties, view.within[epc])
    if contradiction := view.contradiction(wanted):
        raise Refusal("bad_request", contradiction)
    return writes(device, wanted, from_outside=from_outside)


def writes(device: Device, wanted: Mapping[int, bytes], *, from_outside: bool = False) -> tuple[Write, ...]:
    """EDTs by EPC as writes in the order of the class: what is switched on comes first, what is switched off last."""
    view = view_of(device)
    settle_s = max(view.settle_s, quirks_of(device).settle_s or 0.0)
    declared = properties_of(device).get(FROM_OUTSIDE.epc)
    tells = (
        from_outside
        and FROM_OUTSIDE.epc in device.settable
        and declared is not None
        and edt_is_of(FROM_OUTSIDE.edt, declared)  # before release C it was something else
    )

    def place(epc: int) -> tuple[int, int]:
        if epc == OPERATION:
            return (-1, 0) if wanted[epc] == ON else (len(view.order) + 1, 0)
        return (view.order.index(epc), 0) if epc in view.order else (len(view.order), epc)

    def write(epc: int) -> Write:
        proofs = {epc: frozenset({wanted[epc]})} | {
            other: edts for other, edts in view.also.get(epc, {}).items() if other not in wanted
        }
        return Write(
            ((FROM_OUTSIDE,) if tells and epc != FROM_OUTSIDE.epc else ()) + (Property(epc, wanted[epc]),),
            {other: edts for other, edts in proofs.items() if other in device.readable},
            settle_s,
        )

    return tuple(write(epc) for epc in sorted(wanted, key=place))


def _wanted(device: Device, values: Mapping[str, Scalar], known: Known, properties: Properties) -> dict[int, bytes]:
    """EDT by EPC; where wishes leave a choice, what it is already if that fulfils them, otherwise the first."""
    choices: dict[int, tuple[bytes, ...]] = {}
    for key, value in values.items():
        try:
            epc, edts = _translated(device, key, value, properties)
        except Refusal as refusal:
            text = str(refusal)
            raise Refusal(refusal.code, text if text.startswith(key) else f"{key}: {text}") from None
        choices[epc] = tuple(edt for edt in choices.get(epc, edts) if edt in edts)
        if not choices[epc]:
            raise Refusal("bad_request", f"{key} contradicts another wish")
    return {epc: known[epc] if known.get(epc) in edts else edts[0] for epc, edts in choices.items()}


def _translated(device: Device, key: str, value: Scalar, properties: Properties) -> tuple[int, tuple[bytes, ...]]:
    """The property that a key stands for, and the EDTs that fulfil the wish. Raises Refusal."""
    if isinstance(value, int) and value.bit_length() > WIDEST:
        raise Refusal("out_of_range", "no property holds such a number")
    if raw := _CODE.fullmatch(key):
        epc = int(raw[1], 16)
        _settable(device, epc)
        if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
            raise Refusal("bad_request", "raw data are 1 to 255 whole bytes in hexadecimal, as a text")
        return epc, (bytes.fromhex(value),)
    if key in words_of(device):
        for settable, meaning, target in set_by(device):
            if settable == key:
                return target.epc, meaning.edts(value, target)
        raise Refusal("not_settable", f"it cannot be set; {_possible(device)}")
    declared = next((each for each in properties.values() if each.name == key), None)
    if declared is None:
        code = "not_settable" if key in VOCABULARY else "bad_request"
        raise Refusal(code, f"the device has nothing of this name; {_possible(device)}")
    _settable(device, declared.epc)
    if value is None:
        raise Refusal("out_of_range", f"it accepts {declared.accepts}")
    return declared.epc, (declared.encode(value),)


def _settable(device: Device, epc: int) -> None:
    """Raise Refusal where the set map does not have a property."""
    if epc not in device.settable:
        raise Refusal("not_settable", f"it cannot be set; {_possible(device)}")


def _possible(device: Device) -> str:
    """What the device can be set by, in words."""
    if not device.settable:
        return "nothing of it can be set, or it has not told yet what can"
    words = {word: target.epc for word, _, target in set_by(device)}
    properties = properties_of(device)
    names = [properties[epc].name for epc in sorted(device.settable - set(words.values())) if epc in properties]
    possible = [*words, *names]
    more = len(possible) - NAMED_MAX
    return "what can be set: " + ", ".join(possible[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _need(need: Property, wanted: dict[int, bytes], device: Device, known: Known, properties: Properties) -> None:
    """Add to what is wanted the condition under which it has an effect. Raises Refusal where it cannot be met."""
    if need.epc not in properties:
        return  # a release that knows no such condition
    name = properties[need.epc].name
    if wanted.get(need.epc, need.edt) != need.edt:
        raise Refusal("bad_request", f"one wish needs another {name} than another wish")
    if need.epc in device.settable:
        wanted[need.epc] = need.edt
    elif known.get(need.epc, need.edt) != need.edt:
        raise Refusal("not_settable", f"it would have no effect with the present {name}, which cannot be set")


def _within(epc: int, edt: bytes, limits: bytes | None, properties: Properties, limited_by: int) -> None:
    """Raise Refusal where a value is not between the limits that the device told."""
    if limits is None or epc not in properties or limited_by not in properties:
        return
    try:
        value, told = properties[epc].decode(edt), properties[limited_by].decode(limits)
    except PropertyError:
        return  # raw data that we do not understand, or limits that are none
    numbers = (value, *told.values()) if isinstance(told, dict) else ()
    match numbers:
        case (int() | Decimal() as wished, int() | Decimal() as least, int() | Decimal() as most):
            if 0 < most >= least and not least <= wished <= most:
                limits_told = f"{least} to {most} {properties[epc].unit}"
                raise Refusal("out_of_range", f"{properties[epc].name}: the device accepts {limits_told}")
