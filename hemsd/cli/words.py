"""How commands tell times, ages and signals to people."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta, timezone

JST = timezone(timedelta(hours=9))
GOOD_DBM, WEAK_DBM = -80.0, -90.0


def rfc3339(at: datetime) -> str:
    """A moment in Japan's time, to the second, for programs."""
    return at.astimezone(JST).isoformat(timespec="seconds")


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


def coloured() -> bool:
    """Whether a person looks at standard output and has nothing against colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def painted(text: str, colour: int) -> str:
    """The text in one of the terminal's colours (ECMA-48 SGR), where colours are wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured() else text
