"""The counting behind recovery: rungs in order, tries, pauses, refusals, and what a course leads to."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.module import AuthenticationStep, JoinFailed, Pan
from hemsd.routeb.course import Course, Step
from hemsd.routeb.errors import CredentialsRefused, MeterNotHeard
from hemsd.routeb.ladder import BOUND_S, JOIN_TRIES_HEARD, RUNGS, Ladder, Rung

CHALLENGED = AuthenticationStep.CHALLENGED
GOOD = Pan(0x31, 0xB5FB, "001C6400601421A3", lqi=0xDD)


def ladder() -> Ladder:
    return Ladder(lambda: 0.5)


def test_rungs_are_in_order_and_bounded() -> None:
    """Seven steps from the cheapest to the dearest, by the names that people are told, each with a bound."""
    assert [rung.value for rung in RUNGS] == [
        "retry",
        "reauthenticate",
        "rejoin",
        "rescan",
        "reset",
        "reopen",
        "replug",
    ]
    assert list(BOUND_S) == list(RUNGS)


def test_pauses_between_rounds() -> None:
    """60 s doubled to 300 s, a fifth more at most; an hour after a refusal; from the start again after success."""
    counted = ladder()
    assert [counted.concluded(MeterNotHeard()) for _ in range(4)] == pytest.approx([66, 132, 264, 330])
    assert counted.concluded(CredentialsRefused()) == 3600
    counted.reached()
    assert counted.concluded(MeterNotHeard()) == pytest.approx(66)
    assert Ladder(lambda: 0.0).concluded(MeterNotHeard()) == 60
    assert Ladder(lambda: 1.0).concluded(MeterNotHeard()) == 72


def test_rounds_survive_a_new_connection() -> None:
    """A port closed and opened again does not make us impatient."""
    counted = ladder()
    counted.concluded(MeterNotHeard())
    counted.connected()
    assert counted.concluded(MeterNotHeard()) == pytest.approx(132)


def tries(counted: Ladder, *, heard: bool = False, first: bool = True) -> int:
    """How often one PAN is joined in vain."""
    counted.other_pan()
    return next(n for n in range(1, 10) if not counted.join_failed(refused=False, heard=heard, first=first))


def test_tries() -> None:
    """A remembered PAN twice, from the second round on once; one heard just now three times."""
    counted = ladder()
    assert (tries(counted), tries(counted, heard=True), tries(counted, first=False)) == (2, 3, 1)
    counted.concluded(MeterNotHeard())
    assert (tries(counted), tries(counted, heard=True)) == (1, 3)


def test_join_limits() -> None:
    """The n-th failing join in a row has the module's n-th limit, the last one repeats, success starts anew."""
    counted = ladder()
    limits = []
    for _ in range(4):
        limits.append(counted.join_limit_s((60.0, 100.0, 720.0), trusted=False))
        counted.join_failed(refused=False, heard=True, first=False)
    assert limits == [60, 100, 720, 720]
    assert counted.join_limit_s((60.0, 100.0), trusted=True) == 60
    counted.reached()
    assert counted.join_limit_s((60.0, 100.0), trusted=False) == 60


@pytest.mark.parametrize(
    ("told", "step", "pan", "refused"),
    [
        (None, CHALLENGED, GOOD, True),
        (None, None, GOOD, False),
        (None, AuthenticationStep.ANSWERED, GOOD, False),
        (True, None, GOOD, True),
        (False, CHALLENGED, GOOD, False),
        (True, None, Pan(0x31, 1, GOOD.mac, rssi_dbm=-60), True),
        (True, None, Pan(0x31, 1, GOOD.mac, rssi_dbm=-90), False),
        (True, CHALLENGED, Pan(0x31, 1, GOOD.mac), False),
        (True, CHALLENGED, Pan(0x31, 1, GOOD.mac, lqi=0x60), False),
        (True, CHALLENGED, None, False),
    ],
)
def test_refused(told: bool | None, step: AuthenticationStep | None, pan: Pan | None, refused: bool) -> None:
    """The meter refuses where the module says so, or else seems to; over a link that is known to be good."""
    assert ladder().refused(JoinFailed("", told), pan, step) is refused


def test_after_an_hour_one_refusal_is_enough() -> None:
    """Three in a row make a wrong password; the hourly attempt needs no three to say so again."""
    counted = ladder()
    outcomes = [counted.join_failed(refused=True, heard=True, first=False) for _ in range(4)]
    assert [isinstance(outcome, CredentialsRefused) for outcome in outcomes] == [False, False, True, True]
    assert counted.join_failed(refused=False, heard=True, first=False) is False
    assert not isinstance(counted.join_failed(refused=True, heard=True, first=False), CredentialsRefused)


def test_two_refusals_are_enough_where_the_module_tells_them() -> None:
    """It takes a J11 module five minutes to say so, and leaves no doubt; one alone may be anything."""
    counted = ladder()
    outcomes = [counted.join_failed(refused=True, certain=True, heard=True, first=False) for _ in range(3)]
    assert [isinstance(outcome, CredentialsRefused) for outcome in outcomes] == [False, True, True]


def test_the_steps_on_a_rung() -> None:
    """The first that is missing: a module that is free, without an old session, set up; the PAN; a rest; the join."""
    course = Course()
    course.take(Rung.REJOIN)
    course.opening(keep_session=False, prepared=False)
    assert course.step(0.0, knows_pan=True) is Step.PREPARE
    course.prepared = course.standing = True
    assert course.step(0.0, knows_pan=True) is Step.LEAVE
    course.standing, course.rest_until = False, 10.0
    assert [course.step(at, knows_pan=True) for at in (9.9, 10.0)] == [Step.REST, Step.JOIN]
    assert course.step(0.0, knows_pan=False) is Step.SCAN
    course.take(Rung.RESCAN)
    assert course.step(10.0, knows_pan=True) is Step.SCAN
    course.found()
    assert course.step(10.0, knows_pan=True) is Step.JOIN
    course.stuck = True
    assert course.step(10.0, knows_pan=True) is Step.OPEN


def test_the_next_rung() -> None:
    """One after the other up to RESET, which is left out where it was just done, or where nobody persists."""
    course = Course()
    ways = []
    for rung in RUNGS[:5]:
        course.take(rung)
        ways.append(course.next_rung(persist=True))
    assert ways == [*RUNGS[1:5], None]
    course.take(Rung.RESCAN)
    assert course.next_rung(persist=False) is None
    course.opening(keep_session=False, prepared=False)
    assert course.next_rung(persist=True) is None
    assert all(RUNGS.index(later) - RUNGS.index(earlier) == 1 for earlier, later in pairwise(RUNGS))


J11_S, OTHERS_S = (120.0, 320.0, 720.0), (60.0,)


def test_each_join_is_waited_for_longer_until_the_module_can_tell() -> None:
    """The limits of a J11 module in turn, the last of them again and again; one limit is always the same."""
    for limits_s, expected in ((J11_S, [120.0, 320.0, 720.0, 720.0]), (OTHERS_S, [60.0] * 4)):
        counting, waited = ladder(), []
        for _ in expected:
            waited.append(counting.join_limit_s(limits_s, trusted=False))
            untold = counting.has_longer(limits_s, trusted=False)
            counting.join_failed(refused=False, heard=True, first=True, untold=untold)
        assert waited == expected


def test_a_join_that_was_not_waited_for_is_no_try() -> None:
    """Two untold ones and a told one leave as many tries as one."""
    counting = ladder()
    assert counting.join_failed(refused=False, heard=True, first=True, untold=True)
    assert counting.join_failed(refused=False, heard=True, first=True, untold=True)
    told = [counting.join_failed(refused=False, heard=True, first=True) for _ in range(JOIN_TRIES_HEARD)]
    assert told == [True] * (JOIN_TRIES_HEARD - 1) + [False]


def test_a_join_that_was_not_waited_for_does_not_forgive_refusals() -> None:
    """Three refusals are three, whatever was untold between them; a silent meter forgives."""
    counting = ladder()
    told = [
        counting.join_failed(refused=refused, heard=True, first=True, untold=untold)
        for refused, untold in ((True, False), (False, True), (True, False), (True, False))
    ]
    assert isinstance(told[-1], CredentialsRefused)
    counting = ladder()
    for refused in (True, False, True, True):
        assert not isinstance(counting.join_failed(refused=refused, heard=True, first=True), CredentialsRefused)
