"""The bridge against a real broker: what it says, and that it comes back from everything that happens to one."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from support.gateway import AT, AVAILABILITY, HEALTH, INFO, INTERVAL, LIVE, METER_AVAILABILITY, House, bridging
from support.hub import heard
from support.mosquitto import Mosquitto, Observer, Pki, observer, wire

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import Connection
from hemsd.gateway.meters import SILENT_AFTER_S
from hemsd.gateway.standing import REPEAT_S
from hemsd.gateway.topics import Publication
from hemsd.hub.messages import Domain, Event, Health

pytestmark = pytest.mark.needs("mosquitto")


def plain(port: int, **settings: Any) -> BrokerConfig:
    return BrokerConfig(url=f"mqtt://127.0.0.1:{port}", **settings)


async def settled(view: Observer, topic: str, payload: str) -> None:
    """Wait until the latest word on a topic is this one."""

    def there(seen: list[Any]) -> bool:
        words = [str(message.payload, "utf-8") for message in seen if str(message.topic) == topic]
        return words[-1:] == [payload]

    await view.until(there)


def numbers(payloads: list[str]) -> list[float]:
    return [json.loads(payload)["energy_import_kwh"] for payload in payloads]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_everything_is_published_as_its_topic_says(broker: Mosquitto, version: Literal["5", "3.1.1"]) -> None:
    """All topics arrive; a later subscriber finds the retained ones, and no half hour among them."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open, version=version)):
        house.status()
        house.read(power_w=423)
        house.interval(1)
        seen = await view.until(lambda seen: len({str(message.topic) for message in seen}) == 6)
        qos = {str(message.topic): message.qos for message in seen}
        assert qos == {AVAILABILITY: 1, INFO: 1, HEALTH: 1, METER_AVAILABILITY: 1, LIVE: 0, INTERVAL: 1}
        async with observer(broker.ports.open) as late:
            retained = {str(m.topic): m.payload for m in await late.until(lambda seen: len(seen) == 5)}
            house.interval(2)
            assert (await late.next(INTERVAL)).retain is False
    assert retained.pop(LIVE).startswith(b'{"schema":"hemsd.meter.live/1"')
    assert retained.pop(INFO).startswith(b'{"schema":"hemsd.bridge.info/1"')
    assert retained.pop(HEALTH).startswith(b'{"schema":"hemsd.bridge.health/1"')
    assert retained == {AVAILABILITY: b"online", METER_AVAILABILITY: b"online"}


async def test_tls_with_a_client_certificate(broker: Mosquitto, pki: Pki) -> None:
    """Over TLS the broker takes our certificate for our name and gives us what its access rules say."""
    files = {"ca_file": "ca.crt", "cert_file": "hemsd.crt", "key_file": "hemsd.key"}
    config = BrokerConfig(
        url=f"mqtts://localhost:{broker.ports.tls}",
        **{name: str(pki.directory / file) for name, file in files.items()},  # type: ignore[arg-type]
    )
    async with observer(broker.ports.tls, pki) as view, bridging(House(), config):
        assert await view.payloads(AVAILABILITY, 1) == ["online"]


async def test_a_clean_stop_says_offline_at_once(broker: Mosquitto) -> None:
    """When the bridge is stopped, it says offline itself before it disconnects; the will is not needed."""
    async with observer(broker.ports.open) as view:
        async with bridging(House(), plain(broker.ports.open)) as running:
            await view.payloads(AVAILABILITY, 1)
            async with asyncio.timeout(2):
                running.cancel()
                await asyncio.wait([running])
        assert await view.payloads(AVAILABILITY, 2) == ["online", "offline"]


async def test_a_stop_in_front_of_a_frozen_broker_is_quick(broker: Mosquitto) -> None:
    """A broker that no longer answers cannot hold up the end for more than 2 s."""
    async with observer(broker.ports.open) as view, bridging(House(), plain(broker.ports.open)) as running:
        await view.payloads(AVAILABILITY, 1)
        broker.freeze()
        async with asyncio.timeout(2):
            running.cancel()
            await asyncio.wait([running])
        broker.thaw()


async def test_a_stop_while_connecting_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer at all cannot hold up the end either."""
    trying, over = threading.Event(), threading.Event()

    def stuck(*_: Any, **__: Any) -> None:
        trying.set()
        over.wait(10)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", stuck)
    async with bridging(House(), plain(1883)) as running:
        async with asyncio.timeout(10):
            while not trying.is_set():
                await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            running.cancel()
            await asyncio.wait([running])
        over.set()


CHILD = """
import asyncio, sys
from hemsd.gateway.bridge import Bridge
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.standing import Home
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain
from pathlib import Path
seat = Hub({}).seat(Domain.GATEWAY)
asyncio.run(Bridge(seat, BrokerConfig(url=sys.argv[1]), Home(site="home-1"), Path(sys.argv[2])).run())
"""


async def test_the_will_tells_of_a_sudden_death(broker: Mosquitto, tmp_path: Path) -> None:
    """Killed without warning, the bridge is reported offline by the broker, for later subscribers too."""
    async with observer(broker.ports.open) as view:
        url = f"mqtt://127.0.0.1:{broker.ports.open}"
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, url, tmp_path)
        await view.payloads(AVAILABILITY, 1)
        child.kill()
        await child.wait()
        assert await view.payloads(AVAILABILITY, 2) == ["online", "offline"]
    async with observer(broker.ports.open) as late:
        assert await late.payloads(AVAILABILITY, 1) == ["offline"]


async def test_a_broker_that_forgot_everything_is_told_again(broker: Mosquitto) -> None:
    """After a restart without persistence every retained topic is back."""
    house = House()
    async with bridging(house, plain(broker.ports.open)):
        house.status()
        house.read(power_w=423)
        async with observer(broker.ports.open) as view:
            await view.until(lambda seen: len({str(message.topic) for message in seen}) == 5)
        broker.stop()
        broker.start()
        async with observer(broker.ports.open) as view:
            seen = await view.until(lambda seen: len({str(message.topic) for message in seen}) == 5)
    assert {str(message.topic) for message in seen} == {AVAILABILITY, INFO, HEALTH, METER_AVAILABILITY, LIVE}


async def test_a_frozen_broker_is_noticed(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing is published the keepalive finds the broker dead; when it lives again we are back."""
    async with observer(broker.ports.open) as view, bridging(House(), plain(broker.ports.open, keepalive_s=1)):
        await settled(view, AVAILABILITY, "online")
        broker.freeze()
        async with asyncio.timeout(10):
            while "fell silent" not in caplog.text:
                await asyncio.sleep(0.05)
        broker.thaw()
        view.seen.clear()
        await settled(view, AVAILABILITY, "online")


async def test_half_hours_keep_their_order_through_an_outage(broker: Mosquitto) -> None:
    """What ended while the broker was away arrives when it is back, oldest first; of live values only the last."""
    house = House()
    async with (
        observer(broker.ports.open) as view,
        wire(broker.ports.open) as line,
        bridging(house, plain(line.port)),
    ):
        house.interval(0)
        house.read(power_w=0)
        await view.payloads(INTERVAL, 1)
        await view.payloads(LIVE, 1)
        house.status(online=False)
        await settled(view, METER_AVAILABILITY, "offline")  # so the half hour has been acknowledged
        await line.cut()
        for number in range(1, 30):
            house.interval(number)
            house.read(power_w=number)
        await line.join()
        payloads = await view.payloads(INTERVAL, 31)
        live = await view.payloads(LIVE, 2)
    assert numbers(payloads) == [0, *range(30)]  # an acknowledgement of just now may be forgotten
    assert [json.loads(payload)["power_w"] for payload in live] == [0, 29]


async def test_a_half_hour_without_acknowledgement_is_sent_again(broker: Mosquitto) -> None:
    """When the connection goes before the acknowledgement came, the record comes twice, with the same key."""
    house = House()
    async with (
        observer(broker.ports.open) as view,
        wire(broker.ports.open) as line,
        bridging(house, plain(line.port)),
    ):
        await view.payloads(AVAILABILITY, 1)
        line.deaf = True
        house.interval(1)
        house.interval(2)
        await view.payloads(INTERVAL, 2)
        await line.cut()
        line.deaf = False
        await line.join()
        told = [json.loads(payload) for payload in await view.payloads(INTERVAL, 4)]
    assert [(each["start"], each["seq"]) for each in told[:2]] == [(each["start"], each["seq"]) for each in told[2:]]
    assert [each["replay"] for each in told] == [False, False, True, True]


async def test_a_meter_is_available_while_it_is_heard(broker: Mosquitto) -> None:
    """Online needs the session and a word from the meter; a status that only repeats itself is no such word."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        house.read(power_w=1)
        await settled(view, METER_AVAILABILITY, "online")
        house.status(online=False)
        await settled(view, METER_AVAILABILITY, "offline")
        house.status(heard=AT)
        await settled(view, METER_AVAILABILITY, "online")
        house.now += SILENT_AFTER_S
        house.status(heard=AT)
        await settled(view, METER_AVAILABILITY, "offline")
        house.read(power_w=1)
        await settled(view, METER_AVAILABILITY, "online")
        house.now += SILENT_AFTER_S
        house.status(heard=AT.replace(minute=59))
        await view.next(AVAILABILITY)
        await settled(view, METER_AVAILABILITY, "online")


async def test_stale_values_are_not_available(broker: Mosquitto) -> None:
    """A meter that is online and gives no values is not available, before it is given up as silent."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        for fresh, payload in ((True, "online"), (False, "offline"), (True, "online")):
            house.status(fresh=fresh)
            await settled(view, METER_AVAILABILITY, payload)


async def test_availability_is_repeated(broker: Mosquitto) -> None:
    """The will of an earlier connection that arrives late is corrected within a minute."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        await settled(view, AVAILABILITY, "online")
        view.seen.clear()
        house.now += REPEAT_S
        house.read(power_w=1)
        await settled(view, AVAILABILITY, "online")


async def test_a_value_not_asked_stays_and_a_value_gone_is_null(broker: Mosquitto) -> None:
    """Energy, asked less often than power, stays with its own time; what the meter says it has not is null."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        house.read(power_w=1, energy_import_kwh=100.5, states={"energy_export_kwh": "no_data"})
        await view.payloads(LIVE, 1)
        house.now += 30
        house.read(measured_at=AT.replace(second=30), states={"power_w": "no_data"})
        live = json.loads((await view.payloads(LIVE, 2))[-1])
    assert (live["ts"], live["energy_ts"]) == ("2025-01-15T12:30:30+09:00", "2025-01-15T12:30:00+09:00")
    assert (live["power_w"], live["energy_import_kwh"], live["age_s"]) == (None, 100.5, 0.0)
    assert live["states"] == {"power_w": "no_data", "energy_export_kwh": "no_data"}


async def test_a_meter_without_a_name_has_no_topics(broker: Mosquitto) -> None:
    """A status from before the meter is known publishes nothing."""
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        house.status(online=False, meter=None)
        house.interval(1)
        await view.payloads(INTERVAL, 1)
        await view.payloads(HEALTH, 1)
        assert {str(message.topic) for message in view.seen} == {AVAILABILITY, INFO, HEALTH, INTERVAL}


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""], ids=["refuses", "hangs up"])
async def test_an_older_broker_is_spoken_to_in_3_1_1(
    broker: Mosquitto, answer: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that refuses MQTT 5, with or without a word, gets 3.1.1."""
    monkeypatch.setattr("hemsd.gateway.connection.ANSWER_WITHIN_S", 0.3)
    caplog.set_level(logging.INFO)
    async with observer(broker.ports.open) as view, wire(broker.ports.open) as line:
        line.answer_to_5 = answer
        async with bridging(House(), plain(line.port)):
            await view.payloads(AVAILABILITY, 1)
    assert "(MQTT 3.1.1)" in caplog.text


async def test_a_version_that_was_asked_for_is_kept(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    """With version = "5" there is no falling back; the reason is logged once, however often it is tried."""
    async with wire(broker.ports.open) as line:
        line.answer_to_5 = b"\x20\x02\x00\x01"
        async with bridging(House(), plain(line.port, version="5")), asyncio.timeout(10):
            while line.connections < 3:
                await asyncio.sleep(0.05)
    assert [record.getMessage() for record in caplog.records] == [
        f"the broker 127.0.0.1:{line.port} does not speak this version of MQTT: see version"
    ]


async def test_mqtt_is_loaded_when_it_is_spoken() -> None:
    """Importing the bridge, as every start of the daemon does, does not load the MQTT client."""
    code = "import sys, hemsd.gateway.bridge; sys.exit('aiomqtt' in sys.modules or 'cryptography' in sys.modules)"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await child.wait() == 0


async def test_a_broker_that_takes_short_messages_only(pki: Pki, tmp_path: Path) -> None:
    """By MQTT 5 it says so; what is longer is told of once and kept from it, and all else arrives, without an end."""
    house = House()
    operator = house.hub.seat(Domain.OPERATOR)
    (tmp_path / "short").mkdir()
    with Mosquitto(tmp_path / "short", pki, options="max_packet_size 700") as broker:
        async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
            house.interval(1)
            house.read(power_w=423)
            seen = await view.until(lambda seen: {INTERVAL, LIVE} <= {str(message.topic) for message in seen})
            house.now += REPEAT_S
            house.read(power_w=424)
            await view.payloads(AVAILABILITY, 2)
    words = [(str(message.topic), message.payload) for message in seen]
    assert INFO not in {topic for topic, _ in words}
    assert (AVAILABILITY, b"offline") not in words
    refused = [message.text for message in await heard(operator) if isinstance(message, Event)]
    assert [text.partition("refused ")[2] for text in refused] == [f"{INFO}: it takes no message as long as this"]


async def test_a_link_that_cannot_keep_up_is_no_standstill(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a new value whenever the one before was sent, what is told every minute still is."""
    house = House()
    publish = Connection.publish

    async def slowly(self: Connection, publication: Publication) -> str:
        house.now += 1
        house.read(power_w=int(house.now))
        await asyncio.sleep(0.001)
        return await publish(self, publication)

    monkeypatch.setattr(Connection, "publish", slowly)
    async with observer(broker.ports.open) as view, bridging(house, plain(broker.ports.open)):
        assert await view.payloads(AVAILABILITY, 3) == ["online"] * 3
        assert len(await view.payloads(HEALTH, 3)) == 3


async def test_the_house_hears_how_the_bridge_does(broker: Mosquitto) -> None:
    """That the broker is away, and why; that it is back; with each minute what was counted."""
    house = House()
    healths: list[Health] = []

    async def listen() -> None:
        async for message in house.operator.messages():
            if isinstance(message, Health):
                healths.append(message)  # noqa: PERF401 (what came before the cancellation counts)

    async def until(done: Callable[[Health], bool]) -> None:
        async with asyncio.timeout(10):
            while not (healths and done(healths[-1])):
                await asyncio.sleep(0.01)

    listening = asyncio.create_task(listen())
    async with bridging(house, plain(broker.ports.open)):
        await until(lambda health: health.ok)
        broker.stop()
        await until(lambda health: "is the broker running?" in health.detail and not health.ok)
        broker.start()
        await until(lambda health: health.ok)
        count = len(healths)
        house.now += REPEAT_S
        house.read(power_w=1)
        await until(lambda _: len(healths) > count)
    assert {health.source for health in healths} == {Domain.GATEWAY}
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
