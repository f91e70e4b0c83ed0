"""Days and minutes out of the meter's memory: complete, of the right date, in the background; in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.backfill import DAY, SCAN_AND_JOIN_S, START, House

from hemsd.echonet.exchange import Missing
from hemsd.echonet.meter import decode
from hemsd.hub.messages import (
    BackfillProgress,
    Domain,
    MeterDay,
    MeterInterval,
    MeterMinute,
    MeterReading,
    ReadMeter,
)
from hemsd.routeb.backfill import _follows
from hemsd.routeb.clock import AGE_LIMIT_S, DRIFT, MeterClock
from hemsd.routeb.collector import Pace
from hemsd.routeb.readings import Registers
from hemsd.simulator import Fault, Flaw, Plate, Spell, Strike, Timing

SECOND_GENERATION = Plate(generation=2)
NO_EC = Plate(half_hour_history=False)


def test_all_99_days() -> None:
    """Today and 99 days are the household's own registers, both directions, while live readings keep their time."""

    async def scenario(house: House) -> None:
        days = house.days(*range(100))
        house.ask(*days)
        progress = await house.done()
        assert [(each.day, each.outcome, each.done, each.total) for each in progress[:-1]] == (
            [(day, "read", n, 100) for n, day in enumerate(days, 1)]
        )
        assert (progress[-1].day, progress[-1].done, progress[-1].last) == (None, 100, True)
        assert all(each.meter == house.meter.name for each in progress)
        assert house.told() == house.truth(days, until=START)
        day = house.seat.of(MeterDay)[0]
        assert (str(day.count_kwh), day.digits, day.states) == ("0.1", 6, {})
        gaps = [later - earlier for earlier, later in pairwise(house.seat.times(MeterReading))]
        assert len(gaps) > 10
        assert max(gaps) < 30 + 3

    House(installed=START.date() - 200 * DAY).run(scenario)


def test_pace() -> None:
    """Two seconds between the answer to a request and the next one, by default."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 20)))
        await house.done()
        times = house.requests(0xE5, 0xE2, 0xE4)
        assert len(times) == 19 * 3
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) > 2 + 0.75 * 1.1
        assert sorted(gaps)[len(gaps) // 2] < 2 + 1.25 * 1.1 + 0.1

    House(pace=Pace()).run(scenario)


def test_a_live_round_waits_for_one_request_at_most() -> None:
    """Whatever is to be backfilled, at most one request for it is made from the time a round is due to its own."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 31)))
        await house.done()
        readings = house.seat.times(MeterReading)
        live = house.requests(0xE7)
        assert len(live) > 25
        for asked, answered in zip(live[1:], readings[1:], strict=False):
            assert answered - asked < 1.5
        due = [live[0] + 5 * n for n in range(len(live))]
        history = house.requests(0xE5, 0xE2, 0xE4)
        for begins, asked in zip(due, live, strict=True):
            assert sum(begins < at < asked for at in history) <= 1

    House(pace=Pace(idle_s=5.0, backfill_s=0.0)).run(scenario)


def test_live_rounds_without_a_pause() -> None:
    """Where rounds follow one another at once, history still gets its turns."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1, 2, 3))
        progress = await house.done(within_s=600)
        assert [each.outcome for each in progress] == ["read"] * 4

    House(pace=Pace(idle_s=0.5, watched_s=0.5, backfill_s=0.0)).run(scenario)


def test_somebody_who_asks_comes_first() -> None:
    """Properties asked for by a person are read before the backfill goes on."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 31)))
        await asyncio.sleep(SCAN_AND_JOIN_S + 20.1)
        house.seat.inbox.put_nowait(ReadMeter(request="r2", asker=Domain.OPERATOR, epcs=(0x88, 0xD3, 0x83, 0xEA)))
        await asyncio.sleep(10)
        asked = [epcs for _, _, epcs in house.simulated.asked]
        first = next(n for n, epcs in enumerate(asked) if 0x88 in epcs)
        last = next(n for n, epcs in enumerate(asked) if 0xEA in epcs)
        assert not {0xE2, 0xE4, 0xE5} & {epc for epcs in asked[first : last + 1] for epc in epcs}

    House().run(scenario)


def test_days_that_are_empty() -> None:
    """Before the installation, beyond 99 days and in the future there is nothing; today there is what has been."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(-1, 0, 2, 3, 99, 100))
        progress = await house.done()
        assert [each.outcome for each in progress[:-1]] == ["empty", "read", "read", "empty", "empty", "empty"]
        assert house.told() == house.truth(house.days(0, 2), until=START)

    House(installed=START.date() - 2 * DAY).run(scenario)


def test_the_99th_day() -> None:
    """The meter's memory is 99 days and today; the last of it is read."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(99, 98, 100))
        assert [each.outcome for each in await house.done()] == ["read", "read", "empty", "read"]
        assert house.told() == house.truth(house.days(99, 98), until=START)

    House(installed=START.date() - 120 * DAY).run(scenario)


def test_a_power_cut_of_the_meter() -> None:
    """Half-hours that the meter does not have are not told, those around them are."""
    cut, back = datetime(2026, 5, 12, 20, 10), datetime(2026, 5, 13, 6, 5)

    async def scenario(house: House) -> None:
        days = house.days(1, 2)
        house.ask(*days)
        assert [each.outcome for each in await house.done()] == ["read"] * 3
        truth = house.truth(days, until=START)
        assert house.told() == {at: counts for at, counts in truth.items() if not cut <= at < back}

    House(plate=Plate(outages=((cut, back),))).run(scenario)


def test_today_in_few_requests() -> None:
    """In its first hours today is read by EC in one Get, both directions; later, or without EC, as any other day."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(0))
        assert (await house.done())[0].outcome == "read"
        assert house.told() == house.truth(house.days(0), until=house.start)
        by_slots = house.start.hour < 6 and house.simulated.object.plate.half_hour_history
        assert len(house.requests(0xEC, 0xED)) == (2 if by_slots else 0)
        assert len(house.requests(0xE5, 0xE2, 0xE4)) == (0 if by_slots else 3)

    for hour, plate in ((0, Plate()), (5, Plate()), (6, Plate()), (23, Plate()), (2, NO_EC)):
        House(START.replace(hour=hour, minute=12), plate=plate).run(scenario)


def test_a_meter_that_only_imports() -> None:
    """Without E4 a day is two requests, and the export register is absent."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1))
        await house.done()
        (day,) = house.seat.of(MeterDay)
        assert (len(day.import_counts), day.export_counts, day.states) == (48, (), {"energy_export_kwh": "absent"})
        assert len(house.requests(0xE5, 0xE2)) == 2
        assert len(house.requests(0xE4)) <= 1  # at the first acquaintance

    House(plate=Plate(exports=False)).run(scenario)


def test_an_unknown_unit() -> None:
    """Counts are told while nobody knows what they are worth."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1))
        await house.done()
        (day,) = house.seat.of(MeterDay)
        assert day.count_kwh is None
        assert house.told() == house.truth(house.days(1), until=START)

    House(faults=[Fault(Spell.VALUE, seconds=1e9, arg=(0xE1, b"\xff"))]).run(scenario)


# --- what may happen meanwhile


@pytest.mark.parametrize("seconds", [-40, -14, -4, 0, 3, 40])
def test_midnight(seconds: int) -> None:
    """Around the meter's midnight every half-hour has its own date, and it takes three minutes more at most."""
    before_midnight = datetime(2026, 5, 14) - timedelta(seconds=SCAN_AND_JOIN_S - seconds)

    async def scenario(house: House) -> None:
        days = house.days(*range(1, 14))
        house.ask(*days)
        progress = await house.done()
        assert {each.outcome for each in progress} == {"read"}
        assert house.told() == house.truth(days, until=house.clock())
        assert asyncio.get_running_loop().time() < SCAN_AND_JOIN_S + 13 * 5 + 180

    House(before_midnight, drift_s=7.0).run(scenario)


def test_a_midnight_in_the_middle_of_a_day() -> None:
    """A day selected before what may be midnight and told after it is read again."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 26)))
        await house.done()
        assert house.told() == house.truth(house.days(*range(1, 26)), until=house.clock())
        selections = [at for at, esv, epcs in house.simulated.asked if 0xE5 in epcs and esv == 0x61]
        assert len(selections) == 26

    House(datetime(2026, 5, 13, 23, 57, 40)).run(scenario)


@pytest.mark.parametrize("before_s", range(-1, 5))
def test_a_weak_meter_at_midnight(before_s: int) -> None:
    """Date and time in two answers, midnight between them: yesterday is not taken for today."""

    async def scenario(house: House) -> None:
        await asyncio.sleep(100)
        midnight = datetime(2026, 5, 14)
        house.set_clock(midnight - timedelta(seconds=before_s) - house.clock())
        days = [date(2026, 5, 13), date(2026, 5, 12)]
        house.ask(*days)
        assert [each.outcome for each in await house.done()] == ["read"] * 3
        assert house.told() == house.truth(days, until=house.clock())

    House(meter={"limit_properties": 1}).run(scenario)


@settings(max_examples=settings.default.max_examples // 8)
@given(
    days=st.lists(st.integers(-1, 6), min_size=1, max_size=8),
    start_s=st.floats(-180, 40),
    drift_s=st.integers(-200_000, 200_000),
    answer_s=st.floats(0.05, 12.0),
    export=st.booleans(),
    limit=st.sampled_from([1, 6]),
)
def test_never_a_wrong_pair(
    days: list[int], start_s: float, drift_s: int, answer_s: float, export: bool, limit: int
) -> None:
    """Any days, near midnight by a clock however wrong, over a link however slow: no count of another half-hour."""
    start = datetime(2026, 5, 14) + timedelta(seconds=round(start_s) - drift_s)

    async def scenario(house: House) -> None:
        asked = house.days(*days)
        house.ask(*asked)
        progress = await house.done()
        told, truth = house.told(), house.truth(sorted(set(asked)), until=house.clock())
        if not export:
            truth = {at: (imported, None) for at, (imported, _) in truth.items()}  # type: ignore[misc]
        assert told.items() <= truth.items()
        outcomes = {each.day: each.outcome for each in progress[:-1]}
        assert "failed" not in outcomes.values()
        whole = {at for at in truth if outcomes[at.date()] == "read" and at.date() != house.clock().date()}
        assert {at for at in told if at.date() != house.clock().date()} == whole

    house = House(
        start,
        drift_s=drift_s,
        plate=Plate(exports=export),
        installed=(start - 5 * DAY).date(),
        timing=Timing(answer_s=answer_s),
        meter={"limit_properties": limit},
    )
    house.run(scenario)


@given(
    minute=st.integers(-120, 120),
    past_s=st.sampled_from([0.0, 59.99]) | st.floats(0, 59.99),
    rate=st.sampled_from([1 - DRIFT, 1 + DRIFT]) | st.floats(1 - DRIFT, 1 + DRIFT),
    took_s=st.floats(0, 60),
    answered=st.floats(0, 1),
    spans=st.tuples(st.floats(0, AGE_LIMIT_S), st.floats(0, 200)),
)
def test_the_date_is_never_wrong(
    minute: int, past_s: float, rate: float, took_s: float, answered: float, spans: tuple[float, float]
) -> None:
    """A date that is said to be certain until a moment is the meter's, now and until then."""
    asked, heard = 100.0, 100.0 + took_s
    told = datetime(2026, 5, 14) + timedelta(minutes=minute)

    def true(now: float) -> datetime:
        return told + timedelta(seconds=past_s + (now - asked - answered * took_s) * rate)

    clock = MeterClock(told, asked, heard)
    since = heard + spans[0]
    until = since + spans[1]
    assert clock.earliest(until) <= true(until) <= clock.latest(until)
    if (found := clock.date(since)) is not None:
        day, sure_until = found
        assert true(since).date() == day
        assert true(until).date() == day or until >= sure_until
    late = since + clock.until_new_day_s(since)
    assert true(late) >= datetime.combine(clock.earliest(since).date() + DAY, datetime.min.time()) - timedelta(0, 1)


@given(took_s=st.floats(0.001, 60), first=st.floats(0, 1), second=st.floats(0, 1), at_s=st.floats(-120, 120))
def test_date_and_time_of_two_days(took_s: float, first: float, second: float, at_s: float) -> None:
    """Date and time told in two answers, one on either side of midnight, are never believed."""
    wall = datetime(2026, 5, 14) + timedelta(seconds=at_s)
    day, at = [wall + timedelta(seconds=part * took_s) for part in (first, second)]
    told = datetime.combine(day.date(), at.time().replace(second=0, microsecond=0))
    if day.date() != at.date():
        assert MeterClock(told, 0.0, took_s).doubtful


@pytest.mark.parametrize("times", [1, 2, 5])
def test_another_controller_moves_the_selector(times: int) -> None:
    """What it selected is not taken for what we did; it is counted, and the day is selected again."""

    async def scenario(house: House) -> None:
        days = house.days(1, 2, 3)
        house.ask(*days)
        progress = await house.done()
        assert [each.outcome for each in progress] == ["read"] * 4
        assert house.told() == house.truth(days, until=START)
        assert house.conflicts == times

    House(faults=[Fault(Flaw.SELECTOR_MOVED, times=times, arg=(0xE5, b"\x05"))]).run(scenario)


def test_another_controller_does_not_let_go() -> None:
    """After some tries the day counts as failed, nothing of it is told, and the next one is read."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1, 2))
        progress = await house.done()
        assert [each.outcome for each in progress[:2]] == ["failed", "read"]
        assert house.told() == house.truth(house.days(2), until=START)
        assert house.conflicts == 9

    House(faults=[Fault(Flaw.SELECTOR_MOVED, times=9, arg=(0xE5, b"\x05"))]).run(scenario)


def test_another_controller_moves_the_half_hour() -> None:
    """The selector of EC is checked like that of E2; after three tries the day is read by its number."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(0))
        assert (await house.done())[0].outcome == "read"
        assert house.told() == house.truth(house.days(0), until=house.start)
        assert house.conflicts == 3

    faults = [Fault(Flaw.SELECTOR_MOVED, times=20, arg=(0xED, bytes.fromhex("07EA050C060003")))]
    House(START.replace(hour=3), faults=faults).run(scenario)


def test_a_lost_selection_is_no_conflict() -> None:
    """A selection that never arrived shows another day too, and nobody else is at the meter."""

    async def scenario(house: House) -> None:
        house.simulated.deaf = 2
        days = house.days(1, 2)
        house.ask(*days)
        assert [each.outcome for each in await house.done()] == ["read"] * 3
        assert house.told() == house.truth(days, until=START)
        assert house.conflicts == 0
        assert house.simulated.deaf == 0

    House().run(scenario)


def test_a_meter_that_never_tells_its_history() -> None:
    """Where the long answers never get through it is given up after three days; live readings go on."""

    async def scenario(house: House) -> None:
        house.simulated.secret = frozenset({0xE2})
        house.ask(*house.days(*range(1, 60)))
        progress = await house.done(within_s=3 * 3600)
        assert [each.outcome for each in progress[:-1]] == ["failed"] * 59
        assert len(house.requests(0xE5)) <= 3 * 9
        gaps = [later - earlier for earlier, later in pairwise(house.seat.times(MeterReading))]
        assert len(gaps) > 30
        assert max(gaps) < 120

    House().run(scenario)


def test_losses() -> None:
    """Answers lost, late, twice, short, refused and damaged: every half-hour comes all the same."""

    async def scenario(house: House) -> None:
        days = house.days(*range(1, 25))
        house.ask(*days)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert house.told() == house.truth(days, until=START)

    flaws = (Flaw.ANSWER_LOST, Flaw.ANSWER_LATE, Flaw.ANSWER_TWICE, Flaw.ANSWER_REFUSED, Flaw.ANSWER_DAMAGED)
    faults = [Fault(flaw, at=40 + 15 * n, seconds=8) for n, flaw in enumerate(flaws * 3)]
    House(faults=faults).run(scenario)


def test_a_session_lost_in_the_middle() -> None:
    """It costs the one request in flight: what was read before is not read again, the rest follows by itself."""

    async def scenario(house: House) -> None:
        days = house.days(*range(1, 13))
        house.ask(*days)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert house.told() == house.truth(days, until=START)
        assert len(house.requests(0xE2)) + len(house.requests(0xE4)) <= 2 * 12 + 2

    faults = [Fault(Strike.LOSE_SESSION, at=45), Fault(Strike.PEER_CLOSES, at=90)]
    House(faults=faults).run(scenario)


def test_an_outage() -> None:
    """While the meter is not reachable the backfill waits; then it goes on where it was."""

    async def scenario(house: House) -> None:
        days = house.days(*range(1, 15))
        house.ask(*days)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert house.told() == house.truth(days, until=house.clock())

    House(faults=[Fault(Spell.RADIO_LOST, at=50, seconds=3600)]).run(scenario)


def test_the_duty_limit() -> None:
    """While sending is forbidden the backfill waits."""

    async def scenario(house: House) -> None:
        days = house.days(*range(1, 15))
        house.ask(*days)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert not [at for at in house.requests(0xE5) if 50.1 < at < 650]
        assert house.told() == house.truth(days, until=START)

    House(faults=[Fault(Strike.LIMIT, at=50, seconds=600)]).run(scenario)


def test_a_meter_exchanged_meanwhile() -> None:
    """The registers of the old meter are told under its name, those of the new one under its own, never mixed."""
    new = Plate(serial="F0A000099999", first_count=777)

    async def scenario(house: House) -> None:
        house.ask(*house.days(1, 2, 3, 0))
        while len(house.requests(0xE2)) < 2:
            await asyncio.sleep(1)
        changed = house.clock() + timedelta(seconds=5)  # between E2 and E4 of the second day
        for strike in (Strike.METER_EXCHANGED, Strike.LOSE_SESSION):
            house.module.faults.add(Fault(strike, at=house.now() + 5, arg=(new, "001C640060149999")))
        progress = await house.done()
        assert [each.outcome for each in progress] == ["read", "empty", "empty", "read", "read"]
        old, other = dict.fromkeys(day.meter for day in house.seat.of(MeterDay))
        assert [each.meter for each in progress[:-1]] == [old, other, other, other]
        truth = house.truth(house.days(*range(4)), until=house.clock())
        before = house.household.energy(changed)
        assert before is not None
        first = 777 - before.imported_j // 360_000
        for each in house.backfilled():
            assert (each.at > changed) is (each.day.meter == other)
            more = (each.import_count or 0) - truth[each.at][0]
            assert more in ((first, first - 1) if each.day.meter == other else (0,))

    House(pace=Pace(backfill_s=200.0)).run(scenario)


def test_a_meter_that_turns_out_to_be_another() -> None:
    """A day during which the meter got another name is read again, and told under that name only."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1))
        while not house.requests(0xE2):
            await asyncio.sleep(1)
        assert house.meter.identity is not None
        house.meter._learn(identity=replace(house.meter.identity, meter="another"))
        await house.done()
        assert len(house.requests(0xE2)) == 2
        assert [(day.meter, len(day.import_counts)) for day in house.seat.of(MeterDay)] == [("another", 48)]

    House(pace=Pace()).run(scenario)


# --- registers


def test_a_day_of_history_runs_forward_from_midnight() -> None:
    """48 registers at 00:00 to 23:30 of Japan's clock, both directions side by side."""
    forward = decode(0xE2, bytes.fromhex("000B" + "".join(f"{n:08X}" for n in range(1000, 1047)) + "FFFFFFFE"))
    registers, day = Registers("m", Decimal("0.1"), 6), date(2026, 5, 9)
    told = registers.day(day, (forward.counts, tuple(range(48))), 48)
    assert told.first_at == datetime(2026, 5, 8, 15, 0, tzinfo=UTC)
    assert told.import_counts == (*range(1000, 1047), None)
    assert told.export_counts == tuple(range(48))
    assert (told.meter, told.count_kwh, told.digits, told.states) == ("m", Decimal("0.1"), 6, {})
    begun = registers.day(day, (forward.counts, Missing.REFUSED), 2)
    assert (begun.import_counts, begun.export_counts) == ((1000, 1001), ())
    assert begun.states == {"energy_export_kwh": "refused"}


def test_a_register_that_begins_again() -> None:
    """A register of six digits goes on from 0 after 999 999; its days join, and are read once."""

    async def scenario(house: House) -> None:
        days = house.days(1, 2, 3)
        house.ask(*days)
        await house.done()
        counts = [each.import_count or 0 for each in house.backfilled()]
        assert max(counts) > 999_900
        assert min(counts) < 100
        assert len(house.requests(0xE2)) == 3

    energy = House().household.energy(START - 2 * DAY)
    assert energy is not None
    House(plate=Plate(first_count=10**6 - energy.imported_j // 360_000)).run(scenario)


@pytest.mark.parametrize(
    ("older", "newer", "follows"),
    [
        ((1, 5), (5, 9), True),
        ((1, 5), (4, 9), False),
        ((1, 999_999), (0, 9), True),
        ((0, 3), (999_999, 999_999), False),
        ((5, 5), (5, 5), True),
        (None, (4, 9), True),
    ],
)
def test_joining(older: tuple[int, int] | None, newer: tuple[int, int] | None, follows: bool) -> None:
    """A day begins where the day before ended, or beyond, in a register that may have begun again."""
    assert _follows((older, None), (newer, None), 6) is follows
    assert _follows((None, older), (None, newer), 6) is follows


def test_days_that_do_not_join() -> None:
    """A day that ends beyond the beginning of the next is read again; what the meter says twice is told."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1, 2))
        while not house.seat.of(BackfillProgress):
            await asyncio.sleep(0.1)
        told = b"\0\2" + (90_000).to_bytes(4, "big") * 48
        house.module.faults.add(Fault(Spell.VALUE, at=house.now(), seconds=1e9, arg=(0xE2, told)))
        assert [each.outcome for each in await house.done()] == ["read"] * 3
        assert len(house.requests(0xE2)) == 3
        assert len(house.requests(0x98)) == 2
        assert house.backfilled()[-1].import_count == 90_000

    House().run(scenario)


def test_a_clock_set_during_an_outage() -> None:
    """After a loss the meter is asked anew what day it is."""

    async def scenario(house: House) -> None:
        days = house.days(*range(2, 9))
        house.ask(*days)
        while len(house.seat.of(BackfillProgress)) < 3:
            await asyncio.sleep(0.1)
        house.module.faults.add(Fault(Strike.LOSE_SESSION, at=house.now()))
        house.set_clock(-DAY)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert house.told() == house.truth(days, until=START)

    House().run(scenario)


def test_a_clock_set_meanwhile() -> None:
    """Where the meter's clock is set while days are read, what does not join is not told."""

    async def scenario(house: House) -> None:
        days = house.days(1, 2, 3, 4, 5, 6)
        house.ask(*days)
        while len(house.seat.of(BackfillProgress)) < 3:
            await asyncio.sleep(0.1)
        house.set_clock(DAY)
        assert {each.outcome for each in await house.done()} == {"read"}
        assert house.told() == house.truth(days, until=START)

    House().run(scenario)


# --- requests


def test_a_newer_request_replaces_what_is_left() -> None:
    """The asker's older request ends with what it has come to, and the newer one begins."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 20)))
        while len(house.seat.of(BackfillProgress)) < 3:
            await asyncio.sleep(1)
        house.ask(*house.days(20, 21), request="r2")
        await house.done("r2")
        first = await house.done("r1")
        assert (first[-1].last, first[-1].done) == (True, len(first) - 1)
        assert len(first) < 6
        assert len(house.seat.of(MeterDay)) < 10

    House().run(scenario)


def test_two_askers_take_turns() -> None:
    """A person who asks for a day need not wait for the 99 that history asked for."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(*range(1, 30)))
        house.ask(*house.days(9), request="r2", asker=Domain.OPERATOR)
        await house.done("r2")
        assert len([each for each in house.seat.of(BackfillProgress) if each.request == "r1"]) <= 2
        await house.done("r1")

    House().run(scenario)


def test_odd_requests() -> None:
    """No day at all, the same day twice, and more days than there can be: each is answered in full."""

    async def scenario(house: House) -> None:
        house.ask(request="none")
        assert [(each.done, each.total) for each in await house.done("none")] == [(0, 0)]
        house.ask(*house.days(1, 1), request="twice")
        assert [(each.done, each.total) for each in await house.done("twice")] == [(1, 1), (1, 1)]
        many = [START.date() + n * DAY for n in range(1, 300)]
        house.ask(date.min, date.max, *many, request="many", minutes_since=datetime.min.replace(tzinfo=UTC))
        assert (await house.done("many"))[-1].total == 100
        assert {each.outcome for each in (await house.done("many"))[:-1]} == {"empty"}
        house.ask(request="minutes", minutes_since=datetime.max.replace(tzinfo=UTC))
        await house.done("minutes")

    House().run(scenario)


def test_a_port_opened_anew() -> None:
    """What is left of a request goes on over the next connection, the day that was under way included."""
    days: list[date] = []

    async def first(house: House) -> None:
        days.extend(house.days(*range(1, 9)))
        house.ask(*days)
        while len(house.seat.of(BackfillProgress)) < 3:
            await asyncio.sleep(1)

    async def second(house: House) -> None:
        progress = await house.done()
        assert [(each.day, each.outcome) for each in progress[:-1]] == [(day, "read") for day in days]
        assert house.told() == house.truth(days, until=START)

    House().run(first, second)


# --- minutes


def minutes(house: House) -> list[datetime]:
    """Which minutes were told, in order, by Japan's clock; each with the household's registers."""
    found = []
    for each in house.seat.of(MeterMinute):
        at = each.at.replace(tzinfo=None) + timedelta(hours=9)
        energy = house.household.energy(at)
        assert energy is not None
        kwh = (energy.imported_j // 360_000 / 10, energy.exported_j // 360_000 / 10)
        assert (each.energy_import_kwh, each.energy_export_kwh) == kwh
        found.append(at)
    return found


@pytest.mark.parametrize(("back", "told"), [(25, 25), (7, 7), (600, 60)])
def test_minutes(back: int, told: int) -> None:
    """The last minute and those before it, back to the one asked for or to the end of the meter's memory."""

    async def scenario(house: House) -> None:
        await asyncio.sleep(3600)
        since = house.clock().replace(second=0) - timedelta(minutes=back)
        house.ask(minutes_since=(since - timedelta(hours=9)).replace(tzinfo=UTC))
        await house.done()
        found = minutes(house)
        assert all(earlier - later == timedelta(minutes=1) for earlier, later in pairwise(found))
        assert told <= len(found) <= told + 2
        assert timedelta(0) < house.clock() - found[0] < timedelta(minutes=5)

    House(plate=SECOND_GENERATION).run(scenario)


def test_minutes_of_a_day_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that kept minutes for ever would not be asked for ever."""
    monkeypatch.setattr("hemsd.simulator.appendix.MINUTE_MEMORY", timedelta(days=9))

    async def scenario(house: House) -> None:
        house.ask(minutes_since=datetime(2026, 5, 1, tzinfo=UTC))
        await house.done()
        assert 0 <= len(minutes(house)) - 24 * 60 <= 2

    House(plate=SECOND_GENERATION).run(scenario)


def test_minutes_of_the_first_generation() -> None:
    """A meter that has none is not asked for minutes."""

    async def scenario(house: House) -> None:
        house.ask(*house.days(1), minutes_since=datetime(2026, 5, 14, tzinfo=UTC))
        assert [each.outcome for each in await house.done()] == ["read"] * 2
        assert house.seat.of(MeterMinute) == []
        assert house.requests(0xEE, 0xEF) == []

    House().run(scenario)


def test_minutes_through_losses() -> None:
    """A session lost and a selector moved cost no minute."""

    async def scenario(house: House) -> None:
        await asyncio.sleep(3600)
        since = house.clock().replace(second=0) - timedelta(minutes=55)
        house.ask(minutes_since=(since - timedelta(hours=9)).replace(tzinfo=UTC))
        await asyncio.sleep(5)
        house.module.faults.add(Fault(Strike.LOSE_SESSION))
        await house.done()
        found = minutes(house)
        assert all(earlier - later == timedelta(minutes=1) for earlier, later in pairwise(found))
        assert len(found) >= 55

    moved = Fault(Flaw.SELECTOR_MOVED, at=3600, times=2, arg=(0xEF, bytes.fromhex("07EA050E0E0105")))
    House(plate=SECOND_GENERATION, faults=[moved]).run(scenario)


def test_counts_of_notified_and_read_half_hours() -> None:
    """Half-hours that come by themselves have their counts, what one is worth, and the digits of the register."""

    async def scenario(house: House) -> None:
        await asyncio.sleep(3600)
        intervals = house.seat.of(MeterInterval)
        assert {each.source for each in intervals} == {"notified", "read"}
        for each in intervals:
            at = each.end.replace(tzinfo=None) + timedelta(hours=9)
            expected = house.truth([at.date()], until=at)[at]
            assert (each.import_count, each.export_count) == expected
            assert (str(each.count_kwh), each.digits) == ("0.1", 6)
            assert each.energy_import_kwh == expected[0] / 10

    House(START.replace(minute=10)).run(scenario)
