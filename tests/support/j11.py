"""A J11 engine on a bench: the test plays the module, frame by frame, on a clock of its own."""

from __future__ import annotations

from drivers.j11 import Engine
from drivers.module import Command, Credentials, Event, Join, Open, Outgoing, Pan, UseCredentials
from hemsd.simulator.frames import frame

SELF_MAC = "001D129100041C6A"
SELF = Pan(0, 0, SELF_MAC).address
CREDENTIALS = Credentials("00112233445566778899AABBCCDDEEFF", "0123456789AB")
PAN = Pan(channel=0x31, pan_id=0xB5FB, mac="001C64000364831F", pairing_id="CCDDEEFF", rssi_dbm=-60)
METER = PAN.address
MAC = bytes.fromhex(PAN.mac)
GET_POWER = bytes.fromhex("1081000105FF010288016201E700")
POWER = bytes.fromhex("1081000102880105FF017201E704000001F8")

OK = b"\x01"
VERSION = bytes.fromhex("01 0400 01 03 0000158A")
AUTHENTICATED, REFUSED, SILENT = (frame(0x6028, bytes([result]) + MAC) for result in (1, 2, 3))
BOOTED = frame(0x6019)
UNDECIPHERED = frame(0x6038, b"\x01" + bytes(25))


def packed(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def told(payload: bytes, *, encryption: int = 2, kind: int = 0) -> bytes:
    """6018 from the meter, at -70 dBm."""
    head = packed(METER) + bytes.fromhex("0E1A 0E1A B5FB") + bytes([kind, encryption, 0xBA])
    return frame(0x6018, head + len(payload).to_bytes(2, "big") + payload)


def link(state: int) -> bytes:
    """601A."""
    return frame(0x601A, bytes([state]) + MAC + b"\xba")


class Bench:
    def __init__(self) -> None:
        self.engine = Engine()
        self.now = 100.0

    def give(self, command: Command) -> None:
        self.engine.command(command, self.now)

    def hear(self, *frames: bytes) -> None:
        for each in frames:
            self.engine.receive(each, self.now)

    def asked(self) -> list[tuple[int, bytes]]:
        """The command codes that the engine has sent, with their data."""
        sent = [item for item in self.engine.outgoing() if isinstance(item, bytes)]
        return [(int.from_bytes(item[4:6], "big"), item[12:]) for item in sent]

    def answer(self, code: int, data: bytes = OK) -> None:
        """The engine has asked exactly this; the module responds."""
        assert [asked for asked, _ in self.asked()] == [code]
        self.hear(frame(0x2000 | code, data))

    def silence(self) -> list[Outgoing]:
        """Nothing comes until the engine's deadline; what it does then."""
        due = self.engine.deadline()
        assert due is not None
        assert due > self.now
        self.now = due
        self.engine.tick(due)
        return self.engine.outgoing()

    def events(self) -> list[Event]:
        return self.engine.events()


def opened() -> Bench:
    """A bench whose module was reset."""
    bench = Bench()
    bench.give(Open(keep_session=False))
    bench.answer(0x006B, VERSION)
    assert [code for code, _ in bench.asked()] == [0x00D9]
    bench.hear(BOOTED)
    bench.answer(0x000E, OK + bytes.fromhex(SELF_MAC))
    bench.answer(0x0009, OK + packed(SELF))
    return bench


def armed() -> Bench:
    """And that has the credentials."""
    bench = opened()
    bench.give(UseCredentials(CREDENTIALS))
    bench.answer(0x005F)
    bench.answer(0x0054)
    bench.events()
    return bench


def joining() -> Bench:
    """And whose PANA has begun."""
    bench = armed()
    bench.give(Join(PAN))
    bench.answer(0x005F)
    bench.answer(0x0053, OK + b"\x0c\xb5\xfb" + MAC + b"\xc4")
    bench.answer(0x0005)
    bench.answer(0x0056)
    bench.events()
    return bench


def joined() -> Bench:
    """And has succeeded."""
    bench = joining()
    bench.hear(AUTHENTICATED)
    bench.events()
    return bench
