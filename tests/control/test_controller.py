"""Control as a domain beside others, in virtual time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from support.clock import run
from support.control import AIRCON, NOON, state, status
from support.hub import METER, heard

from hemsd.control.controller import HEALTH_EVERY_S, Controller
from hemsd.control.requests import ORDER_S
from hemsd.control.settings import Settings
from hemsd.hub.hub import Hub, Seat
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    Decision,
    Domain,
    Health,
    Message,
    MeterReading,
    MeterStatus,
    SiteAggregate,
    UserRequest,
    UserResponse,
)
from hemsd.hub.routes import ROUTES_6_4_3

T = TypeVar("T", bound=Message)


class House:
    def __init__(self) -> None:
        self.hub = Hub(ROUTES_6_4_3)
        self.meter, self.appliances = self.hub.seat(Domain.ROUTEB), self.hub.seat(Domain.APPLIANCES)
        self.operator = self.hub.seat(Domain.OPERATOR)
        self.waiting: dict[Seat, list[Message]] = {}

    def now(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(Controller(self.hub.seat(Domain.CONTROL), Settings(), clock=self.now).run())

    async def told(self, seat: Seat, kind: type[T]) -> list[T]:
        """What a seat has heard of one kind since it was asked last."""
        await asyncio.sleep(0.01)
        waiting = self.waiting.setdefault(seat, [])
        waiting += await heard(seat)
        found = [message for message in waiting if isinstance(message, kind)]
        self.waiting[seat] = [message for message in waiting if not isinstance(message, kind)]
        return found

    def reading(self, power_w: int) -> None:
        self.meter.publish(MeterReading(meter=METER, measured_at=self.now(), power_w=power_w))
        self.meter.publish(MeterStatus(meter=METER, online=True, stage="online", since=NOON, fresh=True))

    def ask(self, operation: Any, request: str = "r", **more: Any) -> None:
        asked = {"request": request, "asker": Domain.OPERATOR, "operation": operation, "target": "living-ac"}
        self.operator.publish(UserRequest(**asked | more))


def virtually(story: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    async def tell() -> None:
        house = House()
        task = house.begin()
        await asyncio.sleep(0.01)
        try:
            await story(house)
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert not house.hub.denied
        assert not house.hub.lost

    run(tell())


def test_a_request_from_the_command_line_to_the_appliance_and_back() -> None:
    """Through the doors of the profile: an order, its result, the answer, a decision; and a get, likewise."""

    async def story(house: House) -> None:
        house.appliances.publish(status())
        house.ask("set", values={"on": True})
        (command,) = await house.told(house.appliances, ApplianceCommand)
        house.appliances.publish(ApplianceResult(command=command.command, appliance=AIRCON, outcome="applied"))
        (answer,) = await house.told(house.operator, UserResponse)
        assert (answer.request, answer.status) == ("r", "ok")
        (decision,) = await house.told(house.operator, Decision)
        assert decision.decision == "set on=true"
        house.ask("get", "g")
        (query,) = await house.told(house.appliances, ApplianceQuery)
        told = ApplianceProperty(query=query.query, appliance=AIRCON, epc=0xBB, value=21, last=True)
        house.appliances.publish(told)
        first, last = await house.told(house.operator, UserResponse)
        assert (first.property, first.last, last.last) == (told, False, True)

    virtually(story)


def test_orders_are_logged_by_the_names_that_people_know(caplog: pytest.LogCaptureFixture) -> None:
    """Of what is asked of nobody that is known, too."""

    async def story(house: House) -> None:
        house.appliances.publish(status())
        house.ask("set", values={"on": True})
        house.ask("set", target="attic-ac", values={"on": True})
        await asyncio.sleep(0.01)

    caplog.set_level("INFO", "hemsd.control")
    virtually(story)
    assert caplog.messages[0] == "living-ac: set on=true; the operator asked for it"
    assert caplog.messages[1].startswith("no appliance: refused: unknown_target; the operator asked to set on=true: ")


def test_deadlines_are_met_without_anything_being_heard() -> None:
    """A silent domain of appliances: the asker is answered in time, and Health says so until it answers again."""

    async def story(house: House) -> None:
        house.appliances.publish(status())
        house.ask("set", values={"on": True})
        await asyncio.sleep(ORDER_S - 1)
        assert [health.ok for health in await house.told(house.operator, Health)] == [True]
        await asyncio.sleep(1)
        (answer,) = await house.told(house.operator, UserResponse)
        assert answer.error == "timeout"
        (health,) = await house.told(house.operator, Health)
        assert not health.ok
        assert health.counters["error"] == 1
        house.ask("identify")
        *_, command = await house.told(house.appliances, ApplianceCommand)
        house.appliances.publish(ApplianceResult(command=command.command, appliance=AIRCON, outcome="applied"))
        assert [health.ok for health in await house.told(house.operator, Health)] == [True]

    virtually(story)


def test_the_next_in_line_goes_out_when_the_gap_is_over() -> None:
    """A deadline that comes nearer is met, whatever was waited for before."""

    async def story(house: House) -> None:
        house.appliances.publish(status())
        house.ask("identify", "first")
        house.ask("identify", "second")
        (command,) = await house.told(house.appliances, ApplianceCommand)
        house.appliances.publish(ApplianceResult(command=command.command, appliance=AIRCON, outcome="applied"))
        await asyncio.sleep(9.9)
        assert await house.told(house.appliances, ApplianceCommand) == []
        await asyncio.sleep(0.2)
        assert await house.told(house.appliances, ApplianceCommand) != []

    virtually(story)


def test_who_switched_what_is_seen_from_what_appliances_tell() -> None:
    """Also by hand: a compressor has its rest. One that was forgotten and found anew begins anew."""

    async def story(house: House) -> None:
        house.appliances.publish(status())
        for on in (True, False):
            await asyncio.sleep(0.1)
            house.appliances.publish(state(AIRCON, house.now(), on=on))
        await asyncio.sleep(0.1)
        house.ask("set", values={"on": True})
        assert [answer.error for answer in await house.told(house.operator, UserResponse)] == ["rate_limited"]
        house.appliances.publish(status(forgotten=True))
        await asyncio.sleep(0.1)
        house.appliances.publish(status())
        house.appliances.publish(state(AIRCON, house.now(), on=False))
        await asyncio.sleep(0.1)
        house.ask("set", values={"on": True})
        assert await house.told(house.appliances, ApplianceCommand) != []

    virtually(story)


def test_the_house_in_few_numbers() -> None:
    """With the readings of the meter and what appliances tell; a change within the gap is told after it."""

    async def story(house: House) -> None:
        await asyncio.sleep(5)
        house.reading(500)
        *_, aggregate = await house.told(house.operator, SiteAggregate)
        assert aggregate.at == house.now() - timedelta(seconds=0.01)
        house.appliances.publish(status())
        house.appliances.publish(state(AIRCON, house.now(), power_w=300))
        await asyncio.sleep(1)
        assert await house.told(house.operator, SiteAggregate) == []
        await asyncio.sleep(1)
        (aggregate,) = await house.told(house.operator, SiteAggregate)
        assert (aggregate.grid_w, aggregate.known_loads_w, aggregate.rest_w) == (500, 300, 200)

    virtually(story)


def test_a_control_that_begins_anew_knows_the_house_at_once() -> None:
    """The hub tells it how things stand; answers to what was ordered before are not taken for its own."""

    async def story(house: House) -> None:
        house.appliances.publish(state(AIRCON, house.now(), power_w=300))
        house.appliances.publish(status())
        house.reading(500)
        await asyncio.sleep(10)
        house.ask("identify")
        (old,) = await house.told(house.appliances, ApplianceCommand)
        await house.told(house.operator, SiteAggregate)
        second = house.begin()
        await asyncio.sleep(2)
        (aggregate,) = await house.told(house.operator, SiteAggregate)
        assert (aggregate.grid_w, aggregate.known_loads_w) == (500, 300)
        house.ask("identify", "again")
        (new,) = await house.told(house.appliances, ApplianceCommand)  # the first one still waits for an answer
        assert old.command.split("-")[0] != new.command.split("-")[0]
        second.cancel()

    virtually(story)


def test_at_rest_it_wakes_for_its_health_only() -> None:
    """No timer runs while there is nothing to wait for."""

    async def story(house: House) -> None:
        house.reading(500)
        await asyncio.sleep(5)
        loop = asyncio.get_running_loop()
        wakes = [handle.when() for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert min(wakes) == HEALTH_EVERY_S

    virtually(story)


def test_light_to_import() -> None:
    """It runs in every daemon, with appliances or without: it needs no tables of classes and no frames."""
    code = (
        "import sys, hemsd.control.controller; print([m for m in sys.modules if m.startswith(('hemsd.echonet',"
        " 'construct', 'drivers', 'difflib'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
