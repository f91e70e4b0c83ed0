"""The appliances of `hemsd demo`: where they are, what they are called, and what they tell, in plain lines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from hemsd.cli.inventory import doing
from hemsd.hub.messages import ApplianceState, ApplianceStatus, Message
from hemsd.hub.wire import WireError, connect
from hemsd.simulator.appliances import ApplianceNode, World, home, serve_nodes

INTERFACE = "lo"  # their network: it takes no hardware and no rights
PORT = 3610
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 10))
COLD_C = 18.0  # outdoors: who heats then
FIRST_SWITCHED_S, SWITCHED_S = 20.0, 60.0  # somebody uses the lamp of the living room
AGAIN_S = 0.5  # between two looks for the daemon
POWER_W, POWER_SHARE = 10.0, 0.1  # what power changes by at least to be worth a line

NAMES: Mapping[tuple[str, int], tuple[str, str]] = {  # by address and object: name, room
    ("127.0.0.2", 0x013001): ("living-ac", "living room"),
    ("127.0.0.3", 0x027901): ("roof", ""),
    ("127.0.0.3", 0x027D01): ("battery", ""),
    ("127.0.0.3", 0x02A501): ("inverter", ""),
    ("127.0.0.4", 0x026B01): ("hot-water", ""),
    ("127.0.0.5", 0x027E01): ("car", ""),
    ("127.0.0.6", 0x029001): ("living-lamp", "living room"),
    ("127.0.0.6", 0x029002): ("bath-lamp", "bathroom"),
    ("127.0.0.6", 0x029101): ("hall-lamp", "hall"),
    ("127.0.0.7", 0x028701): ("board", ""),
    ("127.0.0.8", 0x03B701): ("fridge", "kitchen"),
    ("127.0.0.9", 0x027B01): ("floor", "living room"),
}


@asynccontextmanager
async def appliances(world: World) -> AsyncIterator[str]:
    """Appliances on the loopback interface; gives their tables of the configuration, none where they cannot be."""
    nodes = home(world, ADDRESSES)
    try:
        _look_for_others()
        serving = serve_nodes(nodes, INTERFACE)
        turn = await serving.__aenter__()
    except OSError as error:
        print(
            f"no appliances: UDP port {PORT} of {INTERFACE} cannot be had ({error.strerror}); does another demo run?"
        )
        yield ""
        return
    living = asyncio.create_task(_somebody_lives_here(world, nodes, turn), name="demo household")
    try:
        yield _tables()
    finally:
        living.cancel()
        await serving.__aexit__(None, None, None)


def _look_for_others() -> None:
    """Two demonstrations would hear each other's appliances: raise OSError if one runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        alone.bind((ADDRESSES[0], PORT))  # without SO_REUSEADDR


def _tables() -> str:
    lines = [f'[networks.home]\ninterface = "{INTERFACE}"\n']
    for (address, eoj), (name, room) in NAMES.items():
        lines.append(f'[appliances.{name}]\naddress = "{address}"\nobject = "{eoj:06X}"\nroom = "{room}"\n')
    return "\n" + "".join(lines)


async def _somebody_lives_here(
    world: World, nodes: list[ApplianceNode], turn: Callable[[ApplianceNode], None]
) -> None:
    """The air conditioner runs from the start; the lamp is switched now and then."""
    devices = {device.eoj: (node, device) for node in nodes for device in node.devices}
    (node, air), (lit, lamp) = devices[0x013001], devices[0x029001]
    node.by_hand(air, 0xB0, b"\x43" if world.outdoor_c(world.start) < COLD_C else b"\x42")
    node.by_hand(air, 0x80, b"\x30")
    await asyncio.sleep(FIRST_SWITCHED_S)
    while True:
        lit.by_hand(lamp, 0x80, b"\x31" if lamp.on else b"\x30")
        turn(lit)
        await asyncio.sleep(SWITCHED_S)


async def show_appliances(operator: str) -> None:
    """Print what the daemon with this operator socket tells of them, as soon as there is one."""
    while True:
        with suppress(WireError):  # not yet there, or no longer
            async with connect(operator) as seat:
                lines = Lines()
                async for message in seat.messages():
                    if (line := lines.of(message)) is not None:
                        print(line, flush=True)
        await asyncio.sleep(AGAIN_S)


class Lines:
    """A line for each appliance that does something else than before, or draws much more or less."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._shown: dict[str, tuple[str, float]] = {}

    def of(self, message: Message) -> str | None:
        """What to print of a message, if anything."""
        match message:
            case ApplianceStatus(appliance=appliance, name=name):
                self._names[appliance] = name
            case ApplianceState(appliance=appliance, values=values):
                does, power_w = doing({**values, "power_w": None}), values.get("power_w")
                watts = float(power_w) if isinstance(power_w, int | float) else 0.0
                before, watts_before = self._shown.get(appliance, ("", 0.0))
                if does != before or abs(watts - watts_before) > max(POWER_W, POWER_SHARE * abs(watts_before)):
                    self._shown[appliance] = (does, watts)
                    return f"{self._names.get(appliance, appliance):<34} {doing(values)}"
        return None
