"""A simulated module behind a real tty, in real time: whoever opens the path finds what a USB stick would be.

The far end of the pty stays open here, so that clients may come and go while the module goes on; the path is a
link, so that it stays the same when the stick is pulled out and put back (Spell.UNPLUGGED).
"""

from __future__ import annotations

import asyncio
import os
import pty
import tempfile
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hemsd.simulator.board import Board

BYTES_PER_S = 11_520  # 115200 baud, eight data bits, no parity, one stop bit
PACE_S = 0.002  # between two small writes
CHUNK = 4096
EARLY_S = 1e-6  # a timer may fire as much before its time
CFLAG, ISPEED, OSPEED = 2, 4, 5  # in what tcgetattr gives


@asynccontextmanager
async def serve_on_pty(module: Board, *, paced: bool = True, speed: float = 1.0) -> AsyncIterator[str]:
    """Run the module until the end of the block; gives the path of its tty.

    `paced` limits its output to what 115200 baud allow; `speed` is how many of its seconds pass in one.
    """
    with tempfile.TemporaryDirectory(prefix="hemsd-tty-") as directory:
        socket = _UsbSocket(module, Path(directory) / "tty", paced, speed)
        try:
            socket.turn()
            yield str(socket.path)
        finally:
            socket.close()


class _UsbSocket:
    """A pty while the stick is in, a timer for the module and one for the bytes on their way out."""

    def __init__(self, module: Board, path: Path, paced: bool, speed: float) -> None:
        self.path = path
        self._module = module
        self._paced = paced
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._near = self._far = -1
        self._timer: asyncio.TimerHandle | None = None
        self._sender: asyncio.TimerHandle | None = None
        self._waiting = bytearray()
        self._burst = (0.0, 0)  # since when bytes flow without a pause, and how many have gone

    def turn(self) -> None:
        """Do what is due, send what is to be sent, set the timer for what comes next."""
        self._module.tick(self._now())
        if self._module.plugged != (self._near >= 0):
            if self._module.plugged:
                self._plug_in()
            else:
                self._pull_out()
        outgoing = b"".join(self._module.outgoing())
        if self._near >= 0 and self._may_print():
            self._waiting += outgoing
        if self._waiting and self._sender is None:
            self._burst = (self._loop.time() - PACE_S, 0)
            self._send()
        if self._timer is not None:
            self._timer.cancel()
        due = self._module.deadline()
        self._timer = None if due is None else self._loop.call_at(self._began + due / self._speed, self.turn)

    def close(self) -> None:
        """Take the stick out for good."""
        if self._timer is not None:
            self._timer.cancel()
        self._pull_out()

    def _now(self) -> float:
        return (self._loop.time() - self._began + EARLY_S) * self._speed

    def _plug_in(self) -> None:
        self._near, self._far = pty.openpty()
        tty.setraw(self._far)
        self._set_baudrate(termios.B115200)
        os.set_blocking(self._near, False)
        self.path.symlink_to(os.ttyname(self._far))
        self._loop.add_reader(self._near, self._received)

    def _pull_out(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        self._waiting.clear()
        if self._near >= 0:
            self._loop.remove_reader(self._near)
            self.path.unlink()
            os.close(self._near)
            os.close(self._far)
            self._near = self._far = -1

    def _received(self) -> None:
        data = os.read(self._near, CHUNK)
        if self._understands():
            self._module.receive(data, self._now())
        self.turn()

    def _send(self) -> None:
        """Write a little, and again soon while there is more. What nobody reads is lost, as on a wire."""
        self._sender = None
        since, gone = self._burst
        allowed = int((self._loop.time() - since) * BYTES_PER_S) - gone if self._paced else len(self._waiting)
        data = bytes(self._waiting[:allowed])
        del self._waiting[:allowed]
        self._burst = (since, gone + len(data))
        if not self._understands():
            data = bytes(byte ^ 0xA5 for byte in data)
        try:
            os.write(self._near, data)
        except BlockingIOError:
            self._waiting.clear()
        if self._waiting:
            self._sender = self._loop.call_later(PACE_S, self._send)

    def _understands(self) -> bool:
        """Whether the client has set the baud rate that is stored in the module."""
        wanted: int = getattr(termios, f"B{self._module.baudrate}")
        return bool(termios.tcgetattr(self._far)[OSPEED] == wanted)

    def _may_print(self) -> bool:
        """Whether flow control does not hold the module back."""
        return not self._module.rtscts or bool(termios.tcgetattr(self._far)[CFLAG] & termios.CRTSCTS)

    def _set_baudrate(self, code: int) -> None:
        attributes = termios.tcgetattr(self._far)
        attributes[ISPEED] = attributes[OSPEED] = code
        termios.tcsetattr(self._far, termios.TCSANOW, attributes)
