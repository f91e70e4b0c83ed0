"""Records of history against a real broker that dies, freezes, forgets, refuses, and is cut off at any byte."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Literal

import aiomqtt
import pytest
from support.cutter import cutter
from support.gateway import AT, INTERVAL, LIVE, METER, ROOT, SITE, Archive, House, bridging, event, half_hour
from support.hub import heard
from support.mosquitto import Mosquitto, Observer, Pki, observer, wire

from hemsd.gateway import bridge, connection, forward, outbox
from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.reconnecting import Backoff
from hemsd.gateway.standing import Home
from hemsd.history.historian import Historian
from hemsd.hub.hub import Hub
from hemsd.hub.messages import BackfillProgress, Domain, Event, MeterDay
from hemsd.hub.routes import ROUTES_6_4_3

pytestmark = pytest.mark.needs("mosquitto")

EVENT = f"{ROOT}/bridge/event"
DAY = 48
SEEDS = [Random().randrange(1 << 32) for _ in range(20)] if os.environ.get("HEMSD_SOAK") else [1, 2]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes takes tenths of a second."""
    monkeypatch.setattr(bridge, "BACKOFF", Backoff(first_s=0.02, cap_s=0.1, jitter=0.5))
    monkeypatch.setattr(outbox, "PER_SECOND", 1_000.0)
    monkeypatch.setattr(outbox, "REFUSED_FOR_S", 0.2)
    monkeypatch.setattr(forward, "SAVE_EVERY_S", 0.01)


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """With brokers that do not answer."""
    monkeypatch.setattr(outbox, "ANSWER_WITHIN_S", seconds)
    monkeypatch.setattr(connection, "ANSWER_WITHIN_S", seconds)
    monkeypatch.setattr(connection, "FAREWELL_S", 0.05)


def plain(port: int, **settings: Any) -> BrokerConfig:
    return BrokerConfig(url=f"mqtt://127.0.0.1:{port}", client_id="hemsd", keepalive_s=5, **settings)


def told(seen: list[aiomqtt.Message], topic: str = INTERVAL) -> list[dict[str, Any]]:
    """The payloads on a topic, in the order they came."""
    return [json.loads(bytes(message.payload)) for message in seen if str(message.topic) == topic]  # type: ignore[arg-type]


def firsts(payloads: list[dict[str, Any]]) -> list[int]:
    """The numbers of the half-hours in the order in which each came first."""
    return list(dict.fromkeys(int(payload["energy_import_kwh"]) for payload in payloads))


def all_there(numbers: int) -> Callable[[list[aiomqtt.Message]], bool]:
    return lambda seen: len({each["start"] for each in told(seen)}) == numbers


async def eventually(there: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.01)


def cursor(state: Path) -> int:
    """The one on the disk."""
    [path] = state.glob("gateway/cursor-*.json")
    return int(json.loads(path.read_bytes())["seq"])


@pytest.mark.parametrize(("seed", "version"), list(zip(SEEDS, cycle(["5", "3.1.1"]), strict=False)))
async def test_a_connection_cut_at_any_byte(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Literal["5", "3.1.1"], seed: int
) -> None:
    """Thirty connections end in the middle of something: everything arrives, in order, once by its key."""
    patience(monkeypatch, 0.2)
    house = House()
    house.history.keep(*(half_hour(number) for number in range(DAY)))
    number = DAY
    async with (
        observer(broker.ports.open) as view,
        cutter(broker.ports.open, seed, cuts=30, most=(6_000, 150)) as line,
        bridging(house, plain(line.port, version=version), tmp_path),
        asyncio.timeout(20),
    ):
        while line.left:
            house.history.keep(half_hour(number), event(str(number)))
            number += 1
            await asyncio.sleep(0.01)
        house.history.keep(half_hour(number))
        seen = await view.until(all_there(number + 1))
        assert line.cut >= 25
    intervals = told(seen)
    assert firsts(intervals) == list(range(number + 1))
    assert len({(each["site"], each["meter"], each["start"]) for each in intervals}) == number + 1
    assert {each["text"] for each in told(seen, EVENT)} == {str(each) for each in range(DAY, number)}
    assert len({each["id"] for each in told(seen, EVENT)}) == number - DAY


async def test_a_day_without_broker(broker: Mosquitto, tmp_path: Path) -> None:
    """All of it comes afterwards, marked and in order, through a restart of hemsd; of live values only the last."""
    house, house_after = House(), House()
    async with observer(broker.ports.open) as view, wire(broker.ports.open) as line:
        async with bridging(house, plain(line.port), tmp_path):
            await view.payloads(f"{ROOT}/availability", 1)
            house.interval(0)
            await view.payloads(INTERVAL, 1)
            await line.cut()
            for number in range(1, DAY // 2):
                house.interval(number)
                house.read(power_w=number)
        house_after.history.keep(*(record.content for record in house.history.records))
        async with bridging(house_after, plain(line.port), tmp_path):
            for number in range(DAY // 2, DAY):
                house_after.interval(number)
                house_after.read(power_w=number)
            await line.join()
            seen = await view.until(all_there(DAY))
            await view.payloads(LIVE, 1)
            house_after.interval(DAY)
            await view.until(all_there(DAY + 1))
    assert firsts(told(seen)) == list(range(DAY + 1))
    assert [each["replay"] for each in told(seen)] == [False, *[True] * DAY, False]
    assert [each["power_w"] for each in told(seen, LIVE)] == [DAY - 1]


@asynccontextmanager
async def consuming(port: int) -> AsyncIterator[Observer]:
    """A consumer that is known to the broker while it is away."""
    async with observer(port, session="consumer") as view:
        yield view


@pytest.mark.parametrize("both", [False, True])
async def test_a_broker_that_forgets_what_it_acknowledged(tmp_path: Path, pki: Pki, both: bool) -> None:
    """Killed before it wrote to its disk, and we perhaps with it, it gets again what it had: nobody misses any."""
    house, after = House(), House()
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker", pki, persistent=True) as broker:
        async with consuming(broker.ports.open) as view:
            await view.payloads("$SYS/never", 0)
        broker.save()
        async with AsyncExitStack() as running:
            await running.enter_async_context(bridging(house, plain(broker.ports.open), tmp_path))
            async with observer(broker.ports.open) as other:
                for number in range(6):
                    house.interval(number)
                await other.until(lambda seen: 5 in firsts(told(seen)))
            await asyncio.sleep(0.05)  # for its acknowledgement, and what would be made of it
            if both:
                await running.aclose()
                after.history.keep(*(record.content for record in house.history.records))
                await running.enter_async_context(bridging(after, plain(broker.ports.open), tmp_path))
            broker.stop()
            broker.start()
            async with consuming(broker.ports.open) as view:
                seen = await view.until(all_there(6))
    assert firsts(told(seen)) == list(range(6))
    assert all(each["replay"] for each in told(seen))


async def test_a_broker_killed_again_and_again_comes_back_empty(broker: Mosquitto, tmp_path: Path) -> None:
    """In the middle of a replay: whoever listens then hears the rest of it, and everybody together hears all."""
    house = House()
    house.history.keep(*(half_hour(number) for number in range(200)))
    numbers: set[int] = set()
    async with wire(broker.ports.open) as line, bridging(house, plain(line.port), tmp_path):
        for killed in range(4):
            await line.cut()
            house.interval(200 + killed)
            async with observer(broker.ports.open) as view:
                await line.join()  # not before somebody listens: what nobody heard, nobody has
                if killed == 3:
                    await view.until(lambda seen: numbers | set(firsts(told(seen))) >= set(range(204)))
                else:
                    await view.until(lambda seen: len(seen) >= 60)
                if killed < 3:
                    broker.stop()
                    with suppress(aiomqtt.MqttError):
                        await view.until(lambda _: False)  # what was on its way
                numbers.update(firsts(told(view.seen)))
            if killed < 3:
                broker.start()
    assert numbers == set(range(204))


async def test_a_frozen_broker(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing, in the middle of a replay: that goes on when it does."""
    patience(monkeypatch, 0.3)
    house = House()
    house.history.keep(*(half_hour(number) for number in range(300)))
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open), tmp_path):
        await view.until(lambda seen: len(told(seen)) >= 30)
        broker.freeze()
        house.interval(300)
        await asyncio.sleep(1)
        broker.thaw()
        seen = await view.until(all_there(301))
    assert firsts(told(seen)) == list(range(301))


async def test_a_broker_that_never_acknowledges(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor stays where it is, so that the next one, or a restart of hemsd, begins with the same."""
    patience(monkeypatch, 0.3)
    house, house_after = House(), House()
    async with wire(broker.ports.open) as line:
        async with observer(broker.ports.open) as view, bridging(house, plain(line.port), tmp_path):
            await view.payloads(f"{ROOT}/availability", 1)
            line.deaf = True
            house.interval(0)
            await eventually(lambda: line.connections >= 3)
        assert cursor(tmp_path) == 0
        line.deaf = False
        house_after.history.keep(half_hour(0))
        async with observer(broker.ports.open) as view, bridging(house_after, plain(line.port), tmp_path):
            [payload] = told(await view.until(all_there(1)))
    assert payload["replay"] is True


RIGHTS = """
user hemsd
topic write hemsd/+/+/availability
topic write hemsd/+/+/bridge/info
topic write hemsd/+/+/bridge/health
topic write hemsd/v1/{site}/meter/+/{what}
user viewer
topic read #
"""


async def test_a_topic_that_the_broker_denies(broker: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """MQTT 5 says so: it is told once, what it denies waits if it is a half-hour, and arrives when it is allowed."""
    files = {"ca_file": "ca.crt", "cert_file": "hemsd.crt", "key_file": "hemsd.key"}
    config = BrokerConfig(
        url=f"mqtts://localhost:{broker.ports.tls}",
        **{name: str(pki.directory / file) for name, file in files.items()},  # type: ignore[arg-type]
    )
    broker.allow(RIGHTS.format(site=SITE, what="nothing"))
    house = House()
    async with observer(broker.ports.tls, pki) as view, bridging(house, config, tmp_path):
        house.history.keep(event("forbidden"), half_hour(0), half_hour(1))
        events: list[Event] = []

        async def listen() -> None:
            while len(events) < 2:
                events.extend(each for each in await heard(house.operator) if isinstance(each, Event))
                await asyncio.sleep(0.01)

        async with asyncio.timeout(10):
            await listen()
        assert {(each.kind, each.text.split()[4]) for each in events} == {
            ("gateway.refused", f"{EVENT}:"),
            ("gateway.refused", f"{INTERVAL}:"),
        }
        await asyncio.sleep(0.5)  # it is tried again, and not told again
        assert not [each for each in await heard(house.operator) if isinstance(each, Event)]
        broker.allow(RIGHTS.format(site=SITE, what="interval"))
        seen = await view.until(all_there(2))
    assert firsts(told(seen)) == [0, 1]


@pytest.mark.parametrize(("days", "first"), [(0, 3 * DAY), (1, 2 * DAY), (99, 0)])
async def test_what_a_new_broker_gets(broker: Mosquitto, tmp_path: Path, days: int, first: int) -> None:
    """What is of the last days, and everything from now on, also what came before it was there for the first time."""
    house = House()
    house.history.keep(*(half_hour(number) for number in range(3 * DAY)))
    async with observer(broker.ports.open) as view, wire(broker.ports.open) as line:
        await line.cut()
        async with bridging(house, plain(line.port, replay_days=days), tmp_path):
            await eventually(lambda: list(tmp_path.glob("gateway/cursor-*.json")))
            house.interval(3 * DAY)
        after = House()
        after.history.keep(*(record.content for record in house.history.records))
        await line.join()
        async with bridging(after, plain(line.port, replay_days=days), tmp_path):
            seen = await view.until(lambda seen: 3 * DAY in firsts(told(seen)))
    assert firsts(told(seen)) == list(range(first, 3 * DAY + 1))


def _another(history: Archive) -> None:
    history.name = "second"


def _older(history: Archive) -> None:
    del history.records[30:]


@pytest.mark.parametrize("change", [_another, _older])
@pytest.mark.parametrize("running", [True, False])
async def test_another_history_begins_anew_and_says_so(
    broker: Mosquitto, tmp_path: Path, change: Callable[[Archive], None], running: bool
) -> None:
    """Whether the database was replaced while hemsd ran or before: the last days are sent, and from then on all."""
    house, after = House(), House()
    house.history.keep(*(half_hour(number) for number in range(200)))
    async with observer(broker.ports.open) as view:
        async with bridging(house, plain(broker.ports.open), tmp_path):
            await view.until(all_there(200))
            await eventually(lambda: cursor(tmp_path) >= 100)
            view.seen.clear()
            if running:
                after = house
                change(house.history)
                house.history.tell()
                house.interval(500)
                seen = await view.until(lambda seen: 500 in firsts(told(seen)))
        if not running:
            after.history.keep(*(record.content for record in house.history.records))
            change(after.history)
            async with bridging(after, plain(broker.ports.open), tmp_path):
                await view.until(lambda seen: 0 in firsts(told(seen)))
                after.interval(500)
                seen = await view.until(lambda seen: 500 in firsts(told(seen)))
    kinds = [each.kind for each in await heard(after.operator) if isinstance(each, Event)]
    assert kinds == ["gateway.replay"]
    there = [int(each.content.energy_import_kwh or 0) for each in after.history.records]  # type: ignore[union-attr]
    assert set(there) <= set(firsts(told(seen)))
    assert json.loads(next(tmp_path.glob("gateway/cursor-*.json")).read_bytes())["history"] == after.history.name


async def test_live_values_wait_for_no_replay(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long one, at its real pace, only little is over when the live value of now is there."""
    monkeypatch.setattr(outbox, "PER_SECOND", 50.0)
    house = House()
    house.history.keep(*(half_hour(number) for number in range(500)))
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open), tmp_path):
        await view.payloads(INTERVAL, 5)
        house.read(power_w=42)
        await view.payloads(LIVE, 1)
        assert len(told(view.seen)) < 100


async def test_a_history_that_does_not_answer_is_asked_again(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk was in trouble; when it is not any more, everything arrives."""
    monkeypatch.setattr(forward, "ASK_AGAIN_S", 0.1)
    house = House()
    house.history.silent = True
    house.history.keep(half_hour(0))
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open), tmp_path):
        await eventually(lambda: len(house.history.asked) >= 2)
        house.history.silent = False
        await view.until(all_there(1))


@pytest.fixture
def hub() -> Iterator[Hub]:
    yield Hub(ROUTES_6_4_3)


async def test_what_the_meter_remembers_reaches_the_broker(broker: Mosquitto, tmp_path: Path, hub: Hub) -> None:
    """With the real history: a day out of the meter's memory, and one half-hour of it that is known better."""
    meter = hub.seat(Domain.ROUTEB)
    historian = Historian(hub.seat(Domain.HISTORY), tmp_path)
    home = Home(site=SITE, exposure="aggregates", profile="6.4.3", config_hash="0123456789ab")
    forwarding = Bridge(hub.seat(Domain.GATEWAY), plain(broker.ports.open), home, tmp_path)
    tasks = [asyncio.create_task(each.run()) for each in (historian, forwarding)]
    async with observer(broker.ports.open) as view:
        await view.payloads(f"{ROOT}/availability", 1)
        begin = AT.replace(hour=15, minute=0)  # midnight in Japan
        scale: dict[str, Any] = {"count_kwh": 1, "digits": 6}
        meter.publish(MeterDay(meter=METER, first_at=begin, import_counts=tuple(range(DAY)), **scale))
        meter.publish(BackfillProgress(request="r", meter=METER, day=AT.date(), done=1, total=1, last=True))
        await view.until(all_there(DAY))
        meter.publish(half_hour(3, end=begin + timedelta(hours=1), import_count=3, **scale))
        seen = await view.until(lambda seen: any(each["source"] == "notified" for each in told(seen)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    intervals = told(seen)
    assert firsts(intervals) == list(range(DAY))
    assert all(each["replay"] and each["source"] == "backfill" for each in intervals[:DAY])
    assert [each["seq"] for each in intervals] == sorted({each["seq"] for each in intervals})
    assert intervals[-1]["start"] == intervals[2]["start"]
    assert {each["wraps_at_kwh"] for each in intervals} == {1_000_000.0}
