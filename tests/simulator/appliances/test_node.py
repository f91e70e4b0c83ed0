"""A simulated node as the specification has it: each service, its answers, and what it says by itself."""

from __future__ import annotations

import pytest
from support.simulated import ADDRESS, THEM, US, NodeBench, bench, frames, get, lived, request, set_c, world

from hemsd.simulator.appliances import AirConditioner, ApplianceNode, GasMeter, GeneralLighting, MonoLighting, Said

W = world()


def lamps(fresh: bool = False) -> NodeBench:
    return bench(GeneralLighting(W), GeneralLighting(W, instance=2), MonoLighting(W), fresh=fresh)


def test_it_greets_with_its_instance_list() -> None:
    """Part II, 4.3: INF of D5 from the node profile to everyone's, once."""
    said = lamps(fresh=True).wait(60)
    payload = bytes.fromhex("1081 0001 0EF001 0EF001 73 01 D5 0A 03 029001 029002 029101")
    assert said == [Said(ADDRESS, None, payload)]


CONFORMANCE = [
    ("Get, all readable", "62 02 8000 B000", ["72 02 800131 B00164"]),
    ("Get, some not readable: the others all the same", "62 03 8000 D700 B000", ["52 03 800131 D700 B00164"]),
    ("Get of what can only be set is not possible", "62 01 FE00", ["52 01 FE00"]),
    ("SetC accepted", "61 01 B00132", ["71 01 B000"]),
    ("SetC refused gives back what was sent", "61 01 B00165", ["51 01 B00165"]),
    ("SetC in part: what was accepted is empty", "61 02 B00132 88 01 41", ["51 02 B000 880141"]),
    ("SetI accepted: silence", "60 01 B60143", []),
    ("SetI refused", "60 01 B60199", ["50 01 B60199"]),
    ("SetC of no length", "61 01 B000", ["51 01 B000"]),
    ("INFC is confirmed, whatever it tells", "74 02 EA0100 EB0100", ["7A 02 EA00 EB00"]),
    ("INF is not answered", "73 01 800130", []),
    ("responses are not answered", "72 01 800130", []),
    ("nor what is reserved", "70 01 8000", []),
    ("nor SetGet, which is optional", "6E 01 B00132 01 B000", []),
    ("no property at all", "62 00", []),
    ("cut off", "62 02 8000", []),
    ("too long", "62 01 8000 00", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "answers"), [row[1:] for row in CONFORMANCE], ids=[row[0] for row in CONFORMANCE]
)
def test_services(question: str, answers: list[str]) -> None:
    """Part II, 3.2.5 and 4.2: each request and what comes back, TID and objects turned round, to the asker alone."""
    said = lamps().ask("1081 BEEF 05FF01 029001" + question)
    head = "1081 BEEF 029001 05FF01"
    told = [each for each in said if each.to]  # what changes is announced besides
    assert told == [Said(ADDRESS, US, bytes.fromhex(head + answer)) for answer in answers]


@pytest.mark.parametrize(
    "head", ["1080 0001", "1082 0001", "8081 0001", "1081", "", "1081 0001 05FF01 029001 62 05"], ids=str
)
def test_what_is_no_frame_is_not_answered(head: str) -> None:
    """Nor does it hurt."""
    node = lamps()
    assert node.ask(head + "05FF01 029001 62 01 8000" if len(head) == 9 else head) == []
    assert frames(node.ask(get(0x029001, 0x80)))


def test_it_answers_to_whoever_asked() -> None:
    """To port 3610 of each, which is what `to` means."""
    node = lamps()
    assert [said.to for said in node.ask(get(0x029001, 0x80), THEM) + node.ask(get(0x029001, 0x80))] == [THEM, US]


@pytest.mark.parametrize("deoj", [0x029003, 0x029200, 0x05FF01, 0x0EF002])
def test_objects_that_it_has_not_are_not_answered_for(deoj: int) -> None:
    """Another instance, another class, a transmit-only profile."""
    assert lamps().ask(get(deoj, 0x80)) == []


def test_instance_0_means_all_of_the_class() -> None:
    """Each answers in a frame of its own; of the profile it means all that there is."""
    node = lamps()
    assert [said.payload[4:7].hex() for said in node.ask(get(0x029000, 0x80))] == ["029001", "029002"]
    everything = ["0ef001", "029001", "029002", "029101"]
    assert [said.payload[4:7].hex() for said in node.ask(get(0x0EF000, 0x80))] == everything
    node.ask(set_c(0x029000, (0x80, "30")))
    assert frames(node.ask(get(0x029002, 0x80))) == ["02900205ff017201800130"]


def test_an_inf_req_is_answered_to_everyone_or_refused_to_the_asker() -> None:
    """73 to all, 53 to one; D5 can be asked for only in this way."""
    node = lamps()
    (told,) = node.ask(request(0x63, 0x0EF001, (0xD5, "")))
    assert (told.to, told.payload[10:15].hex()) == (None, "7301d50a03")
    (refused,) = node.ask(request(0x63, 0x029001, (0x80, ""), (0xD0, "")))
    assert (refused.to, refused.payload[10:].hex()) == (US, "5302800131d000")
    assert frames(node.ask(get(0x0EF001, 0xD5))) == ["0ef00105ff015201d500"]


def test_the_node_profile() -> None:
    """Every mandatory property (Appendix, class 0EF0); the lists and counts do without the profile, D4 with it."""
    node = lamps()
    (said,) = node.ask(get(0x0EF001, 0x80, 0x82, 0xD3, 0xD4, 0xD6, 0xD7, 0x9D, 0x9E))
    assert said.payload[10:].hex() == (
        "7208" "800130" "8204010e0100" "d303000003" "d4020003" "d60a03029001029002029101" "d70502" "02900291"
        "9d030280d5" "9e0100"
    )  # fmt: skip
    (said,) = node.ask(get(0x0EF001, 0x83, 0x8A, 0x9F))
    assert said.payload[14:18].hex() == "feffffff"
    assert said.payload[31:36].hex() == "8a03ffffff"
    assert said.payload[36:].hex() == "9f0d0c8082838a8c9d9e9fd3d4d6d7"


def test_a_long_instance_list_comes_in_parts() -> None:
    """84 fit in one; D6 has the first of them, D3 counts all."""
    node = bench(*(MonoLighting(W, instance=number) for number in range(1, 101)), fresh=True)
    assert [said.payload[14] for said in node.wait(1)] == [84, 16]
    (said,) = node.ask(get(0x0EF001, 0xD3, 0xD6))
    assert said.payload[12:20].hex() == "d303000064d6fd54"


def test_maps_are_lists_below_16_properties_and_bitmaps_from_there() -> None:
    """Appendix 1: byte i, bit b is 0x80 + 0x10 * b + i."""
    node = bench(GasMeter(W), AirConditioner(W))
    (short,) = node.ask(get(0x028201, 0x9F))
    assert short.payload[14:].hex() == "0c8081828388" "8a8c9d9e9fe0e2"  # fmt: skip
    (long,) = node.ask(get(0x013001, 0x9F))
    assert long.payload[13] == 17
    count, bits = long.payload[14], long.payload[15:]
    epcs = {0x80 + 0x10 * bit + index for index in range(16) for bit in range(8) if bits[index] >> bit & 1}
    assert len(epcs) == count and {0x80, 0xB0, 0xB3, 0xBB, 0x9F} <= epcs
    assert 0xD0 not in epcs  # can only be set


def test_what_changes_is_announced_once_after_the_answer() -> None:
    """Part II, 4.3.2: properties in 9D, to everyone, from their object."""
    node = lamps()
    said = node.ask(set_c(0x029001, (0x80, "30"), (0xB0, "32"), (0xB6, "43")))
    assert [each.to for each in said] == [US, None]
    assert said[1].payload[4:].hex() == "0290010ef0017302800130b00132"
    assert node.ask(set_c(0x029001, (0x80, "30"))) and node.wait(60) == []


def test_what_a_person_does_is_announced() -> None:
    """At the wall switch."""
    node = lamps()
    node.node.by_hand(node.node.device(0x029002), 0x80, b"\x30")
    assert frames(node.wait(0.1)) == ["0290020ef0017301800130"]
    with pytest.raises(ValueError, match="029002 cannot be set to 80 = 99"):
        node.node.by_hand(node.node.device(0x029002), 0x80, b"\x99")


def test_answers_come_in_the_order_of_the_questions() -> None:
    """Whatever each takes."""
    node = lamps()
    for tid in range(20):
        node.node.receive(US, get(0x029001, 0x80, tid=tid), node.now)
    assert [said.payload[3] for said in node.wait(1)] == list(range(20))


def test_remote_control_is_read_back_as_the_state_of_the_line() -> None:
    """93: written 41 or 42, read 61 or 62."""
    node = bench(AirConditioner(W))
    assert frames(node.ask(set_c(0x013001, (0x93, "42"))))[0] == "01300105ff0171019300"
    assert frames(node.ask(get(0x013001, 0x93))) == ["01300105ff017201930162"]


def test_identities() -> None:
    """Different for each node and object, the same after a restart, and given by whoever wants others."""
    first, again, other = (ApplianceNode(W, [GasMeter(W)], address) for address in (ADDRESS, ADDRESS, "192.168.1.21"))
    assert first.devices[0].identity == again.devices[0].identity
    assert len({each.identity for node in (first, other) for each in (node.profile, *node.devices)}) == 4
    same = bytes.fromhex("FE000001") + b"the same for.."[:13]
    assert {ApplianceNode(W, [GasMeter(W)], address, identity=same).profile.identity for address in (US, THEM)} == {
        same
    }
    nameless = NodeBench(ApplianceNode(W, [GasMeter(W)], ADDRESS, identity=None))
    assert frames(nameless.ask(get(0x0EF001, 0x83)) + nameless.ask(get(0x028201, 0x83))) == [
        "0ef00105ff0152018300",
        "02820105ff0152018300",
    ]
    assert 0x83 not in nameless.node.devices[0].epcs("r")


def test_physics_do_not_depend_on_questions() -> None:
    """Asked a thousand times or never, the room is as warm."""
    asked, left = bench(AirConditioner(W)), AirConditioner(W)
    asked.ask(set_c(0x013001, (0x80, "30")))
    left.set(0x80, b"\x30")
    for _ in range(100):
        asked.ask(get(0x013001, 0xBB, 0x84), seconds=7.3)
    device = asked.node.devices[0]
    lived(left, asked.now / 3600)
    assert isinstance(device, AirConditioner)
    assert (device.room.air_c, device.energy_wh) == (left.room.air_c, left.energy_wh)
