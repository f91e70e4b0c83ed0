"""What momonga is measured at; by_hemsd.py does the same: ``python -m tests.benchmarks.by_momonga WHAT ...``."""

from __future__ import annotations

import hashlib
import json
import queue
import sys
import threading
import time
from itertools import pairwise

import serial
from momonga import Momonga
from momonga.momonga_device import parse_sk_line
from momonga.momonga_echonet_enum import EchonetPropertyCode
from momonga.momonga_response import SkParsedRxUdp
from momonga.momonga_sk_wrapper import MomongaSkWrapper

LIVE = {EchonetPropertyCode.instantaneous_power, EchonetPropertyCode.instantaneous_current}


def first(port: str, route_b_id: str, password: str) -> None:
    """Start as it is meant to be started; tell the first reading."""
    with Momonga(route_b_id, password, port) as momonga:
        print(json.dumps({"power_w": momonga.get_instantaneous_power()}), flush=True)


def readings(port: str, route_b_id: str, password: str, count: str) -> None:
    """Power and currents, so many times."""
    with _hurried(port, route_b_id, password) as momonga:
        for _ in range(int(count)):
            momonga.request_to_get(LIVE)


def days(port: str, route_b_id: str, password: str, count: str) -> None:
    """Yesterday's half hours, so many times."""
    with _hurried(port, route_b_id, password) as momonga:
        for _ in range(int(count)):
            assert len(momonga.get_historical_cumulative_energy_1(day=1)) == 48


def backfill(port: str, route_b_id: str, password: str, count: str, live_s: str) -> None:
    """So many days of half hours, and readings meanwhile; tell seconds and the longest gap in readings."""
    day_of_history = {EchonetPropertyCode.historical_cumulative_energy_1}
    with _hurried(port, route_b_id, password) as momonga:
        began = time.monotonic()
        due, read_at = began + float(live_s), [began]
        for day in range(1, int(count) + 1):
            for step, argument in (
                (momonga.set_day_for_historical_data_1, day),
                (momonga.request_to_get, day_of_history),
            ):
                if time.monotonic() >= due:
                    due += float(live_s)
                    momonga.request_to_get(LIVE)
                    read_at.append(time.monotonic())
                step(argument)
        ended = time.monotonic()
    gap_s = max(later - earlier for earlier, later in pairwise([*read_at, ended]))
    print(json.dumps({"took_s": ended - began, "gap_s": gap_s}), flush=True)


def rest(port: str, route_b_id: str, password: str) -> None:
    """Power and currents every 30 s, without end."""
    with _hurried(port, route_b_id, password) as momonga:
        while True:
            momonga.request_to_get(LIVE)
            time.sleep(30)


def stream(port: str, count: str) -> None:
    """Read so many datagrams off the line; tell the processor time and a digest of the payloads."""
    wrapper = MomongaSkWrapper(port)
    wrapper._ser = serial.Serial(port, 115200)
    lines: queue.Queue[str] = queue.Queue()
    wrapper.subscribers = {"all": lines}
    digest = hashlib.sha256()
    print("{}", flush=True)  # ready
    began = time.process_time()
    threading.Thread(target=wrapper.received_packet_publisher, daemon=True).start()
    for _ in range(int(count)):
        parsed = parse_sk_line(lines.get(), wrapper.device_strategy)
        if isinstance(parsed, SkParsedRxUdp):
            digest.update(parsed.data)
    print(json.dumps({"cpu_s": time.process_time() - began, "digest": digest.hexdigest()}), flush=True)


def _hurried(port: str, route_b_id: str, password: str) -> Momonga:
    momonga = Momonga(route_b_id, password, port)
    momonga.internal_xmit_interval = 0
    return momonga


if __name__ == "__main__":
    {work.__name__: work for work in (first, readings, days, backfill, rest, stream)}[sys.argv[1]](*sys.argv[2:])
