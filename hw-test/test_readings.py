"""Published captures of real meters, read to the end: the values each must give, as their authors state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.anymodule import AnyModule
from drivers.module import ECHONET_PORT, Datagram
from drivers.transcript import read_published
from hemsd.echonet.describe import describe_frame
from hemsd.echonet.frame import decode

TRANSCRIPTS = Path(__file__).parent / "transcripts"

# By property, its value as told outside; None where the meter refused. Energies are counts of its register.
READINGS: dict[str, dict[str, Any]] = {
    "01-rs-wsuha-p-dual-stack-full-join.txt": {"D5": ["028801"]},
    "02-echo-interleaved-with-scheduled-inf.txt": {
        "EA": {"at": "2023-12-19T00:30:00", "energy": 17806},
        "EB": {"at": "2023-12-19T00:30:00", "energy": 21},
        "E7": 228,
    },
    "03-bp35a1-single-hop-property-zoo.txt": {
        "D5": ["028801"],
        "D3": 1,
        "D7": 6,
        "E0": 65139,
        "E7": 632,
        "E8": {"r": 3.0, "t": 5.0},
        "EA": {"at": "2026-05-20T14:00:00", "energy": 65128},
        "EB": {"at": "2026-05-24T22:30:00", "energy": 22},
        "80": True,
        "81": "61",
        "82": "F",
        "83": None,
        "88": False,
        "8A": "000016",
        "8D": "F00000000000",
        "97": "14:26:00",
        "98": "2026-05-20",
        "9C": None,
        "9D": ["80", "81", "88"],
        "9E": ["81", "E5", "ED"],
        "9F": (
            "80 81 82 88 8A 8D 97 98 9D 9E 9F D3 D7 E0 E1 E2 E3 E4 E5 E7 E8 EA EB EC ED".split()  # noqa: SIM905
        ),
    },
    "09-multi-property-get-res.txt": {
        "E7": 1374,
        "E8": {"r": 0.0, "t": 13.0},
        "E0": 336213,
        "9E": ["81", "E5", "ED"],
    },
    "11-bp35c2-binary-mode-pana-and-get.txt": {"E7": 504},
    "13-j11-binary-frames-vendor-log.txt": {
        "EA": {"at": "2018-10-02T14:30:00", "energy": 226223},
        "EB": {"at": "2018-10-02T14:30:00", "energy": 92786},
    },
}


def read(name: str) -> dict[str, Any]:
    """Every property of every ECHONET Lite datagram in a capture, decoded."""
    engine = AnyModule()
    engine.receive(read_published((TRANSCRIPTS / name).read_text()).received, 0.0)
    told: dict[str, Any] = {}
    for event in engine.events():
        if isinstance(event, Datagram) and event.port == ECHONET_PORT:
            for each in describe_frame(decode(event.payload))["properties"]:
                told[each["epc"]] = each.get("value")
    return told


@pytest.mark.parametrize(("name", "expected"), READINGS.items(), ids=[name[:2] for name in READINGS])
def test_a_capture_gives_its_readings(name: str, expected: dict[str, Any]) -> None:
    """Bytes of a real module in, values with their names out."""
    told = read(name)
    told.pop("E2", None)
    assert told == expected


def test_a_day_of_history_is_read_in_full() -> None:
    """Capture 03: day 11, 48 registers that never fall."""
    day = read("03-bp35a1-single-hop-property-zoo.txt")["E2"]
    assert day["day"] == 11
    assert (len(day["energy"]), day["energy"][0], day["energy"][-1]) == (48, 63334, 63414)
    assert day["energy"] == sorted(day["energy"])
