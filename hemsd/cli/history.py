"""`hemsd history`: energy by half-hour, day, week or month, what is missing, and fetching that from the meter."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import convert, to_builtins

from hemsd.cli.asking import Daemon
from hemsd.cli.chart import BLOCKS, gaps, table
from hemsd.cli.connect import state_directory
from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.cli.read import daemon_for, look_for_a_meter
from hemsd.cli.status import NONE_RUNS
from hemsd.cli.words import JST, rfc3339
from hemsd.hub.messages import SHOWN_DAYS, BackfillProgress, Domain, HistoryAnswer, HistoryQuery, HistoryRow

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ANSWER_S = 60.0  # from one answer of history to the next
PROGRESS_S = 600.0  # from one day of a backfill to the next: the meter may be away meanwhile
DAYS_MAX = 36_600  # a hundred years
MEMORY_DAYS = 100  # today and the 99 days before it (ECHONET Appendix, class 0288, E5)


def run(arguments: argparse.Namespace) -> int:
    """Show energy by period, or gaps; or have the meter asked for what is missing."""
    if arguments.what == "backfill":
        return _backfill(arguments)
    query = _query(arguments)
    meter, rows, reading = _answered(arguments, query)
    if arguments.csv is not None:
        _write_csv(arguments.csv, rows)
    elif arguments.json:
        print(json.dumps([_plain(row) for row in rows]))
    else:
        _print(meter, rows, query.what)
        if reading is not None:
            print(f"the meter's memory is still being read, {reading.done} of {reading.total} days so far")
    return Exit.READ


def _query(arguments: argparse.Namespace) -> HistoryQuery:
    first, last = _dates(arguments)
    if first is None and arguments.what in SHOWN_DAYS:
        first = (last or _today()) - timedelta(days=SHOWN_DAYS[arguments.what] - 1)
    return HistoryQuery(
        request=os.urandom(8).hex(),
        asker=Domain.OPERATOR,
        what=arguments.what,
        first=first,
        last=last,
        meter=arguments.meter,
    )


def _dates(arguments: argparse.Namespace) -> tuple[date | None, date | None]:
    first, last = _date(arguments, "from"), _date(arguments, "to")
    if (number := arguments.days) is not None:
        if first or last:
            raise UsageError("give --days, or --from and --to")
        if not 1 <= number <= DAYS_MAX:
            raise UsageError(f"--days must be 1 to {DAYS_MAX}")
        return _today() - timedelta(days=number - 1), None
    if first is not None and first > (last or _today()):
        raise UsageError(f"--from {first} is after {f'--to {last}' if last else 'today'}")
    return first, last


def _date(arguments: argparse.Namespace, name: str) -> date | None:
    text: str | None = getattr(arguments, f"{name}_")
    if text is None:
        return None
    try:
        if len(text) != len("2026-01-31"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--{name} {text!r} is no date: write it like {_today()}") from None


def _today() -> date:
    return datetime.now(JST).date()


# --- asking ---------------------------------------------------------------------------------------------------


class _Answered(NamedTuple):
    meter: str | None
    rows: list[HistoryRow]
    reading: BackfillProgress | None  # how far the daemon has come with the meter's memory, if it is at that


def _answered(arguments: argparse.Namespace, query: HistoryQuery) -> _Answered:
    """What the daemon says, or without one its files. Raises GaveUp."""
    daemon = daemon_for(arguments)
    answers = _from_files(arguments, query) if daemon is None else _from_daemon(daemon, query)
    meter, rows, reading = None, list[HistoryRow](), None
    for answer in answers:
        if isinstance(answer, BackfillProgress):
            reading = None if answer.last else answer
            continue
        if answer.error:
            raise GaveUp(Exit.USAGE if query.meter else Exit.TIMEOUT, answer.error)
        meter = answer.meter
        rows += answer.rows
    return _Answered(meter, rows, reading)


def _from_daemon(daemon: Daemon, query: HistoryQuery) -> Iterator[HistoryAnswer | BackfillProgress]:
    """The answers, and before them how things stand."""
    daemon.send(to_builtins(query))
    until = time.monotonic() + ANSWER_S
    while (told := daemon.next(until)) is not None:
        if told["type"] == "BackfillProgress":
            yield convert(told, BackfillProgress)
        elif told["type"] == "HistoryAnswer" and told["request"] == query.request:
            answer = convert(told, HistoryAnswer)
            yield answer
            if answer.last:
                return
            until = time.monotonic() + ANSWER_S
    raise GaveUp(Exit.TIMEOUT, f"the daemon gave no history within {ANSWER_S:g} s; `hemsd status` says how it does")


def _from_files(arguments: argparse.Namespace, query: HistoryQuery) -> Iterator[HistoryAnswer]:
    from hemsd.history.database import StoreError
    from hemsd.history.query import open_readonly

    try:
        with open_readonly(state_directory(arguments)) as history:
            yield from history.query(query)
    except StoreError as error:
        raise GaveUp(Exit.USAGE, f"{error} ({NONE_RUNS})") from None


# --- showing --------------------------------------------------------------------------------------------------


def _print(meter: str | None, rows: list[HistoryRow], what: str) -> None:
    if what == "gaps":
        print("\n".join(gaps(rows)) if rows else "no half-hour is missing")
        return
    if not rows:
        print("there is no history of that time")
        return
    print(f"meter {meter}")
    width = shutil.get_terminal_size().columns if _can_draw() else 0
    for line in table(rows, what, width):
        print(line)


def _can_draw() -> bool:
    """Whether standard output has characters for bars."""
    try:
        BLOCKS.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _plain(row: HistoryRow) -> dict[str, Any]:
    plain: dict[str, Any] = to_builtins(row, builtin_types=(datetime,))
    return plain | {"start": rfc3339(row.start), "end": rfc3339(row.end)}


def _write_csv(path: str, rows: list[HistoryRow]) -> None:
    """With a header; empty is what is not known. "-" is standard output."""
    out = sys.stdout if path == "-" else _opened(path)
    try:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HistoryRow.__struct_fields__)
        writer.writerows(_plain(row).values() for row in rows)
    finally:
        if out is not sys.stdout:
            out.close()


def _opened(path: str) -> Any:
    try:
        return Path(path).open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None


# --- backfill -------------------------------------------------------------------------------------------------


def _backfill(arguments: argparse.Namespace) -> int:
    """Have the meter asked for days out of its memory, newest first, and show how that goes."""
    days = _days(arguments)
    daemon = daemon_for(arguments)
    if daemon is None:
        raise GaveUp(Exit.NO_DAEMON, f"only the daemon fetches history: {NONE_RUNS}")
    look_for_a_meter(arguments)
    request = os.urandom(8).hex()
    daemon.send(
        {"type": "Backfill", "request": request, "asker": "operator", "days": [day.isoformat() for day in days]}
    )
    empty, failed = list[date](), list[date]()
    with _Shown(len(days)) as shown:
        for progress in _progress(daemon, request):
            if progress.day is not None:
                {"empty": empty, "failed": failed}.get(progress.outcome, []).append(progress.day)
            shown.tell(progress)
    if empty:
        print(f"the meter holds nothing of {_listed(empty)}")
    if failed:
        print(f"hemsd: the meter did not give {_listed(failed)}; try again later", file=sys.stderr)
        return Exit.TIMEOUT
    print("what the meter holds of these days is here; `hemsd history gaps` says what is missing for good")
    return Exit.READ


def _days(arguments: argparse.Namespace) -> list[date]:
    """Newest first. Raises UsageError."""
    if arguments.json or arguments.csv is not None or arguments.meter is not None:
        raise UsageError("a backfill has neither --json nor --csv nor --meter: it is of the meter that is there")
    if arguments.days is not None and not 1 <= arguments.days <= MEMORY_DAYS:
        raise UsageError(f"--days must be 1 to {MEMORY_DAYS}: a meter remembers no more")
    (first, last), today = _dates(arguments), _today()
    last = min(last or today, today)
    oldest = today - timedelta(days=MEMORY_DAYS - 1)
    first = max(first or oldest, oldest)
    if last < first:
        raise UsageError(f"the meter remembers {oldest} and later only")
    return [last - timedelta(days=back) for back in range((last - first).days + 1)]


def _progress(daemon: Daemon, request: str) -> Iterator[BackfillProgress]:
    """Each day of our request, to the last. Raises GaveUp."""
    until = time.monotonic() + PROGRESS_S
    while (told := daemon.next(until)) is not None:
        if told["type"] == "BackfillProgress" and told["request"] == request:
            progress = convert(told, BackfillProgress)
            yield progress
            if progress.last:
                return
            until = time.monotonic() + PROGRESS_S
    raise GaveUp(
        Exit.TIMEOUT, f"nothing was heard of it for {PROGRESS_S:g} s; the daemon goes on: see `hemsd status`"
    )


def _listed(days: list[date]) -> str:
    """A few dates, or how many there are from when to when."""
    if len(days) <= 3:
        return ", ".join(map(str, sorted(days)))
    return f"{len(days)} days from {min(days)} to {max(days)}"


class _Shown:
    """How a backfill goes: a bar where a person looks, a line for each day elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> _Shown:
        if sys.stdout.isatty():
            from rich.progress import Progress

            self._bar = Progress()
            self._bar.start()
            self._task = self._bar.add_task("fetching", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, progress: BackfillProgress) -> None:
        """One day more."""
        if self._bar is not None and self._task is not None:
            about = f"{progress.day}: {progress.outcome}" if progress.day else "done"
            self._bar.update(self._task, completed=progress.done, total=progress.total, description=about)
        elif progress.day is not None:
            print(f"{progress.day}  {progress.outcome}  {progress.done} of {progress.total}", flush=True)
