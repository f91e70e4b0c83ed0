from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.history import METER, NOON

from hemsd.history.days import SOURCES
from hemsd.history.inbox import RUNS_MAX, Inbox
from hemsd.history.intervals import NotKept, Scale, kept, kept_day, message_of, slot_of_value
from hemsd.hub.messages import BackfillProgress, Domain, Event, MeterDay, MeterInterval, MeterReading

UNSET = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)


def half_hour(**more: Any) -> MeterInterval:
    return MeterInterval(**{"meter": METER, "end": NOON, "source": "read"} | more)


@pytest.mark.parametrize(
    "message",
    [
        half_hour(energy_import_kwh=123.4, import_count=1234, count_kwh=Decimal("0.1"), digits=6),
        half_hour(import_count=1234, digits=None, states={"energy_import_kwh": "unknown_unit"}),
        half_hour(
            energy_export_kwh=50.0,
            export_count=5,
            count_kwh=Decimal(10),
            digits=8,
            states={"energy_import_kwh": "no_data"},
            source="notified",
        ),
    ],
)
def test_what_is_kept_becomes_the_same_message(message: MeterInterval) -> None:
    """There and back; the database adds nothing and forgets nothing."""
    run = kept(message)
    assert run is not None
    scale = 0 if run.scale is None else 1
    slots = {
        name: slot_of_value(value, SOURCES.index(run.source), scale) for name, (value,) in run.values.items() if value
    }
    scales = {1: run.scale} if run.scale else {}
    assert message_of(METER, run.at, slots, scales) == message
    assert SOURCES[next(slot.mark for slot in slots.values() if slot.raw is not None)] == message.source


def test_kwh_without_a_count_are_counted_finely() -> None:
    """For a register that tells energy only."""
    run = kept(half_hour(energy_import_kwh=123.45))
    assert run is not None
    assert (run.values, run.scale) == ({"import": (1_234_500,)}, Scale(1))


def test_a_half_hour_without_any_register_is_a_gap() -> None:
    """Nothing is kept: no row says zero."""
    assert kept(half_hour()) is None
    assert kept(half_hour(states={"energy_import_kwh": "no_data", "energy_export_kwh": "absent"})) is None


MIDNIGHT = NOON - timedelta(hours=12)
WHOLE = tuple(range(48))


def a_day(**more: Any) -> MeterDay:
    return MeterDay(**{"meter": METER, "first_at": MIDNIGHT, "count_kwh": Decimal("0.1"), "digits": 6} | more)


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ({"import_counts": WHOLE, "export_counts": WHOLE}, {"import": WHOLE, "export": WHOLE}),
        ({"import_counts": WHOLE}, {"import": WHOLE}),
        (
            {"import_counts": (1, None), "states": {"energy_export_kwh": "absent"}},
            {"import": (1, None), "export": ("absent", None)},
        ),
        (
            {"import_counts": (1, None, None), "export_counts": (None, 2, None)},
            {"import": (1, "no_data", None), "export": ("no_data", 2, None)},
        ),
        ({"export_counts": (5,), "first_at": MIDNIGHT + timedelta(hours=23.5)}, {"export": (5,)}),
    ],
)
def test_a_day_is_kept_as_a_run(told: dict[str, Any], values: dict[str, Any]) -> None:
    """Where one register has a count the other says why it has none; where neither has, nothing is kept."""
    run = kept_day(a_day(**told))
    assert run is not None
    assert run.values == values
    assert (run.source, run.scale) == ("backfill", Scale(1_000, 6))


@pytest.mark.parametrize("told", [{}, {"import_counts": (None,) * 48}, {"states": {"energy_import_kwh": "absent"}}])
def test_a_day_without_any_count_is_a_gap(told: dict[str, Any]) -> None:
    """Nothing is kept of it."""
    assert kept_day(a_day(**told)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"import_counts": (*WHOLE, 48)},
        {"import_counts": WHOLE, "first_at": NOON},
        {"import_counts": WHOLE, "export_counts": (1, 2)},
        {"import_counts": WHOLE, "first_at": MIDNIGHT + timedelta(seconds=1)},
        {"import_counts": (1, -1)},
        {"import_counts": (1,), "export_counts": (10**13,)},
    ],
)
def test_a_day_that_cannot_be_is_not_kept(wrong: dict[str, Any]) -> None:
    """More than a day, registers of different length, a boundary that is none, a count that no register shows."""
    with pytest.raises(NotKept):
        kept_day(a_day(**wrong))
    inbox = Inbox()
    assert inbox.hear_half_hours(a_day(**wrong))
    assert inbox.counters["not_kept"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"end": NOON + timedelta(minutes=1)},
        {"end": NOON + timedelta(microseconds=1)},
        {"end": datetime(2009, 12, 31, tzinfo=UTC)},
        {"end": datetime(2101, 1, 1, tzinfo=UTC)},
        {"import_count": -1},
        {"import_count": 10**13},
    ],
)
def test_what_cannot_be_true_is_not_kept(wrong: dict[str, Any]) -> None:
    """And is counted."""
    message = half_hour(**{"import_count": 5, "count_kwh": Decimal("0.1")} | wrong)
    with pytest.raises(NotKept):
        kept(message)
    inbox = Inbox()
    assert inbox.hear_half_hours(message)
    assert inbox.counters["not_kept"] == 1
    assert not inbox.batch()


def event(text: str, at: datetime) -> Event:
    return Event(at=at, source=Domain.ROUTEB, kind="test", severity="info", text=text)


def test_nothing_is_stamped_before_the_clock_is_set() -> None:
    """A machine without a battery: events and samples wait, then carry the time at which they really were."""
    inbox = Inbox()
    inbox.hear(event("early", UNSET), UNSET, 10.0)
    inbox.hear(MeterReading(meter=METER, measured_at=UNSET, power_w=5), UNSET, 20.0)
    assert not inbox.batch()
    assert inbox.samples_waiting == 0
    inbox.hear(event("late", NOON), NOON, 70.0)
    assert [(each.text, each.at) for each in inbox.batch().events] == [
        ("early", NOON - timedelta(seconds=60)),
        ("late", NOON),
    ]
    (reading,), _ = inbox.samples()
    assert reading.measured_at == NOON - timedelta(seconds=50)
    assert inbox.read_at == reading.measured_at


def test_half_hours_do_not_wait_for_this_machines_clock() -> None:
    """They carry the meter's."""
    inbox = Inbox()
    inbox.hear_half_hours(half_hour(import_count=5))
    assert len(inbox.batch().runs) == 1


def test_a_batch_stays_until_it_is_written() -> None:
    """What comes meanwhile is the next one: nothing is written twice, nothing is lost."""
    inbox = Inbox()
    inbox.hear(event("one", NOON), NOON, 0)
    first = inbox.batch()
    inbox.hear(event("two", NOON), NOON, 0)
    assert inbox.batch() is first
    inbox.written()
    assert [each.text for each in inbox.batch().events] == ["two"]


def test_what_waits_is_bounded() -> None:
    """A disk that is away for a year costs no memory; what was dropped is counted."""
    inbox = Inbox()
    for number in range(RUNS_MAX + 5):
        inbox.hear_half_hours(half_hour(end=NOON + timedelta(minutes=30 * number), import_count=number))
        inbox.hear(event("x", NOON), NOON, 0)
    batch = inbox.batch()
    assert len(batch.runs) == RUNS_MAX
    assert inbox.counters["dropped"] == 5
    assert len(batch.events) == 1_000


def test_only_days_that_are_over_are_done_with() -> None:
    """Today has more to come; a day that failed is asked again."""
    inbox = Inbox()
    today = (NOON + timedelta(hours=9)).date()
    for day, outcome in (
        (today, "read"),
        (today - timedelta(days=1), "read"),
        (today - timedelta(days=2), "empty"),
        (today - timedelta(days=3), "failed"),
    ):
        told = BackfillProgress(request="r", meter=METER, day=day, outcome=outcome, done=1, total=4)
        inbox.hear_progress(told, lambda: NOON)
    assert inbox.batch().asked == [(METER, today - timedelta(days=1)), (METER, today - timedelta(days=2))]
