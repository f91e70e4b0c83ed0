"""Home Assistant's own code beside hemsd in a simulated house: run by ``make interop``, not with the other tests.

Nothing here is a copy of Home Assistant's rules: it is asked what it made of what was published, and what it had to
complain of. Everything happens on the loopback interface of a network namespace of its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiomqtt
import pytest
from support import discovery
from support.mosquitto import Mosquitto, make_pki
from support.peers import LINE_MAX, Peer

from hemsd.cli.demohouse import NAMES, appliances
from hemsd.routeb.readings import JST
from hemsd.simulator import Meter, Network, Timing, module_of
from hemsd.simulator.appliances import World
from hemsd.simulator.pty import serve_on_pty

TREE = Path(__file__).parents[3] / ".cache/homeassistant/tree"  # as tree.sh makes it
PYTHON, HOME = "/opt/ha/bin/python", "/srv"  # within
SITE = "home-1"
WITHIN_S, LOOK_S = 180.0, 0.5  # a small machine that others use as well
NOT_OURS = ("aiohttp_fast_zlib", "homeassistant.components.network")  # of a machine with less than its own

CONFIG = """
version = 1
[site]
id = "{site}"
[meter]
port = "{port}"
credentials = "credentials.toml"
live_s = 2
watched_s = 2
allow_fast_polling = true
[gateway]
exposure = "{exposure}"
[gateway.broker]
url = "mqtt://127.0.0.1:{broker}"
[gateway.home_assistant]
enabled = {discovered}
[control]
write_gap_s = 0
[daemon]
state_directory = "state"
operator_socket = "operator.sock"
"""


class House:
    """A simulated meter and simulated appliances, a broker, and hemsd as a process that can end."""

    def __init__(self, directory: Path, port: str, tables: str, network: Network, broker: int) -> None:
        self.kept: dict[str, bytes] = {}  # what the broker keeps
        self.broker = broker
        self._directory, self._port, self._tables, self._network = directory, port, tables, network
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, exposure: str, *, discovered: bool = True) -> None:
        """Run hemsd at that exposure."""
        told = {"exposure": exposure, "discovered": str(discovered).lower(), "port": self._port, "site": SITE}
        path = self._directory / "hemsd.toml"
        path.write_text(CONFIG.format(**told, broker=self.broker) + self._tables)
        credentials = self._directory / "credentials.toml"
        credentials.touch(mode=0o600)
        credentials.write_text(f'id = "{self._network.route_b_id}"\npassword = "{self._network.password}"\n')
        run = (sys.executable, "-m", "hemsd", "run", "--config", str(path))
        self._process = await asyncio.create_subprocess_exec(*run)

    async def stop(self, *, kill: bool = False) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill() if kill else self._process.terminate()
            await self._process.wait()

    async def forget(self, appliance: str) -> None:
        """By the command for it."""
        config = ("--config", str(self._directory / "hemsd.toml"))
        run = (sys.executable, "-m", "hemsd", "appliances", "forget", appliance, *config)
        assert await (await asyncio.create_subprocess_exec(*run)).wait() == 0

    async def watch(self) -> None:
        """Keep what the broker keeps."""
        async with aiomqtt.Client("127.0.0.1", self.broker) as client:
            await client.subscribe("#", qos=1)
            async for message in client.messages:
                if message.payload:
                    self.kept[str(message.topic)] = bytes(message.payload)  # type: ignore[arg-type]
                else:
                    self.kept.pop(str(message.topic), None)

    async def says(self, topic: str, payload: str) -> None:
        """Say something in the place of hemsd."""
        async with aiomqtt.Client("127.0.0.1", self.broker) as client:
            await client.publish(topic, payload, qos=1, retain=True)

    def discovered(self) -> dict[str, dict[str, Any]]:
        """Discovery as it is retained, by the last part of its topic."""
        root = f"homeassistant/device/hemsd-{SITE}/"
        told = {topic: json.loads(payload) for topic, payload in self.kept.items() if topic.startswith(root)}
        return {topic.removeprefix(root).removesuffix("/config"): payload for topic, payload in told.items()}

    def components(self) -> dict[str, dict[str, Any]]:
        """Every entity that is told, by the id that is proposed for it."""
        told = [each for payload in self.discovered().values() for each in payload["components"].values()]
        return {each["default_entity_id"]: each for each in told if "unique_id" in each}

    def called(self, name: str) -> str:
        """The id of an appliance by its name."""
        told = self.discovered().items()
        return next(key.partition("-")[2] for key, each in told if each["device"]["name"] == name)


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    network, world = Network(), World(datetime.now(JST).replace(tzinfo=None))
    module = module_of("SE", Meter(world.wall, start=world.start), network, timing=Timing.fast())
    (directory / "broker").mkdir()
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto(directory / "broker", make_pki(directory / "pki")))
        port = await stack.enter_async_context(serve_on_pty(module))
        tables = await stack.enter_async_context(appliances(world))
        assert tables, "there are no appliances"
        made = House(directory, str(port), tables, network, broker.ports.open)
        watching = asyncio.create_task(made.watch())
        try:
            yield made
        finally:
            await made.stop()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


class Assistant(Peer):
    """Home Assistant as it is asked."""

    async def clean(self) -> None:
        """Raise where it complained of anything."""
        complaints = [each for each in await self.does("complaints") if not any(name in each for name in NOT_OURS)]
        assert complaints == []


@asynccontextmanager
async def assistant(broker: int) -> AsyncIterator[Assistant]:
    """Home Assistant of the tree at that broker; it remembers what an earlier one did."""
    shutil.copy(Path(__file__).with_name("assistant.py"), TREE / "srv")
    program = ("chroot", str(TREE), PYTHON, f"{HOME}/assistant.py", f"{HOME}/config", str(broker))
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*program, **pipes, limit=LINE_MAX)
    running = Assistant(process)
    try:
        await running.says(lambda line: line.get("ready"), within_s=WITHIN_S)
        yield running
        await running.does("stop")
    finally:
        await running.stop()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Home Assistant begins with nothing but an empty configuration."""
    directory = TREE / "srv/config"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "configuration.yaml").touch()


async def until(found: Callable[[], Awaitable[object]]) -> None:
    """Wait until nothing is missing any more; it fails with what is."""
    latest = monotonic() + WITHIN_S
    while missing := await found():
        assert monotonic() < latest, f"still missing: {missing}"
        await asyncio.sleep(LOOK_S)


def there(home: House, exposure: str) -> Callable[[], Awaitable[list[str]]]:
    """What of the house is not told yet."""

    async def missing() -> list[str]:
        told = home.discovered()
        names = {each["device"]["name"] for each in told.values()}
        wanted = {name for name, _ in NAMES.values()} if exposure != "aggregates" else set()
        unfinished = [
            key for key, each in told.items() if any("unique_id" not in one for one in each["components"].values())
        ]
        return [*({"hemsd", "Smart meter"} | wanted) - names, *unfinished]

    return missing


def taken(home: House, running: Assistant, before: Container[str] = ()) -> Callable[[], Awaitable[list[str]]]:
    """What of that is not with Home Assistant yet, or otherwise than it was told.

    What was there before a restart of hemsd, and is not known again yet, may stay.
    """

    async def wrong() -> list[str]:
        told, entities, states = home.components(), await running.does("entities"), await running.does("states")
        found = [f"{name} is too much" for name in entities.keys() - told.keys() if name not in before]
        for name, each in told.items():
            state, entity = states.get(name), entities.get(name)
            if state is None or entity is None:
                found.append(f"{name} is missing")
                continue
            if entity["unique_id"] != each["unique_id"]:
                found.append(f"{name} is known by {entity['unique_id']}")
            about = ("device_class", "state_class", "unit_of_measurement")
            found += [f"{name}: {key} is {state.get(key)}" for key in about if state.get(key) != each.get(key)]
            if each.get("state_topic", "") and each["state_topic"] not in home.kept:
                found.append(f"{name} has no topic yet")
            elif each["platform"] in ("sensor", "binary_sensor", "switch", "number", "select"):
                wanted = discovery.state(each, home.kept[each["state_topic"]])
                if not same(state["state"], wanted):
                    found.append(f"{name} is {state['state']}, not {wanted}")
            elif state["state"] in ("unknown", "unavailable"):
                found.append(f"{name} is {state['state']}")
        return found

    return wrong


def same(state: str, wanted: str) -> bool:
    with suppress(ValueError):
        return abs(float(state) - float(wanted)) < 1e-6
    return state == wanted


@pytest.mark.parametrize("exposure", ["aggregates", "appliances"])
async def test_all_is_taken_as_it_is_told(exposure: str, tmp_path: Path) -> None:
    """At each exposure that only shows: every entity with its id, class, unit, value and device; no complaint."""
    async with house(tmp_path) as home, assistant(home.broker) as running:
        await home.start(exposure)
        await until(there(home, exposure))
        await until(taken(home, running))
        for payload in home.discovered().values():
            assert await running.does("ignored", payload) == []
        assert {each["platform"] for each in home.components().values()} <= {"sensor", "binary_sensor"}
        devices = await running.does("devices")
        assert devices[f"hemsd_site_{SITE}"]["via"] is None
        assert {each["via"] for key, each in devices.items() if "site" not in key} == {f"hemsd_site_{SITE}"}
        await running.clean()


async def test_orders_go_all_the_way_and_come_back(tmp_path: Path) -> None:
    """Climate and light at a simulated appliance; and the energy dashboard takes its registers."""
    async with house(tmp_path) as home, assistant(home.broker) as running:
        await home.start("control")
        await until(there(home, "control"))
        await until(taken(home, running))
        for payload in home.discovered().values():
            assert await running.does("ignored", payload) == []
        await running.clean()
        await cool_the_living_room(home, running)
        await switch_lamps(home, running)
        await energy_dashboard(home, running)
        await running.clean()


async def test_a_life_with_it(tmp_path: Path) -> None:
    """Death, restarts of both, less exposure and removal leave no trace."""
    async with house(tmp_path) as home:
        async with assistant(home.broker) as running:
            await home.start("control")
            await until(there(home, "control"))
            await until(taken(home, running))
            entities = await running.does("entities")
            await home.stop(kill=True)
            await until(all_are(running, "unavailable"))
            await home.start("control")
            await until(taken(home, running, entities))
            assert await running.does("entities") == entities
            await running.clean()

        async with assistant(home.broker) as running:
            await until(taken(home, running, entities))
            assert await running.does("entities") == entities
            await home.stop()
            await until(all_are(running, "unavailable"))
            await home.start("appliances")
            await until(there(home, "appliances"))
            await until(only(home, {"sensor", "binary_sensor"}))
            await until(taken(home, running, entities))
            await forget_an_appliance(home, running, "floor")
            register = next(each for each in home.components().values() if "energy_import_kwh" in each["unique_id"])
            await running.clean()
            await home.stop()
            await a_register_begins_anew(home, running, register)

            await home.start("appliances", discovered=False)
            await until(lambda: running.does("entities"))
            await until(lambda: running.does("devices"))
            await running.clean()


def all_are(running: Assistant, wanted: str) -> Callable[[], Awaitable[list[str]]]:
    async def others() -> list[str]:
        states, entities = await running.does("states"), await running.does("entities")
        return [name for name in entities if states[name]["state"] != wanted]

    return others


def only(home: House, platforms: set[str]) -> Callable[[], Awaitable[list[str]]]:
    async def others() -> list[str]:
        return [name for name, each in home.components().items() if each["platform"] not in platforms]

    return others


async def cool_the_living_room(home: House, running: Assistant) -> None:
    """An air conditioner by its card: mode and temperature, then fan, then off and on again."""
    climate = f"climate.hemsd_{home.called('living-ac').replace('-', '_')}"
    state = (await running.does("states"))[climate]
    assert state["friendly_name"] == "living-ac"
    assert state["hvac_modes"] == ["off", "auto", "cool", "heat", "dry", "fan_only"]
    assert (state["min_temp"], state["max_temp"], state["target_temp_step"]) == (10, 32, 1)
    assert state["current_temperature"] is not None and state["current_humidity"] is not None

    topic = f"hemsd/v1/{SITE}/appliance/{home.called('living-ac')}/state"

    async def set_to(service: str, wanted: dict[str, Any], **data: Any) -> None:
        await running.does("call", "climate", service, {"entity_id": climate, **data})

        async def differs() -> list[str]:
            theirs, ours = (await running.does("states"))[climate], json.loads(home.kept[topic])["values"]
            theirs |= {"target_temperature_c": ours.get("target_temperature_c"), "fan": str(ours.get("fan"))}
            return [f"{key} is {theirs.get(key)}" for key, value in wanted.items() if theirs.get(key) != value]

        await until(differs)

    await set_to("set_hvac_mode", {"state": "cool", "temperature": 26}, hvac_mode="cool")
    await set_to("set_temperature", {"state": "cool", "temperature": 23, "target_temperature_c": 23}, temperature=23)
    await set_to("set_fan_mode", {"fan_mode": "3", "fan": "3"}, fan_mode="3")
    await set_to("set_hvac_mode", {"state": "fan_only", "temperature": None}, hvac_mode="fan_only")
    await set_to("set_temperature", {"state": "heat", "temperature": 21}, hvac_mode="heat", temperature=21)
    await set_to("turn_off", {"state": "off"})
    refusal = f"hemsd/v1/{SITE}/response/set"
    home.kept.pop(refusal, None)
    await running.does("call", "climate", "turn_on", {"entity_id": climate})

    async def unanswered() -> list[str]:
        return [] if refusal in home.kept else ["the answer"]

    await until(unanswered)
    assert json.loads(home.kept[refusal])["error"]["code"] == "rate_limited", "a compressor rests for ten minutes"
    assert (await running.does("states"))[climate]["state"] == "off"


async def switch_lamps(home: House, running: Assistant) -> None:
    """A lamp with all that it can, and a plain one."""
    lamp, plain = (f"light.hemsd_{home.called(name).replace('-', '_')}" for name in ("bath-lamp", "hall-lamp"))
    steps: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        (lamp, "turn_on", {"brightness": 128}, {"state": "on", "brightness": 128}),
        (lamp, "turn_on", {"color_temp_kelvin": 5200}, {"color_mode": "color_temp", "color_temp_kelvin": 5000}),
        (lamp, "turn_on", {"rgb_color": [255, 0, 0]}, {"color_mode": "hs", "rgb_color": [255, 0, 0]}),
        (lamp, "turn_on", {"color_temp_kelvin": 2700}, {"color_mode": "color_temp", "color_temp_kelvin": 2702}),
        (lamp, "turn_off", {}, {"state": "off"}),
        (plain, "turn_on", {"brightness": 1}, {"state": "on", "color_mode": "brightness"}),
        (plain, "turn_off", {}, {"state": "off"}),
    ]
    for entity, service, data, wanted in steps:
        await running.does("call", "light", service, {"entity_id": entity, **data})

        async def differs(entity: str = entity, wanted: dict[str, Any] = wanted) -> list[str]:
            now = (await running.does("states"))[entity]
            return [f"{key} is {now.get(key)}" for key, value in wanted.items() if not near(now.get(key), value)]

        await until(differs)


def near(value: Any, wanted: Any) -> bool:
    return abs(value - wanted) <= 3 if isinstance(value, int) and isinstance(wanted, int) else value == wanted


async def energy_dashboard(home: House, running: Assistant) -> None:
    """The energy dashboard has nothing against the sums of the house, nor the registers of what is in it."""
    by_word: dict[str, list[str]] = defaultdict(list)
    for name, each in home.components().items():
        by_word[each["unique_id"].rsplit(f"{SITE}_")[-1]].append(name)
    imported, exported = by_word["imported_total_kwh"][0], by_word["exported_total_kwh"][0]
    solar = f"sensor.hemsd_{home.called('roof').replace('-', '_')}_energy_supplied"
    fridge = f"sensor.hemsd_{home.called('living-ac').replace('-', '_')}_energy_consumed"
    grid = {
        "type": "grid",
        "stat_energy_from": imported,
        "stat_energy_to": exported,
        "stat_cost": None,
        "stat_compensation": None,
        "entity_energy_price": None,
        "number_energy_price": None,
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0.0,
    }
    sun = {"type": "solar", "stat_energy_from": solar, "config_entry_solar_forecast": None}
    told = {"energy_sources": [grid, sun], "device_consumption": [{"stat_consumption": fridge}]}
    issues = await running.does("energy", told)
    assert issues["energy_sources"] == [[], []] and issues["device_consumption"] == [[]], issues
    power = by_word["grid_w"][0]
    refused = await running.does("energy", {"energy_sources": [grid | {"stat_energy_from": power}]})
    assert refused["energy_sources"] != [[]], "it has nothing against a power, so it does not look"


async def forget_an_appliance(home: House, running: Assistant, name: str) -> None:
    """Its entities go, and nobody complains of topics that are cleared."""
    about = f"hemsd_{home.called(name).replace('-', '_')}_"

    async def left() -> list[str]:
        return [each for each in await running.does("entities") if about in each]

    assert await left()
    await home.forget(name)
    await until(left)
    await running.clean()


async def a_register_begins_anew(home: House, running: Assistant, entity: dict[str, Any]) -> None:
    """The register of an appliance that was reset is a new cycle: no fall and no spike."""
    name, topic = entity["default_entity_id"], entity["state_topic"]
    state = json.loads(home.kept[topic])
    for each in (f"hemsd/v1/{SITE}/availability", topic.replace("/state", "/availability")):
        await home.says(each, "online")
    before = None
    for kwh in (5000.0, 5000.5, None, 0.0, 0.75):
        values = {key: value for key, value in state["values"].items() if key != "energy_import_kwh"}
        register = {} if kwh is None else {"energy_import_kwh": kwh}
        await home.says(topic, json.dumps(state | {"values": values | register}))
        shown = kwh if kwh is not None else 5000.5

        async def differs(shown: float = shown) -> list[str]:
            now = (await running.does("states"))[name]["state"]
            return [] if same(now, str(shown)) else [now]

        await until(differs)
        consumed = await running.does("consumed", name)
        before = consumed if before is None else before
    assert consumed - before == pytest.approx(1.25)
