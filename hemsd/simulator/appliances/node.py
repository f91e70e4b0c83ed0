"""A node with appliances: UDP datagrams in, datagrams out, on a clock that is told to it.

ECHONET Lite specification part II: services (3.2.5, 4.2), start-up (4.3), announcements (4.3.2). Answers go to port
3610 of whoever asked, whatever port the question came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import NamedTuple

from hemsd.simulator.agenda import Agenda
from hemsd.simulator.appliances import frame as f
from hemsd.simulator.appliances.device import MAPS, Device, Profile
from hemsd.simulator.appliances.frame import Frame, Property
from hemsd.simulator.appliances.temper import ECHONET_PORT, Temper, spoilt_map
from hemsd.simulator.appliances.world import World

REBOOT_S = 5.0
WELL_BEHAVED = Temper()


class Said(NamedTuple):
    """A datagram from the node, always to port 3610; to everyone of the source's family where `to` is None."""

    source: str
    to: str | None
    payload: bytes
    port: int = ECHONET_PORT  # it comes from


class ApplianceNode:
    """Switched on when `now` is 0. `temper` may be changed while it runs.

    `addresses`: one, or one of each family. `identity`: the 17 bytes of EPC 83 of the node and all its devices; None:
    it has no such property; by default made up from the address, and different for each object.
    """

    def __init__(
        self,
        world: World,
        devices: Iterable[Device],
        *addresses: str,
        temper: Temper = WELL_BEHAVED,
        maker: int = 0xFFFFFF,
        identity: bytes | None = b"",
    ) -> None:
        self.world = world
        self.devices = tuple(devices)
        self.profile = Profile(world, self.devices)
        self.addresses = addresses
        self.temper = temper
        self._chance = Random(f"{world.seed} {addresses}")  # noqa: S311 (a simulation, no secret)
        self._agenda = Agenda()
        self._outgoing: list[Said] = []
        self._silent_until = self._busy_until = self._answered_at = 0.0
        self._next_step = world.step_s
        self._tid = 0
        self._name_objects(maker, identity)
        self._agenda.after(0.0, self._greet)

    def _name_objects(self, maker: int, identity: bytes | None) -> None:
        unique = self._chance.randbytes(10)
        for each in (self.profile, *self.devices):
            own = b"\xfe" + maker.to_bytes(3, "big") + unique + each.eoj.to_bytes(3, "big")
            each.identity = identity or own
            if identity is None:
                each.rows = {epc: row for epc, row in each.rows.items() if epc != 0x83}
            each.changed()

    # --- time

    def receive(self, sender: str, payload: bytes, now: float, *, multicast: bool = False) -> None:
        """Take a datagram, sent to us or to everyone."""
        self.tick(now)
        if multicast and not self.temper.hears_all:
            return
        asked = f.parse(payload) if f.is_request(payload) else None
        if asked is None or now < max(self._silent_until, self._busy_until):
            return
        objects = self._addressed(asked.deoj)
        if objects and not self._overwhelmed(asked, now):
            for each in objects:
                self._obey(each, asked, sender)

    def tick(self, now: float) -> None:
        """Let time pass: everything due by `now` happens, in order."""
        while (due := self.deadline()) <= now:
            self._agenda.run(due)
            if self._next_step <= due:
                self._next_step += self.world.step_s
                self._step(due)
        self._agenda.run(now)

    def deadline(self) -> float:
        """When tick() is wanted next."""
        planned = self._agenda.deadline()
        return self._next_step if planned is None else min(planned, self._next_step)

    def outgoing(self) -> list[Said]:
        """What it sends, in order; empties."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _step(self, now: float) -> None:
        for device in self.devices:
            device.advance(now)
        for device in self.devices:
            self._announce(device)

    # --- what happens to it

    def device(self, eoj: int) -> Device:
        return next(device for device in self.devices if device.eoj == eoj)

    def by_hand(self, device: Device, epc: int, edt: bytes) -> None:
        """A person at the device, or at its remote control, sets something."""
        if not device.set(epc, edt):
            raise ValueError(f"{device.eoj:06X} cannot be set to {epc:02X} = {edt.hex()}")
        self._announce(device)

    def fall_silent(self, seconds: float) -> None:
        """It neither hears nor says anything for so long."""
        self._silent_until = self._agenda.now + seconds

    def reboot(self, seconds: float = REBOOT_S) -> None:
        """Its supply fails for a moment: then it greets again."""
        self._agenda.clear()
        self.fall_silent(seconds)
        self._tid = 0
        self._agenda.after(seconds, self._greet)

    def move(self, *addresses: str, greets: bool = True) -> None:
        """It gets other addresses, as from a router that was started anew."""
        self.addresses = addresses
        if greets:
            self._greet()

    def utter(self, payload: bytes, to: str | None = None) -> None:
        """It says this, whatever it is."""
        self._say(payload, to)

    # --- requests

    def _addressed(self, deoj: int) -> list[Device]:
        """The objects that an object code means; instance 00: all of the class, of the profile: all there are."""
        if deoj >> 8 == self.profile.code:
            wanted: list[Device] = [self.profile] if deoj & 0xFF <= 1 else []
            return [*wanted, *self.devices] if deoj & 0xFF == 0 else wanted
        if deoj & 0xFF:
            return [device for device in self.devices if device.eoj == deoj]
        return [device for device in self.devices if device.code == deoj >> 8]

    def _overwhelmed(self, asked: Frame, now: float) -> bool:
        """Whether the request is one that makes it say nothing."""
        temper, epcs = self.temper, {epc for epc, _ in asked.properties}
        if len(epcs & temper.never_together) > 1 or epcs & temper.unspeakable:
            return True
        if temper.at_most is None or len(asked.properties) <= temper.at_most:
            return False
        if temper.beyond == "gone":
            self.fall_silent(temper.gone_s)
        return temper.beyond in ("silence", "gone")

    def _obey(self, device: Device, asked: Frame, sender: str) -> None:
        temper = self.temper
        answers = [
            f.build(Frame(asked.tid, device.eoj, asked.seoj, esv, properties))
            for esv, properties in _SERVICES[asked.esv](self, device, asked)
        ]
        now = self._agenda.now
        self._answered_at = max(self._answered_at, now + temper.answer_s * self._chance.uniform(0.75, 1.25))
        wait_s = self._answered_at - now  # answers come in the order of the questions
        if temper.gap_s:
            self._busy_until = self._answered_at + temper.gap_s
        if temper.announces_first:
            self._announce(device)
        for answer in answers:
            to = None if asked.esv == f.INF_REQ and answer[f.ESV] == f.INF else sender
            if wait_s:
                self._agenda.after(wait_s, partial(self._say, answer, to, sender))
            else:
                self._say(answer, to, sender)
        if wait_s:
            self._agenda.after(wait_s, partial(self._announce, device))
        else:
            self._announce(device)

    def _get(self, device: Device, asked: Frame) -> _Answers:
        answer = self._read(device, asked, device.get)
        if answer is None:
            return [(f.GET_SNA, tuple(Property(epc) for epc, _ in asked.properties))]
        whole = len(answer) == len(asked.properties) and all(edt is not None for _, edt in answer)
        properties = tuple(Property(epc, edt or b"") for epc, edt in answer)
        if self.temper.splits and len(properties) > 1:
            readable = tuple(each for each, (_, edt) in zip(properties, answer, strict=True) if edt is not None)
            first = readable[: (len(readable) + 1) // 2]
            rest = tuple(each for each in properties if each not in first)
            return [(f.GET_RES, first)] * bool(first) + [(f.GET_SNA, rest)] * bool(rest)
        return [(f.GET_RES if whole else f.GET_SNA, properties)]

    def _inform(self, device: Device, asked: Frame) -> _Answers:
        answer = self._read(device, asked, lambda epc: device.get(epc) or device.shows(epc)) or ()
        properties = tuple(Property(epc, edt or b"") for epc, edt in answer)
        whole = len(answer) == len(asked.properties) and all(edt is not None for _, edt in answer)
        return [(f.INF if whole else f.INF_SNA, properties)]

    def _read(
        self, device: Device, asked: Frame, look: Callable[[int], bytes | None]
    ) -> tuple[tuple[int, bytes | None], ...] | None:
        """The properties that it manages; None where all that it says is that it does not."""
        temper, properties = self.temper, asked.properties
        if temper.at_most is not None and len(properties) > temper.at_most:
            if temper.beyond == "empty":
                return None
            properties = properties[: temper.at_most]
        device.advance(self._agenda.now)
        values = ((epc, None if epc in temper.unreadable else look(epc)) for epc, _ in properties)
        return tuple((epc, spoilt_map(temper, edt) if epc in MAPS and edt else edt) for epc, edt in values)

    def _set(self, device: Device, asked: Frame) -> _Answers:
        temper, answered = self.temper, []
        whole = temper.at_most is None or len(asked.properties) <= temper.at_most
        for epc, edt in asked.properties[: temper.at_most]:
            if epc in temper.without_effect and epc in device.epcs("s"):
                accepted = True
            else:
                accepted = epc not in temper.unsettable and device.set(epc, edt)
            answered.append(Property(epc, b"" if accepted else edt))
            whole = whole and accepted
        if whole:
            return [(f.SET_RES, tuple(answered))] if asked.esv == f.SET_C else []
        sna = f.SET_C_SNA if asked.esv == f.SET_C and not temper.refuses_as_set_i else f.SET_I_SNA
        return [(sna, tuple(answered))]

    def _confirm(self, device: Device, asked: Frame) -> _Answers:
        return [(f.INFC_RES, tuple(Property(epc) for epc, _ in asked.properties))]

    # --- what it says by itself

    def _greet(self) -> None:
        if self.temper.greets:
            for first in range(0, max(len(self.devices), 1), Profile.LISTED):
                self._tell(self.profile, (Property(0xD5, self.profile.instances(first)),))

    def _announce(self, device: Device) -> None:
        changed = device.changed()
        if changed and self.temper.announces:
            self._tell(device, tuple(Property(epc, device.shows(epc) or b"") for epc in changed))

    def _tell(self, device: Device, properties: tuple[Property, ...]) -> None:
        self._tid = (self._tid + 1) % 0x10000
        told = f.build(Frame(self._tid, device.eoj, f.PROFILE, f.INF, properties))
        self._say(told, None)
        if self.temper.announces_on_both and len(self.addresses) > 1:
            self._say(told, None, self.addresses[1])

    def _say(self, payload: bytes, to: str | None, like: str = "") -> None:
        """Send from the address of the family of `to`, or of `like`, or from the first."""
        if self._agenda.now < self._silent_until:
            return
        wanted = to or like
        ours = [address for address in self.addresses if not wanted or (":" in address) == (":" in wanted)]
        for source in ours[:1]:
            self._outgoing += [Said(source, to, payload, self.temper.source_port)] * self.temper.copies


_Answers = list[tuple[int, tuple[Property, ...]]]
_SERVICES: dict[int, Callable[[ApplianceNode, Device, Frame], _Answers]] = {
    f.GET: ApplianceNode._get,
    f.SET_C: ApplianceNode._set,
    f.SET_I: ApplianceNode._set,
    f.INF_REQ: ApplianceNode._inform,
    f.INFC: ApplianceNode._confirm,
}
