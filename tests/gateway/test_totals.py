"""Energy of the day and the month: when it is asked, what is told; and with the real history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import run
from support.historian import House
from support.history import NOON

from hemsd.gateway.payloads import Total
from hemsd.gateway.totals import ASK_AGAIN_S, ASK_EVERY_S, Totals
from hemsd.hub.messages import Domain, HistoryAnswer, HistoryRow

AT = datetime(2025, 1, 15, 3, 0, tzinfo=UTC)
START = datetime(2025, 1, 14, 15, 0, tzinfo=UTC)


def answer(request: str = "total-day", **more: Any) -> HistoryAnswer:
    row = HistoryRow(start=START, end=START + timedelta(days=1), imported_kwh=3.5, coverage=0.123456)
    return HistoryAnswer(**{"request": request, "to": Domain.GATEWAY, "rows": (row,)} | more)


def asked(totals: Totals, now: float, at: datetime = AT) -> list[str]:
    found = totals.questions(now, at)
    assert all(each.first == each.last == (at + timedelta(hours=9)).date() for each in found)
    return [each.what for each in found]


def test_history_is_asked_when_there_may_be_more() -> None:
    """At first, after a half-hour, after half an hour without one, and when a day begins in Japan; not else."""
    totals = Totals()
    assert asked(totals, 0.0) == ["day", "month"]
    assert asked(totals, 60.0) == []
    totals.more()
    assert asked(totals, 120.0) == ["day", "month"]
    assert asked(totals, 119.0 + ASK_EVERY_S) == []
    assert asked(totals, 120.0 + ASK_EVERY_S) == ["day", "month"]
    midnight = START + timedelta(days=1)
    assert asked(totals, 180.0 + ASK_EVERY_S, midnight - timedelta(seconds=1)) == []
    assert asked(totals, 180.0 + ASK_EVERY_S, midnight) == ["day", "month"]


def test_an_answer_is_a_total() -> None:
    """What is not known is null; an answer to something else, or without rows, changes nothing."""
    totals = Totals()
    assert totals.hear(answer(), 0.0, AT) == "day"
    assert totals.get("day") == Total(
        ts="2025-01-15T12:00:00+09:00",
        period="day",
        period_start="2025-01-15T00:00:00+09:00",
        period_end="2025-01-16T00:00:00+09:00",
        imported_kwh=3.5,
        exported_kwh=None,
        coverage=0.1235,
    )
    assert totals.get("month") is None
    for other in (answer("history-1"), answer(rows=()), answer()):
        assert totals.hear(other, 0.0, AT) is None
    assert totals.hear(answer("total-month"), 0.0, AT) == "month"


def test_a_history_in_trouble_is_asked_again() -> None:
    """Its disk may be well again, or there may be something by now; not every minute, for each question wakes it."""
    totals = Totals()
    asked(totals, 0.0)
    assert totals.hear(answer(rows=(), error="the disk is full"), 0.0, AT) is None
    assert asked(totals, 60.0) == []
    assert asked(totals, ASK_AGAIN_S) == ["day", "month"]


@pytest.mark.parametrize("slots", [0, 1, 5])
def test_what_the_real_history_answers(tmp_path: Path, slots: int) -> None:
    """The rows of today and of this month, once there are half-hours; before that none."""

    async def scenario() -> dict[str, Total | None]:
        house, totals = House(tmp_path), Totals()
        async with house.running():
            for slot in range(slots + 1 if slots else 0):
                house.half_hour(slot, 1000 + slot * 10)
            await house.told(house.gateway, HistoryAnswer)
            for question in totals.questions(0.0, NOON + timedelta(minutes=30 * slots)):
                house.gateway.publish(question)
            for told in await house.told(house.gateway, HistoryAnswer):
                totals.hear(told, 0.0, NOON)
        return {period: totals.get(period) for period in ("day", "month")}

    found = run(scenario())
    if not slots:
        assert found == {"day": None, "month": None}
        return
    day, month = found["day"], found["month"]
    assert day is not None
    assert month is not None
    assert day.imported_kwh == month.imported_kwh == pytest.approx(slots * 10 * 0.1)
    assert month.period_start[8:19] == "01T00:00:00"
    assert day.period_start[:10] == day.ts[:10]
