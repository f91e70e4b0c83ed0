"""What outlives a run, and what damage to it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import House, Node, identification, lamp

from hemsd.appliances.memory import Remembered, RememberedAppliance, RememberedNode, plain
from hemsd.echonet.classes.device import Device

DEVICE = Device(
    eoj=0x013001,
    release="P",
    readable=frozenset({0x80, 0x9F, 0xB0}),
    settable=frozenset({0x80, 0xB0}),
    announced=frozenset({0x80}),
    maker="00000B",
    product="RAS-X1",
)
NODE = RememberedNode(
    identity="83:FE00000B00000000000000000000000001",
    addresses=["192.168.7.20", "fe80::20"],
    identification="FE00000B" + "0" * 25 + "1",
    maker="00000B",
    manners={"proven": 4},
    appliances=[RememberedAppliance.of(DEVICE, "12345", known=True)],
)


def written(node: RememberedNode = NODE, **changed: Any) -> dict[str, Any]:
    data = json.loads(json.dumps(plain([node, RememberedNode(identity="at://fe80::9")], {"83:FE"}, b"\x08")))
    return {**data, **changed}


def test_what_is_written_is_read() -> None:
    """Through JSON and back: nodes, where they were, what they can do and bear; claims; where we stand."""
    kept = Remembered.restored(written())
    assert kept.nodes == (NODE, RememberedNode(identity="at://fe80::9"))
    assert kept.nodes[0].appliances[0].device == DEVICE
    assert kept.nodes[0].said.identification.startswith("FE")
    assert (kept.shared, kept.location) == ({"83:FE"}, b"\x08")


@pytest.mark.parametrize("nothing", [None, [], "", 3, {}, {"version": 2}, {"version": 1, "nodes": 7}])
def test_what_is_no_memory(nothing: object) -> None:
    """Nothing is known then, and nothing is wrong."""
    assert Remembered.restored(nothing) == Remembered()


def test_damage_costs_what_is_damaged() -> None:
    """A node that does not hold together is left out, an appliance that does not, alone; the rest is there."""
    data = written()
    data["nodes"].insert(0, {"identity": 5})
    data["nodes"][1]["appliances"].insert(0, {"eoj": "not hex"})
    data["nodes"].append({**data["nodes"][1], "addresses": ["http://example"]})
    data["shared"].append(5)
    data["location"] = "zz"
    kept = Remembered.restored(data)
    assert kept.nodes == (NODE, RememberedNode(identity="at://fe80::9"))
    assert (kept.shared, kept.location) == ({"83:FE"}, b"\x00")


def test_nobody_is_there_twice() -> None:
    """Two records of one identity, or at one address, cannot both be right: the first is believed. Nor is no host."""
    data = written()
    data["nodes"].append({"identity": NODE.identity, "addresses": ["192.168.7.30"]})
    data["nodes"].append({"identity": "at://192.168.7.20", "addresses": ["192.168.7.20", "fe80::30"]})
    data["nodes"].append({"identity": "at://0", "addresses": ["::::", "ff02::1"]})
    kept = Remembered.restored(data)
    assert [(node.identity, node.addresses) for node in kept.nodes] == [
        (NODE.identity, ["192.168.7.20", "fe80::20"]),
        ("at://fe80::9", []),
        ("at://192.168.7.20", ["fe80::30"]),
        ("at://0", []),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.integers(0, 40), json_values), max_size=3))
def test_any_damage_is_borne(damage: list[tuple[int, Any]]) -> None:
    """Whatever stands in the place of anything, the rest is read and nothing is raised."""
    data: Any = written()
    for at, value in damage:
        places: list[tuple[Any, Any]] = []
        _places(data, places)
        if places:
            where, key = places[at % len(places)]
            where[key] = value
    kept = Remembered.restored(data)
    assert Remembered.restored(plain(kept.nodes, kept.shared, kept.location)) == kept
    house = House({"192.168.7.20": Node({0x029001: lamp()}, identification(1))}, remembered=kept)
    house.run(120.0)
    assert [each.address for each in house.network.appliances() if each.online] == ["192.168.7.20"]


def _places(data: Any, found: list[tuple[Any, Any]]) -> None:
    for key, value in list(data.items()) if isinstance(data, dict) else list(enumerate(data)):
        found.append((data, key))
        if isinstance(value, dict | list):
            _places(value, found)
