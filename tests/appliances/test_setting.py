"""The course of a command, against a device that does as it is told, or not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.dialogues import AIRCON, Line, Node, properties

from hemsd.appliances.dialogue import GAP_S, QUEUE_LIMIT, Finished
from hemsd.appliances.manners import LIMIT_S, Manners
from hemsd.appliances.setting import AGAIN_S, BY_THE_WAY, NEXT, Outcome, Setting, Stage
from hemsd.echonet.classes.device import Write
from hemsd.echonet.frame import ESV, Property

ON, MODE, TARGET, OUTSIDE = 0x80, 0xB0, 0xB3, 0x93
NAMES = {ON: "operation_status", MODE: "mode", TARGET: "target_temperature", OUTSIDE: "remote_control"}
APPLIED = Outcome("applied")


def write(told: Mapping[int, str], expects: Mapping[int, str] | None = None, settle_s: float = 1.0) -> Write:
    """A write of EDTs in hexadecimal that are also what confirms it."""
    confirm = told if expects is None else expects
    return Write(
        tuple(Property(epc, bytes.fromhex(edt)) for epc, edt in told.items()),
        {epc: frozenset({bytes.fromhex(edt)}) for epc, edt in confirm.items()},
        settle_s,
    )


class Command:
    """A setting on a line, driven like the network drives it."""

    def __init__(self, *writes: Write, line: Line | None = None) -> None:
        manners = Manners()
        manners.answered(8)
        self.line = line or Line(manners)
        self.setting = Setting(self.line.dialogue, AIRCON, writes, name=NAMES.__getitem__)
        self.taken = 0

    def step(self) -> list[bytes]:
        """What is due now; datagrams that leave."""
        self.setting.tick(self.line.now)
        sent = self.line.go()
        while self.taken < len(self.line.happened):
            event = self.line.happened[self.taken]
            self.taken += 1
            if isinstance(event, Finished):
                self.setting.finished(event.ticket, self.line.now)
                sent += self.line.go()
        return sent

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass; datagrams that leave."""
        end, sent = self.line.now + seconds, self.step()
        for _ in range(1000):
            deadlines = (self.line.dialogue.deadline(), self.setting.deadline())
            at = min((each for each in deadlines if each is not None), default=end + 1)
            if at > end:
                break
            self.line.now = max(self.line.now, at)
            sent += self.step()
        else:
            raise AssertionError("it never comes to rest")
        self.line.now = end
        return sent

    def talk(self, node: Node, seconds: float = 60.0) -> Outcome | None:
        """Let the node answer at once."""
        end = self.line.now + seconds
        while self.line.now < end:
            for data in self.wait(0.1):
                for each in node.answers(data):
                    self.line.hear(each)
            self.step()
            if self.setting.outcome is not None:
                break
        return self.setting.outcome

    def one(self, seconds: float = 30.0) -> bytes:
        """The next datagram that leaves."""
        end = self.line.now + seconds
        while self.line.now < end:
            if sent := self.wait(0.1):
                (data,) = sent
                return data
        raise AssertionError("nothing is sent")

    def tell(self, request: bytes, esv: int, told: dict[int, bytes]) -> None:
        self.line.tell(request, esv, told)
        self.step()


def test_applied() -> None:
    """Written, accepted, settled, read back as wished."""
    node = Node({ON: b"\x31"})
    command = Command(write({ON: "30"}))
    start = command.line.now
    assert command.talk(node) == APPLIED
    assert command.setting.read_back == {ON: b"\x30"}
    assert node.written == [[(ON, b"\x30")]]
    assert 1.0 <= command.line.now - start < 2.0


def test_writes_follow_each_other() -> None:
    """The next write goes out when the one before is confirmed."""
    node = Node({ON: b"\x31", MODE: b"\x41", TARGET: b"\x19"})
    command = Command(write({ON: "30"}), write({MODE: "43"}), write({TARGET: "14"}))
    assert command.talk(node) == APPLIED
    assert [each[0][0] for each in node.written] == [ON, MODE, TARGET]
    assert node.asked == [[ON], [MODE], [TARGET]]
    assert command.setting.read_back == {ON: b"\x30", MODE: b"\x43", TARGET: b"\x14"}


def test_mistake_7_accepted_is_not_applied() -> None:
    """A 71 proves nothing: read back three times within 7 s, then it is unverified, by name."""
    node = Node({TARGET: b"\x19"}, effect=lambda epc, edt: b"\x19")
    command = Command(write({TARGET: "1A"}))
    start = command.line.now
    outcome = command.talk(node)
    assert outcome == Outcome("unverified", "unverified", "target_temperature is not as wished")
    assert len(node.asked) == 1 + len(AGAIN_S)
    assert len(node.written) == 1
    assert command.line.now - start < 1.0 + sum(AGAIN_S) + 2.0
    assert command.setting.read_back == {TARGET: b"\x19"}


def test_a_slow_effect_is_waited_for() -> None:
    """As wished at the second look is applied."""
    node = Node({TARGET: b"\x19"}, effect=lambda epc, edt: b"\x19")
    command = Command(write({TARGET: "1A"}))
    assert command.talk(node, 2.0) is None
    node.values[TARGET] = b"\x1a"
    assert command.talk(node) == APPLIED


def test_the_device_s_own_time_to_settle() -> None:
    """Nothing is read before it."""
    command = Command(write({ON: "30"}, settle_s=5.0))
    command.tell(command.one(), ESV.SET_RES, {ON: b""})
    assert command.wait(4.9) == []
    assert len(command.wait(0.2)) == 1


def test_a_notification_confirms() -> None:
    """What the device tells by itself after the write is as good as a read-back, even before the answer."""
    command = Command(write({ON: "30"}), write({TARGET: "1A"}))
    request = command.one()
    command.setting.told({ON: b"\x30"}, command.line.now)
    assert command.setting.outcome is None
    command.tell(request, ESV.SET_RES, {ON: b""})
    request = command.one()
    assert properties(request) == [(TARGET, b"\x1a")]
    command.tell(request, ESV.SET_RES, {TARGET: b""})
    command.wait(0.5)
    command.setting.told({TARGET: b"\x1a", MODE: b"\x42"}, command.line.now)
    assert command.setting.outcome == APPLIED
    assert command.setting.read_back == {ON: b"\x30", TARGET: b"\x1a"}


def test_what_was_seen_before_a_write_does_not_confirm_it() -> None:
    """The target that the mode brought happened to be the one wished; it is read again after it was written."""
    node = Node({MODE: b"\x42", TARGET: b"\x1a"})
    assert Command(write({MODE: "43"}, {MODE: "43", TARGET: "1A"}), write({TARGET: "1A"})).talk(node) == APPLIED
    assert node.asked == [[MODE, TARGET], [TARGET]]


def test_a_notification_before_the_write_left_proves_nothing() -> None:
    """The device may be told otherwise in between."""
    line = Line()
    line.dialogue.read(AIRCON, (ON,))
    line.one()
    command = Command(write({ON: "30"}), line=line)
    command.setting.told({ON: b"\x30"}, line.now)
    assert command.setting.read_back == {}


def test_rejected() -> None:
    """What the device refused and is not as wished; what it accepted is named, what was to follow is not sent."""
    node = Node({MODE: b"\x41", TARGET: b"\x19"}, refuses=frozenset({TARGET}))
    command = Command(write({MODE: "43", TARGET: "14"}, settle_s=30.0), write({ON: "30"}))
    start = command.line.now
    outcome = command.talk(node)
    assert command.line.now - start < 1.0, "it is told at once"
    assert outcome == Outcome(
        "rejected",
        "device_refused",
        "the device refused target_temperature; mode was accepted; operation_status was not sent",
    )
    assert len(node.written) == 1
    assert command.setting.read_back == {MODE: b"\x43", TARGET: b"\x19"}


@pytest.mark.parametrize("esv", [ESV.SETC_SNA, ESV.SETI_SNA])
def test_refused_as_a_whole(esv: int) -> None:
    """A 51, or a 50 of a device that mixes them up; without anything to read back it is rejected at once."""
    command = Command(write({TARGET: "1A"}, expects={}))
    command.tell(command.one(), esv, {TARGET: b"\x1a"})
    assert command.setting.outcome == Outcome("rejected", "device_refused", "the device refused target_temperature")


def test_refused_but_as_wished() -> None:
    """A device that refuses to be switched on because it is on is on."""
    node = Node({ON: b"\x30"}, refuses=frozenset({ON}))
    assert Command(write({ON: "30"})).talk(node) == APPLIED


def test_a_device_that_will_not_hear_of_outside() -> None:
    """It refuses property 93 and does as it is told: applied."""
    node = Node({OUTSIDE: b"\x41", ON: b"\x31"}, refuses=BY_THE_WAY)
    command = Command(write({OUTSIDE: "42", ON: "30"}, {ON: "30"}))
    command.tell(command.one(), ESV.SETC_SNA, {OUTSIDE: b"\x42", ON: b""})
    assert command.talk(node, 2.0) is None
    node.values[ON] = b"\x30"
    assert command.talk(node) == APPLIED


def test_what_cannot_be_read_back() -> None:
    """Accepted, and nothing shows its effect: unverified."""
    outcome = Command(write({TARGET: "1A"}, expects={})).talk(Node({}))
    assert outcome == Outcome("unverified", "unverified", "target_temperature cannot be read back")


def test_what_is_not_given_when_read_back() -> None:
    """The same where the map promises more than the device keeps."""
    node = Node({}, effect=lambda epc, edt: b"")
    outcome = Command(write({TARGET: "1A"})).talk(node)
    assert outcome == Outcome("unverified", "unverified", "target_temperature was not to be read back")


def test_mistake_20_silence_is_read_back_and_never_repeated() -> None:
    """The answer was lost, the write was taken: what the device says decides, after one write."""
    node = Node({ON: b"\x31"})
    command = Command(write({ON: "30"}), write({TARGET: "1A"}))
    node.answers(command.one())
    assert command.talk(node) == APPLIED
    assert node.written == [[(ON, b"\x30")], [(TARGET, b"\x1a")]]


def test_timeout() -> None:
    """No answer, and not as wished: it may come or not; what was to follow is not sent, nothing is written twice."""
    node = Node({ON: b"\x31", TARGET: b"\x19"})
    command = Command(write({ON: "30"}), write({TARGET: "1A"}))
    command.one()
    assert command.talk(node) == Outcome(
        "timeout",
        "timeout",
        "no answer to setting operation_status, and operation_status is not as wished; "
        "target_temperature was not sent",
    )
    assert node.written == []


def test_timeout_of_a_dead_node() -> None:
    """Silence to the write and to the read-back: over within two limits, one SetC."""
    command = Command(write({ON: "30"}))
    sent = command.wait(2 * LIMIT_S + 2.0)
    assert [data[10] for data in sent].count(ESV.SETC) == 1
    assert command.setting.outcome == Outcome(
        "timeout",
        "timeout",
        "no answer to setting operation_status, and operation_status was not to be read back",
    )


def test_timeout_without_a_way_to_see() -> None:
    """Silence, and nothing that could be read back."""
    command = Command(write({TARGET: "1A"}, expects={}))
    command.wait(LIMIT_S + 1.0)
    assert command.setting.outcome == Outcome("timeout", "timeout", "no answer to setting target_temperature")


def test_a_newer_command_before_the_older_is_sent() -> None:
    """The older one is not sent at all and says so."""
    line = Line()
    line.dialogue.read(AIRCON, (ON,))
    request = line.one()
    older = Command(write({TARGET: "1A"}), line=line)
    older.setting.overtake({TARGET})
    assert older.setting.outcome == Outcome("refused", "expired", "a newer command came before it was sent")
    line.tell(request, ESV.GET_RES, {ON: b"\x30"})
    assert older.wait(10.0) == []


def test_a_newer_command_takes_what_is_left() -> None:
    """Of one that was sent nothing of the same property follows or is waited for; the rest goes on."""
    node = Node({ON: b"\x31", MODE: b"\x41", TARGET: b"\x19"})
    older = Command(write({ON: "30"}), write({MODE: "42", TARGET: "1A"}))
    older.tell(older.one(), ESV.SET_RES, {ON: b""})
    older.setting.overtake({TARGET})
    node.values[ON] = b"\x30"
    outcome = older.talk(node)
    assert node.written == [[(MODE, b"\x42")]]
    assert outcome == Outcome("unverified", "unverified", "a newer command took its place")
    assert older.setting.read_back == {ON: b"\x30", MODE: b"\x42"}


def test_a_newer_command_of_what_is_being_read_back() -> None:
    """The older one is over: what is seen from now is the newer one's doing."""
    older = Command(write({TARGET: "1A"}))
    older.tell(older.one(), ESV.SET_RES, {TARGET: b""})
    older.setting.overtake({TARGET})
    assert older.setting.outcome == Outcome("unverified", "unverified", "a newer command took its place")
    assert older.wait(10.0) == []


def test_a_newer_command_of_another_property() -> None:
    """It changes nothing, even if both tell that they came from outside."""
    node = Node({TARGET: b"\x19", OUTSIDE: b"\x41"})
    older = Command(write({OUTSIDE: "42", TARGET: "1A"}, {TARGET: "1A"}))
    older.setting.overtake({MODE})
    assert older.talk(node) == APPLIED


def test_a_node_with_too_much_to_do() -> None:
    """Refused as busy, and nothing is sent."""
    line = Line()
    for _ in range(QUEUE_LIMIT):
        line.dialogue.read(AIRCON, (ON,), urgent=True)
    command = Command(write({TARGET: "1A"}), line=line)
    assert command.setting.outcome == Outcome(
        "refused", "busy", "too much is being asked of the node; target_temperature was not sent"
    )


def test_every_stage_leads_to_an_end() -> None:
    """From each one the end can be reached, and nothing follows it."""
    assert all(Stage.OVER in NEXT[stage] for stage in Stage if stage is not Stage.OVER)
    assert NEXT[Stage.OVER] == frozenset()


def test_a_gap_between_write_and_read_back() -> None:
    """Even a device that settles at once is given its gap."""
    command = Command(write({ON: "30"}, settle_s=0.0))
    command.tell(command.one(), ESV.SET_RES, {ON: b""})
    assert command.wait(GAP_S - 0.01) == []
    assert len(command.wait(0.02)) == 1
