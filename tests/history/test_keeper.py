from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from support.history import DAY, METER, NOON, TENTH, at, batch, event, in_memory, interval, records, rows

from hemsd.history import calendar
from hemsd.history.inbox import Batch
from hemsd.history.intervals import Run, Scale, kept_day
from hemsd.history.keeper import Keeper
from hemsd.history.query import History
from hemsd.hub.messages import MeterDay


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (("backfill", 5), ("read", 6), 6),
        (("read", 5), ("notified", 6), 6),
        (("read", 5), ("read", 6), 6),  # the meter corrects itself
        (("notified", 5), ("read", 6), 5),
        (("read", 5), ("backfill", 6), 5),
        (("read", 5), ("notified", "no_data"), 5),  # no data never takes a value's place
        (("notified", "no_data"), ("backfill", 6), 6),
    ],
)
def test_the_better_source_wins(first: tuple[str, int | str], second: tuple[str, int | str], kept: int) -> None:
    """Notified before read before backfill, in whatever order they come; a lower one that differs is told."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(0, first[1], first[0])))
    outcome = keeper.keep(batch(interval(0, second[1], second[0])))
    (record,) = records(db)
    assert record.content.import_count == kept
    assert outcome.contradicted == ([at(0)] if kept == 5 and second[1] == 6 else [])


def test_a_day_at_once() -> None:
    """What is new of it has one block of seqs; what was known better, and differs, is told as a contradiction."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(5, 105, "notified"), interval(6, 99, "notified")))
    counts = tuple(None if slot == 7 else 100 + slot for slot in range(48))
    outcome = keeper.keep(batch(Run(METER, at(0), "backfill", TENTH, {"import": counts})))
    assert (outcome.kept, outcome.contradicted) == (45, [at(6)])
    told = records(db)
    assert [record.seq for record in told] == list(range(1, 48))
    ends = [int(record.content.end.timestamp()) for record in told]
    assert ends == [at(5), at(6), *(at(slot) for slot in range(48) if slot not in (5, 6, 7))]
    assert [record.content.import_count for record in told[:3]] == [105, 99, 100]


@pytest.mark.parametrize(
    "told",
    [
        {"import_counts": tuple(range(48))},
        {"import_counts": tuple(range(0, 48_000, 1_000)), "states": {"energy_export_kwh": "absent"}},
        {"import_counts": tuple(range(48)), "export_counts": tuple(range(900, 852, -1))},
        {"import_counts": tuple(range(48)), "count_kwh": None, "digits": None},
    ],
)
def test_a_whole_day_is_kept_like_any_other(told: dict[str, Any]) -> None:
    """What is written for it at once is what its half-hours one after the other lead to, days beside it included."""
    shortly, at_length = in_memory(), in_memory()
    keepers = [Keeper(shortly), Keeper(at_length)]
    for days in [(3, 2), (5,), (4, 2)]:
        more = {"count_kwh": Decimal("0.1"), "digits": 6} | told
        midnights = [NOON - timedelta(hours=12) + timedelta(days=day) for day in days]
        runs = [kept_day(MeterDay(meter=METER, first_at=midnight, **more)) for midnight in midnights]
        whole = [run for run in runs if run is not None and run.whole]
        assert len(whole) == len(days)
        outcomes = [
            keeper.keep(batch(*[replace(run, whole=knows) for run in whole]))
            for keeper, knows in zip(keepers, (True, False), strict=True)
        ]
        assert outcomes[0] == outcomes[1]
    assert list(shortly.iterdump()) == list(at_length.iterdump())


@pytest.mark.parametrize("slot", [0, 20, 47])
def test_a_half_hour_of_a_day_corrected(slot: int) -> None:
    """It has a new seq, also after a restart, and its old one is no record any more; the others keep theirs."""
    db = in_memory()
    Keeper(db).keep(batch(Run(METER, at(0), "backfill", TENTH, {"import": tuple(range(48))})))
    assert History(db).head() == 48
    Keeper(db).keep(batch(interval(slot, slot + 1, "notified")))
    told = records(db)
    assert [record.seq for record in told] == [seq for seq in range(1, 50) if seq != slot + 1]
    assert told[-1].content.end == calendar.utc(at(slot))
    assert records(db, 30, 5) == [record for record in told if record.seq > 30][:5]
    assert History(db).summary(calendar.utc(at(48))).half_hours == 48


def test_the_same_again_writes_nothing() -> None:
    """Neither a row nor a seq: memory cards wear."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(0, 5)))
    before = db.total_changes
    for source in ("backfill", "read", "notified"):
        assert keeper.keep(batch(interval(0, 5, source))).kept == 0
    assert db.total_changes == before
    assert [record.seq for record in records(db)] == [1]


def test_import_and_export_may_come_apart() -> None:
    """They make one record, whose seq is new when the second half comes."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(0, 5)))
    keeper.keep(batch(interval(0, "absent", values={"import": 5, "export": 7})))
    (record,) = records(db)
    assert (record.seq, record.content.import_count, record.content.export_count) == (2, 5, 7)
    assert record.content.energy_export_kwh == 0.7


def test_a_record_tells_what_the_meter_told() -> None:
    """Counts, unit, digits, source, and why a register is not there."""
    db = in_memory()
    Keeper(db).keep(batch(interval(1, 12_345, "notified", values={"export": "overflow"}, scale=Scale(100, 8))))
    told = records(db)[0].content
    assert (told.meter, told.end, told.source) == (METER, calendar.utc(at(1)), "notified")
    assert (told.energy_import_kwh, told.import_count, str(told.count_kwh), told.digits) == (
        123.45,
        12_345,
        "0.01",
        8,
    )
    assert (told.energy_export_kwh, told.states) == (None, {"energy_export_kwh": "overflow"})


def test_a_unit_learnt_later_makes_a_count_energy() -> None:
    """Until then it is kept, and shown as a gap."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(*(interval(slot, slot, scale=None) for slot in (0, 1))))
    assert records(db)[0].content.states == {"energy_import_kwh": "unknown_unit"}
    assert rows(db, "day") == []
    keeper.keep(batch(*(interval(slot, slot, "backfill") for slot in (0, 1))))
    assert [row.imported_kwh for row in rows(db, "day")] == [0.1]


def test_events_and_half_hours_share_one_seq() -> None:
    """A reader with one cursor misses none, whichever was first."""
    db = in_memory()
    keeper = Keeper(db)
    for number in range(3):
        keeper.keep(batch(interval(number, number), events=[event(f"event {number}")]))
    told = records(db)
    assert [record.seq for record in told] == [1, 2, 3, 4, 5, 6]
    assert [record.content.text for record in told[1::2]] == ["event 0", "event 1", "event 2"]
    assert told[1].content == event("event 0")
    assert [record.seq for record in records(db, 2, limit=3)] == [3, 4, 5]


def test_an_exchanged_meter_is_noticed_once() -> None:
    """By what it tells of the present; its own memory of before belongs to another home."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(*(interval(slot, 100 + slot) for slot in range(4))))
    new = {"meter": "zyxwvutsrq"}
    assert not keeper.keep(batch(*(interval(slot, 5_000, "backfill", **new) for slot in range(6)))).replaced
    assert keeper.keep(batch(interval(6, 5_001, **new))).replaced
    assert not keeper.keep(batch(interval(7, 5_004, **new))).replaced
    (day,) = rows(db, "day")
    assert day.imported_kwh == pytest.approx(0.3 + 0.4)
    assert 0 < day.coverage < 1


def test_what_falls_or_jumps_is_told_once() -> None:
    """With the register and the half-hour, for an event."""
    db = in_memory()
    keeper = Keeper(db)
    assert keeper.keep(batch(interval(0, 100), interval(1, 40))).regressed == [("import", at(1))]
    assert keeper.keep(batch(interval(2, 41))).regressed == []
    assert keeper.keep(batch(interval(3, 101))).regressed == []
    assert keeper.keep(batch(interval(4, 102, scale=Scale(10_000)))).jumped == [("import", at(4))]
    half_hours = rows(db, "30m")
    assert [row.imported_kwh for row in half_hours[:4]] == [None, None, None, None]
    keeper.keep(batch(interval(5, 103, scale=Scale(10_000))))
    assert rows(db, "day")[0].imported_kwh == 1.1  # 0.1 when it was back, and 1 kWh in the new unit


def test_old_events_go_and_the_newest_stays() -> None:
    """By age and by number; seqs are not given twice, because the newest one is always there."""
    db = in_memory()
    keeper = Keeper(db)
    days = [NOON - timedelta(days=days) for days in (400, 300, 200, 100)]
    keeper.keep(batch(events=[event(str(number), when) for number, when in enumerate(days)]))
    keeper.forget_events(round((NOON - timedelta(days=366)).timestamp() * 1e6), 100)
    assert [record.content.text for record in records(db)] == ["1", "2", "3"]
    keeper.forget_events(0, 2)
    assert [record.content.text for record in records(db)] == ["2", "3"]
    keeper.forget_events(round(NOON.timestamp() * 1e6), 2)
    assert [record.content.text for record in records(db)] == ["3"]
    keeper.keep(batch(events=[event("later")]))
    assert records(db)[-1].seq == 5


def test_a_failed_batch_leaves_nothing_behind() -> None:
    """Not in the database, and not in what is remembered of it."""
    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(0, 5)))
    db.execute("CREATE TRIGGER broken BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'broken'); END")
    with pytest.raises(Exception, match="broken"):
        keeper.keep(batch(interval(1, 6, meter="new", scale=Scale(7)), events=[event("x")]))
    db.execute("DROP TRIGGER broken")
    assert len(records(db)) == 1
    keeper.keep(batch(interval(1, 6, meter="new", scale=Scale(7)), events=[event("x")]))
    assert [record.seq for record in records(db)] == [1, 2, 3]
    assert records(db)[1].content.meter == "new"


def test_days_given_completely_are_remembered() -> None:
    """They are not missing any more, although they have gaps."""

    db = in_memory()
    keeper = Keeper(db)
    keeper.keep(batch(interval(0, 5)))
    history, now = History(db), calendar.utc(at(10, DAY + 1)).astimezone(UTC)
    assert history.missing_days(METER, now, 3) == [calendar.day(DAY + 1), calendar.day(DAY), calendar.day(DAY - 1)]
    keeper.keep(Batch(asked=[(METER, calendar.day(DAY))]))
    assert history.missing_days(METER, now, 3) == [calendar.day(DAY + 1), calendar.day(DAY - 1)]


@pytest.mark.parametrize(
    ("told", "remembered"),
    [
        ({}, []),
        ({"states": {"energy_export_kwh": "absent"}}, []),
        ({"states": {"energy_export_kwh": "no_data"}}, [DAY]),
        ({"count_kwh": None}, [DAY]),
        ({"import_counts": (None, *range(47))}, [DAY]),
    ],
)
def test_a_day_that_lacks_nothing_need_not_be_remembered(told: dict[str, Any], remembered: list[int]) -> None:
    """It is not missing anyway."""
    db = in_memory()
    keeper = Keeper(db)
    fields = {"import_counts": tuple(range(48)), "count_kwh": Decimal("0.1"), "digits": 6} | told
    run = kept_day(MeterDay(meter=METER, first_at=NOON - timedelta(hours=12), **fields))
    assert run is not None
    keeper.keep(Batch(runs=[run], asked=[(METER, calendar.day(DAY))]))
    assert [day for (day,) in db.execute("SELECT day FROM asked")] == remembered
    now = calendar.utc(at(10, DAY + 1)).astimezone(UTC)
    assert History(db).missing_days(METER, now, 2) == [calendar.day(DAY + 1)]
