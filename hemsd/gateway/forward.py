"""Hands on what history keeps to one broker, each record until it is acknowledged, through every absence of either.

There is no store but history: records are asked of it after a cursor, and the cursor is all that is kept here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count

from msgspec import Struct

from hemsd.gateway.connection import Connection
from hemsd.gateway.cursor import CursorFile
from hemsd.gateway.outbox import Outbox
from hemsd.gateway.topics import Publication
from hemsd.hub.messages import Domain, Event, HistoryHead, Record, Records, RecordsAfter

ASK_AGAIN_S = 10.0  # history does not answer while its disk does not
SAVE_EVERY_S = 10.0  # the cursor of a long replay
IDLE_S = 300.0

_log = logging.getLogger("hemsd.gateway")


class _Asked(Struct, frozen=True):
    """What history is asked now."""

    request: str
    after: int
    head: int  # how far history had come
    at: float


class Forwarder:
    """Stands between history and a broker, for as long as the gateway runs; run() for each connection.

    `ask` hands a question to the hub; note() takes what comes of it. `publication` makes a record something to
    publish, or None where it is not for this broker. `refused` hears each time that the broker did not want a topic,
    and why. `anew` hears, in a sentence, that the cursor is of no use any more. A broker without one is given what is
    of the last `replay_days`; `replay_per_s` and `half_hours_only` are those of Outbox. All time is the event loop's.
    """

    def __init__(
        self,
        ask: Callable[[RecordsAfter], None],
        file: CursorFile,
        publication: Callable[[Record, bool], Publication | None],
        *,
        replay_days: int,
        replay_per_s: float | None = None,
        half_hours_only: bool = False,
        refused: Callable[[str, str], None],
        anew: Callable[[str], None],
    ) -> None:
        self._ask_history = ask
        self._file = file
        self._publication = publication
        self._replay_days = replay_days
        self._outbox_for = partial(Outbox, replay_per_s=replay_per_s, half_hours_only=half_hours_only)
        self._refused = refused
        self._anew = anew
        self._cursor = file.load()
        self._saved = None if self._cursor is None else (self._cursor.history, self._cursor.seq)
        self._head: HistoryHead | None = None
        self._outbox: Outbox | None = None  # none before it is known where to begin
        self._asked: _Asked | None = None
        self._asks = count()
        self._name = secrets.token_hex(4)  # answers to another one are none to this
        self._changed = asyncio.Event()  # for the connection
        self._moved = asyncio.Event()  # for the cursor
        self._trouble = ""

    @property
    def behind(self) -> int | None:
        """How many records the broker has not acknowledged, at most; None until it is known where to begin."""
        return None if self._outbox is None else self._outbox.behind

    def note(self, message: HistoryHead | Records) -> None:
        """What history says."""
        if isinstance(message, HistoryHead):
            self._hear_head(message)
        elif self._asked is not None and message.request == self._asked.request:
            asked, self._asked = self._asked, None
            if self._outbox is not None:
                self._outbox.add(message, asked.after, asked.head)
            else:
                self._begin(message.records[0].seq - 1 if message.records else asked.head, asked.head)
        self._changed.set()

    async def keep(self) -> None:
        """Find out where to begin, and keep the cursor on the disk, until cancelled."""
        try:
            while True:
                self._moved.clear()
                if self._outbox is None and self._head is not None:
                    self._ask(0, self._replay_days)
                if (unsaved := self._unsaved()) is not None:
                    await asyncio.to_thread(self._save, *unsaved)
                    await asyncio.sleep(SAVE_EVERY_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_AGAIN_S if self._outbox is None else None):
                        await self._moved.wait()
        finally:
            if (unsaved := self._unsaved()) is not None:
                self._save(*unsaved)

    async def run(self, connection: Connection) -> None:
        """Publish over one connection until cancelled. Raises BrokerError."""
        begun: Outbox | None = None
        while True:
            self._changed.clear()
            wait_s = IDLE_S
            if (outbox := self._outbox) is not None:
                if outbox is not begun:
                    outbox.begin(connection.in_flight)
                    begun = outbox
                wait_s = self._turn(outbox, connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _turn(self, outbox: Outbox, connection: Connection) -> float:
        """Send what may be sent and ask for more; returns how long there is nothing to do. Raises BrokerError."""
        now = _now()
        if outbox.overdue(now):
            raise connection.silence()
        while taken := outbox.take(now):
            self._send(outbox, connection, *taken)
        if (after := outbox.wanted()) is not None:
            self._ask(after)
        outbox.settle(now)
        if self._unsaved() is not None:
            self._moved.set()
        times = [now + IDLE_S, outbox.deadline(), None if self._asked is None else self._asked.at + ASK_AGAIN_S]
        return max(0.0, min(time for time in times if time is not None) - now)

    def _send(self, outbox: Outbox, connection: Connection, record: Record, replay: bool) -> None:
        publication = self._publication(record, replay)
        if publication is None:
            outbox.acknowledge(record.seq, _now())
            return

        def answered(why: str) -> None:
            if why:
                self._refused(publication.topic, why)
            if why and not isinstance(record.content, Event):  # that is news only, and holds up no half-hour
                outbox.refuse(_now())
            else:
                outbox.acknowledge(record.seq, _now())
            self._changed.set()

        connection.send(publication, answered)

    # --- history

    def _hear_head(self, head: HistoryHead) -> None:
        before, self._head = self._head, head
        if before is None:
            if (cursor := self._cursor) is not None:
                if cursor.history == head.history and cursor.seq <= head.seq:
                    self._begin(cursor.seq, head.seq)
                else:
                    self._begin_anew()
        elif before.history != head.history or (self._outbox is not None and head.seq < self._outbox.settled):
            self._begin_anew()
        elif self._outbox is not None:
            self._outbox.know(head.seq)
        self._moved.set()

    def _begin_anew(self) -> None:
        """Somebody put another database, or an older one, in the place of the one we know."""
        self._outbox = self._asked = None
        self._anew(
            f"the history is not the one that the broker {self._file.broker} was told from: "
            f"it is sent the last {self._replay_days} days of it"
        )

    def _begin(self, settled: int, head: int) -> None:
        self._outbox = self._outbox_for(settled, head)
        if self._head is not None:
            self._outbox.know(self._head.seq)  # it went on while it was asked
        self._moved.set()

    def _ask(self, after: int, last_days: int | None = None) -> None:
        """Ask for what comes after a cursor, unless the answer to that is not overdue."""
        now = _now()
        if self._head is None or (self._asked is not None and now < self._asked.at + ASK_AGAIN_S):
            return
        self._asked = _Asked(f"{self._name}-{next(self._asks)}", after, self._head.seq, now)
        limit = 100 if last_days is None else 1
        question = RecordsAfter(
            request=self._asked.request, asker=Domain.GATEWAY, seq=after, limit=limit, last_days=last_days
        )
        self._ask_history(question)

    # --- the cursor

    def _unsaved(self) -> tuple[str, int] | None:
        if self._outbox is None or self._head is None:
            return None
        here = self._head.history, self._outbox.settled
        return None if here == self._saved else here

    def _save(self, history: str, seq: int) -> None:
        try:
            self._file.save(history, seq)
        except OSError as error:
            if (trouble := error.strerror or str(error)) != self._trouble:
                _log.warning("%s cannot be written: %s; the broker may get more than once", self._file.path, trouble)
            self._trouble = trouble
        else:
            self._saved, self._trouble = (history, seq), ""


def _now() -> float:
    return asyncio.get_running_loop().time()
