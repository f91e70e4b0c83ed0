"""The hemsd command as a user runs it: a process of its own, against a simulated house on a real tty."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hemsd.simulator import Household, Meter, Network, SkModule, Timing
from hemsd.simulator.pty import serve_on_pty

START = datetime(2026, 10, 1, 12, 20)
LONGEST_S = 60.0


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class House:
    """A simulated module on a tty, and a user's files."""

    port: str
    directory: Path
    module: SkModule
    household: Household
    network: Network

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests."""
        places = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME", "RUNTIME_DIRECTORY")
        environ = {name: str(self.directory / name) for name in places}
        return {**environ, "PATH": "/usr/bin:/bin", "STATE_DIRECTORY": str(self.directory / "state")}

    @property
    def credentials(self) -> Path:
        return self.directory / "credentials.toml"

    def write_credentials(self, identity: str, password: str, mode: int = 0o600) -> None:
        self.credentials.write_text(f'id = "{identity}"\npassword = "{password}"\n')
        self.credentials.chmod(mode)

    async def hemsd(self, *arguments: str, connect: bool = True) -> Ran:
        """Run a command to its end; `connect` adds --port and --credentials."""
        connection = ("--port", self.port, "--credentials", str(self.credentials)) if connect else ()
        return await hemsd(*arguments, *connection, env=self.environment, directory=self.directory)


async def hemsd(*arguments: str, env: dict[str, str], directory: Path, stdin: bytes = b"") -> Ran:
    """Run `hemsd ARGUMENTS` to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=directory,
    )
    async with asyncio.timeout(LONGEST_S):
        out, err = await process.communicate(stdin)
    return Ran(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def house(
    directory: Path, family: Any = "SE", *, household: Household | None = None, **options: Any
) -> AsyncIterator[House]:
    """A house whose meter's clock says START when this begins."""
    network = options.pop("network", Network())
    household = household or Household(7, pv_kw=4)
    meter = Meter(household, start=START, **options.pop("meter", {}))
    module = SkModule(family, meter, network, timing=Timing.fast(), **options)
    async with serve_on_pty(module, paced=False) as port:
        home = House(port, directory, module, household, network)
        home.write_credentials(network.route_b_id, network.password)
        yield home
