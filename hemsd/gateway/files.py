"""What the gateway keeps on disk for a broker: small files, replaced as a whole, in a directory of their own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from drivers import files
from hemsd.gateway.config import LinkConfig

SIZE_LIMIT = 1 << 20  # bytes; a file above it is not ours


def place(state: Path, name: str, config: LinkConfig) -> Path:
    """The file of that name for this broker: another broker knows nothing of what this one was told."""
    broker = hashlib.sha256(f"{config.host}:{config.port}".encode()).hexdigest()[:8]
    return state / "gateway" / f"{name}-{broker}.json"


def read(path: Path) -> bytes:
    """The content of one. Raises OSError, ValueError for one that is too large."""
    return files.read(path, SIZE_LIMIT)


def replace(path: Path, content: bytes) -> None:
    """Write one, as drivers.files does; makes the directory. Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files.replace(path, content)
