"""Coming back to a broker, in the version of MQTT that it speaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

import pytest

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import BrokerError, Version
from hemsd.gateway.reconnecting import Backoff, stay_connected


@pytest.mark.parametrize(
    ("configured", "spoken"),
    [("auto", ["5", "3.1.1", "3.1.1", "5", "3.1.1"]), ("5", ["5"] * 5), ("3.1.1", ["3.1.1"] * 5)],
)
async def test_the_newer_version_is_tried_again(configured: Literal["auto", "5", "3.1.1"], spoken: list[str]) -> None:
    """A broker that hung up without a word in its start is not spoken to in the older one for ever."""
    now, told = 0.0, []

    async def session(version: Version) -> None:
        nonlocal now
        told.append(version)
        if len(told) == 5:
            raise asyncio.CancelledError
        now += 61.0 if len(told) == 3 else 1.0  # the third one lasts
        raise BrokerError("it hung up", try_other_version=len(told) in (1, 4))

    config = BrokerConfig(url="mqtts://b", version=configured)
    with suppress(asyncio.CancelledError):
        await stay_connected(config, session, lambda _: None, Backoff(0, 60, 0), clock=lambda: now, chance=lambda: 0)
    assert told == spoken
