"""The house as three processes, as its units run them: the hub, what reads the meter, what reaches the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from tests.benchmarks.processes import Running, started

PARTS = ("hub", "routeb", "gateway")


@asynccontextmanager
async def parts(command: Callable[[str], list[str]]) -> AsyncIterator[dict[str, Running]]:
    """Run the command of each part until the end of the block; they find one another in any order."""
    async with AsyncExitStack() as stack:
        yield {part: await stack.enter_async_context(started(*command(part))) for part in PARTS}
