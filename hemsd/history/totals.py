"""Writes what follows from half-hours: which meter was there, where a register is known, its lifetime total."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from msgspec import Struct

from hemsd.history.calendar import HALF_HOUR_S, moment
from hemsd.history.counters import FIRST, Counter, Piece, Step
from hemsd.history.days import Day
from hemsd.history.tables import Channel, Span, Tables


@dataclass(slots=True)
class Outcome:
    """What keeping a batch of half-hours led to, for people to be told."""

    kept: int = 0  # half-hours that were new or changed
    contradicted: list[int] = field(default_factory=list)  # boundaries known better than they were told now
    replaced: bool = False  # another meter is there now
    regressed: list[tuple[str, int]] = field(default_factory=list)  # registers that fell, and when
    jumped: list[tuple[str, int]] = field(
        default_factory=list
    )  # registers whose unit changed beyond belief, and when


class Stretch(Struct):
    """Counts of a register at boundaries without a hole, both ends inclusive, and the scales they are of."""

    first: int
    last: int
    counts: list[int]
    scales: set[int]


class Totals:
    """The lifetime totals of this home, as pieces in the database. For use within the keeper's transactions.

    They are a function of the half-hours known, however those came.
    """

    def __init__(self, db: sqlite3.Connection, tables: Tables) -> None:
        self._db = db
        self._tables = tables

    def begin_era(self, meter: int, live: Iterable[int], outcome: Outcome) -> None:
        """Notice the first meter, and one that tells the present, at the boundaries `live`, where another one did."""
        eras = self._tables.eras
        if not eras:
            self._begin(0, meter)
            return
        since, there = eras[-1]
        if meter == there:
            return
        query = "SELECT max(last) FROM span JOIN channel ON channel.id = channel WHERE meter = ?"
        ended = max(self._db.execute(query, (there,)).fetchone()[0] or 0, since)
        if max(live, default=0) > ended:
            self._begin(ended + HALF_HOUR_S, meter)
            outcome.replaced = True
            for register in sorted({channel.register for channel in self._tables.channels.values()}):
                self._retell(register, outcome)

    def _begin(self, since: int, meter: int) -> None:
        self._db.execute("INSERT INTO era VALUES (?, ?)", (since, meter))
        self._tables.forget()

    def settle(self, channel: Channel, told: Iterable[Stretch], outcome: Outcome) -> None:
        """Follow the boundaries of a channel that became known or changed.

        As long as a register just counts, its pieces stay as they are; where it may not have, they are told anew.
        """
        stretches = _joined(told)
        for each in stretches:
            self._extend(channel, each.first, each.last)
        chain, pieces = self._tables.chain(channel.register), self._tables.pieces(channel.register)
        if chain and not pieces:
            self._begin_piece(channel.register, FIRST)
            pieces.append(FIRST)
        if any(self._bent(channel, chain, each) for each in stretches):
            self._retell(channel.register, outcome)

    def _bent(self, channel: Channel, chain: list[Span], told: Stretch) -> bool:
        """Whether a piece begins or holds among these boundaries and their neighbours, or should."""
        first, last, counts, scales = told.first, told.last, told.counts, told.scales
        if not any(span.channel == channel and span.first <= last and span.last >= first for span in chain):
            return False  # of a meter that was not there then
        before = max((span for span in chain if span.first < first), default=None)
        after = min((span for span in chain if span.last > last), default=None)
        if any(span.channel != channel for span in (before, after) if span is not None):
            return True
        if before is not None:
            first = min(before.last, first - HALF_HOUR_S)
            if slot := self._tables.slot(channel, first):
                counts, scales = [slot.raw or 0, *counts], {slot.scale, *scales}
        if after is not None:
            last = max(after.first, last + HALF_HOUR_S)
            if slot := self._tables.slot(channel, last):
                counts, scales = [*counts, slot.raw or 0], {*scales, slot.scale}
        pieces = self._tables.pieces(channel.register)
        there = [piece for piece in pieces if piece.since <= first]
        if there[-1].holds or any(first < piece.since <= last for piece in pieces):
            return True
        return counts != sorted(counts) or len(scales) > 1

    def _retell(self, register: str, outcome: Outcome) -> None:
        """Count a register from its beginning."""
        known = {piece.since for piece in self._tables.pieces(register)}
        self._db.execute("DELETE FROM piece WHERE register = ?", (register,))
        self._tables.forget()
        chain, counter = self._tables.chain(register), Counter()
        if not chain:
            return
        for reading in self._tables.readings(chain, chain[0].first, chain[-1].last):
            step, piece = counter.add(reading)
            if piece is None:
                continue
            self._begin_piece(register, piece)
            if piece.since not in known and step is Step.REGRESSED:
                outcome.regressed.append((register, piece.since))
            elif piece.since not in known and step is Step.JUMPED:
                outcome.jumped.append((register, piece.since))

    def _begin_piece(self, register: str, piece: Piece) -> None:
        values = (register, piece.since, piece.base, int(piece.holds), piece.doubt_from)
        self._db.execute("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", values)

    def _extend(self, channel: Channel, first: int, last: int) -> None:
        """Add a run of boundaries to the spans of a channel, and join what it touches."""
        spans = self._tables.spans(channel)
        near = [span for span in spans if span[0] <= last + HALF_HOUR_S and span[1] >= first - HALF_HOUR_S]
        joined = (min([first, *(span[0] for span in near)]), max([last, *(span[1] for span in near)]))
        if near == [joined]:
            return
        gone = [(channel.id, span[0]) for span in near if span[0] != joined[0]]
        if gone:
            self._db.executemany("DELETE FROM span WHERE channel = ? AND first = ?", gone)
        self._db.execute("INSERT OR REPLACE INTO span VALUES (?, ?, ?)", (channel.id, *joined))
        spans[:] = sorted([joined, *(span for span in spans if span not in near)])


def stretches_of(number: int, day: Day, slots: Sequence[int]) -> list[Stretch]:
    """The energy at these boundaries of a day, which are in the order of time."""
    stretches: list[Stretch] = []
    for first, last in runs_of(slots):
        for kind, begin, counts in day.between(first, last + 1):
            if kind.scale:  # then there are counts
                at = moment(number, begin)
                end = at + (len(counts) - 1) * HALF_HOUR_S
                stretches.append(Stretch(at, end, list(cast("Sequence[int]", counts)), {kind.scale}))
    return stretches


def _joined(told: Iterable[Stretch]) -> list[Stretch]:
    """The same in the order of time; those that follow one another without a hole are one."""
    joined: list[Stretch] = []
    for each in sorted(told, key=lambda each: each.first):
        if joined and joined[-1].last + HALF_HOUR_S == each.first:
            joined[-1].last = each.last
            joined[-1].counts += each.counts
            joined[-1].scales |= each.scales
        else:
            joined.append(each)
    return joined


def runs_of(slots: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of boundaries without a hole."""
    if not slots:
        return []
    first, end = slots[0], slots[-1]
    if end - first == len(slots) - 1:  # most days
        return [(first, end)]
    ends = [before for before, after in pairwise(slots) if after != before + 1]
    begins = [after for before, after in pairwise(slots) if after != before + 1]
    return list(zip([first, *begins], [*ends, end], strict=True))
