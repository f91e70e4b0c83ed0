"""Instructions of `hemsd read` through a running daemon, beside those of importing momonga, counted by valgrind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.processes import instructions, simulated_module, started
from tests.benchmarks.report import Row
from tests.benchmarks.start import HEMSD, configure

DEADLINE_S = 60.0
READY_S = 20.0
ONCE = ["read", "power", "--json"]


async def asking() -> list[Row]:
    """Instructions to read through a running daemon; momonga's are those of importing it."""
    async with _daemon():
        ours = await instructions(HEMSD, "read", deadline_s=DEADLINE_S)
    peer = await instructions(sys.executable, "-c", "import momonga", deadline_s=DEADLINE_S)
    return [Row(name="read through the daemon", unit="instr.", hemsd=ours, peer=peer, goal=0.35, goal_is_ratio=True)]


@asynccontextmanager
async def _daemon() -> AsyncIterator[None]:
    """A daemon with its meter online, where `hemsd read` finds it."""
    with TemporaryDirectory() as directory:
        os.environ["RUNTIME_DIRECTORY"] = directory
        async with simulated_module() as module:
            config = configure(Path(directory), module)
            async with started(HEMSD, "run", "--config", config):
                async with asyncio.timeout(READY_S):
                    while not Path(directory, "operator.sock").exists():
                        await asyncio.sleep(0.05)
                async with started(HEMSD, *ONCE) as reader:  # waits for the meter
                    assert isinstance((await reader.told(DEADLINE_S))["power_w"], int)
                yield
        del os.environ["RUNTIME_DIRECTORY"]
