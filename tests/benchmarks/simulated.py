"""The simulated module in a process of its own: ``python -m tests.benchmarks.simulated``.

Prints its port and credentials as one JSON object. For each byte on standard input it tells what it has done since it
was asked last: seconds of scanning and of joining, the datagrams from the meter in hexadecimal and when each came, on
the machine's monotonic clock. The end of standard input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import Any

from hemsd.simulator import Household, Meter, Network, Plate, SkModule, Timing
from hemsd.simulator.air import ECHONET_PORT, Fate, Signal
from hemsd.simulator.meter import Telegram, asks_for_history
from hemsd.simulator.pty import serve_on_pty
from hemsd.simulator.radio import Datagram

JST = timezone(timedelta(hours=9))
SPENT = ("scan_s", "join_s")
DATAGRAMS_MAX = 200


class LosingMeter(Meter):
    """Loses each n-th answer (0: none) from the first that tells of the past on; it has done what it was asked."""

    lose_each = 0
    answers = 0

    def answer(self, frame: bytes, now: float) -> Telegram | None:
        answer = super().answer(frame, now)
        self.answers += bool(self.answers) or asks_for_history(frame)
        return None if self.lose_each and self.answers and self.answers % self.lose_each == 0 else answer


class ObservedModule(SkModule):
    """Adds up what takes its time."""

    def __init__(self, meter: Meter, network: Network, timing: Timing) -> None:
        super().__init__("DUAL", meter, network, timing=timing)
        self._began = 0.0
        self._spent = dict.fromkeys(SPENT, 0.0)
        self._datagrams: deque[tuple[float, str]] = deque(maxlen=DATAGRAMS_MAX)

    def receive(self, data: bytes, now: float) -> None:
        if data.startswith((b"SKSCAN", b"SKJOIN")):
            self._began = monotonic()
        super().receive(data, now)

    def signal(self, signal: Signal, address: str | None = None, fate: Fate | None = None) -> None:
        if signal is Signal.SCAN_DONE:
            self._spent["scan_s"] += monotonic() - self._began
        elif signal is Signal.JOINED:
            self._spent["join_s"] += monotonic() - self._began
        super().signal(signal, address, fate)

    def datagram(self, datagram: Datagram) -> None:
        if datagram.port == ECHONET_PORT:
            self._datagrams.append((monotonic(), datagram.payload.hex()))
        super().datagram(datagram)

    def report(self) -> dict[str, Any]:
        """What was done since the last report."""
        done = {**self._spent, "datagrams": list(self._datagrams)}
        self._spent = dict.fromkeys(SPENT, 0.0)
        self._datagrams.clear()
        return done


async def main() -> None:
    options = _options()
    network = Network(route_b_id=options.id) if options.id else Network()
    start = datetime.now(JST).replace(tzinfo=None) - timedelta(days=options.days_ago)
    household = Household(1, pv_kw=4, installed=start.date() - timedelta(days=150))
    meter = LosingMeter(household, start=start, plate=Plate(exports=not options.import_only))
    meter.lose_each = options.lose_each
    timing = Timing.fast() if options.latency is None else replace(Timing.fast(), answer_s=options.latency)
    module = ObservedModule(meter, network, timing)
    household.energy(start)  # now it has lived through all that, and answers at once
    ended = asyncio.Event()

    def asked() -> None:
        if os.read(0, 1):
            print(json.dumps(module.report()), flush=True)
        else:
            ended.set()

    async with serve_on_pty(module, paced=not options.unpaced, speed=options.speed) as port:
        asyncio.get_running_loop().add_reader(0, asked)
        access = {"port": port, "id": network.route_b_id, "password": network.password}
        print(json.dumps(access), flush=True)
        await ended.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpaced", action="store_true", help="no limit of 115200 baud")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="so fast its time passes")
    parser.add_argument("--days-ago", type=int, default=0, metavar="N", help="so far back is it")
    parser.add_argument("--import-only", action="store_true", help="a meter without export registers")
    parser.add_argument("--latency", type=float, metavar="S", help="of the meter's answers, give or take a quarter")
    parser.add_argument("--lose-each", type=int, default=0, metavar="N", help="each n-th answer is lost")
    parser.add_argument("--id", metavar="ROUTE_B_ID", help="that of another one, to be the same meter")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
