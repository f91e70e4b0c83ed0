"""How commands tell times, ages, signals and lists to people."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec import to_builtins

JST = timezone(timedelta(hours=9))
GOOD_DBM, WEAK_DBM = -80.0, -90.0
LISTED = 12  # of many, in a sentence


def rfc3339(at: datetime) -> str:
    """A moment in Japan's time, to the second, for programs."""
    return at.astimezone(JST).isoformat(timespec="seconds")


def plain(message: object) -> Any:
    """A message of the hub for programs, without its type and with Japan's times; None of None."""
    if message is None:
        return None
    fields = to_builtins(message, builtin_types=(datetime,))
    fields.pop("type", None)
    return _in_japan(fields)


def _in_japan(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    return {key: _in_japan(each) for key, each in value.items()} if isinstance(value, dict) else value


def clock(at: datetime, now: datetime) -> str:
    """A moment in Japan's time for people: without the date where it is today's."""
    local = at.astimezone(JST)
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone(JST).date() else f"{local:%Y-%m-%d %H:%M}"


def lasted(seconds: float) -> str:
    """A length of time in its two largest units."""
    left = max(0, round(seconds))
    units: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or units:
            units.append(f"{count} {name}")
        if len(units) == 2:
            break
    return " ".join(units) or "0 s"


def judged(dbm: float) -> str:
    """What a signal of this strength is good for."""
    if dbm >= GOOD_DBM:
        return "good"
    return "weak: expect retries" if dbm >= WEAK_DBM else "very weak: bring the module closer"


def listed(words: Iterable[str]) -> str:
    """Words as they stand in a sentence; what is too many of them is only counted."""
    every = list(words)
    rest = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + rest


def coloured() -> bool:
    """Whether a person looks at standard output and has nothing against colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def painted(text: str, colour: int) -> str:
    """The text in one of the terminal's colours (ECMA-48 SGR), where colours are wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured() else text


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines in which the columns of a table stand below each other, whatever the script."""
    widths = [max(map(_cells, column)) for column in zip(*rows, strict=True)]
    padded = ([text + " " * (width - _cells(text)) for text, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(texts).rstrip() for texts in padded]


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes: kanji and kana take two each (Unicode Annex 11)."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
