"""Run a simulated module on a pty until interrupted: ``python -m hemsd.simulator --family SE``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from datetime import datetime, timedelta, timezone

from hemsd.simulator import FAMILIES, Household, Meter, Network, Plate, Timing, module_of
from hemsd.simulator.pty import serve_on_pty

JST = timezone(timedelta(hours=9))


def main() -> None:
    """Print the path of the tty and what to give to whoever reads the meter."""
    parser = argparse.ArgumentParser(prog="python -m hemsd.simulator", description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="DUAL", help="of the module (default: DUAL)")
    parser.add_argument("--generation", type=int, choices=(1, 2), default=1, help="of the meter (default: 1)")
    parser.add_argument("--pv", type=float, default=4.0, metavar="KW", help="photovoltaics (default: 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the household (default: 1)")
    parser.add_argument("--fast", action="store_true", help="scan, join and answer at once")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    meter = Meter(
        Household(options.seed, pv_kw=options.pv),
        start=datetime.now(JST).replace(tzinfo=None),
        plate=Plate(generation=options.generation),
    )
    network = Network()
    module = module_of(options.family, meter, network, timing=Timing.fast() if options.fast else Timing())
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serve_on_pty(module) as path:
        sys.stdout.write(f'port = "{path}"\nid = "{network.route_b_id}"\npassword = "{network.password}"\n')
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    main()
