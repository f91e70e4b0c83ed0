"""Who reaches a TCP socket: those on the link whose address it listens at, and nobody on another one."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest
from support.netns import Street, street

from drivers import tcp
from drivers.tcp import holder_of, listen

LAN, APPLIANCES = ("192.0.2.1", "192.0.2.2"), ("198.51.100.1", "198.51.100.2")  # home, and the other


def reached(built: Street, server: socket.socket, interface: str) -> bool:
    """Whether the other host gets to the server's LAN address by this link."""
    with built.grid.entered(), socket.socket() as client:
        client.settimeout(0.5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        try:
            client.connect((LAN[0], server.getsockname()[1]))
        except OSError:
            return False
        server.accept()[0].close()
        return True


@pytest.mark.needs("ip", "root")
def test_only_its_own_link_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An appliance that sends to the LAN's address by its own link gets no connection; control: unpinned it does."""
    with street() as built:
        built.join("lan")
        for name, addresses in (("lan", LAN), ("wl", APPLIANCES)):
            for host, address in zip((built.home, built.grid), addresses, strict=True):
                host.ip("address", "add", f"{address}/24", "dev", name)
        built.grid.ip("route", "add", LAN[0], "via", APPLIANCES[0], "dev", "wl", "metric", "50")
        assert (holder_of(LAN[0]), holder_of(APPLIANCES[0]), holder_of("192.0.2.9")) == ("lan", "wl", None)
        with closing(listen(LAN[0], 0)) as server:
            assert [reached(built, server, name) for name in ("lan", "wl")] == [True, False]
        monkeypatch.setattr(tcp, "holder_of", lambda _: None)
        with closing(listen(LAN[0], 0)) as server:
            assert [reached(built, server, name) for name in ("lan", "wl")] == [True, True]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback(address: str) -> None:
    """This machine's own, by any of its loopback addresses."""
    assert holder_of(address) == "lo"
    with closing(listen(address, 0)) as server:
        where: Any = server.getsockname()[:2]
        with socket.create_connection(where, 5):
            server.accept()[0].close()


@pytest.mark.parametrize(("address", "port"), [("192.0.2.77", 0), ("not-a-number", 0)])
def test_an_address_that_is_not_ours(address: str, port: int) -> None:
    """Neither one of another host nor a name."""
    with pytest.raises(OSError, match=r"."):
        listen(address, port)
