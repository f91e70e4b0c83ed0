"""What a house in virtual time shows of our air time: ``PYTHONPATH=tests python -m tests.benchmarks.by_house``."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.airtime import one_read_a_second, slow_meter
from support.clock import run

HOURS = 24


def main() -> None:
    """Tell the seconds of transmission in an hour at one read a second, and repetitions to a slow meter."""
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        fast = run(one_read_a_second(Path(directory) / "fast", patch, HOURS))
        slow = run(slow_meter(Path(directory) / "slow", patch, HOURS))
    told = {
        "readings": fast.readings,
        "ledger_s": fast.ledger_s,
        "module_s": fast.module_s,
        "limited": fast.limited,
        "requests": slow.requests,
        "repeated": slow.repeated,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
