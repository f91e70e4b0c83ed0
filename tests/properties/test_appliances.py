"""Malformed traffic of every kind leaves appliances known, read and set, and nothing of it is kept or raised."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.classes import size
from support.devices import device
from support.drivers import until
from support.link import answers, of, settled
from support.netns import street
from support.scripted import (
    AIR_CONDITIONER,
    BATTERY,
    CONTROLLER,
    GET_RES,
    INF,
    INFC,
    LAMP,
    PROFILE,
    US_IPV4,
    US_IPV6,
    House,
    Node,
    air_conditioner,
    appliance,
    battery,
    datagram,
    identification,
    lamp,
)
from support.simulated import world
from support.watched import watching

from drivers.packet import ECHONET_PORT
from hemsd.appliances import dialogue
from hemsd.appliances.events import Told
from hemsd.appliances.memory import INSTANCES_MAX, NODES_MAX
from hemsd.appliances.network import Addresses, Network
from hemsd.appliances.telling import Believed, Teller
from hemsd.echonet.classes.catalogue import properties_of
from hemsd.echonet.classes.typed import VIEWS
from hemsd.echonet.objects import METER
from hemsd.simulator.appliances import AirConditioner, ApplianceNode, GeneralLighting, Temper, serve_nodes

HALL, CELLAR = "192.168.7.20", "fe80::21"
BOTH = Addresses(ipv4=US_IPV4, ipv6=US_IPV6)


def inhabited() -> House:
    """A house whose three appliances are known."""
    house = House(
        {
            HALL: Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1)),
            CELLAR: Node({BATTERY: battery()}, identification(2)),
        },
        own=BOTH,
    )
    house.run(30.0)
    return house


def lives(house: House) -> None:
    """All three are there; one is read as it is, and one is set."""
    there = {each.device.eoj for each in house.network.appliances() if each.online and each.known}
    assert {AIR_CONDITIONER, LAMP, BATTERY} <= there
    objects = house.nodes[HALL].objects
    assert answers(house, AIR_CONDITIONER, 0xBB, within_s=100.0) == {0xBB: objects[AIR_CONDITIONER][0xBB]}
    wished = b"\x31" if objects[LAMP][0x80] == b"\x30" else b"\x30"
    assert settled(house, LAMP, within_s=100.0, x80=wished.hex()).outcome == "applied"
    assert objects[LAMP][0x80] == wished


def sizes(network: Network) -> Iterator[int]:
    """Of every list, set, table and text that a network holds on to, however deep."""
    seen: set[int] = set()
    todo: list[Any] = [network]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | int | float):
            continue
        seen.add(id(one))
        if hasattr(one, "__len__"):
            yield len(one)
        if isinstance(one, str | bytes):
            continue
        if isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
        elif hasattr(one, "__iter__") and hasattr(one, "__len__"):
            todo += list(one)
        names = [name for each in type(one).__mro__ for name in (*getattr(each, "__slots__", ()),)]
        todo += [getattr(one, name, None) for name in names] + list(getattr(one, "__dict__", {}).values())
        if (bound := getattr(one, "__self__", None)) is not None:
            todo.append(bound)


# --- bytes of every kind

RECORDED = [packet.payload for packet in inhabited().sent]
ANSWERED = [answer for payload in RECORDED for node in inhabited().nodes.values() for answer in node.hear(payload)]
FRAMES = sorted(
    {
        *RECORDED[:20],
        *ANSWERED,
        datagram(5, LAMP, PROFILE, INF, (0x80, b"\x30")),
        datagram(5, LAMP, CONTROLLER, INFC, (0x80, b"\x30")),
        datagram(5, PROFILE, PROFILE, INF, (0xD5, b"\2\1\x30\1\2\x90\1")),
        b"\x10\x81\x00\x05\x05\xff\x01\x05\xff\x01\x6e\x01\x81\x01\x08\x01\x80\x00",  # SetGet
    }
)
HEADS = st.sampled_from([b"\x10\x82", b"\x10\x80", b"\x10\x00", b"\x80\x81", b"\xa0\x00", b"\x00\x00", b"HT"])
SERVICES = st.sampled_from([0x00, 0x4F, 0x50, 0x5E, 0x60, 0x64, 0x6E, 0x6F, 0x70, 0x71, 0x75, 0x79, 0x7E, 0x7F, 0xFF])


def cut(frame: bytes, at: int) -> bytes:
    return frame[: at % len(frame)]


def put(frame: bytes, at: int, what: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes((what,)) + frame[at + 1 :]


WHOLE = st.sampled_from(FRAMES)
BYTE = st.integers(0, 255)
MALFORMED = st.one_of(
    st.binary(max_size=60),
    st.builds(cut, WHOLE, BYTE),
    st.builds(put, WHOLE, BYTE, BYTE),
    st.builds(lambda frame, head: head + frame[2:], WHOLE, HEADS),
    st.builds(lambda frame, esv: put(frame, 10, esv), WHOLE, SERVICES),
    st.builds(lambda frame, count: put(frame, 11, count), WHOLE, BYTE),  # OPC lies
    st.builds(lambda frame, size: put(frame, 13, size), WHOLE.filter(lambda frame: len(frame) > 13), BYTE),  # PDC
    st.builds(lambda frame, eoj: frame[:4] + b"\x0f" + eoj + frame[7:], WHOLE, st.binary(min_size=2, max_size=2)),
    st.builds(lambda frame, tail: frame + tail, WHOLE, st.binary(min_size=1, max_size=20)),
    st.builds(lambda one, other: one + other, WHOLE, WHOLE),
    st.sampled_from([b"", bytes(1232), b"\xff" * 1472, b"\x10\x81" * 616]),
)
SENDERS = st.sampled_from([HALL, CELLAR, US_IPV4, US_IPV6, "192.168.7.99", "fe80::bad", "10.1.2.3"])


@given(st.lists(st.tuples(SENDERS, MALFORMED, st.booleans(), st.sampled_from([0.0, 0.02, 1.0])), max_size=12))
def test_malformed_datagrams(comings: list[tuple[str, bytes, bool, float]]) -> None:
    """Garbage, frames cut, bent, lengthened and glued, other formats, lies about numbers and sizes, from anybody."""
    house = inhabited()
    for address, payload, multicast, pause_s in comings:
        house.comes(address, payload, multicast=multicast)
        house.run(pause_s)
    house.run(200.0)
    lives(house)
    assert max(sizes(house.network)) < 1000


def test_each_mutation_of_each_byte() -> None:
    """Every recorded answer with each byte bent once, and cut at each length, between the real ones."""
    house = inhabited()
    chance = random.Random(8)
    for frame in (b"", b"\x10\x81" * 30_000, FRAMES[0] + bytes(65_000), b"\xff" * 65_507):
        house.comes(HALL, frame)
    for frame in ANSWERED:
        for at in range(len(frame)):
            house.comes(HALL, put(frame, at, chance.randrange(256)), after_s=chance.random())
            house.comes(HALL, cut(frame, at), after_s=chance.random())
        house.run(1.0)
    house.run(7300.0)  # what bent lists and numbers said of it is put right by the rounds of discovery
    lives(house)


# --- addresses


def test_thousands_of_made_up_addresses() -> None:
    """Whatever they send, whoever they say they are: room is bounded, known ones stay, made-up ones go."""
    house = inhabited()
    chance = random.Random(9)
    frames = [
        b"\0",
        datagram(1, PROFILE, PROFILE, INF, (0xD5, b"\1\2\x90\1")),
        datagram(1, LAMP, PROFILE, INF, (0x80, b"\x30")),
        datagram(1, PROFILE, CONTROLLER, GET_RES, (0x83, identification(1))),
        datagram(1, CONTROLLER, PROFILE, 0x62, (0xD6, b"")),
    ]
    for n in range(2500):
        address = f"10.0.{n // 250}.{n % 250}" if n % 2 else f"fe80::{n:x}"
        house.comes(address, chance.choice(frames), multicast=bool(n % 3), after_s=chance.random() * 20)
    house.run(20.0)
    assert max(sizes(house.network)) == 2 * NODES_MAX
    lives(house)
    house.run(900.0)
    lives(house)
    assert len(list(house.network.appliances())) == 3
    assert max(sizes(house.network)) < 1000


def test_one_node_says_all_that_it_can() -> None:
    """A thousand notifications of objects, properties and lists that it does not have, and answers to nothing."""
    house = inhabited()
    chance = random.Random(10)
    for _ in range(4000):
        eoj = chance.choice((0x0F0200, 0x029000, 0x013000, 0x0EF000)) + chance.randrange(256)
        told_by = tuple((chance.randrange(256), chance.randbytes(chance.randrange(20))) for _ in range(3))
        esv = chance.choice((INF, INFC, GET_RES, 0x52, 0x71))
        house.comes(
            HALL, datagram(chance.randrange(65536), eoj, PROFILE, esv, *told_by), after_s=chance.random() * 20
        )
    house.run(30.0)
    assert max(sizes(house.network)) < INSTANCES_MAX + 8
    house.run(7300.0)
    lives(house)
    assert len(list(house.network.appliances())) <= 256


# --- data

EDTS: Mapping[str, Any] = {
    "empty": lambda size, chance: b"",
    "a byte short": lambda size, chance: bytes(max(0, size - 1)),
    "a byte long": lambda size, chance: bytes(size + 1),
    "255 bytes": lambda size, chance: b"\xff" * 255,
    "ones": lambda size, chance: b"\xff" * size,
    "the highest": lambda size, chance: b"\x7f" + b"\xff" * (size - 1),
    "at random": lambda size, chance: chance.randbytes(size),
    "of a random size": lambda size, chance: chance.randbytes(chance.randrange(256)),
    "text": lambda size, chance: b"\x00\xff\x80'\"\n\x1b[2J\xe6\x97"[:size] or b"\n",
}
MAPS = {0x9D, 0x9E, 0x9F}
TELLER = Teller("living", (), lambda at: datetime.fromtimestamp(at, UTC))
STATES = msgspec.json.Encoder()


@pytest.mark.parametrize("how", EDTS)
@pytest.mark.parametrize("group", [0x00, 0x01, 0x02, 0x03])
def test_malformed_data_of_every_property_of_every_class(group: int, how: str) -> None:
    """Read and notified: nothing is raised, up to the message; when it makes sense again all is read and set."""
    chance = random.Random(11)
    eojs = {code << 8 | 1: device(code) for code in sorted(VIEWS) if code >> 8 == group and code != METER >> 8}
    sound = {
        eoj: appliance(dict.fromkeys(each.readable - MAPS, b"\x30"), settable=sorted(each.settable)[:12])
        for eoj, each in eojs.items()
    }
    bad = {
        eoj: {epc: EDTS[how](size(properties_of(each)[epc].data), chance)[:255] for epc in sorted(each.readable)}
        for eoj, each in eojs.items()
    }
    objects = {
        eoj: sound[eoj] | {epc: edt for epc, edt in edts.items() if epc not in MAPS} for eoj, edts in bad.items()
    }
    house = House({HALL: Node(objects, identification(1))})
    house.run(120.0)
    for eoj, edts in bad.items():
        for batch in zip(*[iter(edts.items())] * 5, strict=False):
            house.comes(HALL, datagram(1, eoj, PROFILE, INF, *batch), multicast=True, after_s=chance.random() * 20)
    house.run(30.0)
    for event in house.events:
        if isinstance(event, Told):
            STATES.encode(TELLER.state(event.appliance, Believed(event.known, event.ages), {}))
    for eoj, edts in sound.items():
        objects[eoj] = dict(edts)
    house.run(70.0)
    assert {each.device.eoj for each in house.network.appliances() if each.online and each.known} == eojs.keys()
    for eoj in eojs:
        if 0x80 in of(house, eoj).device.settable:
            assert answers(house, eoj, 0x80, within_s=30.0) == {0x80: b"\x30"}
            assert settled(house, eoj, within_s=30.0, x80="31").outcome == "applied"


@pytest.mark.parametrize("how", EDTS)
def test_malformed_lists_and_maps(how: str) -> None:
    """What it says that it has and can do makes no sense at first: when it announces itself it is understood."""
    chance = random.Random(13)
    bad = {epc: EDTS[how](17, chance) for epc in (0x9D, 0x9E, 0x9F)}
    node = Node({LAMP: lamp() | bad}, identification(1))
    node.profile = {epc: EDTS[how](16, chance) for epc in (0x83, 0x8A, 0xD3, 0xD4, 0xD6, 0xD7)}
    house = House({HALL: node})
    house.run(300.0)
    house.comes(HALL, node.tell(LAMP, (0x80, b"\x30")), multicast=True)
    house.run(300.0)
    node.objects[LAMP] = lamp()
    node.profile = {}
    house.comes(HALL, node.announcement(), multicast=True)
    house.run(300.0)
    (found,) = [each for each in house.network.appliances() if each.online]
    assert found.device.readable == lamp().keys()
    assert settled(house, LAMP, x80="30").outcome == "applied"


# --- on a real port


@pytest.mark.needs("ip", "root")
async def test_malformed_datagrams_on_a_real_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of them, by unicast, to the group and too long: what was known is read and set while they come."""
    monkeypatch.setattr(dialogue, "GAP_S", 0.0)
    chance = random.Random(12)
    with street() as link:
        link.home.ip("link", "set", "lo", "up")
        w = world()
        node = ApplianceNode(w, [AirConditioner(w), GeneralLighting(w)], "127.0.0.2", temper=Temper(answer_s=0.0))
        async with serve_nodes([node], "lo"), watching("lo") as ours:
            await ours.knows("127.0.0.2")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.77", 0))
                for n in range(3000):
                    frame = chance.choice(FRAMES)
                    payload = (
                        chance.randbytes(chance.randrange(100)),
                        cut(frame, chance.randrange(256)),
                        put(frame, chance.randrange(256), chance.randrange(256)),
                        frame + chance.randbytes(1400),
                    )[n % 4]
                    stranger.sendto(payload, ("127.0.0.1", ECHONET_PORT))
                    if not n % 100:
                        await asyncio.sleep(0)
                stranger.sendto(bytes(60_000), ("127.0.0.1", ECHONET_PORT))
                await ours.works("127.0.0.2")
            malformed = ours.network.counters()["malformed"]
            assert malformed > 100
            await until(lambda: ours.port.dropped["too long"])
