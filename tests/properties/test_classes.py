"""Whatever a device sends and whatever is wished: every property of every class and release keeps to its word."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.classes import every_property, size

from hemsd.echonet.classes import table
from hemsd.echonet.classes.catalogue import PropertyClass, Rule, class_names
from hemsd.echonet.classes.device import Refusal
from hemsd.echonet.classes.scalars import SENTINELS
from hemsd.echonet.values import PropertyError, State, plain

EVERY = list(every_property())
WRITABLE = [each for each in EVERY if each.set is not Rule.NONE]
COEFFICIENTS = {epc: b"\x01" for each in EVERY for epc in each.coefficients} | {0xD3: b"\0\0\0\1", 0xD8: b"\0\1"}
WISHES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary() | st.dates()
    | st.times() | st.datetimes() | st.timedeltas() | st.sampled_from(State),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def tried(each: PropertyClass, edt: bytes) -> None:
    """Decode, show, and encode again what can be set: the same value comes out."""
    try:
        value = each.decode(edt, COEFFICIENTS)
    except PropertyError as error:
        assert (error.epc, error.edt) == (each.epc, edt)
        return
    plain(value)
    try:
        again = each.encode(value)
    except Refusal:
        return
    assert len(again) == len(edt)
    assert each.decode(again) == value


@given(st.binary(max_size=255))
def test_any_data_is_a_value_or_a_property_error(data: bytes) -> None:
    """Of any length, and cut to the length that the property has."""
    for each in EVERY:
        tried(each, data)
        tried(each, data[: size(each.data)])


@pytest.mark.parametrize("code", class_names(), ids="{:04X}".format)
def test_data_of_the_right_length_is_a_value_or_a_property_error(code: int) -> None:
    """Codes at the edges of everything, in every byte, and many at random."""
    chance = random.Random(code)
    edges = bytes.fromhex("0001303132414243 717D7E7F8081A0C0 FDFEFF")
    for each in EVERY:
        if each.owner.code == code:
            length = size(each.data)
            for fill in edges:
                tried(each, bytes((fill,)) * length)
            for _ in range(150):
                tried(each, bytes(chance.choices(edges, k=length)))
                tried(each, chance.randbytes(length))
            if length == 1:
                for only in range(256):
                    tried(each, bytes((only,)))


@given(WISHES)
def test_any_wish_is_data_or_a_refusal(value: Any) -> None:
    """And data that is sent means what was wished."""
    for each in EVERY:
        try:
            edt = each.encode(value)
        except Refusal as refusal:
            assert refusal.code in {"bad_request", "out_of_range"}
            assert str(refusal).startswith(f"{each.name}: ")
        else:
            each.encode(each.decode(edt))


def limits(data: table.Data, *, beside: bool = False) -> Iterator[tuple[Any, Any]]:
    """Wishes at every limit of some data, and the values that they come back as."""
    match data:
        case table.NumberData():
            step = 1 if data.multiple == 1 else Decimal(str(data.multiple))
            counts = {data.minimum, data.minimum + 1, data.maximum - 1, data.maximum}
            yield from ((count * step,) * 2 for count in counts)
        case table.StateData():
            for told in data.enum.values():
                exact = Decimal(str(told)) if isinstance(told, float) else told
                yield exact, SENTINELS.get(str(told), exact) if beside else exact
        case table.LevelData():
            for level in {1, 2, data.maximum - 1, data.maximum}:
                yield (f"{data.prefix}_{level}" if data.prefix else level,) * 2
        case table.BytesData():
            yield from (("A5" * length,) * 2 for length in {data.minimum, data.maximum})
        case table.DateData():
            yield from ((text, date.fromisoformat(text)) for text in ("0002-01-01", "2028-02-29", "9998-12-31"))
        case table.TimeData():
            texts = (text[: data.size * 3 - 1] for text in ("00:00:00", "23:59:59"))
            yield from ((text, time.fromisoformat(text)) for text in texts)
        case table.DurationData():
            yield from (("00:00", timedelta(0)), ("255:59", timedelta(hours=255, minutes=59)))
        case table.MomentData():
            texts = (text[: data.size * 3 - 2] for text in ("0002-01-01T00:00:00", "9998-12-31T23:59:59"))
            yield from ((text, datetime.fromisoformat(text)) for text in texts)
        case table.OneOfData():
            for each in data.of:
                yield from limits(each, beside=True)
        case table.BitmapData():
            yield from structures({name: bit.data for name, bit in data.bits.items()})
        case table.ObjectData():
            yield from structures(data.fields)
        case table.ArrayData():
            for count in {data.minimum, data.maximum}:
                yield from (([each] * count, [back] * count) for each, back in limits(data.items))
        case _:
            raise AssertionError(f"{data} is not to be set")


def structures(fields: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each field at each of its limits, the others at their first."""
    every = {name: list(limits(data)) for name, data in fields.items()}
    first = {name: cases[0] for name, cases in every.items()}
    for name, cases in every.items():
        for case in cases:
            members = first | {name: case}
            yield {key: wish for key, (wish, _) in members.items()}, {key: back for key, (_, back) in members.items()}


@pytest.mark.parametrize("code", sorted({each.owner.code for each in WRITABLE}), ids="{:04X}".format)
def test_what_can_be_set_comes_back_at_its_limits(code: int) -> None:
    """decode(encode(wish)) is the wish, for each writable property, at each limit and each word."""
    for each in WRITABLE:
        if each.owner.code != code:
            continue
        cases = list(limits(each.data))
        assert cases
        for wish, value in cases:
            try:
                edt = each.encode(wish)
            except Refusal as refusal:
                assert (each.epc, wish) == (0xC5, 0), refusal  # 02A4: the code of cancel
                continue
            assert each.decode(edt) == value, (each, wish)


def test_a_number_beyond_its_limits_is_refused() -> None:
    """One step too far, on either side; nothing is clipped."""
    numbers = [each for each in WRITABLE if isinstance(each.data, table.NumberData)]
    assert len(numbers) > 60
    for each in numbers:
        assert isinstance(each.data, table.NumberData)
        step = 1 if each.data.multiple == 1 else Decimal(str(each.data.multiple))
        for number in (each.data.minimum - 1, each.data.maximum + 1):
            with pytest.raises(Refusal) as caught:
                each.encode(number * step)
            assert caught.value.code == "out_of_range"


def test_the_cases_are_many() -> None:
    """Nearly a thousand properties, hundreds of them to be set."""
    assert len(EVERY) == 982
    assert len(WRITABLE) > 350
    assert len(list(islice((case for each in WRITABLE for case in limits(each.data)), 3000))) > 2000
