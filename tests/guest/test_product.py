"""The whole product on a whole machine: installed from its wheel, its stick pulled out and put back, its power cut.

The tests are one story, in this order.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from support import probe
from support.guest import NEEDS, Guest
from support.machine import PROJECT
from support.service import GATEWAY, HUB, ROUTEB, SYSTEM, SimulatedMeter, sandbox

pytestmark = pytest.mark.needs("root", *NEEDS)

UNITS = (HUB, ROUTEB, GATEWAY)
HEMSD = "/opt/hemsd/bin/hemsd"
INSIDE = "PYTHONPATH=/mnt/host /opt/hemsd/bin/python /mnt/host/inside.py"
WRITING_S = 5.0  # before the power is cut; where in a write that is, is chance all the same
REFUSED = {  # what only cgroup v2 refuses: what each unit can do of it
    ROUTEB: set[str](),
    HUB: {"send within the house", "listen on UDP 3610"},
    GATEWAY: {"send within the house", "send to the Internet", "listen on TCP 9850"},
}
RECORDS = (
    "import sqlite3; db = sqlite3.connect('file:/var/lib/hemsd/history.db?mode=ro', uri=True);"
    "print(*db.execute('PRAGMA integrity_check').fetchone());"
    "print(*db.execute('SELECT sum(half_hours) FROM record').fetchone())"
)


def online(guest: Guest) -> bool:
    """Whether the unit of the meter tells a reading."""
    return guest.run(f"systemctl show --value -p StatusText {ROUTEB}").startswith("online, ")


def kept(guest: Guest) -> int:
    """Half-hours in an intact history."""
    integrity, half_hours = guest.run(f'/opt/hemsd/bin/python -c "{RECORDS}"').split()
    assert integrity == "ok"
    return int(half_hours)


def pids(guest: Guest) -> list[str]:
    """The main process of each unit."""
    return guest.run(f"systemctl show --value -p MainPID {' '.join(UNITS)}").split()


def test_it_is_installed_from_its_wheel_and_reads_the_meter(guest: Guest, installed: str) -> None:
    """The installer ends with a reading; the machine is well, and the module has its name and its group."""
    assert "hemsd is installed and reads the meter" in installed
    assert guest.run("systemctl is-system-running --wait") == "running"
    assert guest.run("stat -L -c '%G %a' /dev/hemsd-wisun") == "hemsd-routeb 660"


def test_what_only_a_whole_machine_enforces(guest: Guest, installed: str) -> None:
    """Addresses, ports and devices out of each unit's reach are refused it, and not a process without a sandbox."""
    shutil.copy(Path(probe.__file__), guest.share / "probe.py")
    guest.run(
        "cp /mnt/host/probe.py /opt/ && modprobe dummy && ip link add house type dummy && ip link set house up"
        " && ip address add 192.168.255.2/24 dev house && ip route add 198.51.100.0/24 dev house && modprobe tun"
    )
    for unit, may in REFUSED.items():
        text = sandbox(guest.run(f"cat /{SYSTEM}/{unit}"), "/opt/probe.py")
        (guest.share / "unit").write_text(text)
        name = f"probe-{unit}"
        guest.run(
            f"cp /mnt/host/unit /etc/systemd/system/{name} && systemctl daemon-reload && systemctl start {name}"
        )
        assert could(guest.run(f"journalctl --sync; journalctl -o cat --no-pager -u {name}")) == may, unit
    freely = could(guest.run("STATE_DIRECTORY=/root /opt/hemsd/bin/python /opt/probe.py"))
    assert freely == set(probe.BY_CGROUP)


def could(said: str) -> set[str]:
    """What a probe could do, of what only cgroup v2 refuses."""
    (line,) = (line for line in said.splitlines() if line.startswith("{"))
    return {name for name, done in json.loads(line).items() if done and name in probe.BY_CGROUP}


def test_a_stick_that_is_pulled_out_is_missed_and_taken_again(
    guest: Guest, installed: str, meter: SimulatedMeter
) -> None:
    """The same processes tell that the module is gone, and go on reading when it is put back."""
    before = pids(guest)
    guest.pull_out()
    guest.wait("sign that the module is missed", lambda: not online(guest))
    assert "trouble" in guest.run(f"{HEMSD} status --json", check=False)
    meter.forget_its_user()
    guest.plug_in()
    guest.wait("reading", lambda: online(guest))
    assert pids(guest) == before


def test_everything_is_there_after_a_power_cut(guest: Guest, installed: str, meter: SimulatedMeter) -> None:
    """The service is there by itself with its site and its history, each half-hour and event that was acknowledged
    while the power went is there once, and the stick is taken.
    """
    guest.run(f"{HEMSD} history backfill --days 3")
    guest.wait("history", lambda: kept(guest) > 48)
    site, before = guest.run("cat /var/lib/hemsd/site"), kept(guest)
    shutil.copytree(PROJECT / "hemsd", guest.share / "hemsd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests/guest/inside.py", guest.share)
    guest.run(f"nohup sh -c '{INSIDE} keep' >/mnt/host/kept.log 2>&1 &")
    acknowledged = guest.share / "acknowledged"
    guest.wait("row kept", lambda: acknowledged.exists() and acknowledged.stat().st_size > 0)
    time.sleep(WRITING_S)  # the load that is cut off
    guest.cut()
    meter.forget_its_user()
    guest.boot()
    assert guest.run("systemctl is-system-running --wait") == "running"
    assert "each once; integrity ok" in guest.run(f"{INSIDE} check")
    assert (guest.run("cat /var/lib/hemsd/site"), kept(guest) >= before) == (site, True)
    guest.plug_in()
    guest.wait("reading", lambda: online(guest))
