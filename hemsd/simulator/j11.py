"""A J11 binary module as its UART interface describes it: frames in, frames out.

BP35C0-J11, BP35C2-J11, RS-WSUHA-J11. Where the interface leaves open with which result a command is refused in a
wrong state, the nearest by its words is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeVar

from hemsd.simulator.agenda import Play
from hemsd.simulator.air import PANA_PORT, Busy, Fate, Signal
from hemsd.simulator.board import Board
from hemsd.simulator.faults import Fault, Flaw
from hemsd.simulator.frames import GAP_S, UNTOLD, Command, Input, Spoilt, frame
from hemsd.simulator.meter import Meter
from hemsd.simulator.radio import BROADCAST, Beacon, Datagram, Network, Timing, link_local

MAC = "001D129100041C6A"
FIRMWARE = bytes.fromhex("0400 01 03 0000158A")  # ID, major, minor, revision
FIRST, LAST = 0x04, 0x11  # channels: 922.5 MHz and 0.4 MHz a step
DUAL = 0x05
PORTS = 6
LINE_BAUDRATE = 115200

# results (table 34)
OK, UNKNOWN, BAD_PARAMETER, BAD_DESTINATION = 0x01, 0x03, 0x04, 0x06
PORT_OPEN, PORT_NOT_OPEN, NOT_CONNECTED, NOT_STARTED, BAD_LENGTH, TOO_MANY = 0x0A, 0x0B, 0x0E, 0x10, 0x11, 0x12
WRONG_MODE, RUNNING, AUTHENTICATED, NOT_SET_UP, BUSY = 0x14, 0x34, 0x35, 0x37, 0x3D
NO_CREDENTIALS, AUTHENTICATING, ALREADY_SET = 0x51, 0x52, 0x58

# outcomes of a transmission
SENT, LIMITED, NO_ACKNOWLEDGEMENT = 0x0, 0x2, 0x5

# states of Route B
OFF, CONNECTED, IN_AUTHENTICATION = 1, 2, 3

T = TypeVar("T")

Answer = bytes | None
"""What follows the result in a response; None when the response comes later."""


class Refused(Exception):
    """A command that ends with this result."""

    def __init__(self, result: int) -> None:
        super().__init__(f"{result:02X}")
        self.result = result


class J11Module(Board):
    """A board that speaks J11. `plaintext` has what was sent without encryption, as no good driver does."""

    def __init__(
        self,
        meter: Meter,
        network: Network = Network(),  # noqa: B008 (frozen)
        *,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
        faults: Iterable[Fault] = (),
        seed: int = 1,
    ) -> None:
        super().__init__(meter, network, timing, faults, seed)
        self.plaintext: list[bytes] = []
        self._asked = False  # for PANA, by a command
        self._renewing = False  # a session whose lifetime is over
        self._beacons: list[Network] = []  # heard on the present channel
        self._timing = timing
        self.air.gates_plain = False
        self.air.patience_s = timing.silent_join_limit_s, timing.refused_join_limit_s
        self._commands = self._table()
        self._power_up()

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the line; a module that starts is deaf."""
        self.tick(now)
        if self._speechless() or self._starting:
            return
        self._input.feed(data)
        while (item := self._input.next()) is not None:
            self._take(item)
        self._fed += 1
        if self._input.amid:
            fed = self._fed
            self._agenda.after(GAP_S, lambda: self._wait_for_more(fed))

    @property
    def baudrate(self) -> int:
        return LINE_BAUDRATE

    # --- what the air tells

    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None:
        """Notify what the interface has a notification for; a session that was renewed is not mentioned."""
        match signal:
            case Signal.EXPIRED:
                self._renewing = True
            case Signal.JOINED:
                if self._asked:
                    self._notify(0x6028, b"\x01" + self._meter_mac())
                self._asked = self._renewing = False
            case Signal.JOIN_FAILED:
                self._asked = self._renewing = False
                self._notify(0x6028, (b"\x02" if self.air.challenged else b"\x03") + self._meter_mac())
            case Signal.PEER_CLOSED:
                self._notify(0x601A, b"\x04" + self._meter_mac() + _rssi(self.air.network.lqi))
            case Signal.SCAN_DONE:
                self._end(0x0051)
            case _:
                pass  # nothing is told of it

    def beacon(self, beacon: Beacon) -> None:
        """Keep it until the channel is over."""
        self._beacons.append(beacon.network)

    def listened(self, channel: int) -> None:
        """Notify what was heard on a channel."""
        number = bytes([_number(channel)])
        heard, self._beacons = self._beacons, []
        told = b"".join(bytes.fromhex(f"{each.mac}{each.pan_id:04X}") + _rssi(each.lqi) for each in heard)
        self._notify(0x4051, b"\x00" + number + bytes([len(heard)]) + told if heard else b"\x01" + number)

    def levels(self, levels: dict[int, int]) -> None:
        """Nothing here asks for them."""

    def datagram(self, datagram: Datagram) -> None:
        """Notify a datagram; those of PANA are the module's own business."""
        if datagram.port == PANA_PORT:
            return
        head = _packed(self.air.network.address) + datagram.port.to_bytes(2, "big") * 2
        head += self.air.network.pan_id.to_bytes(2, "big")
        head += bytes([datagram.to == BROADCAST, 2 if datagram.secured else 1]) + _rssi(datagram.lqi)
        data = head + len(datagram.payload).to_bytes(2, "big") + datagram.payload
        self._emit(self._spoil(frame(0x6018, data)))

    def undeciphered(self) -> None:
        """Notify a datagram whose key is not known."""
        source = _packed(self.air.network.address)
        self._notify(0x6038, b"\x01" + source + bytes([self._chance.getrandbits(8), 0, 0, 0]) + bytes(5))

    def pong(self, address: str) -> None:
        """Nothing here pings."""

    # --- power and line

    def _power_up(self) -> None:
        super()._power_up()
        self.air.drop()
        self.air.tuned = (0, 0)
        self._input = Input()
        self._fed = 0  # how many times bytes came
        self._busy = False
        self._asked = self._renewing = False
        self._settings: bytes | None = None
        self._credentials: tuple[str, str] | None = None
        self._running = False
        self._ports: set[int] = set()
        self._beacons = []
        self._key = b""
        self._starting = True
        self._agenda.after(self._timing.boot_s, self._started)

    def _started(self) -> None:
        self._starting = False
        self._notify(0x6019)

    def _wait_for_more(self, fed: int) -> None:
        if fed == self._fed and self._input.amid:
            self._take(self._input.give_up())

    def _take(self, item: Command | Spoilt) -> None:
        if isinstance(item, Spoilt):
            self._respond(item.code, item.result)
            return
        if self.faults.take(Flaw.BROWN_OUT, self._agenda.now, f"{item.code:04X}"):
            self._brown_out()
            return
        flaw = self.faults.take(Flaw.COMMAND, self._agenda.now, f"{item.code:04X}")
        try:
            if flaw:
                raise Refused(int(flaw.arg[1], 16))
            answer = self._obey(item)
        except Refused as refused:
            self._respond(item.code, refused.result)
        except Busy:
            self._respond(item.code, AUTHENTICATING)
        else:
            if answer is not None:
                self._respond(item.code, OK, answer)

    def _obey(self, command: Command) -> Answer:
        entry = self._commands.get(command.code)
        if entry is None:
            self._notify(0xFFFF, bytes([UNKNOWN]))
            return None
        if self._busy:
            raise Refused(BUSY)
        sizes, obey = entry
        if len(command.data) not in sizes:
            raise Refused(BAD_LENGTH)
        return obey(command.data)

    def _respond(self, code: int, result: int, data: bytes = b"") -> None:
        self._notify(0x2FFF if code == UNTOLD else 0x2000 | code, bytes([result]) + data)

    def _end(self, code: int, result: int = OK, data: bytes = b"") -> None:
        """Respond to a command that took its time."""
        self._busy = False
        self._respond(code, result, data)

    def _notify(self, code: int, data: bytes = b"") -> None:
        self._emit(frame(code, data))

    def _meter_mac(self) -> bytes:
        return bytes.fromhex(self.air.network.mac)

    # --- commands

    def _table(self) -> Mapping[int, tuple[Container[int], Callable[[bytes], Answer]]]:
        """Each command with the sizes its data may have."""
        return {
            0x0001: ((0,), self._state),
            0x0005: ((2,), self._open_port),
            0x0006: ((2,), self._close_port),
            0x0008: (range(23, 22 + 1232 + 1), self._send),
            0x0009: ((0,), lambda _: _packed(link_local(MAC))),
            0x000E: ((0,), lambda _: bytes.fromhex(MAC)),
            0x0051: ((6, 14), self._scan),
            0x0053: ((0,), self._start),
            0x0054: ((44,), self._set_credentials),
            0x0056: ((0,), self._authenticate),
            0x0057: ((0,), self._end_session),
            0x0058: ((0,), self._stop),
            0x0059: ((0,), self._tell_key),
            0x005E: ((0,), self._tell_pan_id),
            0x005F: ((4,), self._set_up),
            0x006B: ((0,), lambda _: FIRMWARE),
            0x00D2: ((0,), self._authenticate_again),
            0x00D9: ((0,), self._reset),
            0x0107: ((0,), self._tell_settings),
        }

    def _state(self, _: bytes) -> Answer:
        route_b = IN_AUTHENTICATION if self.air.joined or self._asked else CONNECTED if self._running else OFF
        return bytes([2 if self._settings is None else 3, route_b, OFF])

    def _set_up(self, data: bytes) -> Answer:
        self._must(not self._running, RUNNING)
        mode, sleep, channel, power = data
        self._must(mode == DUAL, WRONG_MODE)
        self._must(sleep <= 1 and FIRST <= channel <= LAST and power <= 2, BAD_PARAMETER)
        self._settings = data
        return b""

    def _tell_settings(self, _: bytes) -> Answer:
        return self._given(self._settings, NOT_SET_UP)

    def _set_credentials(self, data: bytes) -> Answer:
        self._must(self._settings is not None, NOT_SET_UP)
        self._must(self._credentials is None, ALREADY_SET)
        text = data.decode("ascii", "replace").upper()
        self._credentials = text[:32], text[32:]
        return b""

    def _scan(self, data: bytes) -> Answer:
        self._must(self._settings is not None, NOT_SET_UP)
        self._must(not self._running, RUNNING)
        duration, mask, paired = data[0], int.from_bytes(data[1:5], "big"), data[5]
        self._must(1 <= duration <= 14 and not mask & ~0x3FFF0 and paired <= 1, BAD_PARAMETER)
        self._must(len(data) == 14 or not paired, BAD_LENGTH)
        units = sum(1 << 2 * (channel - FIRST) for channel in range(FIRST, LAST + 1) if mask >> channel & 1)
        self.air.scan(units, duration, data[6:].decode("ascii", "replace") if paired else None)
        self._busy = True
        return None

    def _start(self, _: bytes) -> Answer:
        settings = self._given(self._settings, NOT_SET_UP)
        self._must(not self._running, RUNNING)
        route_b_id, _password = self._given(self._credentials, NO_CREDENTIALS)
        self._busy = True
        self._agenda.play(self._connect(settings[2], route_b_id[-8:]))
        return None

    def _connect(self, channel: int, pairing_id: str) -> Play:
        yield self._timing.connect_s
        network = self.air.network
        if not self.air.finds(_unit(channel), pairing_id):
            self._end(0x0053, NOT_CONNECTED)
            return
        self._running = True
        self.air.tuned = network.channel, network.pan_id
        told = bytes([channel]) + network.pan_id.to_bytes(2, "big") + self._meter_mac() + _rssi(network.lqi)
        self._end(0x0053, OK, told)

    def _authenticate(self, _: bytes) -> Answer:
        self._must(self._running, NOT_STARTED)
        self._must(not self.air.joined, AUTHENTICATED)
        route_b_id, password = self._given(self._credentials, NO_CREDENTIALS)
        self.air.join(self.air.network.address, route_b_id, password)
        self._asked = True
        return b""

    def _authenticate_again(self, _: bytes) -> Answer:
        self._must(self._running and self.air.joined, NOT_STARTED)
        self.air.rejoin()
        self._asked = True
        return b""

    def _end_session(self, _: bytes) -> Answer:
        self._must(self._running, NOT_STARTED)
        self._must(not self._asked, AUTHENTICATING)
        if self.air.joined:
            self.air.leave()
        self._credentials = None
        return b""

    def _stop(self, _: bytes) -> Answer:
        self._must(self._running, NOT_STARTED)
        self._must(not self._asked, AUTHENTICATING)
        self._running = False
        self._ports.clear()
        return b""

    def _tell_key(self, _: bytes) -> Answer:
        self._must(self.air.joined, NO_CREDENTIALS)
        self._key = self._key or self._chance.randbytes(16)
        return self._key

    def _tell_pan_id(self, _: bytes) -> Answer:
        self._must(self._running, NOT_STARTED)
        return self.air.tuned[1].to_bytes(2, "big")

    def _open_port(self, data: bytes) -> Answer:
        port = int.from_bytes(data, "big")
        self._must(self._settings is not None, NOT_SET_UP)
        self._must(port > 0, BAD_PARAMETER)
        self._must(port not in self._ports, PORT_OPEN)
        self._must(len(self._ports) < PORTS, TOO_MANY)
        self._ports.add(port)
        return b""

    def _close_port(self, data: bytes) -> Answer:
        port = int.from_bytes(data, "big")
        self._must(port in self._ports, PORT_NOT_OPEN)
        self._ports.remove(port)
        return b""

    def _send(self, data: bytes) -> Answer:
        to, source, port, payload = data[:16], data[16:18], data[18:20], data[22:]
        self._must(self._running, NOT_STARTED)
        self._must(int.from_bytes(source, "big") in self._ports, PORT_NOT_OPEN)
        self._must(to[:2] in (b"\xfe\x80", b"\xff\x02"), BAD_DESTINATION)
        self._must(int.from_bytes(data[20:22], "big") == len(payload), BAD_LENGTH)
        if self.faults.take(Flaw.INF_BEFORE_ECHO, self._agenda.now):
            self.meter.notify(self._agenda.now)
            self.air.relay()
        if self.air.limited:
            return bytes([LIMITED]) + payload[:5]

        def settled(fate: Fate) -> None:
            outcome = SENT if fate is Fate.SENT else NO_ACKNOWLEDGEMENT
            self._end(0x0008, OK, bytes([outcome]) + payload[:5])

        security = 1 if self.air.joined or self._renewing else 0
        self.air.send(_text(to), int.from_bytes(port, "big"), security, payload, lambda: None, settled)
        if not security:
            self.plaintext.append(payload)
        self._busy = True
        return None

    def _reset(self, _: bytes) -> Answer:
        self._power_up()
        return None

    def _must(self, holds: bool, otherwise: int) -> None:
        if not holds:
            raise Refused(otherwise)

    def _given(self, value: T | None, otherwise: int) -> T:
        if value is None:
            raise Refused(otherwise)
        return value


def _number(unit: int) -> int:
    """The module's number of a unit channel (21-3C)."""
    return (unit - 0x21) // 2 + FIRST


def _unit(number: int) -> int:
    return 0x21 + 2 * (number - FIRST)


def _rssi(lqi: int) -> bytes:
    """Signal strength as the module tells it, -104 to -34 dBm; the meter's network has it as LQI."""
    return bytes([min(max(round(0.275 * lqi - 104.27), -104), -34) & 0xFF])


def _packed(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def _text(address: bytes) -> str:
    digits = address.hex().upper()
    return ":".join(digits[at : at + 4] for at in range(0, 32, 4))
