"""How far a broker has what history keeps: one small file for each broker and each name that we have there.

Another client id has other rights at the broker, and perhaps other readers.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from hemsd.gateway.config import LinkConfig
from hemsd.gateway.files import place, read, replace

_log = logging.getLogger("hemsd.gateway")


class Cursor(Struct, frozen=True, kw_only=True):
    """The broker has everything up to `seq` of this history."""

    broker: str  # for a person who looks
    client_id: str
    history: str
    seq: int


class CursorFile:
    """The cursor of one broker in the state directory."""

    def __init__(self, state: Path, config: LinkConfig, client_id: str) -> None:
        self.path = place(state, f"cursor-{client_id}", config)
        self.broker = f"{config.host}:{config.port}"
        self._client_id = client_id
        self._writing = threading.Lock()  # the last time is not in a thread

    def load(self) -> Cursor | None:
        """The cursor; None for a new broker, and where the file is of no use, which is logged."""
        try:
            return msgspec.json.decode(read(self.path), type=Cursor)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # msgspec's DecodeError is a ValueError
            _log.warning("%s is damaged, or cannot be read (%s): %s is new to us", self.path, error, self.broker)
            return None

    def save(self, history: str, seq: int) -> None:
        """Replace it; a power cut leaves the old one or the new. Slow, may run in a thread. Raises OSError."""
        cursor = Cursor(broker=self.broker, client_id=self._client_id, history=history, seq=seq)
        with self._writing:
            replace(self.path, msgspec.json.encode(cursor) + b"\n")
