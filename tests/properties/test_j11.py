"""J11, whatever the bytes and however they are cut: the same events, no exception, bounded memory, no secret."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.j11 import (
    AUTHENTICATED,
    BOOTED,
    CREDENTIALS,
    GET_POWER,
    MAC,
    METER,
    OK,
    PAN,
    POWER,
    SILENT,
    UNDECIPHERED,
    VERSION,
    armed,
    joined,
    joining,
    link,
    opened,
    packed,
    told,
)

from drivers.anymodule import AnyModule
from drivers.j11 import Engine
from drivers.j11.framing import MAX_FRAME, NOISE_BYTES, Frame, Framer, request
from drivers.module import (
    Command,
    Done,
    Event,
    Join,
    Leave,
    Module,
    Noise,
    Open,
    Outgoing,
    Refused,
    Rejoin,
    Scan,
    Send,
    UseCredentials,
)
from hemsd.simulator import J11Module
from hemsd.simulator.frames import Input, frame

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
SECRETS = CREDENTIALS.id.encode() + CREDENTIALS.password.encode()
FRAMES = [
    BOOTED,
    AUTHENTICATED,
    SILENT,
    UNDECIPHERED,
    link(3),
    link(4),
    told(POWER),
    told(POWER, encryption=1),
    told(SECRETS),
    frame(0x206B, VERSION),
    frame(0x2001, b"\x01\x03\x03\x01"),
    frame(0x4051, b"\x00\x0c\x01" + MAC + b"\xb5\xfb\xc4"),
    frame(0x2059, OK + SECRETS[:16]),
    frame(0x2008, b"\x01\x00" + GET_POWER[:5]),
    frame(0x200E, OK + MAC),
    frame(0x2009, OK + packed(METER)),
    *(frame(0x2000 | code, OK) for code in (0x05, 0x51, 0x53, 0x54, 0x56, 0x57, 0x58, 0x5F, 0xD2)),
    *(frame(0x2056, bytes([result])) for result in (0x35, 0x3D, 0x52, 0xF1)),
    frame(0x2FFF, b"\xf0"),
    frame(0xFFFF, b"\x03"),
    bytes.fromhex("D0F9EE5D"),
    bytes.fromhex("D0EA83FC"),
    request(0x0054, SECRETS),
    b"EVER 1.2.10\r\n",
]
codes = st.one_of(
    st.integers(0, 0xFFFF), st.sampled_from([0x2001, 0x2008, 0x206B, 0x4051, 0x6018, 0x6028, 0x601A, 0x6038])
)
pieces = st.one_of(st.sampled_from(FRAMES), st.builds(frame, codes, st.binary(max_size=40)), st.binary(max_size=30))
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


anything = st.one_of(streams, mutated())
cuts = st.lists(st.integers(0, 10_000), max_size=30)


@given(anything, cuts)
def test_frames_do_not_depend_on_the_pieces(data: bytes, at: list[int]) -> None:
    """Whole, in pieces and byte by byte, a stream is cut into the same frames; no more than one is held back."""

    def frames(parts: list[bytes]) -> list[Frame | Noise]:
        framer = Framer()
        result = [each for part in parts for each in framer.receive(part)]
        assert len(framer._rest) < MAX_FRAME
        assert framer._skipped < NOISE_BYTES
        return result + framer.abandon()

    whole = frames([data])
    assert frames(cut(data, at)) == whole
    assert frames([data[i : i + 1] for i in range(len(data))]) == whole


@given(st.lists(st.tuples(codes, st.binary(max_size=MAX_FRAME - 12)), max_size=6), st.binary(max_size=3))
def test_every_frame_arrives_as_it_was_sent(sent: list[tuple[int, bytes]], before: bytes) -> None:
    """Any code, any data, whatever little stood on the line before."""
    heard = Framer().receive(before + b"".join(frame(code, data) for code, data in sent))
    assert [(each.code, each.data) for each in heard if isinstance(each, Frame)] == sent


@given(codes, st.binary(max_size=300))
def test_what_we_say_is_what_the_module_hears(code: int, data: bytes) -> None:
    """Our requests, read by the simulator's own input."""
    line = Input()
    line.feed(b"\r\nSKVER\r\n" + request(code, data))
    heard = line.next()
    assert heard is not None
    assert (heard.code, getattr(heard, "data", None)) == (code, data)


@given(st.sampled_from([opened, armed, joining, joined]), st.sampled_from(COMMANDS), anything, cuts)
def test_events_do_not_depend_on_the_pieces(state: object, command: Command, data: bytes, at: list[int]) -> None:
    """An engine in the middle of any command does and tells the same, however its answer is cut."""

    def told_of(parts: list[bytes]) -> tuple[list[Event], list[Outgoing]]:
        bench = state()  # type: ignore[operator]
        bench.give(command)
        bench.hear(*parts)
        return bench.events(), bench.engine.outgoing()

    assert told_of(cut(data, at)) == told_of([data])


actions = st.one_of(st.sampled_from(COMMANDS), anything, st.floats(0.01, 30.0))


@given(st.sampled_from([Engine, AnyModule]), st.lists(actions, max_size=25))
def test_an_engine_survives_anything(make: type[Module], todo: list[Command | bytes | float]) -> None:
    """Commands, rubbish and time in any order: no exception, one ending a command, no secret shown.

    And no datagram is given to a module that has not said that a session stands.
    """
    engine, now, sent = make(), 0.0, b""
    begun: list[Command] = []
    heard: list[Event] = []
    for step in todo:
        if isinstance(step, bytes):
            engine.receive(step, now)
        elif isinstance(step, float):
            now += step
            engine.tick(now)
        elif not engine.busy:
            engine.command(step, now)
            begun.append(step)
        sent += b"".join(item for item in engine.outgoing() if isinstance(item, bytes))
        heard += engine.events()
        assert not engine.busy or engine.deadline() is not None
    endings = [event for event in heard if type(event).__name__ in ("Done", "Refused", "NoAnswer")]
    assert len(endings) in (len(begun), len(begun) - 1)
    assert not any(secret in repr(event) for secret in (CREDENTIALS.id, CREDENTIALS.password) for event in heard)
    shown = [event.text for event in heard if isinstance(event, Noise) and "bytes" in event.text]
    shown += [event.line for event in heard if isinstance(event, Refused)]
    assert not any(part in text for part in ("0123456", "CCDDEE") for text in shown)
    if make is Engine and not any(type(event).__name__ == "Joined" for event in heard):
        kept = b"".join(step for step in todo if isinstance(step, bytes))
        assert request(0x0008)[:6] not in sent or b"\x20\x56" in kept


@given(mutated(), st.sampled_from(COMMANDS))
def test_an_engine_is_usable_again_after_anything(rubbish: bytes, command: Command) -> None:
    """When the line is quiet again, whatever happened before, the module is found and can be opened."""
    engine, now = Engine(), 0.0
    engine.command(command, now)
    engine.receive(rubbish, now)
    while engine.busy:
        now = engine.deadline() or now
        engine.tick(now)
    engine.receive(bytes(2000), now)
    engine.outgoing()
    engine.events()
    engine.command(Open(keep_session=False), now)
    answers = {0x006B: frame(0x206B, VERSION), 0x00D9: BOOTED, 0x000E: frame(0x200E, OK + MAC), 0x0009: b""}
    answers[0x0009] = frame(0x2009, OK + packed(METER))
    while engine.busy:
        sent = [item for item in engine.outgoing() if isinstance(item, bytes)]
        for item in sent:
            engine.receive(answers[int.from_bytes(item[4:6], "big")], now)
        if not sent:
            now = engine.deadline() or now
            engine.tick(now)
    assert engine.events()[-1] == Done(Open(keep_session=False))


requests = st.one_of(
    st.builds(
        request, st.sampled_from([*range(0x10), *range(0x50, 0x60), 0x6B, 0xD2, 0xD9, 0x107]), st.binary(max_size=50)
    ),
    st.sampled_from([request(0x5F, b"\x05\x00\x0c\x00"), request(0x54, SECRETS), request(0x53), request(0x56)]),
    st.binary(max_size=20),
)


@given(st.lists(st.tuples(requests, st.floats(0, 5)), max_size=25), st.integers(1, 50))
def test_the_simulated_module_stays_in_order(told_it: list[tuple[bytes, float]], size: int) -> None:
    """Whatever it is told: sound frames, and afterwards its version on request."""
    from support.simulator import Bench

    module, now, said = J11Module(Bench("SE").meter), 2.0, b""
    for data, pause_s in told_it:
        for at in range(0, len(data), size):
            module.receive(data[at : at + size], now)
        now += pause_s
        module.tick(now)
        said += b"".join(module.outgoing())
    for _ in range(3):
        now += 120
        module.tick(now)
        module.receive(request(0x006B), now)
    said += b"".join(module.outgoing())
    heard = Framer().receive(said)
    assert all(isinstance(each, Frame) for each in heard)
    assert Frame(0x206B, VERSION) in heard
