"""Requests through a real broker and the real control to appliances that are played here, and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Literal

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support.control import AIRCON, LAMP, WATER, status
from support.gateway import AVAILABILITY, ROOT, House, bridging
from support.mosquitto import WITHIN_S, Mosquitto, Observer, observer

from hemsd.control.controller import Controller
from hemsd.control.settings import Settings
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import Connection
from hemsd.gateway.requests import Incoming, Requests
from hemsd.hub.messages import ApplianceCommand, ApplianceProperty, ApplianceQuery, ApplianceResult, Domain
from hemsd.hub.routes import Exposure

pytestmark = pytest.mark.needs("mosquitto")

RESULTS: dict[Any, dict[str, Any]] = {  # by the mode that is wished
    "cool": {"outcome": "applied", "values": {"mode": "cool"}},
    "heat": {"outcome": "unverified"},
    "dry": {"outcome": "rejected"},
    "warp": {"outcome": "refused", "error": "out_of_range"},
    "crash": {"outcome": "refused", "error": "internal"},
    "sleep": {"outcome": "timeout"},
}


class Home(House):
    """With the real control, and appliances that do as RESULTS says."""

    def __init__(self, level: Exposure = "control") -> None:
        super().__init__(level)
        self.ordered: list[ApplianceCommand] = []
        self._appliances = self.hub.seat(Domain.APPLIANCES)
        seat = self.hub.seat(Domain.CONTROL)
        self._controller = Controller(seat, Settings(exposure=level, gap_s=0.0), clock=self.wall)

    async def _act(self) -> None:
        for each in (status(), status(WATER, "water", online=False), status(LAMP, "lamp", known=False)):
            self._appliances.publish(each)
        async for message in self._appliances.messages():
            match message:
                case ApplianceCommand():
                    self.ordered.append(message)
                    result = RESULTS[message.values.get("mode", "cool")]
                    told = ApplianceResult(
                        command=message.command, appliance=message.appliance, detail="so it is", **result
                    )
                    self._appliances.publish(told)
                case ApplianceQuery():
                    told = ApplianceProperty(
                        query=message.query,
                        appliance=message.appliance,
                        epc=0xBB,
                        name="room_temperature",
                        value=21,
                        last=True,
                    )
                    self._appliances.publish(told)

    @asynccontextmanager
    async def lived_in(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(each) for each in (self._controller.run(), self._act())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def living(
    broker: Mosquitto, version: Literal["5", "3.1.1"] = "5", level: Exposure = "control"
) -> AsyncIterator[tuple[Home, Observer]]:
    """A home that takes requests, and somebody who looks on."""
    home = Home(level)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}", version=version)
    async with observer(broker.ports.open) as view, home.lived_in(), bridging(home, config):
        await view.payloads(AVAILABILITY, 1)
        yield home, view


async def publish(broker: Mosquitto, op: str, body: Any, *, retain: bool = False) -> None:
    """As a client of MQTT 3.1.1 does."""
    payload = body if isinstance(body, bytes) else json.dumps(body)
    topic = f"{ROOT}/{op if '/' in op else f'request/{op}'}"
    async with aiomqtt.Client("127.0.0.1", broker.ports.open, protocol=aiomqtt.ProtocolVersion.V311) as client:
        await client.publish(topic, payload, qos=1, retain=retain)


async def answer(view: Observer, op: str) -> Any:
    return json.loads((await view.next(f"{ROOT}/response/{op}")).payload)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_command_is_carried_out_and_answered(broker: Mosquitto, version: Literal["5", "3.1.1"]) -> None:
    """By either topic, whatever hemsd speaks; the appliance hears that the wish came from outside."""
    async with living(broker, version) as (home, view):
        await publish(broker, f"appliance/{AIRCON}/set", {"mode": "cool", "transaction": 5})
        got = await answer(view, "set")
        assert (got["status"], got["transaction"], got["target"]) == ("ok", 5, AIRCON)
        assert got["data"] == {"outcome": "applied", "values": {"mode": "cool"}, "properties": {}}
        await publish(broker, "get", {"target": "living-ac", "properties": ["room_temperature"]})
        got = await answer(view, "get")
        assert got["data"]["properties"]["room_temperature"]["value"] == 21
        await publish(broker, "identify", {"target": "living-ac"})
        assert (await answer(view, "identify"))["status"] == "ok"
    assert [(each.operation, each.from_outside) for each in home.ordered] == [("set", True), ("identify", True)]


async def test_the_request_and_response_of_mqtt_5(broker: Mosquitto) -> None:
    """The answer comes to the response topic, with the correlation data that the request had."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "app/7/answers", b"\x00\x01\xff"
    properties.MessageExpiryInterval = 30
    protocol = aiomqtt.ProtocolVersion.V5
    async with (
        living(broker) as (home, _),
        aiomqtt.Client("127.0.0.1", broker.ports.open, protocol=protocol) as client,
        asyncio.timeout(10),
    ):
        await client.subscribe("app/7/answers", qos=1)
        body = json.dumps({"target": "living-ac", "values": {"mode": "cool"}})
        await client.publish(f"{ROOT}/request/set", body, qos=1, properties=properties)
        got = await anext(aiter(client.messages))
    assert got.properties is not None
    assert (got.properties.CorrelationData, got.retain) == (b"\x00\x01\xff", False)
    assert json.loads(got.payload)["status"] == "ok"
    (command,) = home.ordered
    assert command.expires_at is not None
    assert (command.expires_at - home.wall()).total_seconds() == 30


def wished(**values: Any) -> dict[str, Any]:
    return {"target": "living-ac", "values": values}


@pytest.mark.parametrize(
    ("code", "op", "body"),
    [
        ("bad_request", "set", b'{"target": '),
        ("bad_request", "set", wished()),
        ("bad_request", "set", b" " * 20_000),
        ("bad_request", "explode", {}),
        ("unknown_target", "set", wished(mode="cool") | {"target": "living-room"}),
        ("not_settable", "set", wished(warp=9)),
        ("out_of_range", "set", wished(mode="warp")),
        ("busy", "set", wished(on=True) | {"target": "lamp"}),
        ("timeout", "set", wished(on=True) | {"target": "water"}),
        ("timeout", "set", wished(mode="sleep")),
        ("device_refused", "set", wished(mode="dry")),
        ("unverified", "set", wished(mode="heat")),
        ("forbidden_origin", "forget", {"target": "living-ac"}),
        ("forbidden_origin", "power-company-curtail", {"values": {"share": 0.5}}),
        ("expired", "set", wished(mode="cool") | {"ts": "2025-01-15T03:00:00Z", "ttl_s": 10}),
        ("internal", "set", wished(mode="crash")),
    ],
)
async def test_every_error_code(broker: Mosquitto, code: str, op: str, body: Any) -> None:
    """Each that can come about today reaches the caller by its name, with a sentence."""
    async with living(broker) as (_, view):
        await publish(broker, op, body)
        got = await answer(view, op)
    assert got["error"]["code"] == code
    assert got["error"]["message"]
    assert got["status"] == ("partial" if code == "unverified" else "error")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_retained_command_is_refused(broker: Mosquitto, version: Literal["5", "3.1.1"]) -> None:
    """One that the broker kept comes with every connection, and is refused with every connection."""
    await publish(broker, "set", wished(mode="cool"), retain=True)
    for _ in range(2):
        home = Home()
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}", version=version)
        async with observer(broker.ports.open) as view, home.lived_in(), bridging(home, config):
            got = await answer(view, "set")
            assert got["error"]["code"] == "bad_request"
            assert "retain" in got["error"]["message"]
        assert home.ordered == []


async def test_a_retained_command_is_refused_at_once_where_it_can_be_told(broker: Mosquitto) -> None:
    """With MQTT 5 hemsd sees that the broker keeps it even when it is published before its eyes."""
    async with living(broker) as (home, view):
        await publish(broker, "set", wished(mode="cool"), retain=True)
        assert (await answer(view, "set"))["error"]["code"] == "bad_request"
    assert home.ordered == []


@pytest.mark.parametrize(
    ("version", "size", "comes"),
    [("5", 20_000, True), ("3.1.1", 20_000, True), ("5", 600_000, False), ("3.1.1", 600_000, True)],
)
async def test_an_oversized_command_does_no_harm(
    broker: Mosquitto, version: Literal["5", "3.1.1"], size: int, comes: bool
) -> None:
    """It is refused, or where hemsd can ask the broker for that does not even come; the next one is carried out."""
    async with living(broker, version) as (home, view):
        await publish(broker, "get", b" " * size)
        if comes:
            assert "at most 16384 bytes" in (await answer(view, "get"))["error"]["message"]
        await publish(broker, "set", wished(mode="cool"))
        assert (await answer(view, "set"))["status"] == "ok"
    assert f"{ROOT}/response/get" not in {str(each.topic) for each in view.seen}  # but for the one above
    assert [each.values for each in home.ordered] == [{"mode": "cool"}]


async def test_a_flood_is_limited_and_does_not_hurt(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand requests at once few are carried out; afterwards hemsd is as it was."""
    last, taken, take = b"the last", set[bytes](), Requests.take

    def taking(requests: Requests, incoming: Incoming, now: float, at: datetime) -> None:
        taken.add(incoming.payload)
        take(requests, incoming, now, at)

    monkeypatch.setattr(Requests, "take", taking)
    async with living(broker) as (home, view):
        async with aiomqtt.Client("127.0.0.1", broker.ports.open) as client, asyncio.timeout(WITHIN_S):
            for number in range(1000):
                body = json.dumps({"target": "nobody", "transaction": number})
                await client.publish(f"{ROOT}/request/get", body, qos=0)
            while last not in taken:  # only then time may go on; it is dropped where many wait before it
                await client.publish(f"{ROOT}/request/get", last, qos=0)
                await asyncio.sleep(0.02)
        home.now += 60
        await publish(broker, "set", wished(mode="cool"))
        seen = await view.until(lambda seen: any(b'"applied"' in each.payload for each in seen))
    codes = [json.loads(each.payload)["error"] for each in seen if str(each.topic) == f"{ROOT}/response/get"]
    assert len(codes) <= 25 and "rate_limited" in {each["code"] for each in codes}
    assert [each.values for each in home.ordered] == [{"mode": "cool"}]


@pytest.mark.parametrize(
    ("level", "topics"),
    [("aggregates", []), ("appliances", []), ("control", [f"{ROOT}/request/+", f"{ROOT}/appliance/+/set"])],
)
async def test_nothing_else_is_subscribed_to(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, level: Exposure, topics: list[str]
) -> None:
    """Neither what hemsd itself says, nor what is none of its business."""
    asked: list[str] = []

    async def subscribe(_: Connection, topic: str) -> str:
        asked.append(topic)
        return ""

    monkeypatch.setattr(Connection, "subscribe", subscribe)
    async with living(broker, level=level):
        assert asked == topics


@pytest.mark.parametrize("level", ["aggregates", "appliances"])
async def test_no_request_is_heard_below_its_level(broker: Mosquitto, level: Exposure) -> None:
    """Where nothing is to be controlled hemsd does not even listen: no order, no answer, nothing denied."""
    async with living(broker, level=level) as (home, view):
        await publish(broker, "get", {"target": "living-ac"})
        await publish(broker, f"appliance/{AIRCON}/set", {"mode": "cool"})
        home.read(power_w=1)
        seen = await view.until(lambda seen: any(str(each.topic).endswith("/live") for each in seen))
        assert not [each for each in seen if "response" in str(each.topic)]
    assert (home.ordered, home.hub.denied) == ([], {})
