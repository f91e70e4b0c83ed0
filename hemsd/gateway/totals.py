"""Energy of the day and of the month that are going on, asked of history when there may be more of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal

from hemsd.gateway.payloads import JST, Total, timestamp
from hemsd.hub.messages import Domain, HistoryAnswer, HistoryQuery

ASK_EVERY_S = 1800.0  # whether or not a half-hour came: history may have learnt of older ones
ASK_AGAIN_S = 300.0  # where there was no answer to be had

Period = Literal["day", "month"]
PERIODS: Mapping[str, Period] = {"total-day": "day", "total-month": "month"}
"""Of which period an answer is, by the name of its question."""


class Totals:
    """Gives questions for history and takes its answers. `now` is monotonic, `at` the time of day."""

    def __init__(self) -> None:
        self._totals: dict[Period, Total] = {}
        self._day: date | None = None  # that was asked about
        self._ask_at = 0.0
        self._more = True

    def more(self) -> None:
        """There is a new half-hour."""
        self._more = True

    def questions(self, now: float, at: datetime) -> list[HistoryQuery]:
        """What history is to be asked now; ask for it a while after more()."""
        today = at.astimezone(JST).date()
        if not (self._more or today != self._day or now >= self._ask_at):
            return []
        self._more, self._day, self._ask_at = False, today, now + ASK_EVERY_S
        return [
            HistoryQuery(request=name, asker=Domain.GATEWAY, what=period, first=today, last=today)
            for name, period in PERIODS.items()
        ]

    def hear(self, answer: HistoryAnswer, now: float, at: datetime) -> Period | None:
        """Take an answer; the period whose total is another one now. A question that failed is asked again."""
        period = PERIODS.get(answer.request)
        if answer.error:
            self._ask_at = min(self._ask_at, now + ASK_AGAIN_S)
        if period is None or not answer.rows:
            return None
        row, before = answer.rows[-1], self._totals.get(period)
        total = Total(
            ts=timestamp(at),
            period=period,
            period_start=timestamp(row.start),
            period_end=timestamp(row.end),
            imported_kwh=row.imported_kwh,
            exported_kwh=row.exported_kwh,
            coverage=round(row.coverage, 4),
        )
        self._totals[period] = total
        return period if total != before else None

    def get(self, period: str) -> Total | None:
        """The latest total of this period."""
        return next((total for name, total in self._totals.items() if name == period), None)
