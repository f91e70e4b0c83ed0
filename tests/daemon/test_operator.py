from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub import make

from hemsd.daemon import operator, sockets
from hemsd.daemon.config import DaemonTable
from hemsd.daemon.instance import AlreadyRunning
from hemsd.daemon.operator import Operator, find_operator_socket, listen
from hemsd.daemon.places import likely_sockets
from hemsd.daemon.state import StateError
from hemsd.hub.hub import Hub
from hemsd.hub.messages import Domain, Health, ReadMeter
from hemsd.hub.routes import ROUTES_6_4_3
from hemsd.hub.wire import connect

STATE = Path("/state")
NOBODY = 65534


@pytest.mark.parametrize(
    ("root", "environ", "place", "asked"),
    [
        (True, {}, "/run/hemsd", ["/run/hemsd"]),
        (True, {"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a", ["/run/a"]),
        (False, {"RUNTIME_DIRECTORY": "/run/a"}, "/run/a", ["/run/a"]),
        (False, {"XDG_RUNTIME_DIR": "/run/user/9"}, "/run/user/9/hemsd", ["/run/user/9/hemsd", "/run/hemsd"]),
        (True, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/hemsd", ["/run/hemsd"]),
        (False, {}, "/state", ["/run/hemsd"]),
    ],
)
def test_the_place_of_the_socket(
    monkeypatch: pytest.MonkeyPatch, root: bool, environ: dict[str, str], place: str, asked: list[str]
) -> None:
    """Where a daemon puts it, and where a command looks before it reads any configuration."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert find_operator_socket(DaemonTable(), STATE, environ) == Path(place) / "operator.sock"
    assert likely_sockets(environ) == [f"{directory}/operator.sock" for directory in asked]
    assert find_operator_socket(DaemonTable(operator_socket="/x/y"), STATE, environ) == Path("/x/y")


def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    """A live one is not: its pid and place are told."""
    path = tmp_path / "run/operator.sock"
    listen(path).close()
    assert path.is_socket()
    with listen(path):
        with pytest.raises(AlreadyRunning) as caught:
            listen(path)
        assert f"pid {os.getpid()}, socket {path}" in str(caught.value)
        assert [file.name for file in path.parent.iterdir()] == ["operator.sock"]


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A mistake in [daemon] operator_socket costs nobody what stands there."""
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(StateError, match=r"no socket.*operator_socket"):
        listen(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("path", ["/proc/none/operator.sock", f"/tmp/{'x' * 200}.sock"])
def test_a_place_that_cannot_be_had_is_told(path: str) -> None:
    """No permission, or a path too long for the kernel."""
    with pytest.raises(StateError, match=r"cannot be made: .*\[daemon\] operator_socket"):
        listen(Path(path))


def test_a_configured_group_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """Nothing is left of the attempt."""
    with pytest.raises(StateError, match="group nosuchgroup cannot be let in: there is no such group"):
        listen(tmp_path / "operator.sock", "nosuchgroup")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.needs("root")
def test_who_is_in_the_group_may_ask_and_nobody_else(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket admits its owner and one group: hemsd where no other is named; without it the owner's own."""
    path = public / "operator.sock"
    users, games = (grp.getgrnam(name).gr_gid for name in ("users", "games"))
    assert operator.DEFAULT_GROUP == "hemsd"
    monkeypatch.setattr(operator, "DEFAULT_GROUP", "users")  # which is there on every machine
    with listen(path):
        about = path.stat()
        assert (stat.S_IMODE(about.st_mode), about.st_gid) == (0o660, users)
        assert connects(path, groups=[users])
        assert not connects(path, groups=[])
    with listen(path, "games"):
        assert connects(path, groups=[games])
        assert not connects(path, groups=[users])
    monkeypatch.setattr(operator, "DEFAULT_GROUP", "nosuchgroup")
    with listen(path):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o660, os.getegid())
        assert not connects(path, groups=[users])


def connects(path: Path, groups: list[int]) -> bool:
    """Whether a plain user in these groups can connect."""
    child = os.fork()
    if not child:
        code = 9
        try:
            os.setgroups(groups)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(path))
            code = 0
        except PermissionError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return code == 0


async def test_denials_and_losses_are_told_to_everyone_who_connects(tmp_path: Path) -> None:
    """As the health of `operator`, counted by message and domain; the socket is gone in the end."""
    hub, path = Hub(ROUTES_6_4_3), tmp_path / "operator.sock"
    listening = sockets.make(path)
    operator = Operator(hub, listening.socket)
    running = asyncio.create_task(operator.run())
    async with asyncio.timeout(10):
        async with connect(str(path)) as seat:
            assert await health(seat) == (True, {})
        gateway = hub.seat(Domain.GATEWAY)
        for _ in range(2):
            gateway.publish(make(ReadMeter, Domain.GATEWAY, Domain.ROUTEB))
        async with connect(str(path)) as seat:
            assert await health(seat) == (False, {"denied: ReadMeter from gateway": 2})
        running.cancel()
        await asyncio.wait([running])
    listening.close()
    assert not path.exists()


async def health(seat: object) -> tuple[bool, dict[str, int]]:
    async for message in seat.messages():  # type: ignore[attr-defined]
        if isinstance(message, Health):
            return message.ok, message.counters
    raise AssertionError
