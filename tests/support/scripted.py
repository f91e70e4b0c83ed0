"""Scripted nodes that do wrong what they are told to, and our network among them in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from drivers.packet import ALL_NODES, ALL_NODES_IPV4, Packet
from hemsd.appliances.events import NetworkEvent, Told
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode

US_IPV4, US_IPV6 = "192.168.7.1", "fe80::1"
HALL, CELLAR, ATTIC = "192.168.7.20", "192.168.7.21", "192.168.7.22"
HALL_6, CELLAR_6 = "fe80::20", "fe80::21"
UNIQUE = bytes(range(1, 14))
PROFILE, CONTROLLER = 0x0EF001, 0x05FF01
AIR_CONDITIONER, LAMP, BATTERY, ECOCUTE, BOARD = 0x013001, 0x029001, 0x027D01, 0x026B01, 0x028701

SETI, SETC, GET, INF_REQ, INFC = 0x60, 0x61, 0x62, 0x63, 0x74
SETI_SNA, SETC_SNA, GET_SNA, SET_RES, GET_RES, INF, INFC_RES = 0x50, 0x51, 0x52, 0x71, 0x72, 0x73, 0x7A


def datagram(tid: int, seoj: int, deoj: int, esv: int, *properties: tuple[int, bytes]) -> bytes:
    """A frame, format 1."""
    head = b"\x10\x81" + tid.to_bytes(2, "big") + seoj.to_bytes(3, "big") + deoj.to_bytes(3, "big")
    body = b"".join(bytes((epc, len(edt))) + edt for epc, edt in properties)
    return head + bytes((esv, len(properties))) + body


@dataclass(frozen=True)
class Heard:
    """A datagram, taken apart."""

    tid: int
    seoj: int
    deoj: int
    esv: int
    properties: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, data: bytes) -> Heard:
        assert data[:2] == b"\x10\x81"
        properties, rest = [], data[12:]
        for _ in range(data[11]):
            epc, size = rest[:2]
            properties.append((epc, rest[2 : 2 + size]))
            rest = rest[2 + size :]
        at = int.from_bytes
        return cls(at(data[2:4], "big"), at(data[4:7], "big"), at(data[7:10], "big"), data[10], tuple(properties))


def property_map(epcs: Iterable[int]) -> bytes:
    """In the form that the number of properties calls for."""
    listed = sorted(epcs)
    if len(listed) < 16:
        return bytes((len(listed), *listed))
    bits = [0] * 16
    for epc in listed:
        bits[epc & 15] |= 1 << (epc >> 4) - 8
    return bytes((len(listed), *bits))


def appliance(
    readable: dict[int, bytes], settable: Iterable[int] = (), announced: Iterable[int] = (0x80,)
) -> dict[int, bytes]:
    """The properties of an object, with what every object has."""
    common = {0x80: b"\x30", 0x81: b"\0", 0x82: b"\0\0R\1", 0x88: b"\x42", 0x8A: b"\0\0\x0b"}
    maps = dict.fromkeys((0x9D, 0x9E, 0x9F), b"")
    made = {**common, **readable, **maps}
    made[0x9D], made[0x9E] = property_map(announced), property_map({0x81, *settable})
    made[0x9F] = property_map(made)
    return made


def air_conditioner() -> dict[int, bytes]:
    values = {0x80: b"\x30", 0xB0: b"\x42", 0xB3: b"\x1a", 0xBB: b"\x1b", 0xA0: b"\x41", 0x8F: b"\x42"}
    return appliance(values, settable=(0x80, 0xB0, 0xB3, 0xA0, 0x8F), announced=(0x80, 0xB0, 0x8F, 0xA0))


def lamp() -> dict[int, bytes]:
    return appliance({0x80: b"\x31", 0xB6: b"\x41"}, settable=(0x80, 0xB6))


def battery() -> dict[int, bytes]:
    values = {
        0xA8: bytes(4),
        0xA9: bytes(4),
        0xCF: b"\x44",
        0xDA: b"\x46",
        0xD3: b"\0\0\1\0",
        0xE2: b"\0\0\x10\0",
        0xE4: b"\x32",
    }
    return appliance(values, settable=(0xDA,))


@dataclass
class Node:
    """A device on the link. `objects` are its appliances by EOJ; what it does wrong is switched on by name."""

    objects: dict[int, dict[int, bytes]]
    identification: bytes = b""  # 17 bytes
    profile: dict[int, bytes] = field(
        default_factory=dict
    )  # what differs from a usual node profile; empty: not there
    delay_s: float = 0.02
    off: bool = False
    deaf_to_all: bool = False  # multicast does not reach it
    silent_epcs: frozenset[int] = frozenset()  # asked for one of these it says nothing
    most: int = 255  # properties that it answers at once
    stubborn: frozenset[int] = frozenset()  # accepted, and of no effect
    tid: int = 0x7000
    writes: list[tuple[int, tuple[tuple[int, bytes], ...]]] = field(default_factory=list)
    asked: list[Heard] = field(default_factory=list)

    def own_profile(self) -> dict[int, bytes]:
        listed = bytes((len(self.objects),)) + b"".join(eoj.to_bytes(3, "big") for eoj in self.objects)
        codes = sorted({eoj >> 8 for eoj in self.objects})
        made = {
            0x80: b"\x30",
            0x82: b"\1\x0e\1\0",
            0x83: self.identification,
            0x8A: b"\0\0\x0b",
            0xD3: len(self.objects).to_bytes(3, "big"),
            0xD4: (len(codes) + 1).to_bytes(2, "big"),
            0xD5: listed,
            0xD6: listed,
            0xD7: bytes((len(codes),)) + b"".join(code.to_bytes(2, "big") for code in codes),
            **self.profile,
        }
        return {epc: edt for epc, edt in made.items() if edt}

    def hear(self, data: bytes) -> list[bytes]:
        """What it answers to whoever asked."""
        heard = Heard.of(data)
        if self.off:
            return []
        self.asked.append(heard)
        every = {PROFILE: self.own_profile(), **self.objects}
        meant = [eoj for eoj in every if heard.deoj in (eoj, eoj & 0xFFFF00)]
        return [answer for eoj in meant if (answer := self.answer(eoj, every[eoj], heard))]

    def answer(self, eoj: int, has: dict[int, bytes], heard: Heard) -> bytes:
        if self.silent_epcs & {epc for epc, _ in heard.properties}:
            return b""
        if heard.esv == GET:
            told = tuple((epc, has.get(epc, b"")) for epc, _ in heard.properties[: self.most])
            whole = len(told) == len(heard.properties) and all(edt for _, edt in told)
            return datagram(heard.tid, eoj, heard.seoj, GET_RES if whole else GET_SNA, *told)
        if heard.esv == SETC:
            self.writes.append((eoj, heard.properties))
            settable = set(has[0x9E][1:]) if 0x9E in has else set(has)
            refused = tuple((epc, edt if epc not in settable else b"") for epc, edt in heard.properties)
            has.update((epc, edt) for epc, edt in heard.properties if epc in settable - self.stubborn)
            return datagram(heard.tid, eoj, heard.seoj, SETC_SNA if any(e for _, e in refused) else SET_RES, *refused)
        if heard.esv == INF_REQ:
            return datagram(
                heard.tid, eoj, heard.seoj, INF, *((epc, has.get(epc, b"")) for epc, _ in heard.properties)
            )
        return b""

    def tell(self, eoj: int, *properties: tuple[int, bytes], esv: int = INF) -> bytes:
        """A notification; it is so from now on."""
        self.tid += 1
        if eoj in self.objects:
            self.objects[eoj].update(properties)
        return datagram(self.tid, eoj, PROFILE, esv, *properties)

    def announcement(self) -> bytes:
        """What it says when it has started."""
        return self.tell(PROFILE, (0xD5, self.own_profile()[0xD5]))


def identification(number: int) -> bytes:
    return b"\xfe\x00\x00\x0b" + number.to_bytes(13, "big")


class House:
    """Our network and nodes at their addresses, in virtual time. `lose` says of each packet whether it gets lost."""

    def __init__(
        self,
        nodes: dict[str, Node] | None = None,
        *,
        remembered: Remembered | None = None,
        own: Addresses | None = None,
        asked: tuple[str, ...] = (),
        now: float = 1000.0,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.nodes = nodes or {}
        self.now = now
        self.lose: Callable[[Packet, bool], bool] = lambda packet, outward: False
        self.vary: Callable[[], list[float]] = lambda: [0.0]  # how much later a datagram comes, each time it does
        self._values: dict[str, Mapping[int, tuple[bytes, float, str]]] = {}
        self.sent: list[Packet] = []
        self.events: list[NetworkEvent] = []
        self._coming: list[tuple[float, int, Packet]] = []
        self._order = count()
        self.own_node = OwnNode(unique=UNIQUE)
        self.network = Network(
            NetworkSettings(name="living", nodes=asked),
            own=own or Addresses(ipv4=US_IPV4),
            remembered=remembered or Remembered(),
            ourselves=self.own_node,
            chance=chance,
        )

    def run(self, seconds: float) -> list[NetworkEvent]:
        """Let time pass; what the network told in it."""
        told_before, end = len(self.events), self.now + seconds
        while True:
            self._settle()
            due = self.network.deadline()
            at = min(due if due is not None else end, self._coming[0][0] if self._coming else end)
            if at > end or (at == end and not self._coming and (due is None or due > end)):
                break
            self.now = max(self.now, at)
            if self._coming and self._coming[0][0] <= self.now:
                self.network.receive(heappop(self._coming)[2], self.now)
            elif due is not None and due <= self.now:
                self.network.tick(self.now)
            else:
                break
        self.now = end
        return self.events[told_before:]

    def comes(self, address: str, data: bytes, *, multicast: bool = False, after_s: float = 0.0) -> None:
        """A datagram arrives from an address."""
        packet = Packet(address, data, multicast=multicast)
        if not self.lose(packet, False):
            for later_s in self.vary():
                heappush(self._coming, (self.now + after_s + later_s, next(self._order), packet))

    def values(self, appliance: str) -> Mapping[int, tuple[bytes, float, str]]:
        """What is believed of an appliance: EDT, when, and how."""
        return self._values.get(appliance, {})

    def _settle(self) -> None:
        while True:
            packets = list(self.network.outgoing())
            for packet in packets:
                self.sent.append(packet)
                if not self.lose(packet, True):
                    self._deliver(packet)
            events = list(self.network.events())
            self.events += events
            for each in events:
                if isinstance(each, Told):
                    believed = {key: (edt, *each.ages[key]) for key, edt in each.known.items()}
                    self._values[each.appliance.id] = believed
            if not packets and not events:
                return

    def _deliver(self, packet: Packet) -> None:
        to_all = packet.address in (ALL_NODES, ALL_NODES_IPV4)
        for address, node in self.nodes.items():
            if to_all:
                reached = (":" in address) == (packet.address == ALL_NODES) and not node.deaf_to_all
            else:
                reached = address == packet.address
            if reached:
                for answer in node.hear(packet.payload):
                    self.comes(address, answer, after_s=node.delay_s)


def hall() -> Node:
    """An air conditioner and a lamp on one node."""
    return Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1))


def cellar() -> Node:
    """A battery."""
    return Node({BATTERY: battery()}, identification(2))
