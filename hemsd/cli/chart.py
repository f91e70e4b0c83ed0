"""Periods of energy as a table with bars, for a terminal or a file; and gaps as a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from hemsd.cli.words import JST, lasted, painted
from hemsd.hub.messages import HistoryRow

BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a character
CYAN, YELLOW = 36, 33
WHOLE = 0.995  # rounded, this is all
BAR_MIN = 8  # narrower, no bar tells anything


def table(rows: Sequence[HistoryRow], what: str, width: int) -> Iterator[str]:
    """A line for each period: when, import, export, a mark where not all of it is known, and a bar.

    Import is drawn, on the scale of the greatest; what is missing is "-", never 0. Lines fit in `width` columns.
    """
    label = max((len(_label(row, what)) for row in rows), default=0)
    yield f"{'':{label}}  {'import kWh':>10}  {'export kWh':>10}  known"
    room = width - label - 33
    most = max((row.imported_kwh or 0.0 for row in rows), default=0.0)
    for row in rows:
        drawn = bar(row.imported_kwh, most, room) if room >= BAR_MIN else ""
        known = f"{_percent(row.coverage):>5}"
        line = (
            f"{_label(row, what):{label}}  {_kwh(row.imported_kwh, what):>10}  {_kwh(row.exported_kwh, what):>10}  "
            f"{known if row.coverage >= WHOLE else painted(known, YELLOW)}  {painted(drawn, CYAN) if drawn else ''}"
        )
        yield line.rstrip()
    yield from _sums(rows, what, label)


def bar(value: float | None, most: float, width: int) -> str:
    """A bar of block characters, `width` of them for the greatest value; nothing where there is no value."""
    if value is None or most <= 0:
        return ""
    eighths = round(max(0.0, value) / most * width * 8)
    return "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()


def gaps(rows: Iterable[HistoryRow]) -> Iterator[str]:
    """A line for each gap, in Japan's time."""
    for row in rows:
        start, end = row.start.astimezone(JST), row.end.astimezone(JST)
        yield f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}  {lasted((end - start).total_seconds())}"


def _sums(rows: Sequence[HistoryRow], what: str, label: int) -> Iterator[str]:
    imported = [row.imported_kwh for row in rows if row.imported_kwh is not None]
    exported = [row.exported_kwh for row in rows if row.exported_kwh is not None]
    if len(rows) > 1 and (imported or exported):
        sums = (sum(each) if each else None for each in (imported, exported))
        yield f"{'sum':{label}}  {'  '.join(f'{_kwh(each, what):>10}' for each in sums)}"


def _label(row: HistoryRow, what: str) -> str:
    start = row.start.astimezone(JST)
    match what:
        case "30m":
            return f"{start:%Y-%m-%d %H:%M}"
        case "month":
            return f"{start:%Y-%m}"
        case "week":
            return f"{start:%Y-%m-%d} to {_last_day(row.end):%m-%d}"
        case _:
            return f"{start:%Y-%m-%d %a}"


def _last_day(end: datetime) -> datetime:
    return end.astimezone(JST) - timedelta(days=1)


def _kwh(value: float | None, what: str) -> str:
    return "-" if value is None else f"{value:.{2 if what == '30m' else 1}f}"


def _percent(share: float) -> str:
    """Never "100%" of what is not whole, nor "0%" of what is not empty."""
    if share >= WHOLE:
        return "100%"
    return f"{min(99, max(1 if share > 0 else 0, round(share * 100)))}%"
