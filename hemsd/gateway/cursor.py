"""How far a broker has what history keeps: one private file for each broker, replaced as a whole.

A broker is the one at an address and port, as the client that we are to it: another client id has other rights there,
and perhaps other readers.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

SIZE_LIMIT = 4096  # bytes; a file above it is not ours

_log = logging.getLogger("hemsd.gateway")


class Cursor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything up to `seq` of this history is the broker's."""

    broker: str  # for a person who looks
    client_id: str
    history: str
    seq: int


class CursorFile:
    """The cursor of one broker in the state directory."""

    def __init__(self, state: Path, host: str, port: int, client_id: str) -> None:
        self.broker = f"{host}:{port}"
        self._client_id = client_id
        name = hashlib.sha256(f"{self.broker}\n{client_id}".encode()).hexdigest()[:12]
        self.path = state / f"broker-{name}.json"
        self._writing = threading.Lock()  # the last time is not in a thread

    def load(self) -> Cursor | None:
        """The cursor; None for a new broker, and where the file is of no use, which is logged."""
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.read(SIZE_LIMIT), type=Cursor)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # msgspec's DecodeError is a ValueError
            _log.warning("%s is damaged, or cannot be read (%s): %s is new to us", self.path, error, self.broker)
            return None

    def save(self, history: str, seq: int) -> None:
        """Replace it, so that a power cut leaves the old one or the new. Slow. Raises OSError."""
        cursor = Cursor(broker=self.broker, client_id=self._client_id, history=history, seq=seq)
        draft = self.path.with_name(f".{self.path.name}.new")
        with self._writing, open(draft, "wb", opener=_open_private) as file:
            file.write(msgspec.json.encode(cursor) + b"\n")
            file.flush()
            os.fsync(file.fileno())
            draft.replace(self.path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
