"""What is learnt of a node, and what of that survives a restart or a damaged file."""

from __future__ import annotations

import json

import pytest

from hemsd.appliances.manners import (
    ALONE_MAX,
    DOUBTS,
    LIMIT_S,
    PROPERTIES_MAX,
    RECENT,
    SAMPLES,
    SOFT_FIRST_S,
    SOFT_MIN_S,
    Manners,
)

KEY = 0x028701B3


def learnt() -> Manners:
    manners = Manners.restored({"proven": 6, "ceiling": 6})
    manners.alone.add(KEY)
    for _ in range(40):
        manners.took(0.8)
    return manners


def test_nothing_is_assumed() -> None:
    """One property at first, and five seconds of patience."""
    manners = Manners()
    assert manners.properties_per_request == 1
    assert manners.soft_s == SOFT_FIRST_S


def test_a_restart_does_not_learn_anew() -> None:
    """Through JSON and back: the limit, what is asked alone, and the pace."""
    manners = Manners.restored(json.loads(json.dumps(learnt().plain())))
    assert manners.properties_per_request == 6
    assert manners.alone == {KEY}
    assert manners.soft_s == pytest.approx(2.4)


def test_a_slow_time_is_soon_over() -> None:
    """After eight fast answers in a row a node is fast; one that takes long every other time, or always, is not."""
    manners = learnt()
    for _ in range(40):
        manners.took(15.0)
    assert manners.soft_s == LIMIT_S
    for _ in range(RECENT):
        assert manners.soft_s == LIMIT_S
        manners.took(0.8)
    assert manners.soft_s == pytest.approx(2.4)
    for number in range(200):
        manners.took(15.0 if number % 2 else 0.8)
        assert number < 3 or manners.soft_s == LIMIT_S


def test_where_much_gets_lost_a_late_answer_is_not_waited_for() -> None:
    """One second after a node that answers within half a second; as soon as little gets lost, three times as long."""
    manners = learnt()
    for _ in range(20):
        manners.took(1.5, lost=1)
    assert manners.lossy
    assert manners.lost_share == pytest.approx(1 / 4, abs=0.05)
    assert manners.soft_s == pytest.approx(1.5)
    for _ in range(SAMPLES):
        manners.took(1.5)
    assert not manners.lossy
    assert manners.soft_s == pytest.approx(4.5)


def test_many_lost_in_a_row_are_an_absence() -> None:
    """And say no more of what gets lost than a few."""
    manners = learnt()
    manners.took(0.8, lost=15)
    assert not manners.lossy


def test_one_slow_answer_is_no_habit() -> None:
    """Of many."""
    manners = learnt()
    manners.took(15.0)
    assert manners.soft_s == pytest.approx(2.4)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        "manners",
        {"proven": -1},
        {"proven": PROPERTIES_MAX + 1},
        {"ceiling": 0},
        {"p95_s": 0},
        {"p95_s": float("nan")},
        {"p95_s": "fast"},
        {"alone": ["B3"]},
        {"alone": ["028701B3"] * (ALONE_MAX + 1)},
        {"alone": 5},
    ],
)
def test_damage_gives_defaults(plain: object) -> None:
    """What cannot have been written by us is as if nothing was known."""
    assert Manners.restored(plain).plain() == Manners().plain()


def test_what_contradicts_itself_is_taken_cautiously() -> None:
    """More proven than the limit allows is the limit."""
    assert Manners.restored({"proven": 16, "ceiling": 2}).properties_per_request == 2


def test_unknown_entries_are_left_alone() -> None:
    """A later version may have written more."""
    assert Manners.restored({"proven": 4, "moods": "good"}).properties_per_request == 8


def test_a_limit_takes_several_failures_in_a_row() -> None:
    """One success of that size in between, and they do not count."""
    manners = Manners()
    manners.answered(4)
    for _ in range(DOUBTS - 1):
        manners.fell_short(8, 4)
    manners.answered(8)
    manners.fell_short(8, 4)
    assert manners.properties_per_request == 16
    for _ in range(DOUBTS - 1):
        manners.fell_short(16, 8)
    assert manners.properties_per_request == 16
    manners.fell_short(16, 8)
    assert manners.properties_per_request == 8


def test_a_proven_size_can_be_taken_back() -> None:
    """A node that got smaller (another firmware) is asked less."""
    manners = Manners()
    manners.answered(16)
    for _ in range(DOUBTS):
        manners.fell_short(16, 5)
    assert manners.properties_per_request == 5


def test_patience_has_bounds() -> None:
    """Not below one second, and never beyond the limit."""
    fast, slow = Manners(), Manners()
    for _ in range(40):
        fast.took(0.01)
        slow.took(15.0)
    assert (fast.soft_s, slow.soft_s) == (SOFT_MIN_S, LIMIT_S)


def test_memory_is_bounded() -> None:
    """However many properties fail in company."""
    manners = Manners()
    for key in range(3 * ALONE_MAX):
        for _ in range(DOUBTS):
            manners.only_alone(key)
    for key in range(10_000):
        manners.only_alone(key)
    assert len(manners.alone) <= ALONE_MAX
    assert len(manners.strikes) <= ALONE_MAX


def test_loss_is_no_inability() -> None:
    """Where every other request is lost, a size has to fail as often as does not happen by chance."""
    manners = Manners()
    manners.answered(4)
    for _ in range(20):
        manners.took(0.1, lost=1)
    assert manners.loses and 10 < manners.doubts < 30
    for _ in range(manners.doubts - 1):
        manners.fell_short(8, 4)
    assert manners.ceiling == PROPERTIES_MAX
    manners.fell_short(8, 4)
    assert manners.ceiling == 4


def test_where_nothing_is_lost_any_more_it_is_learnt_fast() -> None:
    """A bad hour is forgotten."""
    manners = Manners()
    for _ in range(50):
        manners.took(0.1, lost=1)
    for _ in range(500):
        manners.took(0.1)
    assert not manners.loses and manners.doubts == DOUBTS
