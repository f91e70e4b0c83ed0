"""The power of a whole machine is cut while it writes history: what was acknowledged is there, once."""

from __future__ import annotations

import shutil
import time

import pytest
from support.guest import NEEDS, Guest
from support.machine import PROJECT

pytestmark = pytest.mark.needs("root", *NEEDS)

WRITING_S = 5.0
"""How long it writes before the cut; where in a write that is, is chance all the same."""

INSIDE = "PYTHONPATH=/mnt/host /opt/hemsd/bin/python /mnt/host/inside.py"


def test_what_was_acknowledged_survives_a_power_cut(guest: Guest) -> None:
    """Every half-hour and event that was acknowledged before the power went is there once after it is back."""
    shutil.copytree(PROJECT / "hemsd", guest.share / "hemsd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests/guest/inside.py", guest.share)
    guest.run(f"nohup sh -c '{INSIDE} keep' >/mnt/host/kept.log 2>&1 &")
    acknowledged = guest.share / "acknowledged"
    guest.wait("row kept", lambda: acknowledged.exists() and acknowledged.stat().st_size > 0)
    time.sleep(WRITING_S)  # the load that is cut off
    guest.cut()
    guest.boot()
    assert "each once; integrity ok" in guest.run(f"{INSIDE} check")
