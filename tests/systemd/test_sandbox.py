"""What each unit of hemsd may do on a real systemd, and what it may not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support import probe
from support.netns import run
from support.service import GATEWAY, HUB, ROUTEB, SINGLE, SYSTEM, House

pytestmark = pytest.mark.needs("root", "systemd-nspawn", "mmdebstrap", "ip")

PROBE = Path(probe.__file__)
EXPOSURE = {ROUTEB: 4, HUB: 10, GATEWAY: 11, SINGLE: 13, "hemsd-firewall.service": 25}  # in tenths, as it is
GOAL = {ROUTEB: 10, HUB: 15, GATEWAY: 15}
EACH_MAY = {"read the configuration", "write its state"}
MAY: dict[str, set[str]] = {
    ROUTEB: {"open the module's tty", "read the meter's credential", "speak as the meter"},
    HUB: {"use IPv4", "use IPv6", "use netlink", "see an interface", "speak as the operator"},
    GATEWAY: {"use IPv4", "use IPv6", "see an interface", "read the broker's credential", "speak as the gateway"},
}
OWN_STATE = {ROUTEB: "the meter's", HUB: "the hub's", GATEWAY: "the gateway's"}


def test_the_units_are_valid_and_closed(house: House) -> None:
    """systemd finds nothing to say about any of them, and rates the exposure of each at what it is or better."""
    units = [f"/{SYSTEM}/{path.name}" for path in sorted((house.root / SYSTEM).iterdir())]
    assert len(units) == 10
    assert house.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *units) == ""
    assert all(EXPOSURE[unit] <= GOAL[unit] for unit in GOAL)
    for unit, limit in EXPOSURE.items():
        rated = ("--offline=yes", f"--threshold={limit}", "--no-pager", f"/{SYSTEM}/{unit}")
        house.run("systemd-analyze", "security", *rated)


def test_the_sandboxes_hold(three: House) -> None:
    """Each unit can do what it needs and nothing else; outside of the sandboxes all of it can be done."""
    shutil.copy(PROBE, three.root / "opt/probe.py")
    run(*f"nsenter -t {three.init} -n ip link add one type veth peer name other".split())
    three.start()
    three.wait_online(ROUTEB)
    could = {unit: allowed(three.confined(unit, "/opt/probe.py")) for unit in MAY}
    for unit, may in MAY.items():
        assert could[unit] == may | EACH_MAY | {f"look into {OWN_STATE[unit]} state"}, unit
    three.run("mkdir", "/opt/state")
    freely = json.loads(three.run("env", "STATE_DIRECTORY=/opt/state", "/opt/hemsd/bin/python", "/opt/probe.py"))
    assert {name for name, done in freely.items() if not done and name not in probe.BY_CGROUP} == set()


def allowed(journal: str) -> set[str]:
    """What a probe could do, of what a container can forbid."""
    (line,) = (line for line in journal.splitlines() if line.startswith("{"))
    return {name for name, done in json.loads(line).items() if done and name not in probe.BY_CGROUP}


def test_the_sandbox_is_the_same_in_each_unit() -> None:
    """The part that is about the machine and not about one world is word for word the same everywhere."""
    units = Path(__file__).parents[2] / "systemd"
    common = re.compile(r"# Everything else of the machine.*?(?=\n\n|\n\Z)", re.DOTALL)
    parts = {common.search((units / unit).read_text()).group() for unit in (*MAY, SINGLE)}  # type: ignore[union-attr]
    assert len(parts) == 1
