"""What uecho asks of netifaces, which cannot be built without a compiler: the IPv4 address of each interface."""

from __future__ import annotations

import fcntl
import socket
import struct

AF_INET = socket.AF_INET
SIOCGIFADDR = 0x8915


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def ifaddresses(name: str) -> dict[int, list[dict[str, str]]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            asked = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("16s16x", name.encode()))
        except OSError:  # it has none
            return {}
    return {AF_INET: [{"addr": socket.inet_ntoa(asked[20:24])}]}
