"""Lifetime counters: the readings of a register as one total that never falls, whatever the meter does. Pure.

A register wraps, its unit may change, the meter may be exchanged. The total is told in pieces of time: within one,
total = base + raw * ticks. What the pieces are depends on the readings alone, not on the order they came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

TICKS_PER_KWH = 10_000  # the finest unit of a meter is 0.0001 kWh (EPC E1)
HIGHEST_DIGITS = 8  # a meter that does not tell its digits (EPC D7) has no more
NEARLY = 10  # a register wraps from its last tenth to its first
LARGEST_KW = 50  # contracts at low voltage stay below; a rise above it is a change of scale


class Reading(NamedTuple):
    """The count that a register showed at a boundary, with what it is worth."""

    at: int  # epoch seconds
    meter: int
    raw: int
    ticks: int  # of 0.0001 kWh in one count
    digits: int | None = None


class Step(Enum):
    """What one reading was after the one before."""

    COUNTED = "counted"
    WRAPPED = "wrapped"
    RESCALED = "rescaled"  # another unit, the same energy
    REPLACED = "replaced"  # another meter: what was used between is not known
    JUMPED = "jumped"  # another unit that cannot be right for both: nor is it here
    REGRESSED = "regressed"  # fell without a reason: the total holds
    HELD = "held"  # and still does
    RESUMED = "resumed"


class Piece(NamedTuple):
    """From `since` on: total = base + raw * ticks, or just base while it holds."""

    since: int
    base: int
    holds: bool = False
    doubt_from: int | None = None  # the last sure reading before; what was used from then to `since` is not known


FIRST = Piece(0, 0)
"""What every total begins with."""


@dataclass(slots=True)
class Counter:
    """One register over time. Feed it in the order of time; it adds to its pieces."""

    piece: Piece | None = None
    last: Reading | None = None  # the last one that counted
    base: int = 0  # of the last piece that did not hold

    @property
    def total(self) -> int:
        """Ticks at the last reading that counted."""
        return 0 if self.last is None else self.base + self.last.raw * self.last.ticks

    def add(self, reading: Reading) -> tuple[Step, Piece | None]:
        """What the reading was, and the piece that begins with it where one does."""
        last = self.last
        if last is None or self.piece is None:
            return Step.COUNTED, self._begin(reading, FIRST)
        value = reading.raw * reading.ticks
        if reading.meter != last.meter:
            return Step.REPLACED, self._begin(reading, Piece(reading.at, self.total - value, False, last.at))
        if reading.ticks != last.ticks:
            return self._rescale(reading, last, value)
        if reading.raw >= last.raw:
            if self.piece.holds:
                return Step.RESUMED, self._begin(reading, Piece(reading.at, self.base))
            self.last = reading
            return Step.COUNTED, None
        modulus: int = 10 ** (last.digits or HIGHEST_DIGITS)
        if last.raw > modulus - modulus // NEARLY and reading.raw < modulus // NEARLY:
            base = self.base + modulus * reading.ticks
            return Step.WRAPPED, self._begin(reading, Piece(reading.at, base))
        if self.piece.holds:
            return Step.HELD, None
        self.piece = Piece(reading.at, self.total, True, last.at)
        return Step.REGRESSED, self.piece

    def _rescale(self, reading: Reading, last: Reading, value: int) -> tuple[Step, Piece]:
        rise = value - last.raw * last.ticks
        most = LARGEST_KW * TICKS_PER_KWH * (reading.at - last.at) // 3600
        if -max(reading.ticks, last.ticks) < rise <= most:
            base = self.base + max(0, -rise)  # a coarser unit shows less of the same
            return Step.RESCALED, self._begin(reading, Piece(reading.at, base))
        return Step.JUMPED, self._begin(reading, Piece(reading.at, self.total - value, False, last.at))

    def _begin(self, reading: Reading, piece: Piece) -> Piece:
        self.last, self.piece, self.base = reading, piece, piece.base
        return piece
