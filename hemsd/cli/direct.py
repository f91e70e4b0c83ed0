"""`hemsd read` without a daemon: from the module's port, in the same terms as a daemon would tell it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from msgspec import to_builtins

from hemsd.cli.answer import Answer, Wanted, answer_of, show, verdict
from hemsd.cli.connect import config_of, meter_of
from hemsd.cli.exits import GaveUp
from hemsd.hub.messages import Domain, ReadMeter
from hemsd.routeb.asked import ASKED_LIMIT, answer
from hemsd.routeb.errors import NoAnswerInTime
from hemsd.routeb.meter import Meter


def read_directly(arguments: argparse.Namespace, what: Wanted) -> int:
    """Read once, or again and again with --watch; the exit code."""
    config = config_of(arguments)
    every_s: float | None = arguments.watch

    async def main() -> int:
        async with meter_of(arguments, config, persist=every_s is not None) as meter:
            await meter.online()
            if every_s is not None:
                await _watch(meter, what, every_s, as_json=arguments.json)
            answer = await read(meter, what)
            show(answer, as_json=arguments.json)
            return verdict(answer, what)

    return asyncio.run(main())


async def read(meter: Meter, what: Wanted) -> Answer:
    """One round. Raises GaveUp when nothing at all came, and RouteBError."""
    if "identity" in what.groups:
        await meter.identify()
    epcs = what.asked()
    told: dict[int, dict[str, Any]] = {}
    for at in range(0, len(epcs), ASKED_LIMIT):
        some = epcs[at : at + ASKED_LIMIT]
        for each in await answer(meter, ReadMeter(request="", asker=Domain.OPERATOR, epcs=some)):
            told[each.epc] = to_builtins(each)
    return answer_of(what, to_builtins(meter.status), told)


async def _watch(meter: Meter, what: Wanted, every_s: float, *, as_json: bool) -> None:
    """Read for ever; a round that fails is told, and the next one comes in its time."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        try:
            await meter.online()
            show(await read(meter, what), as_json=as_json, timed=True)
        except (NoAnswerInTime, GaveUp) as error:
            print(f"hemsd: {error}", file=sys.stderr)
        due = max(due + every_s, clock())
        await asyncio.sleep(due - clock())
