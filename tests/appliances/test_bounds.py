"""What nobody on the link can make larger than it may be: what is told, what is kept, who is known."""

from __future__ import annotations

from support.scripted import House, Node, appliance, identification, lamp

from hemsd.appliances.events import Noted
from hemsd.appliances.instance import BY_HAND_MAX, BY_HAND_S, in_words
from hemsd.appliances.memory import APPLIANCES_MAX, NODES_MAX
from hemsd.appliances.registry import Registry
from hemsd.echonet.classes.device import Device

LAMP, WATER_HEATER = 0x029001, 0x026B01
HALL = "192.168.7.20"


def test_one_that_changes_all_the_time_is_not_told_for_ever() -> None:
    """A lamp that flickers by notification: so many lines, the last of which says that there are no more for now."""
    house = House({HALL: Node({LAMP: lamp()}, identification(1))})
    house.run(60.0)

    def flicker(times: int) -> list[str]:
        for n in range(times):
            frame = house.nodes[HALL].tell(LAMP, (0x80, b"\x30" if n % 2 else b"\x31"))
            house.comes(HALL, frame, multicast=True, after_s=n / 10)
        events = house.run(times / 10 + 1.0)
        return [each.text for each in events if isinstance(each, Noted) and each.kind == "appliance.by_hand"]

    texts = flicker(200)
    assert len(texts) == BY_HAND_MAX
    assert ["all the time" in text for text in texts] == [False] * (BY_HAND_MAX - 1) + [True]
    house.run(BY_HAND_S)
    assert flicker(2)


def test_a_change_is_told_in_a_short_sentence() -> None:
    """Of a value in many parts, that it changed; of data that nobody defines, how they begin."""
    heater = Device(eoj=WATER_HEATER)
    parts = bytes([7, 31, 13]) + bytes(48)
    assert in_words(heater, 0xD9, parts, {}) == "surplus power prediction has changed"
    assert len(in_words(heater, 0xF1, bytes(255), {})) < 100


def test_appliances_of_a_network_are_bounded() -> None:
    """Hosts that say that they have hundreds each: no more are taken on than the house keeps in mind."""
    many = {0x029000 | n: appliance({0x80: b"\x30"}) for n in range(1, 0x55)}
    house = House({f"192.168.7.{n}": Node(dict(many), identification(n)) for n in range(20, 34)})
    house.run(60.0)
    assert len(list(house.network.appliances())) == APPLIANCES_MAX
    assert house.network.counters()["appliances_too_many"]


def test_claims_that_are_shared_are_bounded() -> None:
    """Two hosts may make up the same number again and again: the oldest of them are forgotten."""
    registry = Registry()
    for n in range(NODES_MAX + 5):
        registry.share(f"83:{n}")
    assert len(registry.shared) == NODES_MAX
    assert "83:4" not in registry.shared
    assert f"83:{NODES_MAX + 4}" in registry.shared
