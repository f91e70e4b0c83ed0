"""Between history and a connection, without either: what is asked when, and what is kept on the disk, in no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from support.clock import run
from support.gateway import event, half_hour

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import BrokerError, Connection
from hemsd.gateway.cursor import CursorFile
from hemsd.gateway.forward import ASK_AGAIN_S, Forwarder
from hemsd.gateway.outbox import ANSWER_WITHIN_S, REFUSED_FOR_S, SETTLES_AFTER_S
from hemsd.gateway.topics import Publication
from hemsd.hub.messages import Domain, HistoryHead, MeterInterval, Record, Records, RecordsAfter


@dataclass
class Stand:
    """A forwarder, what it asks, and a connection that only notes what it is given."""

    state: Path
    asked: list[RecordsAfter] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    answers: list[Callable[[str], None]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)
    hidden: frozenset[int] = frozenset()  # not for this broker
    in_flight: int = 100

    def __post_init__(self) -> None:
        self.file = CursorFile(self.state, BrokerConfig(url="mqtts://b"), "c")
        self.forwarder = Forwarder(
            self.asked.append,
            self.file,
            self._publication,
            replay_days=7,
            refused=lambda topic, why: self.refused.append((topic, why)),
            anew=self.anew.append,
        )

    def _publication(self, record: Record, replay: bool) -> Publication | None:
        topic = "interval" if isinstance(record.content, MeterInterval) else "event"
        return None if record.seq in self.hidden else Publication(topic, str(record.seq).encode(), 1, False)

    def send(self, publication: Publication, answered: Callable[[str], None]) -> None:
        self.sent.append(int(publication.payload))
        self.answers.append(answered)

    def silence(self) -> BrokerError:
        return BrokerError("silent")

    def head(self, seq: int, history: str = "h") -> None:
        self.forwarder.note(HistoryHead(history=history, seq=seq))

    def answer(self, *records: Record, head: int) -> None:
        """To what was asked last."""
        question = self.asked[-1]
        told = Records(request=question.request, to=Domain.GATEWAY, records=records, head=head)
        self.forwarder.note(told)

    def saved(self) -> tuple[str, int] | None:
        if not self.file.path.exists():
            return None
        told = json.loads(self.file.path.read_bytes())
        return told["history"], told["seq"]

    @asynccontextmanager
    async def running(self, connected: bool = True) -> AsyncIterator[list[asyncio.Task[None]]]:
        work = [self.forwarder.keep()]
        if connected:
            work.append(self.forwarder.run(cast(Connection, self)))
        tasks = [asyncio.create_task(each) for each in work]
        await asyncio.sleep(0.01)
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError, BrokerError):
                    await task


def interval(seq: int) -> Record:
    return Record(seq=seq, content=half_hour(seq))


def virtually(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(story())


def test_where_to_begin_is_found_without_a_broker(tmp_path: Path) -> None:
    """History is asked once for the last days, again where it does not answer; where to begin is then kept."""

    async def story() -> None:
        stand = Stand(tmp_path)
        async with stand.running(connected=False):
            assert stand.asked == []
            stand.head(100)
            await asyncio.sleep(1)
            stand.head(101)
            await asyncio.sleep(1)
            assert [(each.seq, each.last_days) for each in stand.asked] == [(0, 7)]
            await asyncio.sleep(ASK_AGAIN_S)
            assert len(stand.asked) == 2
            stand.answer(interval(50), head=101)
            await asyncio.sleep(1)
            assert stand.saved() == ("h", 49)
        assert stand.anew == []

    virtually(story)


def test_what_another_asked_is_no_answer(tmp_path: Path) -> None:
    """An earlier forwarder on the same seat may have asked just before it ended."""

    async def story() -> None:
        stand = Stand(tmp_path)
        async with stand.running():
            stand.head(1)
            await asyncio.sleep(1)
            stand.forwarder.note(Records(request="other", to=Domain.GATEWAY, records=(interval(1),), head=1))
            await asyncio.sleep(1)
            assert stand.sent == []

    virtually(story)


def test_the_cursor_follows_what_is_settled(tmp_path: Path) -> None:
    """Acknowledged, it waits for the broker's disk; not acknowledged, for ever."""

    async def story() -> None:
        stand = Stand(tmp_path)
        stand.file.save("h", 0)
        stand = Stand(tmp_path)
        async with stand.running():
            stand.head(3)
            await asyncio.sleep(1)
            stand.answer(interval(1), interval(2), interval(3), head=3)
            await asyncio.sleep(1)
            assert stand.sent == [1, 2, 3]
            stand.answers[1]("")
            stand.answers[0]("")
            await asyncio.sleep(1)
            stand.answers[2]("")
            await asyncio.sleep(SETTLES_AFTER_S - 10)
            assert stand.saved() == ("h", 0)
            await asyncio.sleep(600)
            assert stand.saved() == ("h", 3)

    virtually(story)


def test_silence_ends_the_connection(tmp_path: Path) -> None:
    """Where one acknowledgement does not come."""

    async def story() -> None:
        stand = Stand(tmp_path)
        stand.file.save("h", 0)
        stand = Stand(tmp_path)
        async with stand.running() as (_, connection):
            stand.head(2)
            await asyncio.sleep(1)
            stand.answer(interval(1), interval(2), head=2)
            await asyncio.sleep(1)
            stand.answers[1]("")
            await asyncio.sleep(ANSWER_WITHIN_S)
            with pytest.raises(BrokerError, match="silent"):
                await connection

    virtually(story)


def test_what_is_not_for_this_broker_holds_nothing_up(tmp_path: Path) -> None:
    """Nor does an event that it refuses; a half-hour that it refuses goes again after a while, with what follows."""

    async def story() -> None:
        Stand(tmp_path).file.save("h", 0)
        stand = Stand(tmp_path, hidden=frozenset({1}))
        told = [Record(seq=1, content=event("x")), Record(seq=2, content=event("y")), interval(3), interval(4)]
        async with stand.running():
            stand.head(4)
            await asyncio.sleep(1)
            stand.answer(*told, head=4)
            await asyncio.sleep(1)
            assert stand.sent == [2, 3, 4]
            for answer in stand.answers:
                answer("no")
            assert stand.refused == [("event", "no"), ("interval", "no"), ("interval", "no")]
            await asyncio.sleep(1)
            assert stand.asked[-1].seq == 2
            stand.answer(*told[2:], head=4)
            await asyncio.sleep(REFUSED_FOR_S)
            assert stand.sent == [2, 3, 4, 3, 4]

    virtually(story)


def test_a_disk_that_takes_no_cursor_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; when it can be written it is."""

    async def story() -> None:
        stand = Stand(tmp_path)
        (tmp_path / "gateway").write_text("in the way")
        async with stand.running():
            stand.head(5)
            await asyncio.sleep(1)
            stand.answer(head=5)
            await asyncio.sleep(1)
            stand.head(6)
            await asyncio.sleep(1)
            stand.answer(interval(6), head=6)
            await asyncio.sleep(1)
            stand.answers[0]("")
            assert stand.sent == [6]
            (tmp_path / "gateway").unlink()
            await asyncio.sleep(SETTLES_AFTER_S + 600)
            assert stand.saved() == ("h", 6)

    virtually(story)
    assert caplog.text.count("cannot be written") == 1


def test_another_history_is_told_once(tmp_path: Path) -> None:
    """Found at the start or while it runs; then the last days of it are asked for."""

    async def story() -> None:
        Stand(tmp_path).file.save("before", 7)
        stand = Stand(tmp_path)
        async with stand.running():
            stand.head(100)
            stand.head(101)
            await asyncio.sleep(1)
            assert [each.last_days for each in stand.asked] == [7]
            stand.answer(head=101)
            await asyncio.sleep(1)
            assert stand.saved() == ("h", 101)
            stand.head(50)
            await asyncio.sleep(12)
            assert [each.last_days for each in stand.asked] == [7, 7]
            stand.answer(head=50)
            await asyncio.sleep(20)
            assert stand.saved() == ("h", 50)
        assert len(stand.anew) == 2

    virtually(story)
