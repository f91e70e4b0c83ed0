"""The engine against a module that the test plays: what is asked when, and what it makes of the answers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.j11 import (
    AUTHENTICATED,
    BOOTED,
    CREDENTIALS,
    GET_POWER,
    METER,
    OK,
    PAN,
    POWER,
    REFUSED,
    SELF,
    SELF_MAC,
    SILENT,
    UNDECIPHERED,
    VERSION,
    Bench,
    armed,
    joined,
    joining,
    link,
    opened,
    packed,
    told,
)

from drivers.module import (
    BeaconHeard,
    Command,
    Datagram,
    Done,
    Event,
    Family,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    ModuleInfo,
    NoAnswer,
    Noise,
    Open,
    Pan,
    Ready,
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
from hemsd.simulator.frames import frame

KEEP, AFRESH = Open(keep_session=True), Open(keep_session=False)
GET = Send(METER, GET_POWER)
SENT = bytes.fromhex("01 00 1081000105")
BUSY = b"\x3d"


def info(bench: Bench) -> ModuleInfo:
    ready, done = bench.events()
    assert isinstance(ready, Ready)
    assert isinstance(done, Done)
    return ready.info


# --- opening ----------------------------------------------------------------------------------------------------


def test_open_asks_who_it_is_resets_it_and_announces_it() -> None:
    """006B, 00D9 and its boot notice, 000E, 0009; a join may take as long as an unanswered PANA."""
    assert info(opened()) == ModuleInfo(
        Family.J11,
        "1.3",
        SELF,
        SELF_MAC,
        None,
        None,
        "0400 0000158A",
        join_limits_s=(120.0, 320.0, 720.0),
        channels=14,
    )


def kept(route_b: int) -> Bench:
    bench = Bench()
    bench.give(KEEP)
    bench.answer(0x006B, VERSION)
    bench.answer(0x0001, bytes([1, 3, route_b, 1]))
    return bench


@pytest.mark.parametrize("result", [0x34, 0x35])
def test_a_session_that_stands_is_kept(result: int) -> None:
    """0001 says in authentication, 0056 is refused as authenticated: nothing is reset, PAN and channel are told."""
    bench = kept(route_b=3)
    bench.answer(0x0056, bytes([result]))
    bench.answer(0x005E, OK + b"\xb5\xfb")
    bench.answer(0x0107, OK + b"\x05\x00\x0c\x00")
    bench.answer(0x0005, b"\x0a")
    bench.answer(0x000E, OK + bytes.fromhex(SELF_MAC))
    bench.answer(0x0009, OK + packed(SELF))
    found = info(bench)
    assert (found.channel, found.pan_id) == (0x31, 0xB5FB)
    bench.give(GET)
    bench.answer(0x0008, SENT)
    assert bench.events() == [Transmission(METER, Fate.SENT), Done(GET)]


@pytest.mark.parametrize("route_b", [1, 2])
def test_without_a_session_there_is_nothing_to_keep(route_b: int) -> None:
    """A module that is not in authentication is reset: its state is known then."""
    assert [code for code, _ in kept(route_b).asked()] == [0x00D9]


@pytest.mark.parametrize("result", [0x01, 0x52])
def test_a_session_only_being_made_is_not_kept(result: int) -> None:
    """0056 is refused as running (52), or begins: a datagram would go out in plaintext; the module is reset."""
    bench = kept(route_b=3)
    bench.answer(0x0056, bytes([result]))
    assert [code for code, _ in bench.asked()] == [0x00D9]
    bench.hear(BOOTED)
    bench.answer(0x000E, OK + bytes.fromhex(SELF_MAC))
    bench.answer(0x0009, OK + packed(SELF))
    assert info(bench).pan_id is None


def test_addresses_need_not_be_told() -> None:
    """A module that will not tell its IP address has the one that belongs to its MAC."""
    bench = Bench()
    bench.give(AFRESH)
    bench.answer(0x006B, VERSION)
    bench.asked()
    bench.hear(BOOTED)
    bench.answer(0x000E, OK + bytes.fromhex(SELF_MAC))
    bench.answer(0x0009, b"\x37")
    assert info(bench).address == SELF


def test_what_was_half_said_to_it_is_over_after_a_second() -> None:
    """5.5, result 13: there is a pause of more than 1 s between two questions, and an end to them."""
    bench = Bench()
    bench.give(AFRESH)
    times = [bench.now]
    while bench.engine.busy:
        bench.asked()
        bench.silence()
        times.append(bench.now)
    assert max(later - earlier for earlier, later in pairwise(times)) > 1
    [ending] = bench.events()
    assert ending == NoAnswer(AFRESH, pytest.approx(times[-1] - times[0]))  # type: ignore[arg-type]
    assert times[-1] - times[0] < 5


def test_a_module_that_is_busy_is_waited_for() -> None:
    """3D: a dead program's scan may take 36 s; 40 s later it is useless."""
    bench = Bench()
    bench.give(AFRESH)
    bench.answer(0x006B, BUSY)
    began = bench.now
    while bench.now < began + 36:
        if bench.silence():
            bench.hear(frame(0x206B, BUSY))
    while not bench.silence():
        pass
    bench.hear(frame(0x206B, VERSION))
    assert [code for code, _ in bench.asked()] == [0x00D9]


def test_a_module_that_just_starts_is_asked_at_once() -> None:
    """6019 while it is looked for."""
    bench = Bench()
    bench.give(AFRESH)
    bench.asked()
    bench.hear(BOOTED)
    bench.answer(0x006B, VERSION)


# --- credentials, scan, join ------------------------------------------------------------------------------------


def test_credentials_come_after_the_mode() -> None:
    """5.6: 005F with mode 05 first; set already (58) will do."""
    bench = opened()
    bench.events()
    bench.give(UseCredentials(CREDENTIALS))
    assert bench.asked() == [(0x005F, b"\x05\x00\x04\x00")]
    bench.hear(frame(0x205F, OK))
    bench.answer(0x0054, b"\x58")
    assert bench.events() == [Done(UseCredentials(CREDENTIALS))]


def test_a_scan_tells_each_beacon_and_its_end() -> None:
    """One 4051 a channel, then the response; the meter answers to our pairing ID."""
    bench = armed()
    bench.give(Scan(6))
    [(code, data)] = bench.asked()
    assert (code, data) == (0x0051, b"\x06\x00\x03\xff\xf0\x01CCDDEEFF")
    bench.hear(frame(0x4051, b"\x01\x04"), frame(0x4051, b"\x00\x0c\x01" + bytes.fromhex(PAN.mac) + b"\xb5\xfb\xc4"))
    assert bench.events() == [BeaconHeard(PAN)]
    assert bench.engine.busy
    bench.hear(frame(0x2051, OK))
    assert bench.events() == [Done(Scan(6))]


def test_no_scan_without_credentials() -> None:
    """There would be no pairing ID to ask for."""
    bench = opened()
    bench.events()
    bench.give(Scan(6))
    [refused] = bench.events()
    assert isinstance(refused, Refused)
    assert "credentials" in refused.code
    assert bench.asked() == []


def test_a_join_opens_the_port_before_authentication() -> None:
    """5.6: 005F with the channel, 0053, 0005, 0056; then 6028."""
    bench = armed()
    bench.give(Join(PAN))
    assert bench.asked() == [(0x005F, b"\x05\x00\x0c\x00")]
    bench.hear(frame(0x205F, OK))
    bench.answer(0x0053, OK + b"\x0c\xb5\xfb" + bytes.fromhex(PAN.mac) + b"\xc4")
    assert bench.asked() == [(0x0005, b"\x0e\x1a")]
    bench.hear(frame(0x2005, b"\x0a"))
    bench.answer(0x0056)
    assert bench.events() == [Done(Join(PAN))]
    assert bench.engine.deadline() is None
    bench.hear(AUTHENTICATED)
    assert bench.events() == [Joined(METER)]


@pytest.mark.parametrize(("end", "refused"), [(REFUSED, True), (SILENT, False)])
def test_a_failed_join_says_whether_the_meter_refused(end: bytes, refused: bool) -> None:
    """6028: 02 rejected, 03 no response."""
    bench = joining()
    bench.hear(end)
    assert bench.events() == [JoinFailed(METER, refused)]


def test_a_meter_that_is_not_reached_is_called_again_and_then_given_up() -> None:
    """0E is common: 0053 three times, then the join has failed, which is no refusal."""
    bench = armed()
    bench.give(Join(PAN))
    bench.answer(0x005F)
    for _ in range(2):
        bench.answer(0x0053, b"\x0e")
        bench.now = bench.engine.deadline() or 0.0
        bench.engine.tick(bench.now)
    bench.answer(0x0053, b"\x0e")
    assert bench.events() == [Done(Join(PAN)), JoinFailed(METER, refused=False)]


def test_joining_again_leaves_first_and_gives_the_credentials_again() -> None:
    """0057 forgets them; 0058 closes the port; refusals of both do no harm."""
    bench = joining()
    bench.hear(SILENT)
    bench.events()
    bench.give(Join(PAN))
    bench.answer(0x0057, b"\x10")
    bench.answer(0x0058)
    bench.answer(0x005F)
    bench.answer(0x0054, b"\x58")
    bench.answer(0x0053)
    bench.answer(0x0005)
    bench.answer(0x0056)
    assert bench.events() == [Done(Join(PAN))]


def test_leaving_ends_the_session_and_the_next_join_gives_the_credentials() -> None:
    """0057 then 0058; SessionClosed is of our own making."""
    bench = joined()
    bench.give(Leave())
    bench.answer(0x0057)
    bench.answer(0x0058)
    assert bench.events() == [Done(Leave()), SessionClosed(METER, by_peer=False)]
    bench.give(Join(PAN))
    bench.answer(0x005F)
    bench.answer(0x0054)
    bench.answer(0x0053)


def test_there_may_be_nothing_to_leave() -> None:
    """A module that restarted knows of no session, and says so."""
    bench = armed()
    bench.give(Leave())
    bench.answer(0x0057, b"\x10")
    assert bench.events() == [Refused(Leave(), "10, Route B is not started", "0057 (end PANA)")]


def test_authenticating_again_is_accepted_and_ends_later() -> None:
    """00D2, then 6028."""
    bench = joined()
    bench.give(Rejoin())
    bench.answer(0x00D2)
    assert bench.events() == [Done(Rejoin())]
    bench.hear(AUTHENTICATED)
    assert bench.events() == [Joined(METER)]


def test_a_failed_silent_renewal_is_told() -> None:
    """Success says nothing; 6028 with a failure while online ends the session."""
    bench = joined()
    bench.hear(SILENT)
    assert bench.events() == [JoinFailed(METER, refused=False)]
    bench.give(GET)
    assert isinstance(bench.events()[0], Refused)


# --- sending ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bench",
    [
        opened,
        armed,
        joining,
        lambda: after(link(4)),
        lambda: after(link(3)),
        lambda: after(SILENT),
        lambda: after(BOOTED),
    ],
)
def test_nothing_is_sent_that_would_not_be_encrypted(bench: object) -> None:
    """v1.2, 0008: before PANA has succeeded, or when the session is gone, a module sends in plaintext."""
    table: Bench = bench()  # type: ignore[operator]
    table.events()
    table.asked()
    table.give(GET)
    [refused] = table.events()
    assert isinstance(refused, Refused)
    assert refused.command == GET
    assert "no session" in refused.code
    assert table.asked() == []
    assert not table.engine.busy


def after(what: bytes) -> Bench:
    bench = joined()
    bench.hear(what)
    return bench


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [(0x00, Fate.SENT), (0x03, Fate.FAILED), (0x05, Fate.FAILED), (0x08, Fate.FAILED), (0x1F, Fate.RESOLVING)],
)
def test_fates_of_a_transmission(outcome: int, fate: Fate) -> None:
    """5.4: the low digit of the outcome."""
    bench = joined()
    bench.give(GET)
    bench.answer(0x0008, bytes([1, outcome]) + GET_POWER[:5])
    assert bench.events() == [Transmission(METER, fate), Done(GET)]


def test_the_hourly_limit_is_engaged_and_looked_at_again_each_minute() -> None:
    """Outcome 2; the module's counter goes by minutes and says nothing when it is over."""
    bench = joined()
    limited = bytes([1, 2]) + GET_POWER[:5]
    bench.give(GET)
    bench.answer(0x0008, limited)
    assert bench.events() == [Transmission(METER, Fate.FAILED), SendLimit(True), Done(GET)]
    began = bench.now
    bench.silence()
    assert bench.now - began == 60
    assert bench.events() == [SendLimit(False)]
    assert bench.engine.deadline() is None
    bench.give(GET)
    bench.answer(0x0008, limited)
    assert SendLimit(True) in bench.events()


def test_a_late_answer_to_an_earlier_datagram_is_not_taken() -> None:
    """The response repeats how the datagram began: 5 bytes with the first of the TID."""
    bench = joined()
    bench.give(GET)
    bench.silence()
    assert [type(event) for event in bench.events()] == [NoAnswer]
    other = Send(METER, b"\x10\x81\x77" + GET_POWER[3:])
    bench.give(other)
    bench.asked()
    bench.hear(frame(0x2008, SENT))
    assert bench.events() == []
    bench.hear(frame(0x2008, bytes.fromhex("01 00 1081770105")))
    assert bench.events() == [Transmission(METER, Fate.SENT), Done(other)]


def test_a_session_that_the_module_has_forgotten_is_over() -> None:
    """0008 answered with Route B not started: the datagram is refused, and the session closed."""
    bench = joined()
    bench.give(GET)
    bench.answer(0x0008, b"\x10")
    assert [type(event) for event in bench.events()] == [Refused, SessionClosed]


def test_datagrams_are_told() -> None:
    """Encrypted or not, which is told."""
    bench = joined()
    bench.hear(told(POWER), told(POWER, encryption=1))
    one, other = bench.events()
    assert isinstance(one, Datagram)
    assert isinstance(other, Datagram)
    assert (one.secured, other.secured) == (True, False)
    assert one.to == SELF


# --- trouble ----------------------------------------------------------------------------------------------------


def test_a_busy_module_is_asked_again_while_the_command_lasts() -> None:
    """3D: the same request after a pause; refused when it has lasted too long."""
    bench = joined()
    bench.give(Rejoin())
    bench.answer(0x00D2, BUSY)
    assert bench.silence()
    bench.hear(frame(0x20D2, OK))
    assert bench.events() == [Done(Rejoin())]
    bench.give(Rejoin())
    began = bench.now
    bench.answer(0x00D2, BUSY)
    while bench.engine.busy:
        if bench.silence():
            bench.hear(frame(0x20D2, BUSY))
    assert bench.events() == [Refused(Rejoin(), "3D, another command is under way", "00D2 (authenticate again)")]
    assert bench.now - began < 2.5


@pytest.mark.parametrize("spoilt", [frame(0x2FFF, b"\xf0"), frame(0x20D2, b"\xf1"), frame(0x20D2, b"\x13")])
def test_a_command_spoilt_on_the_line_is_said_once_more(spoilt: bytes) -> None:
    """F0, F1 and 13; a second time is told to the person."""
    bench = joined()
    bench.give(Rejoin())
    bench.asked()
    bench.hear(spoilt)
    assert [code for code, _ in bench.asked()] == [0x00D2]
    bench.hear(spoilt)
    [refused] = bench.events()
    assert isinstance(refused, Refused)


@pytest.mark.parametrize("result", [0x51, 0x52, 0x34, 0x35, 0x37, 0x04])
def test_a_wrong_state_is_a_refusal_in_words(result: int) -> None:
    """Code and words of the result, code and name of the request."""
    bench = armed()
    bench.give(Join(PAN))
    bench.answer(0x005F)
    bench.answer(0x0053, bytes([result]))
    [refused] = bench.events()
    assert isinstance(refused, Refused)
    assert refused.code.startswith(f"{result:02X}, ")
    assert refused.line == "0053 (start Route B)"


def test_an_unknown_command_is_a_refusal() -> None:
    """FFFF names no command: it is the one that was asked."""
    bench = joined()
    bench.give(Rejoin())
    bench.asked()
    bench.hear(frame(0xFFFF, b"\x03"))
    assert bench.events() == [Refused(Rejoin(), "03, unknown command", "00D2 (authenticate again)")]


def test_an_answer_behind_a_frame_that_broke_off_is_found() -> None:
    """The broken frame says that more belongs to it; when time is over there is no more."""
    bench = joined()
    bench.give(Rejoin())
    bench.asked()
    bench.hear(told(POWER)[:20] + frame(0x20D2, OK))
    assert bench.engine.busy
    bench.silence()
    assert [event for event in bench.events() if not isinstance(event, Noise)] == [Done(Rejoin())]


@pytest.mark.parametrize("state", [3, 4])
def test_a_link_that_goes_down_closes_the_session(state: int) -> None:
    """601A: MAC or PANA disconnected by the other side."""
    bench = joined()
    bench.hear(link(state))
    assert bench.events() == [SessionClosed(METER, by_peer=True)]


def test_a_link_that_goes_down_while_joining_fails_the_join() -> None:
    """601A before 6028."""
    bench = joining()
    bench.hear(link(3))
    assert bench.events() == [JoinFailed(METER, refused=False)]


def test_a_restart_closes_the_session_and_the_next_join_sets_everything_up() -> None:
    """6019 at any time, by the watchdog: settings, credentials and port are gone."""
    bench = joined()
    bench.hear(BOOTED)
    assert bench.events() == [SessionClosed(METER, by_peer=False)]
    bench.give(Join(PAN))
    bench.answer(0x005F)
    bench.answer(0x0054)
    bench.answer(0x0053)
    bench.answer(0x0005)
    bench.answer(0x0056)
    bench.hear(AUTHENTICATED)
    assert bench.events() == [Done(Join(PAN)), Joined(METER)]


def test_a_restart_fails_the_join_under_way() -> None:
    """6019 between 0056 and 6028."""
    bench = joining()
    bench.hear(BOOTED)
    assert bench.events() == [JoinFailed(METER, refused=False)]


@pytest.mark.parametrize("command", [Scan(6), Join(PAN)])
def test_a_restart_ends_the_command_under_way_which_can_be_given_again(command: Command) -> None:
    """It would never be answered; what it needs is set up again first."""
    bench = armed()
    bench.give(command)
    bench.asked()
    bench.hear(BOOTED)
    [refused] = bench.events()
    assert isinstance(refused, Refused)
    assert "restart" in refused.code
    bench.give(command)
    assert [code for code, _ in bench.asked()] == [0x005F]


def test_a_restart_while_opening_begins_it_anew() -> None:
    """6019 after the version, unasked."""
    bench = kept(route_b=3)
    bench.asked()
    bench.hear(BOOTED)
    bench.answer(0x006B, VERSION)
    bench.answer(0x0001, bytes([1, 2, 1, 1]))
    assert [code for code, _ in bench.asked()] == [0x00D9]


def test_datagrams_under_unknown_keys_lead_to_new_keys() -> None:
    """5.6: 6038 with 01 or 02, three in a row, then 00D2; sending is gated until it succeeds."""
    bench = joined()
    bench.hear(UNDECIPHERED, UNDECIPHERED, told(POWER), UNDECIPHERED, UNDECIPHERED)
    assert [type(event) for event in bench.events()] == [Datagram]
    bench.hear(UNDECIPHERED)
    assert bench.events() == [SessionExpired(METER)]
    bench.answer(0x00D2)
    assert bench.events() == []
    bench.hear(AUTHENTICATED)
    assert bench.events() == [Joined(METER)]


def test_new_keys_wait_for_the_command_under_way() -> None:
    """One at a time."""
    bench = joined()
    bench.give(GET)
    bench.asked()
    bench.hear(UNDECIPHERED, UNDECIPHERED, UNDECIPHERED)
    assert bench.asked() == []
    bench.hear(frame(0x2008, SENT))
    assert bench.events() == [SessionExpired(METER), Transmission(METER, Fate.SENT), Done(GET)]
    bench.answer(0x00D2)


@pytest.mark.parametrize("result", [0x10, 0x52])
def test_new_keys_that_cannot_be_made_end_the_session(result: int) -> None:
    """00D2 refused: the session has to be made anew."""
    bench = joined()
    bench.hear(UNDECIPHERED, UNDECIPHERED, UNDECIPHERED)
    bench.answer(0x00D2, bytes([result]))
    assert bench.events()[-1] == JoinFailed(METER)
    assert not bench.engine.busy


def test_only_one_command_at_a_time() -> None:
    """The module would answer 3D."""
    bench = armed()
    bench.give(Scan(6))
    with pytest.raises(RuntimeError, match="busy"):
        bench.give(Scan(6))


@pytest.mark.parametrize("command", [Join(Pan(0x22, 1, PAN.mac)), Scan(0), Send(METER, b"")])
def test_what_cannot_be_asked_changes_nothing(command: Command) -> None:
    """ValueError, and the engine is free."""
    bench = joined()
    with pytest.raises(ValueError, match=r".+"):
        bench.give(command)
    assert not bench.engine.busy
    bench.give(GET)
    bench.answer(0x0008, SENT)
    events: list[Event] = bench.events()
    assert Done(GET) in events
