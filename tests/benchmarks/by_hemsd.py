"""What hemsd is measured at; by_momonga.py does the same: ``python -m tests.benchmarks.by_hemsd WHAT ...``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from drivers.module import Credentials, Datagram, Event
from drivers.ports import Pump
from drivers.serialport import open_serial
from drivers.skstack.engine import Engine
from hemsd.echonet.meter import Currents, DayHistory, MeterEPC, decode, encode_history_1_day
from hemsd.history.inbox import Batch
from hemsd.history.intervals import kept
from hemsd.history.store import Retention, Store
from hemsd.hub.messages import MeterInterval
from hemsd.routeb.meter import Meter

LIVE = (MeterEPC.INSTANTANEOUS_POWER, MeterEPC.INSTANTANEOUS_CURRENT)


async def readings(port: str, route_b_id: str, password: str, count: str) -> None:
    """Power and currents, so many times."""
    async with _online(port, route_b_id, password) as meter:
        for _ in range(int(count)):
            answers = await meter.read(LIVE)
            power, currents = (decode(epc, edt) for epc, edt in answers.items() if isinstance(edt, bytes))
            assert isinstance(power, int) and isinstance(currents, Currents)


async def days(port: str, route_b_id: str, password: str, count: str) -> None:
    """Yesterday's half hours, so many times."""
    choice, epc = encode_history_1_day(1), MeterEPC.HISTORY_1_IMPORT

    def check(history: DayHistory) -> None:
        history.require(1)

    async with _online(port, route_b_id, password) as meter:
        for _ in range(int(count)):
            values = await meter.select_and_read(MeterEPC.HISTORY_1_DAY, choice, [epc], check)
            registers = values[epc].registers(date.today())
            assert len([(at, meter.scale.kwh(energy)) for at, energy in registers]) == 48


async def stored(count: str) -> None:
    """Days of half hours, both registers, from messages to the disk, so many times."""
    end, registers = (
        datetime(2025, 1, 1, tzinfo=UTC),
        {"count_kwh": Decimal("0.1"), "digits": 6, "source": "backfill"},
    )
    with TemporaryDirectory() as directory:
        store = Store(Path(directory), Retention())
        store.open(end)
        for day in range(int(count)):
            counts = [
                {"import_count": 9 * number, "export_count": number} for number in range(48 * day, 48 * day + 48)
            ]
            ends = [end + timedelta(days=day, minutes=30 * slot) for slot in range(48)]
            told = [
                MeterInterval(meter="m", end=at, **each, **registers) for at, each in zip(ends, counts, strict=True)
            ]
            store.write(Batch([interval for message in told if (interval := kept(message)) is not None]))
        store.close()


async def stream(port: str, count: str) -> None:
    """Read so many datagrams off the line; tell the processor time and a digest of the payloads."""
    left = int(count)
    digest = hashlib.sha256()
    ended = asyncio.Event()

    def heard(event: Event) -> None:
        nonlocal left
        if isinstance(event, Datagram):
            digest.update(event.payload)
            left -= 1
            if not left:
                ended.set()

    pump = Pump(Engine(), await open_serial(port), heard)
    print("{}", flush=True)  # ready
    began = time.process_time()
    pumping = asyncio.create_task(pump.run())
    await ended.wait()
    print(json.dumps({"cpu_s": time.process_time() - began, "digest": digest.hexdigest()}), flush=True)
    pumping.cancel()


@asynccontextmanager
async def _online(port: str, route_b_id: str, password: str) -> AsyncIterator[Meter]:
    async with Meter(await open_serial(port), Credentials(route_b_id, password)) as meter:
        await meter.read_live()  # learns the unit of energies
        yield meter


if __name__ == "__main__":
    works = {work.__name__: work for work in (readings, days, stored, stream)}
    asyncio.run(works[sys.argv[1]](*sys.argv[2:]))
