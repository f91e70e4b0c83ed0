"""Home Assistant's own code as a program that is told what to do: its core, MQTT, recorder and energy, nothing else.

Runs with the Python of Home Assistant and knows nothing of hemsd: ``assistant.py CONFIGURATION BROKER_PORT``. What it
keeps stays in the directory of its configuration, so that another one there is the same after a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from datetime import timedelta
from typing import Any

from homeassistant import auth, bootstrap, config_entries, loader
from homeassistant.components.energy.data import async_get_manager
from homeassistant.components.energy.validate import async_validate
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import StatisticsTask, SynchronizeTask
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry, device_registry, entity_registry
from homeassistant.helpers import recorder as recorder_helper
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util


class Complaints(logging.Handler):
    """Everything from warnings on, whoever says it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(line := f"{record.levelname} {record.name}: {record.getMessage()}")
        print(line, file=sys.stderr, flush=True)
        if record.exc_info is not None:
            traceback.print_exception(*record.exc_info)


class Assistant:
    """What can be asked of it: every public method but start."""

    def __init__(self, directory: str, port: int) -> None:
        self._directory = directory
        self._port = port
        self._complaints = Complaints()
        self._compiled = dt_util.utcnow()
        self.hass: HomeAssistant

    async def start(self) -> None:
        """As its bootstrap does, without what has nothing to do with us; the broker as a user enters it."""
        logging.getLogger().addHandler(self._complaints)
        self.hass = hass = HomeAssistant(self._directory)
        loader.async_setup(hass)
        hass.config.skip_pip = True
        hass.config_entries = config_entries.ConfigEntries(hass, {})
        await loader.async_get_custom_components(hass)
        await bootstrap.async_load_base_functionality(hass)
        recorder_helper.async_initialize_recorder(hass)
        hass.auth = await auth.auth_manager_from_config(hass, [], [])
        await hass.config.async_update(time_zone="Asia/Tokyo", currency="JPY", country="JP", unit_system="metric")
        for domain, settings in (
            ("homeassistant", {}),
            ("http", {"server_host": ["127.0.0.1"], "server_port": 8123}),
            ("recorder", {"db_url": f"sqlite:///{self._directory}/states.db", "commit_interval": 0}),
            ("energy", {}),
            *((entry.domain, {}) for entry in hass.config_entries.async_entries()),
        ):
            assert await async_setup_component(hass, domain, {domain: settings}), domain
        await hass.async_start()
        if not hass.config_entries.async_entries("mqtt"):
            await self._enter_broker()
        await hass.async_block_till_done()

    async def _enter_broker(self) -> None:
        flow = self.hass.config_entries.flow
        step = await flow.async_init("mqtt", context={"source": config_entries.SOURCE_USER})
        while step["type"] == "form":
            rest = {"set_client_cert": False, "set_ca_cert": "off"}
            entered = {"broker": "127.0.0.1", "port": self._port, "other_settings": rest}
            step = await flow.async_configure(step["flow_id"], entered)
            assert not step.get("errors"), step
        assert step["type"] == "create_entry", step

    def version(self) -> str:
        return __version__

    def complaints(self) -> list[str]:
        """What it complained of since this was asked last."""
        said, self._complaints.said[:] = list(self._complaints.said), []
        return said

    def states(self) -> dict[str, Any]:
        return {
            state.entity_id: {"state": state.state, **json.loads(json.dumps(dict(state.attributes), default=str))}
            for state in self.hass.states.async_all()
        }

    def entities(self) -> dict[str, Any]:
        return {
            each.entity_id: {
                "unique_id": each.unique_id,
                "category": each.entity_category,
                "disabled": each.disabled,
                "device": self._identifier(each.device_id),
            }
            for each in entity_registry.async_get(self.hass).entities.values()
            if each.platform == "mqtt"
        }

    def devices(self) -> dict[str, Any]:
        areas = area_registry.async_get(self.hass)
        found = {}
        for each in device_registry.async_get(self.hass).devices:
            if (identifier := self._identifier(each.id)) is not None:
                area = areas.async_get_area(each.area_id) if each.area_id else None
                found[identifier] = {
                    **{name: getattr(each, name) for name in ("name", "manufacturer", "model", "sw_version")},
                    "serial": each.serial_number,
                    "via": self._identifier(each.via_device_id),
                    "area": area.name if area else None,
                }
        return found

    def _identifier(self, device: str | None) -> str | None:
        found = device_registry.async_get(self.hass).async_get(device) if device else None
        return next((value for domain, value in found.identifiers if domain == "mqtt"), None) if found else None

    def ignored(self, payload: dict[str, Any]) -> list[str]:
        """Keys of a discovery payload that it takes no notice of, which it does without a word."""
        unknown = []
        for key, component in payload["components"].items():
            platform = component["platform"]
            known = set(map(str, self._keys(platform, component)))
            unknown += [f"{key}: {name}" for name in component if name not in known | {"platform"}]
        return unknown

    def _keys(self, platform: str, component: dict[str, Any]) -> set[Any]:
        module = __import__(f"homeassistant.components.mqtt.{platform}", fromlist=["x"])
        if platform == "light":
            module = __import__("homeassistant.components.mqtt.light.schema_template", fromlist=["x"])
        schema = next(
            getattr(module, name)
            for name in ("_PLATFORM_SCHEMA_BASE", "PLATFORM_SCHEMA_MODERN_TEMPLATE", "PLATFORM_SCHEMA_MODERN")
            if hasattr(module, name)
        )
        while not hasattr(schema, "schema") or not isinstance(schema.schema, dict):
            schema = schema.validators[0]
        return set(schema.schema)

    async def call(self, domain: str, service: str, data: dict[str, Any]) -> None:
        await self.hass.services.async_call(domain, service, data, blocking=True)

    async def energy(self, preferences: dict[str, Any]) -> dict[str, Any]:
        """What it has to say against an energy dashboard of these sources."""
        await self._compile()
        await self._compile()  # the first pass may come before its recorder has the newest states
        await (await async_get_manager(self.hass)).async_update(preferences)
        return (await async_validate(self.hass)).as_dict()

    async def consumed(self, entity: str) -> float:
        """The sum that its statistics make of a register."""
        await self._compile()
        await self._compile()
        start = dt_util.utcnow() - timedelta(days=1)
        found = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period, self.hass, start, None, {entity}, "5minute", None, {"sum"}
        )
        return found[entity][-1]["sum"]

    async def _compile(self) -> None:
        """Statistics of all that came since the last ones, as if a period of theirs had ended just now."""
        recorder, since = get_instance(self.hass), self._compiled
        for task in (None, StatisticsTask(since, False)):
            if task is not None:
                recorder.queue_task(task)
            done = self.hass.loop.create_future()
            recorder.queue_task(SynchronizeTask(done))
            await done
        self._compiled = dt_util.utcnow()

    async def stop(self) -> None:
        await self.hass.async_stop(force=True)


async def main() -> None:
    """Do what is said in lines, each in its turn, until nobody is there to say it."""
    assistant = Assistant(sys.argv[1], int(sys.argv[2]))
    await assistant.start()
    print(json.dumps({"ready": True}), flush=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(text)
        try:
            result = getattr(assistant, asked["do"])(*asked["words"])
            answer = {"result": await result if asyncio.iscoroutine(result) else result}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps({"number": asked["number"], **answer}, default=str), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
