"""An ECHONET Lite datagram port on one network interface: UDP 3610 over IPv4, IPv6 or both, and nothing else.

It is lost whenever its interface or what it is known by changes, so that whoever opens it anew has a port whose group
memberships and addresses are those of today. A packet that cannot be sent for the moment is lost and counted, as one
is that gets lost on its way. How each family is kept to the link, drivers.inet says.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from drivers.inet import OFF_LINK, Inet, Inet4, Inet6
from drivers.interface import Interface, Watch, look
from drivers.line import Line
from drivers.packet import ECHONET_PORT, Packet
from drivers.ports import Delivery, PortBusy, PortDenied, PortError, PortLost, PortMissing

READ_AT_ONCE = 64  # datagrams, before others get their turn


def open_udp(
    interface: str,
    *,
    ipv4: bool = False,
    ipv6: bool = True,
    only: str | None = None,
    without: str | None = None,
    dropped: Counter[str] | None = None,
) -> UdpPort:
    """Open UDP 3610 on an interface for this process alone, in the running loop.

    Two ports divide an interface between them: one for `only` a node, by its link-local IPv6 address, and one for all
    others, `without` it; see drivers.inet.Inet6. `dropped` counts on where an earlier port has ended.

    A family that was asked for and has no address yet is left out as long as there is the other one; the port is lost
    when its time has come. Raises PortMissing (no such interface, or not usable now), PortBusy, PortDenied; each says
    what to do about it.
    """
    found = look(interface)
    if found is None:
        raise PortMissing(interface, f"there is no network interface {interface}; `ip link` lists them")
    if (trouble := found.trouble(ipv4=ipv4, ipv6=ipv6)) is not None:
        raise PortMissing(interface, trouble)
    kinds: list[type[Inet]] = []
    if ipv4 and found.ipv4:
        kinds.append(Inet4)
    if ipv6 and found.address is not None:
        kinds.append(Inet6)
    opened: dict[type[Inet], Inet] = {}
    for kind in kinds:
        try:
            opened[kind] = Inet6(found, only=only, without=without) if kind is Inet6 else kind(found)
        except OSError as error:
            for other in opened.values():
                other.socket.close()
            raise _explained(interface, kind, error) from error
    return UdpPort(found, opened, ipv4=ipv4, ipv6=ipv6, dropped=Counter() if dropped is None else dropped)


class UdpPort:
    """A DatagramPort. Lost when its interface is switched off, loses its link, goes away or is made anew.

    And when an address of a family it was opened for comes, goes or changes.
    """

    def __init__(
        self,
        interface: Interface,
        opened: Mapping[type[Inet], Inet],
        *,
        ipv4: bool,
        ipv6: bool,
        dropped: Counter[str],
    ) -> None:
        self._interface = interface
        self._wanted = {"ipv4": ipv4, "ipv6": ipv6}
        self._open = opened
        self._loop = asyncio.get_running_loop()
        self._gone = ""  # why nothing can be sent any more
        self._watch: Watch | None = None
        self.dropped = dropped  # packets that were not handed on, or not sent, by reason

    @property
    def name(self) -> str:
        return self._interface.name

    @property
    def address(self) -> str:
        """Our own link-local address, or nothing where IPv6 is not open."""
        return self._interface.address or "" if Inet6 in self._open else ""

    @property
    def ipv4(self) -> str | None:
        """Our own main IPv4 address; None where IPv4 is not open."""
        return str(self._interface.ipv4[0].ip) if Inet4 in self._open else None

    def start(self, on_packets: Delivery[Packet], on_lost: Callable[[PortError], None]) -> None:
        self._on_packets = on_packets
        self._on_lost = on_lost
        for each in self._open.values():
            self._loop.add_reader(each.socket, self._readable, each)
        self._watch = Watch(self._look)
        self._loop.call_soon(self._look)  # what changed before there was a watch

    def write(self, packet: Packet) -> None:
        """Send at once or lose it. Raises PortLost once lost, ValueError for what must never leave on this link.

        Whether an IPv4 address is on it depends on the addresses of the day: one that is not loses the packet.
        """
        if self._gone:
            raise PortLost(self.name, self._gone)
        kind = Inet6 if ":" in packet.address else Inet4
        if not 0 < len(packet.payload) <= kind.payload_max:
            raise ValueError(f"a datagram has 1 to {kind.payload_max} bytes, not {len(packet.payload)}")
        inet = self._open.get(kind)
        if inet is None:
            self.dropped[f"not sent: no {kind.label} here"] += 1
            return
        if verdict := inet.verdict(packet.address):
            if kind is Inet6 and verdict == OFF_LINK:
                raise ValueError(f"{packet.address} is not on the link")
            self.dropped[f"not sent: {verdict}"] += 1
            return
        try:
            inet.send(packet.address, packet.payload)
        except OSError as error:
            self.dropped[f"not sent: {os.strerror(error.errno or 0)}"] += 1
            self._look()

    def configure(self, line: Line) -> None:
        """Nothing to set."""

    async def close(self) -> None:
        self._detach(f"{self.name} is closed")

    def _readable(self, inet: Inet) -> None:
        packets: list[Packet] = []
        try:
            for _ in range(READ_AT_ONCE):
                if isinstance(received := inet.receive(), str):
                    self.dropped[received] += 1
                else:
                    packets.append(received)
        except BlockingIOError:
            pass
        except OSError:
            self._look()
        if packets:
            self._on_packets(*packets)

    def _look(self) -> None:
        """Whether the interface is still the one that was opened, usable, and known by the same addresses."""
        if self._gone:
            return
        before, found = self._interface, look(self.name)
        if found is None:
            self._lose(f"the network interface {self.name} went away")
        elif found.index != before.index:
            self._lose(f"the network interface {self.name} went away and came back")
        elif (trouble := found.trouble(**self._wanted)) is not None:
            self._lose(trouble)
        elif self._wanted["ipv6"] and found.address != before.address:
            self._lose(_changed(self.name, "IPv6 link-local address", before.address, found.address))
        elif self._wanted["ipv4"] and found.ipv4 != before.ipv4:
            self._lose(_changed(self.name, "IPv4 address", before.ipv4, found.ipv4))

    def _lose(self, why: str) -> None:
        self._detach(why)
        self._loop.call_soon(self._on_lost, PortLost(self.name, why))

    def _detach(self, why: str) -> None:
        if self._gone:
            return
        self._gone = why
        for each in self._open.values():
            self._loop.remove_reader(each.socket)
            each.socket.close()
        if self._watch is not None:
            self._watch.close()


def _changed(name: str, what: str, before: object, now: object) -> str:
    if not now:
        return f"{name} has no {what} any more"
    return f"{name} has another {what} now" if before else f"{name} has an {what} now"


def _explained(interface: str, kind: type[Inet], error: OSError) -> PortError:
    match error.errno:
        case errno.EADDRINUSE:
            who = _holder() or f"another process (`sudo ss -Hulnp sport {ECHONET_PORT}` tells which)"
            return PortBusy(interface, f"UDP port {ECHONET_PORT} on {interface} is in use: held by {who}")
        case errno.EPERM | errno.EACCES:
            return PortDenied(
                interface,
                f"no permission to keep to {interface} (SO_BINDTODEVICE): that takes Linux 5.7 or CAP_NET_RAW",
            )
        case errno.EAFNOSUPPORT:
            return PortDenied(
                interface, f"{kind.label} is not to be had: switched off in the kernel, or by a sandbox?"
            )
        case _:
            reason = os.strerror(error.errno or 0)
            return PortMissing(interface, f"{interface} cannot be used ({reason}); `ip link` shows how it stands")


def _holder() -> str | None:
    """Who has UDP 3610 open, as ``daemon (pid 123)``, where that can be told from here (proc_net(5))."""
    inodes = set()
    for table in Path("/proc/thread-self/net").glob("udp*"):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{ECHONET_PORT:04X}"):
                inodes.add(f"socket:[{fields[9]}]")
    others_first = sorted(Path("/proc").glob("[0-9]*"), key=lambda process: process.name == str(os.getpid()))
    for process in others_first:  # for we may have it on other interfaces
        try:
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # it ended, or is not ours to see
            continue
    return None
