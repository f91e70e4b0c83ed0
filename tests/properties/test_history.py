"""Whatever a meter does and in whatever order it is heard, history holds it once and counts it right."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.history import DAY, at, batch, in_memory, records, rows

from hemsd.history import calendar
from hemsd.history.counters import Reading, pieces_of
from hemsd.history.days import FIRST_STATE, STATES, DayDamaged, Slot, pack, unpack
from hemsd.history.intervals import Interval, Scale, message_of
from hemsd.history.keeper import Keeper
from hemsd.history.tables import Tables, total

SLOTS = st.one_of(
    st.none(),
    st.builds(Slot, st.integers(1, 3), st.integers(0, 300), st.integers(0, 10**12)),
    st.builds(Slot, st.integers(FIRST_STATE, FIRST_STATE + len(STATES) - 1), st.just(0), st.none()),
)
LIVES = st.integers(0, 2**32).map(random.Random)
DAYS = st.lists(SLOTS, min_size=48, max_size=48)


@given(DAYS, st.integers(0, 2**40), st.integers(1, 48))
def test_a_packed_day_is_the_day(day: list[Slot | None], key: int, slots: int) -> None:
    """Packing loses nothing, and the beginning of a day can be had alone."""
    packed = pack(day, key)
    assert unpack(packed, key) == day
    assert unpack(packed, key, slots) == day[:slots]


@given(DAYS, st.integers(0, 2**31), st.data())
def test_a_packed_day_tells_of_damage(day: list[Slot | None], key: int, data: st.DataObject) -> None:
    """One flipped bit, or the day of another row, is noticed; SQLite's own checks would let both pass."""
    packed = bytearray(pack(day, key))
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

    shown: list[list[Interval]]  # of one meter after the other
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
            value = {"import": register // scale.ticks, "export": slot}
            source = chance.choice(["read", "notified"])
            life.shown[-1].append(Interval(f"meter{name}", at(slot), source, scale, value))
    return life


def heard(chance: random.Random, life: Life) -> Iterator[list[Interval]]:
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
    assert [(each.at, each.raw) for each in readings] == [(i.at, i.values["import"]) for m in life.shown for i in m]
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
        slot = Slot(0, 1, each.values["import"])
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
