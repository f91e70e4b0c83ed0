"""An SKSTACK-IP Wi-SUN module as its command reference describes it: serial bytes in, serial bytes out.

BP35A1 command reference (single hop, "SE") and BP35C0/C2 (dual stack, "DUAL").
"""

from __future__ import annotations

from collections.abc import Iterable

from hemsd.simulator import registers
from hemsd.simulator.air import ECHONET_PORT, Fate, Signal
from hemsd.simulator.board import Board
from hemsd.simulator.faults import Fault, Flaw, Strike
from hemsd.simulator.meter import Meter
from hemsd.simulator.radio import Beacon, Datagram, Network, Timing
from hemsd.simulator.stack import Family, Flash, Refused, Stack
from hemsd.simulator.uart import Header, Input, Line, Send, Unreadable

BAUDRATES = (115200, 2400, 4800, 9600, 19200, 38400, 57600)  # by the low three bits of WUART


class SkModule(Board):
    """A board that speaks SKSTACK-IP; `flash` too may be looked at and changed while it runs.

    `without` names commands this firmware lacks. With `eats_first` the first command after power-up is lost.
    """

    def __init__(
        self,
        family: Family,
        meter: Meter,
        network: Network = Network(),  # noqa: B008 (frozen)
        *,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
        flash: Flash | None = None,
        faults: Iterable[Fault] = (),
        without: Iterable[str] = (),
        eats_first: bool = False,
        seed: int = 1,
    ) -> None:
        super().__init__(meter, network, timing, faults, seed)
        self.flash = flash or Flash()
        self._stack = Stack(family, self.air, self.flash, without)
        self._side = " 0" if self._stack.dual else ""
        self._eats_first = eats_first
        self._power_up()

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the line."""
        self.tick(now)
        if self._speechless() or self._stack.asleep:
            return
        self._input.feed(data)
        self._work()

    def wake(self) -> None:
        """Pull the WKUP pin of a module put to sleep by SKDSLEEP."""
        self._stack.asleep = False
        self._say("EVENT C0")

    @property
    def baudrate(self) -> int:
        """What the line has to be set to, as stored in the module when it was powered up."""
        return self._baudrate

    @property
    def rtscts(self) -> bool:
        """Whether the module prints only to who has set flow control, likewise."""
        return self._rtscts

    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None:
        """Print an EVENT."""
        detail = f" {fate.value}" if fate else ""
        self._say(f"EVENT {signal.value:02X} {address or self._stack.address}{self._side}{detail}")

    def beacon(self, beacon: Beacon) -> None:
        """Print what a beacon tells."""
        network = beacon.network
        self._say("EPANDESC")
        self._say(f"  Channel:{network.channel:02X}")
        self._say("  Channel Page:09")
        self._say(f"  Pan ID:{network.pan_id:04X}")
        self._say(f"  Addr:{network.mac}")
        self._say(f"  LQI:{network.lqi:02X}")
        if self._stack.dual:
            self._say("  Side:0")
        if beacon.paired:
            self._say(f"  PairID:{network.route_b_id[-8:]}")

    def listened(self, channel: int) -> None:
        """Nothing is printed of a channel."""

    def levels(self, levels: dict[int, int]) -> None:
        """Print what an energy detection scan found."""
        pairs = [f"{channel:02X} {level:02X}" for channel, level in levels.items()]
        self._say("EEDSCAN")
        self._say(" ".join([*self._side.split(), *pairs]))

    def pong(self, address: str) -> None:
        """Print the answer to a ping."""
        self._say(f"EPONG {address}")

    def datagram(self, datagram: Datagram) -> None:
        """Print a datagram."""
        network, port, payload = self.air.network, datagram.port, datagram.payload
        lqi = f" {datagram.lqi:02X}" if self._stack.dual and self._stack.registers[registers.SHOWS_LQI] else ""
        head = (
            f"ERXUDP {network.address} {datagram.to or self._stack.address} {port:04X} {port:04X} {network.mac}"
            f"{lqi} {datagram.secured:d}{self._side} {len(payload):04X} "
        )
        data = payload.hex().upper().encode("ascii") if self.flash.wopt else payload
        text = head.encode("ascii") + data + b"\r\n"
        if port == ECHONET_PORT:
            text = self._spoil(text)
        self._emit(text)

    def undeciphered(self) -> None:
        """Nothing is printed of what cannot be read."""

    def _power_up(self) -> None:
        super()._power_up()
        self._stack.power_up()
        self._baudrate = BAUDRATES[min(self.flash.wuart & 0x07, len(BAUDRATES) - 1)]
        self._rtscts = bool(self.flash.wuart & 0x80)
        self._input = Input(dual=self._stack.dual)
        self._busy = False
        self._eats = self._eats_first

    def _work(self) -> None:
        while not self._busy and (item := self._input.next()) is not None:
            match item:
                case Line():
                    self._obey(item)
                case Header():
                    if self.faults.take(Flaw.INF_BEFORE_ECHO, self._agenda.now):
                        self.meter.notify(self._agenda.now)
                        self.air.relay()
                    self._echo(item.text, "\r\n")
                    if not self._stack.registers[registers.ECHO]:
                        self._say("")
                case Send():
                    self._send(item)
                case Unreadable():
                    self._say(f"FAIL {item.code}")

    def _obey(self, line: Line) -> None:
        if self._eats:
            self._eats = False
            return
        if self.faults.take(Flaw.BROWN_OUT, self._agenda.now, line.text):
            self._brown_out()
            return
        self._echo(line.text, line.end)
        name, *arguments = line.text.rstrip(" ").split(" ")
        if not name:
            return
        try:
            if flaw := self.faults.take(Flaw.COMMAND, self._agenda.now, line.text):
                raise Refused(flaw.arg[1])
            printed = self._stack.obey(name, arguments)
        except Refused as refused:
            self._say(f"FAIL {refused.code}", line.end)
            return
        if line.end == "\r":  # a product command's answer stands on the same line
            self._say(" ".join(["OK", *printed]), line.end)
            return
        for text in printed:
            self._say(text)
        if name != "SKLL64":
            self._say("OK")

    def _echo(self, text: str, end: str) -> None:
        if self.faults.take(Flaw.ECHO_STRAY, self._agenda.now, text):
            self._say(text, "")
        elif self._stack.registers[registers.ECHO]:
            self._say(text, end)

    def _strike(self, fault: Fault) -> None:
        if fault.kind is Strike.REBOOT and fault.arg is not None:
            self.flash.wuart = fault.arg
        super()._strike(fault)

    def _send(self, send: Send) -> None:
        if self.faults.take(Flaw.BROWN_OUT, self._agenda.now, "SKSENDTO"):
            self._brown_out()
            return
        try:
            self._stack.send(send.fields, send.payload, self._sent)
            self._busy = True
        except Refused as refused:
            self._say(f"FAIL {refused.code}")

    def _sent(self) -> None:
        self._say("OK")
        self._busy = False
        self._work()

    def _say(self, text: str, end: str = "\r\n") -> None:
        self._emit((text + end).encode("latin-1"))
