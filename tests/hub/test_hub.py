"""Delivery, denial, and seats that are slow."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from msgspec.structs import replace
from support.hub import AT, METER, heard, make

from hemsd.hub.hub import REPORT_EVERY_S, Denial, Hub, Loss, Seat
from hemsd.hub.latest import LATEST_MAX
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Domain,
    Event,
    Message,
    MeterInterval,
    MeterReading,
    MeterStatus,
    ReadMeter,
    RecordsAfter,
    SiteAggregate,
    UserRequest,
)
from hemsd.hub.queue import KEPT, POLICIES, REQUEST, Queue
from hemsd.hub.routes import ROUTES_6_4_3

ASKING = [ReadMeter, UserRequest, RecordsAfter]


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return Hub(ROUTES_6_4_3, clock=clock)


def reading(power_w: int = 500, meter: str = METER) -> MeterReading:
    return MeterReading(meter=meter, measured_at=AT, power_w=power_w)


async def events(seat: Seat) -> list[str]:
    return [message.kind for message in await heard(seat) if isinstance(message, Event)]


async def test_a_reader_that_waits_is_woken(hub: Hub) -> None:
    """A message reaches a reader that was there first, and one that comes later, in the order of publishing."""
    gateway, routeb = hub.seat(Domain.GATEWAY), hub.seat(Domain.ROUTEB)

    async def read() -> list[Message]:
        return [message async for message in gateway.messages()]

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        found = tasks.create_task(read())
        await asyncio.sleep(0)
        routeb.publish(reading(1))
        await asyncio.sleep(0)
        routeb.publish(reading(2))
        await asyncio.sleep(0)
        gateway.close()
    assert found.result() == [reading(1), reading(2)]


async def test_a_closed_seat_ends_and_hears_no_more(hub: Hub) -> None:
    """After close() what waited is forgotten, and publishing goes on for the others."""
    gateway, operator, routeb = hub.seat(Domain.GATEWAY), hub.seat(Domain.OPERATOR), hub.seat(Domain.ROUTEB)
    routeb.publish(reading(1))
    gateway.close()
    gateway.close()
    routeb.publish(reading(2))
    assert [message async for message in gateway.messages()] == []
    assert await heard(operator) == [reading(2)]


async def test_a_new_seat_hears_how_things_stand(hub: Hub) -> None:
    """The last of each message that stands until the next one, as far as the seat's domain may hear it."""
    routeb, control = hub.seat(Domain.ROUTEB), hub.seat(Domain.CONTROL)
    unknown = MeterStatus(meter=None, online=False, stage="scanning", since=AT)
    status = MeterStatus(meter=METER, online=True, stage="online", since=AT)
    aggregate = SiteAggregate(at=AT, grid_w=5)
    for message in (unknown, reading(1), MeterInterval(meter=METER, end=AT, source="read"), status, reading(2)):
        routeb.publish(message)
    control.publish(aggregate)
    assert await heard(hub.seat(Domain.OPERATOR)) == [status, reading(2), aggregate]
    assert await heard(hub.seat(Domain.CONTROL)) == [status, reading(2)]
    assert await heard(hub.seat(Domain.APPLIANCES)) == []


async def test_a_listener_hears_at_once(hub: Hub) -> None:
    """What waits first, then each message before publish() returns, in one order for all; until close()."""
    routeb, operator, control = hub.seat(Domain.ROUTEB), hub.seat(Domain.OPERATOR), hub.seat(Domain.CONTROL)
    told = list[Message]()
    aggregate = SiteAggregate(at=AT, grid_w=5)
    routeb.publish(reading(1))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for seat, hear in ((control, lambda _: control.publish(aggregate)), (operator, told.append)):
            tasks.create_task(seat.listen(hear))
        await asyncio.sleep(0)
        assert told == [reading(1), aggregate]
        routeb.publish(reading(2))
        assert told == [reading(1), aggregate, reading(2), aggregate]
        for seat in (operator, control):
            seat.close()
    routeb.publish(reading(3))
    assert len(told) == 4


async def test_what_a_listener_raises_is_its_own_trouble(hub: Hub) -> None:
    """It comes out of listen(), not of publish(); the others hear on, and what comes next waits."""
    routeb, history, operator = hub.seat(Domain.ROUTEB), hub.seat(Domain.HISTORY), hub.seat(Domain.OPERATOR)

    def fail(_: Message) -> None:
        raise ZeroDivisionError

    listening = asyncio.create_task(history.listen(fail))
    await asyncio.sleep(0)
    for power_w in (1, 2):
        routeb.publish(reading(power_w))
    with pytest.raises(ZeroDivisionError):
        await listening
    assert await heard(history) == [reading(2)]
    assert await heard(operator) == [reading(2)]


async def test_an_appliance_that_was_forgotten_is_told_to_nobody_new(hub: Hub) -> None:
    """Its last status reaches who is there; a later seat hears nothing of it, and all of another one."""
    appliances, operator = hub.seat(Domain.APPLIANCES), hub.seat(Domain.OPERATOR)
    told = [make(ApplianceStatus, appliances.domain, operator.domain, appliance=name) for name in ("heater", "lamp")]
    told += [ApplianceState(appliance=name, at=AT, values={"on": True}) for name in ("heater", "lamp")]
    told.append(replace(told[0], forgotten=True))
    for message in told:
        appliances.publish(message)
    assert told[-1] in await heard(operator)
    assert await heard(hub.seat(Domain.OPERATOR)) == [told[1], told[3]]


async def test_what_is_kept_for_later_seats_is_bounded(hub: Hub) -> None:
    """However many names there are, the newest stay; what was denied is not kept."""
    routeb, gateway = hub.seat(Domain.ROUTEB), hub.seat(Domain.GATEWAY)
    gateway.publish(reading(0, "forged"))
    for number in range(LATEST_MAX + 10):
        routeb.publish(MeterStatus(meter=str(number), online=True, stage="online", since=AT))
    kept = [message.meter for message in await heard(hub.seat(Domain.OPERATOR)) if isinstance(message, MeterStatus)]
    assert kept[-1] == str(LATEST_MAX + 9)
    assert len(hub._latest) == LATEST_MAX
    assert all(not isinstance(message, MeterReading) for message in await heard(hub.seat(Domain.OPERATOR)))


async def test_nobody_hears_himself(hub: Hub) -> None:
    """An event goes to the other seats of the same domain, not back to the one that published it."""
    first, second = hub.seat(Domain.OPERATOR), hub.seat(Domain.OPERATOR)
    event = make(Event, Domain.OPERATOR, Domain.OPERATOR)
    first.publish(event)
    assert await heard(first) == []
    assert await heard(second) == [event]


async def test_a_denial_is_counted_logged_and_reported(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """The gateway asking the meter is denied: nothing reaches the meter's side, and those who may know are told."""
    seats = {domain: hub.seat(domain) for domain in Domain}
    seats[Domain.GATEWAY].publish(make(ReadMeter, Domain.GATEWAY, Domain.ROUTEB))
    assert hub.denied == {Denial(Domain.GATEWAY, "ReadMeter", None): 1}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    told = {domain for domain in Domain if await events(seats[domain]) == ["hub.denied"]}
    assert told == {Domain.HISTORY, Domain.OPERATOR, Domain.GATEWAY}
    assert await heard(seats[Domain.ROUTEB]) == []


async def test_a_permitted_request_arrives_and_is_no_denial(hub: Hub) -> None:
    """Control: the same question from the command line arrives."""
    routeb = hub.seat(Domain.ROUTEB)
    question = make(ReadMeter, Domain.OPERATOR, Domain.ROUTEB)
    hub.seat(Domain.OPERATOR).publish(question)
    assert await heard(routeb) == [question]
    assert not hub.denied


@pytest.mark.parametrize("kind", ASKING)
async def test_asking_in_another_name_is_denied(hub: Hub, kind: type[Message]) -> None:
    """A request whose asker is not the domain of the seat is a forgery; the truthful one passes."""
    seats = {domain: hub.seat(domain) for domain in Domain}
    seats[Domain.OPERATOR].publish(make(kind, Domain.OPERATOR, Domain.OPERATOR, asker=Domain.HISTORY))
    assert hub.denied == {Denial(Domain.OPERATOR, kind.__name__, None): 1}
    truthful = make(kind, Domain.OPERATOR, Domain.OPERATOR)
    seats[Domain.OPERATOR].publish(truthful)
    received = [message for domain in Domain for message in await heard(seats[domain]) if isinstance(message, kind)]
    assert received == [truthful]


async def test_an_event_in_another_name_is_denied(hub: Hub) -> None:
    """The gateway cannot report something in the meter's name."""
    history, gateway = hub.seat(Domain.HISTORY), hub.seat(Domain.GATEWAY)
    gateway.publish(make(Event, Domain.GATEWAY, Domain.HISTORY, source=Domain.ROUTEB))
    assert await events(history) == ["hub.denied"]


async def test_a_flood_of_denials_is_one_event_a_minute(
    hub: Hub, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Every denial counts; the log has it once, the seats once a minute."""
    history, gateway = hub.seat(Domain.HISTORY), hub.seat(Domain.GATEWAY)
    forbidden = make(ReadMeter, Domain.GATEWAY, Domain.ROUTEB)
    for _ in range(1000):
        gateway.publish(forbidden)
    assert await events(history) == ["hub.denied"]
    clock.now += REPORT_EVERY_S
    for _ in range(1000):
        gateway.publish(forbidden)
    assert await events(history) == ["hub.denied"]
    assert hub.denied.total() == 2000
    assert len(caplog.records) == 1


async def test_a_dead_seat_holds_nobody_up_and_costs_little(hub: Hub) -> None:
    """A flood that one seat never reads is bounded there, while another seat gets every one."""
    hub.seat(Domain.HISTORY)
    operator, routeb = hub.seat(Domain.OPERATOR), hub.seat(Domain.ROUTEB)
    got = 0
    for power_w in range(5_000):
        routeb.publish(reading(power_w))
        got += len(await heard(operator))
    assert got == 5_000
    assert not hub.lost


@pytest.mark.parametrize("kind", POLICIES)
def test_every_lane_is_bounded(kind: type[Message]) -> None:
    """However many messages of a kind come, with however many keys, no more than its cap wait."""
    queue, policy = Queue(), POLICIES[kind]
    names = [name for name in policy.latest_by or () if kind.__annotations__[name] != "Domain"]
    for number in range(policy.cap + 10):
        queue.put(make(kind, Domain.CONTROL, Domain.CONTROL, **dict.fromkeys(names, str(number))))
    assert len(queue) <= policy.cap


def test_the_latest_live_value_wins_and_keeps_its_place() -> None:
    """Readings of one meter replace each other; those of another meter, and other kinds, wait as they came."""
    queue = Queue()
    other = MeterInterval(meter=METER, end=AT, source="notified")
    for message in (reading(1), other, reading(2, "second"), reading(3)):
        assert queue.put(message)
    assert [queue.take() for _ in range(4)] == [reading(3), other, reading(2, "second"), None]


def test_there_is_one_latest_aggregate() -> None:
    """A kind without a key has one latest."""
    queue = Queue()
    for grid_w in (1, 2):
        queue.put(SiteAggregate(at=AT, grid_w=grid_w))
    assert [queue.take(), queue.take()] == [SiteAggregate(at=AT, grid_w=2), None]


def test_a_status_before_the_meter_is_known_has_its_own_place() -> None:
    """The status without a meter does not replace that of a meter."""
    queue = Queue()
    for meter in (None, METER):
        queue.put(MeterStatus(meter=meter, online=False, stage="scanning", since=AT))
    assert len(queue) == 2


async def test_kept_messages_overflow_at_their_cap_oldest_first(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """Half hours are dropped only beyond the cap, the oldest first; that is counted, logged once, reported once."""
    history, routeb = hub.seat(Domain.HISTORY), hub.seat(Domain.ROUTEB)
    for number in range(KEPT.cap):
        routeb.publish(MeterInterval(meter=str(number), end=AT, source="backfill"))
    operator = hub.seat(Domain.OPERATOR)
    for number in range(KEPT.cap, KEPT.cap + 5):
        routeb.publish(MeterInterval(meter=str(number), end=AT, source="backfill"))
    waiting = [message.meter for message in await heard(history) if isinstance(message, MeterInterval)]
    assert waiting == [str(number) for number in range(5, KEPT.cap + 5)]
    assert hub.lost == {Loss(Domain.HISTORY, "MeterInterval"): 5}
    assert await events(operator) == ["hub.lost"]
    assert len(caplog.records) == 1


async def test_requests_overflow_newest_first(hub: Hub) -> None:
    """A request too many is refused; those that wait are still answered."""
    routeb, operator = hub.seat(Domain.ROUTEB), hub.seat(Domain.OPERATOR)
    questions = [make(ReadMeter, Domain.OPERATOR, Domain.ROUTEB, request=str(n)) for n in range(REQUEST.cap + 3)]
    for question in questions:
        operator.publish(question)
    assert await heard(routeb) == questions[: REQUEST.cap]
    assert hub.lost == {Loss(Domain.ROUTEB, "ReadMeter"): 3}


async def test_a_flood_of_events_pushes_out_no_half_hour(hub: Hub) -> None:
    """Kinds wait in lanes of their own, and a report of a loss cannot cause a flood of reports."""
    history, routeb = hub.seat(Domain.HISTORY), hub.seat(Domain.ROUTEB)
    interval = MeterInterval(meter=METER, end=AT, source="notified")
    routeb.publish(interval)
    for _ in range(KEPT.cap + 100):
        routeb.publish(make(Event, Domain.ROUTEB, Domain.HISTORY))
    waiting: list[Any] = await heard(history)
    assert waiting[0] == interval
    assert len(waiting) == 1 + KEPT.cap
    assert hub.lost[Loss(Domain.HISTORY, "Event")] == 101  # the report of the first loss is one too many itself
