"""Processor time for each byte that arrives on the serial line, however it is cut; nothing may be lost."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pty
import select
import tty
from random import Random
from time import monotonic

from tests.benchmarks.processes import Failed, python, started
from tests.benchmarks.report import Row

DATAGRAMS = 600
GOAL = 1 / 50
CHUNKS = (
    ("in pages", 4096, GOAL),
    ("in USB packets", 62, GOAL),  # what a full-speed USB serial adapter hands over
    ("byte by byte", 1, None),  # where each byte wakes the reader the waking is the cost, for both
)
DEADLINE_S = 60.0
ERXUDP = (
    "ERXUDP FE80:0000:0000:0000:021C:6400:6014:21A3 FE80:0000:0000:0000:021D:1291:0004:E578 "
    "0E1A 0E1A 001C6400601421A3 A5 1 0 {:04X} {}\r\n"
)
READING = "1081{:04X}02880105FF017202E704{:08X}E804{:08X}"
DAY = "1081{:04X}02880105FF017201E2C20001{:0384X}"


async def line() -> list[Row]:
    """Processor time for each byte on the serial line, by how the bytes are cut; none may be lost."""
    chance = Random(1)
    payloads = [  # answers with readings, each tenth with a day of history
        bytes.fromhex(
            READING.format(tid, chance.randrange(6000), chance.getrandbits(32))
            if tid % 10
            else DAY.format(tid, chance.getrandbits(192 * 8))
        )
        for tid in range(DATAGRAMS)
    ]
    # In hexadecimal, as momonga wants them.
    stream = b"".join(ERXUDP.format(len(payload), payload.hex().upper()).encode() for payload in payloads)
    digest = hashlib.sha256(b"".join(payloads)).hexdigest()
    rows = []
    for name, chunk, goal in CHUNKS:
        ours, peer = [await _us_per_byte(subject, stream, chunk, digest) for subject in ("by_hemsd", "by_momonga")]
        name = f"serial line, {name}"
        rows.append(Row(name=name, unit="us/byte", hemsd=ours, peer=peer, goal=goal, goal_is_ratio=True))
    return rows


async def _us_per_byte(subject: str, stream: bytes, chunk: int, digest: str) -> float:
    """Microseconds of processor time."""
    far, near = pty.openpty()
    tty.setraw(near)
    async with started(*python(subject, "stream", os.ttyname(near), DATAGRAMS)) as reader:
        await reader.told(DEADLINE_S)
        feeding = asyncio.create_task(asyncio.to_thread(_feed, far, stream, chunk))
        try:
            told = await reader.told(DEADLINE_S)
        finally:
            os.close(near)
    await feeding
    os.close(far)
    if told["digest"] != digest:
        raise Failed(f"{subject} lost bytes")
    return float(told["cpu_s"]) / len(stream) * 1e6


def _feed(far: int, stream: bytes, chunk: int) -> None:
    """Write as fast as the other side reads; give up when it does not."""
    os.set_blocking(far, False)
    at, ends = 0, monotonic() + DEADLINE_S
    while at < len(stream) and monotonic() < ends:
        try:
            at += os.write(far, stream[at : at + chunk])
        except BlockingIOError:
            select.select([], [far], [], 1.0)
