"""The simulated J11 module against its vendor's log and its interface, frame by frame."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hemsd.simulator import Fault, Flaw, Household, J11Module, Meter, Network, Spell, Strike
from hemsd.simulator.frames import frame

CAPTURE = Path(__file__).parents[2] / "hw-test/transcripts/13-j11-binary-frames-vendor-log.txt"
START = datetime(2026, 10, 1, 12, 20)
# The meter of the log: what it is called, where it is heard and how well.
NETWORK = Network(
    route_b_id="00112233445566778899AABBCCDDEEFF",
    password="0123456789AB",
    channel=0x31,
    pan_id=0xBCDE,
    mac="0050C2FFFEDC2822",
    lqi=0xFF,
)
PACKED = bytes.fromhex("FE80000000000000 0250C2FFFEDC2822")
CREDENTIALS = (NETWORK.route_b_id + NETWORK.password).encode()
GET = bytes.fromhex("1081000605FF010288016202EA00EB00")


def request(code: int, data: bytes = b"") -> bytes:
    """A request as the interface forms it."""
    head = bytes.fromhex("D0EA83FC") + code.to_bytes(2, "big") + (4 + len(data)).to_bytes(2, "big")
    return head + sum(head).to_bytes(2, "big") + (sum(data) & 0xFFFF).to_bytes(2, "big") + data


class Bench:
    """A module on the table, on a clock of its own."""

    def __init__(self, **options: Any) -> None:
        self.meter = Meter(Household(7, pv_kw=4), start=START)
        self.module = J11Module(self.meter, options.pop("network", NETWORK), **options)
        self.now = 0.0

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass; the frames meanwhile."""
        end, said = self.now + seconds, self.module.outgoing()
        while (due := self.module.deadline()) is not None and due <= end:
            self.now = due
            self.module.tick(due)
            said += self.module.outgoing()
        self.now = end
        self.module.tick(end)
        return said + self.module.outgoing()

    def raw(self, data: bytes, seconds: float = 0.0) -> list[bytes]:
        self.module.receive(data, self.now)
        return self.wait(seconds)

    def ask(self, code: int, data: bytes = b"", seconds: float = 0.0) -> list[bytes]:
        """Give a command; the frames within some seconds."""
        return self.raw(request(code, data), seconds)

    def result(self, code: int, data: bytes = b"", seconds: float = 0.0) -> int:
        """The result of a command, the first frame after it."""
        answer = self.ask(code, data, seconds)[0]
        assert int.from_bytes(answer[4:6], "big") == 0x2000 | code
        return answer[12]

    def booted(self) -> Bench:
        assert self.wait(2) == [frame(0x6019)]
        return self

    def armed(self) -> Bench:
        self.booted()
        assert self.result(0x005F, b"\x05\x00\x0c\x00") == 1
        assert self.result(0x0054, CREDENTIALS) == 1
        return self

    def connected(self) -> Bench:
        self.armed()
        assert self.result(0x0053, seconds=2) == 1
        assert self.result(0x0005, b"\x0e\x1a") == 1
        return self

    def joined(self) -> Bench:
        self.connected()
        assert any(each[4:6] == b"\x60\x28" and each[12] == 1 for each in self.ask(0x0056, seconds=10))
        return self

    def send(self, payload: bytes = GET, to: bytes = PACKED, seconds: float = 3.0) -> list[bytes]:
        data = to + b"\x0e\x1a\x0e\x1a" + len(payload).to_bytes(2, "big") + payload
        return self.ask(0x0008, data, seconds)


def lines() -> list[bytes]:
    return [bytes.fromhex(line) for line in CAPTURE.read_text().splitlines() if line.startswith("D0")]


def test_the_vendors_session_frame_by_frame() -> None:
    """Capture 13: to the same requests the same frames, byte for byte up to where the meters' own values begin."""
    bench, log = Bench(), lines()
    bench.wait(2)
    said: list[bytes] = []
    for line in log:
        if line.startswith(bytes.fromhex("D0EA")):
            said += bench.raw(line, 30 if line[4:6] == b"\x00\x51" else 5)
    expected = [line for line in log if line.startswith(bytes.fromhex("D0F9"))]
    empty = [each for each in said if each[4:6] == b"\x40\x51" and each[12] == 1]
    assert [each[13] for each in empty] == [*range(4, 12), *range(13, 18)]  # the log shows the first of them only
    said = [each for each in said if each not in empty[1:]]
    announced = [each for each in said if each[4:6] == b"\x60\x18" and each[39 + 10 : 39 + 13] == b"\x73\x01\xd5"]
    said = [each for each in said if each not in announced]
    notified, answered = expected.index(log[-4]), len(expected) - 1
    assert said[:notified] == expected[:notified]  # up to 6028
    assert said[notified] == expected[notified + 1]  # F21, the response to 0008
    mine, theirs = said[-1], expected[answered]  # F22
    assert len(mine) == len(theirs)
    assert mine[12:34] == theirs[12:32] + NETWORK.pan_id.to_bytes(2, "big")
    assert mine[34:36] == theirs[34:36]
    assert mine[37:53] == theirs[37:53]  # length, EHD, TID, objects, ESV, OPC, EA
    mine, theirs = announced[0], log[-4]  # D5 and EA as INF: the same form
    assert (mine[4:6], mine[12:32], mine[35:36]) == (theirs[4:6], theirs[12:32], theirs[35:36])
    assert mine[34] == 1


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\xff\x00SKVER\r\n" + request(0x006B), frame(0x206B, bytes.fromhex("01 0400 01 03 0000158A"))),
        (request(0x00AA), frame(0xFFFF, b"\x03")),
        (bytes.fromhex("D0EA83FC 006B 0004 03A9 0000"), frame(0x2FFF, b"\xf0")),
        (bytes.fromhex("D0EA83FC 0005 0006 0344 0029 0E1A"), frame(0x2005, b"\xf1")),
        (bytes.fromhex("D0EA83FC 006B 0003 03A7 0000"), frame(0x206B, b"\xf2")),
        (bytes.fromhex("D0EA83FC 006B 054A 03F3 0000"), frame(0x206B, b"\xf3")),
        (request(0x0005, b"\x0e"), frame(0x2005, b"\x11")),
    ],
)
def test_what_is_not_a_command(data: bytes, answer: bytes) -> None:
    """Garbage is discarded; FFFF for an unknown code; F0 in 2FFF; F1, F2, F3; 11 for a wrong size."""
    assert Bench().booted().raw(data) == [answer]


def test_a_frame_that_stops_is_given_up_after_a_second() -> None:
    """Result 13, and the next command is heard."""
    bench = Bench().booted()
    assert bench.raw(request(0x0054, CREDENTIALS)[:20], 0.9) == []
    assert bench.wait(0.2) == [frame(0x2054, b"\x13")]
    assert len(bench.ask(0x006B)) == 1
    assert bench.raw(request(0x006B)[:7], 1.1) == [frame(0x2FFF, b"\x13")]


def test_one_command_at_a_time() -> None:
    """3D while a scan, a connection or a transmission is under way, whatever the command."""
    bench = Bench().armed()
    bench.ask(0x0051, b"\x06\x00\x03\xff\xf0\x00")
    assert bench.result(0x006B) == 0x3D
    assert bench.wait(30)[-1] == frame(0x2051, b"\x01")
    bench.ask(0x0053)
    assert bench.result(0x0001) == 0x3D
    bench.wait(2)
    bench.result(0x0005, b"\x0e\x1a")
    bench.ask(0x0056, seconds=10)
    bench.send(seconds=0)
    assert bench.result(0x0001) == 0x3D


@pytest.mark.parametrize(
    ("state", "code", "data", "result"),
    [
        ("booted", 0x0051, b"\x06\x00\x03\xff\xf0\x00", 0x37),
        ("booted", 0x0053, b"", 0x37),
        ("booted", 0x0054, CREDENTIALS, 0x37),
        ("booted", 0x0107, b"", 0x37),
        ("booted", 0x005F, b"\x01\x00\x04\x00", 0x14),
        ("booted", 0x005F, b"\x05\x00\x12\x00", 0x04),
        ("armed", 0x0054, CREDENTIALS, 0x58),
        ("armed", 0x0056, b"", 0x10),
        ("armed", 0x0057, b"", 0x10),
        ("armed", 0x0058, b"", 0x10),
        ("armed", 0x00D2, b"", 0x10),
        ("armed", 0x005E, b"", 0x10),
        ("armed", 0x0051, b"\x0f\x00\x03\xff\xf0\x00", 0x04),
        ("armed", 0x0051, b"\x06\x00\x00\x00\x01\x00", 0x04),
        ("armed", 0x0006, b"\x0e\x1a", 0x0B),
        ("connected", 0x005F, b"\x05\x00\x04\x00", 0x34),
        ("connected", 0x0053, b"", 0x34),
        ("connected", 0x0005, b"\x0e\x1a", 0x0A),
        ("connected", 0x0059, b"", 0x51),
        ("joined", 0x0056, b"", 0x35),
        ("joined", 0x0008, bytes(16) + b"\x0e\x1a\x0e\x1a\x00\x01\x10", 0x06),
        ("joined", 0x0008, PACKED + b"\x0e\x1b\x0e\x1a\x00\x01\x10", 0x0B),
        ("joined", 0x0008, PACKED + b"\x0e\x1a\x0e\x1a\x00\x02\x10", 0x11),
    ],
)
def test_wrong_states_and_parameters(state: str, code: int, data: bytes, result: int) -> None:
    """The results of table 34."""
    assert getattr(Bench(), state)().result(code, data) == result


def test_without_credentials_route_b_does_not_start() -> None:
    """51; with those of another home the meter does not answer, 0E."""
    bench = Bench().booted()
    bench.ask(0x005F, b"\x05\x00\x0c\x00")
    assert bench.result(0x0053) == 0x51
    bench.ask(0x0054, b"0" * 44)
    assert bench.result(0x0053, seconds=2) == 0x0E


def test_the_state_is_told() -> None:
    """0001: set up or not; Route B off, connected, in authentication, while it is made and when it stands."""
    bench = Bench().booted()
    assert bench.ask(0x0001) == [frame(0x2001, b"\x01\x02\x01\x01")]
    assert Bench().armed().ask(0x0001) == [frame(0x2001, b"\x01\x03\x01\x01")]
    bench = Bench().connected()
    assert bench.ask(0x0001) == [frame(0x2001, b"\x01\x03\x02\x01")]
    bench.ask(0x0056)
    assert bench.ask(0x0001) == [frame(0x2001, b"\x01\x03\x03\x01")]
    assert bench.result(0x0056) == 0x52
    bench.wait(10)
    assert bench.ask(0x0001) == [frame(0x2001, b"\x01\x03\x03\x01")]
    assert bench.ask(0x005E) == [frame(0x205E, b"\x01\xbc\xde")]
    assert bench.ask(0x0107) == [frame(0x2107, b"\x01\x05\x00\x0c\x00")]
    assert len(bench.ask(0x0059)[0]) == 12 + 17


def test_plaintext_goes_out_before_authentication() -> None:
    """v1.2, 0008: connected and not authenticated, a datagram is acknowledged, and anybody could read it."""
    bench = Bench().connected()
    assert bench.send() == [frame(0x2008, b"\x01\x00" + GET[:5])]
    assert bench.module.plaintext == [GET]
    bench.ask(0x0056)
    assert bench.send(seconds=0.5) == [frame(0x2008, b"\x01\x00" + GET[:5])]
    assert bench.module.plaintext == [GET, GET]
    joined = Bench().joined()
    assert len(joined.send()) == 2
    assert joined.module.plaintext == []


def test_a_session_whose_lifetime_is_over_sends_nothing() -> None:
    """52 until it is renewed."""
    bench = Bench().joined()
    bench.module.faults.add(Fault(Strike.EXPIRE))
    bench.wait(0.1)
    assert bench.send(seconds=0) == [frame(0x2008, b"\x52")]
    bench.wait(10)
    assert len(bench.send()) == 2
    assert bench.module.plaintext == []


def test_ends_of_pana() -> None:
    """Refused: 02 after 312 s. Unanswered: 03 after 706 s, and 52 until then."""
    bench = Bench(faults=[Fault(Flaw.JOIN_FAILS)]).connected()
    bench.ask(0x0056)
    assert bench.wait(310) == []
    assert bench.wait(5) == [frame(0x6028, b"\x02" + bytes.fromhex(NETWORK.mac))]
    bench = Bench(faults=[Fault(Spell.METER_SILENT, seconds=9999)]).connected()
    bench.ask(0x0056)
    assert bench.wait(700) == []
    assert bench.result(0x0057) == 0x52
    assert bench.wait(10) == [frame(0x6028, b"\x03" + bytes.fromhex(NETWORK.mac))]


def test_leaving_forgets_the_credentials_and_the_ports() -> None:
    """0057 and 0058, and the meter admits nobody for 10 s."""
    bench = Bench().joined()
    assert bench.result(0x0057) == 1
    assert bench.result(0x0058) == 1
    bench.wait(1)
    assert not bench.meter.joined
    assert bench.result(0x0053) == 0x51
    assert bench.result(0x0054, CREDENTIALS) == 1
    assert bench.result(0x0006, b"\x0e\x1a") == 0x0B


def test_what_happens_in_the_air_is_notified() -> None:
    """601A when the meter ends the session, 6028 when renewal fails, 6038 for unknown keys, 6019 at a restart."""
    mac = bytes.fromhex(NETWORK.mac)
    for fault, expected in (
        (Fault(Strike.PEER_CLOSES), frame(0x601A, b"\x04" + mac + b"\xde")),
        (Fault(Strike.LOSE_SESSION), frame(0x6028, b"\x03" + mac)),
        (Fault(Strike.REBOOT), frame(0x6019)),
        (Fault(Strike.EXPIRE), None),
    ):
        bench = Bench().joined()
        bench.module.faults.add(fault)
        told = [each for each in bench.wait(5) if each[4:6] != b"\x60\x18"]
        assert told == ([] if expected is None else [expected])
    bench = Bench(faults=[Fault(Flaw.UNDECIPHERED)]).joined()
    bench.module.faults.add(Fault(Flaw.UNDECIPHERED))
    _, failed = bench.send()
    assert failed[4:6] + failed[12:13] == b"\x60\x38\x01"
    assert failed[13:29] == PACKED


def test_the_limit_and_the_radio() -> None:
    """Outcomes of 0008: 2 for the hourly limit, 5 without acknowledgement."""
    bench = Bench().joined()
    bench.module.faults.add(Fault(Strike.LIMIT, at=bench.now, seconds=10))
    bench.wait(1)
    assert bench.send() == [frame(0x2008, b"\x01\x02" + GET[:5])]
    bench.wait(10)
    bench.module.faults.add(Fault(Spell.RADIO_LOST, at=bench.now, seconds=10))
    assert bench.send() == [frame(0x2008, b"\x01\x05" + GET[:5])]


def test_a_starting_module_is_deaf() -> None:
    """Until 6019."""
    bench = Bench()
    assert bench.ask(0x006B) == []
    bench.booted()
    assert bench.ask(0x00D9) == []
    assert bench.ask(0x006B, seconds=0.5) == []
    assert bench.wait(1) == [frame(0x6019)]
