"""One node's line of requests, in virtual time."""

from __future__ import annotations

import pytest
from support.nodes import AIRCON, Line

from hemsd.appliances.dialogue import Finished
from hemsd.appliances.manners import Manners
from hemsd.echonet.frame import ESV

ON, MODE, TARGET, ROOM = 0x80, 0xB0, 0xB3, 0xBB
OTHER = 0x029001  # another object on the same node
ALL = {epc: bytes([epc]) for epc in range(0x80, 0xC0)}


@pytest.fixture
def line() -> Line:
    """A node whose manners are known: eight properties at once are fine."""
    manners = Manners()
    manners.proven = 8
    return Line(manners)


def test_a_read_is_answered(line: Line) -> None:
    """One Get from 05FF01 of two properties, one answer: both values, and one end."""
    ticket = line.dialogue.read(AIRCON, (ON, ROOM))
    request = line.one()
    assert request.hex().upper() == "1081010005FF0101300162028000BB00"
    assert line.tell(request, ESV.GET_RES, {ON: b"\x30", ROOM: b"\x1a"})
    assert ticket.answers == {ON: b"\x30", ROOM: b"\x1a"}
    assert ticket.done and not ticket.silent
    assert line.happened == [Finished(ticket)]
