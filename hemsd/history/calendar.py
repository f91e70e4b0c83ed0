"""Half-hours and days as history counts them: epoch seconds in, days of Japan's calendar, 48 half-hours each. Pure.

Japan has had no summer time since 1951, so a day has 24 hours; a boundary at 00:00 closes the day before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from math import floor
from typing import Literal

HALF_HOUR_S = 1800
DAY_S = 86_400
SLOTS = DAY_S // HALF_HOUR_S
JST_S = 9 * 3600
CLOCK_SET = datetime(2025, 1, 1, tzinfo=UTC)  # a machine without a battery starts before, until it is told the time
EPOCH_DAY = date(1970, 1, 1).toordinal()

Period = Literal["30m", "day", "week", "month"]


def day_of(at: int) -> int:
    """The day, counted from 1970-01-01 in Japan, that a moment in epoch seconds lies in."""
    return (at + JST_S) // DAY_S


def seconds(moment: datetime) -> int:
    """An aware moment in epoch seconds, which begin with it or before."""
    return floor(moment.timestamp())


def slot_of(at: int) -> int:
    """Which boundary of its day a moment is: 0 for 00:00 to 47 for 23:30."""
    return (at + JST_S) % DAY_S // HALF_HOUR_S


def moment(day: int, slot: int = 0) -> int:
    """The boundary of a day in epoch seconds."""
    return day * DAY_S - JST_S + slot * HALF_HOUR_S


def number(day: date) -> int:
    """A date as the number of its day."""
    return day.toordinal() - EPOCH_DAY


def day(number: int) -> date:
    """The date of a day's number."""
    return date.fromordinal(number + EPOCH_DAY)


def utc(at: int) -> datetime:
    """Epoch seconds as an aware datetime."""
    return datetime.fromtimestamp(at, UTC)


def periods(what: Period, first: date, last: date) -> Iterator[tuple[int, int]]:
    """Start and end in epoch seconds of every period that begins within the dates, both inclusive.

    A week begins on Monday. The first week or month is the one that `first` lies in.
    """
    if what == "30m":
        for at in range(moment(number(first)), moment(number(last) + 1), HALF_HOUR_S):
            yield at, at + HALF_HOUR_S
        return
    begin = _first_of(what, first)
    while begin <= last:
        end = _first_of(what, begin + timedelta(days={"day": 1, "week": 7, "month": 31}[what]))
        yield moment(number(begin)), moment(number(end))
        begin = end


def _first_of(what: Period, day: date) -> date:
    if what == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if what == "week" else day
