"""A bench for the simulated module: a virtual clock, and everything that appears on the line with its time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hemsd.simulator import Household, Meter, Network, Plate, SkModule

START = datetime(2026, 10, 1, 12, 20)
HOUSEHOLD = Household(7, pv_kw=4)
NETWORK = Network()
ADDRESS = NETWORK.address
OWN = {
    "SE": "FE80:0000:0000:0000:021D:1290:0005:747B",
    "DUAL": "FE80:0000:0000:0000:021D:1291:0004:E578",
}


class Bench:
    """A module on the table; `say` gives what it printed within some seconds, as one text."""

    def __init__(
        self, family: str, *, meter: dict[str, Any] | None = None, network: Network = NETWORK, **options: Any
    ) -> None:
        self.family = family
        self.side = " 0" if family == "DUAL" else ""
        self.now = 0.0
        self.printed: list[tuple[float, bytes]] = []
        arguments = {"start": START, "plate": Plate(), **(meter or {})}
        self.meter = Meter(HOUSEHOLD, **arguments)
        self.module = SkModule(family, self.meter, network, **options)  # type: ignore[arg-type]

    def raw(self, data: bytes = b"", seconds: float = 0.0) -> bytes:
        """Send bytes, let time pass, and give what was printed meanwhile."""
        begun = len(self.printed)
        if data:
            self.module.receive(data, self.now)
        self._collect()
        end = self.now + seconds
        while (due := self.module.deadline()) is not None and due <= end:
            self.now = due
            self.module.tick(due)
            self._collect()
        self.now = end
        self.module.tick(end)
        self._collect()
        return b"".join(data for _, data in self.printed[begun:])

    def say(self, line: str = "", seconds: float = 0.0) -> str:
        """Send a command line; the answer's lines, ends made visible as newlines."""
        data = f"{line}\r\n".encode("latin-1") if line else b""
        return self.raw(data, seconds).decode("latin-1").replace("\r\n", "\n")

    def quiet(self) -> Bench:
        """Echo off, payloads in hexadecimal."""
        self.raw(b"SKSREG SFE 0\r\nWOPT 01\r")
        return self

    def identify(self, password: str = NETWORK.password, route_b_id: str = NETWORK.route_b_id) -> Bench:
        """Give the credentials and tune to the meter."""
        self.say(f"SKSETPWD C {password}")
        self.say(f"SKSETRBID {route_b_id}")
        self.say(f"SKSREG S2 {NETWORK.channel:02X}")
        self.say(f"SKSREG S3 {NETWORK.pan_id:04X}")
        return self

    def joined(self) -> Bench:
        """With a session up and the meter's first announcement over."""
        self.quiet().identify()
        assert f"EVENT 25 {ADDRESS}" in self.say(f"SKJOIN {ADDRESS}", 10)
        return self

    def header(self, payload: bytes, *, to: str = ADDRESS, security: int = 1, handle: int = 1) -> str:
        return f"SKSENDTO {handle} {to} 0E1A {security}{self.side} {len(payload):04X} "

    def send(self, payload: bytes, seconds: float = 3.0, **options: Any) -> str:
        """Send a datagram; what is printed, as say() gives it."""
        data = self.header(payload, **options).encode("ascii") + payload
        return self.raw(data, seconds).decode("latin-1").replace("\r\n", "\n")

    def get(self, *epcs: int, seconds: float = 3.0) -> str:
        """Get properties of the meter."""
        return self.send(get(*epcs), seconds)

    def event(self, number: str, detail: str = "", *, of: str = ADDRESS) -> str:
        """An EVENT line as this family prints it."""
        return f"EVENT {number} {of}{self.side}{detail and ' ' + detail}\n"

    def _collect(self) -> None:
        self.printed += [(self.now, data) for data in self.module.outgoing()]


def get(*epcs: int, tid: int = 0x1234) -> bytes:
    """A Get for properties of the meter."""
    head = bytes.fromhex(f"1081{tid:04X}05FF0102880162")
    return head + bytes((len(epcs),)) + b"".join(bytes((epc, 0)) for epc in epcs)


def payloads(text: str) -> list[str]:
    """The ECHONET Lite payloads in hexadecimal among printed lines."""
    lines = [line.split(" ") for line in text.splitlines() if line.startswith("ERXUDP")]
    return [words[-1] for words in lines if words[3] == "0E1A"]
