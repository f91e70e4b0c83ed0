"""The simulated module in a process of its own: ``python -m tests.benchmarks.simulated``.

Prints its port and credentials as one JSON object. For each byte on standard input it tells what it has done since it
was asked last: seconds of scanning and of joining, datagrams from the meter. The end of standard input ends it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from time import monotonic

from hemsd.simulator import Household, Meter, Network, SkModule, Timing
from hemsd.simulator.air import ECHONET_PORT, Fate, Signal
from hemsd.simulator.pty import serve_on_pty
from hemsd.simulator.radio import Datagram

JST = timezone(timedelta(hours=9))


class ObservedModule(SkModule):
    """Adds up what takes its time."""

    def __init__(self, meter: Meter, network: Network) -> None:
        super().__init__("DUAL", meter, network, timing=Timing.fast())
        self._began = 0.0
        self._done = dict.fromkeys(("scan_s", "join_s", "datagrams"), 0.0)

    def receive(self, data: bytes, now: float) -> None:
        if data.startswith((b"SKSCAN", b"SKJOIN")):
            self._began = monotonic()
        super().receive(data, now)

    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None:
        if signal is Signal.SCAN_DONE:
            self._done["scan_s"] += monotonic() - self._began
        elif signal is Signal.JOINED:
            self._done["join_s"] += monotonic() - self._began
        super().signal(signal, address, fate)

    def datagram(self, datagram: Datagram) -> None:
        self._done["datagrams"] += datagram.port == ECHONET_PORT
        super().datagram(datagram)

    def report(self) -> dict[str, float]:
        """What was done since the last report."""
        done, self._done = self._done, dict.fromkeys(self._done, 0.0)
        return done


async def main() -> None:
    network = Network()
    meter = Meter(Household(1, pv_kw=4), start=datetime.now(JST).replace(tzinfo=None))
    module = ObservedModule(meter, network)
    ended = asyncio.Event()

    def asked() -> None:
        if os.read(0, 1):
            print(json.dumps(module.report()), flush=True)
        else:
            ended.set()

    async with serve_on_pty(module, paced="--unpaced" not in sys.argv) as port:
        asyncio.get_running_loop().add_reader(0, asked)
        access = {"port": port, "id": network.route_b_id, "password": network.password}
        print(json.dumps(access), flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
