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
EXPOSURE = {ROUTEB: 4, HUB: 10, GATEWAY: 11, SINGLE: 13, "hemsd-firewall.service": 14}  # in tenths, as it is
GOAL = {ROUTEB: 10, HUB: 15, GATEWAY: 15}
EACH_MAY = {"read the configuration", "write its state"}
MAY: dict[str, set[str]] = {
    ROUTEB: {"open the module's tty", "read the meter's credential", "speak as the meter"},
    HUB: {"use IPv4", "use IPv6", "use netlink", "see an interface", "speak as the operator"},
    GATEWAY: {"use IPv4", "use IPv6", "see an interface", "read the broker's credential", "speak as the gateway"},
}
LOOSE = (  # what a unit must not say, and what could be done if it did
    (ROUTEB, "RestrictAddressFamilies=AF_INET", "use IPv4"),
    (ROUTEB, "PrivateNetwork=no", "see an interface"),
    (HUB, "SupplementaryGroups=hemsd-routeb\nPrivateDevices=no", "open the module's tty"),
    (HUB, "SupplementaryGroups=hemsd-gateway\nUser=hemsd-gateway", "speak as the gateway"),
    (GATEWAY, "NoExecPaths=", "execute a file it wrote"),
    (GATEWAY, "MemoryDenyWriteExecute=no", "execute memory it wrote"),
    (GATEWAY, "SystemCallFilter=userfaultfd", "watch memory faults"),
)
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
    three.run("mkdir", "/opt/state")
    freely = json.loads(three.run("env", "STATE_DIRECTORY=/opt/state", "/opt/hemsd/bin/python", "/opt/probe.py"))
    assert {name for name, done in freely.items() if not done and name not in probe.BY_CGROUP} == set()
    for unit in (HUB, GATEWAY, ROUTEB):
        if unit == ROUTEB:
            three.run("systemctl", "stop", ROUTEB)  # it has the tty for itself
        could = allowed(three.confined(unit, "/opt/probe.py"))
        assert could == MAY[unit] | EACH_MAY | {f"look into {OWN_STATE[unit]} state"}, unit
    for unit, line, attempt in LOOSE:  # so the check would find it
        assert attempt in allowed(three.confined(unit, "/opt/probe.py", line)), (unit, line)


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


def test_the_secrets_of_both_brokers_are_roots() -> None:
    """Each is handed to the gateway, in one process too, and may be missing; nobody but root can read the file."""
    units = Path(__file__).parents[2] / "systemd"
    for name in ("mqtt-password", "mqtt-key.pem", "provider-password", "provider-key.pem"):
        for unit in (GATEWAY, SINGLE):
            lines = f"LoadCredential={name}:/etc/hemsd/{name}\nSetCredential={name}:\\n\n"
            assert lines in (units / unit).read_text()
        assert re.search(rf"^z /etc/hemsd/{name} +0600 root root$", (units / "tmpfiles.conf").read_text(), re.M)
