"""A controller of pychonet, driven as Home Assistant's integration does."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from functools import partial
from typing import Any

from lines import tell
from pychonet import ECHONETAPIClient, Factory
from pychonet.lib.udpserver import UDPServer

HALF_A_SECOND = 5  # pychonet counts in tenths


class Controller:
    def __init__(self, address: str) -> None:
        server = UDPServer(local_ip=address)
        server.run("0.0.0.0", 3610, asyncio.get_running_loop())
        self._api = ECHONETAPIClient(server)
        self._api.configure(logger=lambda text: None, discover_callback=self._discovered)
        self._devices: dict[tuple[str, int], Any] = {}

    async def _discovered(self, host: str) -> None:
        tell(discovered=host)

    async def search(self) -> None:
        """Ask all; whoever answers is told of by the callback, and the request itself never counts as answered."""
        timeout = self._api.message_timeout
        self._api.configure(message_timeout=HALF_A_SECOND)
        await self._api.discover()
        self._api.configure(message_timeout=timeout)

    async def _heard(self, host: str, eoj: int, is_push: bool) -> None:
        if is_push:
            kept = self._api.state[host]["instances"][eoj >> 16][eoj >> 8 & 0xFF][eoj & 0xFF]
            epcs = [epc for epc, value in kept.items() if isinstance(value, bytes)]
            values = await self._devices[host, eoj].update(epcs, no_request=True)
            tell(pushed=[host, f"{eoj:06X}"], values=_named(epcs, values))

    async def meet(self, host: str) -> dict[str, Any]:
        """Who a node is, its devices and their property maps."""
        await self._api.discover(host)
        state = self._api.state[host]
        for group, classes in state["instances"].items():
            for code, instances in classes.items():
                for instance in instances:
                    await self._api.getAllPropertyMaps(host, group, code, instance)
                    await self._api.getIdentificationInformation(host, group, code, instance)
                    eoj = group << 16 | code << 8 | instance
                    self._devices[host, eoj] = Factory(host, self._api, group, code, instance)
                    heard = partial(self._heard, host, eoj)
                    self._api.register_async_receive_callbacks(host, group, code, instance, heard)
        devices = {f"{eoj:06X}": each for (at, eoj), each in self._devices.items() if at == host}
        return {
            "maker": state["manufacturer"],
            "uid": state["uid"],
            "devices": {
                eoj: {"gets": sorted(each.getGetProperties()), "sets": sorted(each.getSetProperties())}
                for eoj, each in devices.items()
            },
        }

    async def read(self, host: str, eoj: int, epcs: list[int]) -> dict[str, Any]:
        return _named(epcs, await self._devices[host, eoj].update(epcs))

    async def call(self, host: str, eoj: int, method: str, *words: Any) -> Any:
        """A method of its class for such a device."""
        return await getattr(self._devices[host, eoj], method)(*words)


def _named(epcs: list[int], values: Any) -> dict[str, Any]:
    """By code in hexadecimal; of one property pychonet gives the value alone."""
    each_of = values if len(epcs) > 1 else {epcs[0]: values}
    return {f"{epc:02X}": each_of[epc] for epc in epcs}


async def main(address: str) -> None:
    controller = Controller(address)
    tell(ready=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(text)
        try:
            tell(number=asked["number"], result=await getattr(controller, asked["do"])(*asked["words"]))
        except Exception:
            tell(number=asked["number"], error=traceback.format_exc())


asyncio.run(main(sys.argv[1]))
