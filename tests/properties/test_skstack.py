"""Whatever the bytes and however they are cut: the same events, no exception, bounded memory, no secret shown."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.skstack import CREDENTIALS, EINFO_DUAL, EINFO_SE, GET_POWER, METER, METER_MAC, PAN, SELF, erxudp, opened

from drivers.module import (
    Command,
    Datagram,
    Done,
    Event,
    Join,
    Leave,
    Line,
    Noise,
    Open,
    Refused,
    Rejoin,
    Scan,
    Send,
    UseCredentials,
)
from drivers.skstack import Engine
from drivers.skstack.framing import MAX_LINE, MAX_PAYLOAD, Framer

PARTS_OF_SECRETS = [
    text[at : at + 5] for text in (CREDENTIALS.password, CREDENTIALS.id) for at in range(len(text) - 4)
]
COMMANDS: list[Command] = [
    Open(keep_session=True),
    Open(keep_session=False),
    UseCredentials(CREDENTIALS),
    Scan(6),
    Join(PAN),
    Rejoin(),
    Leave(),
    Send(METER, GET_POWER),
]
LINES = [
    b"OK",
    b"OK 01",
    b"OK 00",
    b"FAIL ER04",
    b"FAIL ER05",
    b"FAIL ER10",
    b"EVER 1.2.10",
    b"EAPPVER rev26e",
    EINFO_SE.encode(),
    EINFO_DUAL.encode(),
    f"EVENT 21 {METER} 0 00".encode(),
    f"EVENT 21 {METER} 02".encode(),
    f"EVENT 22 {SELF}".encode(),
    f"EVENT 25 {METER} 0".encode(),
    f"EVENT 20 {SELF} 0".encode(),
    b"EPANDESC",
    b"  Channel:31",
    b"  Pan ID:B5FB",
    f"  Addr:{METER_MAC}".encode(),
    b"  LQI:DD",
    b"  PairID:CCDDEEFF",
    f"SKSETPWD C {CREDENTIALS.password}".encode(),
    f"SKSETRBID {CREDENTIALS.id}".encode(),
    f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode(),
    b"SKSENDTO",
    b"",
]
ends = st.sampled_from([b"\r\n", b"\r", b"\n", b""])
shapes = st.sampled_from(["1", "1 0", "5D 1", "5D 1 0"])
payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r\nOK\r\n", b"EVENT 26 ", b"0123ABCD", b"\x10\x81\r\n"]),
    st.just(b"SM" + CREDENTIALS.id.encode()),
)
lines = st.builds(bytes.__add__, st.sampled_from(LINES), ends)
datagrams = st.builds(
    lambda payload, raw, middle: erxudp(payload, raw=raw, middle=middle), payloads, st.booleans(), shapes
)
pieces = st.one_of(lines, datagrams, st.binary(max_size=30), st.just(bytes.fromhex("D0F9EE5D6019000403910000")))
streams = st.lists(pieces, max_size=20).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A stream with bytes changed, lost and inserted."""
    stream = bytearray(draw(streams))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(stream)))
        stream[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(stream)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(data) + 1) for position in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


cuts = st.lists(st.integers(0, 10_000), max_size=30)
modes = st.sampled_from([None, True, False])


@given(st.one_of(streams, mutated()), cuts, modes)
def test_frames_do_not_depend_on_the_pieces(data: bytes, at: list[int], mode: bool | None) -> None:
    """Whole, in pieces and byte by byte, a stream is cut into the same frames."""

    def frames(parts: list[bytes]) -> list[object]:
        framer = Framer()
        framer.hex_payload = mode
        result = [frame for part in parts for frame in framer.receive(part)]
        assert len(framer._rest) <= MAX_LINE + 2 * MAX_PAYLOAD
        return result

    whole = frames([data])
    assert frames(cut(data, at)) == whole
    assert frames([data[i : i + 1] for i in range(len(data))]) == whole


@given(st.lists(st.tuples(payloads, shapes), max_size=6), st.booleans(), st.booleans())
def test_every_datagram_arrives_as_it_was_sent(sent: list[tuple[bytes, str]], raw: bool, known: bool) -> None:
    """Either mode, any shape, any bytes, told or not told which mode it is."""
    framer = Framer()
    framer.hex_payload = not raw if known else None
    stream = b"".join(erxudp(payload, raw=raw, middle=middle) for payload, middle in sent)
    heard = framer.receive(stream)
    assert [frame.payload for frame in heard if isinstance(frame, Datagram)] == [payload for payload, _ in sent]
    assert len(heard) == len(sent)


@given(st.sampled_from(COMMANDS), st.one_of(streams, mutated()), cuts)
def test_events_do_not_depend_on_the_pieces(command: Command, data: bytes, at: list[int]) -> None:
    """An engine in the middle of any command does and tells the same, however its answer is cut."""

    def told(parts: list[bytes]) -> tuple[list[Event], list[bytes | Line]]:
        bench = opened(EINFO_DUAL)
        bench.give(command)
        for part in parts:
            bench.hear(part)
        return bench.events(), bench.engine.outgoing()

    assert told(cut(data, at)) == told([data])


actions = st.one_of(st.sampled_from(COMMANDS), st.one_of(streams, mutated()), st.floats(0.01, 30.0))


@given(st.lists(actions, max_size=25))
def test_an_engine_survives_anything(todo: list[Command | bytes | float]) -> None:
    """Commands, rubbish and time in any order: no exception, one ending a command, no five characters of a secret."""
    engine, now = Engine(), 0.0
    begun: list[Command] = []
    told: list[Event] = []
    for step in todo:
        if isinstance(step, bytes):
            engine.receive(step, now)
        elif isinstance(step, float):
            now += step
            engine.tick(now)
        elif not engine.busy:
            engine.command(step, now)
            begun.append(step)
        engine.outgoing()
        told += engine.events()
        assert (engine.deadline() is not None) == engine.busy
    endings = [event for event in told if type(event).__name__ in ("Done", "Refused", "NoAnswer")]
    assert len(begun) - len(endings) == engine.busy
    shown = [event.text for event in told if isinstance(event, Noise)]
    shown += [event.line for event in told if isinstance(event, Refused)]
    assert not any(part in text for part in PARTS_OF_SECRETS for text in shown)
    assert not any(secret in repr(event) for secret in (CREDENTIALS.id, CREDENTIALS.password) for event in told)


@given(mutated(), st.sampled_from(COMMANDS))
def test_an_engine_is_usable_again_after_anything(rubbish: bytes, command: Command) -> None:
    """When the line is quiet again, whatever happened before, the module is found and does as it is told."""
    engine, now = Engine(), 0.0
    engine.command(command, now)
    engine.receive(rubbish, now)
    while engine.busy:
        now = engine.deadline() or now
        engine.tick(now)
    engine.receive(b"0" * 3000 + b"\r\n", now)
    engine.outgoing()
    engine.events()
    engine.command(Leave(), now)
    answers = {b"SKVER": b"EVER 1.2.10", b"SKINFO": EINFO_SE.encode(), b"SKTERM": b""}
    for _ in range(10):
        for item in engine.outgoing():
            words = item.split() if isinstance(item, bytes) else []
            engine.receive(b"".join(answers[word] + b"\r\nOK\r\n" for word in words), now)
    assert not engine.busy
    assert engine.events()[-1] == Done(Leave())
