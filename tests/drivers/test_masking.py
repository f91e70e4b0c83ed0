"""Masking: each kind of secret, in each place and form it can take on the line."""

from __future__ import annotations

import pytest

from drivers.j11.framing import request
from drivers.masking import MASKED, MAX_TEXT, Masker, Message, Splitter
from drivers.module import Credentials, Pan
from hemsd.simulator.frames import frame as j11_frame

REAL = Credentials(id="0A1B2C3D4E5F60718293A4B5C6D7E8F9", password="QWERTY123456")
MAC = "001D129012345678"
ADDRESS = Pan(0x21, 1, MAC).address
MASKED_MAC = "00005EEF10000001"
MASKED_ADDRESS = Pan(0x21, 1, MASKED_MAC).address
GROUP = "FF02:0000:0000:0000:0000:0000:0000:0001"
CHALLENGE = "00000068 80000002 136F0BFE 2FDA83DD 0005000000100000 44AA92C21CDBB377DEBBEBC9B755B87D " + (
    "0002000000380000 01E300382F 007835A9A40F167C39A7A5AB6ACB3F1070 "
)


def masked(*lines: str | bytes, credentials: Credentials | None = None, sent: bool = False) -> list[bytes]:
    """What stands in the file for messages that pass one after the other."""
    masker, splitter = Masker(credentials), Splitter(sent=sent)
    result = []
    for line in lines:
        data = line.encode() if isinstance(line, str) else line
        messages = splitter.feed(data, 0.0) + splitter.flush()
        assert b"".join(message.data for message in messages) == data
        hidden = b"".join(masker.mask(message) for message in messages)
        assert len(hidden) == len(data)
        result.append(hidden)
    return result


def received(payload: bytes, *, port: str = "0E1A", hexadecimal: bool = True) -> bytes:
    header = f"ERXUDP {ADDRESS} {GROUP} {port} {port} {MAC} 1 0 {len(payload):04X} ".encode()
    return header + (payload.hex().upper().encode() if hexadecimal else payload) + b"\r\n"


def frame(*properties: tuple[int, bytes], esv: int = 0x72, more: tuple[tuple[int, bytes], ...] = ()) -> bytes:
    data = bytes.fromhex("1081 0001 028801 05FF01") + bytes([esv, len(properties)])
    data += b"".join(bytes([epc, len(edt)]) + edt for epc, edt in properties)
    if more:
        data += bytes([len(more)]) + b"".join(bytes([epc, len(edt)]) + edt for epc, edt in more)
    return data


# --- lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("SKSETPWD C QWERTY123456\r\n", "SKSETPWD C 0123456789AB\r\n"),
        ("SKSETPWD C qwerty123456\r\n", "SKSETPWD C 0123456789AB\r\n"),
        ("SKSETPWD QWERTY123456\r\n", "SKSETPWD 0123456789AB\r\n"),
        ("SKSETPWD 4 ABCD\r\n", "SKSETPWD 4 0123\r\n"),
        (f"SKSETRBID {REAL.id}\r\n", f"SKSETRBID {MASKED.id}\r\n"),
        ("SKSETRBID 12345\r\n", "SKSETRBID CCDDE\r\n"),
        (f"SKSETRBID {REAL.id[:-1]}\r\n", "SKSETRBID CCDDEEFFCCDDEEFFCCDDEEFFCCDDEEF\r\n"),
        ("SKSETPSK 10 00112233445566778899AABBCCDDEEFF\r\n", f"SKSETPSK 10 {'0' * 32}\r\n"),
        ("  PairID:C6D7E8F9\r\n", "  PairID:CCDDEEFF\r\n"),
        ("SKSREG S0A C6D7E8F9\r\n", "SKSREG S0A CCDDEEFF\r\n"),
        (f"  Addr:{MAC}\r\n", f"  Addr:{MASKED_MAC}\r\n"),
        (f"SKLL64 {MAC}\r\n", f"SKLL64 {MASKED_MAC}\r\n"),
        (f"{ADDRESS}\r\n", f"{MASKED_ADDRESS}\r\n"),
        (f"SKADDNBR {ADDRESS} {MAC}\r\n", f"SKADDNBR {MASKED_ADDRESS} {MASKED_MAC}\r\n"),
        (f"{ADDRESS} {MAC} FFFF\r\n", f"{MASKED_ADDRESS} {MASKED_MAC} FFFF\r\n"),
        (f"EINFO {ADDRESS} {MAC} 21 FFFF FFFE\r\n", f"EINFO {MASKED_ADDRESS} {MASKED_MAC} 21 FFFF FFFE\r\n"),
        (f"EVENT 21 {ADDRESS} 0 00\r\n", f"EVENT 21 {MASKED_ADDRESS} 0 00\r\n"),
        (f"EPONG {ADDRESS.lower()}\r\n", f"EPONG {MASKED_ADDRESS}\r\n"),
        ("EPONG 2400:4051:0000:0001:021D:1290:1234:5678\r\n", f"EPONG 2001:0DB8:0000:0000:{MASKED_ADDRESS[20:]}\r\n"),
        (f"EPONG {GROUP}\r\n", f"EPONG {GROUP}\r\n"),
        (f"EHANDLE {'0000:' * 7}0000\r\n", f"EHANDLE {'0000:' * 7}0000\r\n"),
        ("SKSCAN 2 FFFFFFFF 6 0 \r\n", "SKSCAN 2 FFFFFFFF 6 0 \r\n"),
        ("SKSREG S3 B5FB\r\n", "SKSREG S3 B5FB\r\n"),
        ("EPANDESC\r\n", "EPANDESC\r\n"),
        ("  Channel Page:09\r\n", "  Channel Page:09\r\n"),
        ("FAIL ER10\r\n", "FAIL ER10\r\n"),
        ("EAPPVER rev26e\r\n", "EAPPVER rev26e\r\n"),
    ],
)
def test_lines(line: str, result: str) -> None:
    """Each line that holds something of the home is masked in its place; the others stay as they are."""
    assert masked(line) == [result.encode()]


def test_same_stands_for_same() -> None:
    """A value has one stand-in wherever it stands; different values have different ones."""
    other = "001D1290AAAAAAAA"
    lines = masked(f"Addr:{MAC}\r\n", f"Addr:{other}\r\n", f"SKLL64 {MAC.lower()}\r\n", f"{ADDRESS}\r\n")
    assert lines[0][5:] == lines[2][7:] != lines[1][5:]
    assert lines[3] == MASKED_ADDRESS.encode() + b"\r\n"
    first, second, again = masked(
        *(f"SKSETPWD C {word}\r\n" for word in ("QWERTY123456", "WRONGONE1234", "QWERTY123456"))
    )
    assert first == again != second


def test_pairing_id_stays_the_end_of_the_id() -> None:
    """The pairing ID of a beacon matches the ID given before or after, and a foreign one does not."""
    lines = masked("PairID:C6D7E8F9\r\n", f"SKSETRBID {REAL.id}\r\n", "PairID:0194BFAD\r\n")
    assert lines[0][7:15] == lines[1][-10:-2] == MASKED.pairing_id.encode()
    assert lines[2][7:15] != lines[0][7:15]


def test_header_credentials_are_those_given() -> None:
    """A masker that is given the credentials replaces them by the ones a transcript's header tells."""
    assert masked(f"SKSETRBID {REAL.id}\r\n", "SKSETPWD C QWERTY123456\r\n", credentials=REAL) == [
        f"SKSETRBID {MASKED.id}\r\n".encode(),
        f"SKSETPWD C {MASKED.password}\r\n".encode(),
    ]


def test_stand_ins_stand_for_themselves() -> None:
    """What was masked already is not changed by masking it again."""
    line = f"SKSETRBID {MASKED.id}\r\nSKSETPWD C {MASKED.password}\r\nAddr:{MASKED_MAC}\r\n{MASKED_ADDRESS}\r\n"
    assert masked(line) == [line.encode()]


# --- datagrams ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hexadecimal", [True, False])
@pytest.mark.parametrize("prefix", [b"SM", b"HEMS"])
def test_identity_in_eap_psk(prefix: bytes, hexadecimal: bool) -> None:
    """The Route B ID in the meter's EAP-PSK identity is masked in both payload modes, the rest of PANA is not."""
    body = bytes.fromhex(CHALLENGE)[4:] + prefix
    size = (4 + len(body) + 32).to_bytes(4, "big")
    line = received(size + body + REAL.id.encode(), port="02CC", hexadecimal=hexadecimal)
    (hidden,) = masked(line)
    expected = received(size + body + MASKED.id.encode(), port="02CC", hexadecimal=hexadecimal)
    assert hidden == expected.replace(ADDRESS.encode(), MASKED_ADDRESS.encode()).replace(
        MAC.encode(), MASKED_MAC.encode()
    )


@pytest.mark.parametrize("hexadecimal", [True, False])
def test_names_of_a_meter(hexadecimal: bool) -> None:
    """Serial number, identification numbers: masked behind form and maker; everything else of a frame stays."""

    def answer(serial: bytes, identification: bytes, route_b: bytes) -> bytes:
        return frame(
            (0xE7, bytes.fromhex("000001F8")),
            (0x8D, serial),
            (0x83, bytes.fromhex("FE000016") + identification),
            (0xC0, bytes.fromhex("00000016") + route_b),
            (0xE1, b"\x01"),
        )

    (hidden,) = masked(received(answer(b"F00012345678", bytes(range(13)), b"ABCDEFGHIJKL"), hexadecimal=hexadecimal))
    wanted = answer(b"000000000001", b"0000000000001", b"000000000001")
    assert (wanted.hex().upper().encode() if hexadecimal else wanted) in hidden


def test_names_in_both_lists_of_setget() -> None:
    """SetGet and its answers have a second list, which is walked as well."""
    (hidden,) = masked(received(frame((0xE5, b"\x01"), esv=0x7E, more=((0x8D, b"F00012345678"),)), hexadecimal=False))
    assert b"\x8d\x0c000000000001" in hidden


def test_names_in_what_is_sent() -> None:
    """A payload sent with SKSENDTO is masked like one received."""
    payload = frame((0x8D, b"F00012345678"), esv=0x73)
    header = f"SKSENDTO 1 {ADDRESS} 0E1A 1 0 {len(payload):04X} ".encode()
    (hidden,) = masked(header + payload, sent=True)
    assert MASKED_ADDRESS.encode() in hidden
    assert b"F000" not in hidden


@pytest.mark.parametrize("cut", range(1, 15))
def test_frame_cut_short(cut: int) -> None:
    """A frame that ends in the midst of a serial number loses what there is of it."""
    payload = frame((0x8D, b"F00012345678"))[:-cut]
    (hidden,) = masked(received(payload, hexadecimal=False))
    assert b"F000" not in hidden


def test_refused_names_stay_empty() -> None:
    """A refusal without a value is left as it is."""
    payload = frame((0x8D, b""), (0x83, b""), esv=0x52)
    (hidden,) = masked(received(payload, hexadecimal=False))
    assert payload in hidden


def test_trailing_and_unknown_payloads() -> None:
    """Behind a frame, and in a payload that is none, whatever could be a name is masked."""
    for payload in (frame((0xE7, bytes(4))) + b" F00012345678 ", b"\x10\x82 F00012345678 ", b"\x10\x81\0"):
        (hidden,) = masked(received(payload, hexadecimal=False))
        assert b"F000" not in hidden


def test_case_of_untouched_payloads_stays() -> None:
    """A hexadecimal payload in lower case in which there is nothing to mask is not rewritten."""
    payload = frame((0xE7, bytes.fromhex("000001f8"))).hex().encode()
    header = received(bytes(len(payload) // 2))[: -len(payload) - 2]
    assert payload in masked(header + payload + b"\r\n")[0]


# --- what is not understood -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "xx{}yy\r\n",
        "SKSETPW C {}\r\n",
        "ERXUDP FE80 {}\r\n",
        "1081000102880105FF01{}\r\n",
    ],
)
@pytest.mark.parametrize("secret", [REAL.id, REAL.password, REAL.pairing_id])
def test_known_secrets_go_from_anywhere(text: str, secret: str) -> None:
    """A known secret is replaced wherever it stands, in either case, as text or as hexadecimal of it."""
    for form in (secret, secret.lower(), secret.encode().hex(), secret.encode().hex().upper()):
        (hidden,) = masked(text.format(form), credentials=REAL)
        assert form.encode() not in hidden


@pytest.mark.parametrize(
    "form", [REAL.id.encode(), REAL.id.lower().encode(), bytes.fromhex(REAL.id), REAL.password.encode()]
)
def test_known_secrets_go_from_any_property(form: bytes) -> None:
    """A known secret is replaced in a property that is not known to name anything, whatever its form."""
    (hidden,) = masked(received(frame((0xF0, form)), hexadecimal=False), credentials=REAL)
    assert form not in hidden
    assert len(hidden.partition(frame((0xF0, form))[:14])[2]) == len(form) + 2


def test_secrets_are_learnt() -> None:
    """What was met once is known from then on, glued to other letters, or as the bytes that its digits stand for."""
    _, echo, noise = masked("SKSETPWD C ABSOLUTELYNO\r\n", "CABSOLUTELYNOK\r\n", b"\xff\xfexabsolutelyno\x00")
    assert b"ABSOLUTELYNO" not in echo
    assert b"absolutelyno" not in noise
    _, hidden = masked(f"  Addr:{MAC}\r\n", received(frame((0xF0, bytes.fromhex(MAC)))))
    assert f"F008{MASKED_MAC}".encode() in hidden


def test_what_could_be_a_secret_goes() -> None:
    """Where nothing is known, runs with digits and hexadecimal runs of eight and more are blanked; words stay."""
    line = "Zap 12345678 ABCDEFAB PASS12345678 0123456789ABCDEF01 1234567 EPANDESC Channel\r\n"
    hidden = "Zap 00000000 00000000 000000000000 000000000000000000 1234567 EPANDESC Channel\r\n"
    assert masked(line) == [hidden.encode()]


def test_dummies_do_not_spread() -> None:
    """An ID of zeros is masked in its place, and does not take the zeros of everything else with it."""
    payload = frame((0xE7, bytes(4)))
    lines = masked(f"SKSETRBID {'0' * 32}\r\n", received(payload))
    assert lines[0] == f"SKSETRBID {MASKED.id}\r\n".encode()
    assert payload.hex().upper().encode() in lines[1]


def test_datagram_that_lost_bytes() -> None:
    """A datagram whose length does not fit loses all of its payload, as nothing tells what was in it."""
    line = received(frame((0x8D, b"F00012345678"))).replace(b"02880105FF", b"0288")
    (hidden,) = masked(line)
    assert hidden.endswith(b" 001A " + b"0" * 2 * 23 + b"\r\n")


def test_endless_line_is_bounded() -> None:
    """Without a line end nothing is held back for ever, and a secret is not cut where it could be seen."""
    splitter, masker = Splitter(sent=False), Masker(REAL)
    data = b"\x00" * (MAX_TEXT - 6) + REAL.password.encode() + b"\x01" * MAX_TEXT + b"A" * 2 * MAX_TEXT
    messages = splitter.feed(data, 0.0) + splitter.flush()
    assert b"".join(message.data for message in messages) == data
    assert max(len(message.data) for message in messages) <= MAX_TEXT
    assert b"QWERTY" not in b"".join(masker.mask(message) for message in messages)


def test_length_that_cannot_be() -> None:
    """A length beyond any datagram is a broken line, not a reason to wait for that many bytes."""
    line = received(b"\x10\x81", hexadecimal=False).replace(b" 0002 ", b" FFFF ")
    assert [message.payload for message in Splitter(sent=False).feed(line, 0.0)] == [None]


def test_payload_without_its_line_end() -> None:
    """A binary payload ends where its length says even if no line end follows."""
    line = received(b"\x10\x81", hexadecimal=False).removesuffix(b"\r\n")
    messages = Splitter(sent=False).feed(line + b"EVENT 25\r\n", 1.0)
    assert messages == [Message(1.0, line, slice(len(line) - 2, len(line))), Message(1.0, b"EVENT 25\r\n")]


def test_times_are_those_of_the_last_byte() -> None:
    """A message has the time of its last byte, even where it is known to be complete only later."""
    splitter = Splitter(sent=False)
    assert splitter.feed(b"OK 0", 1.0) == []
    assert splitter.feed(b"1\r", 2.0) == []
    assert splitter.feed(b"OK\r\nEV", 9.0) == [Message(2.0, b"OK 01\r"), Message(9.0, b"OK\r\n")]
    assert splitter.flush() == [Message(9.0, b"EV")]


# --- J11 --------------------------------------------------------------------------------------------------------

BINARY_MAC = bytes.fromhex(MAC)
BINARY_MASKED = bytes.fromhex(MASKED_MAC)
PACKED, PACKED_MASKED = (bytes.fromhex(each.replace(":", "")) for each in (ADDRESS, MASKED_ADDRESS))
EVERYONE = bytes.fromhex(GROUP.replace(":", ""))
PORTS = bytes.fromhex("0E1A0E1A")


def sound(wire: bytes) -> bool:
    """Whether the sums of a frame are right."""
    head, sums, data = wire[:8], wire[8:12], wire[12:]
    return sums == sum(head).to_bytes(2, "big") + (sum(data) & 0xFFFF).to_bytes(2, "big")


def with_length(payload: bytes) -> bytes:
    return len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize(
    ("code", "data", "hidden"),
    [
        (0x0054, (REAL.id + REAL.password).encode(), (MASKED.id + MASKED.password).encode()),
        (0x0051, b"\x06\x00\x03\xff\xf0\x01C6D7E8F9", b"\x06\x00\x03\xff\xf0\x01CCDDEEFF"),
        (0x0051, b"\x06\x00\x03\xff\xf0\x00", b"\x06\x00\x03\xff\xf0\x00"),
        (0x0008, PACKED + PORTS + b"\x00\x02\x10\x81", PACKED_MASKED + PORTS + b"\x00\x02\x10\x81"),
        (0x005F, b"\x05\x00\x0c\x00", b"\x05\x00\x0c\x00"),
        (0x0005, b"\x0e\x1a", b"\x0e\x1a"),
        (0x00D1, PACKED + b"\x00\x01", bytes([0xFE]) + bytes(17)),
    ],
)
def test_j11_requests(code: int, data: bytes, hidden: bytes) -> None:
    """ID, password, pairing ID and addresses are masked in their places; of what is not known little stays."""
    [wire] = masked(request(code, data), sent=True, credentials=REAL)
    assert wire == request(code, hidden)


@pytest.mark.parametrize(
    ("code", "data", "hidden"),
    [
        (0x206B, bytes.fromhex("01 0400 01 03 0000158A"), bytes.fromhex("01 0400 01 03 0000158A")),
        (0x2054, b"\x01", b"\x01"),
        (0x2059, b"\x01" + bytes(range(1, 17)), b"\x01" + bytes(16)),
        (0x2011, b"\x01\x01" + BINARY_MAC, b"\x01" + bytes(9)),
        (0x200E, b"\x01" + BINARY_MAC, b"\x01" + BINARY_MASKED),
        (0x2009, b"\x01" + PACKED, b"\x01" + PACKED_MASKED),
        (0x2053, b"\x01\x0c\xb5\xfb" + BINARY_MAC + b"\xde", b"\x01\x0c\xb5\xfb" + BINARY_MASKED + b"\xde"),
        (0x2053, b"\x0e", b"\x0e"),
        (0x4051, b"\x01\x04", b"\x01\x04"),
        (
            0x4051,
            b"\x00\x0c\x02" + 2 * (BINARY_MAC + b"\xb5\xfb\xde"),
            b"\x00\x0c\x02" + 2 * (BINARY_MASKED + b"\xb5\xfb\xde"),
        ),
        (0x601A, b"\x04" + BINARY_MAC + b"\xde", b"\x04" + BINARY_MASKED + b"\xde"),
        (0x6028, b"\x01" + BINARY_MAC, b"\x01" + BINARY_MASKED),
        (0x6038, b"\x01" + PACKED + bytes(9), b"\x01" + PACKED_MASKED + bytes(9)),
        (0x2008, b"\x01\x00\x10\x81\x00\x06\x05", b"\x01\x00\x10\x81\x00\x06\x05"),
        (0x6019, b"", b""),
        (0xFFFF, b"\x03", b"\x03"),
        (0x6041, b"\x01" + REAL.id.encode(), b"\x01" + bytes(32)),
    ],
)
def test_j11_responses_and_notifications(code: int, data: bytes, hidden: bytes) -> None:
    """MAC and IPv6 addresses are masked in their places, the key and what is not known go; sums are right again."""
    [wire] = masked(j11_frame(code, data))
    assert wire == j11_frame(code, hidden)
    assert sound(wire)


def test_j11_datagrams_keep_what_they_measure() -> None:
    """A property that names the meter is masked within 6018, the others are not; so in what is sent (0008)."""
    payload = frame((0x8D, b"S23-0004711X"), (0xE7, b"\x00\x00\x01\xf8"))
    head = PORTS + bytes.fromhex("B5FB 00 02 BA")
    [wire] = masked(j11_frame(0x6018, PACKED + head + with_length(payload)))
    assert wire[12:39] == PACKED_MASKED + head + with_length(payload)[:2]
    assert b"4711" not in wire
    assert wire.endswith(b"\xe7\x04\x00\x00\x01\xf8")
    assert sound(wire)
    [wire] = masked(request(0x0008, EVERYONE + PORTS + with_length(payload)), sent=True)
    assert wire[12:28] == EVERYONE
    assert b"4711" not in wire
    assert sound(wire)


def test_a_broken_j11_frame_stays_as_broken_as_it_was() -> None:
    """Its data's sum is wrong by as much, so that a replay shows what the driver made of it."""
    wire = bytearray(j11_frame(0x200E, b"\x01" + BINARY_MAC))
    wire[11] ^= 0x01
    [hidden] = masked(bytes(wire))
    assert hidden[12:] == b"\x01" + BINARY_MASKED
    assert not sound(hidden)
    assert error_of(hidden) == error_of(bytes(wire)) != 0


def error_of(wire: bytes) -> int:
    """By how much the data's sum is wrong."""
    return int.from_bytes(wire[10:12], "big") - sum(wire[12:])


def test_j11_frames_stand_alone() -> None:
    """Each is a message of its own, with line ends in it, behind text, and after a code that begins no frame."""
    inner = j11_frame(0x6018, PACKED + PORTS + bytes.fromhex("B5FB0002BA0004") + b"\r\nOK")
    broken = inner[:8] + b"\x00\x00" + inner[10:]
    splitter = Splitter(sent=False)
    stream = b"EVER 1.2" + inner + inner + broken[:4] + b"\r\n" + j11_frame(0x6019)
    messages = [message for at in range(len(stream)) for message in splitter.feed(stream[at : at + 1], 0.0)]
    assert [message.data for message in messages if message.framed] == [inner, inner, j11_frame(0x6019)]
    assert b"".join(message.data for message in messages + splitter.flush()) == stream
