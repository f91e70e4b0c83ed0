"""The module behind a real tty: opened, closed, opened again, pulled out, and never busy for nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.simulator import ADDRESS, NETWORK, Bench

from hemsd.simulator import Fault, Flash, SkModule, Spell, Strike, Timing
from hemsd.simulator.pty import serve_on_pty


@pytest.fixture
async def path() -> AsyncIterator[str]:
    async with serve_on_pty(Bench("SE", timing=Timing.fast()).module) as path:
        yield path


@contextmanager
def opened(path: str, baudrate: int = termios.B115200) -> Iterator[int]:
    """The tty, raw and at a baud rate, as any terminal program opens it."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(line)
        attributes = termios.tcgetattr(line)
        attributes[4] = attributes[5] = baudrate
        termios.tcsetattr(line, termios.TCSANOW, attributes)
        yield line
    finally:
        os.close(line)


async def read_until(line: int, end: bytes, timeout_s: float = 5.0) -> bytes:
    """What comes up to and including `end`."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(timeout_s):
        while end not in data:
            ready = loop.create_future()
            loop.add_reader(line, ready.set_result, None)
            try:
                await ready
            finally:
                loop.remove_reader(line)
            data += os.read(line, 4096)
    return data


async def test_clients_come_and_go(path: str) -> None:
    """The module goes on between two clients: what the first one set is still set."""
    with opened(path) as line:
        os.write(line, b"SKSREG SFE 0\r\n")
        await read_until(line, b"OK\r\n")
    with opened(path) as line:
        os.write(line, b"SKVER\r\n")
        assert await read_until(line, b"OK\r\n") == b"EVER 1.2.10\r\nOK\r\n"


async def test_join_and_read_in_real_time(path: str) -> None:
    """A scan and a join over the tty, with the fast times."""
    with opened(path) as line:
        os.write(line, f"SKSETPWD C {NETWORK.password}\r\nSKSETRBID {NETWORK.route_b_id}\r\n".encode())
        os.write(line, b"SKSCAN 2 FFFFFFFF 6\r\n")
        assert b"PairID:0194BFAD" in await read_until(line, b"EVENT 22")
        os.write(line, f"SKSREG S2 31\r\nSKSREG S3 B5FB\r\nSKJOIN {ADDRESS}\r\n".encode())
        await read_until(line, b"EVENT 25")


async def test_output_is_paced() -> None:
    """A burst comes no faster than 115200 baud carry it."""
    module = SkModule("SE", Bench("SE").meter, faults=[Fault(Strike.GARBAGE, at=0.05, arg=b"x" * 3000 + b"\n")])
    async with serve_on_pty(module) as path:
        with opened(path) as line:
            begun = time.monotonic()
            await read_until(line, b"\n")
            assert time.monotonic() - begun > 3000 / 11_520


async def test_time_can_run_faster() -> None:
    """With `speed` a real scan of 17.5 s is over in a fraction of one."""
    async with serve_on_pty(Bench("SE").module, speed=100) as path:
        with opened(path) as line:
            os.write(line, b"SKSCAN 2 FFFFFFFF 6\r\n")
            await read_until(line, b"EVENT 22", 2)


async def test_stick_pulled_out_and_put_back() -> None:
    """The client's line is hung up and the path is gone; later the same path is a fresh module."""
    module = SkModule("SE", Bench("SE").meter, faults=[Fault(Spell.UNPLUGGED, at=0.1, seconds=0.2)])
    async with serve_on_pty(module) as path, asyncio.timeout(5):
        with opened(path) as line:
            while Path(path).exists():
                await asyncio.sleep(0.01)
            with pytest.raises(OSError, match="Input/output error"):
                os.write(line, b"SKVER\r\n")
        while not Path(path).exists():
            await asyncio.sleep(0.01)
        with opened(path) as line:
            os.write(line, b"SKVER\r\n")
            await read_until(line, b"OK\r\n")


async def test_stored_baud_rate_must_be_matched() -> None:
    """A module whose rate is stored otherwise understands nothing until the client sets that rate."""
    module = SkModule("SE", Bench("SE").meter, flash=Flash(wuart=4))
    async with serve_on_pty(module) as path:
        with opened(path) as line:
            os.write(line, b"SKVER\r\n")
            with pytest.raises(TimeoutError):
                await read_until(line, b"\n", 0.1)
        with opened(path, termios.B19200) as line:
            os.write(line, b"SKVER\r\n")
            await read_until(line, b"OK\r\n")


async def test_stored_flow_control_must_be_set() -> None:
    """A module that waits for RTS hears, but prints nothing until the client sets flow control."""
    module = SkModule("SE", Bench("SE").meter, flash=Flash(wuart=0x80))
    async with serve_on_pty(module) as path:
        with opened(path) as line:
            os.write(line, b"SKREG SFE 0\r\n")
            with pytest.raises(TimeoutError):
                await read_until(line, b"\n", 0.1)
            attributes = termios.tcgetattr(line)
            attributes[2] |= termios.CRTSCTS
            termios.tcsetattr(line, termios.TCSANOW, attributes)
            os.write(line, b"SKVER\r\n")
            await read_until(line, b"OK\r\n")


async def test_a_stick_that_comes_back_as_another_device() -> None:
    """Like by-id: the path is the same although the device behind it has another number."""
    module = SkModule("SE", Bench("SE").meter, faults=[Fault(Spell.UNPLUGGED, at=0.1, seconds=0.2)])
    async with serve_on_pty(module) as path, asyncio.timeout(5):
        before = Path(path).readlink()
        with opened(path):  # whoever keeps the old one open keeps its number
            while Path(path).exists():
                await asyncio.sleep(0.01)
            while not Path(path).exists():
                await asyncio.sleep(0.01)
            assert Path(path).readlink() != before
        with opened(path) as line:
            os.write(line, b"SKVER\r\n")
            await read_until(line, b"OK\r\n")


async def test_nobody_reads_and_nothing_spins(path: str) -> None:
    """Whether idle, or with output that nobody takes, the server uses hardly any processor time."""
    with opened(path) as line:
        for _ in range(40):
            os.write(line, b"SKINFO\r\n" * 20)
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        begun = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - begun < 0.25


async def test_command_line() -> None:
    """python -m hemsd.simulator prints a path that answers and what to read it with, and tidies up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hemsd.simulator", "--family", "SE", "--fast"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        printed = [await asyncio.to_thread(process.stdout.readline) for _ in range(3)]
        values = dict(line.strip().split(" = ") for line in printed)
        assert values["id"].strip('"')[-8:] == NETWORK.route_b_id[-8:]
        with opened(values["port"].strip('"')) as line:
            os.write(line, b"SKVER\r\n")
            assert b"EVER 1.2.10" in await read_until(line, b"OK\r\n")
    finally:
        process.terminate()
        process.communicate(timeout=5)
    assert process.returncode == 0
    assert not Path(values["port"].strip('"')).exists()
