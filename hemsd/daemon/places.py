"""Where a running daemon can be reached, and programs found; imports next to nothing, for quick commands."""

from __future__ import annotations

import os

from hemsd.hub.protocol import OPERATOR_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_DIRECTORY = "/run/hemsd"


def own_directory(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where a daemon of this user has its socket: what systemd provides, else /run/hemsd for root, else the user's.

    None where a plain user has no place for such things; then it is in the state directory.
    """
    if provided := environ.get("RUNTIME_DIRECTORY"):
        return provided.split(":")[0]
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY
    own = environ.get("XDG_RUNTIME_DIR")
    return f"{own}/hemsd" if own else None


def likely_sockets(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The sockets that a command may find a daemon at without reading a configuration: this user's, the system's."""
    own = own_directory(environ)
    alone = "RUNTIME_DIRECTORY" in environ
    directories = [own] if own == SYSTEM_DIRECTORY or alone else [own, SYSTEM_DIRECTORY]
    return [f"{directory}/{OPERATOR_SOCKET}" for directory in directories if directory]


def system_path(environ: Mapping[str, str] = os.environ) -> str:
    """The caller's own PATH, and then where the programs of root are, whatever that is."""
    return f"{environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
