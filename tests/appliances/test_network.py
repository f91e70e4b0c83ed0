"""Whole courses of a network of appliances, in virtual time against nodes written from the manual."""

from __future__ import annotations

import pytest
from support.link import AT, Link, noted, of, told
from support.scripted import (
    AIR_CONDITIONER,
    BATTERY,
    BOARD,
    CELLAR,
    CONTROLLER,
    GET,
    GET_RES,
    HALL,
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
    cellar,
    datagram,
    hall,
    identification,
    lamp,
)
from support.simulated import world

from drivers.packet import ALL_NODES, ALL_NODES_IPV4
from hemsd.appliances.events import Answered, Changed, Settled, Told
from hemsd.appliances.instance import Instance
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses
from hemsd.appliances.node import Commons
from hemsd.appliances.node import Node as KnownNode
from hemsd.echonet.classes.device import Device as KnownDevice
from hemsd.simulator.appliances import ApplianceNode, Device, EcoCute
from hemsd.simulator.appliances.vehicle import EvCharger

BOTH = Addresses(ipv4=US_IPV4, ipv6=US_IPV6)


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
    """0EF0 and 05FF are not appliances, nor is a smart meter, which is not asked anything; an unknown class is."""
    node = Node(
        {0x05FF01: lamp(), 0x028801: appliance({0xE7: bytes(4)}), 0x0F0201: appliance({0xF1: b"\1"})},
        identification(3),
    )
    house = House({HALL: node})
    house.run(30.0)
    assert [each.id[:4] for each in house.network.appliances()] == ["0f02"]
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


def test_what_polls_always_found_is_news_after_a_notification() -> None:
    """The very same answer as before, when something else was told in between."""
    node = KnownNode(Commons(next_tid=lambda: 1, chance=lambda: 0.5), (HALL,))
    instance, found = Instance(node, "0130-1", KnownDevice(eoj=AIR_CONDITIONER), 0.0), {0xB3: b"\x1a"}
    for at in (1.0, 2.0):
        instance.told(found, "read", at)
    instance.told({0xB3: b"\x1c"}, "notified", 3.0)
    assert instance.values == {0xB3: b"\x1c"}
    (event,) = instance.told(found, "read", 4.0)
    assert instance.values == found and isinstance(event, Told) and event.ages == {0xB3: (4.0, "read")}


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


def test_what_nobody_can_set_nobody_did() -> None:
    """Whatever a damaged set map says: a room becomes warmer by itself."""
    node = hall()
    node.objects[AIR_CONDITIONER][0x9E] = bytes((3, 0xB0, 0xB3, 0xBB))
    house = House({HALL: node})
    house.run(60.0)
    assert 0xBB in of(house, AIR_CONDITIONER).device.settable
    house.comes(HALL, node.tell(AIR_CONDITIONER, (0xB3, b"\x1c"), (0xBB, b"\x19")), multicast=True)
    assert told(house.run(0.5), AIR_CONDITIONER)[0].by_hand == {0xB3}


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


@pytest.mark.parametrize(
    ("device", "epc", "course"),
    [
        (EcoCute, 0xB0, {0x42: 1, 0x41: 1, 0x43: 2}),  # the tank is hot
        (EcoCute, 0xE3, {0x41: 1, 0x42: 1}),  # the bath is full
        (EvCharger, 0xDA, {0x42: 1, 0x44: 1, 0x47: 2}),  # the vehicle left
    ],
)
def test_what_ends_by_itself_nobody_did(device: type[Device], epc: int, course: dict[int, int]) -> None:
    """That it began is a person's doing, that it is over is not; and something else again is."""
    there = ApplianceNode(world(), [device(world())], AT)
    (its,) = there.devices
    bench = Link(there)
    bench.run(120.0)
    for code, by_hand in course.items():
        there.by_hand(its, epc, bytes((code,)))
        bench.segment.poke(there)
        bench.run(70.0)
        assert bench.network_known(its.eoj)[epc] == bytes((code,))
        assert sum(epc in each.by_hand for each in told(bench.events, its.eoj)) == by_hand


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
    assert shown[0xB3 << 8 | 0][:6] == b"\x01\x3c" + (1).to_bytes(4, "big")
    assert shown[0xB3 << 8 | 1][:6] == b"\x3d\x0a" + (61).to_bytes(4, "big")
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
