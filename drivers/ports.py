"""What a port is, of bytes or of datagrams, what can go wrong with one, and the pump that drives a machine on it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from drivers.line import Line
from drivers.packet import Packet

MILLISECOND = 0.001


class PortError(Exception):
    """Trouble with a port. `port` is its path; the text says what to do about it."""

    def __init__(self, port: str, text: str) -> None:
        super().__init__(text)
        self.port = port


class TransientPortError(PortError):
    """May be over by itself: try again later."""


class PermanentPortError(PortError):
    """A person has to change something first."""


class PortMissing(TransientPortError):
    """There is no such device (yet)."""


class PortBusy(TransientPortError):
    """Another process holds the port."""


class PortLost(TransientPortError):
    """The device went away while open: unplugged, or its other end hung up."""


class PortStalled(TransientPortError):
    """The device takes no more bytes and the transmit buffer is at its cap (hardware flow control?)."""


class PortDenied(PermanentPortError):
    """No permission; the text names the group to join."""


class NotAPort(PermanentPortError):
    """The path exists and is not a serial port."""


class PortUnclear(PermanentPortError):
    """No port was named and several, or none that is likely, could be meant; the text lists them."""


ItemT = TypeVar("ItemT")  # what goes over a port: bytes, or drivers.packet.Packet
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)


class Delivery(Protocol[ItemT_contra]):
    """Is given what arrived: each item, or together those that came in together."""

    def __call__(self, /, *items: ItemT_contra) -> None: ...


class Port(Protocol[ItemT]):
    """A serial line or one network interface, open and held exclusively; what goes in and out is an item each."""

    @property
    def name(self) -> str:
        """The path or interface it was opened by."""

    def start(self, on_items: Delivery[ItemT], on_lost: Callable[[PortError], None], /) -> None:
        """Begin delivering what arrives, within the running event loop; `on_lost` is called at most once."""

    def write(self, item: ItemT, /) -> None:
        """Send, in one piece; never blocks. Raises PortLost once lost.

        Bytes are queued, PortStalled beyond 64 KiB waiting; a packet goes at once, or is lost as one on its way is.
        """

    def configure(self, line: Line) -> None:
        """Set the baud rate and flow control; a port that has neither (a pty, UDP) ignores it. Raises PortLost."""

    async def close(self) -> None:
        """Release the device; when this returns it can be opened again. Safe to call twice."""


BytePort: TypeAlias = Port[bytes]
DatagramPort: TypeAlias = Port[Packet]

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)


class Machine(Protocol[ItemT, EventT_co]):
    """A sans-I/O protocol machine on bytes or packets; see drivers.module.Module for the contract of each method."""

    def receive(self, item: ItemT, now: float, /) -> bool: ...
    def tick(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def outgoing(self) -> Sequence[ItemT | Line]: ...
    def events(self) -> Sequence[EventT_co]: ...


class Pump(Generic[ItemT, EventT]):
    """Drives one machine on one port: after each input or timer it sends, hands on events, re-arms one timer.

    >>> pump = Pump(machine, port, on_event)
    >>> async with asyncio.TaskGroup() as tasks:
    ...     tasks.create_task(pump.run())   # raises PortError when the port is lost

    After giving the machine something to do, call poke(); `on_event` may do both. Events are handed on one at a
    time, in order, and what they cause is sent after the last of them.
    """

    def __init__(
        self, machine: Machine[ItemT, EventT], port: Port[ItemT], on_event: Callable[[EventT], None]
    ) -> None:
        self._machine = machine
        self._port = port
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf  # when the timer goes off: at the deadline, or before
        self._due: float | None = None
        self._ended: asyncio.Future[None] | None = None  # while running and nothing went wrong
        self._turning = False

    async def run(self) -> None:
        """Pump until cancelled. Raises PortError on loss of the port, and whatever machine or `on_event` raised."""
        self._ended = ended = self._loop.create_future()
        try:
            self._port.start(self._turn, self._fail)
            self.poke()
            await ended
        finally:
            self._ended = self._due = None
            self._disarm()

    def poke(self) -> None:
        """Do now what the machine wants done: send, hand on events, re-arm the timer. Nothing while not running."""
        self._turn()

    def overdue_s(self) -> float:
        """How long ago the machine's own deadline passed unheeded; 0 while it is in time (for a watchdog)."""
        return 0.0 if self._due is None else max(0.0, self._loop.time() - self._due)

    def _turn(self, *items: ItemT, timed: bool = False) -> None:
        """Let the machine have what arrived, or the time, and do what it wants done."""
        if self._ended is None:
            return
        now, heard = self._loop.time(), not items
        try:
            if timed:
                self._tick(now)
            for item in items:
                heard |= self._machine.receive(item, now)
            if heard and not self._turning:  # otherwise the turn under way does the rest
                self._turning = True
                self._settle(now)
                self._turning = False
        except Exception as error:  # carried to run(), whose caller supervises
            self._turning = False
            self._fail(error)

    def _tick(self, now: float) -> None:
        due = self._machine.deadline()
        if due is not None and due <= now:
            self._machine.tick(now)

    def _settle(self, now: float) -> None:
        machine = self._machine
        while True:
            for item in machine.outgoing():
                if type(item) is Line:
                    self._port.configure(item)
                else:
                    self._port.write(item)
            events = machine.events()
            if not events:
                break
            for event in events:
                self._on_event(event)
        due = machine.deadline()
        if due is None:
            self._due = None
            if self._timer is not None:
                self._loop.call_soon(self._rest)
            return
        self._due = due if due > now else now  # one in the past means at once, and is not late for it
        if due < self._armed:
            self._arm(due)

    def _arm(self, due: float) -> None:
        """Wake up at this time. While the machine is busy only an earlier one replaces it: this is cheaper."""
        self._disarm()
        self._timer, self._armed = self._loop.call_at(due, self._timed), due

    def _rest(self) -> None:
        """Sleep on, unless the machine was given the next thing to do at once: to arm a timer anew is dear."""
        if self._due is None:
            self._disarm()

    def _disarm(self) -> None:
        """A machine at rest is not woken in vain."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._armed = None, math.inf

    def _timed(self) -> None:
        due, self._timer, self._armed = self._armed, None, math.inf
        now = self._loop.time()
        if now < due == self._due:  # the loop counts milliseconds, and rounded down
            self._timer, self._armed = self._loop.call_at(now + MILLISECOND, self._timed), due
        else:
            self._turn(timed=True)

    def _fail(self, error: Exception) -> None:
        ended, self._ended = self._ended, None
        if ended is not None and not ended.done():
            ended.set_exception(error)
