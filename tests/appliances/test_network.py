"""Whole courses of a network of appliances, in virtual time against nodes written from the manual."""

from __future__ import annotations

import pytest
from support.scripted import (
    AIR_CONDITIONER,
    BATTERY,
    BOARD,
    CONTROLLER,
    ECOCUTE,
    GET,
    GET_RES,
    INF,
    INFC,
    INFC_RES,
    LAMP,
    PROFILE,
    SET_RES,
    SETC,
    US_IPV4,
    US_IPV6,
    Heard,
    House,
    Node,
    air_conditioner,
    appliance,
    battery,
    datagram,
    identification,
    lamp,
    property_map,
)

from drivers.packet import ALL_NODES, ALL_NODES_IPV4
from hemsd.appliances.events import Answered, Appliance, Changed, Forgotten, NetworkEvent, Noted, Settled, Told
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses

HALL, CELLAR, ATTIC = "192.168.7.20", "192.168.7.21", "192.168.7.22"
HALL_6, CELLAR_6 = "fe80::20", "fe80::21"
BOTH = Addresses(ipv4=US_IPV4, ipv6=US_IPV6)


def hall() -> Node:
    return Node({AIR_CONDITIONER: air_conditioner(), LAMP: lamp()}, identification(1))


def cellar() -> Node:
    return Node({BATTERY: battery()}, identification(2))


def noted(events: list[NetworkEvent], kind: str) -> list[str]:
    return [each.text for each in events if isinstance(each, Noted) and each.kind == f"appliance.{kind}"]


def told(events: list[NetworkEvent], eoj: int) -> list[Told]:
    return [each for each in events if isinstance(each, Told) and each.appliance.device.eoj == eoj]


def of(house: House, eoj: int) -> Appliance:
    (found,) = [each for each in house.network.appliances() if each.device.eoj == eoj]
    return found


# --- found and known


def test_finds_gets_to_know_and_watches() -> None:
    """What answers the multicast Get is asked who it is and what it can do, told of, and polled from then on."""
    house = House({HALL: hall(), CELLAR: cellar()})
    house.run(5.0)
    first = {each.appliance.id: each.appliance for each in reversed(house.events) if isinstance(each, Changed)}
    assert [(each.known, each.online) for each in first.values()] == [(False, True)] * 3  # told at once
    assert {each.device.eoj for each in house.network.appliances() if each.known} == {AIR_CONDITIONER, LAMP, BATTERY}
    assert len(noted(house.events, "found")) == 3
    changed = [each.appliance for each in house.events if isinstance(each, Changed)]
    assert all(each.heard_at is not None for each in changed if each.known)
    events = house.run(60.0)
    for eoj in (AIR_CONDITIONER, LAMP, BATTERY):
        assert told(events, eoj)
        assert all(each.by_hand == frozenset() and each.source == "read" for each in told(events, eoj))


def test_our_own_frames_are_no_answers() -> None:
    """8.4: what comes back from our own addresses is dropped and counted, and makes nobody known."""
    house = House({}, own=BOTH)
    house.run(1.0)
    for packet in list(house.sent):
        house.comes(US_IPV4, packet.payload, multicast=True)
        house.comes(US_IPV6, packet.payload, multicast=True)
    sent = len(house.sent)
    house.run(1.0)
    assert len(house.sent) == sent
    assert house.network.counters()["own"] == 2 * sent


def test_a_lost_answer_is_made_up_for() -> None:
    """8.10: discovery is repeated after 3, 10 and 60 s."""
    house = House({HALL: hall()})
    house.lose = lambda packet, outward: not outward and house.now < 1009.0
    house.run(9.0)
    assert not list(house.network.appliances())
    house.run(5.0)
    assert of(house, LAMP).known


def test_configured_nodes_are_asked_by_themselves() -> None:
    """A node that multicast does not reach is found by its address in the configuration."""
    house = House({HALL: hall(), CELLAR: cellar()}, asked=(CELLAR,))
    for node in house.nodes.values():
        node.deaf_to_all = True
    house.run(10.0)
    assert [each.device.eoj for each in house.network.appliances()] == [BATTERY]


def test_any_frame_is_a_sign_of_life() -> None:
    """A notification of an unknown host makes it known, as its announcement does, and a request of it."""
    for frame in (
        cellar().tell(BATTERY, (0x80, b"\x30")),
        cellar().announcement(),
        datagram(9, CONTROLLER, PROFILE, GET, (0x80, b"")),
    ):
        house = House({CELLAR: cellar()})
        house.nodes[CELLAR].deaf_to_all = True
        house.run(100.0)
        assert not list(house.network.appliances())
        house.comes(CELLAR, frame, multicast=True)
        house.run(5.0)
        assert of(house, BATTERY).known


def test_profiles_and_controllers_are_no_appliances() -> None:
    """0EF0 and 05FF are not appliances, a meter and an unknown class are."""
    node = Node(
        {0x05FF01: lamp(), 0x028801: appliance({0xE7: bytes(4)}), 0x0F0201: appliance({0xF1: b"\1"})},
        identification(3),
    )
    house = House({HALL: node})
    house.run(30.0)
    assert sorted(each.id[:4] for each in house.network.appliances()) == ["0288", "0f02"]
    assert of(house, 0x0F0201).known
    house.network.query("q", of(house, 0x0F0201).id, (0xF1,))
    (answer,) = [each for each in house.run(2.0) if isinstance(each, Answered)]
    assert (answer.epc, answer.edt, answer.last) == (0xF1, b"\1", True)


def test_maps_are_refused() -> None:
    """A device that refuses its maps is tried with what every one of its class has."""
    bare = {epc: edt for epc, edt in lamp().items() if epc not in (0x9D, 0x9E, 0x9F)}
    house = House({HALL: Node({LAMP: bare}, identification(1))})
    house.run(60.0)
    found = of(house, LAMP)
    assert found.known
    assert found.device.readable == {0x80, 0x81, 0x82, 0x88, 0x8A, 0xB6}
    assert {0x80, 0xB6} <= found.device.settable
    assert "maps" in found.detail


def test_maps_are_silent() -> None:
    """A device that says nothing when asked for its maps is tried likewise, once that is clear."""
    node = Node({LAMP: lamp()}, identification(1), silent_epcs=frozenset({0x9D, 0x9E, 0x9F}))
    house = House({HALL: node})
    house.run(200.0)
    found = of(house, LAMP)
    assert found.known
    assert found.online
    assert 0xB6 in found.device.readable


def test_maps_come_later() -> None:
    """A map that was silent by chance is asked for again, and takes the place of what was guessed."""
    node = Node({LAMP: lamp()}, identification(1), silent_epcs=frozenset({0x9D, 0x9E, 0x9F}))
    house = House({HALL: node})
    house.run(60.0)
    assert not of(house, LAMP).device.announced
    assert not house.network.remember()["nodes"][0]["appliances"][0].get("known")
    node.silent_epcs = frozenset()
    house.run(120.0)
    assert of(house, LAMP).device.readable == set(lamp())
    assert of(house, LAMP).device.announced == {0x80}
    assert not of(house, LAMP).detail
    assert len(noted(house.events, "found")) == 1
    assert house.network.remember()["nodes"][0]["appliances"][0]["known"]


def test_d6_cannot_be_read() -> None:
    """Without an instance list the first of each class of the class list (D7) is taken."""
    node = Node({LAMP: lamp(), AIR_CONDITIONER: air_conditioner()}, identification(1), profile={0xD6: b""})
    house = House({HALL: node})
    house.run(30.0)
    assert {each.device.eoj for each in house.network.appliances()} == {LAMP, AIR_CONDITIONER}


def test_an_instance_that_does_not_begin_with_1() -> None:
    """8.10: where only classes are told, a first instance that says nothing is not made up (OMRON begins with 1F)."""
    node = Node({0x02791F: appliance({0xE0: b"\1\0"})}, identification(1), profile={0xD6: b""})
    house = House({HALL: node})
    house.run(100.0)
    house.comes(HALL, node.tell(0x02791F, (0x80, b"\x30")), multicast=True)
    house.run(100.0)
    assert [each.device.eoj for each in house.network.appliances()] == [0x02791F]
    assert of(house, 0x02791F).known


def test_no_list_can_be_read() -> None:
    """8.10: what a node announces (D5), and objects that show themselves, are all there is to go by then."""
    node = Node({LAMP: lamp(), AIR_CONDITIONER: air_conditioner()}, identification(1), profile={0xD6: b"", 0xD7: b""})
    node.deaf_to_all = True
    house = House({HALL: node})
    house.comes(HALL, node.tell(LAMP, (0x80, b"\x30")), multicast=True)
    house.run(30.0)
    house.comes(HALL, node.tell(LAMP, (0x80, b"\x31")), multicast=True)
    house.run(30.0)
    assert [each.device.eoj for each in house.network.appliances()] == [LAMP]
    house.comes(HALL, node.announcement(), multicast=True)
    house.run(30.0)
    assert {each.device.eoj for each in house.network.appliances()} == {LAMP, AIR_CONDITIONER}


def test_more_instances_than_a_list_holds() -> None:
    """8.10: of a node whose list is full, an object that is not in it and shows itself is there as well."""
    lamps = {0x029000 + n: lamp() for n in range(1, 86)}
    node = Node(lamps, identification(1))
    first = b"".join(eoj.to_bytes(3, "big") for eoj in list(lamps)[:84])
    node.profile = {0xD5: b"\x54" + first, 0xD6: b"\x54" + first}
    house = House({HALL: node})
    house.run(300.0)
    assert len(list(house.network.appliances())) == 84
    house.comes(HALL, node.tell(0x029055, (0x80, b"\x31")), multicast=True)
    house.run(60.0)
    assert of(house, 0x029055).known
    assert len(list(house.network.appliances())) == 85
    assert all(each.online for each in house.network.appliances())


def test_an_object_that_no_list_has() -> None:
    """8.15: a list that leaves out an object that speaks is wrong; its node is asked once, not for ever."""
    node = hall()
    node.profile = {0xD5: b"\1\1\x30\1", 0xD6: b"\1\1\x30\1"}
    house = House({HALL: node})
    house.run(100.0)
    assert len(list(house.network.appliances())) == 1
    for _ in range(20):
        house.comes(HALL, node.tell(LAMP, (0x80, b"\x30")), multicast=True)
        house.run(15.0)
    assert of(house, LAMP).known
    assert of(house, LAMP).online
    assert sum((0xD6, b"") in each.properties for each in node.asked) < 10


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
    house.network.forget("c", battery_id)
    events = house.run(1.0)
    assert [each.outcome for each in events if isinstance(each, Settled)] == ["applied"]
    assert len([each for each in events if isinstance(each, Forgotten)]) == 1
    assert not house.network.has(battery_id)
    assert house.network.remember()["nodes"] == []
    house.comes(CELLAR, house.nodes[CELLAR].tell(BATTERY, (0x80, b"\x30")), multicast=True)
    events = house.run(30.0)
    assert of(house, BATTERY).id == battery_id
    assert noted(events, "found")


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


# --- notifications


def test_infc_is_answered_every_time_and_counts_once() -> None:
    """8.17, 8.16: each is confirmed, to port 3610 of its sender; what it says is told once."""
    house = House({HALL: hall()})
    house.run(60.0)
    sent = len(house.sent)
    frame = house.nodes[HALL].tell(LAMP, (0x80, b"\x30"), esv=INFC)
    house.comes(HALL, frame)
    house.comes(HALL, frame, after_s=0.5)
    events = house.run(0.6)
    answers = [each for each in house.sent[sent:] if Heard.of(each.payload).esv == INFC_RES]
    assert [(each.address, Heard.of(each.payload).properties) for each in answers] == [(HALL, ((0x80, b""),))] * 2
    assert len(told(events, LAMP)) == 1


def test_a_change_and_back_are_two() -> None:
    """Three different notifications within a second, the last like the first, are three."""
    house = House({HALL: hall()})
    house.run(60.0)
    for at, edt in enumerate((b"\x30", b"\x31", b"\x30")):
        house.nodes[HALL].tid = 0  # some always send the same
        house.comes(HALL, house.nodes[HALL].tell(LAMP, (0x80, edt)), multicast=True, after_s=0.1 * at)
    assert [each.properties for each in told(house.run(0.5), LAMP)] == [
        {0x80: b"\x30"},
        {0x80: b"\x31"},
        {0x80: b"\x30"},
    ]


def test_set_by_hand() -> None:
    """4.7 of control: a settable property that changed without an order of ours was set by somebody else."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.comes(HALL, house.nodes[HALL].tell(AIR_CONDITIONER, (0xB3, b"\x1c"), (0xBB, b"\x18")), multicast=True)
    events = house.run(0.5)
    assert told(events, AIR_CONDITIONER)[0].by_hand == {0xB3}
    (text,) = noted(events, "by_hand")
    assert "target temperature" in text
    assert "28" in text
    house.nodes[HALL].objects[LAMP][0x80] = b"\x30"
    assert {0x80} in [each.by_hand for each in told(house.run(100.0), LAMP)]


def test_what_follows_from_an_order_is_not_by_hand() -> None:
    """4.7: what else changes soon after an order, and what was ordered and shows much later, is our doing."""
    house = House({HALL: hall()})
    house.run(60.0)
    node = house.nodes[HALL]
    node.stubborn = frozenset({0xB0})
    house.network.order("c", of(house, AIR_CONDITIONER).id, {"0xB0": "43"}, from_outside=False)
    events = house.run(15.0)
    assert [each.outcome for each in events if isinstance(each, Settled)] == ["unverified"]
    house.comes(HALL, node.tell(AIR_CONDITIONER, (0xB3, b"\x17")), multicast=True)
    house.run(60.0)
    house.comes(HALL, node.tell(AIR_CONDITIONER, (0xB0, b"\x43")), multicast=True)
    house.run(1.0)
    assert not noted(house.events, "by_hand")
    for mode in (b"\x42", b"\x43"):  # what was ordered once counts no more when somebody has overridden it
        house.comes(HALL, node.tell(AIR_CONDITIONER, (0xB0, mode)), multicast=True)
        assert noted(house.run(1.0), "by_hand")


def test_what_an_order_did_may_be_found_late() -> None:
    """By the next poll: of what was not told since, nobody knows better; once it was told, it is somebody's doing."""
    house = House({HALL: hall()})
    house.run(75.0)
    node = house.nodes[HALL]
    house.network.order("c", of(house, AIR_CONDITIONER).id, {"0xB3": "18"})
    house.run(15.0)
    node.objects[AIR_CONDITIONER] |= {0xB0: b"\x43", 0xA0: b"\x31"}
    house.comes(HALL, node.tell(AIR_CONDITIONER, (0xA0, b"\x32")), multicast=True)
    assert [each.by_hand for each in told(house.run(0.5), AIR_CONDITIONER)] == [{0xA0}]  # told at once is of now
    changed = [each for each in told(house.run(100.0), AIR_CONDITIONER) if each.properties.get(0xB0) == b"\x43"]
    assert changed[0].by_hand == frozenset()
    node.objects[AIR_CONDITIONER][0xB0] = b"\x41"
    assert {0xB0} in [each.by_hand for each in told(house.run(100.0), AIR_CONDITIONER)]


# --- wished and asked


def test_an_order_is_applied() -> None:
    """Written once, read back, settled; what changes is our doing, though INF comes before Set_Res (8.16)."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.comes(HALL, house.nodes[HALL].tell(AIR_CONDITIONER, (0xB3, b"\x16")), multicast=True, after_s=0.005)
    house.network.order("c1", of(house, AIR_CONDITIONER).id, {"0xB3": "16"}, from_outside=False)
    events = house.run(30.0)
    (settled,) = [each for each in events if isinstance(each, Settled)]
    assert (settled.command, settled.outcome, settled.read_back[0xB3]) == ("c1", "applied", b"\x16")
    assert house.nodes[HALL].writes == [(AIR_CONDITIONER, ((0xB3, b"\x16"),))]
    assert not noted(events, "by_hand")
    house.run(100.0)
    house.comes(HALL, house.nodes[HALL].tell(AIR_CONDITIONER, (0xB3, b"\x14")), multicast=True)
    assert noted(house.run(1.0), "by_hand")


def test_what_it_cannot_do_is_refused_before_anything_is_sent() -> None:
    """A Refusal of the plan is the outcome, in its words."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.network.order("c1", of(house, AIR_CONDITIONER).id, {"target_temperature": 99}, from_outside=False)
    house.network.order("c2", of(house, AIR_CONDITIONER).id, {"colour": "red"}, from_outside=False)
    settled = [each for each in house.run(5.0) if isinstance(each, Settled)]
    assert [(each.outcome, each.error) for each in settled] == [
        ("refused", "out_of_range"),
        ("refused", "bad_request"),
    ]
    assert house.nodes[HALL].writes == []


def test_too_many_orders_are_refused() -> None:
    """Every queue has a bound, and who does not get in is told so."""
    house = House({HALL: hall()})
    house.run(60.0)
    for n in range(20):
        house.network.order(f"c{n}", of(house, LAMP).id, {"0x80": "30"}, from_outside=False)
    outcomes = [each for each in house.run(60.0) if isinstance(each, Settled)]
    assert sorted(each.command for each in outcomes) == sorted(f"c{n}" for n in range(20))
    assert "busy" in {each.error for each in outcomes}


def test_a_query_is_answered_property_by_property() -> None:
    """What is told, what is not there, and all that it has when nothing is named; the last one says so."""
    house = House({HALL: hall()})
    house.run(60.0)
    house.network.query("q", of(house, LAMP).id, (0x80, 0xE0))
    answers = [each for each in house.run(5.0) if isinstance(each, Answered)]
    assert [(each.epc, each.edt, each.error, each.last) for each in answers] == [
        (0x80, b"\x31", "", False),
        (0xE0, None, "refused", True),
    ]
    house.network.query("all", of(house, LAMP).id, ())
    answers = [each for each in house.run(20.0) if isinstance(each, Answered)]
    assert {each.epc for each in answers} == of(house, LAMP).device.readable
    assert [each.last for each in answers].count(True) == 1


def test_what_is_told_is_passed_on_at_once() -> None:
    """One property of many is silent: the values that come do not wait for it, which is the last."""
    node = Node({LAMP: lamp()}, identification(1), silent_epcs=frozenset({0xE0}))
    house = House({HALL: node})
    house.run(60.0)
    house.network.query("q", of(house, LAMP).id, (0x80, 0xB6, 0xE0))
    early = [each for each in house.run(20.0) if isinstance(each, Answered)]
    late = [each for each in house.run(60.0) if isinstance(each, Answered)]
    assert [(each.epc, each.last) for each in early] == [(0x80, False), (0xB6, False)]
    assert [(each.epc, each.error, each.last) for each in late] == [(0xE0, "timeout", True)]


def test_forgotten_while_it_is_asked() -> None:
    """Whoever waits for an appliance that is forgotten is told that nothing more comes."""
    house = House({HALL: hall()})
    house.run(100.0)
    house.nodes[HALL].delay_s = 1.0
    lamp_id = of(house, LAMP).id
    house.network.query("q", lamp_id, (0x80, 0xB6, 0xE0))
    house.network.order("c", lamp_id, {"0x80": "30"}, from_outside=False)
    house.run(0.5)
    house.network.forget("f", lamp_id)
    events = house.run(0.1)
    answers = [(each.error, each.last) for each in events if isinstance(each, Answered)]
    assert answers == [("timeout", False), ("timeout", False), ("timeout", True)]
    settled = {each.command: each.outcome for each in events if isinstance(each, Settled)}
    assert settled == {"c": "timeout", "f": "applied"}
    house.run(60.0)


def test_too_many_queries_are_refused() -> None:
    """What does not get in line was not asked, and is said to be refused."""
    house = House({HALL: hall()})
    house.run(100.0)
    for n in range(50):
        house.network.query(f"q{n}", of(house, LAMP).id, (0x80, 0xB6))
    answers = [each for each in house.run(60.0) if isinstance(each, Answered)]
    assert sorted(each.query for each in answers if each.last) == sorted(f"q{n}" for n in range(50))
    assert {each.error for each in answers} == {"", "refused"}


# --- others on the link


def test_we_answer_other_controllers() -> None:
    """8.17: a Get on our profile, by multicast too, goes back to its sender."""
    house = House({})
    house.run(1.0)
    house.comes("192.168.7.99", datagram(0x77, CONTROLLER, PROFILE, GET, (0xD6, b"")), multicast=True)
    house.run(0.1)
    answers = [(each.address, Heard.of(each.payload)) for each in house.sent if each.address == "192.168.7.99"]
    assert ("192.168.7.99", Heard(0x77, PROFILE, CONTROLLER, GET_RES, ((0xD6, b"\1\x05\xff\1"),))) in answers


def test_a_flood_of_hosts_pushes_nobody_out() -> None:
    """Made-up nodes fill what room there is and no more; known ones stay, and the made-up ones go again."""
    house = House({HALL: hall()})
    house.run(60.0)
    frame = cellar().announcement()
    for n in range(5000):
        house.comes(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}", frame, multicast=True, after_s=n / 1000)
    house.run(10.0)
    assert house.network.counters()["nodes_too_many"] >= 3000
    assert all(each.online and each.known for each in house.network.appliances())
    assert len(list(house.network.appliances())) == 2
    house.run(400.0)
    house.nodes[CELLAR] = cellar()
    house.comes(CELLAR, frame, multicast=True)
    house.run(10.0)
    assert of(house, BATTERY).known


def test_where_we_stand_is_told_and_kept() -> None:
    """Another controller sets 81: answered, announced to every group, and part of what is remembered."""
    house = House({}, own=BOTH)
    house.run(1.0)
    sent = len(house.sent)
    house.comes("fe80::99", datagram(5, CONTROLLER, CONTROLLER, SETC, (0x81, b"\x08")))
    house.run(0.001)
    said = [(each.address, Heard.of(each.payload)) for each in house.sent[sent:]]
    assert [(to, heard.esv) for to, heard in said if heard.seoj == CONTROLLER and heard.esv != GET] == [
        ("fe80::99", SET_RES),
        (ALL_NODES, INF),
        (ALL_NODES_IPV4, INF),
    ]
    assert Remembered.restored(house.network.remember()).location == b"\x08"


def test_nothing_too_long_is_sent() -> None:
    """An answer that would not fit into one datagram of any link is counted and not sent."""
    house = House({})
    house.run(1.0)
    refused = [(0xE0 + n, bytes(255)) for n in range(5)]
    house.comes("192.168.7.99", datagram(5, CONTROLLER, CONTROLLER, SETC, *refused))
    house.run(1.0)
    assert house.network.counters()["too_long"] == 1
    assert all(len(each.payload) <= 1232 for each in house.sent)


class Board(Node):
    """A distribution board: what B3 shows depends on B2."""

    def answer(self, eoj: int, has: dict[int, bytes], heard: Heard) -> bytes:
        if eoj == BOARD and heard.esv == GET and (0xB3, b"") in heard.properties:
            first, many = has[0xB2]
            has[0xB3] = has[0xB2] + b"".join(n.to_bytes(4, "big") for n in range(first, first + many))
        return super().answer(eoj, has, heard)


def test_a_list_is_selected_and_read() -> None:
    """8.22: pages of a list are kept apart by their number, and nothing of it is taken for somebody's doing."""
    readable = {0xB1: b"\x46", 0xB2: b"\1\1", 0xB3: b"\1\1\0\0\0\0", 0xC0: bytes(4), 0xC2: b"\2"}
    board = Board({BOARD: appliance(readable, settable=(0xB2,))}, identification(4))
    house = House({HALL: board})
    events = house.run(200.0)
    shown = told(events, BOARD)[-1].known
    assert shown[0xB3 << 8 | 0][0][:6] == b"\x01\x3c" + (1).to_bytes(4, "big")
    assert shown[0xB3 << 8 | 1][0][:6] == b"\x3d\x0a" + (61).to_bytes(4, "big")
    assert not noted(events, "by_hand")


def test_what_takes_several_requests_is_told_as_it_comes() -> None:
    """A value is told when it came, not when the last one that was asked for with it did."""
    node = Node({BATTERY: battery()}, identification(1), delay_s=1.0, most=1)
    house = House({HALL: node})
    house.run(600.0)
    told = [event for event in house.events if isinstance(event, Told) and event.source == "read"]
    polled = [event for event in told if 0xD3 in event.properties]
    assert len(polled) > 10
    assert max(len(event.properties) for event in polled) == 1
