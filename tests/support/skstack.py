"""A SKSTACK-IP engine on a bench: the test plays the module, line by line, on a clock of its own."""

from __future__ import annotations

from drivers.module import Command, Credentials, Event, Open, Outgoing, Pan
from drivers.skstack import Engine

SELF = "FE80:0000:0000:0000:021D:1290:0003:809A"
METER = "FE80:0000:0000:0000:021C:6400:0364:831F"
METER_MAC = "001C64000364831F"
CREDENTIALS = Credentials("00112233445566778899AABBCCDDEEFF", "0123456789AB")
PAN = Pan(channel=0x31, pan_id=0xB5FB, mac=METER_MAC, pairing_id="CCDDEEFF", lqi=0xDD)
GET_POWER = bytes.fromhex("1081000105FF010288016201E700")
POWER = bytes.fromhex("1081000102880105FF017201E704000001F8")

PROBE = b"\r\nSKVER\r\n"
EINFO_SE = f"EINFO {SELF} 001D12900003809A 21 FFFF FFFE"
EINFO_DUAL = f"EINFO {SELF} 001D12900003809A 21 FFFF 0"


def erxudp(payload: bytes, *, raw: bool = False, middle: str = "1", ports: str = "0E1A 0E1A") -> bytes:
    """An ERXUDP line from the meter; `middle` is what stands between SENDERLLA and LEN."""
    header = f"ERXUDP {METER} {SELF} {ports} {METER_MAC} {middle} {len(payload):04X} "
    return header.encode() + (payload if raw else payload.hex().upper().encode()) + b"\r\n"


class Bench:
    def __init__(self) -> None:
        self.engine = Engine()
        self.now = 100.0

    def give(self, command: Command) -> None:
        self.engine.command(command, self.now)

    def hear(self, *lines: str | bytes) -> None:
        """The module says these lines (bytes: exactly these)."""
        for line in lines:
            self.engine.receive(line if isinstance(line, bytes) else f"{line}\r\n".encode(), self.now)

    def answer(self, request: bytes, *lines: str | bytes) -> None:
        """The engine has sent exactly this request; the module answers."""
        assert self.engine.outgoing() == [request]
        self.hear(*lines)

    def silence(self) -> list[Outgoing]:
        """Nothing comes until the engine's deadline; what it does then."""
        due = self.engine.deadline()
        assert due is not None
        assert due > self.now
        self.now = due
        self.engine.tick(self.now)
        return self.engine.outgoing()

    def events(self) -> list[Event]:
        return self.engine.events()


def opened(einfo: str = EINFO_SE, *, mode: str = "OK 01") -> Bench:
    """A bench whose module was opened without a reset."""
    bench = Bench()
    bench.give(Open(keep_session=True))
    bench.answer(PROBE, "EVER 1.2.10", "OK")
    bench.answer(b"SKINFO\r\n", einfo, "OK")
    bench.answer(b"SKSREG SFE 0\r\n", "OK")
    bench.answer(b"SKAPPVER\r\n", "EAPPVER rev26e", "OK")
    bench.answer(b"ROPT\r", f"{mode}\r".encode())
    if einfo == EINFO_DUAL:
        bench.answer(b"SKSREG SA2 1\r\n", "OK")
    assert not bench.engine.busy
    bench.events()
    return bench
