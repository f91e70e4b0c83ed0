"""Run a simulated meter until interrupted: ``python -m hemsd.simulator``, with a module on a pty.

``python -m hemsd.simulator --interface NAME`` runs one of the second generation on a network interface instead, and
``python -m hemsd.simulator --appliances NAME`` a house full of appliances.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

from hemsd.simulator import FAMILIES, Household, Meter, MeterNode, Network, Plate, Timing, module_of
from hemsd.simulator.appliances import World, home, serve_nodes
from hemsd.simulator.pty import serve_on_pty
from hemsd.simulator.udp import serve_on_udp

JST = timezone(timedelta(hours=9))


def main() -> None:
    """Print the path of the tty and what to give to whoever reads the meter."""
    parser = argparse.ArgumentParser(prog="python -m hemsd.simulator", description=__doc__)
    parser.add_argument("--interface", metavar="NAME", help="a second-generation meter on this network interface")
    parser.add_argument("--appliances", metavar="NAME", help="appliances on this network interface")
    parser.add_argument(
        "--address",
        metavar="A",
        action="append",
        help="of the appliances, once for each node, addresses that the interface has (default: 127.0.0.2 and on)",
    )
    parser.add_argument("--family", choices=FAMILIES, default="DUAL", help="of the module (default: DUAL)")
    parser.add_argument("--generation", type=int, choices=(1, 2), default=1, help="of the meter (default: 1)")
    parser.add_argument("--pv", type=float, default=4.0, metavar="KW", help="photovoltaics (default: 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the household (default: 1)")
    parser.add_argument("--fast", action="store_true", help="scan, join and answer at once")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    kind = _appliances if options.appliances else _on_udp if options.interface else _on_pty
    async with kind(Household(options.seed, pv_kw=options.pv), options) as told:
        sys.stdout.write(told)
        sys.stdout.flush()
        await ended.wait()


def _now() -> datetime:
    return datetime.now(JST).replace(tzinfo=None)


@asynccontextmanager
async def _on_pty(household: Household, options: argparse.Namespace) -> AsyncIterator[str]:
    meter = Meter(household, start=_now(), plate=Plate(generation=options.generation))
    network = Network()
    module = module_of(options.family, meter, network, timing=Timing.fast() if options.fast else Timing())
    async with serve_on_pty(module) as path:
        yield f'port = "{path}"\nid = "{network.route_b_id}"\npassword = "{network.password}"\n'


@asynccontextmanager
async def _on_udp(household: Household, options: argparse.Namespace) -> AsyncIterator[str]:
    meter = Meter(household, start=_now(), plate=Plate(generation=2))
    async with serve_on_udp(MeterNode(meter), options.interface):
        yield f'interface = "{options.interface}"\n'


@asynccontextmanager
async def _appliances(household: Household, options: argparse.Namespace) -> AsyncIterator[str]:
    addresses = options.address or [f"127.0.0.{number}" for number in range(2, 254)]
    nodes = home(World(_now(), household=household), addresses)
    async with serve_nodes(nodes, options.appliances):
        yield "".join(
            f"{node.addresses[0]}: {', '.join(f'{device.eoj:06X}' for device in node.devices)}\n" for node in nodes
        )


if __name__ == "__main__":
    main()
