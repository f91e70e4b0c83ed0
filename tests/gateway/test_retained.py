"""The registry of what a broker keeps for us: over restarts, through bad disks, and against a real broker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.control import AIRCON, LAMP, status
from support.gateway import AVAILABILITY, HEALTH, INFO, LIVE, METER_AVAILABILITY, ROOT, House, bridging
from support.mosquitto import Mosquitto, observer

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.files import SIZE_LIMIT, place
from hemsd.gateway.retained import TOPICS_MAX, Retained
from hemsd.hub.messages import Domain


def test_topics_outlive_a_restart(tmp_path: Path) -> None:
    """Written before they are published, in a private file; a cleared one is gone after the next."""
    path = tmp_path / "gateway/retained.json"
    retained = Retained(path)
    assert retained.expect(["a", "b", "a"])
    retained.write()
    assert not retained.expect(["a"])
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert Retained(path).topics == {"a", "b"}
    retained.cleared("a")
    retained.cleared("never there")
    assert retained.expect([])
    retained.write()
    assert Retained(path).topics == {"b"}


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, b" " * (SIZE_LIMIT + 1)])
def test_a_damaged_file_clears_nothing(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the next one is whole."""
    path = tmp_path / "retained.json"
    path.write_bytes(content)
    retained = Retained(path)
    assert retained.topics == frozenset()
    assert "cannot be used" in caplog.text
    retained.expect(["a"])
    retained.write()
    assert json.loads(path.read_bytes()) == ["a"]


def test_no_file_makes_us_publish_to_what_is_no_topic(tmp_path: Path) -> None:
    """Wildcards and the like are left out; the number is bounded."""
    path = tmp_path / "retained.json"
    path.write_text(json.dumps(["#", "a/+", "", "x" * 513, "a\0", "fine"]))
    assert Retained(path).topics == {"fine"}
    retained = Retained(tmp_path / "other.json")
    retained.expect(map(str, range(TOPICS_MAX + 10)))
    assert len(retained.topics) == TOPICS_MAX


def test_a_file_in_place_of_the_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written is told once; what is known stays known."""
    (tmp_path / "gateway").write_text("")
    retained = Retained(tmp_path / "gateway/retained.json")
    for topic in ("a", "b"):
        retained.expect([topic])
        retained.write()
    assert caplog.text.count("cannot be written") == 1
    assert retained.topics == {"a", "b"}


def test_each_broker_has_its_file(tmp_path: Path) -> None:
    """By host and port, whatever the scheme; the name is fit for any file system."""
    urls = ("mqtts://a.home", "mqtts://b.home", "mqtts://a.home:1884", "mqtt://a.home:8883")
    places = [place(tmp_path, "retained", BrokerConfig(url=url, plain=url.startswith("mqtt:"))) for url in urls]
    assert places[0] == places[3]
    assert len(set(places)) == 3
    assert all(each.parent == tmp_path / "gateway" for each in places)


def config(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")


async def kept(broker: Mosquitto, count: int) -> dict[str, bytes]:
    async with observer(broker.ports.open) as view:
        seen = await view.until(lambda seen: len(seen) == count)
    return {str(each.topic): each.payload for each in seen}


def last(seen: list[Any]) -> list[tuple[str, bytes]]:
    """Topic and payload of the last message, if there is one."""
    return [(str(each.topic), each.payload) for each in seen[-1:]]


@pytest.mark.needs("mosquitto")
async def test_what_is_gone_is_cleared_after_a_restart(broker: Mosquitto, tmp_path: Path) -> None:
    """An appliance exposed no longer and another meter's topics go; what others have retained stays."""
    strange = f"{ROOT}/appliance/not-ours/availability"
    async with observer(broker.ports.open) as view:
        await view._client.publish(strange, b"online", retain=True)
    house = House("control")
    async with bridging(house, config(broker), tmp_path), observer(broker.ports.open, topic=f"{ROOT}/#") as view:
        house.status(meter="m0")
        house.hub.seat(Domain.APPLIANCES).publish(status())
        await view.until(lambda seen: any(AIRCON in str(each.topic) for each in seen))
        await view.until(lambda seen: any("m0" in str(each.topic) for each in seen))
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, config(broker), tmp_path):  # it hears the birth
        await view.until(lambda seen: any(str(each.topic) == AVAILABILITY and not each.retain for each in seen))
        house.status()
        house.read(power_w=1)
        await view.until(lambda seen: any(str(each.topic) == LIVE for each in seen))
        house.now += 60
        house.read(power_w=2)
        gone = {f"{ROOT}/appliance/{AIRCON}/availability", f"{ROOT}/meter/m0/availability"}
        await view.until(lambda seen: gone <= {str(each.topic) for each in seen if not each.payload})
        left = await kept(broker, 6)
    assert set(left) == {AVAILABILITY, INFO, HEALTH, METER_AVAILABILITY, LIVE, strange}


@pytest.mark.needs("mosquitto")
async def test_a_meter_not_yet_met_is_not_available(broker: Mosquitto, tmp_path: Path) -> None:
    """After a restart the last word of the run before, `online`, does not stand until the meter is joined."""
    house = House()
    async with bridging(house, config(broker), tmp_path), observer(broker.ports.open) as view:
        house.status()
        await view.until(lambda seen: any(str(each.topic) == METER_AVAILABILITY for each in seen))
    house = House()
    async with observer(broker.ports.open) as view, bridging(house, config(broker), tmp_path):
        await view.until(lambda seen: (METER_AVAILABILITY, b"offline") in last(seen))
        house.status()
        await view.until(lambda seen: (METER_AVAILABILITY, b"online") in last(seen))


@pytest.mark.needs("mosquitto")
async def test_only_what_is_there_is_cleared_and_once(broker: Mosquitto, tmp_path: Path) -> None:
    """Not again after a restart, nor what was never told: Home Assistant warns of devices that it does not have."""
    house, told = House("control"), f"{ROOT}/appliance/{AIRCON}/availability"
    appliances, file = house.hub.seat(Domain.APPLIANCES), place(tmp_path, "retained", config(broker))
    async with observer(broker.ports.open, topic=f"{ROOT}/#") as view:
        async with bridging(house, config(broker), tmp_path), asyncio.timeout(10):
            appliances.publish(status())
            await view.until(lambda seen: any(str(each.topic) == told for each in seen))
            appliances.publish(status(LAMP, "lamp", forgotten=True))
            appliances.publish(status(forgotten=True))
            while told in file.read_text():
                await asyncio.sleep(0.01)
        house = House("control")
        async with bridging(house, config(broker), tmp_path):
            for power_w in (1, 2):
                house.read(power_w=power_w)
                await view.until(
                    lambda seen, w=power_w: any(f'"power_w":{w},'.encode() in each.payload for each in seen)
                )
                house.now += 60
    assert [str(each.topic) for each in view.seen if not each.payload] == [told]
