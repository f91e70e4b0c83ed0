"""Each way in which a simulated node misbehaves."""

from __future__ import annotations

from typing import Any

import pytest
from support.simulated import US, NodeBench, bench, frames, get, set_c, world

from hemsd.simulator.appliances import ApplianceNode, GasMeter, GeneralLighting, Said, Temper

W = world()
LAMP = 0x029001
FOUR = (0x80, 0xB0, 0xB1, 0xB6)


def lamp(**temper: Any) -> NodeBench:
    return bench(GeneralLighting(W), temper=Temper(**temper))


def test_a_slow_one_answers_late() -> None:
    """Within a quarter of what it usually takes."""
    node = lamp(answer_s=10.0)
    assert node.ask(get(LAMP, 0x80), seconds=7.4) == []
    assert frames(node.wait(5.2)) == ["02900105ff017201800131"]


@pytest.mark.parametrize(
    ("beyond", "answer"),
    [("prefix", ["02900105ff015202800131b00164"]), ("empty", ["02900105ff0152048000b000b100b600"]), ("silence", [])],
)
def test_more_properties_than_it_can_handle(beyond: str, answer: list[str]) -> None:
    """A processed prefix, all of them without a value, or nothing; two are no trouble."""
    node = lamp(at_most=2, beyond=beyond)
    assert frames(node.ask(get(LAMP, *FOUR))) == answer
    assert frames(node.ask(get(LAMP, *FOUR[:2]))) == ["02900105ff017202800131b00164"]


def test_more_properties_than_it_survives() -> None:
    """It is not to be heard for a while."""
    node = lamp(at_most=2, beyond="gone", gone_s=8.0)
    assert node.ask(get(LAMP, *FOUR), seconds=7.0) == []
    assert node.ask(get(LAMP, 0x80), seconds=1.1) == []
    assert frames(node.ask(get(LAMP, 0x80)))


def test_a_set_of_more_than_it_can_handle_is_done_in_part() -> None:
    """And refused as a whole, with the rest missing."""
    node = lamp(at_most=1)
    said = node.ask(set_c(LAMP, (0xB0, "32"), (0xB6, "43")))
    assert frames(said)[0] == "02900105ff015101b000"
    assert frames(node.ask(get(LAMP, 0xB6))) == ["02900105ff017201b60142"]


def test_one_that_nothing_reaches_that_is_sent_to_all() -> None:
    """It hears what is meant for it alone."""
    node = lamp(hears_all=False)
    for multicast, answers in ((True, 0), (False, 1)):
        node.node.receive(US, get(LAMP, 0x80), node.now, multicast=multicast)
        assert len(node.wait(1.0)) == answers


def test_an_odd_source_port() -> None:
    """Everything comes from there."""
    assert [said.port for said in lamp(source_port=23610).ask(set_c(LAMP, (0x80, "30")))] == [23610, 23610]


def test_a_split_answer() -> None:
    """72 and 52 for one TID, every property in one of them."""
    node = lamp(splits=True)
    assert frames(node.ask(get(LAMP, 0xD7, *FOUR))) == [
        "02900105ff017202800131b00164",
        "02900105ff015203d700b10142b60142",
    ]
    assert frames(node.ask(get(LAMP, 0x80))) == ["02900105ff017201800131"]
    assert frames(node.ask(get(LAMP, 0xD7, 0xD8))) == ["02900105ff015202d700d800"]


def test_everything_twice() -> None:
    """Announcements too."""
    first, again, told, retold = lamp(copies=2).ask(set_c(LAMP, (0x80, "30")))
    assert (first, told) == (again, retold)


def test_announcements_that_never_come() -> None:
    """Although 9D promises them; and no greeting."""
    node = bench(GeneralLighting(W), temper=Temper(announces=False, greets=False), fresh=True)
    assert node.wait(1) == []
    assert frames(node.ask(get(LAMP, 0x9D))) == ["02900105ff0172019d0504808188b0"]
    assert len(node.ask(set_c(LAMP, (0x80, "30")), seconds=60)) == 1


def test_the_announcement_comes_before_the_answer() -> None:
    """INF, then Set_Res."""
    assert [said.payload[10] for said in lamp(announces_first=True).ask(set_c(LAMP, (0x80, "30")))] == [0x73, 0x71]


def test_an_announcement_over_both_families() -> None:
    """The same frame from either address; an answer only over that of the question."""
    node = NodeBench(
        ApplianceNode(W, [GeneralLighting(W)], "10.0.0.2", "fe80::2", temper=Temper(announces_on_both=True))
    )
    answer, *told = node.ask(set_c(LAMP, (0x80, "30")), "fe80::9")
    assert (answer.source, answer.to) == ("fe80::2", "fe80::9")
    assert [(each.source, each.to) for each in told] == [("10.0.0.2", None), ("fe80::2", None)]
    assert told[0].payload == told[1].payload


def test_a_set_map_that_lies() -> None:
    """Refused in spite of 9E, or accepted without effect."""
    node = lamp(unsettable=frozenset((0xB0,)), without_effect=frozenset((0x80,)))
    assert frames(node.ask(set_c(LAMP, (0xB0, "32"), (0x80, "30")))) == ["02900105ff015102b001328000"]
    assert frames(node.ask(set_c(LAMP, (0x80, "30")))) == ["02900105ff0171018000"]
    assert frames(node.ask(get(LAMP, 0x80))) == ["02900105ff017201800131"]


def test_a_get_map_that_lies() -> None:
    """PDC 0 in spite of 9F, or no answer to a request that holds the property, or that holds both."""
    node = lamp(unreadable=frozenset((0xB0,)), unspeakable=frozenset((0xB1,)), never_together=frozenset((0x82, 0x8A)))
    assert frames(node.ask(get(LAMP, 0x80, 0xB0))) == ["02900105ff015202800131b000"]
    assert node.ask(get(LAMP, 0x80, 0xB1)) == []
    assert node.ask(get(LAMP, 0x82, 0x8A)) == []
    assert len(node.ask(get(LAMP, 0x82)) + node.ask(get(LAMP, 0x8A))) == 2


def test_maps_out_of_shape() -> None:
    """A list filled up with zeros, a count that is not that of the bits."""
    node = bench(GasMeter(W), GeneralLighting(W), temper=Temper(pads_maps=True, miscounts=5))
    (padded,) = node.ask(get(0x028201, 0x9E))
    assert padded.payload[12:].hex() == "9e11" + "0681" + "00" * 15
    (bitmap,) = node.ask(get(LAMP, 0x9F))
    assert bitmap.payload[14] == len(node.node.devices[1].epcs("r")) + 5


def test_a_refusal_of_set_c_as_of_set_i() -> None:
    """50 instead of 51."""
    assert frames(lamp(refuses_as_set_i=True).ask(set_c(LAMP, (0x88, "41")))) == ["02900105ff015001880141"]


def test_a_request_too_soon_after_another() -> None:
    """Is not heard, until the gap is over."""
    node = lamp(gap_s=2.0)
    node.ask(set_c(LAMP, (0x80, "30")), seconds=1.0)
    assert node.ask(set_c(LAMP, (0x80, "31")), seconds=1.1) == []
    assert frames(node.ask(get(LAMP, 0x80))) == ["02900105ff017201800130"]


def test_silent_for_a_time() -> None:
    """It hears and says nothing, and then goes on as if nothing had been."""
    node = lamp()
    node.node.fall_silent(30)
    assert node.ask(set_c(LAMP, (0x80, "30")), seconds=29) == []
    assert node.wait(10) == []
    assert frames(node.ask(get(LAMP, 0x80))) == ["02900105ff017201800131"]


def test_rebooting() -> None:
    """What was under way is lost; it greets when it is back, with its numbers from the start."""
    node = lamp(answer_s=1.0)
    node.node.receive(US, get(LAMP, 0x80), node.now)
    node.node.reboot(5.0)
    assert [said.payload.hex() for said in node.wait(60)] == ["108100010ef0010ef0017301d50401029001"]
    assert frames(node.ask(get(LAMP, 0x80), seconds=2))


def test_moving() -> None:
    """From then on it speaks from another address, which it tells or not."""
    node = lamp()
    node.node.move("192.168.1.77")
    assert [said.source for said in node.wait(1)] == ["192.168.1.77"]
    node.node.move("192.168.1.78", greets=False)
    assert node.wait(1) == []
    assert [said.source for said in node.ask(get(LAMP, 0x80))] == ["192.168.1.78"]


def test_garbage() -> None:
    """Whatever it shall say, to one or to all."""
    node = lamp()
    node.node.utter(b"\x10\x81", US)
    node.node.utter(b"")
    assert node.wait(0) == [Said("192.168.1.20", US, b"\x10\x81"), Said("192.168.1.20", None, b"")]
