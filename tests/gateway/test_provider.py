"""The provider link: half-hours and nothing else, spread in time, to a broker beside that of the house."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import mean
from typing import Any

import aiomqtt
import msgspec
import pytest
from support.cutter import cutter
from support.gateway import AT, INTERVAL, METER, ROOT, SITE, House, bridging, event, half_hour
from support.hub import heard
from support.mosquitto import Mosquitto, Observer, Pki, observer, wire

from hemsd.gateway import connection, forward, outbox, provider
from hemsd.gateway.config import BrokerConfig, ProviderConfig
from hemsd.gateway.exposure import PROVIDER, PROVIDER_HEALTH, TOPICS, provider_topics
from hemsd.gateway.provider import ProviderLink, turn_s, wait_s
from hemsd.gateway.reconnecting import Backoff
from hemsd.gateway.signature import judge, signer
from hemsd.gateway.standing import Home
from hemsd.hub.messages import Domain, Event, Health

HALF_HOURS = 48
TURN = timedelta(seconds=turn_s(SITE))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes takes tenths of a second."""
    monkeypatch.setattr(provider, "BACKOFF", Backoff(first_s=0.02, cap_s=0.1, jitter=0.5))
    monkeypatch.setattr(outbox, "REFUSED_FOR_S", 0.2)
    monkeypatch.setattr(forward, "SAVE_EVERY_S", 0.01)


@pytest.fixture
def ours(broker: Mosquitto) -> Mosquitto:
    """The broker of the house."""
    return broker


@pytest.fixture
def theirs(tmp_path: Path, pki: Pki) -> Iterator[Mosquitto]:
    """The provider's broker."""
    (tmp_path / "theirs").mkdir()
    with Mosquitto(tmp_path / "theirs", pki) as started:
        yield started


def plain(port: int, **settings: Any) -> ProviderConfig:
    """On the loopback interface, as fast as may be."""
    told = {"url": f"mqtt://127.0.0.1:{port}", "keepalive_s": 5, "replay_per_minute": 3000, **settings}
    return ProviderConfig(**told)


@asynccontextmanager
async def linked(
    house: House,
    config: ProviderConfig,
    state: Path,
    *,
    after: timedelta = TURN,
    chance: float = 0.0,
    history: bool = True,
    **home: Any,
) -> AsyncIterator[None]:
    """The link, so long after the end of a half-hour: by default at this site's turn; and the history, if wanted."""
    seat = house.hub.seat(Domain.GATEWAY)
    told = {"site": SITE, "exposure": house.level, "profile": "6.4.3", "config_hash": "0123456789ab", **home}
    told |= {"declared": ("R33",)}
    times: dict[str, Any] = {"clock": house.clock, "wall": lambda: AT + after, "chance": lambda: chance}
    link = ProviderLink(seat, config, Home(**told), state, **times)
    tasks = [asyncio.create_task(each) for each in (link.run(), *([house.history.run()] if history else []))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        seat.close()


def intervals(seen: list[aiomqtt.Message]) -> list[dict[str, Any]]:
    return [json.loads(bytes(each.payload)) for each in seen if str(each.topic) == INTERVAL]  # type: ignore[arg-type]


def firsts(seen: list[aiomqtt.Message]) -> list[int]:
    """The numbers of the half-hours in the order in which each came first."""
    return list(dict.fromkeys(int(each["energy_import_kwh"]) for each in intervals(seen)))


@pytest.mark.needs("mosquitto")
async def test_only_half_hours_reach_a_provider(ours: Mosquitto, theirs: Mosquitto, tmp_path: Path) -> None:
    """While the broker of the house is told everything, at the highest exposure; QoS 1, and besides who we are."""
    house = House("control")
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{ours.ports.open}")
    async with (
        observer(ours.ports.open) as home,
        observer(theirs.ports.open) as view,
        linked(house, plain(theirs.ports.open), tmp_path, history=False),
        bridging(house, config, tmp_path),
    ):
        house.history.keep(half_hour(0), event("something"))
        house.read(power_w=1)
        house.status()
        house.history.keep(half_hour(1))
        everything = {INTERVAL, f"{ROOT}/availability", f"{ROOT}/meter/{METER}/live", f"{ROOT}/bridge/event"}
        await home.until(lambda seen: {str(each.topic) for each in seen} >= everything)
        seen = await view.until(lambda seen: firsts(seen) == [0, 1] and len(seen) >= 3)
    assert {str(each.topic) for each in seen} == {f"{ROOT}/{topic.replace('+', METER)}" for topic in PROVIDER}
    assert {each.qos for each in seen} == {1}
    [info] = [json.loads(bytes(each.payload)) for each in seen if str(each.topic).endswith("info")]  # type: ignore[arg-type]
    assert (info["topics"], info["requests"], info["operations"]) == (list(PROVIDER), [], [])
    assert (info["exposure"], info["config_hash"]) == ("aggregates", None)
    assert (info["profile"], info["declared"]) == ("6.4.3", ["R33"])


@pytest.mark.needs("mosquitto")
async def test_health_where_it_is_wanted(theirs: Mosquitto, tmp_path: Path) -> None:
    """Retained, with a last will; of the meter, and of no other part of the house."""
    house = House()
    control = house.hub.seat(Domain.CONTROL)
    async with observer(theirs.ports.open) as view:
        async with linked(house, plain(theirs.ports.open, health=True), tmp_path):
            control.publish(Health(at=AT, source=Domain.CONTROL, ok=False, detail="the bedroom is cold"))
            house.status()
            await view.until(lambda seen: any(str(each.topic).endswith("health") for each in seen))
        seen = await view.until(lambda seen: seen[-1].payload == b"offline")
    told = {str(each.topic).removeprefix(f"{ROOT}/") for each in seen}
    assert told == {"availability", "bridge/info", "bridge/health"}
    assert told <= set(provider_topics(health=True)) == {*PROVIDER, *PROVIDER_HEALTH} <= set(TOPICS)
    assert not any(b"bedroom" in bytes(each.payload) for each in seen)  # type: ignore[arg-type]


@pytest.mark.needs("mosquitto")
async def test_it_hears_nothing(theirs: Mosquitto, tmp_path: Path) -> None:
    """A provider that gives orders all the same, retained ones too, moves nothing in the house."""
    house = House("control")
    async with aiomqtt.Client("127.0.0.1", theirs.ports.open) as client:
        for topic in ("request/get", "request/set", "request/dr-event", "appliance/0130-1/set"):
            await client.publish(f"{ROOT}/{topic}", b'{"target": "x", "on": true}', qos=1, retain=True)
        async with observer(theirs.ports.open) as view, linked(house, plain(theirs.ports.open), tmp_path):
            house.interval(0)
            await view.until(lambda seen: firsts(seen) == [0])
            for topic in ("request/set", "appliance/0130-1/set"):
                await client.publish(f"{ROOT}/{topic}", b'{"target": "x", "values": {"on": true}}', qos=1)
            house.interval(1)
            seen = await view.until(lambda seen: firsts(seen) == [0, 1])
    assert not any("/response/" in str(each.topic) for each in seen)
    kinds = {type(each).__name__ for each in await heard(house.hub.seat(Domain.CONTROL))}
    assert not kinds & {"UserRequest", "ProviderEvent"}


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("seed", "version"), [(1, "5"), (2, "3.1.1")])
async def test_a_link_cut_at_any_byte(
    theirs: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, version: str
) -> None:
    """Twenty connections end in the middle of something, hemsd once: nothing lost, in order, one key each."""
    for module, name, seconds in (
        (outbox, "ANSWER_WITHIN_S", 0.2),
        (connection, "ANSWER_WITHIN_S", 0.2),
        (connection, "FAREWELL_S", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)
    house, after = House(), House()
    house.history.keep(*(half_hour(number) for number in range(HALF_HOURS)))
    numbers = count(HALF_HOURS)
    async with (
        observer(theirs.ports.open) as view,
        cutter(theirs.ports.open, seed, cuts=20, most=(6_000, 100)) as line,
        asyncio.timeout(20),
    ):
        for each, cuts in ((house, 10), (after, 0)):
            if each is after:
                after.history.keep(*(record.content for record in house.history.records))
            async with linked(each, plain(line.port, replay_per_minute=60_000, version=version), tmp_path):
                while line.left > cuts:
                    each.history.keep(half_hour(next(numbers)), event("something"))
                    await asyncio.sleep(0.01)
                if each is after:
                    each.history.keep(half_hour(last := next(numbers)))
                    seen = await view.until(lambda seen: last in firsts(seen))
    assert line.cut >= 15
    assert firsts(seen) == list(range(last + 1))
    assert len({(each["site"], each["meter"], each["end"]) for each in intervals(seen)}) == last + 1
    assert all(each["replay"] for each in intervals(seen)[: HALF_HOURS - 1])


@pytest.mark.needs("mosquitto")
async def test_each_broker_has_a_cursor_of_its_own(ours: Mosquitto, theirs: Mosquitto, tmp_path: Path) -> None:
    """The provider's being away costs neither it nor the house anything; the house is told, until that is over."""
    house = House()
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{ours.ports.open}")
    async with (
        observer(ours.ports.open) as home,
        observer(theirs.ports.open) as view,
        wire(theirs.ports.open) as line,
    ):
        await line.cut()
        link = linked(house, plain(line.port), tmp_path, history=False)
        async with link, bridging(house, config, tmp_path):
            for number in range(5):
                house.interval(number)
            await home.until(lambda seen: firsts(seen) == list(range(5)))
            alert = f"{ROOT}/alert/provider"
            assert "nothing answers" in (await home.payloads(alert, 1))[0]
            assert not intervals(view.seen)
            await line.join()
            await view.until(lambda seen: firsts(seen) == list(range(5)))
            assert (await home.payloads(alert, 2))[1] == ""
    assert len(list(tmp_path.glob("gateway/cursor-*.json"))) == 2


@pytest.mark.needs("mosquitto")
async def test_what_is_new_waits_for_the_turn(theirs: Mosquitto, tmp_path: Path) -> None:
    """Learnt a quarter of a second before it, sent when it has come; and not as a replay."""
    house = House()
    loop = asyncio.get_running_loop()
    before = TURN - timedelta(seconds=0.25)
    async with observer(theirs.ports.open) as view, linked(house, plain(theirs.ports.open), tmp_path, after=before):
        await view.until(lambda seen: seen)
        await asyncio.sleep(0.3)  # the first word of history has had its turn
        learnt = loop.time()
        house.interval(0)
        seen = await view.until(lambda seen: firsts(seen) == [0])
        assert loop.time() - learnt >= 0.25
    assert intervals(seen)[0]["replay"] is False


def test_turns_are_spread_evenly() -> None:
    """Of ten thousand homes in each of 300 seconds about as many; always the same one for a site."""
    turns = [turn_s(f"home-{number}") for number in range(10_000)]
    assert all(0 <= turn < 300 for turn in turns)
    assert mean(turns) == pytest.approx(150, abs=5)
    busiest = max(sum(int(turn) == second for turn in turns) for second in range(300))
    assert busiest < 3 * 10_000 / 300
    assert turn_s(SITE) == turn_s(SITE)


def test_how_long_the_turn_is_waited_for() -> None:
    """Until its moment after the end of a half-hour; not at all behind it."""
    end = AT.replace(minute=30)
    assert wait_s(SITE, end) == pytest.approx(turn_s(SITE))
    assert wait_s(SITE, end + TURN / 2) == pytest.approx(turn_s(SITE) / 2)
    assert wait_s(SITE, end + TURN) == pytest.approx(0, abs=1e-3)
    assert wait_s(SITE, end + timedelta(minutes=29)) == 0


def test_after_a_power_cut_homes_do_not_come_at_once() -> None:
    """Attempts of a failed home come at any time within what the back-off says, and ever less often."""
    backoff = Backoff(first_s=300.0, cap_s=1800.0, jitter=1.0)
    assert [backoff.pause_s(failures, 1.0) for failures in range(5)] == [300, 600, 1200, 1800, 1800]
    assert [backoff.pause_s(3, chance) for chance in (0.0, 0.25)] == [0, 450]
    assert backoff.pause_s(10_000, 1.0) == 1800


@pytest.mark.needs("mosquitto")
async def test_the_first_connection_is_left_to_chance(theirs: Mosquitto, tmp_path: Path) -> None:
    """A home that has just started waits for up to five minutes: nothing connects before."""
    house = House()
    async with wire(theirs.ports.open) as line:
        async with linked(house, plain(line.port), tmp_path, chance=0.5):
            await asyncio.sleep(0.3)
        assert line.connections == 0


@pytest.mark.needs("mosquitto")
async def test_a_replay_is_slow_and_events_cost_it_no_time(theirs: Mosquitto, tmp_path: Path) -> None:
    """At 600 a minute four half-hours take 0.3 s, however many events lie between them."""
    house = House()
    for number in range(4):
        house.history.keep(half_hour(number), *(event(str(each)) for each in range(30)))
    loop = asyncio.get_running_loop()
    slow = plain(theirs.ports.open, replay_per_minute=600)
    async with observer(theirs.ports.open) as view, linked(house, slow, tmp_path):
        await view.until(lambda seen: firsts(seen))
        began = loop.time()
        seen = await view.until(lambda seen: firsts(seen) == list(range(4)))
        assert 0.25 < loop.time() - began < 3
    assert all(each["replay"] for each in intervals(seen))


@pytest.mark.needs("mosquitto")
async def test_records_are_signed_and_the_key_is_told(theirs: Mosquitto, tmp_path: Path) -> None:
    """What a provider needs to check them is retained at its own broker."""
    house, key = House(), signer(tmp_path / "gateway" / "key.pem")
    async with observer(theirs.ports.open) as view, linked(house, plain(theirs.ports.open), tmp_path, signer=key):
        house.interval(0)
        await view.until(lambda seen: firsts(seen) == [0])
        async with observer(theirs.ports.open) as late:
            [message] = await late.until(lambda seen: seen)
    assert str(message.topic) == f"{ROOT}/bridge/info"
    [record] = intervals(view.seen)
    assert judge(record, json.loads(bytes(message.payload))["signing_key"]) == "good"  # type: ignore[arg-type]


RIGHTS = """
user hemsd
topic write hemsd/v1/{site}/{what}
user viewer
topic read #
"""


@pytest.mark.needs("mosquitto")
async def test_over_tls_and_refused(theirs: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """With a client certificate; a topic that is denied is told once, and what it holds up arrives when it is not."""
    files = {"ca_file": "ca.crt", "cert_file": "hemsd.crt", "key_file": "hemsd.key"}
    paths: dict[str, Any] = {name: str(pki.directory / file) for name, file in files.items()}
    config = plain(theirs.ports.tls, **paths, url=f"mqtts://localhost:{theirs.ports.tls}")
    house = House()
    async with observer(theirs.ports.tls, pki) as view:
        theirs.allow(RIGHTS.format(site=SITE, what="bridge/info"))
        async with linked(house, config, tmp_path):
            await refused_then_allowed(theirs, house, view)


async def refused_then_allowed(theirs: Mosquitto, house: House, view: Observer) -> None:
    house.history.keep(half_hour(0), half_hour(1))
    events: list[Event] = []
    async with asyncio.timeout(10):
        while not events:
            events += [each for each in await heard(house.operator) if isinstance(each, Event)]
            await asyncio.sleep(0.01)
    assert {each.kind for each in events} == {"gateway.refused"}
    assert "the provider's broker localhost refused" in events[0].text
    theirs.allow(RIGHTS.format(site=SITE, what="#"))
    await view.until(lambda seen: firsts(seen) == [0, 1])


async def test_the_house_hears_how_the_link_is_doing(tmp_path: Path) -> None:
    """As a part of its own, so that it hides nothing of the bridge's."""
    house = House()
    healths: list[Health] = []
    async with linked(house, plain(1), tmp_path), asyncio.timeout(10):
        house.interval(0)
        while not any(each.counters for each in healths):
            healths += [each for each in await heard(house.operator) if isinstance(each, Health)]
            await asyncio.sleep(0.01)
    last = healths[-1]
    assert (last.source, last.part, last.name, last.ok) == (Domain.GATEWAY, "provider", "provider", False)
    assert last.counters == {"behind": 1}
    assert "nothing answers at 127.0.0.1:1" in last.detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "mqtt://ingest.example.net"}, "sends everything in clear"),
        ({"url": "mqtts://b", "plain": True}, "unknown field `plain`"),
        ({"url": "mqtts://b", "exposure": "control"}, "unknown field `exposure`"),
        ({"url": "mqtts://b", "replay_per_minute": 0}, "Expected `int` >= 1"),
        ({"url": "mqtt://127.0.0.1", "server_name": "b"}, "are for TLS"),
    ],
)
def test_what_a_provider_cannot_be(change: dict[str, Any], words: str) -> None:
    """Never in clear over a network, never with more than half-hours and health."""
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(change, ProviderConfig)
