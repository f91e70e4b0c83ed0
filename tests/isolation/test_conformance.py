"""`hemsd conformance` in a house of four worlds: what it says of the kernel is so, and changes with it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.worlds import House

from hemsd.cli.exits import Exit
from hemsd.hub.messages import Health, MeterStatus

pytestmark = pytest.mark.needs("ip", "root", "mosquitto")


def verdicts(house: House) -> dict[str, dict[str, str]]:
    """By id, as a person on the machine is told."""
    config = str(house.socket.with_name("hemsd.toml"))
    command = ["ip", "netns", "exec", house.worlds.us.name, sys.executable, "-m", "hemsd", "conformance", "--json"]
    ran = subprocess.run([*command, "--config", config], capture_output=True, text=True, timeout=60)
    assert ran.returncode == Exit.NOT_MET, ran.stderr
    return {each["id"]: each for each in json.loads(ran.stdout)}


def failing(found: dict[str, dict[str, str]]) -> set[str]:
    return {number for number, each in found.items() if each["verdict"] == "fail"}


async def test_the_report_follows_the_kernel(house: House) -> None:
    """The broker in clear (R2) and the meter's IPv4 address (R51, D9) are found; forwarding, while it is on, too."""
    await house.hears(Health)
    await house.hears(MeterStatus, lambda status: status.online)
    before = verdicts(house)
    assert failing(before) == {"R2", "R51", "D9"}
    assert "nothing leads from home elsewhere" in before["R43"]["evidence"]
    assert "the daemon dropped" in before["R53"]["evidence"]
    house.worlds.forwarding(on=True)
    try:
        during = verdicts(house)
    finally:
        house.worlds.forwarding(on=False)
    assert failing(during) == {"R2", "R51", "D9", "R43", "R52"}
    assert "ip_forward" in during["R52"]["evidence"]
    assert failing(verdicts(house)) == failing(before)
