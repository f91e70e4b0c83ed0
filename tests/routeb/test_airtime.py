"""What we were on the air, estimated; and what that comes to at the fastest pace there is (G14)."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airtime import one_read_a_second, slow_meter
from support.clock import run
from support.routeb import PAN

from drivers.module import Join, Leave, Open, Rejoin, Scan, Send
from hemsd.hub.messages import AIR_ALLOWED_S
from hemsd.routeb.airtime import JOIN_S, SCAN_S, Airtime, datagram_s


@pytest.mark.parametrize(
    ("size", "fragments"), [(1, 1), (185, 1), (186, 2), (360, 2), (361, 3), (1096, 6), (1097, 7), (1232, 7)]
)
def test_fragments(size: int, fragments: int) -> None:
    """A datagram costs its bytes and 82 more for each radio frame, at 100 kbit/s."""
    assert datagram_s(size) == pytest.approx((size + fragments * 82) * 8 / 100_000)


def test_the_last_hour_counts() -> None:
    """Sixty minutes in a ring: what is older is forgotten, what takes no air is not counted."""
    airtime = Airtime()
    for command in (Open(keep_session=True), Leave()):
        airtime.given(command, 0.0)
    assert airtime.last_hour_s(0.0) == 0
    airtime.given(Join(PAN), 30.0)
    airtime.given(Rejoin(), 30.0)
    airtime.given(Scan(6), 90.0)
    airtime.given(Send("", bytes(18)), 90.0)
    late_s = SCAN_S + datagram_s(18)
    assert airtime.last_hour_s(90.0) == pytest.approx(2 * JOIN_S + late_s)
    assert airtime.last_hour_s(3599.0) == pytest.approx(2 * JOIN_S + late_s)
    assert airtime.last_hour_s(3600.0) == pytest.approx(late_s)
    assert airtime.last_hour_s(3660.0) == 0
    for minute in range(200):
        airtime.given(Scan(6), 4000.0 + 60 * minute)
    assert len(airtime._minutes) == 60


def test_one_read_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G14: at most a tenth of the hourly allowance, by our ledger and by the module's own, and no send limit."""
    aired = run(one_read_a_second(tmp_path, monkeypatch))
    assert aired.readings >= 7000
    assert 0.04 * AIR_ALLOWED_S < aired.ledger_s <= 0.1 * AIR_ALLOWED_S
    assert aired.module_s <= 0.1 * AIR_ALLOWED_S
    assert not aired.limited
    assert (aired.radio.repeated, aired.radio.silences, aired.radio.loss) == (0, 0, 0.0)


def test_a_slow_meter_is_not_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G14: answers that take 5 s draw no repetition, from the first one on."""
    radio = run(slow_meter(tmp_path, monkeypatch))
    assert radio.requests > 200
    assert radio.repeated == 0
