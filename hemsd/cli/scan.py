"""`hemsd scan`: which meters answer to our pairing ID, and how well they are heard."""

from __future__ import annotations

import argparse
import asyncio
import json

from drivers.module import NO_RADIO, Pan
from hemsd.cli.connect import config_of, meter_of
from hemsd.cli.words import judged


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each, best first; with --json one object."""

    async def main() -> list[Pan]:
        async with meter_of(arguments, config_of(arguments)) as meter:
            return await meter.scan()

    pans = asyncio.run(main())
    if arguments.json:
        print(json.dumps({"pans": [_object(pan) for pan in pans]}))
        return 0
    for pan in pans:
        if pan.channel == NO_RADIO:
            print(f"meter at {pan.address}")
            continue
        lqi = "" if pan.lqi is None else f"  LQI {pan.lqi:3}"
        signal = "" if pan.dbm is None else f"{lqi}  {pan.dbm:6.1f} dBm  {judged(pan.dbm)}"
        print(f"channel {pan.channel}  PAN {pan.pan_id:04X}  {pan.mac}{signal}")
    return 0


def _object(pan: Pan) -> dict[str, object]:
    return {
        "channel": None if pan.channel == NO_RADIO else pan.channel,
        "pan_id": None if pan.channel == NO_RADIO else f"{pan.pan_id:04X}",
        "mac": pan.mac,
        "address": pan.address,
        "lqi": pan.lqi,
        "rssi_dbm": pan.dbm,
    }
