"""Mistakes of echonet-lite with what nodes say of themselves: who they are, what they have, what they can do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from support.link import AT, BESIDE, Link, answers, noted, of, settled, told
from support.scripted import (
    AIR_CONDITIONER,
    BATTERY,
    GET,
    LAMP,
    PROFILE,
    Heard,
    House,
    Node,
    appliance,
    battery,
    identification,
    lamp,
    property_map,
)
from support.simulated import world

from hemsd.simulator.appliances import AirConditioner, ApplianceNode, GasMeter, GeneralLighting, Photovoltaics, Temper

THIRD = "192.168.7.22"
PHOTOVOLTAICS, GAS_METER = 0x02791F, 0x028201


def ids(bench: House | Link) -> set[str]:
    return {each.id for each in bench.network.appliances()}


# --- 10: what there is


def test_mistake_10_d5_is_never_read() -> None:
    """It is for announcing, and some refuse a Get: it is asked to be announced (INF_REQ), and D6 is what is read."""
    bench = House({AT: Node({LAMP: lamp()}, identification(1))})
    bench.run(4000.0)
    asked = [
        (heard.esv, epc) for each in bench.sent for heard in [Heard.of(each.payload)] for epc, _ in heard.properties
    ]
    assert (GET, 0xD5) not in asked
    assert (GET, 0xD6) in asked
    assert (0x63, 0xD5) in asked


def test_mistake_10_a_list_holds_84() -> None:
    """A node of 90 lamps lists 84 in D6, and announces the rest in a second D5: all are known, and stay so."""
    w = world()
    lamps = [GeneralLighting(w, instance=number) for number in range(1, 91)]
    there = ApplianceNode(w, lamps, AT)
    bench = Link(there)
    bench.run(60.0)
    there.reboot()
    bench.run(900.0)
    there.fall_silent(200.0)  # and is met anew, which brings the list of 84 alone
    for after_s in (0.0, 600.0):
        bench.run(after_s)
        found = list(bench.network.appliances())
        assert {each.device.eoj for each in found} == {0x029000 + number for number in range(1, 91)}
        assert all(each.known and each.online for each in found)


def test_mistake_10_instances_begin_with_any_number() -> None:
    """OMRON's photovoltaics is 1F: it is found as that, read as that, and 01 is never asked for."""
    bench = Link(ApplianceNode(world(), [Photovoltaics(world(), instance=0x1F)], AT))
    bench.run(120.0)
    assert {each.device.eoj for each in bench.network.appliances()} == {PHOTOVOLTAICS}
    assert told(bench.events, PHOTOVOLTAICS)[-1].known[0xE0]
    assert {each.frame.deoj for each in bench.asked()} == {PROFILE, PHOTOVOLTAICS}


# --- 11: who is who


def test_mistake_11_an_address_is_not_an_identity() -> None:
    """DHCP gives others: two nodes that swap theirs are who they were, each with its own values."""
    hall = Node({LAMP: lamp()}, identification(1))
    cellar = Node({BATTERY: battery()}, identification(2))
    bench = House({AT: hall, BESIDE: cellar})
    bench.run(60.0)
    before = ids(bench)
    bench.nodes = {AT: cellar, BESIDE: hall}
    for address, node in bench.nodes.items():
        bench.comes(address, node.announcement(), multicast=True)
    bench.run(120.0)
    assert ids(bench) == before
    assert (of(bench, LAMP).address, of(bench, BATTERY).address) == (BESIDE, AT)
    assert answers(bench, BATTERY, 0xE4) == {0xE4: b"\x32"}


def test_mistake_11_83_may_be_the_same_for_all_instances() -> None:
    """The node's number on each of its lamps: they are as many appliances, and a write is for one of them."""
    w = world()
    lamps = [GeneralLighting(w, instance=number) for number in (1, 2, 3)]
    bench = Link(ApplianceNode(w, lamps, AT, identity=identification(77)))
    bench.run(60.0)
    assert len(ids(bench)) == 3
    assert settled(bench, 0x029002, on=True).outcome == "applied"
    assert [each[0x80] for each in lamps] == [b"\x31", b"\x30", b"\x31"]


@pytest.mark.parametrize("number", [b"", identification(0), b"\xfe\x00\x00\x0b" + b"\xff" * 13, b"\xfe\x00\x00"])
def test_mistake_11_83_may_be_absent_or_say_nothing(number: bytes) -> None:
    """No number, zeros, ones, or too short a one: two such nodes are two, and the same two after a restart."""
    bench = House({AT: Node({LAMP: lamp()}, number), BESIDE: Node({LAMP: lamp()}, number)})
    bench.run(60.0)
    assert len(ids(bench)) == 2
    assert all(each.known and each.online and not each.identified for each in bench.network.appliances())
    again = House(bench.nodes)
    again.run(60.0)
    assert ids(again) == ids(bench)


def test_mistake_11_without_83_the_serial_number_goes_with_the_device() -> None:
    """As with a meter of the first generation: 8D and 8A know it at another address."""
    told_serial = {0x8D: b"SN-0001\0\0\0\0\0"}
    bench = House({AT: Node({LAMP: lamp()}, b"", profile=told_serial)})
    bench.run(60.0)
    before = ids(bench)
    bench.nodes[BESIDE] = bench.nodes.pop(AT)
    bench.comes(BESIDE, bench.nodes[BESIDE].announcement(), multicast=True)
    bench.run(300.0)
    assert ids(bench) == before
    assert of(bench, LAMP).address == BESIDE


def test_mistake_11_two_nodes_may_have_the_same_83() -> None:
    """Copied from a sample: neither is taken for the other, and neither keeps moving."""
    same = identification(7)
    bench = House({AT: Node({LAMP: lamp()}, same), BESIDE: Node({BATTERY: battery()}, same)})
    bench.run(3600.0)
    assert (of(bench, LAMP).address, of(bench, BATTERY).address) == (AT, BESIDE)
    assert all(each.online for each in bench.network.appliances())
    assert noted(bench.events, "moved") == []


def test_mistake_11_83_may_be_random_per_boot() -> None:
    """A node that makes up a number at each start is not a new appliance for each of them."""
    bench = House({AT: Node({LAMP: lamp()}, identification(100))})
    bench.run(60.0)
    for boot in range(1, 11):
        node = bench.nodes[AT] = Node({LAMP: lamp()}, identification(100 + boot))
        bench.comes(AT, node.announcement(), multicast=True)
        bench.run(700.0)
    found = list(bench.network.appliances())
    assert len([each for each in found if each.online]) == 1
    assert len(found) <= 4


# --- 15: what it can do


def lying(device: Any, **temper: Any) -> tuple[Link, ApplianceNode]:
    node = ApplianceNode(world(), [device], AT, temper=Temper(**temper))
    bench = Link(node)
    bench.run(400.0)
    return bench, node


def test_mistake_15_9d_promises_what_never_comes() -> None:
    """Announced in 9D and never told: a poll finds the change within a minute or so, the first one and the next."""
    bench, node = lying(AirConditioner(world()), announces=False, greets=False)
    device = node.device(AIR_CONDITIONER)
    assert 0xB3 in of(bench, AIR_CONDITIONER).device.announced
    for edt in (b"\x1c", b"\x1d"):
        node.by_hand(device, 0xB3, edt)
        bench.run(75.0)
        assert bench.network_known(AIR_CONDITIONER)[0xB3] == edt


def test_mistake_15_9e_holds_what_is_refused_or_ignored() -> None:
    """The outcome says so, and the next write of something else works."""
    unsettable, ignored = frozenset({0xA0}), frozenset({0xB3})
    bench, _ = lying(AirConditioner(world()), unsettable=unsettable, without_effect=ignored)
    outcomes = [
        settled(bench, AIR_CONDITIONER, **{word: edt}).outcome for word, edt in (("xA0", "32"), ("xB3", "1C"))
    ]
    assert outcomes == ["rejected", "unverified"]
    assert settled(bench, AIR_CONDITIONER, on=True).outcome == "applied"


@pytest.mark.parametrize("silent", [0x84, 0x80, 0xB9, 0xB8, 0x82])
def test_mistake_15_9f_holds_what_is_not_there(silent: int) -> None:
    """A property without a value, and one that it is silent about: all else is read, and the device is online."""
    bench, _ = lying(AirConditioner(world()), unreadable=frozenset({0xBB}), unspeakable=frozenset({silent}))
    bench.run(3600.0)
    known = bench.network_known(AIR_CONDITIONER)
    assert {0xBB, silent}.isdisjoint(known)
    assert {0x80, 0xB0, 0xB3, 0xA0, 0x84, 0x85, 0xBA, 0xAA} - {silent} <= known.keys()
    assert of(bench, AIR_CONDITIONER).online
    assert not noted(bench.events, "lost")
    in_vain = [each.at for each in bench.asked(since=2000.0) if (silent, b"") in each.frame.properties]
    assert len([1 for before, at in pairwise(in_vain) if at - before > 60.0]) <= 4  # every ten minutes,
    assert len(in_vain) < 100  # and then not for long


@pytest.mark.parametrize("device", [AirConditioner, GasMeter])
@pytest.mark.parametrize("temper", [{"miscounts": 5}, {"miscounts": -1}, {"pads_maps": True}])
def test_mistake_15_maps_out_of_shape(device: Any, temper: dict[str, Any]) -> None:
    """A count that is not that of the entries, a list filled up with zeros: what it can do is known all the same."""
    sound, _ = lying(device(world()))
    bench, _ = lying(device(world()), **temper)
    (said,), (meant,) = list(bench.network.appliances()), list(sound.network.appliances())
    assert (said.device.readable, said.device.settable, said.device.announced) == (
        meant.device.readable,
        meant.device.settable,
        meant.device.announced,
    )


def test_mistake_15_lists_in_any_order_and_twice() -> None:
    """Maps and instance lists come in the order that pleases their maker, with repetitions."""
    strange = appliance({0x80: b"\x30", 0xB6: b"\x41"})
    strange[0x9F] = bytes((8, 0xB6, 0x9F, 0x80, 0x80, 0x9E, 0x9D, 0xB6, 0x88))
    strange[0x9E] = b"\x03\xb6\x80\xb6"
    listed = b"\x03\x02\x90\x02\x02\x90\x01\x02\x90\x02"
    node = Node({0x029001: strange, 0x029002: dict(strange)}, identification(1), profile={0xD5: listed, 0xD6: listed})
    bench = House({AT: node})
    bench.run(60.0)
    found = {each.device.eoj: each.device for each in bench.network.appliances()}
    assert found.keys() == {0x029001, 0x029002}
    for device in found.values():
        assert device.readable == {0x80, 0x88, 0x9D, 0x9E, 0x9F, 0xB6}
        assert device.settable == {0x80, 0xB6}
    assert property_map(found[0x029001].settable) == b"\x02\x80\xb6"
