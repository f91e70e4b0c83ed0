"""Processes under a deadline, the simulated module as one of them, and what Linux and valgrind tell about them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
STOP_S = 8.0
LINE_LIMIT = 1 << 20


class Failed(Exception):
    """A process did not do what it was started for; the text ends with what it said."""


class Running:
    """A started process; `started()` gives it."""

    def __init__(self, process: Process, complaints: Any) -> None:
        self.pid = process.pid
        self._process = process
        self._complaints = complaints

    async def asked(self) -> dict[str, Any]:
        """What it tells when it is sent a byte."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"?")
        return await self.told(10)

    async def told(self, deadline_s: float) -> dict[str, Any]:
        """The next line with a JSON object."""
        assert self._process.stdout is not None
        async with self._deadline(deadline_s):
            line = await self._process.stdout.readline()
            if not line:
                raise self._failed(f"ended with {await self._process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    async def end(self, deadline_s: float) -> None:
        """Wait for it to succeed."""
        async with self._deadline(deadline_s):
            status = await self._process.wait()
        if status:
            raise self._failed(f"ended with {status}")

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    async def stop(self) -> None:
        """End it, the hard way if it does not hear."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    @asynccontextmanager
    async def _deadline(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise self._failed(f"nothing within {seconds:g} s") from None

    def _failed(self, text: str) -> Failed:
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip()
        return Failed(f"{text}: {said[-2000:]}")


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[Running]:
    """Run a command until the end of the block."""
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=PROJECT, stdin=PIPE, stdout=PIPE, stderr=complaints, limit=LINE_LIMIT
        )
        running = Running(process, complaints)
        try:
            yield running
        finally:
            await running.stop()


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs one of the modules beside this one."""
    return [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]


@dataclass(frozen=True)
class Module:
    """A simulated module on a pty, alone with its meter."""

    process: Running
    access: list[str]  # port, Route B ID, password


@asynccontextmanager
async def simulated_module(*options: str) -> AsyncIterator[Module]:
    """Plug one in until the end of the block."""
    async with started(*python("simulated", *options)) as process:
        yield Module(process, list((await process.told(20)).values()))


async def instructions(*command: str, deadline_s: float, until: Awaitable[None] | None = None) -> int:
    """How many instructions a command takes, all its threads together; it is asked to end after `until`.

    Strings are hashed alike in each run, so that what start and end take is the same in all of them.
    """
    with tempfile.NamedTemporaryFile() as log:
        valgrind = [
            "env",
            "PYTHONHASHSEED=0",
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ]
        async with started(*valgrind, f"--log-file={log.name}", *command) as running:
            if until is not None:
                await until
                running.terminate()
            await running.end(deadline_s)
        found = re.search(r"I\s+refs:\s+([\d,]+)", Path(log.name).read_text())
    if found is None:
        raise Failed("valgrind counted nothing")
    return int(found[1].replace(",", ""))


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional set size."""
    process = Path(f"/proc/{pid}")
    return _kb(process / "status", "VmRSS") / 1024, _kb(process / "smaps_rollup", "Pss") / 1024


def wakeups(pid: int) -> int:
    """How often its threads have gone to sleep so far."""
    return sum(_kb(task / "status", "voluntary_ctxt_switches") for task in Path(f"/proc/{pid}/task").iterdir())


def processor_s(pid: int) -> float:
    """How long it has had a processor so far, all its threads together."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # proc(5); its name may contain anything
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def _kb(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", file.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
