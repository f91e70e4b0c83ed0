"""Whatever comes from whatever address, the network of appliances goes on, and stays within its bounds."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import (
    AIR_CONDITIONER,
    BATTERY,
    CONTROLLER,
    LAMP,
    PROFILE,
    House,
    Node,
    air_conditioner,
    battery,
    datagram,
    identification,
    lamp,
)

from hemsd.appliances.memory import Remembered
from hemsd.echonet.classes.device import Tempo
from hemsd.echonet.classes.views import tempo

SEEDS = [random.randrange(1 << 32) for _ in range(50)] if os.environ.get("HEMSD_SOAK") else range(4)

HALL, CELLAR = "192.168.7.20", "fe80::21"

objects = st.sampled_from([PROFILE, CONTROLLER, AIR_CONDITIONER, LAMP, BATTERY, 0x0F0201, 0x0EF000, 0x029000])
services = st.sampled_from(
    [0x50, 0x51, 0x52, 0x53, 0x5E, 0x60, 0x61, 0x62, 0x63, 0x6E, 0x71, 0x72, 0x73, 0x74, 0x7A, 0x7E]
)
epcs = st.sampled_from(
    [0x80, 0x81, 0x82, 0x83, 0x8A, 0x8C, 0x8D, 0x9D, 0x9E, 0x9F, 0xB0, 0xB3, 0xD5, 0xD6, 0xD7, 0x00]
)
edts = st.binary(max_size=18) | st.sampled_from(
    [b"\1\2\x90\1", b"\2\1\x30\1\2\x90\1", identification(1), identification(2), b"\x54"]
)
frames = st.builds(
    lambda tid, seoj, deoj, esv, told, tail: datagram(tid, seoj, deoj, esv, *told) + tail,
    st.integers(0, 60),  # our own are as low in the first minutes
    objects,
    objects,
    services,
    st.lists(st.tuples(epcs, edts), max_size=4),
    st.binary(max_size=2),
)
payloads = st.binary(min_size=1, max_size=40) | frames
addresses = st.sampled_from([HALL, CELLAR, "192.168.7.22", "fe80::23", "10.0.0.1"])
comings = st.lists(
    st.tuples(addresses, payloads, st.booleans(), st.sampled_from([0.0, 0.01, 0.3, 2.0, 40.0])), max_size=12
)


@given(comings)
def test_anything_from_anywhere(comings: list[tuple[str, bytes, bool, float]]) -> None:
    """Bytes and frames of every kind, among the answers of real nodes: nothing is raised, all is well later."""
    house = House(
        {
            HALL: Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1)),
            CELLAR: Node({BATTERY: battery()}, identification(2)),
        },
        asked=(HALL, CELLAR),
        chance=lambda: 0.0,
    )
    house.run(2.0)
    for address, payload, multicast, pause_s in comings:
        house.comes(address, payload, multicast=multicast)
        house.run(pause_s)
    house.run(120.0)
    assert len(house.events) < 2000
    assert len(house.sent) < 2000
    kept = house.network.remember()
    assert Remembered.restored(kept).nodes
    assert len(Remembered.restored(kept).nodes) == len(kept["nodes"]) <= 8
    house.run(700.0)
    there = {each.device.eoj for each in house.network.appliances() if each.online and each.known}
    assert {AIR_CONDITIONER, LAMP, BATTERY} <= there


@pytest.mark.parametrize("seed", SEEDS)
def test_every_third_datagram_is_lost(seed: int) -> None:
    """Of the others some come twice or late: all is found and stays known, and is fresh as soon as it gets better."""
    draw = random.Random(seed)
    house = House(
        {
            HALL: Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1)),
            "192.168.7.21": Node({BATTERY: battery()}, identification(2)),
        }
    )
    house.lose = lambda packet, outward: draw.random() < 1 / 3
    house.vary = lambda: [0.0, *([draw.random() * 2.0] if draw.random() < 1 / 3 else [])]
    for _ in range(9):  # of one seed the first eleven datagrams to and from a node are all lost
        house.run(100.0)
        for address, node in house.nodes.items():
            house.comes(address, node.announcement(), multicast=True)
    there = list(house.network.appliances())
    assert {each.device.eoj for each in there if each.known} == {AIR_CONDITIONER, LAMP, BATTERY}
    assert len(there) == 3
    assert {epc for each in there for epc in house.values(each.id)} > {0x80, 0x88, 0xB0, 0xB3, 0xB6, 0xD3, 0xE4}
    house.lose = lambda packet, outward: False
    house.run(200.0)
    for each in house.network.appliances():
        assert each.online
        paces = {epc: pace for epc, pace in tempo(each.device).items() if pace in (Tempo.LIVE, Tempo.STATE)}
        ages = {epc: house.now - house.values(each.id)[epc][1] for epc in paces}
        assert {f"{epc:02X}": age for epc, age in ages.items() if age > 3 * paces[epc].value} == {}
