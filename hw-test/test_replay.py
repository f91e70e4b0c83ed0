"""Published captures of real modules, played through the driver: the events each must give, refusals included."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.skstack import EINFO_DUAL, EINFO_SE, opened

from drivers import j11
from drivers.anymodule import AnyModule
from drivers.j11.framing import Frame, Framer
from drivers.j11.vocabulary import Answer, Booted, Heard, PanaEnded, Sent, read
from drivers.masking import MASKED
from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Command,
    Datagram,
    Done,
    Event,
    Fate,
    Join,
    Joined,
    Noise,
    Open,
    Pan,
    Ready,
    Scan,
    Send,
    Transmission,
    UseCredentials,
)
from drivers.ports import Pump
from drivers.skstack import Engine
from drivers.transcript import RxReplay, Transcript, read_published
from hemsd.simulator.frames import frame

TRANSCRIPTS = Path(__file__).parent / "transcripts"
COMPLETED = Authentication(AuthenticationStep.COMPLETED, result_code=0, lifetime_s=86_400)


def published(name: str) -> Transcript:
    return read_published((TRANSCRIPTS / name).read_text())


def transmissions(address: str) -> tuple[Transmission, Transmission]:
    return Transmission(address, Fate.RESOLVING), Transmission(address, Fate.SENT)


def authentication(sent: Transmission) -> list[Event]:
    """The four messages of a successful PANA, each followed by the module's answer going out."""
    steps = [Authentication(step) for step in AuthenticationStep if step is not AuthenticationStep.COMPLETED]
    return [event for step in [*steps, COMPLETED] for event in (step, sent)]


def answer(sender: str, to: str, mac: str, payload: str) -> Datagram:
    return Datagram(sender, to, 3610, 3610, mac, secured=True, payload=bytes.fromhex(payload))


EVERYONE = "FF02:0000:0000:0000:0000:0000:0000:0001"

METER_01 = "FE80:0000:0000:0000:C2F9:4500:4058:B5FB"
SELF_01 = "FE80:0000:0000:0000:021D:1291:0004:E578"
MAC_01 = "0011223344556677"
RESOLVING_01, SENT_01 = transmissions(METER_01)
DUAL_JOIN = [
    BeaconHeard(Pan(0x31, 0xB5FB, MAC_01, "0194BFAD", 0xDD)),
    RESOLVING_01,
    *authentication(SENT_01),
    Joined(METER_01),
    answer(METER_01, EVERYONE, MAC_01, "108100000EF0010EF0017301D50401028801"),
]

INTERLEAVED = [
    answer(
        METER_01,
        SELF_01,
        MAC_01,
        "1081000102880105FF017302EA0B07E70C13001E000000458EEB0B07E70C13001E0000000015",
    ),
    SENT_01,
    answer(METER_01, SELF_01, MAC_01, "1081525302880105FF017201E704000000E4"),
]

METER_05 = "FE80:0000:0000:0000:8EDF:9DFF:FEC1:323B"
SENT_05 = Transmission(METER_05, Fate.SENT)
OMISSIONS = [
    Noise("(Channel found: 3B)"),
    SENT_05,
    Noise(f"ERXUDP {METER_05} FE80:0000:0000:0000:021D:1290:0003:809A"[:80]),
    SENT_05,
    Joined(METER_05),
]

NOBODY = "FE80:0000:0000:0000:0000:0000:0000:0000"
SEVERAL_PROPERTIES = [
    answer(
        "FE80:0000:0000:0000:021C:6400:0364:831F",
        "FE80:0000:0000:0000:1207:23FF:FEA0:7898",
        "001C64000364831F",
        "1081000102880105FF017203E7040000055EE80400000082E00400052155",
    ),
    Noise("ERXUDP FE80:0000:0000:0000:0000:0000:5678:1234 FE80:0000:0000:0000:1234:5678:ABCD:12EF"[:80]),
    Noise("*" * 76),
    Transmission(NOBODY, Fate.SENT),
    answer(NOBODY, NOBODY[:-1] + "1", "001C64000334809F", "1081001A02880105FF0172019E040381E5ED"),
]

SELF_11 = "FE80:0000:0000:0000:021D:1290:1234:5678"
_, SENT_11 = transmissions(SELF_11)
METER_11 = "FE80:0000:0000:0000:021C:6400:030C:12A4"
RAW_PAYLOADS = [
    BeaconHeard(Pan(0x21, 0x8888, "12345678ABCDEF01", "AABBCCDD", 0xE1)),
    SENT_11,
    *authentication(SENT_11),
    Joined(SELF_11),
    Transmission(METER_11, Fate.SENT),
    answer(
        METER_11,
        "FE80:0000:0000:0000:021D:1291:0000:0574",
        "001C6400030C12A4",
        "1081000102880105FF017201E704000001F8",
    ),
]

J11 = "13-j11-binary-frames-vendor-log.txt"
METER_13 = "FE80:0000:0000:0000:0250:C2FF:FEDC:2822"
PAN_13 = Pan(0x31, 0xBCDE, "0050C2FFFEDC2822", rssi_dbm=-34)
GET_13 = bytes.fromhex("1081000605FF010288016202EA00EB00")


def told_13(dbm: int, payload: str) -> Datagram:
    return Datagram(METER_13, "", 3610, 3610, PAN_13.mac, True, bytes.fromhex(payload), rssi_dbm=dbm)


BINARY_FRAMES: list[Event] = [
    BeaconHeard(PAN_13),
    Joined(METER_13),
    told_13(-34, "1081000102880105FF017301EA0B07DF081F151E0000000DAC"),
    told_13(-53, "1081000602880105FF017202EA0B07E20A020E1E00000373AFEB0B07E20A020E1E0000016A72"),
]

CAPTURES: dict[str, list[Event]] = {
    "01-rs-wsuha-p-dual-stack-full-join.txt": DUAL_JOIN,
    "02-echo-interleaved-with-scheduled-inf.txt": INTERLEAVED,
    "05-bp35a1-timed-join-ha-custom.txt": OMISSIONS,  # of the sender's address: the line is refused
    "07-er05-wrong-argument-count.txt": [],
    "09-multi-property-get-res.txt": SEVERAL_PROPERTIES,  # (b) has 18 digits of sender's address: refused
    "11-bp35c2-binary-mode-pana-and-get.txt": RAW_PAYLOADS,
    J11: BINARY_FRAMES,
}
capture = pytest.mark.parametrize(("name", "expected"), CAPTURES.items(), ids=[name[:2] for name in CAPTURES])


@capture
async def test_a_capture_gives_its_events(name: str, expected: list[Event]) -> None:
    """Through port, pump and driver, as from a real line."""
    replay, heard = RxReplay(published(name), name=name), list[Event]()
    pumping = asyncio.create_task(Pump(AnyModule(), replay, heard.append).run())
    await replay.finished()
    pumping.cancel()
    await replay.close()
    assert heard == expected


@capture
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_capture_gives_its_events_in_any_pieces(name: str, expected: list[Event], size: int) -> None:
    """A serial adapter cuts the stream where it likes."""
    engine, data = AnyModule(), published(name).received
    for at in range(0, len(data), size):
        engine.receive(data[at : at + size], 0.0)
    assert engine.events() == expected


def test_every_property_answer_of_a_single_hop_module_is_read() -> None:
    """Capture 03: 22 datagrams, by service and property; all of the meter's, all encrypted, no LQI."""
    engine = Engine()
    engine.receive(published("03-bp35a1-single-hop-property-zoo.txt").received, 0.0)
    heard = engine.events()
    datagrams = [event for event in heard if isinstance(event, Datagram)]
    assert len(datagrams) == len(heard)
    assert {(each.sender, each.mac) for each in datagrams} == {
        ("FE80:0000:0000:0000:021C:6400:6014:21A3", "001C6400601421A3")
    }
    assert all(each.secured and each.lqi is None and each.sender_port == each.port == 3610 for each in datagrams)
    assert " ".join(f"{each.payload[10]:02X}:{each.payload[12]:02X}" for each in datagrams) == (
        "73:D5 72:D3 72:D7 72:E0 72:E2 72:E7 72:E8 72:EA 72:EB 72:80 72:81 72:82 52:83 72:88 72:8A 72:8D 72:97 72:98 "
        "52:9C 72:9D 72:9E 72:9F"
    )
    assert [len(each.payload) for each in datagrams if each.payload[12] == 0xE2] == [0xD0]


@pytest.mark.parametrize(("einfo", "at"), [(EINFO_DUAL, 0), (EINFO_SE, 2)], ids=["a", "b"])
def test_the_wrong_number_of_arguments_is_corrected(einfo: str, at: int) -> None:
    """Capture 07, both ways: what the module refused is what a wrong guess says, and the other form follows."""
    records = published("07-er05-wrong-argument-count.txt").records
    asked, refusal = records[at], records[at + 1]
    bench = opened(einfo)
    bench.give(Scan(int(asked.data.split()[3], 16)))
    bench.answer(asked.data, refusal.data)
    [healed] = bench.engine.outgoing()
    assert isinstance(healed, bytes)
    assert len(healed.split()) == {4: 5, 5: 4}[len(asked.data.split())]


def test_every_frame_of_a_j11_module_means_what_its_author_says() -> None:
    """Capture 13, frame by frame as it is remarked there."""
    frames = [each for each in Framer().receive(published(J11).received) if isinstance(each, Frame)]
    assert [read(each, "") for each in frames] == [
        Booted(),
        Answer(0x005F, 1),
        Answer(0x0054, 1),
        Heard(()),
        Heard((PAN_13,)),
        Answer(0x0051, 1),
        Answer(0x005F, 1),
        Answer(0x0053, 1),
        Answer(0x0005, 1),
        Answer(0x0056, 1),
        PanaEnded(succeeded=True, refused=False, address=METER_13),
        BINARY_FRAMES[2],
        Sent(0x0008, 1, Fate.SENT, limited=False, echo=bytes.fromhex("1081000605")),
        BINARY_FRAMES[3],
    ]


def test_a_j11_module_is_driven_as_its_vendor_drives_it() -> None:
    """Capture 13 as a dialogue: the driver asks what the vendor asked, byte for byte, from the reset to the answer.

    Beyond that it asks version and addresses; those answers are not in the capture.
    """
    records = deque(published(J11).records)
    beyond = {0x006B: "01 0400 01 03 0000158A", 0x000E: "04", 0x0009: "04"}
    engine, told = j11.Engine(), list[Event]()

    def play(command: Command) -> None:
        engine.command(command, 0.0)
        while sent := engine.outgoing():
            [asked] = sent
            assert isinstance(asked, bytes)
            code = int.from_bytes(asked[4:6], "big")
            if code in beyond:
                engine.receive(frame(0x2000 | code, bytes.fromhex(beyond[code])), 0.0)
                continue
            assert asked == records.popleft().data
            while records and not records[0].sent:
                engine.receive(records.popleft().data, 0.0)
        told.extend(engine.events())

    found = replace(PAN_13, pairing_id=MASKED.pairing_id)
    for command in (Open(keep_session=False), UseCredentials(MASKED), Scan(6), Join(found), Send(METER_13, GET_13)):
        play(command)
    assert not records
    assert [type(event) for event in told] == [
        *(Ready, Done, Done, BeaconHeard, Done, Done, Joined, Datagram, Transmission, Done, Datagram)
    ]
    assert BeaconHeard(found) in told
    assert Joined(METER_13) in told
    assert Transmission(METER_13, Fate.SENT) in told


def test_no_capture_is_left_out() -> None:
    """A file added without its expected events would prove nothing."""
    others = {"03-bp35a1-single-hop-property-zoo.txt"}
    assert {path.name for path in TRANSCRIPTS.glob("*.txt")} == others | CAPTURES.keys()


def test_a_capture_that_differs_is_noticed() -> None:
    """The comparison can fail: one digit changed gives other events."""
    name = "02-echo-interleaved-with-scheduled-inf.txt"
    engine = Engine()
    engine.receive(published(name).received.replace(b"000000E4", b"000000E5"), 0.0)
    assert engine.events() != CAPTURES[name]
