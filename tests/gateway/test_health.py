"""What the house is told of the gateway itself: whether there is a broker, and what should better be changed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.gateway import House, bridging
from support.mosquitto import Mosquitto

from hemsd.gateway.config import BrokerConfig
from hemsd.hub.messages import Domain, Health


async def health(house: House, ok: bool) -> Health:
    """The next word of it that says so."""
    async with asyncio.timeout(10):
        async for message in house.operator.messages():
            if isinstance(message, Health) and message.source is Domain.GATEWAY and message.ok is ok:
                return message
    raise AssertionError


@pytest.mark.needs("mosquitto")
async def test_a_connection_and_its_end_are_told(broker: Mosquitto) -> None:
    """At once, with the reason, and how many records wait."""
    house = House()
    async with bridging(house, BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")):
        told = await health(house, True)
        assert told.detail == ""
        broker.stop()
        assert "the broker 127.0.0.1" in (await health(house, False)).detail
        broker.start()
        assert (await health(house, True)).detail == ""


async def test_plain_mqtt_is_warned_of_for_as_long_as_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides what else there is to say, so `hemsd status` shows it."""

    def nobody(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", nobody)
    house = House()
    async with bridging(house, BrokerConfig(url="mqtt://192.0.2.1", plain=True)):
        told = await health(house, False)
    assert told.detail.startswith("nothing answers at 192.0.2.1:1883: is the broker running?; everything crosses")
    assert "in clear (plain = true)" in told.detail
