"""Getting to know a node and its objects, one question at a time and at the node's own pace. Pure.

ECHONET Lite Specification 1.14, part II, 6.11 (node profile); ECHONET Appendix release R, annex 1 (property maps).

Each course is a generator: it yields what to ask next and is sent the answers, every property of them settled. It
ends with what was found out, or None where the node told too little to go on; it is begun anew later then. What a
device without maps can do is guessed from the table of its class, and what it then tells is believed.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hemsd.appliances.identity import Particulars, believable
from hemsd.appliances.ourselves import (
    ANNOUNCED,
    CLASS_LIST,
    IDENTIFICATION,
    INSTANCE_LIST,
    MAKER,
    READABLE,
    SETTABLE,
    STATUS,
    VERSION,
)
from hemsd.echonet.classes.catalogue import Rule, properties_of
from hemsd.echonet.classes.device import Device, Tempo
from hemsd.echonet.classes.views import tempo
from hemsd.echonet.exchange import Missing
from hemsd.echonet.objects import (
    CONTROLLER,
    METER,
    NODE_CLASS,
    NODE_PROFILE,
    decode_instance_list,
    decode_property_map,
)
from hemsd.echonet.values import PropertyError

PRODUCT, SERIAL = 0x8C, 0x8D
LIST_FULL: Final = 84  # instances that fit into one list; a node may have more
MAPS: Final = (READABLE, SETTABLE, ANNOUNCED)
SAID: Final = (VERSION, MAKER, PRODUCT, SERIAL, IDENTIFICATION)  # of a device, where its map has them
NO_APPLIANCES: Final = frozenset({NODE_PROFILE >> 8, CONTROLLER >> 8, METER >> 8})  # G.9958, R36: nor meters

Ask = tuple[int, tuple[int, ...]]
"""An object (24 bits), and the EPCs to ask it for."""

Answers = Mapping[int, bytes | Missing]


class Met(Struct, frozen=True):
    """What a node said of itself.

    `instances` are its appliances' EOJs; `whole`: it has no more than these. Not `final`: it was silent about them or
    about its number, perhaps by chance.
    """

    said: Particulars
    instances: tuple[int, ...]
    whole: bool
    final: bool = True


class Explored(Struct, frozen=True):
    """What a device can do and what it told on the way, by EPC.

    `mapped`: its get map was read, not guessed. Not `final`: it was silent about something, perhaps by chance.
    """

    device: Device
    said: Particulars
    told: Mapping[int, bytes]
    mapped: bool
    final: bool


def meet(*, tells: bool = False) -> Generator[Ask, Answers, Met | None]:
    """Ask a node who it is and which objects it has. One that `tells` its number was always heard to do so."""
    told: dict[int, bytes] = {}
    final = True
    for epc in (IDENTIFICATION, MAKER, PRODUCT, SERIAL):
        if epc == SERIAL and believable(told.get(IDENTIFICATION, b"")):
            break  # there is nothing better to know it by
        answer = (yield NODE_PROFILE, (epc,))[epc]
        final = final and (answer is not Missing.TIMEOUT or epc != IDENTIFICATION)
        if isinstance(answer, bytes):
            told[epc] = answer
        elif answer is Missing.TIMEOUT and not told and (tells or epc == MAKER):
            return None  # silent twice: nobody is there
    said = Particulars().told(told)
    listed = (yield NODE_PROFILE, (INSTANCE_LIST,))[INSTANCE_LIST]
    if isinstance(listed, bytes) and (instances := appliances_of(listed)) is not None:
        return Met(said, instances, whole=len(listed) // 3 < LIST_FULL, final=final)
    classes = (yield NODE_PROFILE, (CLASS_LIST,))[CLASS_LIST]
    found: tuple[int, ...] = ()
    for eoj in _first_of_each(classes):
        if (yield eoj, (STATUS,))[STATUS] is not Missing.TIMEOUT:
            found += (eoj,)
    final = final and Missing.TIMEOUT not in (listed, classes)
    return Met(said, found, whole=False, final=final) if told or found else None


def explore(eoj: int, node: Particulars) -> Generator[Ask, Answers, Explored | None]:
    """Ask a device what it can do. What it does not say of itself (maker, product) is what its `node` said."""
    maps: dict[int, frozenset[int]] = {}
    told: dict[int, bytes] = {}
    final = True
    for epc in MAPS:
        answer = (yield eoj, (epc,))[epc]
        if isinstance(answer, bytes) and answer:
            told[epc] = answer
            maps[epc] = decode_property_map(answer)
        elif answer is Missing.TIMEOUT:
            final = False
            if not told:
                break  # it will not tell the others either
    readable = maps.get(READABLE, frozenset())
    if not readable:
        if not (guessed := (yield from _try_the_least(eoj))):
            return None
        told |= guessed
        readable = frozenset(guessed)
    for epc in SAID:
        if epc in readable and epc not in told:
            answer = (yield eoj, (epc,))[epc]
            final = final and answer is not Missing.TIMEOUT
            if isinstance(answer, bytes):
                told[epc] = answer
    said = Particulars().told(told)
    device = Device(
        eoj=eoj,
        release=said.release,
        readable=readable,
        announced=maps.get(ANNOUNCED, frozenset()),
        maker=said.maker or node.maker,
        product=said.product or node.product,
    )
    settable = maps[SETTABLE] if SETTABLE in maps else _least_settable(device)
    return Explored(replace(device, settable=settable), said, told, mapped=bool(maps.get(READABLE)), final=final)


def constants(device: Device, known: Container[int]) -> tuple[int, ...]:
    """What to read once before anything else, of what is not known yet: coefficients and units, mostly."""
    return tuple(sorted(epc for epc, kept in tempo(device).items() if kept is Tempo.ONCE and epc not in known))


def ask_once(eoj: int, epcs: tuple[int, ...]) -> Generator[Ask, Answers, Answers]:
    """A course of one question."""
    return (yield eoj, epcs)


def given(answers: Answers) -> dict[int, bytes]:
    """What was told of what was asked."""
    return {epc: edt for epc, edt in answers.items() if isinstance(edt, bytes)}


def appliances_of(instance_list: bytes) -> tuple[int, ...] | None:
    """The appliances of an instance list (D5, D6), each once; None where it is none."""
    try:
        eojs = decode_instance_list(instance_list)
    except PropertyError:
        return None
    return tuple(dict.fromkeys(eoj for eoj in eojs if eoj >> 8 not in NO_APPLIANCES and eoj & 0xFF))


def _first_of_each(class_list: bytes | Missing) -> tuple[int, ...]:
    """The first instance of each class of a class list (D7): a guess, some makers begin elsewhere."""
    if not isinstance(class_list, bytes):
        return ()
    try:
        codes = NODE_CLASS[CLASS_LIST].decode(CLASS_LIST, class_list)
    except PropertyError:
        return ()
    return tuple(dict.fromkeys(code << 8 | 1 for code in codes if code not in NO_APPLIANCES))


def _try_the_least(eoj: int) -> Generator[Ask, Answers, dict[int, bytes]]:
    """Ask a device without a get map for what every one of its class has."""
    answer = (yield eoj, (STATUS,))[STATUS]
    if answer is Missing.TIMEOUT:
        return {}
    table = properties_of(Device(eoj=eoj))
    least = sorted(epc for epc, each in table.items() if each.get is Rule.REQUIRED and epc not in (STATUS, *MAPS))
    answers = {STATUS: answer, **((yield eoj, tuple(least)) if least else {})}
    return given(answers)


def _least_settable(device: Device) -> frozenset[int]:
    """What every device of its class can be set by."""
    return frozenset(epc for epc, each in properties_of(device).items() if each.set is Rule.REQUIRED)
