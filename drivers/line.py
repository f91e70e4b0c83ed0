"""How a serial line is set."""

from __future__ import annotations

from typing import final

from msgspec import Struct


@final
class Line(Struct, frozen=True):
    """How the serial line is set (always 8N1); baud rate and RTS/CTS may be stored in a module's flash."""

    baudrate: int = 115200
    rtscts: bool = False
