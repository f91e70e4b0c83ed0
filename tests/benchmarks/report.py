"""What was measured, beside its goal, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement. The goal limits hemsd's value, or with `goal_is_ratio` its ratio to the peer's."""

    name: str
    unit: str
    hemsd: float
    peer: float | None = None
    goal: float | None = None
    goal_is_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        """Of hemsd's value to the peer's."""
        return self.hemsd / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        value = self.ratio if self.goal_is_ratio else self.hemsd
        return None if self.goal is None or value is None else value <= self.goal

    def cells(self) -> tuple[str, ...]:
        """The row as text: name, hemsd, peer, ratio, goal, verdict."""
        return (
            self.name,
            f"{_short(self.hemsd)} {self.unit}",
            "-" if self.peer is None else f"{_short(self.peer)} {self.unit}",
            "-" if self.ratio is None else _fraction(self.ratio),
            "-" if self.goal is None else _fraction(self.goal) if self.goal_is_ratio else f"{self.goal} {self.unit}",
            {True: "met", False: "NOT MET", None: "no goal"}[self.met],
        )


HEAD = ("", "hemsd", "peer", "ratio", "goal (at most)", "")


def table(rows: Iterable[Row]) -> str:
    """The rows as lines of text, in columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    name, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = "  ".join([f"{{:{name}}}", *(f"{{:>{width}}}" for width in others)])
    return "\n".join(form.format(*line) for line in lines)


def _short(value: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= 10 * size or (value >= size and size == 1e6):
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _fraction(ratio: float) -> str:
    return f"1/{1 / ratio:.3g}" if 0 < ratio < 1 else f"{ratio:.3g}"
