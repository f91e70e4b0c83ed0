"""`hemsd demo`: the real daemon in a simulated house with meter, appliances and an MQTT broker, in one terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import aiomqtt

from hemsd.cli.demohouse import INTERFACE, appliances, show_appliances
from hemsd.cli.exits import Exit, UsageError
from hemsd.routeb.readings import JST
from hemsd.simulator import Family, Meter, Network, Timing, module_of
from hemsd.simulator.appliances import World
from hemsd.simulator.pty import serve_on_pty

LOOPBACK = "127.0.0.1"
COMMANDS = (
    "appliances",
    "appliances show living-ac",
    "appliances set living-ac target_temperature_c=24",
    "read",
    "status",
    "history week",  # fuller by the minute: the meter's memory is read
)
STOP_S = 10.0  # for the daemon to end, which takes it 5 s at most

CONFIG = """
version = 1
[meter]
port = "{port}"
credentials = "credentials.toml"
live_s = 2
watched_s = 2
allow_fast_polling = true
backfill_pace_s = 1
[gateway.broker]
url = "mqtt://{host}:{broker}"
version = "3.1.1"
[daemon]
state_directory = "state"
operator_socket = "operator.sock"
"""


def run(arguments: argparse.Namespace) -> int:
    """Run until interrupted or terminated, for --seconds, or until the daemon ends."""
    try:
        return asyncio.run(_demo(arguments.family, arguments.seconds))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM  # as a shell reports a process ended by it


async def _demo(family: Family, seconds: float | None) -> int:
    if (this := asyncio.current_task()) is not None:  # a daemon left behind would go on reading where its port was
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    network = Network()
    world = World(datetime.now(JST).replace(tzinfo=None))
    meter = Meter(world.wall, start=world.start)
    module = module_of(family, meter, network, timing=Timing.fast())
    with TemporaryDirectory(prefix="hemsd-demo-") as directory:
        async with _broker() as broker, serve_on_pty(module) as port, appliances(world) as tables:
            config = Path(directory) / "hemsd.toml"
            config.write_text(CONFIG.format(port=port, host=LOOPBACK, broker=broker) + tables)
            credentials = Path(directory) / "credentials.toml"
            credentials.touch(mode=0o600)
            credentials.write_text(f'id = "{network.route_b_id}"\npassword = "{network.password}"\n')
            print(f"a simulated {family} module on {port}, an MQTT broker on {LOOPBACK}:{broker}; Ctrl-C ends it")
            showing = [asyncio.create_task(_show(broker), name="demo subscriber")]
            if tables:
                print(f"appliances on {INTERFACE}; try in another terminal:\n{_hints(config)}")
                shown = show_appliances(str(config.with_name("operator.sock")))
                showing.append(asyncio.create_task(shown, name="demo operator"))
            print(flush=True)
            try:
                return await _run_daemon(config, seconds)
            finally:
                for each in showing:
                    each.cancel()


def _hints(config: Path) -> str:
    """Commands that work while the demonstration runs."""
    program = sys.argv[0] if Path(sys.argv[0]).name == "hemsd" else f"{sys.executable} -m hemsd"
    return "\n".join(f"  {program} {line} --config {config}" for line in COMMANDS)


async def _run_daemon(config: Path, seconds: float | None) -> int:
    """The daemon as a process of its own, ended gently."""
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-m", "hemsd", "run", "--config", str(config))
    try:
        async with asyncio.timeout(seconds):
            return await daemon.wait()
    except TimeoutError:
        return Exit.READ
    finally:
        if daemon.returncode is None:
            daemon.terminate()
            async with asyncio.timeout(STOP_S):
                await daemon.wait()


async def _show(port: int) -> None:
    """What the home gateway would hear."""
    async with aiomqtt.Client(LOOPBACK, port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        await client.subscribe("hemsd/v1/#", qos=1)
        async for message in client.messages:
            text = bytes(message.payload).decode() if isinstance(message.payload, bytes | bytearray) else ""
            topic = str(message.topic).split("/", 3)[3]
            print(f"{topic:<34} {_short(text)}", flush=True)


def _short(payload: str) -> str:
    """The single values of a payload; what is null, or says how the payload is built, left out."""
    if not payload.startswith("{"):
        return payload
    values = {key: value for key, value in json.loads(payload).items() if not isinstance(value, list | dict | None)}
    return "  ".join(f"{key} {value}" for key, value in values.items() if key not in ("schema", "site", "meter"))


@asynccontextmanager
async def _broker() -> AsyncIterator[int]:
    """An MQTT broker on a loopback port of its own."""
    try:
        from amqtt.broker import Broker
    except ImportError:
        raise UsageError(
            f"the demo brings its own MQTT broker: {sys.executable} -m pip install 'hemsd[demo]'"
        ) from None
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port: int = free.getsockname()[1]
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}}
    broker = Broker({"listeners": listeners, "plugins": anonymous})
    await broker.start()
    try:
        yield port
    finally:
        await broker.shutdown()
