from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from support.history import DAY, METER, NOON, at, batch, event, in_memory, interval, records, rows

from hemsd.history import calendar
from hemsd.history.keeper import Keeper
from hemsd.history.query import ROWS_IN_AN_ANSWER, History
from hemsd.hub.messages import Domain, HistoryQuery, Lifetime, LifetimeEnergy, RecordsAfter
from hemsd.hub.protocol import LINE_MAX
from hemsd.hub.wire import encode

MIDNIGHT = calendar.utc(at(48))


def test_a_day_needs_forty_nine_readings() -> None:
    """The next day's 00:00 closes 23:30; without it the day is not known to its end."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(*(interval(slot, slot) for slot in range(48))))
    (day,) = rows(db, "day", MIDNIGHT, last=calendar.day(DAY))
    assert (day.imported_kwh, day.coverage) == (4.7, pytest.approx(47 / 48))
    keeper.keep(batch(interval(48, 48)))
    (day,) = rows(db, "day", MIDNIGHT, last=calendar.day(DAY))
    assert (day.start, day.end) == (calendar.utc(at(0)), MIDNIGHT)
    assert (day.imported_kwh, day.coverage) == (4.8, 1.0)


def test_lifetime_totals_go_on_through_wraps_and_exchanges() -> None:
    """Each at the newest half-hour of its register, with what it showed there; nothing where there is none."""
    db = in_memory()
    keeper, history = Keeper(db), History(db)
    assert history.lifetime() == LifetimeEnergy()

    def told(meter: str, slot: int, total_kwh: float, register_kwh: float | None) -> LifetimeEnergy:
        at_ = calendar.utc(at(slot))
        return LifetimeEnergy(imported=Lifetime(meter=meter, at=at_, total_kwh=total_kwh, register_kwh=register_kwh))

    keeper.keep(batch(interval(0, 999_990), interval(1, 999_995)))
    assert history.lifetime() == told(METER, 1, 99_999.5, 99_999.5)
    keeper.keep(batch(interval(2, 5)))
    assert history.lifetime() == told(METER, 2, 100_000.5, 0.5)
    keeper.keep(batch(interval(3, 7_000, meter="new"), interval(4, 7_003, meter="new")))
    assert history.lifetime() == told("new", 4, 100_000.8, 700.3)
    keeper.keep(batch(interval(5, 6_000, meter="new")))  # fell: the total waits
    assert history.lifetime() == told("new", 5, 100_000.8, None)


def test_a_gap_is_null_and_never_zero() -> None:
    """Half-hours in it have no energy; the day has what both its ends tell, and says what share is known."""
    db = in_memory()
    Keeper(db).keep(batch(*(interval(slot, slot) for slot in range(49) if not 10 <= slot < 20)))
    half_hours = rows(db, "30m", MIDNIGHT, last=calendar.day(DAY))
    assert [row.imported_kwh for row in half_hours[8:21]] == [0.1, *[None] * 11, 0.1]
    assert [row.coverage for row in half_hours[8:21]] == [1.0, *[0.0] * 11, 1.0]
    assert [row.energy_import_kwh for row in half_hours[8:11]] == [0.9, None, None]
    (day,) = rows(db, "day", MIDNIGHT, last=calendar.day(DAY))
    assert (day.imported_kwh, day.coverage) == (4.8, pytest.approx(37 / 48))
    (gap,) = rows(db, "gaps", MIDNIGHT)
    assert (gap.start, gap.end) == (calendar.utc(at(9)), calendar.utc(at(20)))
    assert (gap.imported_kwh, gap.coverage) == (None, 0.0)


def test_what_should_have_come_by_now_is_a_gap() -> None:
    """From the newest known half-hour to the last one that is due, a quarter of an hour after it."""
    db = in_memory()
    Keeper(db).keep(batch(interval(0, 5), interval(1, 6)))
    assert rows(db, "gaps", calendar.utc(at(2) + 14 * 60)) == []
    (gap,) = rows(db, "gaps", calendar.utc(at(4) + 15 * 60))
    assert (gap.start, gap.end) == (calendar.utc(at(1)), calendar.utc(at(4)))


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    """By Japan's calendar; the first record may come later."""
    db = in_memory()
    Keeper(db).keep(batch(*(interval(slot, slot) for slot in range(39 * 48 + 1))))
    now = calendar.utc(at(0, DAY + 39))
    weeks = rows(db, "week", now)
    assert weeks[0].start == calendar.utc(calendar.moment(calendar.number(date(2025, 1, 13))))
    assert all(week.end - week.start == timedelta(days=7) for week in weeks)
    assert all((week.start + timedelta(hours=9)).weekday() == 0 for week in weeks)
    months = rows(db, "month", now)
    assert [(month.start + timedelta(hours=9)).date() for month in months] == [date(2025, 1, 1), date(2025, 2, 1)]
    assert [month.imported_kwh for month in months] == [81.6, 105.6]


def test_a_period_under_way_counts_what_has_passed() -> None:
    """Coverage is of the time until now; half-hours that have not begun have no row."""
    db = in_memory()
    Keeper(db).keep(batch(*(interval(slot, slot) for slot in range(25))))
    (day,) = rows(db, "day", NOON)
    assert (day.imported_kwh, day.coverage) == (2.4, 1.0)
    assert len(rows(db, "30m", NOON)) == 24


def test_a_register_that_began_later_is_not_missed_before() -> None:
    """Panels on the roof: export is None before, and does not lower the coverage."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(*(interval(slot, slot, values={"export": "absent"}) for slot in range(49))))
    keeper.keep(batch(*(interval(slot, slot, values={"export": 3 * slot}) for slot in range(49, 97))))
    yesterday, today = rows(db, "day", calendar.utc(at(96)), last=calendar.day(DAY + 1))
    assert (yesterday.exported_kwh, yesterday.coverage) == (None, 1.0)
    assert (today.exported_kwh, today.coverage) == (pytest.approx(14.1), pytest.approx(47 / 48))


def test_long_answers_come_in_parts() -> None:
    """All with the request's name, only the last with `last`."""
    db = in_memory()
    Keeper(db).keep(batch(*(interval(slot, slot) for slot in range(1_100))))
    query = HistoryQuery(request="q", asker=Domain.OPERATOR, what="30m", first=calendar.day(DAY))
    answers = list(History(db).query(query, calendar.utc(at(1_099))))
    assert [len(answer.rows) for answer in answers] == [ROWS_IN_AN_ANSWER, ROWS_IN_AN_ANSWER, 99]
    assert [answer.last for answer in answers] == [False, False, True]
    assert {(answer.request, answer.to, answer.meter) for answer in answers} == {("q", Domain.OPERATOR, METER)}


def test_no_history_is_an_answer() -> None:
    """With a sentence, and not a crash."""
    query = HistoryQuery(request="q", asker=Domain.OPERATOR, what="day")
    (answer,) = History(in_memory()).query(query, NOON)
    assert (answer.rows, answer.last, answer.error) == ((), True, "there is no history yet")
    db = in_memory()
    Keeper(db).keep(batch(interval(0, 1)))
    query = HistoryQuery(request="q", asker=Domain.OPERATOR, what="day", meter="unheard-of")
    (answer,) = History(db).query(query, NOON)
    assert answer.error == "there is no history of a meter unheard-of"


def test_records_are_at_most_a_thousand() -> None:
    """Whatever limit is asked; the head tells that there are more."""
    db = in_memory()
    Keeper(db).keep(batch(*(interval(slot, slot) for slot in range(1_100))))
    assert len(records(db, limit=1_000_000)) == 1_000
    assert len(records(db, limit=0)) == 1
    assert History(db).head() == 1_100


def test_long_texts_make_short_answers() -> None:
    """An answer fits into a line between processes, whatever is in it; one record comes in any case."""
    db = in_memory()
    Keeper(db).keep(batch(events=[event("\x01" * 10_000)] * 300))
    seqs: list[int] = []
    while True:
        asked = RecordsAfter(request="r", asker=Domain.GATEWAY, seq=seqs[-1] if seqs else 0, limit=1000)
        answer = History(db).records(asked)
        assert len(encode(answer)) < LINE_MAX
        if not answer.records:
            break
        seqs += [record.seq for record in answer.records]
    assert seqs == list(range(1, 301))


@pytest.mark.parametrize(
    ("days", "first"),
    [(0, None), (1, 97), (2, 49), (3, 1), (99, 1)],  # 1-48: two days ago, 49-96: yesterday, 97-144: today
)
def test_records_of_the_last_days(days: int, first: int | None) -> None:
    """They end with the newest half-hour; of no days there are none, and a cursor goes on above it."""
    db = in_memory()
    for day in (DAY - 2, DAY - 1, DAY):
        Keeper(db).keep(batch(*(interval(0, 0, at=at(slot, day)) for slot in range(48))))

    def answer(**more: Any) -> list[int]:
        asked = RecordsAfter(request="r", asker=Domain.GATEWAY, limit=1000, last_days=days, **more)
        return [record.seq for record in History(db).records(asked).records]

    assert answer(seq=0) == ([] if first is None else list(range(first, 145)))
    assert answer(seq=140) == ([] if first is None else [141, 142, 143, 144])


def test_events_are_of_the_last_days_too() -> None:
    """As far back as half-hours; where there are no half-hours all of them."""
    db = in_memory()
    Keeper(db).keep(batch(events=[event("long ago", NOON - timedelta(days=9)), event("today")]))
    asked = RecordsAfter(request="r", asker=Domain.GATEWAY, seq=0, last_days=1)
    assert [record.seq for record in History(db).records(asked).records] == [1, 2]
    Keeper(db).keep(batch(interval(20, 0)))
    assert [record.seq for record in History(db).records(asked).records] == [2, 3]


def test_what_a_new_meter_may_remember_is_missing() -> None:
    """All days back to the end of its memory, newest first, before it has told anything."""
    days = History(in_memory()).missing_days(METER, NOON, 100)
    assert len(days) == 100
    assert days[0] == calendar.day(DAY)
    assert days == sorted(days, reverse=True)
    just_begun = calendar.utc(at(0) + 60)
    assert History(in_memory()).missing_days(METER, just_begun, 1) == []  # nothing of it is due yet
