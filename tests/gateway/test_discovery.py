"""What Home Assistant finds at a real broker: after a start, after its own start, and after hemsd was away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import discovery
from support.control import AIRCON, state, status
from support.gateway import HEALTH, METER, SITE, House, bridging
from support.mosquitto import Mosquitto, Observer, observer

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.homeassistant import SETTLE_S
from hemsd.hub.messages import Domain

pytestmark = pytest.mark.needs("mosquitto")

ROOT = f"homeassistant/device/hemsd-{SITE}"
AIR, SHOWN = f"{ROOT}/appliance-{AIRCON}/config", f"hemsd/v1/{SITE}/appliance/{AIRCON}/state"
HEMSD, THERE = f"{ROOT}/site/config", f"{ROOT}/meter-{METER}/config"


def config(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")


def told(seen: list[Any], topic: str) -> list[bytes]:
    return [message.payload for message in seen if str(message.topic) == topic]


def healths(seen: list[Any]) -> int:
    return sum(str(message.topic) == HEALTH and not message.retain for message in seen)


async def settle(house: House, view: Observer, power_w: int) -> None:
    """Let the meter speak, and the time pass after which a device is told."""
    house.status()
    house.read(power_w=power_w)
    await view.until(lambda seen: any(f'"power_w":{power_w},'.encode() in message.payload for message in seen))
    house.now += SETTLE_S
    house.read(power_w=power_w + 1)


def household(prefix: str = "homeassistant") -> House:
    house = House()
    house.discovery = prefix
    return house


async def test_devices_are_retained_and_told_again_when_home_assistant_starts(broker: Mosquitto) -> None:
    """Also hemsd's availability and all states: what was told before its start may be lost on it."""
    house = household()
    async with observer(broker.ports.open) as view, bridging(house, config(broker)):
        await settle(house, view, 1)
        await view.until(lambda seen: told(seen, HEMSD) and told(seen, THERE))
        for topic in (HEMSD, THERE):
            discovery.check(json.loads(told(view.seen, topic)[-1]))
        async with observer(broker.ports.open, topic="homeassistant/#") as late:
            kept = await late.until(lambda seen: len(seen) == 2)
            assert all(message.retain and message.qos == 1 for message in kept)
        view.seen.clear()
        await view._client.publish("homeassistant/status", b"offline")
        await view._client.publish("homeassistant/status", b"online")
        availability = f"hemsd/v1/{SITE}/availability"
        await view.until(lambda seen: all(told(seen, topic) for topic in (availability, HEMSD, THERE)))
        assert told(view.seen, availability) == [b"online"]


async def test_a_restart_keeps_the_devices_and_another_meter_replaces_them(broker: Mosquitto, tmp_path: Path) -> None:
    """Nothing is taken away that may still be there; what surely is gone is."""
    house = household()
    async with bridging(house, config(broker), tmp_path), observer(broker.ports.open) as view:
        await settle(house, view, 1)
        await view.until(lambda seen: told(seen, THERE))
    house = household()
    async with observer(broker.ports.open) as view, bridging(house, config(broker), tmp_path):
        for minutes in range(1, 4):  # each time it looks at what it finds, after its health was told
            await view.until(lambda seen, count=minutes: healths(seen) >= count)
            house.now += 60
            house.status(meter=None, online=False)
        assert all(told(view.seen, THERE))
        house.status(meter="m2")
        house.now += 60
        await view.until(lambda seen: not all(told(seen, THERE)))


async def test_switched_off_the_devices_go(broker: Mosquitto, tmp_path: Path) -> None:
    """Home Assistant forgets them, and hemsd does not ask when it starts."""
    house = household()
    async with bridging(house, config(broker), tmp_path), observer(broker.ports.open) as view:
        await settle(house, view, 1)
        await view.until(lambda seen: told(seen, HEMSD) and told(seen, THERE))
    async with observer(broker.ports.open) as view, bridging(household(""), config(broker), tmp_path):
        await view.until(lambda seen: b"" in told(seen, HEMSD) and b"" in told(seen, THERE))


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_device_goes_before_its_values(forgotten: bool, broker: Mosquitto, tmp_path: Path) -> None:
    """A state topic that is cleared is an error to what is still shown; so too after a start that tells less."""
    house = House("appliances")
    house.discovery = "homeassistant"
    appliances = house.hub.seat(Domain.APPLIANCES)
    async with observer(broker.ports.open) as view:
        async with bridging(house, config(broker), tmp_path):
            appliances.publish(status())
            appliances.publish(state(AIRCON, power_w=400))
            await view.until(lambda seen: told(seen, SHOWN))
            house.now += SETTLE_S
            house.status()
            await view.until(lambda seen: told(seen, AIR))
            if forgotten:
                appliances.publish(status(forgotten=True))
                await view.until(lambda seen: b"" in told(seen, SHOWN))
        async with bridging(household(), config(broker), tmp_path):
            await view.until(lambda seen: b"" in told(seen, SHOWN))
    cleared = [str(message.topic) for message in view.seen if not message.payload]
    assert cleared.index(AIR) < cleared.index(SHOWN)
