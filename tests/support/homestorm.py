"""A simulated home in a storm: what befalls its nodes, and an auditor of everything that our network does meanwhile.

The script of a storm is drawn from a seed, and printed. The auditor knows what each node really has and said, and
sees each datagram of ours; `amiss` is what he has to complain about.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any

from drivers.packet import ALL_NODES_IPV4, Packet
from hemsd.appliances.dialogue import SECTION_LIMIT_S
from hemsd.appliances.events import Appliance, Changed, NetworkEvent, Noted, Settled, Told
from hemsd.appliances.manners import LIMIT_S
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from hemsd.appliances.polling import SECTION_S, SELDOM_S
from hemsd.echonet.classes.device import Device as Described
from hemsd.echonet.classes.device import Tempo
from hemsd.echonet.classes.views import sections, tempo
from hemsd.simulator.appliances import ApplianceNode, Device, Segment, Temper, World, home

US = "192.168.7.1"
ADDRESSES = [f"192.168.7.{20 + number}" for number in range(12)]
HOUR_S = 3600.0
START = datetime(2026, 8, 3, 13, 0)
STEP_S = 20.0
FIRST_S = 600.0  # in which all are found, whatever is lost, and it is learnt how fast they are
RECOVERY_S = 1500.0  # from the end of what kept a node from answering well until it is as fresh as others
UNHEARD_S = 6 * RECOVERY_S  # where it has moved, and asking everybody may get lost as well
LATE_S = 1.0  # a datagram travels so long at most
RESTART_S = 180.0  # until all are asked again
SETTLES_S = 230.0  # an order, at the latest
ORDER_EVERY_S = 240.0
NOT_ORDERED = frozenset({0x81, 0x93, 0x97, 0x98})  # read back as something else, or goes on by itself

GAP_S = 0.2  # between an answer and the next request
SOFT_MIN_S = 1.0  # from a request that is not answered to the next
NEVER_FAILS = frozenset({0x83, 0x8A, 0x8C, 0x9D, 0x9E, 0x9F})  # without them it would rightly be taken for another
GET, SETC = 0x62, 0x61
NAME = re.compile(r"\b[0-9a-f]{4}-[0-9a-f]{8}\b")


@dataclass(frozen=True)
class Trouble:
    """Something that befalls a node for a while. One that is `hampered` may be away meanwhile, and late."""

    at: float
    seconds: float
    node: int
    kind: str
    temper: Mapping[str, Any] = field(default_factory=dict)
    hampered: bool = True

    def __str__(self) -> str:
        what = " ".join(f"{name}={_shown(value)}" for name, value in self.temper.items())
        return f"{self.at / HOUR_S:7.3f} h {self.seconds:6.0f} s {ADDRESSES[self.node]} {self.kind} {what}"


def _shown(value: object) -> str:
    return ",".join(f"{epc:02X}" for epc in sorted(value)) if isinstance(value, frozenset) else str(value)


def script(seed: int, hours: float, nodes: list[ApplianceNode], every_s: float) -> list[Trouble]:
    """Troubles from `FIRST_S` on, one every so often; they overlap."""
    chance = Random(f"home {seed}")
    found, at = [], FIRST_S
    while (at := at + chance.expovariate(1 / every_s)) < hours * HOUR_S:
        number = chance.randrange(len(nodes))
        kind = chance.choice(tuple(KINDS))
        seconds = min(KINDS[kind] * 12 ** chance.random(), hours * HOUR_S - at)
        has = sorted(set().union(*(device.epcs("r") for device in nodes[number].devices)) - NEVER_FAILS)
        temper = _temper(kind, chance, has)
        found.append(Trouble(round(at, 3), round(seconds, 3), number, kind, temper, kind not in HARMLESS))
    return found


KINDS = {  # how long it lasts at least; twelve times that at most
    "slow": 300.0,
    "few": 600.0,
    "hurried": 300.0,
    "odd port": 600.0,
    "splits": 600.0,
    "repeats": 600.0,
    "mute": 600.0,
    "first": 600.0,
    "lying maps": 600.0,
    "unreadable": 600.0,
    "unspeakable": 600.0,
    "unsociable": 600.0,
    "obstinate": 600.0,
    "refusing": 600.0,
    "silent": 1200.0,
    "reboot": 5.0,
    "moves": 60.0,
    "moves silently": 60.0,
    "garbage": 60.0,
}
HARMLESS = frozenset({"odd port", "splits", "repeats", "mute", "first", "lying maps", "obstinate", "refusing"})


def _temper(kind: str, chance: Random, has: list[int]) -> dict[str, Any]:
    some = frozenset(chance.sample(has, min(2, len(has))))
    match kind:
        case "slow":
            return {"answer_s": chance.choice((0.5, 2.0, 5.0, 12.0, 15.0))}
        case "few":
            beyond = chance.choice(("prefix", "empty", "silence", "gone"))
            return {"at_most": chance.choice((1, 2, 6, 9)), "beyond": beyond}
        case "hurried":
            return {"gap_s": chance.choice((0.1, 0.5, 2.0))}
        case "odd port":
            return {"source_port": chance.randrange(1024, 65536)}
        case "splits":
            return {"splits": True}
        case "repeats":
            return {"copies": chance.randint(2, 3)}
        case "mute":
            return {"announces": False, "greets": False}
        case "first":
            return {"announces_first": True}
        case "lying maps":
            return {"miscounts": chance.randint(1, 9), "pads_maps": chance.random() < 0.5}
        case "unreadable" | "unspeakable":
            return {kind: some}
        case "unsociable":
            return {"never_together": some}
        case "obstinate":
            return {"without_effect": frozenset(range(0x80, 0x100))}
        case "refusing":
            return {"unsettable": frozenset(range(0x80, 0x100)), "refuses_as_set_i": chance.random() < 0.5}
        case _:
            return {}


@dataclass
class _Order:
    appliance: str
    device: Device
    values: dict[int, bytes]
    at: float
    sent: list[bytes] = field(default_factory=list)


class _Ours:
    """Our network on the segment, under audit."""

    def __init__(self, audit: HomeStorm, network: Network) -> None:
        self.network = network
        self._audit = audit

    def receive(self, packet: Packet, now: float) -> bool:
        self._audit.came(packet, now)
        heard = self.network.receive(packet, now)
        self._audit.told(self.network.events(), now)
        return heard

    def tick(self, now: float) -> None:
        self.network.tick(now)
        self._audit.told(self.network.events(), now)

    def deadline(self) -> float | None:
        return self.network.deadline()

    def outgoing(self) -> Iterable[Packet]:
        packets = self.network.outgoing()
        for packet in packets:
            self._audit.goes(packet, self._audit.segment.now)
        return packets


class _Heard(ApplianceNode):
    """A simulated node that writes down what it says."""

    said: dict[tuple[int, int], deque[tuple[float, bytes]]]

    def outgoing(self) -> list[Any]:
        outgoing = super().outgoing()
        for each in outgoing:
            for eoj, epc, edt in _contents(each.payload):
                self.said[eoj, epc].append((self._agenda.now, edt))
        return outgoing


class HomeStorm:
    """A home with every class of appliance, our network, and the weather between them. Time begins at 0."""

    def __init__(
        self,
        seed: int,
        *,
        loses_one_of: int = 0,
        loses: float = 0.0,
        doubles: float = 0.0,
        overtakes: float = 0.0,
        identities: Mapping[int, bytes | None] | None = None,  # EPC 83, by number of the node
        settled: Callable[[World, Iterable[str]], list[ApplianceNode]] = home,  # who lives in it
    ) -> None:
        self._chance = Random(seed)
        world = World(START, step_s=STEP_S)
        self.nodes: list[_Heard] = []
        for number, node in enumerate(settled(world, ADDRESSES)):
            identity = (identities or {}).get(number, b"")
            heard = _Heard(world, node.devices, ADDRESSES[number], identity=identity)
            heard.said = defaultdict(lambda: deque(maxlen=32))
            self.nodes.append(heard)
        self.segment = Segment(
            self.nodes, loses_one_of=loses_one_of, loses=loses, doubles=doubles, overtakes=overtakes, seed=seed
        )
        self.segment.passed = deque(maxlen=1000)
        self.amiss: list[str] = []
        self.late: list[str] = []  # values that were older than three polls
        self.noted: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self.oldest: dict[str, float] = {}  # in polls, by tempo
        self.told_anew: Counter[str] = Counter()
        self.intervals: Counter[float] = Counter()  # as told with each of those
        self._excused = [FIRST_S] * len(self.nodes)  # until then each node may be late and away
        self._silent_until = [0.0] * len(self.nodes)
        self._repeated: set[int] = set()  # nodes that said things twice, of which less gets lost
        self._garbage = False  # somebody spoke nonsense, and perhaps for objects that there are not
        self._ordered: dict[str, float] = {}
        self._last: dict[tuple[str, int], tuple[float, float]] = {}  # when each was told, and with what interval
        self._online: dict[str, bool] = {}
        self._found: Counter[str] = Counter()
        self._where: dict[str, tuple[_Heard, Device]] = {}
        self._tempos: dict[int, tuple[Described, Mapping[int, Tempo]]] = {}
        self._asked: dict[str, tuple[int, float]] = {}
        self._answered: dict[str, float] = {}
        self._orders: dict[str, _Order] = {}
        self._numbers = 0
        self._troubles: list[list[Trouble]] = [[] for _ in self.nodes]
        self._begin(Remembered())
        self.segment.at(FIRST_S, self._order_something)

    def __str__(self) -> str:
        oldest = ", ".join(f"{tempo} {polls:.2f}" for tempo, polls in sorted(self.oldest.items()))
        intervals = ", ".join(f"{interval_s:.1f} s: {count}" for interval_s, count in sorted(self.intervals.items()))
        ages = f"oldest, in polls: {oldest}\n{self.told_anew}\nwith an interval of {intervals}"
        return f"{ages}\n{self.noted}\n{self.settled}\n{self._ours.network.counters()}"

    # --- what happens

    def _begin(self, remembered: Remembered) -> None:
        self._ours = _Ours(
            self,
            Network(
                NetworkSettings(name="home"),
                own=Addresses(ipv4=US),
                remembered=remembered,
                ourselves=OwnNode(unique=bytes(range(1, 14)), location=remembered.location),
                chance=self._chance.random,
            ),
        )
        self.segment.join(self._ours, US, lambda address, data, port, to_all: Packet(address, data, port, to_all))

    def restart(self) -> None:
        """Our process ends, and another begins with what is remembered, as it is in a file."""
        now = self.segment.now
        self.segment.remove(self._ours)
        self._orders.clear()
        self._asked.clear()
        self._answered.clear()
        self._online.clear()
        self._last = dict.fromkeys(self._last, (now + RESTART_S, SELDOM_S))
        self._begin(Remembered.restored(json.loads(json.dumps(self._ours.network.remember()))))

    def befall(self, troubles: Iterable[Trouble]) -> None:
        for trouble in troubles:
            self.segment.at(trouble.at, lambda it=trouble: self._befalls(it))  # type: ignore[misc]

    def _befalls(self, trouble: Trouble) -> None:
        node, end = self.nodes[trouble.node], trouble.at + trouble.seconds
        if trouble.hampered:
            silent = trouble.at < self._silent_until[trouble.node] or not node.temper.greets
            unheard = trouble.kind in ("moves", "moves silently") and (silent or self.segment.loses_one_of)
            since = max(end, self._silent_until[trouble.node])
            self._excuse(trouble.node, since + (UNHEARD_S if unheard else RECOVERY_S))
        if trouble.kind == "repeats":
            self._repeated.add(trouble.node)
        match trouble.kind:
            case "silent":
                self._silent_until[trouble.node] = max(self._silent_until[trouble.node], end)
                node.fall_silent(trouble.seconds)
            case "reboot":
                node.reboot(trouble.seconds)
            case "moves" | "moves silently":
                if not self._is_recognisable(node):
                    return
                self._numbers += 1
                node.move(f"192.168.8.{self._numbers % 250 + 1}", greets=trouble.kind == "moves")
                self.segment.poke(node)
            case "garbage":
                self._garbage = True
                for _ in range(200):
                    at = trouble.at + self._chance.random() * trouble.seconds
                    self.segment.at(at, lambda it=node: self._utters(it))  # type: ignore[misc]
            case _:
                self._troubles[trouble.node].append(trouble)
                self._becomes(trouble.node)
                self.segment.at(end, lambda: self._over(trouble))

    def _over(self, trouble: Trouble) -> None:
        if trouble in self._troubles[trouble.node]:
            self._troubles[trouble.node].remove(trouble)
            self._becomes(trouble.node)

    def _becomes(self, number: int) -> None:
        temper = Temper()
        for trouble in self._troubles[number]:
            temper = replace(temper, **trouble.temper)
        self.nodes[number].temper = temper

    def _is_recognisable(self, node: _Heard) -> bool:
        """Whether its identification number is there, is one, and is its own."""
        identity = node.profile.identity
        same = [each for each in self.nodes if each.profile.identity == identity]
        return 0x83 in node.profile.rows and any(identity[4:]) and len(same) == 1

    def _utters(self, node: _Heard) -> None:
        """Garbage: noise, or something it once said or heard, damaged."""
        passed = self.segment.passed
        data = bytearray(passed[self._chance.randrange(len(passed))].said.payload)
        for _ in range(self._chance.randint(1, 4)):
            data[self._chance.randrange(len(data))] = self._chance.randrange(256)
        to = US if self._chance.random() < 0.7 else None
        node.utter(
            bytes(data[: self._chance.randint(1, len(data))]) if self._chance.random() < 0.3 else bytes(data), to
        )
        self.segment.poke(node)

    def clear_up(self) -> None:
        """The weather is fine from now on, and nobody misbehaves."""
        segment = self.segment
        segment.loses_one_of, segment.loses, segment.doubles, segment.overtakes = 0, 0.0, 0.0, 0.0
        for number, node in enumerate(self.nodes):
            self._troubles[number].clear()
            node.temper = Temper()
            node.fall_silent(0.0)
            self._excuse(number, segment.now + RECOVERY_S)

    def _excuse(self, number: int, until: float) -> None:
        self._excused[number] = max(self._excused[number], until)

    # --- orders

    def _order_something(self) -> None:
        now = self.segment.now
        self.segment.at(now + ORDER_EVERY_S * (0.5 + self._chance.random()), self._order_something)
        node = self._chance.choice(self.nodes)
        if any(order.device in node.devices for order in self._orders.values()):
            return
        device = self._chance.choice(node.devices)
        appliance = next((id for id, (_, each) in self._where.items() if each is device), None)
        epcs = sorted(device.epcs("s") & device.epcs("r") - NOT_ORDERED) if device.code != 0x0287 else []
        if appliance is None or not epcs or not self._ours.network.has(appliance):
            return
        epc = self._chance.choice(epcs)
        accepts = device.rows[epc].accepts
        edts = [bytes((code,)) for code in range(256) if accepts is not None and accepts(bytes((code,)))]
        if not edts:
            return
        edt = self._chance.choice(edts)
        self._numbers += 1
        command = f"c{self._numbers}"
        self._ordered[appliance] = now
        self._orders[command] = _Order(appliance, device, {epc: edt}, now)
        self._ours.network.order(command, appliance, {f"0x{epc:02X}": edt.hex()})
        self.segment.at(now + SETTLES_S, lambda: self._is_settled(command))
        self.segment.poke(self._ours)

    def _is_settled(self, command: str) -> None:
        if command in self._orders:
            self._complain(f"{command}: nothing became of {self._orders[command]}")

    def _is_true(self, settled: Settled, now: float) -> None:
        order = self._orders.pop(settled.command, None)
        if order is None:
            self._complain(f"{settled.command} settled twice, or never given")
            return
        self.settled[settled.outcome] += 1
        for epc, edt in order.values.items():
            has = {order.device[epc], order.device.settings.get(epc)}
            if settled.outcome == "applied" and edt not in has:
                self._complain(f"{order.appliance} {epc:02X} has {has}, and {edt!r} is said to be applied")

    # --- the auditor

    def _complain(self, what: str) -> None:
        if len(self.amiss) < 50:
            self.amiss.append(f"{self.segment.now / HOUR_S:.3f} h: {what}")

    def goes(self, packet: Packet, now: float) -> None:
        """A datagram of ours: one request at a time, a gap after the answer, no write twice."""
        data, address = packet.payload, packet.address
        if address == ALL_NODES_IPV4 or data[10] not in (GET, SETC):
            return
        tid = int.from_bytes(data[2:4], "big")
        if (before := self._asked.get(address)) is not None and now - before[1] < SOFT_MIN_S - 0.001:
            self._complain(f"{address} is asked {tid:04X} {now - before[1]:.3f} s after {before[0]:04X}")
        if (rest_s := now - self._answered.get(address, -GAP_S)) < GAP_S - 0.001:
            self._complain(f"{address} is asked {rest_s:.3f} s after its answer")
        self._asked[address] = tid, now
        if data[10] == SETC:
            eoj = int.from_bytes(data[7:10], "big")
            for order in self._orders.values():
                if order.device.eoj == eoj and any(order.device in node.devices for node in self._at(address)):
                    if data[11:] in order.sent:
                        self._complain(f"{order.appliance} is written {data[11:].hex()} twice")
                    order.sent.append(data[11:])

    def came(self, packet: Packet, now: float) -> None:
        """A datagram of a node: perhaps what it was asked for."""
        address, data = packet.address, packet.payload
        if (asked := self._asked.get(address)) is None or packet.multicast or len(data) < 14:
            return
        if int.from_bytes(data[2:4], "big") == asked[0] and data[10] & 0xF0 in (0x50, 0x70):
            del self._asked[address]
            self._answered[address] = now

    def told(self, events: Iterable[NetworkEvent], now: float) -> None:
        for event in events:
            match event:
                case Told():
                    self._values(event, now)
                case Changed(appliance):
                    self._stands(appliance, now)
                case Noted():
                    self._note(event)
                case Settled():
                    self._is_true(event, now)
                case _:
                    pass

    def _note(self, noted: Noted) -> None:
        self.noted[noted.kind] += 1
        if noted.kind == "appliance.found":
            (appliance,) = NAME.findall(noted.text)
            self._found[appliance] += 1
            if self._found[appliance] > 1:
                self._complain(f"found again: {noted.text}")
        elif noted.kind == "appliance.by_hand":
            self._complain(f"nobody did: {noted.text}")

    def _stands(self, appliance: Appliance, now: float) -> None:
        id, online = appliance.id, appliance.online
        where = self._whereabouts(appliance)
        before = self._online.get(id)
        self._online[id] = online
        if before and not online and where is not None and now > self._excused[self._number(where[0])]:
            self._complain(f"{id} at {appliance.address} is offline: {appliance.detail}")

    def _values(self, told: Told, now: float) -> None:
        appliance = told.appliance
        where = self._whereabouts(appliance)
        if where is None:
            if not self._garbage:
                self._complain(f"{appliance.id} at {appliance.address} told something, and there is no such")
            return
        node, device = where
        excused = self._excused[self._number(node)]
        paces = self._tempo(appliance.device)
        for key, edt in told.properties.items():
            epc = key if key <= 0xFF else key >> 8
            pace = paces.get(key)
            said = node.said[device.eoj, epc]
            since = now - (LATE_S if now > self._ordered.get(appliance.id, 0.0) + SETTLES_S else LIMIT_S + LATE_S)
            if now > FIRST_S and pace is not Tempo.ONCE and pace and not said_lately(said, edt, since):
                heard = [(round(at - now, 3), value.hex()) for at, value in said][-3:]
                self._complain(f"{appliance.id} {key:02X} is told as {edt.hex()}, and it said {heard}")
            before = self._last.get((appliance.id, key))
            self._last[appliance.id, key] = now, appliance.interval_s
            if before is not None:
                self._age(appliance, key, before, excused)

    def _age(self, appliance: Appliance, key: int, before: tuple[float, float], excused: float) -> None:
        """Three polls: of the tempo of a property, or of what was told of how often its node can be read."""
        now = self.segment.now
        every_s = self._every(appliance, key)
        if every_s is None or now < max(excused, FIRST_S):
            return
        at, interval_s = before
        age_s, interval_s = now - max(at, excused), max(interval_s, appliance.interval_s)
        polls = age_s / max(every_s, interval_s)
        tempo = "section" if key > 0xFF else Tempo(every_s).name
        self.told_anew[tempo] += 1
        self.intervals[appliance.interval_s] += 1
        self.oldest[tempo] = max(self.oldest.get(tempo, 0.0), polls)
        if polls > 3 and not (self._is_promised(appliance, key) and age_s <= SELDOM_S + 2 * max(every_s, interval_s)):
            what = f"{appliance.id} {key:02X} was {age_s:.1f} s old, its node is read every {interval_s:.1f} s"
            self.late.append(f"{now / HOUR_S:.3f} h: {what}")

    def _every(self, appliance: Appliance, key: int) -> float | None:
        """How often it is to be read, as far as its node can keep up."""
        if key > 0xFF:
            return SECTION_S
        tempo = self._tempo(appliance.device).get(key, Tempo.ONCE)
        return None if tempo is Tempo.ONCE else tempo.value

    def _is_promised(self, appliance: Appliance, key: int) -> bool:
        """Where little gets lost a state is read seldom, while the device keeps its promise to tell changes."""
        fine = not (self.segment.loses_one_of or self.segment.loses)
        fine |= self._number(self._where[appliance.id][0]) in self._repeated
        return fine and self._every(appliance, key) == Tempo.STATE.value and key in appliance.device.announced

    def look(self) -> None:
        """See how old everything is now, though nothing more may be told of it."""
        for appliance in self._ours.network.appliances():
            excused = self._excused[self._number(self._where[appliance.id][0])]
            for (id, key), last in self._last.items():
                if id == appliance.id:
                    self._age(appliance, key, last, excused)

    def _tempo(self, device: Described) -> Mapping[int, Tempo]:
        kept = self._tempos.get(device.eoj)
        if kept is None or kept[0] != device:
            kept = self._tempos[device.eoj] = device, tempo(device)
        return kept[1]

    def _at(self, address: str) -> list[_Heard]:
        return [node for node in self.nodes if address in node.addresses]

    def _number(self, node: _Heard) -> int:
        return self.nodes.index(node)

    def _whereabouts(self, appliance: Appliance) -> tuple[_Heard, Device] | None:
        if (known := self._where.get(appliance.id)) is not None:
            return known
        for node in self._at(appliance.address):
            for device in node.devices:
                if device.eoj == appliance.device.eoj:
                    self._where[appliance.id] = node, device
                    return node, device
        return None

    # --- what is to be seen at the end

    def missing(self) -> list[str]:
        """What is amiss when the weather has been fine for a while: not all there, known, fresh, and once."""
        now, found = self.segment.now, []
        shown = list(self._ours.network.appliances())
        real = {(node.addresses[0], device.eoj) for node in self.nodes for device in node.devices}
        if self._garbage:  # what was said to be there, and never answered
            shown = [each for each in shown if each.known or (each.address, each.device.eoj) in real]
        there = {(each.address, each.device.eoj) for each in shown}
        found += [f"nobody knows of {address} {eoj:06X}" for address, eoj in sorted(real - there)]
        found += [f"{address} has no {eoj:06X}" for address, eoj in sorted(there - real)]
        found += [f"{each.id} is there twice" for each in shown if len(shown) > len(there)]
        for each in shown:
            if not (each.online and each.known):
                found.append(f"{each.id} online {each.online} known {each.known}: {each.detail}")
            for epc, pace in self._tempo(each.device).items():
                most_s = SELDOM_S if pace is Tempo.STATE and epc in each.device.announced else pace.value
                age_s = now - self._last.get((each.id, epc), (-1.0, 0.0))[0]
                if age_s > 1.25 * most_s + SECTION_LIMIT_S * bool(sections(each.device, {})):
                    found.append(f"{each.id} {epc:02X} is {age_s:.0f} s old")
        return found

    def renamed(self) -> list[str]:
        """Devices that had more than one id."""
        ids: dict[Device, list[str]] = defaultdict(list)
        for id, (_, device) in self._where.items():
            ids[device].append(id)
        return [f"{device.eoj:06X}: {', '.join(each)}" for device, each in ids.items() if len(each) > 1]


def said_lately(said: Iterable[tuple[float, bytes]], edt: bytes, since: float) -> bool:
    return any(value == edt and at >= since for at, value in said)


def _contents(data: bytes) -> list[tuple[int, int, bytes]]:
    """EOJ, EPC and EDT of all that an object tells in a frame; of damaged ones what there is."""
    found, rest = [], data[12:]
    while len(rest) >= 2:
        epc, size = rest[:2]
        found.append((int.from_bytes(data[4:7], "big"), epc, rest[2 : 2 + size]))
        rest = rest[2 + size :]
    return found
