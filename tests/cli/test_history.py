"""`hemsd history`: tables, bars, JSON, CSV, gaps and backfill, from a history that a test plays."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.cli import Stage, daemon_of, hemsd, house, stage
from support.hub import METER

from hemsd.cli import words
from hemsd.cli.chart import bar, gaps, table
from hemsd.cli.exits import Exit
from hemsd.cli.words import JST
from hemsd.hub.messages import Backfill, BackfillProgress, HistoryAnswer, HistoryQuery, HistoryRow


def day(number: int, imported: float | None, exported: float | None = None, coverage: float = 1.0) -> HistoryRow:
    start = datetime(2026, 10, number, tzinfo=JST)
    return HistoryRow(
        start=start,
        end=start + timedelta(days=1),
        imported_kwh=imported,
        exported_kwh=exported,
        coverage=coverage,
    )


DAYS = [day(1, 10.0, 0.5), day(2, 5.0, None, 0.5), day(3, None, None, 0.0), day(4, 0.0, 0.0)]
FIRST_HALF_HOUR = HistoryRow(
    start=datetime(2026, 10, 1, 15, tzinfo=UTC),
    end=datetime(2026, 10, 1, 15, 30, tzinfo=UTC),
    imported_kwh=0.25,
    coverage=1.0,
    energy_import_kwh=6513.9,
    source="notified",
)


def test_a_table_of_days() -> None:
    """Sums, marks where not all is known, a bar on the scale of the greatest; missing is "-" and never 0."""
    assert list(table(DAYS, "day", 60)) == [
        "                import kWh  export kWh  known",
        "2026-10-01 Thu        10.0         0.5   100%  █████████████",
        "2026-10-02 Fri         5.0           -    50%  ██████▌",
        "2026-10-03 Sat           -           -     0%",
        "2026-10-04 Sun         0.0         0.0   100%",
        "sum                   15.0         0.5",
    ]


@pytest.mark.parametrize("width", [20, 40, 47, 60, 80, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    """Bars take what room there is; where there is none, the numbers stay."""
    lines = list(table(DAYS, "day", width))
    assert all(len(line) <= max(width, 47) for line in lines)
    assert any("█" in line for line in lines) is (width >= 60)
    assert all("10.0" in line for line in lines[1:2])


@pytest.mark.parametrize(
    ("what", "label"),
    [("30m", "2026-10-01 00:00"), ("day", "2026-10-01 Thu"), ("week", "2026-10-01 to 10-01"), ("month", "2026-10")],
)
def test_periods_are_named_by_japans_calendar(what: str, label: str) -> None:
    """A half-hour by its start, a week from its first to its last day."""
    assert list(table([DAYS[0]], what, 80))[1].startswith(f"{label}  ")


@pytest.mark.parametrize(
    ("value", "drawn"),
    [(None, ""), (0.0, ""), (8.0, "████████"), (0.5, "▌"), (1.125, "█▏"), (0.01, ""), (-1.0, "")],
)
def test_bars_have_eighths(value: float | None, drawn: str) -> None:
    """Of one character."""
    assert bar(value, 8.0, 8) == drawn


@pytest.mark.parametrize(
    ("coverage", "known"), [(1.0, "100%"), (0.994, "99%"), (0.001, "1%"), (0.0, "0%"), (0.505, "50%")]
)
def test_what_is_not_whole_never_looks_so(coverage: float, known: str) -> None:
    """Nor does a little look like nothing."""
    assert f"{known:>5}" in list(table([day(1, 1.0, 1.0, coverage)], "day", 80))[1]


def test_colours_only_for_a_person_who_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, unless NO_COLOR is set."""
    monkeypatch.setattr(words.sys, "stdout", Terminal())  # type: ignore[attr-defined]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[36m" in "".join(table(DAYS, "day", 80))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(table(DAYS, "day", 80))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_gaps_are_lines_with_their_length() -> None:
    """In Japan's time."""
    gap = HistoryRow(start=datetime(2026, 9, 30, 15, tzinfo=UTC), end=datetime(2026, 10, 2, 20, 30, tzinfo=UTC))
    assert list(gaps([gap])) == ["2026-10-01 00:00 to 2026-10-03 05:30  2 d 5 h"]


@asynccontextmanager
async def remembering(house: Stage, *rows: HistoryRow, error: str = "") -> AsyncIterator[list[HistoryQuery]]:
    """Play a history that answers everything with these rows, one an answer."""
    asked: list[HistoryQuery] = []

    async def play() -> None:
        async for message in house.history.messages():
            if isinstance(message, HistoryQuery):
                asked.append(message)
                for answer in answers(message):
                    house.history.publish(answer)

    def answers(query: HistoryQuery) -> Iterator[HistoryAnswer]:
        yield HistoryAnswer(request="another", to=query.asker, rows=(day(31, 99.0),))
        if error or not rows:
            yield HistoryAnswer(request=query.request, to=query.asker, error=error)
        for number, row in enumerate(rows, 1):
            last = number == len(rows)
            yield HistoryAnswer(request=query.request, to=query.asker, meter=METER, rows=(row,), last=last)

    playing = asyncio.create_task(play())
    yield asked
    playing.cancel()


async def test_days_are_the_last_ones_of_any_period(tmp_path: Path) -> None:
    """Today and those before it."""
    async with stage(tmp_path) as house, remembering(house, *DAYS) as asked:
        await house.hemsd("history", "30m", "--days", "3")
    (query,) = asked
    today = datetime.now(JST).date()
    assert (query.what, query.first, query.last) == ("30m", today - timedelta(days=2), None)


async def test_where_there_are_no_blocks_the_table_has_no_bars(tmp_path: Path) -> None:
    """A terminal whose encoding lacks them gets the numbers, not a traceback."""
    async with stage(tmp_path) as house, remembering(house, *DAYS):
        ran = await house.hemsd("history", COLUMNS="60", PYTHONIOENCODING="latin-1")
    assert ran.out.splitlines() == [f"meter {METER}", *table(DAYS, "day", 0)]
    assert (ran.code, ran.err) == (Exit.READ, "")


async def test_by_default_the_last_thirty_days_as_a_plain_table(tmp_path: Path) -> None:
    """Without colours where nobody looks; answers in several parts are one table."""
    async with stage(tmp_path) as house, remembering(house, *DAYS) as asked:
        ran = await house.hemsd("history", COLUMNS="60")
    (query,) = asked
    today = datetime.now(JST).date()
    assert (query.what, query.first, query.last, query.meter) == ("day", today - timedelta(days=29), None, None)
    assert ran.out.splitlines() == [f"meter {METER}", *table(DAYS, "day", 60)]
    assert (ran.code, ran.err) == (Exit.READ, "")


@pytest.mark.parametrize(("what", "days"), [("30m", 1), ("week", 84), ("month", 365)])
async def test_each_kind_of_period_has_its_own_span(tmp_path: Path, what: str, days: int) -> None:
    """Today, twelve weeks, twelve months, each to the day that --to says."""
    async with stage(tmp_path) as house, remembering(house, *DAYS) as asked:
        await house.hemsd("history", what, "--to", "2026-09-30")
    (query,) = asked
    assert (query.first, query.last) == (date(2026, 9, 30) - timedelta(days=days - 1), date(2026, 9, 30))


async def test_json_and_csv_hold_every_field(tmp_path: Path) -> None:
    """Null or empty where nothing is known; times in RFC 3339 with Japan's offset."""
    rows = (FIRST_HALF_HOUR, day(3, None))
    async with stage(tmp_path) as house, remembering(house, *rows):
        as_json = await house.hemsd("history", "30m", "--json")
        as_csv = await house.hemsd("history", "30m", "--csv", "-")
        written = await house.hemsd("history", "30m", "--csv", "out.csv")
        refused = await house.hemsd("history", "30m", "--csv", "none/out.csv")
    told = json.loads(as_json.out)
    assert told[0] == {
        "start": "2026-10-02T00:00:00+09:00",
        "end": "2026-10-02T00:30:00+09:00",
        "imported_kwh": 0.25,
        "exported_kwh": None,
        "coverage": 1.0,
        "energy_import_kwh": 6513.9,
        "energy_export_kwh": None,
        "source": "notified",
    }
    assert (written.code, written.out, (tmp_path / "out.csv").read_text()) == (Exit.READ, "", as_csv.out)
    lines = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert [set(line) for line in lines] == [set(told[0])] * 2
    assert (lines[0]["imported_kwh"], lines[0]["exported_kwh"], lines[1]["imported_kwh"]) == ("0.25", "", "")
    assert (refused.code, "none/out.csv: no such file" in refused.err) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--from", "2026-13-01"), "--from '2026-13-01' is no date: write it like 20"),
        (("--to", "1/10/2026"), "--to '1/10/2026' is no date: write it like 20"),
        (("--to", "20261001"), "is no date"),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "--from 2026-10-02 is after --to 2026-10-01"),
        (("--from", "2999-10-02"), "--from 2999-10-02 is after today"),
        (("backfill", "--days", "3", "--from", "2026-10-02"), "give --days, or --from and --to"),
        (("backfill", "--days", "0"), "--days must be 1 to 100"),
        (("--days", "3", "--to", "2026-10-02"), "give --days, or --from and --to"),
        (("--days", "0"), "--days must be 1 to 36600"),
        (("--days", "999999999"), "--days must be 1 to 36600"),
        (("backfill", "--json"), "a backfill has neither --json"),
        (("backfill", "--meter", "abc"), "a backfill has neither --json"),
        (("backfill", "--to", "2020-01-01"), "the meter remembers"),
        (("year",), "invalid choice: 'year'"),
    ],
)
async def test_dates_that_cannot_be_are_told_exactly(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    """With the form that is wanted; the daemon is not asked."""
    ran = await hemsd("history", *arguments, env={"PATH": "/bin"}, directory=tmp_path)
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert text in ran.err


async def test_gaps_are_listed(tmp_path: Path) -> None:
    """And where there is none, that is said."""
    async with stage(tmp_path) as house:
        async with remembering(house, day(2, None)):
            some = await house.hemsd("history", "gaps")
        async with remembering(house):
            none = await house.hemsd("history", "gaps")
    assert some.out == "2026-10-02 00:00 to 2026-10-03 00:00  1 d 0 h\n"
    assert none.out == "no half-hour is missing\n"


async def test_what_is_still_to_come_out_of_the_meter_is_told(tmp_path: Path) -> None:
    """While its memory is read, and not after: until then what is not missing yet may be so in the end."""
    reading = BackfillProgress(request="history-1", meter=METER, day=date(2026, 10, 1), done=23, total=99)
    said = {}
    async with stage(tmp_path) as house, remembering(house, day(2, 4.5)):
        for last in (False, True):
            house.routeb.publish(replace(reading, last=last))
            shown = [await house.hemsd("history", *what) for what in ((), ("gaps",), ("--json",))]
            said[last] = [each.out.splitlines()[-1] for each in shown]
    assert said[False][:2] == ["the meter's memory is still being read, 23 of 99 days so far"] * 2
    assert said[True][0].startswith("2026-10-02") and said[True][1].startswith("2026-10-02")
    assert json.loads(said[False][2]) == json.loads(said[True][2])


async def test_why_there_is_no_history_is_told(tmp_path: Path) -> None:
    """In history's own words."""
    async with stage(tmp_path) as house, remembering(house, error="there is no history of a meter x"):
        ran = await house.hemsd("history", "--meter", "x")
    assert (ran.code, ran.err) == (Exit.USAGE, "hemsd: there is no history of a meter x\n")


async def test_without_a_daemon_and_without_files_it_is_told(tmp_path: Path) -> None:
    """Nothing is made in the state directory by looking."""
    (tmp_path / "state").mkdir(mode=0o700)
    environ = {"PATH": "/bin", "HOME": str(tmp_path), "STATE_DIRECTORY": str(tmp_path / "state")}
    ran = await hemsd("history", env=environ | {"RUNTIME_DIRECTORY": str(tmp_path)}, directory=tmp_path)
    assert ran.code == Exit.USAGE
    assert "history.db" in ran.err
    assert list((tmp_path / "state").iterdir()) == []


@asynccontextmanager
async def fetching(house: Stage, outcomes: dict[int, Any]) -> AsyncIterator[list[Backfill]]:
    """Play a meter's domain that fetches each day, with another outcome for some, by their number."""
    asked: list[Backfill] = []

    async def play() -> None:
        async for message in house.routeb.messages():
            if isinstance(message, Backfill):
                asked.append(message)
                total = len(message.days)
                for done, each in enumerate(message.days, 1):
                    house.routeb.publish(
                        BackfillProgress(
                            request=message.request,
                            meter=METER,
                            day=each,
                            outcome=outcomes.get(done, "read"),
                            done=done,
                            total=total,
                            last=done == total,
                        )
                    )

    playing = asyncio.create_task(play())
    yield asked
    playing.cancel()


async def test_a_backfill_shows_each_day_and_what_stayed_missing(tmp_path: Path) -> None:
    """Newest first; what the meter does not hold is no failure, what it did not give is one."""
    async with stage(tmp_path) as house:
        async with fetching(house, {3: "empty"}) as asked:
            good = await house.hemsd("history", "backfill", "--days", "3")
        async with fetching(house, dict.fromkeys(range(1, 6), "failed")):
            bad = await house.hemsd("history", "backfill", "--days", "5")
    today = datetime.now(JST).date()
    days = [today - timedelta(days=back) for back in range(3)]
    assert asked[0].days == tuple(days)
    assert good.out.splitlines()[:4] == [
        f"{days[0]}  read  1 of 3",
        f"{days[1]}  read  2 of 3",
        f"{days[2]}  empty  3 of 3",
        f"the meter holds nothing of {days[2]}",
    ]
    assert (good.code, bad.code) == (Exit.READ, Exit.TIMEOUT)
    assert f"did not give 5 days from {today - timedelta(days=4)} to {today}" in bad.err


async def test_two_days_of_a_real_daemon_with_and_without_it(tmp_path: Path) -> None:
    """Fetched out of a simulated meter's memory, shown through the daemon, and from its files when it has ended."""
    now = datetime.now(JST).replace(tzinfo=None)
    yesterday = str(now.date() - timedelta(days=1))
    show = ("history", "30m", "--from", yesterday, "--to", yesterday, "--json")
    async with house(tmp_path, start=now) as home:
        async with daemon_of(home):
            await home.hemsd("read", "power", connect=False)
            fetched = await home.hemsd("history", "backfill", "--days", "2", connect=False)
            through = await home.hemsd(*show, connect=False)
        alone = await home.hemsd(*show, connect=False)
        energy = home.household.energy
    assert (fetched.code, fetched.err) == (Exit.READ, "")
    assert len(fetched.out.splitlines()) == 3
    rows = json.loads(through.out)
    assert len(rows) == 48
    for row in rows:
        ends = [datetime.fromisoformat(row[name]).replace(tzinfo=None) for name in ("start", "end")]
        first, last = (at.imported_j // 360_000 for at in map(energy, ends) if at is not None)
        assert row["imported_kwh"] == pytest.approx((last - first) / 10)
        assert row["coverage"] == 1.0
    assert json.loads(alone.out) == rows


async def test_all_that_the_meter_remembers_is_asked_for_by_default(tmp_path: Path) -> None:
    """Today and the 99 days before it."""
    async with stage(tmp_path) as house, fetching(house, {}) as asked:
        await house.hemsd("history", "backfill")
    assert len(asked[0].days) == 100
