"""What decides how a device is read and set: what it told of itself, how old values may be, how wishes go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from msgspec import Struct

from hemsd.echonet.frame import Property

Known = Mapping[int, bytes]
"""The latest EDT of each property by EPC; a page of a list that has several is under ``epc << 8 | page``."""

Scalar = float | int | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One object on a node, as far as it told. Before its maps are known all three are empty."""

    eoj: int  # 24 bits: class group, class, instance
    release: str = ""  # letter of the Appendix (EPC 82), A to Z; empty: not known, taken for the newest
    readable: frozenset[int] = frozenset()  # EPCs of the get map (9F),
    settable: frozenset[int] = frozenset()  # the set map (9E),
    announced: frozenset[int] = frozenset()  # and the announcement map (9D)
    maker: str = ""  # 6 upper-case hexadecimal digits (EPC 8A)
    product: str = ""  # EPC 8C

    @property
    def code(self) -> int:
        """Its class: 0x0130, ..."""
        return self.eoj >> 8


class Tempo(Enum):
    """How old a value may become before it is read again, in seconds; ONCE: until the device is looked at anew."""

    LIVE = 10.0  # power and energy
    STATE = 60.0  # what the device is doing
    SLOW = 600.0  # what seldom changes
    ONCE = float("inf")


class Section(Struct, frozen=True):
    """Properties that show what was selected just before (B3 what B2 did in 0287): nothing may come in between."""

    select: tuple[Property, ...]  # written first, with SetC
    read: tuple[int, ...]
    page: int = 0  # under which the answers are kept, see Known


class Write(Struct, frozen=True):
    """One SetC, and how its effect is seen."""

    properties: tuple[Property, ...]
    expects: Mapping[int, frozenset[bytes]] = {}  # EDTs that confirm it, by EPC to read back
    settle_s: float = 1.0  # a device takes to show the effect


class Refusal(ValueError):
    """A wish that is not sent: `code` is a hemsd.hub.messages.ErrorCode, the text says what would do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
