"""Who is who on a network of appliances, who is there, and what outlives a restart: whole courses in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.link import noted, of, told
from support.scripted import (
    AIR_CONDITIONER,
    ATTIC,
    BATTERY,
    CELLAR,
    ECOCUTE,
    HALL,
    HALL_6,
    LAMP,
    US_IPV4,
    US_IPV6,
    House,
    Node,
    appliance,
    cellar,
    hall,
    identification,
    lamp,
    property_map,
)

from drivers.packet import ALL_NODES_IPV4
from hemsd.appliances.events import Changed, Forgotten, Noted, Settled
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses

BOTH = Addresses(ipv4=US_IPV4, ipv6=US_IPV6)


# --- who is who


def test_a_node_moves() -> None:
    """8.11: at another address it is who it was: same ids, told once, and watched there."""
    house = House({HALL: hall()})
    house.run(30.0)
    ids = {each.id for each in house.network.appliances()}
    house.nodes[ATTIC] = house.nodes.pop(HALL)
    house.comes(ATTIC, house.nodes[ATTIC].announcement(), multicast=True)
    events = house.run(120.0)
    assert {each.id for each in house.network.appliances()} == ids
    assert {each.address for each in house.network.appliances()} == {ATTIC}
    assert all(each.online for each in house.network.appliances())
    (text,) = noted(events, "moved")
    assert f"from {HALL} to {ATTIC}" in text
    assert told(house.run(60.0), LAMP)


def test_a_node_moves_and_nobody_hears_of_it() -> None:
    """Its greeting is lost: it is found soon after it was missed, and not by chance within the hour."""
    house = House({HALL: hall(), CELLAR: cellar()})
    house.run(1000.0)
    house.nodes[ATTIC] = house.nodes.pop(HALL)
    events = house.run(200.0)
    assert noted(events, "lost")
    assert {each.address for each in house.network.appliances()} == {ATTIC, CELLAR}
    assert all(each.online for each in house.network.appliances())


def test_a_node_that_does_not_come_back_costs_two_rounds() -> None:
    """Of asking everybody; after that it is looked for where it was."""
    house = House({HALL: hall(), CELLAR: cellar()}, chance=lambda: 0.999)
    house.run(1000.0)
    house.nodes[HALL].off = house.nodes[CELLAR].off = True
    sent = len(house.sent)
    house.run(2400.0)
    assert len([each for each in house.sent[sent:] if each.address == ALL_NODES_IPV4]) == 2


def test_two_nodes_with_one_number_stay_apart() -> None:
    """A number that two living nodes tell identifies neither: the second is known by its address."""
    house = House({HALL: Node({LAMP: lamp()}, identification(7)), ATTIC: Node({LAMP: lamp()}, identification(7))})
    house.run(60.0)
    both = list(house.network.appliances())
    assert {each.address for each in both} == {HALL, ATTIC}
    assert len({each.id for each in both}) == 2
    assert all(each.known and each.online for each in both)
    assert not noted(house.events, "moved")


def test_nodes_without_a_number_stay_apart() -> None:
    """83 absent, and all zero behind the maker: known by address."""
    house = House(
        {
            HALL: Node({LAMP: lamp()}, b""),
            ATTIC: Node({LAMP: lamp()}, identification(0)),
            CELLAR: Node({LAMP: lamp()}, identification(0)),
        }
    )
    house.run(60.0)
    assert len({each.id for each in house.network.appliances()}) == 3
    assert all(each.known and not each.identified for each in house.network.appliances())


def test_instances_that_share_a_number_stay_apart() -> None:
    """8.11: the number is the same for a node and all its instances."""
    shared = {**lamp(), 0x83: identification(1)}
    house = House({HALL: Node({0x029001: dict(shared), 0x029002: dict(shared)}, identification(1))})
    house.run(30.0)
    assert len({each.id for each in house.network.appliances()}) == 2


def test_one_node_on_both_families_is_one() -> None:
    """8.16: found by IPv4 and IPv6 it is one node, and a notification that comes by both counts once."""
    node = hall()
    house = House({HALL: node, HALL_6: node}, own=BOTH)
    house.run(60.0)
    assert len(list(house.network.appliances())) == 2
    frame = node.tell(LAMP, (0x80, b"\x30"))
    house.comes(HALL, frame, multicast=True)
    house.comes(HALL_6, frame, multicast=True, after_s=0.01)
    assert [each.source for each in told(house.run(0.1), LAMP)] == ["notified"]
    assert house.network.counters()["repeated"] == 1


def test_falls_back_to_the_other_family() -> None:
    """When a node is silent on one family it is asked on the other, and stays there."""
    node = hall()
    house = House({HALL: node, HALL_6: node}, own=BOTH)
    house.run(60.0)
    first = of(house, LAMP).address
    del house.nodes[first]
    events = house.run(300.0)
    assert not noted(events, "lost")
    assert of(house, LAMP).address != first
    assert told(house.run(100.0), LAMP)


def test_an_address_is_somebody_elses() -> None:
    """A node that tells another number at a known address is another node; the one before is where it now is."""
    house = House({HALL: hall(), CELLAR: cellar()})
    house.run(400.0)
    house.nodes[HALL], house.nodes[CELLAR] = house.nodes[CELLAR], house.nodes[HALL]
    for address, node in house.nodes.items():
        house.comes(address, node.announcement(), multicast=True)
    house.run(120.0)
    assert len(list(house.network.appliances())) == 3
    assert of(house, BATTERY).address == HALL
    assert of(house, LAMP).address == CELLAR
    assert all(each.online and each.known for each in house.network.appliances())


def test_a_number_that_is_new_at_each_boot() -> None:
    """8.11: a node that tells another number after every start loses that claim, and leaves no dead behind."""
    house = House({HALL: hall()})
    house.run(60.0)
    for boot in range(2, 8):
        house.nodes[HALL].identification = identification(boot)
        house.run(400.0)
        house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
        house.run(60.0)
    assert len(list(house.network.appliances())) == 2
    assert all(each.online and each.known and not each.identified for each in house.network.appliances())
    ids = {each.id for each in house.network.appliances()}
    again = House({HALL: hall()}, remembered=Remembered.restored(house.network.remember()))
    again.nodes[HALL].identification = identification(99)
    again.run(30.0)
    assert {each.id for each in again.network.appliances() if each.online} == ids


def test_two_alike_change_places() -> None:
    """Two nodes alike in all but their number, whose addresses were swapped twice, are who they were."""
    house = House({HALL: Node({LAMP: lamp()}, identification(1)), ATTIC: Node({LAMP: lamp()}, identification(2))})
    house.run(60.0)
    before = {each.id: each.address for each in house.network.appliances()}
    for _ in range(2):
        house.run(400.0)
        house.nodes[HALL], house.nodes[ATTIC] = house.nodes[ATTIC], house.nodes[HALL]
        for address, node in house.nodes.items():
            house.comes(address, node.announcement(), multicast=True)
        house.run(60.0)
    assert {each.id: each.address for each in house.network.appliances()} == before
    assert all(each.online for each in house.network.appliances())


def test_both_families_are_not_met_at_once() -> None:
    """8.9: a node with both has one buffer; it is met on IPv4 first, and recognised on IPv6 soon after."""
    node = hall()
    house = House({HALL: node, HALL_6: node}, own=BOTH)
    house.run(4.0)
    asked = [each.address for each in house.sent if each.address in (HALL, HALL_6)]
    assert asked
    assert set(asked) == {HALL}
    house.run(30.0)
    assert len(list(house.network.appliances())) == 2
    assert HALL_6 in house.network.remember()["nodes"][0]["addresses"]


def test_forgotten_while_somebody_claims_to_be_it() -> None:
    """Who waits to hear whether a node is where it was goes on when that one is forgotten."""
    house = House({CELLAR: cellar()})
    house.run(100.0)
    battery_id = of(house, BATTERY).id
    house.nodes[ATTIC] = house.nodes.pop(CELLAR)
    house.comes(ATTIC, house.nodes[ATTIC].announcement(), multicast=True)
    house.run(5.0)
    house.network.forget("c", battery_id)
    house.run(30.0)
    assert (of(house, BATTERY).id, of(house, BATTERY).address) == (battery_id, ATTIC)


def test_who_is_nowhere_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no room for one more, a node whose address is somebody else's, and that is nowhere, goes."""
    monkeypatch.setattr("hemsd.appliances.registry.NODES_MAX", 2)
    monkeypatch.setattr("hemsd.appliances.network.NODES_MAX", 2)
    house = House({HALL: hall()})
    house.run(400.0)
    house.nodes[HALL] = cellar()
    house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
    house.run(60.0)
    assert len(list(house.network.appliances())) == 3
    house.nodes[ATTIC] = Node({LAMP: lamp()}, identification(9))
    house.comes(ATTIC, house.nodes[ATTIC].announcement(), multicast=True)
    house.run(60.0)
    assert {each.address for each in house.network.appliances()} == {HALL, ATTIC}
    house.nodes[CELLAR] = Node({LAMP: lamp()}, identification(10))
    house.comes(CELLAR, house.nodes[CELLAR].announcement(), multicast=True)
    house.run(60.0)
    assert {each.address for each in house.network.appliances()} == {HALL, ATTIC}  # those are there


def test_a_number_that_comes_late() -> None:
    """A node whose number got lost is asked for it again before it is known by anything worse."""
    node = cellar()
    node.silent_epcs = frozenset({0x83})
    house = House({CELLAR: node})
    house.run(40.0)
    assert not list(house.network.appliances())
    node.silent_epcs = frozenset()
    house.run(40.0)
    assert of(house, BATTERY).identified == identification(2).hex().upper()


def test_a_number_that_never_comes() -> None:
    """A node that is always silent about its number is known by its address in the end."""
    node = cellar()
    node.silent_epcs = frozenset({0x83})
    house = House({CELLAR: node})
    house.run(300.0)
    assert of(house, BATTERY).known
    assert not of(house, BATTERY).identified


def test_what_is_not_said_again_stays_known() -> None:
    """A node that refuses its number once is still who it was, and known by it when it moves."""
    house = House({CELLAR: cellar()})
    house.run(400.0)
    house.nodes[CELLAR].identification = b""
    house.comes(CELLAR, house.nodes[CELLAR].announcement(), multicast=True)
    house.run(60.0)
    assert of(house, BATTERY).identified == identification(2).hex().upper()
    assert Remembered.restored(house.network.remember()).nodes[0].identification


# --- gone and back


def test_a_silent_node_is_lost_and_comes_back() -> None:
    """Three silences and it is gone, once told; any frame and it is back, its values read anew."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.nodes[HALL].off = True
    events = house.run(300.0)
    assert len(noted(events, "lost")) == 2
    assert {(each.online, "no answer" in each.detail) for each in house.network.appliances()} == {(False, True)}
    sent = len(house.sent)
    house.run(3600.0)
    assert len(house.sent) - sent < 100  # asked now and then
    house.nodes[HALL].off = False
    house.nodes[HALL].objects[AIR_CONDITIONER][0xBB] = b"\x15"
    house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
    events = house.run(5.0)
    assert len(noted(events, "back")) == 2
    assert told(events, AIR_CONDITIONER)[-1].known[0xBB][0] == b"\x15"
    assert all(each.online for each in house.network.appliances())


def test_a_plug_is_pulled() -> None:
    """Three silences of 20 s without a pause: soon it is gone; what a person wants of it meanwhile counts as well."""
    took = {}
    for wanted in ("nothing", "order", "query"):
        house = House({CELLAR: cellar()})
        house.run(300.0)
        house.nodes[CELLAR].off, pulled_at = True, house.now
        (appliance,) = house.network.appliances()
        if wanted == "order":
            house.network.order("c", appliance.id, {"0xDA": "42"})
        elif wanted == "query":
            house.network.query("q", appliance.id, (0xDA,))
        while not noted(house.run(1.0), "lost"):
            assert house.now - pulled_at < 75.0
        took[wanted] = house.now - pulled_at
    assert took["query"] < took["nothing"]
    assert took["order"] < took["nothing"]


def test_it_is_told_how_much_is_answered_at_once() -> None:
    """As it is found out, each time it is twice as much; that is a handful of times in the life of a node."""
    house = House({HALL: hall()})
    house.run(1200.0)
    shown = [each.appliance for each in house.events if isinstance(each, Changed)]
    told = [each.properties_per_request for each in shown if each.device.eoj == AIR_CONDITIONER]
    assert told[-1] == of(house, AIR_CONDITIONER).properties_per_request
    assert told[-1] is not None
    assert told[-1] >= 4
    assert len(told) < 8


def test_a_lost_node_is_asked_for_ever() -> None:
    """One that says nothing by itself is back within minutes after it can answer again."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.nodes[HALL].off = True
    house.run(7200.0)
    house.nodes[HALL].off = False
    house.run(800.0)
    assert all(each.online for each in house.network.appliances())


def test_one_appliance_of_a_node_is_silent() -> None:
    """A node that is there, and one of whose objects says nothing any more: that one is lost."""
    house = House({HALL: hall()})
    house.run(60.0)
    values = house.nodes[HALL].objects.pop(LAMP)
    house.nodes[HALL].profile = {0xD5: b"\2\1\x30\1\2\x90\1", 0xD6: b"\2\1\x30\1\2\x90\1"}
    house.run(600.0)
    assert not of(house, LAMP).online
    assert of(house, AIR_CONDITIONER).online
    house.nodes[HALL].objects[LAMP] = values
    house.run(700.0)
    assert of(house, LAMP).online


def test_one_property_that_draws_silence() -> None:
    """Once it is known it is asked by itself; the others come at their tempo, and in company."""
    node = hall()
    house = House({HALL: node})
    house.run(60.0)
    node.silent_epcs = frozenset({0xB0})
    house.run(600.0)
    begun = len(node.asked)
    for _ in range(60):
        house.run(60.0)
        known = house.values(of(house, AIR_CONDITIONER).id)
        assert max(house.now - known[epc][1] for epc in (0xB3, 0xBB)) < 100.0
    asked = [{epc for epc, _ in each.properties} for each in node.asked[begun:]]
    assert [each for each in asked if 0xB0 in each and len(each) > 1] == []
    assert len([each for each in asked if 0xB0 not in each]) < 2.2 * 60  # two appliances, once a minute
    assert house.network.remember()["nodes"][0]["manners"]["alone"] == []


def test_an_instance_disappears_and_returns() -> None:
    """What a node does not list any more is gone, and back when it is listed again, as the same."""
    house = House({HALL: hall()})
    house.run(60.0)
    before = of(house, LAMP).id
    values = house.nodes[HALL].objects.pop(LAMP)
    house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
    events = house.run(10.0)
    assert len(noted(events, "lost")) == 1
    assert not of(house, LAMP).online
    assert of(house, AIR_CONDITIONER).online
    house.nodes[HALL].objects |= {LAMP: values, ECOCUTE: appliance({0xB2: b"\x42"})}
    house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
    house.run(30.0)
    assert of(house, LAMP).online
    assert of(house, LAMP).id == before
    assert of(house, ECOCUTE).known
    assert told(house.run(100.0), LAMP)


def test_forgotten_and_found_anew() -> None:
    """A forgotten appliance is told of no more; a later sign of life finds it under the same id."""
    house = House({CELLAR: cellar()})
    house.run(100.0)
    battery_id = of(house, BATTERY).id
    battery = house.nodes.pop(CELLAR)
    house.network.forget("c", battery_id)
    events = house.run(100.0)
    assert [each.outcome for each in events if isinstance(each, Settled)] == ["applied"]
    assert len([each for each in events if isinstance(each, Forgotten)]) == 1
    assert not house.network.has(battery_id)
    assert house.network.remember()["nodes"] == []
    house.nodes[CELLAR] = battery
    house.comes(CELLAR, house.nodes[CELLAR].tell(BATTERY, (0x80, b"\x30")), multicast=True)
    events = house.run(30.0)
    assert of(house, BATTERY).id == battery_id
    assert noted(events, "found")


@pytest.mark.parametrize(("address", "node", "eoj"), [(CELLAR, cellar, BATTERY), (HALL, hall, LAMP)])
def test_forgotten_by_mistake(address: str, node: Callable[[], Node], eoj: int) -> None:
    """What is still there is asked for, and back in a moment; the others of its node were never gone."""
    house = House({address: node()})
    house.run(100.0)
    before = sorted(each.id for each in house.network.appliances())
    house.network.forget("c", of(house, eoj).id)
    events = house.run(15.0)
    assert sorted(each.id for each in house.network.appliances()) == before
    assert [each.kind for each in events if isinstance(each, Noted)] == ["appliance.found"]


def test_maps_change_with_a_restart() -> None:
    """8.15: what a device can do is asked anew when it was away or announces itself; the old maps hold until then."""
    house = House({HALL: hall()})
    house.run(60.0)
    values = house.nodes[HALL].objects[LAMP]
    values |= {0xB0: b"\x64", 0x82: b"\0\0S\0"}
    values[0x9F] = property_map(values)
    house.run(400.0)
    assert 0xB0 not in of(house, LAMP).device.readable
    house.comes(HALL, house.nodes[HALL].announcement(), multicast=True)
    events = house.run(20.0)
    assert 0xB0 in of(house, LAMP).device.readable
    assert of(house, LAMP).device.release == "S"
    assert not noted(events, "found")
    house.run(30.0)
    assert 0xB0 in house.values(of(house, LAMP).id)


def test_maps_are_looked_at_once_a_day() -> None:
    """8.15: and so even if it never says a word about it; a look in vain changes nothing."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.nodes[HALL].silent_epcs = frozenset({0x9D, 0x9E, 0x9F})
    device = of(house, LAMP).device
    house.run(100_000.0)
    assert of(house, LAMP).device == device
    house.nodes[HALL].silent_epcs = frozenset()
    house.nodes[HALL].objects[LAMP][0x9E] = property_map({0x80})
    asked = len(house.nodes[HALL].asked)
    house.run(90_000.0)
    assert of(house, LAMP).device.settable == {0x80}
    assert sum((0x9F, b"") in each.properties for each in house.nodes[HALL].asked[asked:]) < 6


# --- memory


def test_known_at_once_after_a_restart() -> None:
    """Nodes, maps and manners outlive the process; unheard they are not online, and asked by themselves at once."""
    before = House({HALL: hall(), CELLAR: cellar()})
    before.run(100.0)
    after = House({HALL: hall(), CELLAR: cellar()}, remembered=Remembered.restored(before.network.remember()))
    assert after.network.remember() == before.network.remember()
    for node in after.nodes.values():
        node.deaf_to_all = True
    events = after.run(0.1)
    assert {each.appliance.id for each in events if isinstance(each, Changed) and not each.appliance.online} == {
        each.id for each in before.network.appliances()
    }
    events = after.run(20.0)
    assert all(each.online and each.known for each in after.network.appliances())
    assert not noted(events, "found")
    assert not noted(events, "back")
    assert {each.device for each in after.network.appliances()} == {
        each.device for each in before.network.appliances()
    }
    assert not any(0x9F in dict(each.properties) for each in after.nodes[HALL].asked)  # its maps are known


def test_moved_while_nobody_looked() -> None:
    """A node that has another address after a restart is who it was."""
    before = House({HALL: hall()})
    before.run(100.0)
    after = House({ATTIC: hall()}, remembered=Remembered.restored(before.network.remember()))
    after.run(200.0)
    assert {each.id for each in after.network.appliances()} == {each.id for each in before.network.appliances()}
    assert {each.address for each in after.network.appliances()} == {ATTIC}
    assert all(each.online for each in after.network.appliances())
