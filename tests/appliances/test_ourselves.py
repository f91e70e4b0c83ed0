"""What our own node answers, read and written here as bytes of the manual."""

from __future__ import annotations

from itertools import count

import pytest
from support.scripted import (
    CONTROLLER,
    GET,
    GET_RES,
    GET_SNA,
    INF,
    INF_REQ,
    INFC,
    INFC_RES,
    PROFILE,
    SET_RES,
    SETC,
    SETC_SNA,
    SETI,
    SETI_SNA,
    UNIQUE,
    Heard,
    datagram,
)

from hemsd.appliances.ourselves import OwnNode
from hemsd.echonet.frame import Frame, decode, encode
from hemsd.echonet.objects import decode_property_map

THEIRS = 0x05FF01
NUMBER = b"\xfe\xff\xff\xff" + UNIQUE
SETGET, SETGET_RES, SETGET_SNA = 0x6E, 0x7E, 0x5E


@pytest.fixture
def node() -> OwnNode:
    return OwnNode(unique=UNIQUE)


def ask(node: OwnNode, deoj: int, esv: int, *properties: tuple[int, bytes]) -> list[tuple[Heard, bool]]:
    """What it answers, and whether to all."""
    return said(node, decode(datagram(0x1234, THEIRS, deoj, esv, *properties)))


def said(node: OwnNode, frame: Frame) -> list[tuple[Heard, bool]]:
    tids = count(1)
    return [(Heard.of(encode(each.frame)), each.to_all) for each in node.answer(frame, lambda: next(tids))]


def get(node: OwnNode, deoj: int, *epcs: int) -> list[Heard]:
    return [heard for heard, _ in ask(node, deoj, GET, *((epc, b"") for epc in epcs))]


def test_every_mandatory_property_of_the_node_profile(node: OwnNode) -> None:
    """ECHONET Lite specification part 2, 6.11.1, with one instance and version 1.14."""
    mandatory = (0x80, 0x82, 0x83, 0x8A, 0x9D, 0x9E, 0x9F, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7)
    (answer,) = get(node, PROFILE, *mandatory)
    values = dict(answer.properties)
    assert answer.esv == GET_RES
    assert values[0x80] == b"\x30"
    assert values[0x82] == bytes.fromhex("010E0100")
    assert values[0x83] == NUMBER
    assert values[0x8A] == b"\xff\xff\xff"
    assert values[0xD3] == bytes.fromhex("000001")
    assert values[0xD4] == bytes.fromhex("0002")
    assert values[0xD5] == values[0xD6] == bytes.fromhex("0105FF01")
    assert values[0xD7] == bytes.fromhex("0105FF")
    assert decode_property_map(values[0x9D]) == {0x80, 0xD5}
    assert decode_property_map(values[0x9E]) == frozenset()
    assert decode_property_map(values[0x9F]) == frozenset(mandatory)


def test_every_mandatory_property_of_the_controller(node: OwnNode) -> None:
    """ECHONET Appendix, super class; where it stands can be set."""
    mandatory = (0x80, 0x81, 0x82, 0x88, 0x8A, 0x9D, 0x9E, 0x9F)
    (answer,) = get(node, CONTROLLER, *mandatory, 0x83)
    values = dict(answer.properties)
    assert answer.esv == GET_RES
    assert values[0x80], values[0x88] == (b"\x30", b"\x42")
    assert values[0x81] == b"\x00"
    assert values[0x82][:3] == b"\0\0R"
    assert values[0x83] == NUMBER
    assert decode_property_map(values[0x9D]) == {0x80, 0x81, 0x88}
    assert decode_property_map(values[0x9E]) == {0x81}
    assert decode_property_map(values[0x9F]) == {*mandatory, 0x83}


def test_the_maker_code_is_configured() -> None:
    """A member of the consortium has one of his own, which is in the identification number too."""
    (answer,) = get(OwnNode(maker="00000B", unique=UNIQUE), PROFILE, 0x8A, 0x83)
    assert answer.properties == ((0x8A, b"\0\0\x0b"), (0x83, b"\xfe\0\0\x0b" + UNIQUE))
    for wrong in ({"maker": "0B", "unique": UNIQUE}, {"unique": b"short"}):
        with pytest.raises(ValueError, match=r"digits|bytes"):
            OwnNode(**wrong)  # type: ignore[arg-type]


def test_a_get_of_what_is_not_there_is_answered_in_part(node: OwnNode) -> None:
    """Get_SNA keeps order and number, with no data for what is not there, to the sender's object and TID."""
    (answer,) = get(node, PROFILE, 0x80, 0xE0, 0xD3)
    assert answer == Heard(0x1234, PROFILE, THEIRS, GET_SNA, ((0x80, b"\x30"), (0xE0, b""), (0xD3, b"\0\0\1")))


def test_an_answer_fits_into_one_datagram(node: OwnNode) -> None:
    """Asked for more than a packet carries, it answers what comes first and says that it is not all."""
    (answer,) = get(node, PROFILE, *[0x83] * 200)
    assert answer.esv == GET_SNA
    assert 0 < len(answer.properties) < 200
    frame = Frame(1, THEIRS, CONTROLLER, SETGET, decode(datagram(1, 1, 1, GET, (0x81, b"\x08"))).properties, ())
    many = decode(datagram(1, 1, 1, GET, *[(0x83, b"")] * 200)).properties
    frame = Frame(1, THEIRS, CONTROLLER, SETGET, frame.properties, many)
    ((answer_both, _), _) = [(each.frame, each.to_all) for each in node.answer(frame, lambda: 1)]
    assert len(encode(answer_both)) <= 1232


def test_an_inf_req_is_answered_to_all(node: OwnNode) -> None:
    """4.2.1: INF by multicast; INF_SNA to who asked where something is not there."""
    ((answer, to_all),) = ask(node, PROFILE, INF_REQ, (0xD5, b""))
    assert (answer.esv, answer.tid, answer.properties, to_all) == (INF, 0x1234, ((0xD5, b"\1\x05\xff\1"),), True)
    ((answer, to_all),) = ask(node, PROFILE, INF_REQ, (0xD5, b""), (0xE0, b""))
    assert (answer.esv, to_all) == (0x53, False)


def test_a_location_is_accepted_told_and_kept(node: OwnNode) -> None:
    """81 is settable with 1 byte, or 17 that begin with 01, and announced when it changes."""
    place = b"\x01" + bytes(range(16))
    for edt in (b"\x08", place):
        (answer, _), (told, to_all) = ask(node, CONTROLLER, SETC, (0x81, edt))
        assert (answer.esv, answer.properties) == (SET_RES, ((0x81, b""),))
        assert (told.esv, told.deoj, told.properties, to_all) == (INF, PROFILE, ((0x81, edt),), True)
    assert node.location == place
    assert get(node, CONTROLLER, 0x81)[0].properties == ((0x81, place),)
    assert len(ask(node, CONTROLLER, SETC, (0x81, place))) == 1  # no change, nothing to announce
    assert get(OwnNode(unique=UNIQUE, location=place), CONTROLLER, 0x81)[0].properties == ((0x81, place),)


@pytest.mark.parametrize("edt", [b"", b"\x01", b"\x08\x08", bytes(17), b"\x01" + bytes(15)])
def test_no_location_is_refused(node: OwnNode, edt: bytes) -> None:
    """What 81 cannot be comes back with its data, and nothing changes."""
    ((answer, _),) = ask(node, CONTROLLER, SETC, (0x81, edt))
    assert (answer.esv, answer.properties) == (SETC_SNA, ((0x81, edt),))
    assert node.location == b"\0"


def test_a_setc_of_others_is_refused_with_their_data(node: OwnNode) -> None:
    """SetC_SNA: accepted without data and in effect, refused with the data sent."""
    (answer, _), (told, _) = ask(node, CONTROLLER, SETC, (0x81, b"\x08"), (0x80, b"\x31"))
    assert (answer.esv, answer.properties) == (SETC_SNA, ((0x81, b""), (0x80, b"\x31")))
    assert told.properties == ((0x81, b"\x08"),)
    ((answer, _),) = ask(node, PROFILE, SETC, (0x81, b"\x08"))
    assert answer.esv == SETC_SNA


def test_a_seti_is_answered_only_when_refused(node: OwnNode) -> None:
    """SetI succeeds in silence but for the announcement; SetI_SNA otherwise."""
    ((told, to_all),) = ask(node, CONTROLLER, SETI, (0x81, b"\x10"))
    assert (told.esv, to_all, node.location) == (INF, True, b"\x10")
    ((answer, _),) = ask(node, CONTROLLER, SETI, (0x80, b"\x31"))
    assert (answer.esv, answer.properties) == (SETI_SNA, ((0x80, b"\x31"),))


@pytest.mark.parametrize(
    ("deoj", "answering"),
    [(PROFILE, [PROFILE]), (0x0EF000, [PROFILE]), (CONTROLLER, [CONTROLLER]), (0x05FF00, [CONTROLLER])],
)
def test_infc_is_confirmed(node: OwnNode, deoj: int, answering: list[int]) -> None:
    """Whichever of ours it is for, the same properties without data and the same TID; else it is sent for ever."""
    answers = ask(node, deoj, INFC, (0x80, b"\x30"), (0xB0, b"\x41"))
    assert [heard.seoj for heard, _ in answers] == answering
    assert answers[0][0] == Heard(0x1234, answering[0], THEIRS, INFC_RES, ((0x80, b""), (0xB0, b"")))


def test_set_and_get(node: OwnNode) -> None:
    """SetGet: both lists in their order; 5E where either falls short, what was accepted being in effect."""
    one = decode(datagram(7, THEIRS, CONTROLLER, GET, (0x81, b"\x08"))).properties
    two = decode(datagram(7, THEIRS, CONTROLLER, GET, (0x81, b""), (0x80, b""))).properties
    answer, told = node.answer(Frame(7, THEIRS, CONTROLLER, SETGET, one, two), lambda: 1)
    assert encode(answer.frame).hex() == "1081000705ff0105ff017e0181000281010880" + "0130"
    assert told.to_all
    unknown = decode(datagram(7, THEIRS, CONTROLLER, GET, (0xE0, b""))).properties
    (answer,) = node.answer(Frame(7, THEIRS, CONTROLLER, SETGET, one, unknown), lambda: 1)
    assert encode(answer.frame).hex() == "1081000705ff0105ff015e01810001e000"
    assert node.answer(Frame(7, THEIRS, CONTROLLER, SETGET, one, ()), lambda: 1) == []


@pytest.mark.parametrize("deoj", [0x013001, 0x05FF02, 0x0EF002, 0x000000, 0xFFFFFF])
def test_objects_that_we_do_not_have_are_silent(node: OwnNode, deoj: int) -> None:
    """An unknown DEOJ is not answered, whatever is asked of it."""
    for esv in (GET, SETC, SETI, INF_REQ, INFC):
        assert ask(node, deoj, esv, (0x80, b"")) == []


@pytest.mark.parametrize("esv", [0x00, 0x50, 0x51, 0x52, 0x53, 0x5E, 0x65, 0x70, 0x71, 0x72, 0x73, 0x7A, 0x7E, 0xFF])
def test_what_asks_nothing_is_not_answered(node: OwnNode, esv: int) -> None:
    """Responses, notifications and unknown services: silence, so that nobody keeps anybody busy."""
    assert said(node, Frame(1, THEIRS, PROFILE, esv, decode(datagram(1, 1, 1, GET, (0x80, b""))).properties)) == []


def test_opc_0_is_not_answered(node: OwnNode) -> None:
    """A request that names no property is malformed."""
    assert ask(node, PROFILE, GET) == []
    assert ask(node, PROFILE, INFC) == []


def test_what_is_announced_at_start(node: OwnNode) -> None:
    """4.3.1: the instance list first, to 0EF001; then that both objects are in operation."""
    told = [Heard.of(encode(frame)) for frame in node.announcements(iter(range(1, 9)).__next__)]
    assert [(each.seoj, each.deoj, each.esv, each.properties) for each in told] == [
        (PROFILE, PROFILE, INF, ((0xD5, b"\1\x05\xff\1"),)),
        (PROFILE, PROFILE, INF, ((0x80, b"\x30"),)),
        (CONTROLLER, PROFILE, INF, ((0x80, b"\x30"),)),
    ]
