"""The house as three processes, against a simulated meter on a tty; each can be killed and frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from socket import socket
from typing import Any, TypeVar

from hemsd.hub.messages import (
    Domain,
    HistoryAnswer,
    HistoryQuery,
    Message,
    MeterInterval,
    Record,
    Records,
    RecordsAfter,
)
from hemsd.hub.wire import WireError, connect
from hemsd.simulator import Household, Meter, Network, SkModule, Timing
from hemsd.simulator.pty import serve_on_pty
from support.daemon import Listener
from support.netns import Namespace

M = TypeVar("M", bound=Message)

WITHIN_S = 45.0
JST = timezone(timedelta(hours=9))
HALF_HOUR = timedelta(minutes=30)
PARTS = ("hub", "routeb", "gateway")
HURRIED = {
    "hub": "import hemsd.history.gaps as gaps; gaps.STARTED_S = 0.3\n",  # after the meter came online
    "routeb": "import hemsd.daemon.meter as meter; from hemsd.routeb.collector import Pace\n"
    "meter.Pace = lambda **given: Pace(**{**given, 'backfill_s': 0.2})\n",
    "gateway": "",
}
LAUNCH = "import sys; from hemsd.cli import main; sys.exit(main())"
HAND_OVER = """
import fcntl, os
high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in descriptors]
for number, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + number)
    os.close(descriptor)
os.environ["LISTEN_PID"] = str(os.getpid())
"""
WATCHED = """
import atexit, os, sys
opened = set()
sys.addaudithook(lambda event, args: event == "open" and isinstance(args[0], str) and opened.add(args[0]))
@atexit.register
def tell():
    print("LOADED", *sys.modules, "OPENED", *opened, file=sys.stderr)
"""
"""Lets a process tell in its log what it loaded and opened until its end."""


def last_boundary() -> datetime:
    """When the last half-hour ended, in UTC."""
    now = datetime.now(UTC)
    return now - (now - datetime.min.replace(tzinfo=UTC)) % HALF_HOUR


@dataclass
class Street:
    """A meter whose clock is a minute after the last half-hour, and its module on a tty, which counts joins."""

    meter: Meter
    household: Household
    module: SkModule
    boundary: datetime  # UTC
    port: str = ""
    joins: int = 0
    asked: int = 0  # so many writes of the driver
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def notify(self) -> None:
        """The meter tells of its last half-hour; returns when it has also answered two questions since then."""
        self.meter.notify(asyncio.get_running_loop().time() - self.began)
        asked = self.asked
        await eventually(lambda: self.asked >= asked + 3)


@asynccontextmanager
async def street(network: Network | None = None) -> AsyncIterator[Street]:
    """A meter nobody has joined yet."""
    household = Household(7, pv_kw=4)
    boundary = last_boundary()
    start = (boundary + timedelta(minutes=1)).astimezone(JST).replace(tzinfo=None)
    meter = Meter(household, start=start)
    module = SkModule("DUAL", meter, network or Network(), timing=Timing.fast())
    built = Street(meter, household, module, boundary)
    receive = module.receive

    def counting(data: bytes, now: float) -> None:
        built.joins += data.count(b"SKJOIN")
        built.asked += 1
        receive(data, now)

    module.receive = counting  # type: ignore[method-assign]
    async with serve_on_pty(module, paced=False) as port:
        built.port = port
        yield built


class House:
    """Files and processes of one home in one directory; `heard` is what an operator hears of it."""

    def __init__(self, directory: Path, port: str, more: str = "") -> None:
        self.directory = directory
        self.socket = directory / "run/operator.sock"
        self.heard: list[Message] = []
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.forgiven: set[str] = set()  # may have written a traceback
        self._listeners: dict[str, Listener] = {}
        self._said: dict[str, list[str]] = {}
        directory.mkdir(exist_ok=True)
        network = Network()
        credentials = directory / "credentials.toml"
        credentials.touch(0o600)
        credentials.write_text(f'id = "{network.route_b_id}"\npassword = "{network.password}"\n')
        (directory / "hemsd.toml").write_text(f"""version = 1
site.id = "home-1"
history.backfill_days = 4
[daemon]
state_directory = "state"
operator_socket = "run/operator.sock"
[meter]
port = "{port}"
credentials = "credentials.toml"
live_s = 1
backfill_pace_s = 1
allow_fast_polling = true
{more}""")

    async def start(
        self,
        part: str,
        patch: str = "",
        *,
        given: dict[str, socket] | None = None,
        on: Namespace | None = None,
        **environ: str,
    ) -> None:
        """Start a part; returns when it says that it is ready.

        `patch` is run in it first. It is `given` listening sockets by name, as systemd does it. `on` is its network.
        """
        self.close(part)
        listener = Listener(str(self.directory / f"notify-{part}-{len(self.log(part))}"))
        self._listeners[part], self._said[part] = listener, []
        descriptors = [each.fileno() for each in (given or {}).values()]
        if given is not None:
            patch += f"descriptors = {descriptors}\n{HAND_OVER}"
            environ |= {"LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": ":".join(given)}
        with (self.directory / f"{part}.log").open("ab") as log:
            self.processes[part] = await asyncio.create_subprocess_exec(
                *(("ip", "netns", "exec", on.name) if on else ()),
                *(sys.executable, "-c", patch + LAUNCH, "run", "--part", part),
                *("--config", str(self.directory / "hemsd.toml")),
                stderr=log,
                env=os.environ | listener.environ | environ,
                pass_fds=descriptors,
            )
        await self.says(part, "READY=1")

    async def says(self, part: str, words: str) -> None:
        """Wait for it to tell its service manager this."""

        def said() -> bool:
            self._said[part] += self._listeners[part].heard()
            return any(words in each for each in self._said[part])

        await eventually(lambda: said() or self.processes[part].returncode)
        assert said(), self.log(part)

    async def run(self, part: str, config: str, for_s: float | None = None) -> int:
        """Run another process of a part to its end, or stop it after so long; the exit code."""
        with (self.directory / f"{part}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hemsd", "run", "--part", part, "--config", str(self.directory / config)),
                stderr=log,
            )
        try:
            async with asyncio.timeout(for_s or WITHIN_S):
                return await process.wait()
        except TimeoutError:
            process.terminate()
            return await process.wait()

    def close(self, part: str) -> None:
        """Its service manager listens no more."""
        if (listener := self._listeners.pop(part, None)) is not None:
            listener.close()

    def log(self, part: str) -> str:
        """What it wrote so far, in all its lives."""
        path = self.directory / f"{part}.log"
        return path.read_text() if path.exists() else ""

    def send(self, part: str, number: signal.Signals) -> None:
        """A signal to a part."""
        self.processes[part].send_signal(number)

    def memory_kb(self, part: str) -> int:
        """Of its own and its share of what others have too (PSS)."""
        lines = Path(f"/proc/{self.processes[part].pid}/smaps_rollup").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))

    async def kill(self, part: str) -> None:
        """Without any warning."""
        self.send(part, signal.SIGKILL)
        await self.processes[part].wait()

    async def stop(self, part: str) -> int:
        """As systemd does; the exit code."""
        self.send(part, signal.SIGTERM)
        async with asyncio.timeout(5.5):
            return await self.processes[part].wait()

    async def hears(self, kind: type[M], suits: Callable[[M], Any] = lambda message: True) -> M:
        """Wait for the latest message of a kind to be so."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for message in reversed(self.heard):
                    if isinstance(message, kind):
                        if suits(message):
                            return message
                        break
                await asyncio.sleep(0.02)

    async def intervals(self) -> dict[datetime, MeterInterval]:
        """The half-hours that history has, by their end; it may be asked while it starts."""
        found: dict[datetime, MeterInterval] = {}
        async for answer in self._answers(
            RecordsAfter(request="r", asker=Domain.OPERATOR, seq=0, limit=1000), Records
        ):
            found |= _intervals(answer.records)
            break
        return found

    async def gaps(self) -> list[datetime]:
        """Where the gaps that history tells of begin."""
        found: list[datetime] = []
        async for answer in self._answers(
            HistoryQuery(request="g", asker=Domain.OPERATOR, what="gaps"), HistoryAnswer
        ):
            found += [row.start for row in answer.rows]
            if answer.last:
                break
        return found

    async def _answers(self, question: Message, kind: type[M]) -> AsyncIterator[M]:
        async with connect(str(self.socket)) as seat, asyncio.timeout(WITHIN_S):
            seat.publish(question)
            async for message in seat.messages():
                if isinstance(message, kind):
                    yield message

    async def listen(self) -> None:
        """Hear what an operator hears, of one hub after the other."""
        while True:
            with suppress(WireError):
                async with connect(str(self.socket)) as seat:
                    async for message in seat.messages():
                        self.heard.append(message)
            await asyncio.sleep(0.05)


def _intervals(records: tuple[Record, ...]) -> dict[datetime, MeterInterval]:
    return {each.content.end: each.content for each in records if isinstance(each.content, MeterInterval)}


@asynccontextmanager
async def house(directory: Path, port: str, more: str = "") -> AsyncIterator[House]:
    """A house of which nothing runs yet; what runs in the end is killed, and wrote no traceback."""
    built = House(directory, port, more)
    listening = asyncio.create_task(built.listen())
    try:
        yield built
        for part in PARTS:
            assert part in built.forgiven or "Traceback" not in built.log(part), built.log(part)
            for secret in (Network().password, Network().route_b_id):
                assert secret not in built.log(part)
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        for part, process in built.processes.items():
            built.close(part)
            if process.returncode is None:
                process.kill()
                await process.wait()


async def eventually(there: Callable[[], Any], within_s: float = WITHIN_S) -> None:
    """Wait until this is so."""
    async with asyncio.timeout(within_s):
        while not there():
            await asyncio.sleep(0.02)
