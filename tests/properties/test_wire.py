"""Lines of a hub's socket: whatever comes, in whatever pieces, is a message or a reason to end the connection."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.hub import AT, METER

from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Event, Message, MeterProperty, ReadMeter
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.wire import WireError, decode, encode, hear

events = st.builds(
    Event,
    at=st.just(AT),
    source=st.just(Domain.OPERATOR),
    kind=st.text(max_size=5),
    severity=st.just("info"),
    text=st.text(),
)
questions = st.builds(
    ReadMeter,
    request=st.text(),
    asker=st.just(Domain.OPERATOR),
    epcs=st.lists(st.integers(0x80, 0xFF)).map(tuple),
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
properties = st.builds(
    MeterProperty,
    request=st.text(),
    to=st.just(Domain.OPERATOR),
    meter=st.just(METER),
    epc=st.integers(0x80, 0xFF),
    value=scalars | st.lists(scalars) | st.dictionaries(st.text(), scalars | st.lists(scalars)),
)


@given(events | questions | properties)
def test_a_message_is_one_line_and_comes_back(message: Message) -> None:
    """No text in a message can end its line early, and nothing is lost or changed."""
    line = encode(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == message


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:type\\u0ReadMeter', max_size=200).map(str.encode))
def test_garbage_raises_nothing_but_the_wires_own_error(line: bytes) -> None:
    """Whatever is no message is refused with a sentence."""
    try:
        decode(line)
    except WireError as error:
        assert "does not understand" in str(error)


@given(st.lists(events, max_size=6), st.lists(st.integers(1, 400), max_size=40), st.booleans())
def test_any_pieces_give_the_same_messages(said: list[Event], sizes: list[int], torn: bool) -> None:
    """Wherever the stream is cut; what is torn at the end is forgotten."""
    stream = b"".join(map(encode, said)) + b'{"type":"Event"' * torn

    async def scenario() -> None:
        hub = Hub(ROUTES_6_4_3)
        history = hub.seat(Domain.HISTORY)
        reader = asyncio.StreamReader()
        hearing = asyncio.create_task(hear(reader, hub.seat(Domain.OPERATOR)))
        left = stream
        for size in sizes:
            piece, left = left[:size], left[size:]
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_data(left)
        reader.feed_eof()
        await hearing
        history_heard = []
        while (message := history._queue.take()) is not None:
            history_heard.append(message)
        assert history_heard == said

    asyncio.run(scenario())
