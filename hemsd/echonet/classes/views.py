"""What devices mean to a house: their values in a common language, how fresh they are kept, how they show themselves.

ECHONET Appendix, release R, one class after another in the modules beside this one. Wishes become writes in
`hemsd.echonet.classes.planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.classes.catalogue import Rule, properties_of
from hemsd.echonet.classes.device import Device, Known, Refusal, Scalar, Section, Tempo, Write
from hemsd.echonet.classes.planning import plan, wishes, writes
from hemsd.echonet.classes.quirks import quirks_of
from hemsd.echonet.classes.typed import told_by, view_of, words_of
from hemsd.echonet.classes.vocabulary import TEMPO, VOCABULARY
from hemsd.echonet.frame import Property

__all__ = ["VOCABULARY", "identify", "normal", "plan", "sections", "tempo", "wishes"]

NOT_ASKED: Final = frozenset({0x82, 0x83, 0x8A, 0x8B, 0x8C, 0x8D, 0x8E, 0x97, 0x98, 0x9D, 0x9E, 0x9F})
"""What is read when a device is got to know, and its clock."""

LOCATION: Final = 0x81  # must be announced, but who moves a device is in no hurry to see it

ON: Final = b"\x30"
OFF: Final = b"\x31"


def normal(device: Device, known: Known) -> dict[str, Scalar]:
    """The values of a device in the common language (VOCABULARY); what is not known is left out."""
    properties = properties_of(device)
    values: dict[str, Scalar] = {}
    for word, meaning in words_of(device).items():
        epc = told_by(meaning, device, known)
        if epc is None or epc not in known:
            continue
        value = meaning.read(epc, known, device, properties)
        if value is not None:
            values[word] = value
    if sums := view_of(device).sums:
        values["sums"] = sums
    return values


def tempo(device: Device) -> Mapping[int, Tempo]:
    """How fresh to keep what the device can tell, by EPC; what is not in it is not worth asking for unasked.

    Of its class: power and energy LIVE, states and what it must announce STATE, all else that the class defines
    SLOW, what never changes (units of energy too) ONCE. Logs, clocks and what needs a Section are left out.
    """
    view, properties = view_of(device), properties_of(device)
    selected = {epc for epc, each in properties.items() if each.atomic is not None}
    selectors = {each.atomic for each in properties.values() if each.atomic is not None}
    paces: dict[int, Tempo | None] = {
        epc: Tempo.STATE if each.inf is Rule.REQUIRED else Tempo.SLOW
        for epc, each in properties.items()
        if epc not in selected | selectors | view.never
    }
    paces |= {LOCATION: Tempo.SLOW, **view.tempo(device)}
    for word, meaning in words_of(device).items():
        epc = told_by(meaning, device, {})
        if epc is not None:
            pace = TEMPO.get(word, Tempo.STATE)
            before = paces.get(epc)
            paces[epc] = pace if before is None else min(pace, before, key=lambda each: each.value)
    unwanted = NOT_ASKED | quirks_of(device).never
    units = {other for each in properties.values() for other in each.coefficients}
    paces |= dict.fromkeys(view.once | units, Tempo.ONCE)
    return {
        epc: pace
        for epc, pace in paces.items()
        if pace is not None and epc in device.readable and epc not in unwanted
    }


def sections(device: Device, known: Known) -> tuple[Section, ...]:
    """What has to be selected to be read, as far as is known what there is to select."""
    return view_of(device).sections(device, known)


def identify(device: Device, known: Known) -> tuple[Write, ...]:
    """Writes by which the device shows itself and is afterwards as it was: a lamp blinks, an air conditioner beeps.

    Others are told again what they are (80), where the worst that comes of it is a beep. Raises Refusal where there
    is no such way, and where the device has not told yet whether it is on.
    """
    shows = view_of(device).shows
    if isinstance(shows, Property):
        if shows.epc in device.settable and shows.epc in properties_of(device):
            return writes(device, {shows.epc: shows.edt})
        shows = "again"
    if not shows or 0x80 not in device.settable:
        raise Refusal("not_settable", "there is no harmless way for it to show itself")
    now = known.get(0x80)
    if now not in (ON, OFF):
        raise Refusal("busy", "it has not told yet whether it is on; try again in a minute")
    other = OFF if now == ON else ON
    course = (other, now, other, now) if shows == "blink" else (now,)
    return tuple(write for edt in course for write in writes(device, {0x80: edt}))
