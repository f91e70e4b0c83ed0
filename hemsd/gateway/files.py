"""What the gateway keeps on disk for a broker: small files, replaced as a whole, in a directory of their own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hemsd.gateway.config import BrokerConfig

SIZE_LIMIT = 1 << 20  # bytes; a file above it is not ours


def place(state: Path, name: str, config: BrokerConfig) -> Path:
    """The file of that name for this broker: another broker knows nothing of what this one was told."""
    broker = hashlib.sha256(f"{config.host}:{config.port}".encode()).hexdigest()[:8]
    return state / "gateway" / f"{name}-{broker}.json"


def read(path: Path) -> bytes:
    """The content of a file of ours. Raises OSError, ValueError for one that is too large."""
    with path.open("rb") as file:
        content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise ValueError("too large")
    return content


def replace(path: Path, content: bytes) -> None:
    """Write so that a power cut leaves the old content or the new. Slow. Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with open(draft, "wb", opener=_open_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
