"""`hemsd run` as a process of its own, and what an operator hears of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from hemsd.hub.messages import Domain, Message, UserRequest, UserResponse
from hemsd.hub.wire import connect

M = TypeVar("M", bound=Message)

WITHIN_S = 30.0
HURRIED = "import hemsd.appliances.polling as polling; polling.START_S = 0.5\n"  # nobody else is on the network
LAUNCH = "import sys; from hemsd.cli import main; sys.exit(main())"


class Daemon:
    """In the network namespace of whoever starts it; `heard` is what an operator hears of it."""

    def __init__(self, directory: Path, networks: str) -> None:
        self._directory = directory
        self.socket = directory / "operator.sock"
        self.heard: list[Message] = []
        (directory / "hemsd.toml").write_text(f"""version = 1
daemon.state_directory = "state"
daemon.operator_socket = "operator.sock"
meter.port = "/dev/hemsd-test-none"
control.write_gap_s = 0
{networks}""")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        command = [sys.executable, "-c", HURRIED + LAUNCH, "run", "--config", str(self._directory / "hemsd.toml")]
        with (self._directory / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stderr=log)
        self.heard.clear()
        listening = asyncio.create_task(self._listen())
        try:
            yield self
            assert process.returncode is None, self.log
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            listening.cancel()
            await asyncio.wait([listening])
        assert "Traceback" not in self.log

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    async def hears(self, kind: type[M], suits: Callable[[M], bool] = lambda message: True) -> M:
        """Wait for the latest message of a kind to be so."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for message in reversed(self.heard):
                    if isinstance(message, kind) and suits(message):
                        return message
                await asyncio.sleep(0.02)

    async def ask(self, operation: Any, target: str, **more: Any) -> UserResponse:
        """The first answer to a request."""
        asked = UserRequest(request="r1", asker=Domain.OPERATOR, operation=operation, target=target, **more)
        async with connect(self.socket) as seat, asyncio.timeout(WITHIN_S):
            seat.publish(asked)
            async for message in seat.messages():
                if isinstance(message, UserResponse):
                    return message
        raise AssertionError("no answer")

    async def _listen(self) -> None:
        while not self.socket.exists():
            await asyncio.sleep(0.02)
        async with connect(self.socket) as seat:
            async for message in seat.messages():
                self.heard.append(message)


def network(name: str, interface: str) -> str:
    return f'[networks.{name}]\ninterface = "{interface}"\n'
