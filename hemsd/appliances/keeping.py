"""What is kept on disk of a network: one private file, replaced as a whole; and the number that our node goes by."""

from __future__ import annotations

import logging
import secrets
import threading
from pathlib import Path

import msgspec

from drivers.files import read, replace

UNIQUE_FILE = "node"
UNIQUE_SIZE = 13  # bytes of an identification number that its maker is free in (EPC 83)
SIZE_LIMIT = 8 << 20  # bytes; a file above it is not ours

log = logging.getLogger(__name__)


class Keeping:
    """The file of one network in the state directory. Trouble with the disk is logged; a network lives without."""

    def __init__(self, state: Path, network: str) -> None:
        self._path = state / f"appliances-{network}.json"
        self._written = b""  # what is in it, as far as known
        self._trouble = ""
        self._writing = threading.Lock()  # the last time is not in a thread

    def load(self) -> object:
        """What was kept, as plain data; None where there is nothing, or nothing that can be understood."""
        try:
            content = read(self._path, SIZE_LIMIT)
            kept: object = msgspec.json.decode(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # msgspec's DecodeError is a ValueError
            log.warning("%s is damaged, or cannot be read (%s): appliances will be found anew", self._path, error)
            return None
        self._written = content
        return kept

    def draft(self, plain: object) -> bytes | None:
        """What there is to be written; None where the file has it already."""
        content = msgspec.json.encode(plain)
        return None if content == self._written else content

    def write(self, content: bytes) -> None:
        """Replace the file, so that a power cut leaves the old content or the new. Slow; may run in a thread."""
        with self._writing:
            try:
                replace(self._path, content)
            except OSError as error:
                if (trouble := error.strerror or str(error)) != self._trouble:
                    log.warning("%s cannot be written: %s; appliances will be found anew", self._path, trouble)
                self._trouble = trouble
            else:
                self._written, self._trouble = content, ""


def unique_number(state: Path) -> bytes:
    """The part of our identification number that no other node has: random, made on first use and kept. 13 bytes."""
    path = state / UNIQUE_FILE
    try:
        number = bytes.fromhex(read(path, SIZE_LIMIT).decode("ascii"))
    except (OSError, ValueError):
        number = b""
    if len(number) == UNIQUE_SIZE:
        return number
    number = secrets.token_bytes(UNIQUE_SIZE)
    try:
        replace(path, f"{number.hex()}\n".encode())
    except OSError as error:
        log.warning("%s cannot be written: %s; appliances will take us for another controller", path, error.strerror)
    return number
