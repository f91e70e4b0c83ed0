"""The commands of an SKSTACK-IP module, one method each, as its command reference lists them.

A method returns the lines printed before OK, or raises Refused; what happens later is told by `Air`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from hemsd.simulator import registers
from hemsd.simulator.air import ECHONET_PORT, PANA_PORT, Air, Busy
from hemsd.simulator.radio import BROADCAST, link_local
from hemsd.simulator.registers import REGISTERS

Family = Literal["SE", "DUAL"]
FIRMWARE = {"SE": ("1.2.10", "rev26e"), "DUAL": ("1.5.2", "rev0e")}
MAC = {"SE": "001D12900005747B", "DUAL": "001D12910004E578"}
FILLER = "\0"  # what is missing of a password or an ID is undefined
IPV6 = re.compile("[0-9A-F]{4}(:[0-9A-F]{4}){7}")
MEASURE, WITH_PAIRING, WITHOUT_PAIRING = 0, 2, 3  # SKSCAN modes

Entry = tuple[int, int, Callable[..., list[str] | None]]


class Refused(Exception):
    """A command that fails with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Flash:
    """What survives a power cut; it may be written ten thousand times."""

    wopt: int = 0  # 0 binary payloads (as delivered), 1 hexadecimal
    wuart: int = 0
    saved: dict[int, int] = field(default_factory=dict)  # registers, by SKSAVE
    writes: int = 0


class Stack:
    """Registers, credentials and commands, to be powered up first; `without` names commands this firmware lacks."""

    def __init__(self, family: Family, air: Air, flash: Flash, without: Iterable[str]) -> None:
        self.dual = family == "DUAL"
        self.mac = MAC[family]
        self.address = link_local(self.mac)
        self._firmware = FIRMWARE[family]
        self._air = air
        self._flash = flash
        self._commands = {name: entry for name, entry in self._table().items() if name not in without}

    def reset(self) -> None:
        """All variables to their defaults; the session and the credentials are gone."""
        self.registers = registers.defaults()
        self.asleep = False
        self._pairing_id = "CCDDEEFF"
        self._route_b_id = self._password = ""
        self._ports = {1: ECHONET_PORT, 2: PANA_PORT, 3: 0, 4: 0, 5: 0, 6: 0}
        self._air.drop()
        self._tune()

    def power_up(self) -> None:
        """Like a reset, but what was saved with autoload on is loaded."""
        self.reset()
        if self._flash.saved.get(registers.AUTOLOAD):
            self._load()

    def obey(self, name: str, arguments: list[str]) -> list[str]:
        """Carry out a command. Raises Refused."""
        if name not in self._commands:
            raise Refused("ER04")
        fewest, most, command = self._commands[name]
        if not fewest <= len(arguments) <= most:
            raise Refused("ER05")
        try:
            return command(*arguments) or []
        except Busy:
            raise Refused("ER10") from None

    def send(self, fields: list[str], payload: bytes, done: Callable[[], None]) -> None:
        """SKSENDTO, whose fields the input has checked. Raises Refused."""
        port = self._ports[int(fields[0])]
        if not port:
            raise Refused("ER10")
        if self.dual and fields[4] != "0":
            raise Refused("ER10")  # nothing is connected on the other side
        try:
            self._air.send(fields[1].upper(), int(fields[2], 16), int(fields[3]), payload, done)
        except Busy:
            raise Refused("ER10") from None

    def _table(self) -> dict[str, Entry]:
        """Each command with the fewest and the most arguments that it takes."""
        side = int(self.dual)  # one argument more
        return {
            "SKVER": (0, 0, lambda: [f"EVER {self._firmware[0]}"]),
            "SKAPPVER": (0, 0, lambda: [f"EAPPVER {self._firmware[1]}"]),
            "SKINFO": (0, 0, self._info),
            "SKRESET": (0, 0, self.reset),
            "SKSREG": (1, 2, self._register),
            "SKSETPWD": (2, 2, self._set_password),
            "SKSETRBID": (1, 1, self._set_id),
            "SKSETPSK": (2, 2, self._set_key),
            "SKSCAN": (3 + side, 3 + side, self._scan),
            "SKLL64": (1, 1, lambda mac: [link_local(f"{_number(mac, 16):016X}")]),
            "SKJOIN": (1, 1, self._join),
            "SKREJOIN": (0, 0, self._air.rejoin),
            "SKTERM": (0, 0, self._air.leave),
            "SKSENDTO": (6 + side, 6 + side, self._malformed_send),
            "SKPING": (1, 1, lambda address: self._air.ping(_address(address))),
            "SKADDNBR": (2, 2, self._add_neighbour),
            "SKRMDEV": (1, 1, self._remove_neighbour),
            "SKTABLE": (1, 1, self._show),
            "SKUDPPORT": (2, 2, self._set_port),
            "SKSAVE": (0, 0, self._save),
            "SKLOAD": (0, 0, self._load),
            "SKERASE": (0, 0, self._erase),
            "SKDSLEEP": (0, 0, self._sleep),
            "WOPT": (1, 1, self._set_payload_mode),
            "ROPT": (0, 0, lambda: [f"{self._flash.wopt:02X}"]),
            "WUART": (1, 1, self._set_uart),
            "RUART": (0, 0, lambda: [f"{self._flash.wuart:02X}"]),
        }

    def _info(self) -> list[str]:
        channel, pan_id = self.registers[registers.CHANNEL], self.registers[registers.PAN_ID]
        return [f"EINFO {self.address} {self.mac} {channel:02X} {pan_id:04X} {'0' if self.dual else 'FFFE'}"]

    def _register(self, name: str, text: str | None = None) -> list[str] | None:
        match = re.fullmatch("S([0-9A-F]{1,2})", name)
        number = int(match[1], 16) if match else -1
        if number == registers.PAIRING_ID:
            return self._pairing(text)
        register = REGISTERS.get(number)
        if register is None:
            raise Refused("ER06")
        if text is None:
            return [f"ESREG {self._value(number):0{register.digits}X}"]
        value = _number(text, register.digits)
        high = 1 if number == registers.SHOWS_LQI and self.dual else register.high
        if not register.low <= value <= high:
            raise Refused("ER06")
        if number == registers.SENT_MS:
            self._air.duty.total_s = 0.0
        self.registers[number] = value
        self._tune()
        return None

    def _pairing(self, text: str | None) -> list[str] | None:
        if text is None:
            return [f"ESREG {self._pairing_id}"]
        if len(text) != len(self._pairing_id):
            raise Refused("ER06")
        self._pairing_id = text
        return None

    def _value(self, number: int) -> int:
        match number:
            case registers.LIMITED:
                return int(self._air.limited)
            case registers.SENT_MS:
                return int(self._air.duty.total_s * 1000)
            case registers.FRAME_COUNTER:
                return self._air.duty.frames
            case _:
                return self.registers[number]

    def _tune(self) -> None:
        self._air.tuned = self.registers[registers.CHANNEL], self.registers[registers.PAN_ID]
        self._air.renews = bool(self.registers[registers.RENEWS])

    def _set_password(self, length: str, password: str) -> None:
        wanted = _number(length, 2)
        if not 1 <= wanted <= 32 or len(password) > wanted:
            raise Refused("ER06")
        self._password = password.ljust(wanted, FILLER)

    def _set_id(self, route_b_id: str) -> None:
        if len(route_b_id) > 32:
            raise Refused("ER06")
        self._route_b_id = route_b_id.ljust(32, FILLER)
        self._pairing_id = self._route_b_id[-8:]

    def _set_key(self, length: str, key: str) -> None:
        """A key in place of the password; no meter here is known by its key."""
        if length != "10" or not re.fullmatch("[0-9A-Fa-f]{32}", key):
            raise Refused("ER06")
        if self._password:
            raise Refused("ER10")  # only after SKRESET
        self._password = key

    def _scan(self, mode: str, mask: str, duration: str, side: str = "0") -> None:
        kind, channels, exponent = _number(mode, 1), _number(mask, 8), _number(duration, 1)
        if kind not in (MEASURE, WITH_PAIRING, WITHOUT_PAIRING) or exponent > 14 or side not in ("0", "1"):
            raise Refused("ER06")
        pairing_id = self._pairing_id if kind == WITH_PAIRING else None
        self._air.scan(channels, exponent, pairing_id, measure=kind == MEASURE)

    def _join(self, address: str) -> None:
        self._air.join(_address(address), self._route_b_id, self._password)

    def _malformed_send(self, *_: str) -> None:
        """A complete SKSENDTO never comes as a line; see Stack.send()."""
        raise Refused("ER06")

    def _add_neighbour(self, address: str, mac: str) -> None:
        self._air.neighbours[_address(address)] = f"{_number(mac, 16):016X}"

    def _remove_neighbour(self, address: str) -> None:
        self._air.neighbours.pop(_address(address), None)

    def _show(self, mode: str) -> list[str]:
        match mode:
            case "1":
                return ["EADDR", self.address, BROADCAST]
            case "2":
                return ["ENEIGHBOR", *(f"{address} {mac} FFFF" for address, mac in self._air.neighbours.items())]
            case "E":
                return ["EPORT", *map(str, self._ports.values()), "", *["0"] * 4]
            case "F":
                return ["EHANDLE"]
            case _:
                raise Refused("ER06")

    def _set_port(self, handle: str, port: str) -> None:
        if _number(handle, 1) not in range(3, 7):
            raise Refused("ER06")
        self._ports[int(handle)] = _number(port, 4)

    def _save(self) -> None:
        kept = {number: value for number, value in self.registers.items() if REGISTERS[number].saved}
        self._flash.saved = kept
        self._flash.writes += 1

    def _load(self) -> None:
        if not self._flash.saved:
            raise Refused("ER10")
        self.registers.update(self._flash.saved)
        self._tune()

    def _erase(self) -> None:
        self._flash.saved = {}
        self._flash.writes += 1

    def _sleep(self) -> None:
        self.asleep = True

    def _set_payload_mode(self, mode: str) -> None:
        if _number(mode, 2) > 1:
            raise Refused("ER06")
        self._flash.wopt = int(mode, 16)
        self._flash.writes += 1

    def _set_uart(self, mode: str) -> None:
        self._flash.wuart = _number(mode, 2)
        self._flash.writes += 1


def _number(text: str, digits: int) -> int:
    """A number of at most so many hexadecimal digits. Raises Refused."""
    if not re.fullmatch(f"[0-9A-Fa-f]{{1,{digits}}}", text):
        raise Refused("ER06")
    return int(text, 16)


def _address(text: str) -> str:
    """An IPv6 address in its full form. Raises Refused."""
    if not IPV6.fullmatch(text.upper()):
        raise Refused("ER06")
    return text.upper()
