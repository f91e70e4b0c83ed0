"""The log for the broker: only where asked for, from its level on, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from support.gateway import INFO, ROOT, House, bridging
from support.mosquitto import Mosquitto, observer

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.logtopic import BURST, TEXT_MAX, WAITING_MAX, LogTopic

LOG = logging.getLogger("hemsd.test")


@pytest.mark.needs("mosquitto")
async def test_lines_reach_the_broker(broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of its level and worse, from threads too; not retained; and none where nobody asked."""
    caplog.set_level(logging.INFO)
    config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")
    silent, house = House("appliances"), House("appliances")
    house.log = "warning"
    async with observer(broker.ports.open) as view:
        async with bridging(silent, config, tmp_path):
            [info] = await view.payloads(INFO, 1)
            LOG.error("nobody hears this")
        assert "bridge/log/+" not in json.loads(info)["topics"]
        async with bridging(house, config, tmp_path):
            [_, info] = await view.payloads(INFO, 2)
            LOG.info("nor this")
            await asyncio.to_thread(LOG.warning, "%s is warm", "it")
            LOG.error("it burns")
            [text] = await view.payloads(f"{ROOT}/bridge/log/error", 1)
    lines = [(str(each.topic), json.loads(bytes(each.payload))) for each in view.seen if "/log/" in str(each.topic)]  # type: ignore[arg-type]
    assert "bridge/log/+" in json.loads(info)["topics"]
    assert [(topic.removeprefix(f"{ROOT}/bridge/log/"), line["text"]) for topic, line in lines] == [
        ("warning", "it is warm"),
        ("error", "it burns"),
    ]
    assert json.loads(text)["logger"] == "hemsd.test"
    assert not any(each.retain for each in view.seen if "/log/" in str(each.topic))


def logged(topic: LogTopic, count: int, text: str = "line {}") -> list[str]:
    """So many lines, and what is there then."""
    heard: list[int] = []
    with topic.listening(lambda: heard.append(1)):
        for number in range(count):
            LOG.error(text.format(number))
    LOG.error("after it")
    found = []
    while (line := topic.take()) is not None:
        found.append(line.text)
    assert len(heard) >= len(found)
    return found


def test_a_flood_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    """So many at once, then one in two seconds; the others are counted."""
    now = [0.0]
    topic = LogTopic("error", clock=lambda: now[0])
    assert logged(topic, 1000) == [f"line {number}" for number in range(BURST)]
    assert topic.dropped == 1000 - BURST
    now[0] = 2.0
    assert logged(topic, 10) == ["line 0"]


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is away for a year costs nothing: the newest lines stay, none longer than it may be."""
    now = iter(float(10 * number) for number in range(1000))
    topic = LogTopic("info", clock=lambda: next(now))
    lines = logged(topic, WAITING_MAX + 7, "x" * 5000 + "{}")
    assert len(lines) == WAITING_MAX
    assert {len(line) for line in lines} == {TEXT_MAX}
    assert topic.dropped == 7


def test_a_traceback_stays_at_home(caplog: pytest.LogCaptureFixture) -> None:
    """It may show values of variables, as those of some errors do."""
    topic = LogTopic("error")
    with topic.listening(lambda: None):
        try:
            raise ValueError("hunter2")
        except ValueError:
            LOG.exception("something failed")
    line = topic.take()
    assert line is not None
    assert line.text == "something failed"
