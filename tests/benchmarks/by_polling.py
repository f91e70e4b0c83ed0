"""Who polls appliances, each in its own way: ``python -m tests.benchmarks.by_polling WHO COUNT``.

All poll the same four properties of so many nodes, one request in flight to each and the next as soon as it is
answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.benchmarks.responder import INF, POLLED, WHO_ASKS, addresses

START_S, BUSY_S, HEARD_S = 0.1, 0.2, 0.3
POLL_S = 1.2
LOOK_S = 0.02
AT_ONCE = 64
DEVICE = (0x01, 0x30, 0x01)


class Poller:
    """Counters of one of them."""

    def __init__(self) -> None:
        self.found = 0
        self.polls = 0
        self.announcements: Callable[[], int] = lambda: 0


async def hemsd(poller: Poller, count: int) -> None:
    """What the daemon does, but as often as it can: no tempo, and no pause between two requests to a node."""
    from drivers.ports import Pump
    from drivers.udp import open_udp
    from hemsd.appliances.events import Changed, NetworkEvent, Told
    from hemsd.appliances.memory import Remembered
    from hemsd.appliances.network import Addresses, Network, NetworkSettings
    from hemsd.appliances.ourselves import OwnNode

    def happened(event: NetworkEvent) -> None:
        if isinstance(event, Told):
            poller.polls += len(event.properties) == len(POLLED)
        elif isinstance(event, Changed):
            poller.found += event.appliance.known

    at_once: Any = SimpleNamespace(value=sys.float_info.min)  # a tempo, which no pace of the node makes slower
    network = Network(
        NetworkSettings(name="bench", gap_s=0.0),
        own=Addresses(ipv4=WHO_ASKS[0]),
        remembered=Remembered(),
        ourselves=OwnNode(unique=bytes(13)),
        chance=lambda: 0.0,
    )
    poller.announcements = lambda: network.counters()["notifications"]
    with (
        patch("hemsd.appliances.watch.tempo", lambda device: dict.fromkeys(POLLED, at_once)),
        patch("hemsd.appliances.watch.Polls.keep"),
    ):
        await Pump(network, open_udp("lo", ipv4=True, ipv6=False), happened).run()


async def pyhems(poller: Poller, count: int) -> None:
    """Its client with its device manager, which keeps the state of each."""
    from pyhems import (
        EOJ,
        DeviceManager,
        HemsClient,
        HemsFrameEvent,
        HemsInstanceListEvent,
        RuntimeEvent,
        load_definitions_registry,
    )

    setting_up: list[asyncio.Task[Any]] = []

    def happened(event: RuntimeEvent) -> None:
        if isinstance(event, HemsFrameEvent):
            manager.process_frame_event(event)
        elif isinstance(event, HemsInstanceListEvent):
            setting_up.append(asyncio.create_task(manager.process_instance_list_event(event)))

    poller.announcements = setting_up.__len__
    client = HemsClient(WHO_ASKS[0], poll_interval=3600.0)
    manager = DeviceManager(client, {0x0130: frozenset(POLLED)}, load_definitions_registry())
    client.subscribe(happened)
    await client.start()
    while (found := len(manager.data)) < count:
        await asyncio.sleep(LOOK_S)
    poller.found = found

    async def poll(node: str) -> None:
        while True:
            told = await client.get(node, EOJ(int.from_bytes(bytes(DEVICE), "big")), list(POLLED))
            poller.polls += all(each.edt for each in told)

    await asyncio.gather(*[poll(state.node_id) for state in manager.data.values()])


async def pychonet(poller: Poller, count: int) -> None:
    """Its client, which keeps the state of each."""
    from pychonet import ECHONETAPIClient
    from pychonet.lib.const import GET
    from pychonet.lib.udpserver import UDPServer

    announced: list[str] = []

    async def heard(data: bytes, source: Any) -> None:
        if data[10] == INF[0]:
            announced.append(source[0])

    poller.announcements = announced.__len__
    server = UDPServer(local_ip=WHO_ASKS[0])
    server.run("0.0.0.0", WHO_ASKS[1], loop=asyncio.get_running_loop())
    server.subscribe(heard)
    client = ECHONETAPIClient(server)
    for address in addresses(count):
        client.register_instance(address, *DEVICE, [], [], list(POLLED))
    poller.found = count

    async def poll(address: str) -> None:
        while True:
            told = await client.echonetMessage(address, *DEVICE, GET, [{"EPC": epc} for epc in POLLED])
            poller.polls += bool(told)

    await asyncio.gather(*[poll(address) for address in addresses(count)])


async def nobody(poller: Poller, count: int) -> None:
    """Nothing but a socket: what the kernel and the nodes take, and an event loop. It looks at no answer."""
    loop = asyncio.get_running_loop()
    request = b"\x10\x81\x00\x00\x05\xff\x01" + bytes(DEVICE) + b"\x62" + bytes([len(POLLED)])
    request += b"".join(bytes((epc, 0)) for epc in POLLED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bare:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        bare.setblocking(False)
        bare.bind(WHO_ASKS)

        def readable() -> None:
            with suppress(BlockingIOError):
                for _ in range(AT_ONCE):
                    bare.sendto(request, bare.recvfrom(2048)[1])
                    poller.polls += 1

        for address in addresses(count):
            bare.sendto(request, (address, WHO_ASKS[1]))
        poller.found = count
        loop.add_reader(bare, readable)
        await asyncio.Event().wait()


async def main(who: str, count: str) -> None:
    """Tell that it listens; how much it heard when it was busy just then; when asked, how many polls it makes."""
    kinds: dict[str, Callable[[Poller, int], Awaitable[None]]] = {
        each.__name__: each for each in (hemsd, pyhems, pychonet, nobody)
    }
    poller = Poller()
    polling = asyncio.ensure_future(kinds[who](poller, int(count)))
    await asyncio.sleep(START_S)
    _tell()
    time.sleep(BUSY_S)
    await asyncio.wait([polling], timeout=HEARD_S)
    _tell(heard=poller.announcements())
    asked = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 1) and asked.set())
    await asked.wait()
    while poller.found < int(count) and not polling.done():
        await asyncio.sleep(LOOK_S)
    before, began, busy = poller.polls, time.perf_counter(), time.process_time()
    await asyncio.wait([polling], timeout=POLL_S)
    _tell(polls=poller.polls - before, took_s=time.perf_counter() - began, busy_s=time.process_time() - busy)
    polling.cancel()
    await asyncio.wait([polling])
    if not polling.cancelled():
        polling.result()


def _tell(**told: float) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
