"""Whatever a meter does and in whatever order it is heard, history holds it once and counts it right."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from operator import add

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.history import DAY, METER, at, batch, in_memory, pieces_of, records, rows

from hemsd.history import calendar
from hemsd.history.counters import Reading
from hemsd.history.days import FIRST_STATE, STATES, Day, DayDamaged, Slot, pack, unpack
from hemsd.history.intervals import Run, Scale, kept, kept_day, message_of
from hemsd.history.keeper import Keeper
from hemsd.history.tables import Tables, total
from hemsd.hub.messages import MeterDay, MeterInterval

SLOTS = st.one_of(
    st.none(),
    st.builds(Slot, st.integers(1, 3), st.integers(0, 300), st.integers(0, 10**12)),
    st.builds(Slot, st.integers(FIRST_STATE, FIRST_STATE + len(STATES) - 1), st.just(0), st.none()),
)
LIVES = st.integers(0, 2**32).map(random.Random)
COUNTS = st.builds(add, st.sampled_from([0, 64, 2**31, 2**32 - 80, 10**12 - 99]), st.integers(0, 99))
DAYS = st.lists(SLOTS, min_size=48, max_size=48)


def columns(slots: list[Slot | None]) -> Day:
    day = Day()
    for number, slot in enumerate(slots):
        if slot is not None:
            day[number] = slot
    return day


@given(DAYS, st.integers(0, 2**40), st.integers(1, 48))
def test_a_packed_day_is_the_day(day: list[Slot | None], key: int, slots: int) -> None:
    """Packing loses nothing, and the beginning of a day can be had alone."""
    packed = pack(columns(day), key)
    assert unpack(packed, key) == columns(day)
    assert [unpack(packed, key)[slot] for slot in range(48)] == day
    beginning = unpack(packed, key, slots)
    assert [beginning[slot] for slot in range(slots)] == day[:slots]


@given(st.lists(COUNTS, min_size=1, max_size=48))
@example([2**32 - 5, 4, 30])
def test_counts_of_any_size_are_packed(counts: list[int]) -> None:
    """Also those whose differences are small only where they are taken for 32 bits."""
    day = Day()
    day.put(0, Slot(1, 1).kind, counts)
    ((_, _, told),) = unpack(pack(day, 1), 1).between(0, len(counts))
    assert list(told) == counts


@given(DAYS, st.integers(0, 2**31), st.data())
def test_a_packed_day_tells_of_damage(day: list[Slot | None], key: int, data: st.DataObject) -> None:
    """One flipped bit, or the day of another row, is noticed; SQLite's own checks would let both pass."""
    packed = bytearray(pack(columns(day), key))
    wrong_key = data.draw(st.booleans())
    if not wrong_key:
        bit = data.draw(st.integers(0, 8 * len(packed) - 1))
        packed[bit // 8] ^= 1 << bit % 8
    try:
        unpack(bytes(packed), key ^ wrong_key)
    except DayDamaged:
        return
    raise AssertionError("not noticed")


@dataclass
class Life:
    """The register of a home over some days, meters and units: what it showed, and what was really used."""

    shown: list[list[Run]]  # of one meter after the other
    used: dict[int, int]  # ticks since the beginning, at each boundary
    unsure: int  # ticks by which rounding may differ


def live(chance: random.Random, boundaries: int) -> Life:
    """A life with wraps, exchanges, changed units and gaps."""
    scale, raw, name = Scale(1_000, 3), chance.randrange(1_000), 0
    life = Life([[]], {}, 0)
    used = 0
    register = raw * scale.ticks
    for slot in range(boundaries):
        use = chance.choice([0, 1_000, 2_000, 2_000, 3_000])
        fate = chance.random()
        if fate < 0.01 and life.shown[-1]:  # exchanged: nothing is used meanwhile
            use, name = 0, name + 1
            register = chance.randrange(1_000) * scale.ticks
            life.shown.append([])
        used, register = used + use, register + use
        if 0.01 <= fate < 0.02:
            scale = Scale(chance.choice([100, 500, 1_000, 2_000]), 5)
            life.unsure += 2_000
        register %= 10**scale.digits * scale.ticks
        life.used[at(slot)] = used
        if chance.random() < 0.9:
            value = {"import": (register // scale.ticks,), "export": (slot,)}
            source = chance.choice(["read", "notified"])
            life.shown[-1].append(Run(f"meter{name}", at(slot), source, scale, value))
    return life


def heard(chance: random.Random, life: Life) -> Iterator[list[Run]]:
    """The same in another order, in parts and in batches, some of it twice; no meter after the next one was heard."""
    for shown in life.shown:
        left = shown + chance.choices(shown, k=len(shown) // 4) if shown else []
        left += [replace(each, values={name: each.values[name]}) for each in left for name in each.values]
        left = left[len(left) // 3 :] if chance.random() < 0.5 else left  # told in parts only
        chance.shuffle(left)
        while left:
            size = chance.choice([1, 1, 5, 48])
            yield left[:size]
            left = left[size:]


def known(db: sqlite3.Connection) -> list[Reading]:
    tables = Tables(db)
    return list(tables.readings(tables.chain("import"), 0, 2**40))


@given(LIVES, st.integers(2, 120))
def test_the_order_of_arrival_does_not_matter(chance: random.Random, boundaries: int) -> None:
    """Totals kept step by step are those of all readings in order; they never fall, and add up to what was used."""
    life = live(chance, boundaries)
    db = in_memory()
    keeper = Keeper(db)
    for part in heard(chance, life):
        keeper.keep(batch(*part))
    readings, pieces = known(db), Tables(db).pieces("import")
    assert readings == sorted(readings)
    assert [(each.at, each.raw) for each in readings] == [
        (i.at, i.values["import"][0]) for m in life.shown for i in m
    ]
    assert pieces == pieces_of(readings)
    totals = [total(pieces, reading) for reading in readings]
    assert totals == sorted(totals)
    if readings and not any(piece.doubt_from for piece in pieces):
        counted = totals[-1] - totals[0]
        assert abs(counted - (life.used[readings[-1].at] - life.used[readings[0].at])) <= life.unsure


@given(LIVES, st.integers(2, 120))
def test_every_half_hour_is_a_record_once(chance: random.Random, boundaries: int) -> None:
    """Records tell each half-hour once, by growing seq, with its value; read in parts they are the same."""
    life = live(chance, boundaries)
    db = in_memory()
    keeper = Keeper(db)
    for part in heard(chance, life):
        keeper.keep(batch(*part))
    told, seq = [], 0
    while part := records(db, seq, chance.choice([1, 7, 100])):
        told += part
        seq = told[-1].seq
    assert [record.seq for record in told] == sorted({record.seq for record in told})
    expected = {(each.meter, each.at): each for shown in life.shown for each in shown}
    assert len(told) == len(expected)
    for record in told:
        each = expected[record.content.meter, int(record.content.end.timestamp())]
        slot = Slot(0, 1, each.values["import"][0])
        message = message_of(each.meter, each.at, {"import": slot}, {1: each.scale})
        assert record.content.import_count == message.import_count
        assert record.content.energy_import_kwh == message.energy_import_kwh


@given(LIVES, st.integers(2, 120))
def test_periods_add_up(chance: random.Random, boundaries: int) -> None:
    """Half-hours without a neighbour are gaps with no energy; a day that is known is the sum of its half-hours."""
    life = live(chance, boundaries)
    db = in_memory()
    keeper = Keeper(db)
    for shown in life.shown:
        keeper.keep(batch(*shown))
    now = calendar.utc(at(boundaries - 1))
    span = {"first": calendar.day(DAY), "last": calendar.day(DAY + 9)}
    half_hours, days = rows(db, "30m", now, **span), rows(db, "day", now, **span)
    told = {each.at for shown in life.shown for each in shown}
    for row in half_hours:
        whole = {int(row.start.timestamp()), int(row.end.timestamp())} <= told
        assert whole or (row.imported_kwh is None and row.coverage == 0)
    for day in days:
        parts = [row.imported_kwh for row in half_hours if day.start <= row.start < day.end]
        if day.coverage == 1:
            assert None not in parts
            assert round(sum(part or 0 for part in parts), 3) == day.imported_kwh
        elif None in parts:
            assert day.coverage < 1


@dataclass
class Told:
    """Half-hours of a meter as they came, and one day out of its memory, told at a place among them."""

    live: list[MeterInterval]
    day: MeterDay
    place: int  # so many half-hours came before the day


def told(chance: random.Random) -> Told:
    """A register that wraps and has holes; what memory says may differ, lack a register or the unit."""
    count, live = chance.randrange(1_000), []
    memory: dict[str, list[int | None]] = {"import_counts": [], "export_counts": []}
    worth = {"count_kwh": chance.choice([Decimal("0.1"), Decimal("0.1"), None]), "digits": 3}
    first, length = chance.choice([(0, 48), (0, 48), (0, chance.randint(1, 48)), (10, 20)])
    for slot in range(-20, 70):
        count = (count + chance.choice([0, 1, 2, 7])) % 1_000
        other = count if chance.random() < 0.9 else chance.randrange(1_000)
        if chance.random() < 0.3:
            counts = {"import_count": count, "export_count": chance.choice([slot + 20, None])}
            scale = {"count_kwh": Decimal("0.1"), "digits": 3}
            source = chance.choice(["read", "notified"])
            live.append(MeterInterval(meter=METER, end=calendar.utc(at(slot)), source=source, **counts, **scale))
        if first <= slot < first + length:
            memory["import_counts"].append(chance.choice([other] * 9 + [None]))
            memory["export_counts"].append(chance.choice([slot + 20] * 9 + [None]))
    states = {}
    if chance.random() < 0.3:
        memory["export_counts"], states = [], {"energy_export_kwh": chance.choice(["absent", "refused"])}
    chance.shuffle(live)
    counts = {register: tuple(counts) for register, counts in memory.items()}
    day = MeterDay(meter=METER, first_at=calendar.utc(at(first)), states=states, **counts, **worth)
    return Told(live, day, chance.randint(0, len(live)))


def one_by_one(day: MeterDay) -> list[MeterInterval]:
    """The same as 48 messages."""
    found = []
    for number, imported in enumerate(day.import_counts):
        exported = day.export_counts[number] if day.export_counts else None
        states = day.states | ({"energy_import_kwh": "no_data"} if imported is None else {})
        if exported is None:
            states = {"energy_export_kwh": "no_data"} | states
        end = day.first_at + timedelta(minutes=30 * number)
        counts = {"import_count": imported, "export_count": exported}
        scale = {"count_kwh": day.count_kwh, "digits": day.digits}
        found.append(MeterInterval(meter=METER, end=end, source="backfill", states=states, **counts, **scale))
    return found


def database(*parts: list[MeterInterval | MeterDay]) -> sqlite3.Connection:
    """What is there after these batches."""
    db = in_memory()
    keeper = Keeper(db)
    for part in parts:
        runs = [kept(each) if isinstance(each, MeterInterval) else kept_day(each) for each in part]
        keeper.keep(batch(*(run for run in runs if run is not None)))
    return db


def contents(db: sqlite3.Connection, *, sources: bool = True) -> object:
    """Everything that a reader sees but the seqs, which are as they have to be."""
    found = records(db)
    assert [record.seq for record in found] == sorted({record.seq for record in found})
    by_time = sorted((record.content for record in found), key=lambda content: content.end)
    assert len({content.end for content in by_time}) == len(by_time)
    tables, now = Tables(db), calendar.utc(at(80))
    return (
        [content if sources else replace(content, source="read") for content in by_time],
        [tables.spans(channel) for _, channel in sorted(tables.channels.items())],
        [tables.pieces(register) for register in ("import", "export")],
        [
            replace(row, source=row.source if sources else "")
            for what in ("30m", "day", "gaps")
            for row in rows(db, what, now)
        ],
    )


@settings(max_examples=settings.default.max_examples // 4)  # of 150 transactions each
@given(LIVES)
def test_a_day_told_at_once_is_its_half_hours_one_by_one(chance: random.Random) -> None:
    """Rows, totals, gaps and records are the same, whatever came by itself before, between or after."""
    story = told(chance)
    before, after = [[each] for each in story.live[: story.place]], [[each] for each in story.live[story.place :]]
    half_hours = [[each] for each in one_by_one(story.day)]
    at_once = database(*before, [story.day], *after)
    assert contents(at_once) == contents(database(*before, *half_hours, *after))
    assert contents(at_once) == contents(
        database([*story.live[: story.place], story.day, *story.live[story.place :]])
    )
    mixed = [*before, *after]
    for each in chance.sample(half_hours, len(half_hours)):
        mixed.insert(chance.randint(0, len(mixed)), each)
    assert contents(at_once, sources=False) == contents(database(*mixed), sources=False)


@given(LIVES)
def test_a_day_told_again_writes_nothing(chance: random.Random) -> None:
    """Nor does it take a seq."""
    story = told(chance)
    db = database(story.live, [story.day])
    told_before = records(db)
    with closing(sqlite3.connect(":memory:")) as copy:
        db.backup(copy)
        run = kept_day(story.day)
        outcome = Keeper(db).keep(batch(*([run] if run else [])))
        assert outcome.kept == 0
        assert records(db) == told_before
        assert list(db.iterdump()) == list(copy.iterdump())
