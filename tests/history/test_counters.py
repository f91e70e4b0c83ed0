from __future__ import annotations

import pytest
from support.history import at, pieces_of

from hemsd.history.counters import Counter, Piece, Reading, Step
from hemsd.history.tables import total

TENTH = 1_000


def read(*shown: Reading) -> tuple[list[Step], list[int]]:
    """What each reading was, and the total at each."""
    counter = Counter()
    steps = [counter.add(each)[0] for each in shown]
    pieces = pieces_of(shown)
    return steps, [total(pieces, each) for each in shown]


def r(slot: int, raw: int, meter: int = 1, ticks: int = TENTH, digits: int | None = 4) -> Reading:
    return Reading(at(slot), meter, raw, ticks, digits)


def test_a_register_that_counts_is_its_own_total() -> None:
    """From the first reading on, in ticks of 0.0001 kWh."""
    assert read(r(0, 10), r(1, 10), r(2, 25)) == ([Step.COUNTED] * 3, [10_000, 10_000, 25_000])


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        (9_999, 3, Step.WRAPPED),
        (9_001, 999, Step.WRAPPED),
        (9_000, 3, Step.REGRESSED),  # not from its last tenth
        (9_999, 1_000, Step.REGRESSED),  # not to its first
    ],
)
def test_a_register_wraps_from_its_last_tenth_to_its_first(before: int, after: int, step: Step) -> None:
    """Any other fall is one without a reason."""
    steps, totals = read(r(0, before), r(1, after))
    assert steps[1] is step
    assert totals[1] - totals[0] == ((10_000 + after - before) * TENTH if step is Step.WRAPPED else 0)


def test_a_register_without_digits_has_eight() -> None:
    """The most there can be."""
    assert read(r(0, 99_999_999, digits=None), r(1, 0, digits=None))[0][1] is Step.WRAPPED
    assert read(r(0, 9_999, digits=None), r(1, 0, digits=None))[0][1] is Step.REGRESSED


def test_a_fall_holds_the_total_until_the_register_is_back() -> None:
    """One wrong reading costs nothing; the total neither falls nor jumps."""
    steps, totals = read(r(0, 100), r(1, 40), r(2, 41), r(3, 103))
    assert steps == [Step.COUNTED, Step.REGRESSED, Step.HELD, Step.RESUMED]
    assert totals == [100_000, 100_000, 100_000, 103_000]
    assert pieces_of([r(0, 100), r(1, 40)])[-1] == Piece(at(1), 100_000, True, at(0))


def test_another_meter_goes_on_where_the_old_one_ended() -> None:
    """Whatever it shows; what was used between is not known."""
    steps, totals = read(r(0, 100), r(1, 7, meter=2), r(2, 9, meter=2))
    assert steps[1] is Step.REPLACED
    assert totals == [100_000, 100_000, 102_000]


def test_an_exchange_while_the_total_holds() -> None:
    """The new meter goes on from the held total."""
    assert read(r(0, 100), r(1, 40), r(2, 7, meter=2), r(3, 8, meter=2))[1] == [100_000, 100_000, 100_000, 101_000]


def test_a_finer_or_coarser_unit_shows_the_same_energy() -> None:
    """What was used across the change is counted; a coarser unit that shows less does not lower the total."""
    steps, totals = read(r(0, 100), r(1, 1_012, ticks=100), r(2, 101), r(3, 103))
    assert steps == [Step.COUNTED, Step.RESCALED, Step.RESCALED, Step.COUNTED]
    assert totals == [100_000, 101_200, 101_200, 103_200]


@pytest.mark.parametrize("ticks", [10_000, 100])
def test_a_unit_that_cannot_be_right_is_a_register_of_its_own(ticks: int) -> None:
    """The same count in another unit is no energy: the total goes on, the difference does not count."""
    steps, totals = read(r(0, 5_000), r(1, 5_001, ticks=ticks), r(2, 5_003, ticks=ticks))
    assert steps[1] is Step.JUMPED
    assert totals[1] == totals[0]
    assert totals[2] - totals[1] == 2 * ticks
