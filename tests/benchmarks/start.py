"""From the start of a process to the first reading: what hemsd adds to the module's own scan and join."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.benchmarks.processes import Failed, Module, python, simulated_module, started
from tests.benchmarks.report import Row

HEMSD = str(Path(sys.executable).with_name("hemsd"))
ROUNDS = 5
DEADLINE_S = 60.0


async def start() -> list[Row]:
    """From process start to the first reading: cold, PAN cached, session alive (momonga: cold only)."""
    rounds = [await _round() for _ in range(ROUNDS)]
    cold, cached, alive = (median(times) for times in zip(*rounds, strict=True))
    async with simulated_module() as module:
        peer = await _added_s(module, python("by_momonga", "first", *module.access))
    return [
        Row(name="first reading, cold", unit="s", hemsd=cold, peer=peer, goal=0.6),
        Row(name="first reading, PAN cached", unit="s", hemsd=cached, peer=peer, goal=0.4),
        Row(name="first reading, session alive", unit="s", hemsd=alive, peer=peer, goal=0.3),
    ]


async def _round() -> tuple[float, float, float]:
    with TemporaryDirectory() as directory:
        async with simulated_module() as module:
            command = [HEMSD, "read", "power", "--json", "--config", configure(Path(directory), module)]
            cold = await _added_s(module, command)
            alive = await _added_s(module, command, unneeded=("scan_s", "join_s"))
        async with simulated_module("--id", module.access[1]) as module:
            configure(Path(directory), module)
            return cold, await _added_s(module, command, unneeded=("scan_s",)), alive


async def _added_s(module: Module, command: list[str], unneeded: tuple[str, ...] = ()) -> float:
    """From the start to the first line on standard output, without what the module itself took."""
    began = perf_counter()
    async with started(*command) as reader:
        reading = await reader.told(DEADLINE_S)
        took = perf_counter() - began
        assert isinstance(reading["power_w"], int)
        await reader.end(DEADLINE_S)
    spent = await module.process.asked()
    if any(spent[what] for what in unneeded):
        raise Failed(f"the module need not have done this again: {spent}")
    return took - spent["scan_s"] - spent["join_s"]


def configure(directory: Path, module: Module, broker: str = "") -> str:
    """A configuration in this directory for this module; gives its path."""
    port, route_b_id, password = module.access
    credentials = directory / "credentials.toml"
    credentials.touch(mode=0o600)
    credentials.write_text(f'id = "{route_b_id}"\npassword = "{password}"\n')
    config = directory / "hemsd.toml"
    config.write_text(
        f'version = 1\n[meter]\nport = "{port}"\ncredentials = "{credentials}"\n'
        f'[daemon]\nstate_directory = "{directory / "state"}"\noperator_socket = "{directory / "operator.sock"}"\n'
        f"{broker}"
    )
    return str(config)
