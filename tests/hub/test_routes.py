"""The doors of every configuration, at each level of exposure, walked one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import get_args

import msgspec
import pytest
from msgspec import inspect
from support.hub import VALUES, heard, make

from hemsd.hub.hub import Denial, Hub
from hemsd.hub.messages import Domain, Message, MeterProperty, MeterReading, MeterStatus
from hemsd.hub.queue import POLICIES
from hemsd.hub.requirements import Profile
from hemsd.hub.routes import DOORS_6_4_3, ROUTES_6_4_3, Exposure, Routes, doors

# The table of messages as the architecture has it, for exposure `aggregates`: message, senders, receivers.
DOORS = """
MeterReading         routeb                  history control gateway operator
MeterStatus          routeb                  history control gateway operator
MeterInterval        routeb                  history control gateway operator
MeterDay             routeb                  history
MeterMinute          routeb                  history
PowerCompanyRequest  routeb                  control
ReadMeter            operator history        routeb
Backfill             operator history        routeb
BackfillProgress     routeb                  history operator
MeterProperty        routeb                  operator history
SiteAggregate        control                 gateway operator history
ApplianceState       appliances              control history operator
ApplianceStatus      appliances              control history operator
ApplianceResult      appliances              control history operator
ApplianceProperty    appliances              control
ApplianceCommand     control                 appliances
ApplianceQuery       control                 appliances
UserRequest          operator                control
UserResponse         control                 operator
ProviderEvent        gateway                 control
Decision             control                 history gateway operator
Records              history                 gateway operator
RecordsAfter         gateway operator        history
HistoryHead          history                 gateway
LifetimeEnergy       history                 gateway
HistoryQuery         gateway operator        history
HistoryAnswer        history                 gateway operator
Event                *                       history gateway operator
Health               *                       history gateway operator
IsolationStatus      routeb appliances       history gateway operator
"""
# What the home gateway has besides, from a level on.
OPENED = {
    "aggregates": "",
    "appliances": """
ApplianceState       appliances              gateway
ApplianceStatus      appliances              gateway
ApplianceResult      appliances              gateway
""",
    "control": """
UserRequest          gateway                 control
UserResponse         control                 gateway
""",
}
# Without a controller in the home (6.2): history can be looked at, and whoever asks for more is answered.
DOORS_6_2 = """
SiteAggregate        control                 operator history
UserRequest          operator                control
UserResponse         control                 operator
Decision             control                 history operator
Records              history                 operator
RecordsAfter         operator                history
HistoryQuery         operator                history
HistoryAnswer        history                 operator
Event                control history operator history operator
Health               control history operator history operator
"""
LEVELS = get_args(Exposure)
PROFILES = get_args(Profile)
KINDS = {kind.__name__: kind for kind in Message.__subclasses__()}


Triples = set[tuple[Domain, str, Domain]]


def table(text: str) -> Triples:
    found = set()
    for line in text.strip().splitlines():
        if not line:
            continue
        name, rest = line[:21].strip(), line[21:]
        senders = list(Domain) if rest[:24].strip() == "*" else [Domain(word) for word in rest[:24].split()]
        found |= set(product(senders, [name], [Domain(word) for word in rest[24:].split()]))
    return found


def expected(level: Exposure = "aggregates", profile: Profile = "6.4.3") -> Triples:
    if profile == "6.2":
        return table(DOORS_6_2)
    if profile.startswith("6.3"):
        kept = {each for each in table(DOORS) if Domain.GATEWAY not in each}
        return kept | {(Domain.CONTROL, "SiteAggregate", Domain.ROUTEB)}
    return table(DOORS + "".join(OPENED[each] for each in LEVELS[: LEVELS.index(level) + 1]))


async def opened(routes: Routes) -> Triples:
    """What really gets through, from every domain to a seat of every domain, its own included."""
    found = set()
    for sender, (name, kind) in product(Domain, KINDS.items()):
        for receiver in Domain:
            hub = Hub(routes)
            ears = {domain: hub.seat(domain) for domain in Domain}
            message = make(kind, sender, receiver)
            hub.seat(sender).publish(message)
            if message in await heard(ears[receiver]):
                found.add((sender, name, receiver))
            elif "to" in kind.__struct_fields__:
                assert hub.denied == {Denial(sender, name, receiver): 1}
    return found


@pytest.mark.parametrize(("profile", "level"), list(product(PROFILES, LEVELS)))
async def test_only_the_doors_of_the_architecture_are_open(profile: Profile, level: Exposure) -> None:
    """T-GUARD: every triple of domain, message and domain passes, or does not, as the table of the profile says."""
    assert await opened(doors(profile, level)) == expected(level, profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_nobody_outside_reaches_the_meter(profile: Profile) -> None:
    """T-GUARD: whatever is exposed, nothing of gateway or appliances has a door to the meter's domain, or back."""
    for level in LEVELS:
        doors_to = {domain: {door for door, to in doors(profile, level).items() if domain in to} for domain in Domain}
        assert {sender for sender, _ in doors_to[Domain.ROUTEB]} <= {Domain.CONTROL, Domain.HISTORY, Domain.OPERATOR}
        assert {sender for sender, _ in doors_to[Domain.APPLIANCES]} <= {Domain.CONTROL}


async def test_without_a_word_only_sums_are_exposed() -> None:
    """The routes that go by the name of the configuration are those of the lowest level."""
    assert DOORS_6_4_3["aggregates"] is ROUTES_6_4_3


async def test_a_breach_would_be_found() -> None:
    """Control: with one door too many, the walk above finds it."""
    breached = {**ROUTES_6_4_3, (Domain.GATEWAY, MeterStatus): frozenset({Domain.ROUTEB})}
    assert await opened(breached) == expected() | {(Domain.GATEWAY, "MeterStatus", Domain.ROUTEB)}


def test_the_set_of_messages_is_closed() -> None:
    """Every message has its row in the table and its way of waiting; there is no other."""
    rows = {line.split()[0] for line in DOORS.strip().splitlines()}
    assert rows == set(KINDS) == {kind.__name__ for kind in POLICIES}


def carriers_of_bytes(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Types within a type that are bytes or could hold them."""
    bad = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType, inspect.RawType, inspect.ExtType)
    if isinstance(kind, (*bad, inspect.AnyType, inspect.CustomType)):
        yield kind
    inner = [getattr(kind, name, None) for name in ("item_type", "key_type", "value_type")]
    inner += [*getattr(kind, "item_types", ()), *getattr(kind, "types", ())]
    inner += [field.type for field in getattr(kind, "fields", ())]
    for part in inner:
        if isinstance(part, inspect.Type):
            yield from carriers_of_bytes(part)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_no_message_can_carry_bytes(kind: type[Message]) -> None:
    """No field of any message is of type bytes, or of a type that may be, however deep."""
    assert list(carriers_of_bytes(inspect.type_info(kind))) == []


class Deep(msgspec.Struct):
    """Holds bytes, well hidden."""

    inner: tuple[dict[str, list[bytes | None]], object]


class Outer(msgspec.Struct):
    """Holds what holds them."""

    deep: Deep | None


def test_bytes_would_be_found() -> None:
    """Control: bytes are seen in a list, dict, tuple, struct and union; so is what may be anything."""
    assert [type(found) for found in carriers_of_bytes(inspect.type_info(Outer))] == [
        inspect.BytesType,
        inspect.CustomType,
    ]


FRAME = "1081000102880105FF017201E704000001F4"


@pytest.mark.parametrize("field", ["edt", "value"])
@pytest.mark.parametrize("frame", [FRAME, FRAME.lower(), "1082" + "00" * 10])
def test_a_frame_in_hex_is_refused(field: str, frame: str) -> None:
    """A whole ECHONET Lite frame cannot be put into a property as text."""
    with pytest.raises(ValueError, match="a frame may not cross"):
        make(MeterProperty, Domain.ROUTEB, Domain.OPERATOR, **{field: frame})


@pytest.mark.parametrize("edt", ["1081", "1081000102880105FF0172", "FF" * 255, ""])
def test_a_property_in_hex_passes(edt: str) -> None:
    """Control: a property passes, even one whose data happen to begin like a frame."""
    message = make(MeterProperty, Domain.ROUTEB, Domain.OPERATOR, edt=edt)
    assert isinstance(message, MeterProperty)
    assert message.edt == edt


@pytest.mark.parametrize("edt", ["FF" * 256, "F", " 00", "00\n", "GG"])
def test_what_is_not_hex_is_refused(edt: str) -> None:
    """Data of a property are whole bytes in hexadecimal, 255 at most: nothing else fits in there."""
    with pytest.raises(ValueError, match="hexadecimal"):
        make(MeterProperty, Domain.ROUTEB, Domain.OPERATOR, edt=edt)


def test_messages_cannot_be_changed() -> None:
    """What was published stays as it was."""
    reading = MeterReading(meter=VALUES["meter"], measured_at=VALUES["at"])
    with pytest.raises(AttributeError):
        reading.power_w = 1  # type: ignore[misc]
