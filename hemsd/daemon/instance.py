"""There is one daemon for each state directory and for each meter (ITU-T G.9958 I.2(3)); a second one is told of it.

What holds a place is given back by the kernel whenever a process ends, so nothing stale can be left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from hemsd.daemon.config import MeterTable
from hemsd.daemon.state import explained

LOCK_FILE = "lock"
MACHINE_ID = Path("/etc/machine-id")
PROBE_S = 1.0
_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


class AlreadyRunning(Exception):
    """Another daemon has this place; the text names it and says what to do."""

    def __init__(self, what: str, pid: int | None, path: str = "") -> None:
        who = ", ".join(text for text in (f"pid {pid}" if pid else "", path and f"socket {path}") if text)
        super().__init__(
            f"hemsd is already running {what}{f' ({who})' if who else ''}: `hemsd status` and `hemsd read` ask it; "
            "end it first to start another one (sudo systemctl stop hemsd.target hemsd-single.service)"
        )


def claim_state(directory: Path, operator_socket: Path) -> IO[str]:
    """Hold a state directory until the file that is returned is closed. Raises AlreadyRunning, StateError.

    A disk that is full or has become read-only is no hindrance.
    """
    path = directory / LOCK_FILE
    try:
        file = open(path, "a+", opener=_open_private)  # noqa: SIM115 - it is held, not read
    except OSError as error:
        raise explained(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        told = file.read(20).strip()
        file.close()
        reached = str(operator_socket) if operator_socket.exists() else ""
        raise AlreadyRunning("here", int(told) if told.isdigit() else None, reached) from None
    with suppress(OSError):  # without room for it a second one does not hear our pid
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
    return file


def _open_private(path: str, flags: int) -> int:
    also = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags | also, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS or not Path(path).exists():
            raise
        return os.open(path, os.O_RDONLY | also)  # it is there, and can be locked all the same


def meter_key(settings: MeterTable, environ: Mapping[str, str] = os.environ) -> str:
    """What tells the configured meter from others: its Route B ID, or its interface. Raises CredentialsError."""
    if settings.interface is not None:
        return f"interface {settings.interface}"
    from hemsd.daemon.credentials import find_credentials, load_credentials

    return load_credentials(find_credentials(settings.credentials, environ), environ).id


def claim_meter(key: str) -> socket.socket:
    """Hold the meter of this key, on this machine, until the socket is closed. Raises AlreadyRunning.

    Abstract addresses belong to a network namespace. A process with one of its own, as the meter's unit has, is seen
    by nobody outside of it: there its port, which it holds for itself alone, tells that there is another one.
    """
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(_name(key))
        held.listen(1)
    except OSError:
        held.close()
        raise AlreadyRunning("for this meter", holder_of(key)) from None
    return held


class MeterClaim:
    """Our hold on the configured meter: from the moment that it can be told which one that is."""

    def __init__(self, settings: MeterTable, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._held: tuple[str, socket.socket] | None = None

    def hold(self) -> None:
        """The meter is ours from now on, or was already. Raises CredentialsError, AlreadyRunning."""
        key = meter_key(self._settings, self._environ)
        if self._held is None or self._held[0] != key:
            self.release()
            self._held = key, claim_meter(key)

    def release(self) -> None:
        """It is free for others. Safe to call twice."""
        if self._held is not None:
            self._held[1].close()
            self._held = None


def holder_of(key: str) -> int | None:
    """The daemon that holds the meter: its pid, 0 where the kernel does not tell; None where there is none."""
    return listener_at(_name(key))


def listener_at(address: str | bytes) -> int | None:
    """Who listens at the address of a Unix socket: the pid, 0 where the kernel does not tell; None where nobody does.

    Raises OSError where that cannot be found out.
    """
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PROBE_S)
        try:
            asking.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except BlockingIOError:  # there, and asked too often
            return 0
        pid: int = _UCRED.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0]
        return pid


def _name(key: str) -> bytes:
    """An abstract address that anybody may see: it takes unreasonable effort to find a Route B ID from it."""
    import hashlib

    salt = b"hemsd"
    with suppress(OSError):
        salt = MACHINE_ID.read_bytes()
    return b"\0hemsd-meter-" + hashlib.scrypt(key.encode(), salt=salt, n=4096, r=8, p=1).hex()[:32].encode()
