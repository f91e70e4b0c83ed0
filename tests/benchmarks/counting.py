"""Instructions for one reading and for one day of history: the whole serial path, counted by valgrind."""

from __future__ import annotations

from tests.benchmarks.processes import instructions, python, simulated_module
from tests.benchmarks.report import Row

DEADLINE_S = 120.0


async def reading() -> list[Row]:
    """Instructions to read power and currents."""
    ours, peer = await _each("by_hemsd", "readings", 200), await _each("by_momonga", "readings", 20)
    return [Row(name="reading", unit="instr.", hemsd=ours, peer=peer, goal=1 / 30, goal_is_ratio=True)]


async def history() -> list[Row]:
    """Instructions for a day of history and its 48 registers: read, and with hemsd told to who keeps them."""
    ours, peer = await _each("by_hemsd", "days", 45), await _each("by_momonga", "days", 10)
    return [Row(name="history day", unit="instr.", hemsd=ours, peer=peer, goal=1 / 30, goal_is_ratio=True)]


async def _each(subject: str, work: str, count: int) -> float:
    """Twice as often minus once: what start and end take cancels out.

    The line is not paced: into how many pieces answers are cut is then not left to chance.
    """
    once, twice = [await _total(subject, work, times) for times in (count, 2 * count)]
    return (twice - once) / count


async def _total(subject: str, work: str, count: int) -> int:
    async with simulated_module("--unpaced", "--import-only") as module:
        return await instructions(*python(subject, work, *module.access, count), deadline_s=DEADLINE_S)
