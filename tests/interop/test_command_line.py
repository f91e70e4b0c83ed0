"""The whole of hemsd beside a foreign node: `hemsd run` on one host, devices of npm's echonet-lite on another."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.drivers import until
from support.netns import Namespace, Segment, segment
from support.peers import Peer, peer

pytestmark = pytest.mark.needs("ip", "root", "node", "echonet-lite")

NPM = Segment.address(2)
CONFIGURATION = f"""version = 1
daemon.state_directory = "state"
daemon.operator_socket = "operator.sock"
meter.port = "/dev/hemsd-test-none"
control.write_gap_s = 0
[networks.home]
interface = "wl"
[appliances.living-ac]
address = "{NPM}"
object = "013001"
room = "居間"
"""
HEMSD = (sys.executable, "-m", "hemsd")
PIPE = asyncio.subprocess.PIPE


class Person:
    """Somebody with a terminal."""

    def __init__(self, configuration: Path) -> None:
        self._words = ("appliances", "--config", str(configuration), "--json")

    async def types(self, *words: str) -> tuple[int | None, Any]:
        """A command of `hemsd appliances`: its exit code, and what it printed."""
        process = await asyncio.create_subprocess_exec(*HEMSD, *self._words, *words, stdout=PIPE)
        printed, _ = await process.communicate()
        return process.returncode, json.loads(printed)

    async def watches(self) -> Peer:
        """Every change, a line each."""
        return Peer(await asyncio.create_subprocess_exec(*HEMSD, *self._words, "watch", stdout=PIPE))


@asynccontextmanager
async def daemon(host: Namespace, directory: Path) -> AsyncIterator[Person]:
    configuration = directory / "hemsd.toml"
    configuration.write_text(CONFIGURATION)
    command = ("ip", "netns", "exec", host.name, *HEMSD, "run", "--config", str(configuration))
    with (directory / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
    try:
        await until((directory / "operator.sock").exists)
        yield Person(configuration)
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_from_the_terminal_to_the_device(tmp_path: Path) -> None:
    """Found and named, read, changed by hand, set and read back; refused by the device, and refused before it."""
    with segment() as lan:
        ours, theirs = lan.hosts(2)
        async with peer(theirs, "echonet_lite_devices.js", NPM) as npm, daemon(ours, tmp_path) as person:
            watch = await person.watches()
            try:
                await watch.says(lambda line: (line["name"], line["what"]) == ("living-ac", "fan"))
                await npm.does("by_hand", "013001", "a0", "33")
                changed = await watch.says(lambda line: (line["what"], line["to"]) == ("fan", 3))
                assert (changed["from"], changed["by"]) == ("auto", "")
                code, listed = await person.types("list")
                assert code == 0
                kinds = {each["kind"]: (each["name"], each["room"], each["address"]) for each in listed}
                assert kinds.keys() == {"home_air_conditioner", "general_lighting", "storage_battery"}
                assert kinds["home_air_conditioner"] == ("living-ac", "居間", NPM)
                code, became = await person.types("set", "living-ac", "mode=heat", "target_temperature_c=21")
                assert (code, became["outcome"]) == (0, "applied")
                assert became["values"] == {"mode": "heat", "target_temperature_c": 21}
                assert [await npm.does("value", "013001", epc) for epc in ("b0", "b3")] == ["43", "15"]
                changed = await watch.says(lambda line: (line["what"], line["to"]) == ("mode", "heat"))
                assert (changed["from"], changed["by"]) == ("cool", "hemsd")
            finally:
                await watch.stop()
            code, read = await person.types("get", "living-ac", "room_temperature")
            assert (code, read["room_temperature"]["value"]) == (0, 28)
            code, became = await person.types("set", "living-ac", "0xA5=41")
            assert (code, became["outcome"], became["error"]) == (5, "rejected", "device_refused")
            before = len(npm.said)
            code, became = await person.types("set", "living-ac", "target_temperature_c=80")
            assert (code, became["error"]) == (2, "out_of_range")
            assert "80 is not 0 to 50" in became["detail"]
            assert not any("set" in line for line in npm.said[before:])
    log = (tmp_path / "log").read_text()
    assert "air flow level is now 3, set by a person or another controller" in log
    assert "Traceback" not in log
