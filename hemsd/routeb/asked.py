"""What is answered to ReadMeter: single properties of the meter, as far as they are understood."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import EHD
from hemsd.echonet.meter import describe
from hemsd.echonet.values import PropertyError
from hemsd.hub.messages import MeterProperty, ReadMeter
from hemsd.routeb.errors import RouteBError
from hemsd.routeb.meter import SCALE, Meter

ASKED_S = 90.0  # an answer to ReadMeter
ASKED_LIMIT = 32  # properties of one ReadMeter
EHD_2 = b"\x10\x82"  # format 2 frames

Answers = dict[int, bytes | Missing]


async def answer(meter: Meter, asked: ReadMeter) -> list[MeterProperty]:
    """Ask the meter, within 90 s, and say what each property came to, the last one marked; never raises RouteBError.

    What counts are worth is asked along while it is not known, so that energies come in kWh.
    """
    epcs = [epc for epc in asked.epcs[:ASKED_LIMIT] if 0x80 <= epc <= 0xFF]
    unknown = SCALE if epcs and meter.scale.unit is None else ()
    answers: Answers = dict.fromkeys(epcs, Missing.TIMEOUT)
    with suppress(RouteBError):  # the meter's status tells
        answers |= await meter.read([*epcs, *unknown], timeout=ASKED_S)
    told = list(_told(meter, asked, {epc: answers[epc] for epc in epcs}))
    return [*told[:-1], *(replace(each, last=True) for each in told[-1:])]


def _told(meter: Meter, asked: ReadMeter, answers: Answers) -> Iterator[MeterProperty]:
    for epc, edt in answers.items():
        property_ = MeterProperty(request=asked.request, to=asked.asker, meter=meter.name, epc=epc)
        if isinstance(edt, Missing):
            yield replace(property_, error=edt.value)
            continue
        digits = None if edt[:2] in (EHD, EHD_2) else edt.hex().upper()  # it might be a frame
        try:
            told = describe(epc, edt, meter.scale)
        except PropertyError:
            told = None
        if digits is None and (told is None or isinstance(told.value, str)):
            yield replace(property_, error="refused")
        elif told is None:
            yield replace(property_, edt=digits)
        else:
            yield replace(property_, edt=digits, name=told.name, value=told.value, unit=told.unit)
