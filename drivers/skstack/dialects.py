"""What differs between the two SKSTACK-IP families in what is said to a module, as data.

What a module says differs too, but is understood in either form by its shape: see framing and vocabulary.
"""

from __future__ import annotations

from msgspec import Struct

from drivers.module import Family


class Dialect(Struct, frozen=True):
    """One family's way of being spoken to."""

    family: Family
    side: str  # what SKSCAN and SKSENDTO say of the side (0 is Route B); ER05 answers the wrong form
    marks: frozenset[str]  # last field of EINFO by which the family is known for certain
    tells_lqi: bool  # register SA2 = 1 adds the LQI to ERXUDP; elsewhere SA2 means something else


SE = Dialect(Family.SE, side="", marks=frozenset({"FFFE"}), tells_lqi=False)
DUAL = Dialect(Family.DUAL, side="0 ", marks=frozenset({"0", "1"}), tells_lqi=True)


def of_mark(mark: str) -> tuple[Dialect, bool]:
    """The dialect for EINFO's last field, and whether that is certain; ER05 heals a wrong guess."""
    for dialect in (SE, DUAL):
        if mark in dialect.marks:
            return dialect, True
    return SE, False


def other(dialect: Dialect) -> Dialect:
    return DUAL if dialect is SE else SE
