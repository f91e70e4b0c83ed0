"""The appliances of `hemsd demo`: lines that can be read, names that fit, and a port that is taken."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.cli import hemsd
from support.netns import Namespace

from hemsd.cli.demohouse import ADDRESSES, NAMES, Lines, appliances
from hemsd.daemon.config import parse
from hemsd.hub.messages import ApplianceState, ApplianceStatus
from hemsd.simulator.appliances import World, home

NOW = datetime(2026, 8, 3, 4, 0, tzinfo=UTC)
WORLD = World(datetime(2026, 8, 3, 13, 0))
PATIENCE_S = 90.0  # the fourth round of discovery comes after a minute


def state(**values: Any) -> ApplianceState:
    return ApplianceState(appliance="0130-1f2e3d4c", at=NOW, values=values)


def test_lines_come_when_something_changed() -> None:
    """By name once it is known; a little more or less power is not worth one."""
    lines = Lines()
    known = ApplianceStatus(
        appliance="0130-1f2e3d4c",
        name="living-ac",
        kind="home_air_conditioner",
        online=True,
        since=NOW,
        network="home",
        address="127.0.0.2",
        eoj="013001",
    )
    assert lines.of(known) is None
    assert lines.of(state(mode="cool", power_w=400)) == f"{'living-ac':<34} cool, 400 W"
    assert lines.of(state(mode="cool", power_w=430)) is None
    assert lines.of(state(mode="cool", power_w=450)) == f"{'living-ac':<34} cool, 450 W"
    assert lines.of(state(mode="fan", power_w=25)) == f"{'living-ac':<34} fan, 25 W"
    assert lines.of(state(mode="fan", power_w=34)) is None
    assert lines.of(state(mode="fan")) == f"{'living-ac':<34} fan"


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A host of our own, so that port 3610 of its loopback interface is free."""
    made = Namespace()
    try:
        made.ip("link", "set", "lo", "up")
        with made.entered():
            yield made
    finally:
        made.remove()


@pytest.mark.needs("ip", "root")
async def test_each_appliance_has_its_name_and_two_demonstrations_do_not_mix(
    host: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables are a configuration that can be run; the second demonstration goes on without."""
    async with appliances(WORLD) as tables:
        config = parse('version = 1\n[meter]\nport = "/dev/ttyUSB0"\n' + tables, Path("hemsd.toml"), {})
        assert config.networks["home"].interface == "lo"
        places = {(each.address, each.object) for each in config.appliances.values()}
        assert places == {(address, f"{eoj:06X}") for address, eoj in NAMES}
        async with appliances(World(WORLD.start)) as others:
            assert others == ""
    assert "no appliances: UDP port 3610 of lo cannot be had (Address already in use)" in capsys.readouterr().out


@pytest.mark.needs("ip", "root")
async def test_the_house_lives_and_the_commands_that_are_printed_work(host: Namespace, tmp_path: Path) -> None:
    """The air conditioner tells what it does, and can be set as the demonstration says."""
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd", "demo"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told = await _told_until(demo.stdout, "living-ac (AC-40) found", "/interval ")  # and there is a history
        commands = [shlex.split(line)[3:] for line in told if line.startswith("  ")]
        ran = [await hemsd(*command, env=environment, directory=tmp_path) for command in commands]
        assert [each.code for each in ran] == [0] * 6, ran
        assert "living-ac: set: target_temperature_c is 24" in ran[2].out
        *_, line = await _told_until(demo.stdout, "to 24 °C")
        assert line.startswith("living-ac  ")
    finally:
        demo.send_signal(signal.SIGINT)
        await demo.communicate()


async def _told_until(stream: asyncio.StreamReader | None, *texts: str) -> list[str]:
    """The lines until each text was in one. A round of discovery may get lost on a busy machine: the next counts."""
    assert stream is not None
    lines: list[str] = []
    awaited = set(texts)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while line := (await stream.readline()).decode():
                lines.append(line)
                awaited -= {text for text in awaited if text in line}
                if not awaited:
                    return lines
    raise AssertionError(f"{awaited} was not told, only {lines}")


def test_names_belong_to_what_is_there() -> None:
    """Every object of the house has one."""
    there = {(node.addresses[0], device.eoj) for node in home(WORLD, ADDRESSES) for device in node.devices}
    assert there == set(NAMES)
