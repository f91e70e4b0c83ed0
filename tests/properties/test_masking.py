"""Whatever passes a recorder, in whatever pieces: no secret reaches the file, and everything else does."""

from __future__ import annotations

import asyncio
import io
from itertools import count

from hypothesis import assume, given
from hypothesis import strategies as st
from support.drivers import MemoryPort

from drivers.j11.framing import request
from drivers.masking import MASKED, Masker, Splitter
from drivers.module import Credentials, Pan
from drivers.transcript import Recorder, Transcript, read_transcript
from hemsd.simulator.frames import frame as j11_frame

HEX = "0123456789ABCDEF"
ALPHANUMERIC = HEX + "GHIJKLMNOPQRSTUVWXYZ"


def secrets(alphabet: str, size: int) -> st.SearchStrategy[str]:
    """Values that are no dummies, nor by chance a part of what stands for others."""
    values = st.text(alphabet, min_size=size, max_size=size)
    return values.filter(lambda text: len(set(text)) > 5 and text[-8:] not in MASKED.id + MASKED.password)


identities = st.tuples(
    st.builds(Credentials, secrets(HEX, 32), secrets(ALPHANUMERIC, 12)),
    secrets(HEX, 16).map(lambda digits: "001D12" + digits[6:]),
    secrets(ALPHANUMERIC, 12),
)
Identity = tuple[Credentials, str, str]


def frame(epc: int, edt: bytes) -> bytes:
    return bytes.fromhex("1081000102880105FF017202E70400000000") + bytes([epc, len(edt)]) + edt


def lines(identity: Identity) -> st.SearchStrategy[tuple[bool, bytes]]:
    """Messages of a session with this identity: whether sent, and their bytes; or noise with a secret in it."""
    credentials, mac, serial = identity
    address = Pan(0x21, 0, mac).address
    challenge = b"SM" + credentials.id.encode()
    pana = (len(challenge) + 4).to_bytes(4, "big") + challenge

    def datagram(payload: bytes, raw: bool) -> tuple[bool, bytes]:
        head = f"ERXUDP {address} {address} 0E1A 0E1A {mac} 1 {len(payload):04X} "
        return False, head.encode() + (payload if raw else payload.hex().upper().encode()) + b"\r\n"

    def noise(around: tuple[bytes, bytes], secret: str, form: int, sent: bool) -> tuple[bool, bytes]:
        shown = (secret, secret.lower(), secret.encode().hex(), secret.encode().hex().upper())[form]
        return sent, around[0] + shown.encode() + around[1]

    texts = st.sampled_from(
        [
            "OK",
            "EVENT 25 " + address,
            f"EINFO {address} {mac} 21 FFFF FFFE",
            f"  Addr:{mac}",
            f"  PairID:{credentials.pairing_id}",
            f"SKSETPWD C {credentials.password}",
            f"SKSETRBID {credentials.id}",
            f"SKLL64 {mac}",
            address,
        ]
    )
    payloads = st.sampled_from(
        [
            pana,
            frame(0xF0, credentials.id.encode()),
            frame(0x8D, serial.encode()),
            frame(0xC0, b"\x00\x00\x00\x16" + serial.encode()),
            b"\x10\x82" + challenge,
        ]
    )

    def j11(payload: bytes, place: int) -> tuple[bool, bytes]:
        binary, packed = bytes.fromhex(mac), bytes.fromhex(address.replace(":", ""))
        rest = bytes.fromhex("0E1A 0E1A B5FB 00 02 BA") + len(payload).to_bytes(2, "big") + payload
        places = [
            (True, request(0x0054, (credentials.id + credentials.password).encode())),
            (True, request(0x0051, b"\x06\x00\x03\xff\xf0\x01" + credentials.pairing_id.encode())),
            (True, request(0x0008, packed + rest[:4] + rest[9:])),
            (False, j11_frame(0x6018, packed + rest)),
            (False, j11_frame(0x4051, b"\x00\x0c\x01" + binary + b"\xb5\xfb\xde")),
            (False, j11_frame(0x6028, b"\x01" + binary)),
            (False, j11_frame(0x2059, b"\x01" + binary * 2)),
            (False, j11_frame(0x2011, b"\x01" + binary + credentials.id.encode())),
        ]
        return places[place]

    sendto = frame(0x8D, serial.encode())
    return st.one_of(
        st.tuples(st.booleans(), texts.map(lambda text: text.encode() + b"\r\n")),
        st.builds(datagram, payloads, st.booleans()),
        st.builds(j11, payloads, st.integers(0, 7)),
        st.just((True, f"SKSENDTO 1 {address} 0E1A 1 {len(sendto):04X} ".encode() + sendto)),
        st.builds(
            noise,
            st.tuples(st.binary(max_size=20), st.binary(max_size=20)),
            st.sampled_from([credentials.id, credentials.password, credentials.pairing_id]),
            st.integers(0, 3),
            st.booleans(),
        ),
    )


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Identity, list[tuple[bool, bytes]]]:
    """An identity and the pieces in which the messages of its session pass."""
    identity = draw(identities)
    pieces = []
    for sent, data in draw(st.lists(lines(identity), min_size=1, max_size=8)):
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
        pieces += [(sent, data[start:stop]) for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return identity, [piece for piece in pieces if piece[1]]


def recorded(pieces: list[tuple[bool, bytes]], credentials: Credentials) -> str:
    """The file that a recorder makes of these pieces."""
    port, file, clock = MemoryPort(), io.StringIO(), count()
    recorder = Recorder(port, file, Masker(credentials), clock=lambda: next(clock))
    recorder.start(lambda data: None, lambda error: None)
    for sent, data in pieces:
        (recorder.write if sent else port.receive)(data)
    asyncio.run(recorder.close())
    return file.getvalue()


def joined(pieces: list[tuple[bool, bytes]], sent: bool) -> bytes:
    return b"".join(data for was_sent, data in pieces if was_sent == sent)


def bytes_of(transcript: Transcript, sent: bool) -> bytes:
    return b"".join(record.data for record in transcript.records if record.sent == sent)


@given(sessions())
def test_no_secret_is_written(session: tuple[Identity, list[tuple[bool, bytes]]]) -> None:
    """No form of a secret stands in the file or in what it decodes to; no byte is added or missing."""
    identity, pieces = session
    credentials, mac, serial = identity
    text = recorded(pieces, credentials)
    transcript = read_transcript(text)
    written = {sent: bytes_of(transcript, sent) for sent in (True, False)}
    for secret in (credentials.id, credentials.password, credentials.pairing_id, mac, serial, Pan(0, 0, mac).address):
        for place in (text.encode(), *written.values()):
            assert secret.lower().encode() not in place.lower()
            assert secret.encode().hex().encode() not in place.lower()
    assert not any(bytes.fromhex(mac) in place for place in written.values())
    for sent, data in written.items():
        assert len(data) == len(joined(pieces, sent))


@given(sessions())
def test_masking_is_repeatable(session: tuple[Identity, list[tuple[bool, bytes]]]) -> None:
    """The same session gives the same file."""
    (credentials, _, _), pieces = session
    assert recorded(pieces, credentials) == recorded(pieces, credentials)


@given(sessions(), st.data())
def test_messages_do_not_depend_on_chunks(
    session: tuple[Identity, list[tuple[bool, bytes]]], data: st.DataObject
) -> None:
    """One direction of a session is cut into the same messages however it arrives."""
    sent = data.draw(st.booleans())
    stream = joined(session[1], sent)
    assume(stream)
    size = data.draw(st.integers(1, len(stream)))

    def messages(size: int) -> list[tuple[bytes, slice | None]]:
        splitter = Splitter(sent=sent)
        found = [splitter.feed(stream[at : at + size], 0.0) for at in range(0, len(stream), size)]
        return [(message.data, message.payload) for each in (*found, splitter.flush()) for message in each]

    assert messages(size) == messages(1)


WORDS = [
    b"SKSETPWD ",
    b"SKSETRBID ",
    b"SKSENDTO 1 FE80:0000:0000:0000:021D:1290:1234:5678 0E1A 1 0004 ",
    b"ERXUDP FE80:0000:0000:0000:021D:1290:1234:5678 FF02:0000:0000:0000:0000:0000:0000:0001 "
    b"0E1A 0E1A 001D129012345678 1 0 000A ",
    b"PairID:",
    b"001D129012345678",
    b"\x10\x81\x00\x01\x02\x88\x01\x05\xff\x01r\x7f\x8d",
    b"SM0123",
    request(0x0008, b"\r\n"),
    j11_frame(0x6018, b"\r\n"),
    bytes.fromhex("D0F9EE5D"),
    b"\r",
    b"\n",
    b" ",
]


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=40).map(b"".join), st.booleans())
def test_nonsense_is_taken(stream: bytes, sent: bool) -> None:
    """Words in any order between any bytes are masked without an error and without a change of length."""
    masker, splitter = Masker(), Splitter(sent=sent)
    messages = splitter.feed(stream, 0.0) + splitter.flush()
    assert b"".join(message.data for message in messages) == stream
    assert sum(len(masker.mask(message)) for message in messages) == len(stream)


@given(st.binary(max_size=300))
def test_unmasked_traffic_is_exact(data: bytes) -> None:
    """What holds nothing that could be a secret is written exactly as it was."""
    plain = bytes(byte for byte in data if not chr(byte).isalnum())
    transcript = read_transcript(recorded([(False, plain), (True, plain)], MASKED))
    assert (bytes_of(transcript, True), bytes_of(transcript, False)) == (plain, plain)
