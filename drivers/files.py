"""Small private files of this program: read within a bound, and replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o600


def read(path: Path, limit: int) -> bytes:
    """The content of a file of ours. Raises OSError, ValueError for one of more than `limit` bytes."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError("too large")
    return content


def replace(path: Path, content: bytes, *, mode: int = PRIVATE, owner: tuple[int, int] | None = None) -> None:
    """Write so that a power cut leaves the old content or the new. Slow: it waits for the disk.

    `owner` is a user and a group, by number; None: this process's. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(draft, "xb", opener=_open_private) as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, PRIVATE)
