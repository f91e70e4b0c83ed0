"""Frames for the tests of the ECHONET Lite room."""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

FRAMES = Path(__file__).parents[1] / "echonet" / "frames.txt"


def frames() -> dict[str, list[bytes]]:
    """The frames of frames.txt by category."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for line in FRAMES.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            category, digits = line.split()
            found[category].append(bytes.fromhex(digits.strip("-")))
    return dict(found)


def uecho_message() -> Any:
    """The codec of uecho."""
    _without_netifaces()
    from uecho.protocol.message import Message

    return Message


def uecho_properties() -> list[tuple[int, int, str, int]]:
    """Class, EPC, type and size of every property in uecho's table of the Appendix's prose."""
    _without_netifaces()
    from uecho.std.objects_scsl import get_all_std_scsl_objects

    listed = get_all_std_scsl_objects().values()
    return [
        (each.group_code << 8 | each.class_code, p.code, p.typ, p.size) for each in listed for p in each.properties
    ]


def _without_netifaces() -> None:
    """uecho's sockets want netifaces, which needs a compiler to install; its codec and tables do not."""
    if "netifaces" not in sys.modules and find_spec("netifaces") is None:
        sys.modules["netifaces"] = ModuleType("netifaces")
