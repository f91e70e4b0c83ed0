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
    """The codec of uecho. Its sockets want netifaces, which needs a compiler to install; the codec does not."""
    if "netifaces" not in sys.modules and find_spec("netifaces") is None:
        sys.modules["netifaces"] = ModuleType("netifaces")
    from uecho.protocol.message import Message

    return Message
