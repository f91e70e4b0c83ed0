"""What is believed of one appliance: its values and their ages, if it is there, whose doing a change was. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hemsd.appliances.events import Appliance, Changed, NetworkEvent, Noted, Source, Told
from hemsd.appliances.introspection import Explored
from hemsd.appliances.memory import RememberedAppliance
from hemsd.echonet.classes.catalogue import Rule, class_name, properties_of
from hemsd.echonet.classes.device import Device, Write
from hemsd.echonet.values import PropertyError, State

if TYPE_CHECKING:
    from hemsd.appliances.node import Node

KEPT_MAX: Final = 512  # values of one appliance: 128 properties, and pages of lists
ECHO_S: Final = 10.0  # after an order of ours, in which what changes is its doing
BY_HAND_MAX: Final = 12  # changes by hand that are told of one appliance
BY_HAND_S: Final = 600.0  # within this time: more are no person's doing
WORDS_MAX: Final = 64  # letters of a value in a sentence
BY_ITSELF: Final = frozenset({0x92, 0x93, 0x96, 0x97, 0x98})  # settable, and goes on by itself: timers, line, clock
ENDS: Final[Mapping[tuple[int, int], bytes]] = {  # what comes to this by itself, by class and EPC
    (0x026B, 0xB0): b"\x41",  # heating by hand ends when the tank is hot, and goes on as automatic
    (0x026B, 0xE3): b"\x42",  # a bath is full
    (0x0272, 0xE3): b"\x42",
    (0x027E, 0xDA): b"\x44",  # a vehicle that leaves ends what was ordered for it: standby
    (0x02A1, 0xDA): b"\x44",
}


class Instance:
    """One appliance on a node. Whoever changes it appends the events that this makes."""

    __slots__ = (
        "_ages", "_echo_until", "_noted_at", "_orders", "_same", "_unseen", "_wrote", "detail", "device",
        "explorations", "explored_at", "final", "heard_at", "id", "known", "listed", "node", "notified_at", "online",
        "selectors", "serial", "silences", "since", "values",
    )  # fmt: skip

    def __init__(self, node: Node, appliance: str, device: Device, now: float) -> None:
        self.node = node
        self.id = appliance
        self.device = device
        self.serial = ""
        self.known = False  # what it can do has been found out
        self.final = True  # and there is no more to find out
        self.explored_at = now  # or taken from what is remembered
        self.explorations = 0  # that left something to find out
        self.online = True
        self.detail = "being asked what it can do"
        self.since = now
        self.heard_at: float | None = None
        self.silences = 0  # in a row, of this object
        self.listed = True  # its node says that it has it
        self.values: dict[int, bytes] = {}  # by key of device.Known
        self._same: Mapping[int, bytes] = {}  # what it told last, unless something has changed since
        self._ages: dict[int, tuple[float, Source]] = {}  # of these
        self._noted_at = deque[float](maxlen=BY_HAND_MAX)  # changes by hand
        self.notified_at = float("-inf")
        self._orders = 0  # of ours, under way
        self._echo_until = float("-inf")
        self.selectors: frozenset[int] = frozenset()  # what we ourselves set to read something else
        self._wrote: dict[int, bytes] = {}  # by us, last, and not overridden since
        self._unseen: frozenset[int] = frozenset()  # keys, not told since an order of ours began

    def shown(self) -> Appliance:
        """It as others see it, now."""
        node = self.node
        return Appliance(
            id=self.id,
            device=self.device,
            address=node.address,
            serial=self.serial,
            identified=node.said.identification,
            known=self.known,
            online=self.online,
            since=self.since,
            heard_at=self.heard_at,
            detail=self.detail,
            properties_per_request=node.manners.proven or None,
            interval_s=node.watch.interval_s,
        )

    def remembered(self) -> RememberedAppliance:
        """What the next run is to know of it."""
        return RememberedAppliance.of(self.device, self.serial, known=self.known and self.final)

    @property
    def name(self) -> str:
        """What people recognise it by, as far as is known."""
        made = " ".join(filter(None, (self.device.product, self.serial)))
        return f"{class_name(self.device.code).replace('_', ' ')} {self.id}" + (f" ({made})" if made else "")

    @property
    def gone(self) -> bool:
        """Whether it has been forgotten."""
        return self.node.instances.get(self.device.eoj) is not self

    # --- being there

    def stands(self, *, online: bool, detail: str, now: float) -> list[NetworkEvent]:
        """It is there, or not any more: events where that is new."""
        if online == self.online:
            if detail == self.detail:
                return []
            self.detail = detail
            return [Changed(self.shown())]
        first = self.heard_at is None
        self.online, self.detail, self.since = online, detail, now
        if online:
            self.heard_at = now
        events: list[NetworkEvent] = [Changed(self.shown())]
        if not online:
            events.append(Noted("appliance.lost", "warning", f"{self.name} is gone: {detail}"))
        elif not first:
            events.append(Noted("appliance.back", "info", f"{self.name} is back"))
        return events

    def explored(self, found: Explored) -> list[NetworkEvent]:
        """What it can do has been found out, or found to be something else than before."""
        first, self.known, self.final = not self.known, True, found.final
        detail = "" if found.mapped else "it tells no property maps: only what every one of its class has is used"
        before = self.device, self.serial, self.detail
        self.device, self.serial, self.detail = found.device, found.said.serial, detail
        if not first and before == (self.device, self.serial, detail):
            return []
        events: list[NetworkEvent] = [Changed(self.shown())]
        if first:
            where = f" at {self.node.address}"
            events.append(Noted("appliance.found", "info", f"{self.name} found{where}"))
        return events

    # --- values

    def told(self, properties: Mapping[int, bytes], source: Source, now: float) -> list[NetworkEvent]:
        """It told values, by key of device.Known."""
        self.heard_at, self.silences = now, 0
        if source == "notified":
            self.notified_at = now
        values, ages = self.values, self._ages
        by_hand: Sequence[int] = ()
        if properties is not self._same:
            if not properties.items() <= values.items():
                by_hand = self._changed(properties, source, now)
            self._same = properties
        age = (now, source)
        for key in properties:
            ages[key] = age
        if len(ages) > len(values):  # there was no room for all
            for key in ages.keys() - values.keys():
                del ages[key]
        if self._unseen:
            self._unseen = self._unseen.difference(properties)
        if not by_hand:
            return [Told(self.shown(), source, properties, values, ages)]
        told = Told(self.shown(), source, properties, values, ages, frozenset(by_hand))
        return [told, *self._noted(by_hand, now)]

    def overtaken(self, epcs: Iterable[int], asked_at: float) -> list[int]:
        """Of what was asked then, what it has notified since: the answer to that is older."""
        if self.notified_at <= asked_at:
            return []
        ages = self._ages
        return [epc for epc in epcs if epc in ages and ages[epc][1] == "notified" and ages[epc][0] > asked_at]

    def ordered(self, writes: Iterable[Write]) -> None:
        """An order of ours begins: what changes from now is its doing."""
        self._orders += 1
        self._wrote |= {each.epc: each.edt for write in writes for each in write.properties}
        self._unseen = self._unseen.union(self.values)

    def order_ended(self, now: float) -> None:
        """One is over; its effects may be seen a little later."""
        self._orders -= 1
        self._echo_until = now + ECHO_S

    def _changed(self, properties: Mapping[int, bytes], source: Source, now: float) -> list[int]:
        """Take values that are not all as before, as far as there is room; those that somebody else set."""
        values, by_hand = self.values, []
        for key, edt in properties.items():
            before = values.get(key)
            if before is None:
                if len(values) >= KEPT_MAX:
                    continue
            elif before != edt and key in self.device.settable and self._is_by_hand(key, edt, source, now):
                by_hand.append(key)
            values[key] = edt
        return by_hand

    def _is_by_hand(self, epc: int, edt: bytes, source: Source, now: float) -> bool:
        """Whether a change of what can be set is somebody else's doing; a poll may find late what an order did."""
        if (
            epc in BY_ITSELF
            or ENDS.get((self.device.code, epc)) == edt
            or not self._can_be_set(epc)
            or epc in self.selectors
            or self._orders
            or now < self._echo_until
            or (source == "read" and epc in self._unseen)
            or self._wrote.get(epc) == edt
        ):
            return False
        self._wrote.pop(epc, None)
        return True

    def _can_be_set(self, epc: int) -> bool:
        """Whether its class lets anybody set it, or knows nothing of it, whatever a damaged map says."""
        declared = properties_of(self.device).get(epc)
        return declared is None or declared.set is not Rule.NONE

    def _noted(self, epcs: Iterable[int], now: float) -> Iterator[Noted]:
        """What a person may want to know; of one that changes all the time no more than so much."""
        for epc in epcs:
            if len(self._noted_at) == BY_HAND_MAX and now < self._noted_at[0] + BY_HAND_S:
                return
            self._noted_at.append(now)
            often = len(self._noted_at) == BY_HAND_MAX and now < self._noted_at[0] + BY_HAND_S
            said = in_words(self.device, epc, self.values[epc], self.values)
            text = f"{self.name}: {said}, set by a person or another controller"
            rest = f"; it changes all the time: no more is told for {BY_HAND_S / 60:.0f} minutes" if often else ""
            yield Noted("appliance.by_hand", "info", text + rest)


def in_words(device: Device, epc: int, edt: bytes, known: Mapping[int, bytes]) -> str:
    """A property and its value for people; in hexadecimal where the value means nothing to us."""
    declared = properties_of(device).get(epc)
    if declared is None:
        return f"property {epc:02X} is now {_short(edt.hex().upper())}"
    try:
        value = declared.decode(edt, known)
    except PropertyError:
        value = edt.hex().upper()
    match value:
        case bool():
            said = "on" if value else "off"
        case State():
            said = value.value
        case dict() | list():
            return f"{declared.name.replace('_', ' ')} has changed"
        case _:
            said = _short(f"{value} {declared.unit}".strip())
    return f"{declared.name.replace('_', ' ')} is now {said}"


def _short(text: str) -> str:
    return text if len(text) <= WORDS_MAX else f"{text[:WORDS_MAX]}..."
