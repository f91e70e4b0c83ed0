"""Helpers for the drivers' tests: a clock that jumps, a port in memory, a pty, a process without rights."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator

from drivers.module import Line
from drivers.ports import Delivery, PortError


class MemoryPort:
    """A BytePort that keeps what is written to it, and is given by hand what it receives."""

    name = "memory"

    def __init__(self) -> None:
        self.written: list[bytes | Line] = []
        self.refusal: PortError | None = None  # raised by the next write
        self.closed = False

    def start(self, on_items: Delivery[bytes], on_lost: Callable[[PortError], None]) -> None:
        self.receive, self.lose = on_items, on_lost

    def write(self, data: bytes) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.written.append(data)

    def configure(self, line: Line) -> None:
        self.written.append(line)

    async def close(self) -> None:
        self.closed = True


class Pty:
    """A pseudo terminal: `path` is opened as the port, `master` is the module's end."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self.slave)

    def release(self) -> None:
        """Keep the slave open no longer."""
        os.close(self.slave)
        self.slave = -1

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def read(self) -> bytes:
        """All there is to read now."""
        data = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self.master, 65536)
        return bytes(data)


@contextlib.contextmanager
def pseudo_terminal() -> Iterator[Pty]:
    pty = Pty()
    try:
        yield pty
    finally:
        for fd in (pty.master, pty.slave):
            if fd >= 0:
                os.close(fd)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another process or the kernel is about to do."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


AS_NOBODY = """
import asyncio, concurrent.futures.thread, grp, os, pwd, serial, sys  # all of it, while it may still be read
from drivers.serialport import open_serial
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(open_serial(sys.argv[1]))
    print("opened")
except Exception as error:
    print(type(error).__name__, error)
"""


def open_as_nobody(path: str) -> str:
    """What a process of the user nobody is told when it opens a port."""
    command = [sys.executable, "-c", AS_NOBODY, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
