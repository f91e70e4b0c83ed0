"""What is told of appliances, as messages: configured names, values in words and units, states for numbers. Pure.

Raw bytes of a property that no class defines go into an ApplianceProperty, one at a time, and nowhere else. Where a
device's text is a frame, which the messages refuse, it is told as malformed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from hemsd.appliances.events import Ages, Answered, Appliance, Noted, Settled
from hemsd.echonet.classes.catalogue import GET_MAP, PropertyClass, class_name, properties_of
from hemsd.echonet.classes.device import Device, Known, Scalar, Tempo
from hemsd.echonet.classes.views import normal, tempo, wishes
from hemsd.echonet.objects import encode_property_map
from hemsd.echonet.values import PropertyError, State, plain
from hemsd.hub.messages import (
    PROPERTY_CODE,
    ApplianceCommand,
    ApplianceProperty,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Domain,
    ErrorCode,
    Event,
    PropertyContent,
    PropertyValue,
    holds_frame,
)

MALFORMED = "malformed"  # data that its property cannot have, or that must not cross
OLD_POLLS = 3  # and a value is not that of now,
FRESH_S = 90.0  # unless it is no older than this
MAPS = frozenset({0x9D, 0x9E, GET_MAP})  # told in ApplianceStatus
MAPS_REMEMBERED = 256  # those that are made
_ID = re.compile("[0-9a-f]{4}-[0-9a-f]{8}")  # of an appliance

Clock = Callable[[float], datetime]
"""From seconds on the monotonic clock of a network to UTC."""


class Believed(NamedTuple):
    """As in events.Told."""

    known: Known
    ages: Ages


class Label(Struct, frozen=True, kw_only=True):
    """What people call an appliance, and which one: by id, or by address and object (None: any that is there)."""

    name: str
    room: str = ""
    id: str = ""
    address: str = ""
    eoj: int | None = None

    def fits(self, appliance: Appliance) -> bool:
        """Whether it is meant for this one."""
        if self.id:
            return self.id == appliance.id
        return self.address == appliance.address and self.eoj in (None, appliance.device.eoj)


class Teller:
    """Says it for one network. What a property means that has not changed is not worked out again."""

    def __init__(self, network: str, labels: Iterable[Label], clock: Clock) -> None:
        self.network = network
        self._labels = tuple(labels)
        self._clock = clock
        self._names: dict[str, str] = {}  # by id
        self._meanings: dict[str, dict[int, _Meaning]] = {}  # by id, then by key of Known
        self._tempos: dict[str, tuple[Device, Mapping[int, float]]] = {}  # by id, as _longest() says

    def forget(self, appliance: str) -> None:
        """There will be no more of it."""
        self._names.pop(appliance, None)
        self._meanings.pop(appliance, None)
        self._tempos.pop(appliance, None)

    def status(self, appliance: Appliance, *, down: str = "", forgotten: bool = False) -> ApplianceStatus:
        """How it stands; `down` says why nothing on its network can be reached."""
        device = appliance.device
        label = next((each for each in self._labels if each.fits(appliance)), Label(name=appliance.id))
        self._names[appliance.id] = label.name
        return ApplianceStatus(
            appliance=appliance.id,
            name=label.name,
            room=label.room,
            kind=class_name(device.code),
            online=appliance.online and not down,
            detail=down or appliance.detail,
            since=self._clock(appliance.since),
            last_heard_at=None if appliance.heard_at is None else self._clock(appliance.heard_at),
            network=self.network,
            address=appliance.address,
            eoj=f"{device.eoj:06X}",
            maker=device.maker,
            product=_crossable(device.product),
            serial=_crossable(appliance.serial),
            release=device.release,
            known=appliance.known,
            readable=_names(device, device.readable),
            settable=_names(device, device.settable),
            announced=_names(device, device.announced),
            wishes=wishes(device),
            properties_per_request=appliance.properties_per_request,
            forgotten=forgotten,
        )

    def state(self, appliance: Appliance, believed: Believed, requested: Mapping[str, Scalar]) -> ApplianceState:
        """All that is believed of it; of what was requested, that which does not read so now.

        Words for what is not told any more, though other things are, are left out.
        """
        known = _with_map(appliance.device, believed.known)
        newest = max((at for at, _ in believed.ages.values()), default=appliance.since)
        fresh = self._without_old(appliance, known, believed, newest)
        values = normal(appliance.device, fresh)
        if holds_frame(values):
            values = {word: value for word, value in values.items() if not holds_frame(value)}
        return ApplianceState(
            appliance=appliance.id,
            at=self._clock(newest),
            values=values,
            properties=dict(self._properties(appliance, believed, known)),
            requested={
                word: value
                for word, value in requested.items()
                if values.get(word) != value and not holds_frame(word, value)
            },
            interval_s=round(appliance.interval_s, 1),
        )

    def _without_old(self, appliance: Appliance, known: Known, believed: Believed, newest: float) -> Known:
        """Without what is older than three polls."""
        device, every_s = self._tempos.get(appliance.id, (None, {}))
        if device is not appliance.device:
            every_s = _longest(appliance.device)
            self._tempos[appliance.id] = appliance.device, every_s
        interval_s = appliance.interval_s
        old = [
            key
            for key, (at, _) in believed.ages.items()
            if newest - at > FRESH_S and newest - at > OLD_POLLS * max(every_s.get(key, math.inf), interval_s)
        ]
        return {key: edt for key, edt in known.items() if key not in old} if old else known

    def _properties(
        self, appliance: Appliance, believed: Believed, known: Known
    ) -> Iterator[tuple[str, PropertyValue]]:
        """Those that its class defines, by name; a further page of a list has its number behind it."""
        defined = properties_of(appliance.device)
        meanings = self._meanings.setdefault(appliance.id, {})
        times = {at: self._clock(at) for at in {at for at, _ in believed.ages.values()}}  # what came together has one
        for key, edt in believed.known.items():
            epc, page = (key, 0) if key <= 0xFF else divmod(key, 0x100)
            if epc in MAPS or (property_ := defined.get(epc)) is None:
                continue
            meaning = meanings.get(key)
            if meaning is None or not meaning.holds(edt, known):
                meaning = meanings[key] = _Meaning(property_, edt, known)
            at, source = believed.ages[key]
            yield (
                f"{property_.name}_{page}" if page else property_.name,
                PropertyValue(
                    value=meaning.value,
                    unit=property_.unit,
                    state=meaning.state,
                    at=times[at],
                    source=source,
                ),
            )

    def answer(self, answered: Answered, known: Known) -> ApplianceProperty:
        """One property: raw, and as it is understood."""
        epc, edt = answered.epc, answered.edt
        property_ = properties_of(answered.appliance.device).get(epc)
        told = ApplianceProperty(
            query=answered.query,
            appliance=answered.appliance.id,
            epc=epc,
            name="" if property_ is None else property_.name,
            error=answered.error,
            last=answered.last,
        )
        if edt is None:
            return told
        if holds_frame(digits := edt.hex().upper()):
            return replace(told, state=MALFORMED)
        told = replace(told, edt=digits)
        if property_ is None:
            return told
        meaning = _Meaning(property_, edt, _with_map(answered.appliance.device, {**known, epc: edt}))
        return replace(told, value=meaning.value, unit=property_.unit, state=meaning.state)

    def result(self, settled: Settled, command: ApplianceCommand, known: Known) -> ApplianceResult:
        """What became of a command, with what was read back by the words that it used."""
        words = _read_back(settled.appliance.device, settled.read_back, known)
        meant = {
            word: f"0x{code[1].upper()}" if (code := PROPERTY_CODE.fullmatch(word)) else word
            for word in command.values
        }
        values = {word: words[name] for word, name in meant.items() if name in words}
        return ApplianceResult(
            command=settled.command,
            appliance=settled.appliance.id,
            outcome=settled.outcome,
            error=cast(ErrorCode, settled.error),
            detail=settled.detail,
            values=values,
        )

    def event(self, noted: Noted, now: float) -> Event:
        """Something for people, with appliances called as people call them."""
        text = _ID.sub(lambda found: self._names.get(found[0], found[0]), noted.text)
        return Event(
            at=self._clock(now), source=Domain.APPLIANCES, kind=noted.kind, severity=noted.severity, text=text
        )


class _Meaning:
    """What the data of a property means, as long as it is the same and scaled by the same."""

    __slots__ = ("_edt", "_scales", "state", "value")

    def __init__(self, property_: PropertyClass, edt: bytes, known: Known) -> None:
        self._edt = edt
        scales = (*property_.coefficients, GET_MAP) if property_.coefficients else ()
        self._scales = tuple((epc, known.get(epc)) for epc in scales)
        self.value: PropertyContent = None
        self.state = ""
        try:
            value = property_.decode(edt, known)
        except PropertyError:
            self.state = MALFORMED
            return
        if isinstance(value, State):
            self.state = value.value
        elif holds_frame(content := plain(value)):
            self.state = MALFORMED
        else:
            self.value = content

    def holds(self, edt: bytes, known: Known) -> bool:
        if self._scales and any(known.get(epc) != scale for epc, scale in self._scales):
            return False
        return edt == self._edt


def epcs_of(device: Device, names: Iterable[str]) -> dict[str, int | None]:
    """The EPC of each property, by name or like 0xF1; None where the class of the device has none of that name."""
    by_name = {each.name: epc for epc, each in properties_of(device).items()}
    return {
        name: int(code[1], 16) if (code := PROPERTY_CODE.fullmatch(name)) is not None else by_name.get(name)
        for name in names
    }


def _longest(device: Device) -> dict[int, float]:
    """How long it may be from one poll of a property to the next, in seconds; longest of what it promised to tell."""
    return {
        epc: Tempo.SLOW.value if each is Tempo.STATE and epc in device.announced else each.value
        for epc, each in tempo(device).items()
    }


def _names(device: Device, epcs: Iterable[int]) -> tuple[str, ...]:
    """Properties by their names, in the order of their codes; unknown ones like 0xF1."""
    defined = properties_of(device)
    return tuple(defined[epc].name if epc in defined else f"0x{epc:02X}" for epc in sorted(epcs))


def _with_map(device: Device, known: Known) -> Known:
    """With the get map, which says what is never told: a coefficient that a device does not have is 1."""
    return {GET_MAP: _get_map(device.readable), **known} if device.readable else known


@lru_cache(MAPS_REMEMBERED)
def _get_map(readable: frozenset[int]) -> bytes:
    return encode_property_map(readable)


def _crossable(text: str) -> str:
    return MALFORMED if holds_frame(text) else text


def _read_back(device: Device, told: Known, known: Known) -> dict[str, Scalar]:
    """What was told just now, by every word for it: the common language's, the property's name, its code."""
    now = _with_map(device, {**known, **told})
    before = normal(device, {key: edt for key, edt in now.items() if key not in told})
    words = {word: value for word, value in normal(device, now).items() if word not in before}
    defined = properties_of(device)
    for epc, edt in told.items():
        words[f"0x{epc:02X}"] = edt.hex().upper()
        if epc in defined and not isinstance(value := _Meaning(defined[epc], edt, now).value, list | dict):
            words[defined[epc].name] = value
    return {word: value for word, value in words.items() if value is not None and not holds_frame(value)}
