"""What of a request to the meter goes into one datagram: as much as a weak meter can answer in full. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from hemsd.echonet.frame import ESV, Property, Shape, shape
from hemsd.echonet.objects import CONTROLLER

GET, SETC = ESV.GET, ESV.SETC
REMEMBERED = 32  # forms of requests
PROPERTIES_PER_GET = 6  # AIF 1.01
ANSWER_BYTES = 33  # of properties in one answer; weak meters shorten longer ones

LIMIT_ONE_S = 20.0  # AIF 1.01, response timer 1: one property
LIMIT_MANY_S = 60.0  # response timer 2: two or more, or a day of history
SLOW = frozenset({0xE2, 0xE4})
EDT_BYTES: Mapping[int, int] = {  # of class 0288 (Appendix, release R); one that is not here is asked alone
    **{0x80: 1, 0x81: 1, 0x82: 4, 0x88: 1, 0x8A: 3, 0x8D: 12, 0x97: 2, 0x98: 4, 0x9D: 17, 0x9E: 17, 0x9F: 17},
    **{0xC0: 16, 0xD0: 15, 0xD3: 4, 0xD7: 1, 0xE0: 4, 0xE1: 1, 0xE3: 4, 0xE5: 1, 0xE7: 4, 0xE8: 4},
    **{0xEA: 11, 0xEB: 11, 0xED: 7, 0xEF: 7},
}


class Batch(Struct, eq=False):
    """Properties asked for, or set, together."""

    epcs: frozenset[int]
    limit_s: float  # that they may take
    body: bytes  # of the datagram: what follows the TID
    shape: Shape | None = None  # of the answer: to a Get as it was the last time, to a SetC where all is accepted


def next_batch(is_read: bool, eoj: int, wanted: tuple[Property, ...], alone: frozenset[int]) -> Batch:
    """What to ask now of the properties wanted."""
    if len(wanted) > 1:
        wanted = tuple({p.epc: p for p in wanted}.values())  # each once
    batch = _batch(wanted, alone) if is_read else wanted  # a write is never cut
    epcs, limit_s, asked, accepted = _form(is_read, eoj, tuple([(p.epc, len(p.edt)) for p in batch]))
    return Batch(epcs, limit_s, asked.body([p.edt for p in batch]), accepted)


@lru_cache(REMEMBERED)
def _form(
    is_read: bool, eoj: int, sizes: tuple[tuple[int, int], ...]
) -> tuple[frozenset[int], float, Shape, Shape | None]:
    """What requests have in common that differ in data only: EPCs, limit, their shape, and that of the answer."""
    epcs = frozenset([epc for epc, _ in sizes])
    limit_s = LIMIT_MANY_S if len(epcs) > 1 or epcs & SLOW else LIMIT_ONE_S
    asked = shape(CONTROLLER, eoj, GET if is_read else SETC, sizes)
    accepted = None if is_read else shape(eoj, CONTROLLER, ESV.SET_RES, tuple([(epc, 0) for epc, _ in sizes]))
    return epcs, limit_s, asked, accepted


def _batch(wanted: tuple[Property, ...], alone: frozenset[int]) -> tuple[Property, ...]:
    """The first property wanted, and those after it that fit into one answer with it."""
    sociable = [p for p in wanted if p.epc not in alone and p.epc in EDT_BYTES]
    if wanted[0] not in sociable:
        return wanted[:1]
    batch: list[Property] = []
    room = ANSWER_BYTES
    for each in sociable:
        if len(batch) < PROPERTIES_PER_GET and (size := 2 + EDT_BYTES[each.epc]) <= room:
            batch.append(each)
            room -= size
    return tuple(batch)
