"""The counting behind the way back: joins that were not waited for say nothing, refusals in a row say everything."""

from __future__ import annotations

from hemsd.routeb.errors import CredentialsRefused
from hemsd.routeb.ladder import JOIN_TRIES_HEARD, Ladder

J11_S, OTHERS_S = (120.0, 320.0, 720.0), (60.0,)


def ladder() -> Ladder:
    return Ladder(lambda: 0.5)


def test_each_join_is_waited_for_longer_until_the_module_can_tell() -> None:
    """The limits of a J11 module in turn, the last of them again and again; one limit is always the same."""
    for limits_s, expected in ((J11_S, [120.0, 320.0, 720.0, 720.0]), (OTHERS_S, [60.0] * 4)):
        counting, waited = ladder(), []
        for _ in expected:
            waited.append(counting.join_limit_s(limits_s))
            counting.join_failed(refused=False, heard=True, first=True, untold=counting.has_longer(limits_s))
        assert waited == expected


def test_a_join_that_was_not_waited_for_is_no_try() -> None:
    """Two untold ones and a told one leave as many tries as one."""
    counting = ladder()
    assert counting.join_failed(refused=False, heard=True, first=True, untold=True)
    assert counting.join_failed(refused=False, heard=True, first=True, untold=True)
    tries = [counting.join_failed(refused=False, heard=True, first=True) for _ in range(JOIN_TRIES_HEARD)]
    assert tries == [True] * (JOIN_TRIES_HEARD - 1) + [False]


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
