"""A second-generation meter on an IPv6 link, behind the same commands and events as a Wi-SUN module. Pure.

ECHONET Lite specification 1.14, part II, 1.2 and 4.3 (UDP 3610, ff02::1, instance lists); ITU-T G.9958, I.2.

Theory. There is no module and no PANA: the link itself (Wi-Fi) was joined by the operating system, which also
encrypts it, so that everything heard on it counts as secured. What is left of a session is to find the meter and to
keep to it. Scan asks all nodes of the link for their instance lists, the only multicast there is, and each node with
a low-voltage meter counts as a beacon. Join pins one address and asks that node alone: Joined means that a meter
answered there just now. From then on datagrams go to that address and nowhere else; packets from others become
Datagrams too, and the session's gate drops and counts them. A `peer` given by the user is asked in place of all.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from drivers import module
from drivers.module import NO_RADIO, Command, Datagram, Done, Event, Family, ModuleInfo, Pan
from drivers.packet import ALL_NODES, ECHONET_PORT, Packet
from hemsd.echonet.frame import ESV, Frame, FrameError, Property, decode, encode
from hemsd.echonet.objects import CONTROLLER, METER, NODE_PROFILE, decode_instance_list
from hemsd.echonet.values import PropertyError

INSTANCES, ANNOUNCED = 0xD6, 0xD5  # instance list of the node profile: to be read, as it is announced
SCAN_S = 1.0  # of duration 4, doubled with each step
FIRST_DURATION = 4
JOIN_S = 2.0  # for the meter to answer, then it is asked again
JOIN_TRIES = 3
NO_PAN = 0xFFFE  # the PAN ID that goes with NO_RADIO; 802.15.4 reserves it
LINK_LOCAL = "FE80:0000:0000:0000:"
UNIVERSAL = 0x02 << 56  # the bit by which an interface identifier differs from its MAC address (RFC 4291)


def full(address: str) -> str:
    """An IPv6 address in the form of drivers.module: eight groups of four upper-case digits."""
    return IPv6Address(address).exploded.upper()


def pan_of(address: str) -> Pan | None:
    """The Pan whose address this is (in any form); None where none can be, outside of fe80::/64."""
    whole = full(address)
    if not whole.startswith(LINK_LOCAL):
        return None
    return Pan(NO_RADIO, NO_PAN, f"{int(whole[len(LINK_LOCAL) :].replace(':', ''), 16) ^ UNIVERSAL:016X}")


class IpMeter:
    """The drivers.module.Module for packets. `address` is our own; with `peer` no other meter is ever asked."""

    def __init__(self, address: str, *, peer: str | None = None) -> None:
        self._address = full(address)
        self._peer = None if peer is None else full(peer)
        self._pinned: str | None = None
        self._command: Command | None = None  # that goes on: a scan
        self._joining: str | None = None
        self._tries = 0
        self._found: set[str] = set()
        self._due: float | None = None
        self._tid = 0
        self._outgoing: list[Packet] = []
        self._events: list[Event] = []

    @property
    def busy(self) -> bool:
        return self._command is not None

    def command(self, command: Command, now: float) -> None:
        if self._command is not None:
            raise RuntimeError("one command at a time")
        match command:
            case module.Open():
                self._forget()
                pan = pan_of(self._address)
                self._events.append(
                    module.Ready(
                        ModuleInfo(
                            Family.IP, "", self._address, "" if pan is None else pan.mac, None, None, channels=0
                        )
                    )
                )
            case module.UseCredentials():  # the operating system has them
                pass
            case module.Scan(duration):
                self._forget()
                self._found.clear()
                self._command = command
                self._due = now + SCAN_S * 2.0 ** (duration - FIRST_DURATION)
                self._ask(self._peer)
                return
            case module.Join() | module.Rejoin():
                self._events.append(Done(command))
                self._join(command.pan.address if isinstance(command, module.Join) else self._pinned or "", now)
                return
            case module.Leave():
                self._events.append(module.SessionClosed(self._pinned or "", by_peer=False))
                self._forget()
            case module.Send(to, payload):
                self._send(to, payload)
        self._events.append(Done(command))

    def receive(self, packet: Packet, now: float, /) -> bool:
        sender = full(packet.address)
        listed = _instances(packet.payload)
        if listed is None:
            self._pass(sender, packet)
        elif isinstance(self._command, module.Scan):
            self._beacon(sender, listed)
        elif sender == self._joining:
            self._answered(has_meter=_has_meter(listed))
        else:
            self._pass(sender, packet)
        return True

    def tick(self, now: float) -> None:
        if self._due is None or now < self._due:
            return
        self._due = None
        if self._command is not None:
            ended, self._command = self._command, None
            self._events.append(Done(ended))
        elif self._joining is not None and self._tries < JOIN_TRIES:
            self._call(now)
        elif self._joining is not None:
            self._answered(has_meter=False)

    def deadline(self) -> float | None:
        return self._due

    def outgoing(self) -> list[Packet]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _forget(self) -> None:
        self._pinned = self._joining = self._due = None

    def _ask(self, peer: str | None) -> None:
        """Ask one node, or all, which objects there are."""
        self._tid = self._tid + 1 & 0xFFFF
        asked = Frame(self._tid, CONTROLLER, NODE_PROFILE, ESV.GET, (Property(INSTANCES),))
        self._outgoing.append(Packet(ALL_NODES if peer is None else peer, encode(asked)))

    def _beacon(self, sender: str, listed: tuple[int, ...]) -> None:
        pan = pan_of(sender)
        if _has_meter(listed) and pan is not None and self._peer in (None, sender) and sender not in self._found:
            self._found.add(sender)
            self._events.append(module.BeaconHeard(pan))

    def _join(self, address: str, now: float) -> None:
        self._forget()
        self._joining, self._tries = address, 0
        if self._peer in (None, address):
            self._call(now)
        else:  # remembered from before the user named another
            self._answered(has_meter=False)

    def _call(self, now: float) -> None:
        self._tries += 1
        self._due = now + JOIN_S
        self._ask(self._joining)

    def _answered(self, *, has_meter: bool) -> None:
        joining = self._joining or ""
        self._forget()
        if has_meter:
            self._pinned = joining
            self._events.append(module.Joined(joining))
        else:
            self._events.append(module.JoinFailed(joining))

    def _send(self, to: str, payload: bytes) -> None:
        """Only to the pinned meter, only frames (G.9958, R53 and R54). Whether they arrive, the answers tell."""
        allowed = to == self._pinned and payload.startswith(b"\x10\x81")
        if allowed:
            self._outgoing.append(Packet(to, payload))
        self._events.append(module.Transmission(to, module.Fate.SENT if allowed else module.Fate.FAILED))

    def _pass(self, sender: str, packet: Packet) -> None:
        pan = pan_of(sender)
        to = full(ALL_NODES) if packet.multicast else self._address
        self._events.append(
            Datagram(
                sender=sender,
                to=to,
                sender_port=packet.port,
                port=ECHONET_PORT,
                mac="" if pan is None else pan.mac,
                secured=True,
                payload=packet.payload,
            )
        )


def _instances(payload: bytes) -> tuple[int, ...] | None:
    """What a node lists, answering or announcing; None for anything else."""
    try:
        frame = decode(payload)
        if frame.seoj != NODE_PROFILE or frame.esv not in (ESV.GET_RES, ESV.INF):
            return None
        for each in frame.properties:
            if each.epc in (INSTANCES, ANNOUNCED):
                return decode_instance_list(each.edt)
    except (FrameError, PropertyError):
        pass
    return None


def _has_meter(listed: tuple[int, ...]) -> bool:
    return any(eoj >> 8 == METER >> 8 for eoj in listed)
