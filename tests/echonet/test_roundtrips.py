"""How long a peer takes: the time that 95 of 100 of the last round trips keep to."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from hemsd.echonet.roundtrips import KEPT, RoundTrips

ASSUMED_S = 2.0


spells = st.tuples(st.sampled_from([0.1, 0.5, 1.0, 3.0]) | st.floats(0, 60), st.integers(1, KEPT))


@given(st.lists(spells, max_size=10))
def test_it_is_the_95th_of_100_of_the_last_ones(spells: list[tuple[float, int]]) -> None:
    """Whichever come and go, it is what sorting them would tell."""
    told, last = RoundTrips(ASSUMED_S), deque([ASSUMED_S], KEPT)
    for round_trip_s in [each for each, times in spells for _ in range(times)]:
        told.observe(round_trip_s)
        last.append(round_trip_s)
        assert told.p95_s == sorted(last)[(95 * len(last) - 1) // 100]
