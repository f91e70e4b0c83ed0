from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from support.history import NOON

from hemsd.history.gaps import CHECK_S, MEMORY_DAYS, RETRY_CAP_S, SILENT_S, STARTED_S, GapFiller
from hemsd.hub.messages import Backfill, BackfillProgress

TODAY = date(2025, 1, 15)
MISSING = [TODAY - timedelta(days=back) for back in (0, 3, 7)]


def online(at: float = 0.0) -> GapFiller:
    filler = GapFiller()
    filler.online(at, TODAY)
    return filler


def progress(request: Backfill, *outcomes: str, at: float, filler: GapFiller) -> object:
    """Days done, one after the other; what the last one returns."""
    told = None
    for number, outcome in enumerate(outcomes, 1):
        last = number == len(request.days)
        day = request.days[number - 1]
        message = BackfillProgress(
            request=request.request,
            meter="m",
            day=day,
            outcome=outcome,
            done=number,
            total=len(request.days),
            last=last,
        )
        told = filler.progress(message, at)
    return told


def test_nothing_is_asked_of_a_meter_that_is_not_there() -> None:
    """And of one that is, a minute after it came: live values first."""
    filler = GapFiller()
    assert filler.deadline(0) is None
    assert not filler.due(1e9)
    filler.online(100, TODAY)
    assert filler.deadline(100) == 100 + STARTED_S
    assert not filler.due(100 + STARTED_S - 1)
    assert filler.due(100 + STARTED_S)
    filler.offline()
    assert not filler.due(1e9)


def test_days_are_asked_newest_first_and_one_request_runs_at_a_time() -> None:
    """The next look is an hour later, but not while one is running."""
    filler = online()
    request = filler.request(MISSING, NOON, STARTED_S)
    assert request is not None
    assert request.days == tuple(MISSING)
    now = STARTED_S + CHECK_S
    progress(request, "read", at=now - 1, filler=filler)
    assert not filler.due(now)
    told = progress(request, "read", "failed", "empty", at=now, filler=filler)
    assert told == {"read": 2, "failed": 1, "empty": 1}
    assert filler.due(now)
    assert filler.request([], NOON, now) is None
    assert not filler.due(now + CHECK_S - 1)


def test_a_request_that_nobody_hears_of_any_more_is_over() -> None:
    """The meter's world may have begun anew."""
    filler = online()
    filler.request(MISSING, NOON, 2 * CHECK_S)
    assert filler.deadline(2 * CHECK_S) == 3 * CHECK_S
    now = 2 * CHECK_S + SILENT_S
    assert not filler.due(now)
    assert filler.due(3 * CHECK_S)


def test_days_that_stay_missing_are_asked_less_and_less_often() -> None:
    """An hour, two, four, at most a day apart; a day that is new is asked at once."""
    filler, asked, now = online(), [], 0.0
    while now < 10 * 86_400:
        if filler.due(now) and (request := filler.request([MISSING[1]], NOON, now)):
            asked.append(now)
            progress(request, "failed", at=now, filler=filler)
        now += 60
    apart = [later - earlier for earlier, later in pairwise(asked)]
    assert apart == sorted(apart)
    assert apart[:3] == [CHECK_S, 2 * CHECK_S, 4 * CHECK_S]
    assert max(apart) <= RETRY_CAP_S + CHECK_S
    request = filler.request([MISSING[0], MISSING[1]], NOON, asked[-1] + CHECK_S)
    assert request is not None
    assert request.days == (MISSING[0],)


def test_coming_online_asks_for_today_again() -> None:
    """What was asked before an outage does not hold back what the outage cost: today, and days not done by then."""
    filler = online()
    request = filler.request(MISSING, NOON, STARTED_S)
    assert request is not None
    progress(request, "read", "failed", at=100, filler=filler)
    filler.online(200, TODAY)
    request = filler.request(MISSING, NOON, 200 + STARTED_S)
    assert request is not None
    assert request.days == (TODAY, MISSING[2])


def test_an_outage_asks_for_its_minutes() -> None:
    """Once, with days or without, and not further back than is worth it."""
    filler = GapFiller()
    filler.online(0, TODAY, outage_since=NOON - timedelta(minutes=20))
    request = filler.request([], NOON, STARTED_S)
    assert request is not None
    assert (request.days, request.minutes_since) == ((), NOON - timedelta(minutes=20))
    assert filler.request([], NOON, 2 * CHECK_S) is None
    filler.online(0, TODAY, outage_since=NOON - timedelta(days=2))
    request = filler.request(MISSING, NOON, STARTED_S)
    assert request is not None
    assert request.minutes_since == NOON - timedelta(hours=1)


def test_a_request_has_no_more_days_than_a_meter() -> None:
    """Day 0 to day 99."""
    many = [TODAY - timedelta(days=back) for back in range(150)]
    request = online().request(many, NOON, STARTED_S)
    assert request is not None
    assert len(request.days) == 1 + MEMORY_DAYS == 100
