"""The operator socket: where the command line reaches the hub of the running daemon."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from hemsd.daemon.config import DaemonTable
from hemsd.daemon.instance import AlreadyRunning, listener_at
from hemsd.daemon.places import own_directory
from hemsd.daemon.state import StateError
from hemsd.hub.hub import Hub, say
from hemsd.hub.messages import Domain, Health
from hemsd.hub.protocol import OPERATOR_SOCKET
from hemsd.hub.wire import Server

MODE, PRIVATE_MODE = 0o660, 0o600
DIRECTORY_MODE = 0o755  # who may connect is said by the socket itself
DEFAULT_GROUP = "hemsd"  # of systemd/sysusers.conf
HEALTH_S = 60.0
BACKLOG = 16

log = logging.getLogger(__name__)


def find_operator_socket(table: DaemonTable, state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """As configured, else in the runtime directory of this user, else in the state directory."""
    if table.operator_socket:
        return Path(table.operator_socket)
    return Path(own_directory(environ) or state) / OPERATOR_SOCKET


def listen(path: Path, group: str | None = None, *, private: bool = False) -> socket.socket:
    """Listen at `path`, for its owner and a group; a socket that a dead daemon left is replaced.

    Without a group named it is `hemsd`, where that can be set; a private one is for its owner alone. Raises
    AlreadyRunning, StateError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    listening = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if (pid := listener_at(str(path))) is not None:
            raise AlreadyRunning("here", pid, str(path))
        if path.exists() and not path.is_socket():
            raise StateError(f"{path}: this is no socket, so it is left alone; see [daemon] operator_socket")
        draft.unlink(missing_ok=True)
        listening.bind(str(draft))  # nobody looks for it there
        if private:
            draft.chmod(PRIVATE_MODE)
        else:
            _admit(draft, group)
        listening.listen(BACKLOG)
        draft.rename(path)
    except OSError as error:
        listening.close()
        raise StateError(
            f"{path}: cannot be made: {error.strerror or error}; see [daemon] operator_socket"
        ) from error
    except BaseException:
        listening.close()
        raise
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return listening


def _admit(path: Path, group: str | None) -> None:
    """Let the group in. Raises StateError where one that was configured cannot be."""
    try:
        gid = grp.getgrnam(group or DEFAULT_GROUP).gr_gid
        if path.stat().st_gid != gid:
            os.chown(path, -1, gid)
    except (KeyError, OSError) as error:
        if group:
            why = "there is no such group" if isinstance(error, KeyError) else error.strerror
            raise StateError(
                f"{path.parent}: group {group} cannot be let in: {why}; see [daemon] operator_group"
            ) from None
    path.chmod(MODE)


class Operator:
    """Serves the command line on a listening socket, and tells the house how hub and socket are doing."""

    def __init__(self, hub: Hub, listening: socket.socket, *, site: str = "") -> None:
        self._hub = hub
        self._server = Server(hub, Domain.OPERATOR, listening, site=site, on_peer=self._tell)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(), name="operator socket")
            tasks.create_task(self._beat(), name="operator health")

    async def _beat(self) -> None:
        while True:
            self._tell()
            await asyncio.sleep(HEALTH_S)

    def _tell(self) -> None:
        denied = {f"denied: {each.message} from {each.sender.value}": n for each, n in self._hub.denied.items()}
        lost = {f"lost: {each.message} to {each.to.value}": n for each, n in self._hub.lost.items()}
        refused = {f"refused: {why}": n for why, n in self._server.refused.items()}
        detail = "messages were denied or lost" if denied or lost else ""
        counters = {**denied, **lost, **refused}
        health = Health(at=datetime.now(UTC), source=Domain.OPERATOR, ok=not detail, detail=detail, counters=counters)
        say(self._hub, Domain.OPERATOR, health)
