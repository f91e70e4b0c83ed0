"""Every EVENT of the command reference: what is learnt from its bytes, and what the session and the requests do.

BP35A1 command reference 4.8, and the key events of the stacks with a HAN side. Both text families.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support.wired import METER, Wired

from drivers.module import (
    BeaconHeard,
    Done,
    Fate,
    Joined,
    JoinFailed,
    Scan,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
)
from drivers.skstack.vocabulary import EVENTS
from hemsd.routeb.stages import Online, Scanned, Stage
from hemsd.simulator import Fault, Flaw, Spell, Strike

REFERENCE = """
    01 02 05 1F 20 21 22 24 25 26 27 28 29 32 33
    40 41 42 43 44 45 46 50 51 52 53 54 55 56 57 C0
"""
JUST_LEFT_S = 10.0  # a meter admits nobody for so long after the end of a session
ANSWER_S = 3.0  # a request takes 1.1 s, give or take a quarter


@pytest.fixture(params=["SE", "DUAL"])
def family(request: pytest.FixtureRequest) -> str:
    """A text family; they print EVENT in two forms."""
    return str(request.param)


def passes_unnoticed(family: str, *lines: Callable[[Wired], str]) -> None:
    """These lines amid a request: no word of them, no command of ours, and the answer comes as always."""
    bench = Wired(family).online()
    request = bench.get(0xE7)
    before, learnt, stage = len(bench.written), len(bench.heard), bench.stage
    bench.say(*(line(bench) for line in lines))
    assert bench.heard[learnt:] == []
    assert len(bench.written) == before
    bench.run(3)
    assert isinstance(request.answers[0xE7], bytes)
    assert (bench.stage, stage, bench.losses) == (Stage.ONLINE, Stage.ONLINE, 0)
    assert len(bench.said("SKSENDTO")) == 1


def gate_is_shut(bench: Wired, seconds: float) -> None:
    """Nothing is sent, and nothing is joined, for so long, although something is to be asked."""
    since, request = bench.now, bench.get(0xE7)
    bench.run(seconds)
    assert not request.done
    assert bench.said("SKSENDTO", since) == []
    assert bench.said("SKJOIN", since) == []


def joined_again(bench: Wired, since: float) -> float:
    """The session comes back with neither a scan nor a reset; after how many seconds it was asked for."""
    bench.run(120, lambda: bench.stage is Stage.ONLINE)
    assert bench.stage is Stage.ONLINE
    assert bench.said("SKSCAN", since) == bench.said("SKRESET", since) == []
    [(at, _)] = bench.said("SKJOIN", since)
    return at - since


def test_event_01_a_solicitation_is_no_news(family: str) -> None:
    """The meter looked for our address: nothing follows."""
    passes_unnoticed(family, lambda bench: bench.event("01"))


def test_event_02_the_neighbour_is_found(family: str) -> None:
    """The answer to a solicitation: what waits for it goes out by itself, once."""
    passes_unnoticed(family, lambda bench: bench.event("02"))
    bench = Wired(family).online()
    bench.strike(Fault(Strike.FORGET_NEIGHBOUR))
    request = bench.get(0xE7)
    bench.run(3)
    assert bench.event("02").encode() in bench.printed
    assert isinstance(request.answers[0xE7], bytes)
    assert len(bench.said("SKSENDTO")) == 1


def test_event_05_a_ping_is_no_news(family: str) -> None:
    """The module answers an echo request by itself."""
    passes_unnoticed(family, lambda bench: bench.event("05"))


def test_event_1f_an_energy_scan_and_its_list(family: str) -> None:
    """The levels that follow are part of it, neither noise nor beacons; the scan for the meter goes on."""
    pairs = " ".join(f"{channel:02X} {channel - 0x20:02X}" for channel in range(0x21, 0x3D))
    passes_unnoticed(
        family, lambda bench: bench.event("1F"), lambda _: "EEDSCAN", lambda bench: f"{bench.side} {pairs}".strip()
    )
    bench = Wired(family, remembered=None)
    bench.link.begin(0)
    bench.run(60, lambda: len(bench.said("SKSCAN")) == 2)
    bench.run(1)
    bench.say(bench.event("1F"), "EEDSCAN", f"{bench.side} {pairs}".strip())
    assert bench.stage is Stage.SCANNING
    assert len(bench.events(Scanned)) == 1


def test_event_20_a_beacon_is_kept_until_the_scan_is_over(family: str) -> None:
    """A beacon draws nothing by itself; what it told is joined after EVENT 22."""
    bench = Wired(family, remembered=None)
    bench.link.begin(0)
    bench.run(120, lambda: any(isinstance(event, BeaconHeard) for event in bench.heard))
    assert b"EVENT 20 " in bench.printed
    heard_at, commands = bench.now, len(bench.written)
    bench.run(120, lambda: len(bench.written) > commands)
    assert bench.now > heard_at + 0.1
    assert isinstance(bench.heard[-1], Done)
    bench.run(1)
    [(_, joining)] = bench.said("SKJOIN")
    assert joining == f"SKJOIN {METER}\r\n".encode()


def test_event_21_00_starts_the_clock_of_the_answer(family: str) -> None:
    """Sent and acknowledged: an answer is waited for, and only then asked for once more."""
    bench = Wired(family).online()
    bench.strike(Fault(Flaw.ANSWER_LOST))
    request = bench.get(0xE7)
    bench.run(60, lambda: request.done)
    assert Transmission(METER, Fate.SENT) in bench.heard
    (first, _), (second, _) = bench.said("SKSENDTO")
    assert 2.0 <= second - first <= 20.0
    assert isinstance(request.answers[0xE7], bytes)
    assert bench.losses == 0


def test_event_21_01_is_tried_again_at_once(family: str) -> None:
    """Not sent: no answer is waited for; after 1 s, then 2 s, it is tried again, and the session is not doubted."""
    bench = Wired(family).online()
    bench.strike(Fault(Flaw.SEND_FAILS, times=2))
    request = bench.get(0xE7)
    bench.run(60, lambda: request.done)
    assert bench.heard.count(Transmission(METER, Fate.FAILED)) == 2
    first, second, third = (at for at, _ in bench.said("SKSENDTO"))
    assert (second - first, third - second) == (pytest.approx(1, abs=0.1), pytest.approx(2, abs=0.1))
    assert isinstance(request.answers[0xE7], bytes)
    assert bench.losses == 0


def test_event_21_02_is_waited_through(family: str) -> None:
    """A solicitation went out first: neither a failure nor the datagram's end, which follows by itself."""
    bench = Wired(family).online()
    bench.strike(Fault(Strike.FORGET_NEIGHBOUR), Fault(Flaw.ANSWER_LATE, seconds=1.0))
    request = bench.get(0xE7)
    bench.run(60, lambda: request.done)
    fates = [event.fate for event in bench.heard if isinstance(event, Transmission)]
    assert fates[-2:] == [Fate.RESOLVING, Fate.SENT]
    assert isinstance(request.answers[0xE7], bytes)
    assert len(bench.said("SKSENDTO")) == 1


def test_event_22_ends_a_scan_that_found_nothing(family: str) -> None:
    """With no beacon at all it still ends, and the next scan stays longer on each channel."""
    bench = Wired(family, remembered=None)
    bench.strike(Fault(Spell.RADIO_LOST, seconds=60))
    bench.link.begin(0)
    bench.run(200, lambda: bench.stage is Stage.JOINING)
    assert Done(Scan(4)) in bench.heard
    assert next(scanned.pans for scanned in bench.events(Scanned)) == ()
    durations = [int(data.split()[3]) for _, data in bench.said("SKSCAN")]
    assert durations == list(range(4, 4 + len(durations)))
    assert len(durations) > 2


def test_event_24_while_joining_is_tried_again(family: str) -> None:
    """The same PAN once more after a pause, without a scan."""
    bench = Wired(family)
    bench.strike(Fault(Flaw.JOIN_FAILS))
    bench.online()
    assert [type(event) for event in bench.heard if isinstance(event, Joined | JoinFailed)] == [JoinFailed, Joined]
    (first, _), (second, _) = bench.said("SKJOIN")
    assert 5 <= second - first - 38 <= 10
    assert bench.said("SKSCAN") == []


def test_event_24_while_online_is_a_loss(family: str) -> None:
    """Re-authentication failed: the session is over, requests end, and the PAN is joined again after a pause."""
    bench = Wired(family).online()
    request, since = bench.get(0xE7), bench.now
    bench.strike(Fault(Strike.LOSE_SESSION))
    bench.run(0.001)
    assert isinstance(bench.heard[-1], JoinFailed)
    assert (request.done, bench.losses) == (True, 1)
    assert 5 <= joined_again(bench, since) <= 7


def test_event_25_opens_the_gate(family: str) -> None:
    """A request made before is sent with it: not a moment earlier, and no pause after it."""
    bench = Wired(family)
    bench.link.begin(0)
    request = bench.get(0xE7)
    bench.run(60, lambda: request.done)
    [joined_at] = [at for at, event in bench.told if isinstance(event, Online)]
    assert [at for at, _ in bench.said("SKSENDTO")] == [joined_at]
    assert isinstance(request.answers[0xE7], bytes)


def test_event_26_the_meter_ended_the_session(family: str) -> None:
    """It is joined again without a scan, and not before the meter is ready for it."""
    bench = Wired(family).online()
    since = bench.now
    bench.strike(Fault(Strike.PEER_CLOSES))
    bench.run(0.001)
    assert bench.heard[-1] == SessionClosed(METER, by_peer=True)
    assert bench.losses == 1
    assert JUST_LEFT_S <= joined_again(bench, since) <= 1.3 * JUST_LEFT_S


@pytest.mark.parametrize("number", ["27", "28"])
def test_event_27_to_28_the_session_is_closed(family: str, number: str) -> None:
    """Closed, with the meter's answer (27) or without (28): joined again, not before the meter is ready for it."""
    bench = Wired(family).online()
    since = bench.now
    bench.say(bench.event(number))
    assert bench.heard[-1] == SessionClosed(METER, by_peer=False)
    assert bench.losses == 1
    assert JUST_LEFT_S <= joined_again(bench, since) <= 1.3 * JUST_LEFT_S


def test_event_29_shuts_the_gate_until_the_module_authenticated_again(family: str) -> None:
    """The session expired, which is no loss: what was in flight is asked anew after EVENT 25, and nothing before."""
    bench = Wired(family).online()
    bench.strike(Fault(Flaw.ANSWER_LOST))
    request = bench.get(0xE7)
    bench.run(0.5)
    bench.say(bench.event("29"))
    assert bench.heard[-1] == SessionExpired(METER)
    gate_is_shut(bench, 50)
    bench.say(bench.event("25"))
    bench.run(ANSWER_S, lambda: request.done)
    assert isinstance(request.answers[0xE7], bytes)
    assert (bench.losses, bench.said("SKJOIN", 10)) == (0, [])


def test_event_29_with_nothing_after_it(family: str) -> None:
    """After 60 s without EVENT 25 the module is not waited for any longer."""
    bench = Wired(family).online()
    bench.say(bench.event("29"))
    since = bench.now
    bench.run(120, lambda: bench.losses > 0)
    assert bench.now - since == pytest.approx(60, abs=1)
    bench.run(120, lambda: bench.stage is Stage.ONLINE)
    assert bench.stage is Stage.ONLINE
    assert len(bench.said("SKJOIN", since)) == 1


def test_event_29_as_a_module_plays_it(family: str) -> None:
    """Expired, authenticated again by itself, on with it: we say nothing in between."""
    bench = Wired(family).online()
    since = bench.now
    bench.strike(Fault(Strike.EXPIRE))
    bench.run(60, lambda: bench.heard[-1] == Joined(METER))
    assert bench.stage is Stage.ONLINE
    assert bench.losses == 0
    assert [data for at, data in bench.written if since <= at < bench.now] == []


def test_event_32_shuts_the_gate_and_joins_nothing(family: str) -> None:
    """The hourly limit of transmission: the session stands, to join anew would only cost more of it."""
    bench = Wired(family).online()
    bench.strike(Fault(Strike.LIMIT, at=bench.now, seconds=3600))
    bench.run(1)
    assert bench.heard[-1] == SendLimit(engaged=True)
    gate_is_shut(bench, 1800)
    assert (bench.stage, bench.losses) == (Stage.ONLINE, 0)


def test_event_33_opens_the_gate(family: str) -> None:
    """What had to wait goes out at once."""
    bench = Wired(family).online()
    since = bench.now
    bench.strike(Fault(Strike.LIMIT, at=since, seconds=610))
    bench.run(1)
    request = bench.get(0xE7)
    bench.run(700, lambda: bench.heard[-1] == SendLimit(engaged=False))
    assert bench.now == since + 610
    assert [at for at, _ in bench.said("SKSENDTO")] == [bench.now]
    bench.run(ANSWER_S)
    assert isinstance(request.answers[0xE7], bytes)


def test_event_33_lost_on_the_line(family: str) -> None:
    """The module is asked each minute whether the limit still holds, and nothing goes out before it says no."""
    bench = Wired(family).online()
    bench.on_its_way = lambda data: data.replace(b"EVENT 33", b"EVE")
    since = bench.now
    bench.strike(Fault(Strike.LIMIT, at=since, seconds=610))
    bench.run(1)
    request = bench.get(0xE7)
    bench.run(700, lambda: request.done)
    ((at, _),) = bench.said("SKSENDTO")
    assert 610 <= at - since <= 670
    assert len(bench.said("SKSREG SFB")) == 11
    assert (bench.stage, bench.losses) == (Stage.ONLINE, 0)


@pytest.mark.parametrize("number", range(0x40, 0x47), ids=lambda number: f"{number:02X}")
def test_event_40_to_46_keys_of_the_other_side(family: str, number: int) -> None:
    """They are of the home area network, whose side we do not use."""
    passes_unnoticed(family, lambda bench: bench.event(f"{number:02X}"))


@pytest.mark.parametrize("number", range(0x50, 0x58), ids=lambda number: f"{number:02X}")
def test_event_50_to_57_the_other_side_as_authenticator(family: str, number: int) -> None:
    """Likewise."""
    passes_unnoticed(family, lambda bench: bench.event(f"{number:02X}"))


def test_event_c0_woken_up(family: str) -> None:
    """The one EVENT without an address; we never let a module sleep."""
    passes_unnoticed(family, lambda _: "EVENT C0")


def test_every_event_is_here() -> None:
    """What the reference lists, the driver knows and a test is named after; nothing more."""
    numbers = {int(number, 16) for number in REFERENCE.split()}
    named: set[int] = set()
    for name in filter(None, map(re.compile("test_event_([0-9a-f]{2})(?:_to_([0-9a-f]{2}))?_").match, globals())):
        named |= {*range(int(name[1], 16), int(name[2] or name[1], 16) + 1)}
    assert named == numbers
    assert {0x21, *EVENTS} == numbers
