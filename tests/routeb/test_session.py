"""Coming online, staying, coming back: the whole link over a scripted module, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec.structs import replace
from support.routeb import CREDENTIALS, OUR_ADDRESS, PAN, Driven, FakeModule, frame

from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Event,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    NoAnswer,
    Noise,
    Open,
    Pan,
    Refused,
    Rejoin,
    Scan,
    Send,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
    UseCredentials,
)
from hemsd.routeb.errors import CredentialsRefused, MeterMute, MeterNotHeard, ModuleTrouble, RadioTrouble
from hemsd.routeb.ladder import Rung
from hemsd.routeb.logbook import Recovery
from hemsd.routeb.stages import MOVES, Concluded, IllegalMove, Lost, Online, Progress, Recovering, Scanned, Stage

DATAGRAMS = FakeModule()
CHALLENGED = [AuthenticationStep.STARTED, AuthenticationStep.CHALLENGED]
ACCEPTED = [*CHALLENGED, AuthenticationStep.ANSWERED]


@pytest.fixture
def module() -> FakeModule:
    return FakeModule()


def kinds(module: FakeModule) -> list[str]:
    return [type(command).__name__ for _, command in module.log if not isinstance(command, Send)]


def rungs(driven: Driven) -> list[Rung]:
    return [event.rung for event in driven.events(Recovering) if isinstance(event, Recovering)]


def concluded(driven: Driven) -> list[type]:
    return [type(event.error) for event in driven.events(Concluded) if isinstance(event, Concluded)]


# --- coming online


def test_cold_start(module: FakeModule) -> None:
    """Nothing remembered: reset, credentials, scans of growing duration, join, online."""
    driven = Driven(module)
    driven.online()
    assert kinds(module) == ["Open", "UseCredentials", "Scan", "Scan", "Scan", "Join"]
    assert module.commands(Open, UseCredentials) == [Open(keep_session=False), UseCredentials(CREDENTIALS)]
    assert [scan.duration for scan in module.commands(Scan) if isinstance(scan, Scan)] == [4, 5, 6]
    assert driven.stages() == [Stage.OPENING, Stage.SCANNING, Stage.JOINING, Stage.ONLINE]
    assert driven.events(Online) == [Online(resumed=False)]
    assert driven.session.pan == PAN


def test_no_fixed_waits_before_the_first_reading(module: FakeModule) -> None:
    """Opening, scanning, joining and reading take the module's and the meter's own time and nothing more."""
    driven = Driven(module)
    driven.online()
    request = driven.get(0xE7)
    driven.run(1, lambda: request.done)
    commands_s = 0.01 * 2
    assert driven.now == pytest.approx(commands_s + 3 * module.scan_s + module.join_s + module.latency_s)


def test_surviving_session(module: FakeModule) -> None:
    """The module stands on the remembered PAN and the meter answers one Get: nothing is reset, nothing joined."""
    module.session, module.channel, module.pan_id = True, PAN.channel, PAN.pan_id
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert kinds(module) == ["Open"]
    assert module.commands(Open) == [Open(keep_session=True)]
    assert len(module.meter.requests) == 1
    assert driven.events(Online) == [Online(resumed=True)]
    assert driven.stages() == [Stage.OPENING, Stage.SURVIVING, Stage.ONLINE]


def test_dead_session_is_joined_again(module: FakeModule) -> None:
    """The remembered PAN is still set but nobody answers: after 6 s reset and join, without a scan."""
    module.channel, module.pan_id = PAN.channel, PAN.pan_id
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert kinds(module) == ["Open", "Open", "UseCredentials", "Join"]
    assert 6 < driven.now < 7
    assert len(module.commands(Send)) == 1
    driven.run(30)
    assert len(module.commands(Send)) == 1  # the probe is not asked again


@pytest.mark.parametrize("end", [Fate.FAILED, Refused])
def test_a_probe_that_does_not_get_out(module: FakeModule, end: object) -> None:
    """A transmission failure shows a dead session at once."""
    module.channel, module.pan_id = PAN.channel, PAN.pan_id
    if end is Fate.FAILED:
        module.fates = [Fate.FAILED]
    else:
        module.instead = [
            lambda command: module.opened(command),
            lambda command: [Refused(command, "ER10", "SKSENDTO")],
        ]
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert driven.now < 1
    assert module.commands(Scan) == []


def test_fresh_module_with_a_remembered_pan(module: FakeModule) -> None:
    """A module that was never on a PAN has no session to lose: no second opening, straight to the join."""
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert kinds(module) == ["Open", "UseCredentials", "Join"]


def test_module_on_another_pan_is_reset(module: FakeModule) -> None:
    """A module standing elsewhere is set up afresh before the remembered PAN is joined."""
    module.channel, module.pan_id = 0x21, 0x1111
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert module.commands(Open) == [Open(keep_session=True), Open(keep_session=False)]
    assert kinds(module) == ["Open", "Open", "UseCredentials", "Join"]


def test_the_remembered_pan_is_tried_twice(module: FakeModule) -> None:
    """The PAN cache is not believed for ever: after two failed joins the meter is looked for."""
    elsewhere = Pan(0x3B, 0x0001, "001C640000000001", "AABBCCDD", 0x70)
    module.joins = [[], []]
    driven = Driven(module, remembered=elsewhere)
    driven.online()
    assert [join.pan for join in module.commands(Join) if isinstance(join, Join)] == [elsewhere, elsewhere, PAN]
    assert driven.session.pan == PAN


def test_the_right_and_the_best_beacon_wins(module: FakeModule) -> None:
    """The PAN with our pairing ID and the highest LQI, whatever else answers, and only when the scan is over."""
    neighbour = Pan(0x33, 0x2222, "001C640000000002", "11111111", 0xFF)
    untold = Pan(0x34, 0x3333, "001C640000000003", "", 0xFF)
    weaker = Pan(0x35, 0x4444, "001C640000000004", "AABBCCDD", 0x20)
    module.beacons = {4: [neighbour], 5: [weaker, neighbour, PAN, untold, weaker]}
    driven = Driven(module)
    driven.online()
    assert module.commands(Join) == [Join(PAN)]
    assert [type(event) for event in module.commands(Scan)] == [Scan, Scan]


def test_progress_tells_a_person(module: FakeModule) -> None:
    """Scans tell how long they take, joins which PAN and how well it is heard, and no secret is told."""
    driven = Driven(module)
    driven.online()
    told = [event for event in driven.events(Progress) if isinstance(event, Progress)]
    scans = [event for event in told if event.stage is Stage.SCANNING]
    assert [round(scan.expected_s or 0, 1) for scan in scans] == [4.6, 8.9, 17.5]  # of 28 channels
    join = next(event for event in told if event.stage is Stage.JOINING)
    assert join.text == "joining PAN B5FB on channel 49, LQI 221 (-43.5 dBm)"
    assert any(step.value in event.text for event in told for step in AuthenticationStep)
    assert CREDENTIALS.password not in repr(told)
    assert CREDENTIALS.id not in repr(told)


# --- conclusions


def test_no_meter_heard(module: FakeModule) -> None:
    """A single attempt ends after one round of scans."""
    module.beacons = {}
    driven = Driven(module)
    driven.begin()
    driven.run(600)
    assert concluded(driven) == [MeterNotHeard]
    assert driven.session.stage is Stage.STOPPED
    assert len(module.commands(Scan)) == 5
    assert driven.link.deadline() is None


def test_persisting_scans_go_on(module: FakeModule) -> None:
    """A daemon pauses 60, 120, 240, 300, 300 s (and up to a fifth more), then scans from duration 6, twice."""
    module.beacons = {}
    driven = Driven(module, persist=True)
    driven.begin()
    driven.run(3600)
    ends = [now for now, event in driven.told if isinstance(event, Concluded)]
    pauses = [later - earlier - 6 * module.scan_s for earlier, later in pairwise(ends)]
    assert pauses[:5] == pytest.approx([66, 132, 264, 330, 330], abs=0.1)
    assert set(concluded(driven)) == {MeterNotHeard}
    assert [scan.duration for scan in module.commands(Scan) if isinstance(scan, Scan)][5:11] == [6, 7, 8] * 2
    assert rungs(driven)[:4] == [Rung.RESCAN, Rung.RESET] * 2


def test_wrong_password(module: FakeModule) -> None:
    """Challenged, never accepted, three times over a good link."""
    module.joins = [CHALLENGED] * 10
    driven = Driven(module)
    driven.begin()
    driven.run(600)
    assert concluded(driven) == [CredentialsRefused]
    assert len(module.commands(Join)) == 3


def test_wrong_password_does_not_hammer(module: FakeModule) -> None:
    """A daemon that was refused waits an hour."""
    module.joins = [CHALLENGED] * 3
    driven = Driven(module, persist=True)
    driven.begin()
    driven.run(300)
    assert driven.session.stage is Stage.REFUSED
    driven.run(3300)
    assert len(module.commands(Join)) == 3
    driven.run(300)
    assert driven.session.stage is Stage.ONLINE


@pytest.mark.parametrize(
    ("joins", "lqi"),
    [
        ([CHALLENGED, [], CHALLENGED], 0xDD),
        ([ACCEPTED, ACCEPTED, ACCEPTED], 0xDD),
        ([CHALLENGED] * 3, 0x60),
        ([CHALLENGED] * 3, None),
        ([[], [], []], 0xDD),
    ],
)
def test_radio_trouble(module: FakeModule, joins: list[list[AuthenticationStep]], lqi: int | None) -> None:
    """A weak link, an accepted proof or a silence in between: the password is not to blame."""
    module.joins = list(joins)
    module.beacons = {4: [Pan(PAN.channel, PAN.pan_id, PAN.mac, PAN.pairing_id, lqi)]}
    driven = Driven(module)
    driven.begin()
    driven.run(600)
    assert concluded(driven) == [RadioTrouble]


def test_silent_module(module: FakeModule) -> None:
    """Nothing on the port at all ends a single attempt at once; a daemon closes the port and opens it again."""
    for persist in (False, True):
        module.instead = [lambda command: [NoAnswer(command, 30.0)]]
        driven = Driven(module, persist=persist)
        driven.begin()
        driven.run(200)
        assert concluded(driven) == [ModuleTrouble]
        assert driven.session.stage is (Stage.ONLINE if persist else Stage.STOPPED)
        assert rungs(driven) == ([Rung.REOPEN] if persist else [])


def test_refused_commands_are_repeated_then_reopened_then_concluded(module: FakeModule) -> None:
    """Two repetitions, two times set up afresh, then that is the conclusion."""
    driven = Driven(module)
    module.refuse = UseCredentials
    driven.begin()
    driven.run(60)
    assert kinds(module) == (["Open"] + ["UseCredentials"] * 3) * 3
    assert concluded(driven) == [ModuleTrouble]


def test_a_passing_fault_does_no_harm(module: FakeModule) -> None:
    """A scan that the module refuses once is asked again."""
    driven = Driven(module)
    module.instead = [lambda command: module.opened(command), lambda command: [NoAnswer(command, 3.0)]]
    driven.online()
    assert kinds(module)[:3] == ["Open", "UseCredentials", "UseCredentials"]


def test_scan_only(module: FakeModule) -> None:
    """Only to hear who answers: the first scan with a beacon of ours ends it, nothing is joined."""
    driven = Driven(module, remembered=PAN)
    driven.begin(scan_only=True)
    driven.run(60)
    assert driven.events(Scanned)[-1] == Scanned((PAN,), last=True)
    assert module.commands(Join) == []
    assert driven.session.stage is Stage.STOPPED


def test_refusals_count_in_a_row_only(module: FakeModule) -> None:
    """Two refusals, a silence, one more refusal: not yet a wrong password."""
    module.joins = [CHALLENGED, CHALLENGED, [], CHALLENGED, []]
    driven = Driven(module, remembered=PAN)
    driven.begin()
    driven.run(600)
    assert concluded(driven) == [RadioTrouble]


def test_a_pan_found_anew_gets_its_own_tries(module: FakeModule) -> None:
    """The failures of the remembered PAN do not count against the one that a scan found."""
    module.joins = [[]] * 4
    driven = Driven(module, remembered=PAN)
    driven.online()
    assert len(module.commands(Join)) == 5


def test_scans_start_short_again_after_success(module: FakeModule) -> None:
    """After a session the ladder of scans begins at its lowest step, as at the start."""
    module.beacons = {}
    driven = Driven(module, persist=True)
    driven.begin()
    driven.run(100)
    module.beacons = {6: [PAN]}
    driven.run(300, lambda: driven.session.stage is Stage.ONLINE)
    module.log.clear()
    module.joins = [[], []]
    driven.hear(JoinFailed(PAN.address))
    driven.run(300)
    assert [scan.duration for scan in module.commands(Scan) if isinstance(scan, Scan)] == [4, 5, 6]


# --- staying online


@pytest.mark.parametrize(("steps", "limit_s"), [([], 60), (CHALLENGED, 90)])
def test_join_gets_60_s_and_90_while_authentication_is_seen(
    module: FakeModule, steps: list[AuthenticationStep], limit_s: float
) -> None:
    """A join that ends in nothing is given up, and the module is set up afresh."""
    module.joins = [steps]
    module.drop = JoinFailed
    driven = Driven(module, remembered=PAN)
    driven.begin()
    driven.run(200, lambda: driven.session.stage is Stage.JOINING)
    start = driven.now
    driven.run(200, lambda: driven.session.stage is Stage.OPENING)
    assert driven.now - start == pytest.approx(limit_s, abs=0.1)


def test_expiry_gates_and_joined_opens(module: FakeModule) -> None:
    """Between SessionExpired and Joined nothing is sent; the request in flight is asked anew after it."""
    driven = Driven(module)
    driven.online()
    module.silent = True
    request = driven.get(0xE7)
    driven.run(1)
    driven.hear(SessionExpired(PAN.address))
    sent = len(module.commands(Send))
    driven.run(30)
    assert driven.session.stage is Stage.GATED
    assert len(module.commands(Send)) == sent
    module.silent = False
    driven.hear(Joined(PAN.address))
    driven.run(1)
    assert request.done
    assert request.answers == {0xE7: b"\0\0\x02\x78"}
    assert driven.events(Lost) == []


@pytest.mark.parametrize(
    ("event", "after_s"),
    [
        (SessionClosed(PAN.address, by_peer=True), 10.0),
        (SessionClosed(PAN.address, by_peer=False), 10.0),
        (JoinFailed(PAN.address), 5.0),
    ],
)
def test_loss_is_joined_again(module: FakeModule, event: SessionClosed | JoinFailed, after_s: float) -> None:
    """A session that ended is joined again on the same PAN without a scan, and not too soon."""
    driven = Driven(module)
    driven.online()
    request = driven.get(0xE7)
    lost_at = driven.now
    driven.hear(event)
    assert request.done
    assert len(driven.events(Lost)) == 1
    driven.run(60)
    assert driven.session.stage is Stage.ONLINE
    joins = [now for now, command in module.log if isinstance(command, Join)]
    assert after_s <= joins[1] - lost_at <= 1.2 * after_s
    assert len(module.commands(Scan)) == 3


def test_reauthentication_that_never_ends(module: FakeModule) -> None:
    """60 s after the expiry the session is given up and the module set up afresh."""
    driven = Driven(module)
    driven.online()
    driven.hear(SessionExpired(PAN.address))
    driven.run(59)
    assert driven.session.stage is Stage.GATED
    driven.run(5)
    assert driven.session.stage is Stage.ONLINE
    assert kinds(module)[-3:] == ["Open", "UseCredentials", "Join"]


def test_three_silences_renew_then_leave_and_join(module: FakeModule) -> None:
    """The session is authenticated again; if the meter stays silent it is left properly, and the join waits 10 s."""
    driven = Driven(module)
    driven.online()
    module.silent = True
    driven.get(0xE7)
    driven.run(100, lambda: bool(module.commands(Leave)))
    assert len(driven.events(Lost)) == 1
    assert len(module.meter.requests) == 0
    assert [type(each) for each in module.commands(Rejoin, Leave)] == [Rejoin, Leave]
    module.silent = False
    driven.run(60)
    assert driven.session.stage is Stage.ONLINE
    left = next(now for now, command in module.log if isinstance(command, Leave))
    joined = [now for now, command in module.log if isinstance(command, Join)][-1]
    assert joined - left >= 10.0


def test_a_module_that_restarted_is_set_up_afresh(module: FakeModule) -> None:
    """It refuses to renew a session that it has forgotten, and has forgotten the credentials with it."""
    driven = Driven(module)
    driven.online()
    module.silent, module.refuse = True, Rejoin
    driven.get(0xE7)
    driven.run(100, lambda: bool(module.commands(Rejoin)))
    module.silent = False
    driven.run(1)
    assert kinds(module)[-4:] == ["Rejoin", "Open", "UseCredentials", "Join"]
    assert driven.session.stage is Stage.ONLINE


def test_the_answer_is_waited_for_from_transmission(module: FakeModule) -> None:
    """A datagram that takes 5 s to get out is not asked again 6 s after it was given to the module."""
    driven = Driven(module)
    driven.online()
    module.silent, module.send_s = True, 5.0
    driven.get(0xE7)
    sent = len(module.commands(Send))
    driven.run(10.9)
    assert len(module.commands(Send)) == sent
    driven.run(0.2)
    assert len(module.commands(Send)) == sent + 1


def test_a_notification_breaks_the_silence(module: FakeModule) -> None:
    """Whatever is heard of the meter shows that the session stands."""
    driven = Driven(module)
    driven.online()
    module.silent = True
    for _ in range(6):
        request = driven.get(0xE7)
        driven.run(100, lambda: request.done)  # noqa: B023
        driven.hear(module.datagram(frame(1, 0x73, {0xEA: "07EA05140E00000000FE68"})))
    assert driven.events(Lost) == []


def test_send_limit_gates_and_never_rejoins(module: FakeModule) -> None:
    """While the hourly limit is engaged nothing is sent and nothing joined; released, all goes on."""
    driven = Driven(module)
    driven.online()
    driven.hear(SendLimit(engaged=True))
    request = driven.get(0xE7)
    driven.run(1800)
    assert (request.done, driven.session.stage) == (False, Stage.ONLINE)
    driven.hear(SendLimit(engaged=False))
    driven.run(1)
    assert request.done
    assert len(module.commands(Join)) == 1


def test_the_send_limit_holds_reauthentication_back(module: FakeModule) -> None:
    """A session that expired while nothing may be sent is waited for, not given up after 60 s."""
    driven = Driven(module)
    driven.online()
    driven.hear(SendLimit(engaged=True))
    driven.hear(SessionExpired(PAN.address))
    driven.run(300)
    assert driven.session.stage is Stage.GATED
    driven.hear(SendLimit(engaged=False))
    driven.hear(Joined(PAN.address))
    assert driven.session.stage is Stage.ONLINE
    assert driven.events(Lost) == []


def test_no_join_within_the_send_limit(module: FakeModule) -> None:
    """A session lost while the limit is engaged is joined when it is released."""
    driven = Driven(module)
    driven.online()
    driven.hear(SendLimit(engaged=True))
    driven.hear(SessionClosed(PAN.address, by_peer=True))
    driven.run(1000)
    assert len(module.commands(Join)) == 1
    driven.hear(SendLimit(engaged=False))
    driven.run(61)
    assert driven.session.stage is Stage.ONLINE


def test_a_lost_release_of_the_send_limit(module: FakeModule) -> None:
    """The limit looks back one hour: after it sending goes on, even if the release was never heard."""
    driven = Driven(module)
    driven.online()
    driven.hear(SendLimit(engaged=True))
    request = driven.get(0xE7)
    driven.run(3601)
    assert request.done


def test_module_that_stops_answering(module: FakeModule) -> None:
    """Three datagrams without a word of the module: it is set up afresh."""
    driven = Driven(module)
    driven.online()
    module.instead = [lambda command: [NoAnswer(command, 3.0)]] * 3
    driven.get(0xE7)
    driven.run(60)
    assert kinds(module)[-3:] == ["Open", "UseCredentials", "Join"]
    assert driven.session.stage is Stage.ONLINE


def test_a_datagram_that_outlives_its_session(module: FakeModule) -> None:
    """Silence of the module to a datagram of a session that is over is no news."""
    driven = Driven(module)
    driven.online()
    module.instead = [lambda command: []]
    for _ in range(4):
        driven.get(0xE7)
    driven.run(0.1)
    driven.hear(SessionClosed(PAN.address, by_peer=True))
    for _ in range(4):
        driven.hear(NoAnswer(module.commands(Send)[-1], 3.0))
    driven.run(60)
    assert kinds(module)[-2:] == ["Join", "Join"]
    assert driven.session.stage is Stage.ONLINE


def test_refused_datagrams_back_off(module: FakeModule) -> None:
    """ER10 to a datagram is a passing thing: tried again, the session untouched."""
    driven = Driven(module)
    driven.online()
    module.instead = [lambda command: [Refused(command, "ER10", "SKSENDTO")]] * 2
    request = driven.get(0xE7)
    driven.run(4)
    assert request.done
    assert driven.events(Lost) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"port": 716}, "port"),
        ({"sender": "FE80:0000:0000:0000:021C:6400:0000:0001"}, "sender"),
        ({"secured": False}, "unsecured"),
    ],
)
def test_foreign_datagrams_are_dropped(module: FakeModule, changes: dict[str, object], reason: str) -> None:
    """Only what the joined meter sent, encrypted, to port 3610 is heard; the rest is counted by reason."""
    driven = Driven(module)
    driven.online()
    module.silent = True
    request = driven.get(0xE7)
    driven.run(0.1)
    tid = int.from_bytes(module.commands(Send)[-1].payload[2:4], "big")  # type: ignore[union-attr]
    driven.hear(module.datagram(frame(tid, 0x72, {0xE7: "00000001"}), **changes))
    assert not request.done
    assert driven.session.gate.dropped == {reason: 1}
    driven.hear(module.datagram(frame(tid, 0x72, {0xE7: "00000001"}), sender_port=2524))
    assert request.done


def test_the_table_of_moves() -> None:
    """Every stage is in the table, every stage can be reached, and a move that is not there is an error."""
    assert set(MOVES) == set(Stage)
    assert set().union(*MOVES.values()) == set(Stage)
    driven = Driven(FakeModule())
    with pytest.raises(IllegalMove):
        driven.session._move(Stage.ONLINE, "")


# --- coming back


def lost(module: FakeModule, event: SessionClosed | JoinFailed | None = None) -> Driven:
    """A daemon whose meter was online, and is lost now."""
    driven = Driven(module, persist=True)
    driven.online()
    module.log.clear()
    driven.hear(event or SessionClosed(PAN.address, by_peer=True))
    return driven


def test_a_round_of_the_ladder(module: FakeModule) -> None:
    """Joins of the PAN we know, scans, a reset with a join and scans; then the diagnosis, a pause, and all again."""
    module.beacons = {4: [PAN]}
    driven = lost(module)
    module.beacons, module.joins = {}, [[]] * 100
    driven.run(900)
    assert rungs(driven)[:6] == [Rung.REJOIN, Rung.RESCAN, Rung.RESET] * 2
    assert set(concluded(driven)) == {MeterNotHeard}
    scans = ["Scan"] * 3
    assert kinds(module)[:8] == ["Join", "Join", *scans, *scans[:2], "Open"]
    assert kinds(module)[8:17] == ["UseCredentials", "Join", *scans, "Join", *scans]


def test_a_long_radio_outage_does_not_forget_the_pan(module: FakeModule) -> None:
    """However long nothing is heard: the PAN we know is tried first, once a round, and brings the meter back."""
    driven = lost(module)
    module.beacons, module.joins = {}, [[]] * 1000
    driven.run(86_400)
    rounds = len(driven.events(Concluded))
    assert 100 < rounds < 300
    assert driven.session.pan == PAN
    assert 2 * rounds <= len(module.commands(Join)) <= 2 * rounds + 3  # once, and once more after the reset
    module.joins = []
    driven.run(400)
    assert driven.session.stage is Stage.ONLINE


def test_a_meter_that_moved_is_joined_where_it_is_heard(module: FakeModule) -> None:
    """A stale PAN costs two failed joins, and then the beacon counts."""
    moved = Pan(0x3B, 0x1234, PAN.mac, PAN.pairing_id, 0xDD)
    driven = lost(module)
    module.joins = [[], []]
    module.beacons = {4: [moved]}
    driven.run(300, lambda: driven.session.stage is Stage.ONLINE)
    assert [join.pan for join in module.commands(Join) if isinstance(join, Join)] == [PAN, PAN, moved]
    assert rungs(driven) == [Rung.REJOIN, Rung.RESCAN]
    assert driven.session.pan == moved


def test_one_silence_is_asked_again_at_once(module: FakeModule) -> None:
    """Whether the session stands does not wait for the next reading: one Get follows, which no one asked for."""
    driven = Driven(module)
    driven.online()
    module.silent = True
    driven.get(0xE8)
    driven.run(21)
    module.silent = False
    driven.run(30)
    assert rungs(driven) == [Rung.RETRY]
    assert list(module.meter.requests[-1][2]) == [0xE7]
    assert driven.events(Lost) == []
    assert driven.logbook.recoveries == {Rung.RETRY: 1}
    assert driven.logbook.recovery_s == pytest.approx(6, abs=0.1)  # the probe sent while it was silent was lost, too


def test_an_admission_is_no_answer(module: FakeModule) -> None:
    """After a loss a join is proved by one Get: a meter that lets us in and is silent is not online, and we climb."""
    driven = lost(module)
    module.silent = True
    driven.run(1000, lambda: bool(driven.events(Concluded)))
    assert driven.events(Online) == [Online(resumed=False)]  # the first
    assert rungs(driven) == [Rung.REJOIN, Rung.RESCAN, Rung.RESET]
    assert concluded(driven) == [MeterMute]
    module.silent = False
    driven.run(200)
    assert driven.session.stage is Stage.ONLINE


def test_an_announcement_to_all_is_no_answer(module: FakeModule) -> None:
    """The instance list that a meter multicasts when it authenticated us proves that we hear it, and no more."""
    driven = lost(module)
    module.silent = True
    driven.run(60, lambda: driven.session.stage is Stage.SURVIVING)
    told = module.datagram(frame(0, 0x73, {0xD5: "01028801"}, "0EF001", "0EF001"))
    driven.hear(replace(told, to="FF02:0000:0000:0000:0000:0000:0000:0001"))
    assert driven.session.stage is Stage.SURVIVING
    driven.hear(told)
    assert driven.session.stage is Stage.ONLINE


def test_a_leave_that_is_never_confirmed(module: FakeModule) -> None:
    """SessionClosed may be lost: the join follows after the time that a module takes to give up, within the bound."""
    driven = Driven(module, persist=True)
    driven.online()
    module.silent, module.drop = True, SessionClosed
    driven.get(0xE7)
    driven.run(200, lambda: bool(module.commands(Leave)))
    left, module.silent = driven.now, False
    driven.run(300, lambda: driven.session.stage is Stage.ONLINE)
    assert 45 <= driven.now - left < 50
    assert driven.session.stage is Stage.ONLINE


def test_reauthentication_after_silence(module: FakeModule) -> None:
    """Where the session can be renewed nothing is left, scanned or reset."""
    driven = Driven(module, persist=True)
    driven.online()
    module.silent = True
    module.log.clear()
    driven.get(0xE7)
    driven.run(100, lambda: bool(module.commands(Rejoin)))
    module.silent = False
    driven.run(5)
    assert kinds(module) == ["Rejoin"]
    assert rungs(driven) == [Rung.RETRY, Rung.REAUTHENTICATE]
    assert driven.events(Online)[-1] == Online(False, Recovery(Rung.REAUTHENTICATE, pytest.approx(40.0, abs=1)))


def test_reauthentication_that_fails_is_a_join(module: FakeModule) -> None:
    """EVENT 24 to our renewal: the session is gone, so nothing has to be left."""
    driven = Driven(module, persist=True)
    driven.online()
    module.silent, module.joins = True, [[]]
    module.log.clear()
    driven.get(0xE7)
    driven.run(100, lambda: bool(module.commands(Rejoin)))
    module.silent = False
    driven.run(60)
    assert kinds(module) == ["Rejoin", "Join"]
    assert driven.session.stage is Stage.ONLINE


@pytest.mark.parametrize(
    "event",
    [
        SendLimit(engaged=True),
        SendLimit(engaged=False),
        SessionExpired(PAN.address),
        Noise("ERXUDP FE80"),
        DATAGRAMS.datagram(b"\x10\x81", secured=False),
        DATAGRAMS.datagram(b"\x10\x81\x00"),
        DATAGRAMS.datagram(b"\0" * 40, sender=OUR_ADDRESS),
        DATAGRAMS.datagram(b"\0" * 40, port=716),
        BeaconHeard(PAN),
        Joined(PAN.address),
        Transmission(PAN.address, Fate.FAILED),
        Authentication(AuthenticationStep.CHALLENGED),
    ],
    ids=str,
)
def test_what_never_starts_the_ladder(module: FakeModule, event: Event) -> None:
    """The send limit, re-authentication, noise, strays and damage are none of its business."""
    driven = Driven(module, persist=True)
    driven.online()
    for _ in range(10):
        driven.hear(event)
    driven.run(50)
    assert driven.session.stage in (Stage.ONLINE, Stage.GATED)
    assert rungs(driven) == []


def test_the_send_limit_holds_the_whole_ladder(module: FakeModule) -> None:
    """Nothing that needs the air is begun while it is engaged."""
    driven = lost(module)
    driven.hear(SendLimit(engaged=True))
    driven.run(3000)
    assert module.commands(Join, Scan, Rejoin) == []
    driven.hear(SendLimit(engaged=False))
    driven.run(60)
    assert driven.session.stage is Stage.ONLINE


def test_the_send_limit_is_doubted_on_a_port_opened_anew(module: FakeModule) -> None:
    """Its release may have fallen into the time without a port: five minutes more, and not up to an hour."""
    driven = lost(module)
    driven.hear(SendLimit(engaged=True))
    driven.run(1000)
    driven.reopen()
    driven.run(299)
    assert module.commands(Join, Scan, Rejoin) == []
    driven.run(30)
    assert driven.session.stage is Stage.ONLINE


def test_a_surviving_session_waits_for_the_send_limit(module: FakeModule) -> None:
    """A port opened again while nothing may be sent: the session in the module is not thrown away for it."""
    driven = Driven(module, persist=True)
    driven.online()
    driven.hear(SendLimit(engaged=True))
    driven.reopen()
    driven.run(290)
    assert driven.session.stage is Stage.SURVIVING
    driven.hear(SendLimit(engaged=False))
    driven.run(10)
    assert driven.events(Online)[-1] == Online(resumed=True)
    assert module.session


def test_a_silent_module_has_its_port_opened_again(module: FakeModule) -> None:
    """RESET twice, then REOPEN, which tries the surviving session first; one loss, from its beginning to its end."""
    driven = lost(module)
    module.session = True
    module.instead = [lambda command: [NoAnswer(command, 3.0)]] * 4
    driven.run(60, lambda: driven.session.stage is Stage.STOPPED)
    assert rungs(driven) == [Rung.REJOIN, Rung.RESET, Rung.REOPEN]
    assert concluded(driven) == [ModuleTrouble]
    driven.run(60)
    assert driven.session.stage is Stage.ONLINE
    online = driven.events(Online)[-1]
    assert isinstance(online, Online)
    assert online.recovery is not None
    assert online.recovery.rung is Rung.REOPEN
    assert online.recovery.took_s > 10


def test_a_module_with_long_joins_is_waited_for(module: FakeModule) -> None:
    """The limit of each failing join in a row is the module's own; after it the module is reset."""
    module.join_limits_s = (60.0, 100.0, 720.0)
    module.joins, module.drop = [[]] * 3, JoinFailed
    driven = Driven(module)
    driven.begin()
    driven.run(2000, lambda: driven.session.stage is Stage.STOPPED or bool(driven.events(Online)))
    starts = [now for now, command in module.log if isinstance(command, Join)]
    resets = [now for now, command in module.log if isinstance(command, Open)][1:]
    assert [round(reset - start) for start, reset in zip(starts, resets, strict=False)] == [60, 100, 720]


def test_who_was_admitted_before_does_not_wait_for_a_refusal(module: FakeModule) -> None:
    """The long limits are for the diagnosis of a password; on the way back each join has the first one."""
    module.join_limits_s = (60.0, 100.0, 720.0)
    driven = lost(module)
    module.joins, module.drop = [[]] * 3, JoinFailed
    driven.run(400, lambda: driven.session.stage is Stage.ONLINE)
    assert driven.session.stage is Stage.ONLINE
    starts = [now for now, command in module.log if isinstance(command, Join)]
    resets = [now for now, command in module.log if isinstance(command, Open)]
    assert [round(reset - start) for start, reset in zip(starts, resets, strict=False)] == [60, 60, 60]


def test_sessions_are_counted(module: FakeModule) -> None:
    """Authentications, the module's silent ones included, with the lifetime that the meter told."""
    driven = Driven(module)
    driven.online()
    assert (driven.logbook.sessions, driven.logbook.authenticated_at) == (1, driven.now)
    driven.run(100)
    driven.hear(Authentication(AuthenticationStep.COMPLETED, 0, 86_400))
    driven.hear(Joined(PAN.address))
    assert (driven.logbook.sessions, driven.logbook.authenticated_at) == (2, driven.now)
    health = driven.logbook.health(driven.now, datetime(2026, 1, 1, tzinfo=UTC))
    assert (health.lifetime_s, health.lifetimes_s) == (86_400, (100,))


def test_a_session_lasts_until_it_is_lost(module: FakeModule) -> None:
    """Not until the next one begins, which may be a day later."""
    driven = Driven(module)
    driven.online()
    began = driven.now
    driven.run(100)
    module.joins, module.drop = [[]] * 3, JoinFailed
    driven.hear(SessionClosed(PAN.address, by_peer=True))
    lost_at = driven.now
    driven.run(4000, lambda: driven.session.stage is Stage.ONLINE)
    assert driven.now - lost_at > 60
    assert driven.logbook.lifetimes_s[0] == pytest.approx(lost_at - began)
