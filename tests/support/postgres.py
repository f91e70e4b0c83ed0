"""A real PostgreSQL in a directory of its own, reached over a socket there; nobody's when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WITHIN_S = 20.0


class Postgres:
    """A running server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, sql: str, user: str = "owner") -> list[list[str]]:
        """What statements, also COPY with its rows, give: text of each row's columns. Raises CalledProcessError."""
        said = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self._directory, "-U", user, "postgres"],
            input=sql,
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("|") for line in said.stdout.splitlines()]


def programs() -> Path | None:
    """Where Debian has the server, which is not in PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """An empty database, without the network and without writing to the disk in time."""
    if (place := programs()) is None:
        pytest.skip("needs the Debian package postgresql")
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    directory = Path(tempfile.mkdtemp(prefix="hemsd-postgres-"))
    os.chown(directory, account.pw_uid, account.pw_gid)
    as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        data = directory / "data"
        initdb = [
            place / "initdb",
            "-D",
            data,
            "-U",
            "owner",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--no-locale",
        ]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=directory, **as_user)  # type: ignore[call-overload]
        options = ["-c", "listen_addresses=", "-k", directory, "-c", "fsync=off", "-c", "timezone=Asia/Tokyo"]
        server = subprocess.Popen(
            [place / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd=directory, **as_user
        )
        try:
            _wait_for(server, Postgres(directory))
            yield Postgres(directory)
        finally:
            server.terminate()  # waits for no connection of ours: each was a command
            server.wait()
    finally:
        shutil.rmtree(directory)


def _wait_for(server: subprocess.Popen[bytes], made: Postgres) -> None:
    until = time.monotonic() + WITHIN_S
    while server.poll() is None and time.monotonic() < until:
        try:
            made.run("SELECT 1")
        except subprocess.CalledProcessError:
            time.sleep(0.05)
        else:
            return
    raise OSError("PostgreSQL does not start")
