"""A TCP socket that listens at one address, on the interface that has it and on no other.

Listening at an address does not keep other interfaces out: Linux takes what is for any of its addresses wherever it
comes in (RFC 1122, 3.3.4.2: the weak model of a host with several links). SO_BINDTODEVICE does (socket(7)).
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from drivers.interface import look

ESTABLISHED = 1  # linux/tcp_states.h
TABLES = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
WAITING_MAX = 8  # connections that the kernel takes before we do


def listen(address: str, port: int, interface: str | None = None) -> socket.socket:
    """The socket, not blocking. From this machine itself only loopback addresses are reached. Raises OSError.

    `interface` is where to listen if the address is that of none, 0.0.0.0 or ::; without it that is everywhere.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    [(*_, where)] = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        if (holder := holder_of(address) or interface) is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, holder.encode())
        made.listen(WAITING_MAX)
    except OSError:
        made.close()
        raise
    return made


def holder_of(address: str) -> str | None:
    """The name of the interface that has an address; None where none has."""
    wanted = ipaddress.ip_address(address)
    if isinstance(wanted, ipaddress.IPv6Address) and wanted.scope_id:
        return wanted.scope_id
    for _, name in socket.if_nameindex():
        if name == "lo" and wanted.is_loopback:
            return name
        if (found := look(name)) is not None:
            own = {found.address, *found.others, *(str(each.ip) for each in found.ipv4)}
            if str(wanted) in own:
                return name
    return None


def served(port: int) -> Iterator[str]:
    """The addresses of this machine at which connections to a port of it stand (proc_net(5))."""
    for table in TABLES:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *_ = line.split()
            digits, _, number = local.partition(":")
            if int(number, 16) == port and int(state, 16) == ESTABLISHED:
                words = (digits[at : at + 8] for at in range(0, len(digits), 8))
                packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
                address = ipaddress.ip_address(packed)
                mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
                yield str(mapped or address)
