"""One of every message, and what waits for a seat."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from hemsd.hub.hub import Seat
from hemsd.hub.messages import Domain, Message, MeterInterval

AT = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)
METER = "abcdefghij"

VALUES: dict[str, Any] = {
    "meter": METER,
    "measured_at": AT,
    "received_at": AT,
    "starts_at": AT,
    "ends_at": AT,
    "since": AT,
    "end": AT,
    "at": AT,
    "first_at": AT,
    "online": True,
    "stage": "online",
    "source": "notified",
    "request": "r1",
    "epcs": (0xE7,),
    "epc": 0xE7,
    "appliance": "aircon",
    "name": "living-ac",
    "network": "home",
    "address": "192.0.2.1",
    "eoj": "013001",
    "interface": "eth1",
    "target": "living-ac",
    "values": {},
    "command": "c1",
    "query": "q1",
    "outcome": "applied",
    "operation": "set",
    "status": "ok",
    "event": "e1",
    "kind": "test.kind",
    "rule": "cap",
    "decision": "hold",
    "reason": "none",
    "severity": "info",
    "text": "something",
    "ok": True,
    "seq": 1,
    "content": MeterInterval(meter=METER, end=AT, source="read"),
    "days": (date(2025, 1, 14),),
    "done": 1,
    "total": 2,
    "records": (),
    "head": 7,
    "history": "0123456789abcdef",
    "what": "day",
}


def make(kind: type[Message], sender: Domain, to: Domain, **changes: Any) -> Message:
    """A message of this kind with plausible values, truthful about its sender, and for `to` where it names one."""
    values = {name: VALUES[name] for name in kind.__struct_fields__ if name in VALUES}
    said = {"asker": sender, "source": sender, "to": to}
    values |= {name: value for name, value in said.items() if kind.__annotations__.get(name) == "Domain"}
    return kind(**values | changes)


async def heard(seat: Seat) -> list[Message]:
    """Everything that waits for a seat now."""
    found: list[Message] = []

    async def read() -> None:
        async for message in seat.messages():
            found.append(message)  # noqa: PERF401 (what came before the cancellation counts)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    return found
