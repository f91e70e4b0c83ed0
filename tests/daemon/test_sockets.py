"""Where the sockets of the hub are, and what is taken of systemd's."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from hemsd.daemon import sockets
from hemsd.daemon.config import DaemonTable
from hemsd.daemon.instance import AlreadyRunning
from hemsd.daemon.sockets import find_hub_socket, handed_over, make
from hemsd.hub.messages import Domain


@pytest.mark.parametrize(
    ("table", "environ", "root", "place"),
    [
        (DaemonTable(operator_socket="/x/y.sock"), {"RUNTIME_DIRECTORY": "/run/a"}, False, "/x"),
        (DaemonTable(), {"RUNTIME_DIRECTORY": "/run/a:/run/b"}, False, "/run/a"),
        (DaemonTable(), {"XDG_RUNTIME_DIR": "/run/user/9"}, False, "/run/user/9/hemsd"),
        (DaemonTable(), {"XDG_RUNTIME_DIR": "/run/user/0"}, True, "/run/hemsd"),
        (DaemonTable(), {"STATE_DIRECTORY": "/var/lib/hemsd-routeb"}, False, "/run/hemsd"),
    ],
)
def test_a_part_finds_the_hub_beside_the_operators_socket(
    monkeypatch: pytest.MonkeyPatch, table: DaemonTable, environ: dict[str, str], root: bool, place: str
) -> None:
    """A unit of systemd needs no runtime directory of its own for that."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert find_hub_socket(Domain.ROUTEB, table, environ) == Path(place) / "routeb.sock"
    assert find_hub_socket(Domain.GATEWAY, table, environ) == Path(place) / "gateway.sock"


def test_a_private_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It is gone when we close it; a second one is refused."""
    path = tmp_path / "run/routeb.sock"
    made = make(path, private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(AlreadyRunning):
        make(path, private=True)
    made.close()
    assert not path.exists()


def test_what_was_meant_for_another_process_is_not_taken() -> None:
    """The variables of systemd are inherited by children (sd_listen_fds(3))."""
    assert handed_over({}) == {}
    assert handed_over({"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "operator:routeb:gateway"}) == {}


def test_sockets_are_taken_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are closed and told of, datagrams of the network too; closing ours leaves systemd's file."""
    given = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()]
    given[0].bind(str(tmp_path / "routeb.sock"))
    first = os.dup(given[0].fileno())
    numbers = [first]
    while len(numbers) < 3:  # they have to follow each other, as systemd's do
        os.dup2(given[len(numbers)].fileno(), first + len(numbers))
        numbers.append(first + len(numbers))
    monkeypatch.setattr(sockets, "FIRST_FD", first)
    names = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "routeb:gateway"}
    found = handed_over(names)
    assert {name: (each.path, each.ours) for name, each in found.items()} == {
        "routeb": (tmp_path / "routeb.sock", False)
    }
    assert not found["routeb"].socket.get_inheritable()
    assert [word for word in ("gateway", "unknown") if f"named {word}" in caplog.text] == ["gateway", "unknown"]
    found["routeb"].close()
    assert (tmp_path / "routeb.sock").exists()
    for each in given:
        each.close()
