"""The running daemon, asked over its operator socket without an event loop; hemsd.hub.protocol says how.

Built to start fast: the whole of `hemsd read` through a daemon takes a third of what importing a peer takes. So the
messages of the hub are plain objects here, as they stand on the line, and the socket is had without the module that
makes enumerations of all its constants.
"""

from __future__ import annotations

import json
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket

from hemsd import __version__
from hemsd.cli.exits import Exit, GaveUp
from hemsd.hub.protocol import LINE_MAX, mismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Told = dict[str, Any]  # a message: `type`, and its fields

GREETING_S = 5.0
PIECE = 64 * 1024  # bytes
BACK_S = 2.0  # between two looks for a daemon that is being restarted


class Gone(GaveUp):
    """The daemon ended the connection."""

    def __init__(self, text: str) -> None:
        super().__init__(Exit.TIMEOUT, text)


class Daemon:
    """A connection to the daemon that listens at `path`. Raises OSError where none does, and GaveUp."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._heard = bytearray()
        self._socket = socket(AF_UNIX, SOCK_STREAM)
        self._socket.settimeout(GREETING_S)
        try:
            self._socket.connect(path)
            greeting = self.next(time.monotonic() + GREETING_S) or {"type": ""}
        except BaseException:
            self._socket.close()
            raise
        if greeting["type"] != "Greeting":
            raise GaveUp(
                Exit.TIMEOUT,
                f"{path}: the daemon does not greet; it may hang: `systemctl restart hemsd.service`, or hemsd-single",
            )
        self.version: str = greeting["hemsd"]
        self.site: str = greeting.get("site", "")
        if other := mismatch(greeting["protocol"], self.version):
            raise GaveUp(Exit.USAGE, f"the daemon at {path} does not understand hemsd {__version__}: {other}")

    def send(self, message: Told) -> None:
        """Say a message of the hub. Raises Gone."""
        self._socket.settimeout(GREETING_S)
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Gone(f"the daemon at {self.path} is gone: {error}") from None

    def next(self, until: float) -> Told | None:
        """The next message, or None when it is `until` on the monotonic clock. Raises Gone."""
        while (end := self._heard.find(b"\n")) < 0 and len(self._heard) <= LINE_MAX:
            if (left_s := until - time.monotonic()) <= 0:
                return None
            self._socket.settimeout(left_s)
            try:
                piece = self._socket.recv(PIECE)
            except TimeoutError:
                return None
            except OSError as error:
                raise Gone(f"the daemon at {self.path} is gone: {error}") from None
            if not piece:
                raise Gone(f"the daemon at {self.path} is gone")
            self._heard += piece
        line = bytes(self._heard[: end + 1])
        del self._heard[: end + 1]
        try:
            told: Told = json.loads(line)
            kind = told["type"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise Gone(f"{self.path}: what answers there is no hemsd") from None
        if kind == "Closed":
            raise Gone(f"the daemon at {self.path} ended the connection: {told['why']}")
        return told

    def back(self, gone: Gone) -> Daemon:
        """Wait for a daemon to listen at the same place again, saying so on standard error, and give that one."""
        print(f"hemsd: {gone}; waiting for it to come back", file=sys.stderr)
        self._socket.close()
        while True:
            time.sleep(BACK_S)
            try:
                if (daemon := find([self.path])) is not None:
                    print("hemsd: the daemon is back", file=sys.stderr)
                    return daemon
            except GaveUp as error:
                print(f"hemsd: {error}", file=sys.stderr)


def find(places: Iterable[str]) -> Daemon | None:
    """The daemon at the first place where one listens, or None. Raises GaveUp where we may not ask."""
    for place in places:
        try:
            return Daemon(place)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError, Gone):
            continue
        except PermissionError:
            group = _group_of(place)
            join = f"run `sudo usermod -aG {group} $USER` and log in anew"
            raise GaveUp(
                Exit.PORT, f"{place}: you may not ask the daemon; {'only root may' if group == 'root' else join}"
            ) from None
        except OSError as error:
            raise GaveUp(Exit.TIMEOUT, f"{place}: the daemon cannot be asked: {error}") from None
    return None


def _group_of(path: str) -> str:
    """The name of the group that may open a socket."""
    from pathlib import Path

    try:
        return Path(path).group()
    except (OSError, KeyError):
        return "hemsd"
