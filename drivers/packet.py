"""A UDP datagram on a network link, as a value that pure machines can handle."""

from __future__ import annotations

from msgspec import Struct

ECHONET_PORT = 3610  # ECHONET Lite specification 1.14, part II, 1.2: always the destination, the source is free
ALL_NODES = "ff02::1"  # what every node with IPv6 listens to,
ALL_NODES_IPV4 = "224.0.23.0"  # and with IPv4


class Packet(Struct, frozen=True, gc=False):
    """A datagram from, or for, one other node of the link, or for all of them. Goes out to port 3610, always."""

    address: str
    """The other end's, in the kernel's short form, no zone: "fe80::1"; ALL_NODES or ALL_NODES_IPV4 to send to all."""
    payload: bytes  # 1-1232 bytes over IPv6, 1-1472 over IPv4
    port: int = ECHONET_PORT  # of the other end, where the packet came in
    multicast: bool = False  # it came in addressed to everyone, by multicast or broadcast

    def __repr__(self) -> str:
        return f"Packet({self.address!r}, {len(self.payload)} bytes, port={self.port}, multicast={self.multicast})"
