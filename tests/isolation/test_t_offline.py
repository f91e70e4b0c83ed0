"""T-OFFLINE (G.9958: R1, R28): a day without the LAN, and nothing is missing; afterwards the broker has all of it.

Nothing here ever had a WAN: no test of hemsd reaches farther than a host that it made itself.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support import whole
from support.clock import run
from support.mosquitto import Mosquitto, make_pki, observer
from support.routeb import EPOCH
from support.whole import NETWORK, START, Whole, wrong_books

from hemsd.gateway import outbox
from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.standing import Home
from hemsd.history.historian import Historian
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, MeterInterval
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.simulator import Household, SkModule
from hemsd.simulator import Meter as SimulatedMeter

DAY_S = 86_400.0 + 600.0  # and until the last half-hour of it has been told
LIVE_S = 60
BEGIN = EPOCH.replace(minute=0)  # of the first half-hour of that day
HALF_HOURS = 48


def lived_through(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A day with no gateway at all, in virtual time; when the readings came."""
    household = Household(7, pv_kw=4)
    monkeypatch.setattr(whole, "MEMORY_DAYS", 1)  # of days before: enough to see that they come too
    monkeypatch.setattr(whole, "Historian", partial(Historian, backfill_days=1))

    async def main() -> list[float]:
        module = SkModule("DUAL", SimulatedMeter(household, start=START), NETWORK)
        async with Whole(module, state, monkeypatch, live_s=LIVE_S).running() as house:
            await asyncio.sleep(DAY_S)
            end = START + timedelta(seconds=DAY_S)
            records = await house.records()
            assert wrong_books(records, household, end) == []
            kept = [each for each in records if isinstance(each.content, MeterInterval)]
            del kept[len(kept) // 2]
            assert len(wrong_books(kept, household, end)) == 1  # the control: one that is missing is found
            assert await house.gaps() == []
            return list(house.heard.readings)

    return run(main())


async def drained(state: Path, broker: Mosquitto) -> list[dict[str, Any]]:
    """What the broker is told of half-hours when the LAN is back, until there are all of that day."""
    hub, now = Hub(ROUTES_6_4_3), EPOCH + timedelta(seconds=DAY_S)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}", client_id="hemsd")
    home = Home(site="home-1", exposure="aggregates", profile="6.4.3", config_hash="0123456789ab")
    historian = Historian(hub.seat(Domain.HISTORY), state, clock=lambda: now)
    bridge = Bridge(hub.seat(Domain.GATEWAY), config, home, state)
    async with observer(broker.ports.open) as view:
        tasks = [asyncio.create_task(each.run()) for each in (historian, bridge)]
        seen = await view.until(lambda seen: sum(start_of(each) >= BEGIN for each in intervals(seen)) >= HALF_HOURS)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return list({each["start"]: each for each in intervals(seen)}.values())


def start_of(interval: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(interval["start"])


def intervals(seen: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(bytes(each.payload)) for each in seen if str(each.topic).endswith("/interval")]


@pytest.mark.needs("mosquitto")
def test_a_day_without_the_lan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings at their pace, every half-hour right and none missing; then the broker gets all of them, in order."""
    monkeypatch.setattr(outbox, "PER_SECOND", 1_000.0)
    state = tmp_path / "state"
    readings = lived_through(state, monkeypatch)
    assert len(readings) > 0.95 * DAY_S / LIVE_S
    assert max(later - earlier for earlier, later in pairwise(readings)) < 2 * LIVE_S
    directory = tmp_path / "broker"
    directory.mkdir()
    with Mosquitto(directory, make_pki(tmp_path / "pki")) as broker:
        told = asyncio.run(drained(state, broker))
    of_the_day = [start_of(each) for each in told if start_of(each) >= BEGIN]
    assert {later - earlier for earlier, later in pairwise(of_the_day)} == {timedelta(minutes=30)}
    assert all(each["replay"] for each in told)
