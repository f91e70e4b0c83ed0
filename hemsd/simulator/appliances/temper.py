"""How a node misbehaves, as data. The default is one that does all as the specification says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ECHONET_PORT = 3610
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """Each of these was seen in the field. Sets hold EPCs and mean every object of the node."""

    answer_s: float = 0.02  # an answer takes so long, give or take a quarter; 0: none at all
    at_most: int | None = None  # properties it can handle in one request
    beyond: Literal["prefix", "empty", "silence", "gone"] = "prefix"  # what becomes of more than that
    gone_s: float = 10.0  # how long it is away, where that is "gone"
    gap_s: float = 0.0  # a request that comes sooner after an answer is not heard
    source_port: int = ECHONET_PORT  # it answers from there
    hears_all: bool = True  # what is sent to all reaches it, and is not dropped on the way
    splits: bool = False  # a Get is answered in two frames, 72 and 52
    copies: int = 1  # of everything that it says
    greets: bool = True  # announces its instances at the start
    announces: bool = True  # keeps the promise of 9D
    announces_first: bool = False  # INF before Set_Res
    announces_on_both: bool = False  # over IPv4 and IPv6 alike
    unsettable: frozenset[int] = NOTHING  # in 9E, yet refused
    without_effect: frozenset[int] = NOTHING  # in 9E and accepted, but nothing happens
    unreadable: frozenset[int] = NOTHING  # in 9F, yet PDC 0
    unspeakable: frozenset[int] = NOTHING  # a request with one of these is not answered
    never_together: frozenset[int] = NOTHING  # a request with two of these is not answered
    refuses_as_set_i: bool = False  # a SetC that fails is answered by 50
    miscounts: int = 0  # the count byte of its maps is wrong by so many
    pads_maps: bool = False  # a map in list form is filled up with zeros to 17 bytes


def spoilt_map(temper: Temper, edt: bytes) -> bytes:
    """A property map as such a node tells it."""
    if temper.pads_maps:
        edt = edt.ljust(17, b"\0")
    return bytes(((edt[0] + temper.miscounts) % 256,)) + edt[1:]
