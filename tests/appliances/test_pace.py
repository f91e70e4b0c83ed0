"""What interval a node has room for, by how long its reads take and how much of them gets lost."""

from __future__ import annotations

import pytest

from hemsd.appliances.manners import Manners
from hemsd.appliances.pace import BUSY, STEP, Pace
from hemsd.echonet.classes.device import Tempo

LIVE_S = Tempo.LIVE.value


def pace(read_s: float, *, lost: int = 0, times: int = 64) -> Pace:
    """Of a node each of whose reads takes so long; each answer takes half a second, and `lost` requests before it."""
    manners = Manners()
    found = Pace(manners)
    for _ in range(times):
        manners.took(0.5, lost=lost)
        found.took(read_s)
    return found


def objects(count: int, every_s: float = LIVE_S) -> object:
    """So many reads are wanted every so often."""
    return lambda interval_s, read_s: count / (max(every_s, interval_s) + read_s)


def settled(found: Pace, count: int) -> float:
    found.settle(objects(count))  # type: ignore[arg-type]
    return found.interval_s


def test_a_node_that_can_keep_up_is_read_at_its_tempo() -> None:
    """A dozen objects that answer at once, or one that takes ten seconds."""
    assert settled(pace(0.5), 12) == LIVE_S
    assert settled(pace(10.0), 1) == LIVE_S


@pytest.mark.parametrize("count", [40, 100, 1000])
def test_what_is_too_much_for_a_line_stretches(count: int) -> None:
    """By no more than it takes to leave some of its time free."""
    interval_s = settled(pace(0.5), count)
    busy = count * 0.5 / (interval_s + 0.5)
    assert BUSY / STEP**2 < busy <= BUSY


def test_loss_stretches_what_takes_long() -> None:
    """The same reads in the same time: where two of three requests get lost a value may have to wait for longer."""
    assert settled(pace(3.0), 2) == LIVE_S
    assert settled(pace(3.0, lost=2), 2) > LIVE_S


def test_it_stretches_without_end_no_further_than_an_hour_and_a_half() -> None:
    """Whatever is wanted."""
    assert 3600 < settled(pace(20.0), 10**6) < 5400


def test_a_node_that_became_fast_is_read_as_often_as_before() -> None:
    """And one that nearly fits does not go to and fro."""
    found = pace(2.0)
    stretched = settled(found, 20)
    for _ in range(8):
        assert settled(found, 20) == stretched
    for _ in range(200):
        found.took(0.2)
    assert settled(found, 20) == LIVE_S
