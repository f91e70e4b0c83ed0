"""The sockets of the hub: where they are, and having them, from systemd or made here."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from hemsd.daemon.config import DaemonTable
from hemsd.daemon.operator import listen
from hemsd.daemon.places import SYSTEM_DIRECTORY, own_directory
from hemsd.hub.messages import Domain

FIRST_FD = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)

log = logging.getLogger(__name__)


class Listening(Struct, frozen=True):
    """A socket to listen at, and the file that it is. One that is not ours stays when we end: it is systemd's."""

    socket: socket.socket
    path: Path
    ours: bool = True

    def close(self) -> None:
        """Listen no more."""
        if self.ours:
            self.path.unlink(missing_ok=True)
        self.socket.close()


def name_of(domain: Domain) -> str:
    """The file of a domain's socket."""
    return f"{domain.value}.sock"


def find_hub_socket(domain: Domain, table: DaemonTable, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a process that is one domain finds the hub: beside the operator's socket."""
    if table.operator_socket:
        return Path(table.operator_socket).with_name(name_of(domain))
    return Path(own_directory(environ) or SYSTEM_DIRECTORY) / name_of(domain)


def handed_over(environ: Mapping[str, str] = os.environ) -> dict[str, Listening]:
    """The sockets that systemd listens at for this process, by the name of the domain (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = {}
    for number in range(int(environ.get("LISTEN_FDS", "0"))):
        name = names[number] if number < len(names) else "unknown"
        os.set_inheritable(FIRST_FD + number, False)
        given = socket.socket(fileno=FIRST_FD + number)
        if name in {domain.value for domain in Domain} and given.family == socket.AF_UNIX:
            found[name] = Listening(given, Path(given.getsockname()), ours=False)
        else:
            log.warning("systemd hands over a socket named %s, which hemsd does not know", name)
            given.close()
    return found


def make(path: Path, group: str | None = None, *, private: bool = False) -> Listening:
    """One of our own. Raises AlreadyRunning, StateError."""
    return Listening(listen(path, group, private=private), path)
