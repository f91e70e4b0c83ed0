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

from hemsd.daemon.operator import Operator
from hemsd.daemon.sockets import make
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.simulator import Board, Household, J11Module, Meter, Network, SkModule, Timing
from hemsd.simulator.pty import serve_on_pty

START = datetime(2026, 10, 1, 12, 20)
LONGEST_S = 60.0
AS_IT_IS = ("-m", "hemsd")
HURRIED = (  # without the pauses between joins, which are real time here
    "-c",
    "import sys; from hemsd.routeb import ladder; ladder.JOIN_BACK_OFF_S = 0.1; "
    "from hemsd.cli import main; sys.exit(main())",
)


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
    module: Board
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

    async def hemsd(self, *arguments: str, connect: bool = True, program: tuple[str, ...] = AS_IT_IS) -> Ran:
        """Run a command to its end; `connect` adds --port and --credentials."""
        connection = ("--port", self.port, "--credentials", str(self.credentials)) if connect else ()
        return await hemsd(*arguments, *connection, env=self.environment, directory=self.directory, program=program)


async def hemsd(
    *arguments: str, env: dict[str, str], directory: Path, stdin: bytes = b"", program: tuple[str, ...] = AS_IT_IS
) -> Ran:
    """Run `hemsd ARGUMENTS` to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
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
    """A house whose meter's clock says `start` when this begins, START where nothing is said."""
    network = options.pop("network", Network())
    household = household or Household(7, pv_kw=4)
    meter = Meter(household, start=options.pop("start", START), **options.pop("meter", {}))
    module: Board
    if family == "J11":
        module = J11Module(meter, network, timing=Timing.fast(), **options)
    else:
        module = SkModule(family, meter, network, timing=Timing.fast(), **options)
    async with serve_on_pty(module, paced=False) as port:
        home = House(port, directory, module, household, network)
        home.write_credentials(network.route_b_id, network.password)
        yield home


@asynccontextmanager
async def daemon_of(home: House, more: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """`hemsd run` in this house, ended gently if it still runs; returns when it answers."""
    config = home.directory / "hemsd.toml"
    config.write_text(
        f'version = 1\n[meter]\nport = "{home.port}"\ncredentials = "{home.credentials}"\n'
        f"live_s = 1\nwatched_s = 1\nallow_fast_polling = true\n{more}"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd", "run", "--config", str(config)),
        stderr=asyncio.subprocess.DEVNULL,
        env=home.environment,
        cwd=home.directory,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            while not (home.directory / "RUNTIME_DIRECTORY/operator.sock").exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Stage:
    """A hub with an operator socket and no daemon behind it: the test plays the house."""

    def __init__(self, directory: Path, hub: Hub) -> None:
        self.directory = directory
        self.hub = hub
        self.routeb = hub.seat(Domain.ROUTEB)
        self.history = hub.seat(Domain.HISTORY)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "RUNTIME_DIRECTORY": str(self.directory)}

    async def hemsd(self, *arguments: str, **more: str) -> Ran:
        """Run a command that finds this hub."""
        return await hemsd(*arguments, env=self.environment | more, directory=self.directory)


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Set it up; ends with the block."""
    hub, path = Hub(ROUTES_6_4_3), directory / "operator.sock"
    listening = make(path)
    operator = Operator(hub, listening.socket, site="home-1")
    running = asyncio.create_task(operator.run())
    yield Stage(directory, hub)
    running.cancel()
    await asyncio.wait([running])
    listening.close()
