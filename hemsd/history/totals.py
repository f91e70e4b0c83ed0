"""Writes what follows from half-hours: which meter was there, where a register is known, its lifetime total."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hemsd.history.calendar import HALF_HOUR_S
from hemsd.history.counters import Counter, Piece, Reading, Step
from hemsd.history.schema import SEQ_REGISTER
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


class Totals:
    """The lifetime totals of this home, as pieces in the database. For use within the keeper's transactions.

    They are a function of the half-hours known, however those came; what is remembered here only saves reading.
    """

    def __init__(self, db: sqlite3.Connection, tables: Tables) -> None:
        self._db = db
        self._tables = tables
        self._counters: dict[str, Counter] = {}  # as they stand at
        self._newest: dict[str, int] = {}  # the newest boundary of each register

    def forget(self) -> None:
        """What is remembered may not be true: the transaction was rolled back."""
        self._counters.clear()
        self._newest.clear()

    def begin_era(self, meter: int, live: Iterable[int], outcome: Outcome) -> None:
        """Notice the first meter, and one that tells the present, at the boundaries `live`, where another one did."""
        eras = self._tables.eras()
        if not eras:
            self._db.execute("INSERT INTO era VALUES (0, ?)", (meter,))
            return
        since, there = eras[-1]
        if meter == there:
            return
        query = "SELECT max(last) FROM span JOIN channel ON channel.id = channel WHERE meter = ?"
        ended = max(self._db.execute(query, (there,)).fetchone()[0] or 0, since)
        if max(live, default=0) > ended:
            self._db.execute("INSERT INTO era VALUES (?, ?)", (ended + HALF_HOUR_S, meter))
            outcome.replaced = True
            for register in sorted({channel.register for channel in self._tables.channels.values()}):
                if register != SEQ_REGISTER:
                    self._retell(register, outcome)

    def settle(self, channel: Channel, changed: list[int], outcome: Outcome) -> None:
        """Follow the boundaries of a channel, in the order of time, that became known or changed."""
        for first, last in _runs(changed):
            self._extend(channel, first, last)
        register = channel.register
        since, owner = self._tables.eras()[-1]
        if owner == channel.meter and register in self._newest and changed[0] > max(self._newest[register], since):
            self._go_on(register, Span(changed[0], changed[-1], channel), outcome)
            return
        chain = self._tables.chain(register)
        if not any(
            span.channel == channel and span.first <= changed[-1] and span.last >= changed[0] for span in chain
        ):
            return  # of a meter that was not there then
        if self._bent(register, chain, changed):
            self._retell(register, outcome)
        else:
            self._counters.pop(register, None)
            self._newest[register] = chain[-1].last

    def _bent(self, register: str, chain: list[Span], changed: list[int]) -> bool:
        """Whether pieces begin or end among what changed and its neighbours, or should."""
        first = max(
            (min(s.last, changed[0] - HALF_HOUR_S) for s in chain if s.first < changed[0]), default=changed[0]
        )
        last = min(
            (max(s.first, changed[-1] + HALF_HOUR_S) for s in chain if s.last > changed[-1]), default=changed[-1]
        )
        pieces = self._tables.pieces(register)
        there = [piece for piece in pieces if piece.since <= first]
        if not there or there[-1].holds or any(first < piece.since <= last for piece in pieces):
            return True
        counter = Counter()
        return any(counter.add(each)[0] is not Step.COUNTED for each in self._tables.readings(chain, first, last))

    def _go_on(self, register: str, span: Span, outcome: Outcome) -> None:
        """Count what is newer than all that is known."""
        counter = self._counters.get(register) or self._recalled(register)
        self._count(register, counter, self._tables.readings([span], span.first, span.last), outcome)
        self._newest[register] = span.last

    def _recalled(self, register: str) -> Counter:
        """The counter as it stands at the newest boundary."""
        pieces = self._tables.pieces(register)
        counter = Counter(piece=pieces[-1] if pieces else None)
        counter.base = next((piece.base for piece in reversed(pieces) if not piece.holds), 0)
        at = self._newest[register]
        if pieces and pieces[-1].holds and pieces[-1].doubt_from is not None:
            at = pieces[-1].doubt_from
        for counter.last in self._tables.readings(self._tables.chain(register), at, at):
            pass
        return counter

    def _retell(self, register: str, outcome: Outcome) -> None:
        """Count a register from its beginning."""
        known = {piece.since for piece in self._tables.pieces(register)}
        self._db.execute("DELETE FROM piece WHERE register = ?", (register,))
        chain = self._tables.chain(register)
        if chain:
            readings = self._tables.readings(chain, chain[0].first, chain[-1].last)
            self._count(register, Counter(), readings, outcome, known)
            self._newest[register] = chain[-1].last

    def _count(
        self,
        register: str,
        counter: Counter,
        readings: Iterable[Reading],
        outcome: Outcome,
        known: Iterable[int] = (),
    ) -> None:
        for reading in readings:
            step, piece = counter.add(reading)
            if piece is None:
                continue
            self._begin_piece(register, piece)
            if piece.since not in known:
                match step:
                    case Step.REGRESSED:
                        outcome.regressed.append((register, piece.since))
                    case Step.JUMPED:
                        outcome.jumped.append((register, piece.since))
                    case _:
                        pass
        self._counters[register] = counter

    def _begin_piece(self, register: str, piece: Piece) -> None:
        values = (register, piece.since, piece.base, int(piece.holds), piece.doubt_from)
        self._db.execute("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", values)

    def _extend(self, channel: Channel, first: int, last: int) -> None:
        """Add a run of boundaries to the spans of a channel, and join what it touches."""
        touching = "channel = ? AND first <= ? AND last >= ?"
        where = (channel.id, last + HALF_HOUR_S, first - HALF_HOUR_S)
        spans = self._db.execute(f"SELECT first, last FROM span WHERE {touching}", where).fetchall()  # noqa: S608
        joined = (min(first, *(span[0] for span in spans), first), max(last, *(span[1] for span in spans), last))
        if spans != [joined]:
            self._db.execute(f"DELETE FROM span WHERE {touching}", where)  # noqa: S608
            self._db.execute("INSERT INTO span VALUES (?, ?, ?)", (channel.id, *joined))


def _runs(boundaries: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of boundaries without a hole."""
    first = last = boundaries[0]
    for at in boundaries[1:]:
        if at != last + HALF_HOUR_S:
            yield first, last
            first = at
        last = at
    yield first, last
