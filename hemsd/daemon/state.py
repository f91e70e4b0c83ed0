"""The state directory, readable by nobody else, and the name of this home that is kept there."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from drivers.files import replace

SYSTEM_DIRECTORY = Path("/var/lib/hemsd")
SITE_FILE = "site"
READ_ONLY = "the disk is mounted read-only; remount it, or set [daemon] state_directory to another place"


class StateError(Exception):
    """The state directory cannot be used; the text says what to do."""


class ReadOnly(StateError):
    """The disk that the state directory is on is mounted read-only."""


def find_state_directory(
    configured: str | None = None, environ: Mapping[str, str] = os.environ, *, suffix: str = ""
) -> Path:
    """As configured, else what systemd provides, else /var/lib/hemsd, or a plain user's own (XDG).

    A `suffix` makes it one beside that, for another process with another user; what systemd provides is its own.
    """
    if not configured and (provided := environ.get("STATE_DIRECTORY")):
        return Path(provided.split(":")[0])
    home = environ.get("HOME", "/nonexistent")
    own = Path(environ.get("XDG_STATE_HOME") or f"{home}/.local/state") / "hemsd"
    path = Path(configured) if configured else SYSTEM_DIRECTORY if os.geteuid() == 0 else own
    return path.with_name(path.name + suffix)


def prepare(path: Path) -> Path:
    """Create the directory with mode 0700 where there is none, and inspect() it. Raises StateError.

    A disk that has become read-only is no reason not to start: history tells of it, and readings go on.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explained(path, error) from error
    with contextlib.suppress(ReadOnly):
        inspect(path)
    return path


def inspect(path: Path) -> None:
    """Check that the directory is private and can be written. Raises StateError, ReadOnly.

    A directory that others may enter is refused, not changed: it may be there for something else.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise explained(path, error) from error
    if mode & 0o077:
        raise StateError(f"{path}: others may look into it (mode {mode:04o}); run: chmod 700 {path}")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise ReadOnly(f"{path}: {READ_ONLY}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError(f"{path}: it cannot be written by this user; make it belong to the user hemsd runs as")


def site_id(directory: Path) -> str:
    """The random name of this home, made on first use and kept. Raises StateError."""
    path = directory / SITE_FILE
    try:
        name = path.read_text("ascii").strip()
    except FileNotFoundError:
        name = "home-" + base64.b32encode(secrets.token_bytes(5)).decode().lower()
        write_atomically(path, f"{name}\n".encode())
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: cannot be read: {error}") from error
    if not re.fullmatch("[a-z0-9-]{1,64}", name):
        raise StateError(f"{path}: this is not a site id (a-z, 0-9, hyphen); delete the file to get a new one")
    return name


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as drivers.files does. Raises StateError."""
    try:
        replace(path, content)
    except OSError as error:
        raise explained(path, error) from error


def explained(path: Path, error: OSError) -> StateError:
    """What to do about a failure at a place of ours."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            text = "the disk is full; make room on it"
        case errno.EROFS:
            text = READ_ONLY
        case errno.EACCES | errno.EPERM:
            text = "no permission; make it belong to the user hemsd runs as, or set [daemon] state_directory"
        case errno.ELOOP:
            text = "this is a link, which is not followed here; take it away"
        case errno.ENOTDIR | errno.EEXIST:
            text = "a file stands where a directory is needed"
        case _:
            text = (error.strerror or str(error)).lower()
    return StateError(f"{path}: {text}")
