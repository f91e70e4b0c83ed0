"""Appliances by the hundred, and who watches them: ``python -m tests.benchmarks.by_watching appliances|hemsd COUNT``.

Both run until standard input ends. The watcher is the domain of the daemon in a hub, with somebody to listen; it
tells a line when all are known, and for each byte on standard input how old what it knows is.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from hemsd.daemon.appliances import stewards_of
from hemsd.daemon.config import Config
from hemsd.daemon.networks import NetworkTable
from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.device import Device, Tempo
from hemsd.echonet.classes.views import tempo
from hemsd.hub.hub import Hub
from hemsd.hub.messages import ApplianceState, ApplianceStatus, Domain
from hemsd.hub.routes import ROUTES_6_4_3
from tests.benchmarks.responder import addresses

LOOK_S = 0.2


async def appliances(count: int) -> None:
    """One of each class in turn, each with an address of its own on the loopback interface."""
    from hemsd.simulator.appliances import MAKERS, ApplianceNode, World, serve_nodes

    begin = datetime.now()
    kinds = list(MAKERS.values())
    worlds = [World(begin) for _ in range(0, count, len(kinds))]  # a home has one of each
    nodes = [
        ApplianceNode(worlds[number // len(kinds)], (kind(worlds[number // len(kinds)]),), address)
        for number, (kind, address) in enumerate(zip(islice(cycle(kinds), count), addresses(count), strict=True))
    ]
    async with serve_nodes(nodes, "lo"):
        print(json.dumps({"nodes": len(nodes)}), flush=True)
        async for _ in _asked():
            pass


async def hemsd(count: int) -> None:
    """The domain as the daemon runs it, and a seat that keeps the latest of everything."""
    hub = Hub(ROUTES_6_4_3)
    statuses: dict[str, ApplianceStatus] = {}
    states: dict[str, ApplianceState] = {}

    async def listen() -> None:
        async for message in hub.seat(Domain.CONTROL).messages():
            match message:
                case ApplianceStatus():
                    statuses[message.appliance] = message
                case ApplianceState():
                    states[message.appliance] = message
                case _:
                    pass

    with TemporaryDirectory() as state:
        config = Config(version=1, networks={"home": NetworkTable(interface="lo", ipv6=False)})
        (steward,) = stewards_of(config, Path(state), hub)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(listen()), tasks.create_task(steward.run())]
            while sum(each.known for each in statuses.values()) < count:
                await asyncio.sleep(LOOK_S)
            print(json.dumps({"known": count}), flush=True)
            async for _ in _asked():
                ages = [age for each in states.values() for age in _ages(statuses[each.appliance], each)]
                oldest = {pace: max((age for its, age in ages if its is pace), default=0.0) for pace in Tempo}
                print(json.dumps({pace.name: age for pace, age in oldest.items()}), flush=True)
            for each in running:
                each.cancel()


def _ages(status: ApplianceStatus, state: ApplianceState) -> Iterator[tuple[Tempo, float]]:
    """How old each value that is kept fresh is now, and how it is kept."""
    now = datetime.now(UTC)
    defined = properties_of(Device(eoj=int(status.eoj, 16), release=status.release))
    readable = frozenset(epc for epc, each in defined.items() if each.name in status.readable)
    for epc, pace in tempo(Device(eoj=int(status.eoj, 16), release=status.release, readable=readable)).items():
        if epc in defined and (value := state.properties.get(defined[epc].name)) is not None:
            yield pace, (now - value.at).total_seconds()


async def _asked() -> AsyncIterator[None]:
    """Each byte on standard input, until it ends."""
    read: asyncio.Queue[bytes] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(0, lambda: read.put_nowait(os.read(0, 1)))
    while await read.get():
        yield


if __name__ == "__main__":
    asyncio.run({each.__name__: each for each in (appliances, hemsd)}[sys.argv[1]](int(sys.argv[2])))
